//! Every reader of foreign bytes, under mutated inputs: no panic, no second lost, no memory without end.
//!
//! Each room lists its readers beside this file, as a module of its own, so that what it does not show to others can be called. A
//! reader returns what it made of the input. Texts that lead to a result of a new kind join the inputs that are mutated further.
//!
//! `cargo test` plays some seconds. A long run, of one reader or of all:
//!
//! ```sh
//! FACTORYUP_FUZZ_SECONDS=3600 FACTORYUP_FUZZ_SEED=7 cargo test --lib -- --nocapture fuzz::readers_hold
//! FACTORYUP_FUZZ_RUNS=1000000 FACTORYUP_FUZZ_READER=known-hosts cargo test --lib -- --nocapture fuzz::readers_hold
//! ```
//!
//! An input that failed is written to `target/fuzz/`. Once its fault is fixed, it goes to `tests/fuzz/inputs/READER/`, where
//! every run reads it first.

mod mutate;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mutate::Mutator;

use crate::{dialog, factory, gitlab, host, plan, repo, secret, transport, wizard};

/// A reader of foreign bytes.
pub(crate) struct Reader {
    pub(crate) name: &'static str,
    /// Reads, and says what it made of it.
    pub(crate) read: fn(&[u8]) -> String,
    /// Valid inputs, and such as are nearly that.
    pub(crate) seeds: &'static [&'static [u8]],
}

/// How long one input may take.
const SLOW: Duration = Duration::from_secs(1);
/// When a reader counts as hanging.
const HANGS: Duration = Duration::from_mins(1);
/// Memory for the whole run, in KiB: the kernel holds to it.
const MEMORY: u32 = 256 * 1024;
/// What `cargo test` spends on it.
const SECONDS: u64 = 20;
/// Inputs that are kept to be mutated further, for each reader.
const KEPT: usize = 400;

const SECRET: &str = "glpat-fuzz_canary-0123456789";

static OWN: &[Reader] = &[
    Reader {
        name: "factory.toml",
        read: |bytes| {
            factory::parse(&String::from_utf8_lossy(bytes), "factory.toml").map_or_else(text, |_| "ok".into())
        },
        seeds: &[
            include_bytes!("../fixtures/formats/factory-1.toml"),
            include_bytes!("../fixtures/formats/factory-2.toml"),
            include_bytes!("../fixtures/formats/answers-2.lock"),
            b"\"\r\n",
        ],
    },
    Reader {
        name: "answers.lock",
        read: |bytes| format!("{:?}", factory::schema_of(&String::from_utf8_lossy(bytes))),
        seeds: &[
            include_bytes!("../fixtures/formats/answers-1.lock"),
            include_bytes!("../fixtures/formats/answers-2.lock"),
        ],
    },
    Reader {
        name: "terminal-text",
        read: |bytes| {
            let plain = dialog::plain(&String::from_utf8_lossy(bytes));
            assert!(!plain.contains(|c| !matches!(c, '\n' | '\t') && dialog::acts_on_a_terminal(c)), "{plain:?}");
            plain.len().to_string()
        },
        seeds: &[b"a\x1b[31mb\x1b]52;c;AAAA\x07\xc2\x9b2J\r\n\t\xe2\x80\xae", b"plain", b"\xff\xfe"],
    },
    Reader {
        name: "secrets",
        read: |bytes| {
            let shown = secret::redact(&String::from_utf8_lossy(bytes)).into_owned();
            assert!(!shown.contains(SECRET), "{shown:?}");
            let mut value = serde_json::Value::String(String::from_utf8_lossy(bytes).into_owned());
            secret::redact_json(&mut value);
            assert!(!value.to_string().contains(SECRET), "{value}");
            format!("{}", shown.contains("[secret]"))
        },
        seeds: &[
            b"token glpat-fuzz_canary-0123456789 end",
            b"Z2xwYXQtZnV6el9jYW5hcnktMDEyMzQ1Njc4OQ==",
            b"%67%6c%70%61%74-fuzz%5fcanary%2d0123456789 \\u0067lpat",
        ],
    },
];

/// The kind of a result in words, from an error of any type.
pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn readers() -> impl Iterator<Item = &'static Reader> {
    let rooms = [OWN, gitlab::fuzz::READERS, host::fuzz::READERS, plan::fuzz::READERS, repo::fuzz::READERS];
    rooms.into_iter().chain([transport::fuzz::READERS, wizard::discover::fuzz::READERS]).flatten()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(format!("FACTORYUP_FUZZ_{name}")).ok().and_then(|text| text.parse().ok())
}

/// In a process of its own, which the kernel gives no more memory.
#[test]
fn readers_hold() {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -d {MEMORY} && exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "fuzz::play", "--ignored", "--nocapture", "--test-threads=1"]);
    let output = command.env("FACTORYUP_FUZZ_CHILD", "1").output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{}", output.status);
}

#[test]
#[ignore = "`readers_hold` runs it in a process of its own"]
fn play() {
    if std::env::var_os("FACTORYUP_FUZZ_CHILD").is_none() {
        return;
    }
    let _secret = secret::Secret::new(SECRET);
    let only = std::env::var("FACTORYUP_FUZZ_READER").ok();
    let readers: Vec<&Reader> = readers().filter(|r| only.as_deref().is_none_or(|only| only == r.name)).collect();
    assert!(!readers.is_empty(), "there is no such reader");
    let seed = number("SEED").unwrap_or(2026);
    let runs = number("RUNS").unwrap_or(u64::MAX);
    let seconds = number("SECONDS").unwrap_or(if runs == u64::MAX { SECONDS } else { u64::MAX / 1000 });
    let share = Duration::from_millis(seconds.saturating_mul(1000) / readers.len() as u64);
    let watched = Watched::default();
    watched.begin();
    let (mut all, mut failures) = (0, Vec::new());
    for (index, reader) in readers.iter().enumerate() {
        let begun = Instant::now();
        let mut corpus: Vec<Vec<u8>> = reader.seeds.iter().map(|seed| seed.to_vec()).collect();
        let mut kinds = HashSet::new();
        let mut mutator = Mutator::new(seed.wrapping_add(index as u64));
        let (mut made, mut slowest) = (0, Duration::ZERO);
        let mut known = inputs(reader.name).into_iter().chain(corpus.clone()).collect::<Vec<_>>().into_iter();
        loop {
            let first = known.next();
            if first.is_none() && (made >= runs || begun.elapsed() >= share) {
                break;
            }
            let input = first.unwrap_or_else(|| mutator.mutate(&corpus));
            made += 1;
            match once(reader, &input, &watched) {
                Ok((result, took)) => {
                    slowest = slowest.max(took);
                    // What is known is bounded too: a reader can repeat what it read.
                    if corpus.len() < KEPT && kinds.insert(kind(&result)) {
                        corpus.push(input);
                    }
                }
                Err(failure) => {
                    println!("{failure}");
                    failures.push(failure);
                    break;
                }
            }
        }
        all += made;
        let name = reader.name;
        println!("{name}: {made} runs, {} kinds of results, slowest {} ms", kinds.len(), slowest.as_millis());
    }
    println!("fuzz: {all} runs of {} readers, seed {seed}, {}", readers.len(), memory());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A result without what differs from input to input.
fn kind(result: &str) -> String {
    let words = result.split(' ').filter(|word| !word.contains("/.tmp")).collect::<Vec<_>>().join(" ");
    words.chars().filter(|c| !c.is_ascii_digit()).take(48).collect()
}

/// The most memory that this process had.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("memory unknown").to_owned()
}

/// Inputs that once failed.
fn inputs(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/inputs").join(name);
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.map(|file| std::fs::read(file.path()).unwrap()).collect()
}

fn once(reader: &Reader, input: &[u8], watched: &Watched) -> Result<(String, Duration), String> {
    let read = || {
        watched.set(Some((reader.name, input)));
        let result = catch_unwind(AssertUnwindSafe(|| (reader.read)(input)));
        watched.set(None);
        result.map_err(|_| keep(reader.name, input, "panicked"))
    };
    let since = Instant::now();
    let result = read()?;
    let took = since.elapsed();
    if took < SLOW {
        return Ok((result, took));
    }
    // The machine may have been busy with something else.
    let begun = worked();
    let result = read()?;
    let took = worked().saturating_sub(begun);
    if took < SLOW {
        Ok((result, took))
    } else {
        Err(keep(reader.name, input, &format!("took {} ms", took.as_millis())))
    }
}

/// How long this thread was at work: what others do on the machine does not count. schedstat in proc(5), nanoseconds first.
fn worked() -> Duration {
    static BEGUN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map_or_else(|| BEGUN.elapsed(), Duration::from_nanos)
}

/// Keeps an input that failed, and says where.
fn keep(name: &str, input: &[u8], what: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/fuzz");
    let _ = std::fs::create_dir_all(&folder);
    let path = folder.join(format!("{name}-{}", crate::digest::sha256(input).split_at(12).0));
    let _ = std::fs::write(&path, input);
    format!("{name} {what} on {}: {:?}", path.display(), String::from_utf8_lossy(&input[..input.len().min(400)]))
}

type Current = Option<(&'static str, Vec<u8>, Instant)>;

/// The input that is being read, for the thread that ends a reader that hangs.
#[derive(Clone, Default)]
struct Watched(Arc<Mutex<Current>>);

impl Watched {
    fn set(&self, current: Option<(&'static str, &[u8])>) {
        *self.0.lock().unwrap() = current.map(|(name, input)| (name, input.to_vec(), Instant::now()));
    }

    fn begin(&self) {
        let watched = Arc::clone(&self.0);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_millis(500));
                let current = watched.lock().unwrap().clone();
                if let Some((name, input, since)) = current
                    && since.elapsed() > HANGS
                {
                    println!("{}", keep(name, &input, "hangs"));
                    std::process::abort();
                }
            }
        });
    }
}
