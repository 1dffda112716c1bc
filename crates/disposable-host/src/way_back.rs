//! A way back: a port on the host's own loopback that leads to the same port on this machine's.
//!
//! As `ssh -R` would make it, but without a login: a socket belongs to the network namespace in which it was made, so one thread
//! goes into the host's, opens the port there, and hands the socket out. So one address, `http://127.0.0.1:PORT`, means the
//! same server on both sides.

use std::io::{self, copy};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long it takes at most until a dropped way back is closed.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// An open way back. Closed when dropped.
#[derive(Debug)]
pub(crate) struct WayBack {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl WayBack {
    /// Opens `port` in the network namespace at `namespace`.
    pub(crate) fn open(namespace: &str, port: u16) -> io::Result<Self> {
        let listener = listen_in(Path::new(namespace), port)?;
        listener.set_nonblocking(true)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("way-back".into()).spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                let _ = poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&TICK));
                while let Ok((client, _)) = listener.accept() {
                    thread::spawn(move || {
                        // What cannot be reached looks to the host like a connection that ends at once.
                        let _ = forward(client, port);
                    });
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for WayBack {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Its socket would keep the host's network alive.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A thread that has moved stays where it is, so it does this and nothing else.
fn listen_in(namespace: &Path, port: u16) -> io::Result<TcpListener> {
    let place = std::fs::File::open(namespace)?;
    let moved = thread::spawn(move || {
        enter(&place)?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
    });
    moved.join().map_err(|_| io::Error::other("the thread that goes into the host's network panicked"))?
}

#[cfg(target_os = "linux")]
fn enter(namespace: &std::fs::File) -> io::Result<()> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    use std::os::fd::AsFd as _;
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// No other system has a host to go into: `Requirements` says so before.
#[cfg(not(target_os = "linux"))]
fn enter(_: &std::fs::File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn forward(client: TcpStream, port: u16) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let up = thread::spawn(move || {
        let _ = copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    let (mut from_server, mut to_client) = (server, client);
    let down = copy(&mut from_server, &mut to_client);
    let _ = to_client.shutdown(Shutdown::Write);
    let _ = up.join();
    down.map(drop)
}
