//! `infra/apps/NAME.json`: what the control repo knows of an application.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Request;
use super::error::AppError;

/// The first port that is given to an application; those below are left to what else runs on a host.
const FIRST_PORT: u16 = 8100;

/// GitLab's deployment tiers (<https://docs.gitlab.com/ci/environments/#deployment-tier-of-environments>).
const TIERS: [&str; 5] = ["production", "staging", "testing", "development", "other"];

/// The file's content, version 1: it has no number of its own, as the code that reads it stands beside it in the control repo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppEntry {
    /// One line about the application.
    #[serde(default)]
    pub(super) description: String,
    /// The branch that its releases are made from, if it is not the factory's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) default_branch: Option<String>,
    /// Where its releases go.
    pub(super) environments: BTreeMap<String, Deployment>,
}

/// An application in one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Deployment {
    /// GitLab's word for the environment.
    pub(super) tier: String,
    /// Where it listens, on 127.0.0.1 of the host.
    pub(super) port: u16,
    /// Whether everybody may open it from outside.
    pub(super) public: bool,
}

impl AppEntry {
    /// A new application's entry, with ports that are not `taken`: production's first, then the others'.
    pub(super) fn new(request: &Request<'_>, taken: &BTreeSet<u16>, branch: Option<&str>) -> Result<Self, AppError> {
        let names = &request.factory.environments.names;
        let mut free = (FIRST_PORT..=u16::MAX).filter(|port| !taken.contains(port));
        let mut environments = BTreeMap::new();
        for (index, name) in names.iter().enumerate().rev() {
            let port = free.next().ok_or(AppError::NoPort { from: FIRST_PORT })?;
            let tier = tier(name, index + 1 == names.len()).to_owned();
            // Whoever is not yet let into production need not see what comes before it.
            environments
                .insert(name.clone(), Deployment { tier, port, public: request.public && index + 1 == names.len() });
        }
        let default = &request.factory.gitlab.default_branch;
        let default_branch = branch.filter(|branch| branch != default).map(str::to_owned);
        let description = request.description.clone();
        let entry = Self { description, default_branch, environments };
        entry.check().map_err(|why| AppError::Entry { file: format!("infra/apps/{}.json", request.name), why })?;
        Ok(entry)
    }

    /// Reads the text of `file`.
    pub(super) fn parse(file: &str, text: &[u8]) -> Result<Self, AppError> {
        let wrong = |why: String| AppError::Entry { file: file.to_owned(), why };
        let entry: Self = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        entry.check().map_err(wrong)?;
        Ok(entry)
    }

    /// What `scripts/checks/data` of the control repo asks of an entry, and that its words are single ones or a line: they go into
    /// pipelines and texts, where a line end begins something else.
    fn check(&self) -> Result<(), String> {
        if self.description.chars().any(char::is_control) {
            return Err("description is more than one line of text".into());
        }
        let is_branch = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        if self.default_branch.as_ref().is_some_and(|name| name.is_empty() || !name.chars().all(is_branch)) {
            return Err("default_branch holds something other than letters, digits, / . _ and -".into());
        }
        for (name, place) in &self.environments {
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if name.is_empty() || !name.chars().all(is_plain) {
                return Err(format!("{name:?} is not a valid environment name"));
            }
            if !TIERS.contains(&place.tier.as_str()) {
                return Err(format!("{name}: {:?} is not a tier; the tiers are {}", place.tier, TIERS.join(", ")));
            }
            if place.port < 1024 {
                return Err(format!("{name}: the port {} is not in 1024 to 65535", place.port));
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_brings_no_line_of_its_own_into_a_pipeline() {
        let text = |description: &str, name: &str, tier: &str, port: u16| {
            let place = serde_json::json!({ "tier": tier, "port": port, "public": false });
            serde_json::json!({ "description": description, "environments": { name: place } }).to_string()
        };
        let parse = |text: String| AppEntry::parse("infra/apps/shop.json", text.as_bytes());
        assert!(parse(text("The web shop", "staging", "staging", 8100)).is_ok());
        for (wrong, word) in [
            (text("a\n\n# Orders", "staging", "staging", 8100), "one line"),
            (text("", "staging:\n  x", "staging", 8100), "environment"),
            (text("", "staging", "staging\n\nevil-job:\n  script: id", 8100), "not a tier"),
            (text("", "staging", "prod", 8100), "not a tier"),
            (text("", "staging", "staging", 22), "1024"),
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("shop.json"), "{error}");
        }
    }
}
