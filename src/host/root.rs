//! Root's shell on a host, over one session: how a program gets there, and what happens when sudo wants a password.

use std::time::Instant;

use serde_json::json;
use zeroize::Zeroizing;

use super::event::Line;
use super::observed::Observed;
use super::program::{Questions, Word};
use crate::dialog::{Dialog, plain};
use crate::error::{Error, Kind, Result};
use crate::interrupt::Work;
use crate::secret::Secret;
use crate::trace;
use crate::transport::{Exit, Session, Status, Stop};

/// How a section begins whose lines are secrets.
pub(super) const SECRET: &str = "secret:";
const BOOTSTRAP: &str = include_str!("lib/bootstrap.sh");
/// The longest answers that are taken, in bytes: those of a host with all it can have are far below 1 MiB.
const LONGEST: usize = 16 * 1024 * 1024;
/// How often a person may try a password.
const TRIES: u32 = 3;

/// The command that every program is run by. It is the same for all programs, and no data is in it.
pub(crate) fn command() -> String {
    let lines: Vec<&str> = BOOTSTRAP.lines().filter(|line| !line.starts_with('#')).collect();
    format!("exec sh -c {}", Word::text(&lines.join("\n")))
}

/// A session in which programs run as root.
pub(crate) struct Root {
    session: Box<dyn Session>,
    subject: String,
    password: Option<Secret>,
    /// Whether sudo here wants it: a password goes to no host that has not asked.
    wanted: bool,
    /// What came in place of a program's lines: the words of a shell or a forced command.
    said: Vec<String>,
    /// Whether a program spoke.
    spoke: bool,
}

/// The most lines that are kept of what is no program's.
const MOST_SAID: usize = 4;

impl Root {
    /// Uses `session` on the host that messages call `subject`. `password` is for sudo, where it is known; it is sent once sudo
    /// has asked for one.
    pub(crate) fn new(session: Box<dyn Session>, subject: &str, password: Option<Secret>) -> Self {
        Self { session, subject: subject.to_owned(), password, wanted: false, said: Vec::new(), spoke: false }
    }

    /// The same where sudo is known to ask, which saves the question.
    pub(crate) fn asking(self, wanted: bool) -> Self {
        Self { wanted, ..self }
    }

    /// The user that is logged in.
    pub(crate) fn user(&self) -> &str {
        self.session.user()
    }

    /// From now on, sudo will ask for this password.
    pub(crate) fn learn(&mut self, password: Secret) {
        self.password = Some(password);
        self.wanted = true;
    }

    /// The password that sudo took.
    pub(crate) fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// Runs a program to its end and passes on what it says.
    ///
    /// # Errors
    /// `NotPermitted` when there is no way to root, `CutShort` when the connection is lost, `Internal` when the shell does not
    /// take the program.
    pub(crate) fn run(&mut self, program: &str, dialog: &dyn Dialog, on_line: &mut dyn FnMut(Line)) -> Result<()> {
        self.run_until(program, None, dialog, on_line)
    }

    /// The same for a program that stops between two changes once another one, `stop`, was run.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(crate) fn run_until(
        &mut self,
        program: &str,
        stop: Option<(&str, &Work)>,
        dialog: &dyn Dialog,
        on_line: &mut dyn FnMut(Line),
    ) -> Result<()> {
        let mut attempt = 0;
        loop {
            let mut refused = None;
            let exit = self.exec(program, stop, &mut |line| match line {
                Line::NoRoot { root } => refused = Some(root),
                line => on_line(line),
            })?;
            match refused {
                None => return self.judge(&exit),
                Some(why) if why == "needs-password" && !self.wanted && self.password.is_some() => self.wanted = true,
                Some(why) => {
                    attempt += 1;
                    self.remedy(&why, attempt, dialog)?;
                }
            }
        }
    }

    /// Has questions answered.
    ///
    /// # Errors
    /// As [`run`](Self::run); `Data` when the answers are longer than 16 MiB.
    pub(crate) fn observe(&mut self, questions: &Questions, dialog: &dyn Dialog) -> Result<Observed> {
        let mut seen = Observed::about(questions.homes());
        let mut size = 0;
        self.run(&questions.compile("probe"), dialog, &mut |line| {
            if let Line::Seen { section, line } = line {
                size += line.len();
                if size <= LONGEST {
                    seen.take(&section, &line);
                }
            }
        })?;
        if !self.spoke {
            return Err(self.ran_something_else("exit code 0", ""));
        }
        if size > LONGEST {
            return Err(Error::data(format!("{} has more to say than 16 MiB about what it is like", self.subject))
                .hint("`factoryup plan host --script` shows what it is asked: look there for a file that is far too large"));
        }
        Ok(seen)
    }

    /// What goes to the host so that a program runs: the password that sudo wants, and the program.
    fn stdin(&self, program: &str) -> Zeroizing<Vec<u8>> {
        let password = self.password.as_ref().filter(|_| self.wanted).map_or("", Secret::expose);
        let mut stdin = Zeroizing::new(Vec::with_capacity(password.len() + 1 + program.len()));
        stdin.extend_from_slice(password.as_bytes());
        stdin.push(b'\n');
        stdin.extend_from_slice(program.as_bytes());
        stdin
    }

    fn exec(&mut self, program: &str, stop: Option<(&str, &Work)>, on_line: &mut dyn FnMut(Line)) -> Result<Exit> {
        // Without the line in front of it, which can be a password.
        trace::note("program", || json!({"on": self.subject, "user": self.session.user(), "program": program}));
        let begun = Instant::now();
        let stdin = self.stdin(program);
        let stop = stop.map(|(program, work)| (self.stdin(program), work));
        let stop = stop.as_ref().map(|(stdin, work)| Stop { stdin, work });
        let (subject, said, spoke) = (&self.subject, &mut self.said, &mut self.spoke);
        (*said, *spoke) = (Vec::new(), false);
        let result = self.session.exec(&command(), &stdin, stop, &mut |text| {
            let read = Line::read(text);
            let is_secret = matches!(&read, Some(Line::Seen { section, .. }) if section.starts_with(SECRET));
            trace::note("line", || json!({"on": subject, "line": if is_secret { "[secret]" } else { text }}));
            if let Some(line) = read {
                *spoke = true;
                on_line(line);
            } else if said.len() < MOST_SAID && !text.trim().is_empty() {
                said.push(text.trim().chars().take(200).collect());
            }
        });
        trace::note("program-end", || {
            let (status, stderr) = match &result {
                Ok(exit) => (exit.status.to_string(), exit.stderr.as_str()),
                Err(error) => (error.to_string(), ""),
            };
            json!({"on": self.subject, "status": status, "ms": trace::ms(begun), "stderr": stderr})
        });
        result
    }

    /// A program says itself how it ended; what is left here is that it did not run.
    fn judge(&self, exit: &Exit) -> Result<()> {
        match exit.status {
            Status::Code(0 | 3 | 75) => Ok(()),
            Status::Code(73) => Err(Error::new(
                Kind::CannotWrite,
                format!(
                    "on {}, {}",
                    self.subject,
                    plain(exit.stderr.lines().last().unwrap_or("nothing can be written"))
                ),
            )
            .hint(
                "make room on the host, then run the same command again: df -h /var/lib/factoryup shows how full it is",
            )),
            // These are a shell's that does not take the program, and the program's own.
            Status::Code(2 | 64 | 70) => Err(self.failed(exit)),
            Status::Code(_) if !self.spoke => Err(self.ran_something_else(&exit.status.to_string(), &exit.stderr)),
            _ => Err(self.failed(exit)),
        }
    }

    /// A program that came to its end in a way that is a fault of factoryup's.
    fn failed(&self, exit: &Exit) -> Error {
        Error::internal(format!(
            "the program on {} ended with {}: {}",
            self.subject,
            exit.status,
            plain(exit.stderr.lines().last().unwrap_or("it said nothing"))
        ))
        .hint("read it with `factoryup plan host --script`")
    }

    /// The host took the login and ran another program than the one that was sent: a forced command, a shell that is none.
    fn ran_something_else(&self, status: &str, stderr: &str) -> Error {
        let user = plain(self.session.user());
        let lines = self.said.iter().map(String::as_str).chain(stderr.lines());
        let said: Vec<String> =
            lines.map(|line| plain(line.trim())).filter(|line| !line.is_empty()).take(MOST_SAID).collect();
        let said = if said.is_empty() { "it said nothing".to_owned() } else { said.join(" / ") };
        Error::new(
            Kind::NotPermitted,
            format!("{} takes the login as {user}, and runs no program of factoryup's ({status}): {said}", self.subject),
        )
        .hint("if it names another account, set `login` under [host] in factory.toml to that")
        .hint(format!(
            "or log in once as {user} with ssh and do what it asks for, such as a new password; the account needs a shell and no forced command"
        ))
    }

    /// Asks for the password, or says why there is no way to root.
    fn remedy(&mut self, why: &str, attempt: u32, dialog: &dyn Dialog) -> Result<()> {
        let user = plain(self.session.user());
        let on = &self.subject;
        let not_permitted = |message: String| Error::new(Kind::NotPermitted, message);
        let wrong = why == "wrong-password";
        if why == "needs-password" && !dialog.is_interactive() {
            return Err(not_permitted(format!("sudo on {on} wants the password of {user}, and there is no terminal"))
                .hint("put it in FACTORYUP_SUDO_PASSWORD, or in a file that --sudo-password-file names")
                .hint(format!("or let {user} use sudo without a password: NOPASSWD in /etc/sudoers.d/")));
        }
        if (why == "needs-password" || wrong) && attempt <= TRIES && dialog.is_interactive() {
            if wrong {
                dialog.warn("sudo did not take this password.");
            }
            let password = dialog.secret(&format!("Password of {user} for sudo on {on}"))?;
            if password.expose().contains(['\n', '\r']) {
                return Err(Error::usage("a password for sudo cannot hold a line break"));
            }
            self.learn(password);
            return Ok(());
        }
        Err(match why {
            "no-doas" => not_permitted(format!("doas on {on} does not let {user} become root without a password"))
                .hint(format!("put `permit nopass {user}` in /etc/doas.conf on the host, or install sudo there")),
            "no-sudo" => not_permitted(format!("{user} is not root on {on}, and there is neither sudo nor doas"))
                .hint("log in as root once: set `login = \"root\"` under [host] in factory.toml"),
            "needs-tty" => not_permitted(format!("sudo on {on} wants a terminal (requiretty)"))
                .hint(format!("put `Defaults:{user} !requiretty` in a file in /etc/sudoers.d/ on the host")),
            "not-allowed" => not_permitted(format!("{user} may not become root on {on}"))
                .hint(format!("as root on the host: adduser {user} sudo")),
            _ => not_permitted(format!("sudo on {on} does not take the password of {user}"))
                .hint("check FACTORYUP_SUDO_PASSWORD or the file of --sudo-password-file, or type it when asked"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::dialog::Silent;

    /// A host that asks for a password, or does not, and remembers the first line of all that it got.
    struct Host {
        asks: bool,
        got: Arc<Mutex<Vec<String>>>,
    }

    impl Session for Host {
        fn exec(
            &mut self,
            _command: &str,
            stdin: &[u8],
            _stop: Option<Stop<'_>>,
            on_line: &mut dyn FnMut(&str),
        ) -> Result<Exit> {
            let first = String::from_utf8_lossy(stdin).lines().next().unwrap_or_default().to_owned();
            let asks = self.asks && first.is_empty();
            self.got.lock().unwrap().push(first);
            if asks {
                on_line(r#"{"root":"needs-password"}"#);
            }
            Ok(Exit { status: Status::Code(if asks { 77 } else { 0 }), stderr: String::new() })
        }

        fn user(&self) -> &'static str {
            "admin"
        }
    }

    #[test]
    fn a_password_goes_only_to_a_host_that_asked() {
        for (asks, known, first_lines) in [
            (false, false, vec!["", ""]),
            (true, false, vec!["", "hunter2", "hunter2"]),
            (true, true, vec!["hunter2", "hunter2"]),
        ] {
            let got = Arc::default();
            let host = Host { asks, got: Arc::clone(&got) };
            let mut root = Root::new(Box::new(host), "host", Some(Secret::new("hunter2"))).asking(known);
            for _ in 0..2 {
                root.run("exit", &Silent, &mut |_| ()).unwrap();
            }
            assert_eq!(*got.lock().unwrap(), first_lines);
        }
    }

    /// A host that runs something of its own in place of a program.
    struct Other(i32, &'static str);

    impl Session for Other {
        fn exec(
            &mut self,
            _command: &str,
            _stdin: &[u8],
            _stop: Option<Stop<'_>>,
            on_line: &mut dyn FnMut(&str),
        ) -> Result<Exit> {
            if self.0 != 1 {
                on_line(self.1);
            }
            let stderr = if self.0 == 1 { self.1.to_owned() } else { String::new() };
            Ok(Exit { status: Status::Code(self.0), stderr })
        }

        fn user(&self) -> &'static str {
            "root"
        }
    }

    #[test]
    fn what_a_forced_command_says_is_the_error() {
        for (code, said) in [
            (142, "Please login as the user \"ubuntu\" rather than the user \"root\"."),
            (1, "Password change required but no TTY available."),
            (0, "This account is for backups."),
        ] {
            let mut root = Root::new(Box::new(Other(code, said)), "host", None);
            let error = root.observe(&Questions::default(), &Silent).unwrap_err();
            assert_eq!(error.kind(), Kind::NotPermitted, "{error}");
            assert!(error.to_string().ends_with(said), "{error}");
            assert!(error.hints()[0].contains("set `login` under [host]"), "{:?}", error.hints());
        }
    }

    #[test]
    fn the_command_is_constant_and_any_shell_takes_it() {
        let command = command();
        assert!(!command.contains("# shellcheck") && command.starts_with("exec sh -c '"));
        for shell in ["dash", "bash"] {
            let output = std::process::Command::new(shell).args(["-n", "-c", &command]).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        }
    }
}
