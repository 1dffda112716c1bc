//! The real `git`, run so that what it does depends on the repo and not on who runs it.
//!
//! factoryup uses the user's own git, with the user's configuration where it is the user's business (proxies, certificates, trusted
//! folders), and without what would change a result or run a program: hooks, the file-system monitor, automatic maintenance,
//! line-ending conversion, `GIT_*` variables of a surrounding git. A repo's own configuration may come from whoever packed the folder:
//! no call but those of [`remote`] may speak any protocol, so that a partial clone's missing object starts no program, and none
//! has git compare the work tree, which would start the filters that are configured there. Nothing ever asks a question. Reading lives in `read`, which
//! takes objects from `objects`, writing objects and refs in `write`, and talking to a remote, with a token, in [`remote`].
//!
//! Commits are not signed, whatever `commit.gpgsign` says: a signature is the owner's word, and to give it in the owner's
//! place could mean to wait for a passphrase or a touch. `git commit --amend --no-edit -S` signs the first commit afterwards.

pub mod remote;

mod objects;
pub(crate) mod read;
mod relay;
pub(crate) mod write;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

use super::error::{RepoError, RepoResult};
use crate::trace;
use objects::{Object, Objects};

/// The variables of git that are the user's business: where configuration and certificates are.
const KEPT: [&str; 7] = [
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_EXEC_PATH",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_PROXY_SSL_CAINFO",
];

/// Settings that hold for every call, over any configuration.
const SETTINGS: [&str; 9] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.eol=lf",
    "core.quotePath=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "core.fsync=committed,reference",
    // What fast-import makes is kept as the one pack that it comes as; below a hundred objects git would write and sync each as a file.
    "fastimport.unpackLimit=1",
];

/// git, at work in one folder. Clones share the process that reads objects.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    program: PathBuf,
    dir: PathBuf,
    objects: Arc<Mutex<Option<Objects>>>,
}

impl Git {
    /// Finds git on `PATH`, to work in `dir`. Paths below `dir` are handed to gits that run elsewhere, so it is made absolute here.
    pub(crate) fn new(dir: &Path) -> RepoResult<Self> {
        let program = which::which("git").map_err(|_| RepoError::NoGit)?;
        let dir = std::path::absolute(dir).map_err(RepoError::io("find", dir))?;
        Ok(Self { program, dir, objects: Arc::default() })
    }

    /// The folder it works in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command with everything set but its arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = crate::process::command(&self.program);
        for (name, _) in std::env::vars_os() {
            let ours = name.to_str().is_some_and(|n| KEPT.contains(&n));
            if name.as_encoded_bytes().starts_with(b"GIT_") && !ours {
                command.env_remove(name);
            }
        }
        // An empty GIT_ASKPASS also keeps git from SSH_ASKPASS and core.askPass.
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "").env("SSH_ASKPASS", "");
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_REPLACE_OBJECTS", "1");
        // An object that is missing is an error. The first is known since git 2.45 and in older ones by security updates; with the
        // second, no program is started for any URL or path, whatever the git.
        command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "");
        command.current_dir(&self.dir).arg("--no-pager");
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `git ARGS` and returns what it printed.
    pub(crate) fn run(&self, args: &[&str]) -> RepoResult<Vec<u8>> {
        let output = output(self.command().args(args))?;
        self.checked(args, output)
    }

    /// Runs `git ARGS` and returns the first line of what it printed.
    pub(crate) fn line(&self, args: &[&str]) -> RepoResult<String> {
        let output = self.run(args)?;
        Ok(String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned())
    }

    /// Runs `git ARGS` with `input` on its standard input.
    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> RepoResult<Vec<u8>> {
        let begun = Instant::now();
        let mut command = self.command();
        let mut child = command.args(args).stdin(Stdio::piped()).spawn().map_err(RepoError::GitDoesNotRun)?;
        let stdin = child.stdin.take();
        // Both pipes can fill up: one thread writes while this one reads. That git stops reading early shows in its exit.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.map(|mut pipe| pipe.write_all(input)));
            child.wait_with_output()
        });
        note(&command, begun, output.as_ref().ok().map(ended));
        self.checked(args, output.map_err(RepoError::GitDoesNotRun)?)
    }

    /// The objects of these names, in their order, from a process that stays for the next call. `None` for one that is not there. A name
    /// is an id or a revision without spaces and line ends.
    fn objects(&self, names: &[&str]) -> RepoResult<Vec<Option<Object>>> {
        let mut kept = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut objects = match kept.take() {
            Some(objects) => objects,
            None => Objects::start(self.command()).map_err(RepoError::GitDoesNotRun)?,
        };
        // One that failed is not asked again.
        let found = objects.read(names).map_err(|error| {
            let complaint = objects.complaint();
            self.unreadable(if complaint.is_empty() { error.to_string() } else { complaint })
        })?;
        *kept = Some(objects);
        Ok(found)
    }

    fn unreadable(&self, stderr: String) -> RepoError {
        RepoError::Git { verb: "cat-file".into(), dir: self.dir.clone(), stderr }
    }

    fn checked(&self, args: &[&str], output: Output) -> RepoResult<Vec<u8>> {
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if stderr.contains("dubious ownership") {
            return Err(RepoError::NotTrusted(self.dir.clone()));
        }
        let stderr = if stderr.is_empty() { format!("it ended with {}", output.status) } else { stderr };
        Err(RepoError::Git { verb: args.first().copied().unwrap_or_default().into(), dir: self.dir.clone(), stderr })
    }
}

/// Runs a git command to its end.
pub(crate) fn output(command: &mut Command) -> RepoResult<Output> {
    let begun = Instant::now();
    let output = command.output().map_err(RepoError::GitDoesNotRun);
    note(command, begun, output.as_ref().ok().map(ended));
    output
}

fn ended(output: &Output) -> (ExitStatus, &[u8]) {
    (output.status, &output.stderr)
}

/// Records a git command for `--trace`, without the settings of every call: how it ended and its standard error, where that is known.
pub(crate) fn note(command: &Command, begun: Instant, end: Option<(ExitStatus, &[u8])>) {
    trace::note("git", || {
        let mut words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        let mut arguments = Vec::new();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--no-pager" => {}
                "-c" if arguments.is_empty() => drop(words.next()),
                _ => arguments.push(word),
            }
        }
        let stderr = end.map(|(_, stderr)| String::from_utf8_lossy(stderr).into_owned());
        json!({
            "arguments": arguments, "dir": command.get_current_dir().map(|dir| dir.to_string_lossy()), "ms": trace::ms(begun),
            "code": end.and_then(|(status, _)| status.code()), "stderr": stderr,
        })
    });
}
