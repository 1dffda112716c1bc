//! The socket that clients connect to, in front of the HTTP server's own.
//!
//! `tiny_http` cannot close one client's connection from the outside. The gate can, and that is all it is for: it copies bytes
//! both ways, cuts a single connection when a fault is to be played, and cuts all of them when the stand-in stops.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Both ends of one relayed connection.
struct Relay {
    client: TcpStream,
    server: TcpStream,
}

impl Relay {
    fn cut(&self) {
        // A socket that the peer has closed already cannot be shut down again, which is as good.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

#[derive(Default)]
struct Shared {
    /// Keyed by the address that the HTTP server sees as its peer.
    relays: Mutex<HashMap<SocketAddr, Relay>>,
    stopping: AtomicBool,
}

impl Shared {
    fn relays(&self) -> MutexGuard<'_, HashMap<SocketAddr, Relay>> {
        self.relays.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listening relay; stops when dropped.
pub(crate) struct Gate {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

impl Gate {
    /// Listens on a loopback port (0 for any free one) and relays each connection to `server`.
    pub(crate) fn open(server: SocketAddr, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let inside = Arc::clone(&shared);
        let accepting = thread::Builder::new().name("stand-in gate".into()).spawn(move || {
            for client in listener.incoming() {
                if inside.stopping.load(Ordering::SeqCst) {
                    break;
                }
                // A client that is gone again before it was relayed concerns nobody else.
                if let Ok(client) = client {
                    let _ = relay(client, server, &inside);
                }
            }
        })?;
        Ok(Self { address, shared, accepting: Some(accepting) })
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A handle that cuts connections.
    pub(crate) fn cutter(&self) -> Cutter {
        Cutter(Arc::clone(&self.shared))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // `accept` has no time limit; a connection of our own makes it return and see the flag.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for relay in self.shared.relays().values() {
            relay.cut();
        }
    }
}

/// Cuts the connection of one client.
#[derive(Clone)]
pub(crate) struct Cutter(Arc<Shared>);

impl Cutter {
    /// Closes both directions of the connection that the HTTP server knows by `peer`.
    pub(crate) fn cut(&self, peer: SocketAddr) {
        if let Some(relay) = self.0.relays().get(&peer) {
            relay.cut();
        }
    }
}

fn relay(client: TcpStream, server: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let key = server.local_addr()?;
    shared.relays().insert(key, Relay { client: client.try_clone()?, server: server.try_clone()? });
    let (request_from, request_to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || copy(request_from, request_to));
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        copy(server, client);
        if let Some(relay) = shared.relays().remove(&key) {
            relay.cut();
        }
    });
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
