//! The program is killed after each of its writes, and run again: on each kind of GitLab the hand-off comes to its end, with nothing there
//! twice and no token left that works.
//!
//! A proxy sees every call, those of git too. It cuts in two ways: the answer to a write gets lost, so that what was made is not known here; or
//! it arrives, and the call after it is not made, so that what came of it is kept here as far as it was by then. Each write is cut in one of them,
//! and in the other one on another kind of GitLab, if that makes it too: those with and without service accounts, with and without a license, are
//! pairs. A reading changes nothing: a cut between two of them is one after the write before them. A write that a run repeats since its answer
//! was lost is cut once, and none of the policy checks but the first.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use factoryup::dialog::Silent;
use factoryup::gitlab::{AgentTokens, GitlabTarget};
use factoryup::plan::{StateDir, Target};
use factoryup::secret::Secret;
use serde_json::{Value, json};

use super::editions::{By, CASES, Case, made_by_hand, root};
use super::situation::Situation;

/// How a run is cut at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// GitLab did it, and its answer gets lost.
    Lost,
    /// The answer arrives, and no further call does.
    After,
}

impl Way {
    fn other(self) -> Self {
        if self == Self::Lost { Self::After } else { Self::Lost }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Passing,
    /// The first write that was not cut yet is. This is how half of them are.
    Armed(Way),
    /// The answer to a write is on its way, and gets lost.
    Losing,
    /// The next call is the first that is not made.
    Last,
    Fallen,
}

/// What becomes of a request.
enum Fate {
    Pass,
    Lose,
    Stop,
}

struct Blade {
    state: State,
    /// The writes at which a run was cut.
    cut: BTreeSet<String>,
    connections: Vec<TcpStream>,
    fell: Sender<()>,
}

impl Blade {
    fn judge(&mut self, write: Option<String>) -> Fate {
        match (&self.state, write) {
            (State::Armed(way), Some(write)) if !self.cut.contains(&write) => {
                let is_other = write.bytes().filter(|byte| !byte.is_ascii_digit()).map(u32::from).sum::<u32>() % 2 == 1;
                let way = if is_other { way.other() } else { *way };
                self.cut.insert(write);
                let (state, fate) = match way {
                    Way::Lost => (State::Losing, Fate::Lose),
                    Way::After => (State::Last, Fate::Pass),
                };
                self.state = state;
                fate
            }
            (State::Last | State::Fallen, _) => {
                self.fall();
                Fate::Stop
            }
            _ => Fate::Pass,
        }
    }

    fn fall(&mut self) {
        self.state = State::Fallen;
        let _ = self.fell.send(());
    }
}

/// The proxy.
struct Guillotine {
    url: String,
    blade: Arc<Mutex<Blade>>,
    fell: Receiver<()>,
}

impl Guillotine {
    fn before(url: &str) -> Self {
        let server = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, fell) = channel();
        let blade = Blade { state: State::Passing, cut: BTreeSet::new(), connections: Vec::new(), fell: sender };
        let blade = Arc::new(Mutex::new(blade));
        let inside = Arc::clone(&blade);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { continue };
                let both = [&client, &server].map(|stream| {
                    stream.set_nodelay(true).unwrap();
                    stream.try_clone().unwrap()
                });
                inside.lock().unwrap().connections.extend(both);
                relay(client, server, &inside);
            }
        });
        Self { url: format!("http://{address}"), blade, fell }
    }

    fn set(&self, state: State) {
        while self.fell.try_recv().is_ok() {}
        self.blade.lock().unwrap().state = state;
    }

    /// Once the process is dead, whatever it left behind finds nobody.
    fn close(&self) {
        for connection in self.blade.lock().unwrap().connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        self.set(State::Passing);
    }
}

fn relay(client: TcpStream, server: TcpStream, blade: &Arc<Mutex<Blade>>) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (before, after) = (Arc::clone(blade), Arc::clone(blade));
    let loses = Arc::new(Mutex::new(false));
    let lost = Arc::clone(&loses);
    std::thread::spawn(move || {
        let mut read = Vec::new();
        while let Some(request) = whole(&mut from, &mut read) {
            match before.lock().unwrap().judge(write_of(&request)) {
                Fate::Pass => {}
                Fate::Lose => *loses.lock().unwrap() = true,
                Fate::Stop => return,
            }
            if to.write_all(&request).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let (mut server, mut client, mut buffer) = (server, client, [0; 16384]);
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            if *lost.lock().unwrap() {
                return after.lock().unwrap().fall();
            }
            if client.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    });
}

/// The next request with its body; `read` has what was read beyond it.
fn whole(from: &mut TcpStream, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut buffer = [0; 16384];
    loop {
        if let Some(end) = length(read).filter(|end| *end <= read.len()) {
            let rest = read.split_off(end);
            return Some(std::mem::replace(read, rest));
        }
        match from.read(&mut buffer) {
            Ok(count @ 1..) => read.extend(&buffer[..count]),
            _ => return None,
        }
    }
}

fn head(request: &[u8]) -> Option<usize> {
    Some(request.windows(4).position(|window| window == b"\r\n\r\n")? + 4)
}

/// How long the request is that begins here.
fn length(request: &[u8]) -> Option<usize> {
    let head = head(request)?;
    let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
    if text.contains("\r\ntransfer-encoding: chunked\r\n") {
        // Each chunk has its length before it, and the last one is empty.
        let mut at = head;
        loop {
            let line = request[at..].windows(2).position(|window| window == b"\r\n")?;
            let count = usize::from_str_radix(std::str::from_utf8(&request[at..at + line]).unwrap(), 16).unwrap();
            at += line + 2 + count + 2;
            if count == 0 || at > request.len() {
                return Some(at);
            }
        }
    }
    let body = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    Some(head + body.unwrap_or_default())
}

/// What a write is known by: the call, and what it names. Not by the number of a token, which each repetition changes.
fn write_of(request: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(request.split(|byte| *byte == b'\r').next()?).into_owned();
    let mut words = line.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    if matches!(method, "GET" | "HEAD") || path.ends_with("/git-upload-pack") {
        return None;
    }
    let (mut call, mut of_token) = (method.to_owned() + " ", false);
    for segment in path.split('?').next()?.split('/').skip(1) {
        call += if of_token && segment.parse::<u64>().is_ok() { "/:token" } else { "/" };
        call += if call.ends_with('/') { segment } else { "" };
        of_token = segment == "personal_access_tokens";
    }
    let body: Value = serde_json::from_slice(&request[head(request)?..]).unwrap_or_default();
    let names = ["key", "username", "name", "description", "title", "user_id", "environment_scope"];
    let names = names.iter().filter_map(|name| body.get(name)).map(|name| name.to_string().chars().take(40).collect());
    Some(names.fold(call, |call, name: String| call + " " + &name))
}

/// A hand-off that is cut.
struct Cut {
    situation: Situation,
    guillotine: Guillotine,
    tokens: Vec<(&'static str, String)>,
}

impl Cut {
    fn new(case: &Case) -> Option<Self> {
        let mut situation = case.situation()?;
        let guillotine = Guillotine::before(&situation.plane.url());
        situation.behind(&guillotine.url);
        let tokens = match case.by {
            By::Owner => vec![("FACTORYUP_GITLAB_TOKEN", situation.plane.owner_token())],
            By::Administrator => vec![("FACTORYUP_GITLAB_TOKEN", root(&situation))],
            By::Hand => {
                let given = made_by_hand(&situation);
                vec![
                    ("FACTORYUP_GITLAB_TOKEN", situation.plane.owner_token()),
                    ("FACTORYUP_AGENT_TOKEN", given.own.unwrap().expose().to_owned()),
                    ("FACTORYUP_AGENT_PROOF_TOKEN", given.proof.unwrap().expose().to_owned()),
                ]
            }
        };
        Some(Self { situation, guillotine, tokens })
    }

    /// Runs the program until it ends, or is cut: then there is no output.
    fn run(&self, state: State) -> Option<Output> {
        self.guillotine.set(state);
        let mut command = self.situation.command("", &["apply", "gitlab", "--yes"]);
        command.envs(self.tokens.iter().map(|(name, token)| (name, token)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        loop {
            if self.guillotine.fell.recv_timeout(Duration::from_millis(2)).is_ok() {
                child.kill().unwrap();
                child.wait().unwrap();
                self.guillotine.close();
                return None;
            }
            if child.try_wait().unwrap().is_some() {
                return Some(child.wait_with_output().unwrap());
            }
        }
    }

    /// Runs it without a cut, to its good end.
    #[track_caller]
    fn passes(&self) -> String {
        let output = self.run(State::Passing).unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        said
    }

    /// Whether all is made; the policy checks come after it.
    fn is_made(&self) -> bool {
        let state = StateDir::at(self.situation.directory().join("xdg/factoryup/acme")).unwrap();
        let mut given = self.tokens.iter().map(|(_, token)| Secret::new(token.clone()));
        let target = GitlabTarget::new(&self.situation.factory, given.next().unwrap(), &self.situation.repo, &state);
        let mut target = target.unwrap().with_agent(AgentTokens { own: given.next(), proof: given.next() });
        target.observe(&Silent).unwrap().is_empty()
    }

    fn list(&self, path: &str) -> Vec<Value> {
        let got = self.situation.plane.as_token(&root(&self.situation)).get(path);
        assert_eq!(got.status, 200, "{path}: {}", got.body);
        got.body.as_array().unwrap().clone()
    }

    /// Each token that is stored here, or for jobs, is one that works.
    fn tokens_work(&self) {
        let plane = &self.situation.plane;
        let has_accounts = plane.get(&self.situation.path("/service_accounts")).status == 200;
        let here = ["runner-trusted-token", "runner-untrusted-token", "agent-token", "desk-token"];
        for name in here.iter().filter(|name| has_accounts || **name != "desk-token") {
            let path = self.situation.directory().join("xdg/factoryup/acme").join(name);
            let token = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{name}: {e}")).trim().to_owned();
            let got = if name.starts_with("runner-") {
                plane.post("/runners/verify", &json!({ "token": token }))
            } else {
                plane.as_token(&token).get("/personal_access_tokens/self")
            };
            assert_eq!(got.status, 200, "{name}: {}", got.body);
        }
        for variable in self.situation.get("/variables").as_array().unwrap() {
            let [key, scope] = ["key", "environment_scope"].map(|name| variable[name].as_str().unwrap());
            let project = self.situation.get("")["path_with_namespace"].as_str().unwrap().to_owned();
            let value = plane.stand_in.variable_value(&project, key, scope).unwrap();
            if key.ends_with("_TOKEN") {
                assert_eq!(plane.as_token(&value).get("/personal_access_tokens/self").status, 200, "{key} {scope}");
            }
        }
    }

    /// Of all that the runs made, nothing is there twice, and of each account's tokens one works.
    fn nothing_is_left(&self) {
        let of = |rest: &str| self.situation.path(rest);
        for (rest, key, count) in [
            ("/runners?type=project_type", "description", Some(2)),
            ("/protected_branches", "name", Some(2)),
            ("/protected_tags", "name", Some(2)),
            ("/repository/branches", "name", Some(1)),
            ("/environments", "name", None),
            ("/issues", "title", Some(1)),
            ("/merge_requests?state=opened", "title", Some(0)),
            ("/service_accounts", "username", None),
        ] {
            let got = self.situation.plane.get(&of(rest));
            let Some(all) = got.body.as_array() else { continue };
            let names: BTreeSet<_> = all.iter().map(|one| one[key].to_string()).collect();
            assert_eq!(names.len(), all.len(), "{rest}: {all:#?}");
            assert!(count.is_none_or(|count| count == all.len()), "{rest}: {all:#?}");
        }
        let accounts = self.list("/users?per_page=100");
        let ours = accounts.iter().filter(|user| user["username"].as_str().unwrap().starts_with("factory"));
        for user in ours {
            let all = self.list(&format!("/personal_access_tokens?user_id={}&per_page=100", user["id"]));
            let works: Vec<_> = all.iter().filter(|token| token["active"] == true).collect();
            assert_eq!(works.len(), 1, "{}: {works:#?}", user["username"]);
        }
    }
}

/// Cuts a hand-off at each of its writes, half of them in this way. At least so many cuts it takes.
fn is_cut_at_each_write(case: &Case, way: Way, least: usize) {
    let Some(cut) = Cut::new(case) else { return };
    let mut cuts = 0;
    while !cut.is_made() {
        if let Some(output) = cut.run(State::Armed(way)) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "after {cuts} cuts: {said}");
        }
        cuts += 1;
        assert!(cuts < 120, "each run must get further: {:#?}", cut.guillotine.blade.lock().unwrap().cut);
    }
    assert!(cuts >= least, "{cuts}: {:#?}", cut.guillotine.blade.lock().unwrap().cut);
    cut.passes();
    cut.tokens_work();
    cut.nothing_is_left();
    cut.situation.plane.stand_in.clear_log();
    cut.passes();
    assert_eq!(cut.situation.writes(), Vec::<String>::new());
    let log = cut.situation.plane.log();
    let calls: Vec<_> = log.iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    // 20 of the setup, and two that compare the evidence log with its anchors.
    assert!(calls.len() <= 22, "{}: {calls:#?}", calls.len());
}

#[test]
fn with_a_second_user_that_an_administrator_makes() {
    is_cut_at_each_write(&CASES[1], Way::Lost, 20);
}

#[test]
fn with_a_second_user_that_is_made_by_hand() {
    is_cut_at_each_write(&CASES[2], Way::After, 18);
}

#[test]
fn with_accounts_of_the_group() {
    is_cut_at_each_write(&CASES[4], Way::Lost, 38);
}

#[test]
fn with_a_license() {
    is_cut_at_each_write(&CASES[6], Way::After, 42);
}

#[test]
fn in_a_personal_namespace() {
    is_cut_at_each_write(&CASES[8], Way::Lost, 28);
}
