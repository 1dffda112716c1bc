//! Cloudflare's tunnel: its program, and a unit that its owner starts with the token of an environment.

use super::Wishes;
use crate::host::resources::{Download, File, Resource, TUNNEL, Then};

/// The same file that the control repo has as `scripts/host/factory-tunnel@.service`.
const UNIT: &str = include_str!("../../../templates/scripts/host/factory-tunnel@.service");

/// The program comes first, so that it goes last: after what runs it was stopped.
pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, wishes: &Wishes<'_>) {
    if wishes.factory.cloudflare.enabled {
        resources.push(Box::new(Download { name: "cloudflared", lock: wishes.lock.to_owned() }));
        resources.push(Box::new(File::system(TUNNEL, UNIT).then(Then::DaemonReload)));
    }
}
