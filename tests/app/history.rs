//! The entry of an adopted repo, which waits for its history. That the history arrives as it is, `tests/gitlab/publish.rs` shows.

use std::fs;

use factoryup::app::{AppKind, Request, add};
use serde_json::Value;

use crate::control_repo::{ControlRepo, passed};
use crate::scaffold::{git, ready};

#[test]
fn the_entry_is_sound_and_names_the_branch() {
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
    git(&folder, &["commit", "-qm", "One"]);

    let mut request = Request::new(&path, &control.factory, "shop", None::<AppKind>);
    request.adopt = Some(folder.clone());
    request.trial = false;
    assert_eq!(add(&request).unwrap().default_branch, "trunk");
    let entry: Value = serde_json::from_str(&git(&path, &["show", "factory/app-shop:infra/apps/shop.json"])).unwrap();
    assert_eq!(entry["default_branch"], Value::from("trunk"));
    git(&path, &["merge", "-q", "--ff-only", "factory/app-shop"]);
    passed(&control.run(&["scripts/check", "data"]));
}
