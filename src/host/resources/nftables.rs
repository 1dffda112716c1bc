//! The packet filter: one table of factoryup's own, `inet factoryup`, in a file of its own, loaded by a unit of its own. Other
//! tables, as Docker or the owner makes them, are never touched.
//!
//! The kernel lists rules in another form than they are written in. So the listing right after loading is kept on the host, and
//! a later listing is compared with that.

use super::{File, Resource, ResourceKind, Unit, Verdict, WayBack};
use crate::error::Result;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Questions, Step, Topic, Word};
use crate::plan::{Action, Change, Risk};

/// Named by the table. The state before is the folder of the guard's copies.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "nftables",
    shell: include_str!("nftables.sh"),
    title: |_| "the firewall".into(),
    way_back: WayBack::Write(|_, before, back| {
        let copies = Word::text(before.unwrap_or_default());
        back.under_guard("firewall").call("stage_back", &[copies.clone(), Word::text(RULES)]);
        back.step.call("undo_firewall", &[copies]);
        back.files.extend([RULES, UNIT_FILE].map(HostPath::new));
    }),
};

/// The id of the one that there is.
pub(crate) const FIREWALL: &str = "nftables:inet factoryup";

/// Where the rules are. The shell library knows the same path.
const RULES: &str = "/etc/factory/firewall.nft";
/// What loads them at boot. The shell library knows the same name.
const UNIT: &str = "factory-firewall.service";
const UNIT_FILE: &str = "/etc/systemd/system/factory-firewall.service";

/// Loads the rules and keeps them as the last good ones, or loads those again.
macro_rules! load {
    () => {
        "\
/bin/sh -c 'if /usr/sbin/nft -f /etc/factory/firewall.nft; then \\
  /usr/sbin/nft -s -t list table inet factoryup >/var/lib/factoryup/firewall.new && \\
  mv -f /var/lib/factoryup/firewall.new /var/lib/factoryup/firewall.good; \\
  else echo \"the rules above are wrong: the last good ones stay in force\" >&2; \\
  test -s /var/lib/factoryup/firewall.good && \\
  { echo \"table inet factoryup\"; echo \"delete table inet factoryup\"; cat /var/lib/factoryup/firewall.good; } | /usr/sbin/nft -f -; fi'"
    };
}

/// Loaded before the network is up, like Debian's `nftables.service`, and again whenever that one, which flushes all tables, is
/// started, reloaded or restarted. A typo in a file of the owner's in `firewall.d` must not leave the host open: then the rules that
/// were loaded last are loaded again.
const UNIT_TEXT: &str = concat!(
    "\
# Written by factoryup.
[Unit]
Description=Firewall of the factory
Documentation=man:nft(8)
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Conflicts=shutdown.target
RequiresMountsFor=/var/lib/factoryup

[Service]
Type=oneshot
RemainAfterExit=yes
UMask=0077
ExecStart=",
    load!(),
    "\nExecReload=",
    load!(),
    "\nExecStop=/usr/sbin/nft delete table inet factoryup

[Install]
WantedBy=sysinit.target nftables.service
"
);

/// The table `inet factoryup`.
#[derive(Clone, Debug)]
pub(crate) struct Nftables {
    /// The rules as nft reads them: they make the table anew, and touch no other.
    pub(crate) rules: String,
    /// `HOST:PORT` that the rules let the workers reach, also on a private network.
    pub(crate) reached: String,
    /// Whether nft checks them before they are loaded. Always, but in a drill of the way back.
    pub(crate) checked: bool,
    /// What a reader of the plan should know about the rules.
    pub(crate) note: Option<String>,
    /// What ends when they are loaded.
    pub(crate) ends: Vec<String>,
}

impl Nftables {
    fn rules(&self) -> File {
        File::system(RULES, self.rules.clone())
    }

    fn unit_file() -> File {
        File::system(UNIT_FILE, UNIT_TEXT)
    }

    fn unit() -> Unit {
        Unit { name: UNIT.into() }
    }
}

impl Resource for Nftables {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, "inet factoryup".into())
    }

    fn ask(&self, questions: &mut Questions) {
        self.rules().ask(questions);
        Self::unit_file().ask(questions);
        Self::unit().ask(questions);
        questions.topics.insert(Topic::Firewall);
        // What rules are made from: the ports that sshd listens on, the resolver, where GitLab is.
        questions.places.insert(self.reached.clone());
        questions.topics.insert(Topic::Sshd);
        questions.text(&HostPath::new("/etc/resolv.conf"));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        let differs = |action, summary: &str, diff| {
            let change = Change::new(self.id(), action, summary).with_risk(Risk::Access);
            let change = Change { diff, ends: self.ends.clone(), ..change };
            Ok(Verdict { change: Some(change), note: self.note.clone() })
        };
        if let Some(change) = self.rules().compare(seen)?.change {
            let summary = match change.action {
                Action::Create => "put up the firewall (table inet factoryup)",
                _ => "change the firewall's rules (table inet factoryup)",
            };
            return differs(change.action, summary, change.diff);
        }
        let (live, loaded) = &seen.firewall;
        if live.is_none() || live != loaded {
            let diff = Change::new("", Action::Update, "").with_diff(live.clone(), loaded.clone()).diff;
            let summary =
                if live.is_none() { "load the firewall, which is not up" } else { "load the firewall's rules again" };
            return differs(Action::Update, summary, diff);
        }
        let boot = [Self::unit_file().compare(seen)?.change, Self::unit().compare(seen)?.change];
        if let Some(change) = boot.into_iter().flatten().next() {
            return differs(Action::Update, "have the firewall loaded at boot", change.diff);
        }
        Ok(Verdict { change: None, note: self.note.clone() })
    }

    fn write(&self, _seen: &Observed, step: &mut Step) {
        step.feed("stage", &[Word::text(RULES), Word::text("0644")], &self.rules().content);
        step.feed("stage", &[Word::text(UNIT_FILE), Word::text("0644")], &Self::unit_file().content);
        if self.checked {
            step.call("check_firewall", &[]);
        }
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Guarded("firewall")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::host::observed::{PathState, UnitState};

    fn up() -> Observed {
        let mut seen = Observed::default();
        for (path, text) in [(RULES, "rules\n"), (UNIT_FILE, UNIT_TEXT)] {
            let state = PathState::of('f', "644", "root");
            seen.paths.insert(path.into(), state);
            seen.hashes.insert(path.into(), sha256(text.as_bytes()));
        }
        let state = UnitState { load: "loaded".into(), active: "active".into(), file: "enabled".into(), stale: false };
        seen.units.insert(UNIT.into(), state);
        seen.firewall = (Some("table\n".into()), Some("table\n".into()));
        seen
    }

    fn summary(seen: &Observed) -> Option<String> {
        let rules = "rules\n".into();
        let ends = vec!["8080/tcp".into()];
        let firewall = Nftables { rules, reached: "gitlab.com:443".into(), checked: true, note: None, ends };
        firewall.compare(seen).unwrap().change.map(|change| {
            assert_eq!((change.risk, change.ends.len()), (Risk::Access, 1));
            change.summary
        })
    }

    #[test]
    fn rules_that_somebody_changed_live_are_a_difference() {
        assert_eq!(summary(&up()), None);
        let mut seen = up();
        seen.firewall.0 = Some("table, with a hole\n".into());
        assert_eq!(summary(&seen).as_deref(), Some("load the firewall's rules again"));
        seen.firewall.0 = None;
        assert_eq!(summary(&seen).as_deref(), Some("load the firewall, which is not up"));
        let mut seen = up();
        seen.units.clear();
        assert_eq!(summary(&seen).as_deref(), Some("have the firewall loaded at boot"));
        assert_eq!(summary(&Observed::default()).as_deref(), Some("put up the firewall (table inet factoryup)"));
    }
}
