//! Reads the text of a `factory.toml`, before it is parsed.

use std::io::Read as _;
use std::path::Path;

use super::Factory;
use super::problem::{self, Problem};
use super::read::Reader;
use super::rules::Fault;
use crate::error::{Error, Result};

/// The largest file that is read, in bytes. A real one has some 5 KiB; what is wrong with each line of this much is said within
/// a second.
const LARGEST: u64 = 64 * 1024;

/// Reads a `factory.toml`.
///
/// # Errors
/// `Data` when it cannot be read, or with all that is wrong with it, each with its line, its field and a remedy.
pub fn read(path: &Path) -> Result<Factory> {
    parse_bytes(&read_bytes(path)?, &path.display().to_string())
}

/// The text of a `factory.toml`, as [`read`] takes it, before anything in it is judged.
///
/// # Errors
/// `Data` when it cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = read_bytes(path)?;
    let name = path.display().to_string();
    as_text(&bytes, &name)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let cannot = |error: &std::io::Error| Error::data(format!("cannot read {name}: {error}"));
    let attributes = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::data(format!("{name} does not exist")).hint("create one with `factoryup init`")
        }
        _ => cannot(&error),
    })?;
    if attributes.is_dir() {
        let inside = path.join(super::FILE_NAME);
        return Err(
            Error::data(format!("{name} is a directory, not a file")).hint(format!("give {}", inside.display()))
        );
    }
    if !attributes.is_file() {
        return Err(Error::data(format!("{name} is not a regular file")));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| cannot(&error))?;
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    Ok(bytes)
}

/// Reads the text of a `factory.toml`. `name` is what errors call it.
///
/// # Errors
/// `Data` with all that is wrong with it, each with its line, its field and a remedy.
pub fn parse(text: &str, name: &str) -> Result<Factory> {
    parse_bytes(text.as_bytes(), name)
}

fn parse_bytes(bytes: &[u8], name: &str) -> Result<Factory> {
    Reader::new(as_text(bytes, name)?).finish(name)
}

fn as_text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str> {
    if bytes.len() as u64 > LARGEST {
        return Err(Error::data(format!("{name} is larger than 64 KiB"))
            .hint("check that it is the right file: a factory.toml has about 5 KiB"));
    }
    match std::str::from_utf8(bytes) {
        // Some editors on Windows put a byte order mark first.
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let fault = Fault::new("contains a byte that is not UTF-8", "save the file as UTF-8");
            let end = valid.len();
            let problem = Problem::new(Some(end..end + 3), "the text", fault);
            Err(problem::error(name, &format!("{valid}\u{fffd}"), vec![problem]))
        }
    }
}
