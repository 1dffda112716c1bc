//! A distance to a TCP service: forwards connections and delays what goes through them, without the kernel's help.
//!
//! `tc netem` would do it in the kernel, but many kernels are built without it. This proxy holds every byte for half a round trip
//! each way, and opens a connection to the target as late as a real one would be there: after TCP's handshake, one and a half
//! round trips. Then the first byte of a server that speaks first arrives after two round trips, as over a real distance. It
//! limits no bandwidth and loses no packets.
//!
//! ```no_run
//! use std::time::Duration;
//! use disposable_host::delay_proxy;
//! let proxy = delay_proxy::start("10.0.0.2:22".parse()?, Duration::from_millis(100))?;
//! println!("ssh -p {} 127.0.0.1", proxy.address().port());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A running proxy on a port of its own on loopback. Dropping it ends it and all connections through it.
#[derive(Debug)]
pub struct DelayProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    connections: AtomicU64,
    to_target: AtomicU64,
    from_target: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

impl Shared {
    fn keep(&self, streams: [&TcpStream; 2]) -> io::Result<()> {
        let mut kept = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in streams {
            kept.push(stream.try_clone()?);
        }
        Ok(())
    }

    fn cut(&self) {
        for stream in self.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Starts a proxy to `target` with a round-trip time of `rtt`; zero is allowed.
///
/// # Errors
/// When no port on loopback can be had.
pub fn start(target: SocketAddr, rtt: Duration) -> io::Result<DelayProxy> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared::default());
    let accepting = Arc::clone(&shared);
    thread::Builder::new().name("delay-proxy".into()).spawn(move || {
        for client in listener.incoming() {
            if accepting.stop.load(Ordering::SeqCst) {
                return;
            }
            let Ok(client) = client else { continue };
            accepting.connections.fetch_add(1, Ordering::SeqCst);
            let shared = Arc::clone(&accepting);
            thread::spawn(move || {
                // An unreachable target looks to the client like a connection that ends at once.
                let _ = forward(&client, target, rtt, &shared);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    })?;
    Ok(DelayProxy { address, shared })
}

impl DelayProxy {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes that have gone to the target and come from it so far.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.to_target.load(Ordering::SeqCst), self.shared.from_target.load(Ordering::SeqCst))
    }

    /// Cuts all connections now, as a lost link would, and goes on accepting new ones.
    pub fn cut(&self) {
        self.shared.cut();
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        self.shared.cut();
    }
}

/// Serves one connection until both directions have ended.
fn forward(client: &TcpStream, target: SocketAddr, rtt: Duration, shared: &Arc<Shared>) -> io::Result<()> {
    thread::sleep(rtt * 3 / 2);
    let server = TcpStream::connect_timeout(&target, Duration::from_secs(10))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared.keep([client, &server])?;
    send_what_waited(client, &server, shared)?;
    let (up_from, up_to) = (client.try_clone()?, server.try_clone()?);
    let counting = Arc::clone(shared);
    let up = thread::spawn(move || pump(up_from, up_to, rtt / 2, &counting.to_target));
    pump(server.try_clone()?, client.try_clone()?, rtt / 2, &shared.from_target);
    let _ = up.join();
    Ok(())
}

/// What the client has sent while the handshake was going on has been on its way long enough.
fn send_what_waited(mut client: &TcpStream, mut server: &TcpStream, shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    client.set_nonblocking(true)?;
    let waited = client.read(&mut buffer);
    client.set_nonblocking(false)?;
    if let Ok(read) = waited {
        shared.to_target.fetch_add(read as u64, Ordering::SeqCst);
        server.write_all(&buffer[..read])?;
    }
    Ok(())
}

/// Moves bytes one way, each `delay` after it came, until the sender ends; then ends the receiver's side, as late.
fn pump(mut from: TcpStream, mut to: TcpStream, delay: Duration, count: &AtomicU64) {
    // Room for a good deal on the way, so that the delay does not become a limit of bandwidth: 1024 reads of up to 64 KiB.
    let (sender, receiver) = sync_channel::<(Instant, Vec<u8>)>(1024);
    let writer = thread::spawn(move || {
        while let Ok((due, bytes)) = receiver.recv() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if bytes.is_empty() {
                let _ = to.shutdown(Shutdown::Write);
                return;
            }
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    read_all(&mut from, &sender, delay, count);
    drop(sender);
    let _ = writer.join();
}

fn read_all(from: &mut TcpStream, sender: &SyncSender<(Instant, Vec<u8>)>, delay: Duration, count: &AtomicU64) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => 0,
        };
        count.fetch_add(read as u64, Ordering::SeqCst);
        // An empty piece stands for the end.
        if sender.send((Instant::now() + delay, buffer[..read].to_vec())).is_err() || read == 0 {
            return;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Duration, Instant, Read, TcpListener, TcpStream, Write};

    fn echo_server() -> std::net::SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let mut copy = stream.try_clone().unwrap();
                std::thread::spawn(move || std::io::copy(&mut stream, &mut copy));
            }
        });
        address
    }

    #[test]
    fn an_echo_takes_the_handshake_and_one_round_trip() {
        let rtt = Duration::from_millis(40);
        let proxy = super::start(echo_server(), rtt).unwrap();
        let begun = Instant::now();
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.write_all(b"first").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert!(begun.elapsed() >= rtt * 2, "{:?}", begun.elapsed());
        let begun = Instant::now();
        stream.write_all(b"again").unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"again");
        assert!(begun.elapsed() >= rtt, "{:?}", begun.elapsed());
        assert_eq!((proxy.connections(), proxy.bytes()), (1, (10, 10)));
    }

    #[test]
    fn a_cut_ends_open_connections_and_lets_new_ones_in() {
        let proxy = super::start(echo_server(), Duration::ZERO).unwrap();
        let mut answer = [0; 1];
        let mut first = TcpStream::connect(proxy.address()).unwrap();
        first.write_all(b"1").unwrap();
        first.read_exact(&mut answer).unwrap();
        proxy.cut();
        assert!(matches!(first.read(&mut answer), Ok(0) | Err(_)));
        let mut second = TcpStream::connect(proxy.address()).unwrap();
        second.write_all(b"2").unwrap();
        second.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"2");
    }
}
