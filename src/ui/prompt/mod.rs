//! Questions on the terminal.
//!
//! Keys come from the terminal even when standard input is a pipe, so that `curl … | sh` can ask; what is asked goes to standard
//! error. Every question can be left by Ctrl-C, explained by `?` and, in a series of questions, undone by Escape or `<`.
//!
//! Only what was typed for a question answers it. A pasted text goes into the line of one question and waits for Enter; it answers no
//! yes or no, and chooses nothing from a list. What came before a question was shown is dropped.
//!
//! There are two ways to look: on a terminal that can move its cursor, lists are chosen from with the arrow keys; with `NO_COLOR` or
//! `TERM=dumb`, questions and answers follow each other in plain lines; with the latter, without any escape sequence.
//!
//! A series of questions is asked through [`Asker`], so that its logic can be tested without a terminal; the real one is
//! [`Terminal`].

mod asker;
mod keys;
mod line;
mod list;
mod paste;
mod terminal;

use std::io::IsTerminal;

use zeroize::Zeroizing;

pub(super) use keys::columns_of;
pub use keys::restore;
pub use terminal::Terminal;

use crate::error::{Error, Kind, Result};
use crate::factory::Fault;
use crate::secret::Secret;
use keys::Key;
use terminal::fit_before_answer;

/// The reply to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply<T> {
    /// Answered it.
    Given(T),
    /// Wants the one before.
    Back,
}

/// A question in a series.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is asked, a few words.
    pub prompt: &'a str,
    /// What `?` shows.
    pub explain: &'a str,
    /// What Enter alone answers; empty when there has to be an answer.
    pub preset: &'a str,
    /// Whether a text may be a secret that was pasted by mistake; then it is shown as stars.
    pub masks: fn(&str) -> bool,
}

/// Asks questions.
pub trait Asker {
    /// Asks for a text until `check` takes it. An empty text means the preset.
    ///
    /// # Errors
    /// `Interrupted` if the user cancels, `Usage` if the terminal closes.
    fn text(&self, question: &Question<'_>, check: &dyn Fn(&str) -> Result<(), Fault>) -> Result<Reply<String>>;

    /// Asks for one of `options`; Enter takes the one at `preset`. The reply is the place in `options`.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    fn choose(&self, question: &Question<'_>, options: &[String], preset: usize) -> Result<Reply<usize>>;

    /// Asks for any number of `options`; those whose place is in `preset` are taken unless changed.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    fn pick(&self, question: &Question<'_>, options: &[String], preset: &[usize]) -> Result<Reply<Vec<usize>>>;

    /// Says something between questions.
    fn say(&self, text: &str);

    /// Says what is wrong.
    fn warn(&self, text: &str);
}

/// Whether there is a terminal to ask on: standard error, and standard input or `/dev/tty`.
#[must_use]
pub fn available() -> bool {
    std::io::stderr().is_terminal()
        && (std::io::stdin().is_terminal() || std::fs::File::options().read(true).write(true).open("/dev/tty").is_ok())
}

fn left(what: &str) -> Error {
    Error::new(Kind::Interrupted, format!("canceled at: {what}")).hint("run the command again to continue")
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn cannot_ask(error: std::io::Error) -> Error {
    Error::usage(format!("cannot ask on this terminal: {error}"))
}

/// Asks a yes/no question. Escape cancels.
///
/// # Errors
/// `Interrupted` if the user cancels, `Usage` if the terminal closes.
pub fn confirm(question: &str, default: bool) -> Result<bool> {
    let terminal = Terminal::open()?;
    terminal.drop_ahead()?;
    let asked = fit_before_answer(&format!("{question} {}", if default { "[Y/n]" } else { "[y/N]" }));
    terminal.write(&format!("{asked} "))?;
    let answer = loop {
        let key = terminal.key()?;
        let key = if terminal.is_pasted(key)? { Key::Pasted } else { key };
        match key {
            Key::Enter => break Some(default),
            Key::Char('y' | 'Y') => break Some(true),
            Key::Char('n' | 'N') => break Some(false),
            Key::Escape | Key::Leave => break None,
            Key::Pasted => {
                drop(terminal.pasted());
                terminal.write("\n")?;
                terminal.warn("Pasted text is ignored here: press y or n.");
                terminal.write(&format!("{asked} "))?;
            }
            Key::Resumed => terminal.write(&format!("{asked} "))?,
            _ => {}
        }
    };
    terminal.write(match answer {
        Some(true) => "yes\n",
        Some(false) => "no\n",
        None => "\n",
    })?;
    answer.ok_or_else(|| left(question))
}

/// Asks for a secret without echo. Escape and Ctrl-C leave; control characters are not taken. A pasted secret waits for Enter too, so
/// that the line break that often comes with it ends nothing.
///
/// # Errors
/// As [`confirm`].
pub fn secret(prompt: &str) -> Result<Secret> {
    let terminal = Terminal::open()?;
    terminal.drop_ahead()?;
    let asked = fit_before_answer(&format!("{prompt} (not shown):"));
    terminal.write(&format!("{asked} "))?;
    let mut text = Zeroizing::new(String::new());
    let entered = loop {
        match terminal.key()? {
            Key::Enter => break true,
            Key::Escape | Key::Leave => break false,
            Key::Backspace => drop(text.pop()),
            Key::EraseStart => text.clear(),
            Key::Char(character) => text.push(character),
            Key::Resumed => terminal.write(&format!("{asked} "))?,
            Key::Pasted => match terminal.pasted() {
                Ok(pasted) => {
                    text.push_str(&pasted);
                    terminal.write("\n(pasted; press Enter) ")?;
                }
                Err(lines) => {
                    terminal.refuse_lines(lines)?;
                    terminal.write(&format!("{asked} "))?;
                }
            },
            _ => {}
        }
    };
    terminal.write("\n")?;
    if entered { Ok(Secret::new(text.as_str())) } else { Err(left(prompt)) }
}
