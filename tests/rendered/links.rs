//! Every relative link, every anchor and every path that a document names, in every combination.
#![allow(clippy::case_sensitive_file_extension_comparisons)]

use std::collections::{BTreeMap, BTreeSet};

use factoryup::templating::tree::{Mode, Tree};

use crate::combinations::PAIRWISE;

/// Paths that exist on a clone only once something ran, or that a document tells the reader to make.
fn made_later(path: &str) -> bool {
    ["secrets/", ".gitlab-ci-local/", "evidence/log.jsonl", "evidence/allowed_signers", "evidence/gaps", "infra/apps/"]
        .iter()
        .any(|p| path.starts_with(p))
}

#[test]
fn links_and_anchors_lead_somewhere() {
    let mut links = 0;
    for combination in PAIRWISE.iter() {
        let (seen, dead) = follow(&combination.tree);
        links += seen;
        assert_eq!(dead, Vec::<String>::new(), "{}", combination.name());
    }
    assert!(links > 60 * PAIRWISE.len(), "only {links} links");
}

#[test]
fn a_dead_link_is_found_here_too() {
    let mut tree = PAIRWISE[0].tree.clone();
    let readme = tree.files.iter_mut().find(|f| f.path == "README.md").unwrap();
    readme.bytes.extend(b"\n[a](docs/gone.md) [b](docs/glossary.md#gone) [c](#gone) `[d](gone)` `scripts/gone x`\n");
    let dead = follow(&tree).1;
    assert_eq!(
        dead,
        [
            "README.md: docs/gone.md is not there",
            "README.md: docs/glossary.md has no heading #gone",
            "README.md: README.md has no heading #gone",
            "README.md: scripts/gone is not there",
        ]
    );
}

/// How many links the documents of a tree hold, and what is wrong with them.
fn follow(tree: &Tree) -> (usize, Vec<String>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let documents: BTreeMap<&str, String> = tree
        .files
        .iter()
        .filter(|f| f.path.ends_with(".md") && f.mode != Mode::Link)
        .map(|f| (f.path.as_str(), text(&f.bytes)))
        .collect();
    let mut there: BTreeSet<&str> = tree.files.iter().map(|f| f.path.as_str()).collect();
    let folders: Vec<&str> = there.iter().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..at])).collect();
    there.extend(folders);
    // `init` and `apply` write these beside the templates.
    there.extend(["factory.toml", ".factory", ".factory/manifest.toml", ".factory/answers.lock"]);
    let (mut seen, mut dead) = (0, Vec::new());
    for (path, text) in &documents {
        let (links, names) = mentioned(text);
        for link in links {
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { (*path).to_owned() } else { resolved(path, file) };
            if !there.contains(target.as_str()) && !made_later(&target) {
                dead.push(format!("{path}: {target} is not there"));
            } else if !anchor.is_empty() && !documents.get(target.as_str()).is_some_and(|t| has_heading(t, anchor)) {
                dead.push(format!("{path}: {target} has no heading #{anchor}"));
            }
        }
        for name in names {
            if !there.contains(name.as_str()) && !made_later(&name) {
                dead.push(format!("{path}: {name} is not there"));
            }
        }
    }
    (seen, dead)
}

/// Targets of the relative links in prose, and the paths of this repo that stand in code, such as `scripts/check`.
fn mentioned(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut links, mut names) = (Vec::new(), Vec::new());
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        for (number, part) in line.split('`').enumerate() {
            if fenced || number % 2 == 1 {
                names.extend(part.split_whitespace().filter_map(path_of_ours));
                continue;
            }
            for (at, _) in part.match_indices("](") {
                let target = part[at + 2..].split(')').next().unwrap();
                if !target.contains("://") && !target.starts_with("mailto:") {
                    links.push(target.to_owned());
                }
            }
        }
    }
    (links, names)
}

/// A word that is the path of a file in one of the folders whose names are the repo's own, without wildcards or placeholders.
fn path_of_ours(word: &str) -> Option<String> {
    let word = word.trim_matches(['"', '\'', ',', ';', '(', ')']).trim_end_matches(['.', ':', '/']);
    let ours =
        ["scripts/", "infra/", ".agents/", ".claude/", ".codex/", "evidence/"].iter().any(|p| word.starts_with(p));
    let plain = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "/._-".contains(c));
    (ours && plain && !word.contains("//")).then(|| word.to_owned())
}

fn resolved(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// Whether GitLab makes this anchor of one of the headings: lower case, only letters, digits, `-` and `_`, one `-` for blanks.
fn has_heading(text: &str, anchor: &str) -> bool {
    let mut fenced = false;
    text.lines().any(|line| {
        fenced ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        let slug: String =
            title.trim().to_lowercase().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
        let slug = slug.split([' ', '-']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        !fenced && line.starts_with('#') && title.starts_with(' ') && slug == anchor
    })
}
