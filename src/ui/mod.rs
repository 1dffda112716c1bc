//! The only room that prints or asks.
//!
//! [`Ui`] is what the other rooms see as [`Dialog`] and [`Watch`](crate::plan::Watch). It speaks in one of
//! two ways: to people (progress on standard error, results on standard output, color and motion only on a terminal that wants
//! them), or, with `--json`, to machines: one JSON object per line on standard output, each with an `event` key.
//!
//! What is printed came from a host or the network more often than not, so every text passes [`plain`]. What
//! writes to a stream searches the text for the secrets of this process once more.

mod card;
mod diff;
mod events;
mod failure;
mod json;
mod progress;
pub mod prompt;
mod table;
mod wrap;

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use console::Style;
use serde_json::Value;

pub use events::seconds;
pub use table::Table;

use crate::dialog::{Dialog, acts_on_a_terminal, plain};
use crate::error::{Error, Kind, Result};
use crate::secret::{redact, redact_json};
use progress::Progress;

/// Whether to use color.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The output settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// JSON lines on standard output.
    pub json: bool,
    /// Show diffs in plans.
    pub diff: bool,
    /// Whether the command has a flag `--diff` that a plan may point to.
    pub can_diff: bool,
    /// When to use color.
    pub color: Color,
}

/// The user interface, for people or machines.
#[derive(Debug)]
pub struct Ui {
    settings: Settings,
    out: Paint,
    err: Paint,
    /// Whether standard error is a terminal on which lines can be redrawn.
    motion: bool,
    /// Whether standard output and standard error are terminals, in whose windows lines have to fit.
    windows: (bool, bool),
    progress: Mutex<Progress>,
    /// What was last said to be going on, where lines cannot be redrawn, and when.
    said: Mutex<Option<(String, Instant)>>,
}

/// How long the same is not said again where lines cannot be redrawn.
const SAY_AGAIN: Duration = Duration::from_secs(30);

impl Ui {
    /// Looks at the streams and the environment.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let paint = |terminal: bool| Paint {
            on: match settings.color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => terminal && !dumb && !no_color,
            },
        };
        let (out_terminal, err_terminal) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        let motion = err_terminal && !dumb && !settings.json && std::env::var_os("CI").is_none();
        Self {
            settings,
            out: paint(out_terminal),
            err: paint(err_terminal),
            motion,
            windows: (out_terminal, err_terminal),
            progress: Mutex::new(Progress::default()),
            said: Mutex::new(None),
        }
    }

    /// Writes a result for people to standard output: on a terminal in lines that fit.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub fn show(&self, text: &str) -> Result<()> {
        self.result(&wrap::wrap(text, self.out_width()))
    }

    /// Columns of standard output; where it is no terminal, so many that nothing is wrapped.
    fn out_width(&self) -> usize {
        if self.windows.0 { prompt::columns_of(std::io::stdout()).into() } else { usize::MAX }
    }

    /// The same of standard error.
    fn err_width(&self) -> usize {
        if self.windows.1 { prompt::columns_of(std::io::stderr()).into() } else { usize::MAX }
    }

    /// Writes a result to standard output, as it is given.
    ///
    /// # Errors
    /// `CannotWrite` when it cannot be written; a reader that went away (`| head`) is not an error.
    pub fn result(&self, text: &str) -> Result<()> {
        self.write(&redact(text))
    }

    /// Writes a JSON value to standard output, on a line of its own.
    ///
    /// # Errors
    /// As [`result`](Self::result).
    pub fn json(&self, mut value: Value) -> Result<()> {
        redact_json(&mut value);
        self.write(&escaped(&value.to_string()))
    }

    #[allow(clippy::print_stdout)]
    fn write(&self, text: &str) -> Result<()> {
        self.clear();
        let mut out = std::io::stdout().lock();
        let written = out
            .write_all(text.as_bytes())
            .and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
        match written.and_then(|()| out.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(Error::new(Kind::CannotWrite, format!("cannot write to standard output: {e}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether output is for machines.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.settings.json
    }

    /// For a command whose result is a text of another format: what it is, as in `a manual page is roff`.
    ///
    /// # Errors
    /// `Usage` with `--json`.
    pub fn refuse_json(&self, command: &str, what: &str) -> Result<()> {
        if !self.settings.json {
            return Ok(());
        }
        Err(Error::usage(format!("`{command}` has no --json: {what}"))
            .hint(format!("run it without --json: factoryup {command} …")))
    }

    /// A heading on standard error.
    pub fn heading(&self, text: &str) {
        self.line(&format!("\n{}", self.err.bold(&plain(text))));
    }

    /// A line of text for people on standard error; nothing with `--json`.
    pub fn say(&self, text: &str) {
        self.line(&plain(text));
    }

    /// The same, and with `--json` an event `note`: for what a machine should know too.
    pub fn tell(&self, text: &str) {
        if self.settings.json { self.note(text) } else { self.say(text) }
    }

    /// Ends with an error: shows it and returns the exit code.
    pub fn fail(&self, error: &Error) -> u8 {
        self.clear();
        if self.settings.json {
            self.emit(failure::json(error));
        } else {
            Self::raw(&wrap::wrap(&failure::text(error, self.err), self.err_width()));
        }
        error.kind().exit_code()
    }

    /// Shows what clap says of wrong words on the command line, in its own form.
    pub fn fail_usage(&self, error: &clap::Error) {
        let text = error.render();
        let text = if self.err.on { text.ansi().to_string() } else { text.to_string() };
        Self::raw(&wrap::wrap(text.trim_end(), self.err_width()));
    }

    /// Whether this is news: not what was said last, or that a while ago.
    fn is_news(&self, text: &str) -> bool {
        let Ok(mut said) = self.said.lock() else { return true };
        let is_old = said.as_ref().is_some_and(|(last, at)| last == text && at.elapsed() < SAY_AGAIN);
        if !is_old {
            *said = Some((text.to_owned(), Instant::now()));
        }
        !is_old
    }

    fn line(&self, text: &str) {
        if !self.settings.json {
            self.clear();
            Self::raw(&wrap::wrap(text, self.err_width()));
        }
    }

    /// Writes a line to standard error. Nothing can be done when that fails.
    fn raw(text: &str) {
        let mut err = std::io::stderr().lock();
        let _ = writeln!(err, "{}", redact(text));
    }

    fn emit(&self, value: Value) {
        let _ = self.json(value);
    }

    fn clear(&self) {
        if let Ok(mut progress) = self.progress.lock() {
            progress.clear();
        }
    }
}

/// Colors, if they are enabled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.on { style.force_styling(true).apply_to(text).to_string() } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with(Style::new().dim(), text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with(Style::new().green(), text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with(Style::new().red(), text)
    }

    pub(crate) fn care(self, text: &str) -> String {
        self.with(Style::new().yellow(), text)
    }
}

/// JSON in which everything that acts on a terminal is escaped: serde escapes C0 only.
fn escaped(json: &str) -> String {
    if !json.chars().any(acts_on_a_terminal) {
        return json.to_owned();
    }
    json.chars().fold(String::with_capacity(json.len()), |mut text, c| {
        if acts_on_a_terminal(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_shows_nothing_that_acts_on_a_terminal() {
        let value = serde_json::json!("a\u{9b}2J\u{202e}\u{7f}é\n");
        let text = escaped(&value.to_string());
        assert_eq!(text, "\"a\\u009b2J\\u202e\\u007fé\\n\"");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn the_same_is_said_once_in_a_while() {
        let ui = Ui::new(Settings::default());
        assert!(ui.is_news("waiting") && !ui.is_news("waiting"));
        assert!(ui.is_news("looking") && ui.is_news("waiting") && !ui.is_news("waiting"));
        if let Some((_, at)) = &mut *ui.said.lock().unwrap() {
            *at = at.checked_sub(SAY_AGAIN).unwrap();
        }
        assert!(ui.is_news("waiting"));
    }
}
