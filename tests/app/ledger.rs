//! Every piece of every runbook that asks for something to be done, and who does it here: a test, or nobody, and why not. A piece that
//! is in no line of this list fails [`no_piece_of_a_runbook_is_forgotten`], and so does a line without a piece.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use How::{Host, Partly, Test};

use crate::control_repo::{ANSWERS, rendered};
use crate::deeds::{Deed, deeds, named};
use crate::lines::LEDGER;

/// Who does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The test in `runbooks.rs`, as it is rendered, on a host.
    Host,
    /// The test in `infrastructure.rs`, as it is rendered, with a real Terraform.
    States,
    /// The test in `runbooks.rs` too, except for this.
    Partly(&'static str),
    /// Another test, by its file and name, does the same.
    Test(&'static str, &'static str),
    /// No test can here, for this reason.
    Not(&'static str),
}

/// The line of the ledger that a piece is in.
fn line(deed: &Deed) -> Result<(&'static str, How), String> {
    let lines = LEDGER.iter().find(|(runbook, _)| *runbook == deed.runbook).map_or(&[][..], |(_, lines)| lines);
    let text = deed.text.trim();
    let means = |words: &str| words.strip_prefix('=').map_or_else(|| text.contains(words), |whole| text == whole);
    match lines.iter().filter(|(words, _)| means(words)).copied().collect::<Vec<_>>()[..] {
        [line] => Ok(line),
        [] => {
            Err(format!("{} > {}: no test does this, and no line says why not:\n{text}\n", deed.runbook, deed.section))
        }
        ref several => Err(format!("{}: {several:?} all mean:\n{text}\n", deed.runbook)),
    }
}

/// What was done by one test is what the ledger says of it: no less, and no more.
pub(crate) fn settle(how: How, done: &BTreeSet<(String, String)>, runbooks: &[(String, String)]) {
    let all: Vec<Deed> = runbooks.iter().flat_map(|(name, text)| deeds(name, text)).collect();
    let mut faults = Vec::new();
    for deed in &all {
        let (words, who) = line(deed).unwrap_or_else(|fault| panic!("{fault}"));
        let was = done.contains(&(deed.runbook.clone(), deed.text.clone()));
        let should = who == how || how == Host && matches!(who, Partly(_));
        if was != should {
            faults.push(format!(
                "{}: {words:?} is {who:?} in the ledger, and was {}done",
                deed.runbook,
                if was { "" } else { "not " }
            ));
        }
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn no_piece_of_a_runbook_is_forgotten() {
    let mut used = BTreeSet::new();
    let mut faults = BTreeSet::new();
    let mut runbooks = BTreeSet::new();
    for (answers, _) in ANSWERS {
        for file in rendered(answers).files {
            let Some(name) = named(&file.path) else { continue };
            runbooks.insert(name.to_owned());
            for deed in deeds(name, &String::from_utf8_lossy(&file.bytes)) {
                match line(&deed) {
                    Ok((words, _)) => drop(used.insert((deed.runbook, words))),
                    Err(fault) => drop(faults.insert(fault)),
                }
            }
        }
    }
    let mut tests: BTreeMap<&str, String> = BTreeMap::new();
    for (runbook, lines) in LEDGER {
        for (words, how) in *lines {
            if !used.contains(&((*runbook).to_owned(), *words)) {
                faults.insert(format!("{runbook}: nothing says {words:?} any more"));
            }
            if let Test(file, name) = how {
                let source = tests.entry(file).or_insert_with(|| {
                    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_default()
                });
                if !source.contains(&format!("#[test]\nfn {name}()")) {
                    faults.insert(format!("{runbook}: there is no test {name} in {file}"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
    assert_eq!((runbooks.len(), LEDGER.len()), (19, 19));
}
