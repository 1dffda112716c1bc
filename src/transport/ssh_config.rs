//! What the user's ssh configuration says about a host, read from `ssh -G`: aliases, `Match`, includes and all.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::TransportError;
use super::process;
use super::ssh::{ConfigFile, SshOptions};
use crate::budget::Budget;
use crate::dialog::plain;
use crate::error::Result;

/// `StrictHostKeyChecking`, as far as it concerns keys that are not on record; a changed key is refused in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Strict {
    /// Refuse.
    Yes,
    /// Ask.
    #[default]
    Ask,
    /// Take it and put it on record.
    AcceptNew,
}

/// The configuration for one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SshConfig {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) identity_files: Vec<PathBuf>,
    pub(super) identities_only: bool,
    pub(super) use_agent: bool,
    /// Name and port that known hosts have it by: those of the host, or its `HostKeyAlias` and 22.
    pub(super) known_as: (String, u16),
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) strict: Strict,
    pub(super) family: Family,
    /// What it asks for that only the system's ssh client can do.
    pub(super) needs_client: Option<String>,
}

/// `AddressFamily`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Family {
    #[default]
    Any,
    Inet,
    Inet6,
}

impl SshConfig {
    /// Asks the system's ssh client, if there is one and it is wanted; else the client's defaults.
    pub(super) fn resolve(options: &SshOptions) -> Result<Self> {
        let home = std::env::home_dir().unwrap_or_else(|| "/".into());
        let output = match options.config {
            ConfigFile::Ignore => None,
            _ if which::which("ssh").is_err() => None,
            _ => Some(dump(options)?),
        };
        let mut config =
            output.map_or_else(|| Self::defaults(options, &home), |text| Self::parse(&text, options, &home));
        if let Some(identity) = &options.identity {
            config.identity_files = vec![identity.clone()];
            config.identities_only = true;
        }
        Ok(config)
    }

    fn defaults(options: &SshOptions, home: &Path) -> Self {
        let port = options.port.unwrap_or(22);
        Self {
            host: options.host.clone(),
            port,
            user: std::env::var("USER").unwrap_or_else(|_| "root".into()),
            identity_files: ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| home.join(".ssh").join(name)).into(),
            identities_only: false,
            use_agent: true,
            known_as: (options.host.clone(), port),
            known_hosts: vec![home.join(".ssh/known_hosts")],
            strict: Strict::Ask,
            family: Family::Any,
            needs_client: None,
        }
    }

    /// Reads the dump: a keyword in lower case and its value on each line.
    pub(super) fn parse(text: &str, options: &SshOptions, home: &Path) -> Self {
        let pairs: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(' ')).collect();
        let all = |key: &'static str| pairs.iter().filter(move |pair| pair.0 == key).map(|pair| pair.1.trim());
        let one = |key: &'static str| all(key).next().filter(|value| *value != "none");
        let mut config = Self::defaults(options, home);
        if let Some(host) = one("hostname") {
            host.clone_into(&mut config.host);
        }
        if let Some(port) = one("port").and_then(|port| port.parse().ok()) {
            config.port = port;
        }
        if let Some(user) = one("user") {
            user.clone_into(&mut config.user);
        }
        config.known_as = match one("hostkeyalias") {
            Some(alias) => (alias.to_owned(), 22),
            None => (config.host.clone(), config.port),
        };
        config.identities_only = one("identitiesonly") == Some("yes");
        config.strict = match one("stricthostkeychecking") {
            Some("yes" | "true") => Strict::Yes,
            Some("accept-new" | "no" | "off" | "false") => Strict::AcceptNew,
            _ => Strict::Ask,
        };
        config.family = match one("addressfamily") {
            Some("inet") => Family::Inet,
            Some("inet6") => Family::Inet6,
            _ => Family::Any,
        };
        let files = |key: &'static str| all(key).flat_map(words).filter(|word| word != "none").collect::<Vec<_>>();
        config.known_hosts = ["userknownhostsfile", "globalknownhostsfile"]
            .map(files)
            .concat()
            .iter()
            .map(|file| expand(file, home))
            .collect();
        let identities: Vec<_> = all("identityfile").filter(|file| *file != "none").collect();
        config.identity_files = identities.iter().map(|file| expand(file, home)).collect();

        let agent = all("identityagent").next();
        config.use_agent = agent != Some("none");
        let other_agent = agent.filter(|socket| {
            let environment = std::env::var("SSH_AUTH_SOCK").unwrap_or_default();
            !["none", "SSH_AUTH_SOCK", environment.as_str()].contains(socket)
        });
        let needs = |keyword: &str, value: Option<&str>| value.map(|value| plain(&format!("{keyword} {value}")));
        config.needs_client = needs("ProxyJump", one("proxyjump"))
            .or_else(|| needs("ProxyCommand", one("proxycommand")))
            .or_else(|| needs("CertificateFile", one("certificatefile")))
            .or_else(|| needs("IdentityAgent", other_agent))
            .or_else(|| needs("PKCS11Provider", one("pkcs11provider")))
            .or_else(|| needs("BindAddress", one("bindaddress")))
            .or_else(|| needs("BindInterface", one("bindinterface")))
            .or_else(|| needs("KnownHostsCommand", one("knownhostscommand")))
            .or_else(|| needs("CanonicalizeHostname", one("canonicalizehostname").filter(|value| *value != "false")))
            .or_else(|| needs("IdentityFile", identities.iter().copied().find(|file| expands_further(file))));
        config
    }
}

/// Tokens other than these are left to the client, which knows all of them.
fn expands_further(file: &str) -> bool {
    file.replace("%d", "").replace("%%", "").contains(['%', '$'])
}

/// Expands what stands for the home folder, and `%%`.
fn expand(file: &str, home: &Path) -> PathBuf {
    let home_text = home.to_string_lossy();
    let file = file.replace("%d", &home_text).replace("%%", "%");
    file.strip_prefix("~/").map_or_else(|| PathBuf::from(&file), |rest| home.join(rest))
}

/// Splits a list of files at white space outside of double quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars().chain([' ']) {
        match c {
            '"' => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(c),
        }
    }
    words
}

/// The arguments that every call of ssh begins with, up to the destination.
pub(super) fn arguments(options: &SshOptions, user: Option<&str>) -> Command {
    let mut command = process::command("ssh");
    command.arg("-T");
    match &options.config {
        ConfigFile::Default => {}
        ConfigFile::Ignore => {
            command.args(["-F", "none"]);
        }
        ConfigFile::Path(path) => {
            command.arg("-F").arg(path);
        }
    }
    if let Some(port) = options.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(identity) = &options.identity {
        command.arg("-i").arg(identity);
    }
    command
}

fn dump(options: &SshOptions) -> Result<String> {
    let mut command = arguments(options, options.users.first().map(String::as_str));
    command.args(["-G", "--", &options.host]).stdin(Stdio::null());
    let output =
        crate::process::output(&mut command, None, Budget { time: options.timeouts.handshake, ..Budget::LOCAL });
    let failed = |reason: String| TransportError::Config { host: options.host.clone(), reason };
    let output = output.map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Family, SshConfig, SshOptions, Strict};
    use std::path::{Path, PathBuf};

    fn parse(text: &str) -> SshConfig {
        SshConfig::parse(text, &SshOptions::new("alias", "/own"), Path::new("/home/me"))
    }

    #[test]
    fn the_dump_is_read() {
        let config = parse(
            "host alias\nuser admin\nhostname 203.0.113.7\nport 2222\nidentitiesonly yes\nstricthostkeychecking accept-new\n\
             addressfamily inet6\nidentityfile ~/.ssh/work\nidentityfile %d/other key\nproxycommand none\n\
             userknownhostsfile /home/me/.ssh/known_hosts \"/with space\"\nglobalknownhostsfile none\n",
        );
        assert_eq!((config.host.as_str(), config.port, config.user.as_str()), ("203.0.113.7", 2222, "admin"));
        assert_eq!(config.identity_files, [PathBuf::from("/home/me/.ssh/work"), "/home/me/other key".into()]);
        assert_eq!(config.known_hosts, [PathBuf::from("/home/me/.ssh/known_hosts"), "/with space".into()]);
        assert_eq!(config.known_as, ("203.0.113.7".to_owned(), 2222));
        assert!(config.identities_only && config.use_agent && config.needs_client.is_none());
        assert_eq!((config.strict, config.family), (Strict::AcceptNew, Family::Inet6));
    }

    #[test]
    fn what_only_the_client_can_do_is_named() {
        for (line, needed) in [
            ("proxyjump bastion", "ProxyJump bastion"),
            ("proxycommand nc %h %p", "ProxyCommand nc %h %p"),
            ("certificatefile ~/.ssh/id-cert.pub", "CertificateFile ~/.ssh/id-cert.pub"),
            ("identityagent /run/agent.sock", "IdentityAgent /run/agent.sock"),
            ("identityfile ~/.ssh/%h", "IdentityFile ~/.ssh/%h"),
        ] {
            assert_eq!(parse(line).needs_client.as_deref(), Some(needed));
        }
        let usual =
            "proxyjump none\nidentityagent SSH_AUTH_SOCK\ncanonicalizehostname false\nidentityfile ~/.ssh/id_rsa\n";
        assert_eq!(parse(usual).needs_client, None);
        assert!(!parse("identityagent none").use_agent);
    }

    #[test]
    fn an_alias_for_the_host_key_has_no_port() {
        assert_eq!(parse("hostkeyalias prod\nport 2222").known_as, ("prod".to_owned(), 22));
    }
}
