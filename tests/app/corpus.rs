//! Small repos of each kind, adopted: what is read from them, and that what is read builds and answers.

use std::fs;
use std::path::{Path, PathBuf};

use factoryup::app::{ADOPT_BRANCH, AppKind, Made, Request, Trial, add};
use factoryup::{Error, Kind};

use crate::control_repo::{ControlRepo, passed};
use crate::scaffold::{git, ready, run};
use crate::support;

/// A repo of this corpus, with one commit, beside the control repo.
pub(crate) fn repo(control: &ControlRepo, name: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/app/corpus").join(name);
    let folder = control.path().with_file_name(format!("app-{name}"));
    passed(&run(from.parent().unwrap(), "cp", &["-a", name, folder.to_str().unwrap()]));
    if name == "quotes" {
        // A name that is a command to a shell.
        fs::write(folder.join("a;touch${IFS}x.js"), "").unwrap();
    }
    git(&folder, &["init", "-q", "-b", "trunk"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "What was there"]);
    folder
}

pub(crate) struct Adopted {
    pub(crate) folder: PathBuf,
    pub(crate) made: Result<Made, Error>,
}

fn adopt(control: &ControlRepo, name: &str, change: impl FnOnce(&mut Request<'_>)) -> Adopted {
    adopt_at(control, name, repo(control, name), change)
}

pub(crate) fn adopt_at(
    control: &ControlRepo,
    name: &str,
    folder: PathBuf,
    change: impl FnOnce(&mut Request<'_>),
) -> Adopted {
    let path = control.path();
    let named = format!("app-{name}");
    let before = git(&path, &["branch", "--list", &format!("factory/app-{named}")]);
    let mut request = Request::new(&path, &control.factory, &named, None::<AppKind>);
    request.adopt = Some(folder.clone());
    request.trial = false;
    change(&mut request);
    let made = add(&request).map(|added| added.made);
    assert_eq!(git(&folder, &["status", "--porcelain"]), "", "{name}: the work tree was touched");
    if made.is_err() {
        assert_eq!(git(&folder, &["branch", "--list", ADOPT_BRANCH]), "", "{name}: refused, and a branch was made");
        let entry = git(&control.path(), &["branch", "--list", &format!("factory/app-{named}")]);
        assert_eq!(entry, before, "{name}: refused, and an entry was made");
    }
    Adopted { folder, made }
}

fn contract(adopted: &Adopted) -> String {
    git(&adopted.folder, &["show", &format!("{ADOPT_BRANCH}:.factory/app.conf")])
}

/// What is read, as the file says it; without what each application has.
fn found(adopted: &Adopted) -> String {
    match &adopted.made {
        Ok(Made::Adopted { notes, .. }) => {
            let text = contract(adopted);
            let (_, rest) = text.split_once('\n').unwrap();
            let end = rest.find("health_seconds=").or_else(|| rest.find("\n# Releases that stay")).unwrap();
            let found = &rest[..end];
            let image = git(&adopted.folder, &["show", &format!("{ADOPT_BRANCH}:.factory/ci.yml")]);
            let image = image.lines().find(|line| line.contains("image: ")).unwrap().trim().to_owned();
            assert!(notes.iter().all(|note| text.contains(note)));
            format!("{image}\n{found}")
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Data, "{error}");
            let text = error.to_string();
            let (_, why) = text.split_once("cannot adopt ").unwrap();
            format!("{}\nnext: {}\n", why.split_once(": ").unwrap().1, error.hints().join("\nnext: "))
        }
    }
}

#[test]
fn each_kind_of_repo_is_read_or_refused() {
    if !ready() {
        return;
    }
    let mut all: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/app/corpus"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    let mut text = String::new();
    let control = ControlRepo::new("defaults");
    for name in &all {
        let adopted = adopt(&control, name, |_| ());
        text.push_str(&["==== ", name, "\n", &found(&adopted), "\n"].concat());
        if adopted.made.is_ok() {
            git(&adopted.folder, &["switch", "-q", ADOPT_BRANCH]);
            passed(&run(&adopted.folder, ".factory/checks/contract", &[]));
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn flags_decide_what_the_files_leave_open() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let read = |name: &str, change: &dyn Fn(&mut Request<'_>)| {
        let adopted = adopt(&control, name, change);
        let text = found(&adopted);
        fs::remove_dir_all(adopted.folder).unwrap();
        text
    };
    let text = read("mains", &|request| request.wishes.run = Some("./cmd/two".into()));
    assert!(text.contains("-o .factory/bin/two ./cmd/two\n"), "{text}");
    let run = ".factory/bin/two --port \"$PORT\"";
    let text = read("mains", &|request| request.wishes.run = Some(run.into()));
    assert!(text.contains("-o .factory/bin/two ./cmd/two\n") && text.contains(&format!("start={run}\n")), "{text}");
    let text = read("both", &|request| request.wishes.stack = Some(factoryup::app::Stack::Node));
    assert!(text.contains("has no script start") || text.contains("start=node server.js\n"), "{text}");
    let text = read("locks", &|request| request.wishes.build = vec!["yarn install".into(), "npm run build".into()]);
    assert!(text.contains("# from --build\nbuild.1=yarn install\n# from --build\nbuild.2=npm run build\n"), "{text}");
    let text = read("watched", &|request| request.wishes.run = Some("node app.js --port \"$PORT\"".into()));
    assert!(text.contains("start=node app.js --port \"$PORT\"\n"), "{text}");
    let folder = |name: &'static str| move |request: &mut Request<'_>| request.wishes.folder = Some(name.into());
    let text = read("monorepo", &folder("./apps/web/"));
    assert!(
        text.contains("\n# the folder of the application, where its commands run, from --folder\nfolder=apps/web\n"),
        "{text}"
    );
    assert!(
        text.contains("\nbuild.2=cd ../../packages/words && npm run build\n")
            && text.contains("\nstart=node server.js\n"),
        "{text}"
    );
    for (name, why) in
        [("apps/gone", "there is no apps/gone"), ("..", "not a directory in the repo"), ("/apps", "not a directory")]
    {
        let text = read("monorepo", &folder(name));
        assert!(text.contains(why), "{text}");
    }
    let text = read("flask", &|request| request.wishes.health = Some("/ping".into()));
    assert!(text.contains("# from --health\nhealth=/ping\n"), "{text}");
    let text = read("html", &|request| request.kind = Some(AppKind::Http));
    assert!(text.contains("--kind contradicts index.html"), "{text}");
    for wrong in ["a\nbuild.9=id", ""] {
        let text = read("go", &|request| request.wishes.build = vec![wrong.into()]);
        assert!(text.contains("--build is not one line of text"), "{text}");
    }
    let text = read("go", &|request| request.wishes.health = Some("http://example.org".into()));
    assert!(text.contains("--health is not a path"), "{text}");
}

/// Builds and starts a repo of the corpus; returns the path that answered.
fn answers(name: &str, folder: Option<&str>) -> String {
    let control = ControlRepo::new("defaults");
    let adopted = adopt(&control, name, |request| {
        request.trial = true;
        request.wishes.folder = folder.map(str::to_owned);
    });
    let path = match &adopted.made {
        Ok(Made::Adopted { trial: Trial::Answered { path, .. }, .. }) => path.clone(),
        Ok(Made::Adopted { trial: Trial::Built, .. }) => "/".into(),
        other => panic!("{name}: {other:?}"),
    };
    assert!(contract(&adopted).contains(&format!("\nhealth={path}\n")));
    let (serves, used) = (path != "/", contract(&adopted).contains(" MB when it was tried."));
    assert_eq!(serves, used, "{}", contract(&adopted));
    // The same by hand, from the branch: the work tree stays as it is.
    git(&adopted.folder, &["switch", "-q", ADOPT_BRANCH]);
    passed(&run(&adopted.folder, ".factory/build", &["v1"]));
    assert_eq!(git(&adopted.folder, &["status", "--porcelain"]), "", "{name}");
    path
}

#[test]
fn python_is_built_and_answers() {
    if ready() && support::available(&["pip3"]) {
        assert_eq!(answers("wsgi", None), "/up");
    }
}

#[test]
fn a_migration_and_workers_are_tried() {
    if !ready() || !support::available(&["pip3"]) {
        return;
    }
    let alone = ["--user", "--map-current-user", "--net", "--", "true"];
    if !support::satisfied("namespaces of users", run(Path::new("/"), "unshare", &alone).status.success()) {
        return;
    }
    let control = ControlRepo::new("defaults");
    let adopted = adopt(&control, "queue", |request| request.trial = true);
    let Ok(Made::Adopted { trial, notes, .. }) = &adopted.made else { panic!("{:?}", adopted.made) };
    // The worker that finds a network ends.
    let (path, workers) = ("/up".into(), vec!["worker".into()]);
    assert_eq!(*trial, Trial::Answered { path, migrated: true, workers });
    let why = "it ended with exit code 1 in a trial without a network: no mail server ";
    assert!(
        notes.iter().any(|note| note.starts_with(&format!("the worker worker-mail is off, since {why}"))),
        "{notes:?}"
    );
    let text = contract(&adopted);
    assert!(
        text.contains("\nmigrate=python3 migrate.py\n") && text.contains("\nworker.worker=python3 worker.py\n"),
        "{text}"
    );
    assert!(
        text.contains(&format!("\n# off, since {why}")) && text.contains("\n# worker.worker-mail=python3 mail.py\n"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");

    // One that fails is no success, and the flags decide otherwise.
    fs::remove_dir_all(&adopted.folder).unwrap();
    let with = |migrate: &str| {
        let adopted = adopt(&control, "queue", |request| {
            request.trial = true;
            request.wishes.migrate = Some(migrate.into());
            request.wishes.workers = vec!["worker-mail=".into(), "worker=".into()];
        });
        fs::remove_dir_all(&adopted.folder).unwrap();
        adopted.made
    };
    let error = with("python3 migrate.py && python3 migrate.py").unwrap_err();
    assert!(error.to_string().contains("its migration ends with exit code 1: python3 migrate.py &&"), "{error}");
    assert!(error.to_string().contains("table jobs already exists"), "{error}");
    assert!(error.hints()[0].contains("--migrate ''"), "{:?}", error.hints());
    assert!(with("").unwrap_err().to_string().contains("it builds, but ends with exit code 1"));
}

#[test]
fn a_database_and_redis_are_there_in_a_trial() {
    let is_here = support::satisfied("Postgres", Path::new("/usr/lib/postgresql").is_dir());
    if !ready() || !is_here || !support::available(&["pip3", "psql", "redis-server"]) {
        return;
    }
    let control = ControlRepo::new("defaults");
    let adopted = adopt(&control, "database", |request| request.trial = true);
    let Ok(Made::Adopted { trial, notes, .. }) = &adopted.made else { panic!("{:?}", adopted.made) };
    assert_eq!(*trial, Trial::Answered { path: "/up".into(), migrated: true, workers: Vec::new() });
    for service in ["postgres", "redis"] {
        let asks = format!("add services = [\"{service}\"] under [host]");
        assert!(notes.iter().any(|note| note.contains(&asks)), "{notes:?}");
        assert!(contract(&adopted).contains(&format!("\nservice.{service}=yes\n")));
    }
}

#[test]
fn python_with_pins_is_built_and_answers() {
    if !ready() || !support::available(&["pip3"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", "bottle==0.13.4", "waitress==3.0.2"];
    if support::satisfied("a registry of Python packages", run(folder.path(), "python3", &pip).status.success()) {
        assert_eq!(answers("pinned", None), "/health");
    }
}

#[test]
fn node_is_built_and_answers() {
    if ready() && support::available(&["node", "npm"]) {
        assert_eq!(answers("express", None), "/items");
        // A line that sets a variable is no name of a program.
        let control = ControlRepo::new("defaults");
        let adopted = adopt(&control, "express", |request| {
            request.trial = true;
            request.wishes.run = Some("MARK=1 node src/index.js".into());
        });
        assert!(matches!(adopted.made, Ok(Made::Adopted { trial: Trial::Answered { .. }, .. })), "{:?}", adopted.made);
        assert_eq!(answers("site", None), "/");
        assert_eq!(answers("monorepo", Some("apps/web")), "/healthz");
    }
}

#[test]
fn a_repo_is_one_application() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let folder = repo(&control, "monorepo");
    let web = |request: &mut Request<'_>| request.wishes.folder = Some("apps/web".into());
    let adopted = adopt_at(&control, "web", folder.clone(), web);
    assert!(matches!(adopted.made, Ok(Made::Adopted { .. })), "{:?}", adopted.made);
    let second_is_refused = || {
        let path = control.path();
        let mut request = Request::new(&path, &control.factory, "admin", None::<AppKind>);
        request.adopt = Some(folder.clone());
        request.wishes.folder = Some("apps/admin".into());
        let error = add(&request).unwrap_err();
        assert!(error.to_string().contains("a repo can be only one"), "{error}");
        assert!(error.hints()[0].contains("a second clone"), "{:?}", error.hints());
        assert_eq!(git(&path, &["branch", "--list", "factory/app-admin"]), "");
    };
    second_is_refused();
    let clone = |name: &str| {
        let path = folder.to_str().unwrap();
        git(folder.parent().unwrap(), &["clone", "-q", "--no-local", path, name]);
        folder.with_file_name(name)
    };
    let admin = |request: &mut Request<'_>| request.wishes.folder = Some("apps/admin".into());
    let second = adopt_at(&control, "admin", clone("second"), admin);
    assert!(contract(&second).contains("\nfolder=apps/admin\n"), "{:?}", second.made);
    // Once the first is merged, a clone has its contract too.
    git(&folder, &["merge", "-q", "--ff-only", ADOPT_BRANCH]);
    git(&folder, &["branch", "-q", "-d", ADOPT_BRANCH]);
    second_is_refused();
    let third = clone("third");
    let refused = adopt_at(&control, "other", third.clone(), admin).made.unwrap_err();
    let (_, remedy) = refused.hints()[0].split_once("after: ").unwrap();
    passed(&run(&third, "sh", &["-euc", remedy]));
    let third = adopt_at(&control, "other", third, admin);
    assert!(contract(&third).contains("\nfolder=apps/admin\n"), "{:?}", third.made);
}

#[test]
fn what_does_not_build_or_answer_is_not_adopted() {
    if !ready() || !support::available(&["node", "npm"]) {
        return;
    }
    let control = ControlRepo::new("defaults");
    let refused = |name: &str, change: &dyn Fn(&mut Request<'_>)| {
        let adopted = adopt(&control, name, |request| {
            request.trial = true;
            change(request);
        });
        let text = found(&adopted);
        fs::remove_dir_all(adopted.folder).unwrap();
        text
    };
    let text = refused("hardcoded", &|_| ());
    assert!(text.contains("listens on port 18173 instead of PORT"), "{text}");
    assert!(text.contains("next: pass it its port, for example: --run 'node server.js --port \"$PORT\"'"), "{text}");
    let text = refused("express", &|request| request.wishes.build = vec!["echo made; exit 3".into()]);
    assert!(
        text.contains("it does not build") && text.contains("made") && text.contains("nothing was changed"),
        "{text}"
    );
    let text = refused("express", &|request| request.wishes.run = Some("node gone.js".into()));
    assert!(text.contains("it builds, but ends with exit code 1"), "{text}");
    let text = refused("site", &|request| request.wishes.output = Some("gone".into()));
    assert!(text.contains("the build made no gone/index.html"), "{text}");
}

#[test]
fn a_tool_that_is_missing_is_no_success() {
    if !ready() {
        return;
    }
    let control = ControlRepo::new("defaults");
    let adopted = adopt(&control, "html", |request| {
        request.trial = true;
        request.wishes.build = vec!["no-such-tool --all".into()];
    });
    let Ok(Made::Adopted { trial: Trial::NotTried { why }, .. }) = &adopted.made else { panic!("{:?}", adopted.made) };
    assert_eq!(why, "no-such-tool is not installed");
}
