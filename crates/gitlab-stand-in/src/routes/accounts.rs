//! Users and personal access tokens.
//!
//! Sources: <https://docs.gitlab.com/api/users/>, <https://docs.gitlab.com/api/user_tokens/>,
//! <https://docs.gitlab.com/api/personal_access_tokens/>.

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value, json};

use crate::auth::{Need, NewToken, SCOPES, Token, today};
use crate::call::Call;
use crate::editions::Feature;
use crate::model::User;
use crate::reply::{Outcome, Refusal, Reply, bad_request, error, forbidden, message, not_found};
use crate::router::Route;

/// The longest life of a token, in days. Source: <https://docs.gitlab.com/user/profile/personal_access_tokens/>.
const LONGEST_LIFE: i64 = 365;

/// A user as everyone sees them.
pub(crate) fn user_json(user: &User, url: &str) -> Value {
    json!({
        "id": user.id,
        "username": user.username,
        "public_email": null,
        "name": user.name,
        "state": "active",
        "locked": false,
        "avatar_url": null,
        "web_url": format!("{url}/{}", user.username),
    })
}

fn current_user(call: &mut Call<'_>) -> Outcome {
    let user = call.state.users.get(&call.user()?).ok_or_else(|| not_found("User"))?;
    let mut value = user_json(user, &call.settings.url);
    value["created_at"] = user.created_at.as_str().into();
    value["bot"] = user.bot.into();
    value["email"] = user.email.as_str().into();
    value["commit_email"] = user.email.as_str().into();
    value["two_factor_enabled"] = false.into();
    value["external"] = user.external.into();
    value["can_create_group"] = user.can_create_group.into();
    value["can_create_project"] = true.into();
    super::groups::compute_limits(call.settings, &mut value);
    if user.admin {
        value["is_admin"] = true.into();
    }
    Ok(Reply::ok(value))
}

#[expect(clippy::unnecessary_wraps, reason = "all handlers have one type")]
fn users(call: &mut Call<'_>) -> Outcome {
    let username = call.text("username");
    let search = call.text("search").map(|text| text.to_lowercase());
    Ok(Reply::list(
        call.state
            .users
            .values()
            .filter(|user| username.as_ref().is_none_or(|name| user.username.eq_ignore_ascii_case(name)))
            .filter(|user| search.as_ref().is_none_or(|text| user.username.to_lowercase().contains(text)))
            .map(|user| user_json(user, &call.settings.url)),
    ))
}

fn create_user(call: &mut Call<'_>) -> Outcome {
    if !call.is_admin() {
        return Err(forbidden(""));
    }
    let (email, name, username) = (call.required("email")?, call.required("name")?, call.required("username")?);
    let password_kinds = ["password", "reset_password", "force_random_password"];
    if !password_kinds.iter().any(|kind| call.has(kind)) {
        return Err(error(
            400,
            format!("{} are missing, at least one parameter must be provided", password_kinds.join(", ")),
        ));
    }
    if call.state.user_named(&username).is_some() {
        return Err(message(409, "Username has already been taken"));
    }
    if call.state.users.values().any(|user| user.email.eq_ignore_ascii_case(&email)) {
        return Err(message(409, "Email has already been taken"));
    }
    let (note, external) = (call.text("note"), call.boolean("external")?.unwrap_or(false));
    let can_create_group = call.boolean("can_create_group")?.unwrap_or(true);
    let id = call.state.add_user(&username, &name, false, None);
    let user = call.state.users.get_mut(&id).ok_or_else(|| not_found("User"))?;
    (user.email, user.note, user.external, user.can_create_group) = (email, note, external, can_create_group);
    Ok(Reply::created(user_json(user, &call.settings.url)))
}

fn own_token(call: &mut Call<'_>) -> Outcome {
    let token = call.token.as_ref().ok_or_else(|| message(401, "401 Unauthorized"))?;
    Ok(Reply::ok(token.to_json()))
}

fn revoke_own_token(call: &mut Call<'_>) -> Outcome {
    let id = call.token.as_ref().map(|token| token.id).ok_or_else(|| message(401, "401 Unauthorized"))?;
    call.state.tokens.revoke(id);
    Ok(Reply::no_content())
}

fn rotate_own_token(call: &mut Call<'_>) -> Outcome {
    let id = call.token.as_ref().map(|token| token.id).ok_or_else(|| message(401, "401 Unauthorized"))?;
    rotate(call, id)
}

pub(super) fn rotate(call: &mut Call<'_>, token: u64) -> Outcome {
    let expires_at = match call.date("expires_at")? {
        Some(date) => checked_expiry(call, date)?,
        None => today().saturating_add(7.days()),
    };
    let (token, text) = call.state.tokens.rotate(token, Some(expires_at))?;
    Ok(Reply::ok(token.to_json_once(&text)))
}

fn tokens(call: &mut Call<'_>) -> Outcome {
    let own = call.user()?;
    let user = call.id("user_id")?.unwrap_or(own);
    if user != own && !call.is_admin() {
        return Err(message(401, "401 Unauthorized"));
    }
    let state = call.one_of("state", &["active", "inactive"])?;
    let revoked = call.boolean("revoked")?;
    let search = call.text("search").unwrap_or_default();
    Ok(Reply::list(
        call.state
            .tokens
            .of(user)
            .filter(|token| state.as_deref().is_none_or(|state| token.active() == (state == "active")))
            .filter(|token| revoked.is_none_or(|revoked| token.revoked == revoked))
            .filter(|token| token.name.contains(&search))
            .map(Token::to_json),
    ))
}

/// The token the path names, when it is the caller's own or the caller is an administrator.
fn reachable_token(call: &Call<'_>) -> Result<u64, Refusal> {
    let (id, user) = (call.param_id(0)?, call.user()?);
    let token = call.state.tokens.get(id).filter(|token| token.user == user || call.is_admin());
    token.map(|token| token.id).ok_or_else(|| not_found(""))
}

fn token(call: &mut Call<'_>) -> Outcome {
    let id = reachable_token(call)?;
    call.state.tokens.get(id).map(|token| Reply::ok(token.to_json())).ok_or_else(|| not_found(""))
}

fn revoke_token(call: &mut Call<'_>) -> Outcome {
    let id = reachable_token(call)?;
    call.state.tokens.revoke(id);
    Ok(Reply::no_content())
}

fn rotate_token(call: &mut Call<'_>) -> Outcome {
    let id = reachable_token(call)?;
    rotate(call, id)
}

/// Source: `app/models/personal_access_token.rb`, and `ee/app/models/ee/personal_access_token.rb` for the limit of an instance. Both
/// allow the day that they name.
fn checked_expiry(call: &Call<'_>, date: Date) -> Result<Date, Refusal> {
    if date <= today() {
        return Err(bad_request("Expiration date cannot be in the past"));
    }
    let limit = call.settings.max_token_days.filter(|_| call.settings.has(Feature::TokenLifetimeLimit));
    let last = today().saturating_add(limit.unwrap_or(LONGEST_LIFE).days());
    if date > last {
        return Err(bad_request(&format!("Expiration date must be before {last}")));
    }
    Ok(date)
}

/// A token's description in a call, as a new token of `user`.
pub(super) fn issue(call: &mut Call<'_>, user: u64, may_be_endless: bool) -> Outcome {
    let name = call.required("name")?;
    let scopes = call.list("scopes")?.ok_or_else(|| error(400, "scopes is missing"))?;
    if scopes.is_empty() || scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(error(400, "scopes does not have a valid value"));
    }
    let expires_at = match call.date("expires_at")? {
        Some(date) => Some(checked_expiry(call, date)?),
        None if may_be_endless => None,
        None => return Err(bad_request("Expiration date can't be blank")),
    };
    let description = call.text("description");
    let new = NewToken { user, name: &name, description: description.as_deref(), scopes, expires_at };
    let (token, text) = call.state.tokens.issue(new)?;
    Ok(Reply::created(token.to_json_once(&text)))
}

/// The user that the path names, for an administrator. Source: `lib/api/users.rb`, `authenticated_as_admin!`.
fn create_user_token(call: &mut Call<'_>) -> Outcome {
    if !call.is_admin() {
        return Err(forbidden(""));
    }
    let id = call.param_id(0)?;
    let user = call.state.users.get(&id).map(|user| user.id).ok_or_else(|| not_found("User"))?;
    issue(call, user, false)
}

/// A user; to an administrator with what only they see.
fn user(call: &mut Call<'_>) -> Outcome {
    let (id, admin) = (call.param_id(0)?, call.is_admin());
    let user = call.state.users.get(&id).ok_or_else(|| not_found("User"))?;
    let mut value = user_json(user, &call.settings.url);
    value["bot"] = user.bot.into();
    if admin {
        value["note"] = user.note.clone().into();
        value["external"] = user.external.into();
        value["is_admin"] = user.admin.into();
    }
    Ok(Reply::ok(value))
}

/// Here only to tell an administrator's token from others. Source: `lib/api/admin/plan_limits.rb`.
fn plan_limits(call: &mut Call<'_>) -> Outcome {
    if call.is_admin() { Ok(Reply::ok(json!({ "ci_registered_project_runners": 1000 }))) } else { Err(forbidden("")) }
}

const LIST_KEYS: &[&str] = &["user_id", "state", "revoked", "search"];
/// What a new token is described by.
pub(super) const NEW_TOKEN: &[&str] = &["name", "description", "scopes", "expires_at"];
const USER_KEYS: &[&str] = &[
    "email",
    "name",
    "username",
    "password",
    "reset_password",
    "force_random_password",
    "skip_confirmation",
    "external",
    "can_create_group",
    "projects_limit",
    "note",
];
pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/user", Need::ReadUser, &[], current_user),
    Route::new("GET", "/users", Need::ReadUser, &["username", "search"], users),
    Route::new("POST", "/users", Need::Write, USER_KEYS, create_user),
    Route::new("GET", "/personal_access_tokens/self", Need::AnyToken, &[], own_token),
    Route::new("DELETE", "/personal_access_tokens/self", Need::AnyToken, &[], revoke_own_token),
    Route::new("POST", "/personal_access_tokens/self/rotate", Need::SelfRotate, &["expires_at"], rotate_own_token),
    Route::new("GET", "/personal_access_tokens", Need::Read, LIST_KEYS, tokens),
    Route::new("GET", "/personal_access_tokens/:id", Need::Read, &[], token),
    Route::new("DELETE", "/personal_access_tokens/:id", Need::Write, &[], revoke_token),
    Route::new("POST", "/personal_access_tokens/:id/rotate", Need::Write, &["expires_at"], rotate_token),
    Route::new("GET", "/users/:id", Need::ReadUser, &[], user),
    Route::new("POST", "/users/:user_id/personal_access_tokens", Need::Write, NEW_TOKEN, create_user_token),
    Route::new("GET", "/application/plan_limits", Need::Read, &[], plan_limits),
];
