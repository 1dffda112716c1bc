//! Asking a program over HTTP on this machine, and where it listens when it does not answer.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use ureq::Agent;

use crate::app::detect::is_health_path;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Redirects that are followed, on the same host.
const REDIRECTS: usize = 5;

/// A program that is asked.
#[derive(Debug)]
pub(super) struct Probe {
    agent: Agent,
    port: u16,
}

/// A port on 127.0.0.1 that nothing listens on right now.
pub(super) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Probe {
    pub(super) fn new(port: u16) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TIMEOUT))
            .proxy(None)
            .build();
        Self { agent: config.new_agent(), port }
    }

    /// Whether anything listens.
    pub(super) fn listens(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    }

    /// The status of a path; none without an answer.
    pub(super) fn status(&self, path: &str) -> Option<u16> {
        Some(self.get(path)?.0)
    }

    fn get(&self, path: &str) -> Option<(u16, Option<String>)> {
        let answer = self.agent.get(format!("http://127.0.0.1:{}{path}", self.port)).call().ok()?;
        let location = answer.headers().get("location").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Some((answer.status().as_u16(), location))
    }

    /// The path that answers 200 twice: `path`, or where it redirects to on the same host.
    pub(super) fn healthy(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for _ in 0..=REDIRECTS {
            match self.get(&path)? {
                (200, _) => {
                    std::thread::sleep(Duration::from_millis(200));
                    return (self.status(&path) == Some(200)).then_some(path);
                }
                (300..400, Some(location)) => path = self.same_host(&location)?,
                _ => return None,
            }
        }
        None
    }

    /// The path that a redirect leads to, without a query, if it stays here and is one for the contract.
    fn same_host(&self, location: &str) -> Option<String> {
        let here = ["127.0.0.1", "localhost"].map(|host| format!("http://{host}:{}", self.port));
        let path = here.iter().find_map(|here| location.strip_prefix(here.as_str())).unwrap_or(location);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        is_health_path(path).then(|| path.to_owned())
    }
}

/// The folders in `/proc` of the processes of this group: known on Linux.
fn processes_of(group: u32) -> impl Iterator<Item = PathBuf> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten().map(|process| process.path());
    all.filter(move |process| {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        // After the name, which can hold anything: state, parent, group.
        stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2)?.parse().ok()) == Some(group)
    })
}

/// The memory in MiB that its processes had at most, each by itself; what they share counts for each.
pub(super) fn memory_of(group: u32) -> u64 {
    let most = processes_of(group).filter_map(|process| {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    most.sum::<u64>().div_ceil(1024)
}

/// The ports on which they listen.
pub(super) fn ports_of(group: u32) -> BTreeSet<u16> {
    let mut sockets = BTreeSet::new();
    for process in processes_of(group) {
        for file in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(file.path()).unwrap_or_default();
            let socket =
                target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
            sockets.extend(socket);
        }
    }
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(local), Some(&"0A"), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9)) else {
                continue;
            };
            let port = local.rsplit(':').next().and_then(|port| u16::from_str_radix(port, 16).ok());
            if inode.parse().is_ok_and(|inode| sockets.contains(&inode)) {
                ports.extend(port);
            }
        }
    }
    ports
}
