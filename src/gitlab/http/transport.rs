//! One exchange: a request out, an answer of bounded size back, within bounded time; or a failure that says how far it came.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use ureq::http::{HeaderMap, HeaderValue, Request};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Timeout};
use zeroize::Zeroizing;

use super::{BaseUrl, Call};
use crate::budget::{Budget, Exceeded};
use crate::gitlab::error::{CERTIFICATES, GitlabError, GitlabResult, Reason};
use crate::secret::Secret;

/// How long to wait for a connection, name resolution and TLS included.
pub(in crate::gitlab) const CONNECT: Duration = Duration::from_secs(10);
/// Names the program and where its owner can read what it does.
const USER_AGENT: &str = concat!("factoryup/", env!("CARGO_PKG_VERSION"));
/// Keep-alive connections to one instance.
#[derive(Clone, Debug)]
pub(in crate::gitlab) struct Transport {
    agent: Agent,
    base: BaseUrl,
}

/// What came back.
#[derive(Clone, Default)]
pub(in crate::gitlab) struct Response {
    /// HTTP status.
    pub(in crate::gitlab) status: u16,
    /// The body; it may hold a new token, so it is wiped.
    pub(in crate::gitlab) body: Zeroizing<Vec<u8>>,
    /// Whether it says it is JSON.
    pub(in crate::gitlab) is_json: bool,
    /// The media type it says it has.
    pub(in crate::gitlab) media_type: String,
    /// Number of the next page of a list.
    pub(in crate::gitlab) next_page: Option<String>,
    /// How long it asks to wait.
    pub(in crate::gitlab) retry_after: Option<Duration>,
    /// Where it redirects to.
    pub(in crate::gitlab) location: Option<String>,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response {{ status: {}, body: {} bytes }}", self.status, self.body.len())
    }
}

/// No answer.
#[derive(Debug)]
pub(in crate::gitlab) struct Failure {
    /// Whether the request may have arrived.
    pub(in crate::gitlab) sent: bool,
    /// Whether it may pass by itself.
    pub(in crate::gitlab) may_pass: bool,
    /// Why.
    pub(in crate::gitlab) reason: Reason,
}

impl Transport {
    /// Connections to `base`, trusting Mozilla's certificate authorities, or those in the file that `SSL_CERT_FILE` names.
    pub(in crate::gitlab) fn new(base: BaseUrl) -> GitlabResult<Self> {
        let certificates = std::env::var_os(CERTIFICATES).filter(|path| !path.is_empty());
        let roots = match certificates.filter(|_| base.is_tls()) {
            Some(path) => certificates_in(&path.to_string_lossy())?,
            None => RootCerts::WebPki,
        };
        let mut config = Agent::config_builder()
            .user_agent(USER_AGENT)
            .http_status_as_error(false)
            // A redirect could lead the token to another host.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(Budget::ANSWER.time))
            .tls_config(TlsConfig::builder().root_certs(roots).build());
        if base.is_loopback() {
            config = config.proxy(None);
        }
        Ok(Self { agent: config.build().new_agent(), base })
    }

    /// The instance.
    pub(in crate::gitlab) fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// Makes one exchange, within [`Budget::ANSWER`] and the time that is `left` for the call.
    pub(in crate::gitlab) fn exchange(
        &self,
        call: &Call,
        page: Option<&str>,
        token: &Secret,
        body: Option<&[u8]>,
        left: Duration,
    ) -> Result<Response, Failure> {
        let malformed = |why: String| Failure { sent: false, may_pass: false, reason: Reason::Http(why) };
        let (api, path) = (if call.is_graphql() { "" } else { "/api/v4" }, call.path());
        let page = page.map_or_else(String::new, |page| {
            format!("{}per_page=100&page={page}", if path.contains('?') { '&' } else { '?' })
        });
        // The header that GitLab documents for each of its two APIs.
        let (name, text) = if call.is_graphql() {
            ("Authorization", Zeroizing::new(format!("Bearer {}", token.expose())))
        } else {
            ("PRIVATE-TOKEN", Zeroizing::new(token.expose().to_owned()))
        };
        let mut value =
            HeaderValue::from_str(&text).map_err(|_| malformed("the token contains an invalid character".into()))?;
        value.set_sensitive(true);
        let request = Request::builder()
            .method(call.method().as_str())
            .uri(format!("{}{api}{path}{page}", self.base.as_str()))
            .header(name, value)
            .header("Accept", "application/json");
        let limit = left.min(Budget::ANSWER.time);
        let classify = |error| classify(error, limit);
        let result = match body {
            Some(json) => request
                .header("Content-Type", "application/json")
                .body(json)
                .map_err(|e| malformed(e.to_string()))
                .and_then(|request| self.run(request, limit).map_err(classify)),
            None => request
                .body(())
                .map_err(|e| malformed(e.to_string()))
                .and_then(|request| self.run(request, limit).map_err(classify)),
        };
        let mut response = result?;
        let body = response.body_mut().with_config().limit(Budget::ANSWER.bytes).read_to_vec();
        let body = body.map_err(|error| Failure { sent: true, ..classify(error) })?;
        Ok(from_parts(response.status().as_u16(), response.headers(), Zeroizing::new(body)))
    }
}

impl Transport {
    fn run(
        &self,
        request: Request<impl ureq::AsSendBody>,
        limit: Duration,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        self.agent.run(self.agent.configure_request(request).timeout_global(Some(limit)).build())
    }
}

pub(in crate::gitlab) fn from_parts(status: u16, headers: &HeaderMap, body: Zeroizing<Vec<u8>>) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty());
    let media_type = text("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
    let reset = || text("ratelimit-reset").filter(|_| status == 429).and_then(until_epoch);
    Response {
        status,
        is_json: media_type.eq_ignore_ascii_case("application/json") || media_type.ends_with("+json"),
        media_type,
        next_page: text("x-next-page").map(str::to_owned).or_else(|| text("link").and_then(next_in_link)),
        retry_after: text("retry-after").and_then(wait).or_else(reset),
        location: text("location").map(str::to_owned),
        body,
    }
}

/// `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
fn wait(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default())
}

/// `RateLimit-Reset`: GitLab writes seconds since 1970. Source: <https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers>.
fn until_epoch(text: &str) -> Option<Duration> {
    let at = Timestamp::from_second(text.parse().ok()?).ok()?;
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default())
}

/// The page number in the `next` link. Only the number is used: a link may lead elsewhere.
fn next_in_link(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let url = next.split(['<', '>']).nth(1)?;
    let (_, query) = url.split_once('?')?;
    let page = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "page")?.1.into_owned();
    Some(page).filter(|page| !page.is_empty() && page.bytes().all(|b| b.is_ascii_digit()))
}

fn classify(error: ureq::Error, total: Duration) -> Failure {
    use std::io::ErrorKind as Io;
    let failure = |sent, may_pass, reason| Failure { sent, may_pass, reason };
    match error {
        ureq::Error::HostNotFound => failure(false, true, Reason::Name),
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => failure(false, true, Reason::Time(CONNECT)),
        ureq::Error::Timeout(_) => failure(true, true, Reason::Time(total)),
        ureq::Error::ConnectionFailed => failure(false, true, Reason::Connect("no connection".into())),
        ureq::Error::ConnectProxyFailed(why) => {
            failure(false, false, Reason::Connect(format!("the proxy says: {why}")))
        }
        ureq::Error::BodyExceedsLimit(limit) => failure(true, false, Reason::Size(Exceeded::Bytes(limit))),
        ureq::Error::LargeResponseHeader(_, limit) => failure(true, false, Reason::Size(Exceeded::Bytes(limit as u64))),
        ureq::Error::Tls(why) => failure(false, false, Reason::Tls(why.to_owned())),
        ureq::Error::Rustls(why) => tls(&why.to_string()),
        ureq::Error::Io(e) => match e.kind() {
            Io::ConnectionRefused
            | Io::HostUnreachable
            | Io::NetworkUnreachable
            | Io::NetworkDown
            | Io::AddrNotAvailable => failure(false, true, Reason::Connect(e.to_string())),
            // rustls reports what it finds wrong in the handshake this way; the request is sent only after that.
            Io::InvalidData => tls(&e.to_string()),
            // `getaddrinfo` has no error kind of its own.
            _ if e.to_string().contains("lookup address") => failure(false, true, Reason::Name),
            Io::InvalidInput => failure(false, false, Reason::Connect(e.to_string())),
            _ => failure(true, true, Reason::Dropped(e.to_string())),
        },
        ureq::Error::Protocol(why) => failure(true, false, Reason::Http(why.to_string())),
        other => failure(true, false, Reason::Http(other.to_string())),
    }
}

fn tls(why: &str) -> Failure {
    let reason =
        if why.contains("certificate") { Reason::Certificate(why.to_owned()) } else { Reason::Tls(why.to_owned()) };
    Failure { sent: false, may_pass: false, reason }
}

fn certificates_in(path: &str) -> GitlabResult<RootCerts> {
    let wrong = |why: String| GitlabError::Certificates { path: path.to_owned(), why };
    let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|e| wrong(e.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(wrong("it contains no PEM certificate".into()));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        let soon = (Timestamp::now().as_second() + 600).to_string();
        assert!(until_epoch(&soon).is_some_and(|wait| wait > Duration::from_mins(5)));
    }

    #[test]
    fn of_a_link_only_the_page_number_is_taken() {
        let link = "<https://evil.example/x?page=3&per_page=100>; rel=\"next\", <https://x/y?page=9>; rel=\"last\"";
        assert_eq!(next_in_link(link).as_deref(), Some("3"));
        assert_eq!(next_in_link("<https://x/y?page=9>; rel=\"last\""), None);
        assert_eq!(next_in_link("<https://x/y?page=a%26b>; rel=\"next\""), None);
    }
}
