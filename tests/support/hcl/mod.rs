//! What is wrong with infrastructure code, found without an engine: every attribute and block of resources, data sources, providers
//! and modules against the providers' schemas (`terraform/providers.json`) and the modules' variables, and every reference against
//! what is declared.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Block, Body};
use hcl_edit::visit::Visit;
use serde_json::{Map, Value, json};

mod references;

use references::References;

/// Arguments that the language itself gives to resources, data sources and modules.
const META: [&str; 4] = ["count", "for_each", "provider", "depends_on"];
const META_BLOCKS: [&str; 3] = ["lifecycle", "provisioner", "connection"];

type Facts = Map<String, Value>;

/// Schemas of the providers, by kind (`resource`, `data`) and type.
pub struct Schemas {
    types: BTreeMap<(String, String), Facts>,
    providers: BTreeMap<String, Facts>,
}

impl Schemas {
    /// Those of `terraform/providers.json`.
    pub fn vendored() -> Self {
        let all: Value = serde_json::from_str(include_str!("../terraform/providers.json")).unwrap();
        let (mut types, mut providers) = (BTreeMap::new(), BTreeMap::new());
        for (address, provider) in all["providers"].as_object().unwrap() {
            let name = address.rsplit('/').next().unwrap();
            providers.insert(name.to_owned(), provider["provider"].as_object().unwrap().clone());
            for kind in ["resource", "data"] {
                for (name, facts) in provider[kind].as_object().unwrap() {
                    types.insert((kind.to_owned(), name.clone()), facts.as_object().unwrap().clone());
                }
            }
        }
        Self { types, providers }
    }
}

/// One folder of code: a root or a module.
struct Folder {
    bodies: Vec<(String, Body)>,
    /// Variables, and whether each has to be given.
    variables: BTreeMap<String, bool>,
    outputs: BTreeSet<String>,
    /// What can be referred to: `local.NAME`, `module.NAME`, `TYPE.NAME`, `data.TYPE.NAME`.
    declared: BTreeSet<String>,
    /// The folder that a module call names.
    calls: BTreeMap<String, String>,
}

/// Everything that is wrong in the files below `infra/`, as `FILE: what`.
pub fn faults<'a>(files: impl Iterator<Item = (&'a str, &'a str)>, schemas: &Schemas) -> Vec<String> {
    let mut faults = Vec::new();
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    let mut values: Vec<(String, String, Body)> = Vec::new();
    for (path, text) in files {
        let (folder, name) = path.rsplit_once('/').unwrap();
        let code = [".tf", ".tofu"].iter().any(|end| name.ends_with(end));
        if !code && !name.ends_with(".tfvars") && !name.ends_with(".tftest.hcl") {
            continue;
        }
        let body: Body = match text.parse() {
            Ok(body) => body,
            Err(error) => {
                faults.push(format!("{path}: {error}"));
                continue;
            }
        };
        if code {
            folders.entry(folder.to_owned()).or_insert_with(Folder::empty).add(path, body);
        } else {
            // Tests lie in a folder of their own, below the module that they test.
            let of = folder.strip_suffix("/tests").unwrap_or(folder);
            values.push((of.to_owned(), path.to_owned(), body));
        }
    }
    for (path, folder) in &folders {
        for (file, body) in &folder.bodies {
            let mut found = Vec::new();
            for block in body.blocks() {
                top_level(block, path, folder, &folders, schemas, &mut found);
            }
            let mut references =
                References { folder, folders: &folders, schemas, found: &mut found, scopes: Vec::new() };
            references.visit_body(body);
            faults.extend(found.into_iter().map(|fault| format!("{file}: {fault}")));
        }
    }
    for (of, file, body) in &values {
        let Some(folder) = folders.get(of) else { continue };
        let filled = values.iter().any(|(other, path, _)| other == of && path.ends_with(".tfvars"));
        given(file, body, folder, filled, &mut faults);
    }
    faults
}

impl Folder {
    fn empty() -> Self {
        let (variables, calls) = (BTreeMap::new(), BTreeMap::new());
        Self { bodies: Vec::new(), variables, outputs: BTreeSet::new(), declared: BTreeSet::new(), calls }
    }

    fn add(&mut self, path: &str, body: Body) {
        for block in body.blocks() {
            let labels: Vec<&str> = block.labels.iter().map(hcl_edit::structure::BlockLabel::as_str).collect();
            match (block.ident.as_str(), labels.as_slice()) {
                ("variable", [name]) => {
                    self.variables.insert((*name).to_owned(), !block.body.has_attribute("default"));
                }
                ("output", [name]) => {
                    self.outputs.insert((*name).to_owned());
                }
                ("locals", []) => {
                    self.declared.extend(block.body.attributes().map(|a| format!("local.{}", a.key.as_str())));
                }
                ("resource", [kind, name]) => {
                    self.declared.insert(format!("{kind}.{name}"));
                }
                ("data", [kind, name]) => {
                    self.declared.insert(format!("data.{kind}.{name}"));
                }
                ("module", [name]) => {
                    self.declared.insert(format!("module.{name}"));
                    let source = block.body.get_attribute("source").and_then(|a| a.value.as_str()).unwrap_or_default();
                    self.calls.insert((*name).to_owned(), source.to_owned());
                }
                _ => {}
            }
        }
        self.bodies.push((path.to_owned(), body));
    }
}

fn top_level(
    block: &Block,
    path: &str,
    folder: &Folder,
    folders: &BTreeMap<String, Folder>,
    schemas: &Schemas,
    found: &mut Vec<String>,
) {
    let labels: Vec<&str> = block.labels.iter().map(hcl_edit::structure::BlockLabel::as_str).collect();
    match (block.ident.as_str(), labels.as_slice()) {
        (kind @ ("resource" | "data"), [of, name]) => match schemas.types.get(&(kind.to_owned(), (*of).to_owned())) {
            Some(facts) => body(&format!("{kind} {of}.{name}"), &block.body, facts, true, found),
            None => found.push(format!("no provider has the {kind} {of}")),
        },
        ("provider", [name]) => match schemas.providers.get(*name) {
            Some(facts) => body(&format!("provider {name}"), &block.body, facts, true, found),
            None => found.push(format!("there is no provider {name}")),
        },
        ("module", [name]) => {
            let target = join(path, &folder.calls[*name]);
            let Some(module) = folders.get(&target) else {
                found.push(format!("module {name}: there is no folder {target}"));
                return;
            };
            let facts: Facts = module
                .variables
                .iter()
                .map(|(name, required)| {
                    let mode = if *required { "required" } else { "optional" };
                    (name.clone(), json!({"mode": mode, "type": "dynamic"}))
                })
                .chain(
                    ["source", "version", "providers"]
                        .map(|name| (name.to_owned(), json!({"mode": "optional", "type": "dynamic"}))),
                )
                .collect();
            body(&format!("module {name}"), &block.body, &facts, true, found);
        }
        ("variable" | "output" | "terraform" | "locals" | "check" | "moved" | "removed" | "import", _) => {}
        (other, _) => found.push(format!("the language has no block {other}")),
    }
}

/// The body of a block against the facts about it.
fn body(at: &str, body: &Body, facts: &Facts, outermost: bool, found: &mut Vec<String>) {
    for attribute in body.attributes() {
        let name = attribute.key.as_str();
        if outermost && META.contains(&name) {
            continue;
        }
        match facts.get(name) {
            None => found.push(format!("{at} has no attribute {name}")),
            Some(fact) if is_block(fact) => found.push(format!("{at}: {name} is a block, not an attribute")),
            Some(fact) => value(&format!("{at}: {name}"), &attribute.value, fact, found),
        }
    }
    for block in body.blocks() {
        let dynamic = block.ident.as_str() == "dynamic" && !block.labels.is_empty();
        let name = if dynamic { block.labels[0].as_str() } else { block.ident.as_str() };
        if outermost && META_BLOCKS.contains(&name) {
            continue;
        }
        match facts.get(name) {
            None => found.push(format!("{at} has no block {name}")),
            Some(fact) if !is_block(fact) => found.push(format!("{at}: {name} is an attribute, not a block")),
            Some(fact) => {
                let content =
                    if dynamic { block.body.get_blocks("content").next().map(|b| &b.body) } else { Some(&block.body) };
                let inner = fact["attributes"].as_object().cloned().unwrap_or_default();
                if let Some(content) = content {
                    self::body(&format!("{at}: {name}"), content, &inner, false, found);
                }
            }
        }
    }
    let has = |name: &str| body.has_attribute(name) || body.has_blocks(name);
    missing(at, facts, &has, found);
}

fn missing(at: &str, facts: &Facts, has: &dyn Fn(&str) -> bool, found: &mut Vec<String>) {
    for (name, fact) in facts {
        if fact["mode"].as_str().is_some_and(|mode| mode.split('+').any(|m| m == "required")) && !has(name) {
            found.push(format!("{at} lacks {name}"));
        }
    }
}

/// A value against the fact about its attribute: whether it may be set, listed words, kinds of literals, and what is nested.
fn value(at: &str, value: &Expression, fact: &Value, found: &mut Vec<String>) {
    if fact["mode"] == "computed" {
        found.push(format!("{at} is computed and cannot be set"));
    }
    if let (Some(given), Some(listed)) = (value.as_str(), fact["one_of"].as_array())
        && !listed.iter().any(|word| word.as_str() == Some(given))
    {
        found.push(format!("{at} is {given:?}, which is not one of its values"));
    }
    let kind = fact["type"].as_str().unwrap_or_default();
    let of_kind = match kind.split('(').next().unwrap_or_default() {
        "string" => !(value.is_array() || value.is_object()),
        "number" => !(value.is_array() || value.is_object() || value.is_bool()),
        "bool" => !(value.is_array() || value.is_object() || value.is_number()),
        "list" | "set" => !(value.is_object() || value.is_str() || value.is_number() || value.is_bool()),
        "object" | "map" => !(value.is_array() || value.is_str() || value.is_number() || value.is_bool()),
        _ => true,
    };
    if !of_kind {
        found.push(format!("{at} has to be of the type {kind}"));
    }
    let Some(inner) = fact["attributes"].as_object() else { return };
    let map = kind.starts_with("map");
    for object in objects(value) {
        let names: Vec<(String, &Expression)> = object.iter().filter_map(|(k, v)| Some((key(k)?, v.expr()))).collect();
        if map {
            // Its keys are free; what lies below them is not.
            let below = json!({"type": "object", "mode": fact["mode"], "attributes": inner});
            for (name, given) in &names {
                self::value(&format!("{at}.{name}"), given, &below, found);
            }
            continue;
        }
        for (name, given) in &names {
            match inner.get(name) {
                None => found.push(format!("{at} has no attribute {name}")),
                Some(fact) => self::value(&format!("{at}.{name}"), given, fact, found),
            }
        }
        missing(at, inner, &|name| names.iter().any(|(given, _)| given == name), found);
    }
}

/// The objects that are written out in a value, in lists, branches and comprehensions too.
fn objects(value: &Expression) -> Vec<&hcl_edit::expr::Object> {
    match value {
        Expression::Object(object) => vec![object],
        Expression::Array(items) => items.iter().flat_map(objects).collect(),
        Expression::Parenthesis(inner) => objects(inner.inner()),
        Expression::Conditional(both) => [&both.true_expr, &both.false_expr].into_iter().flat_map(objects).collect(),
        Expression::ForExpr(each) if each.key_expr.is_none() => objects(&each.value_expr),
        Expression::FuncCall(call) if call.name.name.as_str() == "concat" => {
            call.args.iter().flat_map(objects).collect()
        }
        _ => Vec::new(),
    }
}

fn key(key: &ObjectKey) -> Option<String> {
    match key {
        ObjectKey::Ident(name) => Some(name.as_str().to_owned()),
        ObjectKey::Expression(expression) => expression.as_str().map(str::to_owned),
    }
}

fn is_block(fact: &Value) -> bool {
    fact["type"].as_str().is_some_and(|kind| kind.starts_with("block("))
}

/// Values of a `.tfvars` file or of a test: each for a variable that is there; a `.tfvars` file gives all that have to be given,
/// save the passphrase, which comes from outside. A test gives them where its folder has no such file: it is not `filled`.
fn given(file: &str, body: &Body, folder: &Folder, filled: bool, faults: &mut Vec<String>) {
    let tfvars = file.ends_with(".tfvars");
    let runs = body.get_blocks("run").flat_map(|run| run.body.get_blocks("variables"));
    let blocks = body.get_blocks("variables").chain(runs).map(|block| &block.body);
    let bodies: Vec<&Body> = if tfvars { vec![body] } else { blocks.collect() };
    let names: BTreeSet<&str> = bodies.iter().flat_map(|b| b.attributes()).map(|a| a.key.as_str()).collect();
    for name in names.iter().filter(|name| !folder.variables.contains_key(**name)) {
        faults.push(format!("{file}: there is no variable {name}"));
    }
    if filled && !tfvars {
        return;
    }
    for (name, _) in folder.variables.iter().filter(|(name, required)| **required && *name != "state_passphrase") {
        if !names.contains(name.as_str()) {
            faults.push(format!("{file}: the variable {name} is not given"));
        }
    }
}

fn join(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}
