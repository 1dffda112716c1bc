//! The record of what was asked, for tests and for the evidence of a rehearsal; and the faults that can be played.

use std::time::Duration;

use serde_json::{Map, Value};

/// One request as it came in, and how it was answered. Headers are not kept, so no token is; secrets in bodies are replaced.
#[derive(Clone, Debug)]
pub struct LoggedRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path as it was sent, percent-encoded, without the query.
    pub path: String,
    /// The query's names and values, decoded.
    pub query: Vec<(String, String)>,
    /// The body, when it was JSON or a form. Values of secret keys read `[redacted]`.
    pub body: Option<Value>,
    /// The status that was answered.
    pub status: u16,
    /// Who asked, when the token was good.
    pub user: Option<String>,
    /// The asker's role on the group or project in question, 0 to 60.
    pub role: Option<u8>,
    /// The route in GitLab's notation, as `/projects/:id`; `None` when the stand-in has none for it, and answered 404.
    pub route: Option<&'static str>,
    /// Parameters that the route does not know. GitLab ignores them silently; here they can be seen.
    pub unknown_keys: Vec<String>,
    /// Whether the answer was a fault asked for with [`crate::StandIn::fail_next`].
    pub fault: bool,
}

impl LoggedRequest {
    /// Whether the request could have changed something: neither `GET` nor `HEAD`, and answered with success.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD") && (200..300).contains(&self.status)
    }
}

/// A fault to answer requests with, to see how a client copes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429 with `Retry-After` in whole seconds.
    TooManyRequests {
        /// What `Retry-After` says.
        retry_after: Duration,
    },
    /// 500 with GitLab's JSON body.
    ServerError,
    /// The connection is closed without an answer.
    Drop,
    /// The request is carried out, and then the connection is closed without an answer.
    DropAfter,
}

/// A copy of a body in which the values that can be secrets are replaced.
pub(crate) fn redacted(value: &Value) -> Value {
    const SECRET: &[&str] = &["value", "token", "private_token", "password", "access_token", "import_url"];
    match value {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| match value {
                    Value::String(_) if SECRET.contains(&key.as_str()) => (key.clone(), "[redacted]".into()),
                    _ => (key.clone(), redacted(value)),
                })
                .collect::<Map<_, _>>(),
        ),
        Value::Array(values) => values.iter().map(redacted).collect(),
        other => other.clone(),
    }
}
