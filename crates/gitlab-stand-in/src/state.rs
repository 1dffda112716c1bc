//! Everything the stand-in remembers, and how a request's ids find it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use crate::auth::{Tokens, now};
use crate::model::{Home, Member, Namespace, OWNER, Project, Runner, User};
use crate::{Edition, Tier};

/// What does not change while the stand-in runs, except for the release.
pub(crate) struct Settings {
    /// The edition, and its version: `MAJOR.MINOR.PATCH`.
    pub(crate) release: RwLock<(Edition, String)>,
    pub(crate) tier: Tier,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    /// Holds `repositories/`, `hooks/` and `pushes/`.
    pub(crate) directory: PathBuf,
    /// The system's git.
    pub(crate) git: crate::git::Git,
    /// GitLab's `default_branch_protection`, 0 to 4.
    pub(crate) default_branch_protection: u8,
    /// Whether Maintainers may create project runners.
    pub(crate) runner_registration: bool,
    /// For how long a repository counts as empty after its first push.
    pub(crate) first_push_takes: Duration,
    /// Whether accounts may run jobs on the instance's runners.
    pub(crate) verified: bool,
    /// Whether others than administrators may create service accounts.
    pub(crate) owners_make_service_accounts: bool,
    /// How long after a push approvals are removed.
    pub(crate) approvals_reset_after: Duration,
    /// GitLab's `max_personal_access_token_lifetime`, in days.
    pub(crate) max_token_days: Option<i64>,
    pub(crate) compute_minutes: crate::ComputeMinutes,
}

impl Settings {
    /// Whether the repository still counts as empty. Sources: `app/workers/post_receive.rb`, and `expire_emptiness_caches` in
    /// `app/models/repository.rb`.
    pub(crate) fn is_behind(&self, project: &Project) -> bool {
        project.first_push.is_some_and(|at| at.elapsed() < self.first_push_takes)
    }

    pub(crate) fn edition(&self) -> Edition {
        self.release.read().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn version(&self) -> String {
        self.release.read().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// The stand-in's memory. One lock guards it all, so every request sees and leaves a whole state.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) users: BTreeMap<u64, User>,
    pub(crate) tokens: Tokens,
    pub(crate) namespaces: BTreeMap<u64, Namespace>,
    pub(crate) projects: BTreeMap<u64, Project>,
    pub(crate) runners: BTreeMap<u64, Runner>,
    last_id: u64,
}

impl State {
    /// An id that nothing else has.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Adds a user, and for a person the namespace GitLab gives each person.
    pub(crate) fn add_user(&mut self, username: &str, name: &str, admin: bool, home: Option<Home>) -> u64 {
        let id = self.next_id();
        let user = User {
            id,
            username: username.to_owned(),
            name: name.to_owned(),
            email: format!("{username}@stand-in.invalid"),
            note: None,
            external: false,
            can_create_group: home.is_none(),
            admin,
            bot: home.is_some(),
            home,
            created_at: now(),
        };
        self.users.insert(id, user);
        if home.is_none() {
            let namespace = self.add_namespace(username, name, None, id);
            if let Some(namespace) = self.namespaces.get_mut(&namespace) {
                namespace.person = Some(id);
            }
        }
        id
    }

    /// Adds a group with one owner.
    pub(crate) fn add_namespace(&mut self, path: &str, name: &str, parent: Option<u64>, owner: u64) -> u64 {
        let id = self.next_id();
        let namespace = Namespace {
            id,
            parent,
            person: None,
            name: name.to_owned(),
            path: path.to_owned(),
            visibility: "private".to_owned(),
            description: String::new(),
            members: BTreeMap::from([(owner, Member { level: OWNER, expires_at: None, created_at: now() })]),
            variables: Vec::new(),
            limits: serde_json::Map::new(),
            created_at: now(),
        };
        self.namespaces.insert(id, namespace);
        id
    }

    /// The user of this name.
    pub(crate) fn user_named(&self, username: &str) -> Option<&User> {
        self.users.values().find(|user| user.username.eq_ignore_ascii_case(username))
    }

    /// A namespace's full path, parents first.
    pub(crate) fn full_path(&self, namespace: u64) -> String {
        self.lineage(namespace).map(|namespace| namespace.path.as_str()).rev_join("/")
    }

    /// A namespace's full name, as `Parent / Child`.
    pub(crate) fn full_name(&self, namespace: u64) -> String {
        self.lineage(namespace).map(|namespace| namespace.name.as_str()).rev_join(" / ")
    }

    /// A namespace and its parents, nearest first.
    pub(crate) fn lineage(&self, namespace: u64) -> impl Iterator<Item = &Namespace> {
        std::iter::successors(self.namespaces.get(&namespace), |namespace| self.namespaces.get(&namespace.parent?))
    }

    /// A project's full path, as `group/project`.
    pub(crate) fn project_path(&self, project: &Project) -> String {
        format!("{}/{}", self.full_path(project.namespace), project.path)
    }

    /// The namespace with this id or full path.
    pub(crate) fn namespace(&self, id_or_path: &str) -> Option<&Namespace> {
        match id_or_path.parse::<u64>() {
            Ok(id) => self.namespaces.get(&id),
            Err(_) => self.namespaces.values().find(|n| self.full_path(n.id).eq_ignore_ascii_case(id_or_path)),
        }
    }

    /// Whether a runner gets jobs of a project. Source: app/models/ci/runner.rb, `owned_or_instance_wide`.
    pub(crate) fn serves(&self, runner: &Runner, project: &Project) -> bool {
        let on = |name: &str| project.settings.get(name).is_some_and(|value| value == true);
        let of_group = |group| self.lineage(project.namespace).any(|one| one.id == group);
        runner.project == Some(project.id)
            || (on("group_runners_enabled") && runner.group.is_some_and(of_group))
            || (on("shared_runners_enabled") && runner.kind == "instance_type")
    }

    /// What a group or one above it limits its projects to, the nearest first.
    pub(crate) fn limit(&self, namespace: u64, name: &str) -> Option<&serde_json::Value> {
        self.lineage(namespace).find_map(|group| group.limits.get(name))
    }

    /// The id of the project with this id or full path.
    pub(crate) fn project_id(&self, id_or_path: &str) -> Option<u64> {
        match id_or_path.parse::<u64>() {
            Ok(id) => self.projects.contains_key(&id).then_some(id),
            Err(_) => self
                .projects
                .values()
                .find(|project| self.project_path(project).eq_ignore_ascii_case(id_or_path))
                .map(|project| project.id),
        }
    }
}

/// Joins the other way round than the iterator runs.
trait RevJoin<'a> {
    fn rev_join(self, separator: &str) -> String;
}

impl<'a, I: Iterator<Item = &'a str>> RevJoin<'a> for I {
    fn rev_join(self, separator: &str) -> String {
        let mut parts: Vec<_> = self.collect();
        parts.reverse();
        parts.join(separator)
    }
}
