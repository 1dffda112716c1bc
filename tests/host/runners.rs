//! GitLab Runner comes from signed packages or is deferred, runs as a service, and goes with a revert.

use factoryup::hand_over::{HandOver, Token};
use factoryup::plan::Outcome;
use factoryup::secret::Secret;
use factoryup::{Error, Kind};

use crate::journey::Journey;
use crate::revert::revert;
use crate::support::{lab, make_program};

/// In place of GitLab's own program, which cannot be downloaded here: every token is accepted, and no job comes.
const RUNNER: &str =
    "#!/bin/sh\ncase $1 in\nverify) echo 'Verifying runner... is valid' ;;\nrun) exec sleep 100000 ;;\nesac\n";

/// Puts it on the host.
pub fn put_runner(journey: &Journey) {
    make_program(journey.host.rootfs().join("usr/bin/gitlab-runner"), RUNNER);
}

/// A mirror of packages.gitlab.com on the host itself, with a key of its own, over https.
const MIRROR: &str = r#"
set -eu
. /etc/os-release
apt-get -qq update
apt-get -qq -y install --no-install-recommends gpg gpg-agent python3 openssl ca-certificates curl
export GNUPGHOME=/root/gnupg
mkdir -p /srv/mirror/gpgkey "$GNUPGHOME"
chmod 700 "$GNUPGHOME"
cd /srv/mirror
gpg --batch --quiet --passphrase '' --quick-generate-key mirror@example.org rsa2048 sign 1d
gpg --armor --export >gpgkey/gpg.key
mkdir -p package/DEBIAN package/usr/bin
install -m 755 /root/gitlab-runner package/usr/bin/gitlab-runner
arch=$(dpkg --print-architecture)
printf 'Package: gitlab-runner\nVersion: 99.0\nArchitecture: %s\nMaintainer: A <a@example.org>\nDescription: stand-in\n' "$arch" >package/DEBIAN/control
root=runner/gitlab-runner/$ID
dist=$root/dists/$VERSION_CODENAME
index=main/binary-$arch/Packages
mkdir -p "$root/pool" "$dist/main/binary-$arch"
dpkg-deb --build --root-owner-group package "$root/pool/gitlab-runner.deb"
sum() { sha256sum "$1" | cut -d ' ' -f 1; }
size() { stat -c %s "$1"; }
{ cat package/DEBIAN/control; printf 'Filename: pool/gitlab-runner.deb\nSize: %s\nSHA256: %s\n' "$(size "$root/pool/gitlab-runner.deb")" "$(sum "$root/pool/gitlab-runner.deb")"; } >"$dist/$index"
{ printf 'Origin: mirror\nSuite: %s\nCodename: %s\nComponents: main\nArchitectures: %s\nDate: %s\nSHA256:\n' "$VERSION_CODENAME" "$VERSION_CODENAME" "$arch" "$(date -Ru)"
  printf ' %s %s %s\n' "$(sum "$dist/$index")" "$(size "$dist/$index")" "$index"; } >"$dist/Release"
gpg --batch --quiet --clearsign --output "$dist/InRelease" "$dist/Release"
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 2 \
    -keyout /root/key.pem -out /usr/local/share/ca-certificates/mirror.crt
update-ca-certificates
cat >/root/server.py <<'END'
import http.server, os, ssl
os.chdir("/srv/mirror")
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if os.path.exists("busy") and self.path.startswith("/runner/"):
            self.send_error(503)
        else:
            super().do_GET()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/usr/local/share/ca-certificates/mirror.crt", "/root/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
END
systemd-run --quiet --unit=mirror python3 /root/server.py
tries=600
until curl -fs -o /dev/null https://localhost:8443/gpgkey/gpg.key; do tries=$((tries - 1)); [ "$tries" -gt 0 ]; sleep 0.2; done
"#;

fn hand_over(journey: &Journey, token: &str) -> factoryup::Result<Outcome> {
    let runners = [("trusted".to_owned(), Token::Known(Secret::new(token)))].into();
    journey.run(journey.target().with_hand_over(HandOver { runners, ..HandOver::default() })?)
}

/// That all but the runner was made, and that nothing of a download is left.
fn is_left(journey: &Journey, error: &Error, kind: Kind, words: &[&str]) {
    let said = error.to_string();
    assert!(error.kind() == kind && error.is_partial(), "{error:?}");
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    let left = "ls /usr/bin/gitlab-runner /etc/apt/sources.list.d/gitlab-runner.sources /etc/apt/keyrings/gitlab-runner.asc \
                /etc/apt/preferences.d/gitlab-runner 2>/dev/null || true";
    assert_eq!(journey.inside(left), "");
    assert_eq!(journey.inside("stat -c %a /etc/factory/runner-trusted-token"), "600");
    assert_eq!(journey.inside("ls /var/lib/factoryup/unfinished 2>/dev/null || true"), "");
}

#[test]
fn the_runner_is_deferred_refused_installed_started_and_reverted() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    // Where useradd puts homes here by default is not where a plan says that they are.
    journey.inside("mkdir /srv/homes; echo HOME=/srv/homes >>/etc/default/useradd");
    journey.provision();
    assert_eq!(journey.inside("echo ~agent; ls /srv/homes"), "/home/agent");
    // Nothing answers there.
    journey.inside("echo '127.0.0.1 packages.gitlab.com' >>/etc/hosts");
    let error = hand_over(&journey, "glrt-canary-of-a-runner").unwrap_err();
    let planned = journey.watch.plans.borrow()[1].changes.iter().map(|c| c.summary.clone()).collect::<Vec<_>>();
    assert!(
        planned.iter().any(|summary| summary.starts_with("download gitlab-runner from https://packages.gitlab.com/"))
    );
    let words = [
        "2 changes were deferred, and all else was made:\n- download gitlab-runner from ",
        "gpg.key cannot be fetched: curl: (7)",
    ];
    is_left(&journey, &error, Kind::CutShort, &words);
    assert!(error.hints().iter().any(|hint| hint.contains("/etc/factory/runner-mirror")), "{error:?}");

    // A mirror whose key is not GitLab's.
    std::fs::write(journey.host.rootfs().join("root/gitlab-runner"), RUNNER).unwrap();
    std::fs::write(journey.host.rootfs().join("root/mirror"), MIRROR).unwrap();
    journey.inside("sh /root/mirror >/root/mirror.log 2>&1 || { tail -n 20 /root/mirror.log; exit 1; }");
    journey.inside("echo https://localhost:8443 >/etc/factory/runner-mirror");
    let error = hand_over(&journey, "glrt-canary-of-a-runner").unwrap_err();
    is_left(
        &journey,
        &error,
        Kind::CannotWrite,
        &[
            "1 download was refused, 1 change was deferred",
            "download gitlab-runner from https://localhost:8443/",
            "is not GitLab's F6403F65",
        ],
    );

    // A package that is not the one that was signed.
    let deb = "/srv/mirror/runner/gitlab-runner/debian/pool/gitlab-runner.deb";
    let key = "GNUPGHOME=/root/gnupg gpg --list-keys --with-colons | awk -F: '$1 == \"fpr\" { print $10; exit }'";
    journey.inside(&format!("echo \"https://localhost:8443 $({key})\" >/etc/factory/runner-mirror; cp {deb} /root/whole.deb; dd if=/dev/zero of={deb} bs=1 seek=200 count=16 conv=notrunc status=none"));
    let error = hand_over(&journey, "glrt-canary-of-a-runner").unwrap_err();
    is_left(&journey, &error, Kind::CannotWrite, &["1 download was refused", "or is damaged; nothing was installed"]);

    // Packages that nobody serves at the moment.
    journey.inside(&format!("cp /root/whole.deb {deb}; touch /srv/mirror/busy"));
    let error = hand_over(&journey, "glrt-canary-of-a-runner").unwrap_err();
    let words = ["2 changes were deferred", "cannot be installed from https://localhost:8443/", "503"];
    is_left(&journey, &error, Kind::CutShort, &words);

    // The second run finishes, and the third has nothing to do.
    journey.inside("rm /srv/mirror/busy");
    let outcome = hand_over(&journey, "glrt-canary-of-a-runner");
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 2, .. })), "{}", journey.explain(&outcome));
    assert_eq!(journey.inside("dpkg-query -W -f '${Version}' gitlab-runner"), "99.0");
    let is_active = "systemctl is-active factory-runner-trusted; systemctl is-enabled factory-runner-trusted";
    assert_eq!(journey.inside(is_active), "active\nenabled");
    assert_eq!(hand_over(&journey, "glrt-canary-of-a-runner").unwrap(), Outcome::AlreadyRight { proofs: 0 });
    // Another token comes to where it is used.
    let outcome = hand_over(&journey, "glrt-canary-of-another");
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 2, .. })), "{}", journey.explain(&outcome));
    assert!(journey.read("/etc/factory/runner-trusted/config.toml").contains("\"glrt-canary-of-another\""));
    assert_eq!(journey.inside("grep -rlF glrt-canary-of-a-runner /etc /var/lib/factoryup || true"), "");
    // One that an earlier factoryup set up: its jobs found what others had left.
    let (config, note) = ("/etc/factory/runner-trusted/config.toml", "/etc/factory/runner-trusted/made-from");
    journey.inside(&format!("sed -i 's/\"custom\"/\"shell\"/' {config}; sed -i 's/ [0-9]*$//' {note}"));
    let hint =
        "factory-runner-trusted.service has the settings of an earlier version; run: factory-runner renew trusted";
    assert!(journey.inside("factory-runner status").contains(hint));
    let outcome = hand_over(&journey, "glrt-canary-of-another");
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 1, .. })), "{}", journey.explain(&outcome));
    assert!(journey.read(config).contains("\n  executor = \"custom\"\n"));
    assert!(!journey.inside("factory-runner status").contains("earlier version"));
    assert_eq!(hand_over(&journey, "glrt-canary-of-another").unwrap(), Outcome::AlreadyRight { proofs: 0 });

    crate::tools::of_all_users_is_the_one_that_the_lock_names(&journey);
    crate::tools::are_installed_deferred_or_refused(&journey);

    // Runners that no receipt names: one that runs, and one that there is only a token for.
    journey.inside("echo glrt-canary-of-the-shop | factory-runner token trusted shop; factory-runner start trusted shop https://gitlab.example");
    journey.inside("echo glrt-canary-of-the-blog | factory-runner token trusted blog");
    assert_eq!(journey.inside("systemctl is-active factory-runner-trusted-shop"), "active");
    assert_eq!(journey.inside("systemctl is-active factory-deploy-shop.socket"), "active");
    let outcome = revert(&journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    let plans = journey.watch.plans.borrow();
    let planned: Vec<_> = plans.last().unwrap().changes.iter().map(|change| change.id.as_str()).collect();
    for name in ["trusted", "trusted-shop", "trusted-blog"] {
        assert!(planned.contains(&format!("runner_service:{name}").as_str()), "{planned:?}");
    }
    let left = "systemctl list-units --all --plain --no-legend 'factory-*'; ls -d /etc/systemd/system/factory-[dr]*-* \
                /etc/systemd/system/*/factory-[dr]*-* /run/factory-deploy /etc/factory/runner-t* /etc/apt/*/gitlab-runner* /usr/bin/gitlab-runner 2>/dev/null; \
                grep -rlF glrt-canary /etc /var/lib/factoryup; pgrep -fx 'sleep 100000'; true";
    assert_eq!(journey.inside(left), "");
}
