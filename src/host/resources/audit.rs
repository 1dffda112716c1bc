//! Audit rules: the kernel records each change to what decides who may do what.
//!
//! None is for the calls of sudo and su, which a worker could make until its records have pushed out all others: both programs report
//! each call to the journal and to auditd themselves.
//!
//! They are in a file of their own that auditd loads at boot, after those of others. Other rules are never touched. The kernel lists rules in
//! another form than they are written in, so the listing right after loading is kept on the host, and a later one is compared with that.

use super::{File, Resource, ResourceKind, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step, Topic, Word};
use crate::plan::{Action, Change};

/// Named by its file. The state before is a copy of that.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "audit",
    shell: include_str!("audit.sh"),
    title: |path| format!("audit rules ({path})"),
    way_back: WayBack::Write(|path, before, back| {
        back.path(HostPath::new(path), before);
        back.step.call("undo_audit", &[]);
    }),
};

/// `augenrules(8)` joins the files by name, and rules of others must not depend on these.
const FILE: &str = "/etc/audit/rules.d/zz-factoryup.rules";

/// What is watched, and the name under which `ausearch -k` finds it.
const WATCHED: [(&str, &str); 11] = [
    ("/etc/passwd", "accounts"),
    ("/etc/shadow", "accounts"),
    ("/etc/group", "accounts"),
    ("/etc/gshadow", "accounts"),
    ("/etc/subuid", "accounts"),
    ("/etc/subgid", "accounts"),
    ("/etc/sudoers", "sudo"),
    ("/etc/sudoers.d", "sudo"),
    ("/etc/ssh", "ssh"),
    ("/etc/factory", "settings"),
    ("/etc/audit", "settings"),
];

/// factoryup's audit rules.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    /// Whose keys are watched; none where factoryup writes none.
    pub(crate) keys_of: Option<String>,
}

impl Audit {
    fn text(&self, seen: &Observed) -> String {
        let keys = self.keys_of.as_ref().map(|user| {
            let home = seen.accounts.get(user).map_or_else(|| format!("/home/{user}"), |account| account.home.clone());
            format!("{home}/.ssh")
        });
        let mut text = String::from(
            "# Written by factoryup. `ausearch -k factoryup-sudo` on the host shows what the rules of that key recorded.\n\
             # A rule that fails must not keep auditd from starting.\n-i\n",
        );
        for (path, key) in WATCHED.into_iter().chain(keys.iter().map(|path| (path.as_str(), "ssh"))) {
            text += &format!("-w {path} -p wa -k factoryup-{key}\n");
        }
        text
    }

    fn file(&self, seen: &Observed) -> File {
        File::system(FILE, self.text(seen)).mode("640")
    }

    /// Why a host cannot have any.
    pub(crate) fn obstacle(seen: &Observed) -> Option<String> {
        if let Some(container) = seen.facts.get("container") {
            return Some(format!("in a container ({container}), the kernel audits only for the machine below it"));
        }
        seen.facts.get("no-audit").cloned()
    }
}

impl Resource for Audit {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, FILE.to_owned())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.topics.insert(Topic::Audit);
        questions.users.extend(self.keys_of.clone());
        self.file(&Observed::default()).ask(questions);
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        if let Some(obstacle) = Self::obstacle(seen) {
            let note = format!("no audit rules added: {obstacle}; `audit = false` under [host] ends this note");
            return Ok(Verdict { change: None, note: Some(note) });
        }
        let is_locked = seen.facts.get("audit").is_some_and(|enabled| enabled == "2");
        let mut note = seen.facts.get("audit-never").map(|rule| {
            format!("an audit rule of this host switches recording off, so factoryup's have no effect; delete it in /etc/audit/rules.d: {rule}")
        });
        let change = |action, summary| Change::new(self.id(), action, summary);
        if let Some(of_file) = self.file(seen).compare(seen)?.change {
            let what = match of_file.action {
                Action::Create => "record changes to accounts, sudo, SSH and the factory's settings (audit rules)",
                _ => "change the audit rules",
            };
            let when = if is_locked { "; they load at the next boot, since the loaded ones are locked" } else { "" };
            let change = Change { diff: of_file.diff, ..change(of_file.action, format!("{what}{when}")) };
            return Ok(Verdict { change: Some(change), note });
        }
        let (live, loaded) = &seen.audit;
        if live.is_some() && live == loaded {
            return Ok(Verdict { change: None, note });
        }
        if is_locked {
            // Loaded at boot by auditd, so nothing was kept to compare with.
            let wanted = self.text(seen).lines().filter(|line| line.starts_with("-w ")).count();
            if live.as_ref().is_some_and(|live| live.lines().count() >= wanted) {
                return Ok(Verdict { change: None, note });
            }
            note =
                Some(format!("the audit rules in {FILE} load at the next boot: the loaded ones are locked until then"));
            return Ok(Verdict { change: None, note });
        }
        let change =
            change(Action::Update, "load the audit rules again".into()).with_diff(live.clone(), loaded.clone());
        Ok(Verdict { change: Some(change), note })
    }

    fn before(&self, seen: &Observed) -> Before {
        self.file(seen).before(seen)
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        self.file(seen).write(seen, step);
        step.call("load_audit", &[Word::text(FILE)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::host::observed::PathState;

    fn audit() -> Audit {
        Audit { keys_of: Some("operator".into()) }
    }

    fn text() -> String {
        audit().text(&Observed::default())
    }

    fn up() -> Observed {
        let mut seen = Observed::default();
        seen.facts.insert("audit".into(), "1".into());
        seen.paths.insert(FILE.into(), PathState::of('f', "640", "root"));
        seen.hashes.insert(FILE.into(), sha256(text().as_bytes()));
        seen.audit = (Some("-w /etc/passwd\n".into()), Some("-w /etc/passwd\n".into()));
        seen
    }

    fn plan(seen: &Observed) -> (Option<String>, Option<String>) {
        let verdict = audit().compare(seen).unwrap();
        (verdict.change.map(|change| change.summary), verdict.note)
    }

    #[test]
    fn rules_are_written_loaded_and_compared_as_the_kernel_lists_them() {
        assert_eq!(plan(&up()), (None, None));
        let created = plan(&Observed::default()).0.unwrap();
        assert!(created.starts_with("record changes to accounts, sudo, SSH"), "{created}");
        let mut seen = up();
        seen.audit.0 = None;
        assert_eq!(plan(&seen).0.as_deref(), Some("load the audit rules again"));
        seen.hashes.insert(FILE.into(), sha256(b"# mine"));
        assert_eq!(plan(&seen).0.as_deref(), Some("change the audit rules"));
        // A home elsewhere is watched there.
        let mut seen = up();
        let account = crate::host::observed::Account { uid: 1, gid: 1, home: "/srv/ada".into(), shell: String::new() };
        seen.accounts.insert("operator".into(), account);
        assert_eq!(plan(&seen).0.as_deref(), Some("change the audit rules"));
        assert!(text().contains("\n-w /home/operator/.ssh -p wa -k factoryup-ssh\n"));
        let none = Audit { keys_of: None };
        assert_eq!(none.text(&seen).len() + "-w /home/operator/.ssh -p wa -k factoryup-ssh\n".len(), text().len());
    }

    #[test]
    fn a_host_that_cannot_have_them_now_is_told_in_the_plan() {
        let note = |name: &str, fact: &str, seen: Observed| {
            let mut seen = seen;
            seen.facts.insert(name.into(), fact.into());
            plan(&seen)
        };
        for (name, fact, why) in [("container", "docker", "a container (docker)"), ("no-audit", "no luck", "no luck")] {
            let (summary, note) = note(name, fact, Observed::default());
            assert!(summary.is_none() && note.unwrap().contains(why));
        }
        let (summary, said) = note("audit-never", "-a never,task", up());
        assert!(summary.is_none() && said.unwrap().ends_with("in /etc/audit/rules.d: -a never,task"));
        // Locked: `auditctl -e 2` of the owner's. What is written then loads at the next boot.
        let (summary, said) = note("audit", "2", up());
        assert_eq!((summary, said), (None, None));
        let (summary, _) = note("audit", "2", Observed::default());
        assert!(summary.unwrap().ends_with("they load at the next boot, since the loaded ones are locked"));
        let mut unloaded = up();
        unloaded.audit.0 = None;
        let (summary, said) = note("audit", "2", unloaded);
        assert!(summary.is_none() && said.unwrap().contains("locked until then"));
        // Locked at boot, after auditd loaded all of them.
        let mut at_boot = up();
        at_boot.audit = (Some("-w /etc/passwd\n".repeat(12)), None);
        assert_eq!(note("audit", "2", at_boot.clone()), (None, None));
        at_boot.audit.0 = Some("-w /etc/passwd\n".repeat(11));
        assert!(note("audit", "2", at_boot).1.unwrap().contains("locked until then"));
    }

    #[test]
    fn rules_of_others_and_locked_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("rules"), text()).unwrap();
        let run = |enabled: &str, taken: &str, call: &str| {
            let kernel = format!(
                "auditctl() {{ echo \"$*\" >>{asked}; case $1 in -s) echo 'enabled {enabled}' ;; -l) echo '-w /x -k mine'; {taken} ;; \
                 -D) [ {enabled} != 2 ] ;; esac; }}\naugenrules() {{ :; }}",
                asked = at("asked").display()
            );
            let done = crate::host::program::try_step(folder.path(), &format!("{kernel}\n{}\n{call}", KIND.shell));
            (done.status.success(), std::fs::read_to_string(at("asked")).unwrap_or_default())
        };
        let load = format!("load_audit {}", at("rules").display());
        let all = format!("grep '^-.*factoryup-' {}", at("rules").display());
        assert_eq!(run("2", &all, &load), (true, "-s\n".into()));
        assert!(!run("1", ":", &load).0, "the kernel took none");
        let (ok, asked) = run("1", &all, &load);
        assert!(ok && asked.ends_with(&format!("-s\n-D -k factoryup-\n-R {}\n-l\n", at("rules").display())), "{asked}");
        let kept = std::fs::read_to_string(at("audit.loaded")).unwrap();
        assert!(kept.lines().count() == 12 && !kept.contains("mine"), "{kept}");
        assert!(!at("work/left").exists());
        assert!(run("1", &format!("{all} | head -n 11"), &load).0);
        assert!(std::fs::read_to_string(at("work/left")).unwrap().contains("11 of the 12 audit rules"));
        assert!(run("2", &all, "undo_audit").0 && !at("audit.loaded").exists());
        assert!(std::fs::read_to_string(at("work/left")).unwrap().contains("they are locked"));
    }
}
