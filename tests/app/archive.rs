//! Archives that lead out of their release, or are too large, and ports that are another application's.

use std::fs;
use std::path::Path;

use crate::control_repo::{ControlRepo, passed};
use crate::deploy::{App, code};
use crate::journey::Journey;
use crate::scaffold::{KINDS, made, ready, run};
use crate::shipped;
use crate::support::lab;

#[test]
fn a_release_stays_in_its_folder_and_on_its_port() {
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
    for app in [&site, &shop] {
        app.build("1.0.0");
        passed(&app.install("1.0.0"));
    }
    nothing_leads_out(&shop);
    the_digest_is_beside_the_release(&shop);
    a_port_has_one_application(&site, &shop);
    a_folder_has_one_application(&shop);
    // The same host, since another one takes long to start.
    shipped::each_stack(&journey, &control);
}

fn nothing_leads_out(app: &App<'_>) {
    let root = app.journey.host.rootfs();
    let artifact = root.join("home/deploy/shop/.factory/dist/shop-1.0.0.tar.gz");
    app.journey.inside("runuser -u deploy -- sh -c 'echo mine >/home/deploy/victim'");
    let victim = "/home/deploy/victim";
    let before = app.journey.inside("cd /srv/apps/shop && find . ! -name lock -printf '%p %y %T@ %l\\n' | sort");
    let out = "out of the release";
    for (n, (kind, name, target, why)) in [
        ("symbolic", ".sha256", victim, out),
        ("symbolic", "bin/one", victim, out),
        ("symbolic", "bin/one", "../../1.0.0/bin/serve", out),
        ("symbolic", "bin/one", "../bin/../../x", out),
        ("symbolic", "one -> two", "../x", out),
        ("hard", "one", victim, out),
        ("hard", "one", "../../env", out),
        ("below", "one,one/two", "bin", "has a path through a link: one/two"),
        ("below", "one,one", "bin/serve", "has it twice: one"),
        ("plain", ".factory/app.conf", "", "has it twice: .factory/app.conf"),
        ("plain", "../one", "", out),
        ("plain", "/home/deploy/victim", "", out),
        ("fifo", "one", "", "has more than files, folders and links"),
        ("many", "", "", "has more than 200000 files and folders"),
        ("huge", "one", "", "unpacks to more than 4294967296 bytes"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = root.join(format!("home/deploy/shop/.factory/dist/bad-{n}.tar.gz"));
        let words = [artifact.to_str().unwrap(), path.to_str().unwrap(), kind, name, target];
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/app/archives.py");
        passed(&run(&app.folder, "python3", &[&[program][..], &words].concat()));
        let output = app.deploy(&format!(".factory/deploy install .factory/dist/bad-{n}.tar.gz 2.0.{n}"));
        assert_eq!(app.journey.inside("cat /home/deploy/victim"), "mine", "{kind} {name} {target}");
        let said = code(&output, 65);
        assert!(said.contains(why), "{kind} {name} {target}: {said}");
        let after = app.journey.inside("cd /srv/apps/shop && find . ! -name lock -printf '%p %y %T@ %l\\n' | sort");
        assert_eq!(after, before, "{kind} {name} {target}");
    }
    // As large as it comes: nothing of it is read.
    let large = ".factory/dist/large.tar.gz";
    let said = code(&app.deploy(&format!("truncate -s 2G {large} && .factory/deploy install {large} 2")), 65);
    assert!(said.contains("has more than 1073741824 bytes"), "{said}");
    // Links within the release are what programs come with.
    let path = root.join("home/deploy/shop/.factory/dist/good.tar.gz");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/app/archives.py");
    let words = [artifact.to_str().unwrap(), path.to_str().unwrap(), "symbolic", "lib/a \"b\",lib/c", "../bin/serve"];
    passed(&run(&app.folder, "python3", &[&[program][..], &words].concat()));
    passed(&app.deploy(".factory/deploy install .factory/dist/good.tar.gz 1.1.0"));
    assert_eq!(fs::read_link(app.place("releases/1.1.0/lib/c")).unwrap(), Path::new("../bin/serve"));
    passed(&app.deploy(".factory/deploy rollback"));
    // A folder that is closed to its owner keeps no later release out.
    let path = root.join("home/deploy/shop/.factory/dist/closed.tar.gz");
    let words = [artifact.to_str().unwrap(), path.to_str().unwrap(), "closed", "lib/d,lib/d/e"];
    passed(&run(&app.folder, "python3", &[&[program][..], &words].concat()));
    passed(&app.deploy(".factory/deploy install .factory/dist/closed.tar.gz 1.2.0"));
    passed(&app.deploy(".factory/deploy rollback"));
}

fn the_digest_is_beside_the_release(app: &App<'_>) {
    let digest = app.place("digests/1.0.0");
    let noted = fs::read_to_string(&digest).unwrap();
    let sum = app.deploy("sha256sum .factory/dist/shop-1.0.0.tar.gz | cut -c 1-64");
    assert_eq!(noted, passed(&sum));
    fs::remove_file(&digest).unwrap();
    assert!(code(&app.install("1.0.0"), 65).contains("a release never changes"));
    fs::write(&digest, noted).unwrap();
    app.journey.inside("chown root: /srv/apps/shop/digests/1.0.0");
}

fn a_port_has_one_application(site: &App<'_>, shop: &App<'_>) {
    shop.edit(".factory/app.conf", "port.production=8102", "port.production=8100");
    shop.build("3.0.0");
    let said = code(&shop.install("3.0.0"), 65);
    assert!(said.contains("port.production in its .factory/app.conf, 8100, is the port of site"), "{said}");
    shop.edit(".factory/app.conf", "port.production=8100", "port.production=70000");
    shop.build("3.0.1");
    assert!(code(&shop.install("3.0.1"), 65).contains("must be in 1024 to 65535"));
    assert!(!shop.place("releases/3.0.0").exists() && !shop.place("releases/3.0.1").exists());

    // The port that an old release had is another's by now.
    shop.edit(".factory/app.conf", "port.production=70000", "port.production=8105");
    shop.build("3.1.0");
    passed(&shop.install("3.1.0"));
    site.edit(".factory/app.conf", "port.production=8100", "port.production=8102");
    site.build("2.0.0");
    passed(&site.install("2.0.0"));
    let said = code(&shop.deploy(".factory/deploy rollback"), 76);
    assert!(said.contains("its port 8102 is the port of site; 3.1.0 still serves"), "{said}");
    let answer = |port: u16| shop.journey.inside(&format!("curl -sS http://127.0.0.1:{port}/"));
    assert!(answer(8102).contains("<html") && answer(8105).contains("3.1.0"), "{} {}", answer(8102), answer(8105));
}

fn a_folder_has_one_application(app: &App<'_>) {
    passed(&app.deploy(".factory/deploy install .factory/dist/shop-3.1.0.tar.gz 3.1.0 staging"));
    let said = app.journey.host.run_inside(&["factory-deploy", "rollback", "shop-staging"]).unwrap();
    assert!(code(&said, 65).contains("/srv/apps/shop-staging belongs to shop"));
    for (name, environment, exit) in [("shop-staging", "", 77), ("../shop", "", 77), ("shop", "../shop", 64)] {
        let change = format!("sed -i s#^name=.*#name={name}# .factory/app.conf");
        code(&app.deploy(&format!("{change} && .factory/deploy status {environment}")), exit);
    }
}
