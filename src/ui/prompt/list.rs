//! Choosing from a list: with the arrow keys, or by number.

use console::{measure_text_width, truncate_str};

use super::keys::{Key, columns, rows};
use super::terminal::{Terminal, fit};
use super::{Asker, Question, Reply, left};
use crate::dialog::plain as without_controls;
use crate::error::Result;

/// Options, the one that is pointed at and, when several may be taken, which are.
pub(super) struct List<'a> {
    options: &'a [String],
    at: usize,
    taken: Option<Vec<bool>>,
}

impl<'a> List<'a> {
    pub(super) fn one(options: &'a [String], preset: usize) -> Self {
        Self { options, at: preset.min(options.len().saturating_sub(1)), taken: None }
    }

    pub(super) fn several(options: &'a [String], preset: &[usize]) -> Self {
        let taken = (0..options.len()).map(|index| preset.contains(&index)).collect();
        Self { options, at: 0, taken: Some(taken) }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn picked(&self) -> Vec<usize> {
        let taken = self.taken.iter().flatten().enumerate();
        taken.filter(|(_, taken)| **taken).map(|(index, _)| index).collect()
    }

    fn label(&self, index: usize) -> String {
        let label = without_controls(&self.options[index]).replace('\n', " ");
        match &self.taken {
            Some(taken) => format!("[{}] {label}", if taken[index] { "x" } else { " " }),
            None => label,
        }
    }

    /// What was chosen, in one line.
    fn chosen(&self) -> String {
        let several: Vec<_> = self.picked().into_iter().map(|index| self.options[index].as_str()).collect();
        let text = if self.taken.is_some() { several.join(", ") } else { self.options[self.at].clone() };
        if text.is_empty() { "none".to_owned() } else { without_controls(&text).replace('\n', " ") }
    }

    /// Points at the option that begins with what was typed and this letter, or with the letter alone; says whether there is one. If
    /// letters had no effect, `yes` and Enter would take what was pointed at before.
    fn seek(&mut self, typed: &mut String, letter: char) -> bool {
        let letter = letter.to_lowercase().to_string();
        let place = |text: &str| self.options.iter().position(|option| option.to_lowercase().starts_with(text));
        typed.push_str(&letter);
        let found = place(typed).or_else(|| {
            *typed = letter;
            place(typed)
        });
        self.at = found.unwrap_or(self.at);
        found.is_some()
    }

    /// Answers by numbers or words, as typed. An empty text keeps the preset.
    fn answer(&mut self, text: &str) -> bool {
        let place = |word: &str| {
            let number = word.parse::<usize>().ok().filter(|number| (1..=self.options.len()).contains(number));
            let named = || self.options.iter().position(|option| option.split(" – ").next() == Some(word));
            number.map(|number| number - 1).or_else(named)
        };
        if text.is_empty() {
            return true;
        }
        if self.taken.is_none() {
            let found = place(text);
            self.at = found.unwrap_or(self.at);
            return found.is_some();
        }
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        let found: Option<Vec<usize>> = if text == "0" { Some(Vec::new()) } else { words.map(place).collect() };
        let ok = found.is_some();
        if let Some(places) = found {
            self.taken = Some((0..self.options.len()).map(|index| places.contains(&index)).collect());
        }
        ok
    }
}

/// With the arrow keys, drawn in place.
pub(super) fn rich(terminal: &Terminal, question: &Question<'_>, list: &mut List<'_>) -> Result<Reply<()>> {
    terminal.ask(question, "")?;
    let reply = arrows(terminal, question, list);
    terminal.write("\x1b[?25h")?;
    if matches!(reply, Ok(Reply::Given(()))) {
        let width = usize::from(columns()).saturating_sub(3);
        terminal.write(&format!("> {}\n", truncate_str(&list.chosen(), width, "…")))?;
    }
    reply
}

fn arrows(terminal: &Terminal, question: &Question<'_>, list: &mut List<'_>) -> Result<Reply<()>> {
    let mut drawn = Vec::new();
    let mut typed = String::new();
    let end = list.options.len().saturating_sub(1);
    loop {
        redraw(terminal, list, &mut drawn)?;
        let key = terminal.key()?;
        match key {
            Key::Char(letter) if letter.is_alphabetic() && list.seek(&mut typed, letter) => continue,
            _ => typed.clear(),
        }
        match key {
            Key::Up | Key::Char('k') => list.at = if list.at == 0 { end } else { list.at - 1 },
            Key::Down | Key::Char('j') => list.at = if list.at == end { 0 } else { list.at + 1 },
            Key::Home => list.at = 0,
            Key::End => list.at = end,
            Key::Char(' ') => {
                let at = list.at;
                if let Some(taken) = list.taken.as_mut().and_then(|taken| taken.get_mut(at)) {
                    *taken = !*taken;
                }
            }
            Key::Char(digit @ '1'..='9') => {
                let index = digit as usize - '1' as usize;
                list.at = if index <= end { index } else { list.at };
            }
            Key::Char('?') => {
                erase(terminal, &mut drawn)?;
                terminal.explain(question)?;
            }
            Key::Resumed => drawn.clear(),
            Key::Pasted => {
                drop(terminal.pasted());
                erase(terminal, &mut drawn)?;
                terminal.warn("Pasted text is ignored here: use the arrow keys and Enter.");
            }
            Key::Enter | Key::Escape | Key::Left | Key::Char('<') | Key::Leave => {
                erase(terminal, &mut drawn)?;
                return match key {
                    Key::Enter => Ok(Reply::Given(())),
                    Key::Leave => Err(left(question.prompt)),
                    _ => Ok(Reply::Back),
                };
            }
            _ => {}
        }
    }
}

/// Draws the options that fit, over those that were drawn before.
fn redraw(terminal: &Terminal, list: &List<'_>, drawn: &mut Vec<usize>) -> Result<()> {
    let width = usize::from(columns()).saturating_sub(3).max(8);
    let room = usize::from(rows()).saturating_sub(4).max(3);
    let first = (list.at + 1).saturating_sub(room);
    // Hidden each time, since a shell shows the cursor while this is stopped.
    let mut text = format!("\x1b[?25l{}", up(drawn));
    drawn.clear();
    for index in first..list.options.len().min(first + room) {
        let label = truncate_str(&list.label(index), width, "…").into_owned();
        drawn.push(measure_text_width(&label) + 2);
        let line = if index == list.at { terminal.paint.good(&format!("> {label}")) } else { format!("  {label}") };
        text.push_str(&line);
        text.push('\n');
    }
    terminal.write(&text)
}

fn erase(terminal: &Terminal, drawn: &mut Vec<usize>) -> Result<()> {
    let text = up(drawn);
    drawn.clear();
    terminal.write(&text)
}

/// To the first of the lines that were drawn, whose widths are given, and all below erased. In a window that became narrower, a
/// line may take several rows by now.
fn up(drawn: &[usize]) -> String {
    let width = usize::from(columns());
    let rows: usize = drawn.iter().map(|columns| columns.div_ceil(width).max(1)).sum();
    if rows == 0 { String::new() } else { format!("\x1b[{rows}A\r\x1b[J") }
}

/// By number, in plain lines.
pub(super) fn plain(terminal: &Terminal, question: &Question<'_>, list: &mut List<'_>) -> Result<Reply<()>> {
    terminal.ask(question, "")?;
    for index in 0..list.options.len() {
        terminal.write(&format!("{}\n", fit(&format!("  {}) {}", index + 1, list.label(index)))))?;
    }
    let preset = match &list.taken {
        None => format!("a number, or Enter for {}", list.at + 1),
        Some(_) => "numbers with commas, 0 for none, or Enter for those marked".to_owned(),
    };
    terminal.write(&format!("{}\n", fit(&format!("({preset})"))))?;
    let label = list.chosen();
    let shown = Question { preset: &label, ..*question };
    loop {
        match terminal.line(&shown, "")? {
            Reply::Back => return Ok(Reply::Back),
            Reply::Given(text) if text == "?" => terminal.explain(question)?,
            Reply::Given(text) if list.answer(&text) => return Ok(Reply::Given(())),
            Reply::Given(_) => terminal.warn(&format!("write {preset}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_numbers_or_words() {
        let options = ["ssh – a machine", "local – this one", "none – later"].map(str::to_owned);
        let mut one = List::one(&options, 0);
        assert!(one.answer("2") && one.at() == 1);
        assert!(one.answer("none") && one.at() == 2);
        assert!(one.answer("") && one.at() == 2);
        assert!(!one.answer("4") && !one.answer("0") && !one.answer("x") && one.at() == 2);
        let mut several = List::several(&options, &[1]);
        assert!(several.answer("") && several.picked() == [1]);
        assert!(several.answer("1, 3") && several.picked() == [0, 2]);
        assert!(!several.answer("1,9") && several.picked() == [0, 2]);
        assert!(several.answer("0") && several.picked().is_empty());
    }
}
