//! Go: one program of the module.

use super::source::{Said, Source, is_plain};
use super::{Facts, Refusal, Wishes, is_built_for, one_of};

pub(super) fn read(source: &Source, wishes: &Wishes, facts: &mut Facts) -> Result<(), Refusal> {
    facts.image = format!("docker.io/library/golang:{}", toolchain(source).unwrap_or_else(|| "1".into()));
    facts.test.push(Said::new("go vet ./... && go test ./...", "go.mod"));
    let all = mains(source);
    let module = module(source);
    let by_flag = wishes.run.as_deref().and_then(|run| {
        let named = run.trim_start_matches("./");
        all.iter().find(|(folder, _)| {
            folder == named || (named == "." && folder.is_empty()) || is_built_for(run, last(folder, &module))
        })
    });
    if let (Some(run), None) = (&wishes.run, by_flag) {
        facts.start = Some(Said::new(run, "--run"));
        if facts.build.is_empty() {
            return Err(Refusal::new(
                format!("{run} is not a main package of the repo"),
                "add --build with the command that builds it",
            ));
        }
        return Ok(());
    }
    let (folder, file) = match (by_flag, &all[..]) {
        (Some(main), _) | (None, [main]) => main,
        (None, []) => {
            return Err(Refusal::new(
                "go.mod: the repo has no package main, so it is a library, not an application",
                "adopt the repo of the program that uses it",
            ));
        }
        (None, several) => {
            let named = |(folder, _): &&(String, String)| folder.rsplit('/').next() == Some(name(&module));
            let mut same = several.iter().filter(named);
            let (Some(main), None) = (same.next(), same.next()) else {
                let flags: Vec<String> =
                    several.iter().take(6).map(|(folder, _)| format!("--run {}", package(folder))).collect();
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                return Err(Refusal::new(
                    format!("go.mod: the repo has {} programs (package main)", several.len()),
                    format!("choose the one that serves: {}", one_of(&flags)),
                ));
            };
            main
        }
    };
    let last = last(folder, &module);
    if !is_plain(folder) && !folder.is_empty() || !is_plain(last) {
        return Err(Refusal::new(format!("{file}: the folder's name needs quotes in a shell"), "rename the folder"));
    }
    let program = format!(".factory/bin/{last}");
    if facts.build.is_empty() {
        // Neither paths of this machine nor the state of a work tree get into the program.
        let build = format!("go build -trimpath -buildvcs=false -o {program} {}", package(folder));
        let origin = if by_flag.is_some() { "--run".to_owned() } else { format!("go.mod and {file}") };
        facts.build.push(Said::new(build, origin));
        facts.program = Some(Said::new(&program, "the build"));
    }
    if let Some(run) = wishes.run.as_ref().filter(|run| is_built_for(run, last)) {
        facts.start = Some(Said::new(run, "--run"));
    }
    facts.start.get_or_insert_with(|| Said::new(program, file));
    Ok(())
}

/// What the program of a folder is called.
fn last<'a>(folder: &'a str, module: &'a str) -> &'a str {
    name(if folder.is_empty() { module } else { folder })
}

fn package(folder: &str) -> String {
    if folder.is_empty() { ".".to_owned() } else { format!("./{folder}") }
}

/// Folder and file of each program.
fn mains(source: &Source) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for (path, text) in source.texts(&[".go"]) {
        let is_main = !path.ends_with("_test.go")
            && text.lines().any(|line| line.trim_end() == "package main")
            && text.lines().any(|line| line.starts_with("func main()"))
            // Run by hand: `go run generate.go`.
            && !text.lines().any(|line| line.starts_with("//go:build ignore") || line.starts_with("// +build ignore"));
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if is_main && all.iter().all(|(other, _)| other != folder) {
            all.push((folder.to_owned(), path.to_owned()));
        }
    }
    all
}

fn directive<'a>(source: &'a Source, name: &str) -> Option<&'a str> {
    let mut lines = source.text("go.mod")?.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.split_whitespace().next())
}

/// The module's path without the number of its major version.
fn module(source: &Source) -> String {
    let path = directive(source, "module").unwrap_or("app").trim_matches('"');
    let (rest, last) = path.rsplit_once('/').unwrap_or(("", path));
    let is_version = last.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if is_version && !rest.is_empty() { rest.to_owned() } else { path.to_owned() }
}

fn name(module: &str) -> &str {
    module.rsplit('/').next().unwrap_or(module)
}

/// `1.24` of `go 1.24.3`.
fn toolchain(source: &Source) -> Option<String> {
    let version = directive(source, "go")?;
    let parts: Vec<&str> = version.split('.').take(2).collect();
    parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit())).then(|| parts.join("."))
}
