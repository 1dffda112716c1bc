//! Writing a repo: one commit through `git fast-import`, which makes its objects and moves its one ref, or leaves both alone.
//!
//! `fast-import` moves a ref only forward from the value it read, in one transaction, and with `--done` a stream that was cut short
//! moves none. That is the compare-and-swap: a branch that someone else made in the meantime is not moved to a commit that does
//! not hold it.

use super::Git;
use super::error::{GitError, GitResult};
use crate::git::Blob;

/// The hash that a repo's object ids are made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ObjectFormat {
    /// SHA-1 with collision detection: what GitLab and every forge take.
    #[default]
    Sha1,
    /// SHA-256, for servers that take it.
    Sha256,
}

impl ObjectFormat {
    fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// One file's fate in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    /// It is there with this content.
    Put(Blob),
    /// It is gone.
    Remove(String),
}

/// A commit to be.
#[derive(Clone, Debug)]
pub(crate) struct NewCommit<'a> {
    /// The branch's name, without `refs/heads/`.
    pub(crate) branch: &'a str,
    /// The parent's id, or `None` for a first commit.
    pub(crate) parent: Option<&'a str>,
    /// Author and committer: name and e-mail address.
    pub(crate) owner: (&'a str, &'a str),
    /// Seconds since 1970-01-01 UTC.
    pub(crate) at: i64,
    /// The message, ending in a newline.
    pub(crate) message: &'a str,
    /// What differs from the parent.
    pub(crate) edits: &'a [Edit],
}

impl Git {
    /// Makes an empty repo in this folder, whatever git's defaults and templates are.
    pub(crate) fn init(&self, branch: &str, format: ObjectFormat) -> GitResult<()> {
        let branch = format!("--initial-branch={branch}");
        let format = format!("--object-format={}", format.as_str());
        self.run(&["init", "--quiet", "--template=", &branch, &format]).map(drop)
    }

    /// Makes the commit and points its branch at it.
    pub(crate) fn commit(&self, commit: &NewCommit<'_>) -> GitResult<()> {
        let made = self.feed(&["fast-import", "--quiet", "--done", "--date-format=raw"], &stream(commit));
        made.map(drop).map_err(|error| self.without_crash_report(error))
    }

    /// `fast-import` that fails leaves a report in git's folder, which says nothing more than its message does.
    fn without_crash_report(&self, error: GitError) -> GitError {
        let GitError::Failed { verb, dir, stderr } = error else { return error };
        let report = |line: &str| line.strip_prefix("fast-import: dumping crash report to ").map(str::to_owned);
        if let Some(path) = stderr.lines().find_map(report) {
            let _ = std::fs::remove_file(self.dir().join(path));
        }
        let kept: Vec<_> = stderr.lines().filter(|line| report(line).is_none()).collect();
        GitError::Failed { verb, dir, stderr: kept.join("\n") }
    }

    /// Fills index and work tree of a repo that has neither yet from the branch that is checked out. Runs no hooks.
    pub(crate) fn fill_work_tree(&self) -> GitResult<()> {
        self.run(&["read-tree", "-m", "-u", "HEAD"]).map(drop)
    }
}

/// The commit in the language of git-fast-import(1).
fn stream(commit: &NewCommit<'_>) -> Vec<u8> {
    let (name, email) = (identity(commit.owner.0), identity(commit.owner.1));
    let at = commit.at;
    let mut out = format!("commit refs/heads/{}\n", commit.branch).into_bytes();
    for role in ["author", "committer"] {
        out.extend_from_slice(format!("{role} {name} <{email}> {at} +0000\n").as_bytes());
    }
    data(&mut out, commit.message.as_bytes());
    if let Some(parent) = commit.parent {
        out.extend_from_slice(format!("from {parent}\n").as_bytes());
    }
    // Removals first: a file may make room for a folder of the same name.
    for edit in commit.edits {
        if let Edit::Remove(path) = edit {
            out.extend_from_slice(format!("D {}\n", quoted(path)).as_bytes());
        }
    }
    for edit in commit.edits {
        if let Edit::Put(blob) = edit {
            out.extend_from_slice(format!("M {} inline {}\n", blob.mode.as_str(), quoted(&blob.path)).as_bytes());
            data(&mut out, &blob.bytes);
        }
    }
    out.extend_from_slice(b"\ndone\n");
    out
}

fn data(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(format!("data {}\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
    out.push(b'\n');
}

/// A name or address without the characters that end one in a commit; never empty, which `git fsck` would not pass.
fn identity(text: &str) -> String {
    let kept: String = text.chars().filter(|c| !matches!(c, '<' | '>') && !c.is_control()).collect();
    if kept.trim().is_empty() { "owner".into() } else { kept.trim().to_owned() }
}

fn quoted(path: &str) -> String {
    let escaped = path.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_cannot_be_broken_out_of() {
        let edits = [Edit::Remove("a\nM b".into()), Edit::Put(Blob::file("a \"b\"", "done\n"))];
        let commit = NewCommit {
            branch: "main",
            parent: None,
            owner: ("Ada <x>\nL", "a@b.c"),
            at: 0,
            message: "m\n",
            edits: &edits,
        };
        insta::assert_snapshot!(String::from_utf8(stream(&commit)).unwrap());
    }
}
