//! `environment` and `env_file` of a Compose file: what of them is in the image, what the owner sets, and what the host gives.

use std::collections::BTreeMap;

use super::Facts;
use super::compose::at;
use super::service::Fault;
use super::source::{Said, Source, is_line, lines};
use super::yaml::Node;

/// What every program of a release is told.
const TOLD: [&str; 7] = ["PORT", "HOST", "ADDRESS", "HOME", "APP_DATA", "APP_ENVIRONMENT", "APP_VERSION"];
/// Words in names of settings whose values are secrets.
const SECRET: [&str; 6] = ["PASSWORD", "SECRET", "TOKEN", "KEY", "PASS", "CREDENTIALS"];

/// The settings of all services of an application, which a release has in common.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Names of the services that are Postgres or Redis.
    pub(super) postgres: Vec<String>,
    pub(super) redis: Vec<String>,
    /// Options of `.factory/image`: values that are no secrets.
    pub(super) set: Vec<String>,
    /// What the owner has to set.
    pub(super) needed: Vec<Said>,
    /// The variable that has the port.
    pub(super) port: Option<Said>,
    known: BTreeMap<String, (String, String)>,
    has_port: bool,
}

impl Settings {
    pub(super) fn read(
        &mut self,
        file: &str,
        source: &Source,
        service: &Node,
        hosts: &[&str],
        facts: &mut Facts,
        faults: &mut Vec<Fault>,
    ) {
        let files = service.get("env_file");
        for node in files.into_iter().chain(files.map_or(&[][..], Node::items)) {
            let Some(path) = node.text().or_else(|| node.get("path")?.text()) else { continue };
            let path = path.trim_start_matches("./");
            match source.text(path) {
                None => facts.notes.push(format!(
                    "{} reads {path}: what that has belongs into the application's settings",
                    at(file, node)
                )),
                Some(text) => {
                    for (number, line) in lines(text) {
                        let Some((name, value)) = line.trim_start().trim_start_matches("export ").split_once('=')
                        else {
                            continue;
                        };
                        let value = value.trim_matches(['"', '\'']);
                        self.one(name.trim(), Some(value), &format!("{path}, line {number}"), hosts, facts, faults);
                    }
                }
            }
        }
        for (name, value, node) in pairs(service.get("environment")) {
            self.one(&name, value.as_deref(), &at(file, node), hosts, facts, faults);
        }
    }

    fn one(
        &mut self,
        name: &str,
        value: Option<&str>,
        place: &str,
        hosts: &[&str],
        facts: &mut Facts,
        faults: &mut Vec<Fault>,
    ) {
        let mut fault = |why: String, remedy: &str| faults.push(Fault { why, remedy: remedy.to_owned() });
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !is_name || name.is_empty() {
            return fault(format!("{place}: {name} is no name of a variable"), "rename it to letters, digits and _");
        }
        self.has_port |= name == "PORT";
        let is_postgres = self.postgres.iter().any(|host| leads_to(name, value.unwrap_or_default(), host));
        let is_redis = self.redis.iter().any(|host| leads_to(name, value.unwrap_or_default(), host));
        let is_given = !self.postgres.is_empty()
            && ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"].contains(&name)
            || is_postgres && name == "DATABASE_URL"
            || is_redis && name == "REDIS_URL";
        if TOLD.contains(&name) || is_given {
            let scheme = value.and_then(|value| value.split_once("://")).map_or("", |(scheme, _)| scheme);
            if is_given && scheme.contains('+') {
                facts.notes.push(format!(
                    "{place} has {scheme}:// in {name}, and the host gives {name} without what follows the +"
                ));
            }
            return;
        }
        if let Some(host) = hosts.iter().find(|host| leads_to(name, value.unwrap_or_default(), host)) {
            let remedy = match (is_postgres, is_redis) {
                (true, _) => {
                    "let the program read DATABASE_URL, or PGHOST, PGUSER and PGDATABASE, which the host gives"
                }
                (_, true) => "let the program read REDIS_URL, which the host gives",
                _ => "let the program work without the other service, or delete the line",
            };
            return fault(format!("{place}: {name} has the address of {host}, which is no name on a host"), remedy);
        }
        let (text, is_open) = value.map_or((String::new(), true), filled);
        if is_open {
            self.needed.push(Said::new(name, place));
        } else if !text.is_empty() && name.split('_').any(|part| SECRET.contains(&part)) {
            self.needed.push(Said::new(name, place));
            facts.notes.push(format!(
                "{place} has a value of {name} that all readers of the repo know: set another one in the settings"
            ));
        } else if !text.is_empty() && !is_line(&text) {
            fault(
                format!("{place}: {name} has more than one line"),
                "put it into the application's settings, and leave its value out here",
            );
        } else {
            match self.known.get(name) {
                Some((known, other)) if *known != text => {
                    fault(
                        format!("{place}: {name} is {text}, and in {other} {known}"),
                        "give all services of the image the same settings",
                    );
                }
                Some(_) => {}
                None => {
                    self.set.push(format!("--env={name}={text}"));
                    self.known.insert(name.to_owned(), (text, place.to_owned()));
                }
            }
        }
    }

    /// Whether a variable has the port, which then is no setting.
    pub(super) fn take_port(&mut self, port: &str) -> bool {
        let found = self.known.iter().find(|(name, (value, _))| name.ends_with("PORT") && value == port);
        if let Some((name, (_, place))) = found {
            self.port = Some(Said::new(name, place));
            let option = format!("--env={name}={port}");
            self.set.retain(|other| *other != option);
        }
        self.has_port || self.port.is_some()
    }
}

/// Whether a value is, or has, the address of this host: `host` alone in a variable for one, `host:1`, `x://host`, `x://y@host/`.
fn leads_to(name: &str, value: &str, host: &str) -> bool {
    let is_address = ["HOST", "ADDR", "SERVER", "URL", "URI", "BROKER"].iter().any(|word| name.contains(word));
    value.match_indices(host).any(|(at, _)| {
        let (before, after) = (&value[..at], &value[at + host.len()..]);
        let begins = before.is_empty() || before.ends_with("//") || before.ends_with(['@', ',']);
        let ends = after.starts_with(':') || !before.is_empty() && (after.is_empty() || after.starts_with(['/', ',']));
        begins && (ends || is_address && value == host)
    })
}

/// The entries of a map, or of a list of `NAME=VALUE` and `NAME`.
pub(super) fn pairs(node: Option<&Node>) -> Vec<(String, Option<String>, &Node)> {
    let Some(node) = node else { return Vec::new() };
    let listed = node.items().iter().filter_map(|item| {
        let text = item.text()?;
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        Some((name.to_owned(), value, item))
    });
    // A name without a value comes from the shell of the user.
    let mapped = node
        .entries()
        .iter()
        .map(|(name, value)| (name.clone(), value.text().filter(|text| !text.is_empty()).map(str::to_owned), value));
    listed.chain(mapped).collect()
}

/// A text with the defaults of its variables in their places, and whether one has none: `${NAME:-default}`, `${NAME}`, `$NAME`, `$$`.
pub(super) fn filled(text: &str) -> (String, bool) {
    let (mut out, mut is_open, mut rest) = (String::new(), false, text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((inner, after)) = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            let name = inner.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            match inner[name..].trim_start_matches(':').strip_prefix('-') {
                Some(default) => out.push_str(default),
                None => is_open = true,
            }
            rest = after;
        } else {
            let name = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            is_open |= name > 0;
            rest = &rest[name..];
        }
    }
    out.push_str(rest);
    (out, is_open)
}
