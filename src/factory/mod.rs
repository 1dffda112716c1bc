//! `factory.toml`: the desired state of a factory.
//!
//! The file is the desired state of everything factoryup brings about and the memory of the wizard's answers. It is committed in
//! the control repo, meant to be edited, and never holds a secret. Here live its typed [model](Factory), the rules a value must
//! keep, the [field table](fields) from which flags, environment variables, prompts, help and JSON Schema come, and the reader
//! that turns a mistake into file, line, field and remedy. What the values *mean* for a target lives with that target.
//!
//! ```toml
//! schema = 2
//!
//! [factory]
//! name = "acme"
//! owner_name = "Ada Lovelace"
//! owner_email = "ada@example.org"
//!
//! [host]
//! kind = "ssh"
//! address = "203.0.113.7"
//! authorized_keys = ["ssh-ed25519 AAAA… ada@laptop"]
//!
//! [gitlab]
//! group = "acme"
//! ```

pub mod answers;
pub mod fields;
mod file;
mod flags;
mod former;
mod model;
mod problem;
mod promises;
mod questions;
mod read;
mod rules;
mod schema;
mod write;

pub use file::{parse, read, read_text};
pub use flags::AnswerFlags;
pub(crate) use former::schema_of;
pub use model::{
    Agent, AgentKind, Cloudflare, Engine, Environments, Factory, FactorySection, Gitlab, Host, HostKind, Infra, Runner,
    RunnerKind, SecretProvider, Secrets, Sudo, Tier,
};
pub(crate) use model::{POSTGRES, REDIS};
pub use promises::{PROMISES, Promise, promises};
pub(crate) use questions::answered_since;
pub use questions::{Renewed, new_questions, renew, said};
pub use rules::{Check, Fault};
pub(crate) use rules::{destination, port_range};
pub use schema::{json_schema, markdown};
pub use write::{edit, to_toml};

/// Whether a text holds, or begins to hold, a secret of a known shape: what is typed should not be shown then.
#[must_use]
pub fn looks_secret(text: &str) -> bool {
    rules::begins_secret(text)
}

/// The `schema` number that this version writes. It reads all from 1 on.
pub const SCHEMA: u32 = 2;
/// The section with answers that nothing asks for any more: kept, and read by nothing.
pub const RETIRED: &str = "retired";
/// The file's name, at the root of the control repo.
pub const FILE_NAME: &str = "factory.toml";
