//! A release from its making to its removal: `scripts/release` makes and publishes it, `curl | sh` installs it and starts the wizard,
//! `factoryup self` updates it, puts the former back and removes it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::download::{Server, machine};
use super::situation::{Machine, shells, version};
use crate::home::CTRL_C;
use crate::support::{self, copy_program, make_program};

/// Where the registry of the test has the releases, below the server's address.
const REGISTRY: &str = "api/v4/projects/7/packages/generic/factoryup";

/// What is asked from the download to a control repo without a host, and what is typed there before Enter.
const SETUP: [(&str, &str); 12] = [
    ("Go ahead? [Y/n] ", ""),
    ("my-factory? [Y/n] ", ""),
    ("Name of the factory", "acme"),
    ("Your name", "Ada"),
    ("Your e-mail address", "ada@example.org"),
    ("Where the agent works", "\u{1b}[B\u{1b}[B"),
    ("URL of GitLab", ""),
    ("GitLab group", ""),
    ("GitLab subscription", ""),
    ("Coding agent", ""),
    ("Use Cloudflare", ""),
    ("Is this correct?", ""),
];

/// A checkout of the project with nothing but what a release is made of.
struct Checkout {
    folder: PathBuf,
}

impl Checkout {
    fn new(machine: &Machine) -> Self {
        let folder = machine.path("checkout");
        fs::create_dir(&folder).unwrap();
        let all = [
            ".gitignore",
            "Cargo.toml",
            "Cargo.lock",
            "CHANGELOG.md",
            "README.md",
            "LICENSE",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "install.sh",
        ];
        for name in all.into_iter().chain(["scripts", "src", "crates", "benches"]) {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            assert!(Command::new("cp").arg("-r").arg(from).arg(&folder).status().unwrap().success());
        }
        let made = Self { folder };
        made.run("git", &["init", "--quiet"]);
        made
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(args).current_dir(&self.folder);
        command.envs([
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@b"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@b"),
            // A debug build is large, and nobody installs the package.
            ("DPKG_DEB_COMPRESSOR_TYPE", "none"),
        ]);
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let output = self.command(program, args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Makes a release of `program` as version `number`, signed with `key`, and publishes it to the server.
    fn release(&self, machine: &Machine, number: &str, program: &Path, key: &str, url: &str) {
        for file in ["Cargo.toml", "Cargo.lock"] {
            let text = fs::read_to_string(self.folder.join(file)).unwrap();
            let (head, rest) = text.split_once("name = \"factoryup\"\nversion = \"").unwrap();
            let rest = rest.split_once('"').unwrap().1;
            fs::write(self.folder.join(file), format!("{head}name = \"factoryup\"\nversion = \"{number}\"{rest}"))
                .unwrap();
        }
        let earlier = if number == env!("CARGO_PKG_VERSION") { "" } else { "\n## [0.0.1]\n" };
        let log = format!("# Changelog\n\n## [{number}]\n\n- A change.\n{earlier}");
        fs::write(self.folder.join("CHANGELOG.md"), log).unwrap();
        self.run("git", &["add", "."]);
        self.run("git", &["commit", "--quiet", "--message", number]);
        let release = self.folder.join("scripts/release");
        let release = release.to_str().unwrap();
        let target = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
        self.run(release, &["pack", &target, program.to_str().unwrap()]);
        self.run(release, &["finish", &format!("{url}/{REGISTRY}"), key]);
        let mut publish = self.command(release, &["publish"]);
        publish.env("CI_API_V4_URL", format!("{url}/api/v4")).env("CI_PROJECT_ID", "7");
        publish.env("CURL_CA_BUNDLE", machine.path("public.pem"));
        // By hand, a token comes in a file.
        if earlier.is_empty() {
            publish.env("CI_JOB_TOKEN", "job-token");
        } else {
            fs::write(machine.path("token"), "my-token\n").unwrap();
            publish.arg(machine.path("token"));
        }
        let published = publish.output().unwrap();
        assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    }

    /// Nothing is compiled or uploaded for a release that cannot be right.
    fn refuses(&self, args: &[&str], variable: (&str, &str), why: &str) {
        let mut command = self.command("scripts/release", args);
        command.env("CI_COMMIT_TAG", concat!("v", env!("CARGO_PKG_VERSION"))).env("CI_API_V4_URL", "https://localhost");
        command.env("CI_PROJECT_ID", "7").env("RELEASE_DIR", "/nonexistent").env(variable.0, variable.1);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{args:?}: {said}");
    }

    /// Nothing is compiled, signed or uploaded that the release did not make.
    fn refuses_what_cannot_be_right(&self, machine: &Machine, key: &str, url: &str) {
        self.refuses(&["ci-build"], ("CI_COMMIT_TAG", "v9.9.9"), "the tag is v9.9.9, but Cargo.toml has ");
        self.refuses(
            &["ci-publish"],
            ("RELEASE_KEY", "of-type-variable"),
            "RELEASE_KEY is not a variable of type File",
        );
        self.refuses(&["ci-publish"], ("RELEASE_KEY", "README.md"), "no OpenSSH private key without a passphrase");
        self.refuses(&["publish"], ("CI_API_V4_URL", "http://gitlab"), "http://gitlab is not https");
        self.refuses(&["publish"], ("CI_JOB_TOKEN", "job-token"), "is not signed: first finish it");
        let dist = self.folder.join("dist");
        let finish = ["finish", "https://localhost", key];
        let made = ("RELEASE_DIR", dist.to_str().unwrap());
        let files = dist.join(concat!("v", env!("CARGO_PKG_VERSION")));
        for name in ["factoryup-evil.deb", "install.sh release.json"] {
            fs::write(files.join(name), "").unwrap();
            self.refuses(&finish, made, "is no part of a release");
            fs::remove_file(files.join(name)).unwrap();
        }
        let bill = files.join(concat!("factoryup-", env!("CARGO_PKG_VERSION"), ".cdx.json"));
        fs::rename(&bill, machine.path("bill")).unwrap();
        symlink(key, &bill).unwrap();
        self.refuses(&finish, made, "is no part of a release");
        fs::rename(machine.path("bill"), &bill).unwrap();
        fs::write(files.join("factoryup.rb"), "changed").unwrap();
        self.run("scripts/release", &[&finish[..1], &[&format!("{url}/{REGISTRY}"), key]].concat());
        fs::write(files.join("factoryup.rb"), "changed").unwrap();
        self.refuses(&["publish"], made, "is not as it was signed");
        fs::write(self.folder.join("new"), "").unwrap();
        self.refuses(&["build", "any"], ("RELEASE_KEY", ""), "the work tree is not the commit");
        self.refuses(&finish, made, "the work tree is not the commit");
        self.run("git", &["add", "."]);
        self.run("git", &["commit", "--quiet", "--message", "Another commit"]);
        self.refuses(&finish, made, "is of another commit");
    }
}

/// Runs the installed program, without a terminal.
fn installed(machine: &Machine, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(machine.program());
    command.args(args).env_clear().current_dir("/");
    command.env("HOME", machine.home()).env("PATH", machine.path("bin"));
    command.env("CURL_CA_BUNDLE", machine.path("public.pem"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

fn itself(machine: &Machine, args: &[&str]) -> (i32, String) {
    installed(machine, &[&["self"], args].concat())
}

/// From `curl | SHELL` to a control repo, and back to the home as it was, except for what `uninstall` lists.
fn sets_up_and_goes_in_each_shell(machine: &Machine, download: &str) {
    let (before, state) = (machine.files(), machine.home().join(".local/state/factoryup"));
    for shell in shells() {
        machine.link_as(shell);
        let mut pty = machine.terminal(&format!("{download} | {shell}"));
        // The shell has no part in what follows the first question of the wizard.
        let whole = shell == "dash";
        for (question, keys) in if whole { &SETUP[..] } else { &SETUP[..3] } {
            pty.answer(question, keys);
        }
        pty.expect(if whole { "GitLab token of a group Owner" } else { "Your name" }).send(CTRL_C);
        let (code, shown) = pty.end();
        assert!(code == 130 && shown.contains("Checksum and signature match."), "{shell}: {code}: {shown}");
        assert_eq!(version(&machine.program()), concat!("factoryup ", env!("CARGO_PKG_VERSION")));
        let mut kept = vec![state.join("wizard-answers.toml")];
        if whole {
            assert!(shown.contains(" changes applied"), "{shown}");
            let (code, said) = installed(machine, &["rehearse", "--without-host"]);
            assert!(code == 0 && said.contains("control repo: "), "{code}: {said}");
            kept = vec![machine.home().join("my-factory"), state.join("acme"), state.join(".rehearsal")];
        }
        let (code, said) = itself(machine, &["uninstall", "--yes"]);
        assert!(code == 0, "{shell}: {code}: {said}");
        for path in kept {
            assert!(said.contains(path.to_str().unwrap()), "{shell}: {said}");
            fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path)).unwrap();
        }
        for folder in state.ancestors().take(3) {
            fs::remove_dir(folder).unwrap();
        }
        assert_eq!(machine.files(), before, "{shell}: {said}");
    }
}

#[test]
fn a_release_is_made_installed_updated_put_back_and_removed() {
    if !support::available(&["cargo", "curl", "git", "jq", "openssl", "python3", "ssh-keygen", "strip", "dpkg-deb"]) {
        return;
    }
    let (mut machine, certificate) = machine("dash");
    for tool in ["sh", "ls", "git", "env"] {
        machine.link(tool);
    }
    fs::remove_dir_all(machine.path("dist")).unwrap();
    fs::create_dir(machine.path("dist")).unwrap();
    let server = Server::start(&machine, Some(&certificate), "");
    let url = format!("https://localhost:{}", server.port);
    let checkout = Checkout::new(&machine);
    let key = machine.path("key").to_str().unwrap().to_owned();
    checkout.run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", &key]);

    // The next version is this program with another number in it.
    let (first, next) = (machine.path("first"), machine.path("next"));
    checkout.run("strip", &["-o", first.to_str().unwrap(), env!("CARGO_BIN_EXE_factoryup")]);
    let mut bytes = fs::read(&first).unwrap();
    let mine = env!("CARGO_PKG_VERSION").as_bytes();
    let places: Vec<_> =
        bytes.windows(mine.len()).enumerate().filter(|(_, at)| *at == mine).map(|(at, _)| at).collect();
    for at in places {
        bytes[at] = b'9';
    }
    make_program(&next, bytes);
    let newer = format!("9{}", &env!("CARGO_PKG_VERSION")[1..]);

    checkout.release(&machine, env!("CARGO_PKG_VERSION"), &first, &key, &url);
    let published = machine.path("dist").join(REGISTRY).join(concat!("v", env!("CARGO_PKG_VERSION")));
    assert_eq!(fs::read_to_string(published.join("token")).unwrap(), "job-token");
    checkout.refuses_what_cannot_be_right(&machine, &key, &url);
    let page = || fs::read_to_string(machine.path("dist/api/v4/projects/7/releases")).unwrap();
    assert!(page().contains("- A change.") && page().contains("\"/SHA256SUMS.sig\""), "{}", page());
    let nix: Value = serde_json::from_slice(&fs::read(published.join("release.json")).unwrap()).unwrap();
    let archive = &nix["archives"][format!("{}-linux", std::env::consts::ARCH)];
    let listed = fs::read_to_string(published.join("SHA256SUMS")).unwrap();
    assert!(archive["url"].as_str().unwrap().starts_with(&url) && listed.contains(archive["sha256"].as_str().unwrap()));
    // With ssh-keygen and sha256sum alone, as the guide says.
    let public = fs::read_to_string(format!("{key}.pub")).unwrap();
    let check = format!(
        "cd '{}' && sha256sum --quiet --check SHA256SUMS && echo 'release {}' >'{}' && ssh-keygen -Y verify -f '{2}' -I release -n factoryup -s SHA256SUMS.sig <SHA256SUMS",
        published.display(),
        public.trim(),
        machine.path("signers").display()
    );
    checkout.run("sh", &["-c", &check]);

    let before = machine.files();
    let download = format!("curl -fsSL {url}/{REGISTRY}/latest/install.sh");
    sets_up_and_goes_in_each_shell(&machine, &download);

    let mut pty = machine.terminal(&format!("{download} | dash"));
    pty.answer("Go ahead? [Y/n] ", "").answer("my-factory? [Y/n] ", "n");
    let (code, shown) = pty.end();
    assert_eq!(code, 0, "{shown}");
    assert!(itself(&machine, &["update", "--check"]).1.contains("is the newest release"));
    assert_eq!(itself(&machine, &["update", "--yes"]).0, 0);
    assert!(itself(&machine, &["rollback", "--yes"]).1.contains("no former program is kept"));

    checkout.release(&machine, &newer, &next, &key, &url);
    assert!(page().contains("- A change.") && !page().contains("0.0.1"), "{}", page());
    let token = fs::read_to_string(machine.path("dist").join(REGISTRY).join("latest/token")).unwrap();
    assert_eq!(token, "my-token");
    let (code, said) = itself(&machine, &["update", "--check"]);
    assert!(code == 2 && said.contains(&format!("factoryup {newer} has been released")), "{code}: {said}");
    assert_eq!(itself(&machine, &["update"]).0, 64, "nobody was asked");
    let (code, said) = itself(&machine, &["update", "--yes"]);
    assert!(code == 0 && said.contains("Checksum and signature match."), "{code}: {said}");
    assert_eq!(version(&machine.program()), format!("factoryup {newer}"));
    for there in [env!("CARGO_PKG_VERSION"), &newer] {
        assert_eq!(itself(&machine, &["rollback", "--yes"]).0, 0);
        assert_eq!(version(&machine.program()), format!("factoryup {there}"));
    }

    // Another one's list, and an older list of ours, as a server in between may send them.
    let latest = machine.path("dist").join(REGISTRY).join("latest");
    let forged = latest.with_file_name("v99.0.0");
    let held = fs::read_to_string(latest.join("SHA256SUMS")).unwrap().replace(&newer, "99.0.0");
    fs::create_dir(&forged).unwrap();
    fs::copy(published.join("SHA256SUMS.sig"), forged.join("SHA256SUMS.sig")).unwrap();
    for folder in [&latest, &forged] {
        fs::write(folder.join("SHA256SUMS"), &held).unwrap();
    }
    for what in [&["update", "--yes"][..], &["update", "--check"]] {
        let (code, said) = itself(&machine, what);
        assert!(
            code == 65 && said.contains("the signature is not by that key; nothing was installed\n"),
            "{code}: {said}"
        );
        assert!(said.contains("because: ssh-keygen says: ") && !said.contains("next:"), "{said}");
    }
    fs::copy(published.join("SHA256SUMS"), latest.join("SHA256SUMS")).unwrap();
    let (code, said) = itself(&machine, &["update", "--yes"]);
    assert!(code == 65 && said.contains(&format!("older than {newer}")), "{code}: {said}");
    machine.set("CURL_CA_BUNDLE", machine.path("public.pem"));
    machine.run(&["--update", "--yes"]).expect(65).says(&format!("older than {newer}"));
    assert_eq!(version(&machine.program()), format!("factoryup {newer}"));

    let (code, said) = itself(&machine, &["uninstall", "--yes"]);
    assert_eq!((code, machine.files()), (0, before), "{said}");
}

#[test]
fn what_another_way_installed_is_left_to_it() {
    for what in [&["update", "--yes"][..], &["rollback", "--yes"], &["uninstall", "--yes"]] {
        let machine = Machine::new("dash");
        machine.link("sh");
        fs::create_dir_all(machine.program().parent().unwrap()).unwrap();
        fs::hard_link(env!("CARGO_BIN_EXE_factoryup"), machine.program())
            .unwrap_or_else(|_| copy_program(env!("CARGO_BIN_EXE_factoryup"), machine.program()));
        let (code, said) = itself(&machine, what);
        assert!(code == 65 && said.contains("this script"), "{what:?}: {code}: {said}");
        assert!(machine.program().exists());
        // Under another name it would remove the one that has the name.
        let renamed = machine.program().with_file_name("factoryup-old");
        fs::rename(machine.program(), &renamed).unwrap();
        let output = Command::new(&renamed).arg("self").args(what).env("HOME", machine.home()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(65) && said.contains("looks after factoryup"), "{said}");
    }
}
