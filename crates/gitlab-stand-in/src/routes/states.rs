//! Terraform states, each with its versions: read by Developers, written and locked by Maintainers.
//!
//! A version is the serial number that the state itself names, and none is taken twice.
//! Source: <https://docs.gitlab.com/user/infrastructure/iac/terraform_state/>, `lib/api/terraform/state.rb`.

use serde_json::Value;

use crate::auth::Need;
use crate::call::Call;
use crate::model::{DEVELOPER, MAINTAINER};
use crate::reply::{Outcome, Refusal, Reply, forbidden, message, not_found};
use crate::router::Route;

/// The project, if it has states switched on.
fn project(call: &mut Call<'_>, role: u8) -> Result<u64, Refusal> {
    let id = call.project(role)?;
    let is_off = call.at(id)?.settings.get("infrastructure_access_level").is_some_and(|level| level == "disabled");
    if is_off { Err(forbidden("")) } else { Ok(id) }
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = project(call, DEVELOPER)?;
    let versions = call.at(id)?.states.get(call.param(1));
    let (_, newest) = versions.and_then(|versions| versions.last_key_value()).ok_or_else(|| not_found("State"))?;
    Ok(Reply::text(200, newest.clone()))
}

fn post(call: &mut Call<'_>) -> Outcome {
    let id = project(call, MAINTAINER)?;
    let name = call.param(1).to_owned();
    let text = String::from_utf8_lossy(call.body).into_owned();
    let serial = serde_json::from_str::<Value>(&text).ok().and_then(|state| state["serial"].as_u64());
    let serial = serial.ok_or_else(|| message(422, "No serial in payload"))?;
    let versions = call.at_mut(id)?.states.entry(name).or_default();
    if versions.contains_key(&serial) {
        return Err(message(400, "Version has already been taken"));
    }
    versions.insert(serial, text);
    Ok(Reply::text(200, ""))
}

fn remove(call: &mut Call<'_>) -> Outcome {
    let id = project(call, MAINTAINER)?;
    let (name, serial) = (call.param(1).to_owned(), call.param_id(2)?);
    let removed = call.at_mut(id)?.states.get_mut(&name).and_then(|versions| versions.remove(&serial));
    removed.map(|_| Reply::no_content()).ok_or_else(|| not_found("Version"))
}

/// A second lock is refused with what holds the first.
fn lock(call: &mut Call<'_>) -> Outcome {
    let id = project(call, MAINTAINER)?;
    let (name, text) = (call.param(1).to_owned(), String::from_utf8_lossy(call.body).into_owned());
    let locks = &mut call.at_mut(id)?.state_locks;
    if let Some(holder) = locks.get(&name) {
        return Err(Refusal::new(Reply::text(409, holder.clone())));
    }
    locks.insert(name, text);
    Ok(Reply::text(200, ""))
}

fn unlock(call: &mut Call<'_>) -> Outcome {
    let id = project(call, MAINTAINER)?;
    let name = call.param(1).to_owned();
    call.at_mut(id)?.state_locks.remove(&name);
    Ok(Reply::text(200, ""))
}

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/terraform/state/:name", Need::ReadState, &[], get),
    Route::new("POST", "/projects/:id/terraform/state/:name", Need::WriteState, &["ID"], post).raw(),
    Route::new("DELETE", "/projects/:id/terraform/state/:name/versions/:serial", Need::WriteState, &[], remove),
    Route::new("POST", "/projects/:id/terraform/state/:name/lock", Need::WriteState, &["ID"], lock).raw(),
    Route::new("DELETE", "/projects/:id/terraform/state/:name/lock", Need::WriteState, &["ID"], unlock).raw(),
];
