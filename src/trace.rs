//! `--trace FILE`: a record of what a run did, for bug reports and debugging.
//!
//! Each line of the file is a JSON object with `time`, `what` and the fields of that record. `CONTRIBUTING.md` lists them. A place
//! that talks to the outside calls [`note`]; without `--trace`, that is one load and a branch.
//!
//! Secrets do not get into the file, for two reasons. [`note`] replaces values by the name of their field, which covers the
//! tokens in GitLab's answers. It also replaces every [`Secret`](crate::secret::Secret) that this run knows, in every form of
//! `forms`: each new secret registers with `hide`. Callers still leave out what must not be recorded: the password for sudo
//! travels in front of a program, so only the program is passed to [`note`].

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result};

/// What stands in the file in place of a secret.
const HIDDEN: &str = "[secret]";
/// The largest body that is recorded, in bytes.
const LARGEST: usize = 256 * 1024;
/// A line of a secret that is shorter says nothing, such as the `END` of a key.
const SHORTEST_LINE: usize = 8;

/// An open trace.
struct Trace {
    file: Mutex<File>,
    path: PathBuf,
    /// Why the first record that is missing could not be written.
    lost: OnceLock<String>,
}

static TRACE: OnceLock<Trace> = OnceLock::new();
/// The forms of all secrets, the longest first.
static FORMS: Mutex<Vec<String>> = Mutex::new(Vec::new());

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
        hide(&std::env::var(variable).unwrap_or_default());
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

/// Registers a secret, which from now on no record shows.
pub(crate) fn hide(secret: &str) {
    if TRACE.get().is_none() {
        return;
    }
    let mut known = FORMS.lock().unwrap_or_else(PoisonError::into_inner);
    for form in forms(secret) {
        if !known.contains(&form) {
            known.push(form);
        }
    }
    known.sort_by_key(|form| std::cmp::Reverse(form.len()));
}

/// Replaces every registered secret in a text.
fn redact(text: &str) -> String {
    let known = FORMS.lock().unwrap_or_else(PoisonError::into_inner);
    without(&known, text)
}

fn without(forms: &[String], text: &str) -> String {
    forms.iter().fold(text.to_owned(), |text, form| text.replace(form.as_str(), HIDDEN))
}

/// The forms in which a secret can be part of a text: as it is, each of its lines, as part of a JSON string or a URL, and in
/// base64, also as a part of something longer and in the lines of a host program.
fn forms(secret: &str) -> Vec<String> {
    let quoted = Value::from(secret).to_string();
    let mut forms = vec![
        secret.to_owned(),
        secret.trim().to_owned(),
        quoted.trim_matches('"').to_owned(),
        percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        wrapped(&STANDARD.encode(secret)),
    ];
    forms.extend(secret.lines().map(str::to_owned).filter(|line| line.len() >= SHORTEST_LINE));
    for text in [secret, secret.trim()] {
        for before in 0..3 {
            let padded = [&vec![0; before], text.as_bytes()].concat();
            // What the neighbors of the secret have a part in is left out: up to three characters on either side.
            let whole = padded.len() / 3 * 4;
            let from = [0, 2, 3][before];
            for engine in [&STANDARD, &URL_SAFE] {
                let encoded = engine.encode(&padded);
                forms.push(encoded.get(from..whole).unwrap_or_default().to_owned());
            }
        }
    }
    let short = secret.len().min(4);
    forms.retain(|form| !form.is_empty() && form.len() >= short);
    forms
}

/// base64 as `host::program` writes it into a program.
fn wrapped(encoded: &str) -> String {
    let lines: Vec<_> = encoded.as_bytes().chunks(120).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    lines.join("\n")
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
        Value::String(text) => redact(&text).into(),
        Value::Array(values) => values.into_iter().map(clean).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(_) if is_secret(&name) => (name, HIDDEN.into()),
                value => (redact(&name), clean(value)),
            })
            .collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form_and_place() {
        let secrets = [
            "glpat-canary/+?0123456789",
            "canary 9Yh2 'sudo\" \\kVq7",
            "pässwörd mit ümlaut",
            "username=x\npassword=hunter2hunter2\n",
        ];
        for secret in secrets {
            let forms = forms(secret);
            let json = json!({"x": format!("before {secret} after")}).to_string();
            let url = format!(
                "https://x/?a={}",
                percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC)
            );
            for text in [format!("a{secret}b"), json, url] {
                let clean = without(&forms, &text);
                assert!(clean.contains(HIDDEN) && !clean.contains(secret), "{clean}");
            }
            for before in ["", "a", "ab", "abc", "oauth2:"] {
                for after in ["", "z", "yz", "\n"] {
                    for engine in [&STANDARD, &URL_SAFE] {
                        let text = engine.encode(format!("{before}{secret}{after}"));
                        let clean = without(&forms, &text);
                        assert!(clean.contains(HIDDEN), "{before}{secret}{after}: {clean}");
                    }
                }
            }
        }
        let key = "line of a key\n".repeat(40);
        assert_eq!(without(&forms(&key), &wrapped(&STANDARD.encode(&key))), HIDDEN);
    }

    #[test]
    fn an_empty_secret_hides_nothing_and_a_short_one_only_itself() {
        assert_eq!(without(&forms(""), "text"), "text");
        assert_eq!(without(&forms("abc"), "text abc YWJj"), format!("text {HIDDEN} {HIDDEN}"));
        // What is left of a short one in base64 is too little to tell from other text.
        assert_eq!(without(&forms("ab"), "hY yb abstract"), format!("hY yb {HIDDEN}stract"));
    }

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
