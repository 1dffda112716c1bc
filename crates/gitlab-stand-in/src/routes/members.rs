//! Members of groups and projects, direct and inherited.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::accounts::user_json;
use crate::auth::{Need, now};
use crate::call::Call;
use crate::model::{GUEST, Home, MAINTAINER, Member, OWNER};
use crate::reply::{Outcome, Refusal, Reply, bad_request, error, forbidden, message, not_found};
use crate::router::Route;

/// The levels a membership can have. Source: <https://docs.gitlab.com/api/access_requests/#valid-access-levels>.
const LEVELS: &[i64] = &[5, 10, 15, 20, 30, 40, 50];

/// Whose members a call is about.
#[derive(Clone, Copy)]
enum Of {
    Group(u64),
    Project(u64),
}

/// Which of GitLab's two families of calls it is.
#[derive(Clone, Copy)]
enum Family {
    Group,
    Project,
}

impl Family {
    fn find(self, call: &mut Call<'_>, role: u8) -> Result<Of, Refusal> {
        match self {
            Self::Group => call.group(role).map(Of::Group),
            Self::Project => call.project(role).map(Of::Project),
        }
    }
}

fn direct<'a>(call: &'a mut Call<'_>, of: Of) -> Result<&'a mut BTreeMap<u64, Member>, Refusal> {
    match of {
        Of::Project(id) => Ok(&mut call.at_mut(id)?.members),
        Of::Group(id) => {
            call.state.namespaces.get_mut(&id).map(|group| &mut group.members).ok_or_else(|| not_found("Group"))
        }
    }
}

/// Every membership that counts here, as user, level and end; of a user's several the highest.
fn effective(call: &Call<'_>, of: Of) -> Result<BTreeMap<u64, Value>, Refusal> {
    let mut all: BTreeMap<u64, (u8, Value)> = BTreeMap::new();
    let mut add = |members: &BTreeMap<u64, Member>| {
        for (user, member) in members {
            if all.get(user).is_none_or(|(level, _)| *level < member.level) {
                all.insert(*user, (member.level, member_json(call, *user, member)));
            }
        }
    };
    let namespace = match of {
        Of::Group(id) => id,
        Of::Project(id) => {
            let project = call.at(id)?;
            add(&project.members);
            project.namespace
        }
    };
    call.state.lineage(namespace).for_each(|group| add(&group.members));
    Ok(all.into_iter().map(|(user, (_, value))| (user, value)).collect())
}

fn member_json(call: &Call<'_>, user: u64, member: &Member) -> Value {
    let mut value = call.state.users.get(&user).map_or_else(|| json!({}), |user| user_json(user, &call.settings.url));
    value["access_level"] = member.level.into();
    value["created_at"] = member.created_at.as_str().into();
    value["expires_at"] = member.expires_at.clone().into();
    value["membership_state"] = "active".into();
    value
}

fn list(call: &mut Call<'_>, kind: Family, inherited: bool) -> Outcome {
    let of = kind.find(call, GUEST)?;
    let asked = call.text("user_ids");
    let is_asked =
        |user: &u64| asked.as_ref().is_none_or(|ids| ids.split(',').any(|id| id.trim().parse() == Ok(*user)));
    let all = shown(call, of, !inherited)?;
    Ok(Reply::list(all.into_iter().filter(|one| one["id"].as_u64().is_some_and(|user| is_asked(&user)))))
}

fn shown(call: &Call<'_>, of: Of, is_direct: bool) -> Result<Vec<Value>, Refusal> {
    if !is_direct {
        return Ok(effective(call, of)?.into_values().collect());
    }
    let members = match of {
        Of::Project(id) => &call.at(id)?.members,
        Of::Group(id) => &call.state.namespaces.get(&id).ok_or_else(|| not_found("Group"))?.members,
    };
    Ok(members.iter().map(|(user, member)| member_json(call, *user, member)).collect())
}

fn one(call: &mut Call<'_>, of: Of, user: u64) -> Result<Value, Refusal> {
    let members = match of {
        Of::Project(id) => &call.at(id)?.members,
        Of::Group(id) => &call.state.namespaces.get(&id).ok_or_else(|| not_found("Group"))?.members,
    };
    members.get(&user).map(|member| member_json(call, user, member)).ok_or_else(|| not_found(""))
}

/// The members of a project as the API shows them: the direct ones, or all.
pub(super) fn of_project(call: &Call<'_>, project: u64, direct: bool) -> Result<Vec<Value>, Refusal> {
    shown(call, Of::Project(project), direct)
}

/// The same of a group.
pub(super) fn of_group(call: &Call<'_>, group: u64, direct: bool) -> Result<Vec<Value>, Refusal> {
    shown(call, Of::Group(group), direct)
}

fn get(call: &mut Call<'_>, kind: Family, inherited: bool) -> Outcome {
    let of = kind.find(call, GUEST)?;
    let user = call.param_id(1)?;
    if inherited {
        return effective(call, of)?.remove(&user).map(Reply::ok).ok_or_else(|| not_found(""));
    }
    one(call, of, user).map(Reply::ok)
}

/// The level asked for, which may not be above the caller's own.
fn asked_level(call: &Call<'_>) -> Result<u8, Refusal> {
    let level = call.integer("access_level")?.ok_or_else(|| error(400, "access_level is missing"))?;
    if !LEVELS.contains(&level) {
        return Err(error(400, "access_level does not have a valid value"));
    }
    let level = u8::try_from(level).map_err(|_| error(400, "access_level is invalid"))?;
    if level > call.role.unwrap_or(0) {
        return Err(forbidden(""));
    }
    Ok(level)
}

fn add(call: &mut Call<'_>, kind: Family) -> Outcome {
    let role = if matches!(kind, Family::Group) { OWNER } else { MAINTAINER };
    let of = kind.find(call, role)?;
    let level = asked_level(call)?;
    let user = match (call.id("user_id")?, call.text("username")) {
        (Some(id), _) => call.state.users.get(&id).map(|user| user.id),
        (None, Some(name)) => call.state.user_named(&name).map(|user| user.id),
        (None, None) => {
            return Err(error(400, "user_id, username are missing, exactly one parameter must be provided"));
        }
    };
    let user = user.ok_or_else(|| not_found("User"))?;
    if let Of::Project(project) = of
        && call.state.limit(call.at(project)?.namespace, "membership_lock") == Some(&Value::Bool(true))
    {
        return Err(forbidden(""));
    }
    let expires_at = call.date("expires_at")?.map(|date| date.to_string());
    if let Some(home) = call.state.users.get(&user).and_then(|user| user.home) {
        let place = match of {
            Of::Project(project) => call.at(project)?.namespace,
            Of::Group(group) => group,
        };
        let fits = match home {
            Home::Project(home) => matches!(of, Of::Project(project) if project == home),
            Home::Group(home) => call.state.lineage(place).any(|group| group.id == home),
        };
        if !fits {
            return Err(bad_request("Service account can only be a member of what provisioned it"));
        }
    }
    if direct(call, of)?.contains_key(&user) {
        return Err(message(409, "Member already exists"));
    }
    let inherited = effective(call, of)?.get(&user).and_then(|member| member["access_level"].as_u64()).unwrap_or(0);
    if inherited > u64::from(level) {
        return Err(message(
            400,
            json!({ "access_level": ["should be greater than or equal to the inherited membership"] }),
        ));
    }
    direct(call, of)?.insert(user, Member { level, expires_at, created_at: now() });
    one(call, of, user).map(Reply::created)
}

fn change(call: &mut Call<'_>, kind: Family) -> Outcome {
    let role = if matches!(kind, Family::Group) { OWNER } else { MAINTAINER };
    let of = kind.find(call, role)?;
    let (user, level) = (call.param_id(1)?, asked_level(call)?);
    let own = call.role.unwrap_or(0);
    let sent = call.has("expires_at");
    let expires_at = call.date("expires_at")?.map(|date| date.to_string());
    let member = direct(call, of)?.get_mut(&user).ok_or_else(|| not_found(""))?;
    if member.level > own {
        return Err(forbidden(""));
    }
    member.level = level;
    if sent {
        member.expires_at = expires_at;
    }
    one(call, of, user).map(Reply::ok)
}

fn remove(call: &mut Call<'_>, kind: Family) -> Outcome {
    let role = if matches!(kind, Family::Group) { OWNER } else { MAINTAINER };
    let of = kind.find(call, role)?;
    let user = call.param_id(1)?;
    direct(call, of)?.remove(&user).map(|_| Reply::no_content()).ok_or_else(|| not_found(""))
}

const ADD: &[&str] = &["user_id", "username", "access_level", "expires_at"];
const CHANGE: &[&str] = &["access_level", "expires_at"];

const LIST: &[&str] = &["query", "user_ids"];
pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/members", Need::Read, LIST, |call| list(call, Family::Project, false)),
    Route::new("GET", "/projects/:id/members/all", Need::Read, LIST, |call| list(call, Family::Project, true)),
    Route::new("GET", "/projects/:id/members/all/:user_id", Need::Read, &[], |call| get(call, Family::Project, true)),
    Route::new("GET", "/projects/:id/members/:user_id", Need::Read, &[], |call| get(call, Family::Project, false)),
    Route::new("POST", "/projects/:id/members", Need::Write, ADD, |call| add(call, Family::Project)),
    Route::new("PUT", "/projects/:id/members/:user_id", Need::Write, CHANGE, |call| change(call, Family::Project)),
    Route::new("DELETE", "/projects/:id/members/:user_id", Need::Write, &[], |call| remove(call, Family::Project)),
    Route::new("GET", "/groups/:id/members", Need::Read, LIST, |call| list(call, Family::Group, false)),
    Route::new("GET", "/groups/:id/members/all", Need::Read, LIST, |call| list(call, Family::Group, true)),
    Route::new("GET", "/groups/:id/members/all/:user_id", Need::Read, &[], |call| get(call, Family::Group, true)),
    Route::new("GET", "/groups/:id/members/:user_id", Need::Read, &[], |call| get(call, Family::Group, false)),
    Route::new("POST", "/groups/:id/members", Need::Write, ADD, |call| add(call, Family::Group)),
    Route::new("PUT", "/groups/:id/members/:user_id", Need::Write, CHANGE, |call| change(call, Family::Group)),
    Route::new("DELETE", "/groups/:id/members/:user_id", Need::Write, &[], |call| remove(call, Family::Group)),
];
