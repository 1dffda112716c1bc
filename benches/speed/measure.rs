//! Taking times in turn, and telling them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Times of one thing, in ascending order.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    /// The shortest: what else runs on the machine only adds to it.
    pub fn least(&self) -> Duration {
        self.0[0]
    }

    /// Lower and upper quartile.
    fn spread(&self) -> (Duration, Duration) {
        (self.0[self.0.len() / 4], self.0[self.0.len() * 3 / 4])
    }
}

/// The times of `turns` turns of each, after one turn that does not count.
pub fn in_turn(turns: usize, mut first: impl FnMut(), mut second: impl FnMut()) -> (Times, Times) {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..=turns {
        let times = (time(&mut first), time(&mut second));
        if turn > 0 {
            ours.push(times.0);
            theirs.push(times.1);
        }
    }
    ours.sort_unstable();
    theirs.sort_unstable();
    (Times(ours), Times(theirs))
}

fn time(work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Runs a command that must succeed and whose output does not matter.
pub fn run(command: &mut Command) {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?} ended with {status}");
}

/// Our median over theirs.
pub fn ratio(ours: &Times, theirs: &Times) -> f64 {
    ours.median().as_secs_f64() / theirs.median().as_secs_f64()
}

/// Prints both medians with their quartiles and leasts, and the ratio.
pub fn show(our_name: &str, ours: &Times, their_name: &str, theirs: &Times) {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    println!();
    for (name, times) in [(our_name, ours), (their_name, theirs)] {
        let (low, high) = times.spread();
        println!(
            "{name:<44} {:>9.2} ms   ({:.2} to {:.2}, least {:.2})",
            ms(times.median()),
            ms(low),
            ms(high),
            ms(times.least())
        );
    }
    println!("{:<44} {:>9.2}", "ratio", ratio(ours, theirs));
}

/// Prints whether a target is met, and passes it on.
pub fn target(what: &str, met: bool) -> bool {
    println!("{what}: {}", if met { "met" } else { "MISSED" });
    met
}

/// Processes that are running or waiting for a processor, over the last minute, and how many processors there are.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{} on {processors} processors", text.split(' ').next().unwrap_or("unknown"))
}
