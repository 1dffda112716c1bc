//! Which names an application can have.

use super::error::AppError;
use crate::factory::Factory;

/// `ssh` is the edge's own label in production.
const RESERVED: [&str; 1] = ["ssh"];

/// Checks a name: it becomes a GitLab project, a label in DNS, a folder and a systemd unit.
pub(super) fn check(name: &str, factory: &Factory) -> Result<(), AppError> {
    let wrong = |why: &str| Err(AppError::Name { name: name.to_owned(), why: why.to_owned() });
    if !(2..=32).contains(&name.len()) {
        return wrong("it is not 2 to 32 characters long");
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return wrong("it contains something other than a-z, 0-9 and -");
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || name.ends_with('-') || name.contains("--") {
        return wrong("it does not begin with a letter, ends with - or contains --");
    }
    if RESERVED.contains(&name) || name == factory.gitlab.project {
        return wrong("the factory uses this name");
    }
    // On the host an application's other environments are called NAME-ENVIRONMENT.
    if factory.environments.names.iter().any(|environment| name.ends_with(&format!("-{environment}"))) {
        return wrong("it ends with the name of an environment");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_names_that_fit_everywhere_pass() {
        let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"A\"\nowner_email = \"a@b.c\"\n[gitlab]\ngroup = \"g\"\n";
        let factory = toml::from_str(text).unwrap();
        for name in ["shop", "s2", "web-shop", "a1-b2-c3"] {
            assert!(super::check(name, &factory).is_ok(), "{name}");
        }
        let long = "a".repeat(33);
        for name in [
            "",
            "s",
            "Shop",
            "1shop",
            "-shop",
            "shop-",
            "a--b",
            "a_b",
            "a/b",
            "../a",
            "ssh",
            "factory",
            "shop-staging",
            &long,
        ] {
            assert!(super::check(name, &factory).is_err(), "{name:?} passed");
        }
    }
}
