//! The things the stand-in remembers. Plain data; the rules about them live in `access` and in the routes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, Value};

/// Guest, the lowest role that sees a private project.
pub(crate) const GUEST: u8 = 10;
/// Reporter: may read the code.
pub(crate) const REPORTER: u8 = 20;
/// Developer: may push to what is not protected.
pub(crate) const DEVELOPER: u8 = 30;
/// Maintainer: may change protection, variables and runners.
pub(crate) const MAINTAINER: u8 = 40;
/// Owner of a group or project.
pub(crate) const OWNER: u8 = 50;
/// Administrator of the instance.
pub(crate) const ADMIN: u8 = 60;

/// A person or a service account.
#[expect(clippy::struct_excessive_bools, reason = "GitLab's attributes are switches")]
pub(crate) struct User {
    pub(crate) id: u64,
    pub(crate) username: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) admin: bool,
    /// A service account: no login, and provisioned by [`User::home`].
    pub(crate) bot: bool,
    /// What a service account belongs to.
    pub(crate) home: Option<Home>,
    /// An administrator's note.
    pub(crate) note: Option<String>,
    pub(crate) external: bool,
    pub(crate) can_create_group: bool,
    pub(crate) created_at: String,
}

/// What provisioned a service account, and may administer it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    Project(u64),
    Group(u64),
}

/// A membership in a group or project.
pub(crate) struct Member {
    pub(crate) level: u8,
    /// `YYYY-MM-DD`; the membership ends at the start of that day, in UTC.
    pub(crate) expires_at: Option<String>,
    pub(crate) created_at: String,
}

/// A group, or the personal namespace of a user.
pub(crate) struct Namespace {
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    /// The user whose personal namespace this is.
    pub(crate) person: Option<u64>,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) visibility: String,
    pub(crate) description: String,
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) variables: Vec<Variable>,
    /// What its projects may not do, by API name; only what was set.
    pub(crate) limits: Map<String, Value>,
    pub(crate) created_at: String,
}

/// Who one line of a protection rule lets in: a level, or on Premium a user or a group.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) id: u64,
    pub(crate) who: Grantee,
}

/// See [`Grant`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grantee {
    /// Everyone with at least this level; 0 is no one.
    Level(u8),
    User(u64),
    Group(u64),
}

/// A protected branch or wildcard.
#[derive(Clone)]
pub(crate) struct ProtectedBranch {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) push: Vec<Grant>,
    pub(crate) merge: Vec<Grant>,
    pub(crate) unprotect: Vec<Grant>,
    pub(crate) allow_force_push: bool,
    pub(crate) code_owner_approval_required: bool,
}

/// A protected tag or wildcard.
#[derive(Clone)]
pub(crate) struct ProtectedTag {
    pub(crate) name: String,
    pub(crate) create: Vec<Grant>,
}

/// CI/CD variables by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// A CI/CD variable.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "GitLab's attributes are switches")]
pub(crate) struct Variable {
    pub(crate) key: String,
    pub(crate) value: String,
    /// `env_var` or `file`.
    pub(crate) kind: String,
    pub(crate) protected: bool,
    pub(crate) masked: bool,
    pub(crate) hidden: bool,
    pub(crate) raw: bool,
    pub(crate) environment_scope: String,
    pub(crate) description: Option<String>,
}

/// An issue with its comments, as the API shows them.
pub(crate) struct Issue {
    pub(crate) value: Value,
    pub(crate) notes: Vec<Value>,
}

/// An environment that jobs deploy to.
pub(crate) struct Environment {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) external_url: Option<String>,
    pub(crate) tier: String,
    pub(crate) state: &'static str,
    pub(crate) description: Option<String>,
    pub(crate) auto_stop_setting: String,
    pub(crate) created_at: String,
}

/// After which ends of the jobs before a job begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum After {
    /// When all of them passed: `on_success`, and what waits for a person or a time.
    #[default]
    Success,
    /// When one of them failed: `on_failure`.
    Failure,
    /// However they ended: `always`.
    Any,
}

/// A job of a pipeline.
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) stage: String,
    pub(crate) status: String,
    pub(crate) manual: bool,
    /// After which ends of the jobs before it begins.
    pub(crate) after: After,
    pub(crate) allow_failure: bool,
    pub(crate) started_by: Option<u64>,
    pub(crate) tags: Vec<String>,
    /// The jobs that it needs, if it says so; else all of earlier stages.
    pub(crate) needs: Option<Vec<String>>,
    /// Exit codes with which it may fail.
    pub(crate) allowed_codes: Vec<i64>,
    /// Everything it says in the configuration.
    pub(crate) definition: Map<String, Value>,
    pub(crate) run: Run,
}

/// A job, on a runner.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) runner: Option<u64>,
    /// The digest and id of its token, while it runs.
    pub(crate) token: Option<([u8; 32], u64)>,
    pub(crate) started_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    pub(crate) failure_reason: Option<String>,
    /// How many runs before it failed and were retried.
    pub(crate) retries: u64,
    /// Its log.
    pub(crate) trace: Vec<u8>,
    /// Its artifacts, a zip archive.
    pub(crate) artifacts: Option<Vec<u8>>,
}

/// A pipeline. The stand-in runs nothing of it: that is for runners.
pub(crate) struct Pipeline {
    pub(crate) id: u64,
    pub(crate) iid: u64,
    pub(crate) reference: String,
    pub(crate) tag: bool,
    pub(crate) sha: String,
    pub(crate) source: &'static str,
    pub(crate) status: String,
    pub(crate) user: u64,
    pub(crate) jobs: Vec<Job>,
    pub(crate) yaml_errors: Option<String>,
    pub(crate) created_at: String,
    /// Whether its ref was protected when it was made.
    pub(crate) protected: bool,
    /// The variables that all its jobs get.
    pub(crate) variables: Variables,
}

/// A merge request within one project.
pub(crate) struct MergeRequest {
    pub(crate) id: u64,
    pub(crate) iid: u64,
    pub(crate) title: String,
    pub(crate) description: Option<String>,
    pub(crate) source_branch: String,
    pub(crate) target_branch: String,
    pub(crate) author: u64,
    pub(crate) state: &'static str,
    pub(crate) squash: bool,
    pub(crate) remove_source_branch: bool,
    pub(crate) labels: Vec<String>,
    pub(crate) merge_user: Option<u64>,
    pub(crate) merge_commit_sha: Option<String>,
    pub(crate) squash_commit_sha: Option<String>,
    /// As the API shows them.
    pub(crate) discussions: Vec<Value>,
    /// Who approved it, in this order, and when that approval ends, if it does.
    pub(crate) approved_by: Vec<(u64, Option<Instant>)>,
    /// The source branch's commit when the request was merged or closed.
    pub(crate) final_sha: Option<String>,
    pub(crate) created_at: String,
    pub(crate) merged_at: Option<String>,
}

impl MergeRequest {
    /// Whose approvals count now.
    pub(crate) fn approvers(&self) -> impl Iterator<Item = u64> + '_ {
        let counts = |ends: &Option<Instant>| ends.is_none_or(|ends| ends > Instant::now());
        self.approved_by.iter().filter(move |(_, ends)| counts(ends)).map(|(user, _)| *user)
    }

    /// Ends each approval there is, at this time.
    pub(crate) fn end_approvals(&mut self, at: Instant) {
        for (_, ends) in &mut self.approved_by {
            ends.get_or_insert(at);
        }
    }
}

/// A runner; its token is kept as a digest, in [`crate::auth::Tokens`]'s manner.
pub(crate) struct Runner {
    pub(crate) id: u64,
    pub(crate) digest: [u8; 32],
    /// `instance_type`, `group_type` or `project_type`.
    pub(crate) kind: String,
    pub(crate) project: Option<u64>,
    pub(crate) group: Option<u64>,
    pub(crate) creator: u64,
    pub(crate) description: String,
    pub(crate) maintenance_note: Option<String>,
    pub(crate) paused: bool,
    pub(crate) locked: bool,
    pub(crate) run_untagged: bool,
    pub(crate) access_level: String,
    pub(crate) tag_list: Vec<String>,
    pub(crate) maximum_timeout: Option<i64>,
    pub(crate) contacted_at: Option<String>,
    pub(crate) created_at: String,
}

/// A project and everything in it.
pub(crate) struct Project {
    pub(crate) id: u64,
    pub(crate) namespace: u64,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) visibility: String,
    pub(crate) description: Option<String>,
    pub(crate) default_branch: String,
    /// Every other attribute of the project, by its API name.
    pub(crate) settings: Map<String, Value>,
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) protected_branches: Vec<ProtectedBranch>,
    pub(crate) protected_tags: Vec<ProtectedTag>,
    pub(crate) premium: Premium,
    /// Deploy keys, as they are shown.
    pub(crate) deploy_keys: Vec<Value>,
    /// The users behind project access tokens.
    pub(crate) bots: Vec<u64>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) environments: Vec<Environment>,
    pub(crate) job_token_enabled: bool,
    pub(crate) job_token_projects: Vec<u64>,
    pub(crate) job_token_groups: Vec<u64>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) schedules: Vec<Value>,
    pub(crate) issues: Vec<Issue>,
    /// Terraform states by name, with their versions.
    pub(crate) states: BTreeMap<String, BTreeMap<u64, String>>,
    /// What holds the locks of states, as the engine wrote it.
    pub(crate) state_locks: BTreeMap<String, String>,
    pub(crate) merge_requests: Vec<MergeRequest>,
    /// The bare repository.
    pub(crate) repository: PathBuf,
    /// When it got its first branch.
    pub(crate) first_push: Option<Instant>,
    pub(crate) created_at: String,
}

/// What only a licence unlocks.
#[derive(Default)]
pub(crate) struct Premium {
    pub(crate) environments: Vec<ProtectedEnvironment>,
    pub(crate) approval_rules: Vec<ApprovalRule>,
    /// The approval settings that were sent.
    pub(crate) approvals: Map<String, Value>,
    /// As it was sent.
    pub(crate) push_rule: Option<Map<String, Value>>,
}

/// An environment that not every Developer deploys to.
#[derive(Clone)]
pub(crate) struct ProtectedEnvironment {
    pub(crate) name: String,
    pub(crate) deploy: Vec<Grant>,
    /// As they were sent.
    pub(crate) approval_rules: Value,
}

/// Who approves merge requests.
#[derive(Clone, Default)]
pub(crate) struct ApprovalRule {
    pub(crate) id: u64,
    pub(crate) name: String,
    /// `regular` or `any_approver`.
    pub(crate) kind: String,
    pub(crate) required: u64,
    pub(crate) users: Vec<u64>,
    pub(crate) groups: Vec<u64>,
    /// Protected branches by id; none for all branches.
    pub(crate) branches: Vec<u64>,
}
