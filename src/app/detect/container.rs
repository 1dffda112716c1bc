//! `Containerfile` or `Dockerfile`: what it tells about the running application, its health check and its data; and how its image is built,
//! for a repo of which it is the only description, or by choice.

use super::source::{Said, Source, is_plain, lines};
use super::{Facts, Refusal, Wishes, is_health_path};

pub(super) fn read(source: &Source, file: Option<&str>, facts: &mut Facts) {
    // A health check may go on in the next line.
    let mut in_check = false;
    for (file, number, line) in instructions(source, file) {
        let origin = || format!("{file}, line {number}");
        let (instruction, rest) = split(line);
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

/// The image is built, and a release is its root file system. Its command serves, whatever other files say of one.
pub(super) fn build(source: &Source, file: Option<&str>, wishes: &Wishes, facts: &mut Facts) -> Result<(), Refusal> {
    let Some(file) = file else {
        return Err(Refusal::new(
            "the repo has no Containerfile or Dockerfile at its top",
            "add one, or choose another --stack",
        ));
    };
    facts.image = "docker.io/library/python:3.13".into();
    if facts.build.is_empty() {
        facts.build.push(match at_top(source, file) {
            None => Said::new(format!(".factory/image {file}"), file),
            Some((up, path, copies)) => {
                let origin = format!("{file}, which copies {copies}, a file of the top");
                Said::new(format!("cd {up} && .factory/image {}", crate::shell::word(&path)), origin)
            }
        });
    }
    facts.start = wishes.run.as_ref().map(|run| Said::new(run, "--run"));
    let folders: Vec<Said> = facts.data.iter().filter(|said| said.value.starts_with('/')).cloned().collect();
    facts.data.retain(|said| !said.value.starts_with('/'));
    if let [first, others @ ..] = &folders[..] {
        facts.volume = Some(first.clone());
        for other in others.iter().filter(|other| other.value != first.value) {
            facts.notes.push(format!(
                "{} keeps data in {} too, and a release has one such folder: set volume to one above both",
                other.origin, other.value
            ));
        }
    }
    let mut exposed = None;
    for (file, number, line) in instructions(source, Some(file)) {
        let (instruction, rest) = split(line);
        if line.contains("$PORT") || line.contains("${PORT") {
            return Ok(());
        }
        if instruction.eq_ignore_ascii_case("EXPOSE") {
            exposed = Some(format!("{file}, line {number} exposes {rest}; a release has to listen on $PORT"));
        }
    }
    facts.notes.extend(exposed);
    Ok(())
}

/// Of a container file in a folder that copies what only the top has: the way there, the file from there, and what it copies.
fn at_top(source: &Source, file: &str) -> Option<(String, String, String)> {
    let (up, folder) = source.place_in_repo()?;
    let copied = instructions(source, Some(file)).filter_map(|(_, _, line)| {
        let (instruction, rest) = split(line);
        let is_copy = instruction.eq_ignore_ascii_case("COPY") || instruction.eq_ignore_ascii_case("ADD");
        (is_copy && !rest.contains("--from=")).then_some(rest)
    });
    let words = copied.flat_map(|rest| rest.split_whitespace().rev().skip(1).filter(|word| is_plain(word)));
    let is_here = |path: &str| source.has(path) || source.has_folder(path);
    let mut paths = words.map(|word| word.trim_start_matches("./").trim_end_matches('/'));
    let missing = paths.find(|path| !is_here(path) && is_here(&format!("{up}/{path}")))?;
    Some((up.to_owned(), format!("{folder}/{file}"), missing.to_owned()))
}

fn instructions<'a>(source: &'a Source, file: Option<&'a str>) -> impl Iterator<Item = (&'a str, usize, &'a str)> {
    let file = file.and_then(|file| Some((file, source.text(file)?)));
    file.into_iter().flat_map(|(file, text)| lines(text).map(move |(number, line)| (file, number, line)))
}

fn split(line: &str) -> (&str, &str) {
    line.trim().split_once(' ').unwrap_or((line.trim(), ""))
}

/// The path of a URL on this machine.
pub(super) fn path_of(word: &str) -> Option<String> {
    let rest =
        ["http://localhost", "http://127.0.0.1", "http://0.0.0.0"].iter().find_map(|begin| word.strip_prefix(begin))?;
    let path = &rest[rest.find('/')?..];
    is_health_path(path).then(|| path.to_owned())
}
