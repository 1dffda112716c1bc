//! CI/CD variables: factoryup sets none, but reports each one that every branch can read.
//!
//! Source: <https://docs.gitlab.com/api/project_level_variables/>.

use serde::Deserialize;

use crate::dialog::plain;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;

#[derive(Debug, Deserialize)]
struct Listed {
    key: String,
    protected: bool,
    #[serde(default)]
    environment_scope: Option<String>,
}

impl Listed {
    /// Whether jobs of an environment get it. Source: <https://docs.gitlab.com/ci/environments/#limit-the-environment-scope-of-a-cicd-variable>.
    fn is_for(&self, key: &str, environment: &str) -> bool {
        let scope = self.environment_scope.as_deref().unwrap_or("*");
        self.key == key
            && match scope.split_once('*') {
                None => scope == environment,
                Some((start, end)) => environment.starts_with(start) && environment.ends_with(end),
            }
    }
}

/// Those of `wanted`, each a name with its environment, that jobs do not get from the project or a group that the owner may read.
pub(in crate::gitlab) fn missing(
    site: &Site<'_>,
    wanted: &[(&'static str, String)],
) -> GitlabResult<Vec<(&'static str, String)>> {
    let mut all: Vec<Listed> = site.owner.list(&Call::get("/projects/:id/variables", &[&site.id]))?;
    for group in groups(&site.desired.group) {
        match site.owner.list(&Call::get("/groups/:id/variables", &[&group])) {
            Err(error) if matches!(error.status(), Some(403 | 404)) => {}
            found => all.extend(found?),
        }
    }
    let lacks = |(key, environment): &&(&'static str, String)| !all.iter().any(|one| one.is_for(key, environment));
    Ok(wanted.iter().filter(lacks).cloned().collect())
}

/// What the owner should know of each variable that is not protected. It may be meant so.
pub(in crate::gitlab) fn notes(site: &Site<'_>) -> GitlabResult<Vec<String>> {
    let all: Vec<Listed> = site.owner.list(&Call::get("/projects/:id/variables", &[&site.id]))?;
    let open = all.iter().filter(|variable| !variable.protected).map(|variable| {
        let key = plain(&variable.key);
        format!("the CI/CD variable {key} is not protected: jobs of every branch can read it, including the agent's")
    });
    let mut notes: Vec<_> = open.collect();
    for group in groups(&site.desired.group) {
        notes.extend(inherited(site, group)?);
    }
    Ok(notes)
}

/// A group's path and those above it, the nearest first.
fn groups(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(parent, _)| parent))
}

/// What the project's jobs inherit from a group, as far as the owner may see it: only the group's Owners do.
/// Source: <https://docs.gitlab.com/api/group_level_variables/>.
fn inherited(site: &Site<'_>, group: &str) -> GitlabResult<Vec<String>> {
    let all: Vec<Listed> = match site.owner.list(&Call::get("/groups/:id/variables", &[&group])) {
        Err(error) if error.status() == Some(403) => {
            return Ok(vec![format!(
                "your account cannot read the CI/CD variables of the group {group}, which jobs of this project receive; ask an Owner to check them"
            )]);
        }
        // A personal namespace has none.
        Err(error) if error.status() == Some(404) => return Ok(Vec::new()),
        all => all?,
    };
    let open = all.iter().filter(|variable| !variable.protected).map(|variable| {
        let key = plain(&variable.key);
        format!("the CI/CD variable {key} of the group {group} is not protected: jobs of every branch can read it, including the agent's")
    });
    Ok(open.collect())
}
