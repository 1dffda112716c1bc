//! What a program says while it runs: one JSON object per line.

use serde::Deserialize;

use crate::plan::Undo;

/// One line.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Line {
    /// Something happened.
    Event(Event),
    /// A probe read this.
    Seen {
        /// What it is an answer to.
        section: String,
        /// A line of the tool that was asked.
        line: String,
    },
    /// Why there is no root's shell.
    NoRoot {
        /// One of the words of `lib/bootstrap.sh`.
        root: String,
    },
}

/// What happened.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// Another run holds the host; this one waits for it.
    Waiting {
        /// For so many seconds at most.
        seconds: u32,
    },
    /// It waits for cloud-init to end.
    CloudInit {
        /// For so many seconds at most.
        seconds: u32,
    },
    /// cloud-init has not ended in time, and the program goes on.
    NoCloudInit {
        /// How long it waited.
        seconds: u32,
    },
    /// The current change installs packages, and this is what apt says of its progress; see [`Apt`](super::apt::Apt).
    Apt {
        /// A line of it.
        line: String,
    },
    /// It stops between two changes, because it was asked to.
    Stopped {
        /// The change that had begun, and had changed nothing yet.
        id: Option<String>,
    },
    /// It waited long enough; nothing was done.
    Busy,
    /// A change begins.
    Started {
        /// Which.
        id: String,
    },
    /// It was made.
    Done {
        /// Which.
        id: String,
        /// How to undo it.
        undo: Option<Undo>,
    },
    /// It could not be made where a worker or another server decides, or part of it on the way back; and the rest goes on.
    Left {
        /// Which change.
        id: String,
        /// The exit code; none on the way back, where the change itself is done.
        code: Option<i32>,
        /// What is left as it is.
        log: String,
    },
    /// It failed, and the program with it.
    Failed {
        /// Which.
        id: String,
        /// The exit code.
        code: i32,
        /// The end of what it said.
        log: String,
    },
    /// A check refused, before anything was changed.
    Refused {
        /// Which change; none when the revert could not be made ready.
        id: Option<String>,
        /// What it said.
        log: String,
    },
    /// The guarded changes are in place; they stay if this is confirmed in time.
    Armed,
    /// They are not in place any more: the state is the one from before.
    Reverted {
        /// What sshd and the revert had to say.
        log: String,
    },
    /// The program came to its end.
    End,
}

impl Line {
    /// Reads a line. What a login shell may print before a program runs is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_is_told_apart() {
        assert_eq!(Line::read("Welcome to Debian"), None);
        assert_eq!(Line::read("{\"event\":\"end\"}"), Some(Line::Event(Event::End)));
        assert_eq!(Line::read("{\"root\":\"no-sudo\"}"), Some(Line::NoRoot { root: "no-sudo".into() }));
        assert_eq!(
            Line::read(r#"{"section":"os","line":"NAME=\"x\""}"#),
            Some(Line::Seen { section: "os".into(), line: "NAME=\"x\"".into() })
        );
        let undo = Some(Undo::Restore { before: "/var/x".into() });
        assert_eq!(
            Line::read(r#"{"event":"done","id":"file:/x","undo":{"how":"restore","before":"/var/x"}}"#),
            Some(Line::Event(Event::Done { id: "file:/x".into(), undo }))
        );
        assert_eq!(
            Line::read(r#"{"event":"done","id":"x","undo":null}"#),
            Some(Line::Event(Event::Done { id: "x".into(), undo: None }))
        );
    }
}
