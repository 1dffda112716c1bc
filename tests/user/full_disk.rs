//! A full disk under the state folder costs an error, and not the evidence.

use crate::support;
use std::path::Path;
use std::process::Command;

use factoryup::dialog::Silent;
use factoryup::plan::{
    Action, Change, Evidence, Log, Options, Plan, Receipt, StateDir, Target, TargetName, Undo, Watch, converge,
};
use serde_json::json;

/// A file system of a few pages that is unmounted when dropped.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn at(path: &'a Path, kib: usize) -> Self {
        let size = format!("size={kib}k");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "small"]).arg(path).status();
        assert!(mount.unwrap().success());
        Self(path)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn evidence_that_does_not_fit_leaves_the_chain_whole() {
    if !support::root() || !support::available(&["mount", "umount"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let small = Small::at(folder.path(), 8);
    std::fs::write(folder.path().join("ballast"), [0; 4096]).unwrap();
    let evidence = Evidence::at(folder.path().join("log.jsonl"));
    let append = |n: u32| evidence.append("repo", &"a".repeat(64), "apply", json!({ "n": n }));
    let fitted = (0..100).take_while(|n| append(*n).is_ok()).count();
    assert!((1..100).contains(&fitted));
    assert_eq!(evidence.verify().unwrap().0, fitted);
    // Room again: it goes on where it was.
    std::fs::remove_file(folder.path().join("ballast")).unwrap();
    append(7).unwrap();
    assert_eq!(evidence.verify().unwrap().0, fitted + 1);
    drop(small);
}

/// Ten books to be put on a shelf, which is elsewhere.
#[derive(Default)]
struct Shelf(Vec<String>);

impl Target for Shelf {
    fn name(&self) -> TargetName {
        TargetName::Repo
    }

    fn subject(&self) -> String {
        "a shelf".into()
    }

    fn observe(&mut self, _watch: &dyn Watch) -> factoryup::Result<Plan> {
        let mut plan = Plan::new(self.name(), self.subject());
        for id in (0..10).map(|n| format!("book:{n}")).filter(|id| !self.0.contains(id)) {
            let summary = format!("put {id} there, which takes a summary as long as those of other changes are");
            plan.push(Change::new(id, Action::Create, summary));
        }
        Ok(plan)
    }

    fn apply(&mut self, plan: &Plan, log: &mut Log<'_>) -> factoryup::Result<()> {
        for change in &plan.changes {
            log.started(change)?;
            self.0.push(change.id.clone());
            log.done(change, Undo::Remove)?;
        }
        Ok(())
    }
}

#[test]
fn a_run_that_cannot_be_put_on_record_is_no_success() {
    if !support::root() || !support::available(&["mount", "umount"]) {
        return;
    }
    let (mut failed, mut late) = (0, 0);
    for pages in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let small = Small::at(folder.path(), 64);
        std::fs::write(folder.path().join("ballast"), vec![0; 4096 * (16 - pages)]).unwrap();
        let mut shelf = Shelf::default();
        let mut run = || {
            let state = StateDir::at(folder.path().join("state"))?;
            converge(&mut shelf, &Silent, &state, Options { yes: true, ..Options::default() })
        };
        let outcome = run();
        let evidence = Evidence::at(folder.path().join("state/evidence/log.jsonl"));
        let log = std::fs::read_to_string(folder.path().join("state/evidence/log.jsonl")).unwrap_or_default();
        assert!(log.is_empty() || evidence.verify().is_ok(), "{pages}: {log}");
        assert!(Receipt::read(&folder.path().join("state/receipt-repo.json")).is_ok(), "{pages}");
        match outcome {
            Ok(outcome) => {
                assert!(log.contains(r#""outcome":"applied""#), "{pages}: {outcome:?}, and the log says {log}");
            }
            Err(error) => {
                assert_eq!(error.kind(), factoryup::Kind::CannotWrite, "{pages}: {error}");
                assert!(!log.contains(r#""outcome":"applied""#), "{pages}: {log}");
                failed += 1;
                late += usize::from(!shelf.0.is_empty());
            }
        }
        // Room again: it goes on from what is there, and that is on record too.
        std::fs::remove_file(folder.path().join("ballast")).unwrap();
        let state = StateDir::at(folder.path().join("state")).unwrap();
        converge(&mut shelf, &Silent, &state, Options { yes: true, ..Options::default() }).unwrap();
        assert_eq!(shelf.0.len(), 10);
        drop(small);
    }
    assert!(failed > 1 && failed < 10 && late > 0, "{failed} runs failed, {late} of them after a change");
}
