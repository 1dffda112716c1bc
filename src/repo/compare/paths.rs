//! The paths of a commit, for finding collisions with a new path.

use std::collections::BTreeSet;

pub(crate) struct Paths {
    lower_case: BTreeSet<String>,
    folders: BTreeSet<String>,
}

impl Paths {
    pub(crate) fn new<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let lower_case: BTreeSet<String> = paths.map(str::to_lowercase).collect();
        let folders =
            lower_case.iter().flat_map(|path| path.match_indices('/').map(|(end, _)| path[..end].to_owned())).collect();
        Self { lower_case, folders }
    }

    /// Whether a file at `path` would meet another file, be it but for case, stand where a folder is, or below where a file is:
    /// a link to a folder is a file here, so that nothing is ever written through one.
    pub(crate) fn collides(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        self.lower_case.contains(&path)
            || self.folders.contains(&path)
            || path.match_indices('/').any(|(end, _)| self.lower_case.contains(&path[..end]))
    }
}
