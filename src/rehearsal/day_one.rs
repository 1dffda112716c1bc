//! The rehearsal: the real targets and the real engine, from answers to passed policy checks and the first pipeline, then everything a
//! second time; then the agent and an application at work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use disposable_host::{DisposableHost, Image, Recipe};
use gitlab_stand_in::StandIn;
use serde::Serialize;

use super::{agent_at_work, application, kept, programs};
use crate::error::{Error, Kind, Result};
use crate::factory::{
    Agent, Cloudflare, Environments, Factory, FactorySection, Gitlab, Host, HostKind, Infra, Runner, SCHEMA, Secrets,
};
use crate::interrupt;
use crate::plan::lock::Lock;
use crate::plan::{Options as Run, Outcome, StateDir, Watch, write_atomically, write_json};
use crate::process;
use crate::shell;
use crate::transport::{Session, Ssh, SshOptions, Transport};
use crate::workspace::{Keys, What, Workspace};

/// Marks a folder as one that a rehearsal made and the next may replace.
const MARKER: &str = ".factoryup-rehearsal";

/// The file with the token of the stand-in's owner.
const TOKEN: &str = "owner-token";

/// The program that logs in to the host. A card shows its path, which fits in one line of a terminal.
const LOGIN: &str = "login";

/// How long the first pipeline may take.
const PIPELINE: Duration = Duration::from_mins(20);

/// What to rehearse, and where.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The folder for everything that is made; replaced when an earlier rehearsal made it.
    pub dir: PathBuf,
    /// Why no host takes part; `None` when one does.
    pub without_host: Option<String>,
    /// A directory with files for the host, as they are there below `/`.
    pub files: Option<PathBuf>,
    /// Whether the targets are to stay for a while.
    pub keep: bool,
}

/// One part of the journey.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PartReport {
    /// What it was.
    pub name: String,
    /// What came of it.
    pub result: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RehearsalReport {
    /// The parts, in order.
    pub parts: Vec<PartReport>,
    /// What did not take part, and why.
    pub left_out: Vec<String>,
    /// The control repo that was made.
    pub control_repo: PathBuf,
    /// The state folder with journal, receipts and evidence.
    pub state: PathBuf,
    /// Requests that the stand-in answered.
    pub requests: usize,
    /// How to reach the targets, if they stay for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Kept>,
}

/// How to reach the disposable targets.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Kept {
    /// Address of the GitLab stand-in.
    pub gitlab: String,
    /// The file with its owner's token.
    pub token_file: PathBuf,
    /// The command that logs in to the host as the operator, or runs the words after it there, if there is a host.
    pub login: Option<String>,
    /// Where the example application answers on the host.
    pub application: Option<String>,
    /// The command that removes them.
    pub destroy: String,
}

/// Plays day one. The disposable targets go with the stage; the control repo and the state folder stay.
///
/// # Errors
/// Whatever stopped a real day one; `Internal` when the second apply found something left to do.
pub(crate) fn play(options: &Options, watch: &dyn Watch) -> Result<(RehearsalReport, Stage)> {
    kept::refuse(&options.dir)?;
    clear(&options.dir)?;
    let mut stage = Stage::set(options, watch)?;
    stage.converge(watch, false)?;
    stage.see_pipeline(watch)?;
    stage.converge(watch, true)?;
    stage.work_on_host(watch)?;
    let report = RehearsalReport {
        parts: std::mem::take(&mut stage.parts),
        left_out: std::mem::take(&mut stage.left_out),
        control_repo: options.dir.join("control-repo"),
        state: stage.state.path().to_owned(),
        requests: stage.stand_in.log().len(),
        kept: options.keep.then(|| stage.kept(&options.dir)).transpose()?,
    };
    if options.keep {
        stage.lock = Some(kept::keep(&options.dir)?);
    }
    write_json(&options.dir.join("report.json"), &report)?;
    Ok((report, stage))
}

/// Everything that the journey is played with.
pub(crate) struct Stage {
    dir: PathBuf,
    factory: Factory,
    keys: Keys,
    state: StateDir,
    stand_in: StandIn,
    // Lives as long as the journey.
    host: Option<DisposableHost>,
    parts: Vec<PartReport>,
    left_out: Vec<String>,
    // Whether the host's runners run the scripts of jobs.
    runs_scripts: bool,
    // Why the first pipeline did not pass. What follows does not need it.
    failure: Option<Error>,
    application: Option<String>,
    // Last, so that it is free only once the targets are gone.
    lock: Option<Lock>,
}

impl Stage {
    fn set(options: &Options, watch: &dyn Watch) -> Result<Self> {
        let mut parts = Vec::new();
        let mut left_out: Vec<String> = options.without_host.iter().cloned().collect();
        let mut runs_scripts = false;
        let since = Instant::now();
        let stand_in = StandIn::start(gitlab_stand_in::Options::new(options.dir.join("stand-in")))?;
        parts.push(part("stand-in control plane", format!("answers at {}", stand_in.url()), since.elapsed()));

        let identity = options.dir.join("operator-key");
        let public = make_key(&identity)?;
        let mut settings = factory(&stand_in.url(), &public);
        let host = if options.without_host.is_some() {
            settings.host.kind = HostKind::None;
            left_out.push("the pipeline, the agent and the application, which need the host".into());
            None
        } else {
            let since = Instant::now();
            watch.busy("preparing the Debian image (the first build takes a minute)");
            let image = Image::ensure(&Recipe::default(), &mut |line| watch.busy(line))?;
            parts.push(part("Debian image", "ready".into(), since.elapsed()));
            let since = Instant::now();
            watch.busy("starting the disposable host");
            let mut host = DisposableHost::start(
                &image,
                &disposable_host::Options { authorized_key: public, ..Default::default() },
            )?;
            host.lead_back(stand_in.port())?;
            watch.busy("");
            settings.host.address = host.address().to_string();
            settings.host.port = host.port();
            host.host_key_fingerprint().clone_into(&mut settings.host.host_key);
            parts.push(part("disposable host", format!("sshd answers at {}", host.direct()), since.elapsed()));
            let since = Instant::now();
            let brought = programs::bring(&host, options.files.as_deref(), &settings)?;
            parts.push(part("GitLab Runner", brought.runner, since.elapsed()));
            parts.push(part("the agent's tools", brought.tools, Duration::ZERO));
            runs_scripts = brought.without_scripts.is_none();
            left_out.extend(brought.without_scripts);
            Some(host)
        };
        let token = options.dir.join(TOKEN);
        write_atomically(&token, stand_in.owner_token().as_bytes(), 0o600)?;
        let keys = Keys { identity: Some(identity), gitlab_token_file: Some(token), ..Keys::default() };
        let state = StateDir::at(options.dir.join("state"))?;
        let dir = options.dir.join("control-repo");
        Ok(Self {
            dir,
            factory: settings,
            keys,
            state,
            stand_in,
            host,
            parts,
            left_out,
            runs_scripts,
            failure: None,
            application: None,
            lock: None,
        })
    }

    fn workspace<'w>(&self, watch: &'w dyn Watch) -> Result<Workspace<'w>> {
        // The state folder is the rehearsal's own, which no other process uses.
        let state = StateDir::at(self.state.path())?;
        Workspace::of(self.factory.clone(), &self.dir, self.keys.clone(), state, watch)
    }

    fn converge(&mut self, watch: &dyn Watch, again: bool) -> Result<()> {
        let begun = Instant::now();
        let mut since = begun;
        let mut checks = 0;
        let workspace = self.workspace(watch)?;
        let parts = &mut self.parts;
        workspace.apply(&What::All, Run { yes: true, ..Run::default() }, &mut |name, outcome| {
            let result = match outcome {
                Outcome::Applied { changes, .. } if again => {
                    return Err(Error::internal(format!("the second apply of {name} still applied {changes} changes")));
                }
                Outcome::Applied { changes, proofs } => describe(&format!("{changes} changes"), *proofs),
                // All targets were read before the first of them ended, so their times say nothing.
                Outcome::AlreadyRight { proofs } if again => {
                    checks += proofs;
                    return Ok(());
                }
                Outcome::AlreadyRight { proofs } => describe("no changes", *proofs),
            };
            let is_second_visit = parts.iter().any(|part| part.name == name.as_str());
            let name = if is_second_visit { format!("{name}, after the GitLab setup") } else { name.to_string() };
            parts.push(part(&name, result, since.elapsed()));
            since = Instant::now();
            Ok(())
        })?;
        if again {
            parts.push(part("all of it, applied again", describe("no changes", checks), begun.elapsed()));
        }
        Ok(())
    }

    fn kept(&self, dir: &Path) -> Result<Kept> {
        let login = match (&self.host, &self.keys.identity) {
            (Some(_), Some(identity)) => {
                let known = format!("UserKnownHostsFile={}", self.state.file("known_hosts").display());
                let script = format!(
                    "#!/bin/sh\nexec ssh -t -i {} -o IdentitiesOnly=yes -o ConnectTimeout=10 -o {} -p {} {} \"$@\"\n",
                    shell::word(&identity.display().to_string()),
                    shell::word(&known),
                    self.factory.host.port,
                    shell::word(&format!("{}@{}", self.factory.host.operator, self.factory.host.address)),
                );
                let path = dir.join(LOGIN);
                write_atomically(&path, script.as_bytes(), 0o700)?;
                Some(shell::word(&path.display().to_string()))
            }
            _ => None,
        };
        let application = self.application.clone();
        let destroy = kept::command(dir);
        Ok(Kept { gitlab: self.stand_in.url(), token_file: dir.join(TOKEN), login, application, destroy })
    }

    /// Removes the disposable targets.
    ///
    /// # Errors
    /// Why the first pipeline did not pass.
    pub(crate) fn end(self) -> Result<()> {
        self.failure.map_or(Ok(()), Err)
    }

    /// With a host: its runners play the first pipeline.
    fn see_pipeline(&mut self, watch: &dyn Watch) -> Result<()> {
        if self.host.is_none() {
            return Ok(());
        }
        let since = Instant::now();
        let workspace = self.workspace(watch)?;
        let seen = workspace.see_pipeline(PIPELINE, true);
        // A job without its script shows nothing.
        let checked = seen.and_then(|()| if self.runs_scripts { workspace.see_job_checks() } else { Ok(()) });
        self.failure = checked.err();
        interrupt::check()?;
        let result = match self.failure {
            Some(_) => "did not pass: see the error at the end",
            None if self.runs_scripts => "passed on the host's runners",
            None => "taken by the host's runners",
        };
        self.parts.push(part("the first pipeline", result.into(), since.elapsed()));
        Ok(())
    }

    /// With a host: the agent does there what it is there for, and an application is deployed.
    fn work_on_host(&mut self, watch: &dyn Watch) -> Result<()> {
        if self.host.is_none() {
            return Ok(());
        }
        let mut session = self.log_in(watch)?;
        let since = Instant::now();
        watch.busy("the agent works in its clone on the host, proposes a change, and tries to push to main");
        agent_at_work::play(&self.factory, session.as_mut())?;
        let result = "read, proposed; push to main refused".to_owned();
        self.parts.push(part("the agent at work", result, since.elapsed()));
        let since = Instant::now();
        watch.busy("deploying the example application, then a bad release of it");
        self.application = Some(application::play(&self.factory, &self.dir, session.as_mut())?);
        watch.busy("");
        let result = "deployed, healthy; a bad release was rolled back".to_owned();
        self.parts.push(part("the application", result, since.elapsed()));
        Ok(())
    }

    /// As the operator.
    fn log_in(&self, watch: &dyn Watch) -> Result<Box<dyn Session>> {
        let mut options = SshOptions::new(&self.factory.host.address, self.state.file("known_hosts"));
        options.port = Some(self.factory.host.port);
        options.users = vec![self.factory.host.operator.clone()];
        options.identity.clone_from(&self.keys.identity);
        options.host_key = Some(self.factory.host.host_key.parse()?);
        Ssh::new(options, watch)?.connect()
    }
}

fn part(name: &str, result: String, took: Duration) -> PartReport {
    PartReport { name: name.to_owned(), result, seconds: took.as_secs_f64() }
}

fn describe(what: &str, proofs: usize) -> String {
    if proofs == 0 { what.to_owned() } else { format!("{what}, {proofs} policy checks passed") }
}

/// An empty, private folder: a new one, or one that an earlier rehearsal left.
fn clear(dir: &Path) -> Result<()> {
    let cannot = |e: std::io::Error| Error::new(Kind::CannotWrite, format!("cannot create {}: {e}", dir.display()));
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !dir.join(MARKER).exists() {
        return Err(Error::new(
            Kind::CannotWrite,
            format!("{} is not empty, and no rehearsal created it", dir.display()),
        )
        .hint("choose another directory with --into DIR"));
    }
    if occupied {
        fs::remove_dir_all(dir).map_err(cannot)?;
    }
    StateDir::at(dir)?;
    write_atomically(&dir.join(MARKER), b"Created by `factoryup rehearse`, which may replace all of it.\n", 0o600)
}

/// A new key pair for the operator; returns the public line.
fn make_key(path: &Path) -> Result<String> {
    let output = process::command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "rehearsal", "-f"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| {
            Error::usage(format!("cannot run ssh-keygen: {e}")).hint("install the package `openssh-client`")
        })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(
            Error::new(Kind::CannotWrite, format!("ssh-keygen could not create {}", path.display())).caused_by(why)
        );
    }
    let public = path.with_extension("pub");
    fs::read_to_string(&public)
        .map(|text| text.trim_end().to_owned())
        .map_err(|e| Error::new(Kind::CannotWrite, format!("cannot read {}: {e}", public.display())))
}

fn factory(url: &str, key: &str) -> Factory {
    Factory {
        schema: SCHEMA,
        factory: FactorySection {
            name: "rehearsal".into(),
            description: "Day one, rehearsed".into(),
            owner_name: "Ada Lovelace".into(),
            owner_email: "ada@example.org".into(),
            ..FactorySection::default()
        },
        host: Host { authorized_keys: vec![key.to_owned()], ..Host::default() },
        gitlab: Gitlab { url: url.to_owned(), group: "factory".into(), project: "control".into(), ..Gitlab::default() },
        agent: Agent::default(),
        infra: Infra::default(),
        cloudflare: Cloudflare::default(),
        secrets: Secrets::default(),
        runner: Runner::default(),
        environments: Environments::default(),
    }
}
