//! Files and trees of a repository, to read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::auth::Need;
use crate::call::Call;
use crate::model::REPORTER;
use crate::reply::{Body, Outcome, Reply, error, not_found};
use crate::router::Route;

/// A file's bytes, and the commit and name they were asked for under.
struct Found {
    path: String,
    reference: String,
    sha: String,
    bytes: Vec<u8>,
}

fn find(call: &mut Call<'_>, reference: Option<String>) -> Result<Found, crate::reply::Refusal> {
    let id = call.project(REPORTER)?;
    let project = call.at(id)?;
    let reference = reference.unwrap_or_else(|| project.default_branch.clone());
    let git = &call.settings.git;
    let sha = git.resolve(&project.repository, &reference).ok_or_else(|| not_found("Commit"))?;
    let path = call.param(1).to_owned();
    let bytes = git.blob(&project.repository, &sha, &path).ok_or_else(|| not_found("File"))?;
    Ok(Found { path, reference, sha, bytes })
}

fn get(call: &mut Call<'_>) -> Outcome {
    let reference = call.text("ref").ok_or_else(|| error(400, "ref is missing"))?;
    let found = find(call, Some(reference))?;
    let id = call.project(REPORTER)?;
    let files = call.settings.git.files(&call.at(id)?.repository, &found.sha)?;
    let entry = files.get(&found.path).ok_or_else(|| not_found("File"))?;
    let digest: [u8; 32] = Sha256::digest(&found.bytes).into();
    let digest = digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let value = json!({
        "file_name": found.path.rsplit('/').next(),
        "file_path": found.path,
        "size": found.bytes.len(),
        "encoding": "base64",
        "content_sha256": digest,
        "ref": found.reference,
        "blob_id": entry.sha,
        "commit_id": found.sha,
        "last_commit_id": found.sha,
        "execute_filemode": entry.mode == "100755",
        "content": STANDARD.encode(&found.bytes),
    });
    Ok(Reply::ok(value).header("X-Gitlab-Content-Sha256", digest))
}

fn raw(call: &mut Call<'_>) -> Outcome {
    let reference = call.text("ref");
    let found = find(call, reference)?;
    Ok(Reply::new(200, Body::Bytes("text/plain; charset=utf-8", found.bytes)))
}

fn tree(call: &mut Call<'_>) -> Outcome {
    let id = call.project(REPORTER)?;
    let recursive = call.boolean("recursive")?.unwrap_or(false);
    let path = call.text("path").unwrap_or_default();
    let project = call.at(id)?;
    let reference = call.text("ref").unwrap_or_else(|| project.default_branch.clone());
    let git = &call.settings.git;
    let sha = git.resolve(&project.repository, &reference).ok_or_else(|| not_found("Tree"))?;
    let entries = git.tree(&project.repository, &sha, &path, recursive)?;
    if entries.is_empty() && !path.is_empty() {
        return Err(not_found("invalid revision or path"));
    }
    Ok(Reply::list(entries.into_iter().map(|entry| {
        json!({
            "id": entry.sha,
            "name": entry.path.rsplit('/').next(),
            "type": entry.kind,
            "path": entry.path,
            "mode": entry.mode,
        })
    })))
}

pub(super) const ROUTES: &[Route] = &[
    Route::new("GET", "/projects/:id/repository/tree", Need::Read, &["ref", "path", "recursive"], tree),
    Route::new("GET", "/projects/:id/repository/files/:file_path", Need::ReadRepository, &["ref"], get),
    Route::new("GET", "/projects/:id/repository/files/:file_path/raw", Need::ReadRepository, &["ref", "lfs"], raw),
];
