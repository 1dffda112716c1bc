//! A runner in a script: it takes jobs as GitLab Runner does, and says of each what the test wants.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;

/// One runner, by its token.
pub struct Runner {
    url: String,
    token: String,
    agent: Agent,
}

/// What becomes of a job: its log, and the exit code of its script.
pub type Script = dyn Fn(&str) -> (String, i64) + Send + Sync;

impl Runner {
    pub fn new(url: &str, token: &str) -> Self {
        let agent = Agent::config_builder().http_status_as_error(false).build().new_agent();
        Self { url: format!("{url}/api/v4"), token: token.to_owned(), agent }
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> (u16, Value, String) {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let Ok(response) = self.agent.run(request.body(body.as_ref().to_vec()).unwrap()) else {
            return (0, Value::Null, String::new());
        };
        let header = |name: &str| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let (status, range) = (response.status().as_u16(), header("Range"));
        let state = header("Job-Status");
        let text = response.into_body().read_to_string().unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(state)), range)
    }

    /// Asks for a job; none if there is none.
    pub fn take(&self) -> Option<Value> {
        let body = json!({ "token": self.token, "system_id": "s_0123456789ab", "info": {} }).to_string();
        let (status, job, _) = self.call("POST", "/jobs/request", &[("Content-Type", "application/json")], body);
        assert!(matches!(status, 0 | 201 | 204), "{status} {job}");
        (status == 201).then_some(job)
    }

    /// Sends a part of a log; returns the status and the header `Range`.
    pub fn log(&self, job: &Value, start: usize, text: &str) -> (u16, String) {
        let range = format!("{start}-{}", (start + text.len()).saturating_sub(1));
        let headers =
            [("Content-Type", "text/plain"), ("JOB-TOKEN", job["token"].as_str().unwrap()), ("Content-Range", &range)];
        let (status, _, range) =
            self.call("PATCH", &format!("/jobs/{}/trace?debug_trace=false", job["id"]), &headers, text);
        (status, range)
    }

    /// Uploads an archive of artifacts as the runner does, in a form; returns the status.
    pub fn upload(&self, job: &Value, archive: impl AsRef<[u8]>) -> u16 {
        let part = "Content-Disposition: form-data; name=\"file\"; filename=\"artifacts.zip\"\r\nContent-Type: application/octet-stream";
        let head = format!("--limit\r\n{part}\r\n\r\n");
        let body = [head.as_bytes(), archive.as_ref(), b"\r\n--limit--\r\n"].concat();
        let headers =
            [("Content-Type", "multipart/form-data; boundary=limit"), ("JOB-TOKEN", job["token"].as_str().unwrap())];
        let path = format!("/jobs/{}/artifacts?artifact_type=archive&artifact_format=zip", job["id"]);
        self.call("POST", &path, &headers, &body).0
    }

    /// The artifacts of a job, for another; returns the status and what came.
    pub fn download(&self, of: &Value, token: &str) -> (u16, String) {
        let url = format!("{}/jobs/{of}/artifacts?direct_download=true", self.url);
        let request = ureq::http::Request::builder().uri(url).header("JOB-TOKEN", token).body("").unwrap();
        let mut response = self.agent.run(request).unwrap();
        (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
    }

    /// Says what a job is at; returns the status.
    pub fn put(&self, job: &Value, state: &str, code: i64) -> u16 {
        let reason = if state == "failed" { "script_failure" } else { "" };
        let body =
            json!({ "token": job["token"], "state": state, "exit_code": code, "failure_reason": reason, "info": {} });
        let headers = [("Content-Type", "application/json")];
        self.call("PUT", &format!("/jobs/{}", job["id"]), &headers, body.to_string()).0
    }

    /// Takes a job, if there is one, and ends it as `script` says for its name. Jobs of factoryup's policy checks run their own scripts.
    pub fn play(&self, script: &Script) -> bool {
        let Some(job) = self.take() else { return false };
        let is_check = job["git_info"]["ref"].as_str().unwrap().contains("factoryup-proof-");
        let (text, code) = if is_check { run(&job) } else { script(job["job_info"]["name"].as_str().unwrap()) };
        self.put(&job, "running", 0);
        self.log(&job, 0, &text);
        self.put(&job, if code == 0 { "success" } else { "failed" }, code);
        true
    }

    /// Plays until that is dropped.
    pub fn keep_playing(self, script: Arc<Script>) -> Playing {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                if !self.play(&*script) {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        Playing { stop, thread: Some(thread) }
    }
}

/// Runs a job's script in a shell, with its variables: the log, which repeats the script, and the exit code.
pub fn run(job: &Value) -> (String, i64) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let variables = job["variables"].as_array().unwrap().iter().map(|one| (text(&one["key"]), text(&one["value"])));
    let lines: Vec<_> = job["steps"][0]["script"].as_array().unwrap().iter().map(text).collect();
    let mut shell = std::process::Command::new("sh");
    let output =
        shell.arg("-ec").arg(lines.join("\n")).env_clear().env("PATH", "/usr/bin:/bin").envs(variables).output();
    let output = output.unwrap();
    let log = format!("$ {}\n{}", lines.join("\n$ "), String::from_utf8(output.stdout).unwrap());
    (log, i64::from(output.status.code().unwrap()))
}

/// A runner at work.
pub struct Playing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Playing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
