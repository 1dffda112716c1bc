//! A connection through libssh2, and commands over it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ssh2::{BlockDirections, Channel, ErrorCode, MethodType};

use super::error::{TransportError, reason};
use super::host_key::HostKey;
use super::options::Timeouts;
use super::output::{Lines, Tail, line_ends};
use super::ssh_config::{Family, SshConfig};
use super::{Exit, Session, Status, Stop};
use crate::budget::{Exceeded, Meter};
use crate::error::Result;
use crate::interrupt::Asking;

/// libssh2's codes for algorithms that the two sides do not share: `LIBSSH2_ERROR_KEX_FAILURE`, `_KEY_EXCHANGE_FAILURE`,
/// `_METHOD_NONE`, `_HOSTKEY_INIT`, `_METHOD_NOT_SUPPORTED`, `_ALGO_UNSUPPORTED`.
const NOTHING_IN_COMMON: [i32; 6] = [-5, -8, -17, -10, -33, -51];
/// `LIBSSH2_ERROR_TIMEOUT`.
const TIME_OUT: ErrorCode = ErrorCode::Session(-9);

/// A TCP connection with the key exchange done and nobody logged in yet.
pub(super) struct Connection {
    pub(super) session: ssh2::Session,
    socket: TcpStream,
    address: String,
    timeouts: Timeouts,
}

impl Connection {
    /// Connects and exchanges keys. `host_keys` is libssh2's list of host key algorithms, the preferred one first.
    pub(super) fn open(config: &SshConfig, timeouts: Timeouts, host_keys: &str) -> Result<Self, TransportError> {
        let address = if config.host.contains(':') { format!("[{}]", config.host) } else { config.host.clone() };
        let address = format!("{address}:{}", config.port);
        let socket = connect(config, &address, timeouts.connect)?;
        let handshake = |reason: String| TransportError::Handshake { address: address.clone(), reason };
        let copy = socket.try_clone().map_err(|e| handshake(reason(&e)))?;
        let _ = socket.set_nodelay(true);
        let failed = |e: ssh2::Error| handshake(e.message().to_lowercase());
        let mut session = ssh2::Session::new().map_err(failed)?;
        // libssh2 has no time limit of its own: without this a server that never speaks is waited for without end.
        session.set_timeout(u32::try_from(timeouts.handshake.as_millis()).unwrap_or(u32::MAX));
        session.method_pref(MethodType::HostKey, host_keys).map_err(failed)?;
        session.set_tcp_stream(copy);
        let begun = Instant::now();
        session.handshake().map_err(|e| {
            if NOTHING_IN_COMMON.map(ErrorCode::Session).contains(&e.code()) && begun.elapsed() < timeouts.handshake {
                return TransportError::KeyExchange { address: address.clone(), reason: e.message().to_lowercase() };
            }
            // libssh2 counts in whole milliseconds and on another clock: its limit can end before ours.
            handshake(if e.code() == TIME_OUT || begun.elapsed() >= timeouts.handshake {
                format!("no answer within {} s", timeouts.handshake.as_secs_f32())
            } else {
                e.message().to_lowercase()
            })
        })?;
        Ok(Self { session, socket, address, timeouts })
    }

    /// The key that the host has proved to have.
    pub(super) fn host_key(&self) -> Result<HostKey, TransportError> {
        let key = self.session.host_key().map(|(blob, _)| HostKey::new(blob));
        key.ok_or_else(|| TransportError::Handshake {
            address: self.address.clone(),
            reason: "it has no host key".into(),
        })
    }

    /// Host and port, for messages.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The connection as a session of the user that has just logged in.
    pub(super) fn logged_in(self, user: &str) -> Box<dyn Session> {
        self.session.set_keepalive(true, u32::try_from(self.timeouts.keepalive.as_secs()).unwrap_or(1).max(2));
        Box::new(Libssh2Session { connection: self, user: user.to_owned() })
    }

    /// Runs a command. `beside` is called now and then while it runs, and says whether it used the connection for something else.
    fn exec(
        &self,
        command: &str,
        stdin: &[u8],
        can_stop: bool,
        on_line: &mut dyn FnMut(&str),
        beside: &mut dyn FnMut() -> bool,
    ) -> Result<Exit> {
        let session = &self.session;
        let lost = |e: ssh2::Error| self.cut("before a command was started", e.message());
        session.set_blocking(true);
        let mut channel = session.channel_session().map_err(lost)?;
        channel.exec(command).map_err(lost)?;
        session.set_blocking(false);
        let meter = self.timeouts.budget(can_stop).open();
        let mut running = Running { connection: self, last_heard: Instant::now(), meter };
        let stderr = running.pump(&mut channel, stdin, on_line, beside)?;
        session.set_blocking(true);
        let status = running.end(&mut channel)?;
        Ok(Exit { status, stderr })
    }

    fn too_much(&self, limit: Exceeded) -> TransportError {
        TransportError::Budget { address: self.address.clone(), limit }
    }

    fn cut(&self, doing: &'static str, why: &str) -> TransportError {
        TransportError::Cut { address: self.address.clone(), doing, reason: why.to_lowercase() }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // Saying good-bye must not wait for a host that is gone.
        self.session.set_blocking(false);
        let _ = self.session.disconnect(None, "done", None);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Connects to the first of the host's addresses that answers.
fn connect(config: &SshConfig, address: &str, limit: Duration) -> Result<TcpStream, TransportError> {
    let resolve = |reason: String| TransportError::Resolve { host: config.host.clone(), reason };
    let found =
        (config.host.as_str(), config.port).to_socket_addrs().map_err(|e| resolve(resolver_reason(&reason(&e))))?;
    let wanted = |a: &SocketAddr| match config.family {
        Family::Any => true,
        Family::Inet => a.is_ipv4(),
        Family::Inet6 => a.is_ipv6(),
    };
    let mut failure = None;
    for candidate in found.filter(wanted) {
        match TcpStream::connect_timeout(&candidate, limit) {
            Ok(stream) => return Ok(stream),
            Err(e) => failure = Some(e),
        }
    }
    let error = failure.ok_or_else(|| resolve("it has no address of the requested family".into()))?;
    Err(TransportError::Connect {
        address: address.to_owned(),
        refused: error.kind() == ErrorKind::ConnectionRefused,
        reason: match error.kind() {
            ErrorKind::TimedOut => format!("no answer within {} s", limit.as_secs_f32()),
            _ => reason(&error),
        },
    })
}

/// The resolver's own words, without Rust's introduction to them.
fn resolver_reason(text: &str) -> String {
    text.trim_start_matches("failed to lookup address information: ").to_owned()
}

struct Libssh2Session {
    connection: Connection,
    user: String,
}

impl Session for Libssh2Session {
    fn exec(
        &mut self,
        command: &str,
        stdin: &[u8],
        stop: Option<Stop<'_>>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Exit> {
        let mut asking = Asking::default();
        self.connection.exec(command, stdin, stop.is_some(), on_line, &mut || {
            let Some(stop) = stop.filter(|_| asking.is_due()) else { return false };
            // A channel of its own over the same connection, while the other one waits.
            let asked = self.connection.exec(command, stop.stdin, false, &mut |_| (), &mut || false);
            if asked.is_ok_and(|exit| exit.success()) {
                asking.done();
                stop.work.asked();
            }
            true
        })
    }

    fn user(&self) -> &str {
        &self.user
    }
}

const RUNNING: &str = "while a command was running";

/// A command that is running.
struct Running<'a> {
    connection: &'a Connection,
    last_heard: Instant,
    meter: Meter,
}

impl Running<'_> {
    /// Writes standard input and reads both outputs, each as far as it goes without waiting, until the command's output ends.
    fn pump(
        &mut self,
        channel: &mut Channel,
        stdin: &[u8],
        on_line: &mut dyn FnMut(&str),
        beside: &mut dyn FnMut() -> bool,
    ) -> Result<String> {
        let (mut lines, mut errors) = (Lines::default(), Tail::default());
        let mut buffer = vec![0; 32 * 1024];
        let (mut sent, mut closed) = (0, false);
        loop {
            let mut moved = 0;
            while let Some(read @ 1..) = self.without_waiting(|| channel.read(&mut buffer))? {
                moved += read;
                self.took(read, line_ends(&buffer[..read]))?;
                lines.push(&buffer[..read], on_line).map_err(|_| TransportError::Output {
                    address: self.connection.address.clone(),
                    reason: "a line is longer than 16 MiB".into(),
                })?;
            }
            let mut stderr = channel.stderr();
            while let Some(read @ 1..) = self.without_waiting(|| stderr.read(&mut buffer))? {
                moved += read;
                self.took(read, 0)?;
                errors.push(&buffer[..read]);
            }
            if moved > 0 {
                self.last_heard = Instant::now();
            }
            if channel.eof() {
                break;
            }
            if sent < stdin.len() {
                match self.without_waiting(|| channel.write(&stdin[sent..])) {
                    Ok(written) => {
                        sent += written.unwrap_or(0);
                        moved += written.unwrap_or(0);
                    }
                    // The command does not want more, and what it has to say about that is still to be read.
                    Err(_) if channel.eof() => sent = stdin.len(),
                    Err(e) => return Err(e.into()),
                }
            }
            if sent == stdin.len() && !closed {
                self.connection.session.set_blocking(true);
                let done = channel.send_eof();
                self.connection.session.set_blocking(false);
                done.map_err(|e| self.connection.cut(RUNNING, e.message()))?;
                closed = true;
            }
            if closed && beside() {
                self.connection.session.set_blocking(false);
                self.last_heard = Instant::now();
            } else if moved == 0 {
                self.wait(PollFlags::IN)?;
            }
        }
        lines.finish(on_line);
        Ok(errors.text())
    }

    fn took(&mut self, bytes: usize, lines: usize) -> Result<(), TransportError> {
        let counted = self.meter.take(bytes).and_then(|()| self.meter.count(lines));
        counted.map_err(|limit| self.connection.too_much(limit))
    }

    /// Calls libssh2 once: none when it has nothing to do before the host speaks. A packet that is half sent is sent to its end,
    /// because until then libssh2 can send no other.
    fn without_waiting(
        &mut self,
        mut call: impl FnMut() -> std::io::Result<usize>,
    ) -> Result<Option<usize>, TransportError> {
        loop {
            match call() {
                Ok(count) => return Ok(Some(count)),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(self.connection.cut(RUNNING, &reason(&e))),
            }
            match self.connection.session.block_directions() {
                BlockDirections::Outbound | BlockDirections::Both => self.wait(PollFlags::OUT)?,
                BlockDirections::Inbound | BlockDirections::None => return Ok(None),
            }
        }
    }

    /// Waits for the socket, for a moment at most. Keeps the connection alive, and gives it up when the host has been silent for too
    /// long in spite of that: an answer to each keepalive is asked for.
    fn wait(&mut self, direction: PollFlags) -> Result<(), TransportError> {
        self.meter.left().map_err(|limit| self.connection.too_much(limit))?;
        if direction == PollFlags::IN {
            // Before the socket is watched: a host nearby answers at once, and libssh2 would take the answer without a word. Would it block, the
            // next call comes soon enough.
            let _ = self.connection.session.keepalive_send();
        }
        let mut fds = [PollFd::new(&self.connection.socket, direction | PollFlags::IN)];
        let moment = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
        let ready = match poll(&mut fds, Some(&moment)) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => 0,
            Err(e) => return Err(self.connection.cut(RUNNING, &reason(&e.into()))),
        };
        if ready > 0 && fds[0].revents().contains(PollFlags::IN) {
            self.last_heard = Instant::now();
        }
        let silence = self.last_heard.elapsed();
        if silence > self.connection.timeouts.silence {
            return Err(self.connection.cut(RUNNING, &format!("no output for {} s", silence.as_secs())));
        }
        Ok(())
    }

    /// How the command ended, once all of its output is here.
    fn end(&self, channel: &mut Channel) -> Result<Status> {
        let lost = |e: ssh2::Error| self.connection.cut(RUNNING, e.message());
        // The exit status comes before the host closes the channel; without that it is not known.
        channel.wait_close().map_err(lost)?;
        let signal = channel.exit_signal().map_err(lost)?;
        let code = channel.exit_status().map_err(lost)?;
        let _ = channel.close();
        Ok(signal.exit_signal.map_or(Status::Code(code), Status::Signal))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::Path;
    use std::time::Duration;

    use super::{Connection, SshConfig, Timeouts};
    use crate::transport::SshOptions;

    #[test]
    fn silence_is_called_silence_whichever_clock_ends_first() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let text = format!("hostname 127.0.0.1\nport {}\n", silent.local_addr().unwrap().port());
        let config = SshConfig::parse(&text, "", &SshOptions::new("silent", "/own"), Path::new("/home/me"));
        let timeouts = Timeouts { handshake: Duration::from_millis(20), ..Timeouts::default() };
        for _ in 0..50 {
            let Err(mute) = Connection::open(&config, timeouts, "ssh-ed25519") else { panic!("nobody answered") };
            assert!(mute.to_string().ends_with("handshake: no answer within 0.02 s"), "{mute}");
        }
    }
}
