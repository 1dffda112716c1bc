//! The `CODEOWNERS` file: which of its sections own a changed path, and who their owners are.
//!
//! Source: <https://docs.gitlab.com/user/project/codeowners/reference/>. Owners of a section's heading are not read.

use std::path::Path;

use crate::ci::glob;
use crate::git::Git;
use crate::model::{MAINTAINER, OWNER, Project};
use crate::state::State;

/// What owns some of the changed paths.
pub(crate) struct Entry {
    pub(crate) section: String,
    pub(crate) pattern: String,
    /// Whether its approval is never required.
    pub(crate) optional: bool,
    owners: Vec<String>,
}

/// The entries of a branch that own one of these paths. In a section, the last that matches a path owns it.
pub(crate) fn of(git: &Git, repository: &Path, revision: &str, paths: &[String]) -> Vec<Entry> {
    let text = ["CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"]
        .iter()
        .find_map(|path| git.blob(repository, revision, path))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let (mut all, mut section, mut optional) = (Vec::new(), "codeowners".to_owned(), false);
    for line in
        text.unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let heading = line.strip_prefix('^').unwrap_or(line);
        if let Some((name, _)) = heading.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            (section, optional) = (name.to_owned(), line.starts_with('^'));
            continue;
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let Some(pattern) = words.next() else { continue };
        all.push(Entry { section: section.clone(), pattern, optional, owners: words.collect() });
    }
    let owns = |entry: &Entry, path: &str| pattern(&entry.pattern).is_some_and(|pattern| pattern.is_match(path));
    let last = |section: &str, path: &str| all.iter().rposition(|entry| entry.section == section && owns(entry, path));
    let mut owning: Vec<_> =
        paths.iter().flat_map(|path| all.iter().filter_map(move |entry| last(&entry.section, path))).collect();
    owning.sort_unstable();
    owning.dedup();
    all.into_iter().enumerate().filter(|(at, _)| owning.contains(at)).map(|(_, entry)| entry).collect()
}

/// A path without a slash in front is one anywhere; one with a slash at the end is all below it.
fn pattern(text: &str) -> Option<regex_lite::Regex> {
    let anchored = text.strip_prefix('/').map_or_else(|| format!("**/{text}"), str::to_owned);
    let whole = if anchored.ends_with('/') { format!("{anchored}**/*") } else { anchored };
    glob::parse(&whole).ok()
}

impl Entry {
    /// The owners that there are: by name, by email, by direct role, and direct members of a group.
    pub(crate) fn users(&self, state: &State, project: &Project) -> Vec<u64> {
        let direct = |level: u8| project.members.iter().filter(move |(_, m)| m.level == level).map(|(id, _)| *id);
        let named = |owner: &str| -> Vec<u64> {
            match owner {
                "@@maintainer" | "@@maintainers" => direct(MAINTAINER).collect(),
                "@@owner" | "@@owners" => direct(OWNER).collect(),
                _ => match owner.strip_prefix('@') {
                    Some(name) => match state.namespace(name).filter(|group| group.person.is_none()) {
                        Some(group) => group.members.keys().copied().collect(),
                        None => state.users.values().filter(|u| u.username == name).map(|u| u.id).collect(),
                    },
                    None => state.users.values().filter(|u| u.email == owner).map(|u| u.id).collect(),
                },
            }
        };
        self.owners.iter().flat_map(|owner| named(owner)).collect()
    }
}
