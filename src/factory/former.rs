//! Former names and meanings of keys in `factory.toml`: the [migrations](crate::migrations) that change answers.
//!
//! A file of an older schema is read through [`Former::bring`], key by key, so that it means what it meant when it was written, and
//! errors still point to the line that its owner wrote. [`rewrite`] makes the same of the text: order, comments and spacing stay.

use toml_edit::{Item, Key, Table, TableLike};

use super::fields::{Field, SECTIONS, Value, by_key};
use super::write::{document, like};
use super::{RETIRED, SCHEMA};
use crate::error::Result;
use crate::migrations::{self, Change, Migration};

/// The steps from one schema number to this version's.
#[derive(Clone, Debug, Default)]
pub(super) struct Former(Vec<&'static Migration>);

/// What became of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Brought {
    /// It is this key, and holds this value if that changed.
    Key(String, Option<Value>),
    /// It means nothing any more.
    Retired,
}

impl Former {
    /// The steps that a file of the schema `number` has before it.
    pub(super) fn since(number: u32) -> Self {
        // A list that is wrong is reported by whatever upgrades, and kept from being made by a test.
        let list = migrations::all().unwrap_or_default().iter();
        Self(list.filter(|entry| entry.schema.is_some_and(|schema| schema > number)).collect())
    }

    /// What a key such as `runner.executor` with that value, if it is of a sort that fields have, is called and holds today.
    pub(super) fn bring(&self, key: &str, value: Option<&Value>) -> Brought {
        let (mut key, mut value, mut changed) = (key.to_owned(), value.cloned(), false);
        for step in &self.0 {
            match &step.change {
                Change::RenameAnswer { from, to } if *from == key => key.clone_from(to),
                Change::RetireAnswer { key: retired } if *retired == key => return Brought::Retired,
                Change::SetAnswer { key: set, from, to } if *set == key && replaces(from.as_ref(), value.as_ref()) => {
                    value = Value::from_toml(to);
                    changed = true;
                }
                _ => {}
            }
        }
        Brought::Key(key, value.filter(|_| changed))
    }

    /// Whether a section had keys that are elsewhere now.
    pub(super) fn has_section(&self, name: &str) -> bool {
        self.0.iter().any(|step| match &step.change {
            Change::RenameAnswer { from, .. } => section(from) == name,
            Change::RetireAnswer { key } => section(key) == name,
            _ => false,
        })
    }
}

/// The keys of a section that are called otherwise today, with the field of each.
pub(super) fn names(section: &str) -> Vec<(String, &'static Field)> {
    let former = Former::since(0);
    let renamed = former.0.iter().filter_map(|step| match &step.change {
        Change::RenameAnswer { from, .. } => from.split_once('.').filter(|(in_section, _)| *in_section == section),
        _ => None,
    });
    let today = |name: &str| match former.bring(&format!("{section}.{name}"), None) {
        Brought::Key(key, _) => by_key(&key),
        Brought::Retired => None,
    };
    renamed.filter_map(|(_, name)| Some((name.to_owned(), today(name)?))).collect()
}

/// The key by which a former one is known today, for those who still write it into a file of today's schema.
pub(super) fn renamed(key: &str) -> Option<Brought> {
    match Former::since(0).bring(key, None) {
        Brought::Key(today, _) if today == key => None,
        brought => Some(brought),
    }
}

fn replaces(from: Option<&toml::Value>, value: Option<&Value>) -> bool {
    from.is_none_or(|from| Value::from_toml(from).as_ref() == value)
}

fn section(key: &str) -> &str {
    key.split_once('.').map_or(key, |(section, _)| section)
}

fn name(key: &str) -> &str {
    key.split_once('.').map_or(key, |(_, name)| name)
}

/// The text of a `factory.toml` in today's schema, which says the same. One that has it already comes back as it is.
///
/// # Errors
/// `Data` when the text is not TOML.
pub(super) fn rewrite(text: &str, called: &str) -> Result<String> {
    match schema_of(text) {
        Some(number) if number < SCHEMA => rewrite_with(&Former::since(number), text, called),
        _ => Ok(text.to_owned()),
    }
}

/// The schema number of a text, when it has one.
pub(crate) fn schema_of(text: &str) -> Option<u32> {
    let table: toml::Table = text.strip_prefix('\u{feff}').unwrap_or(text).parse().ok()?;
    table.get("schema")?.as_integer()?.try_into().ok()
}

fn rewrite_with(former: &Former, text: &str, called: &str) -> Result<String> {
    let mut document = document(text, called)?;
    for step in &former.0 {
        match &step.change {
            Change::RenameAnswer { from, to } => rename(document.as_table_mut(), from, to),
            Change::SetAnswer { key, from, to } => set(document.as_table_mut(), key, from.as_ref(), to),
            Change::RetireAnswer { key } => retire(document.as_table_mut(), key),
            _ => {}
        }
    }
    if let Some(old) = document.get_mut("schema").and_then(Item::as_value_mut) {
        let mut new = toml_edit::Value::from(i64::from(SCHEMA));
        *new.decor_mut() = old.decor().clone();
        *old = new;
    }
    Ok(like(text, &document))
}

fn rename(document: &mut Table, from: &str, to: &str) {
    if section(from) == section(to) {
        let Some(table) = document.get_mut(section(from)).and_then(Item::as_table_like_mut) else { return };
        if table.contains_key(name(from)) && !table.contains_key(name(to)) {
            rename_in(table, name(from), name(to));
        }
    } else if let Some((key, item)) = take(document, from) {
        let table = document.entry(section(to)).or_insert_with(|| Item::Table(Table::new()));
        if let Some(table) = table.as_table_like_mut() {
            let new = Key::new(name(to)).with_leaf_decor(key.leaf_decor().clone());
            table.entry_format(&new).or_insert(item);
        }
    }
}

/// Renames a key where it stands: the format keeps order only while nothing is put in between.
fn rename_in(table: &mut dyn TableLike, from: &str, to: &str) {
    let names: Vec<String> = table.iter().map(|(name, _)| name.to_owned()).collect();
    let entries: Vec<(Key, Item)> =
        names.iter().filter_map(|n| table.get_key_value(n).map(|(key, item)| (key.clone(), item.clone()))).collect();
    table.clear();
    for (key, item) in entries {
        let renamed =
            Key::new(to).with_leaf_decor(key.leaf_decor().clone()).with_dotted_decor(key.dotted_decor().clone());
        table.entry_format(if key.get() == from { &renamed } else { &key }).or_insert(item);
    }
}

fn set(document: &mut Table, key: &str, from: Option<&toml::Value>, to: &toml::Value) {
    let table = document.get_mut(section(key)).and_then(Item::as_table_like_mut);
    let Some(old) = table.and_then(|table| table.get_mut(name(key))).and_then(Item::as_value_mut) else { return };
    let is = plain(old).as_ref().and_then(Value::from_toml);
    if let Some(value) = Value::from_toml(to).filter(|_| replaces(from, is.as_ref())) {
        let mut new = value.to_toml();
        *new.decor_mut() = old.decor().clone();
        *old = new;
    }
}

/// A value of the text as the reader has it.
fn plain(value: &toml_edit::Value) -> Option<toml::Value> {
    let table: toml::Table = format!("v = {}", value.to_string().trim()).parse().ok()?;
    table.get("v").cloned()
}

fn retire(document: &mut Table, key: &str) {
    let Some((old, item)) = take(document, key) else { return };
    let section = document.entry(RETIRED).or_insert_with(|| {
        let mut table = Table::new();
        table.decor_mut().set_prefix("\n# Settings that are no longer used. They are kept, and you can remove them.\n");
        Item::Table(table)
    });
    if let Some(table) = section.as_table_like_mut() {
        table.entry_format(&Key::new(key).with_leaf_decor(old.leaf_decor().clone())).or_insert(item);
    }
}

/// Takes a key out, and its section when nothing is left in one that is none of today's.
fn take(document: &mut Table, key: &str) -> Option<(Key, Item)> {
    let table = document.get_mut(section(key))?.as_table_like_mut()?;
    let old = table.key(name(key))?.clone();
    let item = table.remove(name(key))?;
    let left = table.is_empty();
    if left && SECTIONS.iter().all(|known| known.name != section(key)) {
        document.remove(section(key));
    }
    Some((old, item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrations::parse;

    /// A chain: a key is renamed, its value gets another word, it moves to another section, another key is retired.
    fn chain() -> Former {
        let text = r#"
[[migration]]
id = "a"
version = "1.1.0"
schema = 2
about = ""
change = { rename-answer = { from = "host.way", to = "host.kind" } }
[[migration]]
id = "b"
version = "1.1.0"
schema = 2
about = ""
change = { set-answer = { key = "host.kind", from = "remote", to = "ssh" } }
[[migration]]
id = "c"
version = "1.2.0"
schema = 3
about = ""
change = { rename-answer = { from = "person.name", to = "factory.owner_name" } }
[[migration]]
id = "d"
version = "1.3.0"
schema = 3
about = ""
change = { retire-answer = { key = "host.colour" } }
"#;
        Former(Box::leak(parse(text).unwrap().into_boxed_slice()).iter().collect())
    }

    #[test]
    fn a_key_is_followed_through_every_step() {
        let text = |text: &str| Value::Text(text.into());
        let bring = |key: &str, value: &str| chain().bring(key, Some(&text(value)));
        assert_eq!(bring("host.way", "remote"), Brought::Key("host.kind".into(), Some(text("ssh"))));
        assert_eq!(bring("host.way", "none"), Brought::Key("host.kind".into(), None));
        assert_eq!(bring("person.name", "Ada"), Brought::Key("factory.owner_name".into(), None));
        assert_eq!(bring("host.colour", "red"), Brought::Retired);
        assert_eq!(bring("host.port", "22"), Brought::Key("host.port".into(), None));
        assert!(chain().has_section("person") && !chain().has_section("gitlab"));
    }

    #[test]
    fn the_text_keeps_order_comments_and_spacing() {
        let old = "# top\nschema = 1 # one\n\n[person] # me\n# who\nname = \"Ada\" # Lovelace\n\n[factory]\nname = \"acme\"\n\n\
                   # the host\n[host]\nport = 22\n# how\nway   = \"remote\"   # always\n# why not\ncolour = \"red\"\nlogin = \"root\"\n# end\n";
        let new = "# top\nschema = 2 # one\n\n[factory]\nname = \"acme\"\n# who\nowner_name = \"Ada\" # Lovelace\n\n\
                   # the host\n[host]\nport = 22\n# how\nkind   = \"ssh\"   # always\nlogin = \"root\"\n\n\
                   # Settings that are no longer used. They are kept, and you can remove them.\n[retired]\n\
                   # why not\n\"host.colour\" = \"red\"\n# end\n";
        assert_eq!(rewrite_with(&chain(), old, "f").unwrap(), new);
        let inline =
            "schema = 1\nhost = { way = \"remote\", port = 22 }\nfactory.name = \"acme\"\nperson.name = \"Ada\"\n";
        let new: toml::Table = rewrite_with(&chain(), inline, "f").unwrap().parse().unwrap();
        assert_eq!(new["host"]["kind"].as_str(), Some("ssh"));
        assert_eq!(new["factory"]["owner_name"].as_str(), Some("Ada"));
        assert!(!new.contains_key("person"));
    }
}
