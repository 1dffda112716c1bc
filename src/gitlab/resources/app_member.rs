//! The agent's role in an application's project. `factoryup app publish` gives it, since it knows when the history is there; here it is taken.

use super::{Back, Found, Resource, WayBack, membership};
use crate::error::Error;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::{Project, Site};
use crate::plan::{Change, Undo};

/// Named by the application.
pub(in crate::gitlab) const KIND: &str = "app-member";

/// See the [module](self).
pub(in crate::gitlab) struct AppMembers;

impl Resource for AppMembers {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, _desired: &Desired) -> Vec<Change> {
        Vec::new()
    }

    fn observe(&self, _site: &Site<'_>) -> GitlabResult<Found> {
        Ok(Found::default())
    }

    fn write(&self, _site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        Err(Error::internal(format!("{} is made by `factoryup app publish`", change.id)).into())
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

fn back(site: &Site<'_>, name: &str, undo: &Undo) -> GitlabResult<Back> {
    let path = format!("{}/{name}", site.desired.group);
    let Some(project) = site.owner.find::<Project>(&Call::get("/projects/:id", &[&path]))? else {
        return Ok(Back::Done);
    };
    membership::back_in(site, format!("{KIND}:{name}"), (project.id, name.to_owned()), undo)
}
