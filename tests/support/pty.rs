//! A program in a real pseudo-terminal, driven by directives: expect a text, send keys, resize, wait for the end. Each has a time
//! limit, and when one fails the whole transcript is shown.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

/// How long any one directive may take. The machine may be busy.
const LIMIT: Duration = Duration::from_mins(2);

pub struct Pty {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    raw: Vec<u8>,
    /// How much of the plain transcript has been expected so far.
    seen: usize,
}

impl Pty {
    pub fn start(command: CommandBuilder, columns: u16) -> Self {
        Self::start_in(command, size(columns))
    }

    /// In a window of this size.
    pub fn start_in(command: CommandBuilder, size: PtySize) -> Self {
        let pair = native_pty_system().openpty(size).unwrap();
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keys = pair.master.take_writer().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 || sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { master: pair.master, child, keys, output, raw: Vec::new(), seen: 0 }
    }

    /// Waits for a text, after the last one that was expected.
    pub fn expect(&mut self, text: &str) -> &mut Self {
        self.expect_within(LIMIT, text)
    }

    /// The same for what may take longer.
    pub fn expect_within(&mut self, limit: Duration, text: &str) -> &mut Self {
        let until = Instant::now() + limit;
        loop {
            if let Some(at) = self.transcript()[self.seen..].find(text) {
                self.seen += at + text.len();
                return self;
            }
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.raw.extend(bytes),
                Err(why) => panic!("expected {text:?}, {why}; not seen in:\n{}", &self.transcript()[self.seen..]),
            }
        }
    }

    pub fn send(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        self
    }

    /// Sends a text as a terminal does that was asked to mark what is pasted.
    pub fn paste(&mut self, text: &str) -> &mut Self {
        self.send(&format!("\u{1b}[200~{}\u{1b}[201~", text.replace('\n', "\r")))
    }

    /// Expects a text, then sends keys and Enter.
    pub fn answer(&mut self, text: &str, keys: &str) -> &mut Self {
        self.expect(text);
        self.send(keys).send("\r")
    }

    pub fn resize(&mut self, columns: u16) -> &mut Self {
        self.master.resize(size(columns)).unwrap();
        self
    }

    /// Waits for the end: the exit code, and all that was written, as it was written.
    pub fn end(mut self) -> (u32, String) {
        let until = Instant::now() + LIMIT;
        loop {
            match self.output.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.raw.extend(bytes),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    panic!("still running:\n{}", self.transcript());
                }
            }
        }
        let code = self.child.wait().unwrap().exit_code();
        (code, String::from_utf8_lossy(&self.raw).into_owned())
    }

    /// All that was written, without escape sequences.
    pub fn transcript(&self) -> String {
        console::strip_ansi_codes(&String::from_utf8_lossy(&self.raw)).into_owned()
    }

    /// All that was written, as it was written.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}

pub fn size(columns: u16) -> PtySize {
    PtySize { rows: 40, cols: columns, pixel_width: 0, pixel_height: 0 }
}
