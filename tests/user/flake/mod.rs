//! `flake.nix`, evaluated by a real Nix against a strict stand-in for nixpkgs, and once built and run with this machine's cargo.
//!
//! The stand-in (`nixpkgs-stub/`) knows only names that nixpkgs has and forces every argument. What it cannot show: that each
//! package still has that name in today's nixpkgs, and that the build succeeds in Nix's sandbox.

use crate::support;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use regex_lite::Regex;
use serde_json::{Value, json};

const SYSTEMS: [&str; 3] = ["aarch64-darwin", "aarch64-linux", "x86_64-linux"];

/// A checkout with the flake and a Nix with a store of its own, both in `folder`.
struct Flake {
    folder: PathBuf,
}

impl Flake {
    fn copy_to(folder: &Path) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for entry in fs::read_dir(root).unwrap() {
            let name = entry.unwrap().file_name();
            if name != "target" && name != ".git" && name != ".ci" {
                copy(&root.join(&name), &folder.join("flake").join(&name));
            }
        }
        copy(&root.join("tests/user/flake/nixpkgs-stub"), &folder.join("nixpkgs"));
        // Gigabytes, as a rule.
        fs::create_dir_all(folder.join("flake/target")).unwrap();
        fs::write(folder.join("flake/target/left-over"), "").unwrap();
        for words in [&["init", "--quiet"][..], &["add", "."]] {
            let git = Command::new("git").args(words).current_dir(folder.join("flake")).status().unwrap();
            assert!(git.success(), "git {words:?}");
        }
        Self { folder: folder.to_owned() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let place = |name: &str| self.folder.join(name);
        let mut command = Command::new("nix");
        command.current_dir(place("flake")).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        for (name, folder) in [
            ("HOME", "home"),
            ("NIX_CONF_DIR", "etc"),
            ("NIX_STORE_DIR", "store"),
            ("NIX_STATE_DIR", "var"),
            ("NIX_LOG_DIR", "log"),
        ] {
            fs::create_dir_all(place(folder)).unwrap();
            command.env(name, place(folder));
        }
        command.args(["--extra-experimental-features", "nix-command flakes"]).args(words);
        command.args(["--offline", "--no-write-lock-file", "--override-input", "nixpkgs"]);
        command.arg(format!("path:{}", place("nixpkgs").display()));
        command
    }

    /// Everything that can be checked without building; else what Nix complains about. `nix flake check` of Nix 2.8 leaves the
    /// formatter out.
    fn check(&self) -> Result<(), String> {
        for words in [&["flake", "check", "--no-build"][..], &["eval", "--raw", ".#formatter.x86_64-linux.drvPath"]] {
            let output = self.command(words).output().unwrap();
            if !output.status.success() {
                return Err(String::from_utf8(output.stderr).unwrap());
            }
        }
        Ok(())
    }

    fn eval(&self, output: &str, apply: &str) -> Value {
        json_of(&self.command(&["eval", "--json", &format!(".{output}"), "--apply", apply]).output().unwrap())
    }

    fn edit(&self, from: &str, to: &str) {
        let file = self.folder.join("flake/flake.nix");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "flake.nix no longer holds {from:?}");
        fs::write(file, text.replacen(from, to, 1)).unwrap();
    }
}

impl Drop for Flake {
    /// Nix takes the right to write from what is in its store, without which only root can remove it.
    fn drop(&mut self) {
        let _ = Command::new("chmod").args(["-R", "u+w"]).arg(&self.folder).status();
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
    } else {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    }
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn flake() -> Option<(tempfile::TempDir, Flake)> {
    if !support::available(&["git", "nix"]) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let flake = Flake::copy_to(folder.path());
    Some((folder, flake))
}

#[test]
fn evaluates_on_every_system() {
    let Some((_folder, flake)) = flake() else { return };
    flake.check().unwrap_or_else(|complaint| panic!("{complaint}"));
    let paths = "builtins.mapAttrs (system: builtins.mapAttrs (name: one: one.drvPath))";
    for output in ["#packages", "#devShells", "#checks"] {
        let found = flake.eval(output, paths);
        assert_eq!(names(&found), SYSTEMS);
        for (system, outputs) in found.as_object().unwrap() {
            for (name, path) in outputs.as_object().unwrap() {
                let path = path.as_str().unwrap();
                assert_eq!(Path::new(path).extension(), Some(OsStr::new("drv")), "{output}.{system}.{name} is {path}");
            }
        }
    }
    assert_eq!(names(&flake.eval("#formatter", "builtins.mapAttrs (system: one: one.drvPath)")), SYSTEMS);
    let program = flake.eval("#apps.x86_64-linux.default", "app: baseNameOf app.program");
    assert_eq!(program, json!("factoryup"));
}

#[test]
fn shows_the_outputs_that_a_user_expects() {
    let Some((_folder, flake)) = flake() else { return };
    let shown = json_of(&flake.command(&["flake", "show", "--json"]).output().unwrap());
    assert_eq!(names(&shown), ["apps", "checks", "devShells", "formatter", "overlays", "packages"]);
    for system in SYSTEMS {
        let packages = if system.ends_with("linux") { &["default", "static"][..] } else { &["default"] };
        assert_eq!(names(&shown["packages"][system]), packages);
        assert_eq!(shown["packages"][system]["default"]["name"], concat!("factoryup-", env!("CARGO_PKG_VERSION")));
        assert_eq!(names(&shown["checks"][system]), ["build", "clippy", "fmt", "shellcheck", "templates"]);
        assert_eq!(shown["apps"][system]["default"]["type"], "app");
        assert_eq!(names(&shown["devShells"][system]), ["default"]);
    }
}

#[test]
fn builds_from_what_the_crate_needs_and_nothing_else() {
    let Some((_folder, flake)) = flake() else { return };
    let source = flake.eval("#packages.x86_64-linux.default", "package: \"${package.src}\"");
    let mut held: Vec<_> =
        fs::read_dir(source.as_str().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    held.sort();
    let needed = vec![
        "Cargo.lock",
        "Cargo.toml",
        "benches",
        "clippy.toml",
        "crates",
        "deny.toml",
        "install.sh",
        "rustfmt.toml",
        "src",
        "templates",
        "tests",
    ];
    assert_eq!(held, needed);
    let missing: Vec<_> =
        included().into_iter().filter(|file| !Path::new(source.as_str().unwrap()).join(file).exists()).collect();
    assert_eq!(missing, Vec::<PathBuf>::new());
}

#[test]
fn the_stand_in_catches_a_wrong_name() {
    for (right, wrong, complaint) in [
        ("pkgs.clippy\n", "pkgs.clipy\n", "clipy"),
        ("[ pkgs.clippy ]", "[ pkgs.clipy ]", "clipy"),
        ("[ pkgs.shellcheck ]", "[ pkgs.shelcheck ]", "shelcheck"),
        ("pkgs.nixfmt-tree", "pkgs.nixfmt-forest", "nixfmt-forest"),
        ("          installShellFiles,\n", "          installShellFile,\n", "installShellFile"),
        ("buildNoDefaultFeatures", "buildNoDefaultFeature", "buildNoDefaultFeature"),
        ("lib.licenses.asl20", "lib.licenses.apache", "apache"),
        ("mainProgram = ", "mainProgramm = ", "mainProgram"),
        ("lib.platforms.unix", "lib.platforms.unixes", "unixes"),
        ("./rustfmt.toml", "./rustfmt.yaml", "rustfmt.yaml"),
        ("cargoLock.lockFile = ./Cargo.lock", "cargoLock.lockFile = ./cargo.lock", "assertion"),
        ("inputsFrom", "inputFrom", "inputFrom"),
        ("\"aarch64-darwin\"", "\"x86_64-darwin\"", "dropped support"),
        ("            pkgs.age\n", "            pkgs.age\n            pkgs.nftables\n", "nftables"),
    ] {
        let Some((_folder, flake)) = flake() else { return };
        flake.edit(right, wrong);
        let Err(stderr) = flake.check() else { panic!("{wrong} passed") };
        assert!(stderr.contains(complaint), "{wrong}: {stderr}");
    }
}

#[test]
fn nix_run_builds_and_starts_the_program_and_its_checks_pass() {
    if !support::time()
        || !support::available(&["cargo-clippy", "cargo-fmt", "cc", "jq", "pkg-config", "shellcheck", "yamllint"])
    {
        return;
    }
    let Some((_folder, flake)) = flake() else { return };
    let home = std::env::home_dir().unwrap();
    let setting = |name: &str, folder: &str| std::env::var(name).unwrap_or(home.join(folder).display().to_string());
    // What was built stays for the next time; Nix has no way to see that it is there.
    let host = json!({
        "path": std::env::var("PATH").unwrap(),
        "home": home,
        "cargoHome": setting("CARGO_HOME", ".cargo"),
        "rustupHome": setting("RUSTUP_HOME", ".rustup"),
        "work": Path::new(env!("CARGO_TARGET_TMPDIR")).join("nix-run"),
    });
    fs::write(flake.folder.join("nixpkgs/host.json"), host.to_string()).unwrap();
    let system = format!("{}-linux", std::env::consts::ARCH);
    let here = ["--option", "sandbox", "false", "--option", "build-users-group", ""];

    let output = flake.command(&["run", "."]).args(here).args(["--", "--version"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), concat!("factoryup ", env!("CARGO_PKG_VERSION"), "\n"));
    // What the sources of a flake are copied to has no build in it.
    for entry in fs::read_dir(flake.folder.join("store")).unwrap().map(Result::unwrap) {
        assert!(!entry.path().join("target").exists(), "{}", entry.path().display());
    }
    let package = flake.eval(&format!("#packages.{system}.default"), "package: \"${package}\"");
    let mut shared: Vec<_> = fs::read_dir(Path::new(package.as_str().unwrap()).join("share"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    shared.sort();
    let pages = ["factoryup-app-add.1", "factoryup-plan.1", "factoryup.1"];
    assert!(pages.iter().all(|page| shared.iter().any(|file| file == page)), "{shared:?}");
    shared.retain(|file| !file.to_string_lossy().ends_with(".1"));
    assert_eq!(shared, ["factoryup.bash", "factoryup.fish", "factoryup.zsh"]);

    for check in ["clippy", "fmt", "shellcheck", "templates"] {
        let check = format!(".#checks.{system}.{check}");
        let output = flake.command(&["build", "--no-link", "--print-build-logs", &check]).args(here).output().unwrap();
        assert!(output.status.success(), "{check}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn bin_is_the_program_of_the_last_release() {
    if !support::available(&["tar"]) {
        return;
    }
    let Some((folder, flake)) = flake() else { return };
    let tree = folder.path().join("tree");
    let files = ["factoryup", "completions/factoryup.bash", "completions/factoryup.fish", "completions/_factoryup"];
    for file in files.into_iter().chain(["man/factoryup.1"]) {
        fs::create_dir_all(tree.join(file).parent().unwrap()).unwrap();
        fs::write(tree.join(file), "#!/bin/sh\necho 'factoryup 0.9.0'\n").unwrap();
    }
    let archive = folder.path().join("factoryup-0.9.0.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive).arg("-C").arg(&tree).args(["factoryup", "completions", "man"]);
    assert!(tar.status().unwrap().success());
    let sum = String::from_utf8(Command::new("sha256sum").arg(&archive).output().unwrap().stdout).unwrap();
    let system = format!("{}-linux", std::env::consts::ARCH);
    let release = |sum: &str| {
        let from = json!({"url": format!("file://{}", archive.display()), "sha256": sum});
        let release = json!({"version": "0.9.0", "archives": {&system: from}});
        fs::write(flake.folder.join("flake/release.json"), release.to_string()).unwrap();
        let git = Command::new("git").args(["add", "."]).current_dir(flake.folder.join("flake")).status().unwrap();
        assert!(git.success());
    };
    release(&sum[..64]);
    flake.check().unwrap_or_else(|complaint| panic!("{complaint}"));
    assert_eq!(names(&flake.eval("#packages.aarch64-darwin", "builtins.mapAttrs (_: _: 1)")), ["default"]);

    let host = json!({"path": std::env::var("PATH").unwrap(), "home": "/", "cargoHome": "/", "rustupHome": "/"});
    fs::write(flake.folder.join("nixpkgs/host.json"), host.to_string()).unwrap();
    let bin = format!("#packages.{system}.bin");
    let build = || {
        let here = ["--no-link", "--option", "sandbox", "false", "--option", "build-users-group", ""];
        flake.command(&["build", &format!(".{bin}")]).args(here).output().unwrap()
    };
    let made = build();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let path = flake.eval(&bin, "package: \"${package}\"");
    let program = Command::new(Path::new(path.as_str().unwrap()).join("bin/factoryup")).output().unwrap();
    assert_eq!(String::from_utf8(program.stdout).unwrap(), "factoryup 0.9.0\n");

    release(&"0".repeat(64));
    let refused = String::from_utf8(build().stderr).unwrap();
    assert!(refused.contains("hash mismatch"), "{refused}");
}

/// What the compiler reads besides the modules it finds by itself, as written in the code.
fn included() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = Regex::new(r#"include(?:_str|_bytes)?!\(\s*"([^"]+)"|#\[path = "([^"]+)"\]"#).unwrap();
    let (mut found, mut open) = (Vec::new(), ["benches", "src", "tests"].map(|folder| root.join(folder)).to_vec());
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if path.extension() == Some(OsStr::new("rs")) {
                for name in named.captures_iter(&fs::read_to_string(&path).unwrap()) {
                    let name = name.get(1).or(name.get(2)).unwrap().as_str();
                    let file =
                        folder.join(name).canonicalize().unwrap_or_else(|e| panic!("{}: {name}: {e}", path.display()));
                    found.push(file.strip_prefix(root.canonicalize().unwrap()).unwrap().to_owned());
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

#[test]
fn the_crates_package_has_all_that_the_code_includes() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["package", "--list", "--package", "factoryup", "--allow-dirty", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let list = String::from_utf8(cargo.output().unwrap().stdout).unwrap();
    let packed: BTreeSet<_> = list.lines().map(Path::new).collect();
    assert!(packed.contains(Path::new("src/lib.rs")), "{list}");
    let included = included();
    assert!(included.len() > 30, "{included:?}");
    // What tests share with the other members is in the repository only, like those.
    let own = included.iter().filter(|file| !file.starts_with("crates"));
    let missing: Vec<_> = own.filter(|file| !packed.contains(file.as_path())).collect();
    assert_eq!(missing, Vec::<&PathBuf>::new());
}
