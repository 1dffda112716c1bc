//! A GitLab stand-in to test clients against: REST API, git over HTTP, roles, scopes and protected refs.
//!
//! **What lives here.** A server on a loopback port that answers a part of GitLab's REST API v4 ([`served_calls`] lists it) and of its GraphQL API, and
//! keeps state. It has real roles (0 to 60, the higher of group and project) and real token scopes. It serves real git
//! repositories through the system's `git http-backend`, guarded by real git hooks. It has the habits of GitLab that a client can
//! stumble on: tokens shown once, a `PATCH` of a protected branch that changes less than asked, 401 for a merge that is
//! not allowed, 400 for a pipeline that is not, percent-encoded ids, pages. It logs every request, and it plays faults on demand.
//!
//! It hands jobs to runners that ask for them, keeps their logs, and lets pipelines advance.
//!
//! **What does not.** It runs no job itself, renders no page, and keeps nothing but the bare repositories when it stops. It is not
//! GitLab, and says so: every reply has the header `X-Factoryup-Stand-In: 1`, `/` says so in words, and the version ends in
//! `-stand-in`. If GitLab's answer was not observed, a comment in the code says that the answer is a guess.
//!
//! ```no_run
//! use gitlab_stand_in::{Options, StandIn};
//! let stand_in = StandIn::start(Options::new("/tmp/stand-in"))?;
//! let version = ureq::get(format!("{}/api/v4/version", stand_in.url()))
//!     .header("PRIVATE-TOKEN", stand_in.owner_token())
//!     .call();
//! # drop(version);
//! # Ok::<(), gitlab_stand_in::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::Date;
use tiny_http::Server;

use crate::auth::{NewToken, today};
use crate::gate::Gate;
use crate::git::Git;
use crate::reply::{Body, Reply};
use crate::server::Shared;
use crate::state::{Settings, State};

pub use crate::error::{Error, Result};
pub use crate::log::{Fault, LoggedRequest};

mod access;
mod api;
mod approvals;
mod auth;
mod call;
mod ci;
mod code_owners;
mod commits;
mod editions;
mod error;
mod gate;
mod git;
mod git_http;
mod graphql;
mod hooks;
mod log;
mod model;
mod params;
mod pipelines;
mod pushes;
mod reply;
mod router;
mod routes;
mod running;
mod server;
mod state;

/// Which of GitLab's two builds it behaves as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    /// Community Edition: no call of a paid feature exists.
    Ce,
    /// Enterprise Edition: paid calls exist and depend on the [`Tier`].
    Ee,
}

/// Which licence an Enterprise Edition has; meaningless on the Community Edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// None.
    Free,
    /// Premium: protected environments, approval rules, rules that name users and groups.
    Premium,
}

/// The compute minutes of each top-level namespace.
#[derive(Clone, Copy, Debug)]
pub struct ComputeMinutes {
    /// Those of this month that are used.
    pub used: u64,
    /// Those that it may use each month: `None` for the instance's default, 0 for any number.
    pub monthly: Option<u64>,
    /// Those that were bought.
    pub purchased: u64,
}

/// How the stand-in shall be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The build.
    pub edition: Edition,
    /// The licence.
    pub tier: Tier,
    /// `MAJOR.MINOR.PATCH` of the GitLab it behaves as.
    pub version: String,
    /// The port on loopback; 0 for any free one.
    pub port: u16,
    /// A directory of its own, for the bare repositories and hooks. Made when it is not there, left when it stops.
    pub state: PathBuf,
    /// Path of the top-level group made at the start.
    pub group: String,
    /// Name of the user who owns that group.
    pub owner: String,
    /// GitLab's instance setting: how the first branch of a project is protected; 0 not at all, 2 (its default) fully.
    pub default_branch_protection: u8,
    /// GitLab's instance setting: whether Maintainers may create runners of their projects.
    pub runner_registration: bool,
    /// GitLab's instance setting: whether others than administrators may create service accounts.
    pub owners_make_service_accounts: bool,
    /// How long after a push the approvals of a merge request are removed. GitLab waits 10 seconds at least.
    pub approvals_reset_after: Duration,
    /// GitLab's instance setting: the longest life of a token, in days. It counts with a license only.
    pub max_token_days: Option<i64>,
    /// For how long after its first push a repository still counts as empty, as GitLab keeps in mind until a job has run.
    pub first_push_takes: Duration,
    /// Whether accounts are verified, as GitLab.com wants it for jobs where the instance's runners are on.
    pub verified: bool,
    /// Counted in the Enterprise Edition only.
    pub compute_minutes: ComputeMinutes,
}

impl Options {
    /// GitLab 18.11 EE without a license, with the group `factory`, owned by `owner`.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            edition: Edition::Ee,
            tier: Tier::Free,
            version: "18.11.0".to_owned(),
            port: 0,
            state: state.into(),
            group: "factory".to_owned(),
            owner: "owner".to_owned(),
            default_branch_protection: 2,
            runner_registration: true,
            first_push_takes: Duration::ZERO,
            verified: true,
            owners_make_service_accounts: true,
            approvals_reset_after: Duration::ZERO,
            max_token_days: None,
            compute_minutes: ComputeMinutes { used: 0, monthly: None, purchased: 0 },
        }
    }
}

/// A running stand-in; stops when dropped.
pub struct StandIn {
    shared: Arc<Shared>,
    server: Arc<Server>,
    gate: Option<Gate>,
    serving: Option<JoinHandle<()>>,
    owner: String,
    owner_token: String,
}

impl StandIn {
    /// Starts it on a port of 127.0.0.1.
    ///
    /// # Errors
    /// [`Error::NoGit`] without git; [`Error::NameTaken`] if group, owner and `root` are not three names; [`Error::Start`] if the state directory or the port cannot be used.
    pub fn start(options: Options) -> Result<Self> {
        let (owner, group) = (options.owner.as_str(), options.group.as_str());
        let same = [("root", owner), ("root", group), (owner, group)];
        if let Some((name, _)) = same.into_iter().find(|(one, other)| one.eq_ignore_ascii_case(other)) {
            return Err(Error::NameTaken(name.to_owned()));
        }
        let program = which::which("git").map_err(Error::NoGit)?;
        let cannot = |what: &str, source: std::io::Error| Error::Start { what: what.to_owned(), source };
        // Hooks are found by absolute path, wherever git happens to run.
        let directory = std::path::absolute(&options.state).map_err(|e| cannot("its directory has no path", e))?;
        for part in ["repositories", "pushes"] {
            let path = directory.join(part);
            // Private projects lie there as plain repositories.
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|e| cannot(&format!("cannot create {}", path.display()), e))?;
        }
        hooks::install(&directory.join("hooks")).map_err(|e| cannot("cannot write its git hooks", e))?;

        let no_port = |e| cannot("no port", e);
        let server = Server::http("127.0.0.1:0").map_err(std::io::Error::other).map_err(no_port)?;
        let inner = server.server_addr().to_ip().ok_or_else(|| Error::Failed("it has no address".into()))?;
        let gate = Gate::open(inner, options.port).map_err(|e| cannot(&format!("port {}", options.port), e))?;

        let settings = Settings {
            release: RwLock::new((options.edition, options.version)),
            tier: options.tier,
            url: format!("http://{}", gate.address()),
            git: Git::new(program, directory.clone()),
            directory,
            default_branch_protection: options.default_branch_protection,
            runner_registration: options.runner_registration,
            first_push_takes: options.first_push_takes,
            verified: options.verified,
            owners_make_service_accounts: options.owners_make_service_accounts,
            approvals_reset_after: options.approvals_reset_after,
            max_token_days: options.max_token_days,
            compute_minutes: options.compute_minutes,
        };
        let mut state = State::default();
        state.add_user("root", "Administrator", true, None);
        let owner = state.add_user(&options.owner, &options.owner, false, None);
        state.add_namespace(&options.group, &options.group, None, owner);
        let shared = Arc::new(Shared::new(settings, state, gate.cutter()));
        let owner_token = shared.issue(owner, &["api"], Some(today().saturating_add(30.days())))?;

        let server = Arc::new(server);
        let serving = server::spawn(Arc::clone(&server), Arc::clone(&shared)).map_err(|e| cannot("no thread", e))?;
        Ok(Self { shared, server, gate: Some(gate), serving: Some(serving), owner: options.owner, owner_token })
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.shared.settings.url.clone()
    }

    /// The port of [`url`](Self::url).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.gate.as_ref().map_or(0, |gate| gate.address().port())
    }

    /// The name of the user who owns the group.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// A token of the owner with scope `api`, good for 30 days.
    #[must_use]
    pub fn owner_token(&self) -> &str {
        &self.owner_token
    }

    /// Adds a user without any membership; returns the id.
    ///
    /// # Errors
    /// [`Error::NameTaken`] if the name is taken.
    pub fn add_user(&self, username: &str) -> Result<u64> {
        let mut state = self.shared.state();
        if state.user_named(username).is_some() {
            return Err(Error::NameTaken(username.to_owned()));
        }
        Ok(state.add_user(username, username, false, None))
    }

    /// A new token for a user (`root` is the administrator), valid until the start of `expires_at` in UTC.
    ///
    /// # Errors
    /// [`Error::NoUser`] if there is no such user.
    pub fn issue_token(&self, username: &str, scopes: &[&str], expires_at: Option<Date>) -> Result<String> {
        let user = self.shared.state().user_named(username).map(|user| user.id);
        let user = user.ok_or_else(|| Error::NoUser(username.to_owned()))?;
        self.shared.issue(user, scopes, expires_at)
    }

    /// Becomes another release, with all that it remembers.
    pub fn upgrade(&self, edition: Edition, version: &str) {
        let release = &self.shared.settings.release;
        *release.write().unwrap_or_else(PoisonError::into_inner) = (edition, version.to_owned());
    }

    /// Lets so many days pass for every token: it was made that much earlier, and ends when it did.
    pub fn age_tokens(&self, days: i64) {
        self.shared.state().tokens.age(days);
    }

    /// The bare repository of a project, by `group/project`.
    #[must_use]
    pub fn repository(&self, project: &str) -> Option<PathBuf> {
        let state = self.shared.state();
        let id = state.project_id(project)?;
        state.projects.get(&id).map(|project| project.repository.clone())
    }

    /// The value of a project's CI/CD variable for just this environment scope, also of a hidden one.
    #[must_use]
    pub fn variable_value(&self, project: &str, key: &str, scope: &str) -> Option<String> {
        let state = self.shared.state();
        let project = state.projects.get(&state.project_id(project)?)?;
        let mut all = project.variables.iter();
        all.find(|one| one.key == key && one.environment_scope == scope).map(|one| one.value.clone())
    }

    /// Gives a project a Terraform state of this name, with made-up content.
    ///
    /// # Errors
    /// [`Error::NoProject`] if there is no such project.
    pub fn add_state(&self, project: &str, name: &str) -> Result<()> {
        let mut state = self.shared.state();
        let found = state.project_id(project).and_then(|id| state.projects.get_mut(&id));
        let states = &mut found.ok_or_else(|| Error::NoProject(project.to_owned()))?.states;
        states.insert(name.to_owned(), BTreeMap::from([(1, "what the engine wrote".to_owned())]));
        Ok(())
    }

    /// Ends every unfinished pipeline of a project with a status (`success`, `failed`, `skipped`), and its jobs but the manual ones
    /// with it: what runners would have done. Returns how many there were.
    ///
    /// # Errors
    /// [`Error::NoProject`] if there is no such project.
    pub fn finish_pipelines(&self, project: &str, status: &str) -> Result<usize> {
        let mut state = self.shared.state();
        let id = state.project_id(project);
        let project =
            id.and_then(|id| state.projects.get_mut(&id)).ok_or_else(|| Error::NoProject(project.to_owned()))?;
        let mut count = 0;
        for pipeline in
            project.pipelines.iter_mut().filter(|p| matches!(p.status.as_str(), "created" | "pending" | "running"))
        {
            status.clone_into(&mut pipeline.status);
            count += 1;
            for job in &mut pipeline.jobs {
                let end = if job.manual && job.started_by.is_none() { "manual" } else { status };
                end.clone_into(&mut job.status);
            }
        }
        Ok(count)
    }

    /// Everything asked so far, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<LoggedRequest> {
        self.shared.log().clone()
    }

    /// Forgets what was asked.
    pub fn clear_log(&self) {
        self.shared.log().clear();
    }

    /// Answers the next `count` requests with a fault.
    pub fn fail_next(&self, count: usize, fault: Fault) {
        self.shared.faults().extend(std::iter::repeat_n(fault, count));
    }
}

/// One call that the stand-in answers.
#[derive(Clone, Debug)]
pub struct ServedCall {
    /// `GET`, `POST`, …
    pub method: &'static str,
    /// In GitLab's notation, below `/api/v4`: `/projects/:id/members/:user_id`.
    pub path: &'static str,
    /// The parameters it knows, in query or body, but those of pages.
    pub parameters: Vec<&'static str>,
}

/// Every call that the stand-in answers.
pub fn served_calls() -> impl Iterator<Item = ServedCall> {
    routes::all().map(|route| ServedCall { method: route.method, path: route.path, parameters: route.parameters() })
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.gate.take());
        self.shared.stop();
        self.server.unblock();
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

impl Shared {
    fn issue(&self, user: u64, scopes: &[&str], expires_at: Option<Date>) -> Result<String> {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let new = NewToken { user, name: "stand-in", description: None, scopes, expires_at };
        self.state().tokens.issue(new).map(|(_, text)| text).map_err(|refusal| refused(&refusal.into_reply()))
    }
}

/// A refusal that no client caused, as an error.
fn refused(reply: &Reply) -> Error {
    let why = if let Body::Json(value) = &reply.body { value.to_string() } else { String::new() };
    Error::Failed(why)
}
