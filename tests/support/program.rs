//! Programs that a test makes, and servers that it starts.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Makes a file that can be executed. Another process writes it: what this one has open for writing at the moment when another
/// thread starts a program is open in that child too, until it executes, and whatever is open for writing does not run (`ETXTBSY`).
pub fn make_program(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    let mut sh = Command::new("sh");
    sh.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path.as_ref()).stdin(Stdio::piped());
    let mut writer = sh.spawn().unwrap();
    writer.stdin.take().unwrap().write_all(bytes.as_ref()).unwrap();
    assert!(writer.wait().unwrap().success(), "{}", path.as_ref().display());
}

/// The tools of the agent, which would be downloaded, on a disposable host.
pub fn put_tools(rootfs: impl AsRef<Path>) {
    for name in ["claude", "tofu", "sops"] {
        make_program(rootfs.as_ref().join("usr/local/bin").join(name), "#!/bin/sh\n");
    }
}

/// The same with what another file holds.
pub fn copy_program(from: impl AsRef<Path>, to: impl AsRef<Path>) {
    assert!(Command::new("cp").arg(from.as_ref()).arg(to.as_ref()).status().unwrap().success());
}

/// Starts a server that takes the port it is told, and gives back the port. Whichever port was free a moment ago may not be any more,
/// so another is tried when the server ends.
pub fn start_server(mut start: impl FnMut(u16) -> Child) -> (u16, Child) {
    for _ in 0..20 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = start(port);
        let mut has_ended = || server.try_wait().unwrap().is_some();
        super::wait_until("a server", || has_ended() || TcpStream::connect(("127.0.0.1", port)).is_ok());
        // What answered may be whoever has the port.
        std::thread::sleep(Duration::from_millis(300));
        if !has_ended() {
            return (port, server);
        }
    }
    panic!("no server starts");
}
