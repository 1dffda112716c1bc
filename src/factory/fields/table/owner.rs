//! Rows of `[factory]` and `[host]`.

use super::super::{Ask, Field, ValueKind, When};
use super::{ACCOUNT, NAME, choice};
use crate::factory::rules;

const OVER_SSH: Option<When> = Some(When { key: "host.kind", any: &["ssh"] });
const WITH_HOST: Option<When> = Some(When { key: "host.kind", any: &["ssh", "local"] });

pub(super) const OWNER: &[Field] = &[
    Field {
        key: "factory.name",
        flag: "name",
        prompt: "Name of the factory",
        help: "Short name of the factory",
        explain: "Used for the directory, the systemd slice and the evidence. 2 to 32 of a-z, 0-9 and single -, beginning with a letter. \
                  It is hard to change: choose the name of the product or the team.",
        example: "acme",
        check: Some(rules::factory_name),
        pattern: Some(NAME),
        ..Field::PLAIN
    },
    Field {
        key: "factory.description",
        flag: "description",
        prompt: "Description of the factory",
        help: "One line about what the factory produces",
        explain: "Shown at the top of the control repo's README and in the GitLab project. It can be empty.",
        example: "The shop and its API",
        default: Some(""),
        ask: Ask::IfUnknown,
        check: Some(rules::line),
        ..Field::PLAIN
    },
    Field {
        key: "factory.owner_name",
        flag: "owner-name",
        prompt: "Your name",
        help: "Name of the factory's owner, a human",
        explain: "Used in commits and docs. The default comes from git's configuration (user.name).",
        example: "Ada Lovelace",
        ask: Ask::IfUnknown,
        check: Some(rules::person),
        ..Field::PLAIN
    },
    Field {
        key: "factory.owner_email",
        flag: "owner-email",
        prompt: "Your e-mail address",
        help: "E-mail address of the owner",
        explain: "Used in commits, and for mail about failed pipelines. The default comes from git's configuration (user.email).",
        example: "ada@example.org",
        ask: Ask::IfUnknown,
        check: Some(rules::email),
        pattern: Some("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$"),
        ..Field::PLAIN
    },
    Field {
        key: "factory.timezone",
        flag: "timezone",
        prompt: "Your time zone",
        help: "Time zone of the owner (IANA name)",
        explain: "The nightly pipeline runs at 3:17 in this time zone. The default comes from this machine (`TZ`, `/etc/localtime`). \
                  `timedatectl list-timezones` lists all names.",
        example: "Europe/Vienna",
        default: Some("UTC"),
        ask: Ask::IfUnknown,
        check: Some(rules::timezone),
        pattern: Some("^[A-Z][A-Za-z0-9_+-]*(?:/[A-Z][A-Za-z0-9_+-]*){0,2}$"),
        ..Field::PLAIN
    },
    Field {
        key: "host.kind",
        flag: "host-kind",
        prompt: "Where the agent works",
        help: "How the trusted host is reached",
        explain: "A separate machine is the safest: the agent gets a user without sudo, and none of your files are there. \
                  `local` changes this machine: its users, firewall and sshd. `none` sets up only the control repo and \
                  GitLab.",
        example: "ssh",
        kind: ValueKind::Choice(&[
            choice("ssh", "a machine that I reach over SSH"),
            choice("local", "this machine"),
            choice("none", "no host now"),
        ]),
        default: Some("ssh"),
        ..Field::PLAIN
    },
    Field {
        key: "host.address",
        flag: "host-address",
        prompt: "Address of the host",
        help: "Host name, IP address or alias from ~/.ssh/config",
        explain: "The address that you pass to ssh, without account and port. A fresh machine with Debian 12 or 13, or Ubuntu, \
                  works best.",
        example: "203.0.113.7",
        when: OVER_SSH,
        check: Some(rules::address),
        pattern: Some("^[A-Za-z0-9_.:%-]*$"),
        ..Field::PLAIN
    },
    Field {
        key: "host.port",
        flag: "host-port",
        prompt: "Port of sshd",
        help: "TCP port of sshd on the host",
        explain: "22, unless the provider uses another port. factoryup does not change it.",
        example: "22",
        kind: ValueKind::Number { min: 1, max: 65535 },
        default: Some("22"),
        when: OVER_SSH,
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
    Field {
        key: "host.login",
        flag: "host-login",
        prompt: "Account for the first login",
        help: "Account from the provider, used until the operator's account works",
        explain: "Usually `root`, or `debian` or `ubuntu` on cloud images. It must be root or have sudo.",
        example: "root",
        default: Some("root"),
        when: OVER_SSH,
        ask: Ask::IfUnknown,
        check: Some(rules::account),
        pattern: Some(ACCOUNT),
        ..Field::PLAIN
    },
    Field {
        key: "host.operator",
        flag: "operator",
        prompt: "Your account on the host",
        help: "The owner's account on the host",
        explain: "factoryup creates it on the host, with sudo and your keys. It cannot be root, agent, deploy, factory-build, \
                  factory-ci or runner: those are separate accounts.",
        example: "operator",
        default: Some("operator"),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        check: Some(rules::operator),
        pattern: Some(ACCOUNT),
        ..Field::PLAIN
    },
    Field {
        key: "host.sudo",
        flag: "sudo",
        prompt: "What sudo asks you for",
        help: "How the operator becomes root",
        explain: "With `key`, your SSH key alone gives root, without a further question. With `password`, sudo asks for a \
                  password that you set on the host, and factoryup asks you for it.",
        example: "key",
        kind: ValueKind::Choice(&[
            choice("key", "nothing: the SSH key is the credential"),
            choice("password", "the operator's password"),
        ]),
        default: Some("key"),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
    Field {
        key: "host.authorized_keys",
        flag: "authorized-key",
        prompt: "Your public SSH key",
        help: "The operator's public keys: OpenSSH lines, or on the command line .pub files",
        explain: "After hardening, the host accepts only these keys: without one of them you are locked out. Enter a .pub file or \
                  its line. Add a second key from another device as a spare. Ed25519, ECDSA, hardware keys, or RSA from 3072 bits.",
        example: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnsBe7SWfOLDDpmmIM9BNxYUTtCIpsZMPUiINWD8SX8 ada@laptop",
        kind: ValueKind::List { min: 1, max: 50, commas: false },
        when: OVER_SSH,
        check: Some(rules::authorized_key),
        pattern: Some("^(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-[a-z0-9-]+@openssh\\.com)[ \\t]"),
        tidy: Some(rules::authorized_keys_of),
        ..Field::PLAIN
    },
    Field {
        key: "host.host_key",
        flag: "host-key",
        prompt: "Fingerprint of the host's key",
        help: "Fingerprint of the host's key, if you know it; if empty, known_hosts and your confirmation decide",
        explain: "On the host, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows it. Many providers show it on the \
                  machine's console. With it, factoryup can verify the host on the first connection.",
        example: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        default: Some(""),
        when: OVER_SSH,
        ask: Ask::IfUnknown,
        check: Some(rules::fingerprint),
        pattern: Some("^(?:SHA256:[A-Za-z0-9+/]{43})?$"),
        ..Field::PLAIN
    },
    Field {
        key: "host.open",
        flag: "host-open",
        prompt: "Ports that stay open",
        help: "Ports that the firewall opens in addition to sshd's, such as 80/tcp or 51820/udp",
        explain: "The firewall drops all other new connections from outside. If the host already serves something, name its ports here. \
                  A range is 30000-30100/tcp. With 80/tcp and 443/tcp, and without Cloudflare, the edge serves the domains of applications by \
                  HTTPS. `factoryup plan host` names each port in use that the firewall would close.",
        example: "80/tcp, 443/tcp",
        kind: ValueKind::List { min: 0, max: 100, commas: true },
        default: Some(""),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        check: Some(rules::open_port),
        pattern: Some("^[0-9]{1,5}(?:-[0-9]{1,5})?/(?:tcp|udp)$"),
        ..Field::PLAIN
    },
    Field {
        key: "host.forward",
        flag: "host-forward",
        prompt: "Let the host forward packets",
        help: "Whether the firewall leaves forwarded packets alone, as containers, virtual machines and VPNs need it",
        explain: "With `false`, the firewall drops what the host would forward between its networks. With `true`, the rules of Podman, LXD, \
                  libvirt or WireGuard decide. With Docker on the host, the firewall always leaves forwarded packets alone.",
        example: "true",
        kind: ValueKind::Bool,
        default: Some("false"),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
    Field {
        key: "host.hostname",
        flag: "host-hostname",
        prompt: "Name of the host",
        help: "The host's own name, without a domain; if empty, the host keeps its name",
        explain: "Shown in the prompt of its shells and in its log. factoryup sets it in the kernel, in /etc/hostname and in /etc/hosts, and \
                  tells cloud-init to leave it alone.",
        example: "forge",
        default: Some(""),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        check: Some(rules::hostname),
        pattern: Some("^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)?$"),
        ..Field::PLAIN
    },
    Field {
        key: "host.timezone",
        flag: "host-timezone",
        prompt: "Time zone of the host",
        help: "Time zone of the host (IANA name); if empty, the host keeps its time zone",
        explain: "Logs and timers of the host use it. Most servers use UTC, which has no change to summer time.",
        example: "UTC",
        default: Some(""),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        check: Some(rules::timezone),
        pattern: Some("^(?:[A-Z][A-Za-z0-9_+-]*(?:/[A-Z][A-Za-z0-9_+-]*){0,2})?$"),
        ..Field::PLAIN
    },
    Field {
        key: "host.swap",
        flag: "host-swap",
        prompt: "Add swap if the host has none",
        help: "Whether a host without swap gets a swap file",
        explain: "The file is as large as the memory, from 1 to 4 GiB. With it, the agent and builds get up to 1 GiB more than memory before the \
                  kernel ends a program. Swap that the host has stays as it is. Containers, btrfs and ZFS get none; the plan says so.",
        example: "false",
        kind: ValueKind::Bool,
        default: Some("true"),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
    Field {
        key: "host.audit",
        flag: "host-audit",
        prompt: "Record changes with auditd",
        help: "Whether auditd records changes to accounts, sudo, SSH and the factory's settings",
        explain: "sudo and su report each call to auditd, too. auditd keeps 40 MB of logs, and makes \
                  each system call on the host a little slower. Rules that the host has stay. A container cannot have it.",
        example: "true",
        kind: ValueKind::Bool,
        default: Some("false"),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        ..Field::PLAIN
    },
    Field {
        key: "host.backup_to",
        flag: "host-backup-to",
        prompt: "Folder for backups of the host",
        help: "Folder on the host for its nightly encrypted backups; if empty, it makes none",
        explain: "Each night, the host encrypts the applications' data and the agent's unpushed work for `owner_recipient` under [secrets], and \
                  writes them there. Make or mount the folder yourself: a network drive, or a folder that your own machine fetches from.",
        example: "/mnt/backup",
        default: Some(""),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        check: Some(rules::backup_to),
        pattern: Some("^(?:(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+)?$"),
        ..Field::PLAIN
    },
    Field {
        key: "host.services",
        flag: "host-service",
        prompt: "Services for applications",
        help: "Services that the host has for applications: postgres, redis",
        explain: "With `postgres`, the host installs Postgres from its own packages, for applications whose .factory/app.conf has \
                  `service.postgres=yes`. Each gets a database that no other application reaches. Postgres takes 25 MB of memory and more \
                  with each connection, and 300 MB of disk. With `redis`, it installs Redis: each environment of an application with \
                  `service.redis=yes` gets an instance, which takes 5 MB of memory and more with what is in it.",
        example: "postgres,redis",
        kind: ValueKind::List { min: 0, max: 2, commas: true },
        default: Some(""),
        when: WITH_HOST,
        ask: Ask::IfUnknown,
        check: Some(rules::service),
        pattern: Some("^(?:postgres|redis)$"),
        ..Field::PLAIN
    },
];
