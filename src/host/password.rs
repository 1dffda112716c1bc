//! The operator's password, where sudo is to ask for one and the account has none yet.

use super::target::HostTarget;
use crate::dialog::Dialog;
use crate::error::{Error, Result};
use crate::factory::Sudo;
use crate::host::observed::Password;
use crate::secret::Secret;

/// Fewer characters than that are guessed too soon by whoever gets at the hash.
const SHORTEST: usize = 12;

impl HostTarget<'_> {
    /// Has the operator choose a password before anything is changed; without a terminal, the one that was given is taken.
    pub(super) fn choose_password(&mut self, dialog: &dyn Dialog) -> Result<()> {
        let operator = self.factory.host.operator.clone();
        let has_one = self.seen.passwords.get(&operator) == Some(&Password::Set);
        if self.factory.host.sudo != Sudo::Password || has_one || self.operator_password.is_some() {
            return Ok(());
        }
        let chosen = if dialog.is_interactive() {
            ask(&operator, &self.subject, dialog)?
        } else {
            self.password.clone().ok_or_else(|| {
                Error::usage(format!(
                    "{operator} needs a password for sudo on {}, and there is no terminal to ask",
                    self.subject
                ))
                .hint("put it in FACTORYUP_SUDO_PASSWORD, or in a file that --sudo-password-file names")
                .hint("or set `sudo = \"key\"` under [host] in factory.toml: then the SSH key is enough")
            })?
        };
        fit(&chosen)?;
        if let Some(root) = self.root.as_mut().filter(|root| root.user() == operator) {
            root.learn(chosen.clone());
        }
        self.operator_password = Some(chosen);
        self.resources = self.profile(&self.seen)?;
        Ok(())
    }
}

fn ask(operator: &str, subject: &str, dialog: &dyn Dialog) -> Result<Secret> {
    loop {
        let first = dialog.secret(&format!("New password of {operator} on {subject}, which sudo will ask for"))?;
        if let Err(error) = fit(&first) {
            dialog.warn(&error.to_string());
            continue;
        }
        if dialog.secret("The same again")?.expose() == first.expose() {
            return Ok(first);
        }
        dialog.warn("These were not the same.");
    }
}

fn fit(password: &Secret) -> Result<()> {
    let text = password.expose();
    if text.chars().count() < SHORTEST || text.contains(char::is_control) {
        return Err(Error::usage(format!(
            "a password for sudo needs at least {SHORTEST} characters and no control characters"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_password_is_refused_without_being_shown() {
        let error = fit(&Secret::new("hunter2")).unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
        assert!(fit(&Secret::new("correct horse battery")).is_ok());
        assert!(fit(&Secret::new("correct horse\nbattery")).is_err());
    }
}
