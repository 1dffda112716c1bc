//! Names of variables that an application needs, its port's among them, and paths that look like a health check.

use super::platform::SET;
use super::source::{Said, Source, lines};
use super::{Facts, Stack, backing};

/// Paths that applications answer health checks on, in the order in which they are tried.
pub(crate) const HEALTH_PATHS: [&str; 7] =
    ["/healthz", "/readyz", "/health", "/up", "/health_check", "/api/health", "/"];
/// Files that name variables, never with their values.
const SAMPLES: [&str; 6] = [".env.example", ".env.sample", ".env.template", ".env.dist", "env.example", "sample.env"];

pub(super) fn read(source: &Source, stack: Stack, facts: &mut Facts) {
    for file in SAMPLES {
        for (number, line) in source.text(file).map(lines).into_iter().flatten() {
            let line = line.trim_start().trim_start_matches("export ");
            let Some((name, _)) = line.split_once('=') else { continue };
            need(facts, name.trim(), &format!("{file}, line {number}"));
        }
    }
    let ends: &[&str] = match stack {
        Stack::Python => &[".py"],
        Stack::Node => &[".js", ".mjs", ".cjs", ".ts", ".mts"],
        Stack::Go => &[".go"],
        Stack::Rust => &[".rs"],
        Stack::Hugo | Stack::Html | Stack::Container => &[],
    };
    let mut ports: Vec<Said> = Vec::new();
    let mut health: Option<(usize, Said)> = None;
    for (path, text) in source.texts(ends).filter(|(path, _)| !is_test(path)) {
        for (number, line) in lines(text) {
            let origin = format!("{path}, line {number}");
            for name in read_names(line) {
                if stack == Stack::Python
                    && line.contains(&format!("os.environ[{quote}{name}{quote}]", quote = quote(line, name)))
                {
                    need(facts, name, &origin);
                }
                if name == "PORT" || name.ends_with("_PORT") {
                    ports.push(Said::new(name, &origin));
                }
            }
            for (rank, known) in HEALTH_PATHS[..6].iter().enumerate() {
                let quoted = ['"', '\'', '`'].iter().any(|q| line.contains(&format!("{q}{known}{q}")));
                if quoted && health.as_ref().is_none_or(|(other, _)| rank < *other) {
                    health = Some((rank, Said::new(*known, &origin)));
                }
            }
        }
    }
    if facts.health.is_none() {
        facts.health = health.map(|(_, said)| said);
        facts.health_is_a_guess = true;
    }
    if facts.port_variable.is_none() && !ports.iter().any(|said| said.value == "PORT") {
        ports.dedup_by(|a, b| a.value == b.value);
        // Other services have ports too.
        if let [one] = &ports[..]
            && ["APP_PORT", "SERVER_PORT", "HTTP_PORT", "LISTEN_PORT", "WEB_PORT"].contains(&one.value.as_str())
        {
            facts.port_variable = Some(one.clone());
        }
    }
    let port = facts.port_variable.as_ref().map(|said| said.value.clone());
    facts.env.retain(|said| Some(&said.value) != port.as_ref());
    backing::read(source, &SAMPLES, facts);
}

fn need(facts: &mut Facts, name: &str, origin: &str) {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = !name.is_empty() && name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit());
    if fits && !SET.contains(&name) && !facts.env.iter().any(|said| said.value == name) {
        facts.env.push(Said::new(name, origin));
    }
}

fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.split('/').any(|part| matches!(part, "tests" | "test" | "__tests__" | "spec" | "migrations"))
        || name.starts_with("test_")
        || [".test.", ".spec.", "_test."].iter().any(|mark| name.contains(mark))
}

/// The quote before this word in a line.
fn quote(line: &str, word: &str) -> char {
    line.find(word).and_then(|at| line[..at].chars().next_back()).unwrap_or('"')
}

/// The names of variables that a line of code reads.
fn read_names(line: &str) -> impl Iterator<Item = &str> {
    const READS: [&str; 8] = [
        "os.environ[",
        "os.environ.get(",
        "os.getenv(",
        "process.env.",
        "os.Getenv(",
        "os.LookupEnv(",
        "env::var(",
        "process.env[",
    ];
    READS.into_iter().flat_map(move |read| {
        line.match_indices(read).filter_map(move |(at, _)| {
            let rest = line[at + read.len()..].trim_start_matches(['"', '\'', '`']);
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            (end > 0).then(|| &rest[..end])
        })
    })
}
