//! A terminal in raw mode: what is written to it, and the line that is typed.

use std::cell::RefCell;
use std::io::{Stderr, Write};

use console::{measure_text_width, truncate_str};
use zeroize::Zeroizing;

use super::keys::{Key, KeyReader, columns};
use super::line::InputLine;
use super::{Asker, Question, Reply, cannot_ask, left};
use crate::dialog::plain;
use crate::error::Result;
use crate::secret::redact;
use crate::ui::{Paint, wrap};

/// An interactive terminal, in raw mode until this is dropped.
#[derive(Debug)]
pub struct Terminal {
    keys: RefCell<KeyReader>,
    err: Stderr,
    /// Whether the cursor may move and colors may be used.
    pub(super) rich: bool,
    pub(super) paint: Paint,
}

impl Terminal {
    /// Takes the terminal.
    ///
    /// # Errors
    /// `Usage` when there is none.
    pub fn open() -> Result<Self> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let rich = !dumb && !no_color;
        let keys = KeyReader::open(!dumb).map_err(cannot_ask)?;
        Ok(Self { keys: RefCell::new(keys), err: std::io::stderr(), rich, paint: Paint { on: rich } })
    }

    pub(super) fn write(&self, text: &str) -> Result<()> {
        let mut err = self.err.lock();
        err.write_all(redact(text).as_bytes()).and_then(|()| err.flush()).map_err(cannot_ask)
    }

    pub(super) fn key(&self) -> Result<Key> {
        self.keys.borrow_mut().next().map_err(cannot_ask)
    }

    /// What was pasted, after [`Key::Pasted`], or how many lines it has.
    pub(super) fn pasted(&self) -> Result<Zeroizing<String>, usize> {
        self.keys.borrow_mut().pasted()
    }

    /// Whether a key that answers is part of a pasted text; see [`Keys::comes_with_more`].
    pub(super) fn is_pasted(&self, key: Key) -> Result<bool> {
        let answers = matches!(key, Key::Enter | Key::Char('y' | 'Y' | 'n' | 'N'));
        Ok(answers && self.keys.borrow_mut().comes_with_more().map_err(cannot_ask)?)
    }

    /// Drops what was typed or pasted before the question that is about to be shown.
    pub(super) fn drop_ahead(&self) -> Result<()> {
        if self.keys.borrow_mut().drop_ahead().map_err(cannot_ask)? {
            self.warn("Input from before this question is ignored.");
        }
        Ok(())
    }

    /// Says that a pasted text of several lines is no answer.
    pub(super) fn refuse_lines(&self, lines: usize) -> Result<()> {
        self.write("\n")?;
        self.warn(&format!("The pasted text has {lines} lines, but an answer is one line: nothing was inserted."));
        Ok(())
    }

    pub(super) fn ask(&self, question: &Question<'_>, preset: &str) -> Result<()> {
        self.drop_ahead()?;
        let preset = truncate_str(preset, 60, "…").into_owned();
        let preset = if preset.is_empty() { String::new() } else { self.paint.dim(&format!(" [{}]", plain(&preset))) };
        self.write(&format!("\n{}\n", fit(&format!("{}{preset}", self.paint.bold(question.prompt)))))
    }

    pub(super) fn explain(&self, question: &Question<'_>) -> Result<()> {
        self.write(&format!("{}\n", wrap::fill(question.explain, columns().into(), "  ", "  ")))
    }

    /// One line of input, begun with `text`.
    pub(super) fn line(&self, question: &Question<'_>, text: &str) -> Result<Reply<String>> {
        let mut line = InputLine::new(if self.rich { text } else { "" });
        self.write("> ")?;
        if self.rich {
            self.draw(&line, question)?;
        }
        loop {
            let key = self.key()?;
            match key {
                Key::Enter => break,
                Key::Escape => {
                    self.write("\n")?;
                    return Ok(Reply::Back);
                }
                Key::Leave => {
                    self.write("\n")?;
                    return Err(left(question.prompt));
                }
                Key::Resized | Key::Resumed => {}
                Key::Pasted => self.insert(&mut line, question)?,
                _ if self.rich => drop(line.edit(key)),
                _ => self.echo(&mut line, key)?,
            }
            if self.rich {
                self.draw(&line, question)?;
            }
        }
        let text = line.text().trim().to_owned();
        let taken = if text.is_empty() { plain(question.preset) } else { String::new() };
        self.write(&format!("{}\n", truncate_str(&taken, usize::from(columns()).saturating_sub(3), "…")))?;
        Ok(if text == "<" { Reply::Back } else { Reply::Given(text) })
    }

    /// Puts a pasted text in, as it would be typed, without the Enter.
    fn insert(&self, line: &mut InputLine, question: &Question<'_>) -> Result<()> {
        let shown = match self.pasted() {
            Ok(text) => {
                for character in text.chars() {
                    line.edit(Key::Char(character));
                }
                text
            }
            Err(lines) => {
                self.refuse_lines(lines)?;
                self.write("> ")?;
                Zeroizing::new(line.text())
            }
        };
        match (self.rich, (question.masks)(&line.text())) {
            (true, _) => Ok(()),
            (false, true) => self.write(&"*".repeat(shown.chars().count())),
            (false, false) => self.write(&shown),
        }
    }

    fn draw(&self, line: &InputLine, question: &Question<'_>) -> Result<()> {
        let width = usize::from(columns()).saturating_sub(2).max(4);
        let (text, cursor) = line.window(width, (question.masks)(&line.text()));
        self.write(&format!("\r\x1b[2K> {text}\r\x1b[{}C", cursor + 2))
    }

    /// Without cursor movements only the end of the line can be edited.
    fn echo(&self, line: &mut InputLine, key: Key) -> Result<()> {
        let before = line.text();
        match key {
            Key::Char(character) => {
                line.edit(key);
                self.write(&character.to_string())
            }
            Key::Backspace | Key::EraseStart | Key::EraseWord => {
                line.edit(key);
                let erased = measure_text_width(&before) - measure_text_width(&line.text());
                self.write(&"\x08 \x08".repeat(erased))
            }
            _ => Ok(()),
        }
    }
}

/// A text in lines that fit into the window.
pub(super) fn fit(text: &str) -> String {
    wrap::wrap(text, columns().into())
}

/// The same with room behind the last line for a blank and `yes`.
pub(super) fn fit_before_answer(text: &str) -> String {
    wrap::wrap(text, usize::from(columns()).saturating_sub(4))
}
