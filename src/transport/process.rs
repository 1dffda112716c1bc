//! A program on this machine, run with standard input and output as a session wants it.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::options::Timeouts;
use super::output::{Lines, Tail, line_ends};
use super::{Status, Stop};
use crate::budget::{Budget, Meter, Metered};
use crate::interrupt::Asking;
use crate::process;

/// What a child may know of this process's environment. Tokens that the user has set for factoryup are not for others.
const ENVIRONMENT: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "KRB5CCNAME",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// How long an interruption may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);

/// A command that gets no more of the environment than it needs. Ctrl-C at the terminal is for factoryup, which decides what ends.
pub(super) fn command(program: &str) -> Command {
    let mut command = user_command(program);
    command.env_clear().envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command
}

/// A command that gets the user's environment without factoryup's secrets: ssh's configuration may use any variable, as may the
/// programs that it starts.
pub(super) fn user_command(program: &str) -> Command {
    let mut command = process::command(program);
    command.process_group(0);
    command
}

/// Runs it with `stdin`, passes its lines on, and returns how it ended and the end of its standard error. Past its budget it is ended, with
/// all that it started.
pub(super) fn run(
    command: &mut Command,
    stdin: &[u8],
    budget: Budget,
    on_line: &mut dyn FnMut(&str),
) -> io::Result<(ExitStatus, String)> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut to, from, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // All three at once: a child that waits for its output to be read does not read its input, and the other way round.
    let (read, stderr) = std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut to) = to.take() {
                // A child that does not want all of its input says why by its exit status.
                let _ = to.write_all(stdin);
            }
        });
        let meter = budget.open();
        let group = Pid::from_raw(child.id().cast_signed());
        let end = move || group.map(|group| kill_process_group(group, Signal::KILL));
        let stderr = scope.spawn(move || {
            let (tail, read) = read_tail(errors, meter);
            // Else it goes on, and the other pipe stays open.
            let _ = read.as_ref().map_err(|_| end());
            (tail, read)
        });
        let read = read_lines(from, meter, on_line);
        let _ = read.as_ref().map_err(|_| end());
        let (tail, errors) = stderr.join().unwrap_or_else(|_| (String::new(), Ok(())));
        (read.and(errors), tail)
    });
    if read.is_err() {
        process::end(&mut child);
    }
    let status = child.wait()?;
    read.map(|()| (status, stderr))
}

/// The same for a command that can be asked to stop, which `make` makes once more for that.
pub(super) fn run_until(
    make: &(dyn Fn() -> Command + Sync),
    stdin: &[u8],
    stop: Option<Stop<'_>>,
    timeouts: &Timeouts,
    on_line: &mut dyn FnMut(&str),
) -> io::Result<(ExitStatus, String)> {
    let budget = timeouts.budget(stop.is_some());
    let Some(stop) = stop else { return run(&mut make(), stdin, budget, on_line) };
    let brief = timeouts.budget(false);
    std::thread::scope(|scope| {
        let (running, ended) = channel::<()>();
        scope.spawn(move || {
            let mut asking = Asking::default();
            while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                let ask = || run(&mut make(), stop.stdin, brief, &mut |_| ()).is_ok_and(|(end, _)| end.success());
                if asking.is_due() && ask() {
                    asking.done();
                    stop.work.asked();
                }
            }
        });
        let result = run(&mut make(), stdin, budget, on_line);
        drop(running);
        result
    })
}

fn read_lines(from: Option<impl Read + AsFd>, meter: Meter, on_line: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut lines = Lines::default();
    each_piece(from, meter, |piece, meter| {
        meter.count(line_ends(piece))?;
        lines
            .push(piece, on_line)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a line of its output is longer than 16 MiB"))
    })?;
    lines.finish(on_line);
    Ok(())
}

fn read_tail(from: Option<impl Read + AsFd>, meter: Meter) -> (String, io::Result<()>) {
    let mut tail = Tail::default();
    let read = each_piece(from, meter, |piece, _| {
        tail.push(piece);
        Ok(())
    });
    (tail.text(), read)
}

fn each_piece(
    from: Option<impl Read + AsFd>,
    meter: Meter,
    mut take: impl FnMut(&[u8], &mut Meter) -> io::Result<()>,
) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut from = Metered::new(from, meter);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => take(&buffer[..read], &mut from.meter)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// A child's end in the words of a session.
pub(super) fn status(status: ExitStatus) -> Status {
    match (status.code(), status.signal()) {
        (Some(code), _) => Status::Code(code),
        (None, signal) => Status::Signal(signal.map_or_else(|| "unknown".into(), signal_name)),
    }
}

/// The name as RFC 4254, section 6.10, has it; the number where that has none.
fn signal_name(number: i32) -> String {
    let names = [
        (1, "HUP"),
        (2, "INT"),
        (3, "QUIT"),
        (4, "ILL"),
        (6, "ABRT"),
        (8, "FPE"),
        (9, "KILL"),
        (11, "SEGV"),
        (13, "PIPE"),
        (14, "ALRM"),
        (15, "TERM"),
    ];
    names.iter().find(|(n, _)| *n == number).map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::budget::Exceeded;

    fn exceeded(script: &str, budget: Budget) -> Exceeded {
        let begun = Instant::now();
        let error = run(command("sh").args(["-c", script]), &vec![b'x'; 1 << 20], budget, &mut |_| ()).unwrap_err();
        assert!(begun.elapsed() < Duration::from_mins(2), "{script}: {:?}", begun.elapsed());
        Exceeded::of(&error).unwrap_or_else(|| panic!("{script}: {error}"))
    }

    #[test]
    fn a_host_that_never_ends_or_drips_is_given_up() {
        let small = Budget { bytes: 1 << 20, ..Budget::QUESTION };
        assert_eq!(exceeded("yes", small), Exceeded::Bytes(1 << 20));
        assert_eq!(exceeded("yes >&2", small), Exceeded::Bytes(1 << 20));
        assert_eq!(exceeded("yes ''", Budget { items: 1000, ..Budget::QUESTION }), Exceeded::Items(1000));
        let short = Budget { time: Duration::from_millis(300), ..Budget::QUESTION };
        for script in [
            "while :; do echo drip; sleep 0.05; done",
            "while :; do echo drip >&2; sleep 0.05; done",
            "sleep 600 & sleep 600",
            "exec sleep 600",
        ] {
            assert_eq!(exceeded(script, short), Exceeded::Time(short.time), "{script}");
        }
    }
}
