//! Who may do what: effective roles, protected refs, and what both mean for pushing, merging and running.
//!
//! Sources: <https://docs.gitlab.com/user/permissions/>,
//! <https://docs.gitlab.com/user/project/repository/branches/protected/>,
//! <https://docs.gitlab.com/ci/pipelines/#pipeline-security-on-protected-branches>.

use crate::auth::today;
use crate::model::{ADMIN, DEVELOPER, Grant, Grantee, MAINTAINER, Member, Project, ProtectedBranch, ProtectedTag};
use crate::state::State;

/// A user's rights on one project, so that questions can be asked of it without the whole state.
#[derive(Clone)]
pub(crate) struct Actor {
    pub(crate) user: u64,
    /// The effective role, 0 to 60.
    pub(crate) role: u8,
    /// The groups the user is in, for rules that name a group.
    groups: Vec<u64>,
}

impl Actor {
    /// Whether one of the grants covers this user. Level 0 covers no one, not even an administrator.
    fn covered(&self, grants: &[Grant]) -> bool {
        grants.iter().any(|grant| match grant.who {
            Grantee::Level(0) => false,
            Grantee::Level(level) => self.role >= level,
            Grantee::User(user) => user == self.user,
            Grantee::Group(group) => self.groups.contains(&group) && self.role >= DEVELOPER,
        })
    }

    /// Whether the user may push to the branch. Of several matching rules the most permissive wins.
    pub(crate) fn may_push(&self, project: &Project, branch: &str) -> bool {
        self.covers_branch(project, branch, |rule| self.covered(&rule.push))
    }

    /// Whether the user may make the first branch of an empty repository: no rule of the project is asked, but who may administer it, and
    /// the default protection of branches for Developers.
    /// Source: `protected_ref_accessible_to?` in `app/models/protected_branch.rb`.
    pub(crate) fn may_push_first(&self, protection: u8) -> bool {
        self.role >= MAINTAINER || self.role >= DEVELOPER && matches!(protection, 0 | 1 | 4)
    }

    /// Whether the user may merge into the branch: by the right to merge, or by the right to push.
    pub(crate) fn may_merge(&self, project: &Project, branch: &str) -> bool {
        self.covers_branch(project, branch, |rule| self.covered(&rule.merge) || self.covered(&rule.push))
    }

    fn covers_branch(&self, project: &Project, branch: &str, allows: impl Fn(&ProtectedBranch) -> bool) -> bool {
        let mut rules = project.protected_branches.iter().filter(|rule| matches(&rule.name, branch)).peekable();
        self.role >= DEVELOPER && (rules.peek().is_none() || rules.any(allows))
    }

    /// Whether the user may create the tag.
    pub(crate) fn may_tag(&self, project: &Project, tag: &str) -> bool {
        let mut rules = project.protected_tags.iter().filter(|rule| matches(&rule.name, tag)).peekable();
        self.role >= DEVELOPER && (rules.peek().is_none() || rules.any(|rule| self.covers_tag_rule(rule)))
    }

    /// Whether the user may push to a branch that just this rule protects.
    pub(crate) fn covers_push_rule(&self, rule: &ProtectedBranch) -> bool {
        self.covered(&rule.push)
    }

    /// Whether the user may create a tag that just this rule protects.
    pub(crate) fn covers_tag_rule(&self, rule: &ProtectedTag) -> bool {
        self.covered(&rule.create)
    }

    /// Whether the user may deploy to an environment: to a protected one those that its rule lets in.
    /// Source: `ee/app/policies/ee/environment_policy.rb`.
    pub(crate) fn may_deploy(&self, project: &Project, environment: &str) -> bool {
        let mut rules = project.premium.environments.iter().filter(|rule| rule.name == environment);
        self.role >= DEVELOPER && rules.all(|rule| self.covered(&rule.deploy))
    }

    /// Whether the user may start pipelines and manual jobs on the ref: on protected refs only who may merge, push or tag.
    pub(crate) fn may_run(&self, project: &Project, reference: &str, tag: bool) -> bool {
        if tag { self.may_tag(project, reference) } else { self.may_merge(project, reference) }
    }
}

/// Whether a branch is protected by any rule.
pub(crate) fn is_protected(project: &Project, branch: &str) -> bool {
    project.protected_branches.iter().any(|rule| matches(&rule.name, branch))
}

/// Whether a protection rule's name, in which `*` stands for any characters, covers a ref's short name.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(found) = last.replace(part) {
            match rest.find(found) {
                Some(at) => rest = &rest[at + found.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.len() >= last.len() && rest.ends_with(last))
}

/// The level of a membership that has not ended, else 0.
fn level(member: Option<&Member>) -> u8 {
    let today = today().to_string();
    member.filter(|m| m.expires_at.as_ref().is_none_or(|end| *end > today)).map_or(0, |member| member.level)
}

impl State {
    /// A user's role in a group: the highest of its own and its parents' memberships.
    pub(crate) fn group_role(&self, user: u64, group: u64) -> u8 {
        if self.users.get(&user).is_some_and(|user| user.admin) {
            return ADMIN;
        }
        self.lineage(group).map(|group| level(group.members.get(&user))).max().unwrap_or(0)
    }

    /// A user's effective role in a project: the higher of its own membership and the group's.
    pub(crate) fn role(&self, user: u64, project: &Project) -> u8 {
        self.group_role(user, project.namespace).max(level(project.members.get(&user)))
    }

    /// A user's rights on a project.
    pub(crate) fn actor(&self, user: u64, project: &Project) -> Actor {
        let groups = self.namespaces.values().filter(|group| level(group.members.get(&user)) > 0).map(|group| group.id);
        Actor { user, role: self.role(user, project), groups: groups.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_characters_even_slashes() {
        for (pattern, name, expected) in [
            ("main", "main", true),
            ("main", "mainly", false),
            ("v*", "v1.0", true),
            ("v*", "v", true),
            ("v*", "av1", false),
            ("release/*", "release/1/hotfix", true),
            ("*-stable", "1-2-stable", true),
            ("*-stable", "stable", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
