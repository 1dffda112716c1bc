//! A folder from somebody else: what stands in its `.git` starts no program, gets no token, and writes no file of its choice.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use factoryup::git::remote::{fetch, push};
use factoryup::secret::Secret;

use crate::plane::Plane;
use crate::support::{PATIENCE, make_program, need};
use crate::world::{World, files};

/// A program that leaves the file `ran` when it runs, and passes on what it is fed.
fn trap(world: &World) -> String {
    let path = world.path("trap");
    make_program(&path, format!("#!/bin/sh\ntouch '{}'\ncat\n", world.path("ran").display()));
    path.display().to_string()
}

fn control_repo() -> World {
    let world = World::new();
    world.apply("repo");
    world
}

/// Everybody else's packed repo can say that what it lacks comes from a "remote", which is a program.
#[test]
fn a_missing_object_starts_no_program() {
    if !need("git") {
        return;
    }
    let world = control_repo();
    let trap = trap(&world);
    let settings = [
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", "/"),
        ("remote.origin.uploadpack", trap.as_str()),
    ];
    for (key, value) in settings {
        world.git("repo", &["config", key, value]);
    }
    let oid = world.git("repo", &["rev-parse", "HEAD:README.md"]);
    // Objects of a new repo lie in one pack.
    let packs = world.path("repo/.git/objects/pack");
    for entry in fs::read_dir(&packs).unwrap().flatten().filter(|e| e.path().extension().is_some_and(|x| x == "pack")) {
        let pack = world.path("taken.pack");
        fs::rename(entry.path(), &pack).unwrap();
        fs::remove_file(entry.path().with_extension("idx")).unwrap();
        let run = format!("git unpack-objects -q <'{}'", pack.display());
        let done = std::process::Command::new("sh").arg("-c").arg(run).current_dir(world.path("repo")).status();
        assert!(done.unwrap().success());
    }
    fs::remove_file(world.path("repo/.git/objects").join(&oid[..2]).join(&oid[2..])).unwrap();
    for arguments in
        [&["doctor", "repo"][..], &["plan", "repo"], &["upgrade", "--dry-run"], &["upgrade", "--no-push", "--yes"]]
    {
        let (code, out, err) = world.factoryup("repo", arguments);
        assert!(code == 73 && err.contains(&oid), "{arguments:?}: {code}\n{out}{err}");
        assert!(!world.path("ran").exists(), "{arguments:?} ran the program of the repo's configuration");
    }
}

/// Whether a path is clean is told from its bytes: the filters that the repo is configured for do not run.
#[test]
fn filters_of_the_repo_do_not_run() {
    if !need("git") {
        return;
    }
    let world = control_repo();
    let trap = trap(&world);
    for kind in ["clean", "smudge", "process"] {
        world.git("repo", &["config", &format!("filter.x.{kind}"), &trap]);
    }
    fs::create_dir_all(world.path("repo/.git/info")).unwrap();
    fs::write(world.path("repo/.git/info/attributes"), "* filter=x\n").unwrap();
    // Its time differs from the index's, so that git would have to look into it.
    let readme = world.path("repo/README.md");
    fs::File::options().append(true).open(&readme).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let toml = world.path("repo/factory.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("roadrunners", "coyotes")).unwrap();
    let (code, out, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(fs::read_to_string(&readme).unwrap().contains("coyotes"));
    assert!(!world.path("ran").exists(), "a filter of the repo's configuration ran");
}

/// Nor when a conflict is settled, which stages files.
#[test]
fn filters_of_the_repo_do_not_run_on_a_settled_conflict() {
    if !need("git") {
        return;
    }
    let world = crate::resolving::situation();
    let trap = trap(&world);
    world.git("repo", &["config", "filter.x.clean", &trap]);
    fs::create_dir_all(world.path("repo/.git/info")).unwrap();
    fs::write(world.path("repo/.git/info/attributes"), "* filter=x\n").unwrap();
    let (code, _, err) = world.factoryup("repo", &["resolve", "--proposal"]);
    assert_eq!(code, 0, "{err}");
    assert!(!world.path("ran").exists(), "a filter of the repo's configuration ran");
    world.git("repo", &["config", "--unset", "filter.x.clean"]);
    assert_eq!(world.git("repo", &["diff", "--name-only"]), "", "what is staged is what is there");
    assert_ne!(world.git("repo", &["diff", "--cached", "--name-only"]), "");
}

/// A proxy that writes down what it is sent.
fn spy() -> (String, std::thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = std::thread::spawn(move || {
        let mut calls = 0;
        // Until the test has ended its calls, which it says by one of its own.
        loop {
            let Ok((mut stream, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap_or_default();
            if request[..count].starts_with(b"over") {
                return calls;
            }
            calls += 1;
            let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (url, heard)
}

fn over(url: &str, heard: std::thread::JoinHandle<usize>) -> usize {
    let address = url.strip_prefix("http://").unwrap();
    std::net::TcpStream::connect(address).unwrap().write_all(b"over").unwrap();
    heard.join().unwrap()
}

/// Neither the proxy nor anything else in the repo's own configuration counts for a call with a token.
#[test]
fn a_proxy_of_the_repo_gets_no_call() {
    let Some(plane) = Plane::start() else { return };
    plane.project("control");
    let world = control_repo();
    let token = Secret::new(plane.stand_in.owner_token());
    let (dir, url) = (world.path("repo"), format!("{}/factory/control.git", plane.url()));
    let (proxy, heard) = spy();
    let specific = format!("http.{}/.proxy", plane.url());
    for (key, value) in [("http.proxy", proxy.as_str()), (&specific, &proxy), ("http.sslVerify", "false")] {
        world.git("repo", &["config", key, value]);
    }
    let login = ("oauth2", &token);
    let tip = world.git("repo", &["rev-parse", "HEAD"]);
    assert!(push(&dir, &url, "refs/heads/main:refs/heads/main", login).unwrap().accepted);
    assert_eq!(world.refs(&url, token.expose())["refs/heads/main"], tip);
    fetch(&dir, &url, "refs/heads/main:refs/remotes/x/main", login).unwrap();
    assert_eq!(world.git("repo", &["rev-parse", "refs/remotes/x/main"]), tip);
    assert_eq!(over(&proxy, heard), 0, "the repo's proxy was called");
    let left = fs::read_dir(dir.join(".git")).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.starts_with("factoryup")).count(), 0);
}

/// What a fetch may not do without a force or at all stays so, though it runs elsewhere; and a clone without the whole history pushes.
#[test]
fn fetches_and_shallow_clones_are_as_in_the_repo_itself() {
    let Some(plane) = Plane::start() else { return };
    plane.project("control");
    let world = control_repo();
    let token = Secret::new(plane.stand_in.owner_token());
    let (dir, url, login) = (world.path("repo"), format!("{}/factory/control.git", plane.url()), ("oauth2", &token));
    push(&dir, &url, "refs/heads/main:refs/heads/main", login).unwrap();
    let error = fetch(&dir, &url, "refs/heads/main:refs/heads/main", login).unwrap_err();
    assert!(error.to_string().contains("checked out"), "{error}");
    world.git("repo", &["commit", "-q", "--allow-empty", "-m", "next"]);
    push(&dir, &url, "HEAD:refs/heads/next", login).unwrap();
    let source = format!("file://{}", dir.display());
    world.git("", &["clone", "-q", "--depth=1", &source, "shallow"]);
    world.git("shallow", &["commit", "-q", "--allow-empty", "-m", "mine"]);
    world.git("repo", &["commit", "-q", "--allow-empty", "-m", "ahead"]);
    let ahead = world.git("repo", &["rev-parse", "HEAD"]);
    world.git("repo", &["branch", "x"]);
    assert!(fetch(&dir, &url, "refs/heads/main:refs/heads/x", login).is_err());
    assert_eq!(world.git("repo", &["rev-parse", "x"]), ahead);
    fetch(&dir, &url, "+refs/heads/main:refs/heads/x", login).unwrap();
    assert_ne!(world.git("repo", &["rev-parse", "x"]), ahead);
    let pushed = push(&world.path("shallow"), &url, "HEAD:refs/heads/shallow", login).unwrap();
    assert!(pushed.accepted, "{pushed:?}");
    assert_eq!(world.refs(&url, token.expose())["refs/heads/shallow"], world.git("shallow", &["rev-parse", "HEAD"]));
}

/// A company's proxy is in the user's configuration, maybe for some folders only, and is used.
#[test]
fn a_proxy_of_the_user_is_used() {
    if !need("git") {
        return;
    }
    let mut world = control_repo();
    let (proxy, heard) = spy();
    fs::write(world.path("work"), format!("[http]\n\tproxy = {proxy}\n")).unwrap();
    let folder = world.path("repo").canonicalize().unwrap();
    world.configure(&format!(
        "[includeIf \"gitdir:{}/\"]\n\tpath = {}\n",
        folder.display(),
        world.path("work").display()
    ));
    world.env("FACTORYUP_GITLAB_TOKEN", "glpat-of-a-test");
    let toml = world.path("repo/factory.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("roadrunners", "coyotes") + "url = \"https://gitlab.example.invalid\"\n").unwrap();
    let (code, out, err) = world.factoryup("repo", &["upgrade", "--yes"]);
    assert!(code == 69 && err.contains("502"), "{code} {out}{err}");
    assert!(over(&proxy, heard) > 0, "the user's proxy was not called");
}

/// A journal that nobody here wrote is refused before its first step, and a dry run carries out none.
#[test]
fn a_journal_writes_nothing_from_elsewhere() {
    if !need("git") {
        return;
    }
    let mut world = control_repo();
    fs::write(world.path("secret"), "the owner's\n").unwrap();
    let folder = world.path("repo/.git/factoryup-upgrade");
    let step = |path: &str, mode: &str, digest: &str| {
        format!(r#"{{"path":"{path}","before":null,"after":["{mode}","{digest}"]}}"#)
    };
    let zeros = "0".repeat(64);
    let good = step("docs/first.md", "100644", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let cases = [
        step("docs/notes.md", "100644", "../../../secret"),
        step("docs/notes.md", "100644", &world.path("secret").display().to_string()),
        step("docs/notes.md", "100644", &zeros),
        step("docs/notes.md", "160000", &zeros),
        step("../notes.md", "100644", &zeros),
        step(".git/config", "100644", &zeros),
        step("docs/notes.md", "100644", &"é".repeat(32)),
    ];
    let before = files(&world.path("repo"));
    for case in &cases {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"), "").unwrap();
        fs::write(folder.join(&zeros), "not what it says\n").unwrap();
        fs::write(folder.join("journal.json"), format!(r#"{{"schema":1,"steps":[{good},{case}]}}"#)).unwrap();
        let (code, _, err) = world.factoryup("repo", &["upgrade", "--dry-run"]);
        assert!(code == 2 && err.contains("was interrupted"), "{case}: {err}");
        let (code, _, err) = world.factoryup("repo", &["upgrade", "--in-place", "--yes"]);
        assert!(code == 65 && err.contains("rm -r"), "{case}: {code} {err}");
        assert!(files(&world.path("repo")) == before, "{case}");
        fs::remove_dir_all(&folder).unwrap();
    }
    // One that was written here waits for a run that may write.
    let toml = world.path("repo/factory.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::write(&toml, text.replace("roadrunners", "coyotes")).unwrap();
    world.env("FACTORYUP_KILL_AT", "journal");
    assert_eq!(world.factoryup("repo", &["upgrade", "--in-place", "--yes"]).0, -1);
    world.env("FACTORYUP_KILL_AT", "");
    let before = files(&world.path("repo"));
    assert_eq!(world.factoryup("repo", &["upgrade", "--in-place", "--dry-run"]).0, 2);
    assert!(files(&world.path("repo")) == before && folder.exists());
    assert_eq!(world.factoryup("repo", &["upgrade", "--in-place", "--yes"]).0, 0);
    assert!(files(&world.path("repo")) != before && !folder.exists());
}

/// A tree of ten entries that are each the same tree, ten deep: some hundred bytes that stand for ten thousand million files.
#[test]
fn a_bomb_of_trees_is_given_up() {
    if !need("git") {
        return;
    }
    let world = control_repo();
    let script = r#"
        kind='100644 blob' oid=$(echo x | git hash-object -w --stdin)
        for level in 0 1 2 3 4 5 6 7 8 9; do
            oid=$(for n in 0 1 2 3 4 5 6 7 8 9; do printf '%s %s\tf%s\n' "$kind" "$oid" "$n"; done | git mktree)
            kind='040000 tree'
        done
        tree=$( { git ls-tree HEAD; printf '040000 tree %s\tx\n' "$oid"; } | git mktree)
        git update-ref HEAD "$(git -c user.name=U -c user.email=u@x commit-tree -p HEAD -m bomb "$tree")"
    "#;
    let made = std::process::Command::new("sh").args(["-ec", script]).current_dir(world.path("repo")).status().unwrap();
    assert!(made.success());
    for arguments in [&["doctor", "repo"][..], &["plan", "repo"], &["upgrade", "--no-push", "--yes"]] {
        let begun = std::time::Instant::now();
        let (code, out, err) = world.factoryup("repo", arguments);
        assert!(code == 65 && err.contains(" than the limit of "), "{arguments:?}: {code}\n{out}{err}");
        assert!(begun.elapsed() < PATIENCE, "{arguments:?}: {:?}", begun.elapsed());
    }
}
