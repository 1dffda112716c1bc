//! The runbooks about infrastructure, carried out as they are rendered: with a real Terraform, stand-ins for the providers and for what
//! GitLab keeps of states.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::control_repo::{ControlRepo, clean, factory_toml, passed, stdout, terraform, text};
use crate::deeds::{Deed, deeds, path_of};
use crate::engine::Engine;
use crate::ledger::How;
use crate::{ledger, support};

/// What the owner types in where the runbook says `read`.
const CREDENTIALS: [(&str, &str); 4] = [
    ("TF_HTTP_PASSWORD", "glpat-of-ada"),
    ("CLOUDFLARE_PLAN_TOKEN", "read"),
    ("CLOUDFLARE_APPLY_TOKEN", "write"),
    ("STATE_PASSPHRASE", "sixteen characters"),
];

/// A control repo, its origin, and a clone of the owner's on a machine that the agent cannot reach.
struct Estate {
    engine: Engine,
    repo: ControlRepo,
    clone: PathBuf,
    done: RefCell<BTreeSet<(String, String)>>,
}

impl Estate {
    fn new() -> Self {
        let engine = Engine::start();
        let answers = factory_toml("everything");
        let repo = ControlRepo::of(&answers.replace("[gitlab]\n", &format!("[gitlab]\nurl = \"{}\"\n", engine.url())));
        let place = repo.path().parent().unwrap().to_owned();
        repo.git(&["clone", "--quiet", "--bare", ".", "../origin.git"]);
        repo.git(&["remote", "set-url", "origin", place.join("origin.git").to_str().unwrap()]);
        repo.git(&["clone", "--quiet", "../origin.git", "../clone"]);
        Self { engine, repo, clone: place.join("clone"), done: RefCell::default() }
    }

    /// The commands of a runbook that hold `what`, as they are rendered; they count as done.
    fn commands(&self, runbook: &str, what: &str) -> String {
        let all = deeds(runbook, &self.text(runbook));
        let Deed { runbook, text, .. } =
            all.into_iter().find(|deed| deed.text.contains(what)).unwrap_or_else(|| panic!("{runbook} has no {what}"));
        self.done.borrow_mut().insert((runbook, text.clone()));
        text
    }

    fn text(&self, runbook: &str) -> String {
        self.repo.read(&path_of(runbook, |path| self.repo.path().join(path).exists()))
    }

    /// Runs them in the owner's clone, with what the owner has typed.
    fn run(&self, commands: &str) -> Output {
        let mut command = self.shell();
        command.args(["-euc", commands]).envs(CREDENTIALS).env("TF_HTTP_USERNAME", "ada").env("CI_PROJECT_ID", "7");
        command.stdin(Stdio::null()).output().unwrap()
    }

    fn shell(&self) -> std::process::Command {
        let mut command = clean("bash");
        command.envs(self.engine.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.clone).env("HOME", self.clone.parent().unwrap());
        command
    }

    fn refused(&self, commands: &str, code: i32, why: &str) {
        let output = self.run(commands);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(why), "{}", text(&output));
    }

    /// A request to the API of a root's state.
    fn state(&self, method: &str, path: &str, body: &str) -> String {
        let url = format!("$CI_API_V4_URL/projects/7/terraform/state/{path}");
        passed(&self.run(&format!("curl -sS --fail-with-body -u ada:x -X {method} -d '{body}' \"{url}\"")))
    }

    fn serial(&self, root: &str) -> u64 {
        let state: Value = serde_json::from_str(&self.state("GET", root, "")).unwrap();
        state["serial"].as_u64().unwrap()
    }
}

#[test]
fn states_are_repaired_and_the_infrastructure_ends() {
    if !support::available(&["bash", "curl", "git", "jq", "shellcheck", "yamllint"]) || !terraform() {
        return;
    }
    let estate = Estate::new();
    without_ci(&estate);
    a_lock_that_was_left(&estate);
    a_damaged_state(&estate);
    a_lost_state(&estate);
    all_of_it_ends(&estate);
    let runbooks = ["break-glass", "decommission", "infra-state", "leave-cloudflare", "restore-backup"]
        .map(|name| (name.to_owned(), estate.text(name)));
    ledger::settle(How::States, &estate.done.borrow(), &runbooks);
}

/// Break-glass, in one shell: what is asked for is typed.
fn without_ci(estate: &Estate) {
    estate.commands("break-glass", "fresh, on a machine that the agent cannot reach");
    let mut program = estate.commands("break-glass", "export CI_API_V4_URL=").replace("YOUR-GITLAB-USER", "ada");
    let read = estate.commands("break-glass", "read -rs NAME");
    for (name, _) in CREDENTIALS {
        program += &(read.replace("NAME", name) + "\n");
    }
    for step in ["scripts/infra plan ROOT", "scripts/infra apply ROOT"] {
        program += &(estate.commands("break-glass", step).replace("ROOT", "staging") + "\n");
    }
    let mut command = estate.shell();
    command.args(["-euc", &program]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut shell = command.spawn().unwrap();
    let typed = CREDENTIALS.map(|(_, value)| value).join("\n") + "\n";
    shell.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = shell.wait_with_output().unwrap();
    assert!(passed(&output).contains("Apply complete!"), "{}", text(&output));
    assert!(!text(&output).contains("glpat-of-ada"));
    estate.commands("break-glass", "plans no change for the root");
    assert!(passed(&estate.run("scripts/infra plan staging")).contains("No changes."));
}

/// As a job leaves it that was cut.
fn a_lock_that_was_left(estate: &Estate) {
    let lock = json!({"ID": "cut", "Operation": "OperationTypeApply", "Info": "", "Who": "runner@host", "Version": "1.8.0",
        "Created": "2026-01-02T03:04:05Z", "Path": ""});
    estate.state("POST", "staging/lock", &lock.to_string());
    estate.refused("scripts/infra plan staging", 1, "HTTP remote state already locked: ID=cut");
    estate.refused("scripts/infra drop staging 1 x", 75, "staging is locked by runner@host since 2026-01-02T03:04:05Z");
    let unlock = estate.commands("infra-state", "scripts/infra unlock ROOT").replace("ROOT", "staging");
    let said = passed(&estate.run(&unlock));
    assert!(said.contains("staging is unlocked; the lock was that of runner@host"), "{said}");
    estate.refused(&unlock, 65, "staging was not locked");
    estate.commands("infra-state", "What the cut job had done shows as already there");
    assert!(passed(&estate.run("scripts/infra plan staging")).contains("No changes."));
}

/// A newer version lacks what there is; the one before it is good.
fn a_damaged_state(estate: &Estate) {
    let list = estate.commands("infra-state", "scripts/infra state ROOT list").replace("ROOT", "staging");
    let good = passed(&estate.run(&list));
    assert!(good.contains("module.edge.cloudflare_zero_trust_tunnel_cloudflared"), "{good}");
    let serial = estate.serial("staging");
    let first = good.lines().next().unwrap();
    passed(&estate.run(&format!("scripts/infra state staging rm '{first}'")));
    assert!(!passed(&estate.run(&list)).contains(first) && estate.serial("staging") == serial + 1);

    let drop = |serial: u64, file: &str| {
        let command = estate.commands("infra-state", "scripts/infra drop ROOT SERIAL FILE").replace("ROOT", "staging");
        command.replace("SERIAL", &serial.to_string()).replace("FILE", file)
    };
    estate.refused(&drop(serial, "../damaged"), 65, &format!("the newest version of staging is serial {}", serial + 1));
    let said = passed(&estate.run(&drop(serial + 1, "../damaged")));
    assert_eq!(said, format!("staging is at {serial}, the serial before; {} is in ../damaged\n", serial + 1));
    estate.refused(&drop(serial, "../damaged"), 73, "is there already");
    assert_eq!(passed(&estate.run(&list)), good);
    estate.commands("infra-state", "and read the plan. Expected: no changes.");
    estate.commands("infra-state", "plans the root without changes");
    assert!(passed(&estate.run("scripts/infra plan staging")).contains("No changes."));
    // Roll back of it, and once more.
    let restore = estate.commands("infra-state", "scripts/infra restore ROOT FILE").replace("ROOT", "staging");
    passed(&estate.run(&restore.replace("FILE", "../damaged")));
    assert!(!passed(&estate.run(&list)).contains(first));
    passed(&estate.run(&drop(serial + 1, "../damaged-again")));
    let file = |name: &str| fs::read(estate.clone.join("..").join(name)).unwrap();
    assert_eq!(file("damaged"), file("damaged-again"));
}

/// GitLab holds no version at all; there is a copy.
fn a_lost_state(estate: &Estate) {
    let backup = estate.commands("decommission", "scripts/backup make FOLDER");
    assert_eq!(estate.commands("break-glass", "scripts/backup make FOLDER"), backup);
    passed(&estate.run(&format!("GITLAB_TOKEN=t {}", backup.replace("FOLDER", "../copy"))));
    let serial = estate.serial("staging");
    estate.state("DELETE", "staging", "");
    let there = |commands: String| commands.replace("FOLDER", "../copy").replace("ROOT", "staging");
    let shown = passed(&estate.run(&there(estate.commands("restore-backup", "jq '.serial"))));
    assert!(
        shown.starts_with(&serial.to_string()) && shown.contains("cloudflare_zero_trust_tunnel_cloudflared"),
        "{shown}"
    );
    let restore = there(estate.commands("restore-backup", "scripts/infra restore ROOT"));
    assert_eq!(passed(&estate.run(&restore)), format!("staging is at serial {serial}\n"));
    estate.commands("restore-backup", "Expected: what was changed since the copy, and nothing else");
    assert!(passed(&estate.run("scripts/infra plan staging")).contains("No changes."));
    estate.refused(&restore, 65, &format!("GitLab holds serial {serial} of staging, which is not older than {serial}"));
    estate.refused("scripts/infra restore production README.md", 65, "README.md is not a state");
    let other = "jq '.serial += 1 | .lineage = \"another\"' ../copy/states/staging.json >../other";
    estate.refused(&format!("{other}; scripts/infra restore staging ../other"), 65, "a state of another lineage");
    // An encrypted state is put back as it is: to read it is the engine's affair.
    let encrypted = r#"{"serial":9,"lineage":"x","meta":{},"encrypted_data":"b3BhcXVl","encryption_version":"v0"}"#;
    fs::write(estate.clone.join("../encrypted"), encrypted).unwrap();
    passed(&estate.run("scripts/infra restore production ../encrypted"));
    assert_eq!(estate.state("GET", "production", ""), encrypted);
    estate.state("DELETE", "production", "");
    // Nothing of all this stays locked, or in the work tree.
    estate.refused("scripts/infra unlock production", 65, "was not locked");
    assert_eq!(stdout(&estate.run("git status --porcelain")), "");
}

/// Decommission: one merge request takes the infrastructure away, and its plans delete everything and create nothing.
fn all_of_it_ends(estate: &Estate) {
    let deed = estate.commands("decommission", "**Infrastructure.**");
    let file = json!({"description": "Sells", "environments": {
        "staging": {"tier": "staging", "port": 8101, "public": false},
        "production": {"tier": "production", "port": 8100, "public": true}}});
    fs::write(estate.clone.join("infra/apps/shop.json"), file.to_string()).unwrap();
    let commit = |what: &str| {
        passed(&estate.run("git add --all"));
        passed(&estate.run(&format!("git -c user.name=t -c user.email=t@example.org commit -qm '{what}'")));
    };
    commit("Sell");
    let tokens = "export CONTROL_PLANE_PLAN_TOKEN=read CONTROL_PLANE_APPLY_TOKEN=write CI_COMMIT_REF_PROTECTED=true\n";
    let turn = |root: &str| {
        let apply = "CI_COMMIT_SHA=$(git rev-parse HEAD) scripts/infra apply";
        passed(&estate.run(&format!("{tokens} scripts/infra plan {root} && {apply} {root}")))
    };
    let roots = ["control-plane", "staging", "production"];
    let list = estate.commands("leave-cloudflare", "scripts/infra state ROOT list");
    for root in roots {
        assert!(turn(root).contains("Apply complete!"), "{root}");
    }
    // What leave-cloudflare keeps, so that it can be deleted by hand.
    let named = passed(&estate.run(&list.replace("ROOT", "production")));
    assert!(
        named.contains("module.zone_baseline.") && named.contains("cloudflare_dns_record.route[\"shop\"]"),
        "{named}"
    );

    let edit = |path: &str, change: &dyn Fn(&str) -> String| {
        let path = estate.clone.join(path);
        let before = fs::read_to_string(&path).unwrap();
        let after = change(&before);
        assert_ne!(before, after, "{}", path.display());
        fs::write(path, after).unwrap();
    };
    assert!(deed.contains("set `delete` to true in `infra/policy/allowed-changes.json`"), "{deed}");
    edit("infra/policy/allowed-changes.json", &|text| text.replace("\"delete\": false", "\"delete\": true"));
    for root in ["staging", "production"] {
        let folder = format!("infra/environments/{root}");
        edit(&format!("{folder}/main.tf"), &|text| without(text, "module "));
        fs::remove_file(estate.clone.join(folder).join("outputs.tf")).unwrap();
    }
    fs::remove_file(estate.clone.join("infra/apps/shop.json")).unwrap();
    commit("End it");
    passed(&estate.run("scripts/check validate && scripts/infra validate"));
    for root in roots {
        let ended = turn(root);
        assert!(ended.contains(" 0 added, 0 changed,") && !ended.contains(" 0 destroyed"), "{root}: {ended}");
    }
}

/// The text of a configuration without its blocks of this kind.
fn without(text: &str, kind: &str) -> String {
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        inside |= line.starts_with(kind);
        if !inside {
            kept += &format!("{line}\n");
        }
        inside &= line != "}";
    }
    kept
}
