//! The engine against a target that is a list in memory.

use super::*;
use crate::dialog::Silent;
use crate::plan::Action;
use crate::plan::Undo;

#[derive(Default)]
struct Shelf {
    wanted: Vec<&'static str>,
    there: Vec<String>,
    sticky: bool,
    cut_at: Option<&'static str>,
    killed_at: Option<&'static str>,
    torn_at: Option<&'static str>,
    promise: Option<bool>,
    ends: Vec<String>,
}

impl Target for Shelf {
    fn name(&self) -> TargetName {
        TargetName::Repo
    }

    fn subject(&self) -> String {
        "a shelf".into()
    }

    fn observe(&mut self, _watch: &dyn Watch) -> Result<Plan> {
        let mut plan = Plan::new(self.name(), self.subject());
        for book in &self.wanted {
            if self.there.iter().any(|b| b == book) {
                plan.unchanged += 1;
            } else {
                let change = Change::new(format!("book:{book}"), Action::Create, format!("put {book} there"));
                plan.push(Change { ends: self.ends.clone(), ..change });
            }
        }
        Ok(plan)
    }

    fn apply(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        for change in &plan.changes {
            log.started(change)?;
            let book = change.id.trim_start_matches("book:");
            assert_ne!(self.killed_at, Some(book), "killed");
            if self.cut_at == Some(book) {
                return Err(Error::new(Kind::CutShort, "the connection was lost"));
            }
            if self.torn_at == Some(book) {
                log.unsettled(change, Undo::Remove, "half of it is there")?;
                return Err(Error::new(Kind::CutShort, "half of it is there"));
            }
            if !self.sticky {
                self.there.push(book.to_owned());
            }
            log.done(change, Undo::Remove)?;
        }
        Ok(())
    }

    fn prove(&mut self, _watch: &dyn Watch) -> Result<Vec<Proof>> {
        Ok(self
            .promise
            .map(|held| Proof { claim: "it stands".into(), held, detail: "pushed it".into() })
            .into_iter()
            .collect())
    }
}

fn state() -> (tempfile::TempDir, StateDir) {
    let temp = tempfile::tempdir().unwrap();
    let state = StateDir::at(temp.path().join("s")).unwrap();
    (temp, state)
}

const YES: Options = Options { yes: true, prove_again: false };

#[test]
fn a_second_run_changes_nothing() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a", "b"], ..Shelf::default() };
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap(), Outcome::Applied { changes: 2, proofs: 0 });
    let written = || ["receipt-repo.json", "journal.jsonl"].map(|name| std::fs::read(state.file(name)).unwrap());
    let before = written();
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    assert_eq!(written(), before);
    assert_eq!(Evidence::at(state.file("evidence/log.jsonl")).verify().unwrap().0, 2);
}

#[test]
fn without_a_yes_nothing_is_changed() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a"], ..Shelf::default() };
    let error = converge(&mut shelf, &Silent, &state, Options::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(shelf.there.is_empty());
}

#[test]
fn a_yes_beforehand_is_no_answer_to_what_ends() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a"], ends: vec!["this will hide b".into()], ..Shelf::default() };
    let error = converge(&mut shelf, &Silent, &state, YES).unwrap_err();
    assert_eq!(error.kind(), Kind::Data);
    assert_eq!(error.hints()[0], "this will hide b");
    assert!(error.hints()[1].contains("factoryup plan repo --out FILE"), "{:?}", error.hints());
    assert!(shelf.there.is_empty());
}

#[test]
fn changes_that_do_not_hold_are_no_success() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a"], sticky: true, ..Shelf::default() };
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap_err().kind(), Kind::CutShort);
}

#[test]
fn a_cut_run_is_known_and_resumes() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a", "b"], cut_at: Some("b"), ..Shelf::default() };
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap_err().kind(), Kind::CutShort);
    let cut = Journal::open(&state.file("journal.jsonl")).unwrap().unfinished(TargetName::Repo).unwrap().unwrap();
    assert_eq!((cut.change.as_deref(), cut.summary.as_deref()), (Some("book:b"), Some("put b there")));
    shelf.cut_at = None;
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap(), Outcome::Applied { changes: 1, proofs: 0 });
    assert_eq!(Journal::open(&state.file("journal.jsonl")).unwrap().unfinished(TargetName::Repo).unwrap(), None);
}

#[test]
fn a_cut_run_with_nothing_left_to_do_is_ended() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a"], cut_at: Some("a"), ..Shelf::default() };
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap_err().kind(), Kind::CutShort);
    shelf.there.push("a".into());
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    assert_eq!(Journal::open(&state.file("journal.jsonl")).unwrap().unfinished(TargetName::Repo).unwrap(), None);
}

#[test]
fn a_killed_run_leaves_its_receipt_and_evidence() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a", "b"], killed_at: Some("b"), ..Shelf::default() };
    let run = std::panic::AssertUnwindSafe(|| converge(&mut shelf, &Silent, &state, YES));
    assert!(std::panic::catch_unwind(run).is_err());
    let receipt = Receipt::read(&state.file("receipt-repo.json")).unwrap().unwrap();
    assert_eq!(receipt.entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["book:a"]);
    let evidence = std::fs::read_to_string(state.file("evidence/log.jsonl")).unwrap();
    assert!(evidence.contains(r#""changes":["book:a","book:b"]"#) && evidence.contains(r#""outcome":"begun""#));
}

#[test]
fn a_change_that_is_made_in_part_keeps_its_way_back() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a"], torn_at: Some("a"), ..Shelf::default() };
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap_err().kind(), Kind::CutShort);
    let receipt = Receipt::read(&state.file("receipt-repo.json")).unwrap().unwrap();
    assert_eq!((receipt.entries[0].id.as_str(), &receipt.entries[0].undo), ("book:a", &Undo::Remove));
}

#[test]
fn a_broken_promise_is_no_success() {
    let (_temp, state) = state();
    let mut shelf = Shelf { wanted: vec!["a"], promise: Some(false), ..Shelf::default() };
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap_err().kind(), Kind::Pending);
    assert_eq!(
        converge(&mut shelf, &Silent, &state, YES).unwrap_err().kind(),
        Kind::Pending,
        "it is tried until it holds"
    );
    shelf.promise = Some(true);
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap(), Outcome::AlreadyRight { proofs: 1 });
    assert_eq!(converge(&mut shelf, &Silent, &state, YES).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    let again = Options { prove_again: true, ..YES };
    assert_eq!(converge(&mut shelf, &Silent, &state, again).unwrap(), Outcome::AlreadyRight { proofs: 1 });
}
