//! Levels of trust, tried from inside: who is on the host gets no further than its own account.

use std::net::TcpListener;

use factoryup::plan::Outcome;

use crate::journey::Journey;
use crate::revert::revert;
use crate::support::{lab, make_program};

/// What a run of an earlier factoryup left: workers as plain `useradd` makes them, and Podman's setuid programs.
const AS_BEFORE: &str = "
    apt-get -qq update
    apt-get -qq -y install --no-install-recommends uidmap 2>&1
    usermod --add-subuids 300000-365535 --add-subgids 300000-365535 agent
    usermod --add-subuids 400000-465535 --add-subgids 400000-465535 deploy
    usermod --add-subuids 500000-565535 --add-subgids 500000-565535 operator";

/// A program for perl: a user namespace in which process `PID` has the numbers 0 to 65535, of which 1 upwards are subordinate ids;
/// there it becomes 1 and does what the arguments say. It works as long as `newuidmap` lets it.
const MAPPED: &str = r#"
    use POSIX;
    pipe(my $ready, my $tell); pipe(my $go, my $let);
    my $child = fork;
    if (!$child) {
        close $let;
        syscall(SYS_UNSHARE, 0x10000000) == 0 or die "unshare: $!";
        syswrite $tell, "1"; sysread $go, my $byte, 1;
        exit 7 if !$byte;
        POSIX::setgid(1); POSIX::setuid(1); $< == 1 or exit 8;
        exec @ARGV;
    }
    sysread $ready, my $byte, 1;
    my ($uid, $first) = ($<, $ENV{FIRST});
    system("newuidmap", $child, 0, $uid, 1, 1, $first, 65535) == 0 and system("newgidmap", $child, 0, POSIX::getgid(), 1, 1, $first, 65535) == 0
        and syswrite $let, "1";
    close $let;
    exit 0 if $ENV{ALONE};
    waitpid $child, 0; exit $? >> 8;
"#;

/// A way to the metadata address, and a neighbor there that never answers. Without one the kernel itself would say that there is no
/// route, once nobody has answered for three seconds, and that would be taken for the firewall's word.
pub const METADATA: &str = "dev=$(ip route show default | cut -d' ' -f5); ip route add 169.254.169.254 dev $dev; \
     ip neigh replace 169.254.169.254 lladdr 02:00:00:00:00:01 nud permanent dev $dev";

pub(crate) fn put(journey: &Journey, path: &str, text: &str) {
    make_program(journey.host.rootfs().join(&path[1..]), text);
}

/// Runs a command of `user` under one of its subordinate ids, and gives back what it said.
fn under(journey: &Journey, user: &str, first: u32, command: &str) -> String {
    let number = if cfg!(target_arch = "aarch64") { "97" } else { "272" };
    put(journey, "/usr/local/bin/mapped", &format!("#!/usr/bin/perl\n{}", MAPPED.replace("SYS_UNSHARE", number)));
    journey.inside(&format!(
        "cd /; runuser -u {user} -- env FIRST={first} /usr/local/bin/mapped sh -c '{command}' 2>&1; echo =$?"
    ))
}

#[test]
fn no_mapped_id_walks_around_the_rules_and_none_outlives_a_revert() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.inside("useradd --create-home deploy; grep ^deploy: /etc/subuid /etc/subgid");
    journey.provision();
    assert_eq!(journey.inside("grep -E '^(agent|deploy):' /etc/subuid /etc/subgid || true"), "");
    journey.inside(AS_BEFORE);
    journey.inside(r"sed -i 's/\\nsubordinate [ug]ids [0-9-]*//g' /var/lib/factoryup/receipt.json");

    // The machine that runs the tests is on a private network. The metadata address leads no further.
    let gateway = journey.inside("ip route show default | cut -d' ' -f3");
    journey.inside(METADATA);
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let places = [format!("{gateway}/{port}"), "169.254.169.254/80".to_owned()];
    let knock = |place: &str| format!("timeout 20 bash -c \"echo >/dev/tcp/{place}\" && echo reached");
    assert!(journey.inside(&knock(&places[0])).contains("reached"));
    for place in &places {
        let said = under(&journey, "agent", 300_000, &format!("id -u; {}", knock(place)));
        assert!(said.starts_with("1\n") || said.starts_with("300000\n"), "not under a subordinate id: {said}");
        assert!(!said.contains("reached") && said.contains("No route to host"), "{place}: {said}");
    }
    // Programs that are set to run as one.
    for (user, first) in [("agent", 300_000), ("operator", 500_000)] {
        let path = format!("/home/{user}/former");
        journey.inside(&format!("cp /bin/cat {path}; chown {first} {path}; chmod 4755 {path}"));
    }

    // Seen, planned and taken away: with what runs under them, and what could take one at any time; nobody else's.
    for (user, first) in [("agent", 300_000), ("operator", 500_000)] {
        journey.inside(&format!("cd /; setsid runuser -u {user} -- env FIRST={first} /usr/local/bin/mapped sleep 3600 >/dev/null 2>&1 </dev/null &"));
    }
    journey.inside("setsid runuser -u agent -- sleep 3601 >/dev/null 2>&1 </dev/null &");
    let ps = |user: &str| {
        journey.inside(&format!("ps -e -o user:20,args | grep -E '^({user}) .*sleep 360' | grep -v grep || true"))
    };
    journey.wait_until("pgrep -u 300000 -x sleep && pgrep -u 500000 -x sleep && pgrep -u agent -x sleep");
    assert_eq!((ps("300000").lines().count(), ps("500000").lines().count()), (1, 1), "{}", journey.inside("ps -ef"));
    journey.provision();
    let plans = journey.watch.plans.borrow();
    let summaries: Vec<_> = plans.last().unwrap().changes.iter().map(|change| change.summary.as_str()).collect();
    assert_eq!(
        summaries,
        ["agent", "deploy"]
            .map(|user| format!("change user {user}: no subordinate ids, and nothing that runs under them"))
    );
    drop(plans);
    assert_eq!(journey.inside("grep -E '^(agent|deploy):' /etc/subuid /etc/subgid || true"), "");
    assert_eq!(journey.inside("grep -c ^operator: /etc/subuid"), "2");
    assert_eq!(ps("300000"), "");
    assert_eq!(ps("500000").lines().count(), 1, "the operator's was ended");
    assert_eq!(journey.inside("pgrep -u agent -f -c 'sleep 3601'"), "1", "the agent's own work was ended");
    assert_eq!(journey.inside("ls /home/agent/former 2>/dev/null; ls /home/operator/former"), "/home/operator/former");
    // newuidmap gives it none any more; its sandbox needs none.
    let said = under(&journey, "agent", 300_000, "id -u");
    assert!(said.contains("not allowed") && said.ends_with("=7"), "{said}");
    assert_eq!(
        journey.inside("cd /; runuser -u agent -- bwrap --unshare-all --ro-bind / / id -u"),
        journey.inside("id -u agent")
    );
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });

    the_operator_starts_nothing_of_the_agents(&journey);
    nothing_of_a_worker_outlives_a_revert(&journey);
}

/// The agent's folders name programs wherever git has a place for one.
fn the_operator_starts_nothing_of_the_agents(journey: &Journey) {
    put(
        journey,
        "/home/agent/agents-own",
        "#!/bin/sh\necho \"$0 $* $(grep -o user-[0-9]*.slice/ /proc/self/cgroup | head -n 1)\" >>/home/agent/ran\nsetsid sleep 4000 >/dev/null 2>&1 </dev/null &\n",
    );
    let set_up = "cd ~; git init -q --bare -b main origin.git; git init -q -b main seed; cd seed; \
         git config user.name t; git config user.email t@example.org; echo \"* filter=own\" >.gitattributes; echo x >x; \
         git add .; git commit -q -m begin; git push -q ../origin.git main; \
         cd ../work; git clone -q ../origin.git shop; cd shop; git worktree add -q -b agent/7 ../shop-issue-7; \
         own=~/agents-own; git config core.fsmonitor $own; git config filter.own.clean $own; git config filter.own.required true; \
         git config log.showSignature true; git config gpg.program $own; git config core.sshCommand $own; \
         for hook in post-index-change reference-transaction pre-auto-gc; do ln -s $own .git/hooks/$hook; done; \
         echo y >>../shop-issue-7/x; rm -f ~/ran";
    put(journey, "/root/set-up", set_up);
    journey.inside("su - agent -c 'sh -eus' </root/set-up 2>&1");
    // The agent's own git does start it.
    journey.inside("su - agent -c 'git -C work/shop-issue-7 status' >/dev/null 2>&1; pkill -u agent -x sleep; grep -q agents-own /home/agent/ran && rm /home/agent/ran");
    let by_operator = |command: &str| {
        let output = lab::ssh(&journey.host, &journey.keys, "operator", command);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    let said = by_operator("factory status");
    let row: Vec<_> = said.lines().nth(1).unwrap_or_default().split_whitespace().take(5).collect();
    assert_eq!(row, ["7", "agent/7", "-", "1", "0"], "{said}");
    assert_eq!(journey.inside("cat /home/agent/ran 2>/dev/null || true"), "", "status started it");
    // What fetches asks the agent's programs how: within its slice, and they end with the command.
    journey.inside(
        "su - agent -c 'git -C work/shop remote set-url origin ssh://nowhere.example/x'; pkill -u agent -x sleep; true",
    );
    let said = by_operator("factory clean");
    assert!(said.contains("origin cannot be fetched"), "{said}");
    let ran = journey.inside("cat /home/agent/ran");
    let slice = format!("user-{}.slice/", journey.inside("id -u agent"));
    assert!(
        !ran.is_empty() && ran.lines().all(|line| line.contains("nowhere.example") && line.contains(&slice)),
        "{ran}"
    );
    assert_eq!(journey.inside("pgrep -u agent -x sleep -a | grep 4000 || true"), "");
}

/// Processes under subordinate ids alone, as when the agent's git starts a program of its own for the operator: one in a user
/// namespace, which starts another all the time, and one of a program that is set to run as it. Neither has the agent's number.
fn nothing_of_a_worker_outlives_a_revert(journey: &Journey) {
    journey.inside("usermod --add-subuids 300000-365535 --add-subgids 300000-365535 agent");
    journey
        .inside("cp /usr/bin/perl /home/agent/former; chown 300001 /home/agent/former; chmod 4755 /home/agent/former");
    for command in [
        "env ALONE=1 FIRST=300000 /usr/local/bin/mapped sh -c 'trap \"\" HUP TERM; while :; do sleep 3600 & sleep 0.2; done'",
        "/home/agent/former -e '$< = $>; sleep 3602'",
    ] {
        // As sudo: in the session of whoever called.
        let setpriv = "setpriv --reuid=agent --regid=agent --init-groups";
        journey.inside(&format!("cd /; setsid {setpriv} {command} >/dev/null 2>&1 </dev/null &"));
    }
    // The last that has the agent's number is the one that maps, and it ends.
    journey.wait_until(
        "pgrep -u 300000 -f 'while :' && pgrep -U 300001 -f 'sleep 3602' && ! pgrep -u agent -f '3600|3602'",
    );
    let left = || journey.inside("ps -e -o uid=,args= | awk '$1 >= 300000 && $1 < 365536'");
    let (before, of_agent) = (left(), journey.inside("pgrep -u agent -f '3600|3602' || true"));
    assert!(before.contains("while :") && before.contains("sleep 3602"), "{before}");
    assert_eq!(of_agent, "", "{}", journey.inside("ps -ef"));
    let outcome = revert(journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    assert_eq!(left(), "");
    assert_eq!(journey.inside("getent passwd agent; nft list tables; grep ^agent: /etc/subuid; true"), "");
    // An account that was there before has its own again.
    let of_deploy = journey.inside("grep ^deploy: /etc/subuid /etc/subgid");
    assert_eq!(of_deploy, "/etc/subuid:deploy:400000:65536\n/etc/subgid:deploy:400000:65536");
}

/// A runner in GitLab's place: a job that has the token of the control plane in its environment, and keeps at it; in a shell, as it was
/// before, or in a sandbox.
const RUNNER: &str = r#"#!/bin/sh
token=CLOUDFLARE_API_TOKEN=canary-of-the-control-plane
trap 'kill -TERM $!; exit' QUIT
case $* in
verify*) ;;
*' --user '*) runuser -u "$7" -- env -i $token sleep 4100 & ;;
*)
    echo "export $token; sleep 4100" >/root/job
    factory-runner job prepare ''
    factory-runner job run '' /root/job build_script &
    ;;
esac
wait
"#;

/// As an earlier `factory-runner start trusted` left it.
const UNIT_BEFORE: &str = "[Service]\n\
    ExecStart=/usr/bin/gitlab-runner run --config /etc/factory/runner-trusted/config.toml --working-directory /home/deploy --user deploy\n\
    [Install]\nWantedBy=multi-user.target\n";

#[test]
fn no_application_reads_or_reaches_a_job_of_trusted_ci() {
    if !lab::can_host() {
        return;
    }
    let journey = Journey::new();
    journey.provision();
    put(&journey, "/usr/bin/gitlab-runner", RUNNER);
    journey.inside("mkdir -m 700 /etc/factory/runner-trusted; runuser -u deploy -- mkdir -p /home/deploy/ci/builds/control /home/deploy/ci/cache");
    put(&journey, "/etc/systemd/system/factory-runner-trusted.service", UNIT_BEFORE);
    let config = "[[runners]]\n  name = \"trusted\"\n  url = \"https://gitlab.example\"\n  token = \"glrt-canary-of-the-runner\"\n";
    put(&journey, "/etc/factory/runner-trusted/config.toml", config);
    journey.inside("systemctl daemon-reload; systemctl enable --now factory-runner-trusted.service 2>&1");
    journey.wait_until("pgrep -u deploy -x sleep");

    // An application with a hole, which runs whatever it is told.
    let read = |user: &str| {
        let all = "n=0; for one in /proc/[0-9]*/environ; do n=$((n + 1)); tr \"\\0\" \"\\n\" <$one 2>/dev/null; done; echo tried $n";
        journey.inside(&format!("cd /; runuser -u {user} -- sh -c '{all}' 2>/dev/null"))
    };
    let canary = "canary-of-the-control-plane";
    assert!(read("deploy").contains(canary), "the attack does not work where nothing stands against it");
    journey.provision();
    let summaries: Vec<_> =
        journey.watch.plans.borrow().last().unwrap().changes.iter().map(|c| c.summary.clone()).collect();
    assert_eq!(
        summaries,
        [
            "run each job of the trusted runner as factory-ci in a sandbox, and delete the work folders ~deploy/ci/builds and ~deploy/ci/cache"
        ]
    );
    journey.wait_until("pgrep -u factory-ci -x sleep");
    assert_eq!(journey.inside("ps -C sleep -o user:20=,args= | grep 4100"), format!("{:<20} sleep 4100", "factory-ci"));
    assert_eq!(journey.inside("ls -A /home/deploy/ci"), "");
    assert!(journey.read("/etc/factory/runner-trusted/config.toml").contains("glrt-canary-of-the-runner"));
    for user in ["deploy", "agent"] {
        let said = read(user);
        let tried: u32 = said.lines().last().and_then(|line| line.strip_prefix("tried ")).unwrap().parse().unwrap();
        assert!(tried > 10 && !said.contains(canary), "{user}: {said}");
        let job = "/proc/$(pgrep -u factory-ci -x sleep)";
        for deed in [
            format!("cat {job}/environ"),
            format!("dd if={job}/mem bs=1 count=1"),
            format!("ls {job}/cwd/"),
            format!("ls {job}/fd"),
            "kill $(pgrep -u factory-ci -x sleep)".to_owned(),
            "ls /home/factory-ci".to_owned(),
            "touch /home/factory-ci/planted".to_owned(),
            "cat /etc/factory/runner-trusted/config.toml".to_owned(),
        ] {
            put(&journey, "/root/deed", &deed);
            let said =
                journey.inside(&format!("cd /; runuser -u {user} -- sh -s </root/deed 2>&1 && echo done || true"));
            let refused = said.contains("Permission denied") || said.contains("not permitted");
            assert!(refused && !said.contains("done"), "{user}: {deed}: {said}");
        }
    }

    // As factory-ci before there was a sandbox: what its jobs left goes with the change.
    let unit = UNIT_BEFORE.replace("deploy", "factory-ci");
    put(&journey, "/etc/systemd/system/factory-runner-trusted.service", &unit);
    journey.inside(
        "runuser -u factory-ci -- mkdir -p /home/factory-ci/ci/builds/control; systemctl daemon-reload; \
         setsid runuser -u factory-ci -- sleep 4101 >/dev/null 2>&1 </dev/null & factory-runner renew trusted",
    );
    journey.wait_until("pgrep -u factory-ci -xf 'sleep 4100'");
    assert_eq!(journey.inside("ls -A /home/factory-ci/ci; pgrep -xf 'sleep 4101'; true"), "");

    // An application reaches its neighbors, and not the rights of the machine.
    let gateway = journey.inside("ip route show default | cut -d' ' -f3");
    journey.inside(METADATA);
    let knock = |place: &str| {
        journey.inside(&format!("cd /; timeout 20 runuser -u deploy -- bash -c 'echo >/dev/tcp/{place}' 2>&1 || true"))
    };
    assert!(knock(&format!("{gateway}/9")).contains("Connection refused"));
    assert!(knock("169.254.169.254/80").contains("No route to host"), "{}", knock("169.254.169.254/80"));
    assert_eq!(journey.run(journey.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
}
