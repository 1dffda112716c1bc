//! The instance's address, and which addresses a token may be sent to.

use std::net::IpAddr;

use crate::gitlab::error::{GitlabError, GitlabResult};

/// A checked base URL: `https://`, or plain `http://` on a loopback address; maybe with a path, when GitLab lives below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gitlab) struct BaseUrl {
    text: String,
    host: String,
    loopback: bool,
}

impl BaseUrl {
    /// Where the owner makes a token, with name and scope filled in.
    /// Source: <https://docs.gitlab.com/user/profile/personal_access_tokens/#create-a-personal-access-token>.
    pub(in crate::gitlab) fn token_page(&self) -> String {
        format!("{}/-/user_settings/personal_access_tokens?name=factoryup&scopes=api", self.as_str())
    }

    /// Checks a URL.
    pub(in crate::gitlab) fn parse(text: &str) -> GitlabResult<Self> {
        let wrong = |why: &str| GitlabError::Url { url: text.to_owned(), why: why.to_owned() };
        let text = text.trim_end_matches('/');
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '\\')) {
            return Err(wrong("it contains a character that is not allowed in GitLab's address"));
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme such as https://"))?;
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return Err(wrong("it contains a login, which any user who lists processes could see"));
        }
        let host = host(authority);
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let loopback = is_loopback(host);
        match scheme {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(wrong("plain http would expose the token on the network")),
            _ => return Err(wrong("its scheme is neither https nor http")),
        }
        Ok(Self { text: text.to_owned(), host: host.to_owned(), loopback })
    }

    /// The URL, without a trailing slash.
    pub(in crate::gitlab) fn as_str(&self) -> &str {
        &self.text
    }

    /// Host, port and path, which the address keeps if only the way of writing it changes.
    pub(in crate::gitlab) fn place(&self) -> String {
        let place = self.text.split_once("://").map_or(self.text.as_str(), |(_, place)| place);
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        format!("{}/{path}", authority.to_ascii_lowercase())
    }

    /// Whether it is GitLab's own service, where some things are done in the browser only.
    pub(in crate::gitlab) fn is_gitlab_com(&self) -> bool {
        self.host.eq_ignore_ascii_case("gitlab.com")
    }

    /// Whether the way there is encrypted.
    pub(in crate::gitlab) fn is_tls(&self) -> bool {
        self.text.starts_with("https://")
    }

    /// Whether nothing leaves this machine.
    pub(in crate::gitlab) fn is_loopback(&self) -> bool {
        self.loopback
    }
}

/// Host of an authority, without port and without the brackets of an IPv6 address.
fn host(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::BaseUrl;

    #[test]
    fn a_token_goes_only_where_nobody_can_read_it_on_the_way() {
        for good in [
            "https://gitlab.com",
            "https://git.example:8443/",
            "https://example.org/gitlab",
            "http://127.0.0.1:4000",
            "http://localhost:80",
            "http://[::1]:1",
        ] {
            assert_eq!(BaseUrl::parse(good).unwrap().as_str(), good.trim_end_matches('/'), "{good}");
        }
        for bad in [
            "http://gitlab.example",
            "http://127.0.0.1.example.org",
            "http://localhost.example.org",
            "gitlab.com",
            "ftp://gitlab.com",
            "https://",
            "https://token@gitlab.com",
            "https://gitlab.com/?a=b",
            "https://git lab.com",
            "https://gitlab.com\\@evil.example",
        ] {
            assert!(BaseUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn gitlab_com_is_known() {
        assert!(BaseUrl::parse("https://GitLab.com").unwrap().is_gitlab_com());
        assert!(!BaseUrl::parse("https://gitlab.com.example.org").unwrap().is_gitlab_com());
    }
}
