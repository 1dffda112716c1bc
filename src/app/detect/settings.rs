//! `environment` and `env_file` of a Compose file: what of them is in the image, what the owner sets, and what the host gives.

use std::collections::BTreeMap;

use super::backing::Kind;
use super::compose::at;
use super::interpolate::{self, expand};
use super::service::Fault;
use super::source::{Said, Source, is_line};
use super::yaml::Node;

/// What every program of a release is told.
pub(super) const TOLD: [&str; 7] = ["PORT", "HOST", "ADDRESS", "HOME", "APP_DATA", "APP_ENVIRONMENT", "APP_VERSION"];
/// Words in names of settings whose values are secrets.
const SECRET: [&str; 6] = ["PASSWORD", "SECRET", "TOKEN", "KEY", "PASS", "CREDENTIALS"];

/// The settings of all services of an application, which a release has in common.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Names that lead to the services of the file, and what the host has of these.
    pub(super) hosts: Vec<(String, Option<Kind>)>,
    /// Options of `.factory/image`: values that are no secrets.
    pub(super) set: Vec<String>,
    /// What the owner has to set.
    pub(super) needed: Vec<Said>,
    /// The variable that has the port.
    pub(super) port: Option<Said>,
    pub(super) faults: Vec<Fault>,
    pub(super) notes: Vec<String>,
    known: BTreeMap<String, (String, String)>,
    has_port: bool,
}

/// A setting of a service; one whose value is open comes from the environment of the user.
#[derive(Debug)]
struct Setting {
    name: String,
    value: Option<String>,
    place: String,
}

impl Settings {
    pub(super) fn read(&mut self, file: &str, source: &Source, service: &Node, variables: &BTreeMap<String, String>) {
        // What a service has is settled first: `environment` overrides `env_file`, and a later file an earlier one.
        let mut all: Vec<Setting> = Vec::new();
        let mut set = |setting: Setting| {
            all.retain(|other| other.name != setting.name);
            all.push(setting);
        };
        let files = service.get("env_file");
        for node in files.into_iter().chain(files.map_or(&[][..], Node::items)) {
            let Some(path) = node.text().or_else(|| node.get("path")?.text()) else { continue };
            let path = path.trim_start_matches("./");
            let Some(text) = source.text(path) else {
                self.notes.push(format!(
                    "{} reads {path}: what that has belongs into the application's settings",
                    at(file, node)
                ));
                continue;
            };
            for (number, name, value, is_literal) in interpolate::pairs(text) {
                let (filled, is_open) = expand(value, variables, false);
                let value = if is_literal { Some(value.to_owned()) } else { Some(filled).filter(|_| !is_open) };
                set(Setting { name: name.to_owned(), value, place: format!("{path}, line {number}") });
            }
        }
        for (name, value, node) in pairs(service.get("environment")) {
            set(Setting { name, value, place: at(file, node) });
        }
        for setting in all {
            self.one(setting);
        }
    }

    fn one(&mut self, Setting { name, value, place }: Setting) {
        let mut fault = |why: String, remedy: &str| self.faults.push(Fault { why, remedy: remedy.to_owned() });
        let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !is_name || name.is_empty() {
            return fault(format!("{place}: {name} is no name of a variable"), "rename it to letters, digits and _");
        }
        self.has_port |= name == "PORT";
        let text = value.as_deref().unwrap_or_default();
        let host = self.hosts.iter().find(|(host, _)| leads_to(&name, text, host));
        let kind = host.and_then(|(_, kind)| *kind);
        let has_postgres = self.hosts.iter().any(|(_, kind)| *kind == Some(Kind::Postgres));
        let is_given = has_postgres
            && ["PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"].contains(&name.as_str())
            || kind == Some(Kind::Postgres) && name == "DATABASE_URL"
            || kind == Some(Kind::Redis) && name == "REDIS_URL";
        // Of all that a release is told, an image may override this one.
        if TOLD.contains(&name.as_str()) && name != "HOME" || is_given {
            let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
            if is_given && scheme.contains('+') {
                self.notes.push(format!(
                    "{place} has {scheme}:// in {name}, and the host gives {name} without what follows the +"
                ));
            }
            return;
        }
        if let Some((host, kind)) = host {
            let remedy = match kind {
                Some(Kind::Postgres) => {
                    "let the program read DATABASE_URL, or PGHOST, PGUSER and PGDATABASE, which the host gives"
                }
                Some(Kind::Redis) => "let the program read REDIS_URL, which the host gives",
                None => "let the program work without the other service, or delete the line",
            };
            return fault(format!("{place}: {name} has the address of {host}, which is no name on a host"), remedy);
        }
        let Some(text) = value else { return self.needed.push(Said::new(name, place)) };
        if is_secret(&name, &text) {
            self.notes.push(format!(
                "{place} has a value of {name} that all readers of the repo know: set another one in the settings"
            ));
            return self.needed.push(Said::new(name, place));
        }
        if !text.trim().is_empty() && !is_line(&text) {
            return fault(
                format!("{place}: {name} has more than one line"),
                "put it into the application's settings, and leave its value out here",
            );
        }
        match self.known.get(&name) {
            Some((known, other)) if *known != text => fault(
                format!("{place}: {name} is {text}, and in {other} {known}"),
                "give all services of the image the same settings",
            ),
            Some(_) => {}
            None => {
                self.set.push(format!("--env={name}={text}"));
                self.known.insert(name, (text, place));
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

/// Whether a value must not be in an image.
fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let lower = value.to_ascii_lowercase();
    let in_url = value.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.split_once(':').is_some_and(|(_, word)| !word.is_empty()))
    });
    let is_named = name.split('_').any(|part| SECRET.contains(&part));
    !value.is_empty() && (is_named || in_url || lower.contains("password=") || lower.contains("pwd="))
}

/// Whether a value is, or has, the address of this host: `host` alone in a variable for one, `host:1`, `x://host`, `x://y@host/`, `host=host`.
fn leads_to(name: &str, value: &str, host: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_address = ["HOST", "ADDR", "SERVER", "URL", "URI", "BROKER"].iter().any(|word| name.contains(word));
    value.match_indices(host).any(|(at, _)| {
        let (before, after) = (&value[..at], &value[at + host.len()..]);
        let begins = before.is_empty() || ["//", "@", ",", "(", "host="].iter().any(|end| before.ends_with(end));
        let is_port = after.starts_with(':') && !after.starts_with("://");
        let ends = is_port
            || !before.is_empty() && (after.is_empty() || after.starts_with(['/', ',', ')', ' ', ';', '&', '?']));
        begins && (ends || is_address && value == host)
    })
}

/// The entries of a map, or of a list of `NAME=VALUE` and `NAME`. One without a value, or with an open one, comes from the shell of the user.
pub(super) fn pairs(node: Option<&Node>) -> Vec<(String, Option<String>, &Node)> {
    let Some(node) = node else { return Vec::new() };
    let listed = node.items().iter().filter_map(|item| {
        let text = item.written()?;
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value.to_owned())));
        Some((name.to_owned(), value.filter(|_| !item.is_open()), item))
    });
    let mapped = node.entries().iter().map(|(name, value)| (name.clone(), value.text().map(str::to_owned), value));
    listed.chain(mapped).collect()
}
