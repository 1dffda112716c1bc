//! Applications that `.factory/deploy` of an earlier version deployed, as services of the user `deploy`: they go on until their next
//! installation, which moves each to an account of its own.

use std::fs;
use std::time::Duration;

use crate::control_repo::{ControlRepo, passed};
use crate::deploy::{App, code};
use crate::journey::Journey;
use crate::scaffold::{KINDS, made, ready};
use crate::support::{lab, make_program};
use crate::switch::under_load;

/// As it was.
const BEFORE: &str = include_str!("../fixtures/deploy-as-user");

/// As `deploy`, with its service manager.
const MANAGER: &str = "export XDG_RUNTIME_DIR=/run/user/$(id -u);";

#[test]
#[allow(clippy::print_stdout)]
fn what_an_earlier_version_deployed_moves_at_its_next_installation() {
    if !ready() || !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    let control = ControlRepo::new("defaults");
    let [site, shop] = KINDS.map(|(kind, name)| {
        let port = if name == "site" { 8100 } else { 8102 };
        App { journey: &journey, folder: made(&control, kind, name), name, port }
    });
    // The host as it was, and the applications on it.
    journey.inside("chown deploy:deploy /srv/apps; chmod 750 /srv/apps");
    shop.edit("bin/serve", "do_HEAD = do_GET", "do_HEAD = do_POST = do_GET");
    shop.edit(
        "bin/serve",
        "elif path == \"/\":",
        "elif path == \"/slow\":\n            time.sleep(1)\n            self.answer(200, {\"version\": VERSION})\n        \
         elif path == \"/keep\":\n            open(os.environ[\"APP_DATA\"] + \"/kept\", \"a\").write(\"x\")\n            \
         self.answer(200, {})\n        elif path == \"/\":",
    );
    for app in [&site, &shop] {
        let now = fs::read_to_string(app.folder.join(".factory/deploy")).unwrap();
        make_program(app.folder.join(".factory/deploy"), BEFORE);
        fs::write(app.folder.join("public/version.json"), "{\"version\": \"1.0.0\"}\n").ok();
        app.build("1.0.0");
        passed(&app.install("1.0.0"));
        make_program(app.folder.join(".factory/deploy"), now);
        app.build("1.1.0");
    }
    code(&shop.deploy("git show HEAD~1:.factory/deploy >.factory/before && chmod 755 .factory/before"), 0);
    code(&shop.deploy("echo GREETING=Moin | .factory/before settings"), 0);
    shop.get("/keep");
    let process =
        format!("{MANAGER} systemctl --user show -P MainPID app-shop@$(basename $(readlink /srv/apps/shop/live))");
    let running = passed(&shop.deploy(&process));

    // An apply of the new version leaves them alone.
    journey.provision();
    assert_eq!(passed(&shop.deploy(&process)), running);
    assert!(shop.get("/").contains("Moin") && site.get("/").contains("<html"));
    assert!(code(&shop.deploy(".factory/deploy rollback"), 69).contains("the next install takes it over"));
    // The script of before still deploys.
    passed(&shop.deploy(".factory/before install .factory/dist/shop-1.0.0.tar.gz 1.0.1"));
    assert!(shop.get("/").contains("1.0.1"));

    a_link_is_not_followed(&shop);
    what_cannot_move_stays(&shop);

    let install = ".factory/deploy install .factory/dist/shop-1.1.0.tar.gz 1.1.0";
    let (load, took) = under_load(&shop, None, install, 0);
    println!(
        "moved in {took:?}, failed {} of {}: {:?}, slowest {} s",
        load.failed.len(),
        load.sent,
        load.failed,
        load.slowest
    );
    assert!(
        (load.failed.is_empty() || took > Duration::from_secs(8))
            && load.versions.contains_key("1.0.1")
            && load.versions.contains_key("1.1.0"),
        "{:?}",
        load.failed
    );
    assert!(shop.get("/").contains("Moin"), "{}", shop.get("/"));
    assert_eq!(shop.status()["good"], serde_json::json!(["1.0.0", "1.0.1", "1.1.0"]));
    assert_eq!(shop.evidence().len(), 4);
    assert_eq!(shop.show("User"), "app-shop");
    shop.get("/keep");
    assert_eq!(journey.inside("cat /srv/apps/shop/data/kept; stat -c ' %U' /srv/apps/shop/data/kept"), "xx app-shop");
    let owners = "find /srv/apps/shop -user deploy -o -group deploy; stat -c '%a %U:%G' /srv/apps/shop /srv/apps/shop/env; \
                  runuser -u deploy -- ls /srv/apps/shop 2>&1 | grep -c denied";
    assert_eq!(journey.inside(owners), "750 root:factory-edge\n600 root:root\n1");
    let left = format!(
        "{MANAGER} systemctl --user list-units --all --plain --no-legend 'app-shop*'; ls ~/.config/systemd/user"
    );
    assert!(!passed(&shop.deploy(&left)).contains("app-shop"), "{}", passed(&shop.deploy(&left)));

    // The other one is still as it was, until it moves too; then the edge of before stops.
    assert!(site.get("/").contains("<html"));
    // What is cut, the next one does to its end.
    for seconds in [0.3, 0.6, 0.9] {
        site.install_killed("1.1.0", seconds);
    }
    passed(&site.install("1.1.0"));
    assert!(site.get("/").contains("<html"));
    assert_eq!(journey.inside("find /srv/apps/site -user deploy -o -group deploy"), "");
    let edge = format!("{MANAGER} systemctl --user is-active factory-edge || true");
    assert_eq!(passed(&site.deploy(&edge)).trim(), "inactive");
    passed(&shop.deploy(".factory/deploy rollback"));
    assert!(shop.get("/").contains("1.0.1"));
}

/// `deploy` could have put anything into the folder.
fn a_link_is_not_followed(app: &App<'_>) {
    app.journey.inside("echo untouched >/root/victim; mkdir /root/folder; echo untouched >/root/folder/file");
    passed(&app.deploy(
        "cd /srv/apps/shop && ln -s /root/victim env.before && ln -s /root/victim lock.1 && ln -s /root/folder data/folder && ln -s /root/folder releases/x",
    ));
}

/// One whose data the new account could not use, for example, goes on as before.
fn what_cannot_move_stays(app: &App<'_>) {
    let before = app.get("/");
    // What is asked of it as the new account alone.
    app.journey.inside("mkdir -p /etc/systemd/system/app-shop@blue.service.d /etc/systemd/system/app-shop@green.service.d; \
        for slot in blue green; do printf '[Service]\\nInaccessiblePaths=/usr/bin/python3\\n' >/etc/systemd/system/app-shop@$slot.service.d/x.conf; done");
    let said = code(&app.deploy(".factory/deploy install .factory/dist/shop-1.1.0.tar.gz 1.1.0"), 69);
    assert!(said.contains("shop stays with the account deploy"), "{said}");
    assert_eq!(app.get("/"), before);
    assert_eq!(
        app.journey.inside("stat -c %U:%G /srv/apps/shop /srv/apps/shop/env /srv/apps/shop/data"),
        "deploy:deploy\ndeploy:deploy\ndeploy:deploy"
    );
    app.journey.inside("rm -r /etc/systemd/system/app-shop@*.d; systemctl daemon-reload");
    assert_eq!(
        app.journey.inside("cat /root/victim /root/folder/file; stat -c %U /root/victim /root/folder"),
        "untouched\nuntouched\nroot\nroot"
    );
}
