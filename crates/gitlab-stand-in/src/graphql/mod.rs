//! A part of GitLab's GraphQL API: queries about a project and a group, as far as [`schema`] lists their fields.
//!
//! A query is read ([`mod@parse`]), then compared with the schema, so that a field or argument that GitLab does not have is an error here too,
//! and not silence. Source: <https://docs.gitlab.com/api/graphql/>.

use serde_json::{Map, Value, json};

mod parse;
pub(crate) mod schema;

pub(crate) use parse::{Field, parse};

/// Where it is asked: outside of the REST API. Source: `config/routes/api.rb`, for `GET` and `POST`.
pub(crate) const PATH: &str = "/api/graphql";
/// Nodes of a page, at most. Source: `app/graphql/gitlab_schema.rb`, `DEFAULT_MAX_PAGE_SIZE`.
const PAGE: usize = 100;

/// The page of a list that a field asks for, as a connection shows it.
pub(crate) fn connection(field: &Field, all: Vec<Value>) -> Value {
    let after = field.text("after").and_then(|cursor| cursor.strip_prefix("cursor-")?.parse().ok()).unwrap_or(0);
    let first = field.arguments.get("first").and_then(Value::as_u64);
    let first = first.and_then(|first| usize::try_from(first).ok()).map_or(PAGE, |first| first.min(PAGE));
    let count = all.len();
    let nodes: Vec<_> = all.into_iter().skip(after).take(first).collect();
    let end = after + nodes.len();
    json!({
        "count": count,
        "pageInfo": { "hasNextPage": end < count, "endCursor": (!nodes.is_empty()).then(|| format!("cursor-{end}")) },
        "nodes": nodes,
    })
}

/// What a selection keeps of a value.
pub(crate) fn select(value: Value, fields: &[Field]) -> Value {
    match value {
        Value::Array(all) if !fields.is_empty() => all.into_iter().map(|one| select(one, fields)).collect(),
        Value::Object(all) if !fields.is_empty() => {
            let kept = fields.iter().map(|field| {
                let value = all.get(&field.name).cloned().unwrap_or_default();
                (field.alias.clone(), select(value, &field.fields))
            });
            Value::Object(kept.collect::<Map<_, _>>())
        }
        other => other,
    }
}
