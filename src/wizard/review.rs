//! Shows all answers on one screen before anything is written.

use console::{measure_text_width, pad_str};

use super::discover::Discovered;
use crate::dialog::plain;
use crate::factory::answers::{Answers, Source};
use crate::factory::fields::{FIELDS, Field, SECTIONS, Value, ValueKind};

/// Every field that applies, with its value and where it came from.
pub(super) fn text(answers: &Answers, found: &Discovered) -> String {
    let applying = || FIELDS.iter().filter(|field| field.applies(answers));
    let width = applying().map(|field| measure_text_width(field.prompt)).max().unwrap_or_default();
    // In a narrow window a wide column would only push the values onto the next row.
    let width = width.min(usize::from(console::Term::stderr().size().1) / 2);
    let mut text = String::new();
    for section in SECTIONS {
        text.push_str(&format!("\n{}\n", section.about));
        for field in applying().filter(|field| field.section() == section.name) {
            let source = answers.answer(field).map_or(Source::Default, |answer| answer.source.clone());
            let said = if source == Source::Asked { String::new() } else { format!("  ({})", source.describe(field)) };
            let prompt = pad_str(field.prompt, width, console::Alignment::Left, None);
            text.push_str(&format!("  {prompt}  {}{said}\n", short(field, answers)));
        }
    }
    if let Some(place) = &found.token {
        text.push_str(&format!("\nFound a GitLab token ({place}); it stays where it is.\n"));
    }
    plain(text.trim_end())
}

/// A field's value in a few words.
pub(super) fn short(field: &Field, answers: &Answers) -> String {
    match answers.get(field.key) {
        None => "–".to_owned(),
        Some(value) if value.is_empty() => "–".to_owned(),
        Some(Value::Bool(yes)) => if yes { "yes" } else { "no" }.to_owned(),
        Some(Value::List(items)) if matches!(field.kind, ValueKind::List { commas: false, .. }) => {
            items.iter().map(|item| short_key(item)).collect::<Vec<_>>().join(", ")
        }
        Some(value) => value.to_string(),
    }
}

/// A public key in a few words: its comment, its type and the end of it.
pub(super) fn short_key(line: &str) -> String {
    let mut words = line.split_whitespace();
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let comment = words.collect::<Vec<_>>().join(" ");
    let end = blob.char_indices().rev().nth(5).map_or(blob, |(at, _)| &blob[at..]);
    let kind = kind.trim_start_matches("ssh-").split('@').next().unwrap_or(kind);
    if comment.is_empty() { format!("{kind} …{end}") } else { format!("{comment} ({kind} …{end})") }
}
