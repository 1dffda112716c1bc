//! Applications that `.factory/deploy` of an earlier version deployed, as services of the user `deploy`: they go on, and root touches
//! nothing of theirs until their owner moves them as the documents say.

use std::fs;

use crate::control_repo::{ControlRepo, passed};
use crate::deploy::{App, code};
use crate::journey::Journey;
use crate::scaffold::{KINDS, made, ready};
use crate::support::{lab, make_program};

/// As it was.
const BEFORE: &str = include_str!("../fixtures/deploy-as-user");

/// As `deploy`, with its service manager.
const MANAGER: &str = "export XDG_RUNTIME_DIR=/run/user/$(id -u);";

/// The steps for their owner, with a name in place of NAME.
fn steps(name: &str) -> String {
    let document = include_str!("../../templates/docs/app-contract.md");
    let (_, rest) = document.split_once("## An application of an earlier version").unwrap();
    let (_, block) = rest.split_once("```sh\n").unwrap();
    block.split_once("```").unwrap().0.replace("app=NAME", &format!("app={name}"))
}

#[test]
fn what_an_earlier_version_deployed_goes_on_until_its_owner_moves_it() {
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
    assert!(code(&shop.deploy(".factory/deploy rollback"), 69).contains("an earlier version deployed there"));
    // The script of before still deploys.
    passed(&shop.deploy(".factory/before install .factory/dist/shop-1.0.0.tar.gz 1.0.1"));
    assert!(shop.get("/").contains("1.0.1"));

    // deploy could have put anything there, so root touches nothing of it.
    passed(&shop.deploy("ln -s /root /srv/apps/shop/link && ln -s /srv/apps/shop /srv/apps/evil 2>/dev/null; chmod 700 /srv/apps/shop/data"));
    journey.inside("ln -sfn /root /srv/apps/evil; chown -h deploy:deploy /srv/apps/evil");
    let look = "find /srv/apps /root -printf '%p %u:%g %m\\n' | grep -vE '^/srv/apps(/[.].*)? |/sockets' | sort";
    let before = journey.inside(look);
    let install = ".factory/deploy install .factory/dist/shop-1.1.0.tar.gz 1.1.0";
    assert!(code(&shop.deploy(install), 69).contains("an earlier version deployed there"));
    for command in ["status", "rollback", "settings"] {
        code(&journey.host.run_inside(&["factory-deploy", command, "evil"]).unwrap(), 69);
    }
    assert_eq!(journey.inside(look), before);
    assert!(shop.get("/").contains("1.0.1") && site.get("/").contains("<html"));

    // Its owner moves it.
    journey.inside(&steps("shop"));
    passed(&shop.deploy(install));
    assert!(shop.get("/").contains("Moin") && shop.get("/").contains("1.1.0"), "{}", shop.get("/"));
    assert_eq!(shop.show("User"), "app-shop");
    shop.get("/keep");
    assert_eq!(journey.inside("cat /srv/apps/shop/data/kept; stat -c ' %U' /srv/apps/shop/data/kept"), "xx app-shop");
    assert_eq!(journey.inside("find /srv/apps/shop -user deploy -o -group deploy"), "");
    // The other one is still as it was.
    assert!(site.get("/").contains("<html"));
}
