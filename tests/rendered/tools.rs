//! `scripts/tools` and `scripts/setup`: what is installed is what `toolchain.lock` names, and a commit is looked through for secrets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use sha2::{Digest as _, Sha256};

use crate::control_repo::{ControlRepo, passed, stdout, text};
use crate::support::{self, make_program};

/// A control repo, and a folder whose files `curl` brings, by the last part of their address.
struct Bench {
    repo: ControlRepo,
    mirror: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let repo = ControlRepo::new("everything");
        let mirror = repo.path().join("../mirror");
        let programs = repo.path().join("../programs");
        fs::create_dir_all(&mirror).unwrap();
        fs::create_dir_all(&programs).unwrap();
        let curl = "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" != -o ] || out=$2; shift; done\n\
                    cp \"$(dirname \"$0\")/../mirror/${1##*/}\" \"$out\"\n";
        // The script asks for unzip too, whatever the archive; here none is a zip.
        for (name, text) in [("curl", curl), ("unzip", "#!/bin/sh\nexit 1\n")] {
            make_program(programs.join(name), text);
        }
        Self { repo, mirror }
    }

    /// As somebody who is not root and has none of the tools.
    fn tools(&self, arguments: &[&str]) -> Output {
        let home = self.repo.path().join("../home");
        fs::create_dir_all(&home).unwrap();
        let id = "#!/bin/sh\necho 1000\n";
        let programs = self.repo.path().join("../programs");
        make_program(programs.join("id"), id);
        let script = self.repo.path().join("scripts/tools");
        let mut command = self.repo.command(script.to_str().unwrap());
        command.args(arguments).env("HOME", home).env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        command.output().unwrap()
    }

    /// Puts an archive with one program in the mirror and its line into toolchain.lock.
    fn publish(&self, version: &str, inside: &str, says: &str) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(inside);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        make_program(
            &program,
            format!("#!/bin/sh\necho {says}; cat \"$(dirname \"$(readlink -f \"$0\")\")/data\" 2>/dev/null || true\n"),
        );
        fs::write(program.with_file_name("data"), "beside\n").unwrap();
        let archive = self.mirror.join(format!("gadget-{version}.tgz"));
        passed(&self.repo.run(&["tar", "-czf", archive.to_str().unwrap(), "-C", folder.path().to_str().unwrap(), "."]));
        let sum: String = Sha256::digest(fs::read(&archive).unwrap())
            .iter()
            .fold(String::new(), |sum, byte| sum + &format!("{byte:02x}"));
        let lock: Vec<String> =
            self.repo.read("toolchain.lock").lines().filter(|l| !l.starts_with("gadget ")).map(str::to_owned).collect();
        let line =
            |platform: &str| format!("gadget {version} {platform} {sum} https://example.org/gadget-{version}.tgz\n");
        self.repo.write("toolchain.lock", &(lock.join("\n") + "\n" + &line("linux-amd64") + &line("linux-arm64")));
    }

    fn gadget(&self) -> String {
        passed(&self.repo.run(&[self.home(".local/bin/gadget").to_str().unwrap()]))
    }

    fn home(&self, below: &str) -> PathBuf {
        self.repo.path().join("../home").join(below)
    }
}

#[test]
fn what_is_installed_is_what_the_lock_names_and_follows_it() {
    if !support::available(&["git", "tar"]) {
        return;
    }
    let bench = Bench::new();
    bench.publish("1.0.0", "package/bin/gadget", "one");
    assert!(stdout(&bench.tools(&["list"])).contains("gadget       missing\n"));
    passed(&bench.tools(&["install", "gadget"]));
    assert_eq!(bench.gadget(), "one\nbeside\n");
    assert_eq!(stdout(&bench.tools(&["install", "gadget"])), "", "it is there already");

    bench.publish("2.0.0", "package/bin/gadget", "two");
    assert!(stdout(&bench.tools(&["list"])).contains(", not the version of toolchain.lock\n"));
    passed(&bench.tools(&["install", "gadget"]));
    assert_eq!(bench.gadget(), "two\nbeside\n");
    let kept: Vec<_> =
        fs::read_dir(bench.home(".local/lib/toolchain")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");

    // Another download than the lock names: nothing changes.
    bench.publish("3.0.0", "gadget", "three");
    fs::write(bench.mirror.join("gadget-3.0.0.tgz"), "not it").unwrap();
    let refused = bench.tools(&["install", "gadget"]);
    assert_eq!(refused.status.code(), Some(65), "{}", text(&refused));
    assert!(
        text(&refused).contains("gadget 3.0.0: the download is not what toolchain.lock says"),
        "{}",
        text(&refused)
    );
    assert_eq!(bench.gadget(), "two\nbeside\n");
    assert_eq!(bench.tools(&["install", "nothing"]).status.code(), Some(64));

    // For another machine.
    bench.publish("4.0.0", "gadget", "four");
    let there = bench.home("there");
    fs::create_dir_all(&there).unwrap();
    passed(&bench.tools(&["download", "gadget", "linux-arm64", there.to_str().unwrap()]));
    assert!(is_executable(&there.join("gadget")));
    let missing = bench.tools(&["download", "gadget", "linux-mips", there.to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(69), "{}", text(&missing));
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).unwrap().permissions().mode() & 0o111 == 0o111
}

#[test]
fn the_lock_names_the_agents_programs_and_its_form_is_checked() {
    if !support::available(&["git", "jq", "yamllint"]) {
        return;
    }
    let names = |answers: &str| -> Vec<String> {
        let lock = ControlRepo::new(answers).read("toolchain.lock");
        lock.lines().filter(|l| l.contains("linux-amd64")).map(|l| l.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(names("everything"), ["tofu", "sops", "claude", "codex"]);
    assert_eq!(names("corporate"), ["terraform", "codex"]);
    let repo = ControlRepo::new("everything");
    let lock = repo.read("toolchain.lock");
    // The programs that the tests of the settings run are these.
    let installed = include_str!("../support/tools.txt");
    for (tool, package) in [("claude", "@anthropic-ai/claude-code@"), ("codex", "@openai/codex@")] {
        let version = lock.lines().find(|l| l.starts_with(tool)).unwrap().split(' ').nth(1).unwrap();
        assert!(
            installed.contains(&format!("npm {package}{version} ")),
            "{tool} {version} is not what .ci/run installs"
        );
    }
    for (wrong, why) in [
        (lock.replace("https://registry", "http://registry"), "has to be name, version, platform"),
        (lock.replacen("linux-arm64", "linux-amd64", 1), "stands there twice"),
    ] {
        repo.write("toolchain.lock", &wrong);
        let output = repo.run(&["scripts/check", "formats"]);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
    }
}

#[test]
fn a_secret_is_stopped_before_it_is_committed() {
    if !support::available(&["git"]) {
        return;
    }
    let repo = ControlRepo::new("everything");
    passed(&repo.run(&["scripts/setup"]));
    let secret = format!("glpat-{}", "iK2ZWeqhFWCEPyYngFb5");
    let commit = || {
        let identity = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"];
        repo.run(&[&identity[..], &["commit", "-qm", "more"]].concat())
    };
    repo.write("notes ü.txt", &format!("one\n{secret}\n"));
    repo.git(&["add", "."]);
    // What counts is what would be committed, not what lies there by now.
    repo.write("notes ü.txt", "one\n");
    let refused = commit();
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("notes ü.txt:2: looks like a secret"), "{}", text(&refused));
    assert!(!text(&refused).contains(&secret), "the guard prints what it found");
    repo.git(&["add", "."]);
    repo.write("later.txt", &secret);
    passed(&commit());
    repo.write("secrets/production/app.yaml", "token: plain\n");
    repo.git(&["add", "secrets"]);
    assert!(text(&commit()).contains("secrets/production/app.yaml: not encrypted"));

    // Somebody's own hook stays, and is named.
    let hook = repo.path().join(".git/hooks/pre-commit");
    passed(&repo.run(&["scripts/setup"]));
    fs::write(&hook, "#!/bin/sh\n").unwrap();
    let kept = repo.run(&["scripts/setup"]);
    assert_eq!(kept.status.code(), Some(73), "{}", text(&kept));
    assert_eq!(fs::read_to_string(&hook).unwrap(), "#!/bin/sh\n");
    repo.git(&["config", "core.hooksPath", "/somewhere"]);
    assert_eq!(repo.run(&["scripts/setup"]).status.code(), Some(65));
}
