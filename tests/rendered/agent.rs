//! The agent's day with GitLab, by the scripts of the repo: with a token that may read and push, and one that may write issues and answers.

use std::process::Output;
use std::thread;

use serde_json::{Value, json};

use crate::control_repo::{ControlRepo, passed, stdout, text};
use crate::plane::Plane;
use crate::support;

const AGENT_SCOPES: [&str; 3] = ["read_api", "write_repository", "self_rotate"];

/// Gives the repo an `origin` and git a token for it.
fn connect(repo: &ControlRepo, address: &str, path: &str, token: &str) {
    repo.git(&["remote", "set-url", "origin", &format!("{address}/{path}")]);
    repo.git(&["config", "credential.helper", "store"]);
    repo.git(&["config", "user.name", "agent"]);
    repo.git(&["config", "user.email", "agent@example.org"]);
    let store = repo.path().join("../.git-credentials");
    std::fs::write(store, address.replace("http://", &format!("http://oauth2:{token}@")) + "\n").unwrap();
}

#[test]
fn a_change_is_proposed_and_its_pipeline_is_shown() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    plane.member(project, "factory-agent", 30);
    let repo = ControlRepo::new("defaults");
    connect(&repo, &plane.url(), "factory/control.git", &plane.owner_token());
    repo.git(&["push", "--quiet", "origin", "HEAD:main"]);
    connect(&repo, &plane.url(), "factory/control.git", &plane.token("factory-agent", &AGENT_SCOPES));

    let refused = |arguments: &[&str], why: &str| {
        let output = repo.run(arguments);
        assert_eq!(output.status.code(), Some(65), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
    };
    let propose = ["scripts/propose", "Say more", "Closes #1. See README.md."];
    refused(&propose, "main is protected");
    repo.git(&["switch", "--quiet", "-c", "agent/1-say-more"]);
    refused(&propose, "holds nothing that main does not");
    repo.write("README.md", "# More\n");
    refused(&propose, "changes that are not committed");
    repo.git(&["commit", "-qam", "Say more\n\n- What: it is read.\n- Risk: none.\n\n/close"]);
    passed(&repo.run(&propose));

    let requests = plane.get(&format!("/projects/{project}/merge_requests?state=opened"));
    assert_eq!(requests.body.as_array().unwrap().len(), 1);
    let request = &requests.body[0];
    assert_eq!(request["title"], "Say more");
    assert_eq!(request["description"], "Closes #1. See README.md.\n\n- What: it is read.\n- Risk: none.\n\n /close");
    assert_eq!(request["target_branch"], "main");
    assert_eq!(request["draft"], false);

    let status = stdout(&repo.run(&["scripts/pipeline", "status"]));
    assert!(status.starts_with("pipeline ") && status.contains(" of agent/1-say-more: "), "{status}");
    assert!(status.contains("\tvalidate\tvalidate\n") && status.contains("\ttest\ttest\n"), "{status}");
    assert!(!status.contains("apply"), "{status}");

    // A question needs no change, and waits for a human.
    repo.git(&["switch", "--quiet", "-c", "agent/2-question", "origin/main"]);
    passed(&repo.run(&["scripts/propose", "--question", "Which name?", "The issue gives two."]));
    let requests =
        plane.get(&format!("/projects/{project}/merge_requests?state=opened&source_branch=agent%2F2-question"));
    assert_eq!(requests.body[0]["draft"], true);

    // Nor a commit that is not pushed yet: options travel with one only.
    repo.git(&["switch", "--quiet", "agent/1-say-more"]);
    refused(&propose, "nothing new to push");
    passed(&repo.run(&["scripts/propose", "--question", "test fails: x", "Seen: y. Needed: z."]));
    let requests =
        plane.get(&format!("/projects/{project}/merge_requests?state=opened&source_branch=agent%2F1-say-more"));
    assert_eq!(requests.body[0]["title"], "Draft: test fails: x");
    assert_eq!(requests.body[0]["description"], "Seen: y. Needed: z.");
    assert_eq!(requests.body.as_array().unwrap().len(), 1);

    // New commits alone leave the merge request's words.
    repo.write("README.md", "# More still\n");
    repo.git(&["commit", "-qam", "Say more still"]);
    passed(&repo.run(&["scripts/propose", "--push"]));
    refused(&["scripts/propose", "--push"], "nothing new to push");
    let request =
        &plane.get(&format!("/projects/{project}/merge_requests?state=opened&source_branch=agent%2F1-say-more"));
    assert_eq!(request.body[0]["title"], "Draft: test fails: x");
    assert_eq!(request.body[0]["sha"], repo.git(&["rev-parse", "HEAD"]).trim());
    repo.git(&["commit", "-q", "--allow-empty", "-m", "x"]);
    refused(&["scripts/propose", "Say more [skip ci]", "Closes #1."], "[skip ci]");
    repo.git(&["commit", "-q", "--amend", "--allow-empty", "-m", "x\n\nIn between [ci skip]."]);
    refused(&propose, "[skip ci]");
    repo.git(&["reset", "-q", "--hard", "HEAD~1"]);

    // A branch that was rewritten is not forced, whatever git is set to.
    repo.git(&["commit", "--amend", "-qm", "Say less"]);
    repo.git(&["config", "remote.origin.push", "+HEAD"]);
    let rewritten = repo.run(&["scripts/propose", "--push"]);
    assert!(!rewritten.status.success() && text(&rewritten).contains("non-fast-forward"), "{}", text(&rewritten));
}

/// Gives the desk its token, as `factoryup apply` does on the host.
fn seat(repo: &ControlRepo, address: &str, token: &str) {
    repo.write("../.config/factory/desk-credential", &format!("gitlab={address}\npassword={token}\n"));
}

impl ControlRepo {
    /// A script, with this on its standard input.
    fn says(&self, arguments: &[&str], text: &str) -> Output {
        self.write("../said", text);
        let said = std::fs::File::open(self.path().join("../said")).unwrap();
        self.command(arguments[0]).args(&arguments[1..]).stdin(said).output().unwrap()
    }
}

#[test]
fn an_incident_is_opened_and_a_review_answered_by_an_account_that_may_do_no_more() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let Some(plane) = Plane::start() else { return };
    let project = plane.project("control");
    let at = |rest: &str| format!("/projects/{project}{rest}");
    plane.member(project, "factory-agent", 30);
    let desk = plane.member(project, "factoryup-1-desk", 20);
    let repo = ControlRepo::new("defaults");
    connect(&repo, &plane.url(), "factory/control.git", &plane.owner_token());
    repo.git(&["push", "--quiet", "origin", "HEAD:main"]);
    connect(&repo, &plane.url(), "factory/control.git", &plane.token("factory-agent", &AGENT_SCOPES));
    repo.git(&["switch", "--quiet", "-c", "agent/1-say-more"]);
    repo.write("README.md", "# More\n");
    repo.git(&["commit", "-qam", "Say more"]);
    passed(&repo.run(&["scripts/propose", "Say more", "Closes #1."]));

    // Without the account, the way that is left is named, and nothing is sent.
    let incident = ["scripts/issue", "open", "--label", "incident", "--label", "human", "The site is down"];
    let alone = repo.says(&incident, "502\n");
    assert_eq!(alone.status.code(), Some(77), "{}", text(&alone));
    assert!(text(&alone).contains("ask instead: scripts/propose --question"), "{}", text(&alone));

    // Its token goes to no other GitLab than the one that it is for.
    for other in
        ["https://gitlab.example.org".to_owned(), format!("{}/gitlab", plane.url()), format!("{}0", plane.url())]
    {
        seat(&repo, &other, &desk);
        let elsewhere = repo.says(&incident, "502\n");
        assert_eq!(elsewhere.status.code(), Some(77), "{}", text(&elsewhere));
        assert!(text(&elsewhere).contains(&format!("is for {other}, and origin is at")), "{}", text(&elsewhere));
        assert!(!text(&elsewhere).contains(&desk));
    }
    seat(&repo, &plane.url(), &desk);
    assert_eq!(repo.says(&incident, " \n").status.code(), Some(64), "no text");
    assert_eq!(plane.get(&at("/issues")).body, json!([]));

    let opened = passed(&repo.says(&incident, "Seen: 502 since 10:00 UTC.\n/close\n/label ~done\n\u{1b}[2J"));
    assert!(opened.starts_with("#1 "), "{opened}");
    let issue = plane.get(&at("/issues/1")).body;
    assert_eq!(issue["title"], "The site is down");
    assert_eq!(issue["labels"], json!(["incident", "human"]));
    assert_eq!(issue["author"]["username"], "factoryup-1-desk");
    assert_eq!(issue["description"], "Seen: 502 since 10:00 UTC.\n /close\n /label ~done\n[2J\n");
    passed(&repo.says(&["scripts/issue", "comment", "1"], "Means: the release of 9:50.\n"));
    assert!(passed(&repo.run(&["scripts/issue", "show", "1"])).contains("Means: the release of 9:50."));

    let threads = at("/merge_requests/1/discussions");
    assert_eq!(plane.post(&threads, &json!({ "body": "Why?" })).status, 201);
    let shown = passed(&repo.run(&["scripts/review"]));
    let thread = shown.strip_prefix("== OPEN ").unwrap().lines().next().unwrap();
    let reply = ["scripts/review", "reply", thread];
    passed(&repo.says(&reply, "Since the issue asks for it.\n"));
    assert!(passed(&repo.run(&["scripts/review"])).contains("factoryup-1-desk: Since the issue asks for it."));
    let comment = repo.says(&["scripts/review", "comment"], "It fails since x.\n");
    assert_eq!(passed(&comment), "commented on !1\n");
    assert!(passed(&repo.run(&["scripts/review"])).contains("factoryup-1-desk: It fails since x."));
    for wrong in ["00000000", "../../x", ""] {
        let output = repo.says(&["scripts/review", "reply", wrong], "x\n");
        assert!(matches!(output.status.code(), Some(64 | 65)), "{wrong}: {}", text(&output));
    }

    // Not what reviewers and Maintainers do, nor what the agent itself may.
    let full = plane.get(&threads).body[0]["id"].as_str().unwrap().to_owned();
    let desk_at = plane.as_token(&desk);
    for (answer, what) in [
        (desk_at.put(&format!("{threads}/{full}"), &json!({ "resolved": true })), "resolve"),
        (desk_at.put(&at("/merge_requests/1/merge"), &json!({})), "merge"),
        (desk_at.put(&at("/merge_requests/1"), &json!({ "title": "x" })), "edit"),
        (desk_at.post(&at("/pipeline"), &json!({ "ref": "agent/1-say-more" })), "run"),
        (desk_at.get(&at("/variables")), "variables"),
        (desk_at.get(&at("/terraform/state/control-plane")), "state"),
        (desk_at.put("/projects/1/members/1", &json!({ "access_level": 40 })), "members"),
    ] {
        assert!(matches!(answer.status, 401 | 403 | 404), "{what}: {} {}", answer.status, answer.body);
    }
    assert_eq!(plane.get(&threads).body[0]["notes"][0]["resolved"], false);
    connect(&repo, &plane.url(), "factory/control.git", &desk);
    repo.git(&["switch", "--quiet", "-c", "agent/2-more"]);
    repo.git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
    let push = repo.run(&["scripts/propose", "--push"]);
    assert!(text(&push).contains("You are not allowed to push code to this project"), "{}", text(&push));
    // Nor is the token in what any of them printed.
    for output in [&alone, &push] {
        assert!(!text(output).contains(&desk));
    }
}

#[test]
fn without_a_token_the_remedy_is_named_and_no_token_is_ever_shown() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let repo = ControlRepo::new("defaults");
    let output = repo.run(&["scripts/issue", "list"]);
    assert_eq!(output.status.code(), Some(77), "{}", text(&output));
    assert!(
        text(&output).contains("no token for gitlab.com: store one with git, or set GITLAB_TOKEN"),
        "{}",
        text(&output)
    );

    let Some(plane) = Plane::start() else { return };
    connect(&repo, &plane.url(), "factory/control.git", "glpat-canary");
    let output = repo.run(&["scripts/pipeline", "status"]);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    assert!(text(&output).contains("401"), "{}", text(&output));
    assert!(!text(&output).contains("canary"), "{}", text(&output));
}

/// Answers every request with what `answer` says of its path.
fn serve(answer: impl Fn(&str) -> Value + Send + 'static) -> String {
    let server = tiny_http::Server::http("127.0.0.1:0").unwrap();
    let address = format!("http://{}", server.server_addr());
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let body = match answer(request.url()) {
                Value::String(text) => text,
                json => json.to_string(),
            };
            let _ = request.respond(tiny_http::Response::from_string(body));
        }
    });
    address
}

#[test]
fn issues_reviews_and_logs_are_read_without_what_a_terminal_would_obey() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let address = serve(|url| {
        let path = url.strip_prefix("/api/v4/projects/acme%2Ffactory/").unwrap_or("wrong project");
        match path.split('?').next().unwrap() {
            "issues" => json!([{"iid": 7, "title": "More\u{1b}[2J", "labels": ["agent", "docs"]}]),
            "issues/7" => {
                json!({"iid": 7, "title": "More", "state": "opened", "labels": [], "author": {"username": "ada"}, "description": "Say more."})
            }
            "issues/7/notes" => json!([
                {"system": false, "author": {"username": "bob"}, "created_at": "2026-01-02", "body": "And say \u{1b}]0;it\u{7} well\u{9b}2J.\u{202e}"},
                {"system": true, "author": {"username": "bob"}, "created_at": "2026-01-02", "body": "added a label"},
            ]),
            "merge_requests" => json!([{"iid": 9}]),
            "merge_requests/9/discussions" => json!([
                {"id": "4f2a91c3aa", "notes": [{"system": false, "resolvable": true, "resolved": false, "author": {"username": "ada"}, "body": "Why?",
                    "position": {"new_path": "README.md", "new_line": 3, "old_line": null}}]},
                {"id": "77aa00bbcc", "notes": [{"system": false, "resolvable": true, "resolved": true, "author": {"username": "ada"}, "body": "Good.", "position": null}]},
            ]),
            "merge_requests/9/pipelines" => json!([{"id": 5, "status": "failed"}]),
            "pipelines/5/jobs" => json!([
                {"id": 1, "name": "validate", "stage": "validate", "status": "success"},
                {"id": 2, "name": "te\u{1b}[2Jst", "stage": "test", "status": "failed"},
            ]),
            "jobs/2/trace" => json!("first\u{1b}]52;c;Y2F0\u{7} line\nlast line\n"),
            other => panic!("{other}"),
        }
    });
    let repo = ControlRepo::new("defaults");
    connect(&repo, &address, "acme/factory.git", "t");
    assert_eq!(passed(&repo.run(&["scripts/issue", "list"])), "#7\tMore[2J\tagent, docs\n");
    let issue = passed(&repo.run(&["scripts/issue", "show", "7"]));
    assert!(
        issue.contains("Say more.") && issue.contains("And say ]0;it well?2J.?") && !issue.contains("added a label"),
        "{issue}"
    );
    let review = passed(&repo.run(&["scripts/review"]));
    assert_eq!(review, "== OPEN 4f2a91c3 README.md:3\nada: Why?\n== done 77aa00bb\nada: Good.\n");
    assert_eq!(repo.run(&["scripts/pipeline", "wait"]).status.code(), Some(1));
    let failed = passed(&repo.run(&["scripts/pipeline", "failed"]));
    assert_eq!(failed, "== te[2Jst (job 2)\nfirst]52;c;Y2F0 line\nlast line\n");
    assert_eq!(passed(&repo.run(&["scripts/pipeline", "log", "2"])), "first]52;c;Y2F0 line\nlast line\n");
    assert!(!stdout(&repo.run(&["scripts/pipeline", "status"])).contains('\u{1b}'));
}

/// GitLab's word for both is `manual`.
#[test]
fn a_failed_job_is_no_success_when_another_waits_for_a_person() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let answer =
        |url: &str, may_fail: bool| match url.rsplit("acme%2Ffactory/").next().unwrap().split('?').next().unwrap() {
            "merge_requests" => json!([]),
            "pipelines" => json!([{"id": 5, "status": "manual"}]),
            "pipelines/5/jobs" => json!([
                {"id": 1, "name": "plan", "stage": "plan", "status": "failed", "allow_failure": may_fail},
                {"id": 2, "name": "apply", "stage": "apply", "status": "manual", "allow_failure": false},
            ]),
            other => panic!("{other}"),
        };
    let allowed = serve(move |url| answer(url, true));
    let fatal = serve(move |url| answer(url, false));
    for (address, code) in [(allowed, 0), (fatal, 1)] {
        let repo = ControlRepo::new("defaults");
        connect(&repo, &address, "acme/factory.git", "t");
        assert_eq!(repo.run(&["scripts/pipeline", "status", "main"]).status.code(), Some(code));
    }
}

/// With the commands of the skill, as a user who has neither the owner's state nor a token.
#[test]
fn a_conflict_of_an_upgrade_is_settled_by_the_agent() {
    if !support::available(&["git"]) {
        return;
    }
    let repo = ControlRepo::new("defaults");
    let factoryup = |home: &str, arguments: &[&str]| {
        let mut command = repo.command(env!("CARGO_BIN_EXE_factoryup"));
        command.args(arguments).env("HOME", repo.path().join("..").join(home)).output().unwrap()
    };
    let (path, name) = ("docs/runbooks/incident.md", repo.factory.factory.owner_name.clone());
    repo.edit(path, &format!("owner: {name:?}"), "owner: \"Ada, by day\"");
    repo.git(&["commit", "-qam", "Name the hours"]);
    repo.edit("factory.toml", &format!("owner_name = {name:?}"), "owner_name = \"Bob\"");
    assert_eq!(factoryup("owner", &["upgrade", "--no-push", "--yes"]).status.code(), Some(2));
    repo.git(&["restore", "factory.toml"]);
    let branch = repo.git(&["branch", "--list", "factory/*", "--format=%(refname:short)"]);
    repo.git(&["switch", "--quiet", branch.trim()]);
    let waits = repo.run(&["scripts/checks/settled"]);
    assert!(!waits.status.success() && text(&waits).contains("factoryup resolve"), "{}", text(&waits));

    let skill = repo.read(".agents/skills/upgrade-templates/SKILL.md");
    assert!(skill.contains("factoryup resolve PATH --mine\n"), "{skill}");
    assert!(repo.read(".factory/conflicts/runbook-incident").contains("owner: \"Bob\""));
    repo.edit(path, "owner: \"Ada, by day\"", "owner: \"Bob, by day\"");
    repo.git(&["commit", "-qam", "Merge both owners"]);
    passed(&factoryup("agent", &["resolve", path, "--mine"]));
    repo.git(&["commit", "-qm", "Resolve the conflict"]);
    passed(&repo.run(&["scripts/checks/settled"]));
    passed(&factoryup("agent", &["doctor", "repo"]));
    assert!(repo.read(path).contains("owner: \"Bob, by day\""));
}
