//! Service accounts of projects and of top-level groups. Which GitLab has which is in [`crate::editions`].
//!
//! Source: <https://docs.gitlab.com/api/service_accounts/>.

use serde_json::{Value, json};

use super::accounts::{NEW_TOKEN, issue, rotate};
use crate::auth::{Need, Token};
use crate::call::Call;
use crate::editions::Feature;
use crate::model::{Home, MAINTAINER, OWNER, User};
use crate::reply::{Outcome, Refusal, Reply, bad_request, forbidden, not_found};
use crate::router::Route;

/// Which of GitLab's two families of calls it is.
#[derive(Clone, Copy)]
enum Family {
    Project,
    Group,
}

impl Family {
    /// What the path's first value names, when the caller may administer its accounts.
    fn home(self, call: &mut Call<'_>) -> Result<Home, Refusal> {
        match self {
            Self::Project => call.project(MAINTAINER).map(Home::Project),
            Self::Group => {
                let id = call.group(OWNER)?;
                let top = call.state.namespaces.get(&id).is_some_and(|group| group.parent.is_none());
                if top { Ok(Home::Group(id)) } else { Err(forbidden("")) }
            }
        }
    }
}

fn account_json(user: &User) -> Value {
    json!({ "id": user.id, "username": user.username, "name": user.name, "email": user.email })
}

fn list(call: &mut Call<'_>, family: Family) -> Outcome {
    let home = family.home(call)?;
    Ok(Reply::list(call.state.users.values().filter(|user| user.home == Some(home)).map(account_json)))
}

fn create(call: &mut Call<'_>, family: Family) -> Outcome {
    let home = family.home(call)?;
    let kept = matches!(home, Home::Group(_)) && !call.settings.owners_make_service_accounts;
    if kept && !call.is_admin() {
        // GitLab answers so, and not with 403.
        return Err(bad_request("User does not have permission to create a service account"));
    }
    let name = call.text("name").unwrap_or_else(|| "Service account user".to_owned());
    let username = match (call.text("username"), home) {
        (Some(username), _) => username,
        (None, Home::Project(id)) => format!("service_account_project_{id}_{}", call.state.next_id()),
        (None, Home::Group(id)) => format!("service_account_group_{id}_{}", call.state.next_id()),
    };
    if call.state.user_named(&username).is_some() {
        return Err(bad_request("Username has already been taken"));
    }
    let email = call.text("email");
    let id = call.state.add_user(&username, &name, false, Some(home));
    let user = call.state.users.get_mut(&id).ok_or_else(|| not_found("User"))?;
    if let Some(email) = email {
        user.email = email;
    }
    Ok(Reply::created(account_json(user)))
}

/// The service account that the path names.
fn account(call: &mut Call<'_>, family: Family) -> Result<u64, Refusal> {
    let home = family.home(call)?;
    let id = call.param_id(1)?;
    let user = call.state.users.get(&id).filter(|user| user.home == Some(home));
    user.map(|user| user.id).ok_or_else(|| not_found("User"))
}

fn tokens(call: &mut Call<'_>, family: Family) -> Outcome {
    let user = account(call, family)?;
    Ok(Reply::list(call.state.tokens.of(user).map(Token::to_json)))
}

fn create_token(call: &mut Call<'_>, family: Family) -> Outcome {
    let user = account(call, family)?;
    let may_be_endless = call.settings.has(Feature::EndlessServiceAccounts);
    issue(call, user, may_be_endless)
}

fn rotate_token(call: &mut Call<'_>, family: Family) -> Outcome {
    let user = account(call, family)?;
    let id = call.param_id(2)?;
    if call.state.tokens.get(id).is_none_or(|token| token.user != user) {
        return Err(not_found("Personal Access Token"));
    }
    rotate(call, id)
}

/// GitLab does it in the background, and keeps what the account wrote. Here it is done at once.
fn delete(call: &mut Call<'_>, family: Family) -> Outcome {
    let user = account(call, family)?;
    let tokens: Vec<u64> = call.state.tokens.of(user).map(|token| token.id).collect();
    for token in tokens {
        call.state.tokens.revoke(token);
    }
    call.state.namespaces.values_mut().for_each(|group| drop(group.members.remove(&user)));
    call.state.projects.values_mut().for_each(|project| drop(project.members.remove(&user)));
    call.state.users.remove(&user);
    Ok(Reply::no_content())
}

fn revoke_token(call: &mut Call<'_>, family: Family) -> Outcome {
    let user = account(call, family)?;
    let id = call.param_id(2)?;
    let active = call.state.tokens.get(id).filter(|token| token.user == user).map(Token::active);
    if !active.ok_or_else(|| not_found("Personal Access Token"))? {
        return Err(bad_request("Token already revoked"));
    }
    call.state.tokens.revoke(id);
    Ok(Reply::no_content())
}

const NEW: &[&str] = &["name", "username", "email"];
const ROTATE: &[&str] = &["expires_at"];

macro_rules! family {
    ($of:literal, $family:expr, $feature:expr) => {
        [
            Route::new("GET", concat!("/", $of, "/:id/service_accounts"), Need::Read, &[], |call| list(call, $family))
                .only_with($feature),
            Route::new("POST", concat!("/", $of, "/:id/service_accounts"), Need::Write, NEW, |call| {
                create(call, $family)
            })
            .only_with($feature),
            Route::new("DELETE", concat!("/", $of, "/:id/service_accounts/:user_id"), Need::Write, &[], |call| {
                delete(call, $family)
            })
            .only_with($feature),
            Route::new(
                "GET",
                concat!("/", $of, "/:id/service_accounts/:user_id/personal_access_tokens"),
                Need::Read,
                &[],
                |call| tokens(call, $family),
            )
            .only_with($feature),
            Route::new(
                "POST",
                concat!("/", $of, "/:id/service_accounts/:user_id/personal_access_tokens"),
                Need::Write,
                NEW_TOKEN,
                |call| create_token(call, $family),
            )
            .only_with($feature),
            Route::new(
                "POST",
                concat!("/", $of, "/:id/service_accounts/:user_id/personal_access_tokens/:token_id/rotate"),
                Need::Write,
                ROTATE,
                |call| rotate_token(call, $family),
            )
            .only_with($feature),
            Route::new(
                "DELETE",
                concat!("/", $of, "/:id/service_accounts/:user_id/personal_access_tokens/:token_id"),
                Need::Write,
                &[],
                |call| revoke_token(call, $family),
            )
            .only_with($feature),
        ]
    };
}

pub(super) const ROUTES: &[Route] = &family!("projects", Family::Project, Feature::ProjectServiceAccounts);
pub(super) const OF_GROUPS: &[Route] = &family!("groups", Family::Group, Feature::GroupServiceAccounts);
