//! How fast factoryup is, as ratios to what it cannot be faster than: `cargo bench --bench speed`.
//!
//! Both sides of a ratio are measured in this one run, turn by turn, so that a busy machine slows both; each is the median of
//! several turns after one that does not count. Figures depend on the machine, ratios much less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, clippy::disallowed_methods)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use factoryup::factory::parse;
use factoryup::repo::render::render;
use factoryup::repo::tree::{Mode, Tree};

/// A factory with everything at its default.
const FACTORY: &str = r#"
schema = 1

[factory]
name = "acme"
owner_name = "Ada Lovelace"
owner_email = "ada@example.org"

[host]
kind = "ssh"
address = "203.0.113.7"
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnsBe7SWfOLDDpmmIM9BNxYUTtCIpsZMPUiINWD8SX8 ada@laptop"]

[gitlab]
group = "acme"
"#;

fn main() {
    // `cargo test --all-targets` starts benchmarks too, with --test; they are none.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    start_up();
    rendering();
}

/// Starting the program at all, against the least that a process costs here.
fn start_up() {
    let (version, nothing) = in_turn(31, || run(program().arg("--version")), || run(&mut Command::new("true")));
    report("factoryup --version", version, "true", nothing);
    verdict("--version within 3 ms", version <= Duration::from_millis(3));
}

/// Rendering all templates and writing the tree, against copying that tree.
fn rendering() {
    let folder = tempfile::tempdir().unwrap();
    let factory = parse(FACTORY, "factory.toml").unwrap();
    let tree = render(&factory).unwrap();
    let model = folder.path().join("model");
    write(&tree, &model);
    // Each turn writes to a folder of its own, so that no turn pays for clearing away.
    let mut rendered = (0..).map(|turn| folder.path().join(format!("rendered-{turn}")));
    let mut copied = (0..).map(|turn| folder.path().join(format!("copied-{turn}")));
    let (ours, cp) = in_turn(
        15,
        || write(&render(&factory).unwrap(), &rendered.next().unwrap()),
        || run(Command::new("cp").arg("-r").args([&model, &copied.next().unwrap()])),
    );
    report(&format!("render and write {} files", tree.files.len()), ours, "cp -r of the same", cp);
    verdict("rendering within 3 times cp -r", ours <= cp * 3);
}

/// Writes a tree as it lies in memory, without git and without records.
fn write(tree: &Tree, to: &Path) {
    for file in &tree.files {
        let path = to.join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if file.mode == Mode::Link {
            symlink(std::str::from_utf8(&file.bytes).unwrap(), path).unwrap();
        } else {
            fs::write(&path, &file.bytes).unwrap();
            if file.mode == Mode::Executable {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_factoryup"))
}

fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}

/// The medians of `turns` turns of each, after one turn that does not count.
fn in_turn(turns: usize, mut first: impl FnMut(), mut second: impl FnMut()) -> (Duration, Duration) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..=turns {
        let times = (time(&mut first), time(&mut second));
        if turn > 0 {
            ours.push(times.0);
            theirs.push(times.1);
        }
    }
    (median(ours), median(theirs))
}

fn time(work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn report(ours: &str, our_time: Duration, theirs: &str, their_time: Duration) {
    println!("{ours:<34} {:>9.2} ms", our_time.as_secs_f64() * 1000.0);
    println!("{theirs:<34} {:>9.2} ms", their_time.as_secs_f64() * 1000.0);
    println!("{:<34} {:>9.2}", "ratio", our_time.as_secs_f64() / their_time.as_secs_f64());
}

fn verdict(target: &str, met: bool) {
    println!("{target}: {}\n", if met { "met" } else { "MISSED" });
}
