//! A block: the part of a user's file that factoryup updates.
//!
//! The first line of the file that holds `factoryup:begin` opens it, the next that holds `factoryup:end` closes it, whatever
//! the file's comment sign is. The body is what stands between the two lines; the rest of the file is the user's. A file with
//! several marker pairs, or an open one, holds no block that could be named, and is left alone.

const BEGIN: &str = "factoryup:begin";
const END: &str = "factoryup:end";

/// The body of the one block in `text`, with its last line ending; `None` when there is not exactly one.
pub(crate) fn body(text: &str) -> Option<&str> {
    let (start, end) = bounds(text)?;
    Some(&text[start..end])
}

/// `text` with another body; `None` when `text` does not hold exactly one block.
pub(crate) fn replace(text: &str, body: &str) -> Option<String> {
    let (start, end) = bounds(text)?;
    Some(format!("{}{body}{}", &text[..start], &text[end..]))
}

fn bounds(text: &str) -> Option<(usize, usize)> {
    let mut bounds = (None, None);
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        match (line.contains(BEGIN), line.contains(END), bounds) {
            (false, false, _) => {}
            (true, false, (None, None)) => bounds.0 = Some(position + line.len()),
            (false, true, (Some(_), None)) => bounds.1 = Some(position),
            _ => return None,
        }
        position += line.len();
    }
    Some((bounds.0?, bounds.1?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_body_changes() {
        let text = "mine\n# factoryup:begin\na\nb\n# factoryup:end\nalso mine";
        assert_eq!(body(text), Some("a\nb\n"));
        assert_eq!(replace(text, "c\n").as_deref(), Some("mine\n# factoryup:begin\nc\n# factoryup:end\nalso mine"));
        assert_eq!(body("# factoryup:begin\n# factoryup:end\n"), Some(""));
    }

    #[test]
    fn anything_but_one_pair_is_no_block() {
        for text in ["", "factoryup:begin\n", "factoryup:end\nfactoryup:begin\n", "factoryup:begin factoryup:end\n"] {
            assert_eq!(body(text), None, "{text:?}");
        }
        let pair = "factoryup:begin\nfactoryup:end\n";
        assert_eq!(body(&format!("{pair}{pair}")), None);
    }
}
