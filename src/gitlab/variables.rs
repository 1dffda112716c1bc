//! The CI/CD variables that jobs get: which there are and whose they are, and what every branch can read.
//!
//! A variable is factoryup's if its description begins with a mark, which the owner takes away to keep a value of their own. Every other one is the
//! owner's and stays as it is, also where its scope covers more than the environment that needs it.
//!
//! Sources: <https://docs.gitlab.com/api/project_level_variables/>, <https://docs.gitlab.com/api/group_level_variables/>.

use serde::Deserialize;

use super::ci::Place;
use super::client::Client;
use super::error::GitlabResult;
use super::http::Call;
use super::resources::grant::covers;
use crate::dialog::plain;

/// How the description of a variable of factoryup's begins.
pub(super) const MARK: &str = "factoryup: ";
/// The call that lists those of a project, or makes one.
pub(super) const ALL: &str = "/projects/:id/variables";
const OF_GROUP: &str = "/groups/:id/variables";

/// One variable, without its value.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Variable {
    pub(super) key: String,
    protected: bool,
    #[serde(default)]
    masked: bool,
    #[serde(default)]
    environment_scope: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

impl Variable {
    /// Whether jobs of an environment get it. Source: <https://docs.gitlab.com/ci/environments/#limit-the-environment-scope-of-a-cicd-variable>.
    fn is_for(&self, place: &Place) -> bool {
        self.key == place.key && covers(self.scope(), &place.environment)
    }

    /// The environments whose jobs get it.
    pub(super) fn scope(&self) -> &str {
        self.environment_scope.as_deref().unwrap_or("*")
    }

    /// What factoryup noted about its value; none for a variable of the owner's.
    pub(super) fn mark(&self) -> Option<&str> {
        let rest = self.description.as_deref()?.strip_prefix(MARK)?;
        Some(rest.split(';').next().unwrap_or(rest))
    }

    /// Whether only jobs on protected refs get it, and their logs do not show it.
    pub(super) fn is_guarded(&self) -> bool {
        self.protected && self.masked
    }
}

/// Whose the value is that jobs of a place get.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder<'a> {
    /// There is none.
    Nobody,
    /// The owner's.
    Owner,
    /// One that factoryup made for just this place.
    Ours(&'a Variable),
}

/// All variables that jobs of the project get.
#[derive(Debug)]
pub(super) struct Variables {
    project: Vec<Variable>,
    /// Those of each group, the nearest first; none where the owner's account cannot read them.
    groups: Vec<(String, Option<Vec<Variable>>)>,
}

impl Variables {
    /// See [`Holder`].
    pub(super) fn holder(&self, place: &Place) -> Holder<'_> {
        let exact = self.project.iter().find(|one| one.key == place.key && one.scope() == place.environment);
        match exact.filter(|one| one.mark().is_some()) {
            Some(ours) => Holder::Ours(ours),
            None if self.is_set(place) => Holder::Owner,
            None => Holder::Nobody,
        }
    }

    fn is_set(&self, place: &Place) -> bool {
        let groups = self.groups.iter().filter_map(|(_, all)| all.as_ref()).flatten();
        self.project.iter().chain(groups).any(|one| one.is_for(place))
    }

    /// The nearest group whose variables the owner's account cannot read.
    pub(super) fn unread(&self) -> Option<&str> {
        self.groups.iter().find(|(_, all)| all.is_none()).map(|(group, _)| group.as_str())
    }

    /// Those of this name that factoryup made, for whatever environment.
    pub(super) fn ours<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Variable> {
        self.project.iter().filter(move |one| one.key == key && one.mark().is_some())
    }

    /// Those of `wanted` that jobs do not get from the project or a group that the owner may read.
    pub(super) fn missing(&self, wanted: Vec<Place>) -> Vec<Place> {
        wanted.into_iter().filter(|place| !self.is_set(place)).collect()
    }

    /// What the owner should know of each variable that is not protected. It may be meant so.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = open(&self.project, "").collect();
        for (group, variables) in &self.groups {
            match variables {
                Some(variables) => notes.extend(open(variables, &format!(" of the group {group}"))),
                None => notes.push(format!(
                    "your account cannot read the CI/CD variables of the group {group}, which jobs of this project receive; ask an Owner to check them"
                )),
            }
        }
        notes
    }
}

/// Reads all of a project and of the group that it is in.
pub(super) fn read(owner: &Client, project: u64, group: Option<&str>) -> GitlabResult<Variables> {
    let project = owner.list(&Call::get(ALL, &[&project]))?;
    let mut groups = Vec::new();
    for group in group.into_iter().flat_map(above) {
        match owner.list(&Call::get(OF_GROUP, &[&group])) {
            // Only a group's Owners may read them, and GitLab denies that a hidden group exists.
            Err(error) if matches!(error.status(), Some(403 | 404)) => groups.push((group.to_owned(), None)),
            all => groups.push((group.to_owned(), Some(all?))),
        }
    }
    Ok(Variables { project, groups })
}

fn open<'a>(all: &'a [Variable], whose: &'a str) -> impl Iterator<Item = String> + 'a {
    all.iter().filter(|variable| !variable.protected).map(move |variable| {
        let key = plain(&variable.key);
        format!(
            "the CI/CD variable {key}{whose} is not protected: jobs of every branch can read it, including the agent's"
        )
    })
}

/// A group's path and those above it, the nearest first.
fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(parent, _)| parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(scope: &str, description: Option<&str>) -> Variable {
        Variable {
            key: "REPORT_TOKEN".into(),
            protected: true,
            masked: true,
            environment_scope: Some(scope.into()),
            description: description.map(str::to_owned),
        }
    }

    #[test]
    fn a_variable_without_the_mark_is_the_owners_whatever_its_scope() {
        let place = Place::new("REPORT_TOKEN", "control-plane");
        let ours = format!("{MARK}token 17; it");
        for (scope, description, owners) in [
            ("control-plane", None, true),
            ("*", None, true),
            ("control-*", Some("mine"), true),
            ("con*ol-*", None, true),
            ("control-*-plane", None, false),
            ("production", None, false),
            ("control-plane", Some("factoryup"), true),
        ] {
            let all = Variables { project: vec![variable(scope, description)], groups: Vec::new() };
            assert_eq!(matches!(all.holder(&place), Holder::Owner), owners, "{scope} {description:?}");
            let all = Variables { project: Vec::new(), groups: vec![("g".into(), Some(all.project))] };
            assert_eq!(matches!(all.holder(&place), Holder::Owner), owners, "group: {scope} {description:?}");
        }
        let all =
            Variables { project: vec![variable("*", None), variable("control-plane", Some(&ours))], groups: vec![] };
        let Holder::Ours(found) = all.holder(&place) else { panic!("{all:?}") };
        assert_eq!(found.mark(), Some("token 17"));
        assert_eq!(all.ours("REPORT_TOKEN").count(), 1);
    }
}
