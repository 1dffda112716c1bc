//! An existing repo under the app contract: nothing of it is overwritten.

use std::fs;

use factoryup::Kind;
use factoryup::app::{ADOPT_BRANCH, AppKind, Made, Request, Stack, Trial, add};

use crate::control_repo::{ControlRepo, text};
use crate::scaffold::{git, ready, run};

#[test]
fn only_what_is_missing_is_added_and_on_a_branch() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("everything");
    let path = control.path();
    let folder = path.with_file_name("legacy");
    let mut request = Request::new(&path, &control.factory, "legacy", AppKind::Http);
    request.adopt = Some(folder.clone());
    request.trial = false;
    request.wishes.stack = Some(Stack::Node);
    request.wishes.run = Some("node server.js".into());
    let refused = add(&request).unwrap_err();
    assert_eq!(refused.kind(), Kind::CannotWrite, "{refused}");

    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("AGENTS.md"), "Ours.\n").unwrap();
    fs::write(folder.join("package.json"), "{}\n").unwrap();
    // Programs of its own under the names that ours had.
    fs::create_dir(folder.join("scripts")).unwrap();
    for path in ["scripts/build", "scripts/check", "scripts/deploy", ".gitlab-ci.yml"] {
        fs::write(folder.join(path), "#!/bin/sh\ntouch /its-own-was-called\n").unwrap();
    }
    git(&folder, &["init", "-q", "-b", "trunk"]);
    assert!(add(&request).unwrap_err().to_string().contains("has no commit"));
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "What was there"]);
    let before = git(&folder, &["status", "--porcelain=v2", "--branch"]);

    let added = add(&request).unwrap();
    let Made::Adopted { files, kept, trial, .. } = added.made else { panic!("{added:?}") };
    assert_eq!(trial, Trial::NotTried { why: "--no-trial was given".into() });
    let factory =
        ["app.conf", "build", "check", "checks/contract", "checks/secrets", "checks/tests", "ci.yml", "deploy", "run"];
    let mut all = vec![".factory/.gitignore".to_owned()];
    all.extend(factory.iter().map(|name| format!(".factory/{name}")));
    all.push("CLAUDE.md".into());
    assert_eq!(files, all);
    assert_eq!(kept, ["AGENTS.md"]);
    assert_eq!(git(&folder, &["status", "--porcelain=v2", "--branch"]), before);
    let changes = git(&folder, &["diff", "--name-status", "trunk", ADOPT_BRANCH]);
    assert_eq!(changes, format!("A\t{}\n", files.join("\nA\t")));
    // Nothing of what is added calls a program of the repo.
    let ours =
        ["grep", "-nE", "(^|[^.a-z/])scripts/(build|check|deploy)", ADOPT_BRANCH, "--", ".factory", ":!*/secrets"];
    let found = run(&folder, "git", &ours);
    assert!(found.stdout.is_empty(), "{}", text(&found));
    assert_eq!(git(&path, &["branch", "--list", "factory/app-legacy"]).trim(), "factory/app-legacy");

    let again = add(&request).unwrap();
    assert_eq!((again.made, again.branch_is_new), (Made::AlreadyThere, false));
}

/// Each is refused by name, before anything is made.
#[test]
fn what_would_lose_history_or_work_is_refused() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let path = control.path();
    let folder = path.with_file_name("legacy");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("index.html"), "<h1>Legacy</h1>\n").unwrap();
    git(&folder, &["init", "-q", "-b", "trunk"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "One"]);
    git(&folder, &["commit", "-q", "--allow-empty", "-m", "Two"]);
    let refused = |folder: &std::path::Path, why: &str, remedy: &str| {
        let mut request = Request::new(&path, &control.factory, "legacy", None::<AppKind>);
        request.adopt = Some(folder.to_owned());
        let refs = git(folder, &["for-each-ref"]);
        let error = add(&request).unwrap_err();
        assert_eq!(error.kind(), Kind::CannotWrite);
        assert!(error.to_string().contains(why) && error.hints()[0].contains(remedy), "{error} {:?}", error.hints());
        assert_eq!(git(folder, &["for-each-ref"]), refs);
        assert_eq!(git(&path, &["branch", "--list", "factory/*"]), "");
    };
    let shallow = path.with_file_name("shallow");
    let url = format!("file://{}", folder.display());
    git(path.parent().unwrap(), &["clone", "-q", "--depth=1", &url, "shallow"]);
    refused(&shallow, "it is a shallow clone", "git fetch --unshallow");
    git(&folder, &["switch", "-q", "--detach"]);
    refused(&folder, "no branch is checked out", "git switch");
    git(&folder, &["switch", "-q", "trunk"]);
    fs::write(folder.join("notes"), "mine\n").unwrap();
    refused(&folder, "it has uncommitted changes", "git stash");
    fs::remove_file(folder.join("notes")).unwrap();
    fs::write(folder.join("index.html"), "<h1>Changed</h1>\n").unwrap();
    refused(&folder, "it has uncommitted changes", "commit them");
    git(&folder, &["checkout", "-q", "."]);
}
