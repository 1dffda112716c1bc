//! Releases on a real host: deployed as a job of the trusted runner does it, by the program that it can ask root for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use factoryup::plan::Evidence;
use serde_json::Value;

use crate::canary::{Watcher, find_in_tree};
use crate::control_repo::{ControlRepo, passed, rendered, stdout, text};
use crate::deeds::path_of;
use crate::journey::Journey;
use crate::scaffold::{KINDS, git, made, ready, run};
use crate::support::{self, lab};
use crate::switch;

/// A command in the checkout of an application, as a job on its trusted runner has it: as `deploy`, with the application's door alone.
const AS_JOB: &str = "mount --bind /run/factory-deploy/$0 /run/factory-deploy && cd /home/deploy/$0 && \
     exec runuser -u deploy -- env -i HOME=/home/deploy USER=deploy LOGNAME=deploy PATH=/usr/local/bin:/usr/bin:/bin sh -c \"$1\"";

/// An application's repo here, and its checkout on the host.
pub(crate) struct App<'a> {
    pub(crate) journey: &'a Journey,
    pub(crate) folder: PathBuf,
    pub(crate) name: &'static str,
    pub(crate) port: u16,
}

impl App<'_> {
    /// Builds a version as CI does and brings the checkout with its artifact to the host.
    pub(crate) fn build(&self, version: &str) {
        git(&self.folder, &["add", "."]);
        git(&self.folder, &["commit", "-q", "--allow-empty", "-m", version]);
        fs::remove_dir_all(self.folder.join(".factory/dist")).ok();
        passed(&run(&self.folder, ".factory/build", &[version]));
        let checkout = self.journey.host.rootfs().join("home/deploy").join(self.name);
        passed(&run(&self.folder, "mkdir", &["-p", checkout.to_str().unwrap()]));
        passed(&run(&self.folder, "cp", &["-a", ".", checkout.to_str().unwrap()]));
        self.journey.inside(&format!("chown -R deploy: /home/deploy/{}", self.name));
    }

    /// Runs a shell command in the checkout, as a job.
    pub(crate) fn deploy(&self, command: &str) -> Output {
        let name = self.name;
        self.journey.inside(&format!("test -S /run/factory-deploy/{name}/socket || factory-deploy open {name}"));
        self.journey.host.run_inside(&["unshare", "--mount", "sh", "-c", AS_JOB, self.name, command]).unwrap()
    }

    pub(crate) fn install(&self, version: &str) -> Output {
        self.deploy(&format!(".factory/deploy install .factory/dist/{}-{version}.tar.gz {version}", self.name))
    }

    /// Starts an installation as root, and kills it after so many seconds: nobody else could.
    pub(crate) fn install_killed(&self, version: &str, seconds: f64) {
        let name = self.name;
        self.journey.inside(&format!(
            "timeout -s KILL {seconds} factory-deploy install {name} {version} \
             </home/deploy/{name}/.factory/dist/{name}-{version}.tar.gz >/dev/null 2>&1 || true"
        ));
    }

    /// A property of the service that serves.
    pub(crate) fn show(&self, property: &str) -> String {
        let name = self.name;
        self.journey.inside(&format!(
            "systemctl show -P {property} app-{name}@$(basename $(readlink /srv/apps/{name}/live)).service"
        ))
    }

    /// A command of a runbook on this application, as the operator types it.
    fn by_runbook(&self, runbook: &str, begins: &str) -> Output {
        let files = rendered("defaults").files;
        let path = path_of(runbook, |path| files.iter().any(|file| file.path == path));
        let text = String::from_utf8_lossy(&files.iter().find(|file| file.path == path).unwrap().bytes).into_owned();
        let command = text.split(['`', '\n']).map(str::trim).find(|words| words.starts_with(begins)).unwrap();
        lab::ssh(&self.journey.host, &self.journey.keys, "operator", &command.replace("NAME", self.name))
    }

    /// What the application answers, from the host itself.
    pub(crate) fn get(&self, path: &str) -> String {
        self.journey.inside(&format!("curl -sS --max-time 60 http://127.0.0.1:{}{path}", self.port))
    }

    pub(crate) fn status(&self) -> Value {
        let output = self.deploy(".factory/deploy status");
        serde_json::from_str(&stdout(&output)).unwrap_or_else(|e| panic!("{e}: {}", text(&output)))
    }

    pub(crate) fn place(&self, path: &str) -> PathBuf {
        self.journey.host.rootfs().join("srv/apps").join(self.name).join(path)
    }

    pub(crate) fn current(&self) -> PathBuf {
        fs::read_link(self.place("current")).unwrap()
    }

    /// Action, version and result of every statement; the chain has to hold.
    pub(crate) fn evidence(&self) -> Vec<String> {
        let path = self.place("evidence.jsonl");
        Evidence::at(&path).verify().unwrap();
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let word = |value: &Value| value.as_str().unwrap().to_owned();
            let done = &line["predicate"];
            format!("{} {}: {}", word(&done["action"]), word(&line["subject"][0]["name"]), word(&done["result"]))
        };
        fs::read_to_string(path).unwrap().lines().map(line).collect()
    }

    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let path = self.folder.join(path);
        let all = fs::read_to_string(&path).unwrap();
        assert!(all.contains(from), "{all}");
        fs::write(path, all.replace(from, to)).unwrap();
    }
}

pub(crate) fn code(output: &Output, wanted: i32) -> String {
    assert_eq!(output.status.code(), Some(wanted), "{}", text(output));
    text(output)
}

#[test]
fn releases_come_and_bad_ones_go() {
    if !ready() || !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    let control = ControlRepo::new("defaults");
    let [site, app] = KINDS.map(|(kind, name)| {
        let port = if name == "site" { 8100 } else { 8102 };
        App { journey: &journey, folder: made(&control, kind, name), name, port }
    });
    switch::files_switch_too(&site);
    good_and_bad(&app);
    staging_is_apart(&app);
    killed_at_any_moment(&app);
    switch::after_a_restart(&app);
    switch::nobody_notices(&app);
}

/// The build runner's sandbox makes the same artifact.
fn is_built_the_same_on_the_host(app: &App<'_>, version: &str) {
    let (name, home) = (app.name, format!("/var/lib/factory-jobs/build-{}", app.name));
    let script = format!("set -e\ncd ~/project\nrm -rf .factory/dist\n.factory/build {version} </dev/null\n");
    fs::write(app.journey.host.rootfs().join("root/script"), script).unwrap();
    let sum = |folder: &str| app.journey.inside(&format!("sha256sum <{folder}/.factory/dist/{name}-{version}.tar.gz"));
    app.journey.inside(&format!(
        "factory-runner job prepare {name}; cp -a /home/deploy/{name} {home}/project; chown -R factory-build: {home}/project; \
         factory-runner job run {name} /root/script build_script 2>&1"
    ));
    assert_eq!(sum(&format!("{home}/project")), sum(&format!("/home/deploy/{name}")));
    app.journey.inside(&format!("factory-runner job cleanup {name}"));
}

fn good_and_bad(app: &App<'_>) {
    let name = app.name;
    app.build("1.0.0");
    is_built_the_same_on_the_host(app, "1.0.0");
    passed(&app.deploy(".factory/check"));
    assert!(code(&app.deploy(".factory/deploy rollback"), 64).contains("no good release"));
    let first = passed(&app.install("1.0.0"));
    assert!(first.contains(&format!("{name}: 1.0.0 serves on http://127.0.0.1:{}", app.port)), "{first}");
    assert!(app.get("/").contains(name));
    assert_eq!(app.current(), Path::new("releases/1.0.0"));
    // Again: no change, not even a restart.
    let process = || app.show("MainPID");
    let before = process();
    assert_eq!(app.journey.inside(&format!("ps -o user= -p {before}")), "app-shop");
    assert!(passed(&app.install("1.0.0")).contains("serves already"));
    assert_eq!(process(), before);
    assert_eq!(app.evidence(), [format!("install {name} 1.0.0: healthy")]);

    // The next release is seen.
    app.edit("bin/serve", "\"Hello\"", "\"The second hello\"");
    app.build("1.1.0");
    passed(&app.install("1.1.0"));
    assert!(app.get("/").contains("The second"), "{}", app.get("/"));

    // A version never means something else.
    app.edit(".factory/app.conf", "keep=5", "keep=6");
    app.build("1.1.0");
    assert!(code(&app.install("1.1.0"), 65).contains("a release never changes"));
    assert!(app.place("releases/1.1.0").metadata().unwrap().permissions().readonly());
    app.edit(".factory/app.conf", "keep=6", "keep=3");

    // One that ends, one that answers but not with 200, one that hangs: each is taken back, and the old one serves. Only these have
    // so little time: a good one may take longer on a busy machine.
    let serve = fs::read_to_string(app.folder.join("bin/serve")).unwrap();
    app.edit(".factory/app.conf", "health_seconds=30", "health_seconds=3");
    for (version, bad, why) in [
        ("2.0.0-ends", "#!/bin/sh\nexit 3\n".to_owned(), "is bad: it "),
        ("2.0.0-ill", serve.replace("/healthz", "/health"), "no 200 from"),
        ("2.0.0-hangs", "#!/bin/sh\nsleep 600\n".to_owned(), "no 200 from"),
        ("2.0.0-none", "#!/no/such/program\n".to_owned(), "is bad: it "),
    ] {
        fs::write(app.folder.join("bin/serve"), bad).unwrap();
        app.build(version);
        let output = code(&app.install(version), 76);
        assert!(output.contains(why) && output.contains("1.1.0 still serves"), "{output}");
        assert!(app.get("/").contains("The second"));
        assert_eq!(app.current(), Path::new("releases/1.1.0"));
        assert_eq!(app.evidence().pop().unwrap(), format!("install {name} {version}: reverted"));
    }
    fs::write(app.folder.join("bin/serve"), &serve).unwrap();
    app.edit(".factory/app.conf", "health_seconds=3", "health_seconds=30");
    // Why, the log says: the manager's line, since what a process prints right before it ends may be filed under no unit.
    let log = passed(&app.by_runbook("rotate-secrets", "sudo journalctl --unit"));
    assert!(log.contains("code=exited, status=127"), "{log}");

    // Something that is no build of this application.
    fs::write(app.folder.join(".factory/dist/notes.tar.gz"), "x").unwrap();
    app.build("2.1.0");
    passed(&app.deploy("echo hello >notes && tar -czf .factory/dist/notes.tar.gz notes"));
    assert!(
        code(&app.deploy(".factory/deploy install .factory/dist/notes.tar.gz 3"), 65).contains("is not a build of")
    );
    assert!(code(&app.deploy(".factory/deploy install .factory/dist/notes.tar.gz ../3"), 64).contains("a version is"));

    // By hand, back and further back; then forward again.
    passed(&app.install("2.1.0"));
    assert!(passed(&app.deploy(".factory/deploy rollback")).contains("1.1.0 serves"));
    assert!(app.get("/").contains("The second"));
    assert!(passed(&app.by_runbook("roll-back-release", "sudo factory-deploy rollback")).contains("1.0.0 serves"));
    assert!(!app.get("/").contains("The second"));
    assert_eq!(app.status()["good"], serde_json::json!(["1.0.0"]));
    assert!(passed(&app.install("2.1.0")).contains("2.1.0 serves"));

    // What is old goes, what serves stays.
    for n in 0..4 {
        app.build(&format!("3.0.{n}"));
        passed(&app.install(&format!("3.0.{n}")));
    }
    let status = app.status();
    assert_eq!(status["good"], serde_json::json!(["3.0.1", "3.0.2", "3.0.3"]));
    assert_eq!(
        (&status["current"], &status["running"], &status["healthy"]),
        (&"3.0.3".into(), &"3.0.3".into(), &true.into())
    );
    let mut left: Vec<_> = fs::read_dir(app.place("releases")).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["3.0.1", "3.0.2", "3.0.3"]);
}

/// Another environment on the same host has its own place, service and port.
fn staging_is_apart(app: &App<'_>) {
    app.build("4.0.0");
    let output = passed(&app.deploy(".factory/deploy install .factory/dist/shop-4.0.0.tar.gz 4.0.0 staging"));
    assert!(output.contains("shop-staging: 4.0.0 serves on http://127.0.0.1:8103"), "{output}");
    assert!(app.get("/").contains("3.0.3"));
    let staging: Value = serde_json::from_str(&app.journey.inside("curl -sS http://127.0.0.1:8103/")).unwrap();
    assert_eq!((&staging["environment"], &staging["version"]), (&"staging".into(), &"4.0.0".into()));
    // Another application of this name has the same place: the first one there keeps it, and who comes later sees nothing of it.
    for (claim, undo, why) in [
        ("echo other >application", "echo shop >application", "belongs to other"),
        (
            "touch $units/factory-deploy-shop-staging.socket",
            "rm $units/factory-deploy-shop-staging.socket",
            "another application",
        ),
    ] {
        let there = |change: &str| {
            app.journey.inside(&format!("units=/etc/systemd/system; cd /srv/apps/shop-staging && {change}"))
        };
        there(claim);
        for ask in ["status staging", "rollback staging 4.0.0", "settings staging </etc/hostname"] {
            let said = code(&app.deploy(&format!(".factory/deploy {ask}")), 65);
            assert!(said.contains(why), "{ask}: {said}");
        }
        there(undo);
    }
    settings_come_and_bad_ones_go(app);
    a_secret_reaches_the_application_and_nothing_else(app);
    assert!(code(&app.deploy(".factory/deploy status nowhere"), 64).contains("no port.nowhere"));
}

/// Settings of the environment, secrets among them, in the form that `scripts/secret env` prints.
fn settings_come_and_bad_ones_go(app: &App<'_>) {
    let greeting = || app.journey.inside("curl -sS http://127.0.0.1:8103/");
    let settings = |text: &str| {
        fs::write(app.journey.host.rootfs().join("home/deploy/given"), text).unwrap();
        app.deploy(".factory/deploy settings staging <../given")
    };
    let said = passed(&settings("GREETING=\"Moin \\\"\\$x\\`\\\\\"\n"));
    assert!(said.contains("shop-staging: 4.0.0 serves with the new settings"), "{said}");
    assert!(greeting().contains(r#"Moin \"$x`\\ from shop"#), "{}", greeting());
    let file = app.place("../shop-staging/env");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(passed(&settings(&fs::read_to_string(&file).unwrap())).contains("are these already"));

    // None, and such that the application does not bear: those before stay, or come back.
    assert!(code(&settings("\n"), 65).contains("the settings stay as they are"));
    let said = code(&settings("GREETING=Ahoi\nAPP_RUN=bin/none\nPYTHONHOME=/none\n"), 76);
    assert!(said.contains("4.0.0 still serves with those before"), "{said}");
    assert!(greeting().contains("Moin"), "{}", greeting());
    // A run that was killed before it knew is undone by the next.
    app.journey.inside("cd /srv/apps/shop-staging && cp env env.before && echo GREETING=Ahoi >env");
    code(&app.deploy(".factory/deploy rollback staging none"), 64);
    assert!(greeting().contains("Moin"), "{}", greeting());
    let log = fs::read_to_string(app.place("../shop-staging/evidence.jsonl")).unwrap();
    assert!(log.contains("\"action\":\"settings\"") && !log.contains("Moin"), "{log}");
}

/// The command of docs/app-contract.md, from the file that SOPS encrypted to the service's environment: nobody sees the value who has no
/// part in it.
fn a_secret_reaches_the_application_and_nothing_else(app: &App<'_>) {
    if !support::available(&["age-keygen", "sops", "ssh"]) {
        return;
    }
    let key = app.journey.state.path().join("owner.agekey");
    passed(&run(&app.folder, "age-keygen", &["-o", key.to_str().unwrap()]));
    let public =
        fs::read_to_string(&key).unwrap().lines().find_map(|l| Some(l.split_once("public key: ")?.1.to_owned()));
    let repo = ControlRepo::of(&format!(
        "schema = 2\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n[host]\naddress = \"{}\"\n\
         authorized_keys = [\"{}\"]\n[gitlab]\ngroup = \"acme\"\n[secrets]\nowner_recipient = \"{}\"\n",
        app.journey.host.address(),
        app.journey.keys.public("id").trim(),
        public.unwrap(),
    ));
    let programs = repo.path().join("../programs");
    fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(support::tool("sops").unwrap(), programs.join("sops")).unwrap();
    lab::ssh_program(&app.journey.host, &app.journey.keys, &programs.join("ssh"));
    let here = |command: &str| {
        let path = format!("{}:{}", programs.display(), support::path());
        repo.command("sh").args(["-euc", command]).env("PATH", path).env("SOPS_AGE_KEY_FILE", &key).output().unwrap()
    };
    // Put together here, so that no other process was ever started with it.
    let secret = format!("canary-{}-$x `y` \"z\"", "q7Lw".repeat(6));
    let typed = repo.path().join("../typed");
    fs::write(&typed, format!("{secret}\n")).unwrap();

    let watcher = Watcher::start(vec![secret[..31].to_owned()]);
    passed(&here("scripts/secret set secrets/staging/shop.yaml GREETING <../typed"));
    fs::remove_file(&typed).unwrap();
    let contract = repo.read("docs/app-contract.md");
    let command = contract.lines().find(|line| line.starts_with("scripts/secret env ")).unwrap();
    let command = command.replace("production", "staging").replace("settings shop", "settings shop staging");
    let said = passed(&here(&command));
    assert!(said.contains("shop-staging: 4.0.0 serves with the new settings"), "{said}");
    let answer: Value = serde_json::from_str(&app.journey.inside("curl -sS http://127.0.0.1:8103/")).unwrap();
    assert!(
        answer.to_string().contains("canary-") && answer["message"].as_str().unwrap().starts_with(&secret),
        "{answer}"
    );

    // Nobody but the service itself, which systemd starts with it.
    let seen: Vec<_> = watcher.stop().into_iter().filter(|process| !process.contains("[app-shop-staging@")).collect();
    assert_eq!(seen, Vec::<String>::new());
    app.journey.inside("journalctl --flush --rotate >/dev/null 2>&1; sync");
    let inside = app.journey.inside("journalctl --no-pager --output=cat | grep -c canary- || true");
    assert_eq!(inside, "0", "the journal has it");
    let root = app.journey.host.rootfs();
    let holds: Vec<PathBuf> = ["etc", "home", "root", "srv", "tmp", "var"]
        .iter()
        .flat_map(|folder| find_in_tree(&root.join(folder), &secret[..31]))
        .map(|path| path.strip_prefix(&root).unwrap().to_owned())
        .collect();
    assert_eq!(holds, [Path::new("srv/apps/shop-staging/env")]);
    assert_eq!(find_in_tree(&repo.path(), &secret[..31]), Vec::<PathBuf>::new());
    assert!(!said.contains("canary-"));
}

/// A deployment that is killed leaves the old release or the new one, and the next command says which.
fn killed_at_any_moment(app: &App<'_>) {
    for (n, after) in [40, 120, 300, 600, 1000, 1500].into_iter().enumerate() {
        let version = format!("5.0.{n}");
        app.build(&version);
        let before = app.status()["current"].as_str().unwrap().to_owned();
        let seconds = f64::from(after) / 1000.0;
        app.install_killed(&version, seconds);
        let current = app.current();
        let current = current.file_name().unwrap().to_str().unwrap();
        assert!(current == before || current == version, "after {after} ms: {current}");
        // What was killed says nothing of its health, so the old one comes back, unless the new one was found good in time.
        code(&app.deploy(".factory/deploy rollback production none"), 64);
        let status = app.status();
        assert_eq!(status["healthy"], true, "{status}");
        assert_eq!(status["current"], status["good"].as_array().unwrap().last().unwrap().clone(), "{status}");
        passed(&app.install(&version));
        assert_eq!(app.status()["running"], version.as_str());
    }
    // Two at once: the second waits, and then finds it done.
    app.build("5.1.0");
    let install = ".factory/deploy install .factory/dist/shop-5.1.0.tar.gz 5.1.0";
    let both = passed(&app.deploy(&format!("{{ {install} & {install}; wait; }}")));
    assert!(both.contains("5.1.0 serves on") && both.contains("5.1.0 serves already"), "{both}");
    app.evidence();
}
