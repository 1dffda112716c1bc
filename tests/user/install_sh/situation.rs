//! A situation for `install.sh`: a home of its own, a `PATH` that holds only what the script may need, and release archives.
//!
//! ```ignore
//! let machine = Machine::new("dash");
//! let archive = machine.release(PROGRAM);
//! machine.run(&["--yes", "--from", &archive]).expect(0);
//! assert_eq!(machine.installed(), "factoryup 0.1.0");
//! ```
//!
//! What is installed is a two-line script that answers `--version`; one journey installs the real binary.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use portable_pty::CommandBuilder;

use crate::pty::Pty;
use crate::support;

/// Each shell that the script must run in, as the words to call it with.
pub(crate) const SHELLS: [&str; 7] = ["dash", "busybox ash", "bash", "ksh", "mksh", "yash", "zsh"];

/// All that the script may call, on any system, for an archive with a list of checksums.
const TOOLS: [&str; 17] = [
    "cat",
    "chmod",
    "cp",
    "grep",
    "gzip",
    "mkdir",
    "mv",
    // mksh has no such builtin.
    "printf",
    "readlink",
    "rm",
    "rmdir",
    "sha256sum",
    "ssh-keygen",
    "tail",
    "tar",
    "tr",
    "uname",
];

/// Stands for the program in most archives.
pub(crate) const PROGRAM: &str = "#!/bin/sh\necho 'factoryup 0.1.0'\n";

/// The name of a release archive for this machine.
pub(crate) fn archive_name() -> String {
    format!("factoryup-0.1.0-{}-unknown-linux-musl.tar.gz", std::env::consts::ARCH)
}

/// The script under test.
pub(crate) fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("install.sh")
}

/// The shells of [`SHELLS`] that are here.
pub(crate) fn shells() -> Vec<&'static str> {
    SHELLS.into_iter().filter(|shell| support::need(shell.split(' ').next().unwrap())).collect()
}

/// One user's machine, in a folder that goes when it goes. Every path in it holds a space.
pub(crate) struct Machine {
    root: tempfile::TempDir,
    shell: &'static str,
    env: BTreeMap<String, OsString>,
}

impl Machine {
    pub(crate) fn new(shell: &'static str) -> Self {
        let root = tempfile::Builder::new().prefix("factory up ").tempdir().unwrap();
        for dir in ["home", "bin", "dist"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        let mut machine = Self { root, shell, env: BTreeMap::new() };
        machine.set("HOME", machine.home());
        machine.set("PATH", machine.path("bin"));
        machine.set("TMPDIR", "/nonexistent");
        machine.set("SHELL", "/bin/sh");
        // A machine without ssh-keygen can do all but check signatures, as the script can.
        for tool in TOOLS.into_iter().filter(|tool| *tool != "ssh-keygen" || support::need(tool)) {
            machine.link(tool);
        }
        machine
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.path().join(relative)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    /// Where the program goes unless told otherwise.
    pub(crate) fn program(&self) -> PathBuf {
        self.home().join(".local/bin/factoryup")
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.insert(name.to_owned(), value.into());
    }

    /// Puts a tool of this system on the machine's `PATH`.
    pub(crate) fn link(&self, tool: &str) {
        symlink(which::which(tool).unwrap(), self.path("bin").join(tool)).unwrap();
    }

    /// Puts a shell of [`SHELLS`] on the machine's `PATH`.
    pub(crate) fn link_as(&self, shell: &str) {
        let name = shell.split(' ').next().unwrap();
        if !self.path("bin").join(name).exists() {
            self.link(name);
        }
    }

    /// Takes a tool away.
    pub(crate) fn unlink(&self, tool: &str) {
        fs::remove_file(self.path("bin").join(tool)).unwrap();
    }

    /// Puts a program of the test's own on the machine's `PATH`, in place of the real one.
    pub(crate) fn fake(&self, tool: &str, text: &str) {
        let path = self.path("bin").join(tool);
        let _ = fs::remove_file(&path);
        executable(&path, text);
    }

    /// A release archive that holds `program`, and its list of checksums beside it. Answers the archive's path.
    pub(crate) fn release(&self, program: &str) -> String {
        let tree = self.path("tree");
        fs::create_dir_all(&tree).unwrap();
        executable(&tree.join("factoryup"), program);
        self.pack(&tree, &["factoryup"])
    }

    /// An archive of `members` of `tree`, and its list of checksums beside it. Answers the archive's path.
    pub(crate) fn pack(&self, tree: &Path, members: &[&str]) -> String {
        let archive = self.path("dist").join(archive_name());
        let tar = Command::new("tar").arg("-czPf").arg(&archive).arg("-C").arg(tree).args(members).status().unwrap();
        assert!(tar.success());
        self.list_checksums();
        archive.to_str().unwrap().to_owned()
    }

    /// Writes `SHA256SUMS` for the archive as it now is.
    pub(crate) fn list_checksums(&self) {
        let dist = self.path("dist");
        let sums = Command::new("sha256sum").arg(archive_name()).current_dir(&dist).output().unwrap();
        fs::write(dist.join("SHA256SUMS"), sums.stdout).unwrap();
    }

    /// Signs the list of checksums; answers the public key's path.
    pub(crate) fn sign(&self) -> String {
        let key = self.path("release key");
        let keygen = |args: &[&str]| {
            assert!(Command::new("ssh-keygen").args(args).stderr(Stdio::null()).status().unwrap().success());
        };
        let (key, list) = (key.to_str().unwrap(), self.path("dist/SHA256SUMS"));
        if !Path::new(key).exists() {
            keygen(&["-q", "-t", "ed25519", "-N", "", "-C", "a test", "-f", key]);
        }
        let _ = fs::remove_file(self.path("dist/SHA256SUMS.sig"));
        keygen(&["-q", "-Y", "sign", "-f", key, "-n", "factoryup", list.to_str().unwrap()]);
        format!("{key}.pub")
    }

    /// The command that runs `script` with `args`: no terminal, no input, no variable but the machine's own.
    pub(crate) fn command(&self, script: &Path, args: &[&str]) -> Command {
        self.call(&[], script, args)
    }

    /// The command that runs the script under test in a shell that is called with `options`.
    pub(crate) fn with_options(&self, options: &[&str], args: &[&str]) -> Command {
        self.call(options, &script(), args)
    }

    fn call(&self, options: &[&str], script: &Path, args: &[&str]) -> Command {
        let mut words = self.shell.split(' ');
        let mut command = Command::new(which::which("setsid").unwrap());
        command.arg("--wait").arg(which::which(words.next().unwrap()).unwrap()).args(words).args(options);
        command.arg(script).args(args);
        command.current_dir(self.home()).env_clear().envs(&self.env).stdin(Stdio::null());
        command
    }

    /// Runs the script under test.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.shell, self.command(&script(), args).output().unwrap())
    }

    /// Runs words of a shell on a terminal.
    pub(crate) fn terminal(&self, words: &str) -> Pty {
        let mut command = CommandBuilder::new(which::which("sh").unwrap());
        command.args(["-c", words]);
        command.env_clear();
        command.env("HOME", self.home());
        command.env("PATH", self.path("bin"));
        command.env("TERM", "xterm");
        command.env("CURL_CA_BUNDLE", self.path("public.pem"));
        command.cwd(self.home());
        Pty::start(command, 100)
    }

    /// What the installed program answers.
    pub(crate) fn installed(&self) -> String {
        version(&self.program())
    }

    /// Every path in the home, with its size: what a run without side effects must leave as it was.
    pub(crate) fn files(&self) -> Vec<(PathBuf, u64)> {
        let mut found = Vec::new();
        let mut folders = vec![self.home()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let meta = entry.metadata().unwrap();
                found.push((entry.path(), if meta.is_dir() { 0 } else { meta.len() }));
                if meta.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }
}

/// What `program --version` prints.
pub(crate) fn version(program: &Path) -> String {
    let out = Command::new(program).arg("--version").output().unwrap();
    String::from_utf8(out.stdout).unwrap().trim_end().to_owned()
}

/// Writes a program.
pub(crate) fn executable(path: &Path, text: &str) {
    support::make_program(path, text);
}

/// How a run of the script ended.
pub(crate) struct Outcome {
    shell: &'static str,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn of(shell: &'static str, output: Output) -> Self {
        Self {
            shell,
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test when the exit code is another one.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}:\n{}{}", self.shell, self.stdout, self.stderr);
        self
    }

    /// Fails the test when standard error does not hold `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "{}: {text:?} is not in:\n{}", self.shell, self.stderr);
        self
    }

    /// Fails the test when standard output does not hold `text`.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "{}: {text:?} is not in:\n{}", self.shell, self.stdout);
        self
    }
}
