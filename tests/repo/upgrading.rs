//! `factoryup upgrade` and `factoryup resolve`, as the user runs them.

use std::fs;

use serde_json::Value;

use crate::plane::Plane;
use crate::support::need;
use crate::world::World;

const FILE: &str = "docs/glossary.md";

/// A control repo whose glossary was rendered by older templates, without their last line and with another title.
fn situation() -> World {
    let world = World::new();
    world.apply("repo");
    let now = world.read(FILE);
    let older = now.lines().skip(1).fold("# Words\n".to_owned(), |text, line| format!("{text}{line}\n"));
    world.older("repo", FILE, &older);
    world
}

impl World {
    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path("repo").join(path)).unwrap()
    }

    /// The user's own commit.
    fn edit(&self, path: &str, text: &str) {
        fs::write(self.path("repo").join(path), text).unwrap();
        self.git("repo", &["add", "-A"]);
        self.git("repo", &["commit", "-qm", "mine"]);
    }

    /// Everything that an upgrade must leave alone.
    fn untouched(&self) -> (String, String, Vec<u8>) {
        (
            self.git("repo", &["rev-parse", "HEAD", "main"]),
            self.git("repo", &["status", "--porcelain", "--branch", "--ignored"]),
            fs::read(self.path("repo/.git/index")).unwrap(),
        )
    }

    fn branch(&self) -> String {
        self.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"])
    }
}

fn events(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_upgrade_is_one_commit_beside_the_users_own() {
    if !need("git") {
        return;
    }
    let world = situation();
    let edited = format!("{}\nMy own word.\n", world.read(FILE));
    world.edit(FILE, &edited);
    fs::write(world.path("repo/scratch"), "dirty").unwrap();
    let before = world.untouched();

    let (code, out, err) = world.factoryup("repo", &["upgrade", "--dry-run", "--diff"]);
    assert_eq!(code, 2, "{err}");
    assert!(out.contains("- # Words") && out.contains("merged with your changes"), "{out}");
    assert!(world.branch().is_empty());
    let (code, out, _) = world.factoryup("repo", &["upgrade", "--dry-run", "--json"]);
    assert_eq!(code, 2);
    let report = events(&out).into_iter().find(|event| event["event"] == "upgrade").unwrap();
    assert_eq!(report["report"]["from"], "0.9.0");
    assert_eq!(report["report"]["findings"][0]["path"], FILE);
    assert_eq!(report["report"]["findings"][0]["what"], "merged");

    let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(world.untouched(), before);
    let branch = world.branch();
    assert!(branch.starts_with("factory/upgrade-"), "{branch}");
    assert_eq!(world.git("repo", &["rev-list", "--count", &format!("main..{branch}")]), "1");
    let merged = world.git("repo", &["show", &format!("{branch}:{FILE}")]);
    assert!(merged.ends_with("My own word.") && !merged.contains("# Words"));

    // It waits; then it is merged, and nothing is left to do; then it is reverted, and is to be done again.
    let (code, out, _) = world.factoryup("repo", &["upgrade", "--dry-run"]);
    assert!(code == 2 && out.contains(&format!("git merge {branch}")), "{out}");
    world.git("repo", &["merge", "-q", "--ff-only", &branch]);
    assert_eq!(world.factoryup("repo", &["upgrade", "--dry-run"]).0, 0);
    world.git("repo", &["revert", "--no-edit", "HEAD"]);
    assert_eq!(world.read(FILE), edited);
    assert_eq!(world.factoryup("repo", &["upgrade", "--dry-run"]).0, 2);
}

/// What is shown as text, as a diff and to machines is one plan, and the commit is that plan.
#[test]
fn a_dry_run_shows_what_will_be_committed() {
    if !need("git") {
        return;
    }
    let world = situation();
    // Edited, deleted, in conflict; and new answers, for which other files come and go.
    world.edit(FILE, &format!("{}\nMy own word.\n", world.read(FILE)));
    let now = world.read("docs/evidence.md");
    world.older("repo", "docs/evidence.md", &now.replacen("# ", "# Older ", 1));
    world.edit("docs/evidence.md", &now.replacen("# ", "# My ", 1));
    fs::remove_file(world.path("repo/docs/secrets.md")).unwrap();
    let answers = world.read("factory.toml").replace("roadrunners", "coyotes");
    world.edit("factory.toml", &format!("{answers}\n[agent]\nkind = \"codex\"\n"));

    let (code, json, _) = world.factoryup("repo", &["upgrade", "--dry-run", "--json"]);
    assert_eq!(code, 2);
    let plan = events(&json).into_iter().find(|event| event["event"] == "plan").unwrap()["plan"].clone();
    let changes: Vec<&Value> = plan["changes"].as_array().unwrap().iter().collect();
    let path = |change: &&Value| change["id"].as_str().unwrap().strip_prefix("file:").map(str::to_owned);
    let mut planned: Vec<String> = changes.iter().filter_map(path).collect();
    let (_, text, _) = world.factoryup("repo", &["upgrade", "--dry-run"]);
    let (_, diff, _) = world.factoryup("repo", &["upgrade", "--dry-run", "--diff"]);
    for change in &changes {
        let said = change["summary"].as_str().unwrap();
        assert!(diff.contains(said) && (text.contains(said) || said.starts_with("create ")), "{said}: {text}");
    }
    for note in plan["notes"].as_array().unwrap() {
        assert!(text.contains(note.as_str().unwrap()) && diff.contains(note.as_str().unwrap()), "{note}");
    }
    assert!(text.contains("docs/evidence.md: conflict:") && diff.contains("+ # Glossary"), "{text}");
    assert!(world.branch().is_empty());

    assert_eq!(world.factoryup("repo", &["upgrade", "--yes", "--no-push"]).0, 2);
    let branch = world.branch();
    let listed = world.git("repo", &["diff", "--name-only", "--no-renames", "HEAD", &branch]);
    let own = |path: &&str| !path.starts_with(".factory/") || path.starts_with(".factory/conflicts/");
    let committed: Vec<&str> = listed.lines().filter(own).collect();
    planned.sort();
    assert_eq!(planned, committed);
    assert!(committed.len() > 8, "{committed:?}");
    for change in changes.iter().filter(|change| change["diff"]["after"].is_string()) {
        let made = world.git("repo", &["show", &format!("{branch}:{}", path(change).unwrap())]);
        let after = change["diff"]["after"].as_str().unwrap();
        assert!(after.trim_end() == made.trim_end() || after.starts_with("link to "), "{}", change["id"]);
    }
}

#[test]
fn conflicts_are_named_kept_and_settled() {
    if !need("git") {
        return;
    }
    for (choice, wanted) in [("--mine", "# My words"), ("--proposal", "# Glossary"), ("--edit", "# Both")] {
        let mut world = situation();
        let mine = world.read(FILE).replacen("# Words", "# My words", 1);
        world.edit(FILE, &mine);
        let (code, out, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push", "--json"]);
        assert_eq!(code, 2, "{err}");
        let report = events(&out).into_iter().find(|event| event["event"] == "upgrade").unwrap();
        assert_eq!(report["report"]["findings"][0]["what"], "conflict");
        world.git("repo", &["merge", "-q", "--ff-only", &world.branch()]);
        assert_eq!(world.read(FILE), mine);
        for name in world.git("repo", &["ls-files"]).lines() {
            let text = fs::read(world.path("repo").join(name)).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&text).contains("<<<<<<<"), "{name}");
        }

        // Again: it waits still, and nothing new is made.
        assert_eq!(world.factoryup("repo", &["upgrade", "--yes", "--no-push"]).0, 2);
        let (code, out, _) = world.factoryup("repo", &["resolve"]);
        assert_eq!((code, out.as_str()), (2, "docs/glossary.md\n"));
        let (_, out, _) = world.factoryup("repo", &["resolve", "--show"]);
        assert!(out.contains("<<<<<<< yours\n# My words\n||||||| before\n# Words\n=======\n# "), "{out}");

        // Not over what is not committed.
        fs::write(world.path("repo").join(FILE), "dirty").unwrap();
        let (code, _, err) = world.factoryup("repo", &["resolve", FILE, choice]);
        assert!(code == 64 && err.contains("uncommitted"), "{err}");
        world.git("repo", &["checkout", "-q", FILE]);

        // An editor that leaves the markers in settles nothing.
        world.env("EDITOR", "true");
        if choice == "--edit" {
            let (code, _, err) = world.factoryup("repo", &["resolve", "--edit"]);
            assert!(code == 64 && err.contains("still has conflict markers"), "{err}");
            assert_eq!(world.read(FILE), mine);
        }
        world.env("EDITOR", "sed -i -e '/^<<<<<<</,/^>>>>>>>/d' -e '$a # Both'");
        let (code, _, err) = world.factoryup("repo", &["resolve", FILE, choice]);
        assert_eq!(code, 0, "{err}");
        let status = world.git("repo", &["status", "--porcelain"]);
        assert!(status.lines().all(|line| line.as_bytes()[1] == b' '), "{status}");
        world.git("repo", &["commit", "-qm", "settled"]);
        let text = world.read(FILE);
        assert!(text.contains(wanted), "{text}");
        assert!(!world.path("repo/.factory/conflicts").exists());
        assert_eq!(world.factoryup("repo", &["upgrade", "--dry-run"]).0, 0);
        assert_eq!(world.factoryup("repo", &["resolve"]).0, 0);
        let (code, out, _) = world.factoryup("repo", &["doctor", "repo"]);
        assert_eq!(code, 0, "{out}");
    }
}

#[test]
fn it_is_pushed_with_a_merge_request_that_is_a_draft_while_conflicts_wait() {
    let Some(plane) = Plane::start() else { return };
    for (path, conflict) in [("plain", false), ("conflict", true)] {
        let project = plane.project(path);
        let mut world = World::new();
        let answers = format!("url = \"{}\"\ngroup = \"factory\"\nproject = \"{path}\"", plane.url());
        world.answer("group = \"acme\"", &answers);
        world.apply("repo");
        let now = world.read(FILE);
        world.older("repo", FILE, &now.replacen("# ", "# Words: ", 1));
        if conflict {
            world.edit(FILE, &now.replacen("# ", "# My words: ", 1));
        }
        world.git("repo", &["push", "-q", &plane.remote(path, &plane.owner_token()), "main"]);
        world.git("repo", &["remote", "add", "origin", &format!("{}/factory/{path}.git", plane.url())]);

        let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes"]);
        assert!(code == 64 && err.contains("no GitLab token for") && err.contains("nothing was changed"), "{err}");
        assert_eq!(world.branch(), "");
        // A branch that is there already only misses its push.
        if conflict {
            assert_eq!(world.factoryup("repo", &["upgrade", "--yes", "--no-push"]).0, 2);
            let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes"]);
            let there = format!("run the command again to push the branch {}", world.branch());
            assert!(code == 64 && err.contains(&there) && !err.contains("nothing was changed"), "{err}");
        }
        world.env("FACTORYUP_GITLAB_TOKEN", &plane.owner_token());
        for _ in 0..2 {
            let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes"]);
            assert_eq!(code, if conflict { 2 } else { 0 }, "{err}");
            assert!(err.contains("with its merge request"), "{err}");
        }
        // The owner's own `git push` goes there, after a conflict was resolved.
        let upstream =
            world.git("repo", &["for-each-ref", "--format=%(upstream)", &format!("refs/heads/{}", world.branch())]);
        assert_eq!(upstream.trim(), format!("refs/remotes/origin/{}", world.branch()));
        let requests = plane.get(&format!("/projects/{project}/merge_requests")).body;
        let requests = requests.as_array().unwrap();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0]["source_branch"], world.branch());
        assert_eq!(
            requests[0]["title"].as_str().unwrap().starts_with("Draft: Upgrade the templates from 0.9.0"),
            conflict
        );
        let said = requests[0]["description"].as_str().unwrap();
        assert_eq!(
            said.contains("\n- `docs/glossary.md`: conflict: you and the templates changed the same lines"),
            conflict
        );
    }
}

#[test]
fn where_there_is_nothing_to_upgrade_it_says_so() {
    if !need("git") {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("repo")).unwrap();
    let (code, _, err) = world.factoryup("repo", &["upgrade"]);
    assert!(code == 64 && err.contains("factoryup init"), "{err}");
    fs::copy(world.path("factory.toml"), world.path("repo/factory.toml")).unwrap();
    let (code, _, err) = world.factoryup("repo", &["upgrade"]);
    assert!(code == 64 && err.contains("no control repo yet"), "{err}");
    world.apply("repo");
    assert_eq!(world.factoryup("repo", &["upgrade", "--yes"]).0, 0);
    assert!(world.branch().is_empty());
}

/// The command that is said between backticks after `intro`, split at its `&&`.
fn told(said: &str, intro: &str) -> Vec<String> {
    let rest = said.split_once(intro).unwrap_or_else(|| panic!("{intro} is not in: {said}")).1;
    rest.split('`').nth(1).unwrap().split(" && ").map(str::to_owned).collect()
}

impl World {
    fn typed(&self, commands: &[String]) {
        for command in commands {
            let words: Vec<&str> = command.split(' ').collect();
            assert_eq!(words[0], "git", "{command}");
            self.git("repo", &words[1..]);
        }
    }
}

/// git merges and checks out nothing over an edit that is not committed; what is said brings the branch in all the same.
#[test]
fn an_uncommitted_edit_of_the_answers_is_no_obstacle_for_who_types_what_is_said() {
    if !need("git") {
        return;
    }
    for (staged, conflict) in [(false, false), (true, false), (false, true)] {
        let world = situation();
        if conflict {
            world.edit(FILE, &world.read(FILE).replacen("# Words", "# My words", 1));
        }
        let answers = world.read("factory.toml").replace("roadrunners", "coyotes");
        fs::write(world.path("repo/factory.toml"), &answers).unwrap();
        if staged {
            world.git("repo", &["add", "factory.toml"]);
        }
        let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
        assert_eq!(code, if conflict { 2 } else { 0 }, "{err}");
        assert_eq!(world.read("factory.toml"), answers);
        let typed = told(&err, if conflict { "Check out the branch with " } else { "Merge it with " });
        assert_eq!(typed.len(), 2, "{typed:?}");
        world.typed(&typed);
        assert_eq!(world.read("factory.toml"), answers);
        assert_eq!(world.git("repo", &["status", "--porcelain"]), "");
        assert_eq!(world.git("repo", &["rev-parse", "HEAD"]), world.git("repo", &["rev-parse", &world.branch()]));
        if conflict {
            let (code, _, err) = world.factoryup("repo", &["resolve"]);
            assert!(code == 2 && err.contains("1 conflict is left.") && err.contains("next: then choose one"), "{err}");
            assert_eq!(world.factoryup("repo", &["resolve", FILE, "--mine"]).0, 0);
        }
    }
    // Where nothing is in the way, nothing is to be taken back.
    let world = situation();
    let (_, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
    assert!(!err.contains("restore"), "{err}");
    world.typed(&told(&err, "Merge it with "));
    assert_eq!(world.factoryup("repo", &["upgrade", "--dry-run"]).0, 0);
}

/// Without a terminal and without a yes, the commands that are named are those of an upgrade, and they work.
#[test]
fn an_upgrade_that_waits_for_a_yes_names_itself() {
    if !need("git") {
        return;
    }
    for (flags, show) in [
        (&[][..], "upgrade --dry-run --diff"),
        (&["--no-push"], "upgrade --dry-run --diff"),
        (&["--in-place"], "upgrade --in-place --dry-run --diff"),
    ] {
        let world = situation();
        let typed = [&["upgrade"], flags].concat();
        let (code, _, err) = world.factoryup("repo", &typed);
        let wanted = format!("review the plan with `factoryup {show}`, then run this command again with `--yes`");
        assert!(code == 64 && err.contains(&wanted), "{err}");
        let words = |line: &'static str| line.split(' ').collect::<Vec<_>>();
        let (code, out, _) = world.factoryup("repo", &words(show));
        assert!(code == 2 && out.contains("- # Words"), "{out}");
        if flags.is_empty() {
            continue;
        }
        let (code, _, err) = world.factoryup("repo", &[&typed[..], &["--yes"]].concat());
        assert_eq!(code, 0, "{err}");
        if flags == ["--in-place"] {
            world.typed(&told(&err, "Review them with "));
            assert!(err.contains("with `git commit`"), "{err}");
            world.git("repo", &["commit", "-qm", "upgrade"]);
            assert_eq!(world.factoryup("repo", &["upgrade", "--dry-run"]).0, 0);
        }
    }
}
