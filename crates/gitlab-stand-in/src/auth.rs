//! Tokens: how they are minted, kept, found again, rotated and revoked; and what each scope opens.
//!
//! A token's text leaves the stand-in once, in the reply that creates it. What stays is its SHA-256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::reply::{Body, Refusal, Reply, bad_request, message};

/// The scopes a personal access token can have here.
/// Source: <https://docs.gitlab.com/user/profile/personal_access_tokens/#personal-access-token-scopes>.
pub(crate) const SCOPES: &[&str] = &[
    "api",
    "read_api",
    "read_user",
    "read_repository",
    "write_repository",
    "create_runner",
    "manage_runner",
    "self_rotate",
    "sudo",
    "admin_mode",
    "read_registry",
    "write_registry",
];

/// What a route asks of the caller's token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// No token.
    Nothing,
    /// Any valid token, whatever its scopes.
    AnyToken,
    /// `api` or `read_api`.
    Read,
    /// As [`Need::Read`], or `read_user`.
    ReadUser,
    /// As [`Need::Read`], or `read_repository`.
    ReadRepository,
    /// `api`.
    Write,
    /// `api` or `create_runner`.
    CreateRunner,
    /// `api` or `self_rotate`.
    SelfRotate,
    /// As [`Need::Read`], or a job's token; also sent as a password. Source: `lib/api/terraform/state.rb`.
    ReadState,
    /// As [`Need::Write`], likewise.
    WriteState,
}

impl Need {
    /// The scopes of which one is enough; empty when scopes do not matter.
    pub(crate) fn scopes(self) -> &'static [&'static str] {
        match self {
            Self::Nothing | Self::AnyToken => &[],
            Self::Read => &["api", "read_api"],
            Self::ReadUser => &["api", "read_api", "read_user"],
            Self::ReadRepository => &["api", "read_api", "read_repository"],
            Self::Write => &["api"],
            Self::CreateRunner => &["api", "create_runner"],
            Self::SelfRotate => &["api", "self_rotate"],
            Self::ReadState => &["api", "read_api", JOB],
            Self::WriteState => &["api", JOB],
        }
    }
}

/// A personal access token, without its text.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) user: u64,
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<Date>,
    pub(crate) revoked: bool,
    /// The first token of the rotations this one came from.
    family: u64,
    prefix: &'static str,
    digest: [u8; 32],
    pub(crate) created_at: String,
    pub(crate) last_used_at: Option<String>,
}

impl Token {
    /// Whether the token still opens anything.
    pub(crate) fn active(&self) -> bool {
        !self.revoked && !self.expired()
    }

    fn expired(&self) -> bool {
        self.expires_at.is_some_and(|date| date <= today())
    }

    /// Whether the token has one of these scopes.
    pub(crate) fn allows(&self, scopes: &[&str]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(&scope.as_str()))
    }

    /// The token as the API shows it, without its text.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "revoked": self.revoked,
            "created_at": self.created_at,
            "description": self.description,
            "scopes": self.scopes,
            "user_id": self.user,
            "last_used_at": self.last_used_at,
            "active": self.active(),
            "expires_at": self.expires_at.map(|date| date.to_string()),
        })
    }

    /// The same, with the text: for the one reply that shows it.
    pub(crate) fn to_json_once(&self, text: &str) -> Value {
        let mut value = self.to_json();
        value["token"] = text.into();
        value
    }
}

/// What a new token shall be.
pub(crate) struct NewToken<'a> {
    pub(crate) user: u64,
    pub(crate) name: &'a str,
    pub(crate) description: Option<&'a str>,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<Date>,
}

/// How the text of a personal access token begins.
const PERSONAL: &str = "glpat-";
/// How the text of a job's token begins.
const OF_JOB: &str = "glcbt-";
/// What stands for a scope of a job's token.
pub(crate) const JOB: &str = "job";

/// Every personal access token, and every token of a job, there has ever been.
#[derive(Default)]
pub(crate) struct Tokens(Vec<Token>);

impl Tokens {
    /// Mints a token; its text is not kept.
    pub(crate) fn issue(&mut self, new: NewToken<'_>) -> Result<(Token, String), Refusal> {
        let id = self.0.last().map_or(1, |token| token.id + 1);
        self.add(new, PERSONAL, id, id)
    }

    /// Mints the token of a job, with which its runner fetches the repository.
    pub(crate) fn issue_for_job(&mut self, new: NewToken<'_>) -> Result<(Token, String), Refusal> {
        let id = self.0.last().map_or(1, |token| token.id + 1);
        self.add(new, OF_JOB, id, id)
    }

    fn add(
        &mut self,
        new: NewToken<'_>,
        prefix: &'static str,
        id: u64,
        family: u64,
    ) -> Result<(Token, String), Refusal> {
        let text = mint(prefix)?;
        let token = Token {
            id,
            user: new.user,
            name: new.name.to_owned(),
            description: new.description.map(str::to_owned),
            scopes: new.scopes,
            expires_at: new.expires_at,
            revoked: false,
            family,
            prefix,
            digest: digest(&text),
            created_at: now(),
            last_used_at: None,
        };
        self.0.push(token.clone());
        Ok((token, text))
    }

    /// Who shows this token, or the 401 GitLab answers.
    pub(crate) fn authenticate(&mut self, text: &str) -> Result<Token, Refusal> {
        let digest = digest(text);
        let token =
            self.0.iter_mut().find(|token| token.digest == digest).ok_or_else(|| message(401, "401 Unauthorized"))?;
        if token.revoked {
            return Err(invalid_token("Token was revoked. You have to re-authorize from the user."));
        }
        if token.expired() {
            return Err(invalid_token("Token is expired. You can either do re-authorization or token refresh."));
        }
        token.last_used_at = Some(now());
        Ok(token.clone())
    }

    /// Revokes every token of the family a revoked token belongs to, because somebody is reusing it.
    /// Source: <https://docs.gitlab.com/api/personal_access_tokens/#automatic-reuse-detection>.
    pub(crate) fn revoke_family_of_reused(&mut self, text: &str) {
        let digest = digest(text);
        let Some(family) = self.0.iter().find(|t| t.digest == digest && t.revoked).map(|t| t.family) else { return };
        self.0.iter_mut().filter(|token| token.family == family).for_each(|token| token.revoked = true);
    }

    /// One token by its id.
    pub(crate) fn get(&self, id: u64) -> Option<&Token> {
        self.0.iter().find(|token| token.id == id)
    }

    /// The tokens of one user, oldest first.
    pub(crate) fn of(&self, user: u64) -> impl Iterator<Item = &Token> {
        self.0.iter().filter(move |token| token.user == user && token.prefix == PERSONAL)
    }

    /// Revokes one token.
    pub(crate) fn revoke(&mut self, id: u64) {
        self.0.iter_mut().filter(|token| token.id == id).for_each(|token| token.revoked = true);
    }

    /// Makes every token so many days older, without a change of its end.
    pub(crate) fn age(&mut self, days: i64) {
        for token in &mut self.0 {
            if let Ok(made) = token.created_at.parse::<Timestamp>() {
                token.created_at = written(made - (days * 24).hours());
            }
        }
    }

    /// Replaces an active token by one with the same name and scopes; the old one is revoked.
    pub(crate) fn rotate(&mut self, id: u64, expires_at: Option<Date>) -> Result<(Token, String), Refusal> {
        let old =
            self.get(id).filter(|token| token.active()).ok_or_else(|| bad_request("Token already revoked"))?.clone();
        self.revoke(id);
        let new_id = self.0.last().map_or(1, |token| token.id + 1);
        let new = NewToken {
            user: old.user,
            name: &old.name,
            description: old.description.as_deref(),
            scopes: old.scopes.clone(),
            expires_at,
        };
        self.add(new, old.prefix, new_id, old.family)
    }
}

fn invalid_token(description: &str) -> Refusal {
    let body = json!({ "error": "invalid_token", "error_description": description });
    Refusal::new(Reply::new(401, Body::Json(body)))
}

/// A token text of GitLab's form: a prefix that names its kind, and 20 random bytes.
pub(crate) fn mint(prefix: &str) -> Result<String, Refusal> {
    let mut bytes = [0_u8; 20];
    getrandom::fill(&mut bytes)
        .map_err(|error| message(500, format!("the system's random source does not answer: {error}")))?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// The SHA-256 of a token's text.
pub(crate) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// Today's date in UTC.
pub(crate) fn today() -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now()).date()
}

/// Now, in the form GitLab writes times: `2026-11-23T20:03:00.000Z`.
pub(crate) fn now() -> String {
    written(Timestamp::now())
}

fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
