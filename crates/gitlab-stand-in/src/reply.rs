//! What a handler answers: a status, a body, headers; and the error bodies GitLab uses, in one place.

use std::io::{self, Write};

use serde_json::{Value, json};

/// The body of a reply.
#[derive(Debug)]
pub(crate) enum Body {
    /// No body at all, as with 204.
    Empty,
    /// A JSON document.
    Json(Value),
    /// A JSON list of which the client gets one page.
    List(Vec<Value>),
    /// Bytes of the given content type.
    Bytes(&'static str, Vec<u8>),
}

/// An answer to one request; the `Err` of a handler is one too.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Body,
    pub(crate) headers: Vec<(String, String)>,
}

/// A reply that says no, or that something failed: what a handler's `?` ends with. Boxed, so that the good case stays small.
#[derive(Debug)]
pub(crate) struct Refusal(Box<Reply>);

impl Refusal {
    pub(crate) fn new(reply: Reply) -> Self {
        Self(Box::new(reply))
    }

    pub(crate) fn into_reply(self) -> Reply {
        *self.0
    }
}

/// What every handler returns.
pub(crate) type Outcome = Result<Reply, Refusal>;

impl Reply {
    pub(crate) fn new(status: u16, body: Body) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    /// 200 with a JSON document.
    pub(crate) fn ok(value: Value) -> Self {
        Self::new(200, Body::Json(value))
    }

    /// 201 with the created object.
    pub(crate) fn created(value: Value) -> Self {
        Self::new(201, Body::Json(value))
    }

    /// 200 with a list, paginated later.
    pub(crate) fn list(values: impl IntoIterator<Item = Value>) -> Self {
        Self::new(200, Body::List(values.into_iter().collect()))
    }

    /// 204.
    pub(crate) fn no_content() -> Self {
        Self::new(204, Body::Empty)
    }

    /// Plain text.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status, Body::Bytes("text/plain; charset=utf-8", text.into().into_bytes()))
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Writes the reply as one HTTP/1.1 message, in one `write`, so that no segment waits for another's acknowledgement.
    pub(crate) fn write(self, to: &mut dyn Write, head_only: bool) -> io::Result<()> {
        let (content_type, bytes) = match self.body {
            Body::Empty => (None, Vec::new()),
            Body::Json(value) => (Some("application/json"), value.to_string().into_bytes()),
            Body::List(values) => (Some("application/json"), Value::Array(values).to_string().into_bytes()),
            Body::Bytes(content_type, bytes) => (Some(content_type), bytes),
        };
        let mut message = Vec::with_capacity(bytes.len() + 512);
        write!(message, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status))?;
        if let Some(content_type) =
            content_type.filter(|_| !self.headers.iter().any(|(name, _)| name == "Content-Type"))
        {
            write!(message, "Content-Type: {content_type}\r\n")?;
        }
        for (name, value) in &self.headers {
            write!(message, "{name}: {value}\r\n")?;
        }
        if self.status != 204 {
            write!(message, "Content-Length: {}\r\n", bytes.len())?;
        }
        message.extend_from_slice(b"X-Factoryup-Stand-In: 1\r\n\r\n");
        if !head_only {
            message.extend_from_slice(&bytes);
        }
        to.write_all(&message)?;
        to.flush()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        _ => "Status",
    }
}

/// `{"message": …}`, which GitLab's own helpers answer.
pub(crate) fn message(status: u16, message: impl Into<Value>) -> Refusal {
    Refusal::new(Reply::new(status, Body::Json(json!({ "message": message.into() }))))
}

/// `{"error": …}`, which its parameter validation answers.
pub(crate) fn error(status: u16, error: impl Into<Value>) -> Refusal {
    Refusal::new(Reply::new(status, Body::Json(json!({ "error": error.into() }))))
}

/// 404 for something the caller may not know of, or that does not exist: `404 Project Not Found`.
pub(crate) fn not_found(what: &str) -> Refusal {
    message(404, if what.is_empty() { "404 Not found".to_owned() } else { format!("404 {what} Not Found") })
}

/// 403, with a reason where GitLab gives one.
pub(crate) fn forbidden(reason: &str) -> Refusal {
    message(403, if reason.is_empty() { "403 Forbidden".to_owned() } else { format!("403 Forbidden - {reason}") })
}

/// 400 with a reason: `400 Bad request - Unplayable Job`.
pub(crate) fn bad_request(reason: &str) -> Refusal {
    message(400, format!("400 Bad request - {reason}"))
}

/// 400 as a model's failed validation answers it: `{"message":{"key":["has already been taken"]}}`.
pub(crate) fn invalid(field: &str, problem: &str) -> Refusal {
    message(400, json!({ field: [problem] }))
}
