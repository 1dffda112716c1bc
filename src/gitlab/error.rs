//! What can go wrong in this room, and the remedy for each.

use std::time::Duration;

use super::http::Reason;
use super::http::transport::CERTIFICATES;
use crate::budget::Exceeded;
use crate::dialog::plain;
use crate::error::{Error, Kind};

/// `Result` with [`GitlabError`].
pub(super) type GitlabResult<T> = std::result::Result<T, GitlabError>;

/// A failure of the gitlab target, before it is turned into the program's one [`Error`].
#[derive(Debug, thiserror::Error)]
pub(super) enum GitlabError {
    #[error("gitlab.url = \"{url}\" cannot be used: {why}")]
    Url { url: String, why: String },
    #[error("the certificates in {path} cannot be used: {why}")]
    Certificates { path: String, why: String },
    #[error("{call}: no answer from {url}: {}", reason_text(reason))]
    NoAnswer { call: String, url: String, reason: Reason },
    #[error(
        "{call}: {url} broke off before it answered, so the call may have been carried out or not: {}",
        reason_text(reason)
    )]
    Unknown { call: String, url: String, reason: Reason },
    #[error("{url} does not answer as GitLab does: {why}")]
    NotGitlab { url: String, why: String },
    #[error("{call}: {url} redirects to {to}, and a token is not sent after a redirect")]
    Redirected { call: String, url: String, to: String },
    #[error("{call}: GitLab asks to slow down{}", wait_text(*wait))]
    Limited { call: String, wait: Option<Duration> },
    #[error("{call}: GitLab fails with {status}{}", said_text(said))]
    Failing { call: String, status: u16, said: String },
    #[error("{call}, as {who}: GitLab refuses with {status}{}", said_text(said))]
    Refused { call: String, who: &'static str, status: u16, said: String, scope: Option<String>, token_page: String },
    #[error("{call}: the answer cannot be read: {why}")]
    Unreadable { call: String, why: String },
    #[error("{call}: the answer of {url} is {limit}")]
    Budget { call: String, url: String, limit: Exceeded },
    #[error("{call}: GitLab took it, yet {what} is as it was: {left}")]
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
        Reason::Name => "its name is not known".into(),
        Reason::Connect(why) => why.clone(),
        Reason::Time(limit) => format!("not within {} s", limit.as_secs()),
        Reason::Certificate(why) => format!("its certificate is not trusted: {why}"),
        Reason::Tls(why) => format!("it does not speak TLS: {why}"),
        Reason::Dropped(why) => format!("the connection ended: {why}"),
        Reason::Size(limit) => format!("the answer is {limit}"),
        Reason::Http(why) => format!("it does not speak HTTP: {why}"),
    }
}

fn wait_text(wait: Option<Duration>) -> String {
    wait.map_or_else(String::new, |wait| format!(", for {} s", wait.as_secs()))
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
                .hint("give GitLab's address as https://HOST, or https://HOST/PATH; http:// only for this machine"),
            GitlabError::Certificates { .. } => {
                Self::usage(text).hint(format!("{CERTIFICATES} must name a file of PEM certificates; or unset it"))
            }
            GitlabError::NoAnswer { reason, .. } => unreachable(text, &reason),
            GitlabError::Unknown { .. } => Self::new(Kind::CutShort, text)
                .hint("run the same command again: it looks at what is there before it writes anything"),
            GitlabError::NotGitlab { .. } => Self::data(text)
                .hint("check gitlab.url in factory.toml: it is the address of GitLab's start page")
                .hint("a GitLab below a path needs that path too, such as https://example.org/gitlab"),
            GitlabError::Redirected { .. } => Self::data(text)
                .hint("set gitlab.url in factory.toml to the address it redirects to, if that is GitLab's")
                .hint("a group or project that was moved: set gitlab.group and gitlab.project to the new path"),
            GitlabError::Limited { .. } => Self::new(Kind::CutShort, text).hint("wait that long, then run this again"),
            GitlabError::Failing { .. } => Self::new(Kind::Unreachable, text)
                .hint("run this again later; GitLab's status page or its log may say why"),
            GitlabError::Refused { status, scope, token_page, .. } => {
                refused(text, status, scope.as_deref(), &token_page)
            }
            GitlabError::Unreadable { .. } => {
                Self::data(text).hint("report it, with the output of `factoryup --version` and GitLab's version")
            }
            GitlabError::Budget { limit: Exceeded::Time(_), .. } => Self::new(Kind::Unreachable, text)
                .hint("run this again later; GitLab's status page or its log may say why it is so slow"),
            GitlabError::Budget { .. } => Self::data(text)
                .hint("check gitlab.url in factory.toml: no GitLab sends so much, so something else may answer there")
                .hint("or the list is that long: remove what is no longer needed in GitLab, then run this again"),
            GitlabError::Untouched { .. } => Self::new(Kind::CutShort, text)
                .hint("a setting of the group or the instance may forbid it; look at the page in GitLab"),
        }
    }
}

fn unreachable(text: String, reason: &Reason) -> Error {
    let error = Error::new(Kind::Unreachable, text);
    match reason {
        Reason::Name => error.hint("check the host in gitlab.url, and that this machine resolves names: getent hosts HOST"),
        Reason::Connect(_) => error.hint("check host and port in gitlab.url, and that nothing between here and there blocks it"),
        Reason::Certificate(_) => error
            .hint(format!("for a private certificate authority: {CERTIFICATES}=/etc/ssl/certs/ca-certificates.crt, or its own PEM file"))
            .hint("git needs it too: GIT_SSL_CAINFO, or git config --global http.sslCAInfo"),
        Reason::Tls(_) => error.hint("check the port in gitlab.url: what listens there does not speak TLS, or an old one"),
        Reason::Size(_) | Reason::Http(_) => error.hint("check gitlab.url: what listens there may be no GitLab, or a proxy in between"),
        Reason::Time(_) | Reason::Dropped(_) => {
            error.hint("check host and port in gitlab.url, and the network, then run this again")
        }
    }
}

fn refused(text: String, status: u16, scope: Option<&str>, token_page: &str) -> Error {
    match status {
        401 => Error::new(Kind::NotPermitted, text)
            .hint(format!("the token is wrong, expired or revoked; make a new one: {token_page}"))
            .hint("give it in FACTORYUP_GITLAB_TOKEN or with --gitlab-token-file FILE"),
        403 => {
            let error = Error::new(Kind::NotPermitted, text);
            match scope {
                Some(scope) => error.hint(format!("the token needs the scope {scope}; make a new one: {token_page}")),
                None => error.hint("the account needs the role Maintainer or Owner there; ask an Owner of the group"),
            }
        }
        404 => Error::new(Kind::NotPermitted, text)
            .hint("it is not there, or hidden from this account: GitLab does not say which")
            .hint("check gitlab.group and gitlab.project in factory.toml, and the account's role"),
        409 => Error::new(Kind::CutShort, text).hint("something else made it in the meantime; run this again"),
        400 | 422 => Error::data(text).hint("change the value GitLab names in factory.toml, then run this again"),
        _ => Error::data(text),
    }
}
