//! How fast an upgrade is: `cargo bench --bench upgrade`, with `-- 12000` for a third size. See `docs/benchmarks.md`.
//!
//! Generated templates of N files go from version 1 to 2 (10 % edited, 2 % dropped, 2 % new) in a repo in which the user edited 5 % of
//! the files. The same upgrade is done by factoryup (as a commit on a branch, and in place), by copier and by cruft, which are
//! installed from `PyPI` into `target/`, and its least cost is shown by `cp -r` of the changed files. All are measured in this one run,
//! turn by turn, each in a fresh copy of its project. What they make of the files is compared before anything is printed.
//!
//! factoryup runs as a process of its own here too: this program, which reads the templates from a folder instead of having them in
//! itself, and otherwise does what `factoryup upgrade` does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, unreachable_pub)]
#![allow(clippy::disallowed_methods)]

mod measure;
mod pack;
mod peers;
#[path = "../registry/mod.rs"]
mod registry;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use factoryup::dialog::Silent;
use factoryup::plan::{Options, StateDir, converge};
use factoryup::repo::RepoTarget;
use factoryup::templating::render::Renderer;

use measure::{Meter, Samples, target};
use peers::Bench;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, how, dir, pack] = &arguments[..]
        && command == "as-factoryup"
    {
        as_factoryup(how, dir.as_ref(), pack.as_ref());
        return ExitCode::SUCCESS;
    }
    // `cargo test --all-targets` starts benchmarks too, without --bench; there is nothing to test in them.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    println!("load of this machine at the start: {}", measure::load());
    let mut sizes = vec![120, 1200];
    sizes.extend(
        arguments
            .iter()
            .filter_map(|argument| argument.parse::<usize>().ok())
            .filter(|n| !sizes.contains(n))
            .collect::<Vec<_>>(),
    );
    let peers = registry::install();
    let mut met = true;
    let mut per_file = Vec::new();
    for files in sizes {
        let (ours, good) = size(files, &peers);
        met &= good;
        per_file.push((files, ours));
    }
    // Linear: from 1,200 files on, a file costs no more than it does there, but for a quarter.
    let cost = |(files, samples): &(usize, Samples)| samples.cpu() / f64::from(u32::try_from(*files).unwrap());
    for larger in &per_file[2..] {
        met &= target(&format!("linear to {} files", larger.0), cost(larger) <= 1.25 * cost(&per_file[1]));
        met &= target(&format!("{} files within 200 MB", larger.0), larger.1.memory() <= 200 * 1024);
    }
    println!("load of this machine at the end: {}", measure::load());
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One size: what factoryup takes for a branch, and whether the targets are met.
fn size(files: usize, peers: &Path) -> (Samples, bool) {
    let bench = Bench::new(files, peers);
    let meter = Meter::new();
    let turns = if files <= 120 { 5 } else { 3 };
    let with_peers = files <= 1200;
    let mut samples = [(); 5].map(|()| Samples::default());
    for turn in 0..=turns {
        for (index, contestant) in Bench::CONTESTANTS.iter().enumerate() {
            if !with_peers && matches!(*contestant, "copier update" | "cruft update") {
                continue;
            }
            let sample = meter.run(&mut bench.prepared(contestant));
            bench.check(contestant);
            if turn > 0 {
                samples[index].push(sample);
            }
        }
    }
    println!("\n{files} files, median of {turns} turns      wall ms     CPU ms   peak MiB   CPU times ours");
    let ours = samples[0].clone();
    for (name, samples) in Bench::CONTESTANTS.iter().zip(&samples).filter(|(_, samples)| !samples.is_empty()) {
        let memory = samples.memory() / 1024;
        let ratio = samples.cpu() / ours.cpu();
        println!("{name:<36} {:>9.1} {:>10.1} {memory:>10} {ratio:>16.2}", samples.wall() * 1e3, samples.cpu() * 1e3);
    }
    let mut met = true;
    if files == 120 {
        met &= target("120 files within 50 ms of CPU", ours.cpu() <= 0.050);
        met &= target("at least 100 times as fast as copier", samples[2].cpu() >= 100.0 * ours.cpu());
    }
    (ours, met)
}

/// What `factoryup upgrade --yes --no-push` does, with the templates of a folder.
fn as_factoryup(how: &str, dir: &Path, pack: &Path) {
    let text = std::fs::read_to_string(dir.join("factory.toml")).unwrap();
    let factory = factoryup::factory::parse(&text, "factory.toml").unwrap();
    let mut state = StateDir::open(&factory.factory.name).unwrap();
    state.lock("upgrade").unwrap();
    let tree = Renderer::read(pack).unwrap().tree(&factory).unwrap();
    let mut target = RepoTarget::of_tree(dir, &factory, &text, tree).unwrap().in_place(how == "in-place");
    converge(&mut target, &Silent, &state, Options { yes: true, ..Options::default() }).unwrap();
    if let Some(report) = target.report() {
        assert_eq!(report.conflicts().count(), 0, "{report:?}");
    }
}

/// This program.
fn itself() -> PathBuf {
    std::env::current_exe().unwrap()
}
