//! Which stack a repo, or a folder of it, is of, and which cannot be built yet.

use super::source::Source;
use super::{Refusal, Stack, one_of};

/// Files that make their folder an application.
pub(super) const MANIFESTS: [(&str, Stack); 8] = [
    ("requirements.txt", Stack::Python),
    ("pyproject.toml", Stack::Python),
    ("manage.py", Stack::Python),
    ("Pipfile", Stack::Python),
    ("setup.py", Stack::Python),
    ("package.json", Stack::Node),
    ("go.mod", Stack::Go),
    ("Cargo.toml", Stack::Rust),
];
/// Manifests of what cannot be built yet.
pub(super) const UNKNOWN: [(&str, &str); 9] = [
    ("Gemfile", "Ruby"),
    ("composer.json", "PHP"),
    ("pom.xml", "Java"),
    ("build.gradle", "Java"),
    ("build.gradle.kts", "Kotlin"),
    ("mix.exs", "Elixir"),
    ("deno.json", "Deno"),
    ("bun.lockb", "Bun"),
    ("bun.lock", "Bun"),
];
pub(super) const CONTAINER: [&str; 2] = ["Containerfile", "Dockerfile"];
pub(super) const COMPOSE: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
pub(super) fn submodule(source: &Source) -> Result<(), Refusal> {
    let Some(path) = &source.submodule else { return Ok(()) };
    Err(Refusal::new(
        format!("{path} is a git submodule, which the factory's build does not fetch"),
        "copy the submodule's files into the repo, commit, then run the command again",
    ))
}

/// The one stack of this repo.
pub(super) fn stack(source: &Source, chosen: Option<Stack>) -> Result<Stack, Refusal> {
    if let Some(stack) = chosen {
        return Ok(stack);
    }
    let mut found: Vec<(Stack, &str)> = Vec::new();
    for (manifest, stack) in MANIFESTS {
        if source.has(manifest) && found.iter().all(|(other, _)| *other != stack) {
            found.push((stack, manifest));
        }
    }
    if let Some(config) = super::hugo::config(source) {
        // A package.json there is for what Hugo calls.
        found.retain(|(stack, _)| *stack != Stack::Node);
        found.push((Stack::Hugo, config));
    }
    match found[..] {
        [] => {}
        [(stack, _)] => return Ok(stack),
        _ => {
            let files: Vec<&str> = found.iter().map(|(_, file)| *file).collect();
            let container = source.first(&CONTAINER).map(|_| Stack::Container);
            let stacks = found.iter().map(|(stack, _)| *stack).chain(container);
            let flags: Vec<String> = stacks.map(|stack| format!("--stack {}", stack.name())).collect();
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            return Err(Refusal::new(
                format!("the repo has {}, so it is ambiguous which one serves", files.join(" and ")),
                format!("choose the one that serves: {}", one_of(&flags)),
            ));
        }
    }
    if source.first(&CONTAINER).is_some() {
        return Ok(Stack::Container);
    }
    if let Some((file, language)) = UNKNOWN.iter().find(|(file, _)| source.has(file)) {
        return Err(Refusal::new(
            format!("{file}: {language} is not supported yet without a container file"),
            "add a Containerfile that builds it; Python, Node.js, Go, Rust, Hugo and plain HTML need none",
        ));
    }
    if source.first(&COMPOSE).is_some() {
        return Ok(Stack::Container);
    }
    if super::html::folder(source).is_some() {
        return Ok(Stack::Html);
    }
    Err(Refusal::new(
        "the kind of application is unknown: no language manifest, no site configuration and no index.html",
        "choose it: --stack STACK, with --build and --run for a program or --output for a site",
    ))
}
