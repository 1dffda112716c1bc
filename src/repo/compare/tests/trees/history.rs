//! Random histories: what the templates rendered at three versions, and what a user made of the first.

use std::collections::BTreeMap;

use crate::random::Random;
use crate::templating::catalogue::Class;
use crate::templating::path;
use crate::templating::tree::{ContentKind, Mode, RenderedFile};

/// What a file of the templates holds.
#[derive(Clone, Debug)]
enum Content {
    Text(Vec<String>),
    Jobs(Vec<(String, Vec<String>)>),
    Binary(u8),
    Link(String),
}

/// One file of the templates.
#[derive(Clone, Debug)]
struct Item {
    id: String,
    path: String,
    class: Class,
    executable: bool,
    content: Content,
}

/// Type, permission bits and content of a file.
pub(super) type File = (Mode, Vec<u8>);
/// Files by path.
pub(super) type Files = BTreeMap<String, File>;

pub(super) struct History {
    /// Three versions of the templates.
    pub(super) versions: [Vec<RenderedFile>; 3],
    /// What the user has, who began with the first.
    pub(super) current: Files,
    /// Whether the user harmed the former texts too: all of them are gone, or hold something else.
    pub(super) harm: Option<bool>,
}

impl History {
    pub(super) fn new(random: &mut Random) -> Self {
        let one = first(random);
        let mut count = one.len();
        let two = next(random, &one, &mut count);
        let three = next(random, &two, &mut count);
        let versions = [&one, &two, &three].map(|items| items.iter().map(rendered).collect::<Vec<_>>());
        let current = used(random, &one, &versions);
        let harm = random.once_in(25).then(|| random.once_in(2));
        Self { versions, current, harm }
    }
}

const FOLDERS: [&str; 4] = ["", "docs/", "infra/", "infra/deep/"];
const STEMS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn some_path(random: &mut Random, ending: &str) -> String {
    format!("{}{}{ending}", random.pick(&FOLDERS), random.pick(&STEMS))
}

/// A path that the items leave free.
fn free(random: &mut Random, items: &[Item], ending: &str) -> Option<String> {
    (0..8)
        .map(|_| some_path(random, ending))
        .find(|path| path::collision(items.iter().map(|item| item.path.as_str()).chain([path.as_str()])).is_none())
}

fn first(random: &mut Random) -> Vec<Item> {
    let mut items = Vec::new();
    for index in 0..2 + random.below(5) {
        add(random, &mut items, index);
    }
    items
}

fn add(random: &mut Random, items: &mut Vec<Item>, index: usize) {
    let content = match random.below(10) {
        0 => Content::Binary(0),
        1 => Content::Link("a.md".into()),
        2..=5 => Content::Jobs(jobs(random)),
        _ => Content::Text((0..random.below(12)).map(|_| word(random)).collect()),
    };
    let class = *random.pick(&[Class::Merge, Class::Merge, Class::Merge, Class::Merge, Class::Managed, Class::Seeded]);
    if let Some(path) = free(random, items, ending(&content)) {
        items.push(Item { id: format!("f{index}"), path, class, executable: random.once_in(6), content });
    }
}

fn ending(content: &Content) -> &'static str {
    if matches!(content, Content::Jobs(_)) { ".yml" } else { ".md" }
}

/// Blocks that read the same but for their name.
fn jobs(random: &mut Random) -> Vec<(String, Vec<String>)> {
    let body = ["stage: test", "image: debian", "timeout: 10m", "retry: 1"].map(str::to_owned).to_vec();
    (0..2 + random.below(4)).map(|index| (format!("job_{index}"), body.clone())).collect()
}

fn word(random: &mut Random) -> String {
    let distinct = *random.pick(&[3, 10, 1000]);
    format!("word {}", random.below(distinct))
}

/// The templates' next version.
fn next(random: &mut Random, items: &[Item], count: &mut usize) -> Vec<Item> {
    let mut items = items.to_vec();
    let mut index = 0;
    while index < items.len() {
        match random.below(14) {
            0..=2 => {}
            3..=8 => change(random, &mut items[index].content),
            9 | 10 => {
                let ending = ending(&items[index].content);
                if let Some(path) = free(random, &items, ending) {
                    items[index].path = path;
                }
                if random.once_in(2) {
                    change(random, &mut items[index].content);
                }
            }
            11 => {
                items.remove(index);
                continue;
            }
            12 => items[index].executable = !items[index].executable,
            _ => {
                let turned = Content::Link(format!("{}.md", random.pick(&STEMS)));
                items[index].content = if random.once_in(2) { turned } else { Content::Text(vec![word(random)]) };
            }
        }
        index += 1;
    }
    if random.once_in(2) {
        add(random, &mut items, *count);
        *count += 1;
    }
    items
}

fn change(random: &mut Random, content: &mut Content) {
    match content {
        Content::Text(lines) => {
            for _ in 0..=random.below(2) {
                let at = random.below(lines.len() + 1);
                match random.below(3) {
                    0 if at < lines.len() => drop(lines.remove(at)),
                    1 if at < lines.len() => lines[at] = word(random),
                    _ => lines.insert(at, word(random)),
                }
            }
        }
        Content::Jobs(jobs) => match random.below(4) {
            0 if jobs.len() > 1 => drop(jobs.remove(random.below(jobs.len()))),
            1 => jobs.iter_mut().for_each(|job| job.1[0] = "stage: check".to_owned()),
            _ => {
                let body = jobs.first().map_or_else(Vec::new, |job| job.1.clone());
                jobs.insert(random.below(jobs.len() + 1), (format!("new_{}", random.below(1000)), body));
            }
        },
        Content::Binary(version) => *version += 1,
        Content::Link(destination) => *destination = format!("{}.md", random.pick(&STEMS)),
    }
}

fn rendered(item: &Item) -> RenderedFile {
    let lines = |lines: &[String]| lines.iter().fold(String::new(), |text, line| format!("{text}{line}\n"));
    let (kind, bytes) = match &item.content {
        Content::Text(text) => (ContentKind::Text, lines(text).into_bytes()),
        Content::Jobs(jobs) => {
            let job = |(name, body): &(String, Vec<String>)| {
                body.iter().fold(format!("{name}:\n"), |text, line| format!("{text}  {line}\n")) + "\n"
            };
            (ContentKind::Text, jobs.iter().map(job).collect::<String>().into_bytes())
        }
        Content::Binary(version) => (ContentKind::Binary, vec![0, 1, *version]),
        Content::Link(destination) => (ContentKind::Link, destination.clone().into_bytes()),
    };
    let mode = match (kind, item.executable) {
        (ContentKind::Link, _) => Mode::Link,
        (_, true) => Mode::Executable,
        (_, false) => Mode::File,
    };
    RenderedFile { id: item.id.clone(), path: item.path.clone(), class: item.class, mode, kind, bytes }
}

/// What a user makes of the first version.
fn used(random: &mut Random, items: &[Item], versions: &[Vec<RenderedFile>; 3]) -> Files {
    let mut files: Files = versions[0].iter().map(|f| (f.path.clone(), (f.mode, f.bytes.clone()))).collect();
    for _ in 0..random.below(8) {
        let item = random.pick(items);
        if random.once_in(8) {
            let ending = if random.once_in(2) { ".md" } else { ".yml" };
            let path = some_path(random, ending);
            let path = if random.once_in(3) { path.to_uppercase() } else { path };
            put(&mut files, path, (Mode::File, format!("mine {}\n", random.below(1000)).into_bytes()));
            continue;
        }
        let Some((mode, bytes)) = files.get(&item.path).cloned() else { continue };
        let file = match random.below(30) {
            0 => {
                files.remove(&item.path);
                continue;
            }
            1 => {
                files.remove(&item.path);
                let path = some_path(random, ".md");
                put(&mut files, path, (mode, bytes));
                continue;
            }
            2 if mode == Mode::File => (Mode::Executable, bytes),
            2 if mode == Mode::Executable => (Mode::File, bytes),
            3 => (Mode::Link, b"elsewhere".to_vec()),
            4 if mode != Mode::Link => (mode, String::from_utf8_lossy(&bytes).replace('\n', "\r\n").into_bytes()),
            5 if mode != Mode::Link => (mode, [b"<<<<<<< mine\n", bytes.as_slice(), b">>>>>>> theirs\n"].concat()),
            6 if mode != Mode::Link => (mode, [b"caf\xe9\n", bytes.as_slice()].concat()),
            7 if mode != Mode::Link => (mode, vec![0, 9, 9]),
            8 => {
                let Some(new) = versions[1].iter().find(|new| new.id == item.id) else { continue };
                (new.mode, new.bytes.clone())
            }
            _ => (mode, edited(random, mode, &bytes)),
        };
        files.insert(item.path.clone(), file);
    }
    files
}

fn edited(random: &mut Random, mode: Mode, bytes: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
    if mode == Mode::Link || text.contains('\0') {
        return format!("mine-{}", random.below(1000)).into_bytes();
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = random.below(lines.len() + 1);
    let is_key = lines.get(at).is_some_and(|line| line.starts_with("  ") && line.contains(": "));
    match random.below(3) {
        _ if is_key => {
            let key = lines[at].split(": ").next().unwrap_or_default().to_owned();
            lines[at] = format!("{key}: mine-{}", random.below(1000));
        }
        0 if at < lines.len() && !text.contains(": ") => drop(lines.remove(at)),
        1 if at < lines.len() && !text.contains(": ") => lines[at] = format!("mine {}", random.below(1000)),
        _ => lines.insert(at, format!("# mine {}", random.below(1000))),
    }
    lines.iter().fold(String::new(), |text, line| format!("{text}{line}\n")).into_bytes()
}

/// Adds a file, unless one stands there or on the way: a user's tree is one that a file system can hold.
fn put(files: &mut Files, path: String, file: File) {
    let below = |folder: &str, path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    if files.keys().all(|other| *other != path && !below(other, &path) && !below(&path, other)) {
        files.insert(path, file);
    }
}
