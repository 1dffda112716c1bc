//! The commands of README.md and the guides, typed word for word in a real terminal, from the directory where the text puts the
//! reader, against a disposable host and a stand-in for GitLab. Every command in these texts has its entry here: how it is answered
//! and with which exit code it ends, or which other test runs it. So a command that is changed or added cannot go untried.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, clippy::disallowed_methods)]

#[path = "support/plane.rs"]
mod plane;
#[path = "support/pty.rs"]
mod pty;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use factoryup::rehearsal::host::DisposableHost;
use plane::Plane;
use portable_pty::CommandBuilder;
use pty::Pty;
use support::lab;

/// How long one command may take, with packages to install on a busy machine.
const LIMIT: Duration = Duration::from_secs(600);

/// What builds or installs factoryup itself, and the file that runs it.
const ELSEWHERE: [(&str, &str, &str); 5] = [
    ("cargo run --release -- rehearse", ".ci/run", "cargo run --quiet --release --locked -- rehearse --yes"),
    ("cargo test", ".ci/run", "cargo test --quiet --locked"),
    ("cargo install --path .", "tests/install_sh/main.rs", "\"--from-source\""),
    ("sh install.sh --from-source .", "tests/install_sh/main.rs", "\"--from-source\""),
    ("nix run path:.", "tests/flake/main.rs", "default"),
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
    _keys: lab::Keys,
    plane: Plane,
    _host: DisposableHost,
    address: String,
}

impl Desk {
    fn new() -> Option<Self> {
        if !support::root() || !lab::can_host() || !support::need("bash") {
            return None;
        }
        let plane = Plane::start()?;
        let keys = lab::Keys::new();
        let mut host = lab::host(&keys);
        host.lead_back(plane.stand_in.port()).unwrap();
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir(at(".ssh")).unwrap();
        fs::copy(keys.path("id"), at(".ssh/id_ed25519")).unwrap();
        fs::copy(keys.path("id.pub"), at(".ssh/id_ed25519.pub")).unwrap();
        fs::create_dir(at("bin")).unwrap();
        symlink(env!("CARGO_BIN_EXE_factoryup"), at("bin/factoryup")).unwrap();
        fs::write(at(".gitconfig"), "[user]\n name = Ada Lovelace\n email = ada@example.org\n").unwrap();
        let address = host.address().to_string();
        Some(Self { home, _keys: keys, plane, _host: host, address })
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
            ("EDITOR", "true"),
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
        pty.answer("Address of the host", &self.address);
        pty.answer("Your public SSH key", "");
        pty.answer("URL of GitLab", &self.plane.url());
        pty.answer("GitLab group", "factory");
        for question in ["GitLab subscription", "Coding agent", "Use Cloudflare", "Is all of this right?"] {
            pty.answer(question, "");
        }
    }
}

fn type_line(pty: &mut Pty, line: &str) {
    pty.send(line).send("\r");
}

fn ends_with(pty: &mut Pty, code: u8) {
    pty.expect_within(LIMIT, &format!("<exit {code}> "));
}

#[test]
fn the_readme_is_typed_as_it_stands() {
    let Some(desk) = Desk::new() else { return };
    let mut typed = 0;
    let mut pty = desk.shell();
    for command in commands("README.md") {
        match command.as_str() {
            "factoryup init my-factory" => {
                type_line(&mut pty, &command);
                desk.answer_the_wizard(&mut pty, "my-factory");
                ends_with(&mut pty, 0);
            }
            "cd my-factory" => {
                type_line(&mut pty, &command);
                ends_with(&mut pty, 0);
            }
            "export FACTORYUP_GITLAB_TOKEN=…" => {
                type_line(&mut pty, &command.replace('…', &desk.plane.owner_token()));
                ends_with(&mut pty, 0);
            }
            "factoryup plan --diff" => {
                type_line(&mut pty, &command);
                pty.answer("Is that the right host?", "y");
                ends_with(&mut pty, 2);
            }
            "factoryup apply" => {
                type_line(&mut pty, &command);
                pty.expect_within(LIMIT, "to repo, host and gitlab?").send("y\r");
                ends_with(&mut pty, 0);
            }
            other => {
                let (_, file, text) = ELSEWHERE
                    .into_iter()
                    .find(|(command, ..)| *command == other)
                    .unwrap_or_else(|| panic!("README.md has a command that nothing types: {other}"));
                let there = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
                assert!(there.contains(text), "{file} does not run `{other}` any more");
                continue;
            }
        }
        typed += 1;
    }
    assert_eq!(typed, 5);
}
