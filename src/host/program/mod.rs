//! Resources compiled to two POSIX sh programs: the *probe*, which only reads, and the *apply*, which makes the chosen changes.
//!
//! A program is one text that travels on standard input to `sh -s`. It is made of parts of the shell library in `src/host/lib/`,
//! which can be read and checked there, and of calls to them. Here live here-documents ([`payload`]), the
//! frame that makes a cut text harmless ([`frame`]), the [`Questions`] a probe answers and the [`Step`]s an apply takes. What is
//! asked and done is for the resources to say.
//!
//! ```sh
//! main() {
//! [ "${1-}" = whole-20250520T101500.000Z-4711 ] || exit 64
//! … library, steps …
//! exit 0
//! }
//! main whole-20250520T101500.000Z-4711
//! ```

mod apply;
pub(crate) mod guard;
mod payload;
mod probe;
mod prove;
mod step;

pub(crate) use apply::{Run, apply, receipt, stop, undo};
pub(crate) use payload::{Payload, Show};
pub(crate) use probe::{Expect, Questions, Topic, backup_state, last_line, last_run, nothing, renewed, runner_start};
pub(crate) use prove::prove;
pub(crate) use step::{Before, Step};

pub(crate) use super::word::{HostPath, Word};

/// First in every program.
const COMMON: &str = include_str!("../lib/common.sh");
const REVERT: &str = include_str!("../lib/revert.sh");
/// Users and their home folders.
const ACCOUNTS: &str = include_str!("../lib/accounts.sh");

/// Wraps a program so that only its whole text does anything: the body is a function, and the call to it ends with a word that
/// the body compares. A text cut anywhere is a syntax error, calls nothing, or calls it with a word that is not the right one.
pub(crate) fn frame(run: &str, body: &str) -> String {
    let word = Word::text(&format!("whole-{run}"));
    // Data stays as it is between single quotes, and steps are called by their names: shellcheck cannot know either.
    let directive = "# shellcheck shell=sh disable=SC2016,SC2317\n";
    format!("{directive}main() {{\n[ \"${{1-}}\" = {word} ] || exit 64\n{body}exit 0\n}}\nmain {word}\n")
}

/// A library file without its directive for shellcheck, which a program has once at its top.
pub(crate) fn library(text: &str) -> &str {
    text.strip_prefix("# shellcheck shell=sh\n").unwrap_or(text)
}

/// Runs a step's text as `take` does, for tests of the shell functions: `STATE`, `WORK` and `BACKUPS` are below the folder.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) fn try_step(folder: &std::path::Path, step: &str) -> std::process::Output {
    let program = format!(
        "{}\nfail() {{ echo \"$1\" >&2; return 1; }}\nas() {{ shift; \"$@\"; }}\nSTATE={}\nWORK=$STATE/work\nBACKUPS=$STATE/backups\n\
         GUARD=$STATE/guard\nmkdir -p \"$WORK\" \"$GUARD\"\nset -eu\n{step}\n",
        library(include_str!("../lib/files.sh")),
        Word::text(&folder.display().to_string()),
    );
    std::process::Command::new("sh").args(["-c", &program]).output().unwrap()
}

/// Shell that looks up the accounts whose data the text uses, when it uses any.
pub(crate) fn accounts(text: &str, users: &[&str]) -> String {
    use super::word::{home_variable, uid_variable};
    let mut shell = String::new();
    for user in users {
        let mut variables = String::new();
        for (variable, from) in [(home_variable(user), "home"), (uid_variable(user), "uid")] {
            if text.contains(&format!("${variable}\"")) {
                variables.push_str(&format!(" {variable}=$ {from}").replace("$ ", "$"));
            }
        }
        if !variables.is_empty() {
            shell.push_str(&format!("account {}\n{}\n", Word::text(user), variables.trim_start()));
        }
    }
    shell
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_cut_program_does_nothing() {
        let program = frame("r-1", "printf ran\ncat <<'END'\nmain whole-r-1\nEND\n");
        for shell in crate::skip::host_shells() {
            for cut in 0..=program.len() {
                let mut child = Command::new(shell[0])
                    .args(&shell[1..])
                    .arg("-s")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let _ = child.stdin.take().unwrap().write_all(&program.as_bytes()[..cut]);
                let output = child.wait_with_output().unwrap();
                // The newline at the end is no part of the meaning.
                assert_eq!(output.stdout.is_empty(), cut < program.len() - 1, "{shell:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_copy_of_roots_is_never_setuid() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        for (mode, kept) in [(0o6755, 0o755), (0o2644, 0o644), (0o1600, 0o600), (0o7, 0o7), (0o4070, 0o70)] {
            // Only root reads what its owner may not read.
            if mode & 0o400 == 0 && !rustix::process::geteuid().is_root() {
                continue;
            }
            for user in ["root", "agent"] {
                let file = home.join(format!("{user}-{mode:o}"));
                std::fs::write(&file, "[user]\n").unwrap();
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
                // `as` with a user needs one that is there; who reads does not matter here.
                let program = format!(
                    "{}\nas() {{ shift; \"$@\"; }}\nBACKUPS='{}'\nback_up '{}' {user}",
                    library(include_str!("../lib/files.sh")),
                    folder.path().join("kept").display(),
                    file.display()
                );
                let done = Command::new("sh").args(["-c", &program]).output().unwrap();
                assert!(done.status.success(), "{done:?}");
                let copy = folder.path().join("kept").join(file.strip_prefix("/").unwrap());
                assert_eq!(std::fs::metadata(copy).unwrap().mode() & 0o7777, kept, "{user} {mode:o}");
            }
        }
    }
}
