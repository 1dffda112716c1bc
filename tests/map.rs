//! The map in `docs/architecture.md` against the tree, and the links of the documents for contributors.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex_lite::Regex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// What is directly below a directory; directories end with `/`.
fn below(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(Path::new(ROOT).join(directory)).unwrap().map(Result::unwrap);
    let named = entries.map(|entry| {
        let end = if entry.file_type().unwrap().is_dir() { "/" } else { "" };
        format!("{}{end}", entry.file_name().to_string_lossy())
    });
    named.collect()
}

/// The part of a page under a heading.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section {heading}"));
    rest.split("\n## ").next().unwrap()
}

/// The first cells of the tables in a text, without backticks.
fn first_cells(text: &str) -> BTreeSet<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    rows.map(|(cell, _)| cell.to_owned()).collect()
}

fn captures(pattern: &str, text: &str) -> Vec<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_rooms_of_the_map_are_those_of_the_tree() {
    let page = read("docs/architecture.md");
    assert_eq!(first_cells(section(&page, "Rooms")), below("src"), "docs/architecture.md, Rooms");
    let mut members: BTreeSet<_> =
        below("crates").iter().map(|name| format!("crates/{}", name.trim_end_matches('/'))).collect();
    members.insert(".".into());
    assert_eq!(first_cells(section(&page, "The workspace")), members, "docs/architecture.md, The workspace");
}

#[test]
fn the_front_page_of_the_library_has_every_room() {
    let text = read("src/lib.rs");
    let cells = text.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next());
    let listed: BTreeSet<_> = cells.flat_map(|cell| captures("`([a-z_]+)`", cell)).collect();
    let rooms = below("src").into_iter().map(|room| room.trim_end_matches('/').trim_end_matches(".rs").to_owned());
    assert_eq!(listed, rooms.filter(|name| !["lib", "main"].contains(&name.as_str())).collect(), "src/lib.rs, table");
}

/// The files and directories that a page names in backticks, as far as they belong to the source tree.
fn named(page: &str) -> Vec<PathBuf> {
    let rooms: Vec<_> = below("src").into_iter().filter(|room| room.ends_with('/')).collect();
    let top = ["src/", "crates/", "tests/", "docs/", "templates/", "benches/", ".ci/"];
    let placeholder = |path: &str| path.contains(|c: char| c.is_ascii_uppercase() || "*$<… ".contains(c));
    let paths = captures("`([^`\n]+)`", page).into_iter().filter(|path| !placeholder(path));
    let paths = paths.filter_map(|path| {
        if top.iter().any(|start| path.starts_with(start)) {
            return Some(Path::new(ROOT).join(path));
        }
        rooms.iter().any(|room| path.starts_with(room.as_str())).then(|| Path::new(ROOT).join("src").join(path))
    });
    paths.collect()
}

#[test]
fn every_path_that_is_named_is_there() {
    for (page, at_least) in [("docs/architecture.md", 30), ("CONTRIBUTING.md", 30)] {
        let named = named(&read(page));
        assert!(named.len() >= at_least, "{page}: {named:?}");
        for path in named {
            assert!(path.exists(), "{page} names {}, and it is not there", path.display());
        }
    }
}

#[test]
fn every_link_of_the_documents_for_contributors_leads_somewhere() {
    let records: Vec<_> = below("docs/decisions").into_iter().map(|name| format!("docs/decisions/{name}")).collect();
    for page in [&["docs/architecture.md".to_owned(), "CONTRIBUTING.md".to_owned()], &records[..]].concat() {
        let folder = Path::new(ROOT).join(&page).parent().unwrap().to_owned();
        for link in captures(r"\]\(([^)#]+)(?:#[^)]*)?\)", &read(&page)) {
            assert!(link.starts_with("https://") || folder.join(&link).exists(), "{page} links to {link}");
        }
    }
}

#[test]
fn decisions_are_short_and_listed() {
    let list = read("docs/decisions/README.md");
    let records: Vec<_> = below("docs/decisions").into_iter().filter(|name| name != "README.md").collect();
    for (index, name) in records.iter().enumerate() {
        let text = read(&format!("docs/decisions/{name}"));
        let number = index + 1;
        assert!(name.starts_with(&format!("{number:04}-")), "{name} should have the number {number}");
        let title = text.lines().next().unwrap().strip_prefix("# ").unwrap();
        assert!(title.starts_with(&format!("{number}. ")) && list.contains(&format!("- [{title}]({name})")), "{name}");
        assert!(text.lines().count() <= 30, "{name} has more than 30 lines");
        let parts = ["**Context.**", "**Decision.**", "**Consequence.**"].map(|part| text.find(part));
        assert!(parts.is_sorted() && parts.iter().all(Option::is_some), "{name}: {parts:?}");
    }
}
