//! `factory`, the command on the host, with a real tmux and a real git: by itself against the stand-in control plane, and as the
//! owner uses it on a provisioned host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use factoryup::plan::Evidence;
use portable_pty::CommandBuilder;
use tempfile::TempDir;

use crate::control_repo::{passed, text};
use crate::journey::Journey;
use crate::plane::Plane;
use crate::pty::Pty;
use crate::scaffold::git;
use crate::support::{self, lab, make_program, wait_until};

const FACTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/templates/scripts/host/factory");

/// Says where and on what it works, then waits as an agent would.
const AGENT: &str =
    "#!/bin/sh\necho \"agent on $FACTORY_ISSUE in $PWD\" >>\"$HOME/agent.log\"\necho the agent is here\nread -r line\n";

/// A home with a clone in `~/work/shop`, and tmux to itself.
struct Desk {
    home: TempDir,
}

impl Desk {
    fn new(remote: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let desk = Self { home };
        fs::create_dir_all(desk.path("work")).unwrap();
        fs::create_dir_all(desk.path("tmux")).unwrap();
        make_program(desk.path("agent"), AGENT);
        fs::write(desk.path(".gitconfig"), "[user]\nname = agent\nemail = agent@example.org\n").unwrap();
        // Keys that a test sends within a millisecond are typed, not pasted: a pasted prefix key is none.
        fs::write(desk.path(".tmux.conf"), "set-option -g assume-paste-time 0\n").unwrap();
        passed(&desk.command("git", &desk.path("work")).args(["clone", "-q", remote, "shop"]).output().unwrap());
        desk
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
        vec![
            ("HOME", self.home.path().display().to_string()),
            ("PATH", support::path()),
            ("USER", user),
            ("TERM", "xterm".into()),
            ("SHELL", "/bin/sh".into()),
            ("TMUX_TMPDIR", self.path("tmux").display().to_string()),
            // No service manager of this user's is meant.
            ("XDG_RUNTIME_DIR", self.path("tmux").display().to_string()),
            ("FACTORY_USER", "nobody-of-this-name".into()),
            ("FACTORY_AGENT", self.path("agent").display().to_string()),
            ("GIT_CONFIG_NOSYSTEM", "1".into()),
            ("LC_ALL", "C.UTF-8".into()),
        ]
    }

    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.variables()).current_dir(folder);
        command
    }

    fn factory(&self, folder: &str, arguments: &[&str]) -> Output {
        self.command(FACTORY, &self.path(folder)).args(arguments).output().unwrap()
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        passed(&self.command("tmux", self.home.path()).args(arguments).output().unwrap())
    }

    fn refused(&self, folder: &str, arguments: &[&str], code: i32, why: &str) {
        let output = self.factory(folder, arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output));
        assert!(text(&output).contains(why), "{arguments:?}: {}", text(&output));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("agent.log")).unwrap_or_default()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.command("tmux", self.home.path()).arg("kill-server").output();
    }
}

/// A project `shop` whose check fails when there is a file `broken`, and whose own `scripts/check` is none of the factory's; returns the
/// agent's remote.
fn project(plane: &Plane) -> (u64, String) {
    let project = plane.project("shop");
    plane.member(project, "factory-agent", 30);
    let owner = plane.clone("shop", &plane.owner_token());
    for (folder, text) in [(".factory", "[ ! -e broken ]"), ("scripts", "exit 9")] {
        fs::create_dir(owner.path.join(folder)).unwrap();
        let check = owner.path.join(folder).join("check");
        make_program(&check, format!("#!/bin/sh\n{text}\n"));
    }
    fs::write(owner.path.join(".factory/app.conf"), "name=shop\n").unwrap();
    owner.commit("README.md", "# Shop\n");
    assert!(owner.push(&["origin", "HEAD:main"]).ok());
    (project, plane.remote("shop", &plane.token("factory-agent", &["read_api", "write_repository"])))
}

#[test]
fn an_issue_goes_from_a_session_to_a_merge_request() {
    if !support::available(&["git", "jq", "tmux"]) {
        return;
    }
    let Some(plane) = Plane::start() else { return };
    let (project, remote) = project(&plane);
    let desk = Desk::new(&remote);

    // From anywhere, since there is only one repo.
    let first = passed(&desk.factory("", &["work", "12", "fix-cart"]));
    assert!(first.contains("shop-issue-12: agent/12-fix-cart"), "{first}");
    assert!(first.contains("tmux attach-session -t shop-issue-12"), "{first}");
    wait_until("the agent in its worktree", || {
        desk.log() == format!("agent on 12 in {}\n", desk.path("work/shop-issue-12").display())
    });
    // Again, from the repo and from the worktree: the same session, no second agent.
    passed(&desk.factory("work/shop", &["work", "12"]));
    passed(&desk.factory("work/shop-issue-12", &["work", "12"]));
    passed(&desk.factory("work/shop", &["work", "7"]));
    assert_eq!(desk.tmux(&["list-sessions", "-F", "#{session_name}"]), "shop-issue-12\nshop-issue-7\n");
    wait_until("the second agent", || desk.log().lines().count() == 2);

    let tree = "work/shop-issue-12";
    desk.refused(tree, &["finish", "Mend the cart"], 65, "holds nothing that main does not");
    fs::write(desk.path(tree).join("cart"), "mended\n").unwrap();
    fs::write(desk.path(tree).join("broken"), "").unwrap();
    desk.refused(tree, &["finish", "Mend the cart"], 65, "not committed");
    passed(&desk.factory(tree, &["evidence", "add", "The cart holds", "--", "grep", "mended", "cart"]));
    desk.refused(tree, &["evidence", "add", "It is not broken", "--", "test", "!", "-e", "broken"], 1, "noted in");
    passed(&desk.factory(tree, &["evidence", "add", "Read the issue"]));
    let claims = desk.path(tree).join("evidence/claims/12.jsonl");
    assert_eq!(Evidence::at(&claims).verify().unwrap().0, 3);
    let claims = fs::read_to_string(claims).unwrap();
    assert!(claims.contains("\"command\":\"grep\",\"exit\":0") && claims.contains("\"exit\":1"), "{claims}");

    let status = passed(&desk.factory("work/shop", &["status"]));
    let row = |issue: &str| {
        status.lines().find(|l| l.starts_with(issue)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("12"), "12 agent/12-fix-cart running 3 0 -");
    assert_eq!(row("7"), "7 agent/7 running 0 0 -");

    git(&desk.path(tree), &["add", "."]);
    git(&desk.path(tree), &["commit", "-qm", "Mend the cart"]);
    desk.refused(tree, &["finish", "Mend the cart"], 1, "nothing was pushed");
    assert_eq!(plane.get(&format!("/projects/{project}/repository/branches/agent%2F12-fix-cart")).status, 404);
    git(&desk.path(tree), &["rm", "-q", "broken"]);
    git(&desk.path(tree), &["commit", "-qm", "Break nothing"]);
    desk.refused(tree, &["finish", "Two\nlines"], 64, "one line each");
    passed(&desk.factory(tree, &["finish", "Mend the cart", "scripts/check passes."]));
    // A second push is no second merge request.
    git(&desk.path(tree), &["commit", "-q", "--allow-empty", "-m", "More"]);
    passed(&desk.factory(tree, &["finish", "Mend the cart", "scripts/check passes."]));
    // What is pushed already takes no title along.
    desk.refused(tree, &["finish", "Mend it again"], 65, "nothing new to push");
    let requests = plane.get(&format!("/projects/{project}/merge_requests?state=opened")).body;
    assert_eq!(requests.as_array().unwrap().len(), 1, "{requests}");
    assert_eq!(requests[0]["title"], "Mend the cart");
    assert_eq!(requests[0]["description"], "Closes #12. scripts/check passes.");
    assert_eq!(requests[0]["source_branch"], "agent/12-fix-cart");
    assert_eq!(requests[0]["target_branch"], "main");
    assert_eq!(requests[0]["author"]["username"], "factory-agent");

    // A question needs no change.
    passed(&desk.factory("work/shop-issue-7", &["finish", "--question", "Which colour?", "The issue names two."]));
    let requests = plane.get(&format!("/projects/{project}/merge_requests?state=opened")).body;
    let question = requests.as_array().unwrap().iter().find(|r| r["source_branch"] == "agent/7").unwrap();
    assert_eq!((&question["title"], &question["draft"]), (&"Draft: Which colour?".into(), &true.into()));
    // And one about what is pushed arrives as well.
    passed(&desk.factory(tree, &["finish", "--question", "Red or blue?", "Both fit."]));
    let requests = plane.get(&format!("/projects/{project}/merge_requests?state=opened")).body;
    let question = requests.as_array().unwrap().iter().find(|r| r["source_branch"] == "agent/12-fix-cart").unwrap();
    assert_eq!((&question["title"], &question["draft"]), (&"Draft: Red or blue?".into(), &true.into()));

    desk.refused("work/shop", &["finish", "Push main"], 65, "is no issue's");
    desk.refused("work/shop", &["work", "twelve"], 64, "a number");
    desk.refused("work/shop", &["work", "3", "../x"], 64, "a short name");
    desk.refused("work", &["work", "--repo", "gone", "3"], 65, "gone cannot be cloned");
}

#[test]
fn what_is_merged_is_cleared_away_and_nothing_else() {
    if !support::available(&["git", "tmux"]) {
        return;
    }
    let Some(plane) = Plane::start() else { return };
    let (_, remote) = project(&plane);
    let desk = Desk::new(&remote);
    let begin = |issue: &str| {
        passed(&desk.factory("work/shop", &["work", issue]));
        desk.path(&format!("work/shop-issue-{issue}"))
    };
    let commit = |tree: &Path| git(tree, &["commit", "-q", "--allow-empty", "-m", "Do\u{1b}]0;it\u{7}"]);
    // Merged and removed at origin; pushed and still there; committed and not pushed; not begun; with a file that is not committed.
    for (issue, push) in [("1", true), ("2", true), ("3", false)] {
        let tree = begin(issue);
        commit(&tree);
        if push {
            git(&tree, &["push", "-q", "origin", "HEAD"]);
        }
    }
    begin("4");
    fs::write(begin("5").join("notes"), "mine\n").unwrap();
    let owner = plane.remote("shop", &plane.owner_token());
    git(&desk.path("work/shop"), &["push", "-q", &owner, "--delete", "agent/1"]);
    let status = passed(&desk.factory("work/shop", &["status"]));
    assert!(status.contains("Do]0;it") && !status.contains('\u{1b}'), "{status:?}");

    let said = passed(&desk.factory("work/shop", &["clean"]));
    let expected = [
        "1 is removed: agent/1 is merged, or was closed at origin",
        "2 stays: its branch is still at origin",
        "3 stays: commits are not pushed, or there are none yet",
        "4 stays: commits are not pushed, or there are none yet",
        "5 stays: changes are not committed",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    assert!(!desk.path("work/shop-issue-1").exists() && desk.path("work/shop-issue-5/notes").exists());
    assert!(!desk.tmux(&["list-sessions", "-F", "#{session_name}"]).contains("shop-issue-1\n"));
    // What went on after it was pushed is not thrown away with what was merged.
    let tree = desk.path("work/shop-issue-2");
    commit(&tree);
    git(&desk.path("work/shop"), &["push", "-q", &owner, "--delete", "agent/2"]);
    assert!(passed(&desk.factory("work/shop", &["clean"])).contains("2 stays: commits are not pushed"));

    // Two branches of one issue: which is meant is said, not guessed.
    git(&tree, &["push", "-q", "origin", "HEAD:agent/9-red", "HEAD:agent/9-blue"]);
    desk.refused("work/shop", &["work", "9"], 65, "more than one branch: agent/9-blue agent/9-red");
    assert!(passed(&desk.factory("work/shop", &["work", "9", "blue"])).contains("agent/9-blue"));
    desk.refused("work/shop", &["work", "3\n4"], 64, "a number");
}

#[test]
fn work_goes_on_where_it_was_left() {
    if !support::available(&["git", "tmux"]) {
        return;
    }
    let Some(plane) = Plane::start() else { return };
    let (_, remote) = project(&plane);
    let desk = Desk::new(&remote);
    let attach = || {
        let mut command = CommandBuilder::new(FACTORY);
        command.args(["work", "3", "paint"]);
        command.env_clear();
        for (name, value) in desk.variables() {
            command.env(name, value);
        }
        command.cwd(desk.path("work/shop"));
        Pty::start(command, 100)
    };
    let mut terminal = attach();
    terminal.expect("the agent is here");
    // Ctrl-b d: the connection ends, the work does not.
    terminal.send("\u{2}d").expect("detached");
    assert_eq!(terminal.end().0, 0);
    let mut terminal = attach();
    terminal.expect("the agent is here");
    // The agent ends; what it said stays, in a shell.
    terminal.send("\r").send("echo still $((40 + 2))\r").expect("still 42");
    terminal.send("\u{2}d").expect("detached");
    assert_eq!(terminal.end().0, 0);
    assert_eq!(desk.log().lines().count(), 1);

    // Pushed from here, taken up elsewhere.
    let tree = desk.path("work/shop-issue-3");
    git(&tree, &["commit", "-q", "--allow-empty", "-m", "Begin to paint"]);
    git(&tree, &["push", "-q", "origin", "HEAD"]);
    let other = Desk::new(&remote);
    passed(&other.factory("", &["work", "3"]));
    assert_eq!(git(&other.path("work/shop-issue-3"), &["log", "-1", "--format=%s"]), "Begin to paint\n");
    assert_eq!(git(&other.path("work/shop-issue-3"), &["branch", "--show-current"]), "agent/3-paint\n");
}

#[test]
fn the_owner_starts_the_agent_within_the_agents_limits() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    journey.inside(
        "runuser -u agent -- sh -euc 'cd ~ && git init -q --bare -b main origin.git && git init -q -b main seed && cd seed && \
         git -c user.name=t -c user.email=t@example.org commit -q --allow-empty -m begin && git push -q ../origin.git main && \
         cd ../work && git clone -q ../origin.git shop'",
    );
    let output = lab::ssh(&journey.host, &journey.keys, "operator", "factory work 5 && factory status");
    let said = passed(&output);
    assert!(said.contains("session shop-issue-5 runs"), "{said}");
    assert!(said.contains("agent/5"), "{said}");
    let group = journey.inside("cat /proc/$(pgrep -u agent -o tmux)/cgroup");
    let uid = journey.inside("id -u agent");
    assert!(group.contains(&format!("user-{uid}.slice/user@{uid}.service")), "{group}");
    // The connection is gone, the session is not.
    let sessions = lab::ssh(&journey.host, &journey.keys, "operator", "sudo -u agent tmux list-sessions");
    assert!(passed(&sessions).contains("shop-issue-5"), "{}", text(&sessions));
}
