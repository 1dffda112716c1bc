//! Checks the paths of templates.

use std::collections::BTreeMap;

/// Why `path` cannot be a file of the control repo, or `None` when it can.
pub(crate) fn problem(path: &str) -> Option<&'static str> {
    let top = path.split('/').next().unwrap_or_default();
    let reserved = top.eq_ignore_ascii_case(".factory") || path.eq_ignore_ascii_case(crate::factory::FILE_NAME);
    malformed(path).or_else(|| reserved.then_some("factoryup writes that file itself"))
}

/// Why `path` cannot be a file of any generated repo, or `None` when it can.
///
/// Paths are relative, ASCII and written with `/`. ASCII, since two spellings of one accented letter are two files to git and one
/// to macOS. `.git` in any case, and its short name `git~1`, are what git itself refuses (CVE-2014-9390).
pub(crate) fn malformed(path: &str) -> Option<&'static str> {
    if path.is_empty() || path.starts_with('/') {
        return Some("the path is not relative");
    }
    if !path.bytes().all(|b| (b' '..=b'~').contains(&b) && !br#""\:*?<>|"#.contains(&b)) {
        return Some("the path contains a character that not every file system supports");
    }
    for part in path.split('/') {
        match part.to_ascii_lowercase().as_str() {
            "" | "." | ".." => return Some("the path has an empty part, `.` or `..`"),
            ".git" | "git~1" => return Some("the path leads into git's own directory"),
            name if name.ends_with(['.', ' ']) => return Some("a part of the path ends in a dot or a space"),
            _ => {}
        }
    }
    None
}

/// Why a link at `path` may not lead to `destination`, or `None` when it may.
pub(crate) fn link_problem(path: &str, destination: &str) -> Option<&'static str> {
    if destination.is_empty() || destination.starts_with('/') {
        return Some("the link's destination is not relative");
    }
    let mut depth = path.split('/').count() - 1;
    for part in destination.split('/') {
        match part {
            ".." if depth == 0 => return Some("the link leads out of the repo"),
            ".." => depth -= 1,
            "" | "." => {}
            name if name.eq_ignore_ascii_case(".git") => return Some("the link leads into git's own directory"),
            _ => depth += 1,
        }
    }
    None
}

/// Two of `paths` that cannot stand beside each other: equal, equal but for case, or one a folder of the other.
pub(crate) fn collision<'a>(paths: impl IntoIterator<Item = &'a str>) -> Option<(&'a str, &'a str)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for path in paths {
        if let Some(other) = seen.insert(path.to_ascii_lowercase(), path) {
            return Some((other, path));
        }
    }
    seen.iter().find_map(|(key, path)| {
        key.match_indices('/').find_map(|(end, _)| seen.get(&key[..end])).map(|folder| (*folder, *path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_git_folders_are_refused() {
        for path in [
            "",
            "/etc/passwd",
            "../x",
            "a/../x",
            "a//b",
            "./a",
            "a/",
            ".git/hooks/x",
            "a/.GIT/x",
            "GIT~1/x",
            "a\\b",
            "caf\u{e9}",
            "a\nb",
            "C:x",
            "a./b",
            ".factory/manifest.toml",
            "Factory.toml",
        ] {
            assert!(problem(path).is_some(), "{path:?} was let through");
        }
        for path in ["a", ".gitignore", ".gitlab-ci.yml", "a b/c", "infra/staging.tfvars", "docs/factory.toml"] {
            assert_eq!(problem(path), None, "{path:?}");
        }
        assert_eq!(malformed(".factory/app.conf"), None);
    }

    #[test]
    fn links_stay_inside() {
        assert_eq!(link_problem(".claude/skills", "../.agents/skills"), None);
        assert!(link_problem("skills", "../x").is_some());
        assert!(link_problem("a/skills", "b/../../../x").is_some());
        assert!(link_problem("a", "/etc").is_some());
        assert!(link_problem("a", ".git/config").is_some());
    }

    #[test]
    fn collisions_are_found() {
        assert_eq!(collision(["a/b", "a/c"]), None);
        assert_eq!(collision(["README.md", "readme.md"]), Some(("README.md", "readme.md")));
        assert_eq!(collision(["a/b/c", "A"]), Some(("A", "a/b/c")));
    }
}
