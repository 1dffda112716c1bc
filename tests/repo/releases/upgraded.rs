//! A user's control repo of each released version, with edits of the user's own, brought to today's templates by the real program.

use std::collections::BTreeMap;
use std::fs;

use factoryup::factory;
use factoryup::templating::render::render;
use factoryup::templating::tree::{Mode, RenderedFile};
use serde_json::Value;

use super::{branches, thaw, versions};
use crate::control_repo::rendered;
use crate::support::need;
use crate::world::World;

const MINE: &str = "\n## Mine\n\nMy own words.\n";

/// A control repo as that version made it, on the branch that its answers name.
pub(super) fn released(version: &str, answers: &str) -> World {
    let world = World::new();
    thaw(version, answers, &world.path("repo"));
    let factory = factory::read(&world.path("repo/factory.toml")).unwrap();
    world.git("repo", &["branch", "-m", &factory.gitlab.default_branch]);
    world.git("repo", &["remote", "remove", "origin"]);
    world
}

impl World {
    pub(super) fn holds(&self, path: &str) -> String {
        fs::read_to_string(self.path("repo").join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub(super) fn put(&self, path: &str, text: &str) {
        let path = self.path("repo").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(super) fn commit(&self) {
        self.git("repo", &["add", "-A"]);
        self.git("repo", &["commit", "-qm", "mine"]);
    }

    /// Everything that an upgrade must leave alone.
    pub(super) fn still(&self) -> (String, String) {
        (
            self.git("repo", &["rev-parse", "HEAD"]),
            self.git("repo", &["status", "--porcelain", "--branch", "--ignored"]),
        )
    }

    pub(super) fn proposed(&self) -> String {
        self.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"])
    }

    /// Upgrades, merges what was proposed, and returns what was said of it to machines.
    pub(super) fn upgrade(&self, more: &[&str]) -> Value {
        let before = self.still();
        let (code, out, err) = self.factoryup("repo", &[&["upgrade", "--yes", "--no-push", "--json"], more].concat());
        assert!(code == 0 || code == 2, "{out}{err}");
        assert_eq!(self.still(), before);
        let event = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let report = out.lines().map(event).find(|event| event["event"] == "upgrade").unwrap();
        assert_eq!(code == 2, report["report"]["findings"].to_string().contains("\"conflict\""), "{report}");
        self.git("repo", &["merge", "-q", "--ff-only", &self.proposed()]);
        report["report"].clone()
    }

    /// Nothing is left to do, and all is sound.
    pub(super) fn settled(&self) {
        let (code, out, err) = self.factoryup("repo", &["upgrade", "--dry-run"]);
        assert_eq!(code, 0, "{out}{err}");
        let (code, out, err) = self.factoryup("repo", &["doctor", "repo"]);
        assert!(code == 0 && !out.contains("(not checked: the "), "{out}{err}");
    }
}

fn bytes(world: &World, file: &RenderedFile) -> Option<Vec<u8>> {
    let path = world.path("repo").join(&file.path);
    match file.mode {
        Mode::Link => fs::read_link(path).ok().map(|to| to.into_os_string().into_encoded_bytes()),
        _ => fs::read(path).ok(),
    }
}

/// From every release, with every set of answers, and an edit of the user's own in every shared document: the result is a fresh render
/// of today with the edits in it. Where today's templates changed the very place of an edit, the edit is what stays.
#[test]
fn every_release_comes_to_today() {
    if !need("git") {
        return;
    }
    let today = rendered("defaults").version;
    let earlier = versions().into_iter().filter(|version| *version != today);
    for (version, answers) in earlier.flat_map(|v| branches(&v).into_iter().map(move |answers| (v.clone(), answers))) {
        comes_to_today(&version, &answers);
    }
}

const GONE: &str = "docs/glossary.md";

fn comes_to_today(version: &str, answers: &str) {
    let told = format!("{version}: {answers}");
    let world = released(version, answers);
    let manifest: toml::Table = world.holds(".factory/manifest.toml").parse().unwrap();
    let (mut edited, mut seeded) = (Vec::new(), BTreeMap::new());
    for record in manifest["file"].as_array().unwrap() {
        let of = |key: &str| record[key].as_str().unwrap().to_owned();
        if of("class") == "seeded" {
            seeded.insert(of("id"), world.holds(&of("path")));
        }
        let document = of("path").rsplit('.').next() == Some("md") && of("kind") == "text";
        if of("class") == "merge" && document && of("path") != GONE {
            world.put(&of("path"), &format!("{}{MINE}", world.holds(&of("path"))));
            edited.push(of("id"));
        }
    }
    world.put("docs/mine.md", MINE);
    fs::remove_file(world.path("repo").join(GONE)).unwrap();
    world.put("factory.toml", &format!("# mine\n{}\n# the end\n", world.holds("factory.toml").trim_end()));
    world.commit();

    let (code, out, err) = world.factoryup("repo", &["upgrade", "--dry-run"]);
    assert_eq!(code, 2, "{told}: {out}{err}");
    let report = world.upgrade(&[]);
    assert_eq!(report["from"], version);
    let findings = report["findings"].as_array().unwrap();
    let conflicts: Vec<&Value> = findings.iter().filter(|finding| finding["what"] == "conflict").collect();
    // Every runbook of 1.0.0 was written anew in 1.1.0, so an edit of one waits as a conflict.
    let rewritten = |conflict: &&&Value| conflict["path"].as_str().unwrap().starts_with("docs/runbooks/");
    let others = conflicts.iter().filter(|conflict| !rewritten(conflict)).count();
    assert!(others < edited.len() / 3, "{told}: {conflicts:?}");
    for (settled, conflict) in conflicts.iter().enumerate() {
        let path = conflict["path"].as_str().unwrap();
        assert!(world.holds(path).ends_with(MINE), "{told}: {path}");
        let (code, _, err) = world.factoryup("repo", &["resolve", path, "--proposal"]);
        // Exit code 2 while others are left.
        assert_eq!(code, if settled + 1 == conflicts.len() { 0 } else { 2 }, "{told}: {path}: {err}");
        edited.retain(|id| conflict["id"] != *id);
        world.commit();
    }

    // Runbooks that others took in stay, edited, as the owner's; this one's conflict had the id of today.
    let taken_in = ["expired-credentials", "gitlab-outage", "leaked-secret", "runaway-agent"];
    edited.retain(|id| !taken_in.iter().chain(&["template-upgrade"]).any(|name| *id == format!("runbook-{name}")));
    let mut yours: Vec<String> = taken_in.iter().map(|name| format!("docs/runbooks/{name}.md")).collect();
    yours.insert(0, "docs/mine.md".into());
    yours.push("factory.toml".into());

    let fresh = render(&factory::read(&world.path("repo/factory.toml")).unwrap()).unwrap().files;
    let mut kept = 0;
    for file in &fresh {
        let (now, path) = (bytes(&world, file), file.path.as_str());
        // A migration may have given an edited file another id, so edits are counted and not looked up.
        let mine = now.as_deref().and_then(|bytes| bytes.strip_suffix(MINE.as_bytes()));
        kept += usize::from(mine.is_some());
        match (path, seeded.get(&file.id)) {
            (GONE, _) => assert_eq!(now, None, "{told}"),
            (_, Some(was)) => assert!(now.as_deref() == Some(was.as_bytes()), "{told}: {path} is not as it was"),
            _ => {
                let (now, wanted) = (mine.or(now.as_deref()), file.bytes.as_slice());
                assert!(now == Some(wanted), "{told}: {path} is not as it would be made today");
            }
        }
    }
    assert_eq!(kept, edited.len(), "{told}");
    let made = |path: &str| fresh.iter().any(|file| file.path == path) || path.starts_with(".factory/");
    let files = world.git("repo", &["ls-files"]);
    let others: Vec<&str> = files.lines().filter(|path| !made(path)).collect();
    assert_eq!(others, yours, "{told}");
    let text = world.holds("factory.toml");
    assert!(text.starts_with("# mine\n") && text.ends_with("# the end\n"), "{told}: {text}");
    assert!(text.contains(&format!("schema = {}", factory::SCHEMA)), "{told}: {text}");
    world.settled();
}
