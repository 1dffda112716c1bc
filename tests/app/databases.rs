//! Databases of applications on a real host: made with the first release that asks, apart from each other, copied, and put back.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use factoryup::age::KeyPair;
use factoryup::host::HostTarget;
use factoryup::plan::Target as _;

use crate::control_repo::{passed, stdout};
use crate::deploy::{App, code};
use crate::journey::Journey;
use crate::scaffold::run;
use crate::support;

/// Counts in the database; `/sql` answers what a statement of the request's says, or why it fails.
const SERVE: &str = r#"elif path == "/count":
            self.answer(200, {"count": SQL("insert into visits default values; select count(*) from visits")})
        elif path == "/sql":
            from urllib.parse import unquote
            self.answer(200, {"said": SQL(unquote(self.path.partition("?")[2]))})
        elif path == "/":"#;
const SQL: &str = r#"def SQL(statement):
    import subprocess
    address = os.environ.get("DATABASE_URL") or "host=/run/factory-postgres"
    command = ["psql", "-qtA", address, "-c", statement]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout.strip()


class Handler"#;
const MIGRATE: &str = "#!/bin/sh\nset -e\npsql -q \"$DATABASE_URL\" -c 'create table if not exists visits (id serial)'\n\
                       psql -q -c 'create table if not exists by_name (id serial)'\n";

fn sql(app: &App<'_>, statement: &str) -> String {
    let mut encoded = String::new();
    statement.bytes().for_each(|byte| write!(encoded, "%{byte:02x}").unwrap());
    let said: serde_json::Value = serde_json::from_str(&app.get(&format!("/sql?{encoded}"))).unwrap();
    said["said"].as_str().unwrap().to_owned()
}

pub(crate) fn count(app: &App<'_>) -> String {
    serde_json::from_str::<serde_json::Value>(&app.get("/count")).unwrap()["count"].as_str().unwrap().to_owned()
}

fn program(app: &App<'_>, path: &str, text: &str) {
    fs::write(app.folder.join(path), text).unwrap();
    fs::set_permissions(app.folder.join(path), fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the application then has to ask for, and to migrate.
pub(crate) fn it_asks_for_one(app: &App<'_>) {
    app.edit(".factory/app.conf", "# service.postgres=yes", "service.postgres=yes");
    app.edit(".factory/app.conf", "# migrate=bin/migrate", "migrate=bin/migrate");
    app.edit("bin/serve", "elif path == \"/\":", SERVE);
    app.edit("bin/serve", "class Handler", SQL);
    program(app, "bin/migrate", MIGRATE);
}

pub(crate) fn a_host_without_one_says_what_it_lacks(app: &App<'_>) {
    let serves = app.current();
    it_asks_for_one(app);
    app.build("2.0.0");
    let said = code(&app.install("2.0.0"), 69);
    assert!(said.contains("add services = [\"postgres\"] under [host] in factory.toml"), "{said}");
    assert_eq!(app.current(), serves);
    app.edit(".factory/app.conf", "service.postgres=yes", "service.redis=yes");
    app.build("2.0.0");
    let said = code(&app.install("2.0.0"), 69);
    assert!(said.contains("add services = [\"redis\"] under [host] in factory.toml"), "{said}");
    app.edit(".factory/app.conf", "service.redis=yes", "service.mysql=yes");
    app.build("2.0.0");
    assert!(code(&app.install("2.0.0"), 65).contains("a service that no host has: service.mysql"));
}

pub(crate) fn each_application_has_its_own(app: &App<'_>) {
    let journey = app.journey;
    assert_eq!(
        journey.inside("ss -Hltn 'sport = :5432'; stat -c '%a %U:%G' /run/factory-postgres"),
        "750 postgres:factory-postgres"
    );
    it_asks_for_one(app);
    app.build("2.0.0");
    passed(&app.install("2.0.0"));
    assert_eq!((count(app), count(app)), ("1".into(), "2".into()));
    assert_eq!(
        sql(app, "select current_user, current_database(), to_regclass('by_name')"),
        "app-shop|app-shop|by_name"
    );
    // What root starts with its account is no way out of its sandbox.
    let look = "(echo 'select pg_sleep(5)' | factory-postgres psql shop >/dev/null &) </dev/null; until pid=$(pgrep -u app-shop -x psql); do sleep 0.1; done; \
                setpriv --reuid=app-shop --regid=$(id -g app-shop) --clear-groups --inh-caps=-all --bounding-set=-all ls /proc/$pid/root 2>&1 || true";
    assert!(journey.inside(look).contains("Permission denied"), "{}", journey.inside(look));
    // Staging has the release of before, which asks for none, and then one that does.
    let staging = App { name: "shop-staging", port: app.port + 1, folder: app.folder.clone(), ..*app };
    let attempt = "runuser -u app-shop-staging -g app-shop-staging";
    let refused = |with: &str, to: &str| {
        journey
            .inside(&format!("cd /; {attempt} {with} -- psql -h /run/factory-postgres {to} -c 'select 1' 2>&1 || true"))
    };
    app.edit(".factory/app.conf", "service.postgres=yes", "# service.postgres=yes");
    app.edit(".factory/app.conf", "migrate=bin/migrate", "# migrate=bin/migrate");
    app.build("2.0.1");
    passed(&app.deploy(".factory/deploy install .factory/dist/shop-2.0.1.tar.gz 2.0.1 staging"));
    assert!(sql(&staging, "select 1").contains("Permission denied"), "{}", sql(&staging, "select 1"));
    assert!(refused("", "app-shop").contains("Permission denied"), "{}", refused("", "app-shop"));
    passed(&app.deploy("git checkout -q HEAD~1 && .factory/deploy install .factory/dist/shop-2.0.0.tar.gz 2.0.0 staging; git checkout -q -"));
    let with = "-G factory-postgres";
    for (to, why) in [
        ("app-shop", "permission denied for database"),
        ("postgres", "permission denied for database"),
        ("template1", "permission denied for database"),
        ("-U app-shop app-shop", "Peer authentication failed"),
        ("-U postgres postgres", "Peer authentication failed"),
    ] {
        assert!(refused(with, to).contains(why), "{to}: {}", refused(with, to));
    }
    for (statement, why) in [
        ("create database x", "permission denied"),
        ("copy (select 1) to program 'id'", "pg_execute_server_program"),
        ("select pg_read_file('/etc/passwd')", "permission denied"),
        ("create role x", "permission denied"),
    ] {
        assert!(sql(app, statement).contains(why), "{statement}: {}", sql(app, statement));
    }
    let said = sql(app, "select rolconnlimit from pg_roles where rolname = current_user");
    assert_eq!(said, "40");
    // One of the owner's comes first.
    let own = "echo DATABASE_URL=postgresql:///elsewhere?host=/run/factory-postgres | .factory/deploy settings staging";
    passed(&app.deploy(own));
    assert!(sql(&staging, "select 1").contains("\"elsewhere\" does not exist"), "{}", sql(&staging, "select 1"));
    // A rollback keeps the data.
    app.edit(".factory/app.conf", "# service.postgres=yes", "service.postgres=yes");
    app.edit(".factory/app.conf", "# migrate=bin/migrate", "migrate=bin/migrate");
    app.build("2.1.0");
    passed(&app.install("2.1.0"));
    passed(&app.deploy(".factory/deploy rollback"));
    assert_eq!(count(app), "3");
    let status = app.status();
    assert_eq!(status["services"]["postgres"]["state"], "active", "{status}");
    // A migration that fails switches nothing, and there is a copy of before it.
    program(app, "bin/migrate", "#!/bin/sh\npsql -q \"$DATABASE_URL\" -c 'drop table visits'\nexit 3\n");
    app.build("2.2.0");
    assert!(code(&app.install("2.2.0"), 76).contains("2.0.0 still serves"));
    assert!(count(app).contains("\"visits\" does not exist"));
}

fn copies(app: &App<'_>) -> Vec<String> {
    stdout(&app.journey.host.run_inside(&["factory-deploy", "restore", app.name]).unwrap())
        .lines()
        .map(str::to_owned)
        .collect()
}

pub(crate) fn a_copy_takes_its_place(app: &App<'_>) {
    let journey = app.journey;
    let restore = |copy: &str| journey.host.run_inside(&["factory-deploy", "restore", app.name, copy]).unwrap();
    let before = copies(app).into_iter().find(|copy| copy.ends_with("-before-2.2.0.dump")).unwrap();
    assert_eq!(
        journey.inside(&format!("stat -c %a:%U /srv/apps/shop/copies /srv/apps/shop/copies/{before}")),
        "700:root\n600:root"
    );
    assert_eq!(app.deploy(&format!("/usr/local/sbin/factory-deploy restore shop {before}")).status.code(), Some(77));
    assert!(code(&restore("20200101T000000Z"), 65).contains("has no copy"));
    let said = passed(&restore(&before));
    assert!(
        said.contains("the migration of 2.0.0 runs") && said.contains("2.0.0 serves with the database of"),
        "{said}"
    );
    assert_eq!(count(app), "4");
    assert!(copies(app).iter().any(|copy| copy.ends_with("-replaced.dump")));
    // Back to what it replaced, with which the application is not healthy: nothing changes.
    app.edit(
        "bin/serve",
        "path == \"/healthz\":",
        "path == \"/healthz\" and SQL(\"select 1 from visits where id = 4\") == \"1\":",
    );
    program(app, "bin/migrate", MIGRATE);
    app.edit(".factory/app.conf", "health_seconds=30", "health_seconds=3");
    app.build("2.3.0");
    passed(&app.install("2.3.0"));
    let said = code(&restore(&before[..16]), 76);
    assert!(said.contains("2.3.0 still serves with the database before"), "{said}");
    assert_eq!(count(app), "5");
    // Killed in the middle, it is the same to the next command.
    journey.inside(&format!("timeout -s KILL 2 factory-deploy restore shop {before} >/dev/null 2>&1 || true"));
    code(&app.deploy(".factory/deploy rollback production none"), 64);
    assert_eq!(count(app), "6");
    assert_eq!(journey.inside("ls /srv/apps/shop/restoring 2>/dev/null || true"), "");
    // A power cut after the exchange: the start of the host goes back. What was written to the copy since is not lost, and a migration
    // of the copy says nothing of the database before.
    journey.inside(&format!(
        "systemctl stop 'app-shop@*'; factory-postgres load shop {before} && factory-postgres exchange shop && \
         cd /srv/apps/shop && touch restoring && cp -a migrated migrated.before && rm migrated/* && \
         echo 'create table since ()' | factory-postgres psql shop"
    ));
    assert_eq!(app.status()["healthy"], false);
    journey.inside("systemctl restart app-shop; test ! -e /srv/apps/shop/restoring");
    journey.wait_until("factory-deploy status shop >/dev/null");
    assert_eq!(count(app), "7");
    assert!(copies(app).iter().any(|copy| copy.ends_with("-interrupted.dump")));
    assert_eq!(journey.inside("cd /srv/apps/shop && ls -d migrated* && ls migrated"), "migrated\n2.0.0\n2.3.0");
    // One that ends right after it leaves the database closed.
    journey.inside(
        "systemctl stop 'app-shop@*'; factory-postgres load shop $(basename $(ls /srv/apps/shop/copies/*-interrupted.dump)) && \
         factory-postgres exchange shop && touch /srv/apps/shop/restoring && \
         runuser -u postgres -- psql -qh /run/factory-postgres -c 'alter database \"app-shop\" allow_connections false'",
    );
    code(&app.deploy(".factory/deploy rollback production none"), 64);
    assert_eq!(count(app), "8");
    // Each night, one of each. It may be night now.
    journey.inside("rm -f /srv/apps/*/copies/*-nightly.dump; systemctl start factory-postgres-copies");
    assert_eq!(journey.inside("ls /srv/apps/*/copies/*-nightly.dump | wc -l"), "2");
    only_old_copies_go(app);
    what_cannot_be_copied_is_said(app);
    let last = app.evidence().into_iter().filter(|line| line.starts_with("restore")).collect::<Vec<_>>();
    assert_eq!(last[..2], ["restore shop 2.0.0: healthy", "restore shop 2.3.0: reverted"]);
}

/// A version's name is not a reason, and by a clock that was set back the newest copy looks old.
fn only_old_copies_go(app: &App<'_>) {
    let said = app.journey.inside(
        "cd /srv/apps/shop/copies && for day in 1 2 3 4 5 6 7 8; do for why in nightly before-1-nightly; do \
         touch -d '3 days ago' 2090010${day}T000000Z-$why.dump; done; done; factory-postgres copy shop nightly >/dev/null; \
         factory-postgres copy shop before-2-nightly >/dev/null; ls 2090*; \
         ls *Z-nightly.dump | wc -l; ls *-before-2-nightly.dump | wc -l; rm 2090*",
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[lines.len() - 2..], ["7", "1"], "{said}");
    assert_eq!((lines.len() - 2, lines[0]), (10, "20900103T000000Z-nightly.dump"), "{said}");
}

/// The night ends well only if each database was copied: an application can stop its own `pg_dump`, and Postgres may not answer.
fn what_cannot_be_copied_is_said(app: &App<'_>) {
    let journey = app.journey;
    let said = journey.inside(
        "sed 's/^patience=.*/patience=3/' /usr/local/sbin/factory-postgres >/root/impatient; chmod +x /root/impatient; cd /; \
         (until pkill -STOP -u app-shop pg_dump; do sleep 0.02; done) & /root/impatient nightly 2>&1; echo \"code $?\"; \
         ls /srv/apps/shop-staging/copies/*-nightly.dump | wc -l; rm /root/impatient",
    );
    assert!(said.contains("no copy of /srv/apps/shop:") && said.contains("code 1"), "{said}");
    let said = journey.inside(
        "chmod a-x /usr/lib/postgresql/*/bin/psql; factory-postgres nightly 2>&1; echo \"code $?\"; \
         chmod a+x /usr/lib/postgresql/*/bin/psql",
    );
    assert!(said.contains("does not say which databases it has") && said.ends_with("code 1"), "{said}");
}

/// The host's backup has it, and restores it where no release is yet.
pub(crate) fn the_backup_has_it(app: &App<'_>, pair: &KeyPair) {
    if !support::available(&["age"]) {
        return;
    }
    let journey = app.journey;
    journey.inside("install -d /srv/backup && systemctl start factory-backup");
    let name = journey.inside("ls /srv/backup/app-shop-2*");
    let file = journey.host.rootfs().join(&name[1..]);
    let owner = journey.state.path().join("owner.agekey");
    fs::write(&owner, pair.file().as_bytes()).unwrap();
    let tar = journey.host.rootfs().join("root/restore.tar");
    let words = ["-d", "-i", owner.to_str().unwrap(), "-o", tar.to_str().unwrap(), file.to_str().unwrap()];
    passed(&run(&app.folder, "age", &words));
    assert_eq!(journey.inside("tar -tf /root/restore.tar | grep -c '^data/.redis/appendonlydir/appendonly'"), "3");
    let said = journey.inside("factory-backup restore blog </root/restore.tar");
    let copy = said.rsplit(' ').next().unwrap();
    let said = journey.inside(&format!("factory-deploy restore blog {copy}"));
    assert!(said.contains("blog: the database is in place for the first release"), "{said}");
    let ask = "cd /; runuser -u app-blog -g app-blog -G factory-postgres -- psql -qtA -h /run/factory-postgres";
    assert_eq!(journey.inside(&format!("{ask} -c 'select count(*) from visits'")), "8");
}

/// Postgres that was stopped, and a night without a copy, are seen from the owner's machine.
pub(crate) fn faults_are_seen(journey: &Journey) {
    let mut target = journey.target();
    let changes = |target: &mut HostTarget<'_>| {
        let plan = target.observe(&journey.watch).unwrap();
        plan.changes.into_iter().map(|change| change.id).collect::<Vec<_>>()
    };
    assert_eq!(target.copies_fault(&journey.watch).unwrap(), None);
    assert_eq!(changes(&mut target), [""; 0]);
    journey.inside(
        "systemctl stop 'postgresql@*' 'app-shop@redis'; ! systemctl start factory-postgres-copies 2>/dev/null",
    );
    assert_eq!(target.copies_fault(&journey.watch).unwrap().unwrap(), "Postgres does not answer");
    assert_eq!(changes(&mut target), ["unit:factory-postgres.service", "unit:factory-redis.service"]);
    journey.provision();
    journey.inside("systemctl is-active app-shop@redis && systemctl start factory-postgres-copies");
    assert_eq!(target.copies_fault(&journey.watch).unwrap(), None);
}

/// A host without it any more keeps the databases.
pub(crate) fn it_goes_and_its_data_stays(journey: &mut Journey) {
    journey.factory.host.services.clear();
    journey.provision();
    assert_eq!(journey.inside("pgrep -c 'postgres|redis' || true; getent group factory-postgres || true"), "0");
    assert_eq!(journey.inside("ls /srv/apps/shop/data/.redis/appendonlydir | wc -l"), "3");
    assert_eq!(
        journey.inside("ls -d /var/lib/postgresql/*/factory/base | wc -l; ls /srv/apps/shop/copies/*Z-nightly.dump >/dev/null && echo kept"),
        "1\nkept"
    );
}
