//! The variables of templates: the settings of `factory.toml` and values derived from them.
//!
//! Every key is always there, so that a name which is not is a mistake in the template and never an absent answer. Choices come
//! as their word in `factory.toml` and as yes-or-no keys, so that conditions stay free of string comparisons.

use serde::Serialize;
use serde_json::Value;

use crate::factory::{AgentKind, Engine, Factory, HostKind, RunnerKind, SecretProvider, Tier, promises};

/// The whole context, in the order in which the README of the templates describes it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Context<'a> {
    factory: FactoryKeys<'a>,
    host: HostKeys<'a>,
    gitlab: GitlabKeys<'a>,
    agent: AgentKeys<'a>,
    infra: InfraKeys,
    cloudflare: CloudflareKeys<'a>,
    secrets: SecretsKeys<'a>,
    runner: RunnerKeys,
    environments: EnvironmentsKeys<'a>,
    template: TemplateKeys<'a>,
}

#[derive(Clone, Debug, Serialize)]
struct FactoryKeys<'a> {
    name: &'a str,
    description: &'a str,
    owner_name: &'a str,
    owner_email: &'a str,
    timezone: &'a str,
}

#[derive(Clone, Debug, Serialize)]
struct HostKeys<'a> {
    kind: HostKind,
    enabled: bool,
    address: &'a str,
    port: u16,
    login: &'a str,
    operator: &'a str,
    sudo: crate::factory::Sudo,
    backup: bool,
    backup_to: &'a str,
}

#[derive(Clone, Debug, Serialize)]
struct GitlabKeys<'a> {
    url: &'a str,
    host: &'a str,
    group: &'a str,
    project: &'a str,
    path: String,
    default_branch: &'a str,
    tier: Tier,
    premium: bool,
    self_hosted: bool,
    promises: Vec<PromiseKeys>,
}

/// What GitLab enforces.
#[derive(Clone, Debug, Serialize)]
struct PromiseKeys {
    holds: &'static str,
    by: &'static str,
    tried: usize,
}

#[derive(Clone, Debug, Serialize)]
struct AgentKeys<'a> {
    kind: AgentKind,
    claude: bool,
    codex: bool,
    username: &'a str,
    token_days: u16,
}

#[derive(Clone, Debug, Serialize)]
struct InfraKeys {
    engine: Engine,
    binary: &'static str,
    name: &'static str,
    opentofu: bool,
}

#[derive(Clone, Debug, Serialize)]
struct CloudflareKeys<'a> {
    enabled: bool,
    account_id: &'a str,
    zone_id: &'a str,
    zone: &'a str,
}

#[derive(Clone, Debug, Serialize)]
struct SecretsKeys<'a> {
    provider: SecretProvider,
    sops: bool,
    name: &'static str,
    owner_recipient: &'a str,
}

#[derive(Clone, Debug, Serialize)]
#[allow(clippy::struct_excessive_bools)]
struct RunnerKeys {
    kind: RunnerKind,
    podman: bool,
    shared: bool,
    kubernetes: bool,
}

#[derive(Clone, Debug, Serialize)]
struct EnvironmentsKeys<'a> {
    names: &'a [String],
    production: &'a str,
}

#[derive(Clone, Debug, Serialize)]
struct TemplateKeys<'a> {
    version: &'a str,
}

impl<'a> Context<'a> {
    /// The context of `factory`, for the pack of version `version`.
    pub(crate) fn new(factory: &'a Factory, version: &'a str) -> Self {
        let Factory { factory: section, host, gitlab, agent, infra, cloudflare, secrets, runner, environments, .. } =
            factory;
        let opentofu = infra.engine == Engine::Opentofu;
        let gitlab_host = host_of(&gitlab.url);
        Self {
            factory: FactoryKeys {
                name: &section.name,
                description: &section.description,
                owner_name: &section.owner_name,
                owner_email: &section.owner_email,
                timezone: &section.timezone,
            },
            host: HostKeys {
                kind: host.kind,
                enabled: host.kind != HostKind::None,
                address: &host.address,
                port: host.port,
                login: &host.login,
                operator: &host.operator,
                sudo: host.sudo,
                backup: host.kind != HostKind::None && !host.backup_to.is_empty(),
                backup_to: &host.backup_to,
            },
            gitlab: GitlabKeys {
                url: &gitlab.url,
                host: gitlab_host,
                group: &gitlab.group,
                project: &gitlab.project,
                path: format!("{}/{}", gitlab.group, gitlab.project),
                default_branch: &gitlab.default_branch,
                tier: gitlab.tier,
                premium: gitlab.tier != Tier::Free,
                self_hosted: gitlab_host != "gitlab.com",
                promises: promises(gitlab.tier)
                    .map(|promise| PromiseKeys { holds: promise.holds, by: promise.by, tried: promise.tried.len() })
                    .collect(),
            },
            agent: AgentKeys {
                kind: agent.kind,
                claude: agent.kind != AgentKind::Codex,
                codex: agent.kind != AgentKind::ClaudeCode,
                username: &agent.username,
                token_days: agent.token_days,
            },
            infra: InfraKeys {
                engine: infra.engine,
                binary: infra.engine.binary(),
                name: if opentofu { "OpenTofu" } else { "Terraform" },
                opentofu,
            },
            cloudflare: CloudflareKeys {
                enabled: cloudflare.enabled,
                account_id: &cloudflare.account_id,
                zone_id: &cloudflare.zone_id,
                zone: &cloudflare.zone,
            },
            secrets: SecretsKeys {
                provider: secrets.provider,
                sops: secrets.provider == SecretProvider::SopsAge,
                name: provider_name(secrets.provider),
                owner_recipient: &secrets.owner_recipient,
            },
            runner: RunnerKeys {
                kind: runner.kind,
                podman: runner.kind == RunnerKind::Podman,
                shared: runner.kind == RunnerKind::Shared,
                kubernetes: runner.kind == RunnerKind::Kubernetes,
            },
            environments: EnvironmentsKeys {
                names: &environments.names,
                production: environments.names.last().map_or("", String::as_str),
            },
            template: TemplateKeys { version },
        }
    }

    /// As JSON, for conditions and checks.
    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Host and port of a URL: what stands between `://` and the next `/`.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

fn provider_name(provider: SecretProvider) -> &'static str {
    match provider {
        SecretProvider::SopsAge => "SOPS with age",
        SecretProvider::GitlabVariables => "GitLab CI/CD variables",
        SecretProvider::Openbao => "OpenBao",
        SecretProvider::Infisical => "Infisical",
        SecretProvider::Onepassword => "1Password",
        SecretProvider::Bitwarden => "Bitwarden Secrets Manager",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_keeps_the_port() {
        assert_eq!(host_of("https://gitlab.com"), "gitlab.com");
        assert_eq!(host_of("http://127.0.0.1:8080/gitlab"), "127.0.0.1:8080");
    }

    #[test]
    fn the_keys_are_the_agreed_ones() {
        let factory: Factory = toml::from_str(
            "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"a@b.c\"\n[gitlab]\ngroup = \"g\"\n",
        )
        .unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&Context::new(&factory, "1.0.0").to_json()).unwrap());
    }
}
