//! Programs that a test makes and then runs.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes a file that can be executed. Another process writes it: what this one has open for writing at the moment when another
/// thread starts a program is open in that child too, until it executes, and whatever is open for writing does not run (`ETXTBSY`).
pub fn make_program(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    let mut sh = Command::new("sh");
    sh.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path.as_ref()).stdin(Stdio::piped());
    let mut writer = sh.spawn().unwrap();
    writer.stdin.take().unwrap().write_all(bytes.as_ref()).unwrap();
    assert!(writer.wait().unwrap().success(), "{}", path.as_ref().display());
}

/// The same with what another file holds.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    assert!(Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().unwrap().success());
}
