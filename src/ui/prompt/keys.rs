//! Keys from the terminal, one at a time.
//!
//! The terminal stays in raw mode from the first question to the last, so that what is typed or pasted between two of them is neither
//! echoed nor lost. A key is read with a timeout of a tenth of a second, which tells a lone Escape from the beginning of an arrow
//! key and lets a change of the window's size be seen.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::termios::{self, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Char(char),
    Enter,
    Escape,
    /// Ctrl-C, Ctrl-D, or a signal that ends the process.
    Leave,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    /// Ctrl-U: all before the cursor.
    EraseStart,
    /// Ctrl-K: all after the cursor.
    EraseEnd,
    /// Ctrl-W: the word before the cursor.
    EraseWord,
    /// Nothing was pressed: the window has another size.
    Resized,
    /// Anything else.
    Other,
}

/// The terminal in raw mode; the mode from before comes back when this is dropped.
pub(super) struct Keys {
    input: File,
    before: Termios,
    pending: VecDeque<u8>,
    columns: u16,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// Standard input when that is a terminal, else `/dev/tty`.
    pub(super) fn open() -> io::Result<Self> {
        let input = if io::stdin().is_terminal() {
            File::from(io::stdin().as_fd().try_clone_to_owned()?)
        } else {
            File::from(OwnedFd::from(File::options().read(true).write(true).open("/dev/tty")?))
        };
        let before = termios::tcgetattr(&input)?;
        let mut raw = before.clone();
        raw.input_modes -=
            InputModes::ICRNL | InputModes::INLCR | InputModes::IGNCR | InputModes::IXON | InputModes::ISTRIP;
        raw.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG | LocalModes::IEXTEN;
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = 1;
        termios::tcsetattr(&input, OptionalActions::Now, &raw)?;
        Ok(Self { input, before, pending: VecDeque::new(), columns: columns() })
    }

    /// Waits for the next key.
    pub(super) fn next(&mut self) -> io::Result<Key> {
        loop {
            if let Some(byte) = self.byte()? {
                return self.key(byte);
            }
            if crate::interrupt::pending() {
                return Ok(Key::Leave);
            }
            let columns = columns();
            if columns != self.columns {
                self.columns = columns;
                return Ok(Key::Resized);
            }
        }
    }

    fn key(&mut self, byte: u8) -> io::Result<Key> {
        Ok(match byte {
            b'\r' | b'\n' => Key::Enter,
            0x03 | 0x04 => Key::Leave,
            0x08 | 0x7f => Key::Backspace,
            0x01 => Key::Home,
            0x05 => Key::End,
            0x15 => Key::EraseStart,
            0x0b => Key::EraseEnd,
            0x17 => Key::EraseWord,
            0x1b => self.escape()?,
            0x20..0x7f => Key::Char(char::from(byte)),
            0xc2..0xf5 => self.character(byte)?,
            _ => Key::Other,
        })
    }

    /// The rest of a character of two to four bytes.
    fn character(&mut self, first: u8) -> io::Result<Key> {
        let length = match first {
            0xf0.. => 4,
            0xe0.. => 3,
            _ => 2,
        };
        let mut bytes = vec![first];
        while bytes.len() < length {
            match self.byte()? {
                Some(byte @ 0x80..0xc0) => bytes.push(byte),
                Some(other) => {
                    self.pending.push_front(other);
                    return Ok(Key::Other);
                }
                None => return Ok(Key::Other),
            }
        }
        let character = std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next());
        Ok(character.filter(|c| !c.is_control()).map_or(Key::Other, Key::Char))
    }

    /// What comes after an Escape: nothing, or a sequence of ECMA-48 (`CSI` and `SS3`).
    fn escape(&mut self) -> io::Result<Key> {
        let mut parameters = Vec::new();
        match self.byte()? {
            None => return Ok(Key::Escape),
            Some(b'[') => {}
            Some(b'O') => return Ok(self.byte()?.map_or(Key::Other, |last| named(&[], last))),
            Some(0x1b) => {
                self.pending.push_front(0x1b);
                return Ok(Key::Escape);
            }
            Some(_) => return Ok(Key::Other),
        }
        while let Some(byte) = self.byte()? {
            match byte {
                0x20..0x40 => parameters.push(byte),
                0x40..0x7f => return Ok(named(&parameters, byte)),
                _ => break,
            }
        }
        Ok(Key::Other)
    }

    /// The next byte, or nothing when none comes within a tenth of a second.
    fn byte(&mut self) -> io::Result<Option<u8>> {
        if self.pending.is_empty() {
            let mut buffer = [0; 256];
            match self.input.read(&mut buffer) {
                // Nothing came; or the terminal is gone, in which case its settings cannot be read either.
                Ok(0) => {
                    termios::tcgetattr(&self.input)?;
                }
                Ok(count) => self.pending.extend(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.pending.pop_front())
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.input, OptionalActions::Now, &self.before);
    }
}

fn named(parameters: &[u8], last: u8) -> Key {
    match (parameters, last) {
        (_, b'A') => Key::Up,
        (_, b'B') => Key::Down,
        (_, b'C') => Key::Right,
        (_, b'D') => Key::Left,
        (_, b'H') | (b"1" | b"7", b'~') => Key::Home,
        (_, b'F') | (b"4" | b"8", b'~') => Key::End,
        (b"3", b'~') => Key::Delete,
        _ => Key::Other,
    }
}

/// The window's width in columns; 80 when it is not known.
pub(in crate::ui) fn columns() -> u16 {
    termios::tcgetwinsize(io::stderr()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(80)
}

/// The window's height in rows; 24 when it is not known.
pub(super) fn rows() -> u16 {
    termios::tcgetwinsize(io::stderr()).ok().map(|size| size.ws_row).filter(|rows| *rows > 0).unwrap_or(24)
}
