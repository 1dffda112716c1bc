//! A release that is the root file system of an image: built on the host as CI builds it, then installed like any other.

use std::fs;
use std::path::Path;
use std::process::Output;

use factoryup::app::{ADOPT_BRANCH, AppKind, Made, Request, Trial, add};

use crate::control_repo::{ControlRepo, passed};
use crate::deploy::{App, code};
use crate::journey::Journey;
use crate::scaffold::{git, made, run};
use crate::support;
use crate::switch::images_switch_too;

/// The top of what it sees.
const SEEN: &str = "app bin dev etc proc root run srv sys tmp usr var";

/// The application `blog` of a repo that has only a container file; returns its port.
pub(crate) fn an_image_runs_and_sees_itself_alone(
    journey: &Journey,
    control: &ControlRepo,
    overlap: &str,
) -> Option<u16> {
    if !support::available(&["busybox"]) {
        return None;
    }
    let folder = control.path().with_file_name("blog");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/app/corpus/container");
    // Where the host has what its Compose file asks for, that decides, and the image is one of a folder.
    let is_composed = !journey.factory.host.services.is_empty();
    let context = if is_composed { folder.join("web") } else { folder.clone() };
    fs::create_dir_all(&folder).unwrap();
    passed(&run(&corpus, "cp", &["-a", ".", context.to_str().unwrap()]));
    fs::copy(support::tool("busybox").unwrap(), context.join("busybox")).unwrap();
    if is_composed {
        fs::copy(corpus.with_file_name("compose").join("compose.yaml"), folder.join("compose.yaml")).unwrap();
        let file = fs::read_to_string(context.join("Containerfile")).unwrap();
        let is_of_compose =
            |line: &&str| line.starts_with("ENV ") || line.starts_with("VOLUME ") || line.starts_with("HEALTHCHECK ");
        let rest: Vec<&str> = file.lines().filter(|line| !is_of_compose(line)).collect();
        assert_eq!(rest.len() + 3, file.lines().count());
        fs::write(context.join("Containerfile"), rest.join("\n") + "\n").unwrap();
    }
    git(&folder, &["init", "-q", "-b", "trunk"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-qm", "What was there"]);
    let path = control.path();
    let mut request = Request::new(&path, &control.factory, "blog", None::<AppKind>);
    request.adopt = Some(folder.clone());
    let made = add(&request).unwrap().made;
    // Some machines have what builds it.
    let Made::Adopted { trial, .. } = &made else { panic!("{made:?}") };
    match trial {
        Trial::NotTried { why } => assert_eq!(why, "podman is not installed"),
        other => assert!(matches!(other, Trial::Answered { path, .. } if path == "/healthz"), "{other:?}"),
    }
    git(&folder, &["switch", "-q", ADOPT_BRANCH]);
    passed(&run(&folder, "shellcheck", &[".factory/build", ".factory/image", ".factory/run"]));
    let conf = fs::read_to_string(folder.join(".factory/app.conf")).unwrap();
    for line in ["folder=web", "service.postgres=yes", "service.redis=yes"] {
        assert_eq!(conf.contains(&format!("\n{line}\n")), is_composed, "{conf}");
    }
    assert!(conf.contains("\nhealth=/healthz\n") && conf.contains("\nvolume=/var/lib/shop\n"), "{conf}");
    let port = port_of(&folder);
    let app = App { journey, folder, name: "blog", port };
    journey.inside(
        "DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends podman crun >/dev/null 2>&1",
    );
    app.edit(".factory/app.conf", "health_seconds=30", "health_seconds=5");

    build(&app, "1.0.0");
    passed(&app.install("1.0.0"));
    sees_itself_alone(&app, "1.0.0");
    // What is told comes after settings; what the image sets, before them.
    passed(&app.deploy("printf \"PORT=1\\nGREETING=mine\\n\" | .factory/deploy settings"));
    assert_eq!(app.get("/cgi-bin/look").lines().next(), Some("1.0.0 mine"));
    passed(&app.deploy("echo X=1 | .factory/deploy settings"));

    let lines =
        "migrate=echo $APP_VERSION >>\"$APP_DATA/migrated\"\nworker.mail=A=1 sh -c 'echo \"works $A\"; sleep 600'\n";
    fs::write(journey.host.rootfs().join("home/deploy/lines"), lines).unwrap();
    passed(&changed(&app, "1.1.0", "cat ../lines >>.factory/app.conf"));
    assert!(journey.inside("journalctl --unit 'app-blog@*.mail.service' --output=cat").contains("works 1"));
    assert_eq!(journey.inside("cat /srv/apps/blog/data/migrated"), "1.1.0");
    assert_eq!(app.status()["workers"]["mail"], "active");
    sees_itself_alone(&app, "1.1.0");
    bad_ones_go(&app);
    hostile_ones_are_refused(&app);
    assert!(passed(&app.deploy(".factory/deploy rollback")).contains("1.0.0 serves"));
    sees_itself_alone(&app, "1.0.0");
    images_switch_too(&app, overlap);
    // On one of the two hosts: their difference is tried above.
    if overlap == "no" {
        the_one_that_app_add_makes_serves(journey, control);
    }
    Some(port)
}

fn port_of(folder: &Path) -> u16 {
    let conf = fs::read_to_string(folder.join(".factory/app.conf")).unwrap();
    conf.lines().find_map(|line| line.strip_prefix("port.production=")).unwrap().parse().unwrap()
}

/// As it is made, except for its base: that one is in a registry, and here the host's Python takes its place.
fn the_one_that_app_add_makes_serves(journey: &Journey, control: &ControlRepo) {
    let folder = made(control, AppKind::Container, "box");
    let app = App { journey, port: port_of(&folder), folder, name: "box" };
    app.edit("Containerfile", "FROM docker.io/library/python:3.13-slim", "FROM scratch\nADD python.tgz /");
    journey.inside(
        "tar -czhf /root/python.tgz --exclude=__pycache__ --exclude=test /usr/bin/env /usr/bin/python3 /usr/lib/python3.* \
         $(ldd /usr/bin/python3 /usr/bin/env | grep -o '/[^ :]*so[^ :]*' | sort -u) 2>/dev/null",
    );
    fs::copy(journey.host.rootfs().join("root/python.tgz"), app.folder.join("python.tgz")).unwrap();
    build(&app, "1.0.0");
    passed(&app.install("1.0.0"));
    let said: serde_json::Value = serde_json::from_str(&app.get("/")).unwrap();
    assert_eq!((&said["message"], &said["version"]), (&"Hello from box".into(), &"1.0.0".into()), "{said}");
    passed(&app.deploy("tar -tzf .factory/dist/box-1.0.0.tar.gz .factory/rootfs/app/bin/serve"));
}

/// Installs the first release with a change.
fn changed(app: &App<'_>, version: &str, change: &str) -> Output {
    packed(app, change, "../x.tar.gz");
    app.deploy(&format!(".factory/deploy install ../x.tar.gz {version}"))
}

/// The artifact of the first release with a change, next to the checkout.
pub(crate) fn packed(app: &App<'_>, change: &str, archive: &str) {
    let first = format!(".factory/dist/{}-1.0.0.tar.gz", app.name);
    let make = format!("rm -rf ../x && mkdir ../x && tar -xzf {first} -C ../x && cd ../x");
    passed(&app.deploy(&format!("{make} && {change} && tar -czf {archive} .")));
}

/// In the sandbox of the build runner.
fn build(app: &App<'_>, version: &str) {
    git(&app.folder, &["add", "."]);
    git(&app.folder, &["commit", "-q", "--allow-empty", "-m", version]);
    let root = app.journey.host.rootfs();
    let name = app.name;
    let (checkout, home) = (format!("/home/deploy/{name}"), format!("/var/lib/factory-jobs/build-{name}"));
    app.journey.inside(&format!("rm -rf {checkout}; factory-runner job prepare {name}"));
    passed(&run(&app.folder, "cp", &["-a", ".", root.join(&checkout[1..]).to_str().unwrap()]));
    fs::write(root.join("root/script"), format!("set -e\ncd ~/project\n.factory/build {version} </dev/null\n"))
        .unwrap();
    app.journey.inside(&format!(
        "cp -a {checkout} {home}/project; chown -R factory-build: {home}/project; \
         factory-runner job run {name} /root/script build_script >/root/said 2>&1 || {{ cat /root/said >&2; exit 1; }}; \
         cp -a {home}/project/.factory/dist {checkout}/.factory/; factory-runner job cleanup {name}; chown -R deploy: {checkout}"
    ));
}

fn sees_itself_alone(app: &App<'_>, version: &str) {
    let said = app.get("/cgi-bin/look");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            &format!("{version} a \"b\" %n $HOME \\x"),
            "/app|a b|%n \"q\" $HOME ${PORT} \\t|;|",
            SEEN,
            "writes where it may"
        ]
    );
    let ask = "stat -c '%U %a' /srv/apps/blog/data/mine; find / /run /run/lock -xdev -name planted; \
               find /srv/apps/blog/releases ! -user root -o -perm /6022 ! -type l";
    assert_eq!(app.journey.inside(ask), "app-blog 600");
    // The socket in front of it is the edge's, and knows nothing of the image's variables.
    let edge = app.journey.inside(
        "pid=$(systemctl show -P MainPID app-blog@$(basename $(readlink /srv/apps/blog/live))-edge); stat -c %U /proc/$pid; \
         tr '\\0' '\\n' </proc/$pid/environ | grep -c GREETING || true",
    );
    assert_eq!(edge, "factory-edge\n0");
}

fn bad_ones_go(app: &App<'_>) {
    for (version, change, why) in [
        ("2.1.0", "sed -i s/:.PORT/:28080/ .factory/rootfs/app/serve", "no 200 from /healthz within 5 s"),
        ("2.2.0", "echo migrate=exit 4 >>.factory/app.conf", "its migration ended with exit code 4"),
        ("2.3.0", "echo worker.mail=exit 5 >>.factory/app.conf", "its worker mail "),
    ] {
        let said = code(&changed(app, version, change), 76);
        assert!(said.contains(why) && said.contains("1.1.0 still serves"), "{said}");
        assert!(app.get("/cgi-bin/look").starts_with("1.1.0 "));
    }
}

/// What a release of this kind may have says nothing to programs of root's.
fn hostile_ones_are_refused(app: &App<'_>) {
    let look = "cd /srv/apps/blog/releases && ls -d * && ls /etc/systemd/system && cat /etc/systemd/system/app-blog*";
    let before = app.journey.inside(look);
    for (change, why) in [
        ("sed -i s/^arg=/arg=+/ .factory/image.conf", "no path of a program"),
        ("sed -i s/^arg=.*/arg=sh/ .factory/image.conf", "no path of a program"),
        ("sed -i s/^workdir=.*/workdir=-x/ .factory/image.conf", "no path in workdir"),
        ("echo env=x >>.factory/image.conf", "has an env that is not NAME=value"),
        ("printf \"env=A=b\\rUser=root\\n\" >>.factory/image.conf", "image.conf is no text"),
        ("printf \"arg=x\\0ExecStartPre=+/bin/touch /pwned\\0X=\n\" >>.factory/image.conf", "image.conf is no text"),
        ("printf \"start=x\\0\n\" >>.factory/app.conf", "app.conf is no text"),
        ("ln -sf app.conf .factory/image.conf", "no .factory/image.conf"),
        ("rm -r .factory/rootfs", "has root in its .factory/app.conf"),
        ("rm -r .factory/rootfs && ln -s /etc .factory/rootfs", "out of the release"),
        ("rm -r .factory/rootfs && ln -s . .factory/rootfs", "has root in its .factory/app.conf"),
        ("ln -s /etc/passwd .factory/x", "out of the release"),
        ("mkfifo .factory/rootfs/x", "more than files, folders and links"),
        ("sed -i s#^root=.*#run=.factory/run# .factory/app.conf", "has .factory/rootfs, and no root"),
        ("sed -i s/^root=.*/root=../ .factory/app.conf", "root in its .factory/app.conf must match"),
        ("echo site=.factory/rootfs/etc >>.factory/app.conf", "has site with root"),
        ("sed -i s#^volume=.*#volume=/../x# .factory/app.conf", "must not contain .."),
        ("sed -i \"s#^volume=.*#volume=/x y#\" .factory/app.conf", "volume in its .factory/app.conf must match"),
        ("echo port_variable=A=b >>.factory/app.conf", "port_variable in its .factory/app.conf must match"),
    ] {
        let said = code(&changed(app, "9", change), 65);
        assert!(said.contains(why), "{change}: {said}");
    }
    assert_eq!(app.journey.inside(look), before);
}
