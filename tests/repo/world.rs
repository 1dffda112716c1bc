//! A home of its own for each test: its own git configuration, its own state folder, and factoryup in a process of its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use factoryup::dialog::Silent;
use factoryup::git::ObjectFormat;
use factoryup::plan::{Options, Outcome, StateDir, converge};
use factoryup::repo::RepoTarget;
use portable_pty::CommandBuilder;
use tempfile::TempDir;

/// `nobody`, as every Debian knows it.
pub(crate) const NOBODY: u32 = 65534;

/// How a run ended: changes made, or kind, message and hints of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Right,
    Changed(usize),
    Failed { kind: String, message: String, hints: String },
    Killed,
}

impl Ended {
    /// The message of a failure of that kind, with its hints.
    pub(crate) fn failure(self, wanted: &str) -> String {
        match self {
            Self::Failed { kind, message, hints } if kind == wanted => format!("{message} | {hints}"),
            other => panic!("no failure of the kind {wanted}: {other:?}"),
        }
    }
}

pub(crate) struct World {
    temp: TempDir,
    env: BTreeMap<String, String>,
    uid: Option<u32>,
    program: PathBuf,
}

impl World {
    pub(crate) fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name).display().to_string();
        let env = BTreeMap::from([
            ("HOME".to_owned(), at("home")),
            ("GIT_CONFIG_GLOBAL".to_owned(), at("gitconfig")),
            ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
            ("XDG_STATE_HOME".to_owned(), at("state")),
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
        ]);
        fs::create_dir(temp.path().join("home")).unwrap();
        fs::write(temp.path().join("gitconfig"), "").unwrap();
        fs::write(temp.path().join("factory.toml"), FACTORY).unwrap();
        Self { temp, env, uid: None, program: std::env::current_exe().unwrap() }
    }

    /// A world in which factoryup does not run as root.
    pub(crate) fn of_nobody() -> Self {
        use std::os::unix::fs::{PermissionsExt, chown};
        let mut world = Self::new();
        world.program = world.path("program");
        // By a process of its own: a file that this one has open for writing at the moment when another test starts a program is busy.
        let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&world.program).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(world.temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["", "home", "gitconfig", "factory.toml"] {
            chown(world.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        world.uid = Some(NOBODY);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    /// The user's git configuration.
    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.path("gitconfig"), text).unwrap();
    }

    /// Changes the answers.
    pub(crate) fn answer(&self, from: &str, to: &str) {
        let path = self.path("factory.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    pub(crate) fn answers(&self) -> String {
        fs::read_to_string(self.path("factory.toml")).unwrap()
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--exact", "world::child", "--ignored", "--nocapture"]).env_clear().envs(&self.env);
        command
            .env("REPO_DIR", dir)
            .env("REPO_FACTORY", self.path("factory.toml"))
            .env("REPO_ENDED", self.path("ended"));
        command.current_dir(self.temp.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// Starts `factoryup apply repo` on `dir`.
    pub(crate) fn start(&self, dir: impl AsRef<Path>) -> Child {
        let _ = fs::remove_file(self.path("ended"));
        self.command(&self.path("").join(dir)).spawn().unwrap()
    }

    /// How the last run ended.
    pub(crate) fn ended(&self) -> Ended {
        let Ok(text) = fs::read_to_string(self.path("ended")) else { return Ended::Killed };
        let fields: Vec<&str> = text.split('\t').collect();
        match fields[..] {
            ["right"] => Ended::Right,
            ["changed", count] => Ended::Changed(count.parse().unwrap()),
            [kind, message, hints] => Ended::Failed { kind: kind.into(), message: message.into(), hints: hints.into() },
            _ => panic!("{text}"),
        }
    }

    /// Runs `factoryup apply repo` on `dir`, a path below this world or an absolute one.
    pub(crate) fn apply(&self, dir: impl AsRef<Path>) -> Ended {
        self.start(dir).wait().unwrap();
        self.ended()
    }

    /// Runs it under a shell command in which `"$@"` stands for factoryup.
    pub(crate) fn apply_under(&self, shell: &str, dir: impl AsRef<Path>) -> Ended {
        let _ = fs::remove_file(self.path("ended"));
        let inner = self.command(&self.path("").join(dir));
        let mut outer = Command::new("unshare");
        outer.args(["--mount", "sh", "-c", shell, "sh"]).arg(inner.get_program()).args(inner.get_args()).env_clear();
        outer.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer.current_dir(self.temp.path()).status().unwrap();
        self.ended()
    }

    /// Runs the real `factoryup ARGS` in `dir`: exit code, standard output, standard error.
    pub(crate) fn factoryup(&self, dir: &str, args: &[&str]) -> (i32, String, String) {
        self.factoryup_under(&[], dir, args)
    }

    /// Runs it under another program.
    pub(crate) fn factoryup_under(&self, outer: &[&str], dir: &str, args: &[&str]) -> (i32, String, String) {
        let words: Vec<&str> = outer.iter().copied().chain([env!("CARGO_BIN_EXE_factoryup")]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(args)
            .env_clear()
            .envs(&self.env)
            .current_dir(self.path(dir))
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// The real `factoryup ARGS`, to be run on a terminal in `dir`.
    pub(crate) fn terminal(&self, dir: &str, args: &[&str]) -> CommandBuilder {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_factoryup"));
        command.args(args);
        command.cwd(self.path(dir));
        command.env_clear();
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        command
    }

    /// Makes the control repo look as if older templates had rendered `path` with this text. Commits it.
    pub(crate) fn older(&self, dir: &str, path: &str, old: &str) {
        let manifest = self.path(dir).join(".factory/manifest.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        let (now, before) = (digest(&fs::read(self.path(dir).join(path)).unwrap()), digest(old.as_bytes()));
        assert!(text.contains(&now), "{path} was edited");
        let base = self.path(dir).join(".factory/base");
        // None is kept of a file that is factoryup's alone.
        if base.join(&now).exists() {
            fs::rename(base.join(&now), base.join(&before)).unwrap();
            fs::write(base.join(&before), old).unwrap();
        }
        fs::write(self.path(dir).join(path), old).unwrap();
        let version = text.lines().find(|line| line.starts_with("version = ")).unwrap();
        let text = text.replace(&now, &before).replacen(version, "version = \"0.9.0\"", 1);
        let pack = text.lines().find(|line| line.starts_with("pack_sha256 = ")).unwrap();
        fs::write(&manifest, text.replacen(pack, &format!("pack_sha256 = \"{}\"", "0".repeat(64)), 1)).unwrap();
        self.git(dir, &["add", "-A"]);
        self.git(dir, &["commit", "-qm", "older"]);
    }

    /// Runs git in `dir` as the user would.
    pub(crate) fn git(&self, dir: impl AsRef<Path>, args: &[&str]) -> String {
        let mut command = Command::new("git");
        let dir = self.path("").join(dir);
        command
            .current_dir(&dir)
            .env_clear()
            .envs(&self.env)
            .env("GIT_AUTHOR_NAME", "U")
            .env("GIT_COMMITTER_NAME", "U");
        command.env("GIT_AUTHOR_EMAIL", "u@x").env("GIT_COMMITTER_EMAIL", "u@x").env("LC_ALL", "C");
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        let output = command.args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?} in {}: {said}", dir.display());
        String::from_utf8(output.stdout).unwrap().trim_end_matches('\n').to_owned()
    }

    /// The refs of a remote with their object ids, as git itself sees them.
    pub(crate) fn refs(&self, url: &str, token: &str) -> BTreeMap<String, String> {
        let url = url.replacen("://", &format!("://oauth2:{token}@"), 1);
        let text = self.git("", &["ls-remote", "--quiet", &url]);
        text.lines().filter_map(|l| l.split_once('\t')).map(|(oid, name)| (name.to_owned(), oid.to_owned())).collect()
    }

    /// Checks a control repo through and through: sound, clean, whole, as recorded, and with nothing left beside it.
    pub(crate) fn assert_whole(&self, dir: impl AsRef<Path>) {
        let dir = self.path("").join(dir);
        self.git(&dir, &["fsck", "--strict", "--no-dangling"]);
        assert_eq!(self.git(&dir, &["status", "--porcelain", "--ignored"]), "");
        assert_eq!(self.git(&dir, &["rev-list", "--count", "HEAD"]), "1");
        let listed = self.git(&dir, &["ls-tree", "-r", "--name-only", "HEAD"]);
        for name in ["README.md", "factory.toml", ".factory/manifest.toml", ".factory/answers.lock"] {
            assert!(listed.lines().any(|l| l == name), "{name} is not in the commit");
        }
        assert_eq!(fs::read_to_string(dir.join("factory.toml")).unwrap(), self.answers());
        for folder in [dir.as_path(), dir.parent().unwrap()] {
            let names = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let left: Vec<_> = names.filter(|n| n.starts_with(".factoryup-")).collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}

/// Every file of the work tree, without git's.
pub(crate) fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            let kind = entry.file_type().unwrap();
            if kind.is_symlink() {
                files.insert(name, fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
            } else if kind.is_file() {
                files.insert(name, fs::read(&path).unwrap());
            } else if name != ".git" {
                folders.push(path);
            }
        }
    }
    files
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

const FACTORY: &str = "\
schema = 1

[factory]
name = \"acme\" # with a comment of its own
description = \"Tools for roadrunners.\"
owner_name = \"Ada Lovelace\"
owner_email = \"ada@example.org\"

[host]
kind = \"none\"

[gitlab]
group = \"acme\"
";

/// factoryup, in a process of its own: the tests of this file run it, with the folder and the answers in its environment.
#[test]
#[ignore = "the other tests start it"]
fn child() {
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let text = fs::read_to_string(path("REPO_FACTORY")).unwrap();
    let run = || {
        let factory = factoryup::factory::parse(&text, "factory.toml")?;
        let mut target = RepoTarget::new(path("REPO_DIR"), &factory, &text)?;
        if std::env::var_os("REPO_SHA256").is_some() {
            target = target.with_object_format(ObjectFormat::Sha256);
        }
        let state = StateDir::open("acme")?;
        converge(&mut target, &Silent, &state, Options { yes: true, ..Options::default() })
    };
    let ended = match run() {
        Ok(Outcome::AlreadyRight { .. }) => "right".to_owned(),
        Ok(Outcome::Applied { changes, .. }) => format!("changed\t{changes}"),
        Err(error) => format!("{}\t{error}\t{}", error.kind().name(), error.hints().join("; ")),
    };
    fs::write(path("REPO_ENDED"), ended).unwrap();
}
