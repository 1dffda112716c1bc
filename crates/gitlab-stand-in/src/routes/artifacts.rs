//! Artifacts of jobs, for people: the archive, and a file in it.
//!
//! Sources: `lib/api/ci/job_artifacts.rb`, `app/policies/ci/build_policy.rb`, `workhorse/internal/artifacts/entry.go`,
//! <https://docs.gitlab.com/ci/yaml/#artifactsaccess>.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::pipelines::{find_job, readable};
use crate::auth::Need;
use crate::call::Call;
use crate::model::{DEVELOPER, GUEST, Job, MAINTAINER};
use crate::reply::{Body, Outcome, Refusal, Reply, forbidden, not_found};
use crate::router::Route;

/// The largest file of an archive that is shown, in bytes.
const MOST: usize = 64 * 1024 * 1024;

/// The least role that downloads what a job stored; none for no one.
fn access(job: &Job) -> Option<u8> {
    let artifacts = job.definition.get("artifacts");
    let says = |key: &str| artifacts.and_then(|artifacts| artifacts.get(key));
    match says("access").and_then(|access| access.as_str()) {
        Some("none") => None,
        Some("maintainer") => Some(MAINTAINER),
        Some("developer") => Some(DEVELOPER),
        _ if says("public").is_some_and(|public| *public == false) => Some(DEVELOPER),
        _ => Some(GUEST),
    }
}

/// The archive of the job that the path names, for who may have it.
fn archive(call: &mut Call<'_>) -> Result<Vec<u8>, Refusal> {
    let id = readable(call)?;
    let (pipeline, job) = find_job(call, id)?;
    let job = &call.at(id)?.pipelines[pipeline].jobs[job];
    if access(job).is_none_or(|least| call.role < Some(least)) {
        return Err(forbidden(""));
    }
    job.run.artifacts.clone().ok_or_else(|| not_found(""))
}

fn download(call: &mut Call<'_>) -> Outcome {
    Ok(Reply::new(200, Body::Bytes("application/zip", archive(call)?)))
}

fn file(call: &mut Call<'_>) -> Outcome {
    let archive = archive(call)?;
    // Not in the API's words: GitLab's Workhorse answers here.
    let Some(content) = entry(&archive, call.param(2)) else { return Ok(Reply::text(404, "404 page not found\n")) };
    Ok(Reply::new(200, Body::Bytes("application/octet-stream", content)))
}

/// A number of so many bytes, least first.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

/// A file of a zip archive, by its directory. Source: <https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, 4.3.
fn entry(archive: &[u8], name: &str) -> Option<Vec<u8>> {
    let end = archive.windows(4).rposition(|four| four == b"PK\x05\x06")?;
    let mut at = number(archive, end + 16, 4)?;
    for _ in 0..number(archive, end + 10, 2)? {
        let field = |offset: usize, size: usize| number(archive, at + offset, size);
        let (method, packed, length) = (field(10, 2)?, field(20, 4)?, field(28, 2)?);
        if archive.get(at + 46..at + 46 + length)? == name.as_bytes() {
            let local = field(42, 4)?;
            let start = local + 30 + number(archive, local + 26, 2)? + number(archive, local + 28, 2)?;
            let data = archive.get(start..start.checked_add(packed)?)?;
            return match method {
                0 => Some(data.to_vec()),
                8 => decompress_to_vec_with_limit(data, MOST).ok(),
                _ => None,
            };
        }
        at += 46 + length + field(30, 2)? + field(32, 2)?;
    }
    None
}

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/jobs/:job_id/artifacts", Need::Read, &[], download),
    Route::new("GET", "/projects/:id/jobs/:job_id/artifacts/*artifact_path", Need::Read, &[], file),
];
