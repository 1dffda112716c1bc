//! Reads commits from the object database, regardless of the work tree.

use std::collections::BTreeMap;

use super::Git;
use super::error::{GitError, GitResult};
use crate::budget::Budget;
use crate::digest::hex;

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
    pub(crate) fn resolve(&self, name: &str) -> GitResult<Option<String>> {
        match self.line(&["rev-parse", "--verify", "--quiet", "--end-of-options", name]) {
            Ok(oid) if !oid.is_empty() => Ok(Some(oid)),
            Ok(_) | Err(GitError::Failed { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether this folder is the top of a work tree, and not below one or bare.
    pub(crate) fn is_top(&self) -> GitResult<bool> {
        let text = self.run(&["rev-parse", "--is-inside-work-tree", "--show-prefix"])?;
        Ok(text == b"true\n\n")
    }

    /// The commit that is checked out and its branch, by one process. `None` when this folder is not the top of a work tree, or
    /// nothing is checked out.
    pub(crate) fn head(&self) -> GitResult<Option<(String, Option<String>)>> {
        let what = ["--is-inside-work-tree", "--show-prefix", "HEAD^{commit}", "--symbolic-full-name", "HEAD"];
        let text = match self.run(&[&["rev-parse"], &what[..]].concat()) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(GitError::Failed { .. }) => return Ok(None),
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

    /// Whether there is a branch of this name, which has no spaces and line ends.
    pub(crate) fn has_branch(&self, name: &str) -> GitResult<bool> {
        Ok(self.objects(&[&format!("refs/heads/{name}")], &mut Budget::GIT.open())?.iter().any(Option::is_some))
    }

    /// All files of a commit, by path. Paths that are not UTF-8 are none of factoryup's and are left out.
    pub(crate) fn tree(&self, commit: &str) -> GitResult<BTreeMap<String, TreeEntry>> {
        Ok(self.whole_tree(commit)?.0)
    }

    /// The same, and beside it what was left out: of each such path the folders as they are, up to the first name that is not UTF-8, which
    /// stands there with replacement characters. It tells what is in the way of a new file, and can be read or written by none.
    pub(crate) fn whole_tree(&self, commit: &str) -> GitResult<(BTreeMap<String, TreeEntry>, Vec<String>)> {
        self.tree_within(commit, Budget::GIT)
    }

    /// The same within a budget. A tree that is in many places counts in each: ten trees of ten entries each can stand for ten thousand
    /// million files.
    fn tree_within(&self, commit: &str, budget: Budget) -> GitResult<(BTreeMap<String, TreeEntry>, Vec<String>)> {
        let mut meter = budget.open();
        let (mut files, mut unnamed) = (BTreeMap::new(), Vec::new());
        // The folders of one depth after those of another, so that each depth is one question.
        let mut folders = vec![(String::new(), format!("{commit}^{{tree}}"))];
        while !folders.is_empty() {
            let names: Vec<&str> = folders.iter().map(|(_, name)| name.as_str()).collect();
            let trees = self.objects(&names, &mut meter)?;
            let mut below = Vec::new();
            for ((prefix, name), tree) in folders.iter().zip(trees) {
                let tree = tree.ok_or_else(|| self.missing(name))?;
                let entries = entries(&tree.bytes, tree.oid.len() / 2).ok_or_else(|| self.missing(name))?;
                meter.count(entries.len()).map_err(|limit| self.too_much(limit))?;
                for (mode, file, oid) in entries {
                    // The path, and not only the name: each level repeats those above it.
                    meter.take(prefix.len() + file.len()).map_err(|limit| self.too_much(limit))?;
                    let Ok(file) = std::str::from_utf8(file) else {
                        unnamed.push(format!("{prefix}{}", String::from_utf8_lossy(file)));
                        continue;
                    };
                    if mode == FOLDER {
                        below.push((format!("{prefix}{file}/"), oid));
                    } else {
                        files.insert(format!("{prefix}{file}"), TreeEntry { mode: mode.to_owned(), oid });
                    }
                }
            }
            folders = below;
        }
        Ok((files, unnamed))
    }

    /// What is staged, by path; an entry that waits to be merged has no id.
    pub(crate) fn index(&self) -> GitResult<BTreeMap<String, TreeEntry>> {
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

    /// The contents of objects, in the order asked for.
    pub(crate) fn contents(&self, oids: &[&str]) -> GitResult<Vec<Vec<u8>>> {
        let found = self.objects(oids, &mut Budget::GIT.open())?.into_iter().zip(oids);
        found.map(|(object, oid)| object.map(|o| o.bytes).ok_or_else(|| self.missing(oid))).collect()
    }

    fn missing(&self, name: &str) -> GitError {
        self.unreadable(format!("the object {name} cannot be read"))
    }
}

/// Git's mode of a folder, as a tree object has it.
const FOLDER: &str = "40000";

/// The entries of a tree object: mode, name and id, each `MODE SP NAME NUL ID` with the id's `length` bytes as they are.
pub(crate) fn entries(tree: &[u8], length: usize) -> Option<Vec<(&str, &[u8], String)>> {
    let mut entries = Vec::new();
    let mut rest = tree;
    while !rest.is_empty() {
        let space = rest.iter().position(|b| *b == b' ')?;
        let end = space + rest[space..].iter().position(|b| *b == 0)?;
        let oid = rest.get(end + 1..end + 1 + length)?;
        entries.push((std::str::from_utf8(&rest[..space]).ok()?, &rest[space + 1..end], hex(oid)));
        rest = &rest[end + 1 + length..];
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(dir: &std::path::Path, args: &[&str]) {
        let identity = ["-c", "user.name=U", "-c", "user.email=u@x", "-c", "commit.gpgsign=false"];
        let status = std::process::Command::new("git").current_dir(dir).args(identity).args(args).status().unwrap();
        assert!(status.success(), "git {args:?}");
    }

    #[test]
    fn what_was_written_after_the_first_read_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        git(dir, &["init", "-q", "-b", "main"]);
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
        std::fs::write(dir.join("a/b/c"), "one\n").unwrap();
        git(dir, &["add", "-A"]);
        git(dir, &["commit", "-qm", "one"]);
        let reader = Git::new(dir).unwrap();
        assert_eq!(reader.tree("HEAD").unwrap().keys().collect::<Vec<_>>(), ["a/b/c"]);
        assert!(!reader.has_branch("next").unwrap());
        std::fs::write(dir.join("a/b/c"), "two\n").unwrap();
        git(dir, &["checkout", "-q", "-b", "next"]);
        git(dir, &["commit", "-qam", "two"]);
        // Into packs, so that neither ref nor objects lie where they would have been looked for first.
        git(dir, &["gc", "-q"]);
        git(dir, &["pack-refs", "--all"]);
        assert!(reader.has_branch("next").unwrap());
        let entry = reader.tree("next").unwrap().remove("a/b/c").unwrap();
        assert_eq!(reader.contents(&[&entry.oid]).unwrap(), [b"two\n"]);
    }

    #[test]
    fn a_tree_is_as_ls_tree_lists_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        git(dir, &["init", "-q", "-b", "main", "--object-format=sha256"]);
        for (index, name) in ["a", "a.b", "a-b/x", "a0/deep/er/file", "ü \"quoted\"\n"].iter().enumerate() {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, format!("{index}\n")).unwrap();
        }
        std::os::unix::fs::symlink("a", dir.join("link")).unwrap();
        git(dir, &["add", "-A"]);
        git(dir, &["update-index", "--add", "--cacheinfo", &format!("160000,{},module", "1".repeat(64))]);
        git(dir, &["commit", "-qm", "one"]);
        let reader = Git::new(dir).unwrap();
        let ours: Vec<String> =
            reader.tree("HEAD").unwrap().into_iter().map(|(path, e)| format!("{} {}\t{path}", e.mode, e.oid)).collect();
        let listed = String::from_utf8(reader.run(&["ls-tree", "-r", "-z", "HEAD"]).unwrap()).unwrap();
        let listed = listed.replace(" blob ", " ").replace(" commit ", " ");
        assert_eq!(ours, listed.trim_end_matches('\0').split('\0').collect::<Vec<_>>());
    }

    #[test]
    fn names_that_are_not_utf_8_are_beside_the_files() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        git(dir, &["init", "-q"]);
        for name in [&b"a/b"[..], b"a/c/\xe9", b"\xe9/x", b"d\xe9"] {
            let path = dir.join(std::ffi::OsStr::from_bytes(name));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        git(dir, &["add", "-A"]);
        git(dir, &["commit", "-qm", "one"]);
        let (files, mut unnamed) = Git::new(dir).unwrap().whole_tree("HEAD").unwrap();
        unnamed.sort();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a/b"]);
        assert_eq!(unnamed, ["a/c/\u{fffd}", "d\u{fffd}", "\u{fffd}"]);
    }

    #[test]
    fn more_names_than_a_pipe_holds_are_answered_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        git(dir, &["init", "-q", "-b", "main"]);
        let reader = Git::new(dir).unwrap();
        let small = reader.feed(&["hash-object", "-w", "--stdin"], b"small").unwrap();
        // Larger than a pipe, so that git waits for its reader.
        let large = vec![b'x'; 300_000];
        let large_oid = reader.feed(&["hash-object", "-w", "--stdin"], &large).unwrap();
        let (small, large_oid) = (String::from_utf8(small).unwrap(), String::from_utf8(large_oid).unwrap());
        let names: Vec<&str> = (0..3000).map(|n| if n % 300 == 0 { large_oid.trim() } else { small.trim() }).collect();
        let texts = reader.contents(&names).unwrap();
        assert!(texts.iter().enumerate().all(|(n, text)| if n % 300 == 0 { *text == large } else { text == b"small" }));
        let error = reader.contents(&[small.trim(), &"0".repeat(40)]).unwrap_err().to_string();
        assert!(error.contains("the object 0000"), "{error}");
        // One that is not there does not end it.
        assert_eq!(reader.contents(&[small.trim()]).unwrap(), [b"small"]);
    }

    /// A commit of ten trees, each of ten times the one below it: some hundred objects for ten thousand million files.
    fn bomb(dir: &std::path::Path, levels: usize, name: &str) -> Git {
        git(dir, &["init", "-q"]);
        let maker = Git::new(dir).unwrap();
        let mut oid = maker.feed(&["hash-object", "-w", "--stdin"], b"x").unwrap();
        for level in 0..levels {
            let oid_text = String::from_utf8(oid).unwrap();
            let kind = if level == 0 { "100644 blob" } else { "040000 tree" };
            let entry = |n: usize| format!("{kind} {}\t{name}{n}\n", oid_text.trim());
            oid = maker.feed(&["mktree"], (0..10).map(entry).collect::<String>().as_bytes()).unwrap();
        }
        let tree = String::from_utf8(oid).unwrap();
        let commit = ["-c", "user.name=U", "-c", "user.email=u@x", "commit-tree", "-m", "x", tree.trim()];
        let commit = String::from_utf8(maker.run(&commit).unwrap()).unwrap();
        git(dir, &["update-ref", "HEAD", commit.trim()]);
        maker
    }

    #[test]
    fn a_tree_that_unfolds_without_end_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let begun = std::time::Instant::now();
        let bomb = bomb(folder.path(), 10, "f");
        let error = bomb.tree("HEAD").unwrap_err();
        assert!(error.to_string().contains(" than the limit of "), "{error}");
        assert_eq!(crate::Error::from(error).kind(), crate::Kind::Data);
        // It still answers other questions.
        assert!(!bomb.has_branch("next").unwrap());
        assert!(begun.elapsed() < std::time::Duration::from_mins(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn paths_that_grow_with_each_level_count_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let bomb = bomb(folder.path(), 5, &"f".repeat(200));
        let budget = Budget { bytes: 8 << 20, ..Budget::GIT };
        let error = bomb.tree_within("HEAD", budget).unwrap_err().to_string();
        assert!(error.contains("larger than the limit of 8 MiB"), "{error}");
    }

    #[test]
    fn a_blob_that_is_larger_than_all_that_may_be_read_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        git(folder.path(), &["init", "-q"]);
        std::fs::write(folder.path().join("zeros"), vec![0; 200 << 20]).unwrap();
        git(folder.path(), &["add", "zeros"]);
        let reader = Git::new(folder.path()).unwrap();
        let oid = reader.index().unwrap().remove("zeros").unwrap().oid;
        let error = reader.contents(&[&oid]).unwrap_err().to_string();
        assert!(error.contains("larger than the limit of 32 MiB"), "{error}");
    }

    #[test]
    fn git_and_what_it_starts_have_a_limit_of_the_kernels() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Git::new(folder.path()).unwrap().run(&["-c", "alias.x=!cat /proc/self/limits", "x"]).unwrap();
        let limits = String::from_utf8(limits).unwrap();
        let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
        assert_eq!(data.split_whitespace().nth(3), Some("536870912"), "{data}");
    }

    #[test]
    fn a_git_that_never_answers_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let fake = |script: &str| {
            let program = folder.path().join("git");
            // By a process of its own: what another test's child has open for writing does not run.
            let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod 755 "$0""#;
            let mut sh = crate::process::command("sh");
            assert!(sh.args(["-c", write]).arg(&program).arg(script).status().unwrap().success());
            Git { program, dir: folder.path().to_owned(), objects: std::sync::Arc::default() }
        };
        let short = Budget { time: std::time::Duration::from_millis(300), ..Budget::GIT };
        let begun = std::time::Instant::now();
        for script in ["sleep 600", "while :; do printf a; sleep 0.05; done", "echo aa blob 999999999999; sleep 600"] {
            let error = fake(script).tree_within("HEAD", short).unwrap_err().to_string();
            assert!(error.contains("not complete within 0.3 s"), "{script}: {error}");
        }
        for script in ["yes", "echo aa tree 99999999999; yes", "yes >&2"] {
            let error = fake(script).run(&["rev-parse"]).unwrap_err();
            assert!(error.to_string().contains("`git rev-parse` in"), "{script}: {error}");
            assert!(error.to_string().contains("larger than the limit of 32 MiB"), "{script}: {error}");
        }
        assert!(begun.elapsed() < std::time::Duration::from_mins(2), "{:?}", begun.elapsed());
    }
}
