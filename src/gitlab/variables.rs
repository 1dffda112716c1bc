//! The CI/CD variables that jobs get: which there are and whose they are, and what every branch can read.
//!
//! A variable is factoryup's if its description begins with a mark, which the owner takes away to keep a value of their own. Every other one is the
//! owner's and stays as it is, also where its scope covers more than the environment that needs it.
//!
//! Sources: <https://docs.gitlab.com/api/project_level_variables/>, <https://docs.gitlab.com/api/group_level_variables/>.

use std::rc::Rc;

use super::ci::Place;
use super::glance::Glance;
use super::resources::grant::covers;
use crate::dialog::plain;

/// How the description of a variable of factoryup's begins.
pub(super) const MARK: &str = "factoryup: ";

/// One variable, without its value.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) key: String,
    pub(super) protected: bool,
    pub(super) masked: bool,
    pub(super) environment_scope: Option<String>,
    pub(super) description: Option<String>,
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
pub(super) struct Variables(pub(super) Rc<Glance>);

impl Variables {
    /// See [`Holder`].
    pub(super) fn holder(&self, place: &Place) -> Holder<'_> {
        let exact = self.0.variables.iter().find(|one| one.key == place.key && one.scope() == place.environment);
        match exact.filter(|one| one.mark().is_some()) {
            Some(ours) => Holder::Ours(ours),
            None if self.is_set(place) => Holder::Owner,
            None => Holder::Nobody,
        }
    }

    fn is_set(&self, place: &Place) -> bool {
        self.0.variables.iter().chain(self.0.inherited.iter().map(|(_, one)| one)).any(|one| one.is_for(place))
    }

    /// Those of this name that factoryup made, for whatever environment.
    pub(super) fn ours<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Variable> {
        self.0.variables.iter().filter(move |one| one.key == key && one.mark().is_some())
    }

    /// Those of `wanted` that jobs do not get from the project or a group.
    pub(super) fn missing(&self, wanted: Vec<Place>) -> Vec<Place> {
        wanted.into_iter().filter(|place| !self.is_set(place)).collect()
    }

    /// What the owner should know of each variable that is not protected. It may be meant so.
    pub(super) fn notes(&self) -> Vec<String> {
        let own = self.0.variables.iter().map(|one| (String::new(), one));
        let groups = self.0.inherited.iter().map(|(group, one)| (format!(" of the group {}", plain(group)), one));
        own.chain(groups)
            .filter(|(_, one)| !one.protected)
            .map(|(whose, one)| {
                let key = plain(&one.key);
                format!(
                    "the CI/CD variable {key}{whose} is not protected: jobs of every branch can read it, including the agent's"
                )
            })
            .collect()
    }
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

    fn seen(variables: Vec<Variable>, inherited: Vec<(String, Variable)>) -> Variables {
        Variables(Rc::new(Glance { variables, inherited, ..Glance::default() }))
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
            let all = seen(vec![variable(scope, description)], vec![]);
            assert_eq!(matches!(all.holder(&place), Holder::Owner), owners, "{scope} {description:?}");
            let all = seen(vec![], vec![("g".into(), variable(scope, description))]);
            assert_eq!(matches!(all.holder(&place), Holder::Owner), owners, "group: {scope} {description:?}");
        }
        let all = seen(vec![variable("*", None), variable("control-plane", Some(&ours))], vec![]);
        let Holder::Ours(found) = all.holder(&place) else { panic!("{all:?}") };
        assert_eq!(found.mark(), Some("token 17"));
        assert_eq!(all.ours("REPORT_TOKEN").count(), 1);
    }
}
