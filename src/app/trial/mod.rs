//! The trial: an adopted application is built and answers once before anything is written.
//!
//! It runs the repo's own code as the user, as a build by hand would: `.factory/build` on a commit that only a temporary repo has, then
//! `.factory/run` from the archive that came out: its migration, the program, its workers. All are bounded in time and output, get little
//! of the environment, and end with all that they started.

mod job;
mod postgres;
mod probe;
mod processes;
mod redis;

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::detect::{Facts, HEALTH_PATHS, Said};
use super::scaffold::commit;
use super::{AppError, Request};
use crate::budget::Budget;
use crate::dialog::plain;
use crate::git::Git;
use crate::git::ObjectFormat;
use crate::git::write::Edit;
use crate::process;
use job::Job;
use postgres::Postgres;
use probe::Probe;
use redis::Redis;

const BUILD: Duration = Duration::from_mins(15);
const START: Duration = Duration::from_mins(1);
/// How long an answer of 5xx may mean that the application is still starting.
const WARM: Duration = Duration::from_secs(10);
/// `.factory/build`: a tool is not installed.
const NO_TOOL: i32 = 69;

/// What a trial showed.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) outcome: Outcome,
    /// Names of workers that ended, and why.
    pub(super) ended: Vec<(String, String)>,
    /// The memory in MiB that what serves had at most.
    pub(super) used: Option<u64>,
}

/// What became of what serves.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It answered on a path that nothing named.
    Answered(Said),
    /// It answered on the path that was named.
    Served,
    /// A site was built, and its first page is there.
    Built,
    /// It was not tried.
    NotTried(String),
}

/// Builds and starts the commit `head` with `edits` on top.
pub(super) fn run(
    git: &Git,
    head: &str,
    request: &Request<'_>,
    facts: &Facts,
    edits: &[Edit],
    say: &dyn Fn(&str),
) -> Result<Shown, AppError> {
    let only = |outcome| Shown { outcome, ended: Vec::new(), used: None };
    if !request.trial {
        return Ok(only(Outcome::NotTried("--no-trial was given".into())));
    }
    let no = |why: io::Error| AppError::NoTrial { dir: git.dir().to_owned(), why };
    if let Some(tool) = missing_tool(facts).or_else(|| missing_service(facts)) {
        return Ok(only(Outcome::NotTried(format!("{tool} is not installed"))));
    }
    say(&format!(
        "building and starting the code of {} once, as you, in a temporary directory (--no-trial skips this)",
        git.dir().display()
    ));
    let folder = crate::private::directory("factoryup-trial-").map_err(no)?;
    let postgres = match facts.postgres.as_ref().map(|_| Postgres::start()).transpose() {
        Ok(postgres) => postgres,
        Err(why) => return Ok(only(Outcome::NotTried(why))),
    };
    let redis = match facts.redis.as_ref().map(|_| Redis::start()).transpose() {
        Ok(redis) => redis,
        Err(why) => return Ok(only(Outcome::NotTried(why))),
    };
    // Some read a file by that name.
    let environment = request.factory.environments.names.last().map_or("production", String::as_str);
    let mut settings = settings(facts, &folder.path().join("data")).map_err(no)?;
    settings.extend(postgres.iter().flat_map(Postgres::settings).chain(redis.iter().map(Redis::setting)));
    let place = Place { root: folder.path(), facts, environment, settings, dir: git.dir(), say };
    let shown = copy(git, head, request, edits, &folder.path().join("repo")).and_then(|()| place.build_and_start());
    // A release is read-only.
    let _ = process::output(process::command("chmod").args(["-R", "u+w"]).arg(folder.path()), None, Budget::LOCAL);
    shown
}

/// The first tool of the build or the start that is not here.
fn missing_tool(facts: &Facts) -> Option<String> {
    let words =
        facts.build.iter().chain(&facts.start).chain(&facts.migrate).filter_map(|said| said.value.split(' ').next());
    let programs =
        words.filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
    let all = ["git", "tar", "gzip"].into_iter().chain(programs);
    // What the build installs is found there only after it.
    let installed = |word: &str| which::which(word).is_ok() || !KNOWN.contains(&word);
    all.map(str::to_owned).find(|word| !installed(word))
}

/// The first program of a service that it asks for which is not here.
fn missing_service(facts: &Facts) -> Option<String> {
    let postgres = facts.postgres.as_ref().and_then(|_| Postgres::missing());
    let redis = || facts.redis.as_ref().and_then(|_| Redis::missing().map(str::to_owned));
    postgres.map(|program| format!("{program}, of Postgres,")).or_else(redis)
}

/// Tools that no build of an application brings.
const KNOWN: [&str; 14] =
    ["git", "tar", "gzip", "python3", "uv", "poetry", "node", "npm", "yarn", "pnpm", "go", "cargo", "hugo", "make"];

/// A repo of its own with the objects of the other, so that nothing of the trial is written there.
fn copy(git: &Git, head: &str, request: &Request<'_>, edits: &[Edit], to: &Path) -> Result<(), AppError> {
    let no = |why: io::Error| AppError::NoTrial { dir: git.dir().to_owned(), why };
    fs::create_dir(to).map_err(no)?;
    let objects = git.line(&["rev-parse", "--git-path", "objects"])?;
    let objects = git.dir().join(objects);
    let copy = Git::new(to)?;
    copy.init("trial", if head.len() == 64 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 })?;
    let info = to.join(".git/objects/info");
    fs::create_dir_all(&info).map_err(no)?;
    fs::write(info.join("alternates"), format!("{}\n", objects.display())).map_err(no)?;
    copy.commit(&commit(request, "trial", Some(head), "Try it\n", edits))?;
    copy.fill_work_tree()?;
    Ok(())
}

struct Place<'a> {
    root: &'a Path,
    facts: &'a Facts,
    environment: &'a str,
    settings: Vec<(String, String)>,
    dir: &'a Path,
    say: &'a dyn Fn(&str),
}

impl Place<'_> {
    fn build_and_start(&self) -> Result<Shown, AppError> {
        let only = |outcome| Shown { outcome, ended: Vec::new(), used: None };
        let repo = self.root.join("repo");
        let mut command = job::command(&repo.join(".factory/build"), &repo);
        command.arg("trial").env("CI_COMMIT_TIMESTAMP", "2000-01-01T00:00:00Z");
        let mut job = Job::start(&mut command, self.root.join("build.log")).map_err(|e| self.no(e))?;
        let mut step = |line: &str| {
            if let Some(step) = line.strip_prefix("== ") {
                (self.say)(&format!("  {}", plain(step)));
            }
        };
        let ended = job.wait(BUILD, &mut step).map_err(|e| self.no(e))?;
        let last = job.tail();
        match ended {
            None if crate::interrupt::pending() => return Err(AppError::Interrupted),
            None => {
                return Err(self.failed(format!("its build did not end within {} min", BUILD.as_secs() / 60), &last));
            }
            Some(status) if status.code() == Some(NO_TOOL) => {
                let why = last.lines().last().unwrap_or_default();
                let why = why.trim_start_matches("build: ").trim_start_matches("image: ").to_owned();
                return Ok(only(Outcome::NotTried(why)));
            }
            Some(status) if !status.success() => return Err(self.failed("it does not build".into(), &last)),
            Some(_) => {}
        }
        self.unpack()?;
        // The host's edge serves its files, and `.factory/build` looked for the first page.
        if self.facts.is_static {
            return Ok(only(Outcome::Built));
        }
        if self.facts.is_container && !processes::lets(&processes::IN_AN_IMAGE, "/proc") {
            return Ok(only(Outcome::NotTried(
                "its image builds, but this machine lets no user make namespaces".into(),
            )));
        }
        self.migrate()?;
        self.start()
    }

    /// As on the host, where a release is read-only.
    fn unpack(&self) -> Result<(), AppError> {
        let release = self.root.join("release");
        let unpack = "mkdir \"$1\" && tar -xzf \"$2\"/*-trial.tar.gz -C \"$1\" && chmod -R a-w \"$1\"";
        let mut command = process::command("sh");
        command.args(["-euc", unpack, "sh"]).arg(&release).arg(self.root.join("repo/.factory/dist"));
        let budget = Budget { time: Duration::from_mins(5), ..Budget::LOCAL };
        let output = process::output(&mut command, None, budget).map_err(|e| self.no(e))?;
        if output.status.success() {
            return Ok(());
        }
        Err(self.failed("its release cannot be unpacked".into(), &plain(&String::from_utf8_lossy(&output.stderr))))
    }

    /// A command of the release, told what every program of a release is told.
    fn command(&self, program: &Path) -> Command {
        let mut command = job::command(program, &self.root.join("release"));
        command.envs([("APP_ENVIRONMENT", self.environment), ("APP_VERSION", "trial")]);
        command.env("APP_DATA", self.root.join("data"));
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    fn start(&self) -> Result<Shown, AppError> {
        let run = ".factory/run";
        let port = probe::free_port().map_err(|e| self.no(e))?;
        let mut command = self.command(&self.root.join("release").join(run));
        command.envs([("ADDRESS", "127.0.0.1"), ("APP_RUN", run), ("PORT", &port.to_string())]);
        let mut job = Job::start(&mut command, self.root.join("run.log")).map_err(|e| self.no(e))?;
        (self.say)(&format!("  started on 127.0.0.1:{port}; waiting for its health check"));
        let probe = Probe::new(port);
        let begun = Instant::now();
        while begun.elapsed() < START {
            if crate::interrupt::pending() {
                return Err(AppError::Interrupted);
            }
            if let Some(status) = job.ended().map_err(|e| self.no(e))? {
                let code = status.code().map_or_else(|| "a signal".into(), |code| format!("exit code {code}"));
                return Err(self.failed(format!("it builds, but ends with {code}"), &job.tail()));
            }
            let listens = probe.listens();
            // One that takes no port from PORT will not begin to.
            if !listens && begun.elapsed() > WARM && !probe::ports_of(job.group()).is_empty() {
                break;
            }
            if listens && let Some(outcome) = self.healthy(&probe, begun.elapsed() > WARM) {
                let used = Some(probe::memory_of(job.group()));
                return Ok(Shown { outcome, ended: self.workers()?, used });
            }
            std::thread::sleep(Duration::from_millis(250));
        }
        let others: Vec<String> =
            probe::ports_of(job.group()).into_iter().filter(|other| *other != port).map(|p| p.to_string()).collect();
        let why = match (&self.facts.health, probe.listens()) {
            (Some(health), true) if !self.facts.health_is_a_guess => {
                let status =
                    probe.status(&health.value).map_or_else(|| "no answer".into(), |status| status.to_string());
                format!("it builds and starts, but answers {status} on {} (from {})", health.value, health.origin)
            }
            (_, true) => "it builds and starts, but answers 200 on none of the usual paths".into(),
            (_, false) if !others.is_empty() => {
                format!("it builds and starts, but listens on port {} instead of PORT", others.join(", "))
            }
            (_, false) => "it builds and starts, but does not listen on PORT".into(),
        };
        let last = job.tail();
        Err(if probe.listens() { self.failed(why, &last) } else { self.without_port(why, &last) })
    }

    /// The path that answers, once one does.
    fn healthy(&self, probe: &Probe, is_warm: bool) -> Option<Outcome> {
        let known = self.facts.health.as_ref();
        if let Some(said) = known.filter(|_| !self.facts.health_is_a_guess) {
            let path = probe.healthy(&said.value)?;
            if path == said.value {
                return Some(Outcome::Served);
            }
            // A release is healthy by a 200 alone.
            return Some(Outcome::Answered(Said::new(
                path,
                format!("{}: {}, which redirects here", said.origin, said.value),
            )));
        }
        // What answers 200 on any path says nothing with it.
        let any = probe.status("/factoryup-asks-for-what-is-not-there") == Some(200);
        let guess = known.map(|said| said.value.as_str()).into_iter();
        let mut paths = guess.chain(HEALTH_PATHS).filter(|path| !any || *path == "/");
        if !is_warm && paths.clone().any(|path| probe.status(path).is_some_and(|status| status >= 500)) {
            return None;
        }
        let path = paths.find_map(|path| probe.healthy(path))?;
        let origin = match known.filter(|said| said.value == path) {
            Some(said) => format!("{}, and it answered 200 in a trial", said.origin),
            None => "a trial, where it answered 200".into(),
        };
        Some(Outcome::Answered(Said::new(path, origin)))
    }

    fn no(&self, why: io::Error) -> AppError {
        AppError::NoTrial { dir: self.dir.to_owned(), why }
    }

    fn failed(&self, why: String, last: &str) -> AppError {
        let why = if last.is_empty() { why } else { format!("{why}. Its last output:\n{last}\n") };
        let hints = vec![
            "override what was detected wrong: --build COMMAND, --run COMMAND, --health PATH, --output DIR".into(),
            "or skip the trial with --no-trial, and fix .factory/app.conf on the branch".into(),
        ];
        AppError::Trial { dir: self.dir.to_owned(), why, hints }
    }

    /// As [`failed`](Self::failed), for a program that does not listen on the port that it gets.
    fn without_port(&self, why: String, last: &str) -> AppError {
        let mut error = self.failed(why, last);
        let start = self.facts.start.as_ref().map(|said| said.value.as_str());
        if let (AppError::Trial { hints, .. }, Some(start)) =
            (&mut error, start.or(self.facts.is_container.then_some("COMMAND")))
        {
            let run = |command: String| crate::shell::word(&command);
            let with_flag = run(format!("{start} --port \"$PORT\""));
            let with_name = run(format!("env NAME=\"$PORT\" {start}"));
            hints.insert(0, format!("pass it its port, for example: --run {with_flag} or --run {with_name}"));
        }
        error
    }
}

/// Values of no worth for the settings that it needs; and the folder for what it keeps.
fn settings(facts: &Facts, data: &Path) -> io::Result<Vec<(String, String)>> {
    fs::create_dir(data)?;
    let mut all = Vec::new();
    for said in &facts.env {
        let name = said.value.as_str();
        let has = |word: &str| name.split('_').any(|part| part == word);
        let value = if has("DATABASE") && has("URL") {
            format!("sqlite:///{}", data.join("trial.db").display())
        } else if ["PATH", "DIR", "FILE", "FOLDER", "LOCATION"].into_iter().any(has) {
            data.join(name.to_ascii_lowercase()).display().to_string()
        } else if has("URL") || has("URI") {
            "http://127.0.0.1:9".into()
        } else if has("HOST") {
            "127.0.0.1".into()
        } else if has("PORT") || has("TIMEOUT") {
            "9".into()
        } else if has("DEBUG") {
            "0".into()
        } else {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
            crate::digest::hex(&bytes)
        };
        all.push((name.to_owned(), value));
    }
    Ok(all)
}
