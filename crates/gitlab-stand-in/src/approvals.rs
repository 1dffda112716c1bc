//! Approvals of merge requests under a license: which rules hold for one, who counts for each, and whether it is approved.
//!
//! An approver that may not approve is left out of a rule: the author and, if the project says so, the committers that
//! the commits name. **A rule that names fewer approvers than it needs is approved by itself**; one that takes any approver is not.
//! Sources: `ee/app/models/approval_state.rb`, `approval_wrapped_rule.rb` and its siblings for any approver and code owners, and
//! <https://docs.gitlab.com/user/project/merge_requests/approvals/rules/>.

use serde_json::{Map, Value, json};

use crate::access::matches;
use crate::code_owners;
use crate::model::{ApprovalRule, DEVELOPER, MergeRequest, Project};
use crate::reply::Refusal;
use crate::state::{Settings, State};

/// A rule, as it holds for one merge request.
pub(crate) struct Held {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// `regular`, `any_approver` or `code_owner`.
    pub(crate) kind: String,
    pub(crate) required: u64,
    /// Who counts.
    pub(crate) approvers: Vec<u64>,
    /// Who of them approved.
    pub(crate) approved_by: Vec<u64>,
    pub(crate) section: Option<String>,
}

impl Held {
    pub(crate) fn is_approved(&self) -> bool {
        let required = usize::try_from(self.required).unwrap_or(usize::MAX);
        let is_invalid = self.kind != "any_approver" && required > self.approvers.len();
        self.approved_by.len() >= required || is_invalid
    }
}

/// The project's approval settings, with GitLab's defaults. What a group locks counts, whatever the project has.
pub(crate) fn settings(state: &State, project: &Project) -> Map<String, Value> {
    let defaults = SETTINGS.iter().map(|name| ((*name).to_owned(), Value::Bool(*name == RESET)));
    let mut all: Map<_, _> = defaults.collect();
    all.extend(project.premium.approvals.clone());
    if are_committers_locked_out(state, project) {
        all.insert(COMMITTERS.to_owned(), true.into());
    }
    all
}

/// Whether a group keeps committers from approving. GitLab lets groups lock each setting in its stricter way; here it is this one.
/// Source: `ee/app/models/concerns/compute_merge_request_approval_settings.rb`.
pub(crate) fn are_committers_locked_out(state: &State, project: &Project) -> bool {
    state.limit(project.namespace, ALLOW_COMMITTERS) == Some(&Value::Bool(false))
}

fn is_on(state: &State, project: &Project, name: &str) -> bool {
    settings(state, project).get(name) == Some(&Value::Bool(true))
}

/// Whether a push takes the approvals of a merge request away.
pub(crate) fn are_reset(state: &State, project: &Project) -> bool {
    is_on(state, project, RESET)
}

/// Who may not approve this request.
pub(crate) fn excluded(
    state: &State,
    settings: &Settings,
    project: &Project,
    request: &MergeRequest,
) -> Result<Vec<u64>, Refusal> {
    let mut out = Vec::new();
    if !is_on(state, project, "merge_requests_author_approval") {
        out.push(request.author);
    }
    if is_on(state, project, COMMITTERS) {
        let range = format!("refs/heads/{}..refs/heads/{}", request.target_branch, request.source_branch);
        let emails = settings.git.run(&project.repository, &["log", "--format=%ce", &range], b"")?;
        let emails = String::from_utf8_lossy(&emails).into_owned();
        out.extend(state.users.values().filter(|user| emails.lines().any(|e| e == user.email)).map(|user| user.id));
    }
    Ok(out)
}

/// Every rule for the request.
pub(crate) fn rules(
    state: &State,
    settings: &Settings,
    project: &Project,
    request: &MergeRequest,
) -> Result<Vec<Held>, Refusal> {
    let excluded = excluded(state, settings, project, request)?;
    let may = |user: &u64| !excluded.contains(user) && state.role(*user, project) >= DEVELOPER;
    let hold = |id: u64, name: &str, kind: &str, required: u64, mut approvers: Vec<u64>, section: Option<String>| {
        approvers.retain(may);
        approvers.sort_unstable();
        approvers.dedup();
        let approved = request.approvers();
        let approved_by = approved.filter(|user| kind == "any_approver" || approvers.contains(user)).collect();
        Held { id, name: name.to_owned(), kind: kind.to_owned(), required, approvers, approved_by, section }
    };
    let mut all: Vec<_> = project
        .premium
        .approval_rules
        .iter()
        .filter(|rule| rule.branches.is_empty() || covers(project, rule, &request.target_branch))
        .map(|rule| hold(rule.id, &rule.name, &rule.kind, rule.required, eligible(state, rule), None))
        .collect();
    let target = &request.target_branch;
    let needs_owners =
        project.protected_branches.iter().any(|r| r.code_owner_approval_required && matches(&r.name, target));
    let range = format!("refs/heads/{target}...refs/heads/{}", request.source_branch);
    let changed = settings.git.run(&project.repository, &["diff", "--name-only", &range], b"");
    let changed = changed.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let changed: Vec<_> = changed.lines().map(str::to_owned).collect();
    let owners = code_owners::of(&settings.git, &project.repository, &format!("refs/heads/{target}"), &changed);
    for (at, entry) in owners.into_iter().enumerate() {
        let users = entry.users(state, project);
        let number = request.id * 1000 + u64::try_from(at).unwrap_or_default();
        let section = Some(entry.section.clone());
        let mut rule = hold(number, &entry.pattern, "code_owner", 0, users, section);
        rule.required = u64::from(needs_owners && !entry.optional && !rule.approvers.is_empty());
        all.push(rule);
    }
    Ok(all)
}

fn covers(project: &Project, rule: &ApprovalRule, target: &str) -> bool {
    project.protected_branches.iter().any(|branch| rule.branches.contains(&branch.id) && matches(&branch.name, target))
}

/// Whom a rule of the project names: its users, and the direct members of its groups.
pub(crate) fn eligible(state: &State, rule: &ApprovalRule) -> Vec<u64> {
    let of_groups = rule.groups.iter().filter_map(|id| state.namespaces.get(id)).flat_map(|group| group.members.keys());
    let mut all: Vec<_> = rule.users.iter().chain(of_groups).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// A rule of the project as the API shows it, with what turns users into JSON.
pub(crate) fn rule_json(state: &State, rule: &ApprovalRule, user: &dyn Fn(u64) -> Value) -> Value {
    let users = |ids: &[u64]| ids.iter().map(|id| user(*id)).collect::<Vec<_>>();
    json!({
        "id": rule.id,
        "name": rule.name,
        "rule_type": rule.kind,
        "report_type": null,
        "eligible_approvers": users(&eligible(state, rule)),
        "approvals_required": rule.required,
        "users": users(&rule.users),
        "groups": rule.groups.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
        "contains_hidden_groups": false,
        "protected_branches": rule.branches.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>(),
        "applies_to_all_protected_branches": false,
    })
}

const COMMITTERS: &str = "merge_requests_disable_committers_approval";
/// The same setting of a group, the other way round.
pub(crate) const ALLOW_COMMITTERS: &str = "allow_committer_approval";
/// Then a token alone approves nothing.
pub(crate) const REAUTHENTICATE: &str = "require_reauthentication_to_approve";
const RESET: &str = "reset_approvals_on_push";

/// The names of the settings.
pub(crate) const SETTINGS: &[&str] = &[
    "disable_overriding_approvers_per_merge_request",
    "merge_requests_author_approval",
    COMMITTERS,
    RESET,
    "selective_code_owner_removals",
    REAUTHENTICATE,
];
