//! One call of GitLab's REST API: method and route for people, path for the request.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but RFC 3986's unreserved characters is encoded, the slash of `group/project` too.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of the GraphQL API, which is outside of the REST API.
const GRAPHQL: &str = "/api/graphql";

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gitlab) enum Method {
    /// Reads.
    Get,
    /// Creates; repeating it could create twice.
    Post,
    /// Replaces or sets; repeating it changes nothing more.
    Put,
    /// Changes; in HTTP's terms repeating it could change more.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As on the wire.
    pub(in crate::gitlab) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether doing it twice is as good as doing it once (RFC 9110, section 9.2.2).
    pub(in crate::gitlab) fn is_idempotent(self) -> bool {
        !matches!(self, Self::Post | Self::Patch)
    }
}

/// A call, ready to be made. Shown as GitLab's documentation writes it, so that it can be looked up.
#[derive(Clone, Debug)]
pub(in crate::gitlab) struct Call {
    method: Method,
    route: &'static str,
    path: String,
    query: Vec<(&'static str, String)>,
}

impl Call {
    fn new(method: Method, route: &'static str, values: &[&dyn fmt::Display]) -> Self {
        let mut values = values.iter();
        let mut path = String::with_capacity(route.len() + 32);
        for segment in route.split('/').skip(1) {
            path.push('/');
            match values.as_slice().first().filter(|_| segment.starts_with([':', '*'])) {
                Some(value) => {
                    let value = value.to_string();
                    // A `*name` stands for the rest of the path.
                    let parts = value.split(|c| c == '/' && segment.starts_with('*'));
                    let parts: Vec<_> = parts.map(|part| utf8_percent_encode(part, SEGMENT).to_string()).collect();
                    path.push_str(&parts.join("/"));
                    values.next();
                }
                None => path.push_str(segment),
            }
        }
        debug_assert!(values.len() == 0 && !path.contains("/:"), "{route} does not fit its values");
        Self { method, route, path, query: Vec::new() }
    }

    /// `GET`; `values` stand for the `:names` of the route, in order, the last for a `*name`.
    pub(in crate::gitlab) fn get(route: &'static str, values: &[&dyn fmt::Display]) -> Self {
        Self::new(Method::Get, route, values)
    }

    /// `POST`.
    pub(in crate::gitlab) fn post(route: &'static str, values: &[&dyn fmt::Display]) -> Self {
        Self::new(Method::Post, route, values)
    }

    /// `PUT`.
    pub(in crate::gitlab) fn put(route: &'static str, values: &[&dyn fmt::Display]) -> Self {
        Self::new(Method::Put, route, values)
    }

    /// `PATCH`.
    pub(in crate::gitlab) fn patch(route: &'static str, values: &[&dyn fmt::Display]) -> Self {
        Self::new(Method::Patch, route, values)
    }

    /// `DELETE`.
    pub(in crate::gitlab) fn delete(route: &'static str, values: &[&dyn fmt::Display]) -> Self {
        Self::new(Method::Delete, route, values)
    }

    /// A query of the GraphQL API, by `GET`: GitLab then refuses whatever is no reading. Never with a secret, see [`query`](Self::query).
    ///
    /// Source: `app/controllers/graphql_controller.rb`, `disallow_mutations_for_get`.
    pub(in crate::gitlab) fn graphql(query: &str, variables: &serde_json::Value) -> Self {
        let short: Vec<_> = query.split_whitespace().collect();
        Self::get(GRAPHQL, &[]).query("query", short.join(" ")).query("variables", variables.to_string())
    }

    /// Adds a query parameter. Never a secret: a URL is logged on its way.
    pub(in crate::gitlab) fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Whether GitLab answers this call with a text of this type instead of JSON. A state has the type that was uploaded.
    pub(in crate::gitlab) fn is_text(&self, media_type: &str) -> bool {
        let is = |kinds: &[&str]| kinds.iter().any(|kind| media_type.eq_ignore_ascii_case(kind));
        self.is_state()
            || self.route.ends_with("/trace") && is(&["text/plain"])
            || self.route.ends_with("/*artifact_path") && is(&["text/plain", "application/octet-stream"])
    }

    /// Whether the answer is an infrastructure state, any part of which can be a secret.
    pub(in crate::gitlab) fn is_state(&self) -> bool {
        self.route.contains("/terraform/state/")
    }

    /// The method.
    pub(in crate::gitlab) fn method(&self) -> Method {
        self.method
    }

    /// The route, with names in place of values.
    pub(in crate::gitlab) fn route(&self) -> &'static str {
        self.route
    }

    /// Whether it is for the GraphQL API.
    pub(in crate::gitlab) fn is_graphql(&self) -> bool {
        self.route == GRAPHQL
    }

    /// Path and query, percent-encoded; for the REST API below `/api/v4`.
    pub(in crate::gitlab) fn path(&self) -> String {
        if self.query.is_empty() {
            return self.path.clone();
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.query);
        format!("{}?{}", self.path, query.finish())
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.route)
    }
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn values_become_one_segment_each() {
        let call =
            Call::get("/projects/:id/protected_branches/:name", &[&"acme/factory", &"release/*"]).query("a", "b&c");
        assert_eq!(call.path(), "/projects/acme%2Ffactory/protected_branches/release%2F%2A?a=b%26c");
        assert_eq!(call.to_string(), "GET /projects/:id/protected_branches/:name");
        assert_eq!(Call::post("/user/runners", &[]).path(), "/user/runners");
        let call = Call::get("/projects/:id/jobs/:job_id/artifacts/*artifact_path", &[&1, &2, &"infra/a b/c"]);
        assert_eq!(call.path(), "/projects/1/jobs/2/artifacts/infra/a%20b/c");
        assert_eq!(Call::get("/groups/:id", &[&".."]).path(), "/groups/..");
        let call = Call::graphql("query($a: ID!) {\n  b\n}", &serde_json::json!({ "a": "c/d" }));
        assert_eq!(
            call.path(),
            "/api/graphql?query=query%28%24a%3A+ID%21%29+%7B+b+%7D&variables=%7B%22a%22%3A%22c%2Fd%22%7D"
        );
    }
}
