//! Services that an application needs besides itself. The host can have Postgres and Redis; the others are named to the owner.

use super::Facts;
use super::source::{Said, Source, lines};

/// Ends of the names of images that are Postgres, some with more in it than the system's package has.
const IMAGES: [&str; 5] = ["postgres", "postgresql", "postgis", "pgvector", "timescaledb"];
/// Drivers in lists of dependencies: they tell that it may use Postgres, and not that it does.
const DRIVERS: [(&str, &[&str]); 4] = [
    ("requirements.txt", &["psycopg", "psycopg2", "psycopg2-binary", "asyncpg"]),
    ("package.json", &["\"pg\"", "\"postgres\""]),
    ("go.mod", &["github.com/jackc/pgx/v5", "github.com/lib/pq"]),
    ("Cargo.toml", &["tokio-postgres", "postgres"]),
];

/// The application asks for Postgres.
pub(super) fn postgres(facts: &mut Facts, origin: impl Into<String>) {
    facts.postgres.get_or_insert_with(|| Said::new("yes", origin));
}

/// The application asks for Redis.
pub(super) fn redis(facts: &mut Facts, origin: impl Into<String>) {
    facts.redis.get_or_insert_with(|| Said::new("yes", origin));
}

/// What the host has of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Postgres,
    Redis,
}

/// Asks for what an image that is not the repo's own is; `None` if the host does not have it.
pub(super) fn image(image: &str, origin: &str, facts: &mut Facts) -> Option<Kind> {
    let name = name(image);
    if ["redis", "valkey"].contains(&name) {
        redis(facts, origin);
        return Some(Kind::Redis);
    }
    if !IMAGES.contains(&name) {
        return None;
    }
    if !name.starts_with("postgres") {
        facts.notes.push(format!(
            "{origin} has {name}: Postgres on the host has only the extensions of the package `postgresql`"
        ));
    }
    postgres(facts, origin);
    Some(Kind::Postgres)
}

/// The name of an image without its registry, folder, tag and digest.
pub(super) fn name(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    name.split(':').next().unwrap_or_default()
}

/// One that the owner runs elsewhere.
pub(super) fn other(name: &str, origin: &str, facts: &mut Facts) {
    facts.notes.push(format!(
        "{origin} has {name}, which the factory does not offer: its address has to be in the application's settings"
    ));
}

/// The file with samples of settings: an address of a service in it was the owner's choice. A driver alone is a hint.
pub(super) fn read(source: &Source, samples: &[&str], facts: &mut Facts) {
    for file in samples {
        for (number, line) in source.text(file).map(lines).into_iter().flatten() {
            let line = line.trim_start().trim_start_matches("export ");
            let Some((name, value)) = line.split_once('=') else { continue };
            let value = value.trim_start_matches(['"', '\'']);
            match name {
                "DATABASE_URL" if value.starts_with("postgres") => postgres(facts, format!("{file}, line {number}")),
                "REDIS_URL" if value.starts_with("redis") => redis(facts, format!("{file}, line {number}")),
                _ => {}
            }
        }
    }
    if facts.redis.is_some() {
        // The host gives it.
        facts.env.retain(|said| said.value != "REDIS_URL");
    }
    if facts.postgres.is_some() {
        // The host gives it.
        facts.env.retain(|said| said.value != "DATABASE_URL");
        return;
    }
    for (file, drivers) in DRIVERS {
        for (number, line) in source.text(file).map(lines).into_iter().flatten() {
            let ends = |c: char| !(c.is_ascii_alphanumeric() || "-_./\"".contains(c));
            let word = line.trim().trim_start_matches("require ").split(ends).next().unwrap_or_default();
            if drivers.contains(&word) {
                let driver = word.trim_matches('"');
                facts.notes.push(format!(
                    "{file}, line {number} has {driver}: if the application uses Postgres, add the line service.postgres=yes"
                ));
                return;
            }
        }
    }
}
