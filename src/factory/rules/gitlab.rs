//! Rules for GitLab's paths and user names, and for git's branch names.
//!
//! Paths: <https://docs.gitlab.com/user/reserved_names/>. Branches: `man git-check-ref-format`.

use super::{Fault, ensure, shown};

/// Words that no top-level group can be called.
const RESERVED_GROUPS: [&str; 39] = [
    ".well-known",
    "404.html",
    "422.html",
    "500.html",
    "502.html",
    "503.html",
    "admin",
    "api",
    "apple-touch-icon.png",
    "assets",
    "dashboard",
    "deploy.html",
    "explore",
    "favicon.ico",
    "favicon.png",
    "files",
    "groups",
    "health_check",
    "help",
    "import",
    "jwt",
    "login",
    "oauth",
    "profile",
    "projects",
    "public",
    "robots.txt",
    "s",
    "search",
    "sitemap",
    "sitemap.xml",
    "sitemap.xml.gz",
    "slash-command-logo.png",
    "snippets",
    "unsubscribes",
    "uploads",
    "users",
    "v2",
    "-",
];
/// Words that no project and no subgroup can be called.
const RESERVED_PROJECTS: [&str; 18] = [
    "-",
    "badges",
    "blame",
    "blob",
    "builds",
    "commits",
    "create",
    "create_dir",
    "edit",
    "files",
    "find_file",
    "new",
    "preview",
    "raw",
    "refs",
    "tree",
    "update",
    "wikis",
];
const PART: &str = "use letters and digits, with single . _ - between them, and no .git or .atom at the end";

/// A group's full path: parts joined by `/`, 20 at most.
pub(crate) fn group(text: &str) -> Result<(), Fault> {
    let remedy = "write the path from the group's URL, such as `acme` or `acme/tools`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    ensure(!text.contains("://"), "is a URL", remedy)?;
    ensure(!text.starts_with('/') && !text.ends_with('/') && !text.contains("//"), "has a misplaced `/`", remedy)?;
    let parts: Vec<&str> = text.split('/').collect();
    ensure(parts.len() <= 20, "is nested more than 20 deep", remedy)?;
    parts.iter().try_for_each(|part| slug(part))?;
    let taken = |words: &[&str], part: &str| words.contains(&part.to_lowercase().as_str());
    let reserved = taken(&RESERVED_GROUPS, parts[0]) || parts[1..].iter().any(|part| taken(&RESERVED_PROJECTS, part));
    ensure(!reserved, "is a name that GitLab reserves", "choose another path")
}

/// A project's path in its group.
pub(crate) fn project(text: &str) -> Result<(), Fault> {
    let remedy = "write only the last part of the project's URL, such as `factory`; the group is `gitlab.group`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    ensure(!text.contains('/'), "contains `/`", remedy)?;
    slug(text)?;
    let reserved = RESERVED_PROJECTS.contains(&text.to_lowercase().as_str());
    ensure(!reserved, "is a name that GitLab reserves", "choose another path")
}

/// A user name on GitLab: a path of one part that no route has.
pub(crate) fn username(text: &str) -> Result<(), Fault> {
    ensure(!text.is_empty(), "is empty", PART)?;
    ensure(!text.starts_with('@'), "begins with `@`", "write the user name without `@`")?;
    slug(text)?;
    let reserved = RESERVED_GROUPS.contains(&text.to_lowercase().as_str());
    ensure(!reserved, "is a name that GitLab reserves", "choose another name")
}

fn slug(part: &str) -> Result<(), Fault> {
    if let Some(odd) = part.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
        return Err(Fault::new(format!("contains {}", shown(odd)), PART));
    }
    let special = |c: char| "._-".contains(c);
    ensure(!part.starts_with(special), "has a part that begins with `.`, `_` or `-`", PART)?;
    ensure(!part.ends_with(special), "has a part that ends with `.`, `_` or `-`", PART)?;
    let twice = part.as_bytes().windows(2).any(|pair| pair.iter().all(|b| special(char::from(*b))));
    ensure(!twice, "has two of `.`, `_` and `-` in a row", PART)?;
    let lower = part.to_lowercase();
    let suffix = [".git", ".atom"].into_iter().find(|suffix| lower.ends_with(suffix));
    ensure(suffix.is_none(), format!("ends with `{}`", suffix.unwrap_or_default()), PART)?;
    ensure(part.len() <= 255, "has a part longer than 255 characters", PART)
}

/// A branch as `git check-ref-format --branch` takes it, that is not taken for a commit id, and that a shell reads as one word, since
/// runbooks use it in commands.
pub(crate) fn branch(text: &str) -> Result<(), Fault> {
    let remedy = "use letters and digits, with . _ - / + @ = between them, such as `main`";
    ensure(!text.is_empty(), "is empty", remedy)?;
    let usual = |c: &char| c.is_alphanumeric() || "._-/@+=".contains(*c);
    if let Some(odd) = text.chars().find(|c| !usual(c)) {
        return Err(Fault::new(format!("contains {}", shown(odd)), remedy));
    }
    let sequence = ["..", "@{", "//"].into_iter().find(|sequence| text.contains(sequence));
    ensure(sequence.is_none(), format!("contains `{}`", sequence.unwrap_or_default()), remedy)?;
    ensure(!text.starts_with(['-', '/']) && !text.ends_with(['/', '.']), "begins or ends with a mark", remedy)?;
    let part_fits = |part: &str| !part.starts_with('.') && part.strip_suffix(".lock").is_none();
    ensure(text.split('/').all(part_fits), "has a part that begins with `.` or ends with `.lock`", remedy)?;
    ensure(text != "@" && text != "HEAD", "is a name that git reserves", remedy)?;
    ensure(!text.starts_with("refs/"), "is a full ref", "write only the branch name, such as `main`")?;
    let id = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
    ensure(!id, "looks like a commit id, which GitLab rejects", remedy)?;
    ensure(text.len() <= 200, "is longer than 200 characters", remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for good in ["acme", "acme/tools", "A_b.c-d/e1", "acme/admin"] {
            assert_eq!(group(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            "/acme",
            "acme/",
            "a//b",
            "https://gitlab.com/acme",
            "-a",
            "a-",
            "_a",
            "a..b",
            "a b",
            "a.git",
            "a/b.Atom",
            "admin",
            "API",
            "acme/blob",
            "ä",
        ];
        for bad in bad {
            assert!(group(bad).is_err(), "{bad}");
        }
        assert_eq!(project("factory"), Ok(()));
        for bad in ["", "a/b", "wikis", "x.git", ".x"] {
            assert!(project(bad).is_err(), "{bad}");
        }
        assert_eq!(username("factory-agent"), Ok(()));
        for bad in ["", "@agent", "admin", "a--b"] {
            assert!(username(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn branches() {
        for good in ["main", "release/1.x", "ünï", "a@b", "v1.0"] {
            assert_eq!(branch(good), Ok(()), "{good}");
        }
        let id = "a".repeat(40);
        let bad = [
            "",
            "-x",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "@",
            "HEAD",
            "a@{1}",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "refs/heads/main",
            "main;id",
            "$(id)",
            "a`id`",
            "a|b",
            "a&b",
            "a>b",
            "a'b",
            "a\"b",
            "a{b,c}",
            "a#b",
            "a!b",
            &id,
        ];
        for bad in bad {
            assert!(branch(bad).is_err(), "{bad}");
        }
    }
}
