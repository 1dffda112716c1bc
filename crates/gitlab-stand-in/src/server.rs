//! The wire: reads requests from `tiny_http`, plays faults, hands each to the API or to git, writes the answer, keeps the log.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tiny_http::{Request, Server};

use crate::api;
use crate::gate::Cutter;
use crate::git_http::{self, GitRequest};
use crate::graphql;
use crate::log::{Fault, LoggedRequest};
use crate::pushes;
use crate::reply::{Refusal, Reply, error, message};
use crate::router::Incoming;
use crate::state::{Settings, State};

/// The largest body of an API call, in bytes: GitLab's own limit for a commit of many files is of this order.
const BODY_LIMIT: u64 = 64 << 20;

/// What all threads share.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    state: Mutex<State>,
    log: Mutex<Vec<LoggedRequest>>,
    faults: Mutex<VecDeque<Fault>>,
    cutter: Cutter,
    stopping: AtomicBool,
}

impl Shared {
    pub(crate) fn new(settings: Settings, state: State, cutter: Cutter) -> Self {
        Self {
            settings,
            state: Mutex::new(state),
            log: Mutex::default(),
            faults: Mutex::default(),
            cutter,
            stopping: AtomicBool::new(false),
        }
    }

    // A handler that panicked poisons the lock; what it had changed until then is no worse than a crash of the real thing, and
    // the test that caused it should see its own failure, not this one.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Vec<LoggedRequest>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }
}

/// Serves until [`Shared::stop`], each request on a thread of its own.
pub(crate) fn spawn(server: Arc<Server>, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("stand-in".into()).spawn(move || {
        while let Ok(request) = server.recv() {
            if shared.stopping.load(Ordering::SeqCst) {
                break;
            }
            let shared = Arc::clone(&shared);
            thread::spawn(move || serve(request, &shared));
        }
    })
}

fn serve(mut request: Request, shared: &Shared) {
    let peer = request.remote_addr().copied();
    let cut = || peer.map(|peer| shared.cutter.cut(peer));
    let mut incoming = head(&request);
    let head_only = incoming.method == "HEAD";

    let fault = shared.faults().pop_front();
    let played = match fault {
        Some(Fault::Drop) => {
            shared.log().push(LoggedRequest { fault: true, ..incoming.entry() });
            cut();
            return;
        }
        Some(Fault::TooManyRequests { retry_after }) => {
            Some(Reply::text(429, "Retry later\n").header("Retry-After", retry_after.as_secs().to_string()))
        }
        Some(Fault::ServerError) => Some(message(500, "500 Internal Server Error").into_reply()),
        Some(Fault::DropAfter) | None => None,
    };
    let (reply, entry) = match played {
        Some(reply) => {
            let entry = LoggedRequest { status: reply.status, fault: true, ..incoming.entry() };
            (reply, entry)
        }
        None => answer(&mut request, &mut incoming, shared),
    };
    // Logged before it is sent, so that a client that has its answer finds its request in the log.
    shared.log().push(entry);
    if fault == Some(Fault::DropAfter) {
        cut();
        return;
    }
    // A client that is gone does not read its answer; there is nobody else to tell.
    let _ = reply.write(&mut request.into_writer(), head_only);
}

fn head(request: &Request) -> Incoming {
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    Incoming {
        method: request.method().to_string(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|header| (header.field.as_str().as_str().to_ascii_lowercase(), header.value.as_str().to_owned()))
            .collect(),
        body: Vec::new(),
    }
}

fn answer(request: &mut Request, incoming: &mut Incoming, shared: &Shared) -> (Reply, LoggedRequest) {
    if incoming.path.starts_with(api::PREFIX) || incoming.path == graphql::PATH {
        let read = request.as_reader().take(BODY_LIMIT + 1).read_to_end(&mut incoming.body);
        if read.is_err() || incoming.body.len() as u64 > BODY_LIMIT {
            let refusal = error(413, "Request Entity Too Large").into_reply();
            let entry = LoggedRequest { status: refusal.status, ..incoming.entry() };
            return (refusal, entry);
        }
        return api::answer(&mut shared.state(), &shared.settings, incoming);
    }
    let mut entry = incoming.entry();
    let reply = match GitRequest::parse(incoming) {
        Some(git) => git_http::redirect(&shared.settings, incoming, &git)
            .map_or_else(|| git_answer(request, incoming, &git, shared, &mut entry), Ok)
            .unwrap_or_else(Refusal::into_reply),
        None if incoming.path == "/" => Reply::text(200, welcome(&shared.settings)),
        None => Reply::text(404, "This stand-in for GitLab has no pages.\n"),
    };
    entry.status = reply.status;
    (reply, entry)
}

fn git_answer(
    request: &mut Request,
    incoming: &Incoming,
    git: &GitRequest,
    shared: &Shared,
    entry: &mut LoggedRequest,
) -> Result<Reply, Refusal> {
    let admitted = git_http::admit(&mut shared.state(), incoming, git, &shared.settings)?;
    entry.user = Some(admitted.username.clone());
    entry.role = Some(admitted.actor.role);
    entry.route = Some("git");
    let failed = |error: io::Error| message(500, format!("git http-backend cannot be run: {error}"));
    let served = git_http::serve(&shared.settings, incoming, git, &admitted, request.as_reader()).map_err(failed)?;
    pushes::after(&mut shared.state(), &shared.settings, admitted.project, admitted.actor.user, &served.push)?;
    Ok(served.reply)
}

fn welcome(settings: &Settings) -> String {
    format!(
        "This is factoryup's stand-in for GitLab {}, for rehearsals and tests. It is not GitLab: it runs no job itself, and forgets\n\
         everything but its repositories when it stops. API: {}{}\n",
        settings.version(),
        settings.url,
        api::PREFIX
    )
}
