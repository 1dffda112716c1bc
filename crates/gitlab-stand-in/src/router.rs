//! A request, and the route that it takes.

use std::collections::BTreeMap;

use crate::auth::Need;
use crate::call::Call;
use crate::editions::Feature;
use crate::log::LoggedRequest;
use crate::params;
use crate::reply::Outcome;

/// One call of the API.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    /// In GitLab's notation: `/projects/:id/members/:user_id`. A last `*name` stands for the rest of the path.
    pub(crate) path: &'static str,
    pub(crate) need: Need,
    /// The query and body parameters it knows.
    pub(crate) keys: &'static [&'static str],
    /// Further parameters, of routes that share a table of them.
    also: Option<fn() -> Vec<&'static str>>,
    /// Without this it does not exist.
    pub(crate) feature: Option<Feature>,
    /// Whether its body is no parameters.
    pub(crate) is_raw: bool,
    pub(crate) run: fn(&mut Call<'_>) -> Outcome,
}

impl Route {
    pub(crate) const fn new(
        method: &'static str,
        path: &'static str,
        need: Need,
        keys: &'static [&'static str],
        run: fn(&mut Call<'_>) -> Outcome,
    ) -> Self {
        Self { method, path, need, keys, also: None, feature: None, is_raw: false, run }
    }

    pub(crate) const fn only_with(mut self, feature: Feature) -> Self {
        self.feature = Some(feature);
        self
    }

    pub(crate) const fn raw(mut self) -> Self {
        self.is_raw = true;
        self
    }

    pub(crate) const fn also(mut self, names: fn() -> Vec<&'static str>) -> Self {
        self.also = Some(names);
        self
    }

    /// Every parameter it knows, but those of pages.
    pub(crate) fn parameters(&self) -> Vec<&'static str> {
        [self.keys.to_vec(), self.also.map(|names| names()).unwrap_or_default()].concat()
    }

    pub(crate) fn knows(&self, key: &str) -> bool {
        ["page", "per_page", "pagination"].contains(&key) || self.parameters().contains(&key)
    }

    /// The values of the route's names, when the path is this route's.
    pub(crate) fn matched(&self, segments: &[String]) -> Option<Vec<String>> {
        let mut values = Vec::new();
        let mut template = self.path.split('/').filter(|part| !part.is_empty());
        for (at, segment) in segments.iter().enumerate() {
            let part = template.next()?;
            if part.starts_with('*') {
                values.push(segments[at..].join("/"));
                return Some(values);
            }
            if part.starts_with(':') {
                values.push(segment.clone());
            } else if part != segment {
                return None;
            }
        }
        template.next().is_none().then_some(values)
    }
}

/// A request, read from the wire.
pub(crate) struct Incoming {
    pub(crate) method: String,
    /// Percent-encoded, without the query.
    pub(crate) path: String,
    pub(crate) query: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Incoming {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A log entry without an answer yet.
    pub(crate) fn entry(&self) -> LoggedRequest {
        let query = params::pairs(self.query.as_bytes());
        LoggedRequest {
            method: self.method.clone(),
            path: self.path.clone(),
            query: query.into_iter().filter(|(name, _)| name != "private_token" && name != "access_token").collect(),
            body: None,
            status: 0,
            user: None,
            role: None,
            route: None,
            unknown_keys: Vec::new(),
            fault: false,
        }
    }
}
