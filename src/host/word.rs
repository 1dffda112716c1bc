//! Shell words: the one place where text becomes part of a program.
//!
//! A [`Word`] is text that the shell takes as exactly one argument. It is made from text by quoting, or from a [`HostPath`], and
//! in no other way, so a program cannot be built from text that was not quoted.

use std::fmt;

use crate::host::accounts::WORKERS;
use crate::shell;

/// One argument, quoted for a POSIX shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word(String);

impl Word {
    /// Any text, by [`shell::word`].
    pub(crate) fn text(text: &str) -> Self {
        Self(shell::word(text))
    }

    /// As it stands in a program.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path on the host, which may begin with a user's home folder or hold a user's number, though neither need be known yet.
///
/// Written with placeholders: `{home:NAME}` and `{uid:NAME}`. The programs put the account's data in their place on the host; the
/// plan shows `~NAME` and, until the account exists, `UID(NAME)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostPath(String);

/// A piece of a path.
pub(crate) enum Part<'a> {
    /// As it is.
    Text(&'a str),
    /// A user's home folder.
    Home(&'a str),
    /// A user's number.
    Uid(&'a str),
}

impl HostPath {
    /// A path with or without placeholders.
    pub(crate) fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// A path below a user's home folder.
    pub(crate) fn home(user: &str, below: &str) -> Self {
        if below.is_empty() { Self(format!("{{home:{user}}}")) } else { Self(format!("{{home:{user}}}/{below}")) }
    }

    /// The path that was shown as `text`.
    pub(crate) fn shown(text: &str) -> Self {
        if let Some((user, below)) = text.strip_prefix('~').map(|rest| rest.split_once('/').unwrap_or((rest, ""))) {
            return Self::home(user, below);
        }
        let uid = text.split_once("UID(").and_then(|(start, rest)| Some((start, rest.split_once(')')?)));
        match uid {
            Some((start, (user, end))) => Self(format!("{start}{{uid:{user}}}{end}")),
            None => Self::new(text),
        }
    }

    /// The path as one shell word, for a program that has looked the accounts up.
    pub(crate) fn word(&self) -> Word {
        let parts = self.parts();
        let mut word = String::new();
        for part in parts {
            match part {
                Part::Text(text) => word.push_str(Word::text(text).as_str()),
                Part::Home(user) => word.push_str(&format!("\"${}\"", home_variable(user))),
                Part::Uid(user) => word.push_str(&format!("\"${}\"", uid_variable(user))),
            }
        }
        Word(word)
    }

    /// The accounts that must be looked up before the path can be used.
    pub(crate) fn accounts(&self) -> Vec<&str> {
        self.parts()
            .into_iter()
            .filter_map(|part| match part {
                Part::Text(_) => None,
                Part::Home(user) | Part::Uid(user) => Some(user),
            })
            .collect()
    }

    /// The user in whose home folder the path lies; there root acts as that user, who could have planted a link.
    pub(crate) fn inside_home_of(&self) -> Option<&str> {
        match self.parts().as_slice() {
            [Part::Home(user), Part::Text(below), ..] if below.len() > 1 => Some(user),
            _ => None,
        }
    }

    /// Whether it lies in a worker's home, where the worker could have put something in the way.
    pub(crate) fn is_of_worker(&self) -> bool {
        self.inside_home_of().is_some_and(|user| WORKERS.contains(&user))
    }

    /// Its text and its placeholders, in order.
    pub(crate) fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = Vec::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find('{') {
            let Some(end) = rest[at..].find('}').map(|e| at + e) else { break };
            let part = match rest[at + 1..end].split_once(':') {
                Some(("home", user)) => Part::Home(user),
                Some(("uid", user)) => Part::Uid(user),
                _ => break,
            };
            if at > 0 {
                parts.push(Part::Text(&rest[..at]));
            }
            parts.push(part);
            rest = &rest[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest));
        }
        parts
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().into_iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Home(user) => write!(f, "~{user}"),
            Part::Uid(user) => write!(f, "UID({user})"),
        })
    }
}

/// The shell variable that holds a user's home folder.
pub(crate) fn home_variable(user: &str) -> String {
    format!("home_of_{}", variable(user))
}

/// The shell variable that holds a user's number.
pub(crate) fn uid_variable(user: &str) -> String {
    format!("uid_of_{}", variable(user))
}

/// Letters, digits and `_` stay; a `-` becomes `__`, which no two names of a factory share.
fn variable(user: &str) -> String {
    user.replace('-', "__").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn every_shell_reads_back_what_was_quoted() {
        let texts = [
            "plain-1.2_x@y:z%+,",
            "",
            " ",
            "-n",
            "it's",
            "''",
            "a\nb\n",
            "$HOME `id` $(id) \\ \"",
            "*?[a]~!#&|;<>(){}^=",
            "tab\there",
            "ä€𝄞",
            "\u{1}\u{7f}",
        ];
        for shell in crate::skip::host_shells() {
            for text in texts {
                let mut command = Command::new(shell[0]);
                command.args(&shell[1..]).arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut child = command.spawn().unwrap();
                let program = format!("printf '%s.' {}", Word::text(text));
                child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
                let output = child.wait_with_output().unwrap();
                assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{text}."), "{shell:?}");
            }
        }
    }

    #[test]
    fn a_path_knows_whose_home_it_is_in() {
        let path = HostPath::home("ops-1", ".ssh/authorized_keys");
        assert_eq!(path.word().as_str(), "\"$home_of_ops__1\"/.ssh/authorized_keys");
        assert_eq!(path.to_string(), "~ops-1/.ssh/authorized_keys");
        assert_eq!(path.inside_home_of(), Some("ops-1"));
        assert_eq!(HostPath::home("agent", "").inside_home_of(), None);
        let slice = HostPath::new("/etc/systemd/system/user-{uid:agent}.slice.d/x y.conf");
        assert_eq!(slice.word().as_str(), "/etc/systemd/system/user-\"$uid_of_agent\"'.slice.d/x y.conf'");
        for path in [&path, &slice, &HostPath::home("agent", ""), &HostPath::new("/etc/motd")] {
            assert_eq!(HostPath::shown(&path.to_string()), *path);
        }
        assert_eq!(slice.accounts(), ["agent"]);
        assert_eq!(slice.inside_home_of(), None);
    }
}
