//! The GraphQL API: who may see which field of a project or a group, and its values. See [`graphql`](crate::graphql).
//!
//! What the caller may not see is null there, with or without an error, as the field's type says; the status is 200 in any case.
//! Sources: `app/graphql/types/project_type.rb`, `app/graphql/resolvers/`, `app/controllers/graphql_controller.rb`.

use serde_json::{Map, Value, json};

use super::members;
use crate::auth::Need;
use crate::call::Call;
use crate::graphql::{Field, PATH, connection, parse, schema, select};
use crate::model::{Environment, GUEST, MAINTAINER, Project, REPORTER, Runner, Variable};
use crate::reply::{Outcome, Refusal, Reply};
use crate::router::Route;

/// GitLab's words about what is hidden or missing. Source: `lib/gitlab/graphql/authorize/authorize_resource.rb`.
const UNAVAILABLE: &str =
    "The resource that you are attempting to access does not exist or you don't have permission to perform this action";

fn answer(call: &mut Call<'_>) -> Outcome {
    let query = call.text("query").unwrap_or_default();
    let variables = match call.input.get("variables") {
        Some(Value::Object(all)) => all.clone(),
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        _ => Map::new(),
    };
    let said = |words: String| Ok(Reply::ok(json!({ "errors": [{ "message": words }] })));
    let fields = match parse(&query, &variables) {
        Ok(fields) => fields,
        Err(words) => return said(words),
    };
    if let Some(words) = schema::problem(&fields) {
        return said(words);
    }
    let (mut data, mut errors) = (Map::new(), Vec::new());
    for field in &fields {
        let path = field.text("fullPath").unwrap_or_default().to_owned();
        let value = match field.name.as_str() {
            "project" => project(call, &path, &field.fields, &mut errors)?,
            _ => group(call, &path, &field.fields, &mut errors)?,
        };
        data.insert(field.alias.clone(), value);
    }
    let mut answer = json!({ "data": data });
    if !errors.is_empty() {
        answer["errors"] = errors.into();
    }
    Ok(Reply::ok(answer))
}

fn gid(kind: &str, id: u64) -> String {
    format!("gid://gitlab/{kind}/{id}")
}

fn project(call: &mut Call<'_>, path: &str, fields: &[Field], errors: &mut Vec<Value>) -> Result<Value, Refusal> {
    let user = call.user()?;
    // A number is no path here.
    let found = call.state.project_id(path).filter(|_| path.contains('/'));
    let Some(id) = found else { return Ok(Value::Null) };
    let role = call.state.role(user, call.at(id)?);
    call.role = Some(role);
    if role < GUEST && call.at(id)?.visibility == "private" {
        return Ok(Value::Null);
    }
    let mut shown = Map::new();
    for field in fields {
        let value = match (field.name.as_str(), role) {
            ("runners", ..MAINTAINER) => {
                errors.push(json!({ "message": UNAVAILABLE, "path": ["project", "runners"] }));
                Value::Null
            }
            ("ciCdSettings" | "ciVariables" | "inheritedCiVariables", ..MAINTAINER)
            | ("environments" | "repository", ..REPORTER) => Value::Null,
            _ => of_project(call, call.at(id)?, field)?,
        };
        shown.insert(field.alias.clone(), select(value, &field.fields));
    }
    Ok(shown.into())
}

fn of_project(call: &Call<'_>, project: &Project, field: &Field) -> Result<Value, Refusal> {
    Ok(match field.name.as_str() {
        "ciCdSettings" => json!({ "inboundJobTokenScopeEnabled": project.job_token_enabled }),
        "runners" => {
            let kind = field.text("type").map(str::to_ascii_lowercase);
            let paused = field.arguments.get("paused").and_then(Value::as_bool);
            let tags = field.arguments.get("tagList").and_then(Value::as_array);
            // `LIKE '%tag%'`: `app/models/concerns/ci/taggable.rb`.
            let has = |runner: &Runner, tag: &Value| {
                runner.tag_list.iter().any(|one| one.contains(tag.as_str().unwrap_or_default()))
            };
            let all = call.state.runners.values().filter(|runner| {
                call.state.serves(runner, project)
                    && kind.as_ref().is_none_or(|kind| *kind == runner.kind)
                    && paused.is_none_or(|paused| paused == runner.paused)
                    && tags.is_none_or(|tags| tags.iter().all(|tag| has(runner, tag)))
            });
            connection(field, all.map(runner).collect())
        }
        "environments" => connection(field, project.environments.iter().map(environment).collect()),
        "projectMembers" => {
            connection(field, members::of_project(call, project.id, is_direct(field))?.iter().map(member).collect())
        }
        "ciVariables" => connection(field, project.variables.iter().map(variable).collect()),
        "inheritedCiVariables" => {
            let groups = call.state.lineage(project.namespace).filter(|group| group.person.is_none());
            let all = groups.flat_map(|group| {
                let path = format!("/groups/{}/-/settings/ci_cd", call.state.full_path(group.id));
                group.variables.iter().map(move |one| {
                    let mut value = variable(one);
                    value["groupName"] = group.name.as_str().into();
                    value["groupCiCdSettingsPath"] = path.as_str().into();
                    value
                })
            });
            connection(field, all.collect())
        }
        _ => {
            let reference = field.fields.iter().find_map(|tree| tree.text("ref")).unwrap_or(&project.default_branch);
            let sha = call.settings.git.branch(&project.repository, reference);
            let sha = sha.filter(|_| !call.settings.is_behind(project));
            json!({ "tree": { "lastCommit": sha.map(|sha| json!({ "sha": sha })) } })
        }
    })
}

fn group(call: &mut Call<'_>, path: &str, fields: &[Field], errors: &mut Vec<Value>) -> Result<Value, Refusal> {
    let user = call.user()?;
    let found = call.state.namespace(path).filter(|group| group.person.is_none());
    let Some((id, private)) = found.map(|group| (group.id, group.visibility == "private")) else {
        return Ok(Value::Null);
    };
    let mut shown = Map::new();
    if call.state.group_role(user, id) < GUEST && private {
        // Who has a role in one of its projects sees the group, and none of its members: `app/policies/group_policy.rb`.
        let is_seen = call.state.projects.values().any(|project| {
            call.state.role(user, project) >= GUEST && call.state.lineage(project.namespace).any(|group| group.id == id)
        });
        if !is_seen {
            return Ok(Value::Null);
        }
        for field in fields {
            errors.push(json!({ "message": UNAVAILABLE, "path": ["group", field.alias] }));
            shown.insert(field.alias.clone(), Value::Null);
        }
        return Ok(shown.into());
    }
    for field in fields {
        let all = members::of_group(call, id, is_direct(field))?.iter().map(member).collect();
        shown.insert(field.alias.clone(), select(connection(field, all), &field.fields));
    }
    Ok(shown.into())
}

/// Whether only direct members are asked for. Unless it is said, inherited ones are there too.
fn is_direct(field: &Field) -> bool {
    field.arguments.get("relations").is_some_and(|relations| *relations == json!(["DIRECT"]))
}

/// A member as the REST API shows it, in the form of this one.
fn member(value: &Value) -> Value {
    json!({
        "accessLevel": { "integerValue": value["access_level"] },
        "expiresAt": value["expires_at"],
        "user": { "id": gid("User", value["id"].as_u64().unwrap_or_default()), "username": value["username"] },
    })
}

fn runner(runner: &Runner) -> Value {
    json!({
        "id": gid("Ci::Runner", runner.id),
        "description": runner.description,
        "paused": runner.paused,
        "tagList": runner.tag_list,
        "runUntagged": runner.run_untagged,
        "locked": runner.locked,
        "accessLevel": runner.access_level.to_ascii_uppercase(),
        "contactedAt": runner.contacted_at,
        "runnerType": runner.kind.to_ascii_uppercase(),
    })
}

fn environment(one: &Environment) -> Value {
    json!({ "id": gid("Environment", one.id), "name": one.name, "state": one.state, "tier": one.tier.to_ascii_uppercase() })
}

fn variable(one: &Variable) -> Value {
    json!({
        "key": one.key,
        "protected": one.protected,
        "masked": one.masked,
        "environmentScope": one.environment_scope,
        "description": one.description,
    })
}

const KEYS: &[&str] = &["query", "variables", "operationName"];

pub(super) const ROUTES: &[Route] =
    &[Route::new("GET", PATH, Need::Read, KEYS, answer), Route::new("POST", PATH, Need::Read, KEYS, answer)];
