//! The group that holds the control repo, and the groups above it: private, made when missing. The owner's personal namespace will
//! do in their place.
//!
//! On gitlab.com a top-level group is made in the browser only; the owner is sent there.
//! Source: <https://docs.gitlab.com/api/groups/#create-a-group>.

use serde::Deserialize;
use serde_json::json;

use crate::error::{Error, Kind};
use crate::gitlab::client::Client;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::http::Call;
use crate::gitlab::preflight::require_maintainer;
use crate::gitlab::roles::OWNER;
use crate::plan::{Action, Change, Undo};

pub(in crate::gitlab) const KIND: &str = "group";

/// A group.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::gitlab) struct Group {
    pub(in crate::gitlab) id: u64,
    project_creation_level: Option<String>,
    shared_runners_setting: Option<String>,
    membership_lock: Option<bool>,
}

#[derive(Deserialize)]
struct Member {
    access_level: u8,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    is_admin: bool,
}

/// The nearest group that exists, and the full paths of those below it that do not, topmost first.
pub(in crate::gitlab) fn read(owner: &Client, path: &str) -> GitlabResult<(Option<Group>, Vec<String>)> {
    let mut missing = Vec::new();
    let mut rest = Some(path);
    while let Some(path) = rest {
        if let Some(group) = owner.find::<Group>(&Call::get("/groups/:id", &[&path]))? {
            missing.reverse();
            return Ok((Some(group), missing));
        }
        missing.push(path.to_owned());
        rest = path.rsplit_once('/').map(|(parent, _)| parent);
    }
    missing.reverse();
    Ok((None, missing))
}

/// The groups to be made, after seeing that they can be.
pub(in crate::gitlab) fn observe(owner: &Client, desired: &Desired, user: u64) -> GitlabResult<Vec<Change>> {
    let (nearest, missing) = read(owner, &desired.group)?;
    match nearest {
        Some(group) => {
            let place = match missing.first() {
                Some(first) => first.rsplit_once('/').map_or(first.as_str(), |(parent, _)| parent),
                None => &desired.group,
            };
            let level = level(owner, &group, user)?;
            require_maintainer(level, place)?;
            if let (true, Some((what, setting))) = (missing.is_empty(), limit(&group, desired, level)) {
                return Err(limited(desired, what, setting).into());
            }
        }
        None if is_own_namespace(owner, &desired.group, user)? => return Ok(Vec::new()),
        None if desired.base.is_gitlab_com() => return Err(made_in_the_browser(desired).into()),
        None => require_free(owner, &desired.group)?,
    }
    Ok(missing
        .iter()
        .map(|path| Change::new(format!("{KIND}:{path}"), Action::Create, format!("create the private group {path}")))
        .collect())
}

/// What a group forbids that the hand-off needs, and the setting that does.
/// Source: <https://docs.gitlab.com/api/groups/#update-group-attributes>.
fn limit(group: &Group, desired: &Desired, level: u8) -> Option<(&'static str, &'static str)> {
    let creates = match group.project_creation_level.as_deref() {
        Some("noone") => false,
        Some("administrator") => level > OWNER,
        Some("owner") => level >= OWNER,
        _ => true,
    };
    let shared = desired.setting("shared_runners_enabled") == Some(&true.into());
    if !creates {
        Some(("does not let your account create projects", "Roles allowed to create projects"))
    } else if group.membership_lock == Some(true) {
        Some((
            "does not let anyone join its projects, so the agent cannot join",
            "Users cannot be added to projects in this group",
        ))
    } else if shared && group.shared_runners_setting.as_deref() == Some("disabled_and_unoverridable") {
        Some((
            "does not let projects use the instance's runners, which runner.kind requires",
            "Enable instance runners for this group",
        ))
    } else {
        None
    }
}

fn limited(desired: &Desired, what: &str, setting: &str) -> Error {
    let (url, group) = (desired.base.as_str(), &desired.group);
    Error::new(Kind::NotPermitted, format!("the group {group} {what}"))
        .hint(format!(
            "ask an Owner of the group to change \"{setting}\": {url}/groups/{group}/-/edit, or its CI/CD settings"
        ))
        .hint("or set gitlab.group in factory.toml to another group")
}

/// The caller's role in a group; an administrator's is the highest.
fn level(owner: &Client, group: &Group, user: u64) -> GitlabResult<u8> {
    let member = owner.find::<Member>(&Call::get("/groups/:id/members/all/:user_id", &[&group.id, &user]))?;
    if let Some(member) = member {
        return Ok(member.access_level);
    }
    let user: User = owner.fetch(&Call::get("/user", &[]))?;
    Ok(if user.is_admin { 60 } else { 0 })
}

#[derive(Deserialize)]
struct Namespace {
    kind: String,
}

/// Whether a path is the caller's personal namespace. Somebody else's is refused.
/// Source: <https://docs.gitlab.com/api/namespaces/#get-a-namespace>.
fn is_own_namespace(owner: &Client, path: &str, user: u64) -> GitlabResult<bool> {
    let found: Option<Namespace> = owner.find(&Call::get("/namespaces/:id", &[&path]))?;
    if found.is_none_or(|namespace| namespace.kind != "user") {
        return Ok(false);
    }
    let named: Vec<Group> = owner.fetch(&Call::get("/users", &[]).query("username", path))?;
    if named.iter().any(|named| named.id == user) {
        return Ok(true);
    }
    Err(Error::new(Kind::NotPermitted, format!("gitlab.group = \"{path}\" is the personal namespace of another user"))
        .hint(format!(
            "create a private group at {}/groups/new, and set gitlab.group to its path",
            owner.base().as_str()
        ))
        .into())
}

#[derive(Deserialize)]
struct Existence {
    exists: bool,
}

/// Refuses a top-level group whose path is taken by what this account cannot see.
/// Source: <https://docs.gitlab.com/api/namespaces/#verify-namespace-availability>.
fn require_free(owner: &Client, path: &str) -> GitlabResult<()> {
    let top = path.split('/').next().unwrap_or_default();
    let found: Existence = owner.fetch(&Call::get("/namespaces/:id/exists", &[&top]))?;
    if found.exists { Err(hidden(top).into()) } else { Ok(()) }
}

fn hidden(path: &str) -> Error {
    Error::new(
        Kind::NotPermitted,
        format!("cannot create the group {path}: the path is in use, but hidden from your account"),
    )
    .hint(format!("ask an Owner of {path} to add you, or choose another gitlab.group in factory.toml"))
}

fn made_in_the_browser(desired: &Desired) -> Error {
    let top = desired.group.split('/').next().unwrap_or_default();
    Error::new(
        Kind::Usage,
        format!(
            "your account sees no group {top} on {}, where a top-level group can only be created in the browser",
            desired.base.as_str()
        ),
    )
    .hint(format!(
        "create a private group with the path {top} at {}/groups/new, then run the command again",
        desired.base.as_str()
    ))
    .hint("or set gitlab.group in factory.toml to a group that you own")
}

/// Makes a group whose parent exists.
pub(in crate::gitlab) fn write(owner: &Client, path: &str) -> GitlabResult<Undo> {
    if owner.find::<Group>(&Call::get("/groups/:id", &[&path]))?.is_some() {
        return Ok(Undo::Never { reason: "another user created it first".into() });
    }
    let (parent, own) = path.rsplit_once('/').map_or((None, path), |(parent, own)| (Some(parent), own));
    let mut body = json!({ "name": own, "path": own, "visibility": "private" });
    if let Some(parent) = parent {
        let parent: Group = owner.fetch(&Call::get("/groups/:id", &[&parent]))?;
        body["parent_id"] = parent.id.into();
    }
    owner.write::<Group>(&Call::post("/groups", &[]), &body).map_err(|error| match &error {
        // Somebody took it since the plan.
        GitlabError::Refused { said, .. } if said.contains("taken") => hidden(path).into(),
        _ => error,
    })?;
    Ok(Undo::Remove)
}
