//! No secret is anywhere but where it belongs.

use std::fs;
use std::path::{Path, PathBuf};

use factoryup::dialog::Silent;
use factoryup::plan::{Target, converge};
use factoryup::secret::Secret;
use gitlab_stand_in::Fault;

use super::situation::{PROVE, Recorder, Situation};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn secrets_are_in_their_files_and_nowhere_else() {
    let Some(situation) = Situation::new() else { return };
    let recorder = Recorder::default();
    let mut target = situation.target();
    converge(&mut target, &recorder, &situation.state, PROVE).unwrap();
    let owner = situation.plane.owner_token();
    let kept =
        ["agent-token", "runner-trusted-token", "runner-untrusted-token"].map(|name| (name, situation.kept(name)));
    let told = format!("{} {target:?} {:?}", recorder.told.borrow().join("\n"), situation.plane.log());
    let mut all = Vec::new();
    files(situation.directory(), &mut all);
    assert!(all.len() > 20);
    for (home, secret) in
        [(None, owner.as_str())].into_iter().chain(kept.iter().map(|(home, text)| (Some(*home), text.as_str())))
    {
        assert!(!told.contains(secret), "said aloud: {home:?}");
        for path in &all {
            if home.is_some_and(|home| path.ends_with(home)) {
                continue;
            }
            let bytes = fs::read(path).unwrap();
            assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()), "{home:?} is in {}", path.display());
        }
    }
}

#[test]
fn errors_never_repeat_a_secret() {
    let Some(situation) = Situation::new() else { return };
    let owner = situation.plane.owner_token();
    let mut texts = Vec::new();
    for fault in [Fault::ServerError, Fault::Drop] {
        situation.plane.stand_in.fail_next(6, fault);
        let error = situation.target().observe(&Silent).unwrap_err();
        texts.push(format!("{error} {error:?} {:?}", error.causes()));
    }
    situation.plane.stand_in.clear_log();
    // Faults that were not played are still waiting; a wrong token uses them up.
    let _ = situation.target_with(Secret::new("glpat-canary")).observe(&Silent);
    let _ = situation.target_with(Secret::new("glpat-canary")).observe(&Silent);
    let error = situation.target_with(Secret::new("glpat-canary")).observe(&Silent).unwrap_err();
    texts.push(format!("{error} {error:?}"));
    for text in texts {
        assert!(!text.contains(&owner) && !text.contains("canary"), "{text}");
    }
}
