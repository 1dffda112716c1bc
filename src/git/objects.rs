//! Reads objects one after the other from one `git cat-file --batch`.
//!
//! To start git takes longer than to read a hundred small objects. So a [`Git`](super::Git) that has read an object keeps the process, and
//! asks it again: what a commit holds, what stands in its files, whether there is a branch by now. It sees what is written in the
//! meantime, as every git does, since it looks again for what it does not find.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::budget::{Budget, Meter, Metered};

/// Bytes of names that are sent before the answers are read. A pipe takes at least so much, see pipe(7), so that neither side ever
/// waits for the other to read.
const AT_ONCE: usize = 4096;

/// An object as git stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its id.
    pub(super) oid: String,
    /// Its content.
    pub(super) bytes: Vec<u8>,
}

/// The process. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Objects {
    child: Child,
    /// `None` once it was told to end.
    requests: Option<ChildStdin>,
    answers: BufReader<Metered<ChildStdout>>,
    /// What it says on standard error: a file, since nobody reads it while the process runs. `None` where no file could be made: what
    /// git reads needs none.
    complaints: Option<File>,
}

impl Objects {
    /// Starts `command`, a git without arguments yet.
    pub(super) fn start(command: Command) -> io::Result<Self> {
        Self::start_with(command, tempfile::tempfile().ok())
    }

    fn start_with(mut command: Command, complaints: Option<File>) -> io::Result<Self> {
        let stderr = complaints.as_ref().and_then(|file| file.try_clone().ok()).map_or_else(Stdio::null, Stdio::from);
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.stderr(stderr).spawn()?;
        super::note(&command, begun, None);
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let answers = Metered::new(answers.ok_or(io::ErrorKind::BrokenPipe)?, Budget::GIT.open());
        let answers = BufReader::new(answers);
        Ok(Self { child, requests, answers, complaints })
    }

    /// The objects of these names, in their order; `None` for one that is not there or cannot be read. A name is an id or a revision
    /// without spaces and line ends. After an error the process is of no use any more.
    pub(super) fn read(&mut self, names: &[&str], meter: &mut Meter) -> io::Result<Vec<Option<Object>>> {
        self.answers.get_mut().meter = *meter;
        let found = self.ask(names);
        *meter = self.answers.get_ref().meter;
        if found.is_err() {
            crate::process::end(&mut self.child);
        }
        found
    }

    fn ask(&mut self, names: &[&str]) -> io::Result<Vec<Option<Object>>> {
        let mut objects = Vec::with_capacity(names.len());
        let mut batch = Vec::with_capacity(AT_ONCE);
        for (index, name) in names.iter().enumerate() {
            batch.extend_from_slice(name.as_bytes());
            batch.push(b'\n');
            let next = names.get(index + 1);
            if next.is_some_and(|next| batch.len() + next.len() < AT_ONCE) {
                continue;
            }
            self.requests.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(&batch)?;
            batch.clear();
            while objects.len() <= index {
                objects.push(next_object(&mut self.answers)?);
            }
        }
        Ok(objects)
    }

    /// What it has complained of so far, in one line; empty where that is not kept.
    pub(super) fn complaint(&mut self) -> String {
        let mut bytes = Vec::new();
        if let Some(file) = &mut self.complaints {
            let _ = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).lines().last().unwrap_or_default().to_owned()
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        drop(self.requests.take());
        crate::process::see_off(&mut self.child);
    }
}

/// Reads one answer: `OID SP TYPE SP SIZE LF CONTENT LF`, or `NAME SP missing LF` and the like.
pub(crate) fn next_object(answers: &mut impl BufRead) -> io::Result<Option<Object>> {
    let mut header = String::new();
    if answers.read_line(&mut header)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut fields = header.trim_end_matches('\n').split(' ');
    let (Some(oid), Some(_kind), Some(size)) = (fields.next(), fields.next(), fields.next()) else { return Ok(None) };
    let Ok(size) = size.parse::<usize>() else { return Ok(None) };
    let mut bytes = Vec::new();
    // Nothing is set aside for a size that is only said.
    if answers.by_ref().take(size as u64).read_to_end(&mut bytes)? < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    answers.read_exact(&mut [0])?;
    Ok(Some(Object { oid: oid.to_owned(), bytes }))
}

/// Whether a text from elsewhere is an object's id, and not an option for git.
pub(crate) fn is_object_id(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_split_by_size_and_not_by_line() {
        let mut answers = &b"aa blob 4\nx\n\ny\ncc missing\nbb blob 0\n\ndd blob 4\nx"[..];
        let object = |oid: &str, bytes: &[u8]| Some(Object { oid: oid.into(), bytes: bytes.into() });
        assert_eq!(next_object(&mut answers).unwrap(), object("aa", b"x\n\ny"));
        assert_eq!(next_object(&mut answers).unwrap(), None);
        assert_eq!(next_object(&mut answers).unwrap(), object("bb", b""));
        assert!(next_object(&mut answers).is_err());
        assert!(next_object(&mut answers).is_err());
    }

    #[test]
    fn without_a_file_for_complaints_objects_are_read_all_the_same() {
        let mut git = Command::new("git");
        let temp = tempfile::tempdir().unwrap();
        assert!(Command::new("git").args(["init", "-q"]).current_dir(temp.path()).status().unwrap().success());
        git.current_dir(temp.path());
        let mut objects = Objects::start_with(git, None).unwrap();
        assert_eq!(objects.read(&["HEAD"], &mut Budget::GIT.open()).unwrap(), [None]);
        assert_eq!(objects.complaint(), "");
    }
}
