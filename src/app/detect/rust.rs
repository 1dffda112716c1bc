//! Rust: one binary of the package, or of the packages in a workspace.

use std::collections::BTreeSet;

use super::source::{Said, Source, is_plain};
use super::{Facts, Refusal, Wishes, is_built_for, one_of};

pub(super) fn read(source: &Source, wishes: &Wishes, facts: &mut Facts) -> Result<(), Refusal> {
    facts.image = "docker.io/library/rust:1".into();
    let locked = if source.has("Cargo.lock") {
        " --locked"
    } else {
        facts.notes.push("Cargo.lock is missing, so the same commit can be built with newer crates: commit one".into());
        ""
    };
    // Queries were checked against a database before, and need none in a build.
    let offline = if source.has_folder(".sqlx") { "SQLX_OFFLINE=true " } else { "" };
    facts.test.push(Said::new(format!("{offline}cargo test{locked} --target-dir .factory/target"), "Cargo.toml"));
    let bins = bins(source);
    let by_flag =
        wishes.run.as_ref().and_then(|run| bins.iter().find(|(name, _)| name == run || is_built_for(run, name)));
    if let (Some(run), None) = (&wishes.run, by_flag) {
        facts.start = Some(Said::new(run, "--run"));
        if facts.build.is_empty() {
            return Err(Refusal::new(
                format!("{run} is not a binary of the repo"),
                "add --build with the command that builds it",
            ));
        }
        return Ok(());
    }
    let (name, origin) = match (by_flag, &bins[..]) {
        (Some((name, _)), _) => (name, "--run"),
        (None, [(name, file)]) => (name, file.as_str()),
        (None, []) => {
            return Err(Refusal::new(
                "Cargo.toml: the repo has no binary, so it is a library, not an application",
                "adopt the repo of the program that uses it",
            ));
        }
        (None, several) => {
            let default = package(source, "Cargo.toml")
                .and_then(|package| Some(package.get("default-run")?.as_str()?.to_owned()));
            let Some((name, _)) = default.and_then(|default| several.iter().find(|(name, _)| *name == default)) else {
                let flags: Vec<String> = several.iter().take(6).map(|(name, _)| format!("--run {name}")).collect();
                let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
                return Err(Refusal::new(
                    format!("Cargo.toml: the repo has {} binaries", several.len()),
                    format!("choose the one that serves: {}", one_of(&flags)),
                ));
            };
            (name, "Cargo.toml, default-run")
        }
    };
    let program = format!(".factory/bin/{name}");
    if facts.build.is_empty() {
        let target = ".factory/target";
        let build = format!("{offline}cargo build --release{locked} --bin {name} --target-dir {target}");
        facts.build.push(Said::new(build, origin));
        let keep = format!("mkdir -p .factory/bin && mv {target}/release/{name} .factory/bin/ && rm -rf {target}");
        facts.build.push(Said::new(keep, "factoryup: of the build, a release has the program alone"));
        facts.program = Some(Said::new(&program, "the build"));
    }
    if let Some(run) = wishes.run.as_ref().filter(|run| is_built_for(run, name)) {
        facts.start = Some(Said::new(run, "--run"));
    }
    facts.start.get_or_insert_with(|| Said::new(program, origin));
    Ok(())
}

fn manifest(source: &Source, path: &str) -> Option<toml::Table> {
    source.text(path)?.parse().ok()
}

fn package(source: &Source, path: &str) -> Option<toml::Table> {
    manifest(source, path)?.get("package")?.as_table().cloned()
}

/// Name and file of each binary, in all packages.
fn bins(source: &Source) -> Vec<(String, String)> {
    let mut found = BTreeSet::new();
    let manifests = source.texts(&["Cargo.toml"]).map(|(path, _)| path).filter(|path| path.matches('/').count() <= 2);
    for path in manifests {
        let Some(table) = manifest(source, path) else { continue };
        let folder = path.strip_suffix("Cargo.toml").unwrap_or_default();
        let name = table.get("package").and_then(|package| package.get("name")?.as_str());
        let Some(name) = name else { continue };
        let listed = table.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
        let listed: Vec<&toml::Value> = listed.collect();
        for bin in &listed {
            if let Some(name) = bin.get("name").and_then(toml::Value::as_str) {
                found.insert((name.to_owned(), path.to_owned()));
            }
        }
        let main = format!("{folder}src/main.rs");
        let is_listed = |path: &str| {
            listed.iter().any(|bin| bin.get("path").and_then(toml::Value::as_str) == path.strip_prefix(folder))
        };
        if source.has(&main) && !is_listed(&main) {
            found.insert((name.to_owned(), path.to_owned()));
        }
        for file in source.paths() {
            let Some(rest) = file.strip_prefix(folder).and_then(|rest| rest.strip_prefix("src/bin/")) else { continue };
            let name = rest.strip_suffix("/main.rs").or_else(|| rest.strip_suffix(".rs"));
            if let Some(name) = name.filter(|name| !name.contains('/') && !is_listed(file)) {
                found.insert((name.to_owned(), path.to_owned()));
            }
        }
    }
    // Cargo allows no other names; what is in a file that it refuses goes no further.
    found.into_iter().filter(|(name, _)| is_plain(name) && !name.contains('/')).collect()
}
