//! The things the stand-in remembers. Plain data; the rules about them live in `access` and in the routes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

/// Guest, the lowest role that sees a private project.
pub(super) const GUEST: u8 = 10;
/// Reporter: may read the code.
pub(super) const REPORTER: u8 = 20;
/// Developer: may push to what is not protected.
pub(super) const DEVELOPER: u8 = 30;
/// Maintainer: may change protection, variables and runners.
pub(super) const MAINTAINER: u8 = 40;
/// Owner of a group or project.
pub(super) const OWNER: u8 = 50;
/// Administrator of the instance.
pub(super) const ADMIN: u8 = 60;

/// A person or a service account.
pub(super) struct User {
    pub(super) id: u64,
    pub(super) username: String,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) admin: bool,
    /// A service account: no login, and provisioned by [`User::home`].
    pub(super) bot: bool,
    /// The project a project service account belongs to.
    pub(super) home: Option<u64>,
    pub(super) created_at: String,
}

/// A membership in a group or project.
pub(super) struct Member {
    pub(super) level: u8,
    /// `YYYY-MM-DD`; the membership ends at the start of that day, in UTC.
    pub(super) expires_at: Option<String>,
    pub(super) created_at: String,
}

/// A group, or the personal namespace of a user.
pub(super) struct Namespace {
    pub(super) id: u64,
    pub(super) parent: Option<u64>,
    /// The user whose personal namespace this is.
    pub(super) person: Option<u64>,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) visibility: String,
    pub(super) description: String,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) created_at: String,
}

/// Who one line of a protection rule lets in: a level, or on Premium a user or a group.
#[derive(Clone)]
pub(super) struct Grant {
    pub(super) id: u64,
    pub(super) who: Grantee,
}

/// See [`Grant`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Grantee {
    /// Everyone with at least this level; 0 is no one.
    Level(u8),
    User(u64),
    Group(u64),
}

/// A protected branch or wildcard.
#[derive(Clone)]
pub(super) struct ProtectedBranch {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) push: Vec<Grant>,
    pub(super) merge: Vec<Grant>,
    pub(super) unprotect: Vec<Grant>,
    pub(super) allow_force_push: bool,
    pub(super) code_owner_approval_required: bool,
}

/// A protected tag or wildcard.
#[derive(Clone)]
pub(super) struct ProtectedTag {
    pub(super) name: String,
    pub(super) create: Vec<Grant>,
}

/// A CI/CD variable.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "GitLab's attributes are switches")]
pub(super) struct Variable {
    pub(super) key: String,
    pub(super) value: String,
    /// `env_var` or `file`.
    pub(super) kind: String,
    pub(super) protected: bool,
    pub(super) masked: bool,
    pub(super) hidden: bool,
    pub(super) raw: bool,
    pub(super) environment_scope: String,
    pub(super) description: Option<String>,
}

/// An issue with its comments, as the API shows them.
pub(super) struct Issue {
    pub(super) value: Value,
    pub(super) notes: Vec<Value>,
}

/// An environment that jobs deploy to.
pub(super) struct Environment {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) external_url: Option<String>,
    pub(super) tier: String,
    pub(super) state: &'static str,
    pub(super) description: Option<String>,
    pub(super) auto_stop_setting: String,
    pub(super) created_at: String,
}

/// A job of a pipeline.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) stage: String,
    pub(super) status: String,
    pub(super) manual: bool,
    pub(super) allow_failure: bool,
    pub(super) started_by: Option<u64>,
}

/// A pipeline. The stand-in records it and runs nothing.
pub(super) struct Pipeline {
    pub(super) id: u64,
    pub(super) iid: u64,
    pub(super) reference: String,
    pub(super) tag: bool,
    pub(super) sha: String,
    pub(super) source: &'static str,
    pub(super) status: String,
    pub(super) user: u64,
    pub(super) jobs: Vec<Job>,
    pub(super) yaml_errors: Option<String>,
    pub(super) created_at: String,
}

/// A merge request within one project.
pub(super) struct MergeRequest {
    pub(super) id: u64,
    pub(super) iid: u64,
    pub(super) title: String,
    pub(super) description: Option<String>,
    pub(super) source_branch: String,
    pub(super) target_branch: String,
    pub(super) author: u64,
    pub(super) state: &'static str,
    pub(super) squash: bool,
    pub(super) remove_source_branch: bool,
    pub(super) labels: Vec<String>,
    pub(super) merge_user: Option<u64>,
    pub(super) merge_commit_sha: Option<String>,
    pub(super) squash_commit_sha: Option<String>,
    /// The source branch's commit when the request was merged or closed.
    pub(super) final_sha: Option<String>,
    pub(super) created_at: String,
    pub(super) merged_at: Option<String>,
}

/// A runner; its token is kept as a digest, in [`super::auth::Tokens`]'s manner.
pub(super) struct Runner {
    pub(super) id: u64,
    pub(super) digest: [u8; 32],
    /// `instance_type`, `group_type` or `project_type`.
    pub(super) kind: String,
    pub(super) project: Option<u64>,
    pub(super) group: Option<u64>,
    pub(super) creator: u64,
    pub(super) description: String,
    pub(super) maintenance_note: Option<String>,
    pub(super) paused: bool,
    pub(super) locked: bool,
    pub(super) run_untagged: bool,
    pub(super) access_level: String,
    pub(super) tag_list: Vec<String>,
    pub(super) maximum_timeout: Option<i64>,
    pub(super) contacted_at: Option<String>,
    pub(super) created_at: String,
}

/// A project and everything in it.
pub(super) struct Project {
    pub(super) id: u64,
    pub(super) namespace: u64,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) visibility: String,
    pub(super) description: Option<String>,
    pub(super) default_branch: String,
    /// Every other attribute of the project, by its API name.
    pub(super) settings: Map<String, Value>,
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) protected_branches: Vec<ProtectedBranch>,
    pub(super) protected_tags: Vec<ProtectedTag>,
    /// Premium's protected environments, approval rules, approval settings and push rule, as they were sent.
    pub(super) premium: Premium,
    /// Deploy keys, as they are shown.
    pub(super) deploy_keys: Vec<Value>,
    /// The users behind project access tokens.
    pub(super) bots: Vec<u64>,
    pub(super) variables: Vec<Variable>,
    pub(super) environments: Vec<Environment>,
    pub(super) job_token_enabled: bool,
    pub(super) job_token_projects: Vec<u64>,
    pub(super) job_token_groups: Vec<u64>,
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) schedules: Vec<Value>,
    pub(super) issues: Vec<Issue>,
    pub(super) merge_requests: Vec<MergeRequest>,
    /// The bare repository.
    pub(super) repository: PathBuf,
    pub(super) created_at: String,
}

/// What only a licence unlocks.
#[derive(Default)]
pub(super) struct Premium {
    pub(super) environments: Vec<Value>,
    pub(super) approval_rules: Vec<Value>,
    pub(super) approvals: Map<String, Value>,
    pub(super) push_rule: Option<Map<String, Value>>,
}
