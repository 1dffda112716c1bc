//! Reading a repo: what a commit holds, straight from the object database, whatever the work tree looks like.

use std::collections::BTreeMap;

use super::Git;
use crate::repo::error::{RepoError, RepoResult};

/// An entry of a commit's tree that is not a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TreeEntry {
    /// Git's mode, such as `100644`; `160000` for a submodule.
    pub(crate) mode: String,
    /// The object's id.
    pub(crate) oid: String,
}

impl Git {
    /// The id of what `name` points at, or `None` when there is no such thing.
    pub(crate) fn resolve(&self, name: &str) -> RepoResult<Option<String>> {
        match self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", name]) {
            Ok(oid) if !oid.is_empty() => Ok(Some(oid)),
            Ok(_) | Err(RepoError::Git { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether this folder is the top of a work tree, and not below one or bare.
    pub(crate) fn is_top(&self) -> RepoResult<bool> {
        let text = self.run(&["rev-parse", "--is-inside-work-tree", "--show-prefix"])?;
        Ok(text == b"true\n\n")
    }

    /// The commit that is checked out and its branch, by one process. `None` when this folder is not the top of a work tree, or
    /// nothing is checked out.
    pub(crate) fn head(&self) -> RepoResult<Option<(String, Option<String>)>> {
        let what = ["--is-inside-work-tree", "--show-prefix", "HEAD^{commit}", "--symbolic-full-name", "HEAD"];
        let text = match self.run(&[&["rev-parse"], &what[..]].concat()) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(RepoError::Git { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let lines: Vec<&str> = text.lines().collect();
        Ok(match lines[..] {
            ["true", "", commit, head] => {
                Some((commit.to_owned(), head.strip_prefix("refs/heads/").map(str::to_owned)))
            }
            _ => None,
        })
    }

    /// All files of a commit, by path. Paths that are not UTF-8 are none of factoryup's and are left out.
    pub(crate) fn tree(&self, commit: &str) -> RepoResult<BTreeMap<String, TreeEntry>> {
        let listing = self.run(&["ls-tree", "-r", "-z", "--full-tree", commit])?;
        let entry = |record: &[u8]| {
            let (head, path) = std::str::from_utf8(record).ok()?.split_once('\t')?;
            let mut fields = head.split(' ');
            let (mode, _kind, oid) = (fields.next()?, fields.next()?, fields.next()?);
            Some((path.to_owned(), TreeEntry { mode: mode.into(), oid: oid.into() }))
        };
        Ok(listing.split(|b| *b == 0).filter_map(entry).collect())
    }

    /// What is staged, by path; an entry that waits to be merged has no id.
    pub(crate) fn index(&self) -> RepoResult<BTreeMap<String, TreeEntry>> {
        let listing = self.run(&["ls-files", "--stage", "-z"])?;
        let entry = |record: &[u8]| {
            let (head, path) = std::str::from_utf8(record).ok()?.split_once('\t')?;
            let mut fields = head.split(' ');
            let (mode, oid, stage) = (fields.next()?, fields.next()?, fields.next()?);
            let oid = if stage == "0" { oid } else { "" };
            Some((path.to_owned(), TreeEntry { mode: mode.into(), oid: oid.into() }))
        };
        Ok(listing.split(|b| *b == 0).filter_map(entry).collect())
    }

    /// The contents of objects, in the order asked for, by one process.
    pub(crate) fn contents(&self, oids: &[&str]) -> RepoResult<Vec<Vec<u8>>> {
        if oids.is_empty() {
            return Ok(Vec::new());
        }
        let mut input = oids.join("\n").into_bytes();
        input.push(b'\n');
        // All is asked before anything is read, so the answers need not come one by one.
        let output = self.feed(&["cat-file", "--batch", "--buffer"], &input)?;
        let mut rest = output.as_slice();
        let mut contents = Vec::with_capacity(oids.len());
        for oid in oids {
            let (content, after) = next_object(rest).ok_or_else(|| RepoError::Git {
                verb: "cat-file".into(),
                dir: self.dir().to_owned(),
                stderr: format!("the object {oid} cannot be read"),
            })?;
            contents.push(content.to_owned());
            rest = after;
        }
        Ok(contents)
    }
}

/// Splits one `OID SP TYPE SP SIZE LF CONTENT LF` off the output of `cat-file --batch`.
fn next_object(output: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = output.iter().position(|b| *b == b'\n')?;
    let header = std::str::from_utf8(&output[..end]).ok()?;
    let size: usize = header.rsplit(' ').next()?.parse().ok()?;
    let body = output.get(end + 1..)?;
    Some((body.get(..size)?, body.get(size + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::next_object;

    #[test]
    fn objects_are_split_by_size_and_not_by_line() {
        let output = b"aa blob 4\nx\n\ny\nbb blob 0\n\n";
        let (first, rest) = next_object(output).unwrap();
        assert_eq!(first, b"x\n\ny");
        assert_eq!(next_object(rest).unwrap(), (&b""[..], &b""[..]));
        assert_eq!(next_object(b"cc missing\n"), None);
        assert_eq!(next_object(b"aa blob 4\nx"), None);
    }
}
