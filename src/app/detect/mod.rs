//! How an existing repo is built, started and asked whether it is healthy: read from its files, offline, without running any of it.
//!
//! The order of sources is that of trust: the user's flags, the manifests of other platforms (each proved once by its owner), the
//! container file, lock files and manifests of the language, the `Procfile`. What stays ambiguous, or cannot be built yet, is refused
//! with the flags that decide it. Every value keeps its origin, which `.factory/app.conf` names.

mod backing;
mod compose;
mod conf;
mod container;
mod environment;
mod folder;
mod go;
mod html;
mod hugo;
mod interpolate;
mod node;
mod platform;
mod processes;
mod procfile;
mod python;
mod refuse;
mod rust;
mod service;
mod settings;
mod source;
mod worker;
mod yaml;

use super::AppKind;
pub(crate) use environment::HEALTH_PATHS;
pub(crate) use source::{Said, Source};
use source::{is_line, is_plain, one_line};
pub(crate) use worker::Worker;

/// A stack of programs that a repo can be built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stack {
    /// Flask, Django and other Python.
    Python,
    /// Node.js, and sites that are built with it.
    Node,
    /// Go.
    Go,
    /// Rust.
    Rust,
    /// A site made by Hugo.
    Hugo,
    /// HTML as it is.
    Html,
    /// What a container file builds.
    Container,
}

impl Stack {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Node => "node",
            Self::Go => "go",
            Self::Rust => "rust",
            Self::Hugo => "hugo",
            Self::Html => "html",
            Self::Container => "container",
        }
    }
}

/// What the user decides instead of the files.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The folder of the application in a repo that has several; `.` for the top.
    pub folder: Option<String>,
    /// What the repo is built with.
    pub stack: Option<Stack>,
    /// The commands that build it, in their order.
    pub build: Vec<String>,
    /// The program that serves: a main package, a binary, or a command.
    pub run: Option<String>,
    /// The path that answers 200 when the application can serve.
    pub health: Option<String>,
    /// The folder that a build of a site leaves.
    pub output: Option<String>,
    /// The command that runs before a release starts; an empty one for none.
    pub migrate: Option<String>,
    /// Processes without a port, each `NAME=COMMAND`; an empty command for one that is not to run.
    pub workers: Vec<String>,
}

/// What is known of a repo.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(crate) struct Facts {
    pub(crate) stack: &'static str,
    /// An image that has the tools.
    pub(crate) image: String,
    /// The folder that it is in, unless that is the top. Everything else is said from there.
    pub(crate) folder: Option<Said>,
    /// Whether it is a folder of files, and no program.
    pub(crate) is_static: bool,
    /// Whether a release is the root file system of an image, whose command serves unless there is a `start`.
    pub(crate) is_container: bool,
    /// The folder that its programs keep data in, besides `APP_DATA`.
    pub(crate) volume: Option<Said>,
    pub(crate) build: Vec<Said>,
    /// The command that serves.
    pub(crate) start: Option<Said>,
    /// The file that the build makes and `start` runs.
    pub(crate) program: Option<Said>,
    /// The command that runs once for each release, before it starts.
    pub(crate) migrate: Option<Said>,
    pub(crate) workers: Vec<Worker>,
    /// Whether the host gives it a database: `yes`.
    pub(crate) postgres: Option<Said>,
    /// Whether the host gives it a Redis: `yes`.
    pub(crate) redis: Option<Said>,
    /// What a line that serves runs before that.
    pub(super) before: Option<Said>,
    /// The migration that files of a framework tell of.
    pub(super) framework: Option<Said>,
    /// The folder that a web server shows.
    pub(crate) output: Option<Said>,
    /// The variable that the program takes its port from, unless it is `PORT`.
    pub(crate) port_variable: Option<Said>,
    pub(crate) health: Option<Said>,
    /// Whether `health` is a guess that a trial has to confirm.
    pub(crate) health_is_a_guess: bool,
    /// The memory in MiB that it had in a trial.
    pub(crate) used: Option<u64>,
    /// Names of variables that it does not start without.
    pub(crate) env: Vec<Said>,
    /// Folders and files that it writes to.
    pub(crate) data: Vec<Said>,
    pub(crate) test: Vec<Said>,
    /// What the owner should know.
    pub(crate) notes: Vec<String>,
}

/// Why a repo is not adopted, and the flags that would decide it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    pub(crate) hints: Vec<String>,
}

impl Refusal {
    fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why: why.into(), hints: vec![hint.into()] }
    }
}

/// Finds out what `source` is. What is said of it may be printed, whatever names the repo has.
pub(crate) fn detect(source: &Source, wishes: &Wishes, kind: Option<AppKind>) -> Result<Facts, Refusal> {
    let lines = |texts: Vec<String>| texts.iter().map(|text| one_line(text)).collect();
    match find(source, wishes, kind) {
        Ok(facts) => Ok(Facts { notes: lines(facts.notes), ..facts }),
        Err(refusal) => Err(Refusal { why: one_line(&refusal.why), hints: lines(refusal.hints) }),
    }
}

fn find(source: &Source, wishes: &Wishes, kind: Option<AppKind>) -> Result<Facts, Refusal> {
    check(wishes)?;
    refuse::submodule(source)?;
    let facts = match folder::chosen(source, wishes, kind)? {
        None => read(source, wishes, kind)?,
        Some(chosen) => {
            let mut facts = read(&source.below(&chosen.folder.value), wishes, kind)?;
            // A Compose file there can name a folder below.
            facts.folder = Some(match facts.folder {
                Some(inner) => Said::new(format!("{}/{}", chosen.folder.value, inner.value), inner.origin),
                None => chosen.folder,
            });
            facts.notes.extend(chosen.notes);
            facts
        }
    };
    facts.folder.as_ref().map_or(Ok(()), |folder| folder::check(source, &folder.value))?;
    Ok(facts)
}

fn read(source: &Source, wishes: &Wishes, kind: Option<AppKind>) -> Result<Facts, Refusal> {
    let chosen = wishes.stack.or((kind == Some(AppKind::Container)).then_some(Stack::Container));
    let stack = refuse::stack(source, chosen)?;
    let mut facts = Facts { stack: stack.name(), is_container: stack == Stack::Container, ..Facts::default() };
    let flag = |value: &String, flag: &str| Said::new(value, flag);
    facts.build = wishes.build.iter().map(|step| flag(step, "--build")).collect();
    let mut compose = None;
    if stack == Stack::Container {
        compose = Some(service::read(source, wishes, &mut facts)?);
    }
    let mapped = compose.as_mut().and_then(|found| found.mapped.take());
    let top = source;
    let source = mapped.as_ref().and_then(|mapped| Some(&mapped.below.as_ref()?.0)).unwrap_or(source);
    let file = mapped.as_ref().map(|mapped| mapped.file.as_str()).or_else(|| source.first(&refuse::CONTAINER));
    platform::read(source, &mut facts);
    container::read(source, file, &mut facts);
    facts.output = wishes.output.as_ref().map(|folder| flag(folder, "--output")).or(facts.output);
    if let Some(path) = &wishes.health {
        facts.health = Some(flag(path, "--health"));
    }
    match stack {
        Stack::Python => python::read(source, wishes, &mut facts)?,
        Stack::Node => node::read(source, wishes, kind, &mut facts)?,
        Stack::Go => go::read(source, wishes, &mut facts)?,
        Stack::Rust => rust::read(source, wishes, &mut facts)?,
        Stack::Hugo => hugo::read(source, &mut facts),
        Stack::Html => html::read(source, &mut facts),
        Stack::Container => container::build(source, file, wishes, &mut facts)?,
    }
    if let Some(mapped) = &mapped {
        facts.folder = mapped.below.as_ref().map(|(_, folder)| folder.clone());
        facts.start = facts.start.or_else(|| mapped.start.clone());
    }
    let fits = |kind| match kind {
        AppKind::Static => facts.is_static,
        AppKind::Http => !facts.is_static,
        AppKind::Container => facts.is_container,
    };
    if kind.is_some_and(|kind| !fits(kind)) {
        let is = if facts.is_static { "a site (static)" } else { "a program (http)" };
        let from = facts.output.as_ref().or(facts.start.as_ref()).map_or("its files", |said| said.origin.as_str());
        let decides = if facts.is_static {
            "--run COMMAND names the program"
        } else {
            "--output DIR names the folder of the site"
        };
        return Err(Refusal::new(
            format!("--kind contradicts {from}, by which the repo is {is}"),
            format!("omit --kind, or override the detection: {decides}"),
        ));
    }
    if facts.is_static {
        facts.health = Some(Said::new("/", "the build, which fails without an index.html"));
        facts.health_is_a_guess = false;
        facts.port_variable = None;
        facts.env.clear();
        (facts.migrate, facts.workers, facts.postgres, facts.redis) = (None, Vec::new(), None, None);
    } else {
        let found = compose.map_or_else(|| service::read(top, wishes, &mut facts), Ok)?;
        found.settle(&mut facts);
        processes::read(source, wishes, &mut facts);
        environment::read(source, stack, &mut facts);
    }
    keep_lines(&mut facts);
    if facts.is_static && facts.output.is_none() {
        return Err(Refusal::new("the site's directory is not in the repo", "choose it: --output DIR"));
    }
    if !facts.is_static && !facts.is_container && facts.start.is_none() {
        return Err(Refusal::new(
            "the command that serves is not one line of text",
            "set the command that serves: --run COMMAND",
        ));
    }
    Ok(facts)
}

/// What was read becomes lines of `.factory/app.conf`, which hold no line ends; and paths there need no quotes.
fn keep_lines(facts: &mut Facts) {
    let fits = |said: &Said| is_line(&said.value);
    for list in [&mut facts.build, &mut facts.test] {
        list.retain(fits);
    }
    for list in [&mut facts.env, &mut facts.data] {
        list.retain(|said| is_plain(&said.value));
        let mut seen = std::collections::BTreeSet::new();
        list.retain(|said| seen.insert(said.value.clone()));
    }
    let is_name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    facts.port_variable = facts.port_variable.take().filter(|said| said.value != "PORT" && is_name(&said.value));
    facts.start = facts.start.take().filter(fits);
    facts.migrate = facts.migrate.take().filter(fits);
    facts.workers.retain(|worker| fits(&worker.said));
    if facts.workers.len() > worker::MOST {
        let off: Vec<_> = facts.workers.drain(worker::MOST..).map(|worker| worker.name).collect();
        facts.notes.push(format!("releases run at most {} workers, and not {}", worker::MOST, off.join(", ")));
    }
    facts.volume = facts.volume.take().filter(|said| is_folder(&said.value));
    facts.output = facts.output.take().filter(|said| is_plain(&said.value) && !said.value.starts_with('/'));
    facts.health = facts.health.take().filter(|said| is_health_path(&said.value));
}

/// Whether a path can be where an image keeps data.
fn is_folder(path: &str) -> bool {
    let is_name = |part: &str| {
        !part.is_empty() && part != ".." && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_name))
}

/// What the contract takes as a health path.
pub(crate) fn is_health_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
}

fn check(wishes: &Wishes) -> Result<(), Refusal> {
    let lines = wishes.build.iter().map(|step| ("--build", step)).chain(wishes.run.iter().map(|run| ("--run", run)));
    for (flag, text) in lines {
        if !is_line(text) {
            return Err(Refusal::new(
                format!("{flag} is not one line of text"),
                "use one command per --build, and a single --run",
            ));
        }
    }
    processes::check(wishes)?;
    if wishes.health.as_ref().is_some_and(|path| !is_health_path(path)) {
        return Err(Refusal::new(
            "--health is not a path of letters, digits, / . _ and -",
            "for example: --health /healthz",
        ));
    }
    if wishes.output.as_ref().is_some_and(|folder| !is_plain(folder) || folder.starts_with('/')) {
        return Err(Refusal::new("--output is not a directory in the repo", "for example: --output dist"));
    }
    Ok(())
}

/// Whether a command starts the program of this name where a build leaves it.
fn is_built_for(command: &str, name: &str) -> bool {
    command.split_whitespace().any(|word| word.strip_prefix(".factory/bin/") == Some(name))
}

/// A list of alternatives for a message: `a, b or c`.
fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests;
