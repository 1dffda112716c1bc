//! The rules for values: one function for each kind of value.
//!
//! A rule looks at a text alone, never at the network or the disk, and says either nothing or a [`Fault`]. Its reason is a verb
//! phrase with the field as its subject, so that it reads the same in a file's error ("`host.port` is 70000, which is …") and at
//! a prompt. No reason ever repeats the value: it may be a secret that was pasted by mistake.

mod destination;
mod gitlab;
mod keys;
mod names;
mod places;
mod secrets;

pub(crate) use destination::destination;
pub(crate) use gitlab::{branch, group, project, username};
pub(crate) use keys::{age_recipient, authorized_key, authorized_keys_of, fingerprint, hex_id};
pub(crate) use names::{account, email, environment, factory_name, line, operator, person};
pub(crate) use places::{
    address, backup_to, domain, gitlab_url, hostname, open_port, port_range, service, tidy_url, timezone,
};
pub(crate) use secrets::{begins_secret, find_secrets, pasted_secret};

/// A rule: nothing, or why the text cannot be used.
pub type Check = fn(&str) -> Result<(), Fault>;

/// Why a value cannot be used, and what would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// A verb phrase whose subject is the field: `begins with a digit`.
    pub reason: String,
    /// What to write instead.
    pub remedy: String,
    /// Whether the value may be a secret, so that it must not be shown with the fault.
    pub secret: bool,
}

impl Fault {
    /// A fault with its reason and its remedy.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into(), secret: false }
    }

    /// The same about a value that must not be shown.
    pub(super) fn about_a_secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.remedy)
    }
}

/// `Ok` when it holds, else a fault.
fn ensure(holds: bool, reason: impl Into<String>, remedy: &str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::new(reason, remedy)) }
}

/// A character as it may be shown: itself in quotes, or its number when it is invisible.
fn shown(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        c if c.is_control() || c.is_whitespace() => format!("the character U+{:04X}", u32::from(c)),
        c => format!("`{c}`"),
    }
}
