//! How the host's own backups are, in the host's own words: when the last one was made, and whether the last try failed.

use std::time::Duration;

use super::event::Line;
use super::program::backup_state;
use super::target::HostTarget;
use crate::dialog::{Dialog, plain};
use crate::error::Result;

/// A night, and half a day for a host that was off.
const STALE: Duration = Duration::from_hours(36);

/// The host's backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backups {
    /// How long ago the last one was made of which no part is missing.
    pub age: Option<Duration>,
    /// What the last try said, if it failed.
    pub failure: Option<String>,
}

impl Backups {
    /// What is wrong with them, in words.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        match (&self.failure, self.age) {
            (Some(why), _) => Some(format!("the last backup failed: {why}")),
            (None, None) => Some("no backup was made yet".into()),
            (None, Some(age)) if age > STALE => Some(format!("the last backup was made {} ago", hours(age))),
            (None, Some(_)) => None,
        }
    }

    /// When the last one was made, in words.
    #[must_use]
    pub fn last(&self) -> String {
        self.age.map_or_else(|| "no backup yet".into(), |age| format!("last backup {} ago", hours(age)))
    }

    fn take(&mut self, lines: &[String]) {
        let of =
            |key: &str| lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).unwrap_or_default();
        let seconds = |key: &str| of(key).parse::<u64>().ok();
        self.age = seconds("now").zip(seconds("done")).map(|(now, done)| Duration::from_secs(now.saturating_sub(done)));
        self.failure = (of("state") == "failed").then(|| match of("said") {
            "" => "`journalctl --unit factory-backup` on the host says why".into(),
            said => plain(said),
        });
    }
}

fn hours(age: Duration) -> String {
    match age.as_secs() / 3600 {
        0 => "less than an hour".into(),
        1 => "1 hour".into(),
        hours if hours < 72 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}

impl HostTarget<'_> {
    /// Its backups; none if `factory.toml` names no place for them.
    ///
    /// # Errors
    /// When the host cannot be reached.
    pub fn backups(&mut self, dialog: &dyn Dialog) -> Result<Option<Backups>> {
        if self.factory.host.backup_to.is_empty() {
            return Ok(None);
        }
        let mut lines = Vec::new();
        self.root(dialog)?.run(&backup_state(), dialog, &mut |line| {
            if let Line::Seen { section, line } = line
                && section == "backup"
            {
                lines.push(line);
            }
        })?;
        let mut backups = Backups::default();
        backups.take(&lines);
        Ok(Some(backups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Backups {
        let mut backups = Backups::default();
        backups.take(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        backups
    }

    #[test]
    fn a_backup_is_missing_old_failed_or_fine() {
        let fault = |text: &str| read(text).fault().unwrap_or_default();
        assert_eq!(fault("now 200000\ndone \nstate inactive\nsaid "), "no backup was made yet");
        assert_eq!(fault("now 200000\ndone 190000\nstate inactive\nsaid x"), "");
        assert_eq!(fault("now 200000\ndone 190000\nstate activating\nsaid x"), "");
        assert_eq!(fault("now 200000\ndone 10000\nstate inactive\nsaid x"), "the last backup was made 52 hours ago");
        assert_eq!(fault("now 200000\ndone 190000\nstate failed\nsaid no room"), "the last backup failed: no room");
        assert!(fault("now 200000\ndone 190000\nstate failed\nsaid ").contains("journalctl"));
        assert_eq!(read("now 200000\ndone 199999").last(), "last backup less than an hour ago");
        assert_eq!(read("now 1000000\ndone 1").last(), "last backup 11 days ago");
    }
}
