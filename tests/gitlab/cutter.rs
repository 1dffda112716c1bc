//! A proxy before the stand-in that can lose an answer: the request is carried out, and the connection ends; and that can hide
//! something, which is then read as 404.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

pub struct Cutter {
    url: String,
    armed: Arc<AtomicBool>,
    losing: Arc<Mutex<Vec<&'static str>>>,
    hidden: Arc<Mutex<Option<&'static str>>>,
}

impl Cutter {
    /// A proxy before the server at `url`.
    pub fn before(url: &str) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let armed = Arc::new(AtomicBool::new(false));
        let inside = Arc::clone(&armed);
        let hidden = Arc::default();
        let away = Arc::clone(&hidden);
        let losing: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let loses = Arc::clone(&losing);
        let lost: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { continue };
                let cut = Arc::new(AtomicBool::new(false));
                let (armed, cut_up) = (Arc::clone(&inside), Arc::clone(&cut));
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (away, lost) = (Arc::clone(&away), Arc::clone(&lost));
                let loses = Arc::clone(&loses);
                std::thread::spawn(move || requests(from, to, (&armed, &cut_up, &loses), &away, &lost));
                std::thread::spawn(move || answers(server, client, &cut));
            }
        });
        Self { url: format!("http://{address}"), armed, losing, hidden }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The answer to the next `POST` of the API gets lost.
    pub fn cut_next(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// The answer to the next `POST` to each of these gets lost.
    pub fn lose(&self, paths: &[&'static str]) {
        self.losing.lock().unwrap().extend(paths);
    }

    /// Those of them that nothing was sent to yet.
    pub fn not_lost(&self) -> Vec<&'static str> {
        self.losing.lock().unwrap().clone()
    }

    /// What ends with this in the API is there no more for those who read.
    pub fn hide(&self, path: &'static str) {
        *self.hidden.lock().unwrap() = Some(path);
    }
}

fn requests(
    mut from: TcpStream,
    mut to: TcpStream,
    (armed, cut, losing): (&AtomicBool, &AtomicBool, &Mutex<Vec<&'static str>>),
    hidden: &Mutex<Option<&'static str>>,
    lost: &Mutex<BTreeSet<String>>,
) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let line = buffer[..count].split(|b| *b == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        // A lost new token is followed by another new token, for as long as each gets lost. So those of an account get lost once.
        let creates = line.starts_with("POST /api/") && !line.contains("rotate") && !line.contains("reset_");
        let is_token = line.contains("/personal_access_tokens");
        if creates && !(is_token && lost.lock().unwrap().contains(&line)) && armed.swap(false, Ordering::SeqCst) {
            cut.store(true, Ordering::SeqCst);
            lost.lock().unwrap().insert(line.clone());
        }
        let is_meant = |path: &&'static str| line.starts_with("POST /api/") && line.contains(&format!("{path} "));
        let at = losing.lock().unwrap().iter().position(is_meant);
        if let Some(at) = at {
            losing.lock().unwrap().remove(at);
            cut.store(true, Ordering::SeqCst);
        }
        let away = hidden.lock().unwrap().filter(|path| line.starts_with("GET /api/") && line.contains(path));
        let at =
            away.and_then(|path| Some((buffer.windows(path.len()).position(|w| w == path.as_bytes())?, path.len())));
        if let Some((at, length)) = at {
            buffer[at + 1..at + length].fill(b'x');
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn answers(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if cut.load(Ordering::SeqCst) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
