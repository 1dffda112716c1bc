//! The local machine, reached through a shell as if it were a remote host.

use std::io;

use super::error::TransportError;
use super::options::Timeouts;
use super::{Attempt, Exit, Session, Stop, Transport, process};
use crate::budget::{Budget, Exceeded};
use crate::error::Result;

/// A shell on this machine, as the user that factoryup runs as.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Transport for Local {
    fn connect(&mut self) -> Result<Box<dyn Session>> {
        let mut user = String::new();
        let (status, stderr) =
            process::run(process::command("id").arg("-un"), &[], Budget::LOCAL, &mut |line| line.clone_into(&mut user))
                .map_err(|e| failed(&e.to_string()))?;
        if !status.success() || user.is_empty() {
            return Err(failed(&stderr).into());
        }
        Ok(Box::new(LocalSession { user }))
    }

    fn attempt(&mut self) -> Result<Attempt> {
        self.connect().map(|_| Attempt::LoggedIn)
    }

    fn vouch(&mut self, _key: &[u8]) -> Result<()> {
        Ok(())
    }
}

fn failed(reason: &str) -> TransportError {
    TransportError::Shell { reason: reason.to_owned() }
}

struct LocalSession {
    user: String,
}

impl Session for LocalSession {
    fn exec(
        &mut self,
        command: &str,
        stdin: &[u8],
        stop: Option<Stop<'_>>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Exit> {
        let shell = || {
            let mut shell = process::command("sh");
            shell.args(["-c", command]);
            shell
        };
        let run = process::run_until(&shell, stdin, stop, &Timeouts::default(), on_line);
        let (status, stderr) = run.map_err(|e: io::Error| match Exceeded::of(&e) {
            Some(limit) => TransportError::Budget { address: "this machine".into(), limit },
            None => failed(&e.to_string()),
        })?;
        Ok(Exit { status: process::status(status), stderr })
    }

    fn user(&self) -> &str {
        &self.user
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Local, Session, Transport};
    use crate::transport::Status;

    fn exec(session: &mut dyn Session, command: &str, stdin: &[u8]) -> (Vec<String>, crate::transport::Exit) {
        let mut lines = Vec::new();
        let exit = session.exec(command, stdin, None, &mut |line| lines.push(line.to_owned())).unwrap();
        (lines, exit)
    }

    #[test]
    fn a_program_on_standard_input_runs() {
        let mut session = Local.connect().unwrap();
        let (lines, exit) = exec(&mut *session, "sh -s", b"echo out; echo err >&2; exit 3");
        assert_eq!((lines, exit.status, exit.stderr), (vec!["out".to_owned()], Status::Code(3), "err".to_owned()));
        assert!(!session.user().is_empty());
    }

    #[test]
    fn a_signal_is_told_from_a_code() {
        let (_, exit) = exec(&mut *Local.connect().unwrap(), "kill -TERM $$", b"");
        assert_eq!(exit.status, Status::Signal("TERM".into()));
    }

    #[test]
    fn large_input_and_output_do_not_wait_for_each_other() {
        let input = "0123456789abcde\n".repeat(128 * 1024);
        let (lines, exit) = exec(&mut *Local.connect().unwrap(), "tee /dev/stderr", input.as_bytes());
        assert!(exit.success());
        assert_eq!((lines.len(), exit.stderr.len()), (128 * 1024, 64 * 1024 - 1));
    }

    #[test]
    fn input_that_nobody_reads_is_no_error() {
        let (lines, exit) = exec(&mut *Local.connect().unwrap(), "exec <&-; echo done", &vec![0; 1 << 20]);
        assert!(exit.success() && lines == ["done"]);
    }
}
