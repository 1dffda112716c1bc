//! Builds of applications and trusted jobs of the control repo, attacked from inside one: it gets no further than its own job, and nothing
//! of it stays.

use std::fs;
use std::net::TcpListener;

use disposable_host::{Image, Recipe};
use factoryup::plan::Outcome;

use crate::journey::Journey;
use crate::levels::{METADATA, put};
use crate::revert::revert;
use crate::support::{lab, make_program};

/// In place of GitLab Runner, which cannot be downloaded here. It obeys the configuration as GitLab documents it: a custom executor with
/// its three programs. A job is a file in `/root/jobs/RUNNER/`; `NAME.log` is what it said, `NAME.code` its exit code. `NAME.cancel`
/// cancels it.
const RUNNER: &str = r#"#!/usr/bin/python3
import os, pathlib, signal, subprocess, sys, tempfile, time, tomllib

if sys.argv[1] == "verify":
    print("Verifying runner... is valid")
    sys.exit()
runner = tomllib.load(open(sys.argv[sys.argv.index("--config") + 1], "rb"))["runners"][0]
jobs = pathlib.Path("/root/jobs", runner["name"])
jobs.mkdir(parents=True, exist_ok=True)
stop = []
signal.signal(signal.SIGQUIT, lambda *_: stop.append(1))

def custom(job, log):
    own = runner["custom"]
    folder = tempfile.mkdtemp(prefix="custom-executor")
    code_file = pathlib.Path(folder, "build_exit_code")
    environment = dict(os.environ, TMPDIR=folder, BUILD_FAILURE_EXIT_CODE="1", SYSTEM_FAILURE_EXIT_CODE="2",
        BUILD_EXIT_CODE_FILE=str(code_file), CUSTOM_ENV_CI_ENVIRONMENT_NAME="production", CUSTOM_ENV_PATH="/nowhere")
    def call(step, *words):
        return subprocess.Popen([own[step + "_exec"], *own[step + "_args"], *words], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, process_group=0)
    def stage(name, text):
        script = pathlib.Path(tempfile.mkdtemp(dir=folder), "script")
        script.write_text(text)
        script.chmod(0o700)
        process = call("run", str(script), name)
        while process.poll() is None:
            if job.with_suffix(".cancel").exists():
                os.killpg(process.pid, signal.SIGTERM)
                process.wait()
            time.sleep(0.05)
        return process.returncode
    project = runner["builds_dir"] + "/project"
    code = call("prepare").wait()
    if code == 0:
        code = stage("get_sources", f"mkdir -p {project}; echo 'source' >{project}/source")
    if code == 0:
        code = stage("build_script", f"cd {project}\n" + job.read_text())
        stage("after_script", f"ls -A {project} | tr '\\n' ' '; ls -A /tmp; ps -e -o pid=,args=")
    log.write(f"stage ended with {code}\n".encode())
    call("cleanup").wait()
    return int(code_file.read_text()) if code == 1 and code_file.exists() else code

while not stop:
    for job in jobs.glob("*.job"):
        # GitLab hands a job out once.
        job = job.rename(job.with_suffix(".taken"))
        with job.with_suffix(".log").open("wb", buffering=0) as log:
            code = custom(job, log)
        job.with_suffix(".code.new").write_text(str(code))
        job.with_suffix(".code.new").rename(job.with_suffix(".code"))
    time.sleep(0.05)
"#;

/// What code of an application or of a provider, or of something that it depends on, tries in a job. It ends with 7, so that its exit code is
/// seen.
const ATTACK: &str = r#"
id -un
cat source
echo "home: $(ls -A ~)"
echo "processes: $(ls -d /proc/[0-9]* | wc -l)"
for one in /proc/[0-9]*/environ; do tr '\0' '\n' <$one; done 2>/dev/null
for path in /home/deploy/private /srv/apps/shop/env /etc/factory/runner-build-shop/config.toml /var/lib/factory-jobs/build-blog/private; do
    cat $path
done 2>/dev/null
ls /home/deploy >/dev/null 2>&1 && echo "open: /home/deploy"
pgrep -u deploy -af 'sleep 43' | sed 's/^/reaches process /'
ls /run/factory-deploy >/dev/null 2>&1 && echo "open: doors $(ls /run/factory-deploy)"
perl -MIO::Socket::UNIX -e 'exit !IO::Socket::UNIX->new("/run/factory-deploy/socket")' && echo "open: its door"
gateway=$(ip route show default | cut -d ' ' -f 3)
timeout 9 bash -c "echo >/dev/tcp/$gateway/9" 2>&1 | grep -q refused && echo "reaches the network $gateway"
timeout 9 bash -c "echo >/dev/tcp/169.254.169.254/80" 2>&1 | grep -q 'No route to host' || echo "reaches the metadata"
timeout 9 bash -c "echo >/dev/tcp/$gateway/GITLAB" && echo "GitLab answers"
sudo -n id >/dev/null 2>&1 && echo "open: sudo"
busctl --no-pager list >/dev/null 2>&1 && echo "open: D-Bus"
for folder in / /etc /usr/local/bin /srv/apps /home/deploy /run /run/lock /var/lib /var/lib/factory-jobs /var/crash /dev/mqueue; do
    touch $folder/planted 2>/dev/null && echo "planted in $folder"
done
touch ~/planted /tmp/planted /var/tmp/planted /dev/shm/planted .bashrc
echo 'touch ~/ran-by-a-shell' >~/.profile
git config --global core.hooksPath ~/hooks; git init -q . 2>/dev/null; echo 'touch ~/ran-by-git' >.git/hooks/post-checkout
cp /usr/bin/id ~/setuid; chmod 6755 ~/setuid; chmod 777 ~
(trap '' HUP TERM INT; setsid sleep 4301 >/dev/null 2>&1 </dev/null &)
exit 7
"#;

/// What must not be known to a job.
const CANARIES: [&str; 5] = [
    "canary-in-a-file-of-deploy",
    "canary-of-a-setting",
    "canary-of-a-service",
    "canary-of-another-build",
    "canary-of-another-trusted-job",
];

fn start(journey: &Journey, kind: &str, name: &str) {
    let url = &journey.factory.gitlab.url;
    journey.inside(&format!(
        "echo glrt-canary-of-{name}-{kind} | factory-runner token {kind} {name}; factory-runner start {kind} {name} {url}"
    ));
}

/// Hands a job to a runner.
fn give(journey: &Journey, runner: &str, job: &str, script: &str) {
    let folder = journey.host.rootfs().join("root/jobs").join(runner);
    journey.wait_until(&format!("test -d /root/jobs/{runner}"));
    fs::write(folder.join(format!("{job}.new")), script).unwrap();
    fs::rename(folder.join(format!("{job}.new")), folder.join(format!("{job}.job"))).unwrap();
}

/// What it said, and its exit code.
fn result(journey: &Journey, runner: &str, job: &str) -> (String, String) {
    journey.wait_until(&format!("test -e /root/jobs/{runner}/{job}.code"));
    (journey.read(&format!("/root/jobs/{runner}/{job}.log")), journey.read(&format!("/root/jobs/{runner}/{job}.code")))
}

fn done(journey: &Journey, runner: &str, job: &str, script: &str) -> (String, String) {
    give(journey, runner, job, script);
    result(journey, runner, job)
}

#[test]
fn on_debian_12_a_job_reaches_nothing_of_others_and_leaves_nothing() {
    if lab::can_host() {
        attacks_fail(Journey::new());
    }
}

#[test]
fn on_debian_13_a_job_reaches_nothing_of_others_and_leaves_nothing() {
    if lab::can_host() {
        let recipe = Recipe { suite: "trixie".into(), ..Recipe::default() };
        let image = Image::ensure(&recipe, &mut |line| eprintln!("{line}")).unwrap();
        attacks_fail(Journey::on(&image, None));
    }
}

/// One attack after the other, on one host. GitLab is on a private network, where the agent, builds and trusted jobs reach nothing else.
fn attacks_fail(mut journey: Journey) {
    let gateway = journey.inside("ip route show default | cut -d' ' -f3");
    let gitlab = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = gitlab.local_addr().unwrap().port();
    journey.factory.gitlab.url = format!("http://{gateway}:{port}");
    let (journey, attack) = (&journey, &ATTACK.replace("GITLAB", &port.to_string()));
    journey.provision();
    journey.inside(METADATA);
    make_program(journey.host.rootfs().join("usr/bin/gitlab-runner"), RUNNER);
    // As an earlier version deployed.
    journey.inside("install -d -o deploy -g deploy -m 750 /srv/apps/shop");
    for (path, text) in [("/home/deploy/private", CANARIES[0]), ("/srv/apps/shop/env", CANARIES[1])] {
        journey.inside(&format!(
            "runuser -u deploy -- sh -c 'umask 077; mkdir -p {}; echo {text} >{path}'",
            path.rsplit_once('/').unwrap().0
        ));
    }
    let service =
        format!("setsid runuser -u deploy -- env -i SETTING={} sleep 4300 >/dev/null 2>&1 </dev/null &", CANARIES[2]);
    journey.inside(&service);
    start(journey, "trusted", "shop");
    let note = "shop has no build runner: its builds wait";
    assert!(journey.inside("factory-runner status 2>&1").contains(note));
    start(journey, "build", "shop");
    assert!(!journey.inside("factory-runner status 2>&1").contains(note));
    start(journey, "build", "blog");
    journey.inside(&format!(
        "echo glrt-canary-of-the-control-repo >/etc/factory/runner-trusted-token; factory-runner start trusted {}; \
         setsid runuser -u factory-ci -- env -i TOKEN={} sleep 4306 >/dev/null 2>&1 </dev/null &",
        journey.factory.gitlab.url, CANARIES[4]
    ));
    // Another application is built all the while.
    give(journey, "build-blog", "long", &format!("echo {0} >~/private; export OTHER={0}; sleep 4302", CANARIES[3]));
    journey.wait_until("pgrep -u factory-build -xf 'sleep 4302'");

    // The attack works where nothing stands against it: as deployments ran before, in a shell.
    fs::write(journey.host.rootfs().join("root/attack"), attack).unwrap();
    let said = journey.inside("cd; runuser -u deploy -- bash --login </root/attack 2>&1 || true");
    assert!(CANARIES[..3].iter().all(|canary| said.contains(canary)), "{said}");
    assert!(
        ["planted in /home/deploy", "reaches process", "reaches the network"].iter().all(|deed| said.contains(deed)),
        "{said}"
    );
    assert!(!said.contains("door"), "{said}");
    assert_eq!(journey.inside("pgrep -u deploy -xfc 'sleep 4301'"), "1");
    journey.inside("pkill -xf 'sleep 4301'; cd /home/deploy; rm -rf planted .bashrc .profile .gitconfig .git setuid");
    journey.inside("rm -f /var/tmp/planted /dev/shm/planted /tmp/planted");

    let before = traces(journey);
    for (runner, user, round) in [
        ("build-shop", "factory-build", "first"),
        ("build-shop", "factory-build", "second"),
        ("trusted", "factory-ci", "first"),
        ("trusted", "factory-ci", "second"),
        ("trusted-shop", "deploy", "first"),
        ("trusted-shop", "deploy", "second"),
    ] {
        let (said, code) = done(journey, runner, round, attack);
        assert_eq!(code, "7", "{said}");
        let mut lines = said.lines();
        let begin = [lines.next(), lines.next(), lines.next()];
        assert_eq!(begin, [Some(user), Some("source"), Some("home: builds")], "{said}");
        let processes = lines.next().and_then(|line| line.strip_prefix("processes: ")).unwrap();
        assert!(processes.parse::<u32>().unwrap() < 8, "{said}");
        let got: Vec<_> = said
            .lines()
            .filter(|line| ["canary", "open:", "planted in", "reaches"].iter().any(|word| line.contains(word)))
            .collect();
        // That home is a new one. Applications of an earlier version run as deploy too, and have neighbors.
        let network = format!("reaches the network {gateway}");
        let own = ["open: /home/deploy", "open: its door", &network, "planted in /home/deploy"];
        assert_eq!(got, if user == "deploy" { &own[..] } else { &[] }, "{runner} {round}: {said}");
        assert!(said.contains("GitLab answers"), "{runner}: {said}");
        // The stage after it has the work folder, and nothing that runs.
        assert!(
            said.contains(".bashrc .git source") && !said.contains("sleep 43") && !said.contains("ran-by-a-shell"),
            "{said}"
        );
        assert!(said.ends_with("stage ended with 1\n"), "{said}");
        assert_eq!(traces(journey), before, "{runner} {round}");
    }
    assert_eq!(journey.inside("pgrep -u factory-build -xfc 'sleep 4302'; ls /var/lib/factory-jobs"), "1\nbuild-blog");

    let limits = "systemctl show -P Slice factory-job-build-blog; systemctl show -P ActiveState -P TasksMax factory-builds.slice";
    assert_eq!(journey.inside(limits), "factory-builds.slice\n4096\nactive");

    // It asks for its own application's releases, and for nothing else.
    let ask = "/usr/local/sbin/factory-deploy";
    let (said, code) = done(journey, "trusted-shop", "own", &format!("{ask} status shop"));
    assert!(code == "69" && said.contains("an earlier version deployed there"), "{code}: {said}");
    let (said, code) = done(journey, "trusted-shop", "other", &format!("{ask} status blog"));
    assert!(code == "77" && said.contains("its own releases alone"), "{code}: {said}");
    a_job_whose_start_meets_a_reload_runs(journey);
    a_job_that_is_canceled_ends(journey);
    a_trusted_job_keeps_its_state(journey);
    journey.inside("pkill -u deploy -xf 'sleep 4300'");
    let outcome = revert(journey);
    assert!(matches!(outcome, Ok(Outcome::Applied { .. })), "{}", journey.explain(&outcome));
    let left = "ls -A /var/lib/factory-jobs 2>/dev/null; systemctl list-units --all --plain --no-legend 'factory-*'; pgrep -xf 'sleep 43.*'; true";
    assert_eq!(journey.inside(left), "");
}

/// All that belongs to the users, or was planted, and what runs as them but the other application's build.
fn traces(journey: &Journey) -> String {
    journey.inside(
        "find / /dev/shm /dev/mqueue /run /tmp -xdev \\( -user factory-build -o -user factory-ci -o -user deploy -o -name planted \\) \
         ! -path '/var/lib/factory-jobs/build-blog*' ! -path '/proc/*' -printf '%p %m\n' 2>/dev/null | sort -u; \
         ps -u factory-build,factory-ci,deploy -o args= | grep -v 4302 | grep -v '^bash$' | grep -v defunct; \
         ls /var/lib/factory-jobs; systemctl list-units --all --plain --no-legend 'factory-job-build-shop*' 'factory-job-trusted*' 'factory-deploy-*@*'; true",
    )
}

/// Each deployment has systemd reload its configuration, and so has an upgrade. It then reads again what it is about to start.
fn a_job_whose_start_meets_a_reload_runs(journey: &Journey) {
    let late = "[Unit]\nBefore=network-online.target\n[Service]\nType=oneshot\nExecStart=/bin/sh -c 'until [ -e /root/begin ]; do sleep 0.1; done'\n";
    put(journey, "/etc/systemd/system/late.service", late);
    journey.inside("systemctl daemon-reload; systemctl stop network-online.target; systemctl start --no-block late.service network-online.target");
    give(journey, "build-shop", "reload", "echo \"ran as $(id -un)\"");
    journey.wait_until("systemctl list-jobs | grep -q 'factory-job-build-shop.service.*waiting'");
    journey.inside("systemctl daemon-reload; touch /root/begin");
    let (said, code) = result(journey, "build-shop", "reload");
    assert!(code == "0" && said.contains("ran as factory-build"), "{code}: {said}");
    journey.inside("rm /etc/systemd/system/late.service; systemctl daemon-reload");
}

fn a_job_that_is_canceled_ends(journey: &Journey) {
    let script = "(trap '' TERM; setsid sleep 4303 &) ; trap '' TERM; sleep 4304";
    give(journey, "build-shop", "canceled", script);
    journey.wait_until("pgrep -u factory-build -xf 'sleep 4303' && pgrep -u factory-build -xf 'sleep 4304'");
    journey.inside("touch /root/jobs/build-shop/canceled.cancel");
    result(journey, "build-shop", "canceled");
    assert_eq!(journey.inside("pgrep -xf 'sleep 430[34]'; ls /var/lib/factory-jobs"), "build-blog");
    // A runner that is killed leaves its job to the service manager.
    give(journey, "build-shop", "orphan", "sleep 4305");
    journey.wait_until("pgrep -u factory-build -xf 'sleep 4305'");
    journey.inside("systemctl kill --signal=KILL factory-runner-build-shop");
    journey.wait_until("! pgrep -xf 'sleep 4305' && ! test -e /var/lib/factory-jobs/build-shop");
}

/// What OpenTofu does: it ends by itself when it is interrupted. Its parents wait for it.
const INTERRUPTED: &str = r"
env | sort | grep -iE '_proxy|^OF_ROOT'
cat >apply <<'END'
trap 'sleep 1; echo the state is kept; exit 1' INT
(trap '' INT TERM; setsid sleep 4307 &)
while :; do sleep 0.1; done
END
sh -c 'sh apply; exit 9'
";

fn a_trusted_job_keeps_its_state(journey: &Journey) {
    let proxy = "printf '\\nOF_ROOT=x\\nexport HTTPS_PROXY=\"http://a:b@127.0.0.1:9\"  # the office\\nno_proxy=localhost' >>/etc/environment";
    journey.inside(&format!("cp /etc/environment /root; {proxy}"));
    give(journey, "trusted", "canceled", INTERRUPTED);
    journey.wait_until("pgrep -u factory-ci -xf 'sleep 4307'");
    journey.inside("touch /root/jobs/trusted/canceled.cancel; mv /root/environment /etc/environment");
    let (said, _) = result(journey, "trusted", "canceled");
    let kept = "HTTPS_PROXY=http://a:b@127.0.0.1:9\nno_proxy=localhost\nthe state is kept\n";
    assert!(said.starts_with(kept), "{said}");
    assert_eq!(journey.inside("pgrep -xf 'sleep 4307'; ls /var/lib/factory-jobs"), "build-blog");
    // Other settings wait for the job that runs. What a job of before left in a shell goes then: a process, a crontab, a folder without the
    // right to write.
    let left = "install -d -m 1730 /var/spool/cron/crontabs; echo '* * * * * true' >/var/spool/cron/crontabs/factory-ci; \
                runuser -u factory-ci -- sh -c 'mkdir -p ~/ci/builds/x/y ~/ci/cache; touch ~/ci/builds/x/y/z; chmod 555 ~/ci/builds/x/y'; \
                pgrep -u factory-ci -xfc 'sleep 4306'";
    assert_eq!(journey.inside(left), "1");
    give(journey, "trusted", "long", "echo begun; sleep 5; echo done");
    journey.wait_until("grep -qx begun /root/jobs/trusted/long.log");
    assert!(
        journey
            .inside("factory-runner renew trusted")
            .contains("factory-runner-trusted.service finishes its job first")
    );
    let (said, code) = result(journey, "trusted", "long");
    assert!(code == "0" && said.contains("begun\ndone\n"), "{code}: {said}");
    let gone = "ls /var/spool/cron/crontabs; runuser -u factory-ci -- sh -c 'ls ~/ci'; pgrep -u factory-ci -xf 'sleep 4306' || true";
    assert_eq!(journey.inside(gone), "");
    // A runner that is stopped ends its job first, while it still reads what the job says.
    give(journey, "trusted", "stopped", INTERRUPTED);
    journey.wait_until("pgrep -u factory-ci -xf 'sleep 4307'");
    journey.inside("systemctl stop factory-runner-trusted; systemctl start factory-runner-trusted");
    let (said, _) = result(journey, "trusted", "stopped");
    assert!(said.contains("the state is kept\n"), "{said}");
}
