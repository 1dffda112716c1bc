//! GitLab's REST API, version 4, for one token: answers as Rust values, refusals as errors with a remedy.
//!
//! The token travels in a header, and nowhere else: not in a URL, not in an error, not in `Debug`. What GitLab says is redacted
//! and stripped of what acts on a terminal before anyone sees it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::answer::{clean, elements, missing_scope, read, said};
use super::error::{GitlabError, GitlabResult, Reason};
use super::http::{BaseUrl, Call, Failure, Method, Policy, Response, Transport};
use crate::budget::{Budget, Exceeded, Meter};
use crate::error::{Error, Kind};
use crate::secret::Secret;
use crate::trace;

/// One token at one instance.
#[derive(Clone)]
pub(super) struct Client {
    transport: Transport,
    token: Secret,
    who: &'static str,
    /// Whether only another party says that the token is one; see [`Secret::claimed`].
    is_claimed: bool,
    policy: Policy,
    /// What was read since [`remember`](Client::remember), by path and page.
    known: Option<Arc<Mutex<BTreeMap<String, Response>>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client {{ {} at {} }}", self.who, self.base().as_str())
    }
}

/// An answer that is no malfunction: done, or refused.
#[derive(Debug)]
pub(super) struct Answer {
    /// HTTP status, 200 to 499.
    pub(super) status: u16,
    /// What was made, when it was done and the answer says so.
    pub(super) made: Created,
    /// GitLab's words about a refusal, harmless to show; empty for a success.
    pub(super) said: String,
    /// The scope that GitLab says the token lacks.
    pub(super) scope: Option<String>,
}

/// What is needed of an object that was made, to take it back.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Created {
    /// Its id.
    #[serde(default)]
    pub(super) id: Option<u64>,
    /// Its token, when it has one.
    #[serde(default, deserialize_with = "secret")]
    pub(super) token: Option<Secret>,
}

/// What is wrong with a query of the GraphQL API.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    errors: Vec<Wrong>,
}

/// The answer to one with which nothing is wrong.
#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Wrong {
    message: String,
}

#[derive(Deserialize)]
struct File {
    content: String,
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(from).map(|text| text.map(Secret::new))
}

impl Answer {
    /// Whether it was done.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Client {
    /// A client for `base` with `token`; `who` says whose it is, such as `the owner`.
    pub(super) fn new(base: BaseUrl, token: Secret, who: &'static str) -> GitlabResult<Self> {
        Ok(Self {
            transport: Transport::new(base)?,
            token,
            who,
            is_claimed: false,
            policy: Policy::default(),
            known: None,
        })
    }

    /// Somebody else, over the same connections.
    pub(super) fn with_token(&self, token: Secret, who: &'static str) -> Self {
        Self { token, who, known: None, ..self.clone() }
    }

    /// The same with a [claimed](Secret::claimed) token. What GitLab answers is not traced: it could repeat the token.
    pub(super) fn with_claimed(&self, token: Secret) -> Self {
        Self { is_claimed: true, ..self.with_token(token, "the agent") }
    }

    /// Asks for nothing twice from now on, until [`forget`](Self::forget): for reading the current state, while nothing is written.
    pub(super) fn remember(&mut self) {
        self.known = Some(Arc::default());
    }

    /// Asks each time again.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// The instance.
    pub(super) fn base(&self) -> &BaseUrl {
        self.transport.base()
    }

    /// The token, for git.
    pub(super) fn token(&self) -> &Secret {
        &self.token
    }

    /// Reads one object, or makes a call that takes no body and answers with one.
    pub(super) fn fetch<T: DeserializeOwned>(&self, call: &Call) -> GitlabResult<T> {
        let response = self.done(call, None, None)?;
        self.object(call, &response)
    }

    /// Asks the GraphQL API, which answers 200 to what it refuses too.
    pub(super) fn ask<T: DeserializeOwned>(&self, call: &Call) -> GitlabResult<T> {
        let response = self.done(call, None, None)?;
        let answer: Asked = self.object(call, &response)?;
        if let Some(error) = answer.errors.first() {
            let text = format!("{call}, as {}: GitLab answered with an error: {}", self.who, clean(&error.message));
            let error = if error.message.contains("permission") {
                let hint = "check the role of your account: the GitLab setup needs Maintainer or Owner";
                Error::new(Kind::NotPermitted, text).hint(hint)
            } else {
                Error::new(Kind::Unreachable, text).hint("run the command again")
            };
            return Err(error.into());
        }
        Ok(self.object::<Data<T>>(call, &response)?.data)
    }

    /// Reads one object, which may not be there, or not for this account.
    pub(super) fn find<T: DeserializeOwned>(&self, call: &Call) -> GitlabResult<Option<T>> {
        match self.fetch(call) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a text that is no JSON, such as a log.
    pub(super) fn text(&self, call: &Call) -> GitlabResult<String> {
        let response = self.done(call, None, None)?;
        Ok(String::from_utf8_lossy(&response.body).into_owned())
    }

    /// Reads a file of a project, if it is there.
    pub(super) fn file(&self, project: u64, reference: &str, path: &str) -> GitlabResult<Option<String>> {
        let call = Call::get("/projects/:id/repository/files/:file_path", &[&project, &path]).query("ref", reference);
        let Some(file) = self.find::<File>(&call)? else { return Ok(None) };
        let bytes = STANDARD.decode(file.content.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(Some(bytes.ok_or_else(|| Error::data(format!("{path} in GitLab is no text in UTF-8")))?))
    }

    /// Reads a whole list, page by page, within one budget.
    pub(super) fn list<T: DeserializeOwned>(&self, call: &Call) -> GitlabResult<Vec<T>> {
        let mut meter = Budget::GITLAB.open();
        let mut all = Vec::new();
        let mut page = "1".to_owned();
        loop {
            let response = self.done_within(call, Some(&page), None, meter)?;
            let counted = meter.take(response.body.len());
            let found = counted.and_then(|()| elements(call, &response, &mut meter));
            all.extend(found.map_err(|limit| self.too_much(call, limit))??);
            match response.next_page {
                Some(next) if next != page => page = next,
                _ => return Ok(all),
            }
        }
    }

    /// Writes, and reads the object that GitLab answers with.
    pub(super) fn write<T: DeserializeOwned>(&self, call: &Call, body: &impl Serialize) -> GitlabResult<T> {
        let json = json(call, body)?;
        let response = self.done(call, None, Some(&json))?;
        self.object(call, &response)
    }

    /// Writes, where GitLab answers with nothing worth reading.
    pub(super) fn send(&self, call: &Call, body: &impl Serialize) -> GitlabResult<()> {
        let json = json(call, body)?;
        self.done(call, None, Some(&json)).map(drop)
    }

    /// Removes. What is not there any more counts as removed.
    pub(super) fn delete(&self, call: &Call) -> GitlabResult<()> {
        match self.done(call, None, None) {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Tries, where a refusal is a result and no error. To be asked to wait for too long is an error.
    pub(super) fn attempt(&self, call: &Call, body: Option<&Value>) -> GitlabResult<Answer> {
        let json = body.map(|body| json(call, body)).transpose()?;
        let body = json.as_ref().map(|json| json.as_slice());
        let (response, answer) = self.answer(call, None, body, Budget::GITLAB.open())?;
        if answer.status == 429 {
            return Err(GitlabError::Limited { call: call.to_string(), wait: response.retry_after });
        }
        Ok(answer)
    }

    fn done(&self, call: &Call, page: Option<&str>, body: Option<&[u8]>) -> GitlabResult<Response> {
        self.done_within(call, page, body, Budget::GITLAB.open())
    }

    fn done_within(
        &self,
        call: &Call,
        page: Option<&str>,
        body: Option<&[u8]>,
        meter: Meter,
    ) -> GitlabResult<Response> {
        let known = self.known.as_ref().filter(|_| call.method() == Method::Get);
        let mut known = known.map(|known| known.lock().unwrap_or_else(PoisonError::into_inner));
        let name = format!("{} {}", call.path(), page.unwrap_or_default());
        if let Some(response) = known.as_ref().and_then(|known| known.get(&name)) {
            return Ok(response.clone());
        }
        let (response, answer) = self.answer(call, page, body, meter)?;
        if answer.is_success() {
            known.as_mut().map(|known| known.insert(name, response.clone()));
            return Ok(response);
        }
        if answer.status == 429 {
            return Err(GitlabError::Limited { call: call.to_string(), wait: response.retry_after });
        }
        Err(GitlabError::Refused {
            call: call.to_string(),
            who: self.who,
            status: answer.status,
            said: answer.said,
            scope: answer.scope,
            token_page: self.base().token_page(),
        })
    }

    pub(super) fn too_much(&self, call: &Call, limit: Exceeded) -> GitlabError {
        GitlabError::Budget { call: call.to_string(), url: self.base().as_str().to_owned(), limit }
    }

    fn object<T: DeserializeOwned>(&self, call: &Call, response: &Response) -> GitlabResult<T> {
        Budget::OBJECT.open().take(response.body.len()).map_err(|limit| self.too_much(call, limit))?;
        read(call, &response.body)
    }

    fn trace(
        &self,
        call: &Call,
        page: Option<&str>,
        body: Option<&[u8]>,
        begun: Instant,
        result: &Result<Response, Failure>,
    ) {
        trace::note("request", || {
            let mut record = json!({
                "method": call.method().as_str(), "route": call.route(), "path": call.path(), "page": page, "as": self.who,
                "ms": trace::ms(begun), "sent_bytes": body.map_or(0, <[u8]>::len), "sent": body.map(trace::body),
            });
            match result {
                Ok(response) => {
                    record["status"] = response.status.into();
                    record["received_bytes"] = response.body.len().into();
                    if !call.is_state() && !self.is_claimed {
                        record["received"] = trace::body(&response.body);
                    }
                }
                Err(failure) => record["failure"] = format!("{:?}", failure.reason).into(),
            }
            record
        });
    }

    /// Makes the call, again where that is safe, and sorts out what is neither done nor refused.
    fn answer(
        &self,
        call: &Call,
        page: Option<&str>,
        body: Option<&[u8]>,
        meter: Meter,
    ) -> GitlabResult<(Response, Answer)> {
        let mut made = 0;
        let result = loop {
            let begun = Instant::now();
            let left = meter.left().map_err(|limit| self.too_much(call, limit))?;
            let result = self.transport.exchange(call, page, &self.token, body, left);
            made += 1;
            self.trace(call, page, body, begun, &result);
            match self.policy.after(call.method(), &result, made, random()) {
                Some(wait) if meter.left().is_ok_and(|left| wait < left) => std::thread::sleep(wait),
                _ => break result,
            }
        };
        let (name, url) = (call.to_string(), self.base().as_str().to_owned());
        let response = match result {
            Ok(response) => response,
            Err(failure) if failure.sent && !call.method().is_idempotent() => {
                return Err(GitlabError::Unknown { call: name, url, reason: failure.reason });
            }
            Err(Failure { reason: Reason::Size(limit), .. }) => return Err(self.too_much(call, limit)),
            Err(failure) => return Err(GitlabError::NoAnswer { call: name, url, reason: failure.reason }),
        };
        match response.status {
            500.. => Err(GitlabError::Failing { call: name, status: response.status, said: said(&response) }),
            300..400 => {
                let to = clean(response.location.as_deref().unwrap_or("nowhere"));
                Err(GitlabError::Redirected { call: name, url, to })
            }
            // GitLab's rate limiter answers in plain words.
            status
                if status != 429
                    && !response.is_json
                    && !response.body.is_empty()
                    && !call.is_text(&response.media_type) =>
            {
                let kind = if response.media_type.is_empty() { "something" } else { &response.media_type };
                let why = clean(&format!("{call} got {} with {kind} instead of JSON", response.status));
                Err(GitlabError::NotGitlab { url, why })
            }
            status => {
                let success = (200..300).contains(&status);
                let said = if success { String::new() } else { said(&response) };
                let scope = if success { None } else { missing_scope(&response) };
                // A token in another answer is none that this run made, and would blank its words wherever they are shown.
                let made = if success && call.method() == Method::Post {
                    serde_json::from_slice(&response.body).unwrap_or_default()
                } else {
                    Created::default()
                };
                Ok((response, Answer { status, made, said, scope }))
            }
        }
    }
}

fn json(call: &Call, body: &impl Serialize) -> GitlabResult<zeroize::Zeroizing<Vec<u8>>> {
    serde_json::to_vec(body)
        .map(zeroize::Zeroizing::new)
        .map_err(|e| GitlabError::Unreadable { call: call.to_string(), why: clean(&e.to_string()) })
}

/// A number in 0..1; the middle when the system has none.
fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        let base = BaseUrl::parse("http://127.0.0.1:1").unwrap();
        Client::new(base, Secret::new("glpat-canary"), "the owner").unwrap()
    }

    #[test]
    fn neither_debug_nor_words_show_the_token() {
        let _variable = Secret::new("variable-canary");
        assert_eq!(format!("{:?}", client()), "Client { the owner at http://127.0.0.1:1 }");
        let text = clean("glpat-canary \u{1b}[2J variable-canary");
        assert_eq!(text, "[secret] [2J [secret]");
    }
}
