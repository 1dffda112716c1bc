//! Manifests of other platforms: each holds what its owner once proved. First come, first kept.

use serde_json::Value;

use super::procfile::{bound, split};
use super::source::{Said, Source, lines};
use super::{Facts, is_health_path};

/// YAML files of platforms, read line by line: nothing here needs more than `key: value`.
const YAML: [&str; 6] =
    ["render.yaml", "render.yml", ".do/app.yaml", ".do/deploy.template.yaml", "spec.yaml", "spec.yml"];
/// What the keys of those files mean.
const HEALTH: [&str; 2] = ["healthCheckPath", "http_path"];
const START: [&str; 2] = ["startCommand", "run_command"];
const MOUNT: [&str; 1] = ["mountPath"];
const OUTPUT: [&str; 2] = ["staticPublishPath", "output_dir"];
/// Variables that a platform or the factory sets itself.
pub(super) const SET: [&str; 9] =
    ["PORT", "HOST", "ADDRESS", "APP_ENVIRONMENT", "APP_VERSION", "NODE_ENV", "PATH", "HOME", "PYTHONUNBUFFERED"];

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
    let mounts = match config.get("mounts") {
        Some(toml::Value::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
        None => vec![],
    };
    let folders = mounts.into_iter().filter_map(|mount| mount.get("destination")?.as_str());
    facts.data.extend(folders.map(|folder| Said::new(folder, source.place(FILE, folder))));
}

/// The first command that serves is the one that counts. What such a line runs before it is only noted.
fn start(facts: &mut Facts, command: &str, origin: String) {
    if facts.start.is_some() {
        return;
    }
    let (before, serves) = split(command);
    if let Some(before) = before.filter(|text| super::is_line(text)) {
        facts.notes.push(format!("{origin} runs this before each start; releases do not: {before}"));
    }
    facts.start = Some(Said::new(bound(serves), origin));
}

fn yaml(file: &str, text: &str, facts: &mut Facts) {
    let mut last_env: Option<Said> = None;
    for (number, line) in lines(text) {
        let Some((key, value)) = line.trim().trim_start_matches("- ").split_once(':') else { continue };
        let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        let (key, origin) = (key.trim(), || format!("{file}, line {number}"));
        if HEALTH.contains(&key) {
            health(facts, value, origin);
        } else if START.contains(&key) && !value.is_empty() {
            start(facts, value, origin());
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
}

/// `app.json`: names of variables, and which are required.
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
}

pub(super) fn json(source: &Source, file: &str) -> Option<Value> {
    serde_json::from_str(source.text(file)?).ok()
}
