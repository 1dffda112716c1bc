//! The agent in an application's project: it works there as in the control repo, and nothing that decides is its own.

use std::fs;

use serde_json::{Value, json};

use super::super::control_repo::{clean, passed, text};
use super::super::plane::expires_in;
use super::super::renewal::with_variables;
use super::super::situation::Situation;
use super::super::status::{card, is, parts, steps};
use super::super::support;
use super::{PUBLISH, app, merge, open, own, terraform, with_app};

/// An application that is there, with a pipeline that the stand-in reads: the generated one includes another project's components.
fn published() -> Option<Situation> {
    let situation = with_app(&["--kind", "static"])?;
    let folder = app(&situation);
    let job = "check:\n  script: [\"true\"]\n  rules: [{ when: on_success }]\n";
    fs::write(folder.join(".factory/ci.yml"), job).unwrap();
    own(&folder, &["commit", "-qam", "Jobs"]);
    situation.run(&PUBLISH, 75);
    merge(&situation, "control");
    terraform(&situation);
    let said = situation.run(&PUBLISH, 0);
    assert!(said.contains("add factory-agent as a Developer of shop, for 30 days"), "{said}");
    Some(situation)
}

fn token(situation: &Situation) -> String {
    let file = situation.directory().join("xdg/factoryup/acme/agent-token");
    fs::read_to_string(file).unwrap().trim().to_owned()
}

fn member(situation: &Situation) -> Value {
    let url = format!("/projects/factory%2Fshop/members/{}", situation.agent());
    situation.plane.get(&url).body
}

#[test]
fn it_proposes_changes_and_is_refused_what_the_owner_may() {
    let Some(situation) = published() else { return };
    let plane = &situation.plane;
    let work = plane.clone("shop", &token(&situation));
    work.git(&["switch", "-qc", "agent/1-title"]);
    work.commit("note.md", "A note\n");
    let options = ["-o", "merge_request.create", "-o", "merge_request.target=main"];
    let pushed = work.push(&[&options[..], &["origin", "HEAD:refs/heads/agent/1-title"]].concat());
    assert!(pushed.ok(), "{}", pushed.output);
    assert_eq!(open(&situation, "shop"), [("agent/1-title".to_owned(), 1)]);
    for (to, why) in [
        ("HEAD:refs/heads/main", "protected branches"),
        ("HEAD:refs/heads/factory/adopt", "protected branches"),
        ("HEAD:refs/tags/v9.9.9", "create this tag as it is protected"),
    ] {
        let pushed = work.push(&["origin", to]);
        assert!(pushed.refused(why), "{to}: {}", pushed.output);
    }

    // Its own token lacks the scope to write by API. With the scope, its role refuses the same. The owner's twin is not refused.
    let wide = json!({ "name": "wide", "scopes": ["api"], "expires_at": expires_in(1) });
    let wide = plane.post(&situation.agent_tokens(), &wide).body["token"].as_str().unwrap().to_owned();
    let shop = "/projects/factory%2Fshop";
    let id = plane.get(shop).body["id"].clone();
    let someone = plane.stand_in.add_user("someone").unwrap();
    plane.stand_in.finish_pipelines("factory/shop", "success").unwrap();
    for (method, path, body) in [
        ("GET", format!("{shop}/variables"), json!({})),
        ("POST", format!("{shop}/variables"), json!({ "key": "X", "value": "a value" })),
        ("POST", "/user/runners".into(), json!({ "runner_type": "project_type", "project_id": id })),
        ("PUT", shop.into(), json!({ "description": "x" })),
        ("POST", format!("{shop}/members"), json!({ "user_id": someone, "access_level": 30 })),
        ("POST", format!("{shop}/pipeline"), json!({ "ref": "main" })),
        ("PATCH", format!("{shop}/protected_branches/main"), json!({ "allow_force_push": false })),
        ("PUT", format!("{shop}/merge_requests/1/merge"), json!({})),
    ] {
        for token in [token(&situation), wide.clone()] {
            let got = plane.as_token(&token).send(method, &path, Some(&body));
            // GitLab refuses a pipeline of a protected branch with 400.
            let is_refused = matches!(got.status, 401 | 403) || got.body.to_string().contains("sufficient permission");
            assert!(is_refused, "{method} {path}: {} {}", got.status, got.body);
        }
        let got = plane.as_token(&plane.owner_token()).send(method, &path, Some(&body));
        assert!(matches!(got.status, 200 | 201), "the owner: {method} {path}: {} {}", got.status, got.body);
    }
    // The group's other projects stay hidden.
    plane.project("books");
    assert_eq!(plane.as_token(&wide).get("/projects/factory%2Fbooks").status, 404);
}

#[test]
fn its_access_is_renewed_and_taken_by_the_way_back() {
    let Some(situation) = published() else { return };
    assert_eq!(
        (&member(&situation)["access_level"], &member(&situation)["expires_at"]),
        (&json!(30), &json!(expires_in(30)))
    );
    let url = format!("/projects/factory%2Fshop/members/{}", situation.agent());
    let soon = json!({ "access_level": 30, "expires_at": expires_in(5) });
    assert_eq!(situation.plane.put(&url, &soon).status, 200);
    let remote = situation.plane.remote("control", &situation.plane.owner_token());
    own(&situation.repo, &["fetch", "-q", "--no-tags", &remote, "main:refs/remotes/origin/main"]);
    is(&parts(&card(&situation, &["status"], 2)), "app", "attention", "shop: its agent has no access, or not for long");
    let said = situation.run(&PUBLISH, 0);
    assert!(said.contains("renew the membership of factory-agent, for 30 days"), "{said}");
    assert_eq!(member(&situation)["expires_at"], expires_in(30));

    let said = situation.run(&["revert", "gitlab", "--yes"], 0);
    assert!(said.contains("remove factory-agent from shop"), "{said}");
    assert_eq!(situation.plane.get(&url).status, 404);
}

/// With what its clone has. The owner merges, creates the repo that the entry is for, and publishes it; the content comes by merge request.
#[test]
fn it_registers_an_application_that_the_owner_publishes() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let plane = &situation.plane;
    plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
    let work = plane.clone("control", &token(&situation));
    work.git(&["config", "user.name", "acme agent"]);
    work.git(&["config", "user.email", "agent@example.org"]);
    work.git(&["switch", "-qc", "agent/2-shop"]);
    let run = |script: &str, arguments: &[&str]| {
        clean(work.path.join(script)).args(arguments).current_dir(&work.path).output().unwrap()
    };
    let register = |port: u16| {
        let there = |tier: &str, port: u16| json!({ "tier": tier, "port": port, "public": false });
        let environments = json!({ "production": there("production", port), "staging": there("staging", port + 1) });
        let entry = json!({ "description": "The web shop", "environments": environments });
        fs::write(work.path.join("infra/apps/shop.json"), entry.to_string()).unwrap();
        run("scripts/check", &["data"])
    };
    let refused = register(80);
    assert!(!refused.status.success() && text(&refused).contains("port must be 1024 to 65535"), "{}", text(&refused));
    passed(&register(8105));
    work.git(&["add", "infra/apps/shop.json"]);
    work.git(&["commit", "-qm", "Add the application shop"]);
    passed(&run("scripts/propose", &["Add the application shop", "Closes #2."]));
    let opened = plane.get("/projects/factory%2Fcontrol/merge_requests?state=opened").body;
    assert_eq!(opened[0]["author"]["username"], "factory-agent");
    merge(&situation, "control");
    terraform(&situation);

    let said = situation.run(&PUBLISH, 73);
    assert!(
        said.contains("it does not exist") && said.contains("git pull), and create it: factoryup app add"),
        "{said}"
    );
    // Not from the entry, which this clone does not have yet.
    let add = ["app", "add", "shop", "--kind", "static"];
    situation.run(&add, 0);
    let said = situation.run(&PUBLISH, 73);
    assert!(said.contains("has port.production=8100, and its entry in GitLab has 8105"), "{said}");
    fs::remove_dir_all(app(&situation)).unwrap();
    own(&situation.repo, &["branch", "-qD", "factory/app-shop"]);
    let remote = plane.remote("control", &plane.owner_token());
    own(&situation.repo, &["fetch", "-q", "--no-tags", &remote, "main:refs/remotes/origin/main"]);
    let said = situation.run(&add, 0);
    assert!(said.contains("production 8105") && said.contains("the control repo already has shop"), "{said}");
    let job = "check:\n  script: [\"true\"]\n  rules: [{ when: on_success }]\n";
    fs::write(app(&situation).join(".factory/ci.yml"), job).unwrap();
    own(&app(&situation), &["commit", "-qam", "Jobs"]);
    let said = situation.run(&PUBLISH, 0);
    assert!(said.contains("push 1 branch") && said.contains("add factory-agent as a Developer of shop"), "{said}");

    let shop = plane.clone("shop", &token(&situation));
    shop.git(&["switch", "-qc", "agent/1-page"]);
    shop.commit("public/index.html", "<!doctype html><title>Shop</title>\n");
    let options = ["-o", "merge_request.create", "-o", "merge_request.target=main", "origin", "HEAD"];
    assert!(shop.push(&options).ok());
    assert_eq!(open(&situation, "shop"), [("agent/1-page".to_owned(), 1)]);
}

/// By the nightly job, from the default branch of the control repo: whatever an application lacks, the others are renewed.
#[test]
fn its_access_is_renewed_in_the_night_in_each_application_that_has_it() {
    if !support::available(&["curl", "git", "jq"]) {
        return;
    }
    let Some(situation) = published() else { return };
    let plane = &situation.plane;
    let work = plane.clone("control", &plane.owner_token());
    plane.project("books");
    for name in ["books", "earlier"] {
        fs::copy(work.path.join("infra/apps/shop.json"), work.path.join(format!("infra/apps/{name}.json"))).unwrap();
    }
    let url = format!("/projects/factory%2Fshop/members/{}", situation.agent());
    let night = || {
        let mut command = clean(work.path.join("scripts/renew"));
        with_variables(&situation, command.current_dir(&work.path));
        command.output().unwrap()
    };
    for (days, said) in [(8, "8 days left".to_owned()), (7, format!("renewed, ends on {}", expires_in(30)))] {
        let body = json!({ "access_level": 30, "expires_at": expires_in(days) });
        assert_eq!(plane.put(&url, &body).status, 200);
        let output = passed(&night());
        for line in [
            format!("membership of factory-agent in shop: {said}\n"),
            "membership of factory-agent in books: none of its own in this project\n".into(),
            "membership of factory-agent in earlier: the application has no project\n".into(),
        ] {
            assert!(output.contains(&line), "{output}");
        }
    }
    assert_eq!(member(&situation)["expires_at"], expires_in(30));
    // Another role is not renewed, and the job fails for it.
    let body = json!({ "access_level": 20, "expires_at": expires_in(7) });
    assert_eq!(plane.put(&url, &body).status, 200);
    let output = night();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("in shop: the role is not Developer; run: factoryup app publish shop\n"),
        "{}",
        text(&output)
    );
    assert_eq!(member(&situation)["expires_at"], expires_in(7));
}

/// GitLab lets such an account into no other project.
#[test]
fn an_agent_of_the_control_repos_project_is_named_and_not_let_in() {
    let Some(situation) = with_app(&["--kind", "static"]) else { return };
    let of_group = format!("/groups/factory/service_accounts/{}", situation.agent());
    assert_eq!(situation.plane.delete(&of_group).status, 204);
    let account = json!({ "name": "Agent", "username": "factory-agent" });
    assert_eq!(situation.plane.post(&situation.path("/service_accounts"), &account).status, 201);
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    situation.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
    situation.run(&PUBLISH, 75);
    merge(&situation, "control");
    terraform(&situation);
    let shown = card(&situation, &PUBLISH, 0);
    is(&parts(&shown), "agent", "attention", "factory-agent is a service account of the control repo");
    assert!(steps(&shown).iter().any(|step| step.starts_with("replace its account")), "{shown}");

    // Its successor is one of the group.
    let file = situation.repo.join("factory.toml");
    let text = fs::read_to_string(&file).unwrap();
    let text = if text.contains("username = \"factory-agent\"") {
        text.replace("username = \"factory-agent\"", "username = \"acme-agent\"")
    } else {
        text + "\n[agent]\nusername = \"acme-agent\"\n"
    };
    fs::write(&file, text).unwrap();
    situation.run(&["apply", "gitlab", "--yes"], 0);
    let said = situation.run(&PUBLISH, 0);
    assert!(said.contains("add acme-agent as a Developer of shop"), "{said}");
}
