//! The typed form of `factory.toml`: one struct per section, one enum per choice, a default for all that has a good one.

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factory {
    /// Format number of the file; see [`SCHEMA`](super::SCHEMA).
    pub schema: u32,
    /// What the factory is called and whose it is.
    pub factory: FactorySection,
    /// The trusted host.
    #[serde(default)]
    pub host: Host,
    /// The control plane.
    pub gitlab: Gitlab,
    /// The coding agent.
    #[serde(default)]
    pub agent: Agent,
    /// Infrastructure as code.
    #[serde(default)]
    pub infra: Infra,
    /// The edge.
    #[serde(default)]
    pub cloudflare: Cloudflare,
    /// Where secrets live.
    #[serde(default)]
    pub secrets: Secrets,
    /// What runs the pipelines.
    #[serde(default)]
    pub runner: Runner,
    /// Where releases go.
    #[serde(default)]
    pub environments: Environments,
}

/// `[factory]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorySection {
    /// Short name: 2 to 32 of `a-z`, `0-9` and `-`, beginning with a letter. Names the state folder, the slice and the evidence.
    pub name: String,
    /// One line about what the factory makes; may be empty.
    #[serde(default)]
    pub description: String,
    /// The human who owns it, as git shows the name.
    pub owner_name: String,
    /// The owner's e-mail address.
    pub owner_email: String,
    /// The owner's time zone by its IANA name: nightly pipelines run in its night.
    #[serde(default = "utc")]
    pub timezone: String,
}

impl Default for FactorySection {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            owner_name: String::new(),
            owner_email: String::new(),
            timezone: utc(),
        }
    }
}

fn utc() -> String {
    "UTC".into()
}

/// How the trusted host is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKind {
    /// Over SSH.
    #[default]
    Ssh,
    /// The machine that factoryup runs on.
    Local,
    /// No host is provisioned; the agent works elsewhere.
    None,
}

/// How the operator becomes root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sudo {
    /// The SSH key is the credential: `sudo` asks for nothing more.
    #[default]
    Key,
    /// `sudo` asks for the operator's password.
    Password,
}

/// `[host]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// How it is reached.
    pub kind: HostKind,
    /// Host name, address, or an alias from `~/.ssh/config`; needed for `ssh`.
    pub address: String,
    /// TCP port of sshd, 1 to 65535.
    pub port: u16,
    /// The account the provider gave, used until the operator's works: mostly `root`.
    pub login: String,
    /// The owner's own account on the host.
    pub operator: String,
    /// How the operator becomes root.
    pub sudo: Sudo,
    /// The operator's public keys, one OpenSSH line each; at least one for `ssh`.
    pub authorized_keys: Vec<String>,
    /// The host key's fingerprint (`SHA256:…`), if it is known beforehand; empty means known hosts and a question.
    pub host_key: String,
    /// Ports that the firewall opens in addition to sshd's, each as `80/tcp`, `51820/udp` or `30000-30100/tcp`.
    pub open: Vec<String>,
    /// Whether the firewall leaves forwarded packets alone, which containers, virtual machines and VPNs need.
    pub forward: bool,
    /// The host's own name, without a domain; empty leaves it as it is.
    pub hostname: String,
    /// The host's time zone by its IANA name; empty leaves it as it is.
    pub timezone: String,
    /// Whether a host without swap gets a swap file.
    pub swap: bool,
    /// Whether the kernel records changes to accounts, sudo, SSH and the factory's settings.
    pub audit: bool,
    /// The folder on the host that gets its encrypted backups each night; empty for none.
    pub backup_to: String,
    /// What applications on the host can ask for: `postgres`, `redis`.
    pub services: Vec<String>,
}

/// The service of `[host]` that is a database.
pub(crate) const POSTGRES: &str = "postgres";
/// The service of `[host]` for queues, sessions and caches.
pub(crate) const REDIS: &str = "redis";

impl Default for Host {
    fn default() -> Self {
        Self {
            kind: HostKind::default(),
            address: String::new(),
            port: 22,
            login: "root".into(),
            operator: "operator".into(),
            sudo: Sudo::default(),
            authorized_keys: Vec::new(),
            host_key: String::new(),
            open: Vec::new(),
            forward: false,
            hostname: String::new(),
            timezone: String::new(),
            swap: true,
            audit: false,
            backup_to: String::new(),
            services: Vec::new(),
        }
    }
}

/// The GitLab subscription, which decides what can enforce the policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Free, or self-managed without a license.
    #[default]
    Free,
    /// Premium.
    Premium,
    /// Ultimate.
    Ultimate,
}

/// `[gitlab]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gitlab {
    /// Base URL without a trailing slash, `https://` (plain `http://` only for a loopback address).
    #[serde(default = "gitlab_com")]
    pub url: String,
    /// Full path of the group that holds the control repo.
    pub group: String,
    /// Path of the control repo in the group.
    #[serde(default = "control_repo")]
    pub project: String,
    /// Default, protected branch.
    #[serde(default = "main_branch")]
    pub default_branch: String,
    /// Subscription.
    #[serde(default)]
    pub tier: Tier,
}

impl Default for Gitlab {
    fn default() -> Self {
        Self {
            url: gitlab_com(),
            group: String::new(),
            project: control_repo(),
            default_branch: main_branch(),
            tier: Tier::default(),
        }
    }
}

impl Gitlab {
    /// The page of the control repo's project.
    #[must_use]
    pub fn project_url(&self) -> String {
        format!("{}/{}/{}", self.url.trim_end_matches('/'), self.group, self.project)
    }

    /// Where git finds the control repo, over HTTPS.
    #[must_use]
    pub fn git_url(&self) -> String {
        format!("{}.git", self.project_url())
    }
}

fn gitlab_com() -> String {
    "https://gitlab.com".into()
}

fn control_repo() -> String {
    "factory".into()
}

fn main_branch() -> String {
    "main".into()
}

/// Which coding agent works on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentKind {
    /// Claude Code.
    #[default]
    ClaudeCode,
    /// Codex.
    Codex,
    /// Both.
    Both,
}

/// `[agent]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Which agent.
    pub kind: AgentKind,
    /// Its GitLab user name, of a service account or a second user, unique on the GitLab instance.
    pub username: String,
    /// Life of its GitLab token in days, 1 to 30.
    pub token_days: u16,
}

impl Default for Agent {
    fn default() -> Self {
        Self { kind: AgentKind::default(), username: "factory-agent".into(), token_days: 30 }
    }
}

/// The infrastructure engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// `OpenTofu`; encrypts state and plans.
    #[default]
    Opentofu,
    /// Terraform.
    Terraform,
}

impl Engine {
    /// Its program.
    #[must_use]
    pub const fn binary(self) -> &'static str {
        match self {
            Self::Opentofu => "tofu",
            Self::Terraform => "terraform",
        }
    }

    /// What lies open with this engine, if anything does.
    #[must_use]
    pub const fn exposes(self) -> Option<&'static str> {
        match self {
            Self::Opentofu => None,
            Self::Terraform => Some(
                "Terraform does not encrypt state: GitLab stores it as plain text, with the secrets of resources, and every Developer of \
                 the project can read it, including the agent; `engine = \"opentofu\"` under [infra] encrypts it",
            ),
        }
    }
}

/// `[infra]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Infra {
    /// Which engine plans and applies.
    pub engine: Engine,
}

/// `[cloudflare]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cloudflare {
    /// Whether Cloudflare is the edge.
    pub enabled: bool,
    /// Account id, 32 hexadecimal digits; needed when enabled.
    pub account_id: String,
    /// Zone id, 32 hexadecimal digits; needed when enabled.
    pub zone_id: String,
    /// The zone's domain, such as `example.org`; needed when enabled.
    pub zone: String,
}

/// Where secrets live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretProvider {
    /// Encrypted files in the control repo.
    #[default]
    SopsAge,
    /// GitLab CI/CD variables.
    GitlabVariables,
    /// `OpenBao`.
    Openbao,
    /// Infisical.
    Infisical,
    /// 1Password.
    Onepassword,
    /// Bitwarden Secrets Manager.
    Bitwarden,
}

/// `[secrets]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secrets {
    /// Which provider.
    pub provider: SecretProvider,
    /// The owner's age recipient (`age1…`), for `sops-age`; empty until the key ceremony is held.
    pub owner_recipient: String,
}

/// What runs jobs that are not trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunnerKind {
    /// Rootless Podman through the Docker executor, on the trusted host under a user of its own.
    #[default]
    Podman,
    /// The GitLab instance's shared runners.
    Shared,
    /// A Kubernetes cluster.
    Kubernetes,
}

/// `[runner]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runner {
    /// What runs merge-request pipelines. The trusted runner is always the host's own.
    pub kind: RunnerKind,
}

/// `[environments]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Environments {
    /// In the order of promotion, the last is production; 1 to 5 names of `a-z`, `0-9` and `-`.
    pub names: Vec<String>,
}

impl Default for Environments {
    fn default() -> Self {
        Self { names: vec!["staging".into(), "production".into()] }
    }
}
