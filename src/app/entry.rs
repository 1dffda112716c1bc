//! `infra/apps/NAME.json`: what the control repo knows of an application.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Request;
use super::error::AppError;

/// The first port that is given to an application; those below are left to what else runs on a host.
pub(super) const FIRST_PORT: u16 = 8100;

/// The file's content, version 1: it has no number of its own, as the code that reads it stands beside it in the control repo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// One line about the application.
    #[serde(default)]
    pub(super) description: String,
    /// Where its releases go.
    pub(super) environments: BTreeMap<String, Place>,
}

/// An application in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// GitLab's word for the environment.
    pub(super) tier: String,
    /// Where it listens, on 127.0.0.1 of the host.
    pub(super) port: u16,
    /// Whether everybody may open it from outside.
    pub(super) public: bool,
}

impl Entry {
    /// A new application's entry, with ports that are not `taken`: production's first, then the others'.
    pub(super) fn new(request: &Request<'_>, taken: &BTreeSet<u16>) -> Result<Self, AppError> {
        let names = &request.factory.environments.names;
        let mut free = (FIRST_PORT..=u16::MAX).filter(|port| !taken.contains(port));
        let mut environments = BTreeMap::new();
        for (index, name) in names.iter().enumerate().rev() {
            let port = free.next().ok_or(AppError::NoPort)?;
            let tier = tier(name, index + 1 == names.len()).to_owned();
            // Whoever is not yet let into production need not see what comes before it.
            environments.insert(name.clone(), Place { tier, port, public: request.public && index + 1 == names.len() });
        }
        Ok(Self { description: request.description.clone(), environments })
    }

    /// Reads the text of `file`.
    pub(super) fn parse(file: &str, text: &[u8]) -> Result<Self, AppError> {
        serde_json::from_slice(text).map_err(|e| AppError::Entry { file: file.to_owned(), why: e.to_string() })
    }

    /// As the file holds it.
    pub(super) fn to_text(&self) -> String {
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        format!("{json}\n")
    }

    /// Environment and port, in this order of environments.
    pub(super) fn ports(&self, order: &[String]) -> Vec<(String, u16)> {
        order.iter().filter_map(|name| Some((name.clone(), self.environments.get(name)?.port))).collect()
    }
}

/// GitLab's deployment tier of an environment.
pub(super) fn tier(name: &str, last: bool) -> &'static str {
    match name {
        _ if last => "production",
        "staging" => "staging",
        "test" | "testing" => "testing",
        "dev" | "development" => "development",
        _ => "other",
    }
}
