//! A repo's listing and the texts in it that tell how it is built and run; bounded, so that no repo can fill the memory.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::refuse::{COMPOSE, MANIFESTS};
use crate::git::Git;
use crate::repo::error::RepoResult;
use crate::secret::acts_on_a_terminal;

/// Files that are larger tell nothing that matters here.
const LARGEST: u64 = 256 * 1024;
/// Texts that are read at most, in files and in bytes.
const MOST_FILES: usize = 4000;
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Folders whose files are not the repo's own, or not part of what serves.
const FOREIGN: [&str; 10] =
    ["node_modules", "vendor", "testdata", "examples", "example", ".git", "third_party", ".venv", "venv", "fixtures"];
/// Ends of names of files whose texts are read.
const READ: [&str; 19] = [
    ".py",
    ".js",
    ".mjs",
    ".cjs",
    ".ts",
    ".mts",
    ".go",
    ".rs",
    ".toml",
    ".json",
    ".yaml",
    ".yml",
    ".txt",
    ".mod",
    ".lock",
    ".sum",
    ".Dockerfile",
    ".Containerfile",
    ".env",
];
/// Whole names, and beginnings of names, of others.
const ALSO: [&str; 10] = [
    "Procfile",
    "Dockerfile",
    "Containerfile",
    ".env.",
    ".flaskenv",
    ".python-version",
    ".node-version",
    ".nvmrc",
    "rust-toolchain",
    ".ruby-version",
];

/// A value, and where it was found: `fly.toml, line 12`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Said {
    pub(crate) value: String,
    pub(crate) origin: String,
}

impl Said {
    pub(crate) fn new(value: impl Into<String>, origin: impl Into<String>) -> Self {
        Self { value: value.into(), origin: one_line(&origin.into()) }
    }
}

/// What a repo says, as it may be in a comment of one line and on a terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if acts_on_a_terminal(c) { '?' } else { c }).collect()
}

/// Files that tools also look for in the folders above the one that they work in, if it is one of this workspace: a file, and what makes
/// it one.
const SHARED: [(&str, &[(&str, &str)]); 9] = [
    ("package-lock.json", WORKSPACES),
    ("npm-shrinkwrap.json", WORKSPACES),
    ("yarn.lock", WORKSPACES),
    ("pnpm-lock.yaml", WORKSPACES),
    ("Cargo.lock", &[("Cargo.toml", "[workspace]")]),
    ("uv.lock", &[("pyproject.toml", "[tool.uv.workspace]")]),
    (".nvmrc", &[(".nvmrc", "")]),
    (".node-version", &[(".node-version", "")]),
    (".python-version", &[(".python-version", "")]),
];
const WORKSPACES: &[(&str, &str)] = &[("package.json", "\"workspaces\""), ("pnpm-workspace.yaml", "packages:")];

/// The files of one commit, or of one folder of it: those of other folders then begin with `../`. Those that were not read have no text.
#[derive(Debug, Default)]
pub(crate) struct Source {
    files: BTreeMap<String, Option<Rc<str>>>,
    /// The way to the top, such as `../..`, and the folder's path there; none for the top.
    place: Option<(String, String)>,
    /// Whether a path is another repo's commit.
    pub(crate) submodule: Option<String>,
}

impl Source {
    /// Reads what matters of a commit.
    pub(crate) fn read(git: &Git, commit: &str) -> RepoResult<Self> {
        let listing = git.run(&["ls-tree", "-r", "-l", "-z", "--full-tree", commit])?;
        let mut source = Self::default();
        let mut wanted: Vec<(&str, &str, u64)> = Vec::new();
        for record in listing.split(|b| *b == 0) {
            let Some((head, path)) = std::str::from_utf8(record).ok().and_then(|text| text.split_once('\t')) else {
                continue;
            };
            let fields: Vec<&str> = head.split_ascii_whitespace().collect();
            let [mode, _, oid, size] = fields[..] else { continue };
            if mode == "160000" {
                source.submodule.get_or_insert_with(|| path.to_owned());
            }
            let size: u64 = size.parse().unwrap_or(u64::MAX);
            if mode.starts_with("100") && size <= LARGEST && is_read(path) {
                wanted.push((path, oid, size));
            }
            source.files.insert(path.to_owned(), None);
        }
        // In a large repo, what says how it is built must not be among what is left out.
        wanted.sort_by_key(|(path, ..)| rank(path));
        let mut bytes = 0;
        wanted.retain(|(_, _, size)| {
            let fits = bytes + size <= MOST_BYTES;
            bytes += if fits { *size } else { 0 };
            fits
        });
        wanted.truncate(MOST_FILES);
        let oids: Vec<&str> = wanted.iter().map(|(_, oid, _)| *oid).collect();
        for (text, (path, ..)) in git.contents(&oids)?.into_iter().zip(&wanted) {
            source.files.insert((*path).to_owned(), String::from_utf8(text).ok().map(Rc::from));
        }
        Ok(source)
    }

    /// A source of these files.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), Some(Rc::from(*text))));
        Self { files: files.collect(), ..Self::default() }
    }

    /// The same with a folder as its top.
    pub(crate) fn below(&self, folder: &str) -> Self {
        let up = "../".repeat(folder.split('/').count());
        let place = |path: &str| match path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) {
            Some(inner) => inner.to_owned(),
            None => format!("{up}{path}"),
        };
        let mut files: BTreeMap<_, _> = self.files.iter().map(|(path, text)| (place(path), text.clone())).collect();
        for (outer, _) in folder.rmatch_indices('/').chain([(0, "")]) {
            let dir = if outer == 0 { String::new() } else { format!("{}/", &folder[..outer]) };
            for (name, marks) in SHARED {
                let is_shared = |(file, mark): &(&str, &str)| {
                    self.text(&format!("{dir}{file}")).is_some_and(|text| text.contains(mark))
                };
                if let Some(text) = self.files.get(&format!("{dir}{name}")).filter(|_| marks.iter().any(is_shared)) {
                    files.entry(name.to_owned()).or_insert_with(|| text.clone());
                }
            }
        }
        let place = Some((up.trim_end_matches('/').to_owned(), folder.to_owned()));
        Self { files, place, submodule: None }
    }

    pub(crate) fn place_in_repo(&self) -> Option<(&str, &str)> {
        self.place.as_ref().map(|(up, folder)| (up.as_str(), folder.as_str()))
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// Whether anything is in this folder.
    pub(crate) fn has_folder(&self, folder: &str) -> bool {
        self.files.keys().any(|path| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// The first of these that is there.
    pub(crate) fn first<'a>(&self, paths: &[&'a str]) -> Option<&'a str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str).filter(|path| !path.starts_with("../"))
    }

    /// Path and text of the files of this name in other folders.
    pub(crate) fn others<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let texts = self.files.iter().filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)));
        texts.filter(move |(path, _)| {
            path.starts_with("../") && path.rsplit('/').next() == Some(name) && !is_foreign(path)
        })
    }

    /// Path and text of every file that was read, whose name ends so, and that is the repo's own.
    pub(crate) fn texts<'a>(&'a self, ends: &'a [&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files.iter().filter_map(move |(path, text)| {
            let is_own = !path.starts_with("../") && !is_foreign(path);
            let wanted = is_own && ends.iter().any(|end| path.ends_with(end));
            Some((path.as_str(), text.as_deref()?)).filter(|_| wanted)
        })
    }

    /// `PATH, line N` of the first line that contains this.
    pub(crate) fn place(&self, path: &str, what: &str) -> String {
        let line = self.text(path).and_then(|text| text.lines().position(|line| line.contains(what)));
        line.map_or_else(|| path.to_owned(), |line| format!("{path}, line {}", line + 1))
    }
}

pub(super) fn is_foreign(path: &str) -> bool {
    path.split('/').any(|part| FOREIGN.contains(&part))
}

fn is_read(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let known = READ.iter().any(|end| name.ends_with(end)) || ALSO.iter().any(|begin| name.starts_with(begin));
    known && !is_foreign(path)
}

/// What is read first: manifests and configuration, and then what is near the top.
fn rank(path: &str) -> (bool, usize) {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_manifest = MANIFESTS.iter().any(|(manifest, _)| *manifest == name)
        || COMPOSE.contains(&name)
        || ALSO.iter().any(|begin| name.starts_with(begin))
        || [".toml", ".mod", "workspace.yaml", ".env"].iter().any(|end| name.ends_with(end));
    (!is_manifest, path.split('/').count())
}

/// The numbered lines of a text, without those that are blank or comments.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.trim_end())).filter(|(_, line)| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#') && !line.starts_with("//")
    })
}

/// Whether text can stand in `.factory/app.conf` as the value of a line.
pub(crate) fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= 1000 && !text.chars().any(acts_on_a_terminal)
}

/// Whether a word needs no quotes in a shell and is no option.
pub(crate) fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._:@+,-".contains(c);
    !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) && !word.split('/').any(|part| part == "..")
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn manifests_are_read_first_and_then_what_is_near_the_top() {
        let mut paths =
            ["a/b/c.py", "app.py", "locales/de.json", "z/web/package.json", "z/Procfile", "pnpm-workspace.yaml"];
        paths.sort_by_key(|path| rank(path));
        assert_eq!(
            paths,
            ["pnpm-workspace.yaml", "z/Procfile", "z/web/package.json", "app.py", "locales/de.json", "a/b/c.py"]
        );
    }
}
