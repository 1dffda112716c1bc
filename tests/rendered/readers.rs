//! A repo whose owner has held the key ceremony, and those who hold the keys.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::control_repo::{ControlRepo, passed, stdout, text};
use crate::support::{self, make_program};

/// Somebody with a key, made by `age-keygen`.
pub(crate) struct Reader {
    name: &'static str,
    pub(crate) public: String,
    pub(crate) file: PathBuf,
}

pub(crate) struct World {
    pub(crate) repo: ControlRepo,
    readers: Vec<Reader>,
}

/// The folders under `secrets/`, and who is to read each: what docs/procedures/age-keys.md says, carried out.
pub(crate) const FOLDERS: [(&str, &[&str]); 5] = [
    ("secrets/agent", &["owner", "agent"]),
    ("secrets/owner", &["owner"]),
    ("secrets/dev", &["owner", "ci"]),
    ("secrets/prod", &["owner"]),
    ("secrets/production", &["owner", "ci", "deploy"]),
];

impl World {
    /// A repo whose owner has held the key ceremony; environments whose names begin alike.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap().keep();
        let readers: Vec<Reader> =
            ["owner", "agent", "ci", "deploy", "stranger"].map(|name| Reader::new(name, &folder)).into();
        let toml = format!(
            "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n[host]\nkind = \"local\"\n\
             [gitlab]\ngroup = \"acme\"\n[secrets]\nowner_recipient = \"{}\"\n[environments]\nnames = [\"dev\", \"prod\", \"production\"]\n",
            readers[0].public
        );
        let world = Self { repo: ControlRepo::of(&toml), readers };
        // Where scripts/tools installs it.
        let bin = world.repo.path().join("../.local/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::os::unix::fs::symlink(support::tool("sops").unwrap(), bin.join("sops")).unwrap();
        for (folder, readers) in FOLDERS {
            for name in readers.iter().filter(|name| **name != "owner") {
                passed(&world.secret(&["add-recipient", folder, &world.reader(name).public], "owner"));
            }
        }
        world
    }

    pub(crate) fn reader(&self, name: &str) -> &Reader {
        self.readers.iter().find(|reader| reader.name == name).unwrap()
    }

    /// `scripts/secret`, by somebody with this key. Their editor writes the one line `token: THE PATH`.
    pub(crate) fn secret(&self, arguments: &[&str], by: &str) -> Output {
        self.secret_from("", arguments, by)
    }

    /// The same by the owner, with a sops that fails in new data keys for this file.
    pub(crate) fn secret_cut(&self, arguments: &[&str], at: &str) -> Output {
        let home = self.repo.path().join("../cut");
        let folder = home.join(".local/bin");
        std::fs::create_dir_all(&folder).unwrap();
        let real = support::tool("sops").unwrap();
        let fails = format!("[ \"$*\" != 'rotate --in-place {at}' ] || exit 9");
        make_program(folder.join("sops"), format!("#!/bin/sh\n{fails}\nexec {} \"$@\"\n", real.display()));
        let mut command = self.repo.command(self.repo.path().join("scripts/secret").to_str().unwrap());
        command.args(arguments).env("SOPS_AGE_KEY_FILE", &self.reader("owner").file);
        command.env("HOME", home).output().unwrap()
    }

    /// The same with this on standard input.
    pub(crate) fn secret_from(&self, input: &str, arguments: &[&str], by: &str) -> Output {
        let given = self.repo.path().join("../input");
        std::fs::write(&given, input).unwrap();
        let path = self.repo.path().join("scripts/secret");
        let mut command = self.repo.command(path.to_str().unwrap());
        let value = arguments.get(1).copied().unwrap_or_default();
        command
            .args(arguments)
            .env("SOPS_AGE_KEY_FILE", &self.reader(by).file)
            .env("EDITOR", format!("sh -c 'echo \"token: in {value}\" >$1' editor"))
            .stdin(std::fs::File::open(given).unwrap())
            .output()
            .unwrap()
    }

    pub(crate) fn readers_of(&self, file: &str) -> BTreeSet<&str> {
        let opens = |reader: &&Reader| {
            let output = self.secret(&["get", file, "token"], reader.name);
            let got = stdout(&output);
            assert_eq!(
                output.status.success(),
                got.trim() == format!("in {file}"),
                "{}: {}",
                reader.name,
                text(&output)
            );
            assert!(output.status.success() || got.is_empty(), "{got}");
            output.status.success()
        };
        self.readers.iter().filter(opens).map(|reader| reader.name).collect()
    }

    pub(crate) fn check(&self) -> Output {
        self.repo.run(&["scripts/check", "secrets", "recipients"])
    }
}

impl Reader {
    pub(crate) fn new(name: &'static str, folder: &Path) -> Self {
        let file = folder.join(name);
        let made = std::process::Command::new("age-keygen").arg("-o").arg(&file).output().unwrap();
        passed(&made);
        let key = std::fs::read_to_string(&file).unwrap();
        let public = key.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
        Self { name, public, file }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.readers[0].file.parent().unwrap());
    }
}
