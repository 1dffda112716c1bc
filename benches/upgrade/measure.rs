//! Taking what a process costs, and telling it.

use std::fs;
use std::process::Command;

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    wall: f64,
    cpu: f64,
    memory: u64,
}

/// Several runs of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Sample>);

impl Samples {
    pub fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Seconds, the median.
    pub fn wall(&self) -> f64 {
        median(self.0.iter().map(|sample| sample.wall))
    }

    /// Seconds of all processes, in user and system mode, the median.
    pub fn cpu(&self) -> f64 {
        median(self.0.iter().map(|sample| sample.cpu))
    }

    /// KiB of the largest process, the most.
    pub fn memory(&self) -> u64 {
        self.0.iter().map(|sample| sample.memory).max().unwrap_or_default()
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Runs commands under `measure.py`, which can read what the kernel counted.
pub struct Meter(tempfile::TempDir);

impl Meter {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("measure.py"), include_str!("measure.py")).unwrap();
        Self(folder)
    }

    /// Runs a command that must succeed.
    pub fn run(&self, command: &mut Command) -> Sample {
        let log = self.0.path().join("log");
        let mut outer = Command::new("python3");
        outer.arg(self.0.path().join("measure.py")).arg(&log).arg(command.get_program()).args(command.get_args());
        outer.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        outer.current_dir(command.get_current_dir().unwrap());
        let output = outer.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let fields: Vec<&str> = text.split_whitespace().collect();
        let said = fs::read_to_string(&log).unwrap_or_default();
        let [wall, cpu, memory, "0"] = fields[..] else {
            panic!("{command:?}: {text} {} {said}", String::from_utf8_lossy(&output.stderr))
        };
        Sample { wall: wall.parse().unwrap(), cpu: cpu.parse().unwrap(), memory: memory.parse().unwrap() }
    }
}

/// Prints whether a target is met, and passes it on.
pub fn target(what: &str, met: bool) -> bool {
    println!("{what}: {}", if met { "met" } else { "MISSED" });
    met
}

/// Processes that are running or waiting for a processor, over the last minute, and how many processors there are.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{} on {processors} processors", text.split(' ').next().unwrap_or("unknown"))
}
