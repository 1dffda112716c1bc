//! Reads GitLab's answers: values within a budget, and the reason of a refusal.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::{GitlabError, GitlabResult};
use super::http::{Call, Response};
use crate::budget::{Exceeded, Meter};
use crate::dialog::plain;

/// The longest refusal whose words are read, in bytes: JSON takes up to a hundred times as much memory.
const WORDY: usize = 256 * 1024;
/// How much of GitLab's own words is kept, in characters.
const SAID: usize = 400;
/// The elements of a page that GitLab is asked for.
const PER_PAGE: usize = 100;

/// A refusal; nothing if it is larger than what refuses something.
fn refusal(response: &Response) -> Value {
    let words = if response.body.len() > WORDY { &[] } else { response.body.as_slice() };
    serde_json::from_slice(words).unwrap_or_default()
}

/// GitLab's own words in a refusal.
pub(super) fn said(response: &Response) -> String {
    let value = refusal(response);
    // The GraphQL API has a list of errors.
    let words: Vec<_> = ["/message", "/error", "/error_description", "/errors/0/message"]
        .iter()
        .filter_map(|key| value.pointer(key).map(flat))
        .filter(|text| !text.is_empty())
        .collect();
    let text = clean(&words.join(": "));
    // GitLab repeats the status: `403 Forbidden`.
    let status = format!("{} ", response.status);
    text.strip_prefix(&status).map(str::to_owned).unwrap_or(text)
}

/// Text from elsewhere as it may be shown: without secrets, without what acts on a terminal, short.
pub(super) fn clean(text: &str) -> String {
    let plain = plain(text).replace(['\n', '\t'], " ");
    let mut kept: String = plain.chars().take(SAID).collect();
    if kept.len() < plain.len() {
        kept.push('…');
    }
    kept
}

/// Reads an answer as one value.
pub(super) fn read<T: DeserializeOwned>(call: &Call, body: &[u8]) -> GitlabResult<T> {
    serde_json::from_slice(body).map_err(|e| unreadable(call, &e))
}

/// The text of serde's error may quote the answer, and the answer may hold a new token; the place is enough.
fn unreadable(call: &Call, error: &serde_json::Error) -> GitlabError {
    GitlabError::Unreadable {
        call: call.to_string(),
        why: format!("{:?} error at line {}, column {}", error.classify(), error.line(), error.column()),
    }
}

/// The elements of one page. A page counts as a full one, since there could be as many of them as there are numbers.
pub(super) fn elements<T: DeserializeOwned>(
    call: &Call,
    response: &Response,
    meter: &mut Meter,
) -> Result<GitlabResult<Vec<T>>, Exceeded> {
    let most = usize::try_from(meter.items_left()).unwrap_or(usize::MAX);
    let mut reader = serde_json::Deserializer::from_slice(&response.body);
    let elements = AtMost(most, PhantomData).deserialize(&mut reader).and_then(|found| reader.end().map(|()| found));
    match elements {
        Ok((elements, seen)) => meter.count(seen.max(PER_PAGE)).map(|()| Ok(elements)),
        Err(error) => Ok(Err(unreadable(call, &error))),
    }
}

/// Reads a list and keeps so many elements; counts all.
struct AtMost<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for AtMost<T> {
    type Value = (Vec<T>, usize);

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtMost<T> {
    type Value = (Vec<T>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < self.0
            && let Some(element) = list.next_element()?
        {
            kept.push(element);
        }
        let mut seen = kept.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            seen += 1;
        }
        Ok((kept, seen))
    }
}

/// `insufficient_scope`'s list of scopes, of which one is enough.
pub(super) fn missing_scope(response: &Response) -> Option<String> {
    let value = refusal(response);
    if value.get("error")?.as_str()? != "insufficient_scope" {
        return None;
    }
    let scopes = value.get("scope").and_then(Value::as_str).unwrap_or("api");
    let known = scopes.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | ' '));
    Some(if known { scopes.split(' ').collect::<Vec<_>>().join(" or ") } else { "api".to_owned() })
}

/// `{"message": {"path": ["is taken"]}}` as `path is taken`.
fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(flat).collect::<Vec<_>>().join(", "),
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{key} {}", flat(value))).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_flattened_to_one_line() {
        let body = json!({ "message": { "path": ["has already been taken", "is reserved"] } });
        let response = Response { body: body.to_string().into_bytes().into(), ..Response::default() };
        assert_eq!(said(&response), "path has already been taken, is reserved");
        let body = json!({ "message": "403 Forbidden - no" }).to_string().into_bytes().into();
        assert_eq!(said(&Response { status: 403, body, ..Response::default() }), "Forbidden - no");
    }

    #[test]
    fn the_missing_scope_is_read_and_not_repeated_unseen() {
        let of = |body: Value| {
            missing_scope(&Response { body: body.to_string().into_bytes().into(), ..Response::default() })
        };
        assert_eq!(
            of(json!({ "error": "insufficient_scope", "scope": "api read_api" })).as_deref(),
            Some("api or read_api")
        );
        assert_eq!(of(json!({ "error": "insufficient_scope", "scope": "\u{1b}x" })).as_deref(), Some("api"));
        assert_eq!(of(json!({ "error": "invalid_token" })), None);
    }
}
