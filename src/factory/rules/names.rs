//! Rules for names of factories, people, accounts and environments.

use super::{Fault, ensure, shown};

/// Accounts that Debian's `base-passwd` and the services of a fresh host bring. None of them can be the operator's.
const SYSTEM_ACCOUNTS: [&str; 26] = [
    "root",
    "daemon",
    "bin",
    "sys",
    "sync",
    "games",
    "man",
    "lp",
    "mail",
    "news",
    "uucp",
    "proxy",
    "www-data",
    "backup",
    "list",
    "irc",
    "_apt",
    "nobody",
    "sshd",
    "messagebus",
    "polkitd",
    "tss",
    "sudo",
    "systemd-network",
    "systemd-timesync",
    "systemd-resolve",
];
/// Accounts that factoryup makes for the other identities.
const FACTORY_ACCOUNTS: [&str; 5] = ["agent", "deploy", "factory-build", "factory-ci", "runner"];

/// A factory's name: 2 to 32 of `a-z`, `0-9` and single `-` between them, beginning with a letter. It names a systemd slice, in
/// which a `-` at the end or two in a row are invalid (`man systemd.slice`).
pub(crate) fn factory_name(text: &str) -> Result<(), Fault> {
    let remedy = "use 2 to 32 of a-z, 0-9 and single -, beginning with a letter, such as `acme`";
    slug(text, remedy)?;
    ensure(text.len() >= 2, "is too short", remedy)
}

/// Environments in GitLab, with their own variables and signing keys, that the control repo's own jobs use.
const OWN_ENVIRONMENTS: [&str; 2] = ["control-plane", "evidence"];

/// An environment's name: as a factory's, from one character, and none that the control repo's own jobs use.
pub(crate) fn environment(text: &str) -> Result<(), Fault> {
    slug(text, "use 1 to 32 of a-z, 0-9 and single -, beginning with a letter, such as `staging`")?;
    let remedy = "use another name, such as `staging`";
    ensure(
        !OWN_ENVIRONMENTS.contains(&text),
        format!("is `{text}`, an environment of the control repo's own jobs"),
        remedy,
    )
}

fn slug(text: &str, remedy: &str) -> Result<(), Fault> {
    ensure(!text.is_empty(), "is empty", remedy)?;
    if let Some(odd) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return Err(Fault::new(format!("contains {}", shown(odd)), remedy));
    }
    ensure(text.starts_with(|c: char| c.is_ascii_lowercase()), "does not begin with a letter", remedy)?;
    ensure(!text.ends_with('-'), "ends with `-`", remedy)?;
    ensure(!text.contains("--"), "contains `--`", remedy)?;
    ensure(text.len() <= 32, format!("is {} characters long", text.len()), remedy)
}

/// A Unix account as Debian's `useradd` takes it: 1 to 32 of `a-z`, `0-9`, `_` and `-`, beginning with a letter or `_`
/// (`man 8 useradd`, CAVEATS).
pub(crate) fn account(text: &str) -> Result<(), Fault> {
    let remedy = "use 1 to 32 of a-z, 0-9, _ and -, beginning with a letter or _, such as `ada`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    if let Some(odd) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '_' | '-')) {
        return Err(Fault::new(format!("contains {}", shown(odd)), remedy));
    }
    ensure(text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'), "does not begin with a letter", remedy)?;
    ensure(text.len() <= 32, format!("is {} characters long", text.len()), remedy)
}

/// The operator's account: one that neither the system nor another identity has.
pub(crate) fn operator(text: &str) -> Result<(), Fault> {
    account(text)?;
    let remedy = "use a separate account for the operator, such as `operator`";
    ensure(!FACTORY_ACCOUNTS.contains(&text), format!("is `{text}`, the account of a service user"), remedy)?;
    ensure(!SYSTEM_ACCOUNTS.contains(&text), format!("is `{text}`, a system account"), remedy)
}

/// A person's name as git writes it: 1 to 100 characters, without `<`, `>`.
pub(crate) fn person(text: &str) -> Result<(), Fault> {
    let remedy = "write the name as it should appear in commits, such as `Ada Lovelace`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    ensure(!text.contains(['<', '>']), "contains `<` or `>`, which git removes from names", remedy)?;
    ensure(text.chars().any(char::is_alphanumeric), "contains no letter", remedy)?;
    ensure(text.chars().count() <= 100, "is longer than 100 characters", remedy)
}

/// One line about something: at most 200 characters.
pub(crate) fn line(text: &str) -> Result<(), Fault> {
    ensure(text.chars().count() <= 200, "is longer than 200 characters", "shorten it to one line")
}

/// An e-mail address as git and GitLab use it: a local part of the usual characters, and a domain with a dot. The backtick, `{`,
/// `|` and `}` of RFC 5322 are left out: nobody has them, and `${` would begin an expression in a `.tfvars` file.
pub(crate) fn email(text: &str) -> Result<(), Fault> {
    let remedy = "write an e-mail address, such as `ada@example.org`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    let (local, domain) = text.rsplit_once('@').ok_or_else(|| Fault::new("has no `@`", remedy))?;
    let usual = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_~.-".contains(c);
    if let Some(odd) = local.chars().find(|c| !usual(*c)) {
        return Err(Fault::new(format!("contains {} before the `@`", shown(odd)), remedy));
    }
    ensure(!local.is_empty() && local.len() <= 64, "has no valid name before the `@`", remedy)?;
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    ensure(!dots, "has a misplaced dot before the `@`", remedy)?;
    ensure(super::places::is_domain(domain), "has no domain after the `@`", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_pass() {
        for name in ["ab", "acme", "a1-b2", &"a".repeat(32)] {
            assert_eq!(factory_name(name), Ok(()), "{name}");
        }
        for name in ["a", "staging", "evidence-2", "my-control-plane"] {
            assert_eq!(environment(name), Ok(()), "{name}");
        }
        for name in ["ada", "_svc", "a", "op-1"] {
            assert_eq!(operator(name), Ok(()), "{name}");
        }
        for address in ["ada@example.org", "a.b+c@x-y.example.co.uk", "ö@bücher.example"] {
            assert_eq!(email(address), Ok(()), "{address}");
        }
    }

    #[test]
    fn names_that_do_not() {
        for name in ["", "a", "1a", "-a", "a-", "a--b", "Acme", "a_b", "a b", "ä1", &"a".repeat(33)] {
            assert!(factory_name(name).is_err(), "{name}");
        }
        for name in ["", "a_b", "evidence", "control-plane"] {
            assert!(environment(name).is_err(), "{name}");
        }
        for name in [
            "",
            "1a",
            "-a",
            "Ada",
            "a.b",
            "a b",
            "a$",
            "root",
            "agent",
            "deploy",
            "factory-build",
            "factory-ci",
            "runner",
            "sshd",
            &"a".repeat(33),
        ] {
            assert!(operator(name).is_err(), "{name}");
        }
        for address in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@localhost",
            "a@b@c.org",
            "a b@c.org",
            "a@-x.org",
            "a@192.0.2.1",
            ".a@x.org",
            "${a}@x.org",
        ] {
            assert!(email(address).is_err(), "{address}");
        }
    }
}
