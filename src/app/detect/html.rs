//! HTML as it is: no build.

use super::Facts;
use super::source::{Said, Source};

/// Where a site without a build has its first page.
const FOLDERS: [&str; 6] = ["public", "site", "www", "dist", "html", "docs"];

/// The folder of the site, `.` for the top.
pub(super) fn folder(source: &Source) -> Option<&'static str> {
    if source.has("index.html") {
        return Some(".");
    }
    FOLDERS.into_iter().find(|folder| source.has(&format!("{folder}/index.html")))
}

pub(super) fn read(source: &Source, facts: &mut Facts) {
    facts.is_static = true;
    facts.image = "docker.io/library/python:3.13".into();
    let folder = folder(source).unwrap_or(".");
    let page = if folder == "." { "index.html".to_owned() } else { format!("{folder}/index.html") };
    facts.output.get_or_insert_with(|| Said::new(folder, page));
}
