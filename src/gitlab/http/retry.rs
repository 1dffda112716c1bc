//! Decides whether and when a failed call is retried.
//!
//! Three cases differ. GitLab *answered* that it will not now (429, 503) or cannot (500, 502, 504); the request was *never sent*; or
//! it was sent and *no answer came*, so that nobody knows whether it was carried out. What is not idempotent is repeated in
//! the first case only after 429 and 503, which say that nothing was done, and never in the third.

use std::time::Duration;

use super::{Failure, Method, Response};

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub(in crate::gitlab) struct Policy {
    /// How often a call is made at most, the first time included.
    pub(in crate::gitlab) attempts: u32,
    /// How often a connection is tried at most: what does not answer twice is not there, and each try can take its full time.
    pub(in crate::gitlab) connects: u32,
    /// The wait after the first failure; it doubles with each.
    pub(in crate::gitlab) first: Duration,
    /// The longest wait, also for one that GitLab asks for. When it asks for more, the call is given up.
    pub(in crate::gitlab) longest: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self { attempts: 5, connects: 2, first: Duration::from_millis(250), longest: Duration::from_secs(90) }
    }
}

impl Policy {
    /// How long to wait before making the call again, after `made` attempts; `None` to give up. `random` is in 0..1.
    pub(in crate::gitlab) fn after(
        &self,
        method: Method,
        result: &Result<Response, Failure>,
        made: u32,
        random: f64,
    ) -> Option<Duration> {
        let (may, asked) = match result {
            Ok(response) => match response.status {
                429 | 503 => (true, response.retry_after),
                500 | 502 | 504 => (method.is_idempotent(), response.retry_after),
                _ => (false, None),
            },
            Err(failure) => (failure.may_pass && (!failure.sent || method.is_idempotent()), None),
        };
        let nobody = result.as_ref().is_err_and(|failure| !failure.sent);
        if !may || made >= if nobody { self.connects } else { self.attempts } {
            return None;
        }
        if let Some(wait) = asked {
            // A little more than asked for, so that many clients do not come back in the same instant.
            return Some(wait + self.first.mul_f64(random)).filter(|_| wait <= self.longest);
        }
        let doubled = self.first.saturating_mul(2_u32.saturating_pow(made.saturating_sub(1)));
        Some(doubled.min(self.longest).mul_f64(0.5 + random / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitlab::error::Reason;

    #[expect(clippy::unnecessary_wraps, reason = "the same type as `failed`")]
    fn answered(status: u16, retry_after: Option<u64>) -> Result<Response, Failure> {
        Ok(Response { status, retry_after: retry_after.map(Duration::from_secs), ..Response::default() })
    }

    fn failed(sent: bool, may_pass: bool) -> Result<Response, Failure> {
        Err(Failure { sent, may_pass, reason: Reason::Dropped("reset".into()) })
    }

    #[test]
    fn only_what_was_surely_not_done_is_repeated_when_it_is_not_idempotent() {
        let policy = Policy::default();
        let waits = |method, result: &Result<Response, Failure>| policy.after(method, result, 1, 0.5).is_some();
        for (result, get, post) in [
            (answered(200, None), false, false),
            (answered(404, None), false, false),
            (answered(401, None), false, false),
            (answered(429, None), true, true),
            (answered(503, Some(1)), true, true),
            (answered(500, None), true, false),
            (answered(502, None), true, false),
            (answered(504, None), true, false),
            (failed(false, true), true, true),
            (failed(true, true), true, false),
            (failed(false, false), false, false),
        ] {
            assert_eq!(waits(Method::Get, &result), get, "{result:?}");
            assert_eq!(waits(Method::Put, &result), get, "{result:?}");
            assert_eq!(waits(Method::Delete, &result), get, "{result:?}");
            assert_eq!(waits(Method::Post, &result), post, "{result:?}");
            assert_eq!(waits(Method::Patch, &result), post, "{result:?}");
        }
    }

    #[test]
    fn the_wait_doubles_is_jittered_and_ends() {
        let policy = Policy::default();
        let wait = |made, random| policy.after(Method::Get, &answered(500, None), made, random);
        assert_eq!(wait(1, 0.0), Some(Duration::from_millis(125)));
        assert_eq!(wait(1, 1.0), Some(Duration::from_millis(250)));
        assert_eq!(wait(4, 1.0), Some(Duration::from_secs(2)));
        assert_eq!(wait(5, 1.0), None);
        assert!(policy.after(Method::Get, &failed(false, true), 1, 0.0).is_some());
        assert_eq!(policy.after(Method::Get, &failed(false, true), 2, 0.0), None);
        assert!(policy.after(Method::Get, &failed(true, true), 2, 0.0).is_some());
    }

    #[test]
    fn gitlab_says_how_long_unless_it_is_too_long() {
        let policy = Policy::default();
        assert_eq!(policy.after(Method::Post, &answered(429, Some(7)), 1, 0.0), Some(Duration::from_secs(7)));
        assert_eq!(policy.after(Method::Post, &answered(429, Some(91)), 1, 0.0), None);
    }
}
