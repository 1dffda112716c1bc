//! Questions on the terminal. Keys come from the terminal even when standard input is a pipe, so that `curl … | sh` can ask; what
//! is asked goes to standard error.

use std::io::IsTerminal;

use console::{Key, Term};
use dialoguer::Confirm;
use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};

use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// Whether a person can be asked: standard error is a terminal, and so is standard input or `/dev/tty`.
#[must_use]
pub fn available() -> bool {
    std::io::stderr().is_terminal()
        && (std::io::stdin().is_terminal() || std::fs::File::options().read(true).write(true).open("/dev/tty").is_ok())
}

fn theme() -> Box<dyn Theme> {
    if console::colors_enabled_stderr() { Box::new(ColorfulTheme::default()) } else { Box::new(SimpleTheme) }
}

fn left(what: &str) -> Error {
    Error::new(Kind::Interrupted, format!("left at: {what}")).hint("run the same command again to go on")
}

/// Asks for a yes or no; Escape leaves.
///
/// # Errors
/// `Interrupted` when the person leaves, `Usage` when the terminal goes away.
pub fn confirm(question: &str, default: bool) -> Result<bool> {
    let answer = Confirm::with_theme(theme().as_ref()).with_prompt(question).default(default).interact_opt();
    match answer {
        Ok(Some(yes)) => Ok(yes),
        Ok(None) => Err(left(question)),
        Err(e) => Err(Error::usage(format!("cannot ask on this terminal: {e}"))),
    }
}

/// Asks for a secret without echo. Escape and Ctrl-C leave; control characters are not taken.
///
/// # Errors
/// As [`confirm`].
pub fn secret(prompt: &str) -> Result<Secret> {
    let term = Term::stderr();
    let cannot = |e: std::io::Error| Error::usage(format!("cannot ask on this terminal: {e}"));
    term.write_str(&format!("{prompt} (not shown): ")).map_err(cannot)?;
    let mut text = zeroize::Zeroizing::new(String::new());
    loop {
        match term.read_key().map_err(cannot)? {
            Key::Enter => break,
            Key::Backspace => {
                text.pop();
            }
            Key::Char(c) if !c.is_control() => text.push(c),
            Key::Escape | Key::CtrlC => {
                let _ = term.write_line("");
                return Err(left(prompt));
            }
            _ => {}
        }
    }
    term.write_line("").map_err(cannot)?;
    Ok(Secret::new(text.as_str()))
}
