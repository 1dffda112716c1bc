//! What the agent, builds and trusted CI can read and reach, tried as their users.

use std::collections::BTreeMap;

use super::{Said, cannot_tell, proof};
use crate::factory::Factory;
use crate::host::accounts::{AGENT, BUILD, CI};
use crate::host::observed::Observed;
use crate::host::profile::gitlab_address;
use crate::host::program::{Payload, Show, Word};
use crate::plan::Proof;

const PROGRAM: &str = include_str!("agent.py");

/// What is root's or holds secrets, beside the homes of others.
const CLOSED: [&str; 8] = [
    "/root",
    "/var/lib/factoryup",
    "/var/lib/factory-jobs",
    "/etc/shadow",
    "/srv/apps",
    "/run/factory-deploy",
    "/etc/factory/runner-trusted-token",
    "/etc/factory/runner-untrusted-token",
];

/// Sockets whose service does what it is told as root. The first is for trusted CI.
const SOCKETS: [&str; 10] = [
    "/run/factory-tunnel",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/buildkit/buildkitd.sock",
    "/run/libvirt/libvirt-sock",
    "/var/lib/lxd/unix.socket",
    "/var/snap/lxd/common/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
];

/// Where clouds hand out credentials of the machine.
const METADATA: [&str; 2] = ["169.254.169.254:80", "169.254.170.2:80"];
/// One address of each private network, on a port that no exception is for.
const PRIVATE: [&str; 4] = ["10.0.0.1:9", "172.16.0.1:9", "192.168.0.1:9", "100.64.0.1:9"];

/// All that is tried.
pub(super) struct Views {
    views: Vec<View>,
    gitlab: String,
}

/// What one of them must not read.
struct View {
    user: &'static str,
    /// As a promise names it.
    name: &'static str,
    files: Vec<String>,
}

impl Views {
    pub(super) fn of(factory: &Factory, seen: &Observed, workers: &[&str]) -> Self {
        let views = [(AGENT, "the agent"), (BUILD, "a build"), (CI, "trusted CI")];
        let views = views.into_iter().filter(|(user, _)| workers.contains(user));
        let views = views.map(|(user, name)| {
            let others = [factory.host.operator.as_str()].into_iter().chain(workers.iter().copied());
            let homes =
                others.filter(|other| *other != user).filter_map(|other| Some(seen.accounts.get(other)?.home.clone()));
            View { user, name, files: homes.chain(CLOSED.map(str::to_owned)).collect() }
        });
        let (host, port) = gitlab_address(&factory.gitlab.url);
        Self { views: views.collect(), gitlab: format!("{host}:{port}") }
    }

    /// The shell that tries it. Root asks for GitLab too: what nobody on the host reaches, the firewall does not close.
    pub(super) fn calls(&self) -> String {
        let words = |kind: &str, list: &[&str]| {
            list.iter().fold(String::new(), |line, what| line + " " + Word::text(&format!("{kind}:{what}")).as_str())
        };
        let network = [&METADATA[..], &PRIVATE, &[&self.gitlab]].concat();
        let program = Payload::text(PROGRAM);
        let mut shell = String::new();
        for View { user, files, .. } in &self.views {
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let tries = words("read", &files) + &words("socket", sockets(user)) + &words("connect", &network);
            let as_user = format!("as_user {user}{tries} \"connect:$(gateway):9\"");
            shell += &format!("section {user}\n{}", program.feed(&as_user, Show::Run));
        }
        let as_root = format!("timeout -k 1 12 python3 -I -{}", words("connect", &[&self.gitlab]));
        shell + &format!("section owner\n{}", program.feed(&as_root, Show::Run))
    }

    /// The promises, and what is worth a warning.
    pub(super) fn judge(&self, said: &Said) -> (Vec<Proof>, Vec<String>) {
        let gateway =
            said.of("gateway").first().filter(|address| is_private(address)).map(|address| format!("{address}:9"));
        let private: Vec<&str> = PRIVATE.into_iter().chain(gateway.as_deref()).collect();
        let of_root = results(said, "owner").get(format!("connect:{}", self.gitlab).as_str()).copied();
        let (mut proofs, mut notes) = (Vec::new(), Vec::new());
        for View { user, name, files } in &self.views {
            let results = results(said, user);
            let about = |kind: &str, list: &[&str], claim: &str, judge: fn(&str) -> Option<bool>| {
                let claim = format!("{name} cannot {claim}");
                let (mut wrong, mut unknown, mut tried) = (Vec::new(), Vec::new(), Vec::new());
                for what in list {
                    let result = results.get(format!("{kind}:{what}").as_str()).copied().unwrap_or("not tried");
                    let line = format!("{what} {}", in_words(result));
                    match judge(result) {
                        Some(true) => tried.push(line),
                        Some(false) => wrong.push(line),
                        None => unknown.push(line),
                    }
                }
                match (wrong.is_empty(), unknown.is_empty()) {
                    (false, _) => proof(claim, false, wrong.join("; ")),
                    (true, false) => cannot_tell(claim, unknown.join("; ")),
                    (true, true) => proof(claim, true, tried.join("; ")),
                }
            };
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            proofs.extend([
                about("read", &files, "read the files of others", closed),
                about("socket", sockets(user), "command a service that runs as root", closed),
                about("connect", &METADATA, "reach the cloud's metadata address", unreachable),
                about("connect", &private, "reach private networks", unreachable),
            ]);
            let claim = format!("{name} can reach GitLab");
            match (results.get(format!("connect:{}", self.gitlab).as_str()), of_root) {
                (Some(&"done"), _) => proofs.push(proof(claim, true, format!("connected to {}", self.gitlab))),
                (Some(result), Some("done")) => {
                    let what = format!("{} {} as {user}, and can be reached as root", self.gitlab, in_words(result));
                    proofs.push(proof(claim, false, what));
                }
                (_, Some(result)) => notes.push(format!(
                    "the host itself cannot reach GitLab at {} ({}), so whether {name} can was not tested",
                    self.gitlab,
                    in_words(result)
                )),
                _ => proofs.push(cannot_tell(claim, format!("{} was not tried", self.gitlab))),
            }
        }
        (proofs, notes)
    }
}

fn sockets(user: &str) -> &'static [&'static str] {
    if user == CI { &SOCKETS[1..] } else { &SOCKETS }
}

/// What came of each try of a section.
fn results<'a>(said: &'a Said, section: &str) -> BTreeMap<&'a str, &'a str> {
    said.of(section).iter().filter_map(|line| line.split_once('\t')).collect()
}

/// Whether a file or socket is closed.
fn closed(result: &str) -> Option<bool> {
    match result {
        // To a socket on which nothing listens, the connection is refused.
        "EACCES" | "EPERM" | "ENOENT" | "ENOTDIR" | "ECONNREFUSED" => Some(true),
        "done" => Some(false),
        _ => None,
    }
}

/// Whether an address is closed. One that refuses has been reached; one that is silent may have been.
fn unreachable(result: &str) -> Option<bool> {
    match result {
        "EHOSTUNREACH" | "ENETUNREACH" | "EACCES" | "EPERM" => Some(true),
        "done" | "ECONNREFUSED" | "ECONNRESET" => Some(false),
        _ => None,
    }
}

/// A result in words.
fn in_words(result: &str) -> String {
    match result {
        "done" => "is open".into(),
        "EACCES" | "EPERM" => "is refused".into(),
        "ENOENT" | "ENOTDIR" => "does not exist".into(),
        "ECONNREFUSED" => "answers, but nothing listens".into(),
        "EHOSTUNREACH" => "is rejected".into(),
        "ENETUNREACH" => "has no route".into(),
        "ETIMEDOUT" => "gave no answer".into(),
        "unresolved" => "is a name that does not resolve".into(),
        other => format!("ended with {other}"),
    }
}

fn is_private(address: &str) -> bool {
    address.parse::<std::net::Ipv4Addr>().is_ok_and(|four| four.is_private())
}
