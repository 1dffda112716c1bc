//! The newest pipeline of the default branch's commit: its jobs, what became of them, and why there is none.
//!
//! Sources: <https://docs.gitlab.com/api/pipelines/>, <https://docs.gitlab.com/api/jobs/>, <https://docs.gitlab.com/api/lint/>.

use serde::Deserialize;

use super::GitlabTarget;
use super::answer::clean;
use super::client::Client;
use super::error::GitlabResult;
use super::http::Call;
use super::resources::seed::{self, Branch};
use super::resources::{project, runner};
use super::site::Project;
use crate::error::{Error, Result};

/// A pipeline with its jobs.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its number in GitLab.
    pub id: u64,
    /// GitLab's word for its state.
    pub status: String,
    /// Its page.
    pub url: String,
    /// The commit that it is for.
    pub commit: String,
    /// What is wrong with the configuration, if GitLab says so.
    pub faults: Option<String>,
    /// Its jobs, in GitLab's order, oldest first.
    pub jobs: Vec<Job>,
}

/// A job of a pipeline.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    /// Its number in GitLab.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Its stage.
    pub stage: String,
    /// GitLab's word for its state.
    pub status: String,
    #[serde(default)]
    allow_failure: bool,
    /// The tags that a runner needs for it.
    #[serde(default, rename = "tag_list")]
    pub tags: Vec<String>,
    /// How long it ran, in seconds.
    #[serde(default)]
    pub duration: Option<f64>,
    /// Why it failed, in a word of GitLab's.
    #[serde(default)]
    pub failure_reason: Option<String>,
}

/// What became of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every job that must pass did.
    Passed,
    /// All that runs by itself passed, and a job waits until a person starts it.
    Waits,
    /// It is not over.
    Underway,
    /// A job that must pass failed, or the pipeline ended in another way than by passing.
    Failed,
}

impl Job {
    /// Whether it failed, and had to pass.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        matches!(self.status.as_str(), "failed" | "canceled") && !self.allow_failure
    }

    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "success" | "failed" | "canceled" | "skipped" | "manual")
    }
}

impl Pipeline {
    /// What became of it. A state of GitLab's that is not known here is not taken for a success.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        // GitLab shows a pipeline with a failed job and one that waits for a person as `manual`, and one as `running` until the last job
        // is over.
        if self.jobs.iter().any(Job::has_failed) {
            return Verdict::Failed;
        }
        match self.status.as_str() {
            "success" => Verdict::Passed,
            "manual" => Verdict::Waits,
            "created"
            | "waiting_for_resource"
            | "waiting_for_callback"
            | "preparing"
            | "pending"
            | "running"
            | "scheduled"
            | "canceling" => Verdict::Underway,
            _ => Verdict::Failed,
        }
    }

    /// The names of its jobs in this state.
    #[must_use]
    pub fn named(&self, status: &str) -> Vec<&str> {
        self.jobs.iter().filter(|job| job.status == status).map(|job| job.name.as_str()).collect()
    }

    /// What it is, in a line.
    #[must_use]
    pub fn words(&self) -> String {
        let id = self.id;
        match self.verdict() {
            Verdict::Passed => format!("pipeline {id} passed{}", self.allowed()),
            Verdict::Waits => {
                let manual = self.named("manual").join(", ");
                format!("pipeline {id} passed; manual jobs not started: {manual}{}", self.allowed())
            }
            Verdict::Underway => format!("pipeline {id} is {}: {}", self.status, self.progress()),
            Verdict::Failed => match self.jobs.iter().find(|job| job.has_failed()) {
                Some(job) => format!("pipeline {id} failed: job {} in stage {}", job.name, job.stage),
                None => format!("pipeline {id} ended with status {}{}", self.status, self.why()),
            },
        }
    }

    /// The jobs that failed and may.
    fn allowed(&self) -> String {
        match self.named("failed")[..] {
            [] => String::new(),
            ref allowed => format!("; allowed to fail: {}", allowed.join(", ")),
        }
    }

    fn why(&self) -> String {
        match &self.faults {
            Some(faults) => format!(": {faults}"),
            None if self.jobs.is_empty() => ", without a job; GitLab gives no reason".to_owned(),
            None => String::new(),
        }
    }

    /// How far it is, without times: the same text as long as nothing changes.
    #[must_use]
    pub fn progress(&self) -> String {
        let open: Vec<_> = self.jobs.iter().filter(|job| !job.is_over() && job.status != "created").collect();
        let open: Vec<_> = open.iter().map(|job| format!("{} {}", job.name, job.status)).collect();
        let count = self.jobs.iter().filter(|job| job.is_over()).count();
        let counted = format!("{count} of {} jobs done", self.jobs.len());
        if open.is_empty() { counted } else { format!("{}; {counted}", open.join(", ")) }
    }
}

#[derive(Deserialize)]
struct Listed {
    id: u64,
    status: String,
    web_url: String,
    sha: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    yaml_errors: Option<String>,
}

/// The first that is about the commit itself. A scheduled one runs other jobs.
fn of_the_commit(newest_first: Vec<Listed>) -> Option<Listed> {
    newest_first.into_iter().find(|one| one.source != "schedule")
}

/// The newest pipeline of a commit of the default branch, apart from scheduled ones.
pub(super) fn newest(owner: &Client, project: u64, branch: &str, commit: &str) -> GitlabResult<Option<Pipeline>> {
    let call = Call::get("/projects/:id/pipelines", &[&project]).query("ref", branch).query("sha", commit);
    let all: Vec<Listed> = owner.fetch(&call.query("per_page", "100"))?;
    of_the_commit(all).map(|listed| whole(owner, project, listed.id)).transpose()
}

/// A pipeline with its jobs.
pub(super) fn whole(owner: &Client, project: u64, id: u64) -> GitlabResult<Pipeline> {
    let one: Listed = owner.fetch(&Call::get("/projects/:id/pipelines/:pipeline_id", &[&project, &id]))?;
    let mut jobs: Vec<Job> =
        owner.list(&Call::get("/projects/:id/pipelines/:pipeline_id/jobs", &[&project, &one.id]))?;
    jobs.sort_by_key(|job| job.id);
    for text in jobs.iter_mut().flat_map(|job| [&mut job.name, &mut job.stage, &mut job.status]) {
        *text = clean(text);
    }
    let faults = one.yaml_errors.map(|text| clean(&text)).filter(|text| !text.is_empty());
    let (status, url, commit) = (clean(&one.status), clean(&one.web_url), clean(&one.sha));
    Ok(Pipeline { id: one.id, status, url, commit, faults, jobs })
}

impl GitlabTarget {
    /// The newest pipeline of the commit that the default branch has in GitLab.
    ///
    /// # Errors
    /// `CutShort` if there is no project; of the calls.
    pub fn pipeline(&self) -> Result<Option<Pipeline>> {
        let read = || {
            let project = project::require(&self.owner, &self.desired)?;
            let branch = self.head(project.id)?;
            let Some(branch) = branch else { return Ok(None) };
            newest(&self.owner, project.id, &self.desired.branch, &branch.commit.id)
        };
        read().map_err(Error::from)
    }

    pub(super) fn head(&self, project: u64) -> GitlabResult<Option<Branch>> {
        seed::branch(&self.owner, &self.desired, project)
    }

    /// The last lines of a job's log, as they may be shown.
    ///
    /// # Errors
    /// Of the call.
    pub fn log_of(&self, job: &Job) -> Result<String> {
        super::log::end(&self.owner, &self.desired.path(), job).map_err(Error::from)
    }

    /// Those of `jobs` that no runner takes which GitLab shows as online; none as long as a runner that could is hidden.
    ///
    /// # Errors
    /// Of the calls.
    pub fn without_runner<'j>(&self, jobs: &[&'j Job]) -> Result<Vec<&'j Job>> {
        let project = project::require(&self.owner, &self.desired).map_err(Error::from)?;
        let Some(all) = runner::all_seen(&self.owner, project.id).map_err(Error::from)? else { return Ok(Vec::new()) };
        let taken = |job: &Job| all.iter().any(|runner| runner.is_online() && runner.takes(&job.tags, true));
        Ok(jobs.iter().copied().filter(|job| !taken(job)).collect())
    }

    /// Why the commit of the default branch has no pipeline, as far as GitLab says.
    ///
    /// # Errors
    /// Of the calls.
    pub fn why_no_pipeline(&self) -> Result<String> {
        self.ask_why_no_pipeline().map_err(Error::from)
    }

    fn ask_why_no_pipeline(&self) -> GitlabResult<String> {
        #[derive(Deserialize)]
        struct Lint {
            valid: bool,
            #[serde(default)]
            errors: Vec<String>,
        }
        let project: Project = project::require(&self.owner, &self.desired)?;
        if project.attributes.get("builds_access_level").is_some_and(|level| level == "disabled") {
            return Ok("CI/CD is disabled in the project".into());
        }
        let call = Call::get("/projects/:id/ci/lint", &[&project.id]);
        let call = call.query("dry_run", "true").query("dry_run_ref", &self.desired.branch);
        let lint: Lint = match self.owner.fetch(&call) {
            Err(error) if matches!(error.status(), Some(400..=404)) => {
                return Ok(format!("GitLab cannot simulate one: {error}"));
            }
            lint => lint?,
        };
        Ok(match lint.errors.first() {
            Some(first) => format!("GitLab says: {}", clean(first)),
            None if lint.valid => "GitLab gives no reason, and the configuration is valid".into(),
            None => "the configuration is not valid".into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(status: &str, jobs: &[(&str, &str, bool)]) -> Pipeline {
        let job = |(id, (name, status, allow_failure)): (usize, &(&str, &str, bool))| Job {
            id: id as u64,
            name: (*name).into(),
            stage: "test".into(),
            status: (*status).into(),
            allow_failure: *allow_failure,
            tags: Vec::new(),
            duration: None,
            failure_reason: None,
        };
        let jobs = jobs.iter().enumerate().map(job).collect();
        let (url, commit) = ("https://gitlab.example/-/pipelines/7".into(), "c".into());
        Pipeline { id: 7, status: status.into(), url, commit, faults: None, jobs }
    }

    #[test]
    fn a_nightly_pipeline_says_nothing_of_the_commit() {
        let listed = |id, source: &str| {
            serde_json::from_value(
                serde_json::json!({ "id": id, "status": "success", "web_url": "", "sha": "", "source": source }),
            )
            .unwrap()
        };
        let found = |sources: &[&str]| {
            of_the_commit(sources.iter().enumerate().map(|(id, source)| listed(id, source)).collect()).map(|one| one.id)
        };
        assert_eq!(found(&["schedule", "schedule", "push", "web"]), Some(2));
        assert_eq!(found(&["schedule"]), None);
    }

    #[test]
    fn only_what_passed_counts_as_passed() {
        let verdict = |status: &str, jobs: &[(&str, &str, bool)]| pipeline(status, jobs).verdict();
        assert_eq!(verdict("success", &[("a", "success", false), ("b", "failed", true)]), Verdict::Passed);
        assert_eq!(verdict("manual", &[("a", "success", false), ("b", "manual", false)]), Verdict::Waits);
        // GitLab's word for it is `manual` all the same.
        assert_eq!(verdict("manual", &[("a", "failed", false), ("b", "manual", false)]), Verdict::Failed);
        assert_eq!(verdict("running", &[("a", "failed", false), ("b", "running", false)]), Verdict::Failed);
        assert_eq!(verdict("running", &[("a", "failed", true), ("b", "running", false)]), Verdict::Underway);
        for status in ["skipped", "canceled", "failed", "a_new_word"] {
            assert_eq!(verdict(status, &[]), Verdict::Failed, "{status}");
        }
    }

    #[test]
    fn a_pipeline_is_told_in_a_line() {
        let words = |status: &str, jobs: &[(&str, &str, bool)]| pipeline(status, jobs).words();
        let jobs = [("a", "success", false), ("b", "running", false), ("c", "created", false)];
        assert_eq!(words("running", &jobs), "pipeline 7 is running: b running; 1 of 3 jobs done");
        assert_eq!(words("failed", &[("a", "failed", false)]), "pipeline 7 failed: job a in stage test");
        assert_eq!(words("success", &[("a", "failed", true)]), "pipeline 7 passed; allowed to fail: a");
        assert_eq!(words("failed", &[]), "pipeline 7 ended with status failed, without a job; GitLab gives no reason");
    }
}
