//! Defaults from git: the user's name and email, and the remote of the directory.

use super::{Discovered, Surroundings, answer};

/// The owner's name and e-mail address, from git's configuration.
pub(super) fn identity(around: &Surroundings, found: &mut Discovered) {
    for (key, setting) in [("factory.owner_name", "user.name"), ("factory.owner_email", "user.email")] {
        if let Some(text) = around.ask("git", &["config", "--get", setting]) {
            answer(found, key, text.trim(), &format!("git config {setting}"));
        }
    }
}

/// A remote's host and the path of its project.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RemoteUrl {
    pub(super) host: String,
    pub(super) path: String,
}

/// The remote `origin` of the directory.
pub(super) fn origin(around: &Surroundings) -> Option<RemoteUrl> {
    parse(around.ask("git", &["config", "--get", "remote.origin.url"])?.trim())
}

/// Reads the three forms of a remote (`man git-fetch`, GIT URLS): `https://HOST/PATH`, `ssh://USER@HOST:PORT/PATH`, `USER@HOST:PATH`.
fn parse(url: &str) -> Option<RemoteUrl> {
    let (host, path) = match url.split_once("://") {
        Some((scheme @ ("https" | "ssh"), rest)) => {
            let (authority, path) = rest.split_once('/')?;
            let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
            // The port of sshd says nothing about the port of the web.
            let host = if scheme == "ssh" { host.split(':').next().unwrap_or(host) } else { host };
            (host, path)
        }
        Some(_) => return None,
        None => {
            let (authority, path) = url.split_once(':')?;
            (authority.rsplit_once('@').map_or(authority, |(_, host)| host), path)
        }
    };
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let usable = !host.is_empty() && !host.contains('/') && path.contains('/');
    usable.then(|| RemoteUrl { host: host.to_lowercase(), path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_have_three_forms() {
        let remote = |host: &str| Some(RemoteUrl { host: host.into(), path: "acme/tools/factory".into() });
        assert_eq!(parse("git@gitlab.com:acme/tools/factory.git"), remote("gitlab.com"));
        assert_eq!(parse("ssh://git@GitLab.example.org:2222/acme/tools/factory"), remote("gitlab.example.org"));
        assert_eq!(
            parse("https://oauth2:x@gitlab.example.org:8443/acme/tools/factory.git"),
            remote("gitlab.example.org:8443")
        );
        for bad in ["", "/srv/git/x.git", "file:///srv/x", "../x", "host:x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
