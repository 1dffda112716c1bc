//! From a request to its handler: the route table, authentication, scopes, pagination and the log entry.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::auth::{Need, Token};
use crate::call::Call;
use crate::git_http;
use crate::graphql;
use crate::log::{LoggedRequest, redacted};
use crate::params;
use crate::reply::{Body, Outcome, Refusal, Reply, error, message};
use crate::router::{Incoming, Route};
use crate::routes;
use crate::state::{Settings, State};

/// What every path of the API starts with.
pub(crate) const PREFIX: &str = "/api/v4";
/// Items on a page when the client does not say, and at most. Source: <https://docs.gitlab.com/api/rest/#pagination>.
const PER_PAGE: (usize, usize) = (20, 100);

/// Answers one call of the API and says what is to be logged about it.
pub(crate) fn answer(state: &mut State, settings: &Settings, incoming: &Incoming) -> (Reply, LoggedRequest) {
    let mut entry = incoming.entry();
    let reply = handle(state, settings, incoming, &mut entry).unwrap_or_else(Refusal::into_reply);
    entry.status = reply.status;
    (paginate(reply, settings, incoming), entry)
}

fn handle(state: &mut State, settings: &Settings, incoming: &Incoming, entry: &mut LoggedRequest) -> Outcome {
    let path = if incoming.path == graphql::PATH {
        graphql::PATH
    } else {
        incoming.path.strip_prefix(PREFIX).unwrap_or_default()
    };
    let segments = params::segments(path);
    let method = if incoming.method == "HEAD" { "GET" } else { incoming.method.as_str() };

    let there = |route: &&Route| route.feature.is_none_or(|feature| settings.has(feature));
    let candidates: Vec<_> =
        routes::all().filter(there).filter_map(|route| Some((route, route.matched(&segments)?))).collect();
    let Some((route, values)) = candidates.iter().find(|(route, _)| route.method == method) else {
        entry.body =
            params::body(incoming.header("content-type"), &incoming.body).ok().flatten().as_ref().map(redacted);
        return Err(if candidates.is_empty() { error(404, "404 Not Found") } else { error(405, "405 Not Allowed") });
    };
    entry.route = Some(route.path);
    let body = if route.is_raw { Ok(None) } else { params::body(incoming.header("content-type"), &incoming.body) };
    entry.body = body.as_ref().ok().and_then(|body| body.as_ref()).map(redacted);

    let mut input = Map::new();
    params::nest(&params::pairs(incoming.query.as_bytes()), &mut input);
    if let Some(Value::Object(body)) = body? {
        input.extend(body);
    }
    input.retain(|name, _| name != "private_token" && name != "access_token");
    entry.unknown_keys = input.keys().filter(|key| !route.knows(key)).cloned().collect();

    let token = match authenticate(state, route, incoming) {
        Err(refusal) if route.need != Need::Nothing => return Err(refusal),
        found => found.ok().flatten(),
    };
    entry.user = token.as_ref().and_then(|token| state.users.get(&token.user)).map(|user| user.username.clone());
    if let Some(token) = &token {
        check_scopes(token, route.need)?;
    }
    let mut call = Call {
        state,
        settings,
        params: values.clone(),
        input,
        token,
        headers: &incoming.headers,
        body: &incoming.body,
        role: None,
    };
    let outcome = (route.run)(&mut call);
    entry.role = call.role;
    outcome
}

fn authenticate(state: &mut State, route: &Route, incoming: &Incoming) -> Result<Option<Token>, Refusal> {
    let query = params::pairs(incoming.query.as_bytes());
    let bearer = incoming.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let named = query.iter().find(|(name, _)| name == "private_token").map_or("", |(_, value)| value);
    let is_state = matches!(route.need, Need::ReadState | Need::WriteState);
    let password = is_state.then(|| git_http::password(incoming)).flatten().unwrap_or_default();
    let text = [incoming.header("private-token"), bearer, named, &password].into_iter().find(|text| !text.is_empty());
    let Some(text) = text else {
        return if route.need == Need::Nothing { Ok(None) } else { Err(message(401, "401 Unauthorized")) };
    };
    if route.need == Need::SelfRotate {
        state.tokens.revoke_family_of_reused(text);
    }
    state.tokens.authenticate(text).map(Some)
}

fn check_scopes(token: &Token, need: Need) -> Result<(), Refusal> {
    let enough = need.scopes();
    if enough.is_empty() || token.allows(enough) {
        return Ok(());
    }
    Err(Refusal::new(Reply::new(
        403,
        Body::Json(json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": enough.join(" "),
        })),
    )))
}

/// Cuts a list to the page asked for, and adds GitLab's headers about the others.
fn paginate(mut reply: Reply, settings: &Settings, incoming: &Incoming) -> Reply {
    let Body::List(values) = &mut reply.body else { return reply };
    let query = params::pairs(incoming.query.as_bytes());
    let number = |name: &str| query.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.parse().ok());
    let per_page = number("per_page").unwrap_or(PER_PAGE.0).clamp(1, PER_PAGE.1);
    let page = number("page").unwrap_or(1).max(1);
    let total = values.len();
    let pages = total.div_ceil(per_page).max(1);
    *values = std::mem::take(values).into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page).collect();

    let other = |page: usize| {
        let mut rest = form_urlencoded::Serializer::new(String::new());
        rest.extend_pairs(
            query
                .iter()
                .filter(|(name, _)| !["page", "per_page", "private_token", "access_token"].contains(&name.as_str())),
        );
        rest.append_pair("page", &page.to_string()).append_pair("per_page", &per_page.to_string());
        format!("<{}{}?{}>", settings.url, incoming.path, rest.finish())
    };
    let mut link = String::new();
    if page > 1 {
        let _ = write!(link, "{}; rel=\"prev\", ", other((page - 1).min(pages)));
    }
    if page < pages {
        let _ = write!(link, "{}; rel=\"next\", ", other(page + 1));
    }
    let _ = write!(link, "{}; rel=\"first\", {}; rel=\"last\"", other(1), other(pages));
    let number_or_nothing = |there: bool, page: usize| if there { page.to_string() } else { String::new() };
    reply
        .header("X-Page", page.to_string())
        .header("X-Per-Page", per_page.to_string())
        .header("X-Prev-Page", number_or_nothing(page > 1, page.saturating_sub(1)))
        .header("X-Next-Page", number_or_nothing(page < pages, page + 1))
        .header("X-Total", total.to_string())
        .header("X-Total-Pages", pages.to_string())
        .header("Link", link)
}
