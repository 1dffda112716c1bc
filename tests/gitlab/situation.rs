//! A control repo, a stand-in for GitLab, and the target between them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use factoryup::dialog::{Dialog, Silent};
use factoryup::factory::{
    Agent, Cloudflare, Environments, Factory, FactorySection, Gitlab, Host, HostKind, Infra, Runner, Secrets,
};
use factoryup::gitlab::GitlabTarget;
use factoryup::plan::{Event, Options, Outcome, Plan, Proof, StateDir, Target, Watch, converge};
use factoryup::repo::RepoTarget;
use factoryup::secret::Secret;
use factoryup::{Error, Result};
use serde_json::Value;
use tempfile::TempDir;

use super::plane::Plane;

/// Everything that a hand-off needs.
pub struct Situation {
    pub plane: Plane,
    pub factory: Factory,
    pub state: StateDir,
    pub repo: PathBuf,
    directory: TempDir,
}

/// A watch that remembers what it was told.
#[derive(Default)]
pub struct Recorder {
    pub proofs: RefCell<Vec<Proof>>,
    pub told: RefCell<Vec<String>>,
}

impl Dialog for Recorder {
    fn is_interactive(&self) -> bool {
        false
    }

    fn confirm(&self, question: &str, _default: bool) -> Result<bool> {
        Err(Error::usage(question))
    }

    fn secret(&self, prompt: &str) -> Result<Secret> {
        Err(Error::usage(prompt))
    }

    fn note(&self, text: &str) {
        self.told.borrow_mut().push(text.to_owned());
    }

    fn warn(&self, text: &str) {
        self.told.borrow_mut().push(text.to_owned());
    }

    fn busy(&self, _text: &str) {}
}

impl Watch for Recorder {
    fn event(&self, event: &Event<'_>) {
        if let Event::Proved(proof) = event {
            self.proofs.borrow_mut().push((*proof).clone());
        }
        self.told.borrow_mut().push(format!("{event:?}"));
    }
}

/// Apply without asking, proofs left out when nothing was changed.
pub const QUIET: Options = Options { yes: true, prove_again: false };
/// Apply without asking, and prove.
pub const PROVE: Options = Options { yes: true, prove_again: true };

impl Situation {
    /// GitLab 18.11, Enterprise Edition without a license, with an empty group, and a control repo; `None`, said aloud, without git.
    pub fn new() -> Option<Self> {
        Self::with(|_| ())
    }

    /// The same, on a stand-in with other options.
    pub fn with(change: impl FnOnce(&mut gitlab_stand_in::Options)) -> Option<Self> {
        let plane = Plane::with(change)?;
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::at(directory.path().join("state")).unwrap();
        let repo = directory.path().join("control-repo");
        let factory = factory(&plane.url());
        let text = factoryup::factory::to_toml(&factory).unwrap();
        let mut target = RepoTarget::new(&repo, &factory, &text).unwrap();
        converge(&mut target, &Silent, &state, QUIET).unwrap();
        Some(Self { plane, factory, state, repo, directory })
    }

    /// Premium 19.2, with a control repo that asks for it.
    pub fn premium() -> Option<Self> {
        Self::premium_with(|_| ())
    }

    /// The same, on a stand-in with other options.
    pub fn premium_with(change: impl FnOnce(&mut gitlab_stand_in::Options)) -> Option<Self> {
        let mut situation = Self::with(|options| {
            (options.edition, options.tier) = (gitlab_stand_in::Edition::Ee, gitlab_stand_in::Tier::Premium);
            "19.2.0".clone_into(&mut options.version);
            change(options);
        })?;
        situation.licensed();
        Some(situation)
    }

    /// Makes another control repo, which asks for Premium.
    pub fn licensed(&mut self) {
        self.factory.gitlab.tier = factoryup::factory::Tier::Premium;
        self.factory.factory.owner_email = "owner@stand-in.invalid".into();
        self.render("licensed");
    }

    /// Makes another control repo, whose GitLab has another address, such as that of a proxy.
    pub fn behind(&mut self, url: &str) {
        url.clone_into(&mut self.factory.gitlab.url);
        self.render("behind");
    }

    /// Makes another control repo, whose secrets this owner reads.
    pub fn with_secrets_of(&mut self, recipient: &str) {
        self.factory.secrets.owner_recipient = recipient.into();
        self.render("secrets");
    }

    /// Makes another control repo, with an edge.
    pub fn edged(&mut self) {
        let edge = &mut self.factory.cloudflare;
        (edge.enabled, edge.zone) = (true, "example.org".into());
        (edge.account_id, edge.zone_id) = ("0123456789abcdef".repeat(2), "fedcba9876543210".repeat(2));
        self.render("edged");
    }

    /// Makes another control repo, whose checks run on the instance's runners.
    pub fn shared(&mut self) {
        self.factory.runner.kind = factoryup::factory::RunnerKind::Shared;
        self.render("shared");
    }

    fn render(&mut self, name: &str) {
        self.repo = self.directory().join(name);
        let text = factoryup::factory::to_toml(&self.factory).unwrap();
        let mut target = RepoTarget::new(&self.repo, &self.factory, &text).unwrap();
        converge(&mut target, &Silent, &self.state, QUIET).unwrap();
    }

    /// A situation whose hand-off is done.
    pub fn handed_off() -> Option<Self> {
        let situation = Self::new()?;
        situation.apply(QUIET).unwrap();
        situation.plane.stand_in.clear_log();
        Some(situation)
    }

    pub fn target(&self) -> GitlabTarget {
        self.target_with(Secret::new(self.plane.stand_in.owner_token()))
    }

    pub fn target_with(&self, token: Secret) -> GitlabTarget {
        GitlabTarget::new(&self.factory, token, &self.repo, &self.state).unwrap()
    }

    pub fn plan(&self) -> Plan {
        self.target().observe(&Silent).unwrap()
    }

    /// The ids of what would change.
    pub fn pending(&self) -> Vec<String> {
        self.plan().changes.into_iter().map(|change| change.id).collect()
    }

    pub fn apply(&self, options: Options) -> Result<Outcome> {
        converge(&mut self.target(), &Silent, &self.state, options)
    }

    /// A path below the project in the API.
    pub fn path(&self, rest: &str) -> String {
        format!("/projects/{}%2F{}{rest}", self.factory.gitlab.group.replace('/', "%2F"), self.factory.gitlab.project)
    }

    pub fn get(&self, rest: &str) -> Value {
        let got = self.plane.get(&self.path(rest));
        assert_eq!(got.status, 200, "{rest}: {}", got.body);
        got.body
    }

    /// The agent's user id.
    pub fn agent(&self) -> u64 {
        self.plane.get("/users?username=factory-agent").body[0]["id"].as_u64().unwrap()
    }

    /// Where GitLab has the tokens of its account, which is one of the group.
    pub fn agent_tokens(&self) -> String {
        format!("/groups/factory/service_accounts/{}/personal_access_tokens", self.agent())
    }

    pub fn kept(&self, name: &str) -> String {
        std::fs::read_to_string(self.state.file(name)).unwrap().trim_end().to_owned()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// What the owner's or agent's requests changed, as `METHOD route STATUS`.
    pub fn writes(&self) -> Vec<String> {
        let log = self.plane.log();
        let writes = log.iter().filter(|r| !matches!(r.method.as_str(), "GET" | "HEAD"));
        writes.map(|r| format!("{} {} {}", r.method, r.route.unwrap_or(&r.path), r.status)).collect()
    }

    /// What was written before the proof made its wide token.
    pub fn writes_before_the_proof(&self) -> Vec<String> {
        let proof = "POST /groups/:id/service_accounts/:user_id/personal_access_tokens 201";
        let mut writes = self.writes();
        writes.truncate(writes.iter().rposition(|write| write == proof).unwrap_or(writes.len()));
        writes
    }
}

/// The answers.
pub fn factory(url: &str) -> Factory {
    Factory {
        schema: factoryup::factory::SCHEMA,
        factory: FactorySection {
            name: "acme".into(),
            description: "What Acme runs on".into(),
            owner_name: "Ada Lovelace".into(),
            owner_email: "ada@example.org".into(),
            ..FactorySection::default()
        },
        host: Host { kind: HostKind::None, ..Host::default() },
        gitlab: Gitlab { url: url.to_owned(), group: "factory".into(), project: "control".into(), ..Gitlab::default() },
        agent: Agent::default(),
        infra: Infra::default(),
        cloudflare: Cloudflare::default(),
        secrets: Secrets::default(),
        runner: Runner::default(),
        environments: Environments::default(),
    }
}
