//! The contestants: the same project for each, as it is before the upgrade.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::{itself, pack};

const ANSWERS: &str = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                       [host]\nkind = \"none\"\n[gitlab]\ngroup = \"acme\"\n";

/// Everything for one size.
pub struct Bench {
    files: usize,
    folder: TempDir,
    bin: PathBuf,
}

impl Bench {
    pub const CONTESTANTS: [&str; 5] =
        ["factoryup, a branch", "factoryup, in place", "copier update", "cruft update", "cp -r of the changed files"];

    pub fn new(files: usize, bin: &Path) -> Self {
        let bench = Self { files, folder: tempfile::tempdir().unwrap(), bin: bin.to_owned() };
        fs::create_dir(bench.path("home")).unwrap();
        fs::write(bench.path("gitconfig"), "[user]\n\tname = U\n\temail = u@x\n[init]\n\tdefaultBranch = main\n")
            .unwrap();
        bench.make_ours();
        if files <= 1200 {
            bench.make_copiers();
            bench.make_crufts();
        }
        bench.make_changed();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: impl AsRef<Path>, dir: &str) -> Command {
        let mut command = Command::new(program.as_ref());
        let path = format!("{}:{}", self.bin.display(), std::env::var("PATH").unwrap());
        command.env_clear().env("PATH", path).env("HOME", self.path("home"));
        command.env("GIT_CONFIG_GLOBAL", self.path("gitconfig")).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("XDG_STATE_HOME", self.path("state")).env("TMPDIR", self.folder.path()).env("LC_ALL", "C.UTF-8");
        command.current_dir(self.path(dir));
        command
    }

    fn git(&self, dir: &str, arguments: &[&str]) {
        run(self.command("git", dir).args(arguments));
    }

    fn commit(&self, dir: &str, message: &str) {
        self.git(dir, &["add", "-A"]);
        self.git(dir, &["commit", "-qm", message]);
    }

    fn make_ours(&self) {
        for version in [1, 2] {
            pack::write_ours(self.files, version, &self.path(&format!("pack-{version}")));
        }
        fs::create_dir(self.path("ours")).unwrap();
        fs::write(self.path("ours/factory.toml"), ANSWERS).unwrap();
        run(self
            .command(itself(), "")
            .arg("as-factoryup")
            .arg("branch")
            .args([self.path("ours"), self.path("pack-1")]));
        pack::edit(self.files, &self.path("ours"));
        self.commit("ours", "mine");
    }

    /// A template repo with a tag for each version.
    fn template(&self, name: &str, below: &str, language: pack::Language, ending: &str, more: &[(&str, &str)]) {
        fs::create_dir(self.path(name)).unwrap();
        self.git(name, &["init", "-q"]);
        for version in [1, 2] {
            for old in fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().path()) {
                if old.file_name().is_some_and(|name| name != ".git") {
                    let _ = fs::remove_dir_all(&old);
                }
            }
            pack::write(self.files, version, language, ending, &self.path(name).join(below));
            for (path, text) in more {
                fs::write(self.path(name).join(path), text).unwrap();
            }
            self.commit(name, "version");
            self.git(name, &["tag", &format!("v{version}.0.0")]);
        }
    }

    fn make_copiers(&self) {
        let answers = ("{{_copier_conf.answers_file}}.jinja", "{{ _copier_answers|to_nice_yaml -}}\n");
        let more = [("copier.yml", "name:\n  type: str\n  default: acme\n"), answers];
        self.template("copier-template", "", pack::COPIER, ".jinja", &more);
        let mut copy = self.command(self.bin.join("copier"), "");
        run(copy
            .args(["copy", "-q", "--defaults", "--vcs-ref", "v1.0.0"])
            .args([self.path("copier-template"), self.path("copier")]));
        self.git("copier", &["init", "-q"]);
        self.commit("copier", "generated");
        pack::edit(self.files, &self.path("copier"));
        self.commit("copier", "mine");
    }

    fn make_crufts(&self) {
        let more = [("cookiecutter.json", "{ \"name\": \"acme\" }\n")];
        self.template("cruft-template", "{{cookiecutter.name}}", pack::CRUFT, "", &more);
        let mut create = self.command(self.bin.join("cruft"), "");
        let url = format!("file://{}", self.path("cruft-template").display());
        run(create
            .args(["create", "-y", "--checkout", "v1.0.0", "--output-dir"])
            .arg(self.path("cruft-made"))
            .arg(url));
        fs::rename(self.path("cruft-made/acme"), self.path("cruft")).unwrap();
        self.git("cruft", &["init", "-q"]);
        self.commit("cruft", "generated");
        pack::edit(self.files, &self.path("cruft"));
        self.commit("cruft", "mine");
    }

    /// The files that the upgrade writes, to be copied.
    fn make_changed(&self) {
        let output = self.command("cp", "").arg("-a").args([self.path("ours"), self.path("done")]).status().unwrap();
        assert!(output.success());
        run(self
            .command(itself(), "")
            .arg("as-factoryup")
            .arg("in-place")
            .args([self.path("done"), self.path("pack-2")]));
        for index in pack::numbers(self.files, 2) {
            let (old, new) = (self.path("ours").join(pack::path(index)), self.path("done").join(pack::path(index)));
            if fs::read(old).ok() != Some(fs::read(&new).unwrap()) {
                let to = self.path("changed").join(pack::path(index));
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(new, to).unwrap();
            }
        }
    }

    /// The command of a contestant, with a fresh copy of its project before it.
    pub fn prepared(&self, contestant: &str) -> Command {
        let (project, program) = match contestant {
            "copier update" => ("copier", self.bin.join("copier")),
            "cruft update" => ("cruft", self.bin.join("cruft")),
            "cp -r of the changed files" => ("ours", PathBuf::from("cp")),
            _ => ("ours", itself()),
        };
        let _ = fs::remove_dir_all(self.path("work"));
        run(self.command("cp", "").arg("-a").args([self.path(project), self.path("work")]));
        // The copies' times are not those that git remembers; it looks once, as it would have.
        self.git("work", &["status", "--porcelain"]);
        let mut command = self.command(program, "work");
        match contestant {
            "copier update" => command.args(["update", "-q", "--defaults", "--vcs-ref", "v2.0.0"]),
            "cruft update" => command.args(["update", "-y", "--checkout", "v2.0.0"]),
            "cp -r of the changed files" => command.arg("-r").arg(self.path("changed/.")).arg("."),
            "factoryup, in place" => command.args(["as-factoryup", "in-place", "."]).arg(self.path("pack-2")),
            _ => command.args(["as-factoryup", "branch", "."]).arg(self.path("pack-2")),
        };
        command
    }

    /// Looks at what the contestant made: every file is as it should be, by whomever.
    pub fn check(&self, contestant: &str) {
        if contestant == "factoryup, a branch" {
            let branches = self
                .command("git", "work")
                .args(["for-each-ref", "--format=%(refname:short)", "refs/heads/factory"])
                .output();
            let branch = String::from_utf8(branches.unwrap().stdout).unwrap();
            self.git("work", &["checkout", "-q", branch.trim()]);
        }
        let work = self.path("work");
        for index in pack::numbers(self.files, 2) {
            let path = pack::path(index);
            if contestant == "cp -r of the changed files" && !self.path("changed").join(&path).exists() {
                continue;
            }
            let (made, wanted) =
                (fs::read_to_string(work.join(&path)), fs::read_to_string(self.path("done").join(&path)));
            assert_eq!(made.unwrap().trim_end(), wanted.unwrap().trim_end(), "{contestant}: {path}");
        }
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
