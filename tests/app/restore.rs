//! The host's own backup: made each night on one host, opened by the owner alone, and restored on another by the commands of the procedure.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use factoryup::age::KeyPair;
use factoryup::factory::to_toml;
use factoryup::host::RevertTarget;
use factoryup::plan::{Options, Outcome, StateDir, converge};

use crate::blocks::{Block, blocks};
use crate::control_repo::{ControlRepo, passed, text};
use crate::deploy::{App, code};
use crate::journey::Journey;
use crate::scaffold::{made, ready, run};
use crate::support::{self, lab, make_program};
use factoryup::app::AppKind;

mod forged;

const PLACE: &str = "/srv/backup";
const CANARY: &str = "canary-of-the-settings";

/// An owner with a key, and the procedure as their control repo has it.
struct Owner {
    dir: PathBuf,
    /// The control repo, whose procedures name the host at this address.
    control: ControlRepo,
    address: String,
    procedure: Vec<Block>,
}

impl Owner {
    /// The block of the procedure that holds `what`, for a file and an application.
    fn block(&self, what: &str, file: &str, name: &str) -> String {
        let block = self.procedure.iter().find(|block| block.commands.contains(what));
        let commands = &block.unwrap_or_else(|| panic!("the procedure has no {what}")).commands;
        commands
            .replace("IDENTITY_FILE", "owner.agekey")
            .replace("FILE", file)
            .replace("NAME", name)
            .replace("REPO", "factory")
    }

    /// On the owner's machine, from where `ssh` and `scp` reach this host.
    fn here(&self, journey: &Journey, commands: &str) -> Output {
        let programs = self.dir.join("programs");
        fs::create_dir_all(&programs).unwrap();
        lab::ssh_program(&journey.host, &journey.keys, &programs.join("ssh"));
        make_program(
            programs.join("scp"),
            format!("#!/bin/sh\nexec /usr/bin/scp -S {} \"$@\"\n", programs.join("ssh").display()),
        );
        let path = format!("{}:{}", programs.display(), support::path());
        let commands = commands.replace(&self.address, &journey.host.address().to_string());
        let mut command = std::process::Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &commands]).current_dir(&self.dir).env("PATH", path).output().unwrap()
    }

    /// What factoryup says of the host, and the exit code.
    fn factoryup(&self, journey: &Journey, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.control.command(env!("CARGO_BIN_EXE_factoryup"));
        command
            .args(arguments)
            .env("XDG_STATE_HOME", self.dir.join("state"))
            .env("FACTORYUP_IDENTITY", journey.keys.path("id"));
        let output = command.env("FACTORYUP_HOST_KEY", journey.host.host_key_fingerprint()).output().unwrap();
        (output.status.code(), text(&output))
    }

    /// The newest copy of a part, fetched from the host.
    fn fetch(&self, journey: &Journey, part: &str) -> String {
        let name = journey.inside(&format!("ls {PLACE} | grep '^{part}-2' | tail -n 1"));
        fs::copy(journey.host.rootfs().join("srv/backup").join(&name), self.dir.join(&name)).unwrap();
        name
    }
}

fn on(journey: &Journey, commands: &str) -> Output {
    lab::ssh(&journey.host, &journey.keys, "operator", &format!("sh -euc '{}'", commands.replace('\'', r"'\''")))
}

/// A host whose factory keeps backups.
fn host(recipient: &str) -> Journey {
    let mut journey = Journey::new();
    journey.factory.host.backup_to = PLACE.into();
    journey.factory.secrets.owner_recipient = recipient.into();
    journey.provision();
    // The clone that the agent was given has no more than a configuration, which git cannot read.
    journey.inside("runuser -u agent -- git init -q ~agent/work/factory");
    journey
}

/// All that matters of an application's files: what they are, of whom, and what is in them.
fn listing(journey: &Journey) -> String {
    journey.inside(
        "cd /srv/apps/shop && find data env evidence.jsonl -printf '%y %m %u %g %n %P %l\\n' | sort && \
         find data env evidence.jsonl -type f ! -name 'count.db*' -exec sha256sum {} + | sort",
    )
}

/// systemd refuses more than five starts within ten seconds.
fn backup(journey: &Journey) -> Output {
    journey
        .host
        .run_inside(&["sh", "-c", "systemctl reset-failed factory-backup; systemctl start factory-backup"])
        .unwrap()
}

fn fault(journey: &Journey) -> Option<String> {
    journey.target().backups(&journey.watch).unwrap().unwrap().fault()
}

#[test]
fn what_a_host_kept_comes_back_on_another() {
    if !ready() || !lab::can_host() || !support::available(&["age", "bash", "ssh"]) {
        return;
    }
    let pair = KeyPair::generate().unwrap();
    let old = host(pair.recipient());
    let control = ControlRepo::of(&to_toml(&old.factory).unwrap());
    let procedure = blocks("restore-host", &control.read("docs/procedures/restore-host.md"));
    let dir = control.path().with_file_name("owner");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("owner.agekey"), pair.file().as_bytes()).unwrap();
    let owner = Owner { dir, address: old.host.address().to_string(), control, procedure };

    no_place_no_backup(&old, &owner);
    let folder = made(&owner.control, AppKind::Http, "shop");
    let shop = App { journey: &old, folder: folder.clone(), name: "shop", port: 8100 };
    it_has_data(&shop);
    the_agent_has_work(&old);
    old.inside("echo digest >/srv/apps/shop/migrated/0.9_0; chmod 640 /srv/apps/shop/migrated/0.9_0");
    it_goes_on(&shop);
    let [app, agent] = ["app-shop", "agent"].map(|part| owner.fetch(&old, part));
    nobody_else_opens_it(&old, &owner, &app);
    let before = listing(&old);
    what_is_killed_pauses_nothing(&shop);
    one_part_stops_no_other(&old);
    old_ones_go(&old);

    let new = host(pair.recipient());
    // Its numbers are others.
    new.inside("useradd --system -K SYS_UID_MIN=60706 -K SYS_UID_MAX=61183 -K SYS_GID_MIN=60706 -K SYS_GID_MAX=61183 app-other");
    forged::nothing_else_is_restored(&new, &owner, &app);
    let passed_on = |what: &str, file: &str| passed(&on(&new, &owner.block(what, file, "shop")));
    let brought = |file: &str| passed(&owner.here(&new, &owner.block("-o restore.tar", file, "shop")));
    let whole = passed(&owner.here(&new, &owner.block("| tar -t", &app, "shop")));
    assert!(whole.ends_with("\nend\n"), "{whole}");
    brought(&app);
    assert!(passed_on("sudo factory-backup restore", &app).contains("shop: restored"));
    let migrated = "cd /srv/apps/shop/migrated && stat -c '%a %U' . 0.9_0 && cat 0.9_0";
    assert_eq!(new.inside(migrated), "755 root\n640 root\ndigest");
    let again = App { journey: &new, folder, name: "shop", port: 8100 };
    again.build("1.0.0");
    code(&again.install("1.0.0"), 0);
    let uid = "id -u app-shop";
    assert_ne!(old.inside(uid), new.inside(uid));
    it_is_the_same(&before, &again);

    // To an earlier day of an application that runs.
    new.inside("echo later >/srv/apps/shop/data/later");
    brought(&app);
    assert!(code(&on(&new, "sudo factory-backup restore shop <restore.tar"), 65).contains("has something in it"));
    passed_on("data.before", &app);
    new.wait_until("curl -sf http://127.0.0.1:8100/count");
    it_is_the_same(&before, &again);
    assert_eq!(new.inside("cat /srv/apps/shop/data.before/later"), "later");

    // The agent's work, on its new clone.
    let origin = old.host.rootfs().join("srv/origin.git");
    passed(&run(&owner.dir, "cp", &["-a", origin.to_str().unwrap(), new.host.rootfs().join("srv").to_str().unwrap()]));
    new.inside("chown -R agent: /srv/origin.git; rm -rf ~agent/work/factory; runuser -u agent -- git clone -q /srv/origin.git ~agent/work/factory");
    brought(&agent);
    let refs = passed_on("git fetch ~/restored", &agent);
    for name in [
        "refs/restored/heads/agent/1-x",
        "refs/restored/worktrees/2-factory-issue-1",
        "refs/restored/worktrees/3-factory-issue-1",
    ] {
        assert!(refs.contains(name), "{refs}");
    }
    let draft = "cd ~agent/work/factory && sudo -u agent git show refs/restored/worktrees/2-factory-issue-1:draft";
    assert_eq!(new.inside(draft), "a draft");

    it_leaves(&old);
}

/// Without the folder nothing is made, and the owner is told; with it, the first copy is.
fn no_place_no_backup(host: &Journey, owner: &Owner) {
    assert_eq!(fault(host).as_deref(), Some("no backup was made yet"));
    let (code, said) = owner.factoryup(host, &["doctor", "host"]);
    assert!(code == Some(2) && said.contains("- no backup was made yet"), "{said}");
    assert!(owner.factoryup(host, &["status"]).1.contains("; no backup was made yet"));
    assert!(!backup(host).status.success());
    assert!(fault(host).unwrap().contains(&format!("the last backup failed: factory-backup: {PLACE} is no folder")));
    for unsafe_place in
        ["install -d -o agent", "install -d -o 4242", "install -d -m 777", "install -d -m 1777", "ln -s /home"]
    {
        host.inside(&format!("{unsafe_place} {PLACE}"));
        assert!(!backup(host).status.success(), "{unsafe_place}");
        assert!(fault(host).unwrap().contains("is not safe"), "{unsafe_place}: {:?}", fault(host));
        assert_eq!(host.inside(&format!("ls {PLACE}/ | grep -c tar.age || true; rm -rf {PLACE}")), "0");
    }
    passed(&on(host, &owner.block("install -d -m 2750", "", "")));
    let output = on(host, &owner.block("systemctl start factory-backup", "", ""));
    assert!(
        output.status.success(),
        "{}{}",
        text(&output),
        host.inside("journalctl -u factory-backup -u factory-backup-agent --no-pager")
    );
    assert_eq!(fault(host), None);
    let (code, said) = owner.factoryup(host, &["doctor", "host"]);
    assert!(code == Some(0) && said.contains("ok    the host's last backup is whole"), "{said}");
    let (_, said) = owner.factoryup(host, &["status"]);
    assert!(said.contains("; last backup less than an hour ago"), "{said}");
    assert_eq!(host.inside(&format!("stat -c '%a %U:%G' {PLACE}/agent-*")), "640 root:operator");
    assert_eq!(host.run(host.target()).unwrap(), Outcome::AlreadyRight { proofs: 0 });
}

/// A program that counts in a database, and files that a careless copy would follow, lose or run.
fn it_has_data(app: &App<'_>) {
    app.edit(
        "bin/serve",
        "class Handler",
        "import sqlite3\n\n\ndef count():\n    \"\"\"Two tables that have to agree.\"\"\"\n    \
         with sqlite3.connect(os.environ[\"APP_DATA\"] + \"/count.db\", timeout=30) as db:\n        \
         db.execute(\"pragma journal_mode=wal\")\n        \
         for table in \"ab\":\n            db.execute(f\"create table if not exists {table} (n integer)\")\n            \
         db.execute(f\"insert into {table} values (1)\")\n        \
         return [db.execute(f\"select count(*) from {table}\").fetchone()[0] for table in \"ab\"]\n\n\n\
         def forever():\n    while True:\n        count()\n        time.sleep(0.001)\n\n\nclass Handler",
    );
    app.edit(
        "bin/serve",
        "elif path == \"/\":",
        "elif path == \"/count\":\n            self.answer(200, count())\n        elif path == \"/check\":\n            db = sqlite3.connect(os.environ[\"APP_DATA\"] + \"/count.db\")\n            self.answer(200, db.execute(\"pragma integrity_check\").fetchone()[0])\n        elif path == \"/\":",
    );
    app.edit(
        "bin/serve",
        "    server.serve_forever()",
        "    threading.Thread(target=forever, daemon=True).start()\n    server.serve_forever()",
    );
    app.build("1.0.0");
    code(&app.deploy(&format!("printf \"GREETING=%s\\n\" {CANARY} | .factory/deploy settings")), 0);
    code(&app.install("1.0.0"), 0);
    app.journey.inside(
        "cd /srv/apps/shop/data && setpriv --reuid=app-shop --regid=app-shop --clear-groups sh -euc '\
         mkdir -p \"a b\" closed && printf x >\"a b/\u{e4}\" && printf y >\"$(printf \"two\\nlines\")\" && printf z >./--checkpoint-action=exec=sh && \
         printf w >\"\\$(touch pwned)\" && ln -s /etc/shadow link && ln link-to-be hard 2>/dev/null || ln \"a b/\u{e4}\" hard; \
         mkfifo pipe; truncate -s 1G sparse; printf s >setuid; chmod 4755 setuid; printf c >closed/c; chmod 400 closed/c; chmod 500 closed; chmod 2770 \"a b\"'",
    );
}

/// In the agent's clone: a commit that no remote has, a file that is not committed, and settings that would run something for each git command.
fn the_agent_has_work(host: &Journey) {
    host.inside("install -d -o agent -g agent /srv/origin.git; rm -rf ~agent/work/factory");
    host.inside(
        "runuser -u agent -- sh -euc 'cd && git init -q --bare -b main /srv/origin.git && git clone -q /srv/origin.git work/factory 2>/dev/null; \
         cd work/factory; git config user.name t; git config user.email t@example.org; git checkout -q -b main; echo 1 >a; git add a; git commit -qm one; git push -q origin main; \
         git worktree add -q -b agent/1-x ../factory-issue-1; cd ../factory-issue-1; echo 2 >b; git add b; git commit -qm two; echo a draft >draft; mkdir ../other; git worktree add -q --detach ../other/factory-issue-1; \
         git config core.fsmonitor \"touch /tmp/ran-as-\\$(id -un)\"; git config core.hooksPath /home/agent/hooks'",
    );
}

/// A copy is made while the program counts, and it counts on.
fn it_goes_on(app: &App<'_>) {
    let output = backup(app.journey);
    assert!(
        output.status.success(),
        "{}{}",
        text(&output),
        app.journey.inside("journalctl -u factory-backup --no-pager")
    );
    assert_eq!(fault(app.journey), None);
    app.get("/count");
    assert_eq!(app.status()["healthy"], true);
    assert_eq!(
        app.journey.inside("ls /var/lib/factoryup/host-backup; ls /tmp | grep -c ran-as || true"),
        "done\nend\nlock\n0"
    );
    let journal = app.journey.inside("journalctl -u factory-backup -o cat --no-pager");
    assert!(journal.contains("app-shop-") && !journal.contains(CANARY) && !journal.contains("age1"), "{journal}");
}

/// The file says nothing, and the host has nothing that opens it. A file that was changed or cut opens for nobody.
fn nobody_else_opens_it(host: &Journey, owner: &Owner, file: &str) {
    let bytes = fs::read(owner.dir.join(file)).unwrap();
    assert!(bytes.starts_with(b"age-encryption.org/v1\n"));
    assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()));
    let tries = host.inside(&format!(
        "for key in /etc/ssh/ssh_host_*_key; do age -d -i $key {PLACE}/{file} >/dev/null 2>&1 && echo opened; done; \
         grep -rlIE 'AGE-SECRET-KEY-1[A-Z0-9]{{50}}' /etc /root /home /srv/apps /var/lib/factoryup 2>/dev/null || true"
    ));
    assert_eq!(tries, "");
    let opens = |name: &str, bytes: &[u8]| {
        fs::write(owner.dir.join(name), bytes).unwrap();
        owner.here(host, &owner.block("| tar -t", name, "shop")).status.success()
    };
    assert!(opens("same", &bytes));
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    assert!(!opens("changed", &changed));
    for cut in [bytes.len() - 1, bytes.len() / 2, 300] {
        assert!(!opens("cut", &bytes[..cut]), "{cut}");
    }
}

/// The application is stopped while it is read; a run that is killed then leaves it running.
fn what_is_killed_pauses_nothing(app: &App<'_>) {
    app.journey.inside("head -c 400M /dev/urandom >/srv/apps/shop/data/big");
    let killed = app.journey.inside(
        "systemctl start --no-block factory-backup; pid=$(systemctl show -P MainPID app-shop@$(basename $(readlink /srv/apps/shop/live))); tries=5000; \
         while ! grep -q 'State:.T' /proc/$pid/status; do tries=$((tries - 1)); [ $tries -gt 0 ] || exit 1; sleep 0.01; done; \
         systemctl kill --signal=KILL factory-backup; until systemctl is-failed --quiet factory-backup; do sleep 0.1; done; \
         systemctl show -P ActiveState factory-backup; grep -c 'State:.[SR]' /proc/$pid/status; rm /srv/apps/shop/data/big",
    );
    assert_eq!(killed, "failed\n1");
    app.get("/count");
}

/// What an earlier version deployed, and what is no folder, is named; the rest is kept.
fn one_part_stops_no_other(host: &Journey) {
    let count = || host.inside(&format!("ls {PLACE}/app-shop-* | wc -l")).parse::<u32>().unwrap();
    let kept = count();
    host.inside("ln -s /root /srv/apps/evil; install -d -o deploy /srv/apps/older; install -d -o agent ~agent/work/broken/.git; sleep 1");
    assert!(!backup(host).status.success());
    let said = host.inside("journalctl -u factory-backup -o cat --no-pager | grep 'no copy of'");
    for name in ["/srv/apps/evil", "/srv/apps/older", "all of agent: git cannot read all of broken"] {
        assert!(said.contains(name), "{said}");
    }
    assert!(fault(host).unwrap().contains("no copy of "), "{:?}", fault(host));
    assert_eq!(count(), kept + 1);
    host.inside("rm /srv/apps/evil; rmdir /srv/apps/older; rm -r ~agent/work/broken");
    // Nor does one that is too large.
    let least = "sed 's/^most=.*/most=100000/' /usr/local/sbin/factory-backup >/root/least; chmod 755 /root/least; sleep 1; /root/least run 2>&1 || echo failed";
    let said = host.inside(least);
    let parts = "no copy of app-shop: it cannot be encrypted, or has more than the 100000 bytes";
    assert!(said.contains(parts) && said.contains("/agent-") && said.ends_with("failed"), "{said}");
}

/// Fourteen of each part stay, and all that has another name.
fn old_ones_go(host: &Journey) {
    host.inside(&format!(
        "cd {PLACE} && for day in 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16; do : >app-shop-202001${{day}}T000000Z.tar.age; done; \
         : >app-shop-staging-20200101T000000Z.tar.age; : >app-shop-mine.tar.age; sleep 1"
    ));
    assert!(backup(host).status.success());
    assert_eq!(host.inside(&format!("ls {PLACE}/app-shop-2* | wc -l; ls {PLACE}/app-shop-[ms]* | wc -l")), "14\n2");
    assert_eq!(host.inside(&format!("ls -A {PLACE} | grep -c '^[.]new' || true")), "0");
}

/// The files, their modes and their accounts by name, and the database.
fn it_is_the_same(before: &str, app: &App<'_>) {
    let now = listing(app.journey);
    // The database is at work, the deployment has its own line, and nothing that could run as another keeps its bit.
    let stable = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("count.db") && !line.contains("evidence.jsonl"));
        lines.map(|line| line.replace(" 4755 ", " 755 ")).collect::<BTreeSet<_>>()
    };
    assert_eq!(stable(&now), stable(before));
    let done = app.evidence();
    assert_eq!(done, ["install shop 1.0.0: healthy"; 2]);
    let tables = app.get("/count");
    let counts: Vec<u64> = serde_json::from_str(&tables).unwrap();
    assert!(counts[0] == counts[1] && counts[0] > 10, "{tables}");
    assert_eq!(app.get("/check"), "\"ok\"");
    assert!(app.get("/").contains(CANARY));
}

/// Without `backup_to` the host makes none any more, and so after a revert. The copies stay.
fn it_leaves(host: &Journey) {
    let copies = host.inside(&format!("ls {PLACE}"));
    let state = StateDir::at(host.state.path()).unwrap();
    let mut target = RevertTarget::new(&host.factory, host.reach(), None).unwrap();
    let options = Options { yes: true, ..Options::default() };
    converge(&mut target, &host.watch, &state, options).unwrap();
    let said: Vec<String> =
        host.watch.plans.borrow().last().unwrap().changes.iter().map(|change| change.summary.clone()).collect();
    assert!(said.iter().any(|line| line.contains("the backups that it made stay")), "{said:?}");
    assert_eq!(host.inside(&format!("ls {PLACE}")), copies);
    let left = "ls /etc/systemd/system /usr/local/sbin /etc/factory 2>/dev/null | grep -c backup || true; systemctl list-units --all --plain --no-legend 'factory-backup*'";
    assert_eq!(host.inside(left), "0");
}
