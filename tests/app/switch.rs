//! Requests while a release comes and goes: 100 a second, of which none may fail, and none may reach a release that is not healthy.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::control_repo::passed;
use crate::deploy::{App, code};
use crate::image::packed;
use crate::journey::Journey;
use crate::support::{PATIENCE, lab};

/// What `load.py` prints.
#[derive(Deserialize)]
pub(crate) struct Load {
    pub(crate) sent: usize,
    pub(crate) failed: Vec<String>,
    /// Seconds that the one that waited longest took beyond its own.
    pub(crate) waited: f64,
    pub(crate) versions: BTreeMap<String, usize>,
    /// Seconds from the first failure that was seen to the last request that failed.
    dark: f64,
    between: usize,
}

/// What is done to an application while requests come, and which of the two good releases has to serve then.
struct Deed {
    what: &'static str,
    command: String,
    wanted: i32,
    serves: usize,
}

/// Each deed under load: no request fails, and no release answers but the two good ones. `path` is what is asked, or a mix of requests.
#[allow(clippy::print_stdout)]
fn under_each(app: &App<'_>, path: Option<&str>, overlap: &str, good: &[String; 2], deeds: Vec<Deed>) {
    let mut table = String::new();
    for Deed { what, command, wanted, serves } in deeds {
        let (load, took) = under_load(app, path, &command, wanted);
        table += &format!(
            "{:4} {overlap:3} {what:24} {:4} of {:4} failed, waited {:5.2} s, took {:4.1} s, load {}\n",
            app.name,
            load.failed.len(),
            load.sent,
            load.waited,
            took.as_secs_f64(),
            fs::read_to_string("/proc/loadavg").unwrap().split(' ').next().unwrap()
        );
        // Requests are held for 10 s, and with so much else to do this machine may need longer to stop one release and start another.
        let is_slow = overlap == "no" && took > Duration::from_secs(8);
        // What is open when the program is killed, and cannot be asked twice, is lost: a POST, and what was answered in part.
        let once = |request: &&String| request.starts_with("POST") || request.contains("JSONDecodeError");
        let lost = load.failed.iter().filter(|request| what == "kill -9" && once(request)).count();
        assert!(
            load.failed.len() == lost && lost <= 2 || is_slow,
            "{what}: {:?}\n{table}",
            &load.failed[..load.failed.len().min(5)]
        );
        assert!(load.sent > 50);
        assert!(load.versions.keys().all(|version| good.contains(version)), "{what}: {:?}", load.versions);
        let said = app.get(path.unwrap_or("/"));
        assert!(said.contains(&good[serves]), "{what}: {said}");
    }
    println!("{table}");
}

/// The deeds that each kind with a program has; the releases are `MAJOR.0` and `MAJOR.1`, and bad ones by name.
fn deeds(app: &App<'_>, major: u8, install: &dyn Fn(&str) -> String) -> Vec<Deed> {
    let name = app.name;
    let bad =
        |what, version: &str| Deed { what, command: install(&format!("{major}.{version}")), wanted: 76, serves: 1 };
    let good = |what, command, serves| Deed { what, command, wanted: 0, serves };
    // The program, not what connects it.
    let kill = format!(
        "kill -9 $(systemctl show -P MainPID app-{name}@$(basename $(readlink /srv/apps/{name}/live))) && sleep 2"
    );
    vec![
        good("good release", install(&format!("{major}.1")), 1),
        bad("crashing release", "ends"),
        bad("unhealthy release", "ill"),
        bad("shallow-healthy release", "hollow"),
        good("rollback", ".factory/deploy rollback".into(), 0),
        good("new settings", format!("echo GREETING={major} | .factory/deploy settings"), 0),
        good("kill -9", kill, 0),
    ]
}

pub(crate) fn nobody_notices(app: &App<'_>) {
    app.edit("bin/serve", "do_HEAD = do_GET", "do_HEAD = do_POST = do_GET");
    app.edit(
        "bin/serve",
        "elif path == \"/\":",
        "elif path == \"/slow\":\n            time.sleep(1)\n            self.answer(200, {\"version\": VERSION})\n        elif path == \"/\":",
    );
    a_program_reads_nothing_of_others(app);
    let serve = fs::read_to_string(app.folder.join("bin/serve")).unwrap();
    for (overlap, major) in [("yes", 6), ("no", 7)] {
        app.edit(".factory/app.conf", "overlap=", "was=");
        app.edit(".factory/app.conf", "was=yes", &format!("overlap={overlap}"));
        let good = [format!("{major}.0"), format!("{major}.1")];
        for version in &good {
            app.build(version);
        }
        passed(&app.install(&good[0]));
        // Without overlap, the release before says how long a bad one is tried.
        let seconds = if overlap == "yes" { "health_seconds=3" } else { "health_seconds=30\n" };
        let deaf = "class Handler";
        let signals = if overlap == "yes" {
            deaf.to_owned()
        } else {
            format!("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\n\n{deaf}")
        };
        app.edit(".factory/app.conf", "health_seconds=30", seconds);
        for (name, bad) in [
            ("ends", "#!/bin/sh\nexit 3\n".to_owned()),
            (
                "ill",
                serve.replace("self.answer(200, {\"status\"", "self.answer(503, {\"status\"").replace(deaf, &signals),
            ),
            ("hollow", serve.replace("self.answer(200, {\"message\"", "self.answer(500, {\"message\"")),
        ] {
            assert_ne!(bad, serve);
            fs::write(app.folder.join("bin/serve"), bad).unwrap();
            app.build(&format!("{major}.{name}"));
        }
        fs::write(app.folder.join("bin/serve"), &serve).unwrap();
        app.edit(".factory/app.conf", seconds, "health_seconds=30");
        let install = |version: &str| format!(".factory/deploy install .factory/dist/shop-{version}.tar.gz {version}");
        under_each(app, None, overlap, &good, deeds(app, major, &install));
    }
    // Two were given up long before the 30 s that they have where nothing waits.
    assert_eq!(app.journey.inside("grep -c ', while requests waited' /srv/apps/shop/evidence.jsonl"), "2");
    // Killed while neither of the two runs.
    for (n, seconds) in [0.7, 1.4, 2.1].into_iter().enumerate() {
        let version = format!("7.9.{n}");
        app.build(&version);
        app.install_killed(&version, seconds);
        code(&app.deploy(".factory/deploy rollback production none"), 64);
        let status = app.status();
        assert!(
            status["healthy"] == true
                && status["running"] == status["good"].as_array().unwrap().last().unwrap().clone(),
            "{status}"
        );
    }
}

/// The same with an image, whose releases are the first one with changes.
pub(crate) fn images_switch_too(app: &App<'_>, overlap: &str) {
    let major = 5;
    let good = [format!("{major}.0"), format!("{major}.1")];
    let page = format!("sed -i \"s#^overlap=.*#overlap={overlap}\\npage=/cgi-bin/version#\" .factory/app.conf");
    let public = ".factory/rootfs/app/public";
    for (version, change) in [
        ("0", "true".to_owned()),
        ("1", "true".to_owned()),
        ("ends", "echo exit 3 >.factory/rootfs/app/serve".to_owned()),
        ("ill", format!("rm {public}/healthz")),
        ("hollow", format!("sed -i \"s/^echo$/echo Status: 500 x; echo/\" {public}/cgi-bin/version")),
    ] {
        packed(app, &format!("{page} && {change}"), &format!("../blog-{major}.{version}.tar.gz"));
    }
    let install = |version: &str| format!(".factory/deploy install ../blog-{version}.tar.gz {version}");
    passed(&app.deploy(&install(&good[0])));
    under_each(app, Some("/cgi-bin/version"), overlap, &good, deeds(app, major, &install));
}

/// A site is files that the edge serves: no program, and the same switch.
pub(crate) fn files_switch_too(app: &App<'_>) {
    let release = |version: &str| {
        fs::write(app.folder.join("public/version.json"), format!("{{\"version\": \"{version}\"}}\n")).unwrap();
        app.build(version);
        format!(".factory/deploy install .factory/dist/site-{version}.tar.gz {version}")
    };
    let first = release("1.0.0");
    passed(&app.deploy(".factory/check"));
    let said = passed(&app.deploy(&first));
    assert!(said.contains("site: 1.0.0 serves on http://127.0.0.1:8100"), "{said}");
    assert!(app.get("/").contains("This page came") && app.get("/version.json").contains("1.0.0"));
    assert!(passed(&app.deploy(&first)).contains("serves already"));
    // Killed between the switch and the record: the next run makes up for the record.
    app.journey.inside(": >/srv/apps/site/good");
    assert!(passed(&app.deploy(&first)).contains("1.0.0 serves on"));
    // What leads out of a release is refused: the edge can read more than that.
    let hostile = |make: &str| {
        let make = format!(
            "rm -rf ../x && mkdir -p ../x/.factory && cp -r public ../x/ && cp .factory/app.conf ../x/.factory/ && cd ../x && {make} && \
             tar -czf ../x.tar.gz . && cd - && .factory/deploy install ../x.tar.gz 9"
        );
        code(&app.deploy(&make), 65)
    };
    assert!(hostile("ln -s /srv/apps/site/evidence.jsonl public/notes").contains("has a link out of the release"));
    assert!(hostile("ln -sf index.html public/notes").contains("symbolic links in public"));
    assert!(hostile("sed -i 's#^site=.*#site=.factory/../public#' .factory/app.conf").contains("must not contain .."));
    let path = Some("/version.json");
    let deed = |what, command, wanted, serves| vec![Deed { what, command, wanted, serves }];
    let both = ["1.0.0".to_owned(), "1.1.0".to_owned()];
    under_each(app, path, "", &both, deed("good release", release("1.1.0"), 0, 1));
    fs::remove_file(app.folder.join("public/index.html")).unwrap();
    under_each(app, path, "", &both, deed("release without its page", release("1.2.0"), 76, 1));
    assert_eq!(app.current(), Path::new("releases/1.1.0"));
    under_each(app, path, "", &both, deed("rollback", ".factory/deploy rollback".into(), 0, 0));
    under_each(app, path, "", &both, deed("new settings", "echo X=1 | .factory/deploy settings".into(), 0, 0));
    the_edge_is_killed(app, "1.0.0");
    let status = app.status();
    assert_eq!((&status["running"], &status["healthy"]), (&"1.0.0".into(), &true.into()), "{status}");
    let done = [
        "install site 1.0.0: healthy",
        "install site 1.0.0: healthy",
        "install site 1.1.0: healthy",
        "install site 1.2.0: reverted",
        "rollback site 1.0.0: healthy",
        "settings site 1.0.0: healthy",
    ];
    assert_eq!(app.evidence(), done);
    assert_eq!(app.journey.inside("systemctl list-units --plain --no-legend 'app-site@*'"), "");
}

/// The edge has the port: requests are refused until it runs again, and none after that.
#[allow(clippy::print_stdout)]
fn the_edge_is_killed(app: &App<'_>, serves: &str) {
    let kill = "kill -9 $(systemctl show -P MainPID factory-edge) && sleep 2 && curl -fsS --retry 20 --retry-connrefused http://127.0.0.1:8100/ >/dev/null";
    let (load, _) = under_load(app, Some("/version.json"), kill, 0);
    let lost = load.failed.len();
    println!(
        "kill -9 of the edge: {lost} of {} failed within {:.1} s, waited {:.2} s",
        load.sent, load.dark, load.waited
    );
    assert!(lost > 0 && load.between <= 5, "{} of {}: {:?}", load.between, load.sent, &load.failed[..lost.min(5)]);
    assert!(load.versions.keys().eq([serves]), "{:?}", load.versions);
    // One that cannot start tries for as long as it takes, and does not keep the host busy with that.
    let starts = app.journey.inside(
        "echo 'no {' >/etc/factory/edge/broken.caddy; before=$(systemctl show -P NRestarts factory-edge); \
         systemctl kill --signal KILL factory-edge; sleep 9; \
         echo $(($(systemctl show -P NRestarts factory-edge) - before)); rm /etc/factory/edge/broken.caddy",
    );
    assert!((2..=6).contains(&starts.parse::<u32>().unwrap()), "{starts}");
    app.journey.wait_until("curl -fsS http://127.0.0.1:8100/ >/dev/null");
}

/// Runs a command as `deploy` while requests come, from half a second before it to half a second after it.
pub(crate) fn under_load(app: &App<'_>, path: Option<&str>, command: &str, wanted: i32) -> (Load, Duration) {
    let stop = "/home/deploy/stop";
    app.journey.inside(&format!("rm -f {stop} {stop}.not-yet"));
    fs::write(app.journey.host.rootfs().join("home/deploy/load.py"), include_str!("load.py")).unwrap();
    let host = &app.journey.host;
    std::thread::scope(|scope| {
        let port = app.port.to_string();
        let load = scope.spawn(move || {
            let words = ["python3", "/home/deploy/load.py", &port, stop];
            lab::stdout(&host.run_inside(&words.into_iter().chain(path).collect::<Vec<_>>()).unwrap())
        });
        app.journey.wait_until(&format!("[ -e {stop}.not-yet ]"));
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        let output = if command.starts_with("kill -9 ") {
            host.run_inside(&["sh", "-c", command]).unwrap()
        } else {
            app.deploy(command)
        };
        let took = begun.elapsed();
        std::thread::sleep(Duration::from_millis(500));
        app.journey.inside(&format!("touch {stop}"));
        let load = load.join().unwrap();
        code(&output, wanted);
        (serde_json::from_str(&load).unwrap(), took)
    })
}

/// A power cut while requests come from outside: once the edge is up, no more fail. Each application has its port and its page.
#[allow(clippy::print_stdout)]
pub(crate) fn through_a_power_cut(journey: &mut Journey, apps: &[(&str, u16, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let (program, stop) = (folder.path().join("load.py"), folder.path().join("stop"));
    fs::write(&program, include_str!("load.py")).unwrap();
    let network = journey.host.rootfs().ancestors().nth(2).unwrap().file_name().unwrap().to_owned();
    let network = format!("--net=/run/netns/factoryup-{}", network.to_str().unwrap());
    let loads: Vec<_> = apps
        .iter()
        .map(|(_, port, path)| {
            let mut load = Command::new("nsenter");
            load.args([&network, "python3"]).arg(&program).arg(port.to_string()).arg(&stop).arg(path);
            load.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    std::thread::sleep(Duration::from_secs(2));
    journey.host.cut_power().unwrap();
    for (_, port, path) in apps {
        journey.wait_until(&format!("curl -fsS http://127.0.0.1:{port}{path} >/dev/null"));
    }
    std::thread::sleep(Duration::from_secs(2));
    fs::write(&stop, "").unwrap();
    for (load, (name, ..)) in loads.into_iter().zip(apps) {
        let load = load.wait_with_output().unwrap();
        let Load { sent, failed, waited, dark, between, .. } = serde_json::from_slice(&load.stdout).unwrap();
        let lost = failed.len();
        println!(
            "{name:4} power cut: {lost} of {sent} failed within {dark:.1} s, {between} answered meanwhile, waited {waited:.2} s"
        );
        // The edge holds them for 10 s, and this machine may need longer to start the applications.
        assert!(lost > 0 && (between <= 5 || dark > 20.0), "{name}: {between} of {sent}, {:?}", &failed[..lost.min(5)]);
    }
}

/// Each application sees its own release and data alone.
fn a_program_reads_nothing_of_others(app: &App<'_>) {
    fs::write(app.journey.host.rootfs().join("home/deploy/given"), "GREETING=not-for-shop\n").unwrap();
    code(&app.deploy(".factory/deploy settings staging <../given && rm ../given"), 0);
    let serve = fs::read_to_string(app.folder.join("bin/serve")).unwrap();
    let look = include_str!("look.py");
    fs::write(app.folder.join("look.py"), format!("{look}print(*look(), sep=\"\\n\")\n")).unwrap();
    app.edit("bin/serve", "class Handler", &format!("{look}class Handler"));
    app.edit(
        "bin/serve",
        "elif path == \"/\":",
        "elif path == \"/look\":\n            self.answer(200, look())\n        \
         elif path == \"/headers\":\n            self.answer(200, dict(self.headers))\n        elif path == \"/\":",
    );
    app.edit(".factory/app.conf", "memory=512M", "memory=64M");
    app.build("5.2.0");
    code(&app.install("5.2.0"), 0);
    // The same program finds them where nothing keeps it from that.
    let free = app.journey.inside("cd /home/deploy/shop && python3 look.py");
    assert!(["/srv/apps/shop-staging/env", "/proc/"].iter().all(|found| free.contains(found)), "{free}");
    assert_eq!(app.get("/look").trim(), "[[], false, [\"shop\"]]");
    assert_eq!(app.show("MemoryMax"), (64 << 20).to_string());
    assert_eq!(app.show("MemorySwapMax"), "0");

    // What the tunnel says of the visitor arrives.
    let said = ["X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7", "Host: shop.example.org"];
    let options = said.map(|header| format!("-H '{header}'")).join(" ");
    let seen = app.journey.inside(&format!("curl -sS {options} http://127.0.0.1:8102/headers"));
    assert!(said.iter().all(|header| seen.contains(&format!("\"{}\"", header.replace(": ", "\": \"")))), "{seen}");
    fs::write(app.folder.join("bin/serve"), serve).unwrap();
}

fn wait_until_healthy(app: &App<'_>) -> serde_json::Value {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let status = app.status();
        if status["healthy"] == true {
            return status;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    panic!("not healthy: {}", app.status());
}

/// The services come back with the system, as after a restart of the host.
pub(crate) fn after_a_restart(app: &App<'_>) {
    app.journey.inside("systemctl stop factory-apps.slice factory-edge; systemctl start multi-user.target");
    let status = wait_until_healthy(app);
    assert_eq!(status["running"], "5.1.0");
    // The other slot did not start, so that there are never two that write.
    let slots = "systemctl show -P ActiveState app-shop@blue app-shop@green | sort | xargs";
    assert_eq!(app.journey.inside(slots), "active inactive");

    // A host that an earlier factoryup provisioned, or where somebody removed the package.
    for (path, says) in [
        ("/usr/bin/caddy", "caddy is missing"),
        ("/etc/systemd/system/factory-edge.service", "factory-edge.service is missing"),
        ("/usr/local/sbin/factory-deploy", "factory-deploy is missing"),
    ] {
        app.journey.inside(&format!("mv {path} {path}.away"));
        let said = code(&app.deploy(".factory/deploy status"), 69);
        assert!(said.contains(says) && said.contains("factoryup apply host"), "{said}");
        app.journey.inside(&format!("mv {path}.away {path}"));
    }
}
