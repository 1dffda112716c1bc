//! The rows, section by section.

mod control;
mod delivery;
mod owner;

use super::{Choice, Field, Section};

/// The sections, in the order of the file.
pub const SECTIONS: &[Section] = &[
    Section { name: "factory", about: "The factory's name and owner." },
    Section { name: "host", about: "The trusted host, where the agent works." },
    Section { name: "gitlab", about: "GitLab, which validates, approves and deploys changes." },
    Section { name: "agent", about: "The coding agent and its identity." },
    Section { name: "infra", about: "Infrastructure as code." },
    Section { name: "cloudflare", about: "Cloudflare, for DNS and access to your applications." },
    Section { name: "secrets", about: "Where secrets are stored. Never in this file." },
    Section { name: "runner", about: "The runner of the pipelines." },
    Section { name: "environments", about: "The deployment environments." },
];

/// The table: every field, in the order of the file, which is the order of the questions.
pub const FIELDS: &[Field] = &ROWS;

/// Names of factories and environments, for the JSON Schema.
const NAME: &str = "^[a-z](?:-?[a-z0-9])*$";
/// Unix accounts, for the JSON Schema.
const ACCOUNT: &str = "^[a-z_][a-z0-9_-]{0,31}$";
/// One part of a GitLab path, for the JSON Schema.
const PATH: &str = "^[A-Za-z0-9](?:[._-]?[A-Za-z0-9])*$";

const ROWS: [Field; owner::OWNER.len() + control::CONTROL.len() + delivery::DELIVERY.len()] = {
    let mut rows = [Field::PLAIN; owner::OWNER.len() + control::CONTROL.len() + delivery::DELIVERY.len()];
    let (owner, control) = (owner::OWNER.len(), control::CONTROL.len());
    let mut at = 0;
    while at < rows.len() {
        rows[at] = if at < owner {
            owner::OWNER[at]
        } else if at < owner + control {
            control::CONTROL[at - owner]
        } else {
            delivery::DELIVERY[at - owner - control]
        };
        at += 1;
    }
    rows
};

const fn choice(value: &'static str, label: &'static str) -> Choice {
    Choice { value, label }
}
