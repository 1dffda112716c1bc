//! Terraform states, of which only the names are kept.
//!
//! Source: <https://docs.gitlab.com/user/infrastructure/iac/terraform_state/>.

use crate::auth::Need;
use crate::call::Call;
use crate::model::DEVELOPER;
use crate::reply::{Outcome, Reply, forbidden, not_found};
use crate::router::Route;

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(DEVELOPER)?;
    if call.at(id)?.settings.get("infrastructure_access_level").is_some_and(|level| level == "disabled") {
        return Err(forbidden(""));
    }
    let name = call.param(1).to_owned();
    if !call.at(id)?.states.contains(&name) {
        return Err(not_found("State"));
    }
    Ok(Reply::text(200, "what the engine wrote"))
}

pub(super) const ROUTES: &[Route] = &[Route::new("GET", "/projects/:id/terraform/state/:name", Need::Read, &[], get)];
