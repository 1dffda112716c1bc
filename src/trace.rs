//! `--trace FILE`: a record of what a run did, for bug reports and debugging.
//!
//! Each line of the file is a JSON object with `time`, `what` and the fields of that record. `CONTRIBUTING.md` lists them. A place
//! that talks to the outside calls [`note`]; without `--trace`, that is one load and a branch.
//!
//! Secrets do not get into the file, for two reasons. [`note`] replaces values by the name of their field, which covers the
//! tokens in GitLab's answers. It also replaces every [`Secret`] that this run knows, as [`redact`] does. Callers still leave out
//! what must not be recorded: the password for sudo travels in front of a program, so only the program is passed to [`note`].

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result};
use crate::secret::{Secret, redact};

/// What stands in the file in place of a secret.
const HIDDEN: &str = "[secret]";
/// The largest body that is recorded, in bytes.
const LARGEST: usize = 256 * 1024;

/// An open trace.
struct Trace {
    file: Mutex<File>,
    path: PathBuf,
    /// Why the first record that is missing could not be written.
    lost: OnceLock<String>,
}

static TRACE: OnceLock<Trace> = OnceLock::new();

/// Starts the trace of this process. It creates the file with mode 0600 or appends to it.
///
/// # Errors
/// `Usage` if the path names something other than a regular file, or a file that other users can read or own; `CannotWrite` if
/// it cannot be opened.
pub(crate) fn start(path: &Path) -> Result<()> {
    let cannot = |error: std::io::Error| {
        Error::new(Kind::CannotWrite, format!("cannot open the trace file {}: {error}", path.display()))
            .hint("choose a file in a directory that you can write to")
    };
    let mut options = OpenOptions::new();
    // Without NONBLOCK, opening a named pipe that has no reader never returns.
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut file =
        options.read(true).append(true).create(true).mode(0o600).custom_flags(nonblock).open(path).map_err(cannot)?;
    let found = file.metadata().map_err(cannot)?;
    let unfit = |why: &str, hint: String| Err(Error::usage(format!("{} {why}", path.display())).hint(hint));
    if !found.is_file() {
        return unfit("is not a regular file, so it cannot be the trace file", "choose another path".into());
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return unfit("belongs to another user, so it cannot be the trace file", "choose another path".into());
    }
    if found.mode() & 0o077 != 0 {
        return unfit(
            "is open to other users, so it cannot be the trace file",
            format!("chmod 600 {}", path.display()),
        );
    }
    // A line that a killed run did not finish must not swallow the next record.
    let mut last = [b'\n'];
    if found.len() > 0 {
        file.seek(SeekFrom::End(-1)).and_then(|_| file.read_exact(&mut last)).map_err(cannot)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n").map_err(cannot)?;
    }
    let trace = Trace { file: Mutex::new(file), path: path.to_owned(), lost: OnceLock::new() };
    TRACE.set(trace).map_err(|_| Error::internal("the trace was started twice"))?;
    for variable in crate::process::SECRET_VARIABLES {
        drop(Secret::new(std::env::var(variable).unwrap_or_default()));
    }
    note("start", || {
        let arguments: Vec<_> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        json!({"version": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS, "arch": std::env::consts::ARCH, "arguments": arguments})
    });
    Ok(())
}

/// Appends a record. `fields` is not called when there is no trace.
pub fn note(what: &str, fields: impl FnOnce() -> Value) {
    let Some(trace) = TRACE.get() else { return };
    let mut record = Map::new();
    record.insert("time".into(), jiff::Timestamp::now().to_string().into());
    record.insert("what".into(), what.into());
    if let Value::Object(fields) = clean(fields()) {
        record.extend(fields);
    }
    let line = Value::Object(record).to_string() + "\n";
    let mut file = trace.file.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = file.write_all(line.as_bytes()) {
        let _ = trace.lost.set(error.to_string());
    }
}

/// Says what is missing from the trace, if a record could not be written.
#[must_use]
pub fn lost() -> Option<String> {
    let trace = TRACE.get()?;
    let why = trace.lost.get()?;
    Some(format!("the trace in {} is incomplete: {why}", trace.path.display()))
}

/// A body that was sent or received, as JSON if it is JSON.
pub(crate) fn body(bytes: &[u8]) -> Value {
    if bytes.len() > LARGEST {
        return format!("[{} bytes]", bytes.len()).into();
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

/// Milliseconds since `begun`.
pub(crate) fn ms(begun: std::time::Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Whether a field of this name holds a secret: tokens of every sort, and the value of a CI variable.
fn is_secret(name: &str) -> bool {
    name.ends_with("token")
        || name.ends_with("password")
        || name.ends_with("secret")
        || name == "value"
        || name == "import_url"
}

fn clean(value: Value) -> Value {
    match value {
        Value::String(text) => redact(&text).into_owned().into(),
        Value::Array(values) => values.into_iter().map(clean).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(_) if is_secret(&name) => (name, HIDDEN.into()),
                value => (redact(&name).into_owned(), clean(value)),
            })
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_hold_secrets_are_known_by_name() {
        let answer = json!([{"token": "a", "runners_token": "b", "value": "c", "key": "X", "token_id": 4, "ci_push_repository_for_job_token_allowed": true}]);
        let clean = clean(answer);
        assert_eq!(
            clean,
            json!([{"token": HIDDEN, "runners_token": HIDDEN, "value": HIDDEN, "key": "X", "token_id": 4, "ci_push_repository_for_job_token_allowed": true}])
        );
    }

    #[test]
    fn a_body_that_is_no_json_is_text_and_a_large_one_only_its_size() {
        assert_eq!(body(b"{\"a\":1}"), json!({"a": 1}));
        assert_eq!(body(b"Retry later"), json!("Retry later"));
        assert_eq!(body(&vec![b'1'; LARGEST + 1]), json!("[262145 bytes]"));
    }
}
