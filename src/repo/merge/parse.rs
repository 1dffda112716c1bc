//! YAML, TOML and JSON as one kind of tree, with the order of keys, the layout and the comments left out.

use std::collections::BTreeMap;
use std::fmt;
use std::str::Chars;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// How deep a tree may be before it is not read, or not compared: far more than a person writes, far less than a stack holds. Each level costs a
/// look at all that is below it.
pub(super) const DEPTH: usize = 32;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    /// A text.
    Text(String),
    /// Another value without parts, as it was written: a number, a truth, YAML's plain words, the use of an anchor.
    Plain(String),
    /// A list.
    List(Vec<Node>),
    /// A map.
    Map(BTreeMap<Node, Node>),
    /// A value with a tag.
    Tagged(String, Box<Node>),
}

/// A format that can be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Toml,
    Json,
}

impl Format {
    /// The format that a file's name tells.
    pub(super) fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "yml" | "yaml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// What `text` means, or `None` when it is not of this format.
    pub(super) fn parse(self, text: &[u8]) -> Option<Node> {
        let text = std::str::from_utf8(text).ok()?;
        match self {
            Self::Yaml => yaml(text),
            Self::Toml => toml::from_str(text).ok(),
            Self::Json => serde_json::from_str(text).ok(),
        }
    }
}

/// All documents of a YAML text, as a list. Aliases stay names: a text that is short must not become a tree that is not.
fn yaml(text: &str) -> Option<Node> {
    let mut open = vec![Open { map: false, tag: None, nodes: Vec::new() }];
    let mut reader = Written { rest: text.chars(), at: 0 };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let (node, tag) = match event {
            Event::SequenceStart(_, tag) => {
                open.push(Open { map: false, tag: tag.map(|tag| tag.to_string()), nodes: Vec::new() });
                if open.len() > DEPTH {
                    return None;
                }
                continue;
            }
            Event::MappingStart(_, tag) => {
                open.push(Open { map: true, tag: tag.map(|tag| tag.to_string()), nodes: Vec::new() });
                if open.len() > DEPTH {
                    return None;
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop()?.close()?,
            Event::Alias(_) => (Node::Plain(format!("*{}", reader.next(span))), None),
            Event::Scalar(value, ScalarStyle::Plain, _, tag) => {
                (Node::Plain(value.into_owned()), tag.map(|t| t.to_string()))
            }
            Event::Scalar(value, _, _, tag) => (Node::Text(value.into_owned()), tag.map(|t| t.to_string())),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {
                continue;
            }
        };
        let node = match tag {
            Some(tag) => Node::Tagged(tag, Box::new(node)),
            None => node,
        };
        open.last_mut()?.nodes.push(node);
    }
    Some(open.pop()?.close()?.0)
}

/// A list or map whose end is to come.
struct Open {
    map: bool,
    tag: Option<String>,
    nodes: Vec<Node>,
}

impl Open {
    /// The node and its tag; `None` when duplicate key.
    fn close(self) -> Option<(Node, Option<String>)> {
        if !self.map {
            return Some((Node::List(self.nodes), self.tag));
        }
        let (mut map, mut nodes) = (BTreeMap::new(), self.nodes.into_iter());
        while let Some(key) = nodes.next() {
            if map.insert(key, nodes.next()?).is_some() {
                return None;
            }
        }
        Some((Node::Map(map), self.tag))
    }
}

/// What stands in a text at the span of one event after another. A span counts characters: to find each from the beginning would take a time
/// that grows with the square of the text.
struct Written<'a> {
    rest: Chars<'a>,
    at: usize,
}

impl Written<'_> {
    fn next(&mut self, span: Span) -> String {
        let skipped = span.start.index().saturating_sub(self.at);
        self.at += skipped + span.len();
        self.rest.by_ref().skip(skipped).take(span.len()).collect()
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

/// Reads any tree that TOML or JSON can hold.
struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain("null".to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<Node, Node>()? {
            if map.insert(key, value).is_some() {
                return Err(de::Error::custom("duplicate key"));
            }
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(path: &str, text: &str) -> Option<Node> {
        Format::of(path).unwrap().parse(text.as_bytes())
    }

    #[test]
    fn order_layout_and_comments_do_not_matter() {
        assert_eq!(means("a.yml", "a: 1\nb: [x, y]\n"), means("a.yaml", "# c\nb:\n  - x\n  - y\na: 1\n"));
        assert_eq!(means("a.toml", "a = 1\n[t]\nb = 2\n"), means("a.toml", "t = { b = 2 }\na = 1\n"));
        assert_eq!(means("d/a.JSON", "{\"a\": 1, \"b\": null}"), means("a.json", "{\"b\":null,\n\"a\":1}"));
        for (one, other) in [
            ("a: &é 1\nb: &ü 1\nc: [*é, *ü]", "a: &é 1\nb: &ü 1\nc: [*é, *é]"),
            ("a: 1", "a: '1'"),
            ("a: !x 1", "a: 1"),
            ("a: &x 1\nb: *x", "a: &x 1\nb: x"),
            ("a", "a\n---\nb"),
        ] {
            assert!(means("a.yml", one).is_some() && means("a.yml", one) != means("a.yml", other), "{one}");
        }
    }

    #[test]
    fn what_says_two_things_means_nothing() {
        for text in ["a: 1\na: 2\n", "a: [", "a: *x", "\t- a: b: c"] {
            assert_eq!(means("a.yml", text), None, "{text}");
        }
        assert_eq!(means("a.json", "{\"a\": 1, \"a\": 1}"), None);
        assert_eq!(means("a.toml", "a = 1\na = 1"), None);
    }

    #[test]
    fn depth_and_aliases_are_bounded() {
        assert_eq!(means("a.yml", &"[".repeat(100_000)), None);
        let mut bomb = "a0: &a0 [x]\n".to_owned();
        for i in 1..60 {
            bomb.push_str(&format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1));
        }
        assert!(means("a.yml", &bomb).is_some());
    }
}
