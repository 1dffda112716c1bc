//! From 1.0.0 on: a file renamed under another id, one dropped, a key renamed, a question.

use serde_json::Value;
use std::fs;
use std::process::Command;

use super::upgraded::released;
use crate::pty::Pty;
use crate::support::{available, need};
use crate::world::World;

const OLD: &str = "docs/runbooks/template-upgrade.md";
const NEW: &str = "docs/procedures/upgrade-templates.md";
/// A runbook that became a procedure.
const WAS: &str = "docs/runbooks/decommission.md";
const IS: &str = "docs/procedures/decommission.md";

fn situation() -> World {
    let world = released("1.0.0", "corporate");
    let text = world.holds("factory.toml").replace("executor = ", "# theirs\nexecutor   = ");
    world.put("factory.toml", &text);
    world.commit();
    world
}

/// Without the files that are the owner's since they were created, and that newer templates would make another way.
fn findings(all: &Value) -> String {
    let others = all.as_array().unwrap().iter().filter(|finding| finding["what"] != "yours");
    Value::from(others.cloned().collect::<Vec<_>>()).to_string()
}

#[test]
fn a_renamed_file_is_followed_a_dropped_one_goes_and_a_key_gets_its_new_name() {
    if !need("git") {
        return;
    }
    let world = situation();
    let report = world.upgrade(&["--timezone", "Europe/Vienna"]);
    assert_eq!(findings(&report["findings"]), "[]");
    assert_eq!(report["answers"][0]["key"], "factory.timezone");
    assert_eq!(report["answers"][0]["value"], "\"Europe/Vienna\"");
    assert_eq!(report["answers"][0]["is_default"], false);
    assert!([IS, NEW].iter().all(|path| world.holds(path).contains("## You need")));
    assert!([WAS, OLD, ".ignore"].iter().all(|gone| !world.path("repo").join(gone).exists()));
    let text = world.holds("factory.toml");
    assert!(text.contains("[runner]\n# theirs\nkind   = \"shared\"\n"), "{text}");
    let zone = "# Time zone of the owner (IANA name).\ntimezone = \"Europe/Vienna\"\n[host]";
    assert!(text.contains(zone), "{text}");
    assert!(world.holds("infra/control-plane/main.tf").contains("cron_timezone  = \"Europe/Vienna\""));
    let manifest = world.holds(".factory/manifest.toml");
    for id in ["runner-kind", "runbook-upgrade-templates"] {
        assert!(manifest.contains(&format!("[[migration]]\nid = \"{id}\"\nversion = \"1.1.0\"")), "{manifest}");
    }
    let now = crate::control_repo::rendered("defaults").version;
    assert!(manifest.contains(&format!("[[tombstone]]\nid = \"ignore\"\npath = \".ignore\"\nremoved_in = \"{now}\"")));
    let message = world.git("repo", &["log", "-1", "--format=%B"]);
    for said in ["- new in factory.toml: factory.timezone = \"Europe/Vienna\" (", "- migration runner-kind: "] {
        assert!(message.contains(said), "{message}");
    }
    world.settled();
    // The repo's own checks of what the upgrade moved and merged: links, names, the form of runbooks and skills.
    if available(&["jq", "yamllint"]) {
        let mut check = Command::new("scripts/check");
        let output = check.args(["docs", "runbooks", "skills"]).current_dir(world.path("repo")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn a_dropped_file_that_was_edited_stays_and_is_the_users() {
    if !need("git") {
        return;
    }
    let world = situation();
    world.put(".ignore", "mine/\n");
    world.commit();
    let report = world.upgrade(&[]);
    assert_eq!(findings(&report["findings"]), "[{\"path\":\".ignore\",\"what\":\"yours-now\"}]");
    assert_eq!(world.holds(".ignore"), "mine/\n");
    world.settled();
}

/// Every line around the owner's edit is another one now: the file stays as and where it was until the owner resolves it.
#[test]
fn an_edit_of_a_runbook_that_became_a_procedure_waits_as_a_conflict() {
    if !need("git") {
        return;
    }
    let world = situation();
    let mine = world.holds(WAS).replace("**Tell users** until", "**Tell users and Grace** until");
    world.put(WAS, &mine);
    world.commit();
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
    assert!(code == 2 && world.holds(WAS) == mine, "{code} {err}");
    world.commit();
    let (code, _, err) = world.factoryup("repo", &["resolve", WAS, "--proposal"]);
    assert!(code == 0 && !world.path("repo").join(WAS).exists(), "{code} {err}");
    assert!(world.holds(IS).contains("**Tell users** until"));
}

/// Runbooks that others took in: what nobody touched is removed, what the owner wrote into one stays, and the check says what to do.
#[test]
fn an_edited_runbook_that_is_no_more_is_the_owners() {
    if !need("git") {
        return;
    }
    let world = situation();
    let (edited, untouched) = ("docs/runbooks/runaway-agent.md", "docs/runbooks/leaked-secret.md");
    assert!(world.path("repo").join(untouched).exists());
    let mine = world.holds(edited).replace("## Mitigation\n", "## Mitigation\n\nCall Grace.\n");
    world.put(edited, &mine);
    world.commit();
    let report = world.upgrade(&[]);
    assert_eq!(findings(&report["findings"]), format!("[{{\"path\":\"{edited}\",\"what\":\"yours-now\"}}]"));
    assert_eq!(world.holds(edited), mine);
    assert!(!world.path("repo").join(untouched).exists());
    assert!(world.holds("docs/runbooks/revoke-agent.md").contains("loginctl terminate-user"));
    if available(&["jq"]) {
        let mut check = Command::new("scripts/checks/runbooks");
        let output = check.current_dir(world.path("repo")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains(&format!("{edited}: its second-level headings must be, in this order: What you see")),
            "{said}"
        );
        assert!(said.lines().all(|line| line.contains("runaway-agent")), "{said}");
    }
}

/// A file of the user's own where a renamed one should land is written over by neither choice.
#[test]
fn where_a_renamed_file_should_land_the_users_own_stays() {
    if !need("git") {
        return;
    }
    let world = situation();
    world.put(NEW, "my own runbook\n");
    world.commit();
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
    assert!(code == 2, "{code} {err}");
    world.commit();
    for choice in ["--mine", "--proposal"] {
        let (code, _, err) = world.factoryup("repo", &["resolve", OLD, choice]);
        assert!(code == 64 && err.contains("is in use"), "{choice}: {code} {err}");
        assert_eq!(world.holds(NEW), "my own runbook\n");
    }
}

#[test]
fn without_a_terminal_the_default_is_taken_and_listed_and_a_variable_answers() {
    if !need("git") {
        return;
    }
    let mut world = situation();
    let before = world.still();
    let (code, out, _) = world.factoryup("repo", &["upgrade", "--dry-run"]);
    let listed = "new in factory.toml: factory.timezone = \"UTC\", the default (Time zone of the owner";
    assert!(code == 2 && out.contains(listed), "{out}");
    // The same, whichever command upgrades.
    let (_, out, _) = world.factoryup("repo", &["plan", "repo"]);
    assert!(out.contains(listed), "{out}");
    for flag in [&["--timezone", "nowhere"][..], &["--agent", "both"]] {
        let (code, _, err) = world.factoryup("repo", &[&["upgrade", "--yes", "--no-push"], flag].concat());
        assert!(code == 64 && err.contains(flag[0]), "{err}");
    }
    assert_eq!((world.still(), world.proposed()), (before, String::new()));
    world.env("FACTORYUP_TIMEZONE", "Asia/Tokyo");
    // Of what was answered before, variables say nothing.
    world.env("FACTORYUP_AGENT", "both");
    world.upgrade(&[]);
    assert!(world.holds("factory.toml").contains("timezone = \"Asia/Tokyo\"\n"));
    assert!(world.holds("factory.toml").contains("kind = \"codex\"\n"));
    world.settled();
}

/// A person is asked what is new, and nothing else; leaving changes nothing.
/// The other new questions, with Enter for each.
fn the_host_stays_closed(pty: &mut Pty) -> &mut Pty {
    for question in [
        "Ports that stay open",
        "Let the host forward packets",
        "Name of the host",
        "Time zone of the host",
        "Add swap if the host has none",
        "Record changes with auditd",
        "Folder for backups of the host",
        "Services for applications",
    ] {
        pty.expect(question).send("\r");
    }
    pty
}

#[test]
fn on_a_terminal_only_what_is_new_is_asked() {
    if !need("git") {
        return;
    }
    let world = situation();
    let before = world.still();
    let arguments = ["upgrade", "--yes", "--no-push"];
    let mut pty = Pty::start(world.terminal("repo", &arguments), 100);
    pty.expect("Your time zone [UTC]").send("?").send("\r").expect("timedatectl").send("\u{3}");
    assert_eq!(pty.end().0, 130);
    assert_eq!((world.still(), world.proposed()), (before.clone(), String::new()));

    let mut pty = Pty::start(world.terminal("repo", &arguments), 100);
    pty.answer("Your time zone [UTC]", "mars").expect("! Your time zone is not an IANA time zone").expect("> mars");
    pty.send("\u{15}").send("Europe/Vienna\r");
    the_host_stays_closed(&mut pty).expect("commit them to the new branch").expect("did not push it");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    for other in ["Name of the factory", "Coding agent", "Is this correct?"] {
        assert!(!screen.contains(other), "{other} was asked: {screen}");
    }
    assert_eq!(world.still(), before);
    // While the branch waits, no answer is asked for again: on a terminal, without one, and when the user commits in the meantime.
    let branch = world.proposed();
    let mut pty = Pty::start(world.terminal("repo", &arguments), 100);
    pty.expect("Reused answers of the unmerged branch factory/upgrade-").expect("factory.timezone");
    // Enter took a default there, which is asked for again.
    the_host_stays_closed(&mut pty).expect("unmerged files");
    assert_eq!(pty.end().0, 0);
    let (code, out, err) = world.factoryup("repo", &arguments);
    assert!(code == 0 && err.contains(&format!("merge it with `git merge {branch}`")), "{out}{err}");
    assert_eq!(world.proposed(), branch);
    world.put("mine", "mine\n");
    world.commit();
    let mut pty = Pty::start(world.terminal("repo", &arguments), 100);
    pty.expect(&format!("Reused answers of the unmerged branch {branch}"));
    the_host_stays_closed(&mut pty).expect("commit them to the new branch");
    assert_eq!(pty.end().0, 0);
    let listed = world.proposed();
    let newer = listed.lines().find(|name| *name != branch).unwrap_or_else(|| panic!("{listed}"));
    assert!(world.git("repo", &["show", &format!("{newer}:factory.toml")]).contains("timezone = \"Europe/Vienna\"\n"));
    // A flag and `--defaults` say otherwise.
    for (flags, wanted) in [(&["--timezone", "Asia/Tokyo"][..], "Asia/Tokyo"), (&["--defaults"], "UTC")] {
        let (_, out, _) = world.factoryup("repo", &[&["upgrade", "--dry-run", "--diff"], flags].concat());
        assert!(out.contains(&format!("timezone = \"{wanted}\"")), "{out}");
    }
    world.git("repo", &["branch", "-qD", newer]);
    world.git("repo", &["reset", "-q", "--hard", "HEAD^"]);
    world.git("repo", &["merge", "-q", "--ff-only", &world.proposed()]);
    assert!(world.holds("factory.toml").contains("timezone = \"Europe/Vienna\"\n"));
    let mut pty = Pty::start(world.terminal("repo", &arguments), 100);
    pty.expect("no changes");
    assert_eq!(pty.end().0, 0);
    world.settled();

    let world = situation();
    let mut pty = Pty::start(world.terminal("repo", &["upgrade", "--yes", "--no-push", "--defaults"]), 100);
    pty.expect("did not push it");
    assert_eq!(pty.end().0, 0);
    assert!(world.git("repo", &["show", &format!("{}:factory.toml", world.proposed())]).contains("\"UTC\""));
}

/// Defaults that an upgrade took without asking are nobody's answer to a later one that can ask.
#[test]
fn a_default_on_a_branch_that_waits_is_asked_for_again() {
    if !need("git") {
        return;
    }
    for taken in [&["upgrade", "--yes", "--no-push"][..], &["upgrade", "--yes", "--no-push", "--defaults"]] {
        let world = situation();
        let (code, out, err) = world.factoryup("repo", taken);
        assert!(code == 0 && err.contains("factory.timezone = \"UTC\", the default"), "{out}{err}");
        let branch = world.proposed();
        // Without a terminal nothing is new.
        let (_, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
        assert!(
            err.contains("Reused answers of the unmerged branch factory/upgrade-") && world.proposed() == branch,
            "{err}"
        );
        // Enter keeps it, and the branch; another answer is another upgrade.
        let arguments = ["upgrade", "--yes", "--no-push"];
        let mut pty = Pty::start(world.terminal("repo", &arguments), 100);
        pty.expect("Your time zone [UTC]").send("\r");
        the_host_stays_closed(&mut pty).expect("unmerged files");
        let (code, screen) = pty.end();
        assert!(code == 0 && !screen.contains("Reused answers of the unmerged branch"), "{screen}");
        assert_eq!(world.proposed(), branch);
        let mut pty = Pty::start(world.terminal("repo", &arguments), 100);
        pty.answer("Your time zone [UTC]", "Europe/Vienna");
        the_host_stays_closed(&mut pty).expect("did not push it");
        assert_eq!(pty.end().0, 0);
        let proposed = world.proposed();
        let newer = proposed.lines().find(|name| *name != branch).unwrap_or_else(|| panic!("{proposed}"));
        assert!(
            world.git("repo", &["show", &format!("{newer}:factory.toml")]).contains("timezone = \"Europe/Vienna\"\n")
        );
    }
}

#[test]
fn in_place_the_answers_are_written_even_over_answers_that_are_not_committed() {
    if !need("git") {
        return;
    }
    let world = situation();
    let edited = world.holds("factory.toml").replace("token_days = 7", "token_days = 14 # more");
    world.put("factory.toml", &edited);
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--in-place"]);
    assert_eq!(code, 0, "{err}");
    let text = world.holds("factory.toml");
    for part in ["timezone = \"UTC\"\n", "token_days = 14 # more\n", "kind   = \"shared\"\n", "schema = 2\n"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(world.holds("docs/identities.md").contains("14 days"));
    let (code, out, err) = world.factoryup("repo", &["upgrade", "--yes", "--in-place"]);
    assert!(code == 0 && err.contains("all files are written"), "{out}{err}");
    world.commit();
    world.settled();
}

#[test]
fn an_answer_that_is_needed_and_that_nothing_offers_is_asked_for_by_flag_and_variable() {
    if !need("git") {
        return;
    }
    // As if 1.0.0 had not known the group yet.
    let mut world = situation();
    for file in ["factory.toml", ".factory/answers.lock"] {
        let text = world.holds(file);
        let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("group = ")).collect();
        world.put(file, &format!("{}\n", without.join("\n")));
    }
    world.commit();
    let before = world.still();
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
    assert_eq!(code, 64, "{err}");
    for word in ["--gitlab-group TEXT", "FACTORYUP_GITLAB_GROUP", "`factoryup upgrade`"] {
        assert!(err.contains(word), "{err}");
    }
    assert_eq!((world.still(), world.proposed()), (before, String::new()));
    world.env("FACTORYUP_GITLAB_GROUP", "platform/delivery");
    world.upgrade(&[]);
    assert!(world.holds("factory.toml").contains("group = \"platform/delivery\"\n"));
    world.settled();
}

#[test]
fn a_migration_that_cannot_be_done_changes_nothing() {
    if !need("git") {
        return;
    }
    for (from, to, said) in [
        (
            "id = \"readme\"",
            "id = \"runbook-upgrade-templates\"",
            "cannot run the migration `runbook-upgrade-templates`",
        ),
        (
            "[template]",
            "[[migration]]\nid = \"of-tomorrow\"\nversion = \"1.0.0\"\n\n[template]",
            "the migration `of-tomorrow`",
        ),
    ] {
        let world = situation();
        let manifest = world.holds(".factory/manifest.toml");
        assert!(manifest.contains(from));
        world.put(".factory/manifest.toml", &manifest.replacen(from, to, 1));
        world.commit();
        let before = world.still();
        let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
        assert!(code == 65 && err.contains(said), "{code}: {err}");
        assert_eq!((world.still(), world.proposed()), (before, String::new()));
    }
}

/// What nothing asks for any more is neither refused nor lost, and new answers in the file are merged like new templates.
#[test]
fn retired_answers_stay_and_answers_edited_by_hand_are_merged() {
    if !need("git") {
        return;
    }
    let world = situation();
    let retired = "\n[retired]\n# who knows\n\"host.colour\" = \"red\"\n";
    world.put("factory.toml", &format!("{}{retired}", world.holds("factory.toml").trim_end()));
    world.commit();
    world.upgrade(&[]);
    assert!(world.holds("factory.toml").ends_with(retired), "{}", world.holds("factory.toml"));
    world.settled();

    world.put("docs/identities.md", &format!("{}\nMine.\n", world.holds("docs/identities.md")));
    world.commit();
    let text = world.holds("factory.toml").replace("delivery-bot", "bot").replace("UTC", "America/New_York");
    world.put("factory.toml", &text);
    let (code, _, err) = world.factoryup("repo", &["upgrade", "--yes", "--no-push"]);
    assert_eq!(code, 0, "{err}");
    let branch = world.git("repo", &["for-each-ref", "--format=%(refname:short)", "refs/heads/factory/answers-*"]);
    world.git("repo", &["checkout", "-q", "factory.toml"]);
    world.git("repo", &["merge", "-q", "--ff-only", &branch]);
    let merged = fs::read_to_string(world.path("repo/docs/identities.md")).unwrap();
    assert!(merged.contains("`bot`") && merged.ends_with("\nMine.\n") && !merged.contains("delivery-bot"), "{merged}");
    assert!(world.holds("infra/control-plane/main.tf").contains("America/New_York"));
    assert_eq!(world.holds("factory.toml"), text);
    world.settled();
}
