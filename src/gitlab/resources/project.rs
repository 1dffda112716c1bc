//! The project: created empty, private and without a README, since its content comes from the control repo.
//!
//! Source: <https://docs.gitlab.com/api/projects/#create-a-project>.

use serde_json::json;

use super::group::Group;
use crate::error::Error;
use crate::gitlab::client::Client;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Project;
use crate::plan::{Action, Change, Undo};

pub(in crate::gitlab) const KIND: &str = "project";

/// The project, when it is there and this account can see it.
pub(in crate::gitlab) fn read(owner: &Client, desired: &Desired) -> GitlabResult<Option<Project>> {
    owner.find(&Call::get("/projects/:id", &[&desired.path()]))
}

/// The change that makes it.
pub(in crate::gitlab) fn create(desired: &Desired) -> Change {
    let path = desired.path();
    Change::new(format!("{KIND}:{path}"), Action::Create, format!("create the private project {path}"))
}

/// Makes it, in a namespace that exists.
pub(in crate::gitlab) fn write(owner: &Client, desired: &Desired) -> GitlabResult<Undo> {
    if read(owner, desired)?.is_some() {
        return Ok(Undo::Never { reason: "another user created it first".into() });
    }
    // A group or a user's own namespace.
    let namespace: Group = owner.fetch(&Call::get("/namespaces/:id", &[&desired.group]))?;
    let body = json!({
        "name": desired.project,
        "path": desired.project,
        "namespace_id": namespace.id,
        "description": desired.description,
        "visibility": "private",
        "initialize_with_readme": false,
        // From the first push on: what the settings say later would be too late for its pipeline.
        "shared_runners_enabled": desired.setting("shared_runners_enabled"),
        "group_runners_enabled": desired.setting("group_runners_enabled"),
    });
    owner.write::<Project>(&Call::post("/projects", &[]), &body)?;
    Ok(Undo::Remove)
}

/// The project that must be there by now.
pub(in crate::gitlab) fn require(owner: &Client, desired: &Desired) -> GitlabResult<Project> {
    read(owner, desired)?.ok_or_else(|| {
        Error::new(crate::Kind::CutShort, format!("{} was removed", desired.url()))
            .hint("review the current state: `factoryup plan gitlab`")
            .into()
    })
}
