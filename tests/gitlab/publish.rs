//! `factoryup app publish` against the stand-in, where the test does what the owner and Terraform do: merges, and the module
//! `gitlab-project`. Runners are in `tests/user/day_one/publish.rs`, on a host.

mod agent;
mod planted;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use portable_pty::CommandBuilder;
use serde_json::{Value, json};

use super::contract::is_known;
use super::gitlab_project;
use super::plane::{self, git};
use super::pty::Pty;
use super::runner::{Runner, Script};
use super::situation::Situation;
use super::status::{card, is, parts, steps};
use super::support;

/// What the tests type.
const PUBLISH: [&str; 4] = ["app", "publish", "shop", "--yes"];

/// A control repo that GitLab has, and an application next to it.
fn with_app(kind: &[&str]) -> Option<Situation> {
    Situation::new().map(|situation| adding(situation, kind))
}

fn adding(situation: Situation, kind: &[&str]) -> Situation {
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    situation.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
    situation.run(&[&["app", "add", "shop"], kind].concat(), 0);
    situation.plane.stand_in.clear_log();
    situation
}

fn app(situation: &Situation) -> PathBuf {
    situation.directory().join("shop")
}

/// Runs git in a repo, as its owner.
#[track_caller]
fn own(folder: &Path, args: &[&str]) -> String {
    let done = git(folder, args);
    assert!(done.ok(), "git {args:?}: {}", done.output);
    done.output.trim_end().to_owned()
}

/// Branches and tags with their objects.
fn refs(folder: &Path) -> String {
    own(folder, &["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"])
}

fn at_gitlab(situation: &Situation) -> PathBuf {
    situation.plane.stand_in.repository("factory/shop").unwrap()
}

/// The open merge requests of a project, as source branch and number.
fn open(situation: &Situation, project: &str) -> Vec<(String, u64)> {
    let all = situation.plane.get(&format!("/projects/factory%2F{project}/merge_requests?state=opened")).body;
    let one = |mr: &Value| (mr["source_branch"].as_str().unwrap().to_owned(), mr["iid"].as_u64().unwrap());
    all.as_array().unwrap().iter().map(one).collect()
}

/// Merges the one open merge request of a project, once its pipeline passed.
#[track_caller]
fn merge(situation: &Situation, project: &str) {
    let path = format!("factory/{project}");
    let waiting = open(situation, project);
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    situation.plane.stand_in.finish_pipelines(&path, "success").unwrap();
    let url = format!("/projects/factory%2F{project}/merge_requests/{}/merge", waiting[0].1);
    let merged = situation.plane.put(&url, &json!({}));
    assert_eq!(merged.status, 200, "{}", merged.body);
    situation.plane.stand_in.finish_pipelines(&path, "success").unwrap();
}

/// What `apply:control-plane` does.
fn terraform(situation: &Situation) {
    gitlab_project::apply(&situation.plane, "control", "shop");
}

#[test]
fn an_application_is_there_after_one_merge_and_one_apply() {
    let Some(situation) = with_app(&["--kind", "http"]) else { return };
    let folder = app(&situation);
    own(&folder, &["branch", "side"]);
    own(&folder, &["tag", "-am", "First", "0.1.0"]);
    let (control, before) = (refs(&situation.repo), refs(&folder));
    let status = situation.run(&["app", "publish", "shop"], 64);
    assert!(status.contains("push factory/app-shop and open its merge request"), "{status}");
    assert!(status.contains("next: run this command again with `--yes`"), "{status}");
    assert_eq!(situation.writes(), Vec::<String>::new(), "without a yes");

    let said = situation.run(&PUBLISH, 75);
    assert!(said.contains("shop: waits until you merge !1 of the control repo"), "{said}");
    assert!(said.contains("review and merge it: ") && said.contains("factoryup app publish shop"), "{said}");
    assert_eq!(open(&situation, "control"), [("factory/app-shop".to_owned(), 1)]);
    situation.plane.stand_in.clear_log();
    let elsewhere = folder.to_str().unwrap();
    let said = situation.run(&["app", "publish", "shop", "--path", elsewhere, "--yes"], 75);
    assert!(said.contains(&format!("factoryup app publish shop --path {elsewhere}\n")), "{said}");
    assert_eq!(situation.writes(), Vec::<String>::new());

    merge(&situation, "control");
    let said = situation.run(&PUBLISH, 75);
    assert!(said.contains("waits until you start the job apply:control-plane, which creates the project"), "{said}");
    assert!(said.contains("/-/jobs/"), "{said}");
    assert_eq!(situation.writes(), ["PUT /projects/:id/merge_requests/:merge_request_iid/merge 200"]);

    terraform(&situation);
    own(
        &situation.repo,
        &[
            "fetch",
            "-q",
            "--no-tags",
            &situation.plane.remote("control", &situation.plane.owner_token()),
            "main:refs/remotes/origin/main",
        ],
    );
    let shown = card(&situation, &["status"], 2);
    is(&parts(&shown), "app", "attention", "shop: its project waits for the history");
    assert!(steps(&shown).iter().any(|step| step.ends_with("=> factoryup app publish shop")), "{shown}");
    // A project that is not protected gets no history.
    let protection = "/projects/factory%2Fshop/protected_branches/main";
    assert_eq!(situation.plane.delete(protection).status, 204);
    let said = situation.run(&PUBLISH, 75);
    assert!(said.contains("which protects the project") && said.contains("factoryup upgrade"), "{said}");
    assert_eq!(refs(&at_gitlab(&situation)), "");
    terraform(&situation);
    situation.plane.stand_in.clear_log();
    let shown = card(&situation, &PUBLISH, 0);
    assert_eq!(refs(&at_gitlab(&situation)), before);
    let all = parts(&shown);
    is(&all, "project", "ok", "shop, number ");
    is(&all, "history", "ok", "main is protected");
    is(&all, "address", "ok", "127.0.0.1:8100");
    is(&all, "agent", "ok", "factory-agent is a Developer");
    assert!(steps(&shown).iter().any(|step| step.contains("start-runners.md")), "{shown}");
    situation.plane.stand_in.clear_log();
    situation.run(&PUBLISH, 0);
    assert!(situation.writes().iter().all(|write| write == "POST git 200"), "{:?}", situation.writes());
    is_known(&situation);
    let shown = card(&situation, &["status"], 2);
    is(&parts(&shown), "apps", "ok", "shop");
    assert!(!parts(&shown).contains_key("app"), "{shown}");

    // Neither repo has anything that it did not have.
    assert_eq!((refs(&situation.repo), refs(&folder)), (control, before));
    assert_eq!(own(&situation.repo, &["status", "--porcelain"]), "");
    let log = fs::read_to_string(situation.directory().join("xdg/factoryup/acme/evidence/log.jsonl")).unwrap();
    assert!(log.contains(r#""application":"shop","changes":["push:history","app-member:shop"]"#), "{log}");
}

/// Runs it and kills it at this step, until it ends by itself.
#[track_caller]
fn killed_at_each(situation: &Situation, step: &str, code: i32) -> usize {
    for count in 0..10 {
        let mut command: Command = situation.command(situation.plane.stand_in.owner_token(), &PUBLISH);
        let output = command.env("FACTORYUP_KILL_AT", step).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.code() {
            None => {}
            ended => {
                assert_eq!(ended, Some(code), "{said}");
                return count;
            }
        }
    }
    panic!("{step}: it does not come to its end");
}

#[test]
fn a_run_that_is_cut_after_any_step_is_continued_and_does_nothing_twice() {
    for (step, cuts) in [("publish-push", [1, 3]), ("publish-step", [1, 2])] {
        let Some(situation) = Situation::new() else { return };
        situation.run(&["apply", "--yes", "--no-wait"], 0);
        let folder = app(&situation);
        fs::create_dir(&folder).unwrap();
        own(&folder, &["init", "-q", "-b", "trunk"]);
        fs::write(folder.join("index.html"), "<h1>Shop</h1>\n").unwrap();
        // The components that the generated one includes are in another project, which the stand-in does not read.
        fs::create_dir(folder.join(".factory")).unwrap();
        let job = "check:\n  script: [\"true\"]\n  rules: [{ when: on_success }]\n";
        fs::write(folder.join(".factory/ci.yml"), job).unwrap();
        own(&folder, &["add", "."]);
        own(&folder, &["commit", "-qm", "One"]);
        own(&folder, &["switch", "-qc", "side"]);
        own(&folder, &["commit", "-q", "--allow-empty", "-m", "Aside"]);
        own(&folder, &["switch", "-q", "trunk"]);
        own(&folder, &["commit", "-q", "--allow-empty", "-m", "Two"]);
        own(&folder, &["merge", "-q", "--no-ff", "-m", "Merge side", "side"]);
        own(&folder, &["tag", "-am", "First", "v1.0.0"]);
        own(&folder, &["switch", "-qc", "unmerged", "v1.0.0~1"]);
        own(&folder, &["commit", "-q", "--allow-empty", "-m", "Waits"]);
        own(&folder, &["switch", "-q", "trunk"]);
        // More than what goes at once.
        let more: String = (0..250).fold(String::new(), |text, n| text + &format!("create refs/tags/t{n} HEAD\n"));
        fs::write(situation.directory().join("more"), more).unwrap();
        let feed = format!("git update-ref --stdin <{}", situation.directory().join("more").display());
        assert!(Command::new("sh").args(["-c", &feed]).current_dir(&folder).status().unwrap().success());
        let path = folder.display().to_string();
        situation.run(&["app", "add", "shop", "--adopt", &path, "--no-trial"], 0);
        let adopt = own(&folder, &["rev-parse", "factory/adopt"]);

        assert_eq!(killed_at_each(&situation, step, 75), cuts[0], "{step}");
        assert_eq!(open(&situation, "control"), [("factory/app-shop".to_owned(), 1)]);
        merge(&situation, "control");
        terraform(&situation);
        assert_eq!(killed_at_each(&situation, step, 0), cuts[1], "{step}");
        let shop = at_gitlab(&situation);
        let others = |refs: String| -> Vec<String> {
            refs.lines().filter(|l| !l.ends_with("/trunk") && !l.ends_with("/adopt")).map(str::to_owned).collect()
        };
        let (here, there) = (others(refs(&folder)), others(refs(&shop)));
        assert_eq!((&there, there.len()), (&here, 253));
        // The contract came on top of the history, without another merge.
        assert_eq!(
            own(&shop, &["rev-parse", "trunk", "trunk~1"]),
            adopt + "\n" + &own(&folder, &["rev-parse", "trunk"])
        );
        assert_eq!((open(&situation, "control"), open(&situation, "shop")), (Vec::new(), Vec::new()));
        assert_eq!(own(&shop, &["for-each-ref", "--format=%(refname)", "refs/heads/factory"]), "");
        situation.plane.stand_in.clear_log();
        situation.run(&PUBLISH, 0);
        assert!(situation.writes().iter().all(|write| write == "POST git 200"), "{:?}", situation.writes());
    }
}

/// A branch of the adoption that the default branch went past cannot come with it: it is merged in GitLab.
#[test]
fn an_adoption_that_is_not_on_top_of_the_history_is_a_merge_request() {
    let Some(situation) = Situation::new() else { return };
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let folder = app(&situation);
    fs::create_dir(&folder).unwrap();
    own(&folder, &["init", "-q", "-b", "main"]);
    fs::write(folder.join("index.html"), "<h1>Shop</h1>\n").unwrap();
    own(&folder, &["add", "."]);
    own(&folder, &["commit", "-qm", "One"]);
    let path = folder.display().to_string();
    situation.run(&["app", "add", "shop", "--adopt", &path, "--no-trial"], 0);
    own(&folder, &["commit", "-q", "--allow-empty", "-m", "Two"]);
    situation.run(&PUBLISH, 75);
    merge(&situation, "control");
    terraform(&situation);
    let said = situation.run(&PUBLISH, 75);
    assert!(said.contains("waits until you merge !1 of shop"), "{said}");
    assert_eq!(open(&situation, "shop"), [("factory/adopt".to_owned(), 1)]);
    assert_eq!(own(&at_gitlab(&situation), &["rev-parse", "main"]), own(&folder, &["rev-parse", "main"]));
}

#[test]
fn what_is_not_this_applications_history_is_never_pushed_over() {
    let Some(situation) = with_app(&["--kind", "static"]) else { return };
    let folder = app(&situation);
    situation.run(&PUBLISH, 75);
    merge(&situation, "control");
    terraform(&situation);
    let refused = |code: i32, words: &str| {
        situation.plane.stand_in.clear_log();
        let before = refs(&at_gitlab(&situation));
        let said = situation.run(&PUBLISH, code);
        assert!(said.contains(words), "{said}");
        // Reading refs is a POST as well.
        let writes: Vec<_> = situation.writes().into_iter().filter(|write| write != "POST git 200").collect();
        assert!(writes.is_empty() && refs(&at_gitlab(&situation)) == before, "{words}: {writes:?}");
    };
    // The repo here.
    fs::rename(&folder, folder.with_extension("full")).unwrap();
    refused(73, "it does not exist");
    let url = format!("file://{}", folder.with_extension("full").display());
    own(&folder.with_extension("full"), &["commit", "-q", "--allow-empty", "-m", "Two"]);
    own(situation.directory(), &["clone", "-q", "--depth=1", &url, "shop"]);
    refused(73, "it is a shallow clone");
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(folder.with_extension("full"), &folder).unwrap();
    let elsewhere = situation.run(&["app", "publish", "shop", "--yes", "--path", situation.repo.to_str().unwrap()], 73);
    assert!(elsewhere.contains("it is a control repo"), "{elsewhere}");
    fs::write(folder.join(".gitattributes"), "*.png filter=lfs diff=lfs merge=lfs -text\n").unwrap();
    own(&folder, &["add", "."]);
    own(&folder, &["commit", "-qm", "Pictures"]);
    if which("git-lfs").is_none() {
        refused(73, "git-lfs is not installed");
    }
    own(&folder, &["reset", "-q", "--hard", "HEAD~1"]);

    // The project.
    let foreign = situation.plane.clone("shop", &situation.plane.owner_token());
    foreign.commit("README.md", "# Another\n");
    assert!(foreign.push(&["origin", "HEAD:main"]).ok());
    refused(65, "has another history than");
    let repository = at_gitlab(&situation);
    own(&repository, &["update-ref", "-d", "refs/heads/main"]);
    // Ours, and further: it has to come here first.
    let ahead = situation.directory().join("ahead");
    own(situation.directory(), &["clone", "-q", folder.to_str().unwrap(), "ahead"]);
    own(&ahead, &["commit", "-q", "--allow-empty", "-m", "Elsewhere"]);
    let remote = situation.plane.remote("shop", &situation.plane.owner_token());
    own(&ahead, &["push", "-q", &remote, "main"]);
    refused(75, "has commits that are not in");
    own(&folder, &["fetch", "-q", ahead.to_str().unwrap(), "main"]);
    // Known here, and another than here.
    own(&folder, &["commit", "-q", "--allow-empty", "-m", "Here"]);
    refused(65, "nothing is pushed by force");
    own(&folder, &["reset", "-q", "--hard", "HEAD~1"]);
    own(&folder, &["merge", "-q", "--ff-only", "FETCH_HEAD"]);
    // What a person pushed counts, and its pipeline: the stand-in finds no job in it, as it does not read other projects' components.
    let said = situation.run(&PUBLISH, 2);
    assert!(!said.contains("as they are here") && said.contains("history    pushed"), "{said}");
}

fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").unwrap()).map(|dir| dir.join(program)).find(|path| path.exists())
}

#[test]
fn what_is_not_there_yet_is_named() {
    let Some(situation) = Situation::new() else { return };
    let said = situation.run(&["app", "publish", "Shop", "--yes"], 64);
    assert!(said.contains("cannot be called `Shop`"), "{said}");
    let said = situation.run(&PUBLISH, 75);
    assert!(said.contains("GitLab has no project at") && said.contains("factoryup apply"), "{said}");
    situation.run(&["apply", "--yes", "--no-wait"], 0);
    let said = situation.run(&PUBLISH, 64);
    assert!(said.contains("has no application shop") && said.contains("factoryup app add shop"), "{said}");
    let refused = situation.run_with("glpat-unknown-000000", &PUBLISH);
    assert_eq!(refused.status.code(), Some(77), "{}", plane::expires_in(0));
}

/// On a terminal the owner is shown the plan, and may start the job; with a no, nothing starts.
#[test]
fn the_owner_starts_the_applies_on_a_terminal_and_only_there() {
    let Some(mut situation) = Situation::new() else { return };
    situation.edged();
    let situation = adding(situation, &["--kind", "http"]);
    situation.run(&PUBLISH, 75);
    let script: Arc<Script> = Arc::new(|name: &str| {
        (if name.starts_with("plan:") { "Plan: 1 to add, 0 to change\n".into() } else { "applied\n".into() }, 0)
    });
    let _runners = ["trusted", "untrusted"].map(|name| {
        let token = situation.directory().join(format!("xdg/factoryup/acme/runner-{name}-token"));
        Runner::new(&situation.plane.url(), fs::read_to_string(token).unwrap().trim()).keep_playing(Arc::clone(&script))
    });
    let plays = || situation.writes().into_iter().filter(|write| write.contains("/play")).count();
    let terminal = || {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_factoryup"));
        command.args(["-C", situation.repo.to_str().unwrap(), "app", "publish", "shop"]);
        command.env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("TERM", "xterm");
        command.env("HOME", situation.directory());
        command.env("XDG_STATE_HOME", situation.directory().join("xdg"));
        command.env("FACTORYUP_GITLAB_TOKEN", situation.plane.stand_in.owner_token());
        Pty::start(command, 120)
    };
    // Ctrl-C ends the waiting alone.
    let mut pty = terminal();
    pty.expect("review and merge !1").expect("waiting for GitLab").send("\u{3}");
    let (code, said) = pty.end();
    assert!(code == 75 && said.contains("stopped waiting; GitLab keeps what was made"), "{code} {said}");
    // It waits for the merge, and for the plan.
    let mut pty = terminal();
    pty.expect("review and merge !1, which registers the application");
    merge_as_it_is(&situation);
    pty.expect("Plan: 1 to add").expect("Start the job apply:control-plane of pipeline").send("n");
    let (code, said) = pty.end();
    assert_eq!((code, plays()), (75, 0), "{said}");
    assert!(situation.run(&PUBLISH, 75).contains("waits until you start the job"));
    assert_eq!(plays(), 0, "--yes starts nothing");
    let mut pty = terminal();
    pty.expect("Start the job apply:control-plane of pipeline").send("y");
    let (code, said) = pty.end();
    assert_eq!((code, plays()), (75, 1), "{said}");
    // The script applied nothing.
    assert!(said.contains("passed, and GitLab does not show it"), "{said}");
    terraform(&situation);
    let mut pty = terminal();
    pty.expect("push 1 branch, as they are here").expect("Apply these 2 changes to").send("y");
    pty.expect("Start the job apply:staging of pipeline").send("y");
    pty.expect("Start the job apply:production of pipeline").send("n");
    let (code, said) = pty.end();
    assert!(code == 0 && said.contains("All of shop is there."), "{code} {said}");
    assert!(said.contains("start apply:production, for its address") && plays() == 2, "{said}");
    is_known(&situation);
}

/// Merges the one open merge request of the control repo; its jobs are left to runners.
fn merge_as_it_is(situation: &Situation) {
    let waiting = open(situation, "control");
    support::wait_until("its pipeline", || {
        let url = format!("/projects/factory%2Fcontrol/merge_requests/{}/merge", waiting[0].1);
        situation.plane.stand_in.finish_pipelines("factory/control", "success").unwrap();
        situation.plane.put(&url, &json!({})).status == 200
    });
}
