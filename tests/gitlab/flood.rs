//! A GitLab that answers without end: factoryup gives up in bounded time and memory, and says at which limit.

use std::io::Read;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use factoryup::git::remote;
use factoryup::secret::Secret;
use serde_json::json;
use tiny_http::{Header, Request, Response, Server};

use super::parrot::{answer, pass};
use super::situation::{QUIET, Situation};
use super::support::PATIENCE;

/// How much memory factoryup gets from the kernel, in KiB: 256 MiB.
const MEMORY: u32 = 256 * 1024;

/// What is wrong with each page of a list.
#[derive(Clone, Copy, Debug)]
enum Flood {
    /// It has so many bytes, and there is always a next one.
    Pages(usize),
    /// There is nothing in it, and there is always a next one.
    EmptyPages,
    /// It never ends.
    Endless,
    /// It refuses, in words that take a hundred times as much memory as they have bytes.
    Refusal,
    /// It refuses without end.
    EndlessRefusal,
    /// Each list of the GraphQL API has a next page, and the answer so many bytes.
    Glance(usize),
    /// An infrastructure state never ends, and each list does.
    State,
}

/// Bytes without end.
struct Forever(&'static [u8], usize);

impl Read for Forever {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(buffer.len())
    }
}

type Told = Arc<Mutex<Option<Flood>>>;

/// A proxy that answers each request for a page, or for git's refs, with a flood, once it is told to.
fn before(url: &str, told: &Told) -> String {
    let server = Server::http("127.0.0.1:0").unwrap();
    let address = server.server_addr().to_ip().unwrap();
    let (behind, told) = (url.to_owned(), Arc::clone(told));
    std::thread::spawn(move || {
        for request in server.incoming_requests() {
            let (behind, flood) = (behind.clone(), *told.lock().unwrap());
            std::thread::spawn(move || serve(request, &behind, flood));
        }
    });
    format!("http://{address}")
}

fn serve(mut request: Request, behind: &str, flood: Option<Flood>) {
    let url = request.url().to_owned();
    let header = |name: &str, value: &str| Header::from_bytes(name, value).unwrap();
    if url.contains("/info/refs") && flood.is_some() {
        let kind = vec![header("Content-Type", "application/x-git-receive-pack-advertisement")];
        let line = b"003f0123456789012345678901234567890123456789 refs/heads/abcdefg\n";
        let begin: &[u8] = b"001f# service=git-receive-pack\n0000";
        let body = begin.chain(Forever(line, 0));
        let _ = request.respond(Response::new(200.into(), kind, body, None, None));
        return;
    }
    if url.contains("/terraform/state/") && matches!(flood, Some(Flood::State)) {
        let kind = vec![header("Content-Type", "application/json")];
        let _ = request.respond(Response::new(200.into(), kind, Forever(b"[0],", 0), None, None));
        return;
    }
    if let (true, Some(Flood::Glance(length))) = (url.starts_with("/api/graphql"), flood) {
        return answer(request, 200, vec![header("Content-Type", "application/json")], glance(length).as_bytes());
    }
    let flood = flood.filter(|flood| !matches!(flood, Flood::State | Flood::Glance(_)));
    let (Some(flood), Some((_, page))) = (flood, url.split_once("per_page=100&page=")) else {
        let (status, headers, body) = pass(&mut request, behind);
        return answer(request, status, headers, &body);
    };
    let next = page.parse::<u64>().unwrap_or(1) + 1;
    let headers = vec![header("Content-Type", "application/json"), header("X-Next-Page", &next.to_string())];
    let words = |length: usize| {
        let mut body = b"{\"message\":[".to_vec();
        body.extend(b"[0],".iter().cycle().take(length));
        body.extend(b"0]}");
        body
    };
    match flood {
        Flood::Pages(length) => {
            let body = [&b"["[..], &vec![b' '; length], b"]"].concat();
            answer(request, 200, headers, &body);
        }
        Flood::EmptyPages => answer(request, 200, headers, b"[]"),
        Flood::Endless | Flood::EndlessRefusal => {
            let status = if matches!(flood, Flood::Endless) { 200 } else { 403 };
            let _ = request.respond(Response::new(status.into(), headers, Forever(b"[0],", 0), None, None));
        }
        Flood::Refusal => answer(request, 403, headers, &words(4_000_000)),
        Flood::State | Flood::Glance(_) => {}
    }
}

/// An answer of the GraphQL API whose lists have nothing in them, and a next page.
fn glance(length: usize) -> String {
    let list = json!({ "count": 0, "nodes": [], "pageInfo": { "hasNextPage": true, "endCursor": "next" } });
    let project = json!({
        "ciCdSettings": { "inboundJobTokenScopeEnabled": true }, "runners": list, "ofInstance": list, "ofInstancePlain": list, "environments": list, "projectMembers": list,
        "ciVariables": list, "inheritedCiVariables": list, "repository": { "tree": null }, "padding": " ".repeat(length),
    });
    json!({ "data": { "project": project, "group": null } }).to_string()
}

/// What `factoryup plan gitlab` says before such a GitLab, in bounded memory, and how it ends.
fn plan(situation: &Situation) -> (i32, String) {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -d {MEMORY} && exec \"$0\" \"$@\"")]);
    command.args([env!("CARGO_BIN_EXE_factoryup"), "plan", "gitlab"]).current_dir(&situation.repo);
    command.env("XDG_STATE_HOME", situation.directory().join("fresh"));
    command.env("FACTORYUP_GITLAB_TOKEN", situation.plane.owner_token());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn lists_without_end_are_given_up_in_bounded_memory() {
    let Some(mut situation) = Situation::new() else { return };
    let told = Told::default();
    situation.behind(&before(&situation.plane.url(), &told));
    situation.apply(QUIET).unwrap();
    for (flood, code, words) in [
        (Flood::Pages(14_000_000), 65, "larger than the limit of 4 MiB"),
        (Flood::Pages(4_000_000), 65, "larger than the limit of 16 MiB"),
        (Flood::EmptyPages, 65, "more than the limit of 10000 entries"),
        (Flood::Endless, 65, "larger than the limit of 4 MiB"),
        (Flood::EndlessRefusal, 65, "larger than the limit of 4 MiB"),
        (Flood::Glance(0), 65, "more than the limit of 10000 entries"),
        (Flood::Glance(2_000_000), 65, "larger than the limit of 1 MiB"),
        // As for one who is no Owner of the group.
        (Flood::Refusal, 77, "factory-agent is a service account that your account cannot administer"),
    ] {
        *told.lock().unwrap() = Some(flood);
        let begun = Instant::now();
        let (ended, said) = plan(&situation);
        assert!(ended == code && said.contains(words), "{flood:?}: {ended}\n{said}");
        assert!(
            code != 65
                || ["/projects/", "GET /api/graphql"].iter().any(|call| said.contains(call))
                    && said.contains("gitlab.url"),
            "{flood:?}: {said}"
        );
        assert!(begun.elapsed() < PATIENCE, "{flood:?}: {:?}", begun.elapsed());
    }
}

/// Only whether it exists is asked.
#[test]
fn a_state_that_is_too_large_to_read_exists() {
    let Some(mut situation) = Situation::new() else { return };
    let told = Told::default();
    situation.behind(&before(&situation.plane.url(), &told));
    situation.apply(QUIET).unwrap();
    super::ci::remove(&situation, "STATE_PASSPHRASE", "control-plane");
    *told.lock().unwrap() = Some(Flood::State);
    let (_, said) = plan(&situation);
    assert!(said.contains("is left to you: the state of control-plane exists"), "{said}");
}

/// git reads a list of refs as a whole before it looks at it.
#[test]
fn refs_without_end_are_given_up_in_bounded_memory() {
    let Some(situation) = Situation::new() else { return };
    let url =
        format!("{}/factory/control.git", before(&situation.plane.url(), &Arc::new(Mutex::new(Some(Flood::Endless)))));
    let token = Secret::new("glpat-some-token");
    let begun = Instant::now();
    let error = remote::push(&situation.repo, &url, "HEAD:refs/heads/main", ("oauth2", &token)).unwrap_err();
    assert_eq!(error.kind(), factoryup::Kind::Data);
    assert!(error.to_string().contains("`git push`") && error.to_string().contains("the limit of 512 MiB"), "{error}");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}
