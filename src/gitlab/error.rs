//! The errors of this room, with the remedy for each.

use std::time::Duration;

use crate::budget::Exceeded;
use crate::dialog::plain;
use crate::error::{Error, Kind};

/// The variable that OpenSSL's programs take a certificate bundle from.
pub(super) const CERTIFICATES: &str = "SSL_CERT_FILE";

/// `Result` with [`GitlabError`].
pub(super) type GitlabResult<T> = std::result::Result<T, GitlabError>;

/// Why no answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The name does not resolve.
    Name,
    /// Nobody listens there, or no way leads there.
    Connect(String),
    /// It took too long: connecting, or all of it.
    Time(Duration),
    /// The certificate is not to be trusted.
    Certificate(String),
    /// What answers does not speak TLS as it should.
    Tls(String),
    /// The connection ended before the answer was complete.
    Dropped(String),
    /// The answer is too large.
    Size(Exceeded),
    /// What answers does not speak HTTP.
    Http(String),
}

/// A failure of the gitlab target, before it is turned into the program's one [`Error`].
#[derive(Debug, thiserror::Error)]
pub(super) enum GitlabError {
    #[error("cannot use gitlab.url = \"{url}\": {why}")]
    Url { url: String, why: String },
    #[error("cannot use the certificates in {path}: {why}")]
    Certificates { path: String, why: String },
    #[error("{call}: no answer from {url}: {}", reason_text(reason))]
    NoAnswer { call: String, url: String, reason: Reason },
    #[error(
        "{call}: {url} ended the connection before it answered, so the call may have succeeded or not: {}",
        reason_text(reason)
    )]
    Unknown { call: String, url: String, reason: Reason },
    #[error("{url} does not answer like GitLab: {why}")]
    NotGitlab { url: String, why: String },
    #[error("{call}: {url} redirects to {to}; factoryup sends no token after a redirect")]
    Redirected { call: String, url: String, to: String },
    #[error("{call}: GitLab limits the request rate{}", wait_text(*wait))]
    Limited { call: String, wait: Option<Duration> },
    #[error("{call}: GitLab failed with status {status}{}", said_text(said))]
    Failing { call: String, status: u16, said: String },
    #[error("{call}, as {who}: GitLab refused with status {status}{}", said_text(said))]
    Refused { call: String, who: &'static str, status: u16, said: String, scope: Option<String>, token_page: String },
    #[error("{call}: cannot read the answer: {why}")]
    Unreadable { call: String, why: String },
    #[error("{call}: the answer of {url} is {limit}")]
    Budget { call: String, url: String, limit: Exceeded },
    #[error("{call}: GitLab accepted the request, but {what} did not change: {left}")]
    Untouched { call: String, what: String, left: String },
    /// Anything that is a matter of this program's own words, with its kind and remedies ready.
    #[error("{0}")]
    Said(Error),
}

impl GitlabError {
    /// The HTTP status that GitLab refused with.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether something answered that is not GitLab.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(self, Self::NotGitlab { .. } | Self::Redirected { .. })
    }
}

impl From<Error> for GitlabError {
    fn from(error: Error) -> Self {
        Self::Said(error)
    }
}

fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::Name => "cannot resolve its name".into(),
        Reason::Connect(why) => why.clone(),
        Reason::Time(limit) => format!("no answer within {} s", limit.as_secs()),
        Reason::Certificate(why) => format!("its certificate is not trusted: {why}"),
        Reason::Tls(why) => format!("it does not speak TLS: {why}"),
        Reason::Dropped(why) => format!("the connection ended: {why}"),
        Reason::Size(limit) => format!("the answer is {limit}"),
        Reason::Http(why) => format!("it does not speak HTTP: {why}"),
    }
}

fn wait_text(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!("; wait {} s", wait.as_secs()))
}

fn said_text(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(": {said}") }
}

impl From<GitlabError> for Error {
    fn from(error: GitlabError) -> Self {
        let text = plain(&error.to_string()).replace('\n', " ");
        match error {
            GitlabError::Said(said) => said,
            GitlabError::Url { .. } => Self::usage(text)
                .hint("write the address as https://HOST or https://HOST/PATH; use http:// only for this machine"),
            GitlabError::Certificates { .. } => {
                Self::usage(text).hint(format!("set {CERTIFICATES} to a file with PEM certificates, or unset it"))
            }
            GitlabError::NoAnswer { reason, .. } => unreachable(text, &reason),
            GitlabError::Unknown { .. } => Self::new(Kind::CutShort, text)
                .hint("run the command again; it reads the current state first"),
            GitlabError::NotGitlab { .. } => Self::data(text)
                .hint("set gitlab.url in factory.toml to the address of GitLab's start page")
                .hint("or, if GitLab is below a path, add that path, such as https://example.org/gitlab"),
            GitlabError::Redirected { .. } => Self::data(text)
                .hint("if the new address is GitLab's, set gitlab.url in factory.toml to it")
                .hint("or, if the group or project was moved, set gitlab.group and gitlab.project to the new path"),
            GitlabError::Limited { .. } => Self::new(Kind::CutShort, text).hint("wait, then run the command again"),
            GitlabError::Failing { .. } | GitlabError::Budget { limit: Exceeded::Time(_), .. } => {
                Self::new(Kind::Unreachable, text)
                    .hint("run the command again later, or check GitLab's status page or log for the cause")
            }
            GitlabError::Refused { status, scope, token_page, .. } => {
                refused(text, status, scope.as_deref(), &token_page)
            }
            GitlabError::Unreadable { .. } => {
                Self::data(text).hint("report this error with the output of `factoryup --version` and GitLab's version")
            }
            GitlabError::Budget { .. } => Self::data(text)
                .hint("check gitlab.url in factory.toml: the answer is too large for GitLab, so another server may answer there")
                .hint("or, if the list is that long, delete what you no longer need in GitLab, then run the command again"),
            GitlabError::Untouched { .. } => Self::new(Kind::CutShort, text)
                .hint("check the page in GitLab: a setting of the group or the instance may forbid the change"),
        }
    }
}

fn unreachable(text: String, reason: &Reason) -> Error {
    let error = Error::new(Kind::Unreachable, text);
    match reason {
        Reason::Name => error.hint("check the host in gitlab.url, and that this machine resolves names: getent hosts HOST"),
        Reason::Connect(_) => error.hint("check host and port in gitlab.url, and firewalls on the way"),
        Reason::Certificate(_) => error
            .hint(format!("for a private certificate authority, set {CERTIFICATES}=/etc/ssl/certs/ca-certificates.crt, or its own PEM file"))
            .hint("set it for git too: GIT_SSL_CAINFO, or git config --global http.sslCAInfo"),
        Reason::Tls(_) => error.hint("check the port in gitlab.url: the server there speaks no TLS, or an old version"),
        Reason::Size(_) | Reason::Http(_) => error.hint("check gitlab.url: the server there may not be GitLab, or a proxy may interfere"),
        Reason::Time(_) | Reason::Dropped(_) => {
            error.hint("check the network, and host and port in gitlab.url, then run the command again")
        }
    }
}

fn refused(text: String, status: u16, scope: Option<&str>, token_page: &str) -> Error {
    match status {
        401 => Error::new(Kind::NotPermitted, text)
            .hint(format!("create a new token, since this one is wrong, expired or revoked: {token_page}"))
            .hint("pass it in FACTORYUP_GITLAB_TOKEN or with --gitlab-token-file FILE"),
        403 => {
            let error = Error::new(Kind::NotPermitted, text);
            match scope {
                Some(scope) => error.hint(format!("create a token with the scope {scope}: {token_page}")),
                None => error.hint("ask an Owner of the group for the role Maintainer or Owner there"),
            }
        }
        404 => Error::new(Kind::NotPermitted, text)
            .hint("check gitlab.group and gitlab.project in factory.toml")
            .hint("or check the account's role: GitLab gives the same answer for what is missing and what is hidden"),
        409 => Error::new(Kind::CutShort, text).hint("run the command again; another process created it first"),
        400 | 422 => {
            Error::data(text).hint("change the value that GitLab names in factory.toml, then run the command again")
        }
        _ => Error::data(text),
    }
}
