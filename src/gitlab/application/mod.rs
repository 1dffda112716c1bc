//! An application in GitLab: its entry in the control repo, its project, and the merge requests about both.
//!
//! Terraform creates the project and protects it, from the entry. Here are only the calls around that, for `factoryup app publish`:
//! the current state, a merge request, a job that the owner starts, a runner (`runners`), the agent's access (`agent`), the first pipeline.
//!
//! ```no_run
//! # fn f(gitlab: &factoryup::gitlab::GitlabTarget) -> factoryup::Result<()> {
//! let shop = gitlab.application("shop")?;
//! let is_registered = shop.entry()?.is_some();
//! # Ok(())
//! # }
//! ```

mod agent;
mod runners;

use serde::Deserialize;
use serde_json::json;

pub use agent::AgentThere;
pub use runners::{AppRunner, AppRunnerKind, RunnerState};

use super::GitlabTarget;
use super::answer::clean;
use super::http::Call;
use super::log;
use super::pipeline::{self, Job, Pipeline};
use super::resources::{project, protected_branch, seed};
use super::site::Project;
use crate::error::{Error, Kind, Result};

/// How many pipelines are looked through for a job: a merge without infrastructure makes one without it.
const PIPELINES: usize = 10;

/// An application in GitLab, seen from the control repo.
#[derive(Debug)]
pub struct Application<'t> {
    gitlab: &'t GitlabTarget,
    name: String,
    /// The number of the control repo's project.
    pub control: u64,
}

/// A branch that is meant to be merged, as GitLab has it.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Whether GitLab has the branch.
    pub is_pushed: bool,
    /// Its open merge request.
    pub open: Option<MergeRequest>,
}

/// A merge request that is open.
#[derive(Clone, Debug, Deserialize)]
pub struct MergeRequest {
    /// Its number in the project.
    pub iid: u64,
    /// Its page.
    pub web_url: String,
    /// GitLab's word for what keeps it from being merged; `mergeable` if nothing does.
    #[serde(default)]
    pub detailed_merge_status: String,
    /// The project of its branch: another one for a fork's.
    #[serde(default)]
    source_project_id: Option<u64>,
}

/// The jobs of one root of the infrastructure.
#[derive(Clone, Debug)]
pub struct RootJobs {
    /// The number of their pipeline.
    pub pipeline: u64,
    /// What reads.
    pub plan: Option<Job>,
    /// What changes, once a person starts it.
    pub apply: Job,
    /// Other roots whose job waits for a person in the same pipeline.
    pub others: Vec<String>,
}

#[derive(Deserialize)]
struct Listed {
    id: u64,
    sha: String,
    #[serde(default)]
    source: String,
}

#[derive(Deserialize)]
struct Begun {
    status: String,
}

impl GitlabTarget {
    /// The application of this name.
    ///
    /// # Errors
    /// `CutShort` if GitLab has no control repo yet; of the call.
    pub fn application(&self, name: &str) -> Result<Application<'_>> {
        let control = project::read(&self.owner, &self.desired)?.ok_or_else(|| {
            Error::new(Kind::CutShort, format!("GitLab has no project at {}", self.desired.url()))
                .hint("create it: factoryup apply")
        })?;
        Ok(Application { gitlab: self, name: name.to_owned(), control: control.id })
    }
}

impl Application<'_> {
    /// Its entry's path in the control repo.
    #[must_use]
    pub fn entry_path(&self) -> String {
        format!("infra/apps/{}.json", self.name)
    }

    /// Its entry on the control repo's default branch.
    ///
    /// # Errors
    /// Of the calls; `Data` if the file is no text.
    pub fn entry(&self) -> Result<Option<String>> {
        let Some(head) = self.gitlab.head(self.control)? else { return Ok(None) };
        self.file(self.control, &head.commit.id, &self.entry_path())
    }

    /// A file of a project, if it is there.
    ///
    /// # Errors
    /// Of the call; `Data` if it is no text.
    pub fn file(&self, project: u64, reference: &str, path: &str) -> Result<Option<String>> {
        Ok(self.gitlab.owner.file(project, reference, path)?)
    }

    /// What became of a branch that is meant to be merged into `target`.
    ///
    /// # Errors
    /// Of the calls.
    pub fn proposal(&self, project: u64, branch: &str, target: &str) -> Result<Proposal> {
        let is_pushed = self.branch_head(project, branch)?.is_some();
        let call = Call::get("/projects/:id/merge_requests", &[&project]);
        let call = call.query("state", "opened").query("source_branch", branch).query("target_branch", target);
        let all: Vec<MergeRequest> = self.gitlab.owner.list(&call)?;
        let open = all.into_iter().find(|one| one.source_project_id.is_none_or(|id| id == project));
        Ok(Proposal { is_pushed, open: open.map(MergeRequest::cleaned) })
    }

    /// The commit of a branch, if there is one.
    ///
    /// # Errors
    /// Of the call.
    pub fn branch_head(&self, project: u64, branch: &str) -> Result<Option<String>> {
        let call = Call::get("/projects/:id/repository/branches/:branch", &[&project, &branch]);
        Ok(self.gitlab.owner.find::<seed::Branch>(&call)?.map(|found| found.commit.id))
    }

    /// Opens a merge request.
    ///
    /// # Errors
    /// Of the call.
    pub fn propose(&self, project: u64, from: &str, to: &str, title: &str, about: &str) -> Result<MergeRequest> {
        let body = json!({
            "source_branch": from, "target_branch": to, "title": title, "description": about,
            "remove_source_branch": true,
        });
        let call = Call::post("/projects/:id/merge_requests", &[&project]);
        Ok(self.gitlab.owner.write::<MergeRequest>(&call, &body)?.cleaned())
    }

    /// The number of its project; none before Terraform has created it.
    ///
    /// # Errors
    /// `Data` if the project there is another than Terraform creates, which history and runners would go to; of the call.
    pub fn project(&self) -> Result<Option<u64>> {
        let path = format!("{}/{}", self.gitlab.desired.group, self.name);
        let Some(found) = self.gitlab.owner.find::<Project>(&Call::get("/projects/:id", &[&path]))? else {
            return Ok(None);
        };
        let is = |key: &str, wanted: &str| found.attributes.get(key).and_then(|value| value.as_str()) == Some(wanted);
        let there = found.attributes.get("path_with_namespace").and_then(|value| value.as_str()).unwrap_or_default();
        if there.eq_ignore_ascii_case(&path) && is("visibility", "private") && is("ci_config_path", ".factory/ci.yml") {
            return Ok(Some(found.id));
        }
        let what = format!("{} is not the private project that apply:control-plane creates", self.url());
        Err(Error::data(what).hint("rename that project, or give the application another name; nothing was pushed"))
    }

    /// Its project's page.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}/{}", self.gitlab.desired.base.as_str(), self.gitlab.desired.group, self.name)
    }

    /// Whether GitLab has the commit.
    ///
    /// # Errors
    /// Of the call.
    pub fn has_commit(&self, project: u64, id: &str) -> Result<bool> {
        let call = Call::get("/projects/:id/repository/commits/:sha", &[&project, &id]);
        Ok(self.gitlab.owner.find::<seed::Commit>(&call)?.is_some())
    }

    /// Whether no one can push to the branch, as Terraform protects it.
    ///
    /// # Errors
    /// Of the call.
    pub fn is_protected(&self, project: u64, branch: &str) -> Result<bool> {
        Ok(protected_branch::is_locked(&self.gitlab.owner, project, branch)?)
    }

    /// The newest jobs of a root of the infrastructure, for a commit whose entry `fits`.
    ///
    /// # Errors
    /// Of the calls.
    pub fn root_jobs(&self, root: &str, fits: &dyn Fn(&str) -> bool) -> Result<Option<RootJobs>> {
        let owner = &self.gitlab.owner;
        let call = Call::get("/projects/:id/pipelines", &[&self.control]);
        let call = call.query("ref", &self.gitlab.desired.branch).query("per_page", PIPELINES.to_string());
        let all: Vec<Listed> = owner.fetch(&call)?;
        for listed in all.iter().filter(|one| one.source != "schedule") {
            if !self.file(self.control, &listed.sha, &self.entry_path())?.is_some_and(|text| fits(&text)) {
                return Ok(None);
            }
            let pipeline = pipeline::whole(owner, self.control, listed.id)?;
            let named = |name: &str| pipeline.jobs.iter().rev().find(|job| job.name == name).cloned();
            if let Some(apply) = named(&format!("apply:{root}")) {
                let waits = |job: &&Job| job.status == "manual" && job.id != apply.id;
                let others = pipeline.jobs.iter().filter(waits).filter_map(|job| job.name.strip_prefix("apply:"));
                let others = others.map(str::to_owned).collect();
                return Ok(Some(RootJobs {
                    pipeline: pipeline.id,
                    plan: named(&format!("plan:{root}")),
                    apply,
                    others,
                }));
            }
        }
        Ok(None)
    }

    /// A job as it is now.
    ///
    /// # Errors
    /// Of the call.
    pub fn job(&self, project: u64, id: u64) -> Result<Job> {
        let mut job: Job = self.gitlab.owner.fetch(&Call::get("/projects/:id/jobs/:job_id", &[&project, &id]))?;
        job.status = clean(&job.status);
        Ok(job)
    }

    /// A pipeline as it is now.
    ///
    /// # Errors
    /// Of the calls.
    pub fn whole(&self, project: u64, pipeline: u64) -> Result<Pipeline> {
        Ok(pipeline::whole(&self.gitlab.owner, project, pipeline)?)
    }

    /// What a job's log says that an apply would do, as it may be shown.
    ///
    /// # Errors
    /// Of the call.
    pub fn plan(&self, project: u64, job: &Job) -> Result<String> {
        Ok(log::plan(&self.gitlab.owner, project, job)?)
    }

    /// The last lines of a job's log, as they may be shown.
    ///
    /// # Errors
    /// Of the call.
    pub fn log(&self, project: u64, job: &Job) -> Result<String> {
        Ok(log::end(&self.gitlab.owner, &project, job)?)
    }

    /// Starts a manual job. Returns the number of the job that runs: another one, if it was started before.
    ///
    /// # Errors
    /// Of the call.
    pub fn play(&self, project: u64, id: u64) -> Result<u64> {
        let call = Call::post("/projects/:id/jobs/:job_id/play", &[&project, &id]);
        let job: Job = self.gitlab.owner.write(&call, &json!({}))?;
        Ok(job.id)
    }

    /// The newest pipeline of the branch's commit. One that a push with `ci.skip` left counts as none.
    ///
    /// # Errors
    /// Of the calls.
    pub fn pipeline(&self, project: u64, branch: &str) -> Result<Option<Pipeline>> {
        let owner = &self.gitlab.owner;
        let call = Call::get("/projects/:id/repository/branches/:branch", &[&project, &branch]);
        let Some(head) = owner.find::<seed::Branch>(&call)? else { return Ok(None) };
        let newest = pipeline::newest(owner, project, branch, &head.commit.id)?;
        Ok(newest.filter(|pipeline| pipeline.status != "skipped"))
    }

    /// How many pipelines of the branch were started, as far as one page shows; the first one is the last step of publishing.
    ///
    /// # Errors
    /// Of the call.
    pub fn pipelines(&self, project: u64, branch: &str) -> Result<usize> {
        let call = Call::get("/projects/:id/pipelines", &[&project]).query("ref", branch);
        let all: Vec<Begun> = self.gitlab.owner.fetch(&call)?;
        Ok(all.iter().filter(|one| one.status != "skipped").count())
    }

    /// Starts a pipeline of the branch.
    ///
    /// # Errors
    /// Of the call.
    pub fn start_pipeline(&self, project: u64, branch: &str) -> Result<()> {
        let call = Call::post("/projects/:id/pipeline", &[&project]);
        Ok(self.gitlab.owner.send(&call, &json!({ "ref": branch }))?)
    }
}

impl RootJobs {
    /// Whether its apply waits for a person, and its plan can be read.
    #[must_use]
    pub fn may_start(&self) -> bool {
        self.apply.status == "manual" && self.plan.as_ref().is_some_and(|plan| plan.status == "success")
    }
}

impl MergeRequest {
    /// With GitLab's words as they may be shown.
    fn cleaned(self) -> Self {
        let (web_url, status) = (clean(&self.web_url), clean(&self.detailed_merge_status));
        Self { web_url, detailed_merge_status: status, ..self }
    }
}
