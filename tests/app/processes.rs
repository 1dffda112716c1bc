//! Migrations, which run before a release, on a real host.

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
    "#!/bin/sh\nprintf 'cannot reach %s\\n\\033[31m\\r\\007with %s\\n' \"$DATABASE_URL\" hunter2-canary\nexit 3\n";

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
    app.build("1.1.0");
    passed(&app.install("1.1.0"));
    passed(&app.deploy("echo DATABASE_URL=postgres://shop:hunter2-canary@db/shop | .factory/deploy settings"));
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
        assert!(!said.contains("canary") && !said.contains('\u{1b}'), "{said:?}");
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
        r#"sh bin/attack; touch "$APP_DATA/%n $APP_VERSION" '$(touch /root/planted)'; ls "$APP_DATA/../sockets""#;
    app.edit(".factory/app.conf", "migrate=bin/migrate", &format!("migrate={line}"));
    app.journey.inside(METADATA);
    app.journey.inside("{ systemctl show -P MainPID factory-edge; echo 1; } >/srv/apps/shop/data/pids");
    app.build("3.0.0");
    let said = code(&app.install("3.0.0"), 76);
    assert!(
        said.contains("    app-shop\n    can write where it may\n    touch: cannot touch '$(touch /root/planted)'"),
        "{said}"
    );
    assert!(said.contains("Read-only file system") && !said.contains("planted in"), "{said}");
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
        let end = if signal == "KILL" { "-KILL -- -$(cat /root/pid)" } else { "$(cat /root/pid)" };
        app.journey.inside(&format!("kill {end}; while kill -0 $(cat /root/pid) 2>/dev/null; do sleep 0.1; done"));
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
