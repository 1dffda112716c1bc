//! Cloudflare's tunnel: its program, and a unit that its owner starts with the token of an environment.

use super::Wishes;
use crate::dialog::Dialog;
use crate::error::Result;
use crate::host::program::Questions;
use crate::host::resources::{Download, File, Resource, TUNNEL, Then};
use crate::host::target::HostTarget;

/// The same file that the control repo has as `scripts/host/factory-tunnel@.service`.
const UNIT: &str = include_str!("../../../templates/scripts/host/factory-tunnel@.service");

/// The program comes first, so that it goes last: after what runs it was stopped.
pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, wishes: &Wishes<'_>) {
    if wishes.factory.cloudflare.enabled {
        resources.push(Box::new(Download { name: "cloudflared", lock: wishes.lock.to_owned() }));
        resources.push(Box::new(File::system(TUNNEL, UNIT).then(Then::DaemonReload)));
    }
}

impl HostTarget<'_> {
    /// The environments whose tunnel does not run on the host; none without Cloudflare.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub fn tunnels_down(&mut self, dialog: &dyn Dialog) -> Result<Vec<String>> {
        let mut names = self.factory.environments.names.clone();
        if !self.factory.cloudflare.enabled {
            return Ok(Vec::new());
        }
        let unit = |name: &String| format!("factory-tunnel@{name}.service");
        let questions = Questions { units: names.iter().map(unit).collect(), ..Questions::default() };
        let seen = self.root(dialog)?.observe(&questions, dialog)?;
        names.retain(|name| seen.units.get(&unit(name)).is_none_or(|state| state.active != "active"));
        Ok(names)
    }
}
