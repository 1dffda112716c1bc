//! Starting the program, to its version and to its first question: against the least that a process costs here, and next to uv and
//! copier.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portable_pty::CommandBuilder;

use crate::measure::{Times, in_turn, run, show, target};
use crate::pty::Pty;
use crate::{PROGRAM, program, registry};

const TURNS: usize = 31;
/// copier takes a second and more.
const FEW_TURNS: usize = 7;
/// The most that a program of the profile `dist` may have.
const SIZE: u64 = 10_000_000;

pub fn measure() -> bool {
    let bin = registry::install();
    let ours = || run(Command::new(program()).arg("--version"));
    let (version, nothing) = in_turn(TURNS, ours, || run(&mut Command::new("/bin/true")));
    show("factoryup --version", &version, "/bin/true", &nothing);
    let soon = version.least() <= nothing.least() + Duration::from_millis(1);
    let mut met = target("--version within 1 ms of /bin/true", soon);
    for (peer, turns) in [("uv", TURNS), ("copier", FEW_TURNS)] {
        let (version, theirs) = in_turn(turns, ours, || run(Command::new(bin.join(peer)).arg("--version")));
        show("factoryup --version", &version, &format!("{peer} --version"), &theirs);
    }

    let (first, theirs) = first_question(&bin.join("copier"));
    show("factoryup, to the first question", &first, "copier copy, to the first question", &theirs);
    met &= target("the first question within 100 ms", first.median() <= Duration::from_millis(100));

    let size = |path: &Path| fs::metadata(path).unwrap().len();
    println!("\nfactoryup has {} bytes, uv {}", size(&program()), size(&bin.join("uv")));
    // That of the profile `release` is made to be built soon.
    met && (std::env::var_os(PROGRAM).is_none() || target("the program within 10 MB", size(&program()) <= SIZE))
}

/// Both are in a folder that has nothing yet, on a terminal; copier has a template with one question.
fn first_question(copier: &Path) -> (Times, Times) {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template");
    fs::create_dir(&template).unwrap();
    fs::write(template.join("copier.yml"), "name:\n  type: str\n  help: Name of the factory\n").unwrap();
    let started = |program: &Path, arguments: &[&Path]| {
        let home = tempfile::tempdir_in(folder.path()).unwrap();
        let empty = home.path().join("empty");
        fs::create_dir(&empty).unwrap();
        let mut command = CommandBuilder::new(program);
        command.args(arguments);
        command.cwd(empty);
        command.env("HOME", home.path());
        command.env("TERM", "xterm");
        Pty::start(command, 100).expect("Name of the factory");
    };
    let destination = Path::new("made");
    in_turn(FEW_TURNS, || started(&program(), &[]), || started(copier, &[Path::new("copy"), &template, destination]))
}
