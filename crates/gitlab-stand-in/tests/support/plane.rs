//! A stand-in control plane to test against, with a client that says what it got instead of failing.
#![allow(dead_code, unreachable_pub)]

use std::path::{Path, PathBuf};
use std::process::Command;

use gitlab_stand_in::{LoggedRequest, Options, StandIn};
use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;
use ureq::http::HeaderMap;

/// A running stand-in in a directory of its own.
pub struct Plane {
    pub stand_in: StandIn,
    directory: TempDir,
    agent: Agent,
}

/// What a call got.
pub struct Got {
    pub status: u16,
    pub body: Value,
    headers: HeaderMap,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or(""))
    }
}

/// A caller with a token.
pub struct As<'a> {
    plane: &'a Plane,
    token: String,
}

impl Plane {
    /// GitLab 18.11, Enterprise Edition without a license; `None`, said aloud, without git.
    pub fn start() -> Option<Self> {
        Self::with(|_| ())
    }

    /// The same, with options changed.
    pub fn with(change: impl FnOnce(&mut Options)) -> Option<Self> {
        if !crate::support::need("git") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut options = Options::new(directory.path().join("stand-in"));
        change(&mut options);
        let stand_in = StandIn::start(options).unwrap();
        let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
        Some(Self { stand_in, directory, agent })
    }

    pub fn url(&self) -> String {
        self.stand_in.url()
    }

    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    pub fn log(&self) -> Vec<LoggedRequest> {
        self.stand_in.log()
    }

    pub fn owner_token(&self) -> String {
        self.stand_in.owner_token().to_owned()
    }

    pub fn as_token(&self, token: &str) -> As<'_> {
        As { plane: self, token: token.to_owned() }
    }

    fn owner(&self) -> As<'_> {
        self.as_token(&self.owner_token())
    }

    pub fn get(&self, path: &str) -> Got {
        self.owner().get(path)
    }

    pub fn post(&self, path: &str, body: &Value) -> Got {
        self.owner().post(path, body)
    }

    pub fn put(&self, path: &str, body: &Value) -> Got {
        self.owner().put(path, body)
    }

    pub fn patch(&self, path: &str, body: &Value) -> Got {
        self.owner().send("PATCH", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Got {
        self.owner().send("DELETE", path, None)
    }

    /// Creates a project in the group; returns its id.
    pub fn project(&self, path: &str) -> u64 {
        let group = self.get("/groups/factory").body["id"].clone();
        let made = self.post("/projects", &json!({"path": path, "namespace_id": group}));
        assert_eq!(made.status, 201, "{}", made.body);
        made.body["id"].as_u64().unwrap()
    }

    /// Adds a user with a membership; returns a token with scope `api`.
    pub fn member(&self, project: u64, username: &str, level: u8) -> String {
        let user = self.stand_in.add_user(username).unwrap();
        let body = json!({"user_id": user, "access_level": level});
        assert_eq!(self.post(&format!("/projects/{project}/members"), &body).status, 201);
        self.token(username, &["api"])
    }

    /// A token that lives a month.
    pub fn token(&self, username: &str, scopes: &[&str]) -> String {
        let end = expires_in(30).parse().unwrap();
        self.stand_in.issue_token(username, scopes, Some(end)).unwrap()
    }

    /// The address git uses for a project, with a token in it.
    pub fn remote(&self, path: &str, token: &str) -> String {
        self.url().replace("http://", &format!("http://oauth2:{token}@")) + &format!("/factory/{path}.git")
    }

    /// Clones a project of the group.
    pub fn clone(&self, path: &str, token: &str) -> Work {
        let target = tempfile::Builder::new().prefix("work-").tempdir_in(self.directory.path()).unwrap().keep();
        let done = git(&target, &["clone", "--quiet", &self.remote(path, token), "."]);
        assert!(done.ok(), "{}", done.output);
        Work { path: target }
    }
}

impl As<'_> {
    pub fn get(&self, path: &str) -> Got {
        self.send("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Got {
        self.send("POST", path, Some(body))
    }

    pub fn put(&self, path: &str, body: &Value) -> Got {
        self.send("PUT", path, Some(body))
    }

    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Got {
        self.try_send(method, path, body).unwrap()
    }

    /// The same, when there may be no answer at all.
    pub fn try_send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Got, ureq::Error> {
        self.try_at(method, &format!("/api/v4{path}"), body)
    }

    /// A call outside of the REST API.
    pub fn at_root(&self, method: &str, path: &str, body: Option<&Value>) -> Got {
        self.try_at(method, path, body).unwrap()
    }

    fn try_at(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Got, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.plane.url()));
        if !self.token.is_empty() {
            request = request.header("PRIVATE-TOKEN", &self.token);
        }
        // These have no body in HTTP; a table of calls may have one all the same.
        let response = match body.filter(|_| !matches!(method, "GET" | "DELETE")) {
            Some(body) => {
                let request = request.header("Content-Type", "application/json").body(body.to_string()).unwrap();
                self.plane.agent.run(request)?
            }
            None => self.plane.agent.run(request.body(()).unwrap())?,
        };
        let (parts, body) = response.into_parts();
        let text = body.into_with_config().read_to_string()?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Got { status: parts.status.as_u16(), body, headers: parts.headers })
    }
}

/// A clone.
pub struct Work {
    pub path: PathBuf,
}

impl Work {
    pub fn commit(&self, file: &str, text: &str) {
        std::fs::write(self.path.join(file), text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", &format!("Change {file}")]);
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path.join(file)).unwrap()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let done = git(&self.path, arguments);
        assert!(done.ok(), "git {arguments:?}: {}", done.output);
        done.output.trim_end().to_owned()
    }

    pub fn push(&self, arguments: &[&str]) -> Done {
        git(&self.path, &[&["push", "--quiet"], arguments].concat())
    }
}

/// How a git command ended.
pub struct Done {
    success: bool,
    pub output: String,
}

impl Done {
    pub fn ok(&self) -> bool {
        assert!(self.success, "{}", self.output);
        true
    }

    /// Whether it failed, and said this.
    pub fn refused(&self, why: &str) -> bool {
        assert!(!self.success && self.output.contains(why), "{}", self.output);
        true
    }
}

/// Runs git without anybody's configuration.
pub fn git(directory: &Path, arguments: &[&str]) -> Done {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Tester")
        .env("GIT_AUTHOR_EMAIL", "tester@example.com")
        .env("GIT_COMMITTER_NAME", "Tester")
        .env("GIT_COMMITTER_EMAIL", "tester@example.com")
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Done { success: output.status.success(), output: text }
}

/// The date this many days from now, `YYYY-MM-DD`.
pub fn expires_in(days: i64) -> String {
    use jiff::ToSpan as _;
    jiff::Timestamp::now().checked_add((days * 24).hours()).unwrap().strftime("%Y-%m-%d").to_string()
}
