//! An application goes from the owner's folder onto the host with `factoryup app publish`: its runners are created, started and seen
//! online without a click, and their tokens are where they belong.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use portable_pty::CommandBuilder;
use serde_json::{Value, json};

use super::canary::{Watcher, find_in_tree};
use super::{Journey, counted, ends_with, gitlab_project, said, traced};
use crate::pty::Pty;
use crate::support::{self, lab};

const PUBLISH: [&str; 4] = ["app", "publish", "shop", "--yes"];

/// Merges the one open merge request of the control repo, once the host's runners have played its pipeline.
fn merge(journey: &Journey) {
    let all = journey.plane.get("/projects/factory%2Ffactory/merge_requests?state=opened").body;
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    let url = format!("/projects/factory%2Ffactory/merge_requests/{}/merge", all[0]["iid"]);
    support::wait_until("a pipeline that passed", || journey.plane.put(&url, &json!({})).status == 200);
}

/// The runners of the application, as GitLab has them, by tag.
fn runners(journey: &Journey) -> Vec<(String, u64, String)> {
    let listed = journey.plane.get("/projects/factory%2Fshop/runners?type=project_type").body;
    let mut all: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|listed| {
            let one = journey.plane.get(&format!("/runners/{}", listed["id"])).body;
            let words = |key: &str| one[key].as_str().unwrap().to_owned();
            let tags: Vec<_> = one["tag_list"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
            let text = format!(
                "{} {} {} untagged:{} locked:{}",
                tags.join("+"),
                words("status"),
                words("access_level"),
                one["run_untagged"],
                one["locked"]
            );
            (text, one["id"].as_u64().unwrap(), words("description"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn an_application_comes_onto_the_host_without_a_click() {
    let Some(journey) = Journey::begin() else { return };
    ends_with(&journey.init(), 0);
    ends_with(&journey.in_repo(&["apply", "--yes"]), 0);
    let mut runs = vec![journey.in_repo(&["app", "add", "shop", "--kind", "http"])];
    ends_with(&runs[0], 0);
    assert!(said(&runs[0]).contains("factoryup app publish shop\n"), "{}", said(&runs[0]));
    let folder = journey.home.path().join("shop");
    let jobs = "check:\n  tags: [untrusted]\n  script: [.factory/check]\nbuild:\n  tags: [trusted-build]\n  script: [.factory/build x]\n\
                'deploy:production':\n  tags: [trusted]\n  rules: [{ when: manual }]\n  script: [.factory/deploy install]\n";
    own_jobs(&folder, jobs);
    assert!(
        counted::counts("| the first application is live | 1: merge the "),
        "what this test does by hand, README counts"
    );
    let mut pty = journey.terminal();
    pty.expect("open its merge request").expect("Apply this change to").send("y");
    pty.expect("review and merge !1");
    merge(&journey);
    pty.expect("Start the job apply:control-plane of pipeline");
    gitlab_project::apply(&journey.plane, "factory", "shop");
    pty.send("y");
    pty.expect("push 1 branch, as they are here").expect("add acme-agent as a Developer of shop");
    pty.expect("start the first pipeline of main");
    pty.expect("Apply these 6 changes to").send("n");
    let (code, text) = pty.end();
    assert_eq!(code, 130, "{text}");
    assert_eq!(runners(&journey), []);

    // Killed between GitLab's token and the host: the token is lost, and so is the runner.
    let killed = journey.publish(Some("publish-runner"));
    assert_eq!(killed.status.code(), None, "{}", said(&killed));
    let lost = runners(&journey);
    let text = "trusted never_contacted ref_protected untagged:false locked:true";
    assert!(matches!(&lost[..], [(one, _, about)] if one == text && about == "factoryup shop: trusted"), "{lost:?}");
    let watcher = Watcher::start(vec!["glrt-".to_owned()]);
    let run = journey.publish(None);
    let seen: BTreeSet<String> = watcher.stop();
    ends_with(&run, 0);
    let text = said(&run);
    assert!(seen.is_empty(), "a runner's token was in the arguments or environment of: {seen:?}");
    assert!(text.contains(&format!("replace the runner {} (trusted), whose token was lost", lost[0].1)), "{text}");
    assert!(text.contains("start it on the host as build shop"), "{text}");
    assert!(text.contains("start the first pipeline of main") && text.contains("All of shop is there."), "{text}");
    runs.push(run);
    let now = runners(&journey);
    let states: Vec<&str> = now.iter().map(|(text, ..)| text.as_str()).collect();
    assert_eq!(
        states,
        [
            "trusted online ref_protected untagged:false locked:true",
            "trusted-build online ref_protected untagged:false locked:true",
            "untrusted online not_protected untagged:true locked:true"
        ]
    );
    assert!(now.iter().all(|(_, id, _)| *id != lost[0].1), "{now:?}");
    let units =
        "systemctl is-active factory-runner-trusted-shop factory-runner-build-shop factory-runner-untrusted-shop";
    assert_eq!(lab::stdout(&journey.host.run_inside(&["sh", "-c", units]).unwrap()), "active\nactive\nactive");

    // The pipeline passes on them, each job on its own, up to the release that the owner starts; the next run changes nothing.
    let (code, text) = {
        let mut pty = journey.terminal();
        pty.expect("the first release in production").expect("Start the job deploy:production of pipeline").send("y");
        pty.end()
    };
    assert!(code == 0 && text.contains("All of shop is there."), "{code} {text}");
    journey.plane.stand_in.clear_log();
    runs.push(journey.in_repo(&[&["--json"], &PUBLISH[..]].concat()));
    ends_with(&runs[2], 0);
    let writes = |journey: &Journey| {
        journey
            .plane
            .log()
            .into_iter()
            .filter(|request| {
                // Runners ask for jobs meanwhile.
                request.method != "GET" && !request.path.contains("/jobs/request")
            })
            .map(|request| format!("{} {}", request.method, request.path))
            .collect::<Vec<_>>()
    };
    assert_eq!(writes(&journey), Vec::<String>::new());
    let card: Value = said(&runs[2])
        .lines()
        .find_map(|line| serde_json::from_str::<Value>(line).ok().filter(|line| line["event"] == "card"))
        .unwrap();
    let lines = card["card"]["lines"].as_array().unwrap();
    let of = |part: &str| lines.iter().filter(|line| line["part"] == part && line["state"] == "ok").count();
    assert_eq!((of("runner"), of("pipeline"), of("project"), of("address")), (3, 1, 1, 1), "{card}");

    tokens_are_where_they_belong(&journey, &runs);
    a_runner_that_does_not_come_is_told(&journey);
    the_agent_works_on_it(&journey);
    the_agent_registers_the_next_one(&journey);
}

/// With what is on the host: the entry, judged by `scripts/check`, and its merge request. The owner creates the repo from the entry, and publishes it.
fn the_agent_registers_the_next_one(journey: &Journey) {
    let entry = json!({ "description": "Books", "environments": {
        "staging": { "tier": "staging", "port": 8111, "public": false },
        "production": { "tier": "production", "port": 8110, "public": false },
    } });
    let register = format!(
        "set -e; cd ~/work/factory; git fetch -q origin; git switch -qc agent/2-books origin/main; echo '{entry}' >infra/apps/books.json; \
         scripts/check data; git add infra/apps/books.json; git commit -qm 'Add the application books'; \
         scripts/propose 'Add the application books' 'Closes #2.'"
    );
    let output = journey.as_agent(&register);
    assert!(output.status.success(), "{}", said(&output));
    merge(journey);
    gitlab_project::apply(&journey.plane, "factory", "books");
    let remote = journey.plane.remote("factory", &journey.plane.owner_token());
    let fetch = ["fetch", "-q", "--no-tags", &remote, "main:refs/remotes/origin/main"];
    assert!(Command::new("git").args(fetch).current_dir(journey.repo()).status().unwrap().success());
    let added = journey.in_repo(&["app", "add", "books", "--kind", "static"]);
    ends_with(&added, 0);
    assert!(said(&added).contains("production 8110") && said(&added).contains("already has books"), "{}", said(&added));
    own_jobs(&journey.home.path().join("books"), "check:\n  tags: [untrusted]\n  script: [.factory/check]\n");
    let run = journey.in_repo(&["app", "publish", "books", "--yes"]);
    ends_with(&run, 0);
    let output = journey.as_agent("FACTORY_AGENT=: factory work --repo books 1 page");
    assert!(output.status.success() && said(&output).contains("/work/books-issue-1"), "{}", said(&output));
}

/// Jobs in the place of the components of the control repo: those are another project's, which the stand-in does not read.
fn own_jobs(folder: &Path, jobs: &str) {
    fs::write(folder.join(".factory/ci.yml"), jobs).unwrap();
    let commit = ["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qam", "Jobs"];
    assert!(Command::new("git").args(commit).current_dir(folder).status().unwrap().success());
}

/// One command clones the application on the host. From there the agent proposes changes, and cannot push to main.
fn the_agent_works_on_it(journey: &Journey) {
    let as_agent = |command: &str| {
        let command = format!("cd && {command}");
        let run = journey.host.run_inside(&["runuser", "-u", "agent", "--", "sh", "-c", &command]).unwrap();
        (run.status.success(), String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned())
    };
    let (worked, said) = as_agent("FACTORY_AGENT=: factory work --repo shop 1 title");
    assert!(worked && said.contains("/work/shop-issue-1: agent/1-title"), "{said}");
    let go = "cd work/shop-issue-1 && git commit -q --allow-empty -m Title &&";
    let (pushed, said) = as_agent(&format!("{go} git push -q origin HEAD:main"));
    assert!(!pushed && said.contains("protected"), "{said}");
    let (pushed, said) =
        as_agent(&format!("{go} git push -q -o merge_request.create -o merge_request.target=main origin HEAD"));
    assert!(pushed, "{said}");
    let all = journey.plane.get("/projects/factory%2Fshop/merge_requests?state=opened").body;
    assert_eq!(all[0]["source_branch"], "agent/1-title", "{all}");
    let (worked, said) = as_agent("factory work --repo books 1");
    assert!(!worked && said.contains("books cannot be cloned"), "{said}");
}

/// In the two private files of each runner on the host, and nowhere else.
fn tokens_are_where_they_belong(journey: &Journey, runs: &[std::process::Output]) {
    for kind in ["trusted", "build", "untrusted"] {
        let file = journey.host.rootfs().join(format!("etc/factory/runner-{kind}-shop-token"));
        let token = fs::read_to_string(&file).unwrap().trim().to_owned();
        assert!(token.starts_with("glrt-"), "{kind}");
        let config = journey.host.rootfs().join(format!("etc/factory/runner-{kind}-shop/config.toml"));
        let found: BTreeSet<_> = find_in_tree(&journey.host.rootfs(), &token).into_iter().collect();
        assert_eq!(found, [file, config].into_iter().collect(), "{kind}");
        assert_eq!(find_in_tree(journey.home.path(), &token), Vec::<std::path::PathBuf>::new(), "{kind}");
        assert!(runs.iter().all(|run| !said(run).contains(&token)), "{kind} was printed");
        let log = journey.host.run_inside(&["journalctl", "--no-pager", "-o", "cat"]).unwrap();
        assert!(!String::from_utf8_lossy(&log.stdout).contains(&token), "{kind} is in the host's journal");
        traced::holds_no_secret(&journey.trace(), [(kind, token.as_str())].into_iter());
    }
}

/// A runner that GitLab never hears from is told, with the last line of its service, and the next run makes a new one in its place. One
/// that is paused is the owner's to resume.
fn a_runner_that_does_not_come_is_told(journey: &Journey) {
    let build = || runners(journey).into_iter().find(|(text, ..)| text.starts_with("trusted-build ")).unwrap().1;
    let first = build();
    journey.plane.put(&format!("/runners/{first}"), &json!({ "paused": true }));
    let run = journey.in_repo(&PUBLISH);
    ends_with(&run, 75);
    assert!(said(&run).contains(&format!("the runner {first} (trusted-build) is paused in GitLab")), "{}", said(&run));
    assert_eq!(journey.plane.delete(&format!("/runners/{first}")).status, 204);
    let program = journey.host.rootfs().join("usr/bin/gitlab-runner");
    let kept = fs::read(&program).unwrap();
    let deaf = "#!/bin/sh\ncase $1 in verify) echo 'Verifying runner... is valid' ;; run) sleep 1; echo 'no way out' && exec sleep 1000 ;; esac\n";
    support::make_program(&program, deaf);
    let run = journey.in_repo(&PUBLISH);
    ends_with(&run, 75);
    let told = "GitLab does not show the build runner of shop online after 60 s; the last line of factory-runner-build-shop.service: no way out";
    assert!(said(&run).contains(told), "{}", said(&run));
    let second = build();
    support::make_program(&program, kept);
    let run = journey.in_repo(&PUBLISH);
    ends_with(&run, 0);
    assert!(said(&run).contains(&format!("replace the runner {second} (trusted-build)")), "{}", said(&run));
    assert_eq!(runners(journey).len(), 3);
}

impl Journey {
    /// Publishes on a terminal.
    fn terminal(&self) -> Pty {
        let repo = self.repo();
        let command = self.command(&["-C", repo.to_str().unwrap(), "app", "publish", "shop"]);
        let mut typed = CommandBuilder::new(command.get_program());
        typed.args(command.get_args());
        typed.env_clear();
        command.get_envs().for_each(|(name, value)| typed.env(name, value.unwrap()));
        typed.env("TERM", "xterm");
        Pty::start(typed, 200)
    }

    /// Publishes, and is killed at this step.
    fn publish(&self, kill_at: Option<&str>) -> std::process::Output {
        let repo = self.repo();
        let mut command = self.command(&[&["-C", repo.to_str().unwrap()], &PUBLISH[..]].concat());
        if let Some(step) = kill_at {
            command.env("FACTORYUP_KILL_AT", step);
        }
        command.output().unwrap()
    }
}
