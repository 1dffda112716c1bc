//! What runs every night: a finding becomes one issue, credentials that end are named, and a copy is made and restored.

use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::control_repo::{ControlRepo, passed, stdout, text};
use crate::support;

fn ready() -> bool {
    support::available(&["curl", "git", "jq"])
}

/// A server that holds one project's issues, as far as `scripts/report` uses them, and answers for tokens.
#[derive(Clone, Default)]
struct Issues {
    all: Arc<Mutex<Vec<Value>>>,
    address: String,
}

impl Issues {
    fn serve() -> Self {
        let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
        let issues = Self { address: format!("http://{}", server.server_addr()), ..Self::default() };
        let mine = issues.clone();
        thread::spawn(move || {
            for mut request in server.incoming_requests() {
                let mut body = String::new();
                request.as_reader().read_to_string(&mut body).unwrap();
                let body = serde_json::from_str(&body).unwrap_or(Value::Null);
                let token =
                    request.headers().iter().find(|h| h.field.equiv("PRIVATE-TOKEN") || h.field.equiv("Authorization"));
                let token = token.map(|header| header.value.as_str().to_owned()).unwrap_or_default();
                let method = request.method().to_string();
                let (status, answer) = mine.answer(&method, request.url(), &body, &token);
                let reply = tiny_http::Response::from_string(answer.to_string()).with_status_code(status);
                let _ = request.respond(reply);
            }
        });
        issues
    }

    fn answer(&self, method: &str, url: &str, body: &Value, token: &str) -> (u16, Value) {
        let mut all = self.all.lock().unwrap();
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let path = path.strip_prefix("/api/v4/").unwrap_or(path);
        match (method, path) {
            ("GET", "projects/7/issues") => {
                assert!(query.contains("state=opened&labels=drift&in=title&search=Drift%20of%20staging"), "{query}");
                // GitLab's search finds more than the exact title.
                (200, all.iter().filter(|issue| issue["state"] == "opened").cloned().collect())
            }
            ("POST", "projects/7/issues") => {
                let mut issue = body.clone();
                issue["iid"] = json!(all.len() + 1);
                issue["state"] = json!("opened");
                all.push(issue.clone());
                (201, issue)
            }
            ("PUT", path) => {
                let number: usize = path.strip_prefix("projects/7/issues/").unwrap().parse().unwrap();
                let issue = &mut all[number - 1];
                for (key, value) in body.as_object().unwrap() {
                    issue[key] = value.clone();
                }
                if body["state_event"] == "close" {
                    issue["state"] = json!("closed");
                }
                (200, issue.clone())
            }
            ("GET", "personal_access_tokens/self") => match token {
                "plan" => (200, json!({"expires_at": "2999-01-01"})),
                "apply" => (200, json!({"expires_at": today(13)})),
                "later" => (200, json!({"expires_at": today(20)})),
                "forever" => (200, json!({"expires_at": null})),
                _ => (401, json!({"message": "401 Unauthorized"})),
            },
            ("GET", "projects/7/members/all") => (
                200,
                json!([{"username": "factory-agent-2", "expires_at": "2000-01-01"}, {"username": "factory-agent", "expires_at": today(3)}]),
            ),
            ("GET", "projects/7/service_accounts") => {
                (200, json!([{"id": 70, "username": "factory-agent"}, {"id": 71, "username": "factoryup-7-desk"}]))
            }
            ("GET", "projects/7/service_accounts/70/personal_access_tokens") => (
                200,
                json!([
                    {"active": true, "expires_at": today(1)},
                    {"active": true, "expires_at": today(3)},
                    {"active": false, "expires_at": "2999-01-01"},
                ]),
            ),
            ("GET", "projects/7/service_accounts/71/personal_access_tokens") => {
                (200, json!([{"active": false, "expires_at": "2000-01-01"}]))
            }
            ("GET", "/accounts/0123456789abcdef0123456789abcdef/tokens/verify") => match token {
                "Bearer plan" => (200, json!({"result": {"status": "active", "expires_on": "2999-01-01T00:00:00Z"}})),
                _ => (200, json!({"result": {"status": "active", "expires_on": format!("{}T23:59:59Z", today(3))}})),
            },
            other => panic!("{other:?}"),
        }
    }

    fn seen(&self) -> Vec<Value> {
        self.all.lock().unwrap().clone()
    }

    fn run(&self, repo: &ControlRepo, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let script = repo.path().join(arguments[0]);
        repo.command(script.to_str().unwrap())
            .args(&arguments[1..])
            .env("CI_API_V4_URL", format!("{}/api/v4", self.address))
            .env("CI_PROJECT_ID", "7")
            .env("CLOUDFLARE_BASE_URL", &self.address)
            .envs(variables.iter().copied())
            .output()
            .unwrap()
    }
}

/// The date this many days from now: from the first time on, lest midnight come between two.
fn today(days: i64) -> String {
    use jiff::ToSpan as _;
    static NOW: std::sync::OnceLock<jiff::Timestamp> = std::sync::OnceLock::new();
    NOW.get_or_init(jiff::Timestamp::now).checked_add((days * 24).hours()).unwrap().strftime("%Y-%m-%d").to_string()
}

#[test]
fn a_finding_is_one_issue_that_follows_it() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let issues = Issues::serve();
    let report = |command: &str, token: &[(&str, &str)]| {
        issues.run(&repo, &["scripts/report", "drift", "Drift of staging", "sh", "-c", command], token)
    };
    let token = [("REPORT_TOKEN", "t")];
    // Somebody else's issue, which only resembles it.
    issues
        .all
        .lock()
        .unwrap()
        .push(json!({"iid": 1, "state": "opened", "title": "Drift of staging again", "description": "mine"}));

    let without = report("echo differs; exit 2", &[]);
    assert_eq!(without.status.code(), Some(2), "{}", text(&without));
    assert!(
        text(&without).contains("differs") && text(&without).contains("REPORT_TOKEN is not set"),
        "{}",
        text(&without)
    );
    assert_eq!(issues.seen().len(), 1);

    let first = report("printf '~ one\\033[31m\\n~~~\\n ~~~\\n/close\\n'; exit 2", &token);
    assert_eq!(first.status.code(), Some(2), "{}", text(&first));
    let issue = issues.seen().pop().unwrap();
    assert_eq!((&issue["title"], &issue["labels"]), (&json!("Drift of staging"), &json!("drift")));
    let description = issue["description"].as_str().unwrap();
    assert!(description.contains("\n\n~~~text\n~ one[31m\n    ~~~\n     ~~~\n/close\n~~~"), "{description:?}");

    // The next night: the same issue, its text replaced; while nothing can be asked, it stays.
    assert_eq!(report("echo two; exit 2", &token).status.code(), Some(2));
    assert_eq!(report("echo no credentials; exit 78", &token).status.code(), Some(78));
    let all = issues.seen();
    assert_eq!((all.len(), &all[1]["state"]), (2, &json!("opened")));
    let description = all[1]["description"].as_str().unwrap();
    assert!(description.contains("two") && !description.contains("one"), "{description}");

    passed(&report("echo right", &token));
    passed(&report("echo right", &token));
    let all = issues.seen();
    assert_eq!((&all[0]["state"], &all[1]["state"], all.len()), (&json!("opened"), &json!("closed"), 2));
    assert_eq!(all[0]["description"], "mine");
    // And a new one the next time.
    assert_eq!(report("exit 2", &token).status.code(), Some(2));
    assert_eq!(issues.seen().len(), 3);
}

#[test]
fn credentials_that_end_are_named_with_their_remedy() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    let issues = Issues::serve();
    let expiry = |root: &str, tokens: &[(&str, &str)]| issues.run(&repo, &["scripts/expiry", root], tokens);
    let due = |output: &Output, wanted: &[String]| {
        assert_eq!(output.status.code(), Some(1), "{}", text(output));
        assert_eq!(stdout(output).lines().collect::<Vec<_>>(), wanted);
    };
    let remedy = "replace it: docs/runbooks/rotate-secrets.md";
    let unrenewed = "the host should have renewed it (sudo journalctl -u factory-renew there says why not); replace it: factoryup apply";
    let none = expiry("control-plane", &[]);
    assert_eq!(none.status.code(), Some(78), "{}", text(&none));
    assert_eq!(expiry("nowhere", &[]).status.code(), Some(64));

    due(
        &expiry(
            "control-plane",
            &[("CONTROL_PLANE_PLAN_TOKEN", "plan"), ("CONTROL_PLANE_APPLY_TOKEN", "apply"), ("REPORT_TOKEN", "gone")],
        ),
        &[
            "CONTROL_PLANE_PLAN_TOKEN ends on 2999-01-01".to_owned(),
            format!("CONTROL_PLANE_APPLY_TOKEN ends on {}; {remedy}", today(13)),
            "REPORT_TOKEN is refused by its issuer, or that could not be reached: docs/runbooks/rotate-secrets.md"
                .to_owned(),
            format!("the access of factory-agent ends on {}; renew it: factoryup apply", today(3)),
            format!("the token of factory-agent ends on {}; {unrenewed}", today(3)),
            format!("no token of factoryup-7-desk works; {unrenewed}"),
        ],
    );
    due(&expiry("control-plane", &[("REPORT_TOKEN", "forever")]), &[format!("REPORT_TOKEN never ends; {remedy}")]);
    let fine = passed(&expiry("control-plane", &[("REPORT_TOKEN", "later")]));
    assert_eq!(fine, format!("REPORT_TOKEN ends on {}\n", today(20)));

    due(
        &expiry("staging", &[("CLOUDFLARE_PLAN_TOKEN", "plan"), ("CLOUDFLARE_APPLY_TOKEN", "apply")]),
        &[
            "CLOUDFLARE_PLAN_TOKEN ends on 2999-01-01".to_owned(),
            format!("CLOUDFLARE_APPLY_TOKEN ends on {}; {remedy}", today(3)),
        ],
    );
}
