//! A factory, its host, and a run of the engine over connections that are counted.
#![allow(clippy::print_stderr, dead_code)]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use disposable_host::{DisposableHost, Image, Options as HostOptions};
use factoryup::dialog::{Dialog, Silent};
use factoryup::factory::{Factory, RunnerKind};
use factoryup::host::{Dial, HostTarget, Reach};
use factoryup::plan::{Event, Options, Outcome, Plan, Proof, StateDir, Watch, converge};
use factoryup::secret::Secret;
use factoryup::transport::{Attempt, ConfigFile, Exit, Session, Ssh, SshOptions, Stop, Transport, Who};
use factoryup::{Error, Result};
use tempfile::TempDir;

use crate::support::lab::{self, Keys};
use crate::support::wait_until;

/// How often the host was connected to, and how many commands were run.
#[derive(Default)]
pub struct Counts {
    pub connections: AtomicUsize,
    pub execs: AtomicUsize,
}

struct Counted<T> {
    inner: T,
    counts: Arc<Counts>,
}

impl<T: Transport> Transport for Counted<T> {
    fn connect(&mut self) -> Result<Box<dyn Session>> {
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Counted { inner: self.inner.connect()?, counts: self.counts.clone() }))
    }

    fn attempt(&mut self) -> Result<Attempt> {
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        self.inner.attempt()
    }

    fn vouch(&mut self, key: &[u8]) -> Result<()> {
        self.inner.vouch(key)
    }
}

impl Session for Counted<Box<dyn Session>> {
    fn exec(
        &mut self,
        command: &str,
        stdin: &[u8],
        stop: Option<Stop<'_>>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Exit> {
        self.counts.execs.fetch_add(1, Ordering::Relaxed);
        self.inner.exec(command, stdin, stop, on_line)
    }

    fn user(&self) -> &str {
        self.inner.user()
    }
}

/// Remembers the plan and all that was said; types secrets where there are some.
#[derive(Default)]
pub struct Observer {
    pub secrets: RefCell<VecDeque<&'static str>>,
    pub answers: RefCell<VecDeque<bool>>,
    pub interactive: bool,
    /// Told of the next plan, and waited for before it is carried out.
    pub at_plan: RefCell<Option<(Sender<()>, Receiver<()>)>>,
    pub plans: RefCell<Vec<Plan>>,
    pub failures: RefCell<Vec<String>>,
    pub said: RefCell<Vec<String>>,
    pub proofs: RefCell<Vec<Proof>>,
}

impl Observer {
    /// Says yes to one question.
    pub fn yes() -> Self {
        Self { answers: RefCell::new([true].into()), interactive: true, ..Self::default() }
    }

    /// Ids of the changes of the last plan.
    pub fn ids(&self) -> Vec<String> {
        self.plans.borrow().last().unwrap().changes.iter().map(|change| change.id.clone()).collect()
    }
}

impl Dialog for Observer {
    fn is_interactive(&self) -> bool {
        self.interactive
    }

    fn confirm(&self, question: &str, default: bool) -> Result<bool> {
        self.note(question);
        self.answers.borrow_mut().pop_front().map_or_else(|| Silent.confirm(question, default), Ok)
    }

    fn secret(&self, prompt: &str) -> Result<Secret> {
        self.note(prompt);
        self.secrets.borrow_mut().pop_front().map_or_else(|| Silent.secret(prompt), |text| Ok(Secret::new(text)))
    }

    fn note(&self, text: &str) {
        self.said.borrow_mut().push(text.to_owned());
    }

    fn warn(&self, text: &str) {
        self.note(text);
    }

    fn busy(&self, text: &str) {
        self.note(text);
    }
}

impl Watch for Observer {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Planned(plan) => {
                self.plans.borrow_mut().push((*plan).clone());
                if let Some((tell, go)) = self.at_plan.take() {
                    tell.send(()).unwrap();
                    go.recv().unwrap();
                }
            }
            Event::Proved(proof) => self.proofs.borrow_mut().push((*proof).clone()),
            Event::Ended { change, failure, took } => {
                eprintln!("{:>6} ms  {}", took.as_millis(), change.summary);
                self.failures.borrow_mut().extend(failure.map(|why| format!("{}: {why}", change.id)));
            }
            _ => {}
        }
    }
}

fn lab_options(keys: &Keys, delay: Option<Duration>) -> HostOptions {
    HostOptions { delay, ..lab::options(keys) }
}

/// One factory with a disposable host.
pub struct Journey {
    pub host: DisposableHost,
    pub keys: Keys,
    pub factory: Factory,
    pub state: TempDir,
    pub counts: Arc<Counts>,
    pub watch: Observer,
}

impl Journey {
    /// A fresh host that lets `root` and `admin` in, and a factory without containers, which take long to install.
    pub fn new() -> Self {
        Self::on(&lab::image(), None)
    }

    /// The same on another system, or behind a proxy that delays and can cut.
    pub fn on(image: &Image, delay: Option<Duration>) -> Self {
        let keys = Keys::new();
        let host = DisposableHost::start(image, &lab_options(&keys, delay)).unwrap();
        let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                    [gitlab]\ngroup = \"acme\"\n";
        let mut factory: Factory = toml::from_str(text).unwrap();
        factory.host.address = host.address().to_string();
        factory.host.port = host.port();
        factory.host.authorized_keys = vec![keys.public("id").trim().to_owned()];
        factory.runner.kind = RunnerKind::Shared;
        let state = tempfile::tempdir().unwrap();
        Self { host, keys, factory, state, counts: Arc::default(), watch: Observer::default() }
    }

    pub fn reach(&self) -> Reach<'static> {
        let dial = self.dial();
        Reach::Remote(Box::new(move |who| dial(who)))
    }

    /// The host as if it were the machine that factoryup runs on, as root.
    pub fn here(&self) -> Reach<'static> {
        Reach::Here(self.dial()(&Who::Only("root")).unwrap())
    }

    fn dial(&self) -> Dial<'static> {
        let mut options = SshOptions::new(self.host.address().to_string(), self.state.path().join("known_hosts"));
        options.port = Some(self.factory.host.port);
        options.identity = Some(self.keys.path("id"));
        options.host_key = Some(self.host.host_key_fingerprint().parse().unwrap());
        options.config = ConfigFile::Ignore;
        options.timeouts.connect = Duration::from_secs(3);
        let counts = self.counts.clone();
        Box::new(move |who| {
            let options = options.clone().logging_in(who);
            Ok(Box::new(Counted { inner: Ssh::new(options, &Silent)?, counts: counts.clone() }))
        })
    }

    pub fn target(&self) -> HostTarget<'static> {
        HostTarget::new(&self.factory, self.reach(), None).unwrap()
    }

    /// Runs the engine on a target that may not even be made.
    pub fn run_result(&self) -> Result<Outcome> {
        self.run(HostTarget::new(&self.factory, self.reach(), None)?)
    }

    /// Runs the engine on a target; what the host said comes with a failure.
    pub fn run(&self, mut target: HostTarget<'_>) -> Result<Outcome> {
        let state = StateDir::at(self.state.path()).unwrap();
        converge(&mut target, &self.watch, &state, Options { yes: true, ..Options::default() })
    }

    /// The same, with something done on the host after the plan was made and before it is carried out.
    pub fn run_with(&self, target: HostTarget<'_>, deed: &str) -> Result<Outcome> {
        let ((tell, told), (ready, go)) = (channel(), channel());
        self.watch.at_plan.replace(Some((tell, go)));
        std::thread::scope(|scope| {
            let host = &self.host;
            scope.spawn(move || {
                told.recv().unwrap();
                lab::stdout(&host.run_inside(&["sh", "-c", deed]).unwrap());
                ready.send(()).unwrap();
            });
            self.run(target)
        })
    }

    /// Runs the engine and expects that changes were made.
    pub fn provision(&self) -> usize {
        match self.run(self.target()) {
            Ok(Outcome::Applied { changes, .. }) => changes,
            other => panic!("{}", self.explain(&other)),
        }
    }

    /// Gives the agent its clone, since no GitLab answers for one. What is there is never changed.
    pub fn put_clone(&self) {
        let clone = format!("~agent/work/{}", self.factory.gitlab.project);
        let origin = format!("{}.git", self.factory.gitlab.project_url());
        self.inside(&format!(
            "install -d -o agent -g agent -m 750 {clone} {clone}/.git; printf '[remote \"origin\"]\n\turl = {origin}\n' >{clone}/.git/config"
        ));
    }

    /// Everything that helps to understand an outcome.
    pub fn explain(&self, outcome: &Result<Outcome>) -> String {
        let hints = outcome.as_ref().err().map(Error::hints).unwrap_or_default().join("\n");
        let log = self.inside("tail -n 40 /var/lib/factoryup/log/* 2>/dev/null || true");
        format!("{log}\n{hints}\n{outcome:?}")
    }

    /// What a command prints inside, as root.
    pub fn inside(&self, command: &str) -> String {
        lab::stdout(&self.host.run_inside(&["sh", "-c", command]).unwrap())
    }

    /// Waits until a command succeeds inside, as root.
    pub fn wait_until(&self, condition: &str) {
        let is_so = format!("if {condition}; then echo yes; fi 2>/dev/null");
        wait_until(condition, || self.inside(&is_so).ends_with("yes"));
    }

    /// Whether a login works, by the system's own client. sshd closes its port for a moment when it executes itself anew.
    pub fn lets_in(&self, user: &str) -> bool {
        for _ in 0..3 {
            let login = lab::ssh(&self.host, &self.keys, user, "true");
            let said = String::from_utf8_lossy(&login.stderr);
            if login.status.success() || !said.contains("refused") && !said.contains("kex_exchange_identification") {
                return login.status.success();
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        false
    }

    pub fn connections(&self) -> usize {
        self.counts.connections.swap(0, Ordering::Relaxed)
    }

    pub fn execs(&self) -> usize {
        self.counts.execs.swap(0, Ordering::Relaxed)
    }

    /// All files of a folder on the host, by path below the root.
    pub fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.host.rootfs().join(Path::new(path).strip_prefix("/").unwrap())).unwrap()
    }
}
