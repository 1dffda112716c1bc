//! CI/CD variables. A hidden one is never shown again; one key may exist once for each environment scope.
//!
//! Source: <https://docs.gitlab.com/api/project_level_variables/>, <https://docs.gitlab.com/ci/variables/#mask-a-cicd-variable>.

use serde_json::{Value, json};

use crate::auth::Need;
use crate::call::Call;
use crate::model::{MAINTAINER, OWNER, Variable};
use crate::reply::{Outcome, Refusal, Reply, error, invalid, message, not_found};
use crate::router::Route;

const KINDS: &[&str] = &["env_var", "file"];

fn variable_json(variable: &Variable) -> Value {
    json!({
        "variable_type": variable.kind,
        "key": variable.key,
        "value": if variable.hidden { Value::Null } else { variable.value.as_str().into() },
        "hidden": variable.hidden,
        "protected": variable.protected,
        "masked": variable.masked,
        "raw": variable.raw,
        "environment_scope": variable.environment_scope,
        "description": variable.description,
    })
}

/// What can be masked: at least 8 characters on one line without spaces; where variable references are expanded, also none
/// outside the Base64 alphabet and `@ : . ~ - _`.
fn maskable(value: &str, raw: bool) -> bool {
    let allowed = |c: char| if raw { !c.is_whitespace() } else { c.is_ascii_alphanumeric() || "_+=/@:.~-".contains(c) };
    value.chars().count() >= 8 && value.chars().all(allowed)
}

fn check(variable: &Variable) -> Result<(), Refusal> {
    if variable.key.len() > 255 || !variable.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(invalid("key", "can contain only letters, digits and '_'."));
    }
    if variable.masked && !maskable(&variable.value, variable.raw) {
        return Err(invalid("value", "is invalid"));
    }
    Ok(())
}

fn list(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    Ok(Reply::list(call.at(id)?.variables.iter().map(variable_json)))
}

/// The position of the variable that the path and `filter[environment_scope]` name. Several that fit are a conflict.
fn position(call: &Call<'_>, project: u64) -> Result<usize, Refusal> {
    let scope = match call.input.get("filter") {
        Some(Value::Object(filter)) => filter.get("environment_scope").and_then(Value::as_str),
        Some(Value::Null) | None => None,
        Some(_) => return Err(error(400, "filter is invalid")),
    };
    let mut found = call
        .at(project)?
        .variables
        .iter()
        .enumerate()
        .filter(|(_, v)| v.key == call.param(1) && scope.is_none_or(|scope| v.environment_scope == scope))
        .map(|(position, _)| position);
    let first = found.next().ok_or_else(|| not_found("Variable"))?;
    if found.next().is_some() {
        return Err(message(
            409,
            "There are multiple variables with provided parameters. Please use 'filter[environment_scope]'",
        ));
    }
    Ok(first)
}

fn get(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let position = position(call, id)?;
    Ok(Reply::ok(variable_json(&call.at(id)?.variables[position])))
}

/// The new variable that a call describes.
fn described(call: &Call<'_>) -> Result<Variable, Refusal> {
    let hidden = call.boolean("masked_and_hidden")?.unwrap_or(false);
    let variable = Variable {
        key: call.required("key")?,
        value: call.text("value").ok_or_else(|| error(400, "value is missing"))?,
        kind: call.one_of("variable_type", KINDS)?.unwrap_or_else(|| "env_var".to_owned()),
        protected: call.boolean("protected")?.unwrap_or(false),
        masked: hidden || call.boolean("masked")?.unwrap_or(false),
        hidden,
        raw: call.boolean("raw")?.unwrap_or(false),
        environment_scope: call.text("environment_scope").unwrap_or_else(|| "*".to_owned()),
        description: call.text("description"),
    };
    check(&variable)?;
    Ok(variable)
}

fn create(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let variable = described(call)?;
    let same = |v: &Variable| v.key == variable.key && v.environment_scope == variable.environment_scope;
    if call.at(id)?.variables.iter().any(same) {
        return Err(invalid("key", &format!("({}) has already been taken", variable.key)));
    }
    let value = variable_json(&variable);
    call.at_mut(id)?.variables.push(variable);
    Ok(Reply::created(value))
}

fn change(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let position = position(call, id)?;
    let mut variable = call.at(id)?.variables[position].clone();
    if let Some(value) = call.text("value") {
        variable.value = value;
    }
    if let Some(kind) = call.one_of("variable_type", KINDS)? {
        variable.kind = kind;
    }
    variable.protected = call.boolean("protected")?.unwrap_or(variable.protected);
    let masked = call.boolean("masked")?.unwrap_or(variable.masked);
    if variable.hidden && !masked {
        return Err(invalid("base", "Hidden variables cannot be unmasked."));
    }
    variable.masked = masked;
    variable.raw = call.boolean("raw")?.unwrap_or(variable.raw);
    if let Some(scope) = call.text("environment_scope") {
        variable.environment_scope = scope;
    }
    if call.has("description") {
        variable.description = call.text("description");
    }
    check(&variable)?;
    let others = call.at(id)?.variables.iter().enumerate().filter(|(other, _)| *other != position);
    if others.into_iter().any(|(_, v)| v.key == variable.key && v.environment_scope == variable.environment_scope) {
        return Err(invalid("key", &format!("({}) has already been taken", variable.key)));
    }
    let value = variable_json(&variable);
    call.at_mut(id)?.variables[position] = variable;
    Ok(Reply::ok(value))
}

fn delete(call: &mut Call<'_>) -> Outcome {
    let id = call.project(MAINTAINER)?;
    let position = position(call, id)?;
    call.at_mut(id)?.variables.remove(position);
    Ok(Reply::no_content())
}

/// A group's variables are its Owners' to see. Source: <https://docs.gitlab.com/api/group_level_variables/>.
fn list_of_group(call: &mut Call<'_>) -> Outcome {
    let id = call.group(OWNER)?;
    let group = call.state.namespaces.get(&id).ok_or_else(|| not_found("Group"))?;
    Ok(Reply::list(group.variables.iter().map(variable_json)))
}

fn create_in_group(call: &mut Call<'_>) -> Outcome {
    let id = call.group(OWNER)?;
    let variable = described(call)?;
    let value = variable_json(&variable);
    let group = call.state.namespaces.get_mut(&id).ok_or_else(|| not_found("Group"))?;
    if group.variables.iter().any(|other| other.key == variable.key) {
        return Err(invalid("key", &format!("({}) has already been taken", variable.key)));
    }
    group.variables.push(variable);
    Ok(Reply::created(value))
}

fn delete_in_group(call: &mut Call<'_>) -> Outcome {
    let (id, key) = (call.group(OWNER)?, call.param(1).to_owned());
    let variables = &mut call.state.namespaces.get_mut(&id).ok_or_else(|| not_found("Group"))?.variables;
    let at = variables.iter().position(|one| one.key == key).ok_or_else(|| not_found("Variable"))?;
    variables.remove(at);
    Ok(Reply::no_content())
}

const CREATE: &[&str] = &[
    "key",
    "value",
    "protected",
    "masked",
    "masked_and_hidden",
    "raw",
    "variable_type",
    "environment_scope",
    "description",
];
const CHANGE: &[&str] =
    &["value", "protected", "masked", "raw", "variable_type", "environment_scope", "description", "filter"];
const OF_GROUP: &str = "/groups/:id/variables";
const LIST: &str = "/projects/:id/variables";
const ONE: &str = "/projects/:id/variables/:key";

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", LIST, Need::Read, &[], list),
    Route::new("POST", LIST, Need::Write, CREATE, create),
    Route::new("GET", ONE, Need::Read, &["filter"], get),
    Route::new("PUT", ONE, Need::Write, CHANGE, change),
    Route::new("DELETE", ONE, Need::Write, &["filter"], delete),
    Route::new("GET", OF_GROUP, Need::Read, &[], list_of_group),
    Route::new("POST", OF_GROUP, Need::Write, CREATE, create_in_group),
    Route::new("DELETE", "/groups/:id/variables/:key", Need::Write, &[], delete_in_group),
];

#[cfg(test)]
mod tests {
    use super::maskable;

    #[test]
    fn only_what_cannot_be_mistaken_in_a_log_can_be_masked() {
        assert!(maskable("abcdefgh", false));
        assert!(!maskable("abcdefg", false), "7 characters");
        assert!(!maskable("abcd efgh", true), "a space");
        assert!(!maskable("abcdefg$", false), "a reference");
        assert!(maskable("abcdefg$", true));
    }
}
