//! Rows of `[gitlab]` and `[agent]`.

use super::super::{Ask, Field, ValueKind};
use super::{PATH, choice};
use crate::factory::rules;

pub(super) const CONTROL: &[Field] = &[
    Field {
        key: "gitlab.url",
        flag: "gitlab-url",
        prompt: "URL of GitLab",
        help: "Base URL of the GitLab instance",
        explain: "gitlab.com or your own instance. Use https; http works only for a loopback address.",
        example: "https://gitlab.com",
        default: Some("https://gitlab.com"),
        check: Some(rules::gitlab_url),
        pattern: Some("^https?://[^\\s/?#@]+(?:/[A-Za-z0-9._-]+)*$"),
        tidy: Some(rules::tidy_url),
        ..Field::PLAIN
    },
    Field {
        key: "gitlab.group",
        flag: "gitlab-group",
        prompt: "GitLab group",
        help: "Full path of the group of the control repo",
        explain: "The path in the group's URL, with slashes for subgroups. Create the group first: on gitlab.com only people can create \
                  top-level groups.",
        example: "acme",
        suggest: Some(|answer| answer("factory.name").map(|name| name.to_string())),
        check: Some(rules::group),
        pattern: Some("^[A-Za-z0-9][A-Za-z0-9._/-]*$"),
        ..Field::PLAIN
    },
    Field {
        key: "gitlab.project",
        flag: "gitlab-project",
        prompt: "Project of the control repo",
        help: "Path of the control repo in the group",
        explain: "factoryup creates the project, or adopts an existing one.",
        example: "factory",
        default: Some("factory"),
        ask: Ask::IfUnknown,
        check: Some(rules::project),
        pattern: Some(PATH),
        ..Field::PLAIN
    },
    Field {
        key: "gitlab.default_branch",
        flag: "default-branch",
        prompt: "Default branch",
        help: "Default branch, protected: only merge requests change it",
        explain: "Production deploys from this branch. Nobody can push to it, not even you.",
        example: "main",
        default: Some("main"),
        ask: Ask::IfUnknown,
        check: Some(rules::branch),
        pattern: Some("^[^\\s~^:?*\\[\\\\-][^\\s~^:?*\\[\\\\]*$"),
        ..Field::PLAIN
    },
    Field {
        key: "gitlab.tier",
        flag: "gitlab-tier",
        prompt: "GitLab subscription",
        help: "GitLab subscription of the group, for the features that enforce the policy",
        explain: "Free protects branches, tags, variables and runners. That is enough for one owner. Premium adds required approvals, \
                  code owners, a protected production environment and a push rule. factoryup sets up the same on Ultimate.",
        example: "free",
        kind: ValueKind::Choice(&[
            choice("free", "Free, or self-managed without a license"),
            choice("premium", "Premium"),
            choice("ultimate", "Ultimate"),
        ]),
        default: Some("free"),
        ..Field::PLAIN
    },
    Field {
        key: "agent.kind",
        flag: "agent",
        prompt: "Coding agent",
        help: "Coding agent on the host",
        explain: "One is enough. Both read the same AGENTS.md and skills, and each gets its own settings.",
        example: "claude-code",
        kind: ValueKind::Choice(&[
            choice("claude-code", "Claude Code"),
            choice("codex", "Codex"),
            choice("both", "both"),
        ]),
        default: Some("claude-code"),
        ..Field::PLAIN
    },
    Field {
        key: "agent.username",
        flag: "agent-username",
        prompt: "The agent's GitLab user name",
        help: "The agent's GitLab user name, unique on the instance",
        explain: "A service account or a second user with the Developer role. It can push branches and open merge requests. It \
                  cannot merge or read production secrets.",
        example: "acme-agent",
        default: Some("factory-agent"),
        suggest: Some(|answer| answer("factory.name").map(|name| format!("{name}-agent"))),
        ask: Ask::IfUnknown,
        check: Some(rules::username),
        pattern: Some(PATH),
        ..Field::PLAIN
    },
    Field {
        key: "agent.token_days",
        flag: "agent-token-days",
        prompt: "Lifetime of the agent's token in days",
        help: "Lifetime of the agent's GitLab token in days",
        explain: "A shorter lifetime limits the damage of a leak. In its last week the host renews the token, and \
                  the nightly pipeline the agent's membership of the project; so does `factoryup apply`. A token of \
                  one day is renewed by `factoryup apply` alone.",
        example: "30",
        kind: ValueKind::Number { min: 1, max: 30 },
        default: Some("30"),
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
];
