//! git over HTTP: Basic authentication, role checks, and then the real `git http-backend` as a CGI program.
//!
//! The child's environment holds what git-http-backend(1) asks for and the two names the hooks need; the `Authorization` header
//! never gets there. Bodies go through as they come, gzip and all.

use std::io::{self, Read};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::access::Actor;
use crate::auth::Token;
use crate::hooks::{self, REPORT, RULES};
use crate::model::{DEVELOPER, REPORTER};
use crate::reply::{Body, Refusal, Reply};
use crate::router::Incoming;
use crate::state::{Settings, State};

/// What a git request is about.
pub(crate) struct GitRequest {
    /// `group/project`.
    project: String,
    /// What follows the repository in the path: `/info/refs`, `/git-upload-pack`, `/git-receive-pack`.
    rest: String,
    /// Whether the path named the repository with its `.git`.
    dot_git: bool,
    /// Whether it is about pushing.
    push: bool,
}

impl GitRequest {
    /// Recognises a git request by its path and query.
    pub(crate) fn parse(incoming: &Incoming) -> Option<Self> {
        let service = incoming.query.split('&').find_map(|pair| pair.strip_prefix("service="));
        let (repository, rest, push) = if let Some(repository) = incoming.path.strip_suffix("/info/refs") {
            (repository, "/info/refs", service? == "git-receive-pack")
        } else if let Some(repository) = incoming.path.strip_suffix("/git-upload-pack") {
            (repository, "/git-upload-pack", false)
        } else {
            (incoming.path.strip_suffix("/git-receive-pack")?, "/git-receive-pack", true)
        };
        let (project, dot_git) = match repository.strip_suffix(".git") {
            Some(project) => (project, true),
            None => (repository, false),
        };
        let project = crate::params::segments(project).join("/");
        Some(Self { project, rest: rest.to_owned(), dot_git, push })
    }
}

/// A git request that was let through.
pub(crate) struct Admitted {
    pub(crate) project: u64,
    pub(crate) actor: Actor,
    pub(crate) username: String,
    repository: String,
    rules: String,
}

/// Checks who asks and what they may do. The refusals are GitLab's.
pub(crate) fn admit(
    state: &mut State,
    incoming: &Incoming,
    request: &GitRequest,
    settings: &Settings,
) -> Result<Admitted, Refusal> {
    let token = authenticate(state, incoming)?;
    let missing = "The project you were looking for could not be found or you don't have permission to view it.";
    let not_found = || Refusal::new(Reply::text(404, missing));
    let id = state.project_id(&request.project).ok_or_else(not_found)?;
    let project = state.projects.get(&id).ok_or_else(not_found)?;
    let actor = state.actor(token.user, project);
    if actor.role == 0 && project.visibility == "private" {
        return Err(not_found());
    }
    let refused = |text: &str| Err(Refusal::new(Reply::text(403, text)));
    let scopes: &[&str] =
        if request.push { &["api", "write_repository"] } else { &["api", "read_repository", "write_repository"] };
    if !token.allows(scopes) {
        return refused(if request.push {
            "You are not allowed to push code to this project."
        } else {
            "You are not allowed to download code from this project."
        });
    }
    if request.push && actor.role < DEVELOPER {
        return refused("You are not allowed to push code to this project.");
    }
    if actor.role < REPORTER && project.visibility == "private" {
        return refused("You are not allowed to download code from this project.");
    }
    Ok(Admitted {
        project: id,
        username: state.users.get(&token.user).map(|user| user.username.clone()).unwrap_or_default(),
        repository: project.repository.to_string_lossy().into_owned(),
        rules: hooks::rules(project, &actor, settings.default_branch_protection),
        actor,
    })
}

fn authenticate(state: &mut State, incoming: &Incoming) -> Result<Token, Refusal> {
    let denied = || {
        let text = "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect or \
                    you're required to use a token instead of a password.";
        Refusal::new(Reply::text(401, text).header("WWW-Authenticate", "Basic realm=\"GitLab\""))
    };
    let token = password(incoming).ok_or_else(denied)?;
    state.tokens.authenticate(&token).map_err(|_| denied())
}

/// The password that came with a user's name (RFC 7617).
pub(crate) fn password(incoming: &Incoming) -> Option<String> {
    let decoded = STANDARD.decode(incoming.header("authorization").strip_prefix("Basic ")?.trim()).ok()?;
    let credentials = String::from_utf8(decoded).ok()?;
    credentials.split_once(':').filter(|(user, _)| !user.is_empty()).map(|(_, password)| password.to_owned())
}

/// Where git is sent that left out the `.git`.
pub(crate) fn redirect(settings: &Settings, incoming: &Incoming, request: &GitRequest) -> Option<Reply> {
    if request.dot_git {
        return None;
    }
    let query = if incoming.query.is_empty() { String::new() } else { format!("?{}", incoming.query) };
    let location = format!("{}/{}.git{}{query}", settings.url, request.project, request.rest);
    Some(Reply::new(301, Body::Empty).header("Location", location))
}

/// What http-backend and the hooks made of a request.
pub(crate) struct Served {
    pub(crate) reply: Reply,
    pub(crate) push: hooks::Push,
}

/// Runs `git http-backend` on an admitted request.
pub(crate) fn serve(
    settings: &Settings,
    incoming: &Incoming,
    request: &GitRequest,
    admitted: &Admitted,
    body: &mut dyn Read,
) -> io::Result<Served> {
    let pushes = settings.directory.join("pushes");
    let rules = tempfile::Builder::new().prefix("rules-").tempfile_in(&pushes)?;
    std::fs::write(rules.path(), &admitted.rules)?;
    let report = rules.path().with_extension("report");

    let mut command = settings.git.command();
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &admitted.repository)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &incoming.method)
        .env("PATH_INFO", &request.rest)
        .env("QUERY_STRING", &incoming.query)
        .env("CONTENT_TYPE", incoming.header("content-type"))
        .env("REMOTE_USER", &admitted.username)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env(RULES, rules.path())
        .env(REPORT, &report);
    for (variable, header) in [
        ("CONTENT_LENGTH", "content-length"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        if !incoming.header(header).is_empty() {
            command.env(variable, incoming.header(header));
        }
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        let output = scope.spawn(move || child.wait_with_output());
        if let Some(mut stdin) = stdin {
            // A backend that refuses early stops reading; its answer says why.
            let _ = io::copy(body, &mut stdin);
        }
        output
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("the thread that waits for git http-backend has panicked")))
    })?;
    let push = hooks::take_report(&report)?;
    Ok(Served { reply: parse_cgi(&output.stdout), push })
}

/// A CGI program's output as a reply.
fn parse_cgi(output: &[u8]) -> Reply {
    let Some(end) = output.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Reply::text(500, "git http-backend gave no answer");
    };
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let mut reply = Reply::new(200, Body::Bytes("application/octet-stream", output[end + 4..].to_vec()));
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("Status") {
            reply.status = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500);
        } else {
            reply.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::parse_cgi;

    #[test]
    fn a_cgi_answer_carries_its_status_and_headers() {
        let reply = parse_cgi(b"Status: 403 Forbidden\r\nContent-Type: text/plain\r\n\r\nno\r\n\r\n");
        assert_eq!(reply.status, 403);
        assert_eq!(reply.headers, [("Content-Type".to_owned(), "text/plain".to_owned())]);
    }
}
