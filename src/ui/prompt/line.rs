//! A line that is being edited: its text, the cursor, and the part of it that fits.

use console::measure_text_width;

use super::keys::Key;

/// The text before and after the cursor.
#[derive(Debug, Default)]
pub(super) struct InputLine {
    before: Vec<char>,
    /// In reverse, so that its last character is the one at the cursor.
    after: Vec<char>,
}

impl InputLine {
    pub(super) fn new(text: &str) -> Self {
        Self { before: text.chars().collect(), after: Vec::new() }
    }

    pub(super) fn text(&self) -> String {
        self.before.iter().chain(self.after.iter().rev()).collect()
    }

    /// Whether the key was one that edits.
    pub(super) fn edit(&mut self, key: Key) -> bool {
        match key {
            Key::Char(character) => self.before.push(character),
            Key::Backspace => drop(self.before.pop()),
            Key::Delete => drop(self.after.pop()),
            Key::Left => self.after.extend(self.before.pop()),
            Key::Right => self.before.extend(self.after.pop()),
            Key::Home => self.after.extend(self.before.drain(..).rev()),
            Key::End => self.before.extend(self.after.drain(..).rev()),
            Key::EraseStart => self.before.clear(),
            Key::EraseEnd => self.after.clear(),
            Key::EraseWord => {
                let words = self.before.iter().rposition(|c| *c != ' ').map_or(0, |last| last + 1);
                let start = self.before[..words].iter().rposition(|c| *c == ' ').map_or(0, |space| space + 1);
                self.before.truncate(start);
            }
            _ => return false,
        }
        true
    }

    /// The part of the line that fits into `width` columns, and the cursor's column in it.
    pub(super) fn window(&self, width: usize, masked: bool) -> (String, usize) {
        let show = |c: &char| if masked { '*' } else { *c };
        let columns = |text: &str| measure_text_width(text);
        let mut before: String = self.before.iter().map(show).collect();
        while columns(&before) >= width && !before.is_empty() {
            before.remove(0);
        }
        let cursor = columns(&before);
        let mut text = before;
        for character in self.after.iter().rev().map(show) {
            text.push(character);
            if columns(&text) >= width {
                text.pop();
                break;
            }
        }
        (text, cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[Key]) -> String {
        let mut line = InputLine::new("one two three");
        for key in keys {
            assert!(line.edit(*key), "{key:?}");
        }
        line.text()
    }

    #[test]
    fn keys_edit_where_the_cursor_is() {
        assert_eq!(typed(&[Key::Backspace, Key::Char('é')]), "one two threé");
        assert_eq!(typed(&[Key::Home, Key::Delete, Key::Char('O')]), "One two three");
        assert_eq!(typed(&[Key::Left, Key::Left, Key::EraseEnd]), "one two thr");
        assert_eq!(typed(&[Key::EraseWord]), "one two ");
        assert_eq!(typed(&[Key::EraseWord, Key::EraseWord]), "one ");
        assert_eq!(typed(&[Key::Home, Key::Right, Key::EraseStart, Key::End, Key::Char('!')]), "ne two three!");
    }

    #[test]
    fn the_window_follows_the_cursor() {
        let mut line = InputLine::new("0123456789");
        assert_eq!(line.window(5, false), ("6789".into(), 4));
        assert_eq!(line.window(5, true), ("****".into(), 4));
        line.edit(Key::Home);
        assert_eq!(line.window(5, false), ("0123".into(), 0));
        assert_eq!(InputLine::new("日本語").window(5, false), ("本語".into(), 4));
    }
}
