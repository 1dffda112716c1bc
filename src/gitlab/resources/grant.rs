//! The access levels of a protection rule, as GitLab lists them, and the names that a rule covers.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::dialog::plain;
use crate::gitlab::roles::{DEVELOPER, MAINTAINER, NO_ONE, role};

/// One line of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::gitlab) struct Grant {
    /// Its id; only the Enterprise Edition needs it.
    pub(super) id: Option<u64>,
    pub(super) access_level: Option<u8>,
    #[serde(default)]
    pub(super) user_id: Option<u64>,
    #[serde(default)]
    pub(super) group_id: Option<u64>,
    #[serde(default)]
    pub(super) deploy_key_id: Option<u64>,
    access_level_description: Option<String>,
}

impl Grant {
    /// Whether it is this level and names nobody.
    fn is_level(&self, level: u8) -> bool {
        self.access_level == Some(level)
            && self.user_id.is_none()
            && self.group_id.is_none()
            && self.deploy_key_id.is_none()
    }

    /// Whether it lets the agent in: by the role Developer, or by name.
    fn admits(&self, agent: Option<u64>) -> bool {
        let by_role = self.user_id.is_none()
            && self.group_id.is_none()
            && self.deploy_key_id.is_none()
            && self.access_level.is_some_and(|level| level != NO_ONE && level < MAINTAINER && level <= DEVELOPER);
        by_role || (self.user_id.is_some() && self.user_id == agent)
    }

    fn words(&self) -> String {
        match (self.user_id, self.group_id, self.deploy_key_id, self.access_level) {
            (None, None, None, Some(level)) => role(level).to_owned(),
            (user, group, key, _) => {
                let kind = if user.is_some() {
                    "user"
                } else if group.is_some() {
                    "group"
                } else if key.is_some() {
                    "deploy key"
                } else {
                    "unknown"
                };
                format!("{kind} {}", plain(self.access_level_description.as_deref().unwrap_or_default()))
            }
        }
    }
}

/// Adds to the body of a new rule what lets the same in as before: `push`, `merge`, `unprotect` or `create`. One level works on every tier.
pub(super) fn grant_again(body: &mut Value, what: &str, grants: &[Grant]) {
    if let [grant] = grants
        && grant.access_level.is_some_and(|level| grant.is_level(level))
    {
        body[format!("{what}_access_level")] = json!(grant.access_level);
        return;
    }
    body[format!("allowed_to_{what}")] = grants_again(grants).into();
}

/// Grants as the body of a call lists them.
pub(super) fn grants_again(grants: &[Grant]) -> Vec<Value> {
    let one = |grant: &Grant| match (grant.user_id, grant.group_id, grant.deploy_key_id) {
        (Some(user), ..) => json!({ "user_id": user }),
        (_, Some(group), _) => json!({ "group_id": group }),
        (_, _, Some(key)) => json!({ "deploy_key_id": key }),
        _ => json!({ "access_level": grant.access_level }),
    };
    grants.iter().map(one).collect()
}

/// Whether the grants are exactly this level.
pub(super) fn are_exactly(grants: &[Grant], level: u8) -> bool {
    !grants.is_empty() && grants.iter().all(|grant| grant.is_level(level))
}

/// Whether anybody is let in.
pub(super) fn admit_anyone(grants: &[Grant]) -> bool {
    grants.iter().any(|grant| !grant.is_level(NO_ONE))
}

/// Whom several rules let in together: GitLab asks each rule that covers a ref, and one that admits is enough. "No one" is what is left if none
/// admits anybody. Source: `protected_ref_accessible_to?` in `app/models/concerns/protected_ref.rb`.
pub(super) fn together<'a>(rules: impl Iterator<Item = &'a [Grant]>) -> Vec<Grant> {
    let (none, some): (Vec<_>, Vec<_>) = rules.flatten().cloned().partition(|grant| grant.is_level(NO_ONE));
    if some.is_empty() { none } else { some }
}

/// Whether one of the grants lets the agent in.
pub(super) fn admit_agent(grants: &[Grant], agent: Option<u64>) -> bool {
    grants.iter().any(|grant| grant.admits(agent))
}

/// The grants in words.
pub(super) fn words(grants: &[Grant]) -> String {
    if grants.is_empty() {
        return "no one".into();
    }
    grants.iter().map(Grant::words).collect::<Vec<_>>().join(", ")
}

/// Whether a rule's name covers a ref; `*` stands for any characters.
/// Source: <https://docs.gitlab.com/user/project/repository/branches/protected/#use-wildcard-rules>.
pub(in crate::gitlab) fn covers(rule: &str, name: &str) -> bool {
    let Some((first, rest)) = rule.split_once('*') else { return rule == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(level: u8) -> Grant {
        Grant {
            id: None,
            access_level: Some(level),
            user_id: None,
            group_id: None,
            deploy_key_id: None,
            access_level_description: None,
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (rule, name, expected) in [
            ("main", "main", true),
            ("main", "mainly", false),
            ("main*", "main", true),
            ("*", "main", true),
            ("m*n", "main", true),
            ("m*n", "mains", false),
            ("*-*-x", "a-b-x", true),
            ("*-*-x", "a-x", false),
            ("v**", "v1", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(covers(rule, name), expected, "{rule} {name}");
        }
    }

    #[test]
    fn nobody_is_nobody_and_the_agent_is_a_developer() {
        assert!(are_exactly(&[level(0)], NO_ONE));
        assert!(!are_exactly(&[level(0), level(40)], NO_ONE));
        assert!(!are_exactly(&[], NO_ONE));
        assert!(!admit_anyone(&[level(0)]));
        assert!(admit_agent(&[level(40), level(30)], None));
        assert!(!admit_agent(&[level(40), level(0)], None));
        let agent = Grant { user_id: Some(7), access_level: Some(40), ..level(40) };
        assert!(admit_agent(std::slice::from_ref(&agent), Some(7)));
        assert!(!admit_agent(&[agent], Some(8)));
    }
}
