//! The tunnel and SSH through it, as the runbooks bring them about. Cloudflare is not here: where `cloudflared` runs on the host, a
//! program is up once it has read its token; where it runs for the owner's `ssh`, one leads to the host's own loopback.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use factoryup::host::HostTarget;
use factoryup::plan::Outcome;

use crate::control_repo::{passed, text};
use crate::support::{PATIENCE, make_program};
use crate::world::World;

const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// Ready once it has a token, as `cloudflared` is; what systemd shows of it is that token, which here is none.
const TUNNEL: &str = "#!/usr/bin/python3\nimport os, socket, sys, time\n\
     token = open(sys.argv[sys.argv.index('--token-file') + 1]).read().strip()\n\
     assert token.startswith('eyJ') and os.getuid() != 0\n\
     ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
     ready.connect(os.environ['NOTIFY_SOCKET'].replace('@', '\\0', 1))\n\
     ready.send(b'READY=1\\nSTATUS=' + token.encode())\ntime.sleep(100000)\n";

/// From standard input to the host's loopback and back, as the tunnel ends there.
const ACCESS: &str = "#!/usr/bin/python3\nimport os, socket, sys, threading\n\
     assert sys.argv[1:] == ['access', 'ssh', '--hostname', 'ssh.example.org'], sys.argv\n\
     there = socket.create_connection(('127.0.0.1', 22))\n\
     def back():\n    while data := there.recv(65536): os.write(1, data)\n    os._exit(0)\n\
     threading.Thread(target=back, daemon=True).start()\n\
     while data := os.read(0, 65536): there.sendall(data)\n\
     there.shutdown(socket.SHUT_WR)\nthreading.Event().wait(5)\n";

pub(crate) fn the_tunnel_is_connected(world: &World) {
    world.ssh_config("");
    the_host_has_the_program_and_the_unit(world);
    let connect = |token: &str| {
        world.done(&world.block("connect-tunnel", "connect").with(|typed| format!("printf '{token}\\n' | {typed}")))
    };
    let tokens = ["first", "second"].map(|which| {
        let json = format!(r#"{{"a":"{ACCOUNT}","t":"tunnel","s":"{which}"}}"#);
        STANDARD.encode(json)
    });
    assert_eq!(connect(&tokens[0]), "the tunnel of production runs\n");
    assert_eq!(connect(&tokens[0]), "the tunnel of production runs with this token\n");
    let shown = || world.journey.inside("systemctl show --property StatusText --value factory-tunnel@production");
    assert_eq!(world.journey.inside("stat -c '%a %U' /etc/factory/tunnel-production-token"), "600 root");
    assert_eq!(world.done(&world.block("connect-tunnel", "is-active")), "active\n");
    assert_eq!(shown(), tokens[0]);
    let log = passed(&world.host(&world.command("connect-tunnel", "sudo journalctl --unit factory-tunnel@")));
    assert!(log.contains("Started"), "{log}");
    // Another token, as rotate-secrets has it.
    world.command("rotate-secrets", "connect:ENVIRONMENT");
    connect(&tokens[1]);
    assert_eq!(shown(), tokens[1]);
    // And another program.
    passed(&world.host(&world.command("connect-tunnel", "sudo systemctl restart factory-tunnel@")));
    // And as tunnel-down mends it.
    world.journey.inside("systemctl kill --signal STOP factory-tunnel@production");
    passed(&world.host(&world.command("tunnel-down", "systemctl restart")));
    assert_eq!(world.done(&world.block("connect-tunnel", "is-active")), "active\n");
}

pub(crate) fn inbound_ssh_closes(world: &World) {
    the_way_through_the_tunnel(world);
    let through = world.command("close-inbound-ssh", "ssh acme true");
    passed(&world.here(&through));
    passed(&world.here(&world.command("close-inbound-ssh", "ssh acme sudo systemctl restart factory-tunnel@")));
    passed(&world.here(&through));
    passed(&world.host(&format!("sudo {}", world.command("close-inbound-ssh", "sshd -t"))));

    // Nobody takes the next step: the timer takes this one back.
    let close = world.block("close-inbound-ssh", "--on-active=5min");
    assert!(world.journey.lets_in("operator"));
    let soon = "--on-active=30s --timer-property=AccuracySec=100ms";
    world.done(&close.with(|commands| commands.replace("--on-active=5min", soon)));
    assert!(!world.journey.lets_in("operator"), "sshd still listens to the outside");
    assert_eq!(world.journey.inside("ss -Hltn 'sport = :22' | awk '{print $4}' | sort"), "127.0.0.1:22\n[::1]:22");
    let begun = Instant::now();
    while !world.journey.lets_in("operator") {
        let log =
            || world.journey.inside("journalctl --unit reopen-ssh --no-pager; ss -Hltn; ls /etc/ssh/sshd_config.d");
        assert!(begun.elapsed() < PATIENCE, "the timer did not open sshd again: {}", log());
        // The firewall takes whoever knocks more often for a guesser.
        std::thread::sleep(Duration::from_secs(3));
    }
    assert_eq!(world.journey.inside("ls /etc/ssh/sshd_config.d | grep -c loopback || true"), "0");

    // Once more, and it is kept: the way in is the tunnel's.
    world.done(&close);
    passed(&world.here(&through));
    passed(&world.here(&world.command("close-inbound-ssh", "systemctl stop reopen-ssh.timer")));
    assert_eq!(world.journey.inside("systemctl is-active reopen-ssh.timer || true"), "inactive");
    assert!(!world.journey.lets_in("operator"));

    // At the provider's console, as root.
    for step in ["rm /etc/ssh", "systemctl daemon-reload", "systemctl try-restart ssh.socket ssh.service"] {
        world.journey.inside(&world.command("close-inbound-ssh", step));
    }
    assert!(world.journey.lets_in("operator"), "the console did not open sshd again");
    passed(&world.host(&world.command("connect-tunnel", "systemctl mask --now")));
    let state = world.host("systemctl is-active factory-tunnel@production");
    assert_eq!(String::from_utf8_lossy(&state.stdout).trim(), "inactive", "{}", text(&state));
}

/// `factoryup apply host`, of a lock that names the program in the tunnel's place.
fn the_host_has_the_program_and_the_unit(world: &World) {
    let journey = &world.journey;
    let mut factory = journey.factory.clone();
    factory.cloudflare.enabled = true;
    factory.cloudflare.account_id = ACCOUNT.into();
    let target = |lock: String| HostTarget::new(&factory, journey.reach(), None).unwrap().with_lock(lock);
    world.put("/usr/local/bin/cloudflared", "755", TUNNEL);
    let sum = journey.inside("sha256sum /usr/local/bin/cloudflared | cut -d ' ' -f 1");
    let outcome = journey.run(target(format!("cloudflared 1 linux-amd64 {sum} https://localhost:9/cloudflared\n")));
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
}

/// The owner's `~/.ssh/config` as the runbook has it.
fn the_way_through_the_tunnel(world: &World) {
    let host = &world.journey.host;
    let config = world.command("close-inbound-ssh", "ProxyCommand cloudflared");
    world.ssh_config(&config.replace("ADDRESS", &host.address().to_string()));
    let inner = world.programs.join("access.py");
    fs::write(&inner, ACCESS).unwrap();
    let network = host.rootfs().ancestors().nth(2).unwrap().file_name().unwrap().to_string_lossy().into_owned();
    let outer = world.programs.join("cloudflared");
    let enter = format!("exec nsenter --net=/run/netns/factoryup-{network} /usr/bin/python3 {}", inner.display());
    make_program(&outer, format!("#!/bin/sh\n{enter} \"$@\"\n"));
}
