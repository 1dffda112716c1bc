//! The patterns of `changes` and `exists`: Ruby's `File.fnmatch` with `FNM_PATHNAME`, `FNM_DOTMATCH` and `FNM_EXTGLOB`. Source:
//! <https://docs.gitlab.com/ci/yaml/#ruleschanges>.

use regex_lite::{Regex, escape};

/// The expression that matches the same paths; an error when a bracket has no end.
pub(crate) fn parse(pattern: &str) -> Result<Regex, String> {
    let (mut text, mut rest, mut braces) = ("(?s)^".to_owned(), pattern, 0);
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        match next {
            // Any number of folders, at the start of a path or a part of it.
            '*' if rest.starts_with("**/") && (text.ends_with('^') || text.ends_with('/')) => {
                text.push_str("(?:[^/]+/)*");
                length = 3;
            }
            '*' => {
                length = rest.len() - rest.trim_start_matches('*').len();
                text.push_str("[^/]*");
            }
            '?' => text.push_str("[^/]"),
            '[' => {
                let end = rest.char_indices().skip(2).find(|(_, c)| *c == ']');
                let (end, _) = end.ok_or_else(|| format!("`{pattern}` has a [ without a ]"))?;
                let inside = rest[1..end].replacen('!', "^", usize::from(rest[1..].starts_with('!')));
                text.push_str(&format!("[{}]", inside.replace('[', "\\[")));
                length = end + 1;
            }
            '{' => {
                text.push_str("(?:");
                braces += 1;
            }
            ',' if braces > 0 => text.push('|'),
            '}' if braces > 0 => {
                text.push(')');
                braces -= 1;
            }
            '\\' => {
                let literal = rest[1..].chars().next().map_or(0, char::len_utf8);
                text.push_str(&escape(&rest[1..=literal]));
                length += literal;
            }
            _ => text.push_str(&escape(&rest[..length])),
        }
        rest = &rest[length..];
    }
    Regex::new(&(text + "$")).map_err(|_| format!("`{pattern}` is no pattern"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_pattern_matches_what_ruby_says() {
        for (pattern, right, wrong) in [
            ("infra/**/*", &["infra/a", "infra/a/b", "infra/.a/b.tf"][..], &["infra", "x/infra/a"][..]),
            ("**/*.md", &["a.md", "a/b/c.md", ".md"], &["a.mdx"]),
            ("a/**/b", &["a/b", "a/c/d/b"], &["ab", "a/cb"]),
            ("a/**", &["a/b", "a/.b"], &["a/b/c"]),
            ("a**/b", &["ax/b"], &["a/x/b", "ax/y/b"]),
            ("*.{rs,toml}", &["a.rs", "a.toml"], &["a.py", "d/a.rs"]),
            ("a?[0-9][!é]", &["ab1y"], &["ab1é", "a/1y", "abcy"]),
            ("a.b+(c)", &["a.b+(c)"], &["aXb+(c)"]),
            ("a\\*é", &["a*é"], &["abé"]),
        ] {
            let expression = parse(pattern).unwrap();
            assert!(right.iter().all(|path| expression.is_match(path)), "{pattern}: {expression}");
            assert!(!wrong.iter().any(|path| expression.is_match(path)), "{pattern}: {expression}");
        }
        assert_eq!(parse("a[b").unwrap_err(), "`a[b` has a [ without a ]");
        assert!(parse("{a").is_err());
    }
}
