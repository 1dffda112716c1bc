//! An existing repo under the app contract: nothing of it is overwritten.

use std::fs;

use factoryup::Kind;
use factoryup::app::{ADOPT_BRANCH, AppKind, Made, Request, add};

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
    let refused = add(&request).unwrap_err();
    assert_eq!(refused.kind(), Kind::CannotWrite, "{refused}");

    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("AGENTS.md"), "Ours.\n").unwrap();
    fs::write(folder.join("src/main.c"), "int main(void) { return 0; }\n").unwrap();
    // Programs of its own under the names that ours had.
    fs::create_dir(folder.join("scripts")).unwrap();
    for path in ["scripts/build", "scripts/check", "scripts/deploy", ".gitlab-ci.yml"] {
        fs::write(folder.join(path), "#!/bin/sh\ntouch /its-own-was-called\n").unwrap();
    }
    git(&folder, &["init", "-q", "-b", "trunk"]);
    assert!(add(&request).unwrap_err().to_string().contains("has no commit"));
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "What was there"]);
    fs::write(folder.join("src/main.c"), "int main(void) { return 1; }\n").unwrap();
    let before = git(&folder, &["status", "--porcelain=v2", "--branch"]);

    let added = add(&request).unwrap();
    let Made::Adopted { files, kept } = added.made else { panic!("{added:?}") };
    let factory = ["app.conf", "build", "check", "checks/contract", "checks/secrets", "ci.yml", "deploy"];
    let mut all = vec![".factory/.gitignore".to_owned()];
    all.extend(factory.iter().map(|name| format!(".factory/{name}")));
    all.push("CLAUDE.md".into());
    assert_eq!(files, all);
    assert_eq!(kept, ["AGENTS.md"]);
    assert_eq!(git(&folder, &["status", "--porcelain=v2", "--branch"]), before);
    let changes = git(&folder, &["diff", "--name-status", "trunk", ADOPT_BRANCH]);
    assert_eq!(changes, files.iter().map(|path| format!("A\t{path}\n")).collect::<String>());
    // Nothing of what is added calls a program of the repo.
    let ours =
        ["grep", "-nE", "(^|[^.a-z/])scripts/(build|check|deploy)", ADOPT_BRANCH, "--", ".factory", ":!*/secrets"];
    let found = run(&folder, "git", &ours);
    assert!(found.stdout.is_empty(), "{}", text(&found));
    assert_eq!(git(&path, &["branch", "--list", "factory/app-legacy"]).trim(), "factory/app-legacy");

    let again = add(&request).unwrap();
    assert_eq!((again.made, again.branch_is_new), (Made::AlreadyThere, false));
}

#[test]
fn an_adopted_repo_is_told_what_is_still_missing() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let path = control.path();
    let folder = path.with_file_name("legacy");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("README.md"), "# Legacy\n").unwrap();
    git(&folder, &["init", "-q", "-b", "main"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "What was there"]);
    let mut request = Request::new(&path, &control.factory, "legacy", AppKind::Static);
    request.adopt = Some(folder.clone());
    add(&request).unwrap();
    git(&folder, &["merge", "-q", "--ff-only", ADOPT_BRANCH]);
    assert!(!fs::read_to_string(folder.join("AGENTS.md")).unwrap().contains("public/"));

    let output = run(&folder, ".factory/check", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("run names bin/serve, which is not there"), "{}", text(&output));
    fs::create_dir_all(folder.join("bin")).unwrap();
    fs::create_dir_all(folder.join("public")).unwrap();
    fs::write(folder.join("bin/serve"), "#!/bin/sh\n").unwrap();
    assert!(run(&folder, "chmod", &["755", "bin/serve"]).status.success());
    let output = run(&folder, ".factory/check", &[]);
    assert!(output.status.success(), "{}", text(&output));
}
