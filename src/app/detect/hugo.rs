//! Sites that Hugo makes.

use super::Facts;
use super::source::{Said, Source};

const CONFIGS: [&str; 6] = ["hugo.toml", "hugo.yaml", "hugo.yml", "hugo.json", "config.toml", "config.yaml"];

/// Hugo's configuration. `config.toml` is one only beside what Hugo reads.
pub(super) fn config(source: &Source) -> Option<&'static str> {
    let is_site = || source.has_folder("content") && (source.has_folder("layouts") || source.has_folder("themes"));
    CONFIGS.into_iter().find(|file| source.has(file) && (file.starts_with("hugo.") || is_site()))
}

pub(super) fn read(source: &Source, facts: &mut Facts) {
    let config = config(source).unwrap_or("hugo.toml");
    facts.is_static = true;
    facts.image = "docker.io/library/python:3.13".into();
    if facts.build.is_empty() {
        if source.has("package-lock.json") {
            facts.build.push(Said::new("npm ci --no-audit --no-fund", "package-lock.json"));
        }
        facts.build.push(Said::new("hugo --gc --minify", config));
    }
    let text = source.text(config).unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let (key, value) = line.split_once(['=', ':'])?;
        (key.trim().trim_matches('"') == "publishDir").then(|| value.trim().trim_matches(['"', '\'', ',']).to_owned())
    });
    let origin =
        named.as_ref().map_or_else(|| format!("{config}, Hugo's default"), |_| source.place(config, "publishDir"));
    facts.output.get_or_insert_with(|| Said::new(named.unwrap_or_else(|| "public".into()), origin));
}
