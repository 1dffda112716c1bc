//! The steps that the owner's token and login can make, each one change of the plan. A step that was made already is never planned again.

use std::path::{Path, PathBuf};

use super::super::Workspace;
use super::Publish;
use crate::app::{ADOPT_BRANCH, branch_of, folder_of};
use crate::error::{Error, Kind, Result};
use crate::git::{Git, remote};
use crate::gitlab::{AppRunner, Application, RunnerState};
use crate::interrupt;
use crate::plan::{Action, Change};
use crate::shell;

/// How many refs go to GitLab at once: each is an argument of git.
const AT_ONCE: usize = 200;

/// Something that can be done now.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The merge request that registers the application.
    Register {
        /// Whether GitLab lacks its branch.
        push: bool,
    },
    /// The history, as it is.
    History {
        /// Names and objects, the default branch first if it is one of them.
        refs: Vec<(String, String)>,
        /// The default branch.
        branch: String,
        /// Whether the default branch has one commit more than here, that of the adoption.
        adopts: bool,
    },
    /// The merge request that adds the contract to an adopted application.
    Adopt {
        /// The application's project.
        project: u64,
        /// Its default branch.
        branch: String,
        /// Whether GitLab lacks the branch of the merge request.
        push: bool,
    },
    /// The agent as a Developer.
    Agent {
        /// The application's project.
        project: u64,
        /// The change of its role.
        change: Change,
    },
    /// A runner on the host.
    Runner {
        /// The application's project.
        project: u64,
        /// Its state in GitLab.
        runner: AppRunner,
    },
    /// The first pipeline.
    Pipeline {
        /// The application's project.
        project: u64,
        /// Its default branch.
        branch: String,
    },
}

impl Step {
    /// As a change of the plan.
    pub(super) fn change(&self, name: &str) -> Change {
        let pushed = |push: bool, branch: &str| {
            let what = if push { format!("push {branch} and open its") } else { format!("of {branch}, open the") };
            format!("{what} merge request")
        };
        match self {
            Self::Register { push } => {
                let branch = branch_of(name);
                let summary = format!("in the control repo, {}, which registers {name}", pushed(*push, &branch));
                Change::new(format!("merge-request:{branch}"), Action::Create, summary)
            }
            Self::History { refs, branch, adopts } => {
                let text = refs.iter().fold(String::new(), |text, (name, oid)| text + oid + " " + name + "\n");
                let mut summary = format!("push {}, as they are here", counted(refs));
                if *adopts {
                    summary += &format!("; {branch} with the commit of {ADOPT_BRANCH} on top, which adds .factory/");
                }
                Change::new("push:history", Action::Create, summary).with_diff(None, Some(text))
            }
            Self::Adopt { push, .. } => {
                let summary = format!("{}, which adds .factory/", pushed(*push, ADOPT_BRANCH));
                Change::new(format!("merge-request:{ADOPT_BRANCH}"), Action::Create, summary)
            }
            Self::Agent { change, .. } => change.clone(),
            Self::Runner { runner, .. } => {
                let (kind, tag) = (runner.kind.as_str(), runner.kind.tag());
                let id = format!("runner:{tag}");
                match &runner.state {
                    RunnerState::Unused(lost) => Change::new(
                        id,
                        Action::Update,
                        format!(
                            "replace the runner {lost} ({tag}), whose token was lost before it was used, and start it on the host"
                        ),
                    ),
                    RunnerState::Offline { id: number, state } => Change::new(
                        id,
                        Action::Run,
                        format!("start the {kind} runner {number} on the host again: GitLab shows it {state}"),
                    ),
                    _ => Change::new(
                        id,
                        Action::Create,
                        format!("create a runner with the tag {tag}, and start it on the host as {kind} {name}"),
                    ),
                }
            }
            Self::Pipeline { branch, .. } => {
                Change::new(format!("pipeline:{branch}"), Action::Run, format!("start the first pipeline of {branch}"))
            }
        }
    }
}

/// A branch in GitLab that is not as this run or an earlier one made it.
pub(super) fn foreign(branch: &str, url: &str) -> Error {
    Error::data(format!("{branch} of {url} is not the branch that factoryup made here"))
        .hint("read it in GitLab, and delete it there if it is not needed; then run the command again")
}

/// Refs as a person counts them.
fn counted(refs: &[(String, String)]) -> String {
    let branches = refs.iter().filter(|(name, _)| name.starts_with("refs/heads/")).count();
    let words = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let all = [words(branches, "branch", "branches"), words(refs.len() - branches, "tag", "tags")];
    all.into_iter().flatten().collect::<Vec<_>>().join(" and ")
}

impl Workspace<'_> {
    pub(super) fn make_step(&self, application: &Application<'_>, publish: &Publish, step: &Step) -> Result<()> {
        let name = &publish.name;
        let default = &self.factory.gitlab.default_branch;
        match step {
            Step::Register { push } => {
                let branch = branch_of(name);
                if *push {
                    let url = format!("{}.git", self.factory.gitlab.project_url());
                    let name = format!("refs/heads/{branch}");
                    self.push(&self.dir, &url, &[(name.clone(), name)], &[])?;
                }
                self.same_branch(application, application.control, &self.dir, &branch)?;
                let about = "Merging this takes its ports. `apply:control-plane` then creates its project in GitLab.";
                application.propose(
                    application.control,
                    &branch,
                    default,
                    &format!("Add the application {name}"),
                    about,
                )?;
            }
            Step::History { refs, branch, .. } => self.push_history(application, publish, refs, branch)?,
            Step::Adopt { project, branch, push } => {
                if *push {
                    let name = format!("refs/heads/{ADOPT_BRANCH}");
                    let url = format!("{}.git", application.url());
                    self.push(&self.folder(publish)?, &url, &[(name.clone(), name)], &[])?;
                }
                self.same_branch(application, *project, &self.folder(publish)?, ADOPT_BRANCH)?;
                let title = format!("Bring {name} under the factory's app contract");
                application.propose(
                    *project,
                    ADOPT_BRANCH,
                    branch,
                    &title,
                    "Adds `.factory/`, and with it the pipeline.",
                )?;
            }
            Step::Agent { project, change } => application.admit_agent(*project, change)?,
            Step::Runner { project, runner } => self.start_runner(application, name, *project, runner)?,
            Step::Pipeline { project, branch } => application.start_pipeline(*project, branch)?,
        }
        Ok(())
    }

    /// Refuses to open a merge request as the owner for a branch that another pushed: its first pipeline would run with the owner's rights.
    fn same_branch(&self, application: &Application<'_>, project: u64, dir: &Path, branch: &str) -> Result<()> {
        let here = Git::new(dir)?.resolve(&format!("refs/heads/{branch}"))?;
        if here.is_some() && application.branch_head(project, branch)? == here {
            return Ok(());
        }
        let is_control = project == application.control;
        Err(foreign(branch, &if is_control { self.factory.gitlab.project_url() } else { application.url() }))
    }

    /// The application's repo.
    pub(super) fn folder(&self, publish: &Publish) -> Result<PathBuf> {
        publish.folder.clone().map_or_else(|| folder_of(&self.dir, &self.factory, &publish.name), Ok)
    }

    /// Pushes refs, each as source and name, never by force.
    fn push(&self, dir: &Path, url: &str, refs: &[(String, String)], options: &[&str]) -> Result<()> {
        let token = self.owner_token()?;
        let specs: Vec<String> = refs.iter().map(|(from, name)| format!("{from}:{name}")).collect();
        let specs: Vec<&str> = specs.iter().map(String::as_str).collect();
        let pushed = remote::push_all(dir, url, &specs, options, ("oauth2", &token))?;
        crate::repo::failpoint::reached("publish-push");
        let Some(refused) = pushed.iter().find(|one| !one.accepted) else { return Ok(()) };
        let error = Error::new(Kind::NotPermitted, format!("GitLab rejected the push to {url}: {}", refused.reason));
        Err(if refused.reason.contains("LFS") {
            error
                .hint(format!(
                    "push the files in Git LFS first: git -C {} lfs push --all {url}",
                    shell::word(&dir.display().to_string())
                ))
                .hint("then run the command again")
        } else {
            error.hint("check the push rules and protected branches of the group, then run the command again")
        })
    }

    fn push_history(
        &self,
        application: &Application<'_>,
        publish: &Publish,
        refs: &[(String, String)],
        branch: &str,
    ) -> Result<()> {
        let (folder, url) = (self.folder(publish)?, format!("{}.git", application.url()));
        let specs: Vec<(String, String)> = refs.iter().map(|(name, oid)| (oid.clone(), name.clone())).collect();
        // GitLab makes the first branch the default one.
        let has_first = refs.first().is_some_and(|(name, _)| *name == format!("refs/heads/{branch}"));
        let (first, rest) = specs.split_at(usize::from(has_first));
        for part in std::iter::once(first).chain(rest.chunks(AT_ONCE)).filter(|part| !part.is_empty()) {
            interrupt::check()?;
            self.push(&folder, &url, part, &["ci.skip"])?;
        }
        let there = remote::refs(&folder, &url, ("oauth2", &self.owner_token()?))?;
        let missing = refs.iter().find(|(name, oid)| there.get(name) != Some(oid));
        missing.map_or(Ok(()), |(name, _)| {
            let text = format!("GitLab accepted the push to {url}, and does not have {name} as it is here");
            Err(Error::new(Kind::CutShort, text).hint("run the command again; it compares all branches and tags"))
        })
    }

    /// Starts a runner on the host, with a new token unless it has one, and sees it online.
    fn start_runner(&self, application: &Application<'_>, name: &str, project: u64, runner: &AppRunner) -> Result<()> {
        let kind = runner.kind;
        // Connected first: a token that cannot be handed over would be lost.
        let mut host = self.host()?;
        host.connect(self.watch)?;
        let token = match &runner.state {
            RunnerState::Offline { .. } | RunnerState::Online(_) => None,
            RunnerState::Unused(lost) => Some(application.make_runner(project, kind, Some(*lost))?),
            RunnerState::Missing => Some(application.make_runner(project, kind, None)?),
        };
        crate::repo::failpoint::reached("publish-runner");
        let url = &self.factory.gitlab.url;
        let started = host.start_runner(kind.as_str(), name, url, token.as_ref(), self.watch);
        started.map_err(|error| match &runner.state {
            RunnerState::Offline { id, .. } => error.hint(format!(
                "or, if the host lost its token, delete the runner {id}, and run the command again: {}/-/settings/ci_cd#js-runners-settings",
                application.url()
            )),
            _ => error,
        })?;
        self.wait_online(&mut Some(host), &mut || {
            let now = application.runners(project, &[kind])?;
            let is_online = matches!(now.first().map(|runner| &runner.state), Some(RunnerState::Online(_)));
            let kind = kind.as_str();
            Ok((!is_online).then(|| (format!("the {kind} runner of {name}"), format!("{kind}-{name}"))))
        })
    }
}
