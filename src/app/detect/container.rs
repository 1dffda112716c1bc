//! `Containerfile` or `Dockerfile`: what it tells about the running application, its health check and its data; and how its image is built,
//! for a repo of which it is the only description, or by choice.

use super::source::{Said, Source, is_plain, lines};
use super::{Facts, Refusal, Wishes, is_health_path};

pub(super) fn read(source: &Source, file: Option<&str>, facts: &mut Facts) {
    // A health check may go on in the next line.
    let mut in_check = false;
    let Some((file, text)) = file.and_then(|file| Some((file, source.text(file)?))) else { return };
    for (number, line) in stage(text, options(facts)) {
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
    for (number, line) in stage(source.text(file).unwrap_or_default(), options(facts)) {
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
    let copied = source.text(file).into_iter().flat_map(lines).filter_map(|(_, line)| {
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

/// The options that the steps of the build have.
fn options(facts: &Facts) -> impl Iterator<Item = &str> {
    facts.build.iter().flat_map(|step| step.value.split_whitespace()).map(|word| word.trim_matches('\''))
}

struct Stage<'a> {
    name: &'a str,
    /// The stage that it begins with.
    parent: Option<usize>,
    all: Vec<(usize, &'a str)>,
}

/// What the image is: the instructions of the last stage, or of the one that an option chooses, after those of the stages that it begins
/// with. The other stages only build.
fn stage<'a, 'b>(text: &'a str, mut options: impl Iterator<Item = &'b str>) -> Vec<(usize, &'a str)> {
    let mut stages: Vec<Stage<'_>> = Vec::new();
    let mut goes_on = false;
    for (number, line) in lines(text) {
        let (instruction, rest) = split(line);
        if !goes_on && instruction.eq_ignore_ascii_case("FROM") {
            let words: Vec<_> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let named = |name: &&str| stages.iter().rposition(|stage| stage.name.eq_ignore_ascii_case(name));
            let name = if let [_, _, name, ..] = words[..] { name } else { "" };
            stages.push(Stage { name, parent: words.first().and_then(named), all: Vec::new() });
        } else if let Some(stage) = stages.last_mut() {
            stage.all.push((number, line));
        }
        goes_on = line.ends_with('\\');
    }
    let chosen = options.find_map(|option| option.strip_prefix("--target=")).and_then(|target| {
        let named = stages.iter().rposition(|stage| stage.name.eq_ignore_ascii_case(target));
        named.or_else(|| target.parse().ok())
    });
    let mut next = chosen.or(stages.len().checked_sub(1));
    let mut parts = Vec::new();
    while let Some(stage) = next.and_then(|index| stages.get_mut(index)) {
        parts.push(std::mem::take(&mut stage.all));
        next = stage.parent;
    }
    parts.into_iter().rev().flatten().collect()
}

/// Whether the image has an entry point, which takes the place of a command's first word.
pub(super) fn has_entry<'b>(text: &str, options: impl Iterator<Item = &'b str>) -> bool {
    let mut all = stage(text, options).into_iter().map(|(_, line)| split(line));
    let last = all.rfind(|(instruction, _)| instruction.eq_ignore_ascii_case("ENTRYPOINT"));
    last.is_some_and(|(_, words)| words.chars().any(|c| !c.is_whitespace() && !"[]".contains(c)))
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
