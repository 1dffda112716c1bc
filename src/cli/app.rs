//! `factoryup app`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::access::Access;
use crate::app::{ADOPT_BRANCH, Added, AppKind, Made, Request, Stack, Trial, Wishes, add_saying, no_kind};
use crate::dialog::plain;
use crate::error::Result;
use crate::factory::HostKind;
use crate::shell;
use crate::ui::Ui;
use crate::workspace::{self, Purpose, Workspace, factory_in};

/// Work with the applications of the factory
#[derive(Debug, Args)]
pub(super) struct App {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Add),
    Publish(Publish),
}

/// Create an application repo, or adopt an existing one
///
/// It pushes nothing.
///
/// With --adopt, factoryup reads from the files of the repo how it is built, started and asked whether it is healthy: Python, Node.js,
/// Go, Rust, Hugo, plain HTML, a container file or a Compose file. Then it builds and starts the repo's own code once, as you, in a
/// temporary folder. If that works, a branch factory/adopt adds the directory .factory/, and AGENTS.md and CLAUDE.md if they are
/// missing. Nothing that is there changes.
///
/// The control repo gets a branch factory/app-NAME with one new file, infra/apps/NAME.json. After the merge, the pipeline creates the
/// application's project in GitLab and its route through the edge.
///
/// DIR of --path cannot be a home directory, a dot directory in one such as ~/.ssh, or a system directory.
#[derive(Debug, Args)]
struct Add {
    /// 2 to 32 of a-z, 0-9 and single -, beginning with a letter
    name: String,

    /// What it is; required without --adopt
    #[arg(long, value_name = "KIND")]
    kind: Option<AppKind>,

    /// One line about it
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,

    /// Where the new repo lands: a folder that is empty or not there [default: NAME beside the control repo]
    #[arg(long, value_name = "DIR", conflicts_with = "adopt", value_parser = super::path())]
    path: Option<PathBuf>,

    /// Adopt the git repo in this directory: add .factory/ on a branch factory/adopt, overwrite nothing
    #[arg(long, value_name = "DIR", value_parser = super::path())]
    adopt: Option<PathBuf>,

    /// Let everybody open it from outside, once it is in production
    #[arg(long)]
    public: bool,

    /// With --adopt: the directory of the application in a repo that has several; . for the top
    #[arg(long, value_name = "DIR", requires = "adopt")]
    folder: Option<String>,

    /// With --adopt: what it is built with, if its files leave that open
    #[arg(long, value_name = "STACK", requires = "adopt")]
    stack: Option<Stack>,

    /// With --adopt: a command that builds it; give one for each step, in order
    #[arg(long, value_name = "COMMAND", requires = "adopt")]
    build: Vec<String>,

    /// With --adopt: what serves: a main package, a binary, or a command that listens on $PORT
    #[arg(long, value_name = "PROGRAM", requires = "adopt")]
    run: Option<String>,

    /// With --adopt: the path that answers 200 when it can serve
    #[arg(long, value_name = "PATH", requires = "adopt")]
    health: Option<String>,

    /// With --adopt: the directory that the build of a site leaves
    #[arg(long, value_name = "DIR", requires = "adopt")]
    output: Option<String>,

    /// With --adopt: what runs before a release starts, such as a migration; '' for nothing
    #[arg(long, value_name = "COMMAND", requires = "adopt")]
    migrate: Option<String>,

    /// With --adopt: a process without a port; give one for each, and NAME= for one that is not to run
    #[arg(long = "worker", value_name = "NAME=COMMAND", requires = "adopt")]
    workers: Vec<String>,

    /// With --adopt: do not build and start it once
    #[arg(long, requires = "adopt")]
    no_trial: bool,
}

/// Publish an application to GitLab and the host, step by step
///
/// Each run reads GitLab, the application's repo and the control repo, and makes every step that can be made now. What you did by hand
/// counts, and a run that was interrupted is continued by the next one.
///
/// The steps: the merge request that registers the application, which you merge; `apply:control-plane`, which makes its project; the
/// history as it is, never by force, with the commit that adds .factory/ to an adopted repo on top; the runners, each created and started
/// on the host; the first pipeline, and with it the first release.
///
/// On a terminal, publish waits for the merge and the pipelines, and offers to start the jobs that only you may start: `apply:control-plane`,
/// after it has shown the plan, and the first release in production. With --yes or without a terminal it starts no such job, and ends with
/// what is left for you.
///
/// Exit codes: 0 all is there; 2 the pipeline or a job failed; 64 there is no such application; 65 the project has another history; 73
/// the application's repo would lose something; 75 it waits for what it names; 77 GitLab or the host does not permit a step.
///
/// Example: factoryup app publish shop
#[derive(Debug, Args)]
struct Publish {
    /// The name it was added with
    name: String,

    /// Its repo on this machine [default: NAME next to the control repo]
    #[arg(long, value_name = "DIR", value_parser = super::path())]
    path: Option<PathBuf>,

    /// Make the steps without confirmation; waits for nothing, and starts no job that only you may start
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    access: Access,
}

impl Publish {
    fn run(&self, dir: &Path, ui: &Ui) -> Result<()> {
        let purpose = if factory_in(dir)?.host.kind == HostKind::None { Purpose::Apply } else { Purpose::ApplyHost };
        let workspace = Workspace::open(dir, self.access.keys(), purpose, ui)?;
        let asked = workspace::Publish { name: self.name.clone(), folder: self.path.clone(), yes: self.yes };
        let published = workspace.publish(&asked)?;
        ui.card(&published.card)?;
        if let Some(waits) = published.waits {
            return Err(waits);
        }
        ui.say(&format!("\nAll of {} is there.", self.name));
        Ok(())
    }
}

impl App {
    pub(super) fn run(&self, dir: &Path, ui: &Ui) -> Result<()> {
        let command = match &self.command {
            Command::Add(command) => command,
            Command::Publish(command) => return command.run(dir, ui),
        };
        if command.kind.is_none() && command.adopt.is_none() {
            return Err(no_kind(&command.name));
        }
        let factory = factory_in(dir)?;
        let wishes = Wishes {
            folder: command.folder.clone(),
            stack: command.stack,
            build: command.build.clone(),
            run: command.run.clone(),
            health: command.health.clone(),
            output: command.output.clone(),
            migrate: command.migrate.clone(),
            workers: command.workers.clone(),
        };
        let request = Request {
            description: command.description.clone(),
            folder: command.path.clone(),
            adopt: command.adopt.clone(),
            public: command.public,
            wishes,
            trial: !command.no_trial,
            ..Request::new(dir, &factory, &command.name, command.kind)
        };
        let added = add_saying(&request, &|text| ui.say(text))?;
        let path = typed_path(dir, &command.name, &added.folder);
        if ui.is_json() { ui.json(json(&added)) } else { ui.show(&text(&command.name, &added, &path)) }
    }
}

/// How `app publish` is told where the repo is, unless it looks there anyway.
fn typed_path(control: &Path, name: &str, folder: &Path) -> String {
    let sibling = control.parent().map(|parent| parent.join(name));
    if sibling.as_deref() == Some(folder) {
        String::new()
    } else {
        let typed = super::typed(folder);
        format!(" --path {}", if typed.is_empty() { ".".into() } else { shell::word(&typed) })
    }
}

fn json(added: &Added) -> serde_json::Value {
    let (made, files, kept) = match &added.made {
        Made::Created => ("created", &[][..], &[][..]),
        Made::Adopted { files, kept, .. } => ("adopted", files.as_slice(), kept.as_slice()),
        Made::AlreadyThere => ("already-there", &[][..], &[][..]),
    };
    let trial = match &added.made {
        Made::Adopted { trial: Trial::Answered { path, migrated, workers }, .. } => {
            json!({ "result": "answered", "health": path, "migrated": migrated, "workers": workers })
        }
        Made::Adopted { trial: Trial::Built, .. } => json!({ "result": "built" }),
        Made::Adopted { trial: Trial::NotTried { why }, .. } => json!({ "result": "not-tried", "reason": why }),
        _ => serde_json::Value::Null,
    };
    let ports: serde_json::Map<_, _> = added.ports.iter().map(|(name, port)| (name.clone(), json!(port))).collect();
    json!({
        "event": "app", "folder": added.folder, "made": made, "files": files, "kept": kept,
        "branch": added.branch, "branch_is_new": added.branch_is_new, "ports": ports, "trial": trial,
    })
}

fn text(name: &str, added: &Added, path: &str) -> String {
    let folder = added.folder.display();
    let mut lines = match &added.made {
        Made::Created => vec![format!("created {folder}, with its first commit")],
        Made::AlreadyThere => vec![format!("{folder} already exists")],
        Made::Adopted { files, kept, trial, notes } => {
            let mut lines = vec![format!("{folder}: the branch {ADOPT_BRANCH} adds {}", files.join(", "))];
            if !kept.is_empty() {
                lines.push(format!("unchanged: {}", kept.join(", ")));
            }
            lines.push(match trial {
                Trial::Answered { path, migrated, workers } => {
                    let migrates = if *migrated { "migrates, " } else { "" };
                    let run = if workers.is_empty() {
                        String::new()
                    } else {
                        format!("; workers run: {}", workers.join(", "))
                    };
                    format!("tested: it builds, {migrates}starts, and answers 200 on {path}{run}")
                }
                Trial::Built => "tested: it builds, and has its index.html".into(),
                Trial::NotTried { why } => format!("not tried: {why}"),
            });
            lines.extend(notes.iter().map(|note| format!("note: {}", plain(note))));
            lines
        }
    };
    let ports: Vec<_> = added.ports.iter().map(|(environment, port)| format!("{environment} {port}")).collect();
    lines.push(format!("ports on the host: {}", ports.join(", ")));
    match &added.branch {
        Some(branch) => {
            let made = if added.branch_is_new { "new" } else { "existing" };
            lines.push(format!("control repo: the branch {branch} ({made}) adds infra/apps/{name}.json"));
        }
        None => lines.push(format!("the control repo already has {name}")),
    }
    lines.push(format!(
        "next, when `factoryup apply` has pushed the control repo to GitLab: factoryup app publish {name}{path}"
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_names_the_repo_that_it_needs() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(typed_path(Path::new("/lab"), "shop", Path::new("/shop")), "");
        assert_eq!(typed_path(Path::new("/lab"), "shop", Path::new("/a b")), " --path '/a b'");
        assert_eq!(typed_path(Path::new("/lab"), "shop", &here), " --path .");
    }
}
