//! Manifests of other platforms: each holds what its owner once proved. First come, first kept.

use serde_json::Value;

use super::procfile::{bound, is_migration, split};
use super::source::{Said, Source, lines};
use super::worker::add;
use super::{Facts, backing, is_health_path};

/// YAML files of platforms, read line by line: nothing here needs more than `key: value`.
const YAML: [&str; 6] =
    ["render.yaml", "render.yml", ".do/app.yaml", ".do/deploy.template.yaml", "spec.yaml", "spec.yml"];
/// What the keys of those files mean.
const HEALTH: [&str; 2] = ["healthCheckPath", "http_path"];
const START: [&str; 3] = ["startCommand", "run_command", "dockerCommand"];
const MOUNT: [&str; 1] = ["mountPath"];
const OUTPUT: [&str; 2] = ["staticPublishPath", "output_dir"];
/// Variables that a platform or the factory sets itself.
pub(super) const SET: [&str; 10] = [
    "PORT",
    "HOST",
    "ADDRESS",
    "APP_DATA",
    "APP_ENVIRONMENT",
    "APP_VERSION",
    "NODE_ENV",
    "PATH",
    "HOME",
    "PYTHONUNBUFFERED",
];

pub(super) fn read(source: &Source, facts: &mut Facts) {
    fly(source, facts);
    for file in YAML {
        if let Some(text) = source.text(file) {
            yaml(file, text, facts);
        }
    }
    heroku(source, facts);
    railway(source, facts);
}

fn health(facts: &mut Facts, path: &str, origin: impl FnOnce() -> String) {
    if facts.health.is_none() && is_health_path(path) {
        facts.health = Some(Said::new(path, origin()));
    }
}

fn migrate(facts: &mut Facts, command: &str, origin: String) {
    if facts.migrate.is_none() && !command.trim().is_empty() {
        facts.migrate = Some(Said::new(facts.tool(command), origin));
    }
}

fn fly(source: &Source, facts: &mut Facts) {
    const FILE: &str = "fly.toml";
    let Some(config) = source.text(FILE).and_then(|text| text.parse::<toml::Table>().ok()) else { return };
    let service = config.get("http_service").and_then(toml::Value::as_table);
    let services = config.get("services").and_then(toml::Value::as_array).into_iter().flatten();
    let checks: Vec<&toml::Value> = service
        .into_iter()
        .flat_map(|service| ["checks", "http_checks"].into_iter().filter_map(|key| service.get(key)))
        .chain(services.clone().filter_map(|service| service.get("http_checks")))
        .chain(config.get("checks"))
        .collect();
    // A list of checks, or a table of them by name.
    let checks = checks.into_iter().flat_map(|checks| match checks {
        toml::Value::Array(all) => all.iter().collect::<Vec<_>>(),
        toml::Value::Table(all) => all.values().collect(),
        _ => Vec::new(),
    });
    for path in checks.filter_map(|check| check.get("path")?.as_str()) {
        health(facts, path, || source.place(FILE, path));
    }
    let port = service.and_then(|service| service.get("internal_port")).and_then(toml::Value::as_integer);
    let port = port.or_else(|| services.clone().find_map(|service| service.get("internal_port")?.as_integer()));
    if let Some(env) = config.get("env").and_then(toml::Value::as_table) {
        for (name, value) in env {
            let same =
                port.is_some_and(|port| value.as_str() == Some(&port.to_string()) || value.as_integer() == Some(port));
            if same && facts.port_variable.is_none() {
                facts.port_variable = Some(Said::new(name, source.place(FILE, name)));
            }
        }
    }
    let processes = config.get("processes").and_then(toml::Value::as_table);
    let command = processes.and_then(|all| all.get("app").or_else(|| all.get("web"))).and_then(toml::Value::as_str);
    if let Some(command) = command.filter(|command| !command.is_empty()) {
        start(facts, command, source.place(FILE, command));
    }
    // Groups of processes that no service names are reached by nobody.
    let reached: Vec<&str> = service
        .into_iter()
        .chain(services.filter_map(toml::Value::as_table))
        .filter_map(|service| service.get("processes")?.as_array())
        .flatten()
        .filter_map(toml::Value::as_str)
        .collect();
    for (name, command) in processes.into_iter().flatten() {
        if let Some(command) = command.as_str()
            && !["app", "web"].contains(&name.as_str())
            && !reached.contains(&name.as_str())
        {
            add(facts, name, command, source.place(FILE, command));
        }
    }
    let release = config.get("deploy").and_then(|deploy| deploy.get("release_command")?.as_str());
    if let Some(command) = release {
        migrate(facts, command, source.place(FILE, "release_command"));
    }
    let mounts = match config.get("mounts") {
        Some(toml::Value::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
        None => vec![],
    };
    let folders = mounts.into_iter().filter_map(|mount| mount.get("destination")?.as_str());
    facts.data.extend(folders.map(|folder| Said::new(folder, source.place(FILE, folder))));
}

/// The first command that serves is the one that counts.
fn start(facts: &mut Facts, command: &str, origin: String) {
    if facts.start.is_some() {
        return;
    }
    let (before, serves) = split(command);
    if let Some(before) = before {
        facts.before = Some(Said::new(facts.tool(before), &origin));
    }
    facts.start = Some(Said::new(bound(serves), origin));
}

/// An element of a list of services, workers or jobs.
#[derive(Debug, Default)]
struct Part {
    section: String,
    kind: String,
    name: String,
    command: Option<Said>,
}

impl Part {
    /// What its command is, which its other keys say.
    fn settle(self, facts: &mut Facts) {
        let Some(said) = self.command else { return };
        match (self.section.as_str(), self.kind.as_str()) {
            ("workers", _) | (_, "worker") => add(facts, &self.name, &said.value, said.origin),
            ("jobs", "PRE_DEPLOY") => migrate(facts, &said.value, said.origin),
            ("jobs", _) | (_, "cron") => {
                facts.notes.push(format!("{} is the command of a job, which releases do not run", said.origin));
            }
            _ => start(facts, &said.value, said.origin),
        }
    }
}

fn yaml(file: &str, text: &str, facts: &mut Facts) {
    let mut last_env: Option<Said> = None;
    let (mut section, mut part, mut element) = (String::new(), Part::default(), 0);
    for (number, line) in lines(text) {
        let depth = line.len() - line.trim_start().len();
        let begins = line.trim_start().starts_with("- ");
        if depth == 0 && !begins {
            line.split(':').next().unwrap_or_default().clone_into(&mut section);
            element = usize::MAX;
        }
        if begins && (element == usize::MAX || depth == element) {
            element = depth;
            std::mem::replace(&mut part, Part { section: section.clone(), ..Part::default() }).settle(facts);
        }
        let is_of_element = begins && depth == element || !begins && depth == element.saturating_add(2);
        // Render has no other databases.
        if section == "databases" && begins && file.starts_with("render") {
            backing::postgres(facts, format!("{file}, line {number}"));
        }
        let Some((key, value)) = line.trim().trim_start_matches("- ").split_once(':') else { continue };
        let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        let (key, origin) = (key.trim(), || format!("{file}, line {number}"));
        if HEALTH.contains(&key) {
            health(facts, value, origin);
        } else if START.contains(&key) && !value.is_empty() {
            part.command.get_or_insert_with(|| Said::new(value, origin()));
        } else if section == "databases" && key == "engine" && value == "PG" {
            backing::postgres(facts, origin());
        } else if section == "databases" && key == "engine" && ["REDIS", "VALKEY"].contains(&value) {
            backing::redis(facts, origin());
        } else if key == "preDeployCommand" {
            migrate(facts, value, origin());
        } else if is_of_element && ["type", "kind"].contains(&key) {
            value.clone_into(&mut part.kind);
            if ["redis", "keyvalue"].contains(&value) {
                backing::redis(facts, origin());
            }
        } else if is_of_element && key == "name" {
            value.clone_into(&mut part.name);
        } else if MOUNT.contains(&key) {
            facts.data.push(Said::new(value, origin()));
        } else if OUTPUT.contains(&key) {
            let folder = value.trim_start_matches("./").trim_end_matches('/');
            facts.output.get_or_insert_with(|| Said::new(folder, origin()));
        } else if key == "key" && !value.is_empty() {
            last_env = Some(Said::new(value, origin()));
        } else if ["value", "sync", "generateValue", "scope", "fromDatabase", "fromService", "type"].contains(&key)
            && let Some(name) = last_env.take()
            && !SET.contains(&name.value.as_str())
        {
            facts.env.push(name);
        }
    }
    part.settle(facts);
}

/// `app.json`: names of variables, and which are required. Dokku runs `predeploy` before each release. Heroku runs `postdeploy` once for
/// each application, but what it is there is often what a release needs.
fn heroku(source: &Source, facts: &mut Facts) {
    const FILE: &str = "app.json";
    let Some(config) = json(source, FILE) else { return };
    for (name, about) in config.get("env").and_then(Value::as_object).into_iter().flatten() {
        let optional =
            about.get("required") == Some(&Value::Bool(false)) || about.get("value").is_some() || about.is_string();
        if !optional && !SET.contains(&name.as_str()) {
            facts.env.push(Said::new(name, source.place(FILE, &format!("\"{name}\""))));
        }
    }
    for addon in config.get("addons").and_then(Value::as_array).into_iter().flatten() {
        let plan = addon.as_str().or_else(|| addon.get("plan")?.as_str()).unwrap_or_default();
        let (name, origin) = (plan.split(':').next().unwrap_or_default(), source.place(FILE, plan));
        match name {
            "heroku-postgresql" => backing::postgres(facts, origin),
            "heroku-redis" => backing::redis(facts, origin),
            "" => {}
            _ => backing::other(name, &origin, facts),
        }
    }
    let scripts = config.get("scripts");
    let before = scripts.and_then(|all| all.get("dokku")?.get("predeploy")?.as_str());
    let after = scripts.and_then(|all| all.get("postdeploy")?.as_str()).filter(|command| is_migration(command));
    if let Some(command) = before.or(after) {
        migrate(facts, command, source.place(FILE, if before.is_some() { "\"predeploy\"" } else { "\"postdeploy\"" }));
    }
}

fn railway(source: &Source, facts: &mut Facts) {
    let toml = || Some(("railway.toml", source.text("railway.toml")?.parse::<toml::Table>().ok()?));
    let (file, deploy) = match json(source, "railway.json") {
        Some(config) => ("railway.json", config.get("deploy").cloned()),
        None => match toml() {
            Some((file, config)) => (file, config.get("deploy").and_then(|deploy| serde_json::to_value(deploy).ok())),
            None => return,
        },
    };
    let Some(deploy) = deploy else { return };
    let text = |key: &str| deploy.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(path) = text("healthcheckPath") {
        health(facts, path, || source.place(file, "healthcheckPath"));
    }
    if let Some(command) = text("startCommand") {
        start(facts, command, source.place(file, "startCommand"));
    }
    let first = deploy.get("preDeployCommand");
    let first = first.and_then(|one| one.as_str().or_else(|| one.get(0)?.as_str()));
    if let Some(command) = first {
        migrate(facts, command, source.place(file, "preDeployCommand"));
    }
}

pub(super) fn json(source: &Source, file: &str) -> Option<Value> {
    serde_json::from_str(source.text(file)?).ok()
}
