//! `Procfile`: one `NAME: COMMAND` a line; `web` is what serves.

use super::Facts;
use super::source::{Said, Source, lines};

/// Its processes, in its order.
pub(super) fn processes(source: &Source) -> impl Iterator<Item = (String, Said)> {
    source.text("Procfile").map(lines).into_iter().flatten().filter_map(|(number, line)| {
        let (name, command) = line.split_once(':')?;
        Some((name.trim().to_owned(), Said::new(command.trim(), format!("Procfile, line {number}"))))
    })
}

/// The command of one of them.
pub(super) fn process(source: &Source, name: &str) -> Option<Said> {
    processes(source).find(|(other, said)| other == name && !said.value.is_empty()).map(|(_, said)| said)
}

/// The command that serves, and what runs before it at each start: `migrate; gunicorn app:app` has both.
pub(super) fn web(source: &Source) -> Option<(Said, Option<Said>)> {
    let said = process(source, "web")?;
    let (before, serve) = split(&said.value);
    let before = before.map(|before| Said::new(tool(before), &said.origin));
    (!serve.is_empty()).then(|| (Said::new(bound(serve), &said.origin), before))
}

/// The last command of a list, and those before it.
pub(super) fn split(command: &str) -> (Option<&str>, &str) {
    let at = [command.rfind("&&").map(|at| (at, 2)), command.rfind(';').map(|at| (at, 1))].into_iter().flatten().max();
    match at {
        // Within quotes it belongs to a word.
        Some((at, length)) if !command[at..].contains(['"', '\'']) => {
            (Some(command[..at].trim()), command[at + length..].trim())
        }
        _ => (None, command.trim()),
    }
}

/// The command as it runs here: a server that was not told where to listen is told.
pub(super) fn bound(command: &str) -> String {
    let command = command.strip_prefix("exec ").unwrap_or(command).trim();
    let (program, rest) = command.split_once(' ').unwrap_or((command, ""));
    let knows = |flags: &[&str]| rest.split([' ', '=']).any(|word| flags.contains(&word));
    match program {
        "gunicorn" if !knows(&["-b", "--bind", "-c", "--config"]) => {
            format!("python3 -m gunicorn --bind \"$ADDRESS:$PORT\" {rest}")
        }
        "uvicorn" if !knows(&["--port", "--uds"]) => {
            format!("python3 -m uvicorn --host \"$ADDRESS\" --port \"$PORT\" {rest}")
        }
        "gunicorn" | "uvicorn" | "hypercorn" => format!("python3 -m {command}"),
        "python" => format!("python3 {rest}"),
        _ => command.to_owned(),
    }
}

/// The command of a program that listens nowhere. A tool of Python is run by the interpreter that its packages are for.
pub(super) fn tool(command: &str) -> String {
    if !command.contains(['"', '\'']) && command.contains("&&") {
        return command.split("&&").map(|one| tool(one.trim())).collect::<Vec<_>>().join(" && ");
    }
    let command = command.strip_prefix("exec ").unwrap_or(command).trim();
    match command.split_once(' ') {
        Some(("python", rest)) => format!("python3 {rest}"),
        Some(("flask" | "alembic" | "celery", _)) => format!("python3 -m {command}"),
        _ => command.to_owned(),
    }
}

impl Facts {
    /// A command as it runs in a release: one of an image finds the tools that its owner had.
    pub(super) fn tool(&self, command: &str) -> String {
        if self.is_container { command.trim().to_owned() } else { tool(command) }
    }
}

/// Words of commands that bring a database to the state that a release needs.
const MIGRATIONS: [&str; 9] = [
    "alembic upgrade",
    "db upgrade",
    "manage.py migrate",
    "db:migrate",
    "db:prepare",
    "migrate deploy",
    "migrate:latest",
    "sqlx migrate run",
    "diesel migration run",
];

/// Whether a command does nothing but migrate, as far as its words tell.
pub(super) fn is_migration(command: &str) -> bool {
    MIGRATIONS.iter().any(|words| command.contains(words))
}

/// Whether words of a list are in a command: as words, so that `dev` is not in `development`.
pub(super) fn has_words(command: &str, list: &[&str]) -> bool {
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    list.iter().any(|words| command.match_indices(words).any(|(at, _)| is_end(&command[at + words.len()..])))
}
