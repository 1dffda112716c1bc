//! The application's own repo: rendered, then made whole in a new folder.

use std::path::Path;

use serde::Serialize;

use super::detect::Facts;
use super::entry::AppEntry;
use super::{AppError, AppKind, Made, Request};
use crate::git::Git;
use crate::git::ObjectFormat;
use crate::git::write::{Edit, NewCommit};
use crate::repo::create;
use crate::repo::desired::blob;
use crate::repo::error::RepoResult;
use crate::repo::ground::refuse_unfit;
use crate::repo::stage::Stage;
use crate::templating::catalogue::Pack;
use crate::templating::render::Renderer;
use crate::templating::tree::Tree;

/// What templates of an application can name beside the factory's own keys.
#[derive(Debug, Serialize)]
struct More<'a> {
    app: AppKeys<'a>,
}

#[derive(Debug, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a key of the templates")]
struct AppKeys<'a> {
    name: &'a str,
    description: &'a str,
    static_site: bool,
    http: bool,
    /// Whether a release is the root file system of an image.
    container: bool,
    adopted: bool,
    /// Of an adopted one, how it is built and run: lines of `.factory/app.conf`.
    found: String,
    /// The image that its checks run in.
    image: &'a str,
    /// What a trial used of the memory, in MiB, and what a release may use.
    used: Option<u64>,
    memory: u64,
    /// The commit of the control repo whose components it includes.
    components: &'a str,
    /// One for each environment, in order.
    ports: Vec<PortKeys<'a>>,
}

#[derive(Debug, Serialize)]
struct PortKeys<'a> {
    environment: &'a str,
    port: u16,
    tier: &'a str,
    /// What it is called on the host.
    instance: String,
}

/// Renders the scaffold.
pub(super) fn render(
    request: &Request<'_>,
    entry: &AppEntry,
    components: &str,
    found: Option<&Facts>,
) -> RepoResult<Tree> {
    let names = &request.factory.environments.names;
    let ports = names
        .iter()
        .filter_map(|name| {
            let place = entry.environments.get(name)?;
            let last = names.last() == Some(name);
            let instance = if last { request.name.to_owned() } else { format!("{}-{name}", request.name) };
            Some(PortKeys { environment: name, port: place.port, tier: &place.tier, instance })
        })
        .collect();
    let static_site = found.map_or(request.kind == Some(AppKind::Static), |facts| facts.is_static);
    let container = found.map_or(request.kind == Some(AppKind::Container), |facts| facts.is_container);
    let used = found.and_then(|facts| facts.used);
    let app = AppKeys {
        name: request.name,
        description: &entry.description,
        static_site,
        http: !static_site,
        container,
        adopted: found.is_some(),
        found: found.map(Facts::lines).unwrap_or_default(),
        image: found.map_or("docker.io/library/python:3.13", |facts| &facts.image),
        used,
        // A start is not the load that is to come.
        memory: used.map_or(512, |used| (used * 2).next_multiple_of(128).max(512)),
        components,
        ports,
    };
    let renderer = Renderer::new(Pack::embedded_app(include_str!("catalogue.toml"))?);
    Ok(renderer.render_with(request.factory, &More { app })?)
}

/// Makes a new repo in `folder`.
pub(super) fn create(folder: &Path, request: &Request<'_>, scaffold: &Tree) -> Result<Made, AppError> {
    let folder = crate::repo::observe::resolve(folder)?;
    let occupied = |why| AppError::Occupied { dir: folder.clone(), why };
    if std::fs::symlink_metadata(&folder).is_ok() {
        if !folder.is_dir() {
            return Err(occupied("it is not a directory"));
        }
        if is_application(&folder, request.name)? {
            // A killed run may have left the work tree incomplete.
            create::finish(&folder)?;
            return Ok(Made::AlreadyThere);
        }
        let entries = std::fs::read_dir(&folder).map_err(crate::repo::error::RepoError::io("read", &folder))?;
        for entry in entries.flatten() {
            if !Stage::is_in(&folder, &entry.file_name())? {
                return Err(occupied("it is not empty"));
            }
        }
    }
    refuse_unfit(&folder)?;
    let edits: Vec<Edit> = scaffold.files.iter().map(blob).map(Edit::Put).collect();
    let message =
        format!("Begin the application {}\n\nMade by factoryup {}.\n", request.name, env!("CARGO_PKG_VERSION"));
    let branch = &request.factory.gitlab.default_branch;
    create::create(&folder, &commit(request, branch, None, &message, &edits), ObjectFormat::default())?;
    Ok(Made::Created)
}

pub(super) fn commit<'a>(
    request: &Request<'a>,
    branch: &'a str,
    parent: Option<&'a str>,
    message: &'a str,
    edits: &'a [Edit],
) -> NewCommit<'a> {
    let section = &request.factory.factory;
    let owner = (section.owner_name.as_str(), section.owner_email.as_str());
    NewCommit { branch, parent, owner, at: jiff::Timestamp::now().as_second(), message, edits }
}

/// Whether the repo in `folder` is the application of that name.
fn is_application(folder: &Path, name: &str) -> RepoResult<bool> {
    if std::fs::symlink_metadata(folder.join(".git")).is_err() {
        return Ok(false);
    }
    Ok(contract(&Git::new(folder)?, "HEAD")?.is_some_and(|text| is_named(&text, name)))
}

/// The text of `.factory/app.conf` in a commit.
pub(super) fn contract(git: &Git, commit: &str) -> RepoResult<Option<String>> {
    let Some(oid) = git.resolve(&format!("{commit}:.factory/app.conf"))? else { return Ok(None) };
    let text = git.contents(&[&oid])?.pop().unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// Whether a contract is that of this application.
pub(super) fn is_named(contract: &str, name: &str) -> bool {
    contract.lines().any(|line| line.strip_prefix("name=") == Some(name))
}

/// Whether a file can be added without touching one that is there: neither it, nor one in place of a folder it needs, nor a folder in
/// its own place, in any spelling that a file system could take for the same.
pub(super) fn is_free(path: &str, there: &[&String]) -> bool {
    let path = path.to_ascii_lowercase();
    !there.iter().any(|other| {
        let other = other.to_ascii_lowercase();
        let inside = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        other == path || inside(&other, &path) || inside(&path, &other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_added_only_where_nothing_stands() {
        let is_free = |path: &str, there: &str| is_free(path, &[&there.to_owned()]);
        assert!(is_free(".factory/check", ".factory/build"));
        assert!(is_free(".factory/check", ".factory/checks"));
        for path in [".factory/check", ".Factory/Check", ".factory", ".factory/check/all"] {
            assert!(!is_free(".factory/check", path), "{path}");
        }
    }
}
