//! A host that moves between the plan and the apply.

use std::fs;

use crate::pty::Pty;
use portable_pty::CommandBuilder;

use super::{Journey, SUDO_PASSWORD, ends_with, said};

impl Journey {
    /// The same in a terminal, where questions can be asked.
    fn in_terminal(&self, args: &[&str]) -> Pty {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_factoryup"));
        command.args(args);
        command.env_clear();
        command.cwd(self.repo());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("TERM", "xterm");
        command.env("HOME", self.home.path());
        command.env("XDG_STATE_HOME", self.home.path().join("state"));
        command.env("FACTORYUP_SUDO_PASSWORD", SUDO_PASSWORD);
        command.env("FACTORYUP_IDENTITY", self.keys.path("id"));
        Pty::start(command, 120)
    }
}

/// The host moves after it was planned: whoever is asked decides, nobody else does, and until then nothing is dialled.
pub(super) fn another_host_gets_nothing_unasked(journey: &Journey) {
    let file = journey.repo().join("factory.toml");
    let text = fs::read_to_string(&file).unwrap();
    let port = format!("port = {}", journey.host.port());
    let text_of_another = if text.contains(&port) {
        text.replace(&port, "port = 9")
    } else {
        text.replace("[host]\n", "[host]\nport = 9\n")
    };
    assert_ne!(text, text_of_another, "{text}");
    ends_with(&journey.in_repo(&["plan", "host"]), 0);
    fs::write(&file, text_of_another).unwrap();
    let known = fs::read_to_string(journey.state().join("factory.json")).unwrap();
    let refused = journey.in_repo(&["apply", "host", "--yes"]);
    ends_with(&refused, 65);
    let said = said(&refused);
    assert!(said.contains("the host was ") && said.contains(":9 with the key "), "{said}");
    assert!(said.contains("run the command on a terminal and confirm"), "{said}");

    let question = "Is this still your factory? Its tokens will be used with the new values.";
    let mut pty = journey.in_terminal(&["apply", "host", "--yes"]);
    pty.expect(question).send("n");
    let (code, said) = pty.end();
    assert_eq!(code, 130, "{said}");
    assert_eq!(fs::read_to_string(journey.state().join("factory.json")).unwrap(), known);
    // With a yes it is dialled, and is not there.
    let mut pty = journey.in_terminal(&["apply", "host", "--yes"]);
    pty.expect(question).send("y");
    let (code, said) = pty.end();
    assert_eq!(code, 69, "{said}");
    // And back again, which is a move as well.
    fs::write(&file, &text).unwrap();
    ends_with(&journey.in_repo(&["apply", "host", "--yes"]), 65);
    fs::write(journey.state().join("factory.json"), known).unwrap();
    ends_with(&journey.in_repo(&["apply", "host", "--yes"]), 0);
}
