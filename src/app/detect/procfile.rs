//! `Procfile`: one `NAME: COMMAND` a line; `web` is what serves.

use super::source::{Said, Source, lines};

/// The command that serves, and what runs before it at each start: `migrate; gunicorn app:app` has both.
pub(super) fn web(source: &Source) -> Option<(Said, Option<String>)> {
    let text = source.text("Procfile")?;
    let (number, command) = lines(text).find_map(|(number, line)| Some((number, line.strip_prefix("web:")?.trim())))?;
    let (before, serve) = split(command);
    let origin = format!("Procfile, line {number}");
    (!serve.is_empty()).then(|| (Said::new(bound(serve), origin), before.map(str::to_owned)))
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
