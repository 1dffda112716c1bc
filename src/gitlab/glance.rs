//! What GitLab shows of a project in one answer of its GraphQL API. The REST API takes a call for each kind of setting, for each runner and for
//! each group above the project.
//!
//! Writing is the REST API's. A part that the account may not see is an error, and never taken for an empty one.
//!
//! Source: <https://docs.gitlab.com/api/graphql/reference/>. Every field of the query is in 17.11 and later. Its complexity is some 150 of the 250
//! that GitLab allows: <https://docs.gitlab.com/api/graphql/#limits>.

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::json;

use super::client::Client;
use super::desired::Desired;
use super::error::GitlabResult;
use super::http::Call;
use super::resources::membership::Member;
use super::variables::Variable;
use crate::budget::Budget;
use crate::error::{Error, Kind};

const QUERY: &str = include_str!("glance.graphql");
/// The entries of a page, at most.
const PAGE: usize = 100;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Glance {
    /// Whether job tokens of other projects need a place on the allowlist.
    pub(super) is_job_token_limited: bool,
    /// The project's own runners.
    pub(super) runners: Vec<Runner>,
    /// A runner of the instance that takes the project's jobs with this tag, for each tag that was asked for.
    pub(super) of_instance: Vec<(String, Named)>,
    pub(super) environments: Vec<Environment>,
    /// Everyone with a role in the project, with the role that counts; nothing if they are more than a page.
    pub(super) members: Option<Vec<(u64, Member)>>,
    /// Who has a role in the project's group itself, if it was asked for; nothing if they are more than a page.
    pub(super) group_members: Option<Vec<(u64, Member)>>,
    /// The project's CI/CD variables.
    pub(super) variables: Vec<Variable>,
    /// Those that its jobs get from groups, each with the path of the group.
    pub(super) inherited: Vec<(String, Variable)>,
    /// The newest commit of the default branch, if there is one.
    pub(super) head: Option<String>,
}

/// A runner with its settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Runner {
    #[serde(deserialize_with = "number")]
    pub(super) id: u64,
    pub(super) description: Option<String>,
    pub(super) paused: bool,
    /// In GitLab's order.
    #[serde(default)]
    pub(super) tag_list: Vec<String>,
    pub(super) run_untagged: bool,
    pub(super) locked: Option<bool>,
    /// `NOT_PROTECTED` or `REF_PROTECTED`.
    pub(super) access_level: String,
    /// When it last spoke to GitLab. Its status will not do: after a week it is `STALE` either way.
    pub(super) contacted_at: Option<String>,
}

/// A runner, for people.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Named {
    #[serde(deserialize_with = "number")]
    pub(super) id: u64,
    pub(super) description: Option<String>,
    #[serde(default)]
    tag_list: Vec<String>,
}

/// An environment.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Environment {
    #[serde(deserialize_with = "number")]
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(deserialize_with = "lower")]
    pub(super) tier: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    project: Option<Project>,
    group: Option<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Project {
    ci_cd_settings: JobToken,
    runners: Connection<Runner>,
    of_instance: Connection<Named>,
    of_instance_plain: Connection<Named>,
    environments: Connection<Environment>,
    #[serde(rename = "projectMembers")]
    members: Connection<Membership>,
    ci_variables: Connection<OfProject>,
    inherited_ci_variables: Connection<OfGroup>,
    repository: Repository,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group_members: Connection<Membership>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection<T> {
    count: Option<usize>,
    nodes: Vec<Option<T>>,
    page_info: PageInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JobToken {
    inbound_job_token_scope_enabled: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Membership {
    access_level: Level,
    expires_at: Option<String>,
    /// None for an invitation.
    user: Option<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Level {
    integer_value: u8,
}

#[derive(Deserialize)]
struct User {
    #[serde(deserialize_with = "number")]
    id: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfProject {
    key: String,
    protected: Option<bool>,
    masked: Option<bool>,
    environment_scope: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfGroup {
    key: String,
    protected: Option<bool>,
    environment_scope: Option<String>,
    group_name: Option<String>,
    /// Newer versions show it to those who may change the group's variables.
    group_ci_cd_settings_path: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    tree: Option<Tree>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tree {
    last_commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    sha: String,
}

/// The number in a global id such as `gid://gitlab/User/42`.
fn number<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let id = String::deserialize(from)?;
    id.rsplit('/').next().and_then(|number| number.parse().ok()).ok_or_else(|| serde::de::Error::custom("no id"))
}

/// A word of an enumeration, as the REST API writes it.
fn lower<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|word| word.to_ascii_lowercase()))
}

impl From<OfProject> for Variable {
    fn from(node: OfProject) -> Self {
        Self {
            key: node.key,
            protected: node.protected == Some(true),
            masked: node.masked == Some(true),
            environment_scope: node.environment_scope,
            description: node.description,
        }
    }
}

impl OfGroup {
    /// The path of its group, else the group's name, and the variable.
    fn placed(self) -> (String, Variable) {
        let page = self.group_ci_cd_settings_path.unwrap_or_default();
        let path = page.split_once("/groups/").and_then(|(_, path)| path.split("/-/").next());
        let path = path.map_or_else(|| self.group_name.unwrap_or_default(), str::to_owned);
        let variable = OfProject {
            key: self.key,
            protected: self.protected,
            masked: None,
            environment_scope: self.environment_scope,
            description: None,
        };
        (path, variable.into())
    }
}

/// User and role. The day of the end is the first part, whether GitLab writes a day or a moment.
fn placed(node: Membership) -> Option<(u64, Member)> {
    let end = node.expires_at.and_then(|end| end.get(..10)?.parse::<Date>().ok());
    Some((node.user?.id, Member::new(node.access_level.integer_value, end)))
}

/// A list that is on one page.
fn one_page(page: Connection<Membership>) -> Option<Vec<(u64, Member)>> {
    (!page.page_info.has_next_page).then(|| page.nodes.into_iter().flatten().filter_map(placed).collect())
}

/// Where a list is read on.
#[derive(Default)]
struct Cursor(Option<String>);

impl Cursor {
    fn take<T, U>(&mut self, page: Connection<T>, to: &mut Vec<U>, each: impl Fn(T) -> Option<U>) -> bool {
        // After its end, a list has no cursor any more, and is empty.
        if page.page_info.end_cursor.is_some() {
            self.0 = page.page_info.end_cursor;
        }
        to.extend(page.nodes.into_iter().flatten().filter_map(each));
        page.page_info.has_next_page
    }
}

/// Reads it all, in as many answers as the longest list has pages. The members of the group are asked for only if they are needed: where a group
/// hides them, that question is an error.
pub(super) fn read(owner: &Client, desired: &Desired, project: &str, group: Option<&str>) -> GitlabResult<Glance> {
    // Where the instance's runners are used, the trusted one is the only one of the factory.
    let tags = desired.runners.last().map(|runner| runner.tags.as_slice()).unwrap_or_default();
    let tag = |at: usize| tags.get(at).cloned().unwrap_or_default();
    let mut meter = Budget::GITLAB.open();
    let mut found = Glance::default();
    let [mut runners, mut environments, mut variables, mut inherited, mut of_instance, mut plain]: [Cursor; 6] =
        Default::default();
    loop {
        let call = Call::graphql(
            QUERY,
            &json!({
                "project": project, "group": group.unwrap_or_default(), "inGroup": group.is_some(),
                "branch": desired.branch, "tag": tag(0), "plainTag": tag(1),
                "runners": runners.0, "ofInstance": of_instance.0, "ofInstancePlain": plain.0,
                "environments": environments.0, "variables": variables.0, "inherited": inherited.0,
            }),
        );
        let within = meter.left().and_then(|_| meter.count(PAGE));
        within.map_err(|limit| owner.too_much(&call, limit))?;
        let answer: Answer = owner.ask(&call)?;
        let Some(seen) = answer.project else { return Err(hidden(project).into()) };
        let all = seen.runners.count.unwrap_or_default();
        // GitLab looks for tags that contain this one.
        let with = |at: usize| {
            move |runner: Named| {
                let tag = tags.get(at).filter(|tag| runner.tag_list.contains(tag))?;
                Some((tag.clone(), runner))
            }
        };
        let (before, is_more) = (
            [&runners, &environments, &variables, &inherited, &of_instance, &plain].map(|cursor| cursor.0.clone()),
            [
                runners.take(seen.runners, &mut found.runners, Some),
                environments.take(seen.environments, &mut found.environments, Some),
                variables.take(seen.ci_variables, &mut found.variables, |node| Some(node.into())),
                inherited.take(seen.inherited_ci_variables, &mut found.inherited, |node| Some(node.placed())),
                of_instance.take(seen.of_instance, &mut found.of_instance, with(0)),
                plain.take(seen.of_instance_plain, &mut found.of_instance, with(1)),
            ],
        );
        found.members = one_page(seen.members);
        found.group_members = answer.group.and_then(|group| one_page(group.group_members));
        found.is_job_token_limited = seen.ci_cd_settings.inbound_job_token_scope_enabled;
        found.head = seen.repository.tree.and_then(|tree| tree.last_commit).map(|commit| commit.sha);
        if is_more.contains(&true) {
            let after = [&runners, &environments, &variables, &inherited, &of_instance, &plain];
            let is_stuck = is_more.iter().zip(before.iter().zip(after)).any(|(more, (was, is))| *more && *was == is.0);
            // The next page begins after the last entry that is shown, so one of hidden entries leads to itself, without end.
            if is_stuck {
                meter.count(usize::MAX).map_err(|limit| owner.too_much(&call, limit))?;
            }
        } else {
            return all_shown(project, all, found.runners.len()).map(|()| found);
        }
    }
}

/// GitLab counts each runner, and shows those that the account may see.
fn all_shown(project: &str, all: usize, shown: usize) -> GitlabResult<()> {
    if all <= shown {
        return Ok(());
    }
    let text =
        format!("{project} has {} runner(s) that your account cannot see, which could run its jobs", all - shown);
    Err(Error::new(Kind::NotPermitted, text)
        .hint("use a token of an Owner of the group, or of an administrator")
        .into())
}

fn hidden(project: &str) -> Error {
    Error::new(Kind::CutShort, format!("{project} was removed, or your account cannot see it any more"))
        .hint("review the current state: `factoryup plan gitlab`")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn list(nodes: &Value, end: Option<&str>) -> Value {
        json!({ "nodes": nodes, "pageInfo": { "hasNextPage": end.is_some(), "endCursor": end } })
    }

    #[test]
    fn what_is_not_shown_is_neither_there_nor_missing() {
        let nodes = json!([
            null,
            { "accessLevel": { "integerValue": 30 }, "expiresAt": "2026-12-01T00:00:00+02:00", "user": { "id": "gid://gitlab/User/7" } },
            { "accessLevel": { "integerValue": 40 }, "expiresAt": null, "user": null },
        ]);
        let (mut cursor, mut found) = (Cursor::default(), Vec::new());
        let page: Connection<Membership> = serde_json::from_value(list(&nodes, Some("x"))).unwrap();
        assert!(cursor.take(page, &mut found, placed));
        assert_eq!(found, [(7, Member::new(30, Some("2026-12-01".parse().unwrap())))]);
        // Of more than a page, GitLab is asked for single members.
        let page = |end| serde_json::from_value::<Connection<Membership>>(list(&nodes, end)).unwrap();
        assert_eq!(one_page(page(None)).map(|all| all.len()), Some(1));
        assert_eq!(one_page(page(Some("x"))), None);
        // The place where a list was read to its end is kept while others are read on.
        let end: Connection<Membership> = serde_json::from_value(list(&json!([]), None)).unwrap();
        assert!(!cursor.take(end, &mut found, placed));
        assert_eq!((cursor.0.as_deref(), found.len()), (Some("x"), 1));
        assert!(all_shown("a/b", 2, 2).is_ok());
        let error = Error::from(all_shown("a/b", 3, 2).unwrap_err());
        assert!(error.to_string().starts_with("a/b has 1 runner(s) that your account cannot see"), "{error}");
    }

    #[test]
    fn a_groups_path_is_in_the_path_of_its_settings() {
        let placed = |path: &str| {
            let node = json!({ "key": "A", "protected": null, "environmentScope": "*", "groupCiCdSettingsPath": path });
            serde_json::from_value::<OfGroup>(node).unwrap().placed()
        };
        for path in ["/groups/acme/lab/-/settings/ci_cd", "/gitlab/groups/acme/lab/-/settings/ci_cd"] {
            let (group, variable) = placed(path);
            assert_eq!((group.as_str(), variable.protected), ("acme/lab", false), "{path}");
        }
    }
}
