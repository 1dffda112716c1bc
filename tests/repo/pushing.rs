//! Pushes, fetches and listings with a token that no other process, file or message shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use factoryup::Kind;
use factoryup::repo::git::remote::{fetch, ls_remote, push};
use factoryup::secret::Secret;

use crate::plane::Plane;
use crate::world::World;

const MAIN: &str = "refs/heads/main:refs/heads/main";

/// A stand-in control plane with an empty project, and a control repo beside it.
fn situation() -> Option<(Plane, u64, World)> {
    let plane = Plane::start()?;
    let project = plane.project("control");
    let world = World::new();
    world.apply("repo");
    Some((plane, project, world))
}

fn url(plane: &Plane) -> String {
    format!("{}/factory/control.git", plane.url())
}

#[test]
fn a_push_arrives_and_a_second_one_is_up_to_date() {
    let Some((plane, _, world)) = situation() else { return };
    let token = plane.stand_in.owner_token();
    let (dir, url) = (world.path("repo"), url(&plane));
    let first = push(&dir, &url, MAIN, ("oauth2", &token)).unwrap();
    assert!(first.accepted && !first.up_to_date && first.reason.is_empty(), "{first:?}");
    let second = push(&dir, &url, MAIN, ("oauth2", &token)).unwrap();
    assert!(second.accepted && second.up_to_date, "{second:?}");
    let refs = ls_remote(&dir, &url, ("oauth2", &token)).unwrap();
    assert_eq!(refs["refs/heads/main"], world.git("repo", &["rev-parse", "main"]));
    world.git("", &["init", "-q", "other"]);
    fetch(&world.path("other"), &url, "refs/heads/main:refs/remotes/x/main", ("oauth2", &token)).unwrap();
    assert_eq!(world.git("other", &["rev-parse", "x/main"]), refs["refs/heads/main"]);
    assert!(!world.path("other/.git/FETCH_HEAD").exists());
}

#[test]
fn a_refusal_is_an_answer_and_a_bad_token_an_error() {
    let Some((plane, project, world)) = situation() else { return };
    let owner = plane.stand_in.owner_token();
    let agent = Secret::new(plane.member(project, "agent", 30));
    let (dir, url) = (world.path("repo"), url(&plane));
    push(&dir, &url, MAIN, ("oauth2", &owner)).unwrap();
    world.git("repo", &["commit", "-q", "--allow-empty", "-m", "more"]);
    for (refspec, said) in [(MAIN, "protected branch"), (":refs/heads/main", "cannot be deleted")] {
        let refused = push(&dir, &url, refspec, ("oauth2", &agent)).unwrap();
        assert!(!refused.accepted && refused.reason.contains(said), "{refspec}: {refused:?}");
    }
    let canary = Secret::new("glpat-canary-of-no-one");
    let error = push(&dir, &url, MAIN, ("oauth2", &canary)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotPermitted, "{error}");
    assert!(!format!("{error} {:?} {:?}", error.hints(), error.causes()).contains(canary.expose()));
    let gone = "http://127.0.0.1:9/factory/control.git";
    assert_eq!(ls_remote(&dir, gone, ("oauth2", &canary)).unwrap_err().kind(), Kind::Unreachable);
    for wrong in ["file:///tmp", "git@gitlab.com:a/b.git", "https://oauth2:x@gitlab.com/a/b.git"] {
        assert_eq!(push(&dir, wrong, MAIN, ("oauth2", &canary)).unwrap_err().kind(), Kind::Usage);
    }
    for (user, token) in [("", "x"), ("oauth2", "a\nb")] {
        assert_eq!(push(&dir, &url, MAIN, (user, &Secret::new(token))).unwrap_err().kind(), Kind::Usage);
    }
}

/// The repo's own configuration, which anyone with a commit bit on a template could have written, gets no token.
#[test]
fn neither_helpers_nor_rewritten_urls_get_the_token() {
    let Some((plane, _, world)) = situation() else { return };
    let token = plane.stand_in.owner_token();
    let (dir, url) = (world.path("repo"), url(&plane));
    let spy = format!("!cat > '{}'; :", world.path("spied").display());
    let elsewhere = "url.http://127.0.0.1:9/.insteadOf";
    let settings = [
        ("credential.helper", spy.as_str()),
        (elsewhere, plane.url().as_str()),
        ("url.http://127.0.0.1:9/.pushInsteadOf", plane.url().as_str()),
        ("push.gpgSign", "true"),
        ("push.followTags", "true"),
        ("push.pushOption", "ci.skip"),
        ("http.extraHeader", "PRIVATE-TOKEN: other"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()));
    for (key, value) in &settings {
        world.git("repo", &["config", "--add", key, value]);
    }
    world.git("repo", &["tag", "-a", "-m", "t", "v1"]);
    assert!(push(&dir, &url, MAIN, ("oauth2", &token)).unwrap().accepted);
    let refs = ls_remote(&dir, &url, ("oauth2", &token)).unwrap();
    assert!(!refs.keys().any(|name| name.starts_with("refs/tags/")), "{refs:?}");
    assert!(!world.path("spied").exists());
}

#[test]
fn the_token_is_in_no_argument_variable_or_file() {
    let Some((plane, _, world)) = situation() else { return };
    let token = plane.stand_in.owner_token();
    let (dir, url) = (world.path("repo"), url(&plane));
    let done = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().flatten().map(|e| e.path()) {
                    let arguments = fs::read(process.join("cmdline")).unwrap_or_default();
                    let variables = fs::read(process.join("environ")).unwrap_or_default();
                    for bytes in [&arguments, &variables] {
                        assert!(!contains(bytes, token.expose()), "{}", String::from_utf8_lossy(&arguments));
                    }
                    let text = String::from_utf8_lossy(&arguments).into_owned();
                    seen.extend(text.split('\0').take(2).map(str::to_owned).filter(|w| w.contains("git")));
                }
            }
            seen
        });
        for _ in 0..10 {
            push(&dir, &url, MAIN, ("oauth2", &token)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert!(seen.iter().any(|word| word.contains("remote-http")), "the watcher was too slow: {seen:?}");
    for place in [dir.as_path(), Path::new("/dev/shm")] {
        assert_no_file_holds(place, token.expose());
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn assert_no_file_holds(place: &Path, text: &str) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() && !path.is_symlink() {
            assert_no_file_holds(&path, text);
        } else {
            assert!(!contains(&fs::read(&path).unwrap_or_default(), text), "{}", path.display());
        }
    }
}
