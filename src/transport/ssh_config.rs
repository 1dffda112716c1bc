//! What the user's ssh configuration says about a host, read from `ssh -G`: aliases, `Match`, includes and all.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::error::TransportError;
use super::keywords::{named, not_followed};
use super::options::{ConfigFile, SshOptions};
use super::process;
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

/// The configuration for one host and user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SshConfig {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// The same, if the configuration names one.
    pub(super) named_user: Option<String>,
    pub(super) identity_files: Vec<PathBuf>,
    /// The same as the configuration writes them, for the client.
    pub(super) identity_texts: Vec<String>,
    /// Whether the configuration names them; else they are the usual ones.
    pub(super) names_identities: bool,
    pub(super) identities_only: bool,
    pub(super) agent: Agent,
    /// Name and port that known hosts have it by: those of the host, or its `HostKeyAlias` and 22.
    pub(super) known_as: (String, u16),
    pub(super) known_hosts: Vec<PathBuf>,
    /// Whether a program is asked for host keys, too.
    pub(super) asks_for_host_keys: bool,
    pub(super) strict: Strict,
    pub(super) family: Family,
    /// What it asks for that only the system's ssh client can do.
    pub(super) needs_client: Option<String>,
}

/// `IdentityAgent`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Agent {
    None,
    /// The one that the environment names.
    #[default]
    Usual,
    /// At this socket.
    At(PathBuf),
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
    /// Asks the system's ssh client about a login as `user`, if there is a client and it is wanted; else the client's defaults.
    pub(super) fn resolve(options: &SshOptions, user: Option<&str>) -> Result<Self> {
        let usual = if options.config == ConfigFile::Ignore { None } else { usual() };
        let home = || std::env::home_dir().unwrap_or_else(|| "/".into());
        let Some(usual) = usual else { return Ok(Self::defaults(options, &home())) };
        // The client's home is the one in the password file, whatever HOME says.
        let of_client = usual.lines().find_map(|line| {
            let files = line.strip_prefix("userknownhostsfile ")?;
            files.split_once("/.ssh/known_hosts").map(|(home, _)| PathBuf::from(home)).filter(|home| home.is_absolute())
        });
        let of_client = of_client.unwrap_or_else(home);
        let mut config = Self::parse(&dump(options, user)?, usual, options, &of_client);
        // Where HOME is another directory, its usual keys count as well.
        if home() != of_client && !config.identities_only && !config.names_identities {
            let own = Self::defaults(options, &home());
            config.identity_files.extend(own.identity_files);
            config.known_hosts.extend(own.known_hosts);
        }
        Ok(config)
    }

    fn defaults(options: &SshOptions, home: &Path) -> Self {
        let port = options.port.unwrap_or(22);
        let identities = ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| home.join(".ssh").join(name));
        Self {
            host: options.host.clone(),
            port,
            user: std::env::var("USER").unwrap_or_else(|_| "root".into()),
            named_user: None,
            identity_texts: identities.iter().map(|path| path.display().to_string()).collect(),
            identity_files: identities.into(),
            names_identities: false,
            identities_only: false,
            agent: Agent::Usual,
            known_as: (options.host.clone(), port),
            known_hosts: vec![home.join(".ssh/known_hosts")],
            asks_for_host_keys: false,
            strict: Strict::Ask,
            family: Family::Any,
            needs_client: None,
        }
    }

    /// Reads the dump: a keyword in lower case and its value on each line. `usual` is the dump without a configuration.
    pub(super) fn parse(text: &str, usual: &str, options: &SshOptions, home: &Path) -> Self {
        let pairs = pairs(text);
        let usual = self::pairs(usual);
        let all = |key: &'static str| pairs.iter().filter(move |pair| pair.0 == key).map(|pair| pair.1.trim());
        let one = |key: &'static str| all(key).next().filter(|value| *value != "none");
        let names = |key: &str| pairs.iter().any(|pair| pair.0 == key && !usual.contains(pair));
        let mut config = Self::defaults(options, home);
        if let Some(host) = one("hostname") {
            host.clone_into(&mut config.host);
        }
        if let Some(port) = one("port").and_then(|port| port.parse().ok()) {
            config.port = port;
        }
        if let Some(user) = one("user") {
            user.clone_into(&mut config.user);
            config.named_user = names("user").then(|| user.to_owned());
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
        config.asks_for_host_keys = one("knownhostscommand").is_some();
        let identities: Vec<_> = all("identityfile").filter(|file| *file != "none").collect();
        config.identity_files = identities.iter().map(|file| expand(file, home)).collect();
        config.identity_texts = identities.iter().map(|file| (*file).to_owned()).collect();
        config.names_identities = names("identityfile");

        let agent = all("identityagent").next();
        let other_agent = agent.filter(|socket| {
            let environment = std::env::var("SSH_AUTH_SOCK").unwrap_or_default();
            !["none", "SSH_AUTH_SOCK", environment.as_str()].contains(socket)
        });
        config.agent = match other_agent {
            Some(socket) => Agent::At(expand(socket, home)),
            None if agent == Some("none") => Agent::None,
            None => Agent::Usual,
        };
        config.needs_client = not_followed(&pairs, &usual)
            .or_else(|| other_agent.map(|socket| named("identityagent", socket)))
            .or_else(|| identities.iter().find(|file| expands_further(file)).map(|file| named("identityfile", file)));
        config
    }
}

fn pairs(dump: &str) -> Vec<(&str, &str)> {
    dump.lines().filter_map(|line| line.split_once(' ')).collect()
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

/// What the client says about a host that no configuration is about; none without a client.
fn usual() -> Option<&'static str> {
    static USUAL: OnceLock<Option<String>> = OnceLock::new();
    let ask = || {
        which::which("ssh").ok()?;
        let mut command = process::user_command("ssh");
        command.args(["-F", "none", "-G", "--", "host"]).stdin(Stdio::null());
        let output = crate::process::output(&mut command, None, Budget::LOCAL).ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    USUAL.get_or_init(ask).as_deref()
}

/// Settings that make a session what factoryup needs, as far as this client knows them: an older one refuses what it does not know.
const SESSION: [(&str, &str); 3] = [
    ("sessiontype ", "SessionType=default"),
    ("stdinnull ", "StdinNull=no"),
    ("forkafter", "ForkAfterAuthentication=no"),
];

/// The arguments that every call of ssh begins with, up to the destination. The first value that ssh sees for a setting counts.
pub(super) fn arguments(options: &SshOptions, user: Option<&str>) -> Command {
    let mut command = process::user_command("ssh");
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
    let known = |key: &str| usual().is_some_and(|text| text.lines().any(|line| line.starts_with(key)));
    for (_, setting) in SESSION.iter().filter(|(key, _)| known(key)) {
        command.args(["-o", setting]);
    }
    command.args(["-o", "RemoteCommand=none", "-o", "PermitLocalCommand=no"]);
    if let Some(port) = options.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    command
}

fn dump(options: &SshOptions, user: Option<&str>) -> Result<String> {
    let mut command = arguments(options, user);
    command.args(["-G", "--", &options.host]).stdin(Stdio::null());
    let output =
        crate::process::output(&mut command, None, Budget { time: options.timeouts.handshake, ..Budget::LOCAL });
    let failed = |reason: &str| TransportError::Config { host: options.host.clone(), reason: plain(reason) };
    let output = output.map_err(|e| failed(&e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::{Agent, Family, SshConfig, SshOptions, Strict};
    use std::path::{Path, PathBuf};

    fn parse(text: &str) -> SshConfig {
        SshConfig::parse(text, "", &SshOptions::new("alias", "/own"), Path::new("/home/me"))
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
        assert!(config.identities_only && config.agent == Agent::Usual && config.needs_client.is_none());
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
        assert_eq!(parse("identityagent none").agent, Agent::None);
    }

    #[test]
    fn an_alias_for_the_host_key_has_no_port() {
        assert_eq!(parse("hostkeyalias prod\nport 2222").known_as, ("prod".to_owned(), 22));
    }
}
