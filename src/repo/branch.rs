//! Commits changes for an existing control repo to a new branch, and touches nothing else.
//!
//! The commit is made in the object database from the commit that is checked out. Work tree, index, the branch that is
//! checked out and every other branch stay as they are; the owner reads the new branch, and merges it or deletes it.

use std::collections::BTreeSet;

use super::compare::Comparison;
use super::control::ControlRepo;
use super::desired::Desired;
use super::error::{RepoError, RepoResult};
use super::record::{self, base_digest};
use crate::digest::{sha256, sha256_of_parts};
use crate::factory::FILE_NAME;
use crate::git::write::{Edit, NewCommit};

/// The name of the branch for these differences. It names where they start from and what they are, so that the same differences
/// find their branch again, and others never meet it.
pub(crate) fn name(desired: &Desired, repo: &ControlRepo, comparison: &Comparison) -> String {
    let mut parts = vec![("HEAD".to_owned(), repo.head.clone())];
    parts.extend(comparison.edits.iter().map(|edit| {
        let digest = edit
            .after
            .as_ref()
            .map_or_else(String::new, |blob| format!("{}:{}", blob.mode.as_str(), sha256(&blob.bytes)));
        (edit.path.clone(), digest)
    }));
    parts.extend(comparison.proposals.iter().map(|blob| (blob.path.clone(), sha256(&blob.bytes))));
    parts.extend(comparison.settled.iter().map(|path| (path.clone(), String::new())));
    parts.push((desired.tree.pack_sha256.clone(), desired.answers_sha256.clone()));
    let short = &sha256_of_parts(&parts)[..8];
    if repo.manifest.is_none() {
        format!("factory/adoption-{short}")
    } else if repo.manifest.template.pack_sha256 == desired.tree.pack_sha256 {
        format!("factory/answers-{short}")
    } else {
        format!("factory/upgrade-{}-{short}", desired.tree.version)
    }
}

/// Refuses answers of the work tree that git keeps in another form, as git-crypt has it: the commit is made past git's filters, so it
/// would hold what they are there to keep out. gitattributes(5).
pub(crate) fn refuse_converted(repo: &ControlRepo, comparison: &Comparison) -> RepoResult<()> {
    let answers = comparison.edits.iter().filter(|edit| edit.path == FILE_NAME).find_map(|edit| edit.after.as_ref());
    let Some(blob) = answers else { return Ok(()) };
    let converts = |name: &str, value: &str| match name {
        _ if matches!(value, "unspecified" | "unset") => false,
        // Without a driver's name it has none.
        "filter" => value != "set",
        "ident" => blob.bytes.windows(3).any(|part| part == b"$Id"),
        _ => !value.eq_ignore_ascii_case("UTF-8"),
    };
    let asked = ["check-attr", "-z", "filter", "working-tree-encoding", "ident", "--", FILE_NAME];
    let listing = repo.git.run(&asked)?;
    let text = String::from_utf8_lossy(&listing);
    let fields: Vec<&str> = text.split('\0').collect();
    for answer in fields.chunks_exact(3) {
        let (name, value) = (answer[1], answer[2]);
        if converts(name, value) {
            let attribute = format!("{name}={value}");
            return Err(RepoError::Converted { path: FILE_NAME, attribute, adopting: repo.manifest.is_none() });
        }
    }
    Ok(())
}

/// Makes the commit, on the branch `name`.
pub(crate) fn commit(desired: &Desired, repo: &ControlRepo, comparison: &Comparison, name: &str) -> RepoResult<()> {
    let message = message(desired, repo, comparison);
    // Most pristine texts are in the commit as they are. Of other files that cannot be told here: a migration moved them in what was read,
    // and not in the commit.
    let there = |edit: &Edit| match edit {
        Edit::Put(blob) if base_digest(&blob.path).is_some() => repo
            .files
            .get(&blob.path)
            .is_some_and(|file| file.mode == blob.mode.as_str() && file.bytes.as_ref() == Some(&blob.bytes)),
        Edit::Put(_) | Edit::Remove(_) => false,
    };
    let mut edits = edits(desired, repo, comparison)?;
    edits.retain(|edit| !there(edit));
    let commit = NewCommit {
        branch: name,
        parent: Some(&repo.head),
        owner: desired.owner(),
        at: jiff::Timestamp::now().as_second(),
        message: &message,
        edits: &edits,
    };
    Ok(repo.git.commit(&commit)?)
}

/// What the work tree is to hold: also of the pristine texts all that are needed, whether they are in the commit or not.
pub(crate) fn edits(desired: &Desired, repo: &ControlRepo, comparison: &Comparison) -> RepoResult<Vec<Edit>> {
    let mut edits: Vec<Edit> = comparison
        .edits
        .iter()
        .map(|edit| edit.after.clone().map_or_else(|| Edit::Remove(edit.path.clone()), Edit::Put))
        .collect();
    edits.extend(record::state_files(&comparison.manifest, &desired.factory)?.into_iter().map(Edit::Put));
    edits.extend(record::base_blobs(&comparison.manifest, &desired.tree).into_iter().map(Edit::Put));
    let needed: BTreeSet<&str> =
        comparison.manifest.files.iter().filter(|r| r.keeps_base()).map(|r| r.base.as_str()).collect();
    let unneeded = repo.files.keys().filter(|path| base_digest(path).is_some_and(|digest| !needed.contains(digest)));
    edits.extend(unneeded.chain(&comparison.settled).cloned().map(Edit::Remove));
    edits.extend(comparison.proposals.iter().cloned().map(Edit::Put));
    Ok(edits)
}

fn message(desired: &Desired, repo: &ControlRepo, comparison: &Comparison) -> String {
    use std::fmt::Write;
    let (from, to) = (&repo.manifest.template.version, &desired.tree.version);
    let mut text = if repo.manifest.is_none() {
        format!("Adopt this repo: add {} files from the templates {to}\n", comparison.edits.len())
    } else if repo.manifest.template.pack_sha256 == desired.tree.pack_sha256 {
        format!("Apply new settings to {} files\n", comparison.edits.len())
    } else {
        format!("Upgrade {} files from the templates {from} to {to}\n", comparison.edits.len())
    };
    let _ = writeln!(text, "\nGenerated by factoryup {} from its templates {to}.", env!("CARGO_PKG_VERSION"));
    let own = if repo.manifest.is_none() { "Your own files:" } else { "Your own changes:" };
    let (news, lines): (Vec<String>, Vec<String>) =
        (comparison.report.news().collect(), comparison.report.lines().collect());
    for (title, lines) in [("New settings and migrations:", news), (own, lines)] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}");
            for line in lines {
                let _ = writeln!(text, "- {line}");
            }
        }
    }
    text
}
