//! How long a token lives: as long as asked, or as long as GitLab allows, and from when on it is worth renewing.
//!
//! An instance or group with an Ultimate license can limit the lifetime, and says so only when it refuses a token: who may read the setting
//! is an administrator. Sources: <https://docs.gitlab.com/administration/settings/account_and_limit_settings/#limit-the-lifetime-of-access-tokens>,
//! `ee/app/models/ee/personal_access_token.rb`.

use jiff::Unit;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::Value;

use super::client::Client;
use super::error::{GitlabError, GitlabResult};
use super::http::Call;
use super::preflight::{TokenFacts, days_from_now, today};

/// The answer that shows a token.
#[derive(Deserialize)]
pub(super) struct CreatedToken {
    pub(super) id: u64,
    pub(super) token: String,
    /// The day on which it ends, at 0:00 UTC.
    expires_at: Option<Date>,
}

impl CreatedToken {
    /// The day on which it ends, if GitLab says none other than the one that was asked for.
    pub(super) fn ends(&self, asked: Date) -> Date {
        self.expires_at.unwrap_or(asked)
    }
}

/// Makes a call that creates a token, or rotates one, with this end. Where GitLab allows no life that long, with the latest end that it
/// allows.
pub(super) fn issue(owner: &Client, call: &Call, body: &Value, ends: Date) -> GitlabResult<CreatedToken> {
    let (mut body, mut ends) = (body.clone(), ends);
    loop {
        body["expires_at"] = ends.to_string().into();
        match owner.write(call, &body) {
            Err(error) => ends = earlier(&error, ends).ok_or(error)?,
            made => return made,
        }
    }
}

/// The end to ask for after GitLab refused this one: the day before the one in `Expiration date must be before 2026-12-29`. Before GitLab
/// named a day it said `Expiration date is invalid`; then half of the time.
fn earlier(error: &GitlabError, ends: Date) -> Option<Date> {
    let GitlabError::Refused { status: 400, said, .. } = error else { return None };
    let said = said.to_ascii_lowercase();
    if !(said.contains("expiration date") || said.contains("expires_at")) {
        return None;
    }
    let named = said.split_once("must be before ").and_then(|(_, rest)| rest.get(..10)?.parse::<Date>().ok());
    let next = match named {
        // GitLab of today allows the named day too; its words do not.
        Some(day) => day.yesterday().ok()?.max(days_from_now(1)),
        None => days_from_now(days_between(today(), ends) / 2),
    };
    (today() < next && next < ends).then_some(next)
}

/// Whether what lives for `life` days is worth renewing: within `last` days of its end, or within half its life when that is shorter.
pub(super) fn is_over(life: i64, ends: Option<Date>, last: i64) -> bool {
    ends.is_none_or(|end| end <= days_from_now((life / 2).min(last)))
}

/// The days that a token lives in all, if GitLab says since when it does.
pub(super) fn life(token: &TokenFacts) -> Option<i64> {
    Some(days_between(token.made()?, token.expires_at?))
}

/// The days from one day to another.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    from.until((Unit::Day, to)).map_or(0, |span| span.get_days().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, said: &str) -> GitlabError {
        GitlabError::Refused {
            call: String::new(),
            who: "the owner",
            status,
            said: said.into(),
            scope: None,
            token_page: String::new(),
        }
    }

    #[test]
    fn a_refusal_of_the_end_leads_to_an_earlier_one() {
        let day = |days: i64| days_from_now(days);
        let before = |days: i64| format!("Bad request - Expiration date must be before {}", day(days));
        for (status, said, asked, next) in [
            (400, before(30), 90, Some(29)),
            (400, format!("expires_at must be before {}", day(8)), 90, Some(7)),
            // The shortest life is a day.
            (400, before(1), 90, Some(1)),
            (400, before(1), 1, None),
            (400, before(200), 90, None),
            (400, "Bad request - Expiration date is invalid".into(), 90, Some(45)),
            (400, "Expiration date is invalid".into(), 1, None),
            (400, "Expiration date must be before yesterday".into(), 9, Some(4)),
            (400, "Name is too long".into(), 90, None),
            (403, before(30), 90, None),
        ] {
            assert_eq!(earlier(&refused(status, &said), day(asked)), next.map(day), "{said} {asked}");
        }
    }

    #[test]
    fn what_lives_shortly_is_renewed_in_the_second_half_of_its_life() {
        for (life, left, over) in [
            (90, 31, false),
            (90, 30, true),
            (30, 16, false),
            (30, 15, true),
            (2, 2, false),
            (2, 1, true),
            (1, 1, false),
        ] {
            assert_eq!(is_over(life, Some(days_from_now(left)), 30), over, "{life} {left}");
        }
        assert!(is_over(90, None, 30));
    }
}
