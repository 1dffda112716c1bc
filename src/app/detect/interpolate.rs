//! Variables in a Compose file, as Compose fills them in before it reads anything else: from `.env`, by their defaults, or not at all.

use std::collections::BTreeMap;

use super::settings::TOLD;
use super::source::lines;
use super::yaml::{Node, Value};

/// Around the name of a variable that a release has, in a command.
const BEGIN: char = '\u{1}';
const END: char = '\u{2}';

/// The whole tree with its variables filled in. Text whose variable has no value is [`Value::Open`].
pub(super) fn fill(node: Node, known: &BTreeMap<String, String>, in_command: bool) -> Node {
    let value = match node.value {
        Value::Text(text) => {
            let (text, is_open) = expand(&text, known, in_command);
            if is_open { Value::Open(text) } else { Value::Text(text) }
        }
        Value::List(items) => Value::List(items.into_iter().map(|item| fill(item, known, in_command)).collect()),
        Value::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, node)| {
                    let in_command = in_command || key == "command" || key == "entrypoint";
                    (key, fill(node, known, in_command))
                })
                .collect(),
        ),
        other => other,
    };
    Node { value, ..node }
}

/// A text with values in the places of its variables, and whether one has none: `${NAME:-default}`, `${NAME}`, `$NAME`, `$$`.
pub(super) fn expand(text: &str, known: &BTreeMap<String, String>, in_command: bool) -> (String, bool) {
    let (mut out, mut is_open, mut rest) = (String::new(), false, text);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (inner, after) = match braced(rest) {
            Some(parts) => parts,
            None => rest.split_at(name_of(rest)),
        };
        let (name, how) = inner.split_at(name_of(inner));
        rest = after;
        let value = known.get(name).filter(|value| !value.is_empty() || !how.starts_with(':'));
        if name.is_empty() {
            // A dollar alone.
            out.push('$');
        } else if in_command && TOLD.contains(&name) {
            out.extend([BEGIN].into_iter().chain(name.chars()).chain([END]));
        } else if let Some(other) = how.trim_start_matches(':').strip_prefix('+') {
            out.push_str(&value.map(|_| expand(other, known, in_command).0).unwrap_or_default());
        } else if let Some(value) = value {
            out.push_str(value);
        } else if let Some(default) = how.trim_start_matches(':').strip_prefix('-') {
            let (default, open) = expand(default, known, in_command);
            out.push_str(&default);
            is_open |= open;
        } else {
            is_open = true;
        }
    }
    out.push_str(rest);
    (out, is_open)
}

/// A text of a command with what a shell fills in: within the quotes of a word, or not.
pub(super) fn told(text: &str, is_quoted: bool) -> String {
    let (begin, end) = if is_quoted { ("'\"$", "\"'") } else { ("$", "") };
    text.replace(BEGIN, begin).replace(END, end)
}

/// Number, name, value of the lines of an `.env` file; and whether the value is as it stands, without variables.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (usize, &str, &str, bool)> {
    lines(text).filter_map(|(number, line)| {
        let (name, value) = line.trim_start().trim_start_matches("export ").split_once('=')?;
        let value = value.trim();
        let quoted = |quote| value.strip_prefix(quote).and_then(|rest: &str| rest.split_once(quote));
        let (value, is_literal) = match (quoted('\''), quoted('"')) {
            (Some((inner, _)), _) => (inner, true),
            (_, Some((inner, _))) => (inner, false),
            _ => (value.split(" #").next().unwrap_or_default().trim_end(), false),
        };
        Some((number, name.trim(), value, is_literal))
    })
}

/// What an `.env` file sets.
pub(super) fn variables(text: &str) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for (_, name, value, is_literal) in pairs(text) {
        let value = if is_literal { value.to_owned() } else { expand(value, &known, false).0 };
        known.insert(name.to_owned(), value);
    }
    known
}

fn name_of(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// What is between braces, which can have others in it, and what follows.
fn braced(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let mut depth = 1;
    for (at, c) in inner.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return Some((&inner[..at], &inner[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_as_compose_does_it() {
        let known = variables("export W=8 # so many\nE=\nQ='a $W'\nD=\"b $W\"\n");
        for (text, filled, is_open) in [
            ("${W:-2}/$W", "8/8", false),
            ("${E:-2}${E-3}", "2", false),
            ("$Q,$D", "a $W,b 8", false),
            ("${A:-${B:-x}}y", "xy", false),
            ("${A:-${B}}y", "y", true),
            ("${A:?say it}", "", true),
            ("${A:+x}${W:+y}", "y", false),
            ("$$W, 5 $ and ${", "$W, 5 $ and ${", false),
        ] {
            assert_eq!(expand(text, &known, false), (filled.to_owned(), is_open), "{text}");
        }
        let command = expand("serve ${PORT:-80} ${W}", &known, true).0;
        assert_eq!(
            (told(&command, false).as_str(), told(&command, true).as_str()),
            ("serve $PORT 8", "serve '\"$PORT\"' 8")
        );
    }
}
