//! Looking for a secret where it must not be: in processes, files, and git objects.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Looks at all processes of the machine, containers included, every few milliseconds.
pub struct Watcher {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Watcher {
    pub fn start(secrets: Vec<String>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !flag.load(Ordering::Relaxed) {
                look(&secrets, &mut seen);
                std::thread::sleep(Duration::from_millis(3));
            }
            seen
        });
        Self { stop, thread }
    }

    /// What was seen: the arguments of each process that had a secret in its arguments, or in its environment without being
    /// factoryup itself, to which the secrets were handed there; and in brackets the name of its cgroup, which says what systemd
    /// started it as, whatever program it executes at that moment.
    pub fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn look(secrets: &[String], seen: &mut BTreeSet<String>) {
    let Ok(processes) = fs::read_dir("/proc") else { return };
    for process in processes.flatten() {
        let path = process.path();
        let Ok(arguments) = fs::read(path.join("cmdline")) else { continue };
        // The program before its environment: what factoryup starts still has the one of factoryup in the moment before it executes,
        // and read the other way around, the environment would be taken for the new program's.
        let program = fs::read_link(path.join("exe")).ok();
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        let is_factoryup = program.as_deref().is_some_and(|exe| exe.ends_with("factoryup"));
        // Between fork and exec a child of the test is still the test, with the environment that is meant for factoryup.
        let is_test = program == std::env::current_exe().ok();
        for secret in secrets {
            let in_arguments = contains(&arguments, secret.as_bytes());
            let in_environment = !is_factoryup && !is_test && contains(&environment, secret.as_bytes());
            if in_arguments || in_environment {
                // In the middle of an exec a process has no arguments yet, and its environment a moment later.
                let known = Some(&arguments).filter(|known| !known.is_empty()).cloned();
                let named = known.or_else(|| fs::read(path.join("cmdline")).ok()).unwrap_or_default();
                let cgroups = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
                let unit = cgroups.lines().filter_map(|line| line.rsplit('/').next()).find(|name| name.contains('.'));
                let text = String::from_utf8_lossy(&named).replace('\0', " ");
                seen.insert(format!("{text}[{}]", unit.unwrap_or_default()));
            }
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// All regular files below a folder, links not followed.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// The files below a folder that hold the text. `grep` reads a whole root file system faster than we would.
pub fn find_in_tree(folder: &Path, text: &str) -> Vec<PathBuf> {
    let pattern = tempfile::NamedTempFile::new().unwrap();
    fs::write(pattern.path(), text).unwrap();
    let output = Command::new("grep")
        .args(["--recursive", "--files-with-matches", "--fixed-strings", "--text", "--devices=skip", "--file"])
        .arg(pattern.path())
        .arg("--")
        .arg(folder)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect()
}

/// The text of every object of a git repo, reachable or not.
pub fn git_objects(repo: &Path) -> String {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "-C"])
        .arg(repo)
        .args(["cat-file", "--batch-all-objects", "--batch", "--unordered"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
