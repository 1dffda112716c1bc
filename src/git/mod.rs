//! The real `git`, run so that what it does depends on the repo and not on who runs it.
//!
//! factoryup uses the user's own git, with the user's configuration where it is the user's business (proxies, certificates, trusted
//! folders), and without what would change a result or run a program: hooks, the file-system monitor, automatic maintenance,
//! line-ending conversion, `GIT_*` variables of a surrounding git. A repo's own configuration may come from whoever packed the folder:
//! no call but those of [`remote`] may speak any protocol, so that a partial clone's missing object starts no program, and none
//! has git compare the work tree, which would start the filters that are configured there. Nothing ever asks a question. Reading lives in `read`, which
//! takes objects from `objects`, writing objects and refs in `write`, and talking to a remote, with a token, in [`remote`].
//!
//! Objects can be far larger than the folder that they come in, and a remote's answer has no end of its own. So each command, each
//! question about objects, and each walk through a tree has a [`Budget`], and git and its helpers get `MEMORY` from the kernel.
//!
//! Commits are not signed, whatever `commit.gpgsign` says: a signature is the owner's word, and to give it in the owner's
//! place could mean to wait for a passphrase or a touch. `git commit --amend --no-edit -S` signs the first commit afterwards.

pub mod remote;

mod blob;
pub(crate) mod error;
pub(crate) mod objects;
pub(crate) mod read;
mod relay;
pub(crate) mod write;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::json;

use crate::budget::{Budget, Exceeded, Meter};
use crate::error::IoError;
use crate::{process, trace};
pub(crate) use blob::Blob;
pub use blob::Mode;
use error::{GitError, GitResult};
use objects::{Object, Objects};
pub use write::ObjectFormat;

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
const SETTINGS: [&str; 11] = [
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
    // A blob above this is passed on as it is unpacked, and never held as a whole.
    "core.bigFileThreshold=16m",
    // Each thread has a stack and a window of its own, which count as memory.
    "pack.threads=2",
];

/// Data that git, or a helper of its, may hold in memory, in KiB: 512 MiB. What it maps of its packs does not count. The kernel holds to
/// it (`RLIMIT_DATA`), since some answers of a remote, such as its list of refs, are read by git as a whole.
const MEMORY: u32 = 512 * 1024;

/// git, at work in one folder. Clones share the process that reads objects.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    program: PathBuf,
    dir: PathBuf,
    objects: Arc<Mutex<Option<Objects>>>,
}

impl Git {
    /// Finds git on `PATH`, to work in `dir`. Paths below `dir` are handed to gits that run elsewhere, so it is made absolute here.
    pub(crate) fn new(dir: &Path) -> GitResult<Self> {
        let program = which::which("git").map_err(|_| GitError::NoGit)?;
        let dir = std::path::absolute(dir).map_err(IoError::at("find", dir))?;
        Ok(Self { program, dir, objects: Arc::default() })
    }

    /// The folder it works in.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A command with everything set but its arguments.
    pub(crate) fn command(&self) -> Command {
        // A shell sets the limit, so that git begins with it and all that git starts inherits it.
        let mut command = process::command("/bin/sh");
        command.arg("-c").arg(format!("ulimit -d {MEMORY} 2>/dev/null; exec \"$0\" \"$@\"")).arg(&self.program);
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
    pub(crate) fn run(&self, args: &[&str]) -> GitResult<Vec<u8>> {
        let output = output(self.command().args(args), Budget::GIT)?;
        self.checked(args, output)
    }

    /// Runs `git ARGS` and returns the first line of what it printed.
    pub(crate) fn line(&self, args: &[&str]) -> GitResult<String> {
        let output = self.run(args)?;
        Ok(String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned())
    }

    /// Runs `git ARGS` with `input` on its standard input.
    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> GitResult<Vec<u8>> {
        let output = run(self.command().args(args), Some(input), Budget::GIT)?;
        self.checked(args, output)
    }

    /// The objects of these names, in their order, from a process that stays for the next call. `None` for one that is not there. A name
    /// is an id or a revision without spaces and line ends.
    fn objects(&self, names: &[&str], meter: &mut Meter) -> GitResult<Vec<Option<Object>>> {
        let mut kept = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut objects = match kept.take() {
            Some(objects) => objects,
            None => Objects::start(self.command()).map_err(GitError::DoesNotRun)?,
        };
        // One that failed is not asked again.
        let found = objects.read(names, meter).map_err(|error| {
            if let Some(limit) = Exceeded::of(&error) {
                return self.too_much(limit);
            }
            let complaint = objects.complaint();
            self.unreadable(if complaint.is_empty() { error.to_string() } else { complaint })
        })?;
        *kept = Some(objects);
        Ok(found)
    }

    fn too_much(&self, limit: Exceeded) -> GitError {
        GitError::Budget { what: format!("what git holds in {}", self.dir.display()), limit }
    }

    fn unreadable(&self, stderr: String) -> GitError {
        GitError::Failed { verb: "cat-file".into(), dir: self.dir.clone(), stderr }
    }

    fn checked(&self, args: &[&str], output: Output) -> GitResult<Vec<u8>> {
        if output.status.success() {
            return Ok(output.stdout);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if stderr.contains("dubious ownership") {
            return Err(GitError::NotTrusted(self.dir.clone()));
        }
        let stderr = if stderr.is_empty() { format!("it ended with {}", output.status) } else { stderr };
        Err(GitError::Failed { verb: args.first().copied().unwrap_or_default().into(), dir: self.dir.clone(), stderr })
    }
}

/// Runs a git command to its end, or to that of its budget.
pub(crate) fn output(command: &mut Command, budget: Budget) -> GitResult<Output> {
    run(command, None, budget)
}

fn run(command: &mut Command, input: Option<&[u8]>, budget: Budget) -> GitResult<Output> {
    let begun = Instant::now();
    let output = process::output(command, input, budget).map_err(|error| match Exceeded::of(&error) {
        Some(limit) => GitError::Budget { what: what(command), limit },
        None => GitError::DoesNotRun(error),
    });
    note(command, begun, output.as_ref().ok().map(ended));
    let output = output?;
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).to_lowercase().contains("out of memory") {
        let limit = Exceeded::Bytes(u64::from(MEMORY) * 1024);
        return Err(GitError::Budget { what: what(command), limit });
    }
    Ok(output)
}

/// The answer of a command, for a message.
fn what(command: &Command) -> String {
    let verb = words(command).into_iter().next();
    let dir = command.get_current_dir().unwrap_or(Path::new("."));
    format!("the answer of `git {}` in {}", verb.unwrap_or_default(), dir.display())
}

/// The arguments of a git command, without the settings of every call.
fn words(command: &Command) -> Vec<String> {
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    let mut words = words.skip_while(|word| word != "--no-pager").skip(1).peekable();
    while words.next_if(|word| word == "-c").is_some() {
        words.next();
    }
    words.collect()
}

fn ended(output: &Output) -> (ExitStatus, &[u8]) {
    (output.status, &output.stderr)
}

/// Records a git command for `--trace`, without the settings of every call: how it ended and its standard error, where that is known.
pub(crate) fn note(command: &Command, begun: Instant, end: Option<(ExitStatus, &[u8])>) {
    trace::note("git", || {
        let stderr = end.map(|(_, stderr)| String::from_utf8_lossy(stderr).into_owned());
        json!({
            "arguments": words(command), "dir": command.get_current_dir().map(|dir| dir.to_string_lossy()), "ms": trace::ms(begun),
            "code": end.and_then(|(status, _)| status.code()), "stderr": stderr,
        })
    });
}
