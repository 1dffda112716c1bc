//! Credentials that a project gives out: deploy keys and project access tokens. Neither opens anything here; both exist so that
//! making one can be refused.
//!
//! Sources: <https://docs.gitlab.com/api/deploy_keys/>, <https://docs.gitlab.com/api/project_access_tokens/>.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::auth::{Need, NewToken, SCOPES, Token, now, today};
use crate::call::Call;
use crate::model::{MAINTAINER, REPORTER};
use crate::reply::{Outcome, Reply, bad_request, error, invalid, message, not_found};
use crate::router::Route;

fn deploy_keys(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    Ok(Reply::list(call.at(id)?.deploy_keys.clone()))
}

/// Whether a text is an OpenSSH public key: a type, and Base64 of more than a type.
fn is_key(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    kind.starts_with("ssh-") && STANDARD.decode(blob).is_ok_and(|bytes| bytes.len() > 32)
}

fn add_deploy_key(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let (title, key) = (call.required("title")?, call.required("key")?);
    let can_push = call.boolean("can_push")?.unwrap_or(false);
    if !is_key(&key) {
        return Err(invalid("key", "is invalid"));
    }
    if call.at(id)?.deploy_keys.iter().any(|other| other["key"] == key.as_str()) {
        return Err(invalid("fingerprint", "has already been taken"));
    }
    let made = json!({
        "id": call.state.next_id(),
        "title": title,
        "key": key,
        "created_at": now(),
        "expires_at": call.date("expires_at")?.map(|date| date.to_string()),
        "can_push": can_push,
    });
    call.at_mut(id)?.deploy_keys.push(made.clone());
    Ok(Reply::created(made))
}

fn remove_deploy_key(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let key = call.param_id(1)?;
    let keys = &mut call.at_mut(id)?.deploy_keys;
    let at = keys.iter().position(|other| other["id"] == key).ok_or_else(|| not_found("Deploy Key"))?;
    keys.remove(at);
    Ok(Reply::no_content())
}

/// A project access token as the API shows it: a personal one of its bot, and the bot's level.
fn project_token_json(token: &Token, level: u8) -> Value {
    let mut value = token.to_json();
    value["access_level"] = level.into();
    value["resource_type"] = "project".into();
    value
}

fn access_tokens(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let bots = call.at(id)?.bots.clone();
    let level =
        |bot: u64| call.at(id).ok().and_then(|project| project.members.get(&bot)).map_or(0, |member| member.level);
    let shown =
        bots.iter().flat_map(|bot| call.state.tokens.of(*bot).map(|token| project_token_json(token, level(*bot))));
    Ok(Reply::list(shown.collect::<Vec<_>>()))
}

/// Who may not gets 400 here, in these words.
fn create_access_token(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    if call.role < Some(MAINTAINER) {
        return Err(bad_request("User does not have permission to create project access token"));
    }
    let name = call.required("name")?;
    let scopes = call.list("scopes")?.ok_or_else(|| error(400, "scopes is missing"))?;
    if scopes.is_empty() || scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
        return Err(error(400, "scopes does not have a valid value"));
    }
    let expires_at = call.date("expires_at")?.ok_or_else(|| error(400, "expires_at is missing"))?;
    if expires_at <= today() {
        return Err(bad_request("Expiration date cannot be in the past"));
    }
    let level = call.integer("access_level")?.unwrap_or(i64::from(MAINTAINER));
    let level = u8::try_from(level).map_err(|_| error(400, "access_level does not have a valid value"))?;
    if level > call.role.unwrap_or(0) {
        return Err(message(400, "access_level is above your own"));
    }
    let number = call.state.next_id();
    let bot = call.state.add_user(&format!("project_{id}_bot_{number}"), &name, false, None);
    let member = crate::model::Member { level, expires_at: Some(expires_at.to_string()), created_at: now() };
    let project = call.at_mut(id)?;
    project.members.insert(bot, member);
    project.bots.push(bot);
    let description = call.text("description");
    let new =
        NewToken { user: bot, name: &name, description: description.as_deref(), scopes, expires_at: Some(expires_at) };
    let (token, text) = call.state.tokens.issue(new)?;
    let mut value = project_token_json(&token, level);
    value["token"] = text.into();
    Ok(Reply::created(value))
}

const TOKEN: &[&str] = &["name", "description", "scopes", "access_level", "expires_at"];
const KEY: &[&str] = &["title", "key", "can_push", "expires_at"];

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/deploy_keys", Need::Read, &[], deploy_keys),
    Route::new("POST", "/projects/:id/deploy_keys", Need::Write, KEY, add_deploy_key),
    Route::new("DELETE", "/projects/:id/deploy_keys/:key_id", Need::Write, &[], remove_deploy_key),
    Route::new("GET", "/projects/:id/access_tokens", Need::Read, &[], access_tokens),
    Route::new("POST", "/projects/:id/access_tokens", Need::Write, TOKEN, create_access_token),
];

#[cfg(test)]
mod tests {
    use super::is_key;

    #[test]
    fn a_key_is_more_than_its_type() {
        assert!(is_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ a@b"));
        assert!(!is_key("ssh-ed25519 none"));
        assert!(!is_key("ssh-ed25519"));
        assert!(!is_key("hello world"));
    }
}
