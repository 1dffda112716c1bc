//! Starting other programs without handing them what they must not have.
//!
//! A secret may reach factoryup in its environment, since that is where CI and password managers put it; it must not travel on
//! from there. Every child process is therefore made by [`command`], which takes the known secret variables away. What a program says
//! is read by [`output`], within a budget.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, waitid};

use crate::budget::{self, Budget, Meter};

/// Environment variables that may hold a secret for factoryup.
pub const SECRET_VARIABLES: [&str; 8] = [
    "FACTORYUP_GITLAB_TOKEN",
    "FACTORYUP_AGENT_TOKEN",
    "FACTORYUP_AGENT_PROOF_TOKEN",
    "GITLAB_TOKEN",
    "GITLAB_ACCESS_TOKEN",
    "OAUTH_TOKEN",
    "FACTORYUP_SUDO_PASSWORD",
    "FACTORYUP_CLOUDFLARE_API_TOKEN",
];

/// A command that does not inherit [`SECRET_VARIABLES`].
#[allow(clippy::disallowed_methods)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in SECRET_VARIABLES {
        command.env_remove(name);
    }
    command
}

/// How much of standard error is kept, from its end.
const KEPT: usize = 256 * 1024;

/// How long a program has to end by itself once it is told to.
const GRACE: Duration = Duration::from_secs(2);

/// Runs a program to its end, with `input` on its standard input where there is any, and returns what it said. One that says more, or
/// takes longer, than `budget` is ended.
///
/// # Errors
/// Why it cannot be run; [`Exceeded`](crate::budget::Exceeded) if it was ended.
pub fn output(command: &mut Command, input: Option<&[u8]>, budget: Budget) -> io::Result<Output> {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input.map(<[u8]>::to_vec)) {
        // Nobody waits for this thread: a program that was ended can leave another one that holds its input open and reads nothing.
        // That a program stops reading early shows in its exit.
        std::thread::spawn(move || pipe.write_all(&input));
    }
    let mut meter = budget.open();
    let result = hear(&mut child, &mut meter);
    let result = result.and_then(|(stdout, stderr)| Ok(Output { status: ended(&mut child, &meter)?, stdout, stderr }));
    if result.is_err() {
        end(&mut child);
    }
    result
}

/// Reads both outputs to their ends.
fn hear(child: &mut Child, meter: &mut Meter) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (mut from, mut errors) = (child.stdout.take(), child.stderr.take());
    let mut buffer = vec![0; 64 * 1024];
    while from.is_some() || errors.is_some() {
        let ready = {
            let open = from.iter().map(AsFd::as_fd).chain(errors.iter().map(AsFd::as_fd));
            budget::wait(&mut open.collect::<Vec<_>>(), meter)?
        };
        let (first, last) = (ready.first() == Some(&true), ready.last() == Some(&true));
        let (of_from, of_errors) = (from.is_some() && first, errors.is_some() && last);
        if of_from && take(&mut from, &mut buffer, &mut stdout, meter)? {
            from = None;
        }
        if of_errors && take(&mut errors, &mut buffer, &mut stderr, meter)? {
            errors = None;
        }
        stderr.drain(..stderr.len().saturating_sub(KEPT));
    }
    Ok((stdout, stderr))
}

/// Reads once; says whether that was the end.
fn take(from: &mut Option<impl Read>, buffer: &mut [u8], to: &mut Vec<u8>, meter: &mut Meter) -> io::Result<bool> {
    let read = match from.as_mut().map_or(Ok(0), |from| from.read(buffer)) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(false),
        read => read?,
    };
    meter.take(read)?;
    to.extend_from_slice(&buffer[..read]);
    Ok(read == 0)
}

/// Waits for the end of a program that says nothing any more.
fn ended(child: &mut Child, meter: &Meter) -> io::Result<ExitStatus> {
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(pause.min(meter.left()?));
        pause = (2 * pause).min(Duration::from_millis(50));
    }
}

/// Ends a program that was told to end, by force if it does not in a moment.
pub(crate) fn see_off(child: &mut Child) {
    if ended(child, &Budget { time: GRACE, ..Budget::LOCAL }.open()).is_err() {
        end(child);
    }
}

/// How a child ended, if it did. The child is not reaped, so no other process gets its number yet, and a signal to its group finds no
/// other group.
pub(crate) fn peek(child: &Child) -> io::Result<Option<ExitStatus>> {
    let Some(pid) = Pid::from_raw(child.id().cast_signed()) else { return Ok(None) };
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let ended = waitid(WaitId::Pid(pid), options)?;
    // As `wait(2)` writes them.
    let raw =
        |end: &WaitIdStatus| end.exit_status().map_or_else(|| end.terminating_signal().unwrap_or(0), |code| code << 8);
    Ok(ended.as_ref().map(raw).map(ExitStatus::from_raw))
}

/// Ends a program: asked first, since git then ends its helpers and removes its locks.
pub(crate) fn end(child: &mut Child) {
    if let Some(pid) = Pid::from_raw(child.id().cast_signed())
        && child.try_wait().is_ok_and(|status| status.is_none())
    {
        let _ = kill_process(pid, Signal::TERM);
        let asked = Instant::now();
        while child.try_wait().is_ok_and(|status| status.is_none()) && asked.elapsed() < GRACE {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Has no core dump written of this process and its children, since their memory holds secrets: `setrlimit(2)`.
pub fn leave_no_core_dump() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    // Lowering a limit is always permitted; where it is not known, there are no core dumps either.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Exceeded;

    fn run(script: &str, input: Option<&[u8]>, budget: Budget) -> io::Result<Output> {
        output(command("sh").args(["-c", script]), input, budget)
    }

    #[test]
    fn what_a_program_says_is_told_apart_and_kept_to_a_size() {
        let output = run("cat; echo err >&2; exit 3", Some(&vec![b'x'; 1 << 20]), Budget::GIT).unwrap();
        assert_eq!((output.stdout.len(), output.stderr, output.status.code()), (1 << 20, b"err\n".to_vec(), Some(3)));
        let output = run("head -c 3000000 /dev/zero >&2; echo end >&2", None, Budget::GIT).unwrap();
        assert!(output.stderr.len() == KEPT && output.stderr.ends_with(b"end\n"));
        let output = run("exec <&-; echo done", Some(&vec![b'x'; 1 << 20]), Budget::GIT).unwrap();
        assert_eq!(output.stdout, b"done\n");
    }

    #[test]
    fn a_child_is_looked_at_before_it_is_reaped() {
        for (script, code, signal) in [("exit 3", Some(3), None), ("kill -9 $$", None, Some(9))] {
            let mut child = command("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
            while peek(&child).unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let seen = peek(&child).unwrap().unwrap();
            assert_eq!((seen.code(), seen.signal()), (code, signal));
            assert_eq!(child.wait().unwrap(), seen);
            assert!(peek(&child).is_err());
        }
        let mut child = command("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert_eq!(peek(&child).unwrap(), None);
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_program_without_end_is_ended() {
        let short = Budget { time: Duration::from_millis(300), ..Budget::GIT };
        let begun = Instant::now();
        let exceeded = |script, budget| Exceeded::of(&run(script, Some(b"x"), budget).unwrap_err()).unwrap();
        assert_eq!(exceeded("yes", Budget::LOCAL), Exceeded::Bytes(Budget::LOCAL.bytes));
        assert_eq!(exceeded("yes >&2", Budget::LOCAL), Exceeded::Bytes(Budget::LOCAL.bytes));
        for script in [
            "while :; do echo drip; sleep 0.05; done",
            "exec >&- 2>&-; sleep 600",
            "sleep 600 & wait",
            "trap '' TERM; while :; do sleep 0.05; done",
        ] {
            assert_eq!(exceeded(script, short), Exceeded::Time(short.time), "{script}");
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn secret_variables_are_taken_away() {
        let command = command("true");
        for name in SECRET_VARIABLES {
            assert!(command.get_envs().any(|(k, v)| k == name && v.is_none()), "{name}");
        }
    }
}
