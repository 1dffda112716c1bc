//! Migrations, which run before a release, and workers, which run besides it, on a real host.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::apart::{ATTACK, METADATA};
use crate::control_repo::{ControlRepo, passed};
use crate::deploy::{App, code};
use crate::journey::Journey;
use crate::scaffold::{KINDS, made, ready};
use crate::support::lab;
use crate::switch::under_load;

/// Migrates a database: a line for each time. What it serves with is there only after it.
const MIGRATE: &str = r#"#!/usr/bin/env python3
import os, sqlite3
db = sqlite3.connect(os.environ["APP_DATA"] + "/shop.db")
db.execute("create table if not exists runs (version text)")
db.execute("insert into runs values (?)", [os.environ["APP_VERSION"]])
db.commit()
print("migrated", os.environ["APP_VERSION"], os.environ["APP_ENVIRONMENT"], os.environ.get("PORT"))
"#;
/// One that fails after it has said too much.
const FAILS: &str =
    "#!/bin/sh\nprintf 'cannot reach %s\\n\\033[31m\\r\\007with %s\\n' \"$DATABASE_URL\" hunter2-hunter\nexit 3\n";

/// Works until it is told to end, and then needs a second.
const WORK: &str = r#"#!/usr/bin/env python3
import os, signal, sys, time
def say(what):
    with open(os.environ["APP_DATA"] + "/worked", "a") as file:
        print(what, os.environ["APP_VERSION"], file=file)
def stop(*_):
    time.sleep(1)
    say("ended")
    sys.exit()
signal.signal(signal.SIGTERM, stop)
say("began")
print("works", os.environ.get("PORT"), os.path.exists(os.environ["APP_DATA"] + "/../sockets"), flush=True)
while True:
    time.sleep(0.1)
"#;

#[test]
fn migrations_run_before_releases_and_workers_besides_them() {
    if !ready() || !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    let control = ControlRepo::new("defaults");
    let (kind, name) = KINDS[1];
    let app = App { journey: &journey, folder: made(&control, kind, name), name, port: 8100 };
    app.edit(".factory/app.conf", "# migrate=bin/migrate", "migrate=bin/migrate");
    app.edit("bin/serve", "path == \"/healthz\":", "path == \"/healthz\" and MIGRATED(VERSION):");
    app.edit(
        "bin/serve",
        "class Handler",
        "def MIGRATED(version):\n    import sqlite3\n    db = sqlite3.connect(os.environ[\"APP_DATA\"] + \"/shop.db\")\n    \
         return db.execute(\"select * from runs where version = ?\", [version]).fetchone()\n\n\nclass Handler",
    );
    app.edit("bin/serve", "do_HEAD = do_GET", "do_HEAD = do_POST = do_GET");
    app.edit(
        "bin/serve",
        "elif path == \"/\":",
        "elif path == \"/slow\":\n            time.sleep(1)\n            self.answer(200, {\"version\": VERSION})\n        elif path == \"/\":",
    );
    once_before_a_release(&app);
    one_that_fails_switches_nothing(&app);
    with_no_more_rights(&app);
    a_canceled_deployment_ends_it(&app);
    workers_come_and_go_with_their_release(&app);
    a_worker_that_ends_takes_its_release_back(&app);
    only_those_of_the_current_release_run(&app);
}

fn program(app: &App<'_>, path: &str, text: &str) {
    let path = app.folder.join(path);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn runs(app: &App<'_>) -> String {
    let ask = "import sqlite3; print(*(v for v, in sqlite3.connect(\"/srv/apps/shop/data/shop.db\").execute(\"select * from runs\")))";
    app.journey.inside(&format!("python3 -c '{ask}'"))
}

fn once_before_a_release(app: &App<'_>) {
    program(app, "bin/migrate", MIGRATE);
    app.build("1.0.0");
    let said = passed(&app.install("1.0.0"));
    assert!(said.contains("shop: the migration of 1.0.0 runs\n") && said.contains("1.0.0 serves on"), "{said}");
    assert_eq!(runs(app), "1.0.0");
    let log = app.journey.inside("journalctl --unit app-shop@migrate --output=cat");
    assert!(log.contains("migrated 1.0.0 production None"), "{log}");
    assert_eq!(app.evidence(), ["migrate shop 1.0.0: succeeded", "install shop 1.0.0: healthy"]);

    // The next one has its own; none runs again, for whatever reason a release starts.
    app.build("1.1.0");
    passed(&app.install("1.1.0"));
    passed(&app.install("1.1.0"));
    let said = passed(&app.deploy(".factory/deploy rollback"));
    assert!(said.contains("1.0.0 serves") && said.contains("the migration of 1.1.0 is not undone"), "{said}");
    passed(&app.install("1.1.0"));
    passed(&app.deploy("echo DATABASE_URL=postgres://shop:hunter2-hunter@db/shop | .factory/deploy settings"));
    assert_eq!(runs(app), "1.0.0 1.1.0");
    // One without.
    app.edit(".factory/app.conf", "migrate=bin/migrate", "# migrate=bin/migrate");
    app.edit("bin/serve", "and MIGRATED(VERSION)", "and MIGRATED(\"1.1.0\")");
    app.build("1.2.0");
    passed(&app.install("1.2.0"));
    app.edit(".factory/app.conf", "# migrate=bin/migrate", "migrate=bin/migrate");
    assert_eq!(runs(app), "1.0.0 1.1.0");
}

fn one_that_fails_switches_nothing(app: &App<'_>) {
    for (overlap, version) in [("yes", "2.0.0"), ("no", "2.1.0")] {
        app.edit(".factory/app.conf", "overlap=", "was=");
        app.edit(".factory/app.conf", "was=yes", &format!("overlap={overlap}"));
        program(app, "bin/migrate", FAILS);
        app.build(version);
        let pid = app.show("MainPID");
        let install = format!(".factory/deploy install .factory/dist/shop-{version}.tar.gz {version}");
        let (load, _) = under_load(app, None, &install, 76);
        assert!(load.failed.is_empty() && load.sent > 50, "{overlap}: {:?}", load.failed);
        assert_eq!(load.versions.keys().collect::<Vec<_>>(), ["1.2.0"], "{overlap}");
        assert_eq!(pid == app.show("MainPID"), overlap == "yes", "the old release was touched, or ran meanwhile");
        assert_eq!(app.journey.inside("systemctl list-units --plain --no-legend 'app-shop@*' | wc -l"), "1");
        assert_eq!(app.status()["running"], "1.2.0");
        let said = code(&app.install(version), 76);
        assert!(said.contains("its migration ended with exit code 3; 1.2.0 still serves"), "{said}");
        // The end of what it said, without what is secret or commands a terminal.
        assert!(said.contains("    cannot reach ***\n    ?[31m??with ***\n"), "{said:?}");
        assert!(!said.contains("hunter2") && !said.contains('\u{1b}'), "{said:?}");
        let last = app.evidence().pop().unwrap();
        assert_eq!(last, format!("install shop {version}: reverted"));
    }
    app.edit(".factory/app.conf", "overlap=no", "overlap=yes");
    program(app, "bin/migrate", "#!/bin/sh\nsleep 600\n");
    app.edit(".factory/app.conf", "migrate=bin/migrate", "migrate=bin/migrate\nmigrate_seconds=1");
    app.build("2.2.0");
    let said = code(&app.install("2.2.0"), 76);
    assert!(said.contains("its migration did not end within 1 s; 1.2.0 still serves"), "{said}");
    app.edit(".factory/app.conf", "\nmigrate_seconds=1", "");
    assert_eq!(app.journey.inside("pgrep -xf 'sleep 600' || true"), "");
}

/// It is the release's own code, and does what that may do. What root writes has nothing of its line.
fn with_no_more_rights(app: &App<'_>) {
    fs::write(app.folder.join("bin/attack"), ATTACK).unwrap();
    let line =
        r#"sh bin/attack; ! ls "$APP_DATA/../sockets"; touch "$APP_DATA/%n $APP_VERSION" '$(touch /root/planted)'"#;
    app.edit(".factory/app.conf", "migrate=bin/migrate", &format!("migrate={line}"));
    app.journey.inside(METADATA);
    app.journey.inside("{ systemctl show -P MainPID factory-edge; echo 1; } >/srv/apps/shop/data/pids");
    app.build("3.0.0");
    let said = code(&app.install("3.0.0"), 76);
    let told = said.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.contains("bin/attack: "));
    let told: Vec<&str> = told.collect();
    assert_eq!(told[..2], ["app-shop", "can write where it may"], "{said}");
    assert!(
        told[2].starts_with("ls: cannot access ") && told[3].starts_with("touch: cannot touch '$(touch "),
        "{said}"
    );
    assert_eq!(app.journey.inside("stat -c %U '/srv/apps/shop/data/%n 3.0.0'"), "app-shop");
    assert_eq!(app.journey.inside("ls /root/planted 2>/dev/null || true"), "");
    app.edit(".factory/app.conf", &format!("migrate={line}"), "migrate=bin/migrate");
    // What a release has to have for it.
    let hostile = |change: &str| {
        let make = "rm -rf ../x && mkdir -p ../x && cp -r bin .factory ../x/ && rm -r ../x/.factory/dist && cd ../x";
        let install = "tar -czf ../x.tar.gz . && cd - && .factory/deploy install ../x.tar.gz 9";
        code(&app.deploy(&format!("{make} && {change} && {install}")), 65)
    };
    assert!(hostile("rm .factory/run").contains("has no program .factory/run"));
    assert!(hostile("chmod -x .factory/run").contains("has no program .factory/run"));
    assert!(hostile("ln -sf /bin/sh .factory/run").contains("has a link out of the release"));
    assert!(
        hostile("echo migrate_seconds=1d >>.factory/app.conf").contains("migrate_seconds in its .factory/app.conf")
    );
    assert!(hostile("echo site=bin >>.factory/app.conf").contains("a site runs no program"));
}

fn a_canceled_deployment_ends_it(app: &App<'_>) {
    program(app, "bin/migrate", "#!/bin/sh\ntouch \"$APP_DATA/began\"\nsleep 600\n");
    for (overlap, version, signal) in [("yes", "4.0.0", "TERM"), ("no", "4.1.0", "TERM"), ("yes", "4.2.0", "KILL")] {
        app.edit(".factory/app.conf", "overlap=", "was=");
        let was = if version == "4.2.0" { "no" } else { "yes" };
        app.edit(".factory/app.conf", &format!("was={was}"), &format!("overlap={overlap}"));
        app.build(version);
        app.journey.inside("rm -f /srv/apps/shop/data/began");
        app.journey.inside(&format!(
            "setsid factory-deploy install shop {version} </home/deploy/shop/.factory/dist/shop-{version}.tar.gz >/root/said 2>&1 & echo $! >/root/pid"
        ));
        app.journey.wait_until("[ -e /srv/apps/shop/data/began ]");
        let end = if signal == "KILL" { "pkill -KILL -s" } else { "kill" };
        app.journey
            .inside(&format!("{end} $(cat /root/pid); while kill -0 $(cat /root/pid) 2>/dev/null; do sleep 0.1; done"));
        // The next one makes sure that it is over.
        if signal == "KILL" {
            code(&app.deploy(".factory/deploy rollback production none"), 64);
        }
        assert_eq!(app.journey.inside("pgrep -xf 'sleep 600' || true"), "", "{overlap} {signal}");
        assert!(app.get("/").contains("1.2.0"), "{overlap} {signal}: {}", app.get("/"));
        assert_eq!(app.status()["healthy"], true);
    }
    program(app, "bin/migrate", MIGRATE);
    app.edit("bin/serve", "and MIGRATED(\"1.1.0\")", "and MIGRATED(VERSION)");
    app.build("4.3.0");
    assert!(passed(&app.install("4.3.0")).contains("4.3.0 serves"));
}

/// Workers that run, as SLOT.NAME, and what they are told they are.
fn staff(app: &App<'_>) -> Vec<String> {
    let ask = "for unit in $(systemctl list-units --plain --no-legend --state=active 'app-shop@*.*.service' | cut -d' ' -f1); do \
               tr '\\0' '\\n' </proc/$(systemctl show -P MainPID $unit)/environ | sed -n \"s/^APP_VERSION=/${unit#app-shop@*.} /p\"; done";
    app.journey.inside(ask).lines().map(str::to_owned).collect()
}

fn worked(app: &App<'_>) -> String {
    app.journey.inside("xargs </srv/apps/shop/data/worked; rm -f /srv/apps/shop/data/worked")
}

fn workers_come_and_go_with_their_release(app: &App<'_>) {
    program(app, "bin/work", WORK);
    app.edit(".factory/app.conf", "# worker.mail=bin/mail", "worker.mail=bin/work\nworker.a-clock=env -u X bin/work");
    app.build("5.0.0");
    passed(&app.install("5.0.0"));
    assert_eq!(staff(app), ["a-clock.service 5.0.0", "mail.service 5.0.0"]);
    let status = app.status();
    assert_eq!(status["workers"], serde_json::json!({"a-clock": "active", "mail": "active"}));
    assert_eq!(status["healthy"], true);
    assert_eq!(app.journey.inside("ps -o user= -C python3 | sort -u; pgrep -u app-shop -fc bin/work"), "app-shop\n2");
    let log = app.journey.inside("journalctl --unit 'app-shop@*.mail.service' --output=cat");
    assert!(log.contains("works None False"), "{log}");
    worked(app);

    app.build("5.1.0");
    let install = ".factory/deploy install .factory/dist/shop-5.1.0.tar.gz 5.1.0";
    let (load, _) = under_load(app, None, install, 0);
    assert!(load.failed.is_empty() && load.sent > 50, "{:?}", load.failed);
    app.journey.wait_until("[ $(grep -c . /srv/apps/shop/data/worked) = 4 ]");
    assert_eq!(worked(app), "began 5.1.0 began 5.1.0 ended 5.0.0 ended 5.0.0");
    assert_eq!(staff(app), ["a-clock.service 5.1.0", "mail.service 5.1.0"]);
    passed(&app.deploy(".factory/deploy rollback"));
    assert_eq!(staff(app).last().unwrap(), "mail.service 5.0.0");
    // Two that must not run at once do not.
    app.edit(".factory/app.conf", "overlap=yes", "overlap=no");
    app.edit(".factory/app.conf", "\nworker.a-clock=env -u X bin/work", "");
    app.build("5.2.0");
    app.journey.wait_until("[ $(pgrep -u app-shop -fc bin/work) = 2 ]");
    worked(app);
    let install = ".factory/deploy install .factory/dist/shop-5.2.0.tar.gz 5.2.0";
    let (load, took) = under_load(app, None, install, 0);
    assert!(load.failed.is_empty() || took.as_secs() > 8, "{took:?} {:?}", load.failed);
    assert_eq!(worked(app), "ended 5.0.0 ended 5.0.0 began 5.2.0");
    assert_eq!(app.status()["workers"], serde_json::json!({"mail": "active"}));
}

fn a_worker_that_ends_takes_its_release_back(app: &App<'_>) {
    app.edit(".factory/app.conf", "overlap=no", "overlap=yes");
    app.build("6.0.0");
    passed(&app.install("6.0.0"));
    app.journey.wait_until("[ $(pgrep -u app-shop -fc bin/work) = 1 ]");
    for (version, bad, why) in [
        ("6.1.0", "#!/bin/sh\necho no queue at $DATABASE_URL\nsleep 1\nexit 4\n", "no queue at ***"),
        ("6.2.0", "#!/bin/sh\necho all done\n", "all done"),
        ("6.3.0", "#!/no/such/program\n", "bin/work"),
    ] {
        program(app, "bin/work", bad);
        app.build(version);
        let before = app.journey.inside("pgrep -u app-shop -f bin/work");
        let install = format!(".factory/deploy install .factory/dist/shop-{version}.tar.gz {version}");
        let (load, _) = under_load(app, None, &install, 76);
        assert!(load.failed.is_empty() && load.sent > 50, "{:?}", load.failed);
        assert_eq!(load.versions.keys().collect::<Vec<_>>(), ["6.0.0"]);
        let said = code(&app.install(version), 76);
        assert!(said.contains("its worker mail ended by itself; 6.0.0 still serves") && said.contains(why), "{said}");
        assert_eq!(app.journey.inside("pgrep -u app-shop -f bin/work"), before);
        assert_eq!(app.status()["healthy"], true);
    }
    // With those that do not run at once, the old one comes back; also if one ends after requests were let in.
    app.edit(".factory/app.conf", "overlap=yes", "overlap=no");
    program(app, "bin/work", "#!/bin/sh\nsleep 2\n");
    app.build("6.3.1");
    let said = code(&app.install("6.3.1"), 76);
    assert!(said.contains("its worker mail ended by itself; 6.0.0 still serves"), "{said}");
    program(app, "bin/work", "#!/no/such/program\n");
    app.build("6.4.0");
    let said = code(&app.install("6.4.0"), 76);
    assert!(said.contains("6.0.0 still serves"), "{said}");
    assert_eq!(staff(app), ["mail.service 6.0.0"]);
    app.edit(".factory/app.conf", "overlap=no", "overlap=yes");
    program(app, "bin/work", WORK);
    let hostile = |line: &str| {
        let make = "rm -rf ../x && mkdir -p ../x && cp -r bin .factory ../x/ && rm -r ../x/.factory/dist && cd ../x";
        let make = format!("{make} && echo \"{line}\" >>.factory/app.conf && tar -czf ../x.tar.gz . && cd -");
        code(&app.deploy(&format!("{make} && .factory/deploy install ../x.tar.gz 9")), 65)
    };
    for name in ["../../x", "a.service", "A", "-a", "%n", "a b", "a-name-of-17-chars", "\\$(id)"] {
        assert!(hostile(&format!("worker.{name}=x")).contains("each NAME must match"), "{name}");
    }
}

fn only_those_of_the_current_release_run(app: &App<'_>) {
    // One that ends later starts again; meanwhile all is not well.
    app.journey.inside("pkill -KILL -u app-shop -f bin/work");
    code(&app.deploy(".factory/deploy status"), 1);
    app.journey.wait_until("[ $(pgrep -u app-shop -fc bin/work) = 1 ]");
    code(&app.deploy(".factory/deploy status"), 0);
    app.journey.inside("systemctl stop 'app-shop@*.mail.service'");
    code(&app.deploy(".factory/deploy status"), 1);
    app.build("7.0.0");
    passed(&app.install("7.0.0"));
    app.journey.inside("systemctl stop 'app-shop@*.mail.service'");
    assert!(passed(&app.install("7.0.0")).contains("7.0.0 serves on"));
    assert_eq!(staff(app), ["mail.service 7.0.0"]);

    // A deployment that is killed while it watches the workers; the next command ends what it left.
    app.build("7.1.0");
    app.journey.inside(
        "setsid factory-deploy install shop 7.1.0 </home/deploy/shop/.factory/dist/shop-7.1.0.tar.gz >/dev/null 2>&1 & pid=$!; \
         until [ $(pgrep -u app-shop -fc bin/work) = 2 ]; do sleep 0.05; done; pkill -KILL -s $pid",
    );
    code(&app.deploy(".factory/deploy rollback production none"), 64);
    app.journey.wait_until("[ $(pgrep -u app-shop -fc bin/work) = 1 ]");
    assert_eq!(staff(app), ["mail.service 7.0.0"]);
    app.journey.inside("systemctl stop factory-apps.slice factory-edge; systemctl start multi-user.target");
    app.journey.wait_until("[ $(pgrep -u app-shop -fc bin/work) = 1 ] && curl -fsS http://127.0.0.1:8100/ >/dev/null");
    assert_eq!(staff(app), ["mail.service 7.0.0"]);
    assert_eq!(app.journey.inside("systemctl list-units --plain --no-legend --state=active 'app-shop@*' | wc -l"), "2");
    assert_eq!(app.status()["healthy"], true);

    // A release without one.
    app.edit(".factory/app.conf", "worker.mail=bin/work", "# worker.mail=bin/work");
    app.build("7.2.0");
    passed(&app.install("7.2.0"));
    app.journey.wait_until("[ $(pgrep -u app-shop -fc bin/work) = 0 ]");
    assert_eq!(app.status()["workers"], serde_json::json!({}));
    passed(&app.deploy(".factory/deploy rollback"));
    assert_eq!(staff(app), ["mail.service 7.0.0"]);
    app.evidence();
    app.journey.inside("factory-deploy remove");
    assert_eq!(app.journey.inside("ls /etc/systemd/system | grep ^app- || true; pgrep -fc [b]in/work || true"), "0");
}
