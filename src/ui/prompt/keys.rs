//! Keys from the terminal, one at a time.
//!
//! The terminal stays in raw mode from the first question to the last, so that what is typed between two of them is not echoed; it
//! answers none of them, see [`KeyReader::drop_ahead`]. A key is read with a timeout of a tenth of a second, which tells a lone Escape from
//! the beginning of an arrow key and lets a change of the window's size be seen.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, kill_current_process_group};
use rustix::termios::{self, InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

use super::paste;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
/// How long nothing comes after the last of what was typed or pasted ahead.
const QUIET: Duration = Duration::from_millis(50);

/// The terminals in raw mode, the last one in use, for code that ends the process while a question is open.
static RAW: Mutex<Vec<Raw>> = Mutex::new(Vec::new());

/// How to put a terminal into raw mode and back.
struct Raw {
    input: OwnedFd,
    before: Termios,
    during: Termios,
    /// Whether it takes escape sequences, so that it may mark what is pasted.
    marks: bool,
}

impl Raw {
    fn enter(&self) -> io::Result<()> {
        termios::tcsetattr(&self.input, OptionalActions::Now, &self.during)?;
        self.switch(paste::ON);
        Ok(())
    }

    /// What was typed and not read is dropped, so that the rest of a pasted text does not become commands of a shell.
    fn leave(&self) {
        self.switch(paste::OFF);
        let _ = termios::tcsetattr(&self.input, OptionalActions::Flush, &self.before);
    }

    /// Nothing can be done when that fails.
    fn switch(&self, marks: &str) {
        if self.marks {
            let mut err = io::stderr().lock();
            let _ = err.write_all(marks.as_bytes()).and_then(|()| err.flush());
        }
    }
}

/// Puts a terminal in raw mode back as it was before, for a process that ends in the middle of a question.
pub fn restore() {
    while let Some(raw) = raw_terminals().pop() {
        raw.leave();
    }
}

fn raw_terminals() -> MutexGuard<'static, Vec<Raw>> {
    RAW.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    /// A text was pasted: see [`KeyReader::pasted`].
    Pasted,
    /// Nothing was pressed: the window has another size.
    Resized,
    /// Nothing was pressed: the process was stopped and goes on, so that something else may be on the screen.
    Resumed,
    /// Anything else.
    Other,
}

/// The terminal in raw mode; the mode from before comes back when this is dropped.
pub(super) struct KeyReader {
    input: File,
    raw: Termios,
    pending: VecDeque<u8>,
    pasted: Zeroizing<Vec<u8>>,
    columns: u16,
    /// Whether the process was stopped and goes on, and the handler that says so.
    resumed: (Arc<AtomicBool>, signal_hook::SigId),
}

impl std::fmt::Debug for KeyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl KeyReader {
    /// Standard input when that is a terminal, else `/dev/tty`. With `marks`, the terminal marks what is pasted.
    pub(super) fn open(marks: bool) -> io::Result<Self> {
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
        let resumed = Arc::new(AtomicBool::new(false));
        let handler = signal_hook::flag::register(signal_hook::consts::SIGCONT, Arc::clone(&resumed))?;
        let way = Raw { input: input.as_fd().try_clone_to_owned()?, before, during: raw.clone(), marks };
        way.enter()?;
        raw_terminals().push(way);
        Ok(Self {
            input,
            raw,
            pending: VecDeque::new(),
            pasted: Zeroizing::default(),
            columns: columns(),
            resumed: (resumed, handler),
        })
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
            // A shell gives a program that goes on its own mode of the terminal.
            if self.resumed.0.swap(false, Ordering::Relaxed) {
                Self::way(Raw::enter)?;
                return Ok(Key::Resumed);
            }
            let columns = columns();
            if columns != self.columns {
                self.columns = columns;
                return Ok(Key::Resized);
            }
        }
    }

    /// Drops what was typed or pasted before a question was shown, since that was not meant for it; whether there was any. Only Ctrl-C is
    /// meant for all.
    pub(super) fn drop_ahead(&mut self) -> io::Result<bool> {
        let (mut found, mut leaves, mut was_quiet) = (false, false, true);
        loop {
            match self.byte_at_once()? {
                Some(byte) => {
                    let key = self.key(byte)?;
                    leaves |= key == Key::Leave && byte != CTRL_D;
                    (found, was_quiet) = (true, false);
                }
                // What is pasted without marks comes in several parts.
                None if !was_quiet => {
                    std::thread::sleep(QUIET);
                    was_quiet = true;
                }
                None => break,
            }
        }
        self.pasted = Zeroizing::default();
        if leaves {
            self.pending.push_back(CTRL_C);
        }
        Ok(found)
    }

    /// Whether the key that was read last came with more than an Enter after it, as in a text that is pasted without marks: nobody types
    /// so fast. All of it is dropped then.
    pub(super) fn comes_with_more(&mut self) -> io::Result<bool> {
        std::thread::sleep(QUIET);
        let mut more = Vec::new();
        while more.len() < 3
            && let Some(byte) = self.byte_at_once()?
        {
            more.push(byte);
        }
        if matches!(more[..], [] | [b'\r' | b'\n'] | [b'\r', b'\n']) {
            return Ok(false);
        }
        self.pending.extend(more.iter().filter(|byte| **byte == CTRL_C));
        self.drop_ahead()?;
        Ok(true)
    }

    /// The next byte, if it is there already.
    fn byte_at_once(&mut self) -> io::Result<Option<u8>> {
        if !self.pending.is_empty() {
            return self.byte();
        }
        let mut at_once = self.raw.clone();
        at_once.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(&self.input, OptionalActions::Now, &at_once)?;
        let byte = self.byte();
        termios::tcsetattr(&self.input, OptionalActions::Now, &self.raw)?;
        byte
    }

    /// The text of the last [`Key::Pasted`], or how many lines it has.
    pub(super) fn pasted(&mut self) -> Result<Zeroizing<String>, usize> {
        paste::one_line(&std::mem::take(&mut self.pasted))
    }

    /// Reads on to the mark after a pasted text. Only a Ctrl-C that comes by itself ends it before.
    fn paste(&mut self) -> io::Result<Key> {
        let mut text = Zeroizing::new(Vec::new());
        let mut was_quiet = false;
        while !text.ends_with(paste::END) {
            match self.byte()? {
                Some(CTRL_C) if was_quiet => return Ok(Key::Leave),
                Some(byte) => {
                    text.push(byte);
                    was_quiet = false;
                }
                None if crate::interrupt::pending() => return Ok(Key::Leave),
                None => was_quiet = true,
            }
        }
        let length = text.len() - paste::END.len();
        text.truncate(length);
        self.pasted = text;
        Ok(Key::Pasted)
    }

    /// Ctrl-Z: gives the terminal back and stops, with all of its process group, until a shell lets it go on.
    fn suspend() -> io::Result<Key> {
        Self::way(|raw| {
            raw.leave();
            Ok(())
        })?;
        kill_current_process_group(Signal::TSTP)?;
        Self::way(Raw::enter)?;
        Ok(Key::Resumed)
    }

    fn way(go: impl FnOnce(&Raw) -> io::Result<()>) -> io::Result<()> {
        raw_terminals().last().map_or(Ok(()), go)
    }

    fn key(&mut self, byte: u8) -> io::Result<Key> {
        Ok(match byte {
            b'\r' | b'\n' => Key::Enter,
            CTRL_C | CTRL_D => Key::Leave,
            0x1a => Self::suspend()?,
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
                b'~' if parameters == paste::BEGIN => return self.paste(),
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

impl Drop for KeyReader {
    fn drop(&mut self) {
        let mut terminals = raw_terminals();
        if let Some(raw) = terminals.pop() {
            raw.leave();
        }
        if let Some(outer) = terminals.last() {
            let _ = outer.enter();
        }
        signal_hook::low_level::unregister(self.resumed.1);
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

/// The width in columns of the window behind standard error; 80 when it is not known.
pub(in crate::ui) fn columns() -> u16 {
    columns_of(io::stderr())
}

/// The width in columns of the window behind a stream; 80 when it is not known.
pub(in crate::ui) fn columns_of(stream: impl AsFd) -> u16 {
    termios::tcgetwinsize(stream).ok().map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(80)
}

/// The window's height in rows; 24 when it is not known.
pub(super) fn rows() -> u16 {
    termios::tcgetwinsize(io::stderr()).ok().map(|size| size.ws_row).filter(|rows| *rows > 0).unwrap_or(24)
}
