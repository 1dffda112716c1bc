//! How jobs become ready, which runner gets which, and what state a pipeline is in because of its jobs.
//!
//! **Played**: stages, `needs`, manual jobs, `always`, `on_failure`, `allow_failure` with exit codes, `retry` (the run that failed is
//! forgotten), tags, protected runners. **Not played**: `delayed` (as `on_success`), `resource_group`, `parallel`, `timeout`.

use serde_json::Value;

use crate::auth::now;
use crate::model::{After, Job, Pipeline, Run, Runner};
use crate::state::State;

/// Where a job is: its project, and the positions of pipeline and job there.
pub(crate) type Place = (u64, usize, usize);

impl Job {
    /// Whether what comes after it may begin.
    fn lets_on(&self) -> bool {
        match self.status.as_str() {
            "success" => true,
            "failed" | "canceled" | "manual" => self.allow_failure,
            _ => false,
        }
    }

    /// Whether what comes after it never begins.
    fn stops(&self) -> bool {
        matches!(self.status.as_str(), "failed" | "canceled" | "skipped") && !self.allow_failure
    }

    /// Whether what comes after it waits for it no longer.
    fn is_over(&self) -> bool {
        match self.status.as_str() {
            "success" | "failed" | "canceled" | "skipped" => true,
            "manual" => self.allow_failure,
            _ => false,
        }
    }

    /// Whether it is to run once more after it failed like this. Source: `lib/gitlab/ci/build/auto_retry.rb`.
    pub(crate) fn is_retried(&self, reason: &str, code: Option<i64>) -> bool {
        let Some(retry) = self.definition.get("retry") else { return false };
        let has = |key: &str, is: &dyn Fn(&Value) -> bool| match retry.get(key) {
            Some(Value::Array(all)) => all.iter().any(is),
            Some(one) => is(one),
            None => false,
        };
        let max = retry.as_u64().or_else(|| retry.get("max")?.as_u64()).unwrap_or(2);
        let is_any = retry.get("when").is_none() && retry.get("exit_codes").is_none();
        self.run.retries < max
            && (is_any
                || has("when", &|when| when == "always" || when == reason)
                || has("exit_codes", &|one| one.as_i64().is_some_and(|one| Some(one) == code)))
    }

    /// The run after one that failed: a new job.
    pub(crate) fn retry(&mut self, id: u64) {
        self.id = id;
        "pending".clone_into(&mut self.status);
        self.run = Run { retries: self.run.retries + 1, ..Run::default() };
    }

    /// Ends a job that runs.
    pub(crate) fn end(&mut self, status: &str) {
        status.clone_into(&mut self.status);
        self.run.finished_at = Some(now());
        self.run.token = None;
    }
}

/// Lets the jobs begin whose turn it is, and gives the pipeline the state that follows from its jobs.
pub(crate) fn advance(pipeline: &mut Pipeline) {
    // Those that are skipped let others be skipped.
    while let Some((job, status)) = (0..pipeline.jobs.len()).find_map(|job| Some((job, turn(pipeline, job)?))) {
        status.clone_into(&mut pipeline.jobs[job].status);
    }
    if !pipeline.jobs.is_empty() {
        composite(&pipeline.jobs.iter().collect::<Vec<_>>()).clone_into(&mut pipeline.status);
    }
}

/// What a job that has not begun becomes now, if anything.
fn turn(pipeline: &Pipeline, at: usize) -> Option<&'static str> {
    let job = &pipeline.jobs[at];
    if job.status != "created" {
        return None;
    }
    // The jobs are in the order of their stages.
    let first = pipeline.jobs.iter().position(|other| other.stage == job.stage).unwrap_or(at);
    let before: Vec<&Job> = match &job.needs {
        Some(names) => pipeline.jobs.iter().filter(|other| names.contains(&other.name)).collect(),
        None => pipeline.jobs[..first].iter().collect(),
    };
    if job.after != After::Success {
        if !before.iter().all(|other| other.is_over()) {
            return None;
        }
        // Of the jobs that it needs, one that did not run is as if none had. Sources: `lib/gitlab/ci/status/composite.rb`,
        // `app/services/ci/process_build_service.rb`.
        let state = match composite(&before) {
            _ if job.needs.is_some() && before.iter().any(|other| other.status == "skipped") => "skipped",
            state => state,
        };
        let begins = state == "failed" || (job.after == After::Any && state != "canceled");
        return Some(if begins { "pending" } else { "skipped" });
    }
    if before.iter().any(|other| other.stops()) {
        return Some("skipped");
    }
    before.iter().all(|other| other.lets_on()).then_some(if job.manual { "manual" } else { "pending" })
}

/// The state of a pipeline with these jobs. Source: `lib/gitlab/ci/status/composite.rb`.
fn composite(jobs: &[&Job]) -> &'static str {
    let state = |job: &&Job| match (job.status.as_str(), job.allow_failure) {
        ("failed" | "canceled", true) => "success".to_owned(),
        ("manual", true) => "skipped".to_owned(),
        (status, _) => status.to_owned(),
    };
    let states: Vec<_> = jobs.iter().map(state).collect();
    let only = |among: &[&str]| states.iter().all(|state| among.contains(&state.as_str()));
    let any = |among: &[&str]| states.iter().any(|state| among.contains(&state.as_str()));
    match () {
        () if only(&["skipped"]) => "skipped",
        () if only(&["success", "skipped"]) => "success",
        () if only(&["created"]) => "created",
        () if only(&["canceled", "success", "skipped"]) => "canceled",
        () if only(&["pending", "created", "skipped"]) => "pending",
        () if any(&["running", "pending"]) => "running",
        () if any(&["manual"]) => "manual",
        () if any(&["created"]) => "running",
        () => "failed",
    }
}

/// The oldest job that GitLab would hand to this runner. Source: `app/services/ci/register_job_service.rb`.
pub(crate) fn next_for(state: &State, runner: &Runner) -> Option<Place> {
    if runner.paused {
        return None;
    }
    let mut found: Option<(u64, Place)> = None;
    for project in state.projects.values().filter(|project| state.serves(runner, project)) {
        if project.settings.get("builds_access_level").is_some_and(|level| level == "disabled") {
            continue;
        }
        for (at, pipeline) in project.pipelines.iter().enumerate() {
            let takes = |job: &Job| {
                let tagged = if job.tags.is_empty() {
                    runner.run_untagged
                } else {
                    job.tags.iter().all(|tag| runner.tag_list.contains(tag))
                };
                job.status == "pending" && tagged && (pipeline.protected || runner.access_level != "ref_protected")
            };
            let ready = pipeline.jobs.iter().enumerate().filter(|(_, job)| takes(job));
            let first = ready.map(|(position, job)| (job.id, (project.id, at, position))).min();
            found = found.into_iter().chain(first).min();
        }
    }
    found.map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Run;

    fn pipeline(jobs: &[(&str, &str, bool, bool)]) -> Pipeline {
        let job = |(name, stage, manual, allow_failure): &(&str, &str, bool, bool)| Job {
            id: 1,
            name: (*name).into(),
            stage: (*stage).into(),
            status: "created".into(),
            manual: *manual,
            after: After::Success,
            allow_failure: *allow_failure,
            started_by: None,
            tags: Vec::new(),
            needs: None,
            allowed_codes: Vec::new(),
            definition: serde_json::Map::new(),
            run: Run::default(),
        };
        Pipeline {
            id: 1,
            iid: 1,
            reference: "main".into(),
            tag: false,
            sha: String::new(),
            source: "push",
            status: "created".into(),
            user: 1,
            jobs: jobs.iter().map(job).collect(),
            yaml_errors: None,
            created_at: String::new(),
            protected: true,
            variables: crate::model::Variables::new(),
        }
    }

    fn after(pipeline: &mut Pipeline, name: &str, end: &str) -> String {
        let job = pipeline.jobs.iter_mut().find(|job| job.name == name).unwrap();
        job.end(end);
        advance(pipeline);
        let all: Vec<_> = pipeline.jobs.iter().map(|job| job.status.as_str()).collect();
        format!("{}: {}", pipeline.status, all.join(" "))
    }

    #[test]
    fn a_stage_begins_after_the_one_before_it() {
        let jobs = [
            ("a", "one", false, false),
            ("b", "one", false, true),
            ("c", "two", true, false),
            ("d", "three", false, false),
        ];
        let mut it = pipeline(&jobs);
        advance(&mut it);
        assert_eq!(it.status, "pending");
        assert_eq!(after(&mut it, "a", "success"), "running: success pending created created");
        // One that may fail stops nothing; one that waits for a person does.
        assert_eq!(after(&mut it, "b", "failed"), "manual: success failed manual created");
        assert_eq!(after(&mut it, "c", "success"), "running: success failed success pending");
        assert_eq!(after(&mut it, "d", "success"), "success: success failed success success");
    }

    #[test]
    fn a_job_is_retried_as_it_says() {
        let mut it = pipeline(&[("a", "one", false, false)]);
        let job = &mut it.jobs[0];
        assert!(!job.is_retried("script_failure", Some(1)));
        for (retry, reason, code, expected) in [
            ("1", "script_failure", Some(1), true),
            ("0", "script_failure", Some(1), false),
            ("{\"max\":2,\"when\":\"runner_system_failure\",\"exit_codes\":137}", "script_failure", Some(1), false),
            ("{\"max\":2,\"when\":\"runner_system_failure\",\"exit_codes\":137}", "script_failure", Some(137), true),
            ("{\"max\":2,\"when\":[\"runner_system_failure\"]}", "runner_system_failure", None, true),
            ("{\"max\":1,\"exit_codes\":[1,2]}", "script_failure", Some(2), true),
            ("{\"max\":1,\"when\":\"always\"}", "job_execution_timeout", None, true),
        ] {
            job.definition.insert("retry".into(), serde_json::from_str(retry).unwrap());
            assert_eq!(job.is_retried(reason, code), expected, "{retry} {reason} {code:?}");
        }
        job.retry(2);
        assert!((job.id, job.status.as_str()) == (2, "pending") && !job.is_retried("script_failure", Some(1)));
    }

    #[test]
    fn what_needs_a_failed_job_is_skipped_and_a_manual_one_hides_the_failure() {
        let mut it = pipeline(&[("a", "one", false, false), ("b", "two", false, false), ("c", "two", true, false)]);
        it.jobs[2].needs = Some(Vec::new());
        advance(&mut it);
        assert_eq!(after(&mut it, "a", "failed"), "manual: failed skipped manual");
        let mut it = pipeline(&[("a", "one", false, false), ("b", "two", false, false)]);
        advance(&mut it);
        assert_eq!(after(&mut it, "a", "failed"), "failed: failed skipped");
    }

    #[test]
    fn a_job_that_always_runs_waits_for_the_end_of_what_it_needs() {
        let jobs = || {
            let mut it = pipeline(&[
                ("validate", "one", false, false),
                ("test", "two", false, false),
                ("gate", "three", false, false),
                ("apply", "three", true, false),
                ("evidence", "four", false, false),
                ("alarm", "four", false, false),
                ("alarm-of-all", "four", false, false),
            ]);
            let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
            it.jobs[2].needs = names(&["validate", "test"]);
            (it.jobs[4].needs, it.jobs[4].after) = (names(&["gate"]), After::Any);
            (it.jobs[5].needs, it.jobs[5].after) = (names(&["validate"]), After::Failure);
            (it.jobs[6].needs, it.jobs[6].after) = (names(&["validate", "test"]), After::Failure);
            advance(&mut it);
            it
        };
        let mut it = jobs();
        let said = after(&mut it, "validate", "success");
        assert_eq!(said, "running: success pending created created created skipped created");
        let said = after(&mut it, "test", "success");
        assert_eq!(said, "running: success success pending manual created skipped skipped");
        assert_eq!(
            after(&mut it, "gate", "success"),
            "running: success success success manual pending skipped skipped"
        );
        // What needs a job that was skipped runs if it always does, and not if it waits for a failure.
        let mut it = jobs();
        let said = after(&mut it, "validate", "failed");
        assert_eq!(said, "running: failed skipped skipped skipped pending pending skipped");
        // Canceled, it is over.
        let mut it = pipeline(&[("a", "one", false, false), ("b", "two", false, false)]);
        it.jobs[1].after = After::Any;
        advance(&mut it);
        assert_eq!(after(&mut it, "a", "canceled"), "canceled: canceled skipped");
    }
}
