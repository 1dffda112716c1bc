//! Applications attacked from inside one, and the program that deploys them attacked as the user who may call it.

use std::fs;

use disposable_host::{Image, Recipe};
use factoryup::age::KeyPair;

use crate::control_repo::{ControlRepo, passed, text};
use crate::databases;
use crate::deploy::{App, code};
use crate::image;
use crate::journey::Journey;
use crate::redis;
use crate::scaffold::{KINDS, made, ready};
use crate::support::lab;
use crate::switch::through_a_power_cut;

/// What code of a release, or of what it depends on, tries. `pids` has processes of others.
pub(crate) const ATTACK: &str = r#"
id -un
for path in /srv/apps/*/env /srv/apps/shop-staging/* /srv/apps/shop-staging/data/* /proc/[0-9]*/environ /home/deploy/private; do
    [ ! -f "$path" ] || [ "$path" = /proc/$$/environ ] || tr '\0' '\n' <"$path"
done 2>/dev/null | grep -a canary
for pid in $(cat "$APP_DATA/pids"); do
    kill -0 $pid 2>/dev/null && echo "reaches the process $pid"
    ls /proc/$pid/fd >/dev/null 2>&1 && echo "sees the process $pid"
done
for folder in . ./bin .. ../.. /srv/apps /srv/apps/shop-staging /etc /etc/systemd/system /etc/factory/edge /usr/local/bin /home/deploy /run /run/lock /var/tmp/../lib; do
    touch $folder/planted 2>/dev/null && echo "planted in $folder"
done
echo 'exit 0' >>bin/serve 2>/dev/null && echo "changed its release"
chmod u+w . 2>/dev/null && echo "changed the mode of its release"
sudo -n id >/dev/null 2>&1 && echo "open: sudo"
sudo -n /usr/local/sbin/factory-deploy status shop >/dev/null 2>&1 && echo "open: factory-deploy"
systemctl --no-ask-password stop factory-edge 2>/dev/null && echo "open: the service manager"
busctl --no-pager list >/dev/null 2>&1 && echo "open: D-Bus"
unshare --user true 2>/dev/null && echo "open: user namespaces"
ls /run/factory-edge >/dev/null 2>&1 && echo "open: the edge"
ipcs -m | grep -q app-shop-s && echo "open: shared memory"
timeout 9 bash -c 'echo >/dev/tcp/169.254.169.254/80' 2>&1 | grep -q 'No route' || echo "reaches the metadata address"
python3 - <<'CONNECT'
import socket
for slot in "blue", "green":
    try:
        socket.socket(socket.AF_UNIX).connect(f"/srv/apps/shop-staging/sockets/{slot}")
        print("connects to", slot)
    except OSError:
        pass
CONNECT
touch "$APP_DATA/mine" /tmp/mine /dev/shm/mine && echo "can write where it may"
"#;

/// A route to where clouds hand out credentials, which this machine has none of.
pub(crate) const METADATA: &str = "dev=$(ip route show default | cut -d' ' -f5); ip route add 169.254.169.254 dev $dev; \
     ip neigh replace 169.254.169.254 lladdr 02:00:00:00:00:01 nud permanent dev $dev";

#[test]
fn on_debian_12_an_application_reaches_nothing_of_others_and_a_deployment_nothing_else() {
    if ready() && lab::can_host() {
        let mut journey = Journey::new();
        journey.factory.host.services = vec!["postgres".into(), "redis".into()];
        attacks_fail(journey);
    }
}

#[test]
fn on_debian_13_an_application_reaches_nothing_of_others_and_a_deployment_nothing_else() {
    if ready() && lab::can_host() {
        let recipe = Recipe { suite: "trixie".into(), ..Recipe::default() };
        let image = Image::ensure(&recipe, &mut |line| eprintln!("{line}")).unwrap();
        attacks_fail(Journey::on(&image, None));
    }
}

fn attacks_fail(mut journey: Journey) {
    let pair = KeyPair::generate().unwrap();
    if !journey.factory.host.services.is_empty() {
        journey.factory.host.backup_to = "/srv/backup".into();
        journey.factory.secrets.owner_recipient = pair.recipient().into();
    }
    journey.provision();
    let control = ControlRepo::new("defaults");
    let [site, shop] = KINDS.map(|(kind, name)| {
        let port = if name == "site" { 8100 } else { 8102 };
        (made(&control, kind, name), name, port)
    });
    let blog = {
        let app = |(folder, name, port): &(std::path::PathBuf, &'static str, u16)| App {
            journey: &journey,
            folder: folder.clone(),
            name,
            port: *port,
        };
        let (site, shop) = (app(&site), app(&shop));
        fs::write(site.folder.join("public/version.json"), "{\"version\": \"1\"}\n").unwrap();
        site.build("1.0.0");
        passed(&site.install("1.0.0"));
        from_inside_an_application(&shop);
        by_way_of_the_edge(&shop);
        from_a_deployment(&shop);
        hostile_arguments(&site, &shop);
        if journey.factory.host.services.is_empty() {
            databases::a_host_without_one_says_what_it_lacks(&shop);
        } else {
            databases::each_application_has_its_own(&shop);
            databases::a_copy_takes_its_place(&shop);
            redis::each_application_has_its_own(&shop);
            databases::the_backup_has_it(&shop, &pair);
        }
        let overlap = if journey.factory.host.services.is_empty() { "no" } else { "yes" };
        image::an_image_runs_and_sees_itself_alone(&journey, &control, overlap)
    };
    // After a power cut all of it serves again, with nobody logged in.
    let mut apps = vec![("site", 8100, "/version.json"), ("shop", 8102, "/"), ("shop", 8103, "/")];
    apps.extend(blog.map(|port| ("blog", port, "/cgi-bin/version")));
    through_a_power_cut(&mut journey, &apps);
    if !journey.factory.host.services.is_empty() {
        let app = App { journey: &journey, folder: shop.0, name: shop.1, port: shop.2 };
        assert_eq!(databases::count(&app), "9");
        assert_eq!(redis::said(&app, "get%20mine"), "kept");
        databases::faults_are_seen(&journey);
        databases::it_goes_and_its_data_stays(&mut journey);
    }
}

fn from_inside_an_application(app: &App<'_>) {
    let journey = app.journey;
    app.edit(
        "bin/serve",
        "elif path == \"/\":",
        "elif path == \"/attack\":\n            import subprocess\n            \
         said = subprocess.run([\"sh\", \"bin/attack\"], stdout=subprocess.PIPE, text=True).stdout\n            \
         self.answer(200, {\"said\": said})\n        elif path == \"/\":",
    );
    fs::write(app.folder.join("bin/attack"), ATTACK).unwrap();
    app.build("1.0.0");
    passed(&app.install("1.0.0"));
    passed(&app.deploy(".factory/deploy install .factory/dist/shop-1.0.0.tar.gz 1.0.0 staging"));
    code(&app.deploy("echo SECRET=canary-of-a-setting | .factory/deploy settings staging"), 0);
    journey.inside("runuser -u deploy -- sh -c 'umask 077; echo canary-of-deploy >~/private' ; echo canary-of-data >/srv/apps/shop-staging/data/private");
    // In the kernel's memory for all, as one that does not run in its unit has it.
    journey.inside("cd /; runuser -u app-shop-staging -- ipcmk -M 4096 -p 0666");
    journey.inside("runuser -u deploy -- setsid sleep 4400 >/dev/null 2>&1 </dev/null &");
    journey.inside(METADATA);
    journey.inside(
        "{ pgrep -u deploy -xf 'sleep 4400'; pgrep -u app-shop-staging -f bin/serve; systemctl show -P MainPID factory-edge; echo 1; } \
         >/srv/apps/shop/data/pids",
    );
    // Where nothing stands against it, it succeeds.
    let free = journey.inside(
        "cd /srv/apps/shop/releases/1.0.0; APP_DATA=/srv/apps/shop/data sh bin/attack; rm -f planted bin/planted",
    );
    for deed in [
        "canary-of-a-setting",
        "canary-of-data",
        "canary-of-deploy",
        "reaches the process 1",
        "planted in .",
        "sudo",
        "shared memory",
        "connects to",
    ] {
        assert!(free.contains(deed), "{deed}: {free}");
    }
    journey.inside(
        "systemctl start factory-edge; find / /run/lock /run -xdev -name planted -delete; rm -f /srv/apps/shop/data/mine /tmp/mine /dev/shm/mine",
    );
    app.edit("bin/serve", "{\"said\": said}", "{\"said\": said.splitlines()}");
    app.build("1.1.0");
    passed(&app.install("1.1.0"));
    let said: serde_json::Value = serde_json::from_str(&app.get("/attack")).unwrap();
    assert_eq!(said["said"], serde_json::json!(["app-shop", "can write where it may"]));
    assert_eq!(journey.inside("find / /run /run/lock -xdev -name planted"), "");
    assert_eq!(journey.inside("ls /tmp/mine /dev/shm/mine 2>/dev/null || true"), "");
    assert_eq!(
        journey.inside("stat -c %U:%a /srv/apps/shop/data/mine /srv/apps/shop/releases/1.1.0"),
        "app-shop:600\nroot:555"
    );
}

/// An application names the socket that the edge connects to. The edge's own, which commands it, is not one that it reaches.
fn by_way_of_the_edge(app: &App<'_>) {
    let journey = app.journey;
    journey.inside(
        "cd /srv/apps/shop/sockets; for slot in blue green; do ln -sfn /run/factory-edge/admin.sock $slot; done",
    );
    let ask = "bash -c 'exec 3<>/dev/tcp/127.0.0.1/8102; printf \"GET /config/ HTTP/1.0\\r\\n\\r\\n\" >&3; timeout 20 cat <&3'";
    let free = journey.inside(&format!("chown factory-edge /run/factory-edge; {ask}"));
    assert!(free.contains("\"listen\""), "where nothing stands against it, it succeeds: {free}");
    let said = journey.inside(&format!("chown root /run/factory-edge; {ask}"));
    assert!(said.contains("502") && !said.contains("\"listen\""), "{said}");
    journey.inside("systemctl restart app-shop@$(basename $(readlink /srv/apps/shop/live))");
    journey.wait_until("curl -fsS http://127.0.0.1:8102/ >/dev/null");
    // It starts again and loads a new part with the folder closed; also while it loads it.
    let said = journey.inside(
        "systemctl restart factory-edge; stat -c %U:%a /run/factory-edge; \
         (for n in $(seq 200); do stat -c %U /run/factory-edge; sleep 0.01; done | sort -u) & \
         for n in 1 2 3 4; do systemctl reload factory-edge; done; wait",
    );
    assert_eq!(said, "root:700\nroot");
}

/// Asks root by hand.
const ASK: &str = r#"exec python3 -c '
import socket
root = socket.socket(socket.AF_UNIX)
root.connect("/run/factory-deploy/socket")
root.sendall(open("/home/deploy/lines", "rb").read())
root.shutdown(socket.SHUT_WR)
print(root.makefile().read(), end="")
'"#;

fn from_a_deployment(app: &App<'_>) {
    for deed in [
        "sudo -n id",
        "sudo -n -u agent id",
        "sudo -n /usr/local/sbin/factory-runner status",
        "sudo -n /usr/local/sbin/factory-deploy status shop",
        "/usr/local/sbin/factory-deploy status site",
        "/usr/local/sbin/factory-deploy settings site <.factory/app.conf",
        "/usr/local/sbin/factory-deploy remove",
        "/usr/local/sbin/factory-deploy open site",
        "/usr/local/sbin/factory-deploy answer site",
        "cat /srv/apps/shop-staging/env",
        "ls /srv/apps/shop",
        "touch /srv/apps/planted",
        "touch /etc/factory/edge/planted.caddy",
        "kill -0 $(pgrep -u app-shop-staging -f bin/serve)",
        "cat /proc/$(pgrep -u app-shop-staging -f bin/serve)/environ",
        "ls /run/factory-edge",
    ] {
        let output = app.deploy(deed);
        assert!(!output.status.success(), "{deed}: {}", text(&output));
    }
    // What goes around the program reaches no further.
    for (lines, wanted) in [
        ("argument=remove\n\n", "exit 77\n"),
        ("argument=answer\nargument=shop\n\n", "exit 77\n"),
        ("argument=status\nargument=site\n\n", "exit 77\n"),
        ("argument=status\nargument=shop\nargument=\nargument=x\n\n", "exit 64\n"),
        ("LD_PRELOAD=/x\nPATH=/home/deploy\nSUDO_USER=ada\nCI_JOB_URL\nargument=status\nargument=shop\n\n", "exit 0\n"),
        ("argument=rollback\nargument=shop\n", "exit 77\n"),
        ("argument=settings\nargument=shop\nFACTORY_DEPLOY_BYTES=20\n\nTOKEN=1\n", "exit 65\n"),
        ("", "exit 77\n"),
    ] {
        fs::write(app.journey.host.rootfs().join("home/deploy/lines"), lines).unwrap();
        let said = passed(&app.deploy(ASK));
        assert!(said.ends_with(wanted), "{lines:?}: {said}");
    }
    // In a shell of deploy's there is no door.
    let outside = "cd /; runuser -u deploy -- sh -c '/usr/local/sbin/factory-deploy status shop; ls /run/factory-deploy' 2>&1 || true";
    let said = app.journey.inside(outside);
    assert!(said.contains("this takes root") && said.contains("Permission denied"), "{said}");
}

/// What the program gets from whoever calls it becomes part of paths, units and configuration.
fn hostile_arguments(site: &App<'_>, shop: &App<'_>) {
    let look = "find /srv/apps /etc/systemd/system /etc/factory ! -name '.lock*' ! -type d -printf '%p %T@ %u %m %l\\n' -o -printf '%p %u %m\\n' | sort; getent passwd";
    let before = shop.journey.inside(look);
    let artifact = "/home/deploy/shop/.factory/dist/shop-1.1.0.tar.gz";
    for (words, wanted) in [
        ("status ../shop", 77),
        ("status \"shop\n../x\"", 64),
        ("status \"../x\nshop\"", 64),
        ("status -h", 77),
        ("status shop ../x", 64),
        ("status shop \"staging\n../x\"", 64),
        ("status shop -x", 64),
        ("status shop \"\" extra", 64),
        ("rollback shop \"\" ../1.0.0", 64),
        ("rollback shop \"\" \"1.0.0\n../x\"", 64),
        ("rollback shop \"\" --help", 64),
        ("install shop ../1", 64),
        ("install shop \"1\n../x\"", 64),
        ("install shop -1", 64),
        ("install shop 2 nowhere", 64),
        ("install other 2", 77),
        ("install site 2", 77),
        ("install shop", 64),
        ("settings other/../shop", 77),
        ("sh", 64),
        ("", 64),
    ] {
        let output = shop.deploy(&format!("/usr/local/sbin/factory-deploy {words} <{artifact}"));
        code(&output, wanted);
        assert_eq!(shop.journey.inside(look), before, "{words}");
    }
    // A variable of the caller's tells no tool what to do.
    let output = shop.deploy("TAR_OPTIONS=--to-command=/usr/bin/id BASH_ENV=/x ENV=/x .factory/deploy status");
    assert!(code(&output, 0).contains("\"healthy\": true"));
    // The statement says who started the job, and is the job's.
    let job = "CI_PROJECT_DIR=/home/deploy/site GITLAB_USER_LOGIN=ada CI_JOB_URL=https://gitlab.example/1";
    site.build("1.1.0");
    passed(&site.deploy(&format!("{job} .factory/deploy install .factory/dist/site-1.1.0.tar.gz 1.1.0")));
    let said = site.journey.read("/home/deploy/site/evidence-deploy.json");
    assert!(
        said.contains("\"actor\":\"ada\"") && said.contains("\"user\":\"deploy\"") && said.contains("site 1.1.0"),
        "{said}"
    );
}
