//! The program that tries what a host promises.

use super::probe::PROBE;
use super::{ACCOUNTS, COMMON, Word, frame, library};

/// Runs `calls`, which use the functions in `shell`, after looking these users up. What they print goes to the client by sections.
pub(crate) fn prove(shell: &str, users: &[&str], calls: &str) -> String {
    let words = users.iter().fold(String::new(), |line, user| line + " " + Word::text(user).as_str());
    let parts = [COMMON, ACCOUNTS, PROBE, shell].map(library).join("\n");
    let body = format!("{parts}\nlook_up{words}\n{{\n{calls}section end\necho\n}} 2>/dev/null | json_lines\n");
    frame("prove", &body)
}
