//! What must hold of every history.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{File, Files, History};
use super::{CONFLICTS, Comparison, Memory, RenderedFile, Sort, oracle, pack};
use crate::factory::FILE_NAME;
use crate::git::Git;
use crate::repo::manifest::State;
use crate::repo::merge::{Conflict, has_markers};
use crate::templating::catalogue::Class;
use crate::templating::path;
use crate::templating::tree::Mode;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Count {
    upgrades: u32,
    files: u32,
    merged_texts: u32,
    merged_by_git: u32,
    differs_from_git: u32,
    differs_from_diffy: u32,
    jobs_merged: u32,
    jobs_misplaced: u32,
    two_steps: u32,
    two_steps_differ: u32,
    conflicts: BTreeMap<&'static str, u32>,
}

impl Count {
    /// Whether what may happen now and then happened seldom enough, and what must be tried was tried.
    ///
    /// The bars hold for any seed. What must be tried is tried twice as often as is asked for here. What may happen in 0.1 % of the
    /// cases happens in far fewer: the long run counts 0.01 % of files that end elsewhere in two steps, and none of the others. A
    /// short run may meet one of those by chance, but not several.
    pub(super) fn judge(&self) {
        let seldom = |seen: u32, of: u32, by_chance: u32| seen <= by_chance || seen * 1000 <= of;
        assert!(self.merged_texts > self.upgrades / 12, "too few merges of texts");
        assert!(self.jobs_merged > self.upgrades / 30, "too few merges of jobs");
        assert!(seldom(self.jobs_misplaced, self.jobs_merged, 1), "more than 0.1 % under a wrong key");
        assert!(seldom(self.differs_from_git, self.merged_texts, 1), "too often another text than git's");
        assert!(seldom(self.two_steps_differ, self.two_steps, 3), "too often another end in two steps");
        assert!(self.two_steps > self.upgrades / 2, "too few files without a conflict");
    }
}

/// One file before and after an upgrade.
struct Case<'a> {
    base: Option<&'a RenderedFile>,
    new: Option<&'a RenderedFile>,
    /// Where the user has it.
    at: Option<&'a str>,
    current: Option<&'a File>,
    /// Why it waits.
    conflict: Option<&'static str>,
    after: &'a Files,
}

pub(super) fn hold(history: &History, git: &Git, count: &mut Count) {
    let [one, two, three] = [0, 1, 2].map(|index| pack(&format!("{}.0.0", index + 1), &history.versions[index]));
    let start = || Memory::of(git, &one).used(history);

    // P4: templates that did not change change nothing.
    let mut repo = start();
    assert!(repo.follow(&one).is_empty() && repo.files == start().files);

    let before = repo.files.clone();
    let comparison = repo.follow(&two);
    count.upgrades += 1;
    whole(history, &before, &repo.files, &comparison);
    for id in ids(history) {
        each(history, id, &before, &repo.files, &comparison, git, count);
    }
    for why in comparison.report.conflicts().filter_map(|finding| reason(&finding.sort)) {
        *count.conflicts.entry(why).or_default() += 1;
    }

    // P5: the second time finds nothing to do, and the same conflicts.
    let after = repo.files.clone();
    let again = repo.follow(&two);
    // A former text that was missing may be back, since another file was rendered with the same.
    if history.harm.is_none() {
        assert!(again.is_empty() && repo.files == after, "{:#?}\n{:#?}", comparison.report, again.report);
        let waiting = |c: &Comparison| c.report.conflicts().map(|f| f.path.clone()).collect::<Vec<_>>();
        assert_eq!(waiting(&again), waiting(&comparison));
    }

    // P14: two steps end where one does, for every file that is shared all the way. A file that comes in between is the user's from
    // then on when it is seeded, and one that goes in between takes the changes of its last version along.
    let mut direct = start();
    let (second, leap) = (repo.follow(&three), direct.follow(&three));
    let clean = |c: &Comparison| c.report.conflicts().next().is_none();
    if clean(&comparison) && clean(&second) && clean(&leap) {
        for file in history.versions[2].iter().filter(|file| file.class != Class::Seeded) {
            let [first, between] = [0, 1].map(|at| history.versions[at].iter().find(|other| other.id == file.id));
            // Templates that take a change back do so to one who made the same change, and only when they are seen doing it.
            let back = same(first, file) && !between.is_some_and(|between| same(first, between));
            if !back && (between.is_some() || first.is_none()) {
                count.two_steps += 1;
                count.two_steps_differ += u32::from(repo.files.get(&file.path) != direct.files.get(&file.path));
            }
        }
    }
}

fn ids(history: &History) -> BTreeSet<&str> {
    history.versions[..2].iter().flatten().map(|file| file.id.as_str()).collect()
}

fn reason(sort: &Sort) -> Option<&'static str> {
    match sort {
        Sort::Conflict { why, .. } => Some(why),
        _ => None,
    }
}

fn is_of(sort: &Sort, wanted: &str) -> bool {
    matches!(sort, Sort::Conflict { id, .. } if id == wanted)
}

/// What holds of the tree as a whole.
fn whole(history: &History, before: &Files, after: &Files, comparison: &Comparison) {
    let known: BTreeSet<&str> = history.versions[..2].iter().flatten().map(|file| file.path.as_str()).collect();
    for (path, file) in before {
        // P9: what is the user's alone is as it was.
        if !known.contains(path.as_str()) && !path.starts_with(".factory/") && path != FILE_NAME {
            assert_eq!(after.get(path), Some(file), "{path} is the user's");
        }
    }
    for (path, file) in after {
        let brought = before.get(path) != Some(file);
        // P7: no markers come with a commit.
        assert!(!(brought && has_markers(&file.1)), "{path} came with markers");
        // P16: nothing lands outside, or on the way of something else.
        if brought && !before.contains_key(path) && !path.starts_with(".factory/") {
            assert_eq!(path::problem(path), None);
            let others = after.keys().filter(|other| *other != path).map(String::as_str);
            assert!(!super::Paths::new(others).collides(path), "{path} meets another file");
        }
    }
    // P8: every conflict is listed, recorded and has its proposal.
    for record in &comparison.manifest.files {
        let listed = comparison.report.conflicts().any(|finding| is_of(&finding.sort, &record.id));
        let proposal = after.contains_key(&format!("{CONFLICTS}{}", record.id));
        assert_eq!(
            (listed, proposal),
            (record.state == State::Conflict, record.state == State::Conflict),
            "{record:?}"
        );
    }
}

fn each(
    history: &History,
    id: &str,
    before: &Files,
    after: &Files,
    comparison: &Comparison,
    git: &Git,
    count: &mut Count,
) {
    let find = |version: usize| history.versions[version].iter().find(|file| file.id == id);
    let (base, new) = (find(0), find(1));
    // What the templates dropped and the user keeps is the user's own.
    let counts = |file: &&RenderedFile| {
        let goes = file.class != Class::Seeded && before.get(&file.path) == Some(&version(file));
        goes || history.versions[1].iter().any(|new| new.id == file.id)
    };
    let owner = |path: &str| history.versions[0].iter().filter(counts).find(|file| file.path == path);
    let there = |path: &&str| before.contains_key(*path) && owner(path).is_none_or(|owner| owner.id == id);
    let at = [base, new].into_iter().flatten().map(|file| file.path.as_str()).find(there);
    let waits = comparison.report.conflicts().find(|finding| is_of(&finding.sort, id));
    let conflict = waits.and_then(|finding| reason(&finding.sort));
    let current = at.and_then(|path| before.get(path));
    let case = Case { base, new, at, current, conflict, after };
    count.files += 1;
    if conflict.is_some() {
        return case.waits(id);
    }
    match (base, current, new) {
        (_, Some(_), Some(new)) if new.class == Class::Seeded => case.stays(),
        (_, None, Some(new)) if base.is_some() => {
            // P13: it stays deleted, and is spoken of when the templates changed it.
            let said = comparison.report.findings.iter().any(|f| f.path == new.path && f.sort == Sort::DeletedByYou);
            assert!(new.class == Class::Seeded || said != same(base, new), "{}", new.path);
            assert!(
                comparison.manifest.files.iter().any(|r| r.id == id && r.state == State::DeletedByUser)
                    || new.class == Class::Seeded
            );
        }
        (None, None, Some(new)) => case.is(new),
        (None, Some(current), Some(new)) => assert_eq!(*current, version(new), "{} was there", new.path),
        // P3
        (Some(base), Some(current), Some(new)) if *current == version(base) => case.is(new),
        // P4
        (Some(_), Some(_), Some(new)) if same(base, new) => case.stays(),
        (Some(base), Some(current), Some(new)) => {
            let whole = current.1 == new.bytes || current.1 == base.bytes || new.bytes == base.bytes;
            assert!(new.class != Class::Managed || whole, "{base:?}\n{current:?}\n{new:?}\n{:#?}", comparison.report);
            case.merged(base, current, new, history, git, count);
        }
        (Some(base), Some(current), None) if *current == version(base) && base.class != Class::Seeded => {
            let taken = history.versions[1].iter().any(|new| new.path == base.path);
            assert!(taken || !after.contains_key(&base.path), "{} is to go", base.path);
        }
        (Some(base), Some(current), None) => assert_eq!(after.get(&base.path), Some(current), "{}", base.path),
        (_, None, _) | (None, Some(_), None) => {}
    }
}

fn version(file: &RenderedFile) -> File {
    (file.mode, file.bytes.clone())
}

/// Whether the templates left type, permission bits and content alone.
fn same(base: Option<&RenderedFile>, new: &RenderedFile) -> bool {
    base.is_some_and(|base| version(base) == version(new))
}

impl Case<'_> {
    /// The file is as the new templates have it.
    fn is(&self, new: &RenderedFile) {
        assert_eq!(self.after.get(&new.path), Some(&version(new)), "{}", new.path);
    }

    /// The user's version is where the templates have the file now.
    fn stays(&self) {
        let path = self.new.filter(|new| new.class != Class::Seeded).map_or(self.at.unwrap(), |new| &new.path);
        assert_eq!(self.after.get(path), self.current, "{path}");
    }

    /// P1, P10: at a conflict the user's version is where it was, and the proposal aside.
    fn waits(&self, id: &str) {
        if let Some(at) = self.at {
            assert_eq!(self.after.get(at), self.current, "{at}");
        }
        let proposal = self.after.get(&format!("{CONFLICTS}{id}")).map(|file| &file.1);
        assert_eq!(proposal, self.new.map(|new| &new.bytes));
        let untouched = self.base.is_some_and(|base| self.current == Some(&version(base)));
        let unchanged = self.new.is_some_and(|new| same(self.base, new));
        if untouched || unchanged {
            let why = [Conflict::PathTaken, Conflict::Markers].map(Conflict::as_str);
            assert!(why.contains(&self.conflict.unwrap()), "{:?} of what one side left alone", self.conflict);
        }
    }

    /// P1, P2: what both changed holds the changes of both.
    fn merged(
        &self,
        base: &RenderedFile,
        current: &File,
        new: &RenderedFile,
        history: &History,
        git: &Git,
        count: &mut Count,
    ) {
        let (mode, merged) = &self.after[&new.path];
        assert!([current.0, new.mode].contains(mode), "{}", new.path);
        let sides = [&current.1, &new.bytes];
        if sides.contains(&merged) || [current.0, new.mode, base.mode].contains(&Mode::Link) {
            let whole = *merged == current.1 && (new.bytes == base.bytes || new.bytes == current.1)
                || *merged == new.bytes && current.1 == base.bytes;
            // A line that both added may be all that either did.
            assert!(whole || sides.iter().all(|side| holds_what_was_added(&base.bytes, side, merged)), "{}", new.path);
            return;
        }
        assert_eq!(history.harm, None, "{} was merged without its former text", new.path);
        count.merged_texts += 1;
        for side in sides {
            assert!(
                holds_what_was_added(&base.bytes, side, merged),
                "{}: {}",
                new.path,
                String::from_utf8_lossy(merged)
            );
        }
        let by_git = oracle::git(git.dir(), &base.bytes, &current.1, &new.bytes);
        count.merged_by_git += u32::from(by_git.is_some());
        // git knows no text with CRLF throughout.
        let crlf = current.1.contains(&b'\r');
        count.differs_from_git += u32::from(!crlf && by_git.is_some_and(|text| text != *merged));
        let by_diffy = diffy::merge_bytes(&base.bytes, &current.1, &new.bytes).ok();
        count.differs_from_diffy += u32::from(!crlf && by_diffy.is_some_and(|text| text != *merged));
        if merged.windows(2).any(|pair| pair == b":\n") {
            count.jobs_merged += 1;
            let [base, current, new, merged] = [&base.bytes, &current.1, &new.bytes, merged].map(|text| keys(text));
            let all: BTreeSet<&Key> =
                [&base, &current, &new, &merged].into_iter().flatten().map(|(key, _)| key).collect();
            let wrong = all.into_iter().any(|key| {
                let [base, current, new, merged] = [&base, &current, &new, &merged].map(|keys| keys.get(key));
                merged != if current == base { new } else { current }
            });
            count.jobs_misplaced += u32::from(wrong);
        }
    }
}

type Key = (String, String);

/// The values of a file of jobs, by job and key.
fn keys(text: &[u8]) -> BTreeMap<Key, Vec<String>> {
    let text = String::from_utf8_lossy(text);
    let (mut job, mut keys) = (String::new(), BTreeMap::<Key, Vec<String>>::new());
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        match line.split_once(':') {
            Some((name, "")) if !line.starts_with(' ') => name.clone_into(&mut job),
            Some((key, value)) => keys.entry((job.clone(), key.trim().into())).or_default().push(value.trim().into()),
            None => {}
        }
    }
    keys
}

/// Whether every line that `side` has more often than `base` is in `merged` that often.
fn holds_what_was_added(base: &[u8], side: &[u8], merged: &[u8]) -> bool {
    let count = |text: &[u8]| {
        let mut counts = BTreeMap::<Vec<u8>, usize>::new();
        for line in text.split(|byte| *byte == b'\n') {
            *counts.entry(line.strip_suffix(b"\r").unwrap_or(line).to_vec()).or_default() += 1;
        }
        counts
    };
    let (base, merged) = (count(base), count(merged));
    let of = |counts: &BTreeMap<Vec<u8>, usize>, line| counts.get(line).copied().unwrap_or_default();
    count(side).iter().all(|(line, count)| of(&merged, line) >= count.saturating_sub(of(&base, line)))
}
