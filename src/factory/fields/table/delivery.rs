//! Rows of `[infra]`, `[cloudflare]`, `[secrets]`, `[runner]` and `[environments]`.

use super::super::{Ask, Field, ValueKind, When};
use super::{NAME, choice};
use crate::factory::rules;

const WITH_CLOUDFLARE: Option<When> = Some(When { key: "cloudflare.enabled", any: &["true"] });
const WITH_SOPS: Option<When> = Some(When { key: "secrets.provider", any: &["sops-age"] });

pub(super) const DELIVERY: &[Field] = &[
    Field {
        key: "infra.engine",
        flag: "engine",
        prompt: "Infrastructure engine",
        help: "Tool that plans and applies the infrastructure",
        explain: "Both read the same files. OpenTofu also encrypts state and plans. With Terraform, GitLab stores the state as plain text. Every Developer of the project can read it, and so can the agent.",
        example: "opentofu",
        kind: ValueKind::Choice(&[choice("opentofu", "OpenTofu"), choice("terraform", "Terraform")]),
        default: Some("opentofu"),
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
    Field {
        key: "cloudflare.enabled",
        flag: "cloudflare",
        prompt: "Use Cloudflare",
        help: "Whether Cloudflare serves DNS and access to your applications",
        explain: "Adds DNS records, a tunnel and access rules to infra/. You can turn it on later.",
        example: "true",
        kind: ValueKind::Bool,
        default: Some("false"),
        ..Field::PLAIN
    },
    Field {
        key: "cloudflare.account_id",
        flag: "cloudflare-account-id",
        prompt: "Cloudflare account id",
        help: "Cloudflare account id, 32 hexadecimal digits",
        explain: "In the Cloudflare dashboard: your domain, Overview, on the right under API. It is not a secret.",
        example: "0123456789abcdef0123456789abcdef",
        when: WITH_CLOUDFLARE,
        check: Some(rules::hex_id),
        pattern: Some("^(?:[0-9a-f]{32})?$"),
        ..Field::PLAIN
    },
    Field {
        key: "cloudflare.zone_id",
        flag: "cloudflare-zone-id",
        prompt: "Cloudflare zone id",
        help: "Cloudflare zone id, 32 hexadecimal digits",
        explain: "In the Cloudflare dashboard: your domain, Overview, on the right under API. It is not a secret.",
        example: "fedcba9876543210fedcba9876543210",
        when: WITH_CLOUDFLARE,
        check: Some(rules::hex_id),
        pattern: Some("^(?:[0-9a-f]{32})?$"),
        ..Field::PLAIN
    },
    Field {
        key: "cloudflare.zone",
        flag: "cloudflare-zone",
        prompt: "Domain of the zone",
        help: "Domain of the Cloudflare zone",
        explain: "The domain whose DNS Cloudflare serves, in lower case.",
        example: "example.org",
        when: WITH_CLOUDFLARE,
        check: Some(rules::domain),
        pattern: Some("^(?:[a-z0-9-]+(?:\\.[a-z0-9-]+)+)?$"),
        ..Field::PLAIN
    },
    Field {
        key: "secrets.provider",
        flag: "secrets-provider",
        prompt: "Secrets provider",
        help: "Where secrets are stored",
        explain: "sops-age stores them encrypted in the control repo and needs no service. The others store them elsewhere, and the \
                  repo describes how pipelines fetch them.",
        example: "sops-age",
        kind: ValueKind::Choice(&[
            choice("sops-age", "encrypted files in the control repo (SOPS with age)"),
            choice("gitlab-variables", "GitLab CI/CD variables"),
            choice("openbao", "OpenBao"),
            choice("infisical", "Infisical"),
            choice("onepassword", "1Password"),
            choice("bitwarden", "Bitwarden Secrets Manager"),
        ]),
        default: Some("sops-age"),
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
    Field {
        key: "secrets.owner_recipient",
        flag: "owner-recipient",
        prompt: "Your age recipient",
        help: "The owner's age recipient (age1…), the public half of the key; can be empty until you have one",
        explain: "On your own machine, run `age-keygen -o key.txt` and keep key.txt off the host. Then enter the output of \
                  `age-keygen -y key.txt`.",
        example: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        default: Some(""),
        when: WITH_SOPS,
        ask: Ask::IfUnknown,
        check: Some(rules::age_recipient),
        pattern: Some("^(?:age1[a-z0-9-]+)?$"),
        ..Field::PLAIN
    },
    Field {
        key: "runner.kind",
        flag: "runner",
        prompt: "Runner for merge request pipelines",
        help: "Runner for untrusted jobs, which are those of merge requests",
        explain: "Podman runs them on the host in rootless containers, as a separate user. Shared runners are GitLab's own machines. \
                  Deployments always run on the host's protected runner.",
        example: "podman",
        kind: ValueKind::Choice(&[
            choice("podman", "rootless containers on the host"),
            choice("shared", "the instance's shared runners"),
            choice("kubernetes", "a Kubernetes cluster"),
        ]),
        default: Some("podman"),
        suggest: Some(|answer| {
            let hostless = answer("host.kind").is_some_and(|kind| kind.to_string() == "none");
            hostless.then(|| "shared".to_owned())
        }),
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
    Field {
        key: "environments.names",
        flag: "environments",
        prompt: "Environments",
        help: "Environments in the order of promotion, separated by commas; the last is production",
        explain: "Each environment gets its own state, variables and deployment job. Enter 1 to 5 names of a-z, 0-9 and -.",
        example: "staging, production",
        kind: ValueKind::List { min: 1, max: 5, commas: true },
        default: Some("staging, production"),
        ask: Ask::IfUnknown,
        check: Some(rules::environment),
        pattern: Some(NAME),
        ..Field::PLAIN
    },
];
