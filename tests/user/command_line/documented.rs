//! What is written about the command line, in `--help`, in the documentation, in messages and in what is generated, is so.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind::{
    DisplayHelpOnMissingArgumentOrSubcommand, InvalidSubcommand, InvalidValue, MissingRequiredArgument,
};
use clap::{Command, CommandFactory};
use factoryup::Kind;
use factoryup::cli::{Cli, Ending};
use regex_lite::Regex;

use super::factoryup;

/// Every command, by the words that call it: the first is factoryup alone.
pub(super) fn tree() -> BTreeMap<Vec<String>, Command> {
    let mut cli = Cli::command();
    cli.build();
    let (mut tree, mut open) = (BTreeMap::new(), vec![(Vec::new(), cli)]);
    while let Some((words, command)) = open.pop() {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            open.push(([&words[..], &[below.get_name().to_owned()]].concat(), below.clone()));
        }
        tree.insert(words, command);
    }
    tree
}

fn long_flags(command: &Command) -> BTreeSet<String> {
    command.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?))).collect()
}

fn help(words: &[String]) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
    let output = factoryup(&std::env::temp_dir(), &words);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The events in the source of the room that prints.
fn events() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
    let pattern = Regex::new(r#""event": "([a-z-]+)""#).unwrap();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let texts: Vec<String> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    texts.iter().flat_map(|text| pattern.captures_iter(text)).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_event_of_the_json_output_is_documented() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/json-events.md")).unwrap();
    let events = events();
    assert!(events.len() > 10, "{events:?}");
    for event in events {
        assert!(page.contains(&format!("`{event}`")), "{event}");
    }
}

/// A text without its line breaks, by which help is wrapped.
pub(super) fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_command_and_flag_is_explained_where_it_is_asked_for() {
    let tree = tree();
    assert!(tree.len() > 15, "{:?}", tree.keys());
    for (words, command) in &tree {
        let shown = help(words);
        let lines = flat(&shown);
        let about = command.get_about().unwrap_or_else(|| panic!("{words:?} does not say what it is for")).to_string();
        assert!(lines.contains(flat(&about).split('\n').next().unwrap()), "{words:?}: {shown}");
        for below in command.get_subcommands() {
            assert!(shown.lines().any(|l| l.split_whitespace().next() == Some(below.get_name())), "{words:?}: {shown}");
        }
        for argument in command.get_arguments() {
            let id = argument.get_id();
            let text = argument.get_long_help().or(argument.get_help()).map(|text| flat(&text.to_string()));
            let text = text.filter(|text| !text.is_empty()).unwrap_or_else(|| panic!("{words:?}: {id} has no help"));
            assert!(lines.contains(&text), "{words:?}: {id}: {text}\n{shown}");
            if let Some(long) = argument.get_long() {
                let is_row = |line: &str| line.split([' ', ',', '=', '[']).any(|word| word == format!("--{long}"));
                assert!(shown.lines().any(is_row), "{words:?} --{long}: {shown}");
            }
        }
    }
}

/// All kinds of failure: a new one does not compile here until it is added.
fn codes() -> BTreeSet<u8> {
    use Kind::{
        CannotWrite, CutShort, Data, Internal, Interrupted, NotPermitted, Pending, Reverted, Unreachable, Usage,
    };
    let of = |kind: Kind| match kind {
        Pending | Usage | Data | Unreachable | Internal | CannotWrite | CutShort | Reverted | NotPermitted
        | Interrupted => kind.exit_code(),
    };
    let kinds =
        [Pending, Usage, Data, Unreachable, Internal, CannotWrite, CutShort, Reverted, NotPermitted, Interrupted];
    kinds.into_iter().map(of).chain([Ending::Done.exit_code(), Ending::Pending.exit_code()]).collect()
}

#[test]
fn the_exit_codes_that_are_told_are_the_ones_there_are() {
    let listed = flat(&help(&[]));
    let (_, listed) = listed.split_once("Exit codes:").unwrap();
    let (listed, _) = listed.split_once("Usage:").unwrap();
    let told: Vec<u8> =
        listed.split(';').map(|part| part.split_whitespace().next().unwrap().parse().unwrap()).collect();
    let sorted: BTreeSet<u8> = told.iter().copied().collect();
    assert_eq!((told.len(), &sorted), (sorted.len(), &codes()), "{listed}");

    let code = Regex::new(r"(?i)exit(?:s with| codes?:?| with code) ([0-9]+)").unwrap();
    let helps = tree().into_keys().map(|words| (format!("--help of {words:?}"), flat(&help(&words))));
    let pages = documentation().into_iter().map(|(path, text)| (path.display().to_string(), flat(&text)));
    let mut count = 0;
    for (place, text) in helps.chain(pages) {
        for found in code.captures_iter(&text) {
            let number: u8 = found[1].parse().unwrap();
            assert!(codes().contains(&number), "{place}: {}", &found[0]);
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

fn below(folder: &str, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut open) = (Vec::new(), vec![root.join(folder)]);
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let wanted = extensions.iter().any(|wanted| path.extension().is_some_and(|is| is == *wanted));
            if path.is_dir() {
                open.push(path);
            } else if wanted {
                files.push((path.strip_prefix(root).unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

/// What people read about factoryup.
fn documentation() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
        .map(|name| (PathBuf::from(name), fs::read_to_string(root.join(name)).unwrap()));
    top.into_iter().chain(below("docs", &["md"])).collect()
}

/// Code in a Markdown text: the lines of its blocks, and what stands between backticks.
fn code(text: &str) -> (Vec<&str>, Vec<String>) {
    let (mut lines, mut prose, mut in_block) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            lines.push(line);
        } else {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    (lines, prose.split('`').skip(1).step_by(2).map(flat).collect())
}

/// The calls of factoryup in a line of a shell, each without its first word.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line.split("&&").flat_map(|part| part.split("||")).flat_map(|part| part.split(['|', ';', '>']));
    let words = |part: &str| part.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    parts
        .map(words)
        .filter(|words| words.first().is_some_and(|word| word == "factoryup"))
        .map(|w| w[1..].to_vec())
        .collect()
}

/// What is wrong with a call. Words in capitals or braces, and `…`, stand for something.
fn fault(words: &[String]) -> Option<String> {
    let stands_for = |word: &str| {
        word.contains(['{', '…', '$']) || word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '-')
    };
    let words: Vec<&str> =
        words.iter().map(|word| word.trim_matches(['[', ']', '\'', '"'])).filter(|w| *w != "…").collect();
    let error = Cli::command().try_get_matches_from(["factoryup"].iter().chain(&words)).err()?;
    let fine = match error.kind() {
        // A call can be named without all that it needs.
        MissingRequiredArgument | DisplayHelpOnMissingArgumentOrSubcommand => true,
        InvalidValue | InvalidSubcommand => words.iter().any(|word| stands_for(word)),
        _ => !error.use_stderr(),
    };
    (!fine).then(|| format!("factoryup {}: {error}", words.join(" ")))
}

#[test]
fn every_command_that_is_told_can_be_typed() {
    assert!(fault(&["plan".into(), "--nope".into()]).is_some() && fault(&["frob".into()]).is_some());
    assert!(fault(&["plan".into(), "moon".into()]).is_some() && fault(&["plan".into(), "TARGET".into()]).is_none());
    let mut faults = Vec::new();
    let mut check = |pages: Vec<(PathBuf, String)>, wanted: usize| {
        let mut count = 0;
        for (path, text) in pages {
            let (lines, spans) = code(&text);
            for call in lines.into_iter().chain(spans.iter().map(String::as_str)).flat_map(calls) {
                faults.extend(fault(&call).map(|fault| format!("{}: {fault}", path.display())));
                count += 1;
            }
        }
        assert!(count >= wanted, "{count}");
    };
    check(documentation(), 40);
    check(below("templates", &["md"]), 20);

    // Messages: between backticks, or behind a colon to the end of the text.
    let told = Regex::new("`(factoryup [^`\"]+)`|: (factoryup [a-z][^\"`;,()]*)").unwrap();
    let mut count = 0;
    for (path, text) in below("src", &["rs"]) {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for found in code.flat_map(|line| told.captures_iter(line)) {
            let call = found.get(1).or(found.get(2)).unwrap().as_str();
            let call = call.split(". ").next().unwrap_or_default().trim_end_matches('.');
            let words = call.split_whitespace().skip(1).map(|word| word.trim_end_matches('\\').to_owned());
            faults.extend(fault(&words.collect::<Vec<_>>()).map(|fault| format!("{}: {fault}", path.display())));
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
    assert_eq!(faults, Vec::<String>::new());
}

/// Told of beside the flake.
const OF_NIX: [&str; 1] = ["--override-input"];

#[test]
fn every_flag_that_is_told_is_there() {
    let tree = tree();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let flag = Regex::new(r"(?:^|[ \[])(--[a-z][a-z-]*)").unwrap();
    let all: BTreeSet<String> = tree.values().flat_map(long_flags).collect();
    let script = fs::read_to_string(root.join("install.sh")).unwrap();
    let of_installer: BTreeSet<String> = flag.captures_iter(&script).map(|found| found[1].to_owned()).collect();
    let mut count = 0;
    for (path, text) in documentation() {
        // A span that begins with a flag is about factoryup or its installer; others are calls of other programs.
        for span in code(&text).1.iter().filter(|span| span.starts_with("--")) {
            for found in flag.captures_iter(span) {
                let known = all.contains(&found[1]) || of_installer.contains(&found[1]) || OF_NIX.contains(&&found[1]);
                assert!(known, "{}: `{span}`", path.display());
                count += 1;
            }
        }
    }
    assert!(count > 20, "{count}");

    // The table of commands: each of them is in it, with flags that it has.
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, table) = readme.split_once("| command | does |").unwrap();
    let mut told = BTreeSet::new();
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').collect();
        let mut flags = all.clone();
        for command in code(cells[1]).1 {
            let words: Vec<String> = command.split(' ').map(str::to_owned).filter(|word| word != "factoryup").collect();
            assert_eq!(fault(&words), None, "{row}");
            // The words of the command itself; what follows are its arguments.
            let (words, known) = (0..=words.len()).rev().find_map(|end| tree.get_key_value(&words[..end])).unwrap();
            flags = long_flags(known);
            told.insert(words.first().cloned());
        }
        for span in code(cells[2]).1.iter().filter(|span| span.starts_with("--")) {
            assert!(flags.contains(span.split(' ').next().unwrap()), "{row}");
        }
    }
    let there: BTreeSet<Option<String>> = tree.keys().map(|words| words.first().cloned()).collect();
    assert_eq!(told, there);
}
