//! YAML as a tree in which each value knows its line. Anchors and merge keys (`<<`) are resolved.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

/// How deep a tree may be, and how many values it may have: aliases of aliases make a large tree of a short text.
const DEPTH: usize = 50;
const MOST: usize = 20_000;

/// A value and the line on which it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing, which is as if the key were not there.
    Null,
    /// A text, number or truth as it was written.
    Text(String),
    /// What is left of a text whose variable has no value in the repo.
    Open(String),
    List(Vec<Node>),
    /// In its order; each value is at the line of its key.
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().iter().find(|(name, _)| name == key).map(|(_, node)| node);
        found.filter(|node| node.value != Value::Null)
    }

    pub(super) fn entries(&self) -> &[(String, Self)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    pub(super) fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The text, also if a variable in it is open.
    pub(super) fn written(&self) -> Option<&str> {
        if let Value::Open(text) = &self.value { Some(text) } else { self.text() }
    }

    /// Whether a variable in it, or below it, is open.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.value, Value::Open(_))
            || self.items().iter().chain(self.entries().iter().map(|(_, node)| node)).any(Self::is_open)
    }

    fn size(&self) -> usize {
        1 + self.items().iter().map(Self::size).sum::<usize>()
            + self.entries().iter().map(|(_, node)| node.size()).sum::<usize>()
    }
}

/// A list or map whose end is to come.
struct Open {
    anchor: usize,
    line: usize,
    is_map: bool,
    nodes: Vec<Node>,
}

impl Open {
    fn close(self) -> Option<Node> {
        if !self.is_map {
            return Some(Node { line: self.line, value: Value::List(self.nodes) });
        }
        let mut entries: Vec<(String, Node)> = Vec::new();
        let mut merged = Vec::new();
        let mut nodes = self.nodes.into_iter();
        while let Some(key) = nodes.next() {
            let node = nodes.next()?;
            match key.text()? {
                "<<" => {
                    let from =
                        if let Value::List(all) = &node.value { all.as_slice() } else { std::slice::from_ref(&node) };
                    merged.extend(from.iter().flat_map(Node::entries).cloned());
                }
                name => entries.push((name.to_owned(), Node { line: key.line, ..node })),
            }
        }
        for (name, node) in merged {
            if entries.iter().all(|(other, _)| *other != name) {
                entries.push((name, node));
            }
        }
        Some(Node { line: self.line, value: Value::Map(entries) })
    }
}

/// The first document of a text; `None` if it is no YAML, or too large.
pub(super) fn parse(text: &str) -> Option<Node> {
    let mut open = vec![Open { anchor: 0, line: 1, is_map: false, nodes: Vec::new() }];
    let (mut anchors, mut count) = (BTreeMap::new(), 0);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let line = span.start.line();
        let (node, anchor) = match event {
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                let is_map = matches!(event, Event::MappingStart(..));
                open.push(Open { anchor, line, is_map, nodes: Vec::new() });
                if open.len() > DEPTH {
                    return None;
                }
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let last = open.pop()?;
                let anchor = last.anchor;
                (last.close()?, anchor)
            }
            Event::Alias(anchor) => (Node { line, ..Node::clone(anchors.get(&anchor)?) }, 0),
            Event::Scalar(value, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && ["", "~", "null", "Null", "NULL"].contains(&&*value);
                let value = if is_null { Value::Null } else { Value::Text(value.into_owned()) };
                (Node { line, value }, anchor)
            }
            Event::DocumentEnd => break,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => continue,
        };
        count += node.size();
        if count > MOST {
            return None;
        }
        if anchor != 0 {
            anchors.insert(anchor, node.clone());
        }
        open.last_mut()?.nodes.push(node);
    }
    open.pop()?.nodes.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_knows_its_line_also_behind_an_anchor() {
        let tree = parse(
            "x-a: &a\n  build: .\n  image: me\nservices:\n  web:\n    <<: *a\n    image: you\n    list: [\"null\", ~]\n",
        )
        .unwrap();
        let web = tree.get("services").and_then(|all| all.get("web")).unwrap();
        let said = |key: &str| web.get(key).map(|node| (node.line, node.text().unwrap_or_default()));
        assert_eq!((said("build"), said("image")), (Some((2, ".")), Some((7, "you"))));
        let items: Vec<_> = web.get("list").unwrap().items().iter().map(Node::text).collect();
        assert_eq!(items, [Some("null"), None]);
        assert_eq!(web.line, 5);
    }

    #[test]
    fn what_would_fill_the_memory_is_not_read() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..8 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            text += &format!("a{n}: &a{n} [{list}]\n");
        }
        assert_eq!(parse(&text), None);
        assert_eq!(parse(&"[".repeat(10_000)), None);
        assert_eq!(parse("a: *b\n"), None);
    }
}
