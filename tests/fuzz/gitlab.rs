//! GitLab's answers: lists, objects, refusals and headers.

use serde_json::Value;
use ureq::http::{HeaderMap, HeaderName, HeaderValue};

use super::answer::{elements, missing_scope, read, said};
use super::http::Call;
use super::http::Response;
use super::http::transport::from_parts;
use super::identity::Account;
use super::resources::seed::Branch;
use super::site::Project;
use crate::budget::Budget;
use crate::fuzz::{Reader, text};

fn response(bytes: &[u8]) -> Response {
    Response { status: 403, body: bytes.to_vec().into(), ..Response::default() }
}

pub(crate) const READERS: &[Reader] = &[
    Reader {
        name: "gitlab-list",
        read: |bytes| {
            let call = Call::get("/projects", &[]);
            let mut meter = Budget::GITLAB.open();
            match elements::<Value>(&call, &response(bytes), &mut meter) {
                Ok(Ok(list)) => format!("{} elements", list.len()),
                Ok(Err(error)) => text(error),
                Err(limit) => text(limit),
            }
        },
        seeds: &[br#"[{"id":1,"name":"a","access_level":30},{"id":2,"permissions":{"project_access":null}}]"#, b"[]", b"[[],{}]"],
    },
    Reader {
        name: "gitlab-object",
        read: |bytes| {
            let call = Call::get("/projects/:id", &[&1]);
            let of = |result: Result<(), super::error::GitlabError>| result.map_or_else(text, |()| "ok".into());
            [
                of(read::<Project>(&call, bytes).map(drop)),
                of(read::<Account>(&call, bytes).map(drop)),
                of(read::<Branch>(&call, bytes).map(drop)),
            ]
            .join(" ")
        },
        seeds: &[
            br#"{"id":7,"path_with_namespace":"a/b","default_branch":"main","web_url":"https://x/a/b","visibility":"private","permissions":{"project_access":{"access_level":40},"group_access":null}}"#,
            br#"{"id":3,"username":"root","is_admin":false,"commit":{"id":"0123"},"name":"main"}"#,
        ],
    },
    Reader {
        name: "gitlab-refusal",
        read: |bytes| format!("{:?} {}", missing_scope(&response(bytes)), said(&response(bytes))),
        seeds: &[
            br#"{"message":{"path":["has already been taken","is reserved"]}}"#,
            br#"{"error":"insufficient_scope","scope":"api read_api","error_description":"x"}"#,
            br#"{"message":"403 Forbidden - no"}"#,
        ],
    },
    Reader {
        name: "gitlab-headers",
        read: |bytes| {
            let mut headers = HeaderMap::new();
            for line in bytes.split(|byte| *byte == b'\n').take(100) {
                let mut parts = line.splitn(2, |byte| *byte == b':');
                let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
                let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
                if let (Ok(name), Ok(value)) = (name, value) {
                    headers.append(name, value);
                }
            }
            let response = from_parts(429, &headers, Vec::new().into());
            let next = response.next_page.as_deref().map(|page| page.len().min(3));
            format!("{next:?} {} {} {:?}", response.is_json, response.retry_after.is_some(), response.location.is_some())
        },
        seeds: &[
            b"Content-Type: application/json; charset=utf-8\nX-Next-Page: 2\nRetry-After: 7\nLocation: https://x/y",
            b"Link: <https://x/y?page=3&per_page=100>; rel=\"next\", <https://x/y?page=9>; rel=\"last\"\n\
              Retry-After: Wed, 21 Oct 2015 07:28:00 GMT",
            b"RateLimit-Reset: 1732800000\nContent-Type: text/html",
        ],
    },
];
