//! Rows of `[factory]` and `[host]`: whose it is, and where the work is done.

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
        explain: "Names the folder, the systemd slice and the evidence. 2 to 32 of a-z, 0-9 and single -, beginning with a letter. \
                  It stays: choose the name of the product or the team.",
        example: "acme",
        check: Some(rules::factory_name),
        pattern: Some(NAME),
        ..Field::PLAIN
    },
    Field {
        key: "factory.description",
        flag: "description",
        prompt: "What the factory makes",
        help: "One line about what the factory makes",
        explain: "Stands at the top of the control repo's README and in the GitLab project. May be empty.",
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
        help: "Name of the human who owns the factory",
        explain: "As it should stand in commits and in the docs. Found in git's configuration (user.name) if that has it.",
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
        explain: "For commits, and for mail about failed pipelines. Found in git's configuration (user.email) if that has it.",
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
        help: "Time zone of the owner, by its IANA name",
        explain: "The nightly pipeline runs at 3:17 of that zone. Found on this machine (`TZ`, `/etc/localtime`) if it has one. \
                  `timedatectl list-timezones` prints the names.",
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
        explain: "A machine of its own is the safest: the agent gets a user without sudo, and nothing of yours is on that machine. \
                  `local` changes this very machine: users, firewall, sshd. `none` leaves hosts alone and makes only the \
                  control repo and the hand-off.",
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
        explain: "What you would give to ssh, without the account and the port. A fresh Debian 12 or 13 or Ubuntu machine is \
                  the best start.",
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
        explain: "22, unless the provider moved it. It stays where it is.",
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
        help: "Account that the provider gave, used until the operator's works",
        explain: "Mostly `root`; `debian` or `ubuntu` on cloud images. It needs root or sudo.",
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
        help: "The owner's own account on the host",
        explain: "Made on the host, with sudo and your keys. The agent and what deploys get accounts of their own, so it \
                  cannot be root, agent, deploy, factory-ci or runner.",
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
        explain: "With `key`, whoever holds your SSH key is root, and nothing more is asked. With `password`, sudo asks for a \
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
        help: "The operator's public keys: an OpenSSH line, or on the command line a .pub file",
        explain: "After hardening, the host takes keys only, so without the right one nobody comes in. Give the .pub file, or \
                  its line; a second key on another device is a good spare. Ed25519, ECDSA, hardware keys, or RSA from 3072 bits.",
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
        help: "Fingerprint of the host's key, if it is known beforehand; empty means known hosts and a question",
        explain: "What `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows on the host; many providers show it on the \
                  machine's console. With it, the first connection needs no trust.",
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
                  A range is 30000-30100/tcp. `factoryup plan host` names each port in use that the firewall would close.",
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
];
