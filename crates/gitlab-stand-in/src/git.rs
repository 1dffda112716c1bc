//! The system's git, run on the stand-in's bare repositories.
//!
//! Each child gets an environment of its own: no user or system configuration, no credential helper, and nothing of the request
//! that caused it but what it needs.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What can go wrong with a git child.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("git cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error("git {command} failed: {stderr}")]
    Failed { command: String, stderr: String },
}

/// A commit's data, as the API shows it.
pub(crate) struct Commit {
    pub(crate) sha: String,
    pub(crate) parents: Vec<String>,
    pub(crate) author_name: String,
    pub(crate) author_email: String,
    /// ISO 8601.
    pub(crate) date: String,
    pub(crate) title: String,
    pub(crate) message: String,
}

/// One entry of a tree.
#[derive(Clone)]
pub(crate) struct TreeEntry {
    pub(crate) mode: String,
    pub(crate) kind: String,
    pub(crate) sha: String,
    pub(crate) path: String,
}

/// A tag.
pub(crate) struct Tag {
    pub(crate) name: String,
    /// The tag's own object, or the commit of a lightweight tag.
    pub(crate) object: String,
    pub(crate) commit: String,
    /// ISO 8601; none for a lightweight tag.
    pub(crate) date: Option<String>,
    pub(crate) message: String,
}

/// Who makes a commit.
pub(crate) struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) email: &'a str,
}

/// The git program, and the directory its children call home.
pub(crate) struct Git {
    program: PathBuf,
    home: PathBuf,
    /// What is in objects, by repository and arguments: an object never changes. `None` for a file that its commit does not have.
    known: Mutex<HashMap<Asked, Option<Vec<u8>>>>,
}

/// A repository, and the arguments of a command that reads an object of it.
type Asked = (PathBuf, String);

/// How many answers about objects are kept.
const KEPT: usize = 4096;

impl Git {
    pub(crate) fn new(program: PathBuf, home: PathBuf) -> Self {
        Self { program, home, known: Mutex::default() }
    }

    /// A git command with nothing in its environment but what is set here.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0");
        command
    }

    /// Runs git in a repository, with `input` on its standard input, and returns its standard output.
    pub(crate) fn run(&self, repository: &Path, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let mut command = self.command();
        command.arg("-C").arg(repository).args(arguments);
        run(command, arguments, input)
    }

    fn text(&self, repository: &Path, arguments: &[&str]) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.run(repository, arguments, b"")?).trim_end().to_owned())
    }

    /// The same for a command that reads the object `id`, which is run once if that is a whole id.
    fn read(&self, repository: &Path, id: &str, arguments: &[&str]) -> Result<Option<Vec<u8>>, GitError> {
        let key = (repository.to_owned(), arguments.join("\0"));
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().get(&key) {
            return Ok(found.clone());
        }
        let found = match self.run(repository, arguments, b"") {
            Err(GitError::Failed { stderr, .. }) if stderr.contains("does not exist in") => None,
            read => Some(read?),
        };
        if is_id(id) {
            let mut known = known();
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert(key, found.clone());
        }
        Ok(found)
    }

    /// Makes an empty bare repository whose hooks are those in `hooks`.
    pub(crate) fn init(&self, repository: &Path, branch: &str, hooks: &Path) -> Result<(), GitError> {
        std::fs::create_dir_all(repository)?;
        self.run(repository, &["init", "--quiet", "--bare", "--initial-branch", branch], b"")?;
        let hooks = hooks.to_string_lossy();
        for (key, value) in [
            ("core.hooksPath", hooks.as_ref()),
            ("http.receivepack", "true"),
            ("receive.advertisePushOptions", "true"),
            ("receive.autogc", "false"),
            ("uploadpack.allowFilter", "true"),
        ] {
            self.run(repository, &["config", key, value], b"")?;
        }
        Ok(())
    }

    /// The commit a revision names, if there is one.
    pub(crate) fn resolve(&self, repository: &Path, revision: &str) -> Option<String> {
        let revision = format!("{revision}^{{commit}}");
        self.text(repository, &["rev-parse", "--verify", "--quiet", "--end-of-options", &revision]).ok()
    }

    /// The commit of a branch, if the branch exists.
    pub(crate) fn branch(&self, repository: &Path, branch: &str) -> Option<String> {
        // Each ref is a file here, since nothing packs them. A name that could lead elsewhere is git's to judge.
        let is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if branch.split('/').all(is_plain) && !repository.join("packed-refs").exists() {
            let text = std::fs::read_to_string(repository.join("refs/heads").join(branch)).ok()?;
            return Some(text.trim_end().to_owned()).filter(|text| is_id(text));
        }
        self.resolve(repository, &format!("refs/heads/{branch}"))
    }

    /// Every ref under a prefix, as short name and commit.
    pub(crate) fn references(&self, repository: &Path, prefix: &str) -> Result<Vec<(String, String)>, GitError> {
        let format = "--format=%(refname:strip=2)%00%(objectname)%00%(*objectname)";
        let text = self.text(repository, &["for-each-ref", format, prefix])?;
        Ok(text
            .lines()
            .filter_map(|line| {
                let mut fields = line.split('\0');
                let (name, object, peeled) = (fields.next()?, fields.next()?, fields.next()?);
                Some((name.to_owned(), if peeled.is_empty() { object } else { peeled }.to_owned()))
            })
            .collect())
    }

    /// Every tag of a commit, by name.
    pub(crate) fn tags(&self, repository: &Path) -> Result<Vec<Tag>, GitError> {
        let format = "--format=%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(taggerdate:iso-strict)%00%(contents)%00%1e";
        let text = self.text(repository, &["for-each-ref", format, "refs/tags"])?;
        let tags = text.split('\u{1e}').filter_map(|record| {
            let mut fields = record.trim_start_matches('\n').split('\0').map(str::to_owned);
            let (name, object, peeled, date) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let commit = if peeled.is_empty() { object.clone() } else { peeled };
            let message = fields.next()?.trim_end().to_owned();
            Some(Tag { name, object, commit, date: Some(date).filter(|date| !date.is_empty()), message })
        });
        Ok(tags.collect())
    }

    /// Makes an annotated tag.
    pub(crate) fn tag(
        &self,
        repository: &Path,
        name: &str,
        sha: &str,
        message: &str,
        who: &Identity<'_>,
    ) -> Result<(), GitError> {
        let arguments = ["tag", "--annotate", "--cleanup=verbatim", "--file=-", "--end-of-options", name, sha];
        let mut command = self.command();
        command
            .env("GIT_COMMITTER_NAME", who.name)
            .env("GIT_COMMITTER_EMAIL", who.email)
            .arg("-C")
            .arg(repository)
            .args(arguments);
        run(command, &arguments, message.as_bytes()).map(drop)
    }

    /// Reads one commit.
    pub(crate) fn commit(&self, repository: &Path, sha: &str) -> Result<Commit, GitError> {
        let format = "--format=%H%x00%P%x00%an%x00%ae%x00%cI%x00%s%x00%B";
        let read = self.read(repository, sha, &["show", "--no-patch", "--no-show-signature", format, sha, "--"])?;
        let text = String::from_utf8_lossy(&read.unwrap_or_default()).trim_end().to_owned();
        let mut fields = text.splitn(7, '\0').map(str::to_owned);
        let mut field = || fields.next().unwrap_or_default();
        Ok(Commit {
            sha: field(),
            parents: field().split_whitespace().map(str::to_owned).collect(),
            author_name: field(),
            author_email: field(),
            date: field(),
            title: field(),
            message: field(),
        })
    }

    /// Every blob below a commit's tree by its path.
    pub(crate) fn files(&self, repository: &Path, sha: &str) -> Result<BTreeMap<String, TreeEntry>, GitError> {
        Ok(self.tree(repository, sha, "", true)?.into_iter().map(|entry| (entry.path.clone(), entry)).collect())
    }

    /// The entries of a directory; with `recursive` everything below it, without the directories.
    pub(crate) fn tree(
        &self,
        repository: &Path,
        sha: &str,
        path: &str,
        recursive: bool,
    ) -> Result<Vec<TreeEntry>, GitError> {
        let prefix = if path.is_empty() { String::new() } else { format!("{}/", path.trim_matches('/')) };
        let mut arguments = vec!["ls-tree", "-z", "--full-tree"];
        if recursive {
            arguments.push("-r");
        }
        arguments.extend([sha, "--"]);
        if !prefix.is_empty() {
            arguments.push(&prefix);
        }
        let read = self.read(repository, sha, &arguments)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&read)
            .split('\0')
            .filter_map(|line| {
                let (meta, path) = line.split_once('\t')?;
                let mut meta = meta.split(' ').map(str::to_owned);
                Some(TreeEntry { mode: meta.next()?, kind: meta.next()?, sha: meta.next()?, path: path.to_owned() })
            })
            .collect())
    }

    /// The bytes of a blob, or nothing when there is no such file in that revision.
    pub(crate) fn blob(&self, repository: &Path, revision: &str, path: &str) -> Option<Vec<u8>> {
        self.read(repository, revision, &["cat-file", "blob", &format!("{revision}:{path}")]).ok().flatten()
    }

    /// Runs `git fast-import` on a stream.
    pub(crate) fn fast_import(&self, repository: &Path, stream: &[u8], force: bool) -> Result<(), GitError> {
        let mut arguments = vec!["fast-import", "--quiet", "--date-format=now"];
        if force {
            arguments.push("--force");
        }
        self.run(repository, &arguments, stream).map(drop)
    }

    /// Points a ref at a commit; `None` deletes it. Fails when it is not at `old` any more.
    pub(crate) fn update_ref(
        &self,
        repository: &Path,
        name: &str,
        new: Option<&str>,
        old: Option<&str>,
    ) -> Result<(), GitError> {
        let line = match (new, old) {
            (Some(new), Some(old)) => format!("update {name} {new} {old}\n"),
            (Some(new), None) => format!("create {name} {new}\n"),
            (None, _) => format!("delete {name} {}\n", old.unwrap_or_default()),
        };
        self.run(repository, &["update-ref", "--stdin"], line.as_bytes()).map(drop)
    }

    /// Whether `old` is an ancestor of `new`.
    pub(crate) fn is_ancestor(&self, repository: &Path, old: &str, new: &str) -> bool {
        self.run(repository, &["merge-base", "--is-ancestor", old, new], b"").is_ok()
    }

    /// The tree that merging two commits gives, or nothing when they conflict.
    pub(crate) fn merge_tree(&self, repository: &Path, ours: &str, theirs: &str) -> Option<String> {
        let text = self.text(repository, &["merge-tree", "--write-tree", "--no-messages", ours, theirs]).ok()?;
        text.lines().next().map(str::to_owned)
    }

    /// Makes a commit object from a tree.
    pub(crate) fn commit_tree(
        &self,
        repository: &Path,
        tree: &str,
        parents: &[&str],
        message: &str,
        who: &Identity<'_>,
    ) -> Result<String, GitError> {
        let mut arguments = vec!["commit-tree", tree];
        for parent in parents {
            arguments.extend(["-p", parent]);
        }
        arguments.extend(["-F", "-"]);
        let mut command = self.command();
        command
            .env("GIT_AUTHOR_NAME", who.name)
            .env("GIT_AUTHOR_EMAIL", who.email)
            .env("GIT_COMMITTER_NAME", who.name)
            .env("GIT_COMMITTER_EMAIL", who.email)
            .arg("-C")
            .arg(repository)
            .args(&arguments);
        let output = run(command, &arguments, message.as_bytes())?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }
}

/// Whether a text is a whole object id of SHA-1.
fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn run(mut command: Command, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, GitError> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // A child that ends early closes its end; what it made of the input is in its status.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    Err(GitError::Failed { command: arguments.first().copied().unwrap_or_default().to_owned(), stderr })
}
