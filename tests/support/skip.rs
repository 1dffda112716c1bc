//! What a test does when a tool or a right is missing, and how a run counts such tests.
//!
//! Test programs run one after the other, and what a test that passes prints is not shown. So each skip adds a line to a ledger
//! beside the test programs, and `zz_skipped` of the stand-in, the last of them, sums it up for everybody to see. The unit tests use
//! this file too.
#![allow(dead_code, unreachable_pub, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, thread};

/// Where `.ci/run` puts the tools that no Debian package brings, relative to the crate root: those of npm, which hide those of `PATH`,
/// and those of the Python packages.
const TOOL_DIRS: [&str; 2] = [".ci/cache/node_modules/.bin", ".ci/cache/python/bin"];

/// All that tests run, with the package that brings it; the file's head says how to read it.
const LIST: &str = include_str!("tools.txt");

/// One line of [`LIST`].
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    pub kind: &'static str,
    pub package: &'static str,
    pub name: &'static str,
}

/// The list of tools.
pub fn tools() -> impl Iterator<Item = Tool> {
    LIST.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().expect("a line of tools.txt has four parts");
        let (kind, package, file) = (word(), word(), word());
        Tool { kind, package, name: file.rsplit('/').next().unwrap_or(file) }
    })
}

/// The tool's path. One of an npm or Python package counts only at the version that `.ci/run` installs: a `python` of the system's lacks the
/// packages, and another Codex takes other settings.
pub fn tool(name: &str) -> Option<PathBuf> {
    let pinned = tools().any(|tool| tool.name == name && tool.kind != "debian");
    let installed = dirs().map(|dir| dir.join(name)).into_iter().find(|path| path.is_file());
    installed.or_else(|| if pinned { None } else { which::which(name).ok() })
}

fn dirs() -> [PathBuf; 2] {
    TOOL_DIRS.map(|dir| Path::new(env!("CARGO_MANIFEST_DIR")).join(dir))
}

/// `PATH` with the tools that `.ci/run` installs.
pub fn path() -> String {
    let [first, last] = dirs();
    let rest = env::var_os("PATH").unwrap_or_default();
    let all = [first].into_iter().chain(env::split_paths(&rest)).chain([last]);
    env::join_paths(all).unwrap_or(rest).to_string_lossy().into_owned()
}

/// Whether every one of the tools is there; see [`satisfied`] for what happens when not.
pub fn available(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().copied().filter(|name| tool(name).is_none()).collect();
    satisfied(&missing.join(", "), missing.is_empty())
}

/// Whether this one tool is there.
pub fn need(name: &str) -> bool {
    available(&[name])
}

/// The shells in which a program for a host must run, as the words to call each with; without those that are missing here.
pub fn host_shells() -> Vec<&'static [&'static str]> {
    let all: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "ash"]];
    all.into_iter().filter(|words| need(words[0])).collect()
}

/// Whether the tests run as root.
pub fn root() -> bool {
    satisfied("root", rustix::process::geteuid().is_root())
}

/// Whether there is time for what takes minutes: `FACTORYUP_QUICK=1` leaves it out.
pub fn time() -> bool {
    satisfied("FACTORYUP_QUICK unset", env::var_os("FACTORYUP_QUICK").is_none_or(|value| value != "1"))
}

/// Whether nothing may be skipped, that is `FACTORYUP_REQUIRE_ALL=1`.
pub fn all_required() -> bool {
    env::var_os("FACTORYUP_REQUIRE_ALL").is_some_and(|value| value == "1")
}

/// `present`, after saying `skipped: needs WHAT` and entering it in the ledger when it is false. Panics instead when nothing may
/// be skipped.
pub fn satisfied(what: &str, present: bool) -> bool {
    assert!(present || !all_required(), "needs {what}, and FACTORYUP_REQUIRE_ALL=1 lets nothing be skipped");
    if !present {
        eprintln!("skipped: needs {what}");
        let program = env::current_exe().unwrap();
        let program = program.file_stem().unwrap().to_string_lossy();
        let (test, ledger) = (thread::current(), ledger());
        // The harness names each thread for its test.
        let entry = format!("{program}\t{}\t{what}\n", test.name().unwrap_or_default());
        let file = File::options().create(true).append(true).open(&ledger);
        file.and_then(|mut file| file.write_all(entry.as_bytes()))
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", ledger.display()));
    }
    present
}

/// The ledger of this run of cargo, whose children all test programs are. It is beside them, in a folder that unit tests too
/// know.
pub fn ledger() -> PathBuf {
    ledger_of(std::os::unix::process::parent_id())
}

/// The ledger of the test programs that this process started.
pub fn ledger_of(cargo: u32) -> PathBuf {
    // A process number comes again; with the time of its start it does not.
    let stat = fs::read_to_string(format!("/proc/{cargo}/stat")).unwrap_or_default();
    let started = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(20)).unwrap_or("0");
    env::current_exe().unwrap().with_file_name(format!("skipped-{cargo}-{started}"))
}

/// Whether this system has no such package, as far as its package lists say.
pub fn lacks(package: &str) -> bool {
    #[allow(
        clippy::disallowed_methods,
        reason = "the library's own way to start programs is not known to all that use this file"
    )]
    let shows = |name: &str| {
        let apt = std::process::Command::new("apt-cache").args(["show", "--quiet", name]).output();
        apt.is_ok_and(|apt| apt.status.success())
    };
    shows("bash") && !shows(package)
}

/// The closing line for a ledger, where the system has no package that `lacks` says.
pub fn summary(ledger: &str, lacks: impl Fn(&str) -> bool) -> String {
    let (mut tests, mut debian, mut pinned, mut other) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut root = false;
    for entry in ledger.lines() {
        let (test, needs) = entry.rsplit_once('\t').expect("a ledger's line has three parts");
        tests.insert(test);
        for need in needs.split(", ") {
            match tools().find(|tool| Some(tool.name) == need.rsplit('/').next()) {
                _ if need == "root" => root = true,
                Some(tool) if tool.kind == "debian" => _ = debian.insert(tool.package),
                Some(tool) => _ = pinned.insert(tool.name),
                None => _ = other.insert(need),
            }
        }
    }
    let gone: BTreeSet<_> = debian.iter().copied().filter(|package| lacks(package)).collect();
    debian.retain(|package| !gone.contains(package));
    let list = |set: &BTreeSet<&str>, between| set.iter().copied().collect::<Vec<_>>().join(between);
    let mut remedies = Vec::new();
    if root {
        remedies.push("root".to_owned());
    }
    if !debian.is_empty() {
        remedies.push(format!("`apt-get install {}`", list(&debian, " ")));
    }
    if !gone.is_empty() {
        remedies.push(format!("{}, which this system has no package of", list(&gone, ", ")));
    }
    if !pinned.is_empty() {
        remedies.push(format!("`.ci/run` once, for {}", list(&pinned, ", ")));
    }
    remedies.extend(other.iter().map(|&need| need.to_owned()));
    match tests.len() {
        0 => "0 tests skipped".to_owned(),
        1 => format!("1 test skipped, maybe only in part; to run it: {}", remedies.join("; ")),
        count => format!("{count} tests skipped, some only in part; to run them: {}", remedies.join("; ")),
    }
}
