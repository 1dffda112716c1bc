//! `Containerfile` or `Dockerfile`, as far as it tells about the running application: its health check and its data.

use super::refuse::CONTAINER;
use super::source::{Said, Source, lines};
use super::{Facts, is_health_path};

pub(super) fn read(source: &Source, facts: &mut Facts) {
    let Some(file) = source.first(&CONTAINER) else { return };
    let Some(text) = source.text(file) else { return };
    // A health check may go on in the next line.
    let mut in_check = false;
    for (number, line) in lines(text) {
        let origin = || format!("{file}, line {number}");
        let (instruction, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        in_check = instruction.eq_ignore_ascii_case("HEALTHCHECK") || in_check;
        if in_check
            && facts.health.is_none()
            && let Some(path) = line.split([' ', '"', '\'']).find_map(path_of)
        {
            facts.health = Some(Said::new(path, origin()));
        }
        in_check &= line.ends_with('\\');
        if instruction.eq_ignore_ascii_case("VOLUME") {
            let names = rest.split(|c: char| c.is_whitespace() || "[],\"".contains(c)).filter(|word| !word.is_empty());
            facts.data.extend(names.map(|name| Said::new(name, origin())));
        }
    }
}

/// The path of a URL on this machine.
fn path_of(word: &str) -> Option<String> {
    let rest =
        ["http://localhost", "http://127.0.0.1", "http://0.0.0.0"].iter().find_map(|begin| word.strip_prefix(begin))?;
    let path = &rest[rest.find('/')?..];
    is_health_path(path).then(|| path.to_owned())
}
