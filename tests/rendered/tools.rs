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
        let curl = "#!/bin/sh\necho \"$*\" >>\"$(dirname \"$0\")/asked\"\nwhile [ $# -gt 1 ]; do [ \"$1\" != -o ] || out=$2; shift; done\n\
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

    // What an earlier version of the script left: a folder of this tool, one that is in use, and one of another tool.
    for left in ["gadget-0.9", "gadget-0.8", "gadgets-0.9"] {
        fs::create_dir_all(bench.home(".local/lib/toolchain").join(left)).unwrap();
    }
    let in_use = bench.home(".local/lib/toolchain/gadget-0.8/gadget");
    std::os::unix::fs::symlink(in_use, bench.home(".local/bin/gadget.orig")).unwrap();
    bench.publish("2.0.0", "package/bin/gadget", "two");
    assert!(stdout(&bench.tools(&["list"])).contains(", not the version of toolchain.lock\n"));
    passed(&bench.tools(&["install", "gadget"]));
    assert_eq!(bench.gadget(), "two\nbeside\n");
    let mut kept: Vec<_> =
        fs::read_dir(bench.home(".local/lib/toolchain")).unwrap().map(|e| e.unwrap().file_name()).collect();
    kept.sort();
    assert_eq!(kept, [".lock", "gadget", "gadget-0.8", "gadget.lock", "gadgets-0.9"]);
    assert_eq!(fs::read_dir(bench.home(".local/lib/toolchain/gadget")).unwrap().count(), 1);
    let asked = fs::read_to_string(bench.repo.path().join("../programs/asked")).unwrap();
    for limit in ["--connect-timeout 10 ", "--max-time 300 ", "--retry-max-time 900 "] {
        assert!(asked.lines().all(|line| line.contains(limit)), "{limit}: {asked}");
    }

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

#[test]
fn a_program_that_is_not_the_one_of_the_lock_is_replaced() {
    if !support::available(&["git", "tar"]) {
        return;
    }
    let bench = Bench::new();
    let list = || {
        let all = stdout(&bench.tools(&["list"]));
        all.lines().find_map(|line| line.strip_prefix("gadget ")).unwrap().trim().to_owned()
    };
    let installed = bench.home(".local/bin/gadget");
    let is_current = format!("{}/../home/.local/bin/gadget", bench.repo.path().display());
    // Both came from elsewhere: one of the system's, and one where ours goes. Neither is what the lock names.
    bench.publish("1.0.0", "package/bin/gadget", "one");
    let old = bench.repo.path().join("../programs/gadget");
    make_program(&old, "#!/bin/sh\necho old\n");
    fs::create_dir_all(installed.parent().unwrap()).unwrap();
    make_program(&installed, "#!/bin/sh\necho mine\n");
    assert_eq!(list(), format!("{is_current}, not the version of toolchain.lock"));
    let said = passed(&bench.tools(&["install", "gadget"]));
    assert!(said.contains("came from elsewhere: it is now ") && said.contains("/.local/bin/gadget.orig"), "{said}");
    assert_eq!((bench.gadget(), list()), ("one\nbeside\n".into(), is_current.clone()));
    assert!(fs::read_to_string(bench.home(".local/bin/gadget.orig")).unwrap().contains("mine"));
    // The other scripts find it too.
    let script = bench.repo.path().join("scripts/find");
    make_program(&script, "#!/bin/sh\ncd \"$(dirname \"$0\")/..\"\n. scripts/lib.sh\ncommand -v gadget\n");
    let path = format!("{}:/usr/bin:/bin", old.parent().unwrap().display());
    let mut find = bench.repo.command(script.to_str().unwrap());
    assert_eq!(
        passed(&find.env("HOME", bench.repo.path().join("../home")).env("PATH", path).output().unwrap()).trim(),
        is_current
    );
    fs::remove_file(script).unwrap();

    // One that was replaced later, by a file, by a link, or in what lies beside it.
    let program = fs::canonicalize(&installed).unwrap();
    let beside = program.with_file_name("data");
    for deed in
        [&|| make_program(&program, "#!/bin/sh\necho evil\n"), &|| fs::write(&beside, "evil\n").unwrap(), &|| {
            fs::remove_file(&installed).unwrap();
            std::os::unix::fs::symlink(&old, &installed).unwrap();
        }] as [&dyn Fn(); 3]
    {
        if program.exists() {
            deed();
            assert_eq!(list(), format!("{is_current}, not the version of toolchain.lock"));
        }
        passed(&bench.tools(&["install", "gadget"]));
        assert_eq!((bench.gadget(), list()), ("one\nbeside\n".into(), is_current.clone()));
    }
}

#[test]
fn a_killed_installation_leaves_the_program_of_before() {
    if !support::available(&["git", "tar"]) {
        return;
    }
    let bench = Bench::new();
    bench.publish("1.0.0", "gadget", "one");
    passed(&bench.tools(&["install", "gadget"]));
    for (version, says, last) in [("2.0.0", "two", "bin/gadget"), ("3.0.0", "three", "toolchain/gadget.lock")] {
        let before = bench.gadget();
        bench.publish(version, "gadget", says);
        let kill = bench.repo.path().join("../programs/mv");
        let text = format!(
            "#!/bin/sh\nfor last; do :; done\ncase $last in *{last}) kill -9 $PPID ;; *) exec /bin/mv \"$@\" ;; esac\n"
        );
        make_program(&kill, text);
        assert!(!bench.tools(&["install", "gadget"]).status.success());
        if last == "bin/gadget" {
            assert_eq!(bench.gadget(), before);
        }
        assert!(stdout(&bench.tools(&["list"])).contains(", not the version of toolchain.lock\n"));
        fs::remove_file(&kill).unwrap();
        passed(&bench.tools(&["install", "gadget"]));
        assert_eq!(bench.gadget(), format!("{says}\nbeside\n"));
        let left = fs::read_dir(bench.home(".local/lib/toolchain/gadget")).unwrap().count();
        assert_eq!(left, 1);
    }
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
    assert_eq!(names("everything"), ["tofu", "sops", "claude", "codex", "cloudflared"]);
    assert_eq!(names("corporate"), ["terraform", "codex", "glab", "cloudflared"]);
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
