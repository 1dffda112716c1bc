//! Defaults for GitLab: instance, group, and the source of the token.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Discovered, Surroundings, answer, git, preset};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// Forges that are not GitLab, whose remotes say nothing.
const OTHER_FORGES: [&str; 4] = ["github.com", "bitbucket.org", "codeberg.org", "git.sr.ht"];
/// Variables with the URL or host of the instance: GitLab CI's own, and glab's.
const INSTANCE_VARIABLES: [&str; 4] = ["CI_SERVER_URL", "GITLAB_HOST", "GITLAB_URI", "GL_HOST"];

/// Variables with a token that do not say which instance it is for.
const TOKEN_VARIABLES: [&str; 2] = ["GITLAB_TOKEN", "GITLAB_ACCESS_TOKEN"];

/// The instance and the group, as presets; and whether there is a token.
pub(super) fn instance(around: &Surroundings, found: &mut Discovered) {
    for name in INSTANCE_VARIABLES {
        if let Some(url) = around.text(name) {
            answer(found, "gitlab.url", &as_url(&url), name);
        }
    }
    let glab = Glab::read(around);
    let known = |host: &str| host.contains("gitlab") || glab.hosts.iter().any(|(name, _)| name == host);
    let origin =
        git::origin(around).filter(|origin| known(&origin.host) && !OTHER_FORGES.contains(&origin.host.as_str()));
    if let Some(origin) = &origin {
        preset(found, "gitlab.url", &as_url(&origin.host), "git remote origin");
    }
    if let Some(host) = &glab.host {
        preset(found, "gitlab.url", &as_url(host), "glab's configuration");
    }
    let mut all = found.answers.clone();
    all.fill_from(&found.presets);
    let url = all.get("gitlab.url").map(|url| url.to_string()).unwrap_or_default();
    // A group of another instance means nothing here.
    if let Some(origin) = origin.filter(|origin| origin.host == host_of(&url))
        && let Some((group, _)) = origin.path.rsplit_once('/')
    {
        preset(found, "gitlab.group", group, "git remote origin");
    }
    found.token = gitlab_token(around, &url).ok().flatten().map(|(_, place)| place);
}

fn as_url(host: &str) -> String {
    let host = host.trim().trim_end_matches('/');
    if host.contains("://") { host.to_owned() } else { format!("https://{host}") }
}

/// A GitLab token for the instance at `url`, and where it was found. In this order: `FACTORYUP_GITLAB_TOKEN`; the file that
/// `FACTORYUP_GITLAB_TOKEN_FILE` names; `GITLAB_TOKEN` and `GITLAB_ACCESS_TOKEN`, which are for the instance that `GITLAB_HOST`
/// names, else for gitlab.com, as glab takes them (<https://docs.gitlab.com/cli/#environment-variables>);
/// `~/.config/factoryup/gitlab-token`; glab's configuration, for its own instance only.
///
/// # Errors
/// `Usage` when there is a token that cannot be used: a file that others can read, or control characters.
pub fn gitlab_token(around: &Surroundings, url: &str) -> Result<Option<(Secret, String)>> {
    if let Some(token) = from_variable(around, "FACTORYUP_GITLAB_TOKEN")? {
        return Ok(Some(token));
    }
    if let Some(path) = around.text("FACTORYUP_GITLAB_TOKEN_FILE") {
        return from_file(Path::new(&path)).map(Some);
    }
    let host = host_of(url);
    if token_host(around) == host {
        for name in TOKEN_VARIABLES {
            if let Some(token) = from_variable(around, name)? {
                return Ok(Some(token));
            }
        }
    }
    let file = around.base("XDG_CONFIG_HOME", ".config").join("factoryup/gitlab-token");
    if file.is_file() {
        return from_file(&file).map(Some);
    }
    let glab = Glab::read(around);
    let token = glab.hosts.into_iter().find(|(name, _)| *name == host).and_then(|(_, token)| token);
    Ok(token.map(|token| (token, "glab's configuration".to_owned())))
}

/// Reads the token of a manually created agent from the variable `name` or from the file in `NAME_FILE`.
///
/// # Errors
/// As [`gitlab_token`].
pub fn agent_token(around: &Surroundings, name: &str) -> Result<Option<Secret>> {
    let found = match (from_variable(around, name)?, around.text(&format!("{name}_FILE"))) {
        (None, Some(path)) => Some(from_file(Path::new(&path))?),
        (found, _) => found,
    };
    Ok(found.map(|(token, _)| token))
}

/// The instance that the tokens in [`TOKEN_VARIABLES`] are for. A `factory.toml` from somebody else must not get to say.
fn token_host(around: &Surroundings) -> String {
    let named = INSTANCE_VARIABLES.iter().find_map(|name| around.text(name));
    named.map_or_else(|| "gitlab.com".to_owned(), |url| host_of(&as_url(&url)))
}

/// Explains why an existing token is not used for the instance at `url`.
#[must_use]
pub fn token_for_another_instance(around: &Surroundings, url: &str) -> Option<String> {
    let (host, other) = (host_of(url), token_host(around));
    let name =
        TOKEN_VARIABLES.into_iter().find(|name| (around.variable)(name).is_some_and(|value| !value.is_empty()))?;
    (other != host).then(|| format!("{name} is for {other}; if it is for {host}, run: export GITLAB_HOST={host}"))
}

fn from_variable(around: &Surroundings, name: &str) -> Result<Option<(Secret, String)>> {
    let Some(value) = (around.variable)(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let odd =
        |text: &String| text.trim().is_empty() || text.trim().contains(|c: char| c.is_control() || c.is_whitespace());
    match value.into_string() {
        Ok(text) if !odd(&text) => Ok(Some((Secret::new(text.trim()), name.to_owned()))),
        _ => Err(Error::usage(format!("{name} is not a token: it is empty or contains spaces or control characters"))),
    }
}

fn from_file(path: &Path) -> Result<(Secret, String)> {
    let others = std::fs::metadata(path).is_ok_and(|attributes| attributes.mode() & 0o077 != 0);
    if others {
        let name = path.display();
        let error = Error::usage(format!("other users can read the token file {name}"));
        return Err(error.hint(format!("chmod 600 {name}")));
    }
    Ok((Secret::from_file(path)?, path.display().to_string()))
}

/// The host of a URL, with its port.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest).to_lowercase()
}

/// What is in glab's configuration: the default host, and each host with its token.
#[derive(Debug, Default)]
struct Glab {
    host: Option<String>,
    hosts: Vec<(String, Option<Secret>)>,
}

impl Glab {
    fn read(around: &Surroundings) -> Self {
        let folder = around.text("GLAB_CONFIG_DIR").map(Into::into);
        let folder = folder.unwrap_or_else(|| around.base("XDG_CONFIG_HOME", ".config").join("glab-cli"));
        let text = crate::budget::read_text(&folder.join("config.yml")).map(zeroize::Zeroizing::new);
        text.map(|text| Self::parse(&text)).unwrap_or_default()
    }

    /// The few lines of the YAML that matter: `host:` at the margin, and below `hosts:` each host with its `token:`.
    /// (<https://docs.gitlab.com/cli/#configuration>)
    fn parse(text: &str) -> Self {
        let mut glab = Self::default();
        let mut in_hosts = false;
        let mut host_indent = None;
        for line in text.lines() {
            let indent = line.len() - line.trim_start().len();
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = split(line) else { continue };
            if indent == 0 {
                in_hosts = name == "hosts";
                host_indent = None;
                if name == "host" && !value.is_empty() {
                    glab.host = Some(value.to_owned());
                }
            } else if in_hosts && *host_indent.get_or_insert(indent) == indent {
                glab.hosts.push((name.to_lowercase(), None));
            } else if in_hosts
                && name == "token"
                && !value.is_empty()
                && let Some((_, token)) = glab.hosts.last_mut()
            {
                *token = Some(Secret::new(value));
            }
        }
        glab
    }
}

/// `name: value`, where the name may hold a port, and the value may be quoted and tagged.
fn split(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
    let value = value.trim().trim_start_matches("!!null").trim_start_matches("!!str").trim();
    let value = value.split(" #").next().unwrap_or(value).trim().trim_matches(['"', '\'']);
    Some((name.trim().trim_matches(['"', '\'']), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "git_protocol: ssh\nhost: gitlab.example.org:8443\nhosts:\n    gitlab.com:\n        # a comment\n        api_host: gitlab.com\n        token: !!null glpat-one\n    \"gitlab.example.org:8443\":\n        token: 'glpat-two' # mine\n        user: ada\n    bare.example.org:\n        token:\nlast: x\n";

    #[test]
    fn glabs_configuration_is_read() {
        let glab = Glab::parse(CONFIG);
        assert_eq!(glab.host.as_deref(), Some("gitlab.example.org:8443"));
        let hosts: Vec<_> =
            glab.hosts.iter().map(|(host, token)| (host.as_str(), token.as_ref().map_or("", Secret::expose))).collect();
        assert_eq!(
            hosts,
            [("gitlab.com", "glpat-one"), ("gitlab.example.org:8443", "glpat-two"), ("bare.example.org", "")]
        );
    }

    fn around(home: &Path, variable: fn(&str) -> Option<std::ffi::OsString>) -> Surroundings {
        Surroundings { home: home.to_owned(), folder: home.to_owned(), variable, clock: home.join("none") }
    }

    #[test]
    fn glabs_token_goes_to_its_own_instance_only() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".config/glab-cli");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.yml"), CONFIG).unwrap();
        let around = around(home.path(), |_| None);
        let token = |url: &str| gitlab_token(&around, url).unwrap().map(|(token, _)| token.expose().to_owned());
        assert_eq!(token("https://gitlab.com").as_deref(), Some("glpat-one"));
        assert_eq!(token("https://gitlab.example.org:8443/").as_deref(), Some("glpat-two"));
        assert_eq!(token("https://evil.example.org"), None);
    }

    #[test]
    fn a_variable_for_another_instance_is_not_used() {
        let home = tempfile::tempdir().unwrap();
        let around = around(home.path(), |name| match name {
            "GITLAB_TOKEN" => Some("glpat-x".into()),
            "GITLAB_HOST" => Some("gitlab.example.org".into()),
            _ => None,
        });
        assert!(gitlab_token(&around, "https://gitlab.com").unwrap().is_none());
        let (token, place) = gitlab_token(&around, "https://gitlab.example.org").unwrap().unwrap();
        assert_eq!((token.expose(), place.as_str()), ("glpat-x", "GITLAB_TOKEN"));
    }

    #[test]
    fn a_variable_that_says_no_instance_is_for_gitlab_com() {
        let home = tempfile::tempdir().unwrap();
        let around = around(home.path(), |name| (name == "GITLAB_TOKEN").then(|| "glpat-x".into()));
        assert!(gitlab_token(&around, "https://gitlab.com").unwrap().is_some());
        assert!(token_for_another_instance(&around, "https://gitlab.com").is_none());
        assert!(gitlab_token(&around, "https://gitlab.example.org").unwrap().is_none());
        assert_eq!(
            token_for_another_instance(&around, "https://gitlab.example.org:8443/x").as_deref(),
            Some(
                "GITLAB_TOKEN is for gitlab.com; if it is for gitlab.example.org:8443, run: export GITLAB_HOST=gitlab.example.org:8443"
            )
        );
        // One that is factoryup's own is for whatever factory is worked on.
        let own =
            Surroundings { variable: |name| (name == "FACTORYUP_GITLAB_TOKEN").then(|| "glpat-x".into()), ..around };
        assert!(gitlab_token(&own, "https://gitlab.example.org").unwrap().is_some());
    }

    #[test]
    fn an_agents_token_is_in_its_variable_or_in_a_private_file() {
        let home = tempfile::tempdir().unwrap();
        let around = around(home.path(), |name| match name {
            "A" | "BOTH" => Some("glpat-x".into()),
            // Everybody can read these.
            "BOTH_FILE" | "B_FILE" => Some("/etc/passwd".into()),
            "C_FILE" => Some("/nowhere/token".into()),
            _ => None,
        });
        let found = |name: &str| agent_token(&around, name).map(|token| token.map(|token| token.expose().to_owned()));
        assert_eq!(found("A").unwrap().as_deref(), Some("glpat-x"));
        assert_eq!(found("BOTH").unwrap().as_deref(), Some("glpat-x"));
        assert_eq!(found("NONE").unwrap(), None);
        assert!(found("B").unwrap_err().to_string().contains("other users can read"));
        assert!(found("C").is_err());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".config/factoryup/gitlab-token");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "glpat-file\n").unwrap();
        let around = around(home.path(), |_| None);
        for (mode, usable) in [(0o644, false), (0o600, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(gitlab_token(&around, "https://gitlab.com").is_ok(), usable);
        }
    }
}
