//! Tokens that the host renewed by itself: what they are now, and whether the last renewal failed.

use super::accounts::AGENT;
use super::event::Line;
use super::profile::of_agent;
use super::program::{HostPath, Payload, last_run, renewed};
use super::resources::RENEWALS;
use super::root::SECRET;
use super::target::HostTarget;
use crate::dialog::{Dialog, plain};
use crate::error::Result;
use crate::factory::POSTGRES;
use crate::hand_over::{HandOver, Token};
use crate::secret::Secret;

impl HostTarget<'_> {
    /// The agent's tokens that the host has put in the place of these, which it got from here. They are the agent's word: GitLab says what
    /// each is.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub fn renewed(&mut self, over: &HandOver, dialog: &dyn Dialog) -> Result<HandOver> {
        let files = of_agent(&self.factory, over).into_iter();
        let files: Vec<_> = files.map(|(name, path, text)| (name, path, Payload::Sealed(text).sha256())).collect();
        let (record, mut found) = (HostPath::home(AGENT, RENEWALS), HandOver::default());
        self.root(dialog)?.run(&renewed(AGENT, &record, &files), dialog, &mut |line| {
            let Line::Seen { section, line } = line else { return };
            // The agent can write anything there, and it goes into a header.
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
            let is_token = (20..=255).contains(&line.len()) && line.bytes().all(is_part);
            let token = || Token::Known(Secret::claimed(line.as_str()));
            match section.strip_prefix(SECRET) {
                Some("agent") if is_token => found.agent = token(),
                Some("desk") if is_token => found.desk = token(),
                _ => {}
            }
        })?;
        Ok(found)
    }

    /// Why the last renewal of the agent's tokens failed, if it did.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub fn renewal_fault(&mut self, dialog: &dyn Dialog) -> Result<Option<String>> {
        self.run_fault("factory-renew", "factory-renew", dialog)
    }

    /// Why the last nightly copies of applications' databases failed, if they did; none on a host without Postgres.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub fn copies_fault(&mut self, dialog: &dyn Dialog) -> Result<Option<String>> {
        if !self.factory.host.services.iter().any(|name| name == POSTGRES) {
            return Ok(None);
        }
        self.run_fault("factory-postgres-copies", "factory-postgres", dialog)
    }

    fn run_fault(&mut self, unit: &str, program: &str, dialog: &dyn Dialog) -> Result<Option<String>> {
        let mut lines = Vec::new();
        self.root(dialog)?.run(&last_run(unit, program), dialog, &mut |line| {
            if let Line::Seen { section, line } = line
                && section == "run"
            {
                lines.push(line);
            }
        })?;
        Ok(fault(unit, program, &lines))
    }
}

fn fault(unit: &str, program: &str, lines: &[String]) -> Option<String> {
    let of = |key: &str| lines.iter().find_map(|line| line.strip_prefix(key)).map_or("", str::trim);
    // A host without the service has no result either.
    let failed = !matches!(of("result"), "success" | "");
    failed.then(|| match of("said").strip_prefix(program).unwrap_or_default().trim_start_matches(": ") {
        "" => format!("`journalctl --unit {unit}` on the host says why"),
        said => plain(said),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_that_failed_says_why() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let fault = |text: &str| fault("factory-renew", "factory-renew", &lines(text));
        for fine in ["", "result \nsaid ", "result success\nsaid factory-renew: x: GitLab answers 401"] {
            assert_eq!(fault(fine), None, "{fine}");
        }
        let failed = "result exit-code\nsaid factory-renew: desk-credential: GitLab answers 401; run: factoryup apply";
        assert_eq!(fault(failed).unwrap(), "desk-credential: GitLab answers 401; run: factoryup apply");
        assert!(fault("result timeout\nsaid ").unwrap().contains("journalctl"));
    }
}
