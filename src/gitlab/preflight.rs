//! Before anything else: is it GitLab, new enough, and may this token do what the hand-off needs?
//!
//! What GitLab's API shows to administrators only is not known here: whether Maintainers may create runners, and whether the account is verified
//! at GitLab.com. What fails later because of it says so: `resources/runner.rs`, `workspace/pipeline.rs`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Deserialize;

use super::client::Client;
use super::desired::{AGENT_SCOPES, Desired};
use super::error::{GitlabError, GitlabResult};
use super::http::Call;
use super::roles::{MAINTAINER, role};
use crate::dialog::plain;
use crate::error::{Error, Kind};
use crate::secret::Secret;

/// The first version with service accounts of projects. Source: <https://docs.gitlab.com/user/profile/service_accounts/>.
const SERVICE_ACCOUNTS: GitlabVersion = GitlabVersion { major: 18, minor: 11 };
/// The oldest version that the hand-off is for: an older one refuses the control repo's pipeline, where only Maintainers download a plan.
/// Source: <https://docs.gitlab.com/ci/yaml/#artifactsaccess>.
const OLDEST: GitlabVersion = GitlabVersion { major: 18, minor: 4 };
/// What the owner's token must be allowed.
const SCOPE: &str = "api";
/// A token that ends within so many days is worth a word.
const SOON: i64 = 2;

/// GitLab's version, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GitlabVersion {
    major: u32,
    minor: u32,
}

impl GitlabVersion {
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(['.', '-']);
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }
}

/// What is known once the token was let in.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// GitLab's version in its own words, such as `18.11.2-ee`.
    pub(super) version: String,
    /// The owner's user id.
    pub(super) owner: u64,
    /// Whether it is the Enterprise Edition, licensed or not.
    pub(super) enterprise: bool,
    /// Whether the version has service accounts of projects, in the Enterprise Edition.
    pub(super) project_accounts: bool,
    /// What the owner should know.
    pub(super) notes: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    version: String,
    #[serde(default)]
    enterprise: bool,
}

/// A personal access token as GitLab describes it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TokenFacts {
    pub(super) id: u64,
    pub(super) user_id: u64,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    #[serde(default)]
    pub(super) active: bool,
    pub(super) expires_at: Option<Date>,
    #[serde(default)]
    created_at: Option<Timestamp>,
}

impl TokenFacts {
    /// The day on which it was made, in UTC.
    pub(super) fn made(&self) -> Option<Date> {
        self.created_at.map(|at| TimeZone::UTC.to_datetime(at).date())
    }
}

/// Whether they are just the scopes that the agent needs.
pub(super) fn has_right_scopes(token: &TokenFacts) -> bool {
    has_scopes(token, &AGENT_SCOPES)
}

/// Whether a token has these scopes and no other, in whatever order.
pub(super) fn has_scopes(token: &TokenFacts, scopes: &[&str]) -> bool {
    token.scopes.len() == scopes.len() && scopes.iter().all(|scope| token.scopes.iter().any(|its| its == scope))
}

/// What GitLab says of a token of the agent's; nothing when it does not take it.
pub(super) fn facts(owner: &Client, token: &Secret) -> GitlabResult<Option<TokenFacts>> {
    facts_of(&owner.with_token(token.clone(), "the agent"))
}

/// The same for a token that a client has.
pub(super) fn facts_of(client: &Client) -> GitlabResult<Option<TokenFacts>> {
    match client.fetch::<TokenFacts>(&Call::get("/personal_access_tokens/self", &[])) {
        Ok(facts) => Ok(facts.active.then_some(facts)),
        Err(error) if matches!(error.status(), Some(401 | 403)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks GitLab about itself and the token. Two requests.
pub(super) fn check(owner: &Client, desired: &Desired) -> GitlabResult<Facts> {
    let metadata: Metadata = owner.fetch(&Call::get("/metadata", &[])).map_err(|error| not_gitlab(owner, error))?;
    let version = GitlabVersion::parse(&metadata.version).ok_or_else(|| GitlabError::NotGitlab {
        url: owner.base().as_str().to_owned(),
        why: format!("its version is {}", plain(&metadata.version)),
    })?;
    if version < OLDEST {
        return Err(too_old(desired, &metadata.version));
    }
    let token: TokenFacts = owner.fetch(&Call::get("/personal_access_tokens/self", &[]))?;
    if !token.scopes.iter().any(|scope| scope == SCOPE) {
        return Err(missing_scope(owner, &token).into());
    }
    let notes = token
        .expires_at
        .filter(|end| *end <= days_from_now(SOON))
        .map(|end| format!("your GitLab token expires on {end}; if it expires during a run, resume with a new one"));
    Ok(Facts {
        version: plain(&metadata.version),
        owner: token.user_id,
        enterprise: metadata.enterprise,
        project_accounts: version >= SERVICE_ACCOUNTS,
        notes: notes.into_iter().collect(),
    })
}

fn too_old(desired: &Desired, version: &str) -> GitlabError {
    let text = format!(
        "{} runs GitLab {}; the GitLab setup needs {}.{} or later",
        desired.base.as_str(),
        plain(version),
        OLDEST.major,
        OLDEST.minor
    );
    Error::new(Kind::Data, text).hint("upgrade GitLab: https://docs.gitlab.com/update/").into()
}

/// What answers to the very first call without JSON, or with a 404, is something else.
fn not_gitlab(owner: &Client, error: GitlabError) -> GitlabError {
    match error.status() {
        Some(404 | 405) => GitlabError::NotGitlab {
            url: owner.base().as_str().to_owned(),
            why: "it does not know GET /api/v4/metadata".into(),
        },
        _ => error,
    }
}

fn missing_scope(owner: &Client, token: &TokenFacts) -> Error {
    let has = if token.scopes.is_empty() { "none".to_owned() } else { plain(&token.scopes.join(", ")) };
    Error::new(
        Kind::NotPermitted,
        format!("the GitLab token \"{}\" lacks the scope {SCOPE}; it has {has}", plain(&token.name)),
    )
    .hint(format!("create one with the scope {SCOPE} and a short lifetime: {}", owner.base().token_page()))
    .hint("then revoke it after the GitLab setup")
}

/// Refuses an account whose role on `place` is too low.
pub(super) fn require_maintainer(level: u8, place: &str) -> GitlabResult<()> {
    if level >= MAINTAINER {
        return Ok(());
    }
    let error = Error::new(
        Kind::NotPermitted,
        format!("your GitLab account is {} on {place}; the GitLab setup needs Maintainer or Owner", role(level)),
    )
    .hint(format!("ask an Owner of {place} for the role Owner, or use a token of an Owner"));
    Err(error.into())
}

/// Today in UTC, the time zone of GitLab's dates.
pub(super) fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}

/// A date from today.
pub(super) fn days_from_now(days: i64) -> Date {
    today().saturating_add(days.days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (text, enough) in [
            ("18.11.0", true),
            ("18.11.2-ee", true),
            ("19.5.0-pre", true),
            ("18.10.9", false),
            ("18.9.0", false),
            ("17.12.1", false),
        ] {
            assert_eq!(GitlabVersion::parse(text).is_some_and(|v| v >= SERVICE_ACCOUNTS), enough, "{text}");
        }
        assert_eq!(GitlabVersion::parse("yes"), None);
    }
}
