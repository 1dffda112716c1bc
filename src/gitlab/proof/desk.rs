//! What the agent itself may do and its desk must not: that is why the desk is a second account and no wider token of the agent's.

use std::fmt::Display;

use serde::Deserialize;
use serde_json::json;

use super::attempts::{Attempt, Mend, attempt, cancel};
use super::stage::{Person, Stage};
use super::verdict::proof;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::plan::Proof;

const THREADS: &str = "/projects/:id/merge_requests/:merge_request_iid/discussions";
const THREAD: &str = "/projects/:id/merge_requests/:merge_request_iid/discussions/:discussion_id";

#[derive(Deserialize)]
struct Thread {
    id: String,
}

/// The attempts that are made by the desk only.
pub(super) fn attempts(stage: &Stage<'_>, desk: &Person, proofs: &mut Vec<Proof>) -> GitlabResult<Vec<Attempt>> {
    let mut all = vec![pipeline(stage, desk)];
    let claim = format!("{} cannot resolve a thread of a reviewer", desk.who);
    match thread(stage)? {
        Ok((request, thread)) => {
            let values: [&dyn Display; 3] = [&stage.site.id, &request, &thread.id];
            let (open, resolved) = (json!({ "resolved": false }), json!({ "resolved": true }));
            let change = Call::put(THREAD, &values);
            let reopen = Mend::Calls(vec![(change.clone(), Some(open.clone()))]);
            let resolving = attempt(claim, change.clone(), Some(resolved), Call::get(THREAD, &values), reopen);
            all.push(resolving.twin(change, Some(open)));
        }
        Err(why) => proofs.push(proof(&claim, false, format!("cannot tell: {why}"))),
    }
    Ok(all)
}

fn pipeline(stage: &Stage<'_>, desk: &Person) -> Attempt {
    let (id, claim) = (stage.site.id, format!("{} cannot start a pipeline on a branch", desk.who));
    let start = Call::post("/projects/:id/pipeline", &[&id]);
    let branch = Call::get("/projects/:id/repository/branches/:branch", &[&id, &stage.branch]);
    attempt(claim, start.clone(), Some(json!({ "ref": stage.branch })), branch, cancel())
        .twin(start, Some(json!({ "ref": format!("{}-none", stage.branch) })))
}

/// A thread of the owner's in the merge request of the proof, which goes with it; else why there is none.
fn thread(stage: &Stage<'_>) -> GitlabResult<Result<(u64, Thread), String>> {
    let Some(request) = stage.merge_request()? else {
        return Ok(Err("there is no merge request by the agent to test with".into()));
    };
    let call = Call::post(THREADS, &[&stage.site.id, &request.iid]);
    let body = json!({ "body": "factoryup checks that only reviewers resolve this." });
    match stage.site.owner.write(&call, &body) {
        Ok(thread) => Ok(Ok((request.iid, thread))),
        Err(error) if error.status().is_some() || error.is_foreign() => {
            Ok(Err(format!("the owner could not begin a thread for the test: {error}")))
        }
        Err(error) => Err(error),
    }
}
