//! The current state of an application, and what is left to do.

use super::super::Workspace;
use super::super::card::{Card, State};
use super::step::Step;
use super::{Publish, ROOT, View};
use crate::app::{ADOPT_BRANCH, Registered, Source, branch_of, waits_here};
use crate::error::{Error, Kind, Result};
use crate::factory::{HostKind, RunnerKind};
use crate::git::remote;
use crate::gitlab::{
    AgentThere, AppRunner, AppRunnerKind, Application, GitlabTarget, MergeRequest, RootJobs, RunnerState, Verdict,
};
use crate::shell;

/// The file that a repo under the app contract has.
const CONTRACT: &str = ".factory/app.conf";

impl View {
    fn new(publish: &Publish) -> Self {
        Self {
            card: Card::default(),
            steps: Vec::new(),
            waits: None,
            job: None,
            passes: None,
            contract: false,
            again: publish.command(),
        }
    }

    /// Ends with what the owner has to do, and the command again.
    fn wait(mut self, error: Error, what: &str, how: &str) -> Self {
        self.card.step(what, how);
        self.card.step("then run the command again", self.again.clone());
        self.waits = Some(error);
        self
    }

    /// Ends with a merge request that the owner has to merge.
    fn wait_for_merge(self, name: &str, request: &MergeRequest, place: &str, why: &str) -> Self {
        let MergeRequest { iid, web_url, detailed_merge_status: status, .. } = request;
        let keeps = match status.as_str() {
            "mergeable" | "" => String::new(),
            status => format!(" (GitLab's word for its state: {status})"),
        };
        let text = format!("{name}: waits until you merge !{iid} of {place}{keeps}");
        let error = Error::new(Kind::CutShort, text)
            .hint(format!("review and merge it: {web_url}"))
            .hint("then run the command again");
        let what = format!("review and merge !{iid}, which {why}");
        Self { passes: Some(format!("{what}: {web_url}")), ..self.wait(error, &what, web_url) }
    }
}

impl Workspace<'_> {
    /// What GitLab lacks of an application, in words, for a glance at the whole factory; nothing if all is there.
    pub(in crate::workspace) fn app_lacks(&self, gitlab: &GitlabTarget, name: &str) -> Result<Option<String>> {
        let application = gitlab.application(name)?;
        let lacks = |text: &str| Ok(Some(text.to_owned()));
        let Some(text) = application.entry()? else { return lacks("its entry is not in GitLab") };
        let default = &self.factory.gitlab.default_branch;
        let registered = Registered::read(&application.entry_path(), &text, default)?;
        let branch = registered.branch();
        let Some(project) = application.project()? else { return lacks("it has no project in GitLab") };
        if !application.is_protected(project, branch)? {
            return Ok(Some(format!("{branch} of its project is not protected")));
        }
        if application.branch_head(project, branch)?.is_none() {
            return lacks("its project waits for the history");
        }
        if application.file(project, branch, CONTRACT)?.is_none() {
            return Ok(Some(format!("{branch} of its project has no .factory/")));
        }
        let runners = application.runners(project, self.app_runners())?;
        let offline = |runner: &&AppRunner| !matches!(runner.state, RunnerState::Online(_));
        let missing: Vec<&str> = runners.iter().filter(offline).map(|runner| runner.kind.tag()).collect();
        Ok(match application.agent(project)? {
            _ if !missing.is_empty() => Some(format!("not online: its runner {}", missing.join(", "))),
            AgentThere::Pending(_) => Some("its agent has no access, or not for long".into()),
            _ => None,
        })
    }

    /// Reads the application, part by part, until one is not there yet.
    pub(super) fn look(&self, application: &Application<'_>, publish: &Publish) -> Result<View> {
        let name = &publish.name;
        let mut view = View::new(publish);
        let Some(text) = application.entry()? else {
            return self.register(application, publish, view);
        };
        let default = &self.factory.gitlab.default_branch;
        let registered = Registered::read(&application.entry_path(), &text, default)?;
        let Some(project) = application.project()? else {
            view.card.line("project", State::Attention, format!("none yet at {}", application.url()));
            return self.wait_for_apply(application, name, view, &|_| true, "creates the project");
        };
        view.card.linked("project", State::Ok, format!("{name}, number {project}"), &application.url());
        let branch = registered.branch().to_owned();
        // Before the history comes: GitLab lets the owner make the first branch of a protected project.
        if !application.is_protected(project, &branch)? {
            view.card.line("history", State::Attention, format!("{branch} is not protected yet"));
            view = self.wait_for_apply(application, name, view, &|other| other == text, "protects the project")?;
            let hint = "if that job passed, the control repo is of an earlier factoryup: factoryup upgrade";
            return Ok(View { waits: view.waits.map(|error| error.hint(hint)), ..view });
        }
        let runners = application.runners(project, self.app_runners())?;
        // A runner comes after the whole history, and a second pipeline after the merge of a change.
        let is_whole = application.branch_head(project, &branch)?.is_some()
            && (runners.iter().any(|runner| !matches!(runner.state, RunnerState::Missing))
                || application.pipelines(project, &branch)? > 1);
        if is_whole {
            view.card.line("history", State::Ok, format!("pushed; {branch} is protected"));
        } else {
            self.bring_history(application, publish, &registered, project, &mut view)?;
        }
        self.finish(application, publish, &registered, project, &runners, view)
    }

    /// While the control repo in GitLab has no entry.
    fn register(&self, application: &Application<'_>, publish: &Publish, mut view: View) -> Result<View> {
        let name = &publish.name;
        let branch = branch_of(name);
        let proposal = application.proposal(application.control, &branch, &self.factory.gitlab.default_branch)?;
        view.card.line("project", State::Attention, format!("{name} is not registered in the control repo yet"));
        if let Some(open) = &proposal.open {
            return Ok(view.wait_for_merge(name, open, "the control repo", "registers the application"));
        }
        // It was merged since the first question.
        if application.entry()?.is_some() {
            return self.look(application, publish);
        }
        if !proposal.is_pushed && !waits_here(&self.dir, &self.factory, name)? {
            return Err(Error::usage(format!("the control repo has no application {name}, and no branch {branch}"))
                .hint(format!("create one: factoryup app add {name} --kind http"))
                .hint(format!("or adopt an existing repo: factoryup app add {name} --adopt DIR")));
        }
        view.steps.push(Step::Register { push: !proposal.is_pushed });
        Ok(view)
    }

    /// Until the whole history is there.
    fn bring_history(
        &self,
        application: &Application<'_>,
        publish: &Publish,
        registered: &Registered,
        project: u64,
        view: &mut View,
    ) -> Result<()> {
        let (name, branch) = (&publish.name, registered.branch());
        let source = Source::open(&self.folder(publish)?, name, registered)?;
        let url = format!("{}.git", application.url());
        let there = remote::refs(source.dir(), &url, ("oauth2", &self.owner_token()?))?;
        let compared = source.compare(branch, &there);
        let here = source.dir().display().to_string();
        if !compared.unknown.is_empty() && !application.has_commit(project, &source.root(branch)?)? {
            let text = format!("{} has another history than {here}; nothing was pushed", application.url());
            return Err(Error::data(text)
                .hint(format!("name the repo with that history: factoryup app publish {name} --path DIR"))
                .hint("or, if what the project has is not needed, delete its branches and tags in GitLab"));
        }
        if let Some(moved) = compared.unknown.iter().find(|name| source.refs.contains_key(*name)) {
            let text = format!("{moved} of {} has commits that are not in {here}", application.url());
            return Err(Error::new(Kind::CutShort, text)
                .hint(format!(
                    "fetch them, and update {moved} here: git -C {} fetch {url} {}",
                    shell::word(&here),
                    shell::word(moved)
                ))
                .hint("then run the command again"));
        }
        if let Some(differs) = compared.differs.first() {
            let text =
                format!("{differs} of {} is another one than in {here}; nothing is pushed by force", application.url());
            return Err(Error::data(text).hint("rename or delete one of the two, then run the command again"));
        }
        if compared.lacks.is_empty() {
            view.card.line("history", State::Ok, format!("pushed; {branch} is protected"));
        } else {
            source.refuse_without_lfs(branch)?;
            view.card.line("history", State::Attention, "not all of it is pushed yet");
            view.steps.push(Step::History {
                adopts: compared.lacks.first().is_some_and(|(_, oid)| source.adoption.as_ref() == Some(oid)),
                refs: compared.lacks,
                branch: branch.to_owned(),
            });
        }
        view.contract = compared.brings_contract;
        Ok(())
    }

    /// Once the history is there, or planned: contract, runners, pipeline.
    fn finish(
        &self,
        application: &Application<'_>,
        publish: &Publish,
        registered: &Registered,
        project: u64,
        runners: &[AppRunner],
        mut view: View,
    ) -> Result<View> {
        let (name, branch) = (&publish.name, registered.branch());
        self.agent_line(application, project, &mut view)?;
        let may_run = self.runner_lines(&mut view, &application.url(), project, runners);
        self.address_line(&mut view.card, name, registered);
        if !view.contract && application.file(project, branch, CONTRACT)?.is_none() {
            return self.adopt(application, publish, registered, project, view);
        }
        match application.pipeline(project, branch)? {
            None if may_run => view.steps.push(Step::Pipeline { project, branch: branch.to_owned() }),
            None => view.card.line("pipeline", State::Attention, "none yet"),
            Some(pipeline) => {
                let has_failed = pipeline.verdict() == Verdict::Failed;
                let state = if has_failed { State::Attention } else { State::Ok };
                view.card.linked("pipeline", state, pipeline.words(), &pipeline.url);
                if has_failed {
                    let error = Error::new(Kind::Pending, pipeline.words());
                    let hint = format!("read the log, fix the cause, and retry the job: {}", pipeline.url);
                    view.waits.get_or_insert(error.hint(hint));
                } else if application.pipelines(project, branch)? == 1 {
                    self.first_release(application, project, &pipeline, &mut view);
                }
            }
        }
        if self.factory.cloudflare.enabled
            && let Some(jobs) = application.root_jobs(ROOT, &|_| true)?
            && let Some(first) = jobs.others.first()
        {
            let url = format!("{}/-/pipelines/{}", self.factory.gitlab.project_url(), jobs.pipeline);
            let names: Vec<String> = jobs.others.iter().map(|root| format!("apply:{root}")).collect();
            view.card.step(format!("start {}, for its address", names.join(" and ")), url);
            if view.job.is_none() {
                let jobs = application.root_jobs(first, &|_| true)?.filter(RootJobs::may_start);
                view.job = jobs.and_then(|jobs| self.apply_of(application, &jobs));
            }
        }
        Ok(view)
    }

    /// While the default branch of an adopted application lacks the contract.
    fn adopt(
        &self,
        application: &Application<'_>,
        publish: &Publish,
        registered: &Registered,
        project: u64,
        mut view: View,
    ) -> Result<View> {
        let (name, branch) = (&publish.name, registered.branch());
        let proposal = application.proposal(project, ADOPT_BRANCH, branch)?;
        if let Some(open) = &proposal.open {
            return Ok(view.wait_for_merge(name, open, name, "adds .factory/ and with it the pipeline"));
        }
        if application.file(project, branch, CONTRACT)?.is_some() {
            return self.look(application, publish);
        }
        if !proposal.is_pushed {
            let source = Source::open(&self.folder(publish)?, name, registered)?;
            if source.adoption.is_none() {
                let here = source.dir().display().to_string();
                return Err(Error::data(format!("neither {branch} of {} nor {here} has .factory/", application.url()))
                    .hint(format!("add it: factoryup app add {name} --adopt {}", shell::word(&here))));
            }
        }
        view.steps.push(Step::Adopt { project, branch: branch.to_owned(), push: !proposal.is_pushed });
        Ok(view)
    }

    /// The kinds of runners that applications of this factory have on the host.
    fn app_runners(&self) -> &'static [AppRunnerKind] {
        use AppRunnerKind::{Build, Trusted, Untrusted};
        match (self.factory.host.kind, self.factory.runner.kind) {
            (HostKind::None, _) => &[],
            (_, RunnerKind::Podman) => &[Trusted, Build, Untrusted],
            _ => &[Trusted, Build],
        }
    }

    /// Adds a line and a step for each runner. Returns whether a pipeline finds those that it needs, after these steps.
    fn runner_lines(&self, view: &mut View, url: &str, project: u64, runners: &[AppRunner]) -> bool {
        let page = format!("{url}/-/settings/ci_cd#js-runners-settings");
        if self.factory.host.kind == HostKind::None {
            view.card.line("runner", State::Attention, "there is no host to start runners on: cannot tell");
            view.card.step("connect a machine for its jobs, if there is none", "docs/procedures/start-runners.md");
            return self.factory.runner.kind == RunnerKind::Shared;
        }
        if self.factory.runner.kind == RunnerKind::Kubernetes {
            let what = "connect an untrusted runner in your cluster, if there is none";
            view.card.step(what, "docs/procedures/start-runners.md");
        }
        for runner in runners {
            let tag = runner.kind.tag();
            match &runner.state {
                RunnerState::Online(id) => view.card.line("runner", State::Ok, format!("{tag}: online (id {id})")),
                RunnerState::Offline { id, state } if state == "paused" => {
                    view.card.line("runner", State::Attention, format!("{tag}: paused (id {id})"));
                    view.card.step(format!("resume the runner {id} ({tag})"), page.clone());
                    let error = Error::new(Kind::CutShort, format!("the runner {id} ({tag}) is paused in GitLab"));
                    let error = error.hint(format!("resume it: {page}")).hint("then run the command again");
                    view.waits.get_or_insert(error);
                }
                state => {
                    let text = match state {
                        RunnerState::Offline { state, .. } => state,
                        _ => "not started",
                    };
                    view.card.line("runner", State::Attention, format!("{tag}: {text}"));
                    view.steps.push(Step::Runner { project, runner: runner.clone() });
                }
            }
        }
        view.waits.is_none()
    }

    fn address_line(&self, card: &mut Card, name: &str, registered: &Registered) {
        let edge = &self.factory.cloudflare;
        let production = self.factory.environments.names.last().map_or("", String::as_str);
        let port = registered.port(production).map_or_else(String::new, |port| format!("127.0.0.1:{port} on the host"));
        if edge.enabled {
            card.line("address", State::Ok, format!("https://{name}.{}; {port}", edge.zone));
        } else {
            card.line("address", State::Ok, format!("{port}; no edge leads to it"));
        }
    }

    /// While Terraform has not applied the entry. `fits` says for which texts of it the apply is the right one.
    fn wait_for_apply(
        &self,
        application: &Application<'_>,
        name: &str,
        mut view: View,
        fits: &dyn Fn(&str) -> bool,
        does: &str,
    ) -> Result<View> {
        let project = self.factory.gitlab.project_url();
        let Some(jobs) = application.root_jobs(ROOT, fits)? else {
            let page = format!("{project}/-/pipelines/new");
            let text = format!("{name}: waits for a pipeline with the job apply:{ROOT}, which {does}; there is none");
            let error =
                Error::new(Kind::CutShort, text).hint(format!("start one: {page}")).hint("then run the command again");
            view.passes =
                Some(format!("start a pipeline with the job apply:{ROOT}, unless GitLab does so now: {page}"));
            return Ok(view.wait(error, &format!("start a pipeline, then its job apply:{ROOT}"), &page));
        };
        let (apply, status) = (&jobs.apply, jobs.apply.status.as_str());
        let planned = jobs.plan.as_ref().map_or("missing", |plan| plan.status.as_str());
        let job = &apply.name;
        let read = |id: u64| format!("read the log of job {id}");
        let (text, how, id) = match (status, planned) {
            _ if jobs.may_start() => {
                view.job = self.apply_of(application, &jobs);
                (
                    format!("waits until you start the job {job}, which {does}"),
                    format!("read the plan, and start {job}"),
                    apply.id,
                )
            }
            ("success", _) => {
                (format!("the job {job}, which {does}, passed, and GitLab does not show it"), read(apply.id), apply.id)
            }
            ("failed" | "canceled", _) => {
                (format!("the job {job} ended with status {status}"), read(apply.id), apply.id)
            }
            (_, "failed" | "canceled") => {
                let id = jobs.plan.as_ref().map_or(apply.id, |plan| plan.id);
                (format!("the job {job} cannot start, as its plan ended with status {planned}"), read(id), id)
            }
            _ => {
                let text = format!("waits for the job {job}, which {does}: it is {status}, its plan is {planned}");
                view.passes = Some(text.clone());
                (text, format!("watch {job}"), apply.id)
            }
        };
        let page = self.job_page(id);
        let error = Error::new(Kind::CutShort, format!("{name}: {text}"));
        let error = error.hint(format!("{how}: {page}")).hint("then run the command again");
        Ok(view.wait(error, &how, &page))
    }
}
