//! Talks to a remote over HTTP with a token that no other user sees.
//!
//! The token reaches git through a credential helper, a line of shell that prints a file of mode 0600 in a folder of mode 0700
//! that is gone when the call returns. It is in no argument, no variable, no configuration and no remote's URL; what the remote says
//! is redacted and stripped of control characters before it becomes an error. The helper is bound to the URL's own host, and
//! redirects are not followed, so that no other host can ask for it. The user's own helpers and rewritings of URLs are switched off
//! for the call: it is this token that must decide what happens. The repo's own configuration is not read at all: each call runs in a
//! throw-away repo that borrows its objects (`relay`), so that a folder from somebody else brings no proxy and no certificate of its own.
//!
//! A server that stops answering is given up after [`Budget::STALLED`], and one that says too much or takes too long by
//! [`Budget::REMOTE`]; to a host that does not answer at all, curl tries to connect for up to five minutes.
//!
//! ```no_run
//! use factoryup::git::remote;
//! use factoryup::secret::Secret;
//!
//! let token = Secret::new("glpat-…");
//! let login = ("oauth2", &token);
//! let url = "https://gitlab.example/acme/factory.git";
//! let pushed = remote::push(".".as_ref(), url, "refs/heads/main:refs/heads/main", login)?;
//! assert!(pushed.accepted, "refused: {}", pushed.reason);
//! # Ok::<(), factoryup::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::error::{GitError, GitResult};
use super::relay::Relay;
use super::{Git, output};
use crate::budget::Budget;
use crate::dialog::plain;
use crate::error::{Error, IoError, Kind, Result};
use crate::secret::Secret;
use crate::shell;

/// The remote of a control repo, which leads its owner's git to GitLab.
pub(crate) const ORIGIN: &str = "origin";

/// User name and token for HTTP Basic authentication. GitLab takes any user name with a personal, project or group token.
pub type Login<'a> = (&'a str, &'a Secret);

/// What became of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Whether the remote's ref is now what was pushed.
    pub accepted: bool,
    /// Whether it already was.
    pub up_to_date: bool,
    /// Why it was refused, in git's and the server's words; empty when it was accepted.
    pub reason: String,
}

/// Pushes one `refspec` of the repo in `dir` to `url`. That the server refuses it, as a protected branch does, is an answer and no
/// error. Hooks do not run, nothing is signed, no tags follow.
///
/// # Errors
/// `Unreachable` when the remote does not answer, `NotPermitted` when it does not take the token, `CannotWrite` when git cannot be
/// run, `Usage` for a URL that is not `http` or `https` or that has a login in it.
pub fn push(dir: &Path, url: &str, refspec: &str, login: Login<'_>) -> Result<Pushed> {
    push_with_options(dir, url, refspec, &[], login)
}

/// As [`push`], with push options for the server, such as GitLab's `merge_request.create`
/// (<https://docs.gitlab.com/topics/git/commit/#push-options>). Anyone who lists processes can read them.
///
/// # Errors
/// As [`push`].
pub fn push_with_options(dir: &Path, url: &str, refspec: &str, options: &[&str], login: Login<'_>) -> Result<Pushed> {
    let pushed = push_all(dir, url, &[refspec], options, login)?;
    pushed.into_iter().next().ok_or_else(|| Error::internal("git pushed nothing and did not say why"))
}

/// As [`push_with_options`], for several refspecs at once. Returns what became of each, in git's order.
///
/// # Errors
/// As [`push`].
pub(crate) fn push_all(
    dir: &Path,
    url: &str,
    refspecs: &[&str],
    options: &[&str],
    login: Login<'_>,
) -> Result<Vec<Pushed>> {
    let mut arguments =
        vec!["push", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no", "--no-signed"];
    for option in options {
        arguments.extend(["--push-option", option]);
    }
    let git = Git::new(dir)?;
    let relay = Relay::new(&git)?;
    let outgoing = refspecs.iter().map(|refspec| relay.outgoing(refspec)).collect::<GitResult<Vec<_>>>()?;
    let outgoing: Vec<&str> = outgoing.iter().map(String::as_str).collect();
    let output = call(&relay, &arguments, url, &outgoing, login)?;
    let text = String::from_utf8_lossy(&output.stdout);
    // git-push(1), OUTPUT: FLAG TAB FROM:TO TAB SUMMARY (REASON)
    let pushed: Vec<Pushed> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, '\t');
            let flag = fields.next().filter(|f| f.chars().count() == 1)?;
            fields.next()?;
            let summary = fields.next()?;
            let accepted = flag != "!";
            let reason = if accepted { String::new() } else { said(&output, summary) };
            Some(Pushed { accepted, up_to_date: flag == "=", reason })
        })
        .collect();
    if pushed.is_empty() { Err(failure(url, &output).into()) } else { Ok(pushed) }
}

/// Records that the remote [`ORIGIN`] has `commit` as this branch, and lets the branch follow that, if it follows none: as
/// `git push --set-upstream` does, so that the owner's own `git status`, `git pull` and `git push` know.
pub(crate) fn follow(git: &Git, branch: &str, commit: &str) -> GitResult<()> {
    git.run(&["update-ref", &format!("refs/remotes/{ORIGIN}/{branch}"), commit])?;
    for (key, value) in [("remote", ORIGIN.to_owned()), ("merge", format!("refs/heads/{branch}"))] {
        let key = format!("branch.{branch}.{key}");
        if git.run(&["config", "--local", "--get", &key]).is_err() {
            git.run(&["config", "--local", &key, &value])?;
        }
    }
    Ok(())
}

/// The branches and tags of the remote, by their full names. A tag that is an object has that object's id.
///
/// # Errors
/// As [`push`].
pub(crate) fn refs(dir: &Path, url: &str, login: Login<'_>) -> Result<BTreeMap<String, String>> {
    let git = Git::new(dir)?;
    let relay = Relay::new(&git)?;
    let output = call(&relay, &["ls-remote", "--quiet", "--refs", "--heads", "--tags"], url, &[], login)?;
    if !output.status.success() {
        return Err(failure(url, &output).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(|line| line.split_once('\t')).map(|(oid, name)| (name.into(), oid.into())).collect())
}

/// Fetches one `refspec` from `url` into the repo in `dir`. No tags come along and `FETCH_HEAD` is not written.
///
/// # Errors
/// As [`push`].
pub fn fetch(dir: &Path, url: &str, refspec: &str, login: Login<'_>) -> Result<()> {
    let options = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", "--no-auto-gc"];
    let git = Git::new(dir)?;
    let relay = Relay::new(&git)?;
    relay.refuse_checked_out(refspec, url)?;
    relay.know_refs()?;
    let output = call(&relay, &options, url, &[refspec], login)?;
    if !output.status.success() {
        return Err(failure(url, &output).into());
    }
    Ok(relay.hand_over(refspec)?)
}

fn call(relay: &Relay<'_>, options: &[&str], url: &str, rest: &[&str], login: Login<'_>) -> GitResult<Output> {
    let origin = origin(url)?;
    let credential = Credential::new(login)?;
    let mut command = relay.command();
    configure(&mut command, url, &origin, &credential.file);
    output(command.args(options).arg("--").arg(url).args(rest), Budget::REMOTE)
}

fn configure(command: &mut Command, url: &str, origin: &str, credential: &Path) {
    let helper = format!("!f() {{ test \"$1\" != get || cat {}; }}; f", shell::word(&credential.to_string_lossy()));
    let settings = [
        // An empty value forgets the helpers named so far.
        "credential.helper=".to_owned(),
        format!("credential.{origin}.helper="),
        format!("credential.{origin}.helper={helper}"),
        "http.followRedirects=false".to_owned(),
        "http.extraHeader=".to_owned(),
        format!("http.{origin}.extraHeader="),
        "http.lowSpeedLimit=1".to_owned(),
        format!("http.lowSpeedTime={}", Budget::STALLED.as_secs()),
        // The longest match wins, and none is longer than the whole URL.
        format!("url.{url}.insteadOf={url}"),
        format!("url.{url}.pushInsteadOf={url}"),
        "push.gpgSign=false".to_owned(),
        "push.pushOption=".to_owned(),
    ];
    for setting in settings {
        command.arg("-c").arg(setting);
    }
}

/// Scheme, host and port of a URL that a token may be sent to.
fn origin(url: &str) -> GitResult<String> {
    let wrong = |why: &str| GitError::Remote { url: "of the given URL".into(), why: why.into(), kind: Kind::Usage };
    if url.chars().any(|c| c.is_control() || c == '=' || c == ' ') {
        return Err(wrong("it contains a character that is not allowed in a repo's URL"));
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
    let host = rest.split('/').next().unwrap_or_default();
    if !matches!(scheme, "http" | "https") || host.is_empty() {
        return Err(wrong("it is not http:// or https://"));
    }
    if host.contains('@') {
        return Err(wrong("it contains a login, which any user who lists processes could see"));
    }
    Ok(format!("{scheme}://{host}"))
}

/// The login where git's helper can read it, until this is dropped.
struct Credential {
    file: PathBuf,
    _held: Held,
}

/// What keeps the login there.
enum Held {
    /// A file that has no name and no disk: whatever ends this process, a kill too, nothing of it is left.
    #[cfg(target_os = "linux")]
    Memory { _file: File },
    /// A folder of mode 0700. Where there is one, in memory: `$XDG_RUNTIME_DIR`, `/dev/shm`.
    Folder { _folder: TempDir },
}

impl Credential {
    fn new(login: Login<'_>) -> GitResult<Self> {
        let (user, token) = login;
        if [user, token.expose()].iter().any(|part| part.is_empty() || part.chars().any(char::is_control)) {
            return Err(GitError::Remote {
                url: "of the given login".into(),
                why: "user name or token is empty or contains control characters".into(),
                kind: Kind::Usage,
            });
        }
        let fields = ["username=", user, "\npassword=", token.expose(), "\n"];
        #[cfg(target_os = "linux")]
        if let Some(credential) = Self::in_memory(&fields) {
            return Ok(credential);
        }
        Self::in_folder(&fields)
    }

    /// None where the system has no such files, or does not show them in `/proc`.
    #[cfg(target_os = "linux")]
    fn in_memory(fields: &[&str]) -> Option<Self> {
        use std::os::fd::AsRawFd;
        let memory = rustix::fs::memfd_create("factoryup", rustix::fs::MemfdFlags::CLOEXEC).ok()?;
        let mut memory = File::from(memory);
        fields.iter().try_for_each(|field| memory.write_all(field.as_bytes())).ok()?;
        let file = PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd()));
        File::open(&file).ok()?;
        Some(Self { file, _held: Held::Memory { _file: memory } })
    }

    fn in_folder(fields: &[&str]) -> GitResult<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|p| p.is_absolute());
        let mut private = crate::private::builder("factoryup-");
        private.rand_bytes(12);
        let folder = [runtime, Some("/dev/shm".into())]
            .into_iter()
            .flatten()
            .find_map(|place| private.tempdir_in(place).ok())
            .map_or_else(|| private.tempdir(), Ok)
            .map_err(IoError::at("create a private directory in", &std::env::temp_dir()))?;
        let file = folder.path().join("credential");
        File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut file| fields.iter().try_for_each(|field| file.write_all(field.as_bytes())))
            .map_err(IoError::at("write", &file))?;
        Ok(Self { file, _held: Held::Folder { _folder: folder } })
    }
}

/// What the server said, else git's summary.
fn said(output: &Output, summary: &str) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let remote: Vec<_> =
        stderr.lines().filter_map(|l| l.strip_prefix("remote: ")).map(str::trim).filter(|l| !l.is_empty()).collect();
    let text = if remote.is_empty() { summary.to_owned() } else { format!("{summary}: {}", remote.join(" ")) };
    plain(&text)
}

fn failure(url: &str, output: &Output) -> GitError {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let why = plain(stderr.trim()).replace('\n', " ");
    let refused =
        ["Authentication failed", "could not read Username", "could not read Password", "error: 401", "error: 403"];
    let unreachable =
        ["unable to access", "Could not resolve", "Failed to connect", "early EOF", "hung up", "RPC failed"];
    let kind = if refused.iter().any(|sign| stderr.contains(sign)) {
        Kind::NotPermitted
    } else if unreachable.iter().any(|sign| stderr.contains(sign)) {
        Kind::Unreachable
    } else {
        Kind::CannotWrite
    };
    GitError::Remote { url: url.to_owned(), why, kind }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_urls_get_a_token() {
        assert_eq!(origin("https://gitlab.example:8443/a/b.git").unwrap(), "https://gitlab.example:8443");
        for url in [
            "git@gitlab.com:a/b",
            "ssh://git@x/y",
            "https://u:p@host/x",
            "file:///tmp/x",
            "https:///x",
            "https://h/\nx",
        ] {
            assert!(origin(url).is_err(), "{url}");
        }
    }
}
