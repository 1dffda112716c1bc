//! Checks requests against GitLab's `OpenAPI` description: method, path, names in the query, and the body with unknown keys refused.
//!
//! The description is not part of this repository. Without it the tests that need it are skipped, or fail when nothing may be
//! skipped.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeSet;
use std::path::Path;

use gitlab_stand_in::LoggedRequest;
use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// Where pages of service accounts and their tokens are documented.
const SERVICE_ACCOUNTS: &str = "https://docs.gitlab.com/api/service_accounts/";

/// What GitLab takes although the description leaves it out: method, path, name, and where it is documented.
const GAPS: &[(&str, &str, &str, &str)] = &[
    ("GET", "/api/v4/users", "search", "https://docs.gitlab.com/api/users/#list-users"),
    (
        "GET",
        "/api/v4/projects/{id}/repository/commits",
        "ref_name",
        "https://docs.gitlab.com/api/commits/#list-repository-commits",
    ),
    ("GET", "/api/v4/projects/{id}/service_accounts", "page", SERVICE_ACCOUNTS),
    ("GET", "/api/v4/projects/{id}/service_accounts", "per_page", SERVICE_ACCOUNTS),
    ("GET", "/api/v4/projects/{id}/service_accounts/{user_id}/personal_access_tokens", "page", SERVICE_ACCOUNTS),
    ("GET", "/api/v4/projects/{id}/service_accounts/{user_id}/personal_access_tokens", "per_page", SERVICE_ACCOUNTS),
    ("GET", "/api/v4/groups/{id}/service_accounts", "page", SERVICE_ACCOUNTS),
    ("GET", "/api/v4/groups/{id}/service_accounts", "per_page", SERVICE_ACCOUNTS),
    ("GET", "/api/v4/groups/{id}/service_accounts/{user_id}/personal_access_tokens", "page", SERVICE_ACCOUNTS),
    ("GET", "/api/v4/groups/{id}/service_accounts/{user_id}/personal_access_tokens", "per_page", SERVICE_ACCOUNTS),
];

/// Adds what GitLab has although the description leaves it out: whole calls, and fields of bodies and answers.
fn complete(document: &mut Value) {
    let paths = document["paths"].as_object_mut().unwrap();
    // https://docs.gitlab.com/api/service_accounts/, which has the calls that delete an account and revoke a token
    let delete = "/api/v4/projects/{id}/service_accounts/{user_id}";
    paths.insert(delete.into(), json!({ "delete": { "responses": {} } }));
    let revoke = "/api/v4/projects/{id}/service_accounts/{user_id}/personal_access_tokens/{token_id}";
    paths.insert(revoke.into(), json!({ "delete": { "responses": {} } }));
    // https://docs.gitlab.com/api/service_accounts/#group-service-accounts has the calls of projects for groups too.
    let of_projects: Vec<_> = paths.iter().filter(|(path, _)| path.contains("{id}/service_accounts")).collect();
    let of_groups: Vec<_> =
        of_projects.into_iter().map(|(path, item)| (path.replace("/projects/", "/groups/"), item.clone())).collect();
    paths.extend(of_groups);
    // https://docs.gitlab.com/api/users/#get-a-single-user
    paths.insert("/api/v4/users/{id}".into(), json!({ "get": { "responses": {} } }));
    // https://docs.gitlab.com/api/user_tokens/#create-a-personal-access-token
    let of_accounts = &paths["/api/v4/projects/{id}/service_accounts/{user_id}/personal_access_tokens"]["post"];
    let body = of_accounts["requestBody"].clone();
    let create = json!({ "post": { "requestBody": body, "responses": {} } });
    paths.insert("/api/v4/users/{user_id}/personal_access_tokens".into(), create);
    // https://docs.gitlab.com/api/discussions/#merge-requests
    let takes = |name: &str, kind: &str| {
        let schema = json!({ "type": "object", "properties": { name: { "type": kind } }, "required": [name] });
        json!({ "requestBody": { "content": { "application/json": { "schema": schema } } }, "responses": {} })
    };
    let threads = "/api/v4/projects/{id}/merge_requests/{merge_request_iid}/discussions";
    let get = json!({ "responses": {} });
    paths.insert(threads.into(), json!({ "get": get, "post": takes("body", "string") }));
    let one = json!({ "get": get, "put": takes("resolved", "boolean") });
    paths.insert(format!("{threads}/{{discussion_id}}"), one);
    paths.insert(format!("{threads}/{{discussion_id}}/notes"), json!({ "post": takes("body", "string") }));
    // https://docs.gitlab.com/api/merge_request_approvals/; the list has pages by ee/lib/api/project_approval_rules.rb
    let rules = "/api/v4/projects/{id}/approval_rules";
    let query = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "integer" } });
    paths[rules]["get"]["parameters"] = json!([query("page"), query("per_page")]);
    let mut change = json!({ "requestBody": paths[rules]["post"]["requestBody"], "responses": {} });
    change["requestBody"]["content"]["application/json"]["schema"]["required"] = json!([]);
    paths.insert(format!("{rules}/{{approval_rule_id}}"), json!({ "put": change, "delete": get }));
    // https://docs.gitlab.com/api/merge_request_approval_settings/
    let settings = "merge_request_approval_setting";
    paths.insert(format!("/api/v4/projects/{{id}}/{settings}"), json!({ "get": get }));
    let group = json!({ "put": takes("allow_committer_approval", "boolean") });
    paths.insert(format!("/api/v4/groups/{{id}}/{settings}"), group);
    // https://docs.gitlab.com/api/protected_environments/
    let list = json!({ "type": "array", "items": { "type": "object" } });
    let schema = json!({ "type": "object", "properties": { "deploy_access_levels": list, "approval_rules": list } });
    let change = json!({ "requestBody": { "content": { "application/json": { "schema": schema } } }, "responses": {} });
    let one = json!({ "get": get, "put": change, "delete": get });
    paths.insert("/api/v4/projects/{id}/protected_environments/{name}".into(), one);
    // lib/api/users.rb, optional_attributes
    let user = &mut paths["/api/v4/users"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    user["properties"]["note"] = json!({ "type": "string" });
    // lib/api/helpers/projects_helpers.rb and lib/api/entities/project.rb
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    for name in ["putApiV4ProjectsId", "API_Entities_ProjectWithAccess", "API_Entities_Project"] {
        schemas[name]["properties"]["protect_merge_request_pipelines"] = json!({ "type": "boolean" });
    }
}

/// How deep references within the description are followed; bodies are never nested deeper.
const DEEPEST: usize = 12;

/// GitLab's description of its API.
pub struct OpenApi {
    document: Value,
}

impl OpenApi {
    /// Reads the description; `None`, said aloud, when it is not there.
    pub fn load() -> Option<Self> {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let path = above.map(|dir| dir.join("shared/data/gitlab-openapi-merged.json")).find(|path| path.is_file());
        if !crate::support::satisfied("GitLab's OpenAPI description", path.is_some()) {
            return None;
        }
        let text = std::fs::read_to_string(path?).unwrap();
        let mut document = serde_json::from_str(&text).unwrap();
        complete(&mut document);
        Some(Self { document })
    }

    /// Everything that is wrong with the API calls among these requests, one line each.
    pub fn problems(&self, requests: &[LoggedRequest]) -> Vec<String> {
        requests
            .iter()
            // What is asked in GraphQL, the stand-in compares with GitLab's schema.
            .filter(|request| request.path.starts_with("/api/v4/"))
            .flat_map(|request| self.check(request))
            .collect()
    }

    /// Everything that is wrong with one call.
    pub fn check(&self, request: &LoggedRequest) -> Vec<String> {
        let name = format!("{} {}", request.method, request.path);
        let method = request.method.to_lowercase();
        let Some((template, item)) = self.path(&request.path, &method) else {
            return vec![format!("{name}: GitLab has no such call")];
        };
        let operation = &item[&method];
        let mut problems = self.check_query(&name, template, item, operation, request);
        let body = request.body.clone().unwrap_or(Value::Null);
        let schema = self.resolve(&operation["requestBody"]);
        let schema = &schema["content"]["application/json"]["schema"];
        match (schema.is_null(), body.is_null()) {
            (true, false) => problems.push(format!("{name}: takes no body")),
            (false, false) => problems.extend(self.check_body(&name, schema, &body)),
            (false, true) if self.resolve(schema)["required"].is_array() => {
                problems.push(format!("{name}: needs a body"));
            }
            _ => {}
        }
        problems
    }

    /// The names a call takes in its query and body; `None` when there is no such call.
    pub fn parameters(&self, method: &str, path: &str) -> Option<BTreeSet<String>> {
        let method = method.to_lowercase();
        let (template, item) = self.path(path, &method)?;
        let operation = &item[&method];
        let lists = [&item["parameters"], &operation["parameters"]];
        let query = lists.iter().filter_map(|list| list.as_array()).flatten().map(|parameter| self.resolve(parameter));
        let query = query.filter_map(|parameter| parameter["name"].as_str().map(str::to_owned));
        let body = self.resolve(&operation["requestBody"])["content"]["application/json"]["schema"].clone();
        let body = self.resolve(&body)["properties"].as_object().cloned().unwrap_or_default();
        let gaps = GAPS.iter().filter(|(of, at, ..)| of.to_lowercase() == method && *at == template);
        Some(query.chain(body.keys().cloned()).chain(gaps.map(|(_, _, name, _)| (*name).to_owned())).collect())
    }

    /// The names an answer's object, or each object of its list, can have; `None` when the description does not say.
    pub fn answer(&self, method: &str, path: &str, status: u16) -> Option<BTreeSet<String>> {
        let method = method.to_lowercase();
        let (_, item) = self.path(path, &method)?;
        let response = self.resolve(&item[&method]["responses"][status.to_string()]);
        let mut schema = self.resolve(&response["content"]["application/json"]["schema"]);
        if schema["type"] == "array" {
            schema = self.resolve(&schema["items"]);
        }
        Some(schema["properties"].as_object()?.keys().cloned().collect())
    }

    /// The description's path that a request's path is, the one with the most literal parts first.
    fn path(&self, path: &str, method: &str) -> Option<(&str, &Value)> {
        let parts: Vec<_> = path.split('/').collect();
        let paths = self.document["paths"].as_object()?;
        let fits = |template: &str| {
            let template: Vec<_> = template.split('/').collect();
            // A last `*name` stands for the rest of the path.
            let rest = usize::from(template.last().is_some_and(|last| last.starts_with('*')));
            let template = &template[..template.len() - rest];
            (template.len() == parts.len() || rest == 1 && template.len() < parts.len())
                && template.iter().zip(&parts).all(|(wanted, part)| {
                    wanted == part || (wanted.starts_with('{') && wanted.ends_with('}') && !part.is_empty())
                })
        };
        paths
            .iter()
            .filter(|(template, item)| fits(template) && !item[method].is_null())
            .min_by_key(|(template, _)| template.matches('{').count())
            .map(|(template, item)| (template.as_str(), item))
    }

    fn check_query(
        &self,
        name: &str,
        template: &str,
        item: &Value,
        operation: &Value,
        request: &LoggedRequest,
    ) -> Vec<String> {
        let declared = [&item["parameters"], &operation["parameters"]];
        let declared: Vec<Value> = declared
            .iter()
            .filter_map(|list| list.as_array())
            .flatten()
            .map(|parameter| self.resolve(parameter))
            .filter(|parameter| parameter["in"] == "query")
            // The description takes the rest of a path for a parameter of the query.
            .filter(|parameter| !template.ends_with(&format!("/*{}", parameter["name"].as_str().unwrap_or_default())))
            .collect();
        let known: BTreeSet<_> = declared.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
        let sent: BTreeSet<_> = request.query.iter().map(|(name, _)| name.trim_end_matches("[]")).collect();
        let gap = |sent: &str| {
            GAPS.iter().any(|(method, path, name, _)| *method == request.method && *path == template && *name == sent)
        };
        let unknown = sent.iter().filter(|sent| !known.contains(*sent) && !gap(sent));
        let mut problems: Vec<_> =
            unknown.map(|unknown| format!("{name}: unknown query parameter {unknown}")).collect();
        for parameter in declared.iter().filter(|parameter| parameter["required"] == true) {
            let wanted = parameter["name"].as_str().unwrap_or_default();
            if !sent.contains(wanted) {
                problems.push(format!("{name}: the query parameter {wanted} is missing"));
            }
        }
        problems
    }

    fn check_body(&self, name: &str, schema: &Value, body: &Value) -> Vec<String> {
        let schema = self.strict(schema, 0);
        let validator: Validator = jsonschema::validator_for(&schema).unwrap();
        validator
            .iter_errors(body)
            .map(|error| format!("{name}: {} at {:?}", error, error.instance_path().as_str()))
            .collect()
    }

    /// A node, with a reference followed.
    fn resolve(&self, node: &Value) -> Value {
        let mut node = node;
        for _ in 0..DEEPEST {
            let Some(reference) = node["$ref"].as_str() else { break };
            node = self.document.pointer(reference.trim_start_matches('#')).unwrap();
        }
        node.clone()
    }

    /// An `OpenAPI` 3.0 schema as a JSON Schema that refuses unknown keys wherever keys are listed.
    fn strict(&self, schema: &Value, depth: usize) -> Value {
        if depth > DEEPEST {
            return json!({});
        }
        let schema = self.resolve(schema);
        let mut strict = Map::new();
        for key in ["type", "enum", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"]
        {
            if !schema[key].is_null() {
                strict.insert(key.to_owned(), schema[key].clone());
            }
        }
        if let Some(properties) = schema["properties"].as_object() {
            let inner = properties.iter().map(|(name, schema)| (name.clone(), self.strict(schema, depth + 1)));
            strict.insert("properties".into(), Value::Object(inner.collect()));
            strict.insert("additionalProperties".into(), false.into());
        }
        if !schema["items"].is_null() {
            strict.insert("items".into(), self.strict(&schema["items"], depth + 1));
        }
        if schema["nullable"] == true && !schema["type"].is_null() {
            strict.insert("type".into(), json!([schema["type"], "null"]));
        }
        Value::Object(strict)
    }
}
