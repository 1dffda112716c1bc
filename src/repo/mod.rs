//! Target *repo*: the control repo, rendered from `templates/` into one git commit.
//!
//! `desired` renders the answers to a tree in memory, `observe` reads what a folder holds, `compare` finds what differs and
//! whose a difference is, and `apply` makes it so: a new repo appears whole (`create`), an existing one gets one commit on
//! a branch of its own (`branch`), and never a write into its work tree. The rest serves these four, such as the [`manifest`] with
//! the other files of `.factory/`.
//!
//! What a factory *is* is in `templates/`, and becomes a tree in [`crate::templating`]. The GitLab setup pushes the repo, with
//! [`crate::git::remote`].
//!
//! ```no_run
//! use factoryup::dialog::Silent;
//! use factoryup::plan::Target;
//! use factoryup::repo::RepoTarget;
//!
//! let text = std::fs::read_to_string("factory.toml").unwrap();
//! let factory = factoryup::factory::parse(&text, "factory.toml")?;
//! let mut repo = RepoTarget::new("acme", &factory, &text)?;
//! let plan = repo.observe(&Silent)?;
//! assert!(plan.changes.iter().any(|change| change.id == "file:README.md"));
//! # Ok::<(), factoryup::Error>(())
//! ```

#[cfg(test)]
#[path = "../../tests/fuzz/repo.rs"]
pub(crate) mod fuzz;

pub mod doctor;
pub mod earlier;
pub mod manifest;
pub mod merge;
pub mod propose;
pub mod report;
pub mod resolve;

mod apply;
mod branch;
mod clean;
mod compare;
mod control;
pub(crate) mod create;
pub(crate) mod desired;
pub(crate) mod error;
pub(crate) mod failpoint;
pub(crate) mod ground;
mod in_place;
mod journal;
mod migrate;
pub(crate) mod observe;
pub(crate) mod record;
pub(crate) mod stage;

use std::path::Path;

use crate::error::Result;
use crate::factory::answers::Answers;
use crate::factory::{FILE_NAME, Factory};
use crate::plan::{Action, Change, Deed, Log, Plan, Target, TargetName, Watch};

use crate::git::error::GitError;
use crate::git::{Git, Mode, ObjectFormat};
use crate::templating::tree::Tree;
use compare::Comparison;
use control::ControlRepo;
use desired::{Desired, shown};
use error::RepoError;
use observe::Observed;
use report::Report;

/// The control repo in one folder.
#[derive(Debug)]
pub struct RepoTarget {
    /// At work in the folder. One for all that is read, so that git is started once for it.
    git: Git,
    desired: Desired,
    /// `factory.toml` as it was read.
    read: String,
    format: ObjectFormat,
    step: Option<Pending>,
    report: Option<Report>,
    in_place: bool,
    adopting: bool,
    deed: Deed,
    restore: Option<&'static str>,
    /// `factory.toml` of the work tree when it was first observed; empty where there was none.
    on_disk: Option<Vec<u8>>,
}

/// What the plan that was last observed comes down to.
#[derive(Debug)]
enum Pending {
    Create,
    Finish,
    InPlace { repo: Box<ControlRepo>, comparison: Box<Comparison>, read: String },
    Branch { repo: Box<ControlRepo>, comparison: Box<Comparison>, name: String },
}

impl RepoTarget {
    /// The control repo of `factory` in `dir`, which need not exist. `factory_toml` is the text that `factory` was read from and
    /// goes into the commit as it is.
    ///
    /// # Errors
    /// `CannotWrite` when `dir` is a link that leads nowhere, or there is no git; `Data` when an answer makes a file that cannot be.
    pub fn new(dir: impl AsRef<Path>, factory: &Factory, factory_toml: &str) -> Result<Self> {
        Self::from_desired(dir.as_ref(), Desired::new(factory, factory_toml)?)
    }

    /// As [`new`](Self::new), with a tree that was rendered from other templates than those in this binary: see [`Renderer`](crate::templating::render::Renderer).
    ///
    /// # Errors
    /// `CannotWrite` when `dir` is a link that leads nowhere, or there is no git.
    pub fn of_tree(dir: impl AsRef<Path>, factory: &Factory, factory_toml: &str, tree: Tree) -> Result<Self> {
        Self::from_desired(dir.as_ref(), Desired::of(factory, factory_toml, tree))
    }

    fn from_desired(dir: &Path, desired: Desired) -> Result<Self> {
        let read = desired.factory_toml.clone();
        Ok(Self {
            git: Git::new(&observe::resolve(dir)?)?,
            desired,
            read,
            format: ObjectFormat::default(),
            step: None,
            report: None,
            in_place: false,
            adopting: false,
            deed: Deed::Apply,
            restore: None,
            on_disk: None,
        })
    }

    /// Makes a new repo with another hash than SHA-1. An existing one keeps its own.
    #[must_use]
    pub fn with_object_format(mut self, format: ObjectFormat) -> Self {
        self.format = format;
        self
    }

    /// Writes into the work tree of an existing repo instead of making a commit.
    #[must_use]
    pub fn in_place(mut self, yes: bool) -> Self {
        self.in_place = yes;
        self
    }

    /// Brings the files into a repo that factoryup did not make, on a branch of their own: where the user has a file already, it stays,
    /// and the templates' waits as a proposal. Without this, such a repo is refused.
    #[must_use]
    pub fn adopting(mut self, yes: bool) -> Self {
        self.adopting = yes;
        self
    }

    /// Says which command this is for, so that messages name the same one.
    #[must_use]
    pub fn for_deed(mut self, deed: Deed) -> Self {
        self.deed = deed;
        self
    }

    /// Says that `factory.toml` in the folder reads so, and that the text given has answers that are not in it yet.
    #[must_use]
    pub fn instead_of(mut self, text: &str) -> Self {
        text.clone_into(&mut self.read);
        self
    }

    /// Ends what a killed run began in the work tree: an upgrade in place, or the settling of a conflict. Says whether there was something to end.
    ///
    /// # Errors
    /// `Data` when someone changed a file in the meantime; `CannotWrite` when writing fails.
    pub fn recover(&self) -> Result<bool> {
        if !self.dir().join(".git").exists() {
            return Ok(false);
        }
        Ok(journal::recover(&self.git)?)
    }

    /// Whether [`recover`](Self::recover) has something to end.
    ///
    /// # Errors
    /// `CannotWrite` when git cannot be run.
    pub fn is_cut_short(&self) -> Result<bool> {
        Ok(self.dir().join(".git").exists() && journal::is_cut_short(&self.git)?)
    }

    /// Where it is: absolute, links followed.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.git.dir()
    }

    /// What the last observation found of the user's own work: merged, moved, kept, in conflict. `None` for a new repo.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// What takes an edit of `factory.toml` back that is not committed here, where a branch holds it too: git merges and checks out
    /// nothing over such an edit. As the last observation found it; `None` where there is no such edit, or no branch.
    #[must_use]
    pub fn restore(&self) -> Option<&'static str> {
        self.restore
    }

    /// The same for the work tree of `repo`. What is staged comes back only when git is told so.
    fn restoring(&self, repo: &ControlRepo) -> Result<Option<&'static str>> {
        let Some(committed) = repo.files.get(FILE_NAME).and_then(|file| file.bytes.as_deref()) else { return Ok(None) };
        if committed == self.read.as_bytes() {
            return Ok(None);
        }
        let staged = match repo.git.index()?.get(FILE_NAME) {
            Some(entry) => repo.git.contents(&[entry.oid.as_str()])?.first().is_none_or(|bytes| bytes != committed),
            None => true,
        };
        Ok(Some(if staged { "git restore --staged --worktree factory.toml" } else { "git restore factory.toml" }))
    }

    /// Of an observation without changes: the branch that has them and is not merged, and the command that goes on with it.
    #[must_use]
    pub fn unmerged(&self) -> Option<(&str, String)> {
        let branch = self.report.as_ref()?.branch.as_deref()?;
        Some((branch, propose::way(&self.git, &self.desired.factory, branch, self.restore).0))
    }

    fn say_branch(&mut self, name: &str) {
        if let Some(report) = &mut self.report {
            report.branch = Some(name.to_owned());
        }
    }

    fn plan_creation(&self, plan: &mut Plan, inside: Option<&Path>) {
        if let Some(outer) = inside {
            plan.notes.push(format!("the new repo is inside the work tree of {}", outer.display()));
        }
        let text = &self.desired.factory_toml;
        plan.push(created(FILE_NAME, text.clone()));
        for file in &self.desired.tree.files {
            plan.push(created(&file.path, shown(file.mode, &file.bytes)));
        }
        let branch = &self.desired.factory.gitlab.default_branch;
        let summary = format!("create the repo, with {} files in its first commit on {branch}", plan.changes.len());
        plan.push(Change::new(format!("commit:{branch}"), Action::Create, summary));
    }

    /// Gives the answers the form of this version, and new questions the answers that need no asking.
    fn renew(&mut self, repo: Box<ControlRepo>) -> Result<Box<ControlRepo>> {
        let text = &self.desired.factory_toml;
        let renewed = crate::factory::renew(text, FILE_NAME, repo.answers(), &Answers::default())?;
        if renewed.text == *text {
            return Ok(repo);
        }
        self.desired = Desired::new(&renewed.factory, &renewed.text)?;
        // Other answers may make other files, whose content was not read yet.
        match observe::observe(&self.git, &self.desired)? {
            Observed::Control(repo) => Ok(repo),
            _ => Err(RepoError::Meanwhile(format!("{} was changed", self.dir().display())).into()),
        }
    }

    fn plan_branch(&mut self, plan: &mut Plan, repo: Box<ControlRepo>) -> Result<Option<Pending>> {
        let mut repo = self.renew(repo)?;
        let ran = migrate::run(crate::migrations::all()?, &mut repo)?;
        let mut comparison = compare::compare(&self.desired, &repo);
        ran.add_to(&mut comparison, &self.desired, &repo)?;
        plan.unchanged = comparison.unchanged;
        plan.notes.extend(comparison.report.news().chain(comparison.report.lines()));
        self.report = Some(comparison.report.clone());
        if comparison.is_empty() {
            return Ok(None);
        }
        if self.in_place && in_place::is_written(&repo.git, &branch::edits(&self.desired, &repo, &comparison)?)? {
            plan.notes.push("all files are written; commit them: git add --all && git commit".to_owned());
            return Ok(None);
        }
        if !self.in_place {
            branch::refuse_converted(&repo, &comparison)?;
        }
        let name = branch::name(&self.desired, &repo, &comparison);
        if !self.in_place && repo.git.has_branch(&name)? {
            self.say_branch(&name);
            let files = comparison.edits.len() + comparison.proposals.len() + comparison.settled.len();
            self.restore = self.restoring(&repo)?;
            let (how, why) = propose::way(&self.git, &self.desired.factory, &name, self.restore);
            plan.notes.push(format!("the branch {name} has {files} unmerged files; merge it with `{how}`{why}"));
            return Ok(None);
        }
        for edit in &comparison.edits {
            let mode = repo.files.get(&edit.path).and_then(|current| Mode::parse(&current.mode)).unwrap_or(Mode::File);
            let before = edit.before.as_ref().map(|bytes| shown(mode, bytes));
            let after = edit.after.as_ref().map(|blob| shown(blob.mode, &blob.bytes));
            let (action, verb) = match (&before, &after) {
                (None, _) => (Action::Create, "create"),
                (Some(_), Some(_)) => (Action::Update, "update"),
                (Some(_), None) => (Action::Delete, "delete"),
            };
            let change = Change::new(format!("file:{}", edit.path), action, format!("{verb} {}", edit.path));
            plan.push(change.with_diff(before, after));
        }
        for blob in &comparison.proposals {
            let summary = format!("save the template version as {}", blob.path);
            plan.push(Change::new(format!("file:{}", blob.path), Action::Create, summary));
        }
        for path in &comparison.settled {
            plan.push(Change::new(format!("file:{path}"), Action::Delete, format!("delete {path}, which is resolved")));
        }
        if self.in_place {
            let summary = "write them to the work tree, all or none";
            plan.push(Change::new("work-tree:files", Action::Run, summary));
            let read = self.read.clone();
            return Ok(Some(Pending::InPlace { repo, comparison: Box::new(comparison), read }));
        }
        self.say_branch(&name);
        let (on, wanted) = (repo.branch.as_deref(), &self.desired.factory.gitlab.default_branch);
        if let Some(other) = on.filter(|on| repo.manifest.is_none() && on != wanted) {
            plan.notes.push(format!("the branch here is {other}, but the default branch on GitLab will be {wanted}"));
        }
        let on = repo.branch.as_deref().unwrap_or(&repo.head);
        let summary = format!("commit them to the new branch {name}, based on {on}; the work tree stays as it is");
        plan.push(Change::new(format!("branch:{name}"), Action::Create, summary));
        Ok(Some(Pending::Branch { repo, comparison: Box::new(comparison), name }))
    }
}

/// Refuses a folder in which no new control repo belongs; one that is there already stays where it is.
pub(crate) fn refuse_unfit(dir: &Path) -> crate::Result<()> {
    if let Some(error) = bare(dir) {
        return Err(error);
    }
    if dir.join(manifest::PATH).exists() { Ok(()) } else { Ok(ground::refuse_unfit(dir)?) }
}

/// Why nothing can be done in `dir`, when it is a bare repo.
pub(crate) fn bare(dir: &Path) -> Option<crate::Error> {
    observe::is_bare(dir).then(|| RepoError::Bare(dir.to_owned()).into())
}

/// The answers last applied to the control repo in `dir`: the text of `.factory/answers.lock` in HEAD, if it has one.
///
/// # Errors
/// `CannotWrite` when git cannot be run.
pub fn answers_lock(dir: &Path) -> Result<Option<String>> {
    let dir = observe::resolve(dir)?;
    if !dir.join(".git").exists() {
        return Ok(None);
    }
    match Git::new(&dir)?.run(&["cat-file", "blob", &format!("HEAD:{}", record::ANSWERS)]) {
        Ok(text) => Ok(String::from_utf8(text).ok()),
        Err(GitError::Failed { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn created(path: &str, text: String) -> Change {
    Change::new(format!("file:{path}"), Action::Create, format!("create {path}")).with_diff(None, Some(text))
}

impl Target for RepoTarget {
    fn name(&self) -> TargetName {
        TargetName::Repo
    }

    fn subject(&self) -> String {
        self.dir().display().to_string()
    }

    fn deed(&self) -> Deed {
        self.deed
    }

    fn observe(&mut self, _watch: &dyn Watch) -> Result<Plan> {
        let mut plan = Plan::new(self.name(), self.subject());
        (self.report, self.restore) = (None, None);
        plan.notes.extend(self.desired.factory.infra.engine.exposes().map(str::to_owned));
        self.on_disk.get_or_insert_with(|| crate::budget::read(&self.git.dir().join(FILE_NAME)).unwrap_or_default());
        self.step = match observe::observe(&self.git, &self.desired)? {
            Observed::Vacant { inside } => {
                self.plan_creation(&mut plan, inside.as_deref());
                Some(Pending::Create)
            }
            Observed::CutShort => {
                let summary = "finish the interrupted update of the work tree";
                plan.push(Change::new("work-tree:files", Action::Run, summary));
                Some(Pending::Finish)
            }
            Observed::Control(repo) => self.plan_branch(&mut plan, repo)?,
            Observed::Foreign(repo) if self.adopting => self.plan_branch(&mut plan, repo)?,
            Observed::Foreign(repo) => return Err(RepoError::Foreign(repo.git.dir().to_owned()).into()),
        };
        Ok(plan)
    }

    fn apply(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        apply::apply(self.git.dir(), &self.desired, self.on_disk.as_deref(), self.format, self.step.take(), plan, log)
    }
}
