//! What only a job shows: that the trusted runner takes no job of an unprotected branch, that such a job gets no protected variable, and that
//! only Maintainers download a stored plan.
//!
//! One commit, whose pipeline has two jobs, is pushed twice: by the agent to an unprotected branch, and then by the owner to one of `factory/*`,
//! which is protected. All that differs is the ref.
//!
//! - **The trusted runner.** A job that waits shows nothing by itself: the runner may be busy or gone. GitLab hands out the oldest job that fits.
//!   So the owner's job counts, which is younger: once the trusted runner ran it and the agent's still waits, GitLab passed the agent's over.
//!   Sources: `app/services/ci/queue/build_queue_service.rb`, `lib/gitlab/ci/matching/runner_matcher.rb`.
//! - **Protected variables.** The owner makes one for this, of random content. The job prints the SHA-256 of a text that ends in it, which is one
//!   of two: with the variable, or without. Neither is in what a runner repeats of the script, and the value is in no log.
//! - **Plans.** Nothing is made for them: the newest stored plan of the default branch is asked for, by its checksum's file.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::attempts::{Mend, attempt};
use super::calls::try_as;
use super::stage::{Stage, VARIABLE, VARIABLES};
use super::verdict::{proof, words};
use crate::dialog::plain;
use crate::digest::sha256;
use crate::error::Error;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::resources::runner;
use crate::gitlab::resources::wanted_branch::PROPOSING;
use crate::interrupt;
use crate::plan::{Proof, Watch};
use crate::secret::Secret;

const RUNS: &str = "the agent cannot run a job on the trusted runner from a branch";
const READS: &str = "the agent cannot read a protected variable in a pipeline of a branch";
const DOWNLOADS: &str = "the agent cannot download a stored plan";
/// The jobs.
const TRUSTED: &str = "trusted";
const SHOWS: &str = "protected-variable";
/// How long GitLab may take to create a pipeline, and a runner to take a job: it asks every few seconds.
const BEGINS: Duration = Duration::from_mins(1);
/// How long all of it may take. A container's image may have to be fetched.
const LIMIT: Duration = Duration::from_mins(5);
const PAUSE: Duration = Duration::from_secs(1);
/// How often a log is read that is not complete yet.
const LOOKS: u32 = 5;

#[derive(Deserialize)]
struct Pipeline {
    id: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Job {
    id: u64,
    name: String,
    status: String,
    #[serde(default)]
    runner: Option<Runner>,
    #[serde(default, rename = "ref")]
    branch: String,
    #[serde(default)]
    artifacts_file: Option<serde::de::IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
struct Runner {
    id: u64,
}

impl Job {
    fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "success" | "failed" | "canceled" | "skipped")
    }

    fn words(&self) -> String {
        let runner = self.runner.as_ref().map_or_else(String::new, |runner| format!(" on runner {}", runner.id));
        format!("{} is {}{runner}", plain(&self.name), plain(&self.status))
    }
}

/// Makes them all, if the runners are there, and remembers whether all of them held.
pub(super) fn try_all(stage: &mut Stage<'_>, watch: &dyn Watch, proofs: &mut Vec<Proof>) -> GitlabResult<()> {
    let before = proofs.len();
    let Some(trusted) = trusted(stage)? else { return leave(stage) };
    match stored_plan(stage)? {
        Some(call) => {
            for person in std::iter::once(stage.agent.clone()).chain(stage.desk.clone()) {
                let claim = person.claim(DOWNLOADS);
                let downloading = attempt(claim, call.clone(), None, call.clone(), Mend::Nothing);
                try_as(stage, &person, vec![downloading], proofs)?;
            }
        }
        None => {
            stage.note(format!(
                "not tried, since no pipeline of the default branch stored a plan yet; once one has, `factoryup apply gitlab --prove` tries it: {DOWNLOADS}"
            ));
        }
    }
    watch.busy("running the policy checks that need a job");
    match Jobs::run(stage, watch)? {
        Ok(jobs) => proofs.extend([jobs.on_trusted(trusted), jobs.with_variable(stage)?]),
        Err(why) => proofs.extend([RUNS, READS].map(|claim| proof(claim, false, format!("cannot tell: {why}")))),
    }
    remember(stage, proofs[before..].iter().all(|proof| proof.held))
}

/// Leaves them for after the pipeline, and says so.
pub(super) fn leave(stage: &mut Stage<'_>) -> GitlabResult<()> {
    stage.note(format!(
        "not tried yet; `factoryup apply` tries it once runners are online and the pipeline passed: {RUNS}; {READS}; {DOWNLOADS}"
    ));
    remember(stage, false)
}

fn remember(stage: &Stage<'_>, passed: bool) -> GitlabResult<()> {
    if stage.site.keep.memory()?.jobs_passed != passed {
        stage.site.keep.remember(|memory| memory.jobs_passed = passed)?;
    }
    Ok(())
}

/// The trusted runner's id, if all of the factory's are online.
fn trusted(stage: &Stage<'_>) -> GitlabResult<Option<u64>> {
    let all = runner::ours(stage.site)?;
    if !all.iter().all(|(_, seen)| seen.as_ref().is_some_and(runner::Seen::is_online)) {
        return Ok(None);
    }
    Ok(all.into_iter().find(|(name, _)| *name == TRUSTED).and_then(|(_, seen)| seen).map(|seen| seen.id))
}

/// The call for the checksum of the newest stored plan that its owner can read.
fn stored_plan(stage: &Stage<'_>) -> GitlabResult<Option<Call>> {
    let (owner, id) = (stage.site.owner, stage.site.id);
    let call = Call::get("/projects/:id/jobs", &[&id]).query("scope[]", "success").query("per_page", "100");
    let jobs: Vec<Job> = owner.fetch(&call)?;
    for job in jobs.iter().filter(|job| job.branch == stage.site.desired.branch && job.artifacts_file.is_some()) {
        let Some(root) = job.name.strip_prefix("plan:") else { continue };
        let folder = if root == "control-plane" { root.to_owned() } else { format!("environments/{root}") };
        let values: [&dyn std::fmt::Display; 3] = [&id, &job.id, &format!("infra/{folder}/plan.sha256")];
        let call = Call::get("/projects/:id/jobs/:job_id/artifacts/*artifact_path", &values);
        // It may have expired.
        if owner.attempt(&call, None).is_ok_and(|answer| answer.is_success()) {
            return Ok(Some(call));
        }
    }
    Ok(None)
}

/// The jobs of both pipelines.
struct Jobs {
    of_agent: [Job; 2],
    of_owner: [Job; 2],
    /// What the variable's job prints without the variable, and with it.
    without: String,
    with: String,
}

impl Jobs {
    /// Runs both pipelines; says why, if they do not come that far.
    fn run(stage: &mut Stage<'_>, watch: &dyn Watch) -> GitlabResult<Result<Self, String>> {
        stage.fetch()?;
        let random =
            |bytes: &mut [u8]| getrandom::fill(bytes).map_err(|e| Error::internal(format!("no random number: {e}")));
        let mut bytes = [0; 16];
        random(&mut bytes)?;
        let value = Secret::new(sha256(&bytes));
        let number = stage.branch.rsplit('-').next().unwrap_or_default();
        let key = format!("{VARIABLE}{}", number.to_ascii_uppercase());
        let (without, with) =
            (sha256(stage.branch.as_bytes()), sha256(format!("{}{}", stage.branch, value.expose()).as_bytes()));
        let body = json!({ "key": key, "value": value.expose(), "protected": true, "masked": true, "raw": true });
        let made = stage.site.owner.attempt(&Call::post(VARIABLES, &[&stage.site.id]), Some(&body))?;
        if !made.is_success() {
            return Ok(Err(format!("could not create a protected variable for the test: {}", words(&made))));
        }
        let commit = stage.commit_pipeline(&pipeline(stage, &key))?;
        let (own, twin) = (format!("{}-jobs", stage.branch), format!("{PROPOSING}{}-jobs", stage.branch));
        let pushed = stage.push(&format!("{commit}:refs/heads/{own}"), &[])?;
        if !pushed.accepted {
            return Ok(Err(format!("the agent's push was refused: {}", pushed.reason)));
        }
        // The agent's waits before the owner's is there.
        let waits = |[trusted, _]: &[Job; 2]| trusted.status != "created";
        let Some((agents, _)) = jobs_of(stage, &own, waits)? else {
            return Ok(Err(format!("GitLab created no pipeline for the agent's branch {own}")));
        };
        let pushed = stage.push_as_owner(&format!("{commit}:refs/heads/{twin}"))?;
        if !pushed.accepted {
            return Ok(Err(format!("the owner's push was refused: {}", pushed.reason)));
        }
        let Some((owners, _)) = jobs_of(stage, &twin, |_| true)? else {
            return Ok(Err(format!("GitLab created no pipeline for your branch {twin}")));
        };
        let since = Instant::now();
        loop {
            interrupt::check()?;
            // The owner's first: what the agent's was when that ended counts.
            let (of_owner, of_agent) = (read(stage, owners)?, read(stage, agents)?);
            let (Some(of_owner), Some(of_agent)) = (of_owner, of_agent) else {
                return Ok(Err("a pipeline of the test was deleted while it ran".into()));
            };
            let [_, shows] = &of_agent;
            let is_over = of_owner.iter().all(Job::is_over) && shows.is_over();
            let all = [&of_owner[0], &of_owner[1], shows];
            let begun = all.iter().all(|job| job.runner.is_some() || job.is_over());
            if is_over || since.elapsed() >= LIMIT || (!begun && since.elapsed() >= BEGINS) {
                return Ok(Ok(Self { of_agent, of_owner, without, with }));
            }
            let open: Vec<_> = all.iter().filter(|job| !job.is_over()).map(|job| job.words()).collect();
            watch.busy(&format!("running the policy checks that need a job: {}", open.join(", ")));
            std::thread::sleep(PAUSE);
        }
    }

    fn on_trusted(&self, runner: u64) -> Proof {
        let ([own, _], [twin, _]) = (&self.of_agent, &self.of_owner);
        let ran = |job: &Job| job.runner.as_ref().map(|runner| runner.id);
        if ran(own).is_some() || matches!(own.status.as_str(), "running" | "success") {
            return proof(RUNS, false, format!("GitLab handed it out: {}", own.words()));
        }
        let passed_over = twin.status == "success" && ran(twin) == Some(runner) && own.id < twin.id;
        let held = passed_over && own.status == "pending";
        let (begin, unless) =
            if held { ("", "") } else { ("cannot tell: ", "; the owner's had to pass on the trusted runner") };
        let detail = format!(
            "{begin}the agent's job {}; the owner's of the same commit, on a protected branch, {}{unless}",
            own.words(),
            twin.words()
        );
        proof(RUNS, held, detail)
    }

    fn with_variable(&self, stage: &Stage<'_>) -> GitlabResult<Proof> {
        let ([_, own], [_, twin]) = (&self.of_agent, &self.of_owner);
        let says = |job: &Job| -> GitlabResult<Option<bool>> {
            let call = Call::get("/projects/:id/jobs/:job_id/trace", &[&stage.site.id, &job.id]);
            for look in 0..LOOKS {
                std::thread::sleep(PAUSE * u32::from(look > 0));
                let log = stage.site.owner.text(&call)?;
                let found = [&self.without, &self.with].map(|text| log.contains(text.as_str()));
                if found != [false, false] || !job.is_over() {
                    return Ok((found != [false, false]).then_some(found[1]));
                }
            }
            Ok(None)
        };
        let told = |said: Option<bool>| match said {
            Some(true) => "got the variable",
            Some(false) => "did not get the variable",
            None => "does not say whether it got the variable",
        };
        let (of_agent, of_owner) = (says(own)?, says(twin)?);
        let held = (of_agent, of_owner) == (Some(false), Some(true));
        let begin = if held || of_agent == Some(true) { "" } else { "cannot tell: " };
        let detail = format!(
            "{begin}the agent's job {} and {}; the owner's of the same commit, on a protected branch, {} and {}",
            own.words(),
            told(of_agent),
            twin.words(),
            told(of_owner)
        );
        Ok(proof(READS, held, detail))
    }
}

/// The pipeline's text.
fn pipeline(stage: &Stage<'_>, key: &str) -> String {
    let tags = |name: &str| {
        let runner = stage.site.desired.runners.iter().find(|runner| runner.name == name);
        // GitLab's own runners take jobs without tags.
        runner.map_or_else(String::new, |runner| format!("  tags: {}\n", json!(runner.tags)))
    };
    let script = json!([format!("printf %s \"{}${{{key}-}}\" | sha256sum", stage.branch)]);
    format!(
        "# factoryup made this for a policy check, and removes it.\nvariables:\n  GIT_STRATEGY: none\n{TRUSTED}:\n{}  script: [\"true\"]\n{SHOWS}:\n{}  script: {script}\n",
        tags("trusted"),
        tags("untrusted"),
    )
}

/// The jobs of the pipeline of a branch, once they are as wanted; none if GitLab makes no such pipeline in time.
fn jobs_of(
    stage: &Stage<'_>,
    branch: &str,
    wanted: impl Fn(&[Job; 2]) -> bool,
) -> GitlabResult<Option<(u64, [Job; 2])>> {
    let call = Call::get("/projects/:id/pipelines", &[&stage.site.id]).query("ref", branch);
    let since = Instant::now();
    loop {
        interrupt::check()?;
        let is_last = since.elapsed() >= BEGINS;
        let all: Vec<Pipeline> = stage.site.owner.fetch(&call)?;
        if let Some(one) = all.first()
            && let Some(jobs) = read(stage, one.id)?.filter(|jobs| is_last || wanted(jobs))
        {
            return Ok(Some((one.id, jobs)));
        }
        if is_last {
            return Ok(None);
        }
        std::thread::sleep(PAUSE / 4);
    }
}

/// The two jobs of a pipeline; none if it has not both.
fn read(stage: &Stage<'_>, pipeline: u64) -> GitlabResult<Option<[Job; 2]>> {
    let call = Call::get("/projects/:id/pipelines/:pipeline_id/jobs", &[&stage.site.id, &pipeline]);
    let Some(jobs) = stage.site.owner.find::<Vec<Job>>(&call)? else { return Ok(None) };
    let one = |name: &str| jobs.iter().find(|job| job.name == name).cloned();
    Ok(one(TRUSTED).zip(one(SHOWS)).map(<[Job; 2]>::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: u64, status: &str, runner: Option<u64>) -> Job {
        let runner = runner.map(|id| Runner { id });
        Job { id, name: TRUSTED.into(), status: status.into(), runner, branch: String::new(), artifacts_file: None }
    }

    #[test]
    fn a_job_that_waits_shows_something_only_if_the_runner_passed_it_over() {
        let tried = |own: (u64, &str, Option<u64>), twin: (u64, &str, Option<u64>)| {
            let pair = |(id, status, runner): (u64, &str, Option<u64>)| {
                [job(id, status, runner), job(id + 1, "success", Some(4))]
            };
            let (of_agent, of_owner) = (pair(own), pair(twin));
            let proof = Jobs { of_agent, of_owner, without: String::new(), with: String::new() }.on_trusted(7);
            (proof.held, proof.detail.starts_with("cannot tell: "))
        };
        let waits = (1, "pending", None);
        assert_eq!(tried(waits, (5, "success", Some(7))), (true, false));
        for twin in [(5, "pending", None), (5, "success", Some(8)), (5, "failed", Some(7)), (0, "success", Some(7))] {
            assert_eq!(tried(waits, twin), (false, true), "{twin:?}");
        }
        for own in [(1, "created", None), (1, "failed", None), (1, "canceled", None)] {
            assert_eq!(tried(own, (5, "success", Some(7))), (false, true), "{own:?}");
        }
        for own in [(1, "running", Some(7)), (1, "success", Some(7)), (1, "failed", Some(7))] {
            assert_eq!(tried(own, (5, "pending", None)), (false, false), "{own:?}");
        }
    }
}
