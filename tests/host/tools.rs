//! The agent's tools come as `toolchain.lock` of its clone says, or are deferred or refused.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factoryup::Kind;
use factoryup::host::HostTarget;
use factoryup::plan::Outcome;

use crate::journey::Journey;

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// What runs as a service of `Type=notify`.
const READY: &str = "import base64, os, socket, sys, time\n\
     assert b'refused' not in base64.b64decode(open(sys.argv[-1]).read())\n\
     ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
     ready.connect(os.environ['NOTIFY_SOCKET'].replace('@', '\\0', 1))\n\
     ready.send(b'READY=1')\ntime.sleep(100000)\n";

/// On a host with a mirror at `https://localhost:8443`, whose files are in `/srv/mirror`.
pub fn are_installed_deferred_or_refused(journey: &Journey) {
    let run = || journey.run(journey.target());
    let notes = || journey.watch.plans.borrow().last().unwrap().notes.join("\n");
    // A clone of what was there before the factory's files were merged.
    journey.put_clone();
    assert_eq!(run().unwrap(), Outcome::AlreadyRight { proofs: 0 });
    let said = notes();
    assert!(said.contains("claude is not installed for agent: toolchain.lock in ~agent/work/factory has no"), "{said}");

    // Of another repo, nothing is run, and nothing is changed.
    let config = "/home/agent/work/factory/.git/config";
    journey.inside(&format!("cp {config} /root/config; sed -i 's|url = .*|&.other|' {config}; echo claude >~agent/work/factory/toolchain.lock"));
    let before = journey.inside("find ~agent/work -printf '%p %T@\n'");
    assert_eq!(run().unwrap(), Outcome::AlreadyRight { proofs: 0 });
    let said = notes();
    assert!(said.contains("~agent/work/factory is there and is a clone of another repo, and stays"), "{said}");
    assert_eq!(journey.inside("find ~agent/work -printf '%p %T@\n'"), before);
    journey.inside(&format!("cat /root/config >{config}"));

    // One that nothing serves, one that is not what the lock says, and one that is.
    put_scripts(journey);
    journey.inside("printf '#!/bin/sh\\necho here\\n' >/srv/mirror/tool");
    let right = journey.inside("sha256sum /srv/mirror/tool | cut -d ' ' -f 1");
    let wrong = "0".repeat(64);
    let lock = |lines: [(&str, &str, u16); 3]| {
        let line = |(name, sum, port), platform| format!("{name} 1 {platform} {sum} https://localhost:{port}/tool\n");
        let both = |one| ["linux-amd64", "linux-arm64"].map(|platform| line(one, platform)).concat();
        let text = lines.map(both).concat();
        fs::write(journey.host.rootfs().join("home/agent/work/factory/toolchain.lock"), text).unwrap();
    };
    lock([("claude", &right, 9), ("tofu", &wrong, 8443), ("sops", &right, 8443)]);
    // A link that leads nowhere is no program.
    journey.inside("runuser -u agent -- sh -c 'mkdir -p ~agent/.local/bin; ln -s gone ~agent/.local/bin/sops'");
    journey.watch.said.borrow_mut().clear();
    let error = run().unwrap_err();
    let busy = "install sops for agent, as toolchain.lock in ~agent/work/factory says; this can take up to 10 minutes";
    assert!(journey.watch.said.borrow().iter().any(|said| said == busy));
    let (said, hints) = (error.to_string(), error.hints().join("\n"));
    assert!(
        error.kind() == Kind::CannotWrite && said.contains("1 download was refused, 1 change was deferred"),
        "{said}"
    );
    assert!(said.contains("tofu 1: the download is not what toolchain.lock says"), "{said}");
    assert!(said.contains("https://localhost:9/tool cannot be fetched: curl: (7)"), "{said}");
    assert!(hints.contains("change the checksum by merge request") && hints.contains("/usr/local/bin"), "{hints}");
    assert_eq!(journey.inside("ls ~agent/.local/bin; find /tmp /var/tmp -user agent"), "sops");

    // The second run finishes, and the third has nothing to do.
    lock(["claude", "tofu", "sops"].map(|name| (name, right.as_str(), 8443)));
    let outcome = run();
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 2, .. })), "{}", journey.explain(&outcome));
    assert_eq!(
        journey.inside("su - agent -c 'claude; tofu; sops; stat -c %U .local/bin/claude'"),
        "here\nhere\nhere\nagent"
    );
    assert_eq!(run().unwrap(), Outcome::AlreadyRight { proofs: 0 });
    what_the_agent_put_there_is_confined(journey);
}

/// The tunnel's program and unit, on the same host: deferred, refused, installed, replaced, and removed with the tunnel that runs.
pub fn of_all_users_is_the_one_that_the_lock_names(journey: &Journey) {
    let mut factory = journey.factory.clone();
    factory.cloudflare.enabled = true;
    factory.cloudflare.account_id = ACCOUNT.into();
    let run = |lock: String| journey.run(HostTarget::new(&factory, journey.reach(), None).unwrap().with_lock(lock));
    let made = |lock: String, changes: usize| {
        let outcome = run(lock);
        let is_so = matches!(&outcome, Ok(Outcome::Applied { changes: made, .. }) if *made == changes);
        assert!(is_so, "{}", journey.explain(&outcome));
    };
    let program = |version: u8| {
        let text = format!("#!/usr/bin/python3\n# {version}\n{READY}");
        fs::write(journey.host.rootfs().join("srv/mirror/tunnel"), text).unwrap();
        journey.inside("sha256sum /srv/mirror/tunnel | cut -d ' ' -f 1")
    };
    let lock = |version: u8, sum: &str, port: u16| {
        let line = |platform| format!("cloudflared {version} {platform} {sum} https://localhost:{port}/tunnel\n");
        ["linux-amd64", "linux-arm64"].map(line).concat()
    };
    let there = || journey.inside("ls -A /usr/local/bin | grep cloudflared || true");
    made(String::new(), 5);
    let notes = journey.watch.plans.borrow().last().unwrap().notes.join("\n");
    assert!(notes.contains("cloudflared is not installed: toolchain.lock of the control repo has no line"), "{notes}");
    let first = program(1);
    for (lock, kind, words) in [
        (lock(1, &first, 9), Kind::CutShort, "https://localhost:9/tunnel cannot be fetched: curl: (7)"),
        (lock(1, &"0".repeat(64), 8443), Kind::CannotWrite, "/tunnel is not the file that toolchain.lock names"),
    ] {
        let error = run(lock).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(words), "{error}");
        assert!(error.hints().iter().any(|hint| hint.contains("toolchain")), "{:?}", error.hints());
        assert_eq!(there(), "");
    }
    made(lock(1, &first, 8443), 1);
    assert_eq!(run(lock(1, &first, 9)).unwrap(), Outcome::AlreadyRight { proofs: 0 });
    let down = || HostTarget::new(&factory, journey.reach(), None).unwrap().tunnels_down(&journey.watch).unwrap();
    assert_eq!(down(), ["staging", "production"]);
    a_tunnel_gets_its_token(journey);
    assert_eq!(down(), ["staging"]);
    // What runs is not cut: a login can come through it.
    let pid = || journey.inside("systemctl show --property MainPID --value factory-tunnel@production");
    let (second, running) = (program(2), pid());
    made(lock(2, &second, 8443), 1);
    assert_eq!(
        journey.inside("stat -c '%a %U' /usr/local/bin/cloudflared; sed -n 2p /usr/local/bin/cloudflared"),
        "755 root\n# 2"
    );
    assert_eq!((pid(), there()), (running, "cloudflared".into()));
    // The factory leaves Cloudflare.
    let outcome = journey.run(journey.target());
    assert!(matches!(outcome, Ok(Outcome::Applied { changes: 6, .. })), "{}", journey.explain(&outcome));
    let left = "systemctl list-units --all --plain --no-legend 'factory-tunnel@*'; ls /etc/systemd/system/*.wants | grep tunnel || true";
    assert_eq!((there(), journey.inside(left)), (String::new(), String::new()));
    journey.inside("rm /etc/factory/tunnel-production-token");
}

/// By root or by a job of trusted CI alone. A token with which the tunnel does not start does not replace one that it runs with.
fn a_tunnel_gets_its_token(journey: &Journey) {
    let connect = |user: &str, environment: &str, token: &str| {
        let said = journey.inside(&format!(
            "printf '%s\\n' {token} | setpriv --reuid={user} --regid={user} --init-groups /usr/local/sbin/factory-tunnel connect {environment} 2>&1
             echo \"exit $?\""
        ));
        let (said, code) = said.rsplit_once("exit ").unwrap();
        (code.parse::<u8>().unwrap(), said.trim().to_owned())
    };
    let token = |account: &str, tunnel: &str, secret: &str| {
        STANDARD.encode(format!(r#"{{"a":"{account}","t":"{tunnel}","s":"{secret}"}}"#))
    };
    let [first, second, refused] = ["first", "second", "refused"].map(|secret| token(ACCOUNT, "one", secret));
    let state = || {
        journey.inside(
            "stat -c '%a %U' /etc/factory/tunnel-*-token; cat /etc/factory/tunnel-*-token
             systemctl is-enabled factory-tunnel@production; systemctl is-active factory-tunnel@production; true",
        )
    };
    let runs = |token: &str| format!("600 root\n{token}\nenabled\nactive");
    let nothing = state();
    assert!(nothing.ends_with("disabled\ninactive"), "{nothing}");
    for user in ["agent", "factory-build", "deploy"] {
        let (code, said) = connect(user, "production", &first);
        assert!(
            code == 77 && said.contains("/run/factory-tunnel does not answer: Permission denied"),
            "{user}: {said}"
        );
    }
    for (environment, token, words) in [
        ("production", "'$(touch /tmp/x)'", "that is no token of a tunnel"),
        ("production", "''", "that is no token of a tunnel"),
        ("production", &token("another", "one", "x"), "that is a token of another account"),
        ("live", &first, "which environment? one of: staging production"),
        ("../x", &first, "which environment?"),
        ("''", &first, "which environment?"),
    ] {
        let (code, said) = connect("factory-ci", environment, token);
        assert!(code == 64 && said.contains(words), "{environment} {token}: {said}");
    }
    assert_eq!(state(), nothing);

    // One that does not start tries again, also with the token that follows.
    let (code, said) = connect("factory-ci", "production", &refused);
    assert!(
        code == 75 && said.contains("does not start; it tries again every 5 s: ") && said.contains("AssertionError"),
        "{said}"
    );
    assert_eq!(connect("factory-ci", "production", &first), (0, "the tunnel of production runs".into()));
    assert_eq!(state(), runs(&first));
    // What runs is not cut: a login can come through it.
    let pid = || journey.inside("systemctl show --property MainPID --value factory-tunnel@production");
    let running = pid();
    assert_eq!(connect("root", "production", &first), (0, "the tunnel of production runs with this token".into()));
    assert_eq!(pid(), running);
    // What was written and never read is no token that it runs with.
    journey.inside(&format!("echo {second} >/etc/factory/tunnel-production-token"));
    assert_eq!(connect("root", "production", &second), (0, "the tunnel of production runs".into()));
    assert_ne!(pid(), running);
    for _ in 0..4 {
        let (code, said) = connect("root", "production", &refused);
        assert!(code == 75 && said.contains("and runs with its former one: "), "{said}");
        assert_eq!(state(), runs(&second));
    }
    assert!(
        connect("root", "staging", &second)
            .1
            .ends_with("that is the token of another environment: tunnel-production-token")
    );
    journey.inside("systemctl mask --now --quiet factory-tunnel@production");
    assert!(connect("factory-ci", "production", &first).1.contains("is masked"));
    journey.inside("systemctl unmask --quiet factory-tunnel@production; systemctl start factory-tunnel@production");
    assert_eq!(state(), runs(&second));
    // The lock is root's.
    journey.inside("setsid setpriv --reuid=agent --clear-groups flock /run/factory-tunnel.lock sleep 600 </dev/null >/dev/null 2>&1 &");
    assert_eq!(connect("factory-ci", "production", &first).0, 0);
}

/// A script that is the agent's by now says much, starts what should outlive it, and ends with a code of its choice.
fn what_the_agent_put_there_is_confined(journey: &Journey) {
    let script = "#!/bin/sh\nenv | sort >~/environment\ncat /proc/self/cgroup >~/cgroup\nsetsid sleep 4321 &\n\
                  head -c 50000000 /dev/zero | tr '\\0' x\nexit 69\n";
    let home = journey.host.rootfs().join("home/agent");
    fs::write(home.join("work/factory/scripts/tools"), script).unwrap();
    journey.inside("rm ~agent/.local/bin/claude; nft delete table inet factoryup; rm -f /etc/profile.d/factoryup.sh");
    // What a host names as its proxy, root's programs have too; and a worker's have no more of the environment than that.
    journey.inside(
        "cp /etc/environment /root/environment.before; \
         printf 'OF_ROOT=x\nexport HTTPS_PROXY=\"http://a:b@127.0.0.1:9\"  # the office\nhttp_proxy=a\\b\nno_proxy=localhost, ::1' >>/etc/environment; \
         printf '#!/bin/sh\nenv >/root/environment\nexec /usr/bin/sync \"$@\"\n' >/usr/local/sbin/sync; chmod 755 /usr/local/sbin/sync",
    );
    let proofs = journey.watch.proofs.borrow().len();
    let error = journey.run(journey.target()).unwrap_err();
    let said = error.to_string();
    // In a line of its own, so that a run which goes on shows it once.
    let words = "1 change was deferred, and all else was made:\n- install claude";
    assert!(error.kind() == Kind::CutShort && said.contains(words), "{error}");
    assert!(
        said.contains("scripts/tools in /home/agent/work/factory said: xxx") && said.len() < 10_000,
        "{}",
        said.len()
    );
    let environment = journey.inside("grep -vE '^(PWD|OLDPWD|SHLVL|_)=' ~agent/environment");
    let expected = "HOME=/home/agent\nHTTPS_PROXY=http://a:b@127.0.0.1:9\nLANG=C.UTF-8\nLOGNAME=agent\n\
                    PATH=/usr/local/bin:/usr/bin:/bin\nUSER=agent\nno_proxy=localhost, ::1";
    assert_eq!(environment, expected);
    let of_root = journey.inside("grep -iE '_proxy=|OF_ROOT' /root/environment | sort");
    assert_eq!(of_root, "HTTPS_PROXY=http://a:b@127.0.0.1:9\nno_proxy=localhost, ::1");
    journey.inside("cat /root/environment.before >/etc/environment; rm /usr/local/sbin/sync ~agent/environment");
    let cgroup = journey.inside("cat ~agent/cgroup");
    let uid = journey.inside("id -u agent");
    assert!(cgroup.contains(&format!("/user-{uid}.slice/run-")), "{cgroup}");
    assert_eq!(journey.inside("pgrep -fx 'sleep 4321' || true"), "");
    assert_eq!(journey.inside("find /var/lib/factoryup -size +1M"), "");
    // All else was made before it, and the promises were tried.
    assert!(journey.inside("nft list table inet factoryup").contains("policy drop"));
    let last = journey.inside("grep started /var/lib/factoryup/journal.jsonl | tail -n 1");
    assert!(last.contains("tool:~agent/.local/bin/claude"), "{last}");
    assert!(journey.watch.proofs.borrow().len() > proofs);
    journey.inside(
        "printf '#!/bin/sh\\n' >~agent/.local/bin/claude; chmod 755 ~agent/.local/bin/claude; rm ~agent/cgroup",
    );
}

/// The scripts that a control repo of this factory has.
fn put_scripts(journey: &Journey) {
    let repo = tempfile::tempdir().unwrap();
    let key = journey.keys.path("id.pub");
    let output = Command::new(env!("CARGO_BIN_EXE_factoryup"))
        .arg("init")
        .arg(repo.path().join("factory"))
        .args(["--defaults", "--name", "acme", "--gitlab-group", "acme", "--host-address", "203.0.113.9"])
        .args(["--owner-name", "Ada", "--owner-email", "ada@example.org", "--authorized-key"])
        .arg(key)
        .env("XDG_STATE_HOME", repo.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let clone = journey.host.rootfs().join("home/agent/work/factory");
    fs::create_dir(clone.join("scripts")).unwrap();
    for name in ["tools", "lib.sh"] {
        let path = format!("scripts/{name}");
        fs::copy(repo.path().join("factory").join(&path), clone.join(&path)).unwrap();
    }
    journey.inside("chown -R agent:agent ~agent/work/factory");
}
