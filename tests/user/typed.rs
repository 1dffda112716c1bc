//! The commands of README.md and the guides, typed word for word in a real terminal, from the directory where the text puts the
//! reader, against a disposable host and a stand-in for GitLab. Every command in these texts has its entry here: how it is answered
//! and with which exit code it ends, or which other test runs it. So a command that is changed or added cannot go untried.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use disposable_host::DisposableHost;
use factoryup::plan::SavedPlan;

use crate::plane::Plane;
use crate::pty::Pty;
use crate::support;
use crate::support::lab;
use portable_pty::CommandBuilder;

/// How long one command may take, with packages to install on a busy machine.
const LIMIT: Duration = Duration::from_mins(5);

/// What builds or installs factoryup itself, and the file that runs it.
const ELSEWHERE: [(&str, &str, &str); 6] = [
    ("sudo apt-get install cargo-web gcc make perl git openssh-client", ".ci/bare", "sudo apt-get install"),
    ("cargo run -- rehearse", ".ci/bare", "try_it | sed"),
    ("cargo test", ".ci/run", "cargo test --quiet --locked"),
    ("cargo install --path .", "tests/user/install_sh/mod.rs", "\"--from-source\""),
    ("sh install.sh --from-source .", "tests/user/install_sh/mod.rs", "\"--from-source\""),
    ("nix run .", "tests/user/flake/mod.rs", "&[\"run\", \".\"]"),
];

/// A line of a `sh` block, without its comment.
fn commands(file: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside {
            found.push(line.split("  #").next().unwrap().trim_end().to_owned());
        }
    }
    found
}

/// A user's machine with a terminal: git and ssh are set up, and `factoryup` is on `PATH`.
struct Desk {
    home: tempfile::TempDir,
    keys: lab::Keys,
    plane: Plane,
    host: Option<DisposableHost>,
}

impl Desk {
    /// With a host that the owner's key opens for root.
    fn new() -> Option<Self> {
        if !support::root() || !lab::can_host() {
            return None;
        }
        let mut desk = Self::without_a_host()?;
        let mut host = lab::host(&desk.keys);
        host.lead_back(desk.plane.stand_in.port()).unwrap();
        // GitLab's packages are out of reach here; what is already there is used.
        let runner = host.rootfs().join("usr/bin/gitlab-runner");
        support::make_program(&runner, include_str!("../../src/rehearsal/gitlab-runner"));
        support::put_tools(host.rootfs());
        desk.host = Some(host);
        Some(desk)
    }

    fn without_a_host() -> Option<Self> {
        if !support::available(&["bash", "ssh-keygen"]) {
            return None;
        }
        let plane = Plane::start()?;
        let keys = lab::Keys::new();
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at(".ssh")).unwrap();
        fs::copy(keys.path("id"), at(".ssh/id_ed25519")).unwrap();
        fs::copy(keys.path("id.pub"), at(".ssh/id_ed25519.pub")).unwrap();
        fs::create_dir(at("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_factoryup"), at("bin/factoryup")).unwrap();
        support::make_program(at("bin/editor"), "#!/bin/sh\necho 'Resolve the conflicts' >>\"$1\"\n");
        fs::write(at(".gitconfig"), "[user]\n name = Ada Lovelace\n email = ada@example.org\n").unwrap();
        Some(Self { home, keys, plane, host: None })
    }

    fn host(&self) -> &DisposableHost {
        self.host.as_ref().unwrap()
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A shell in the home directory whose prompt shows the exit code of the last command.
    fn shell(&self) -> Pty {
        let mut shell = CommandBuilder::new("bash");
        shell.args(["--noprofile", "--norc", "-i"]);
        shell.cwd(self.home.path());
        shell.env_clear();
        let path = format!("{}:{}", self.folder("bin").display(), std::env::var("PATH").unwrap());
        for (name, value) in [
            ("HOME", self.home.path().to_str().unwrap()),
            ("PATH", &path),
            ("PS1", "<exit $?> "),
            ("TERM", "xterm-256color"),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
            ("EDITOR", "editor"),
        ] {
            shell.env(name, value);
        }
        let mut pty = Pty::start(shell, 120);
        pty.expect("<exit 0> ");
        pty
    }

    /// Answers the wizard's questions as an owner with this host and this GitLab would.
    fn answer_the_wizard(&self, pty: &mut Pty, name: &str) {
        pty.answer("Name of the factory", name);
        pty.answer("Where the agent works", "");
        pty.answer("Address of the host", &self.host().address().to_string());
        pty.answer("Your public SSH key", "");
        pty.answer("URL of GitLab", &self.plane.url());
        pty.answer("GitLab group", "factory");
        for question in ["GitLab subscription", "Coding agent", "Use Cloudflare", "Is this correct?"] {
            pty.answer(question, "");
        }
    }
}

fn type_line(pty: &mut Pty, line: &str, code: u8) {
    pty.send(line).send("\r");
    ends_with(pty, code);
}

fn ends_with(pty: &mut Pty, code: u8) {
    pty.expect_within(LIMIT, &format!("<exit {code}> "));
}

/// A command that builds or installs factoryup itself is run by the file that [`ELSEWHERE`] names.
fn runs_elsewhere(command: &str) {
    let found = ELSEWHERE.into_iter().find(|(known, ..)| *known == command);
    let (_, file, text) = found.unwrap_or_else(|| panic!("nothing types `{command}`"));
    let there = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    assert!(there.contains(text), "{file} does not run `{command}` any more");
}

#[test]
fn the_readme_is_typed_as_it_stands() {
    let Some(desk) = Desk::new() else { return };
    let mut pty = desk.shell();
    let mut typed = Vec::new();
    for command in commands("README.md") {
        match command.as_str() {
            "factoryup init my-factory" => {
                pty.send(&command).send("\r");
                desk.answer_the_wizard(&mut pty, "my-factory");
                ends_with(&mut pty, 0);
            }
            "factoryup keys init" | "cd my-factory" => type_line(&mut pty, &command, 0),
            "export FACTORYUP_GITLAB_TOKEN=…" => {
                type_line(&mut pty, &command.replace('…', &desk.plane.owner_token()), 0);
            }
            "factoryup plan --diff" => {
                pty.send(&command).send("\r").answer("Is this the right host?", "y");
                ends_with(&mut pty, 2);
            }
            "factoryup apply" => {
                pty.send(&command).send("\r").expect_within(LIMIT, "changes to host and gitlab?");
                pty.send("y\r");
                ends_with(&mut pty, 0);
            }
            "factoryup status" => {
                pty.send(&command)
                    .send("\r")
                    .expect_within(LIMIT, "  host       ssh://operator@")
                    .expect("as in factory.toml");
                pty.expect("  runner     untrusted: online")
                    .expect("Next, for you:")
                    .expect("sudo -iu agent claude auth login");
                ends_with(&mut pty, 2);
            }
            other => {
                runs_elsewhere(other);
                continue;
            }
        }
        typed.push(command);
    }
    assert_eq!(typed.len(), 7, "{typed:?}");

    // Every other way to name the same directory finds nothing left to do; so does the doctor.
    for command in [
        "factoryup",
        "factoryup apply --yes",
        "factoryup -C ../my-factory apply --yes",
        "cd .. && factoryup --dir my-factory apply --yes && cd my-factory",
        "factoryup doctor",
    ] {
        type_line(&mut pty, command, 0);
    }
    // The doctor sees what somebody changed on the host and in GitLab.
    let rule = "echo PasswordAuthentication yes >/etc/ssh/sshd_config.d/00-factoryup.conf";
    assert!(desk.host().run_inside(&["sh", "-c", rule]).unwrap().status.success());
    let project = desk.plane.get("/projects/factory%2Ffactory").body["id"].as_u64().unwrap();
    assert_eq!(desk.plane.delete(&format!("/projects/{project}/protected_branches/main")).status, 204);
    pty.send("factoryup doctor\r");
    pty.expect("FAILS the host matches factory.toml").expect("00-factoryup.conf").expect("factoryup apply host");
    pty.expect("FAILS GitLab matches factory.toml").expect("main").expect("factoryup apply gitlab");
    ends_with(&mut pty, 2);
    type_line(&mut pty, "factoryup doctor repo", 0);
    // init found the key that was made before it.
    let rules = fs::read_to_string(desk.folder("my-factory/.sops.yaml")).unwrap();
    assert!(rules.contains("path_regex: ^secrets/owner/"), "{rules}");
    // What is kept in a file says which target each line is about.
    type_line(&mut pty, "factoryup plan >plan.txt", 2);
    let plan = fs::read_to_string(desk.folder("my-factory/plan.txt")).unwrap();
    let headings: Vec<_> = plan.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    for target in ["repo", "host", "gitlab"] {
        assert!(headings.contains(&target), "{plan}");
    }
}

#[test]
fn factoryup_alone_in_an_empty_directory_does_all_of_day_one() {
    let Some(desk) = Desk::new() else { return };
    let mut pty = desk.shell();
    type_line(&mut pty, "mkdir acme && cd acme", 0);
    pty.send("factoryup\r");
    desk.answer_the_wizard(&mut pty, "acme");
    pty.answer("GitLab token of a group Owner for", &desk.plane.owner_token());
    pty.answer("Is this the right host?", "y");
    pty.expect_within(LIMIT, "changes to host and gitlab?").send("y\r");
    ends_with(&mut pty, 0);
    type_line(&mut pty, "factoryup doctor repo", 0);
}

#[test]
fn the_guide_to_upgrades_is_typed_as_it_stands() {
    let Some(desk) = Desk::without_a_host() else { return };
    let mut pty = desk.shell();
    let (url, token) = (desk.plane.url(), desk.plane.owner_token());
    type_line(&mut pty, &format!("export FACTORYUP_GITLAB_TOKEN={token}"), 0);
    let answers = format!("--host-kind none --gitlab-url {url} --gitlab-group factory --defaults --yes");
    type_line(&mut pty, &format!("factoryup init acme {answers} && cd acme && factoryup apply --yes --no-wait"), 0);
    // Three files in which the owner and a new answer disagree.
    let pages = ["break-glass", "rotate-secrets", "incident"].map(|page| format!("docs/runbooks/{page}.md"));
    type_line(&mut pty, &format!("sed -i '/^owner:/s/$/ and Bob/' {}", pages.join(" ")), 0);
    type_line(&mut pty, "git commit -qam 'Two owners' && sed -i 's/Ada Lovelace/Grace Hopper/' factory.toml", 0);
    type_line(
        &mut pty,
        "git config merge.tool theirs; git config mergetool.theirs.cmd 'cp \"$REMOTE\" \"$MERGED\"'",
        0,
    );
    let mut own = false;
    let latest = |kind: &str| {
        let names = std::process::Command::new("git")
            .args(["for-each-ref", "--format=%(refname:short)", &format!("refs/heads/factory/{kind}-*")])
            .current_dir(desk.folder(if kind == "adoption" { "mine" } else { "acme" }))
            .output()
            .unwrap();
        String::from_utf8(names.stdout).unwrap().trim_end().to_owned()
    };
    for command in commands("docs/guide/upgrade.md") {
        let with = |page: &str| command.replace("PATH", page);
        match command.as_str() {
            "factoryup upgrade --dry-run --diff" => type_line(&mut pty, &command, 2),
            "factoryup upgrade" => {
                pty.send(&command).send("\r").answer("Apply these", "y");
                ends_with(&mut pty, 2);
            }
            "git restore factory.toml" | "git commit" => type_line(&mut pty, &command, 0),
            // What the line says to do without GitLab: git has no credentials here.
            "git pull --rebase" => type_line(&mut pty, &format!("git merge {}", latest("answers")), 0),
            "factoryup resolve" if own => {
                pty.send(&command).send("\r").answer("Keep your version of", "y");
                ends_with(&mut pty, 0);
            }
            "factoryup resolve" => {
                pty.send(&command).send("\r").answer("Keep your version of", "y");
                for _ in 0..2 {
                    pty.answer("Keep your version of", "n")
                        .answer("Take the template version", "n")
                        .answer("in theirs?", "n");
                    pty.answer("in your editor?", "n");
                }
                ends_with(&mut pty, 2);
            }
            "factoryup resolve PATH --show" | "factoryup resolve PATH --mine" => {
                type_line(&mut pty, &with(&pages[1]), 2);
            }
            "factoryup resolve PATH --tool" => type_line(&mut pty, &with(&pages[2]), 0),
            "factoryup init" => {
                own = true;
                type_line(&mut pty, "cd .. && git init -q mine && cd mine && echo '# Mine' >README.md", 0);
                type_line(&mut pty, "git add README.md && git commit -qm 'My own'", 0);
                pty.send(&command).send("\r").answer("Name of the factory", "mine");
                pty.expect("Where the agent works").send("\u{1b}[B\u{1b}[B").expect("> none").send("\r");
                pty.answer("URL of GitLab", &url).answer("GitLab group", "factory");
                for question in ["GitLab subscription", "Coding agent", "Use Cloudflare", "Is this correct?"] {
                    pty.answer(question, "");
                }
                ends_with(&mut pty, 2);
            }
            "git diff HEAD...factory/adoption-…" => {
                type_line(&mut pty, &format!("git --no-pager diff --stat HEAD...{}", latest("adoption")), 0);
            }
            "git merge factory/adoption-…" => type_line(&mut pty, &format!("git merge {}", latest("adoption")), 0),
            other => panic!("nothing types `{other}`"),
        }
    }
    assert!(own);
}

/// A saved plan is what runs: it is refused once something moved, and the records name its digest.
#[test]
fn a_saved_plan_is_applied_exactly_or_refused() {
    let Some(desk) = Desk::without_a_host() else { return };
    let mut pty = desk.shell();
    let (url, token) = (desk.plane.url(), desk.plane.owner_token());
    type_line(&mut pty, &format!("export FACTORYUP_GITLAB_TOKEN={token}"), 0);
    let answers = format!("--host-kind none --gitlab-url {url} --gitlab-group factory --defaults --yes");
    type_line(&mut pty, &format!("factoryup init acme {answers} && cd acme"), 0);
    type_line(&mut pty, "factoryup plan --out ../plan.json", 2);
    assert!(!fs::read_to_string(desk.folder("plan.json")).unwrap().contains(&token));
    // Somebody makes the project in between.
    desk.plane.project("factory");
    let writes = desk.plane.log().len();
    pty.send("factoryup apply ../plan.json\r");
    pty.expect("is out of date; nothing was changed");
    pty.expect("gitlab: no longer pending: create the private project factory/factory");
    ends_with(&mut pty, 65);
    assert!(desk.plane.log()[writes..].iter().all(|request| request.method == "GET"));
    type_line(&mut pty, "factoryup apply ../no-plan.json", 64);
    // A commit that nobody reviewed is not pushed: neither one made while the question waits, nor one made after the plan was saved.
    let commit = |message: &str| {
        let made = std::process::Command::new("git")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--allow-empty", "-qm", message])
            .current_dir(desk.folder("acme"))
            .status();
        assert!(made.unwrap().success());
    };
    pty.send("factoryup apply --no-wait\r").expect("changes to http");
    commit("Made while the question waits");
    pty.send("y\r").expect("push commit").expect("changes to http");
    pty.send("n\r");
    ends_with(&mut pty, 130);
    type_line(&mut pty, "factoryup plan --out ../plan.json", 2);
    commit("Made after the plan was saved");
    pty.send("factoryup apply ../plan.json --no-wait\r").expect("gitlab: new or different: push commit");
    ends_with(&mut pty, 65);
    assert!(desk.plane.log()[writes..].iter().all(|request| request.method == "GET"));
    type_line(&mut pty, "factoryup plan --out ../plan.json", 2);
    type_line(&mut pty, "factoryup apply ../plan.json --no-wait", 0);
    let state = desk.folder(".local/state/factoryup/acme");
    let saved = SavedPlan::read(&desk.folder("plan.json"), "acme").unwrap();
    let pending: Vec<_> = saved.plans().iter().filter(|plan| !plan.is_empty()).collect();
    assert!(!pending.is_empty());
    for plan in pending {
        for name in ["journal.jsonl", &format!("receipt-{}.json", plan.target), "evidence/log.jsonl"] {
            let text = fs::read_to_string(state.join(name)).unwrap();
            assert!(text.contains(&plan.digest()), "{name} does not name the plan of {}", plan.target);
        }
    }
    // Applied once, nothing of it is left.
    type_line(&mut pty, "factoryup apply ../plan.json --no-wait", 0);
    type_line(&mut pty, "factoryup plan --out factory.toml", 64);
    type_line(&mut pty, "factoryup plan --out ../gitlab && factoryup apply ../gitlab --no-wait", 0);
    type_line(&mut pty, "factoryup plan", 0);
}

/// The commands for the provider's console are run on a hardened host by the tests of the host.
#[test]
fn every_guide_with_commands_is_typed_somewhere() {
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide");
    let mut with_commands: Vec<String> = fs::read_dir(guides)
        .unwrap()
        .map(|entry| format!("docs/guide/{}", entry.unwrap().file_name().to_str().unwrap()))
        .filter(|file| !commands(file).is_empty())
        .collect();
    with_commands.sort();
    assert_eq!(with_commands, ["docs/guide/locked-out.md", "docs/guide/upgrade.md"]);
    let there = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host/lockout.rs")).unwrap();
    assert!(there.contains("/docs/guide/locked-out.md"));
}
