//! The first push of an adopted repo, by the commands of `docs/app-contract.md`: commits, branches and tags arrive as they are.

use std::fs;
use std::path::Path;

use factoryup::app::{ADOPT_BRANCH, AppKind, Request, add};
use serde_json::Value;

use crate::control_repo::{ControlRepo, passed};
use crate::scaffold::{git, ready, run};

/// The commands below these words, with the project's address replaced.
fn commands(page: &str, after: &str, remote: &Path) -> String {
    let (_, rest) = page.split_once(after).unwrap_or_else(|| panic!("no {after} in {page}"));
    let block = rest.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let words = block
        .split_whitespace()
        .map(|word| if word.starts_with("https://") { remote.display().to_string() } else { word.to_owned() });
    // Line by line, as they are typed.
    let lines = block.lines().map(str::trim).filter(|line| !line.is_empty()).count();
    assert_eq!(words.clone().filter(|word| word == "git").count(), lines, "{block}");
    words.collect::<Vec<_>>().join(" ").replace(" git ", "\ngit ")
}

#[test]
fn the_first_push_keeps_every_commit_and_tag() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let path = control.path();
    let folder = path.with_file_name("legacy");
    fs::create_dir(&folder).unwrap();
    git(&folder, &["init", "-q", "-b", "trunk"]);
    fs::write(folder.join("index.html"), "<h1>One</h1>\n").unwrap();
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "One", "--date=2012-03-04T05:06:07Z"]);
    git(&folder, &["tag", "1.x"]);
    git(&folder, &["switch", "-qc", "side"]);
    git(&folder, &["commit", "-q", "--allow-empty", "-m", "Aside"]);
    git(&folder, &["switch", "-q", "trunk"]);
    git(&folder, &["commit", "-q", "--allow-empty", "-m", "Two"]);
    git(&folder, &["merge", "-q", "--no-ff", "-m", "Merge side", "side"]);
    git(&folder, &["tag", "-am", "First", "v1.0.0"]);
    git(&folder, &["switch", "-qc", "unmerged", "v1.0.0~1"]);
    git(&folder, &["commit", "-q", "--allow-empty", "-m", "Waits"]);
    git(&folder, &["switch", "-q", "trunk"]);
    let all = |folder: &Path| {
        let refs = git(folder, &["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"]);
        (git(folder, &["rev-list", "--all"]), refs)
    };
    let before = all(&folder);

    let mut request = Request::new(&path, &control.factory, "shop", None::<AppKind>);
    request.adopt = Some(folder.clone());
    request.trial = false;
    assert_eq!(add(&request).unwrap().default_branch, "trunk");
    let entry: Value = serde_json::from_str(&git(&path, &["show", "factory/app-shop:infra/apps/shop.json"])).unwrap();
    assert_eq!((&entry["default_branch"], &entry["first_push"]), (&Value::from("trunk"), &Value::from(true)));

    let remote = path.with_file_name("shop.git");
    git(&path, &["init", "-q", "--bare", remote.to_str().unwrap()]);
    git(&remote, &["config", "receive.advertisePushOptions", "true"]);
    let page = control.read("docs/app-contract.md");
    let push = commands(&page, "push its history as it is", &remote);
    assert!(push.starts_with("git remote add gitlab "), "{push}");
    passed(&run(&folder, "sh", &["-euc", &push]));
    assert_eq!(all(&remote), before);

    let propose = commands(&page, "open its first merge request", &remote);
    passed(&run(&folder, "sh", &["-euc", &propose]));
    let count = git(&remote, &["rev-list", "--count", &format!("trunk..{ADOPT_BRANCH}")]);
    assert_eq!(count.trim(), "1");
    let changed = git(&remote, &["diff", "--name-status", "trunk", ADOPT_BRANCH]);
    assert!(
        changed
            .lines()
            .all(|line| line.starts_with("A\t.factory/") || line == "A\tAGENTS.md" || line == "A\tCLAUDE.md"),
        "{changed}"
    );

    // The project is protected once the line is gone, and the data is sound with and without it.
    git(&path, &["merge", "-q", "--ff-only", "factory/app-shop"]);
    passed(&control.run(&["scripts/check", "data"]));
    control.edit("infra/apps/shop.json", "  \"first_push\": true,\n", "");
    passed(&control.run(&["scripts/check", "data"]));
}
