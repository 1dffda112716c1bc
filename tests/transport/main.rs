//! Reaching a host over SSH, and every way in which that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use disposable_host::{DisposableHost, delay_proxy};
use factoryup::Error;
use factoryup::dialog::Silent;
use factoryup::transport::{ConfigFile, Exit, Session, Ssh, SshOptions, Status, Transport};
use support::lab::{self, Keys, stdout};

mod client;
mod configurations;
mod failures;
mod host_key;
mod known;
mod login;
mod said;
#[path = "../support/mod.rs"]
mod support;

/// A host that all tests share which leave it as it was, and the key for it.
struct Lab {
    host: DisposableHost,
    keys: Keys,
}

/// The shared host, or none when it cannot run here. It is taken away when the tests end.
fn lab() -> Option<&'static Lab> {
    static LAB: OnceLock<Option<Lab>> = OnceLock::new();
    LAB.get_or_init(alone).as_ref()
}

/// A host that no other test logs in to.
fn alone() -> Option<Lab> {
    lab::can_host().then(|| {
        let keys = Keys::new();
        Lab { host: lab::host(&keys), keys }
    })
}

impl Lab {
    /// Options that know nothing but the address and the key; the temporary folder holds the known hosts.
    fn unknown(&self, at: SocketAddr) -> (SshOptions, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let mut options = SshOptions::new(at.ip().to_string(), folder.path().join("known_hosts"));
        options.port = Some(at.port());
        options.users = vec!["root".into()];
        options.identity = Some(self.keys.path("id"));
        options.config = ConfigFile::Ignore;
        (options, folder)
    }

    /// The same, with the host key on record.
    fn known(&self, at: SocketAddr) -> (SshOptions, tempfile::TempDir) {
        let (options, folder) = self.unknown(at);
        let name = if at.port() == 22 { at.ip().to_string() } else { format!("[{}]:{}", at.ip(), at.port()) };
        fs::write(&options.known_hosts, format!("{name} {}\n", self.host.host_key())).unwrap();
        (options, folder)
    }

    /// A second sshd on the host, at another port and with settings of its own.
    fn sshd(&self, port: u16, settings: &[&str]) -> SocketAddr {
        let port_text = port.to_string();
        let mut command = vec!["/usr/sbin/sshd", "-p", &port_text, "-o", "PidFile=none"];
        command.extend(settings.iter().flat_map(|setting| ["-o", setting]));
        stdout(&self.host.run_inside(&command).unwrap());
        self.listening(port)
    }

    /// The address of a server that was just started: sshd goes to the background before it listens.
    fn listening(&self, port: u16) -> SocketAddr {
        let at = SocketAddr::new(self.host.address(), port);
        support::wait_until("a server", || TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok());
        at
    }

    fn direct(&self) -> SocketAddr {
        self.host.direct()
    }
}

fn connect(options: SshOptions) -> Result<Box<dyn Session>, Error> {
    Ssh::new(options, &Silent).and_then(|mut ssh| ssh.connect())
}

fn error(options: SshOptions) -> Error {
    connect(options).map(|_| ()).unwrap_err()
}

fn exec(session: &mut dyn Session, command: &str, stdin: &[u8]) -> (Vec<String>, Exit) {
    let mut lines = Vec::new();
    let exit = session.exec(command, stdin, None, &mut |line| lines.push(line.to_owned())).unwrap();
    (lines, exit)
}

/// What a session must be able to do, whatever is behind it.
fn works(session: &mut dyn Session) {
    let (lines, exit) =
        exec(session, "sh -s", "printf 'z\u{fc}rich\\n\\033[1m\\nlast'; echo err >&2; exit 7".as_bytes());
    assert_eq!(lines, ["z\u{fc}rich", "\u{1b}[1m", "last"]);
    assert_eq!((exit.status, exit.stderr.as_str()), (Status::Code(7), "err"));
    // More than the 2 MiB of a channel's window, both ways at once, and a command that does not read it.
    let input = "0123456789abcde\n".repeat(192 * 1024);
    let (lines, exit) = exec(session, "tee /dev/stderr", input.as_bytes());
    assert!(exit.success() && lines.len() == 192 * 1024 && lines.iter().all(|line| line == "0123456789abcde"));
    assert_eq!(exit.stderr.len(), 64 * 1024 - 1);
    let (lines, exit) = exec(session, "exec <&-; echo done", input.as_bytes());
    assert!(exit.success() && lines == ["done"], "{exit:?} {lines:?}");
}

#[test]
fn a_key_file_logs_in_and_commands_run() {
    let Some(lab) = lab() else { return };
    let (options, _folder) = lab.known(lab.direct());
    let mut ssh = Ssh::new(options, &Silent).unwrap();
    let mut session = ssh.connect().unwrap();
    assert_eq!((session.user(), ssh.uses_client_because()), ("root", None));
    works(&mut *session);
    let (_, exit) = exec(&mut *session, "kill -KILL $$", b"");
    assert_eq!(exit.status, Status::Signal("KILL".into()));
    // Many commands on one connection, and a second connection beside it.
    for number in 0..20 {
        assert_eq!(exec(&mut *session, &format!("echo {number}"), b"").0, [number.to_string()]);
    }
    let mut second = ssh.connect().unwrap();
    let port = |session: &mut dyn Session| exec(session, "echo \"$SSH_CONNECTION\"", b"").0;
    assert_ne!(port(&mut *session), port(&mut *second));
}

#[test]
fn distance_changes_nothing_but_time() {
    let Some(lab) = lab() else { return };
    let proxy = delay_proxy::start(lab.direct(), Duration::from_millis(50)).unwrap();
    let (options, _folder) = lab.known(proxy.address());
    works(&mut *connect(options).unwrap());
    assert_eq!(proxy.connections(), 1);
}
