//! Runbooks, run as they are rendered: every diagnosis in its place, and of the mitigations what a host without the world around
//! it can rehearse. Who does each piece of each runbook, here or elsewhere or nobody, is in `lines.rs`.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::control_repo::{passed, text};
use crate::ledger::How;
use crate::support::{self, PATIENCE, lab};
use crate::world::World;
use crate::{edge, ledger, owner};

#[test]
fn every_diagnosis_runs_and_every_mitigation_that_can_be_rehearsed() {
    if !lab::can_host()
        || !support::available(&["age-keygen", "curl", "git", "jq", "openssl", "shellcheck", "yamllint"])
    {
        return;
    }
    let Some(world) = World::new() else { return };
    let runbooks = world.texts();
    the_agent_has_work(&world);
    edge::the_tunnel_is_connected(&world);
    a_foreign_package_key_is_refused(&world);
    the_trusted_runner_starts(&world);
    every_diagnosis(&world);
    room_is_made(&world);
    keys_are_made_where_they_are_used(&world);
    what_was_not_pushed_is_saved(&world);
    edge::inbound_ssh_closes(&world);
    the_agent_is_stopped_and_let_in_again(&world);
    the_repository_comes_back(&world);
    the_runner_stops(&world);
    owner::what_the_owner_looks_at(&world);
    owner::the_factory_leaves_cloudflare(&world);
    ledger::settle(How::Host, &world.done.borrow(), &runbooks);
}

/// A clone with an issue in work, as on any day.
fn the_agent_has_work(world: &World) {
    world.journey.inside(
        "runuser -u agent -- sh -euc 'cd ~ && git init -q --bare -b main origin.git && git init -q -b main seed && cd seed && \
         git -c user.name=t -c user.email=t@example.org commit -q --allow-empty -m begin && git push -q ../origin.git main && \
         cd ../work && git clone -q ../origin.git control'",
    );
    passed(&world.host("factory work 5"));
}

fn every_diagnosis(world: &World) {
    world.repo.git(&["tag", "v1.2.3"]);
    world.repo.git(&["push", "--quiet", "origin", "v1.2.3"]);
    passed(&world.here("scripts/backup make ../backup"));
    let mut ran = 0;
    for runbook in world.runbooks() {
        let looks = |section: &str| ["", "You need", "What you see"].contains(&section);
        for block in world.blocks(&runbook).iter().filter(|block| looks(&block.section)) {
            match (runbook.as_str(), block.place.as_str()) {
                // Names that are served by Cloudflare, from the internet.
                ("tunnel-down", "own") => continue,
                // This one stops the agent, as a test of its own does.
                ("revoke-agent", "host") if block.section.is_empty() => continue,
                _ => {}
            }
            let output = world.run(block);
            // 75: a pipeline that has not finished yet.
            let waits = block.commands.contains("scripts/pipeline status") && output.status.code() == Some(75);
            assert!(output.status.success() || waits, "{block:?}\n{}", text(&output));
            ran += 1;
        }
    }
    assert!(ran >= 18, "only {ran} blocks were found");
    // The stand-in has no certificate to look at.
    let secure = Secure::start();
    let gitlab = world.plane.url().replace("http://", "");
    let block = world.block("rotate-secrets", "openssl s_client");
    assert!(block.commands.contains(&gitlab), "{block:?}");
    let said = world.done(&block.with(|commands| commands.replace(&gitlab, &secure.address)));
    assert!(said.contains("gitlab.example") && said.contains("notAfter="), "{said}");
}

/// A server with a certificate.
struct Secure {
    server: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Secure {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=gitlab.example", "-days", "2"])
            .args(["-keyout", "key.pem", "-out", "cert.pem"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made));
        let (port, server) = support::start_server(|port| {
            let mut openssl = Command::new("openssl");
            openssl.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-key", "key.pem"]);
            openssl.args(["-cert", "cert.pem", "-www"]).current_dir(folder.path());
            openssl.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        Self { server, address: format!("127.0.0.1:{port}"), _folder: folder }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn a_foreign_package_key_is_refused(world: &World) {
    let install = world.block("runner-down", "factory-runner install");
    assert_eq!(install.commands.trim(), world.command("start-runners", "sudo factory-runner install"));
    // What `curl` brings is no key, and then the key of somebody else.
    for (brings, why) in [
        ("echo hello >\"$out\"", "is no key"),
        ("cp /usr/share/keyrings/debian-archive-bookworm-stable.gpg \"$out\"", "is not GitLab's F6403F65"),
    ] {
        let curl = format!("#!/bin/sh\nwhile [ $# -gt 0 ]; do [ \"$1\" != -o ] || out=$2; shift; done\n{brings}\n");
        world.put("/usr/local/sbin/curl", "755", &curl);
        let output = world.run(&install);
        assert_eq!(output.status.code(), Some(65), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
    }
    world.journey.inside("rm /usr/local/sbin/curl");
    assert_eq!(world.journey.inside("ls /etc/apt/sources.list.d | grep -c gitlab || true"), "0");
}

/// GitLab's own program cannot be had here; one in its place takes the same arguments and accepts one token.
fn the_trusted_runner_starts(world: &World) {
    let start = world.block("runner-down", "start trusted");
    let output = world.run(&start);
    assert_eq!(output.status.code(), Some(69), "{}", text(&output));
    world.put(
        "/usr/bin/gitlab-runner",
        "755",
        "#!/bin/sh\nset -eu\n[ \"$2\" = --config ]\ncase $1 in\n\
         verify) grep -q 'token = \"glrt-the-right-one\"' \"$3\" || { echo 'ERROR: Verifying runner... is removed'; exit 1; }\n\
         echo 'Verifying runner... is valid' ;;\n\
         run) case $* in\n\
         *'--working-directory /etc/factory/runner-trusted' | *'--working-directory /etc/factory/runner-trusted-shop' | \
         *'--working-directory /etc/factory/runner-build-shop') exec sleep 100000 ;;\nesac ;;\nesac\n",
    );
    world.put("/etc/factory/runner-trusted-token", "600", "glrt-a-wrong-one\n");
    let output = world.run(&start);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("refuses the token"), "{}", text(&output));
    world.put("/etc/factory/runner-trusted-token", "600", "glrt-the-right-one\n");
    for _ in 0..2 {
        let said = world.done(&start);
        assert!(said.contains("factory-runner-trusted.service runs"), "{said}");
    }
    let folder = "/etc/factory/runner-trusted";
    let config = &format!("{folder}/config.toml");
    assert_eq!(world.journey.inside(&format!("stat -c '%a %U' {config} {folder}")), "600 root\n700 root");
    let as_deploy = format!("runuser -u deploy -- cat {config} 2>&1 || echo refused");
    assert!(world.journey.inside(&as_deploy).ends_with("refused"));
    let written: toml::Table = toml::from_str(&world.journey.read(config)).unwrap();
    let runner = &written["runners"][0];
    assert_eq!(runner["executor"].as_str(), Some("custom"));
    assert_eq!(runner["url"].as_str(), Some(world.plane.url().as_str()));

    // An application's runner, with a token that was typed.
    let wrong = world.host("echo hello | sudo factory-runner token trusted shop");
    assert_eq!(wrong.status.code(), Some(64), "{}", text(&wrong));
    for kind in ["trusted", "build"] {
        let block = world.command("start-runners", "sudo factory-runner token KIND NAME");
        let block = block.replace("KIND", kind).replace("NAME", "shop");
        passed(&world.host(&format!("echo glrt-the-right-one | {{\n{block}}}")));
    }
    let status = passed(&world.host(&world.command("start-runners", "factory-runner status")));
    let lines: Vec<Vec<&str>> = status.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines,
        [
            ["factory-runner-build-shop.service", "active", "token", "accepted"],
            ["factory-runner-trusted-shop.service", "active", "token", "accepted"],
            ["factory-runner-trusted.service", "active", "token", "accepted"]
        ]
    );
    for kind in ["trusted", "build"] {
        passed(&world.host(&format!("sudo factory-runner stop {kind} shop")));
    }
    let whose = world.host("sudo factory-runner start build https://gitlab.example");
    assert_eq!(whose.status.code(), Some(64), "{}", text(&whose));
    assert_eq!(world.journey.inside("ls -d /etc/factory/runner-* | grep -c shop || true"), "0");
    let none = world.host("sudo factory-runner start untrusted https://gitlab.example");
    assert_eq!(none.status.code(), Some(69), "{}", text(&none));
    for what in ["factory-runner status", "systemctl restart"] {
        world.done(&world.block("runner-down", what));
    }
}

fn room_is_made(world: &World) {
    world.done(&world.block("disk-full", "--vacuum-size"));
    // It asks before it removes anything, and nobody answers.
    let asked = world.host(&format!("{} </dev/null", world.command("disk-full", "sudo apt-get autoremove --purge")));
    assert!(text(&asked).contains("0 to remove") || text(&asked).contains("Abort."), "{}", text(&asked));
    assert!(passed(&world.host(&world.command("disk-full", "factory clean"))).contains("5 stays:"));
    passed(&world.host(&world.command("disk-full", "df -h")));
}

fn keys_are_made_where_they_are_used(world: &World) {
    for user in ["deploy", "agent"] {
        let ceremony = world.block("age-keys", &format!("-u {user} age-keygen"));
        let output = world.run(&ceremony);
        assert!(output.status.success() && text(&output).contains("Public key: age1"), "{}", text(&output));
        let key = format!("/home/{user}/.config/sops/age/keys.txt");
        assert_eq!(world.journey.inside(&format!("stat -c '%a %U' {key}")), format!("600 {user}"));
        // A second ceremony does not replace the first one's key.
        let before = world.journey.read(&key);
        assert!(!world.run(&ceremony).status.success());
        assert_eq!(world.journey.read(&key), before);
    }
    // The owner's on a machine of their own, and another one beside it.
    let ceremony = world.block("age-keys", "age-keygen -o ~/");
    assert!(text(&world.run(&ceremony)).contains("Public key: age1"));
    assert!(!world.run(&ceremony).status.success());
    world.done(&world.block("age-keys", "age-keygen >>~/"));
    let keys = fs::read_to_string(world.repo.path().join("../.config/sops/age/keys.txt")).unwrap();
    assert_eq!(keys.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-")).count(), 2);
}

fn the_agent_is_stopped_and_let_in_again(world: &World) {
    let processes = "ps -u agent -o pid= | wc -l";
    assert_ne!(world.journey.inside(processes), "0");
    let stop = world.block("revoke-agent", "terminate-user");
    assert_eq!(stop.section, "", "it is not the first command");
    world.done(&stop);
    until(world, processes, "0");
    assert_eq!(passed(&world.host("ps -u agent || true")).lines().count(), 1);
    let slice = world.host(&format!("{} || true", world.command("revoke-agent", "systemctl status")));
    assert!(text(&slice).contains("inactive") && !text(&slice).contains("CGroup"), "{}", text(&slice));
    // Back, and then away for good.
    let back = &world.section("revoke-agent", "Undo")[0];
    world.done(back);
    assert!(passed(&world.host("factory work 5")).contains("session control-issue-5 runs"));
    world.done(&stop);
    for block in world.section("revoke-agent", "What to do") {
        world.done(&block);
    }
    until(world, processes, "0");
    assert!(!world.host("sudo systemctl start user@$(id -u agent).service").status.success(), "the agent came back");
    world.done(back);
    assert!(passed(&world.host("factory work 5")).contains("session control-issue-5 runs"));
}

fn until(world: &World, command: &str, wanted: &str) {
    let begun = Instant::now();
    while world.journey.inside(command) != wanted {
        let all = world.journey.inside("ps -u agent -o pid,args; true");
        assert!(begun.elapsed() < PATIENCE, "{command} is not {wanted}: {all}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What the agent has committed and not pushed, before its host is replaced.
fn what_was_not_pushed_is_saved(world: &World) {
    let push = world.command("host-down", "git push origin HEAD");
    let save = format!(
        "cd ~/work/control-issue-5 && git -c user.name=t -c user.email=t@example.org commit -q --allow-empty -m x && {push}"
    );
    passed(&world.host(&format!("cd /tmp && sudo -u agent -H sh -c '{save}'")));
}

/// The runners go, as start-runners' way back and decommission have it.
fn the_runner_stops(world: &World) {
    let stop = world.command("start-runners", "sudo factory-runner stop trusted");
    assert_eq!(stop, world.command("decommission", "sudo factory-runner stop trusted"));
    passed(&world.host(&stop));
    assert_eq!(world.journey.inside("ls -d /etc/factory/runner-* | grep -c . || true"), "0");
}

/// The backup that the diagnosis verified, into an empty project.
fn the_repository_comes_back(world: &World) {
    world.plane.project("restored");
    let address = world.plane.remote("restored", &world.plane.owner_token());
    let mut restore = world.block("restore-backup", "push --mirror");
    restore.commands = restore.commands.replace("ADDRESS-OF-THE-PROJECT", &address);
    world.command("restore-backup", "Create an empty project");
    world.done(&restore);
    let copy = world.plane.clone("restored", &world.plane.owner_token());
    assert_eq!(copy.git(&["rev-parse", "HEAD"]), world.repo.git(&["rev-parse", "HEAD"]).trim());
    assert_eq!(copy.git(&["tag"]), "v1.2.3");
}
