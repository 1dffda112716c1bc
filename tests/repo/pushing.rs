//! Pushes, fetches and listings with a token that no other process, file or message shows.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use factoryup::Kind;
use factoryup::git::remote::{fetch, push};
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
    let token = Secret::new(plane.stand_in.owner_token());
    let (dir, url) = (world.path("repo"), url(&plane));
    let first = push(&dir, &url, MAIN, ("oauth2", &token)).unwrap();
    assert!(first.accepted && !first.up_to_date && first.reason.is_empty(), "{first:?}");
    let second = push(&dir, &url, MAIN, ("oauth2", &token)).unwrap();
    assert!(second.accepted && second.up_to_date, "{second:?}");
    let refs = world.refs(&url, token.expose());
    assert_eq!(refs["refs/heads/main"], world.git("repo", &["rev-parse", "main"]));
    world.git("", &["init", "-q", "other"]);
    fetch(&world.path("other"), &url, "refs/heads/main:refs/remotes/x/main", ("oauth2", &token)).unwrap();
    assert_eq!(world.git("other", &["rev-parse", "x/main"]), refs["refs/heads/main"]);
    assert!(!world.path("other/.git/FETCH_HEAD").exists());
}

#[test]
fn a_refusal_is_an_answer_and_a_bad_token_an_error() {
    let Some((plane, project, world)) = situation() else { return };
    let owner = Secret::new(plane.stand_in.owner_token());
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
    assert_eq!(fetch(&dir, gone, "HEAD:refs/heads/x", ("oauth2", &canary)).unwrap_err().kind(), Kind::Unreachable);
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
    let token = Secret::new(plane.stand_in.owner_token());
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
    let refs = world.refs(&url, token.expose());
    assert!(!refs.keys().any(|name| name.starts_with("refs/tags/")), "{refs:?}");
    assert!(!world.path("spied").exists());
}

#[test]
fn the_token_is_in_no_argument_variable_or_file() {
    let Some((plane, _, world)) = situation() else { return };
    let token = Secret::new(plane.stand_in.owner_token());
    let (dir, url) = (world.path("repo"), url(&plane));
    let (done, caught) = (AtomicBool::new(false), AtomicBool::new(false));
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
                    caught.fetch_or(text.contains("remote-http"), Ordering::Relaxed);
                    seen.extend(text.split('\0').take(2).map(str::to_owned).filter(|w| w.contains("git")));
                }
            }
            seen
        });
        // Until the watcher has seen one at work: on a busy machine it may miss many.
        for push_count in 0.. {
            if push_count >= 10 && caught.load(Ordering::Relaxed) || push_count == 1000 {
                break;
            }
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

/// A server that asks for the token, and looks for it on the machine's disks while git waits for an answer: there is nothing that
/// a kill in this moment could leave behind.
#[test]
fn the_token_is_on_no_disk_while_git_waits() {
    let Some((_, _, world)) = situation() else { return };
    let token = Secret::new("glpat-canary-of-a-waiting-git");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/factory/control.git", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut asked = false;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap();
            let has_login = String::from_utf8_lossy(&request[..count]).contains("Authorization: Basic");
            if has_login {
                for place in ["/dev/shm", "/run", "/tmp"] {
                    assert_no_credential(Path::new(place), 2);
                }
                asked = true;
            }
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"GitLab\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(answer.as_bytes()).unwrap();
            if asked {
                return;
            }
        }
    });
    assert!(push(&world.path("repo"), &url, MAIN, ("oauth2", &token)).is_err());
    server.join().unwrap();
}

/// Looks into the folders that this program makes for itself, and no deeper than it would make them.
fn assert_no_credential(place: &Path, depth: u32) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for path in entries.flatten().map(|e| e.path()).filter(|path| !path.is_symlink()) {
        let is_ours = place.file_name().is_some_and(|name| name.to_string_lossy().starts_with("factoryup-"));
        assert!(!(is_ours && path.ends_with("credential")), "{}", path.display());
        if depth > 0 && path.is_dir() {
            assert_no_credential(&path, depth - 1);
        }
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
