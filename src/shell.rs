//! Quotes text as one word of a POSIX shell, for programs on a host and for commands in messages.

/// Quotes any text. Text without special characters stays as it is. Other text gets single quotes.
pub(crate) fn word(text: &str) -> String {
    let untouched = |c: char| c.is_ascii_alphanumeric() || "/._:@%+,-".contains(c);
    if !text.is_empty() && text.chars().all(untouched) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_word_stays_one() {
        for (text, quoted) in [
            ("/a/b.c", "/a/b.c"),
            ("", "''"),
            ("my state", "'my state'"),
            ("it's; rm -rf ~", r"'it'\''s; rm -rf ~'"),
            ("$(x)", "'$(x)'"),
            ("a\nb", "'a\nb'"),
        ] {
            assert_eq!(word(text), quoted);
        }
    }
}
