//! What a run says about the whole factory when a part of it cannot be reached, and what it does before anything is changed.

use std::fs;

use crate::pty::Pty;
use crate::support::need;
use crate::world::World;

/// A control repo whose host refuses every connection.
fn without_reach() -> World {
    // Nobody listens there, and nobody who asks for any port is given it.
    let port = 9;
    let world = World::new();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdZbN2Ph0h9bEhUVbF0v7bKbFqcQ2X0m3b0Jm0kq0Yd ada@laptop";
    world.answer("kind = \"none\"", &format!("address = \"127.0.0.1\"\nport = {port}\nauthorized_keys = [\"{key}\"]"));
    world.apply("repo");
    world
}

#[test]
fn one_target_out_of_reach_does_not_hide_the_others() {
    if !need("git") || !need("ssh") {
        return;
    }
    let world = without_reach();
    let (code, out, err) = world.factoryup("repo", &["plan"]);
    assert_eq!(code, 69, "{err}");
    assert!(out.contains("no changes"), "the repo's plan: {out}");
    assert!(err.contains("cannot read host; see the error at the end"), "{err}");
    assert!(err.contains("cannot read gitlab: no GitLab token for"), "{err}");
    assert!(err.trim_end().lines().any(|line| line.starts_with("error:") && line.contains("127.0.0.1")), "{err}");

    // What was promised for the end comes also if the question for the token is left.
    let mut pty = Pty::start(world.terminal("repo", &["plan"]), 100);
    pty.expect("see the error at the end").expect("GitLab token of a group Owner").send("\u{3}");
    pty.expect("warning: cannot connect to 127.0.0.1:9").expect("error: canceled");
    pty.end();

    let (code, out, err) = world.factoryup("repo", &["plan", "host", "--script"]);
    assert_eq!(code, 69, "{err}");
    assert!(out.contains("# === probe:") && !out.contains("# === apply:"), "{out}");
    assert!(err.contains("next: only the scripts that do not depend"), "{err}");
}

#[test]
fn a_missing_token_stops_a_run_before_its_first_change() {
    if !need("git") {
        return;
    }
    let world = without_reach();
    let toml = world.path("repo/factory.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("roadrunners", "coyotes")).unwrap();
    let branches = world.git("repo", &["branch", "--list"]);
    let (code, _, err) = world.factoryup("repo", &["apply", "--yes"]);
    assert!(code == 64 && err.contains("no GitLab token for"), "{err}");
    assert_eq!(world.git("repo", &["branch", "--list"]), branches);
    // One target alone is named in what to type next.
    let (code, _, err) = world.factoryup("repo", &["apply", "repo"]);
    assert!(code == 64 && err.contains("`factoryup plan repo`, then run this command again with `--yes`"), "{err}");
}

#[test]
fn a_branch_with_an_edit_of_the_answers_merges_as_it_is_told() {
    if !need("git") {
        return;
    }
    let world = without_reach();
    let toml = world.path("repo/factory.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("roadrunners", "coyotes")).unwrap();
    assert_eq!(world.factoryup("repo", &["apply", "repo", "--yes"]).0, 0);
    let (_, out, _) = world.factoryup("repo", &["plan", "repo"]);
    let told = out.split('`').nth(1).unwrap_or_else(|| panic!("{out}")).to_owned();
    assert!(told.starts_with("git restore factory.toml && git merge factory/"), "{out}");
    // GitLab takes it by merge request only, and squashes it: merged here, it would be another commit there.
    world.git("repo", &["remote", "add", "origin", "https://gitlab.com/acme/factory.git"]);
    let (_, out, _) = world.factoryup("repo", &["plan", "repo"]);
    assert!(out.contains("merge it with `factoryup upgrade`, which opens its merge request"), "{out}");
    for command in told.split(" && ") {
        let words: Vec<&str> = command.split(' ').skip(1).collect();
        world.git("repo", &words);
    }
    assert!(fs::read_to_string(&toml).unwrap().contains("coyotes"));
    let (code, out, _) = world.factoryup("repo", &["plan", "repo"]);
    assert!(code == 0 && !out.contains("unmerged files"), "{out}");
}
