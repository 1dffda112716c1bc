//! A user with its groups, shell, password state, lingering and subordinate ids. The home folder's mode is a
//! [`Directory`](super::Directory)'s business.

use super::{Resource, ResourceKind, Verdict, WayBack};
use crate::error::{Error, Result};
use crate::host::closing::{by_account, keys_of};
use crate::host::observed::{Observed, Password, Range};
use crate::host::program::{Before, Payload, Questions, Step, Word};
use crate::plan::{Action, Change, Undo};
use crate::secret::Secret;

/// The state before is a line for each thing that was another way; see [`User::differences`].
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "user",
    shell: include_str!("user.sh"),
    title: |name| format!("user {name}"),
    way_back: WayBack::Write(|name, before, back| match before {
        None => {
            back.change.summary += "; its home stays, and belongs to root";
            back.step.call("undo_user", &[Word::text(name)]);
        }
        Some(before) => before.lines().for_each(|line| undo(name, line, &mut back.step)),
    }),
};

/// Undoes one line of the state before. A line that is not known here is left alone: subordinate ids that were added stay, and so
/// does an account that was out of action.
fn undo(name: &str, line: &str, step: &mut Step) {
    let name = Word::text(name);
    if let Some(group) = line.strip_prefix("not in ") {
        step.call("gpasswd --delete", &[name, Word::text(group)]);
    } else if let Some(group) = line.strip_prefix("in ") {
        step.call("usermod --append --groups", &[Word::text(group), name]);
    } else if line == "password" {
        step.call("usermod --unlock", &[name]);
    } else if let Some(shell) = line.strip_prefix("shell ") {
        step.call("usermod --shell", &[Word::text(shell), name]);
    } else if let Some(day) = line.strip_prefix("expires ") {
        step.call("usermod --expiredate", &[Word::text(day), name]);
    } else if line == "no services of its own" {
        step.call("loginctl disable-linger", &[name]);
    } else if let Some(range) = line.strip_prefix(SUBORDINATE_UIDS) {
        step.call("usermod --add-subuids", &[Word::text(range), name]);
    } else if let Some(range) = line.strip_prefix(SUBORDINATE_GIDS) {
        step.call("usermod --add-subgids", &[Word::text(range), name]);
    }
}

/// How lines of the state before begin, for ranges that were taken away.
const SUBORDINATE_UIDS: &str = "subordinate uids ";
const SUBORDINATE_GIDS: &str = "subordinate gids ";

/// Below this number are the system's own users: `login.defs(5)`, `UID_MIN`.
const FIRST_PERSON: u32 = 1000;

/// The shell that reads the profile with a worker's umask. `ensure_user` knows the same.
const SHELL: &str = "/bin/bash";

/// How a worker's account is that a `revert host` took out of action, and did not remove since it was cut or taken back.
const ENDED: &str = "out of action";

/// What should be with the password.
#[derive(Clone, Debug)]
pub(crate) enum PasswordWish {
    /// Whatever is there stays; a new account gets none.
    Any,
    /// No password opens the account.
    Locked,
    /// There must be one. Where there is none, this one is set; none while it is not known.
    Needed(Option<Secret>),
}

/// What should be with subordinate ids, `subuid(5)`: numbers that a user may give to its own processes, through the setuid programs
/// `newuidmap` and `newgidmap`. To the kernel, and so to the firewall, such a process is another user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubordinateIds {
    /// Whatever is there stays.
    Any,
    /// None. A user namespace with the user's own number, as bubblewrap makes, needs none.
    None,
    /// Some, for rootless containers.
    Needed,
}

/// A user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// Login name.
    pub(crate) name: String,
    /// What the account is for, as the GECOS field shows it.
    pub(crate) comment: &'static str,
    /// Groups beside the one of the same name.
    pub(crate) groups: Vec<String>,
    /// Groups that the user must not be in.
    pub(crate) not_in: Vec<&'static str>,
    /// Password.
    pub(crate) password: PasswordWish,
    /// Whether the user's services run without a login.
    pub(crate) linger: bool,
    /// Subordinate ids.
    pub(crate) subordinate: SubordinateIds,
}

/// One thing that is not as it should be: as it is, as it will be, and the command that changes it.
struct Difference {
    before: String,
    after: String,
    command: &'static str,
    words: Vec<Word>,
}

impl User {
    fn differences(&self, seen: &Observed) -> Vec<Difference> {
        let name = || Word::text(&self.name);
        let mut found = Vec::new();
        let mut differs = |before: String, after: String, command: &'static str, words: Vec<Word>| {
            found.push(Difference { before, after, command, words });
        };
        let groups = seen.groups_of(&self.name);
        for group in self.groups.iter().filter(|group| !groups.contains(&group.as_str())) {
            let words = vec![Word::text(group), name()];
            differs(format!("not in {group}"), format!("in {group}"), "usermod --append --groups", words);
        }
        for group in self.not_in.iter().filter(|group| groups.contains(*group)) {
            let words = vec![name(), Word::text(group)];
            differs(format!("in {group}"), format!("not in {group}"), "gpasswd --delete", words);
        }
        let password = seen.passwords.get(&self.name).copied().unwrap_or_default();
        if matches!(self.password, PasswordWish::Locked) && password != Password::Locked {
            differs("password".into(), "no password".into(), "usermod --lock", vec![name()]);
        }
        if matches!(self.password, PasswordWish::Locked) && seen.ended.contains(&self.name) {
            differs(ENDED.into(), "in action again".into(), "usermod --expiredate ''", vec![name()]);
        }
        if let Some(day) = seen.expires.get(&self.name) {
            differs(format!("expires {day}"), "never expires".into(), "usermod --expiredate ''", vec![name()]);
        }
        if let Some(account) = seen.accounts.get(&self.name)
            && matches!(self.password, PasswordWish::Locked)
            && account.shell != SHELL
        {
            let words = vec![Word::text(SHELL), name()];
            differs(format!("shell {}", account.shell), format!("shell {SHELL}"), "usermod --shell", words);
        }
        if self.linger && !seen.lingering.contains(&self.name) {
            differs("no services of its own".into(), "services run without a login".into(), "linger", vec![name()]);
        }
        let (uids, gids) = self.ranges(seen);
        match self.subordinate {
            SubordinateIds::Needed if uids.is_empty() || gids.is_empty() => {
                differs("no subordinate ids".into(), "subordinate ids".into(), "subordinate_ids", vec![name()]);
            }
            SubordinateIds::None if !(uids.is_empty() && gids.is_empty()) => {
                let lines = |start: &str, ranges: &[&str]| -> Vec<String> {
                    ranges.iter().map(|range| format!("{start}{range}")).collect()
                };
                let before = [lines(SUBORDINATE_UIDS, &uids), lines(SUBORDINATE_GIDS, &gids)].concat().join("\n");
                let after = "no subordinate ids, and nothing that runs under them";
                differs(before, after.into(), "no_subordinate_ids", vec![name()]);
            }
            _ => {}
        }
        found
    }

    /// The user's ranges of subordinate user numbers and group numbers, as `FIRST-LAST`.
    fn ranges<'s>(&self, seen: &'s Observed) -> (Vec<&'s str>, Vec<&'s str>) {
        let number = seen.accounts.get(&self.name).map(|account| account.uid.to_string());
        let of = |all: &'s [Range]| {
            let is_own = |owner: &String| *owner == self.name || Some(owner) == number.as_ref();
            all.iter().filter(|(owner, _)| is_own(owner)).map(|(_, range)| range.as_str()).collect()
        };
        (of(&seen.subordinate.0), of(&seen.subordinate.1))
    }

    /// What ends if this is somebody else's account. Once factoryup has changed it, it is the factory's.
    fn ends(&self, seen: &Observed) -> Vec<String> {
        let is_ours = || seen.receipt.contains(&format!("{{\"id\":\"{}\",", self.id()));
        if !matches!(self.password, PasswordWish::Locked) || is_ours() {
            return Vec::new();
        }
        by_account(&self.name, self.comment, &self.not_in, seen)
    }

    /// Whether a password must be set.
    pub(crate) fn needs_password(&self, seen: &Observed) -> bool {
        let has = seen.passwords.get(&self.name).copied().unwrap_or_default();
        matches!(self.password, PasswordWish::Needed(_)) && has != Password::Set
    }

    fn refuse_system_account(&self, seen: &Observed) -> Result<()> {
        match seen.accounts.get(&self.name) {
            Some(account) if account.uid < FIRST_PERSON => Err(Error::data(format!(
                "the host has a system account {} (uid {}), which factoryup must not take over",
                self.name, account.uid
            ))
            .hint("choose another name in factory.toml, or remove that account if nothing uses it")),
            _ => Ok(()),
        }
    }
}

impl Resource for User {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, self.name.clone())
    }

    fn ask(&self, questions: &mut Questions) {
        questions.users.insert(self.name.clone());
        if matches!(self.password, PasswordWish::Locked) {
            questions.paths.insert(keys_of(&self.name));
        }
        questions.sudo.insert(self.name.clone());
        questions.groups.insert(self.name.clone());
        questions.groups.extend(self.groups.iter().cloned());
        questions.groups.extend(self.not_in.iter().map(|&group| group.to_owned()));
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        self.refuse_system_account(seen)?;
        let password = if self.needs_password(seen) { ", with a password for sudo" } else { "" };
        if !seen.accounts.contains_key(&self.name) {
            let groups = if self.groups.is_empty() { String::new() } else { format!(", in {}", self.groups.join(" ")) };
            let summary = format!("create user {} ({}{groups}{password})", self.name, self.comment);
            return Ok(Verdict::differs(Change::new(self.id(), Action::Create, summary)));
        }
        let mut before = Vec::new();
        let mut after = Vec::new();
        for difference in self.differences(seen) {
            before.push(difference.before);
            after.push(difference.after);
        }
        if self.needs_password(seen) {
            before.push("no password".into());
            after.push("a password for sudo".into());
        }
        if after.is_empty() {
            return Ok(Verdict::right());
        }
        let change = Change::new(self.id(), Action::Update, format!("change user {}: {}", self.name, after.join(", ")));
        let change = change.with_diff(Some(before.join("\n")), Some(after.join("\n")));
        Ok(Verdict::differs(Change { ends: self.ends(seen), ..change }))
    }

    fn before(&self, seen: &Observed) -> Before {
        if !seen.accounts.contains_key(&self.name) {
            return Before::Known(Undo::Remove);
        }
        let before: Vec<_> = self.differences(seen).into_iter().map(|difference| difference.before).collect();
        Before::Known(Undo::Restore { before: before.join("\n") })
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        if !seen.accounts.contains_key(&self.name) {
            // Where PAM is not used, sshd takes `!` for a locked account and `*` for one without a password: sshd(8).
            let password = if matches!(self.password, PasswordWish::Locked) { "!" } else { "*" };
            step.call("ensure_user", &[&self.name, password, self.comment].map(Word::text));
            if self.subordinate == SubordinateIds::None {
                // useradd hands some out to everybody.
                step.call("drop_ranges", &[Word::text(&self.name)]);
            }
        }
        for difference in self.differences(seen) {
            step.call(difference.command, &difference.words);
        }
        if let PasswordWish::Needed(Some(password)) = &self.password
            && self.needs_password(seen)
        {
            // The host hashes it, by the method that its own login.defs prefers.
            let line = Secret::new(format!("{}:{}\n", self.name, password.expose()));
            step.feed("chpasswd", &[], &Payload::Sealed(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::{Account, Group};
    use crate::host::program::Show;

    fn agent() -> User {
        User {
            name: "agent".into(),
            comment: "coding agent",
            groups: vec!["work".into()],
            not_in: vec!["sudo", "docker"],
            password: PasswordWish::Locked,
            linger: true,
            subordinate: SubordinateIds::None,
        }
    }

    fn seen(uid: u32) -> Observed {
        let mut seen = Observed::default();
        let account = Account { uid, gid: uid, home: "/home/agent".into(), shell: "/bin/bash".into() };
        seen.accounts.insert("agent".into(), account);
        seen.groups.insert("docker".into(), Group { gid: 5, members: vec!["agent".into()] });
        seen.passwords.insert("agent".into(), Password::Set);
        seen
    }

    #[test]
    fn an_existing_account_is_adopted_and_loses_what_it_must_not_have() {
        let change = agent().compare(&seen(1005)).unwrap().change.unwrap();
        assert_eq!(
            change.summary,
            "change user agent: in work, not in docker, no password, services run without a login"
        );
        let body = agent().step(&change, &seen(1005), Show::Run).body();
        assert!(body.contains("gpasswd --delete agent docker\n") && body.contains("usermod --lock agent\n"), "{body}");
        assert!(!body.contains("ensure_user"));
    }

    #[test]
    fn somebody_elses_account_is_not_taken_over_silently() {
        let ends = |seen: &Observed| agent().compare(seen).unwrap().change.unwrap().ends;
        let mut seen = seen(1005);
        let rule = ["User agent may run the following commands on host:", "    (ALL) NOPASSWD: ALL"].map(str::to_owned);
        seen.sudo.insert("agent".into(), rule.to_vec());
        for line in ["agent\tgroup\tagent", "agent\tgroup\tdocker", "agent\tprocess\tgunicorn", "ops\tprocess\tbash"] {
            seen.take("holding", line);
        }
        let end = ends(&seen).join("");
        for part in [
            "(ALL) NOPASSWD: ALL",
            "its groups docker",
            "its password",
            "it runs gunicorn;",
            "usermod --login NEW agent",
        ] {
            assert!(end.contains(part), "{part}: {end}");
        }
        seen.receipt = "{\"schema\":1,\n{\"id\":\"user:agent\",\"action\":\"update\"}\n]}".into();
        assert_eq!(ends(&seen), [""; 0]);
        // One that has nothing of its own.
        let mut bare = Observed::default();
        bare.accounts.clone_from(&seen.accounts);
        assert_eq!(ends(&bare), [""; 0]);
    }

    #[test]
    fn subordinate_ids_go_with_a_way_back() {
        let mut seen = seen(1005);
        let range = |owner: &str, range: &str| (owner.to_owned(), range.to_owned());
        // By name, by number, and another user's.
        seen.subordinate.0 =
            vec![range("agent", "100000-165535"), range("1005", "7-7"), range("runner", "165536-231071")];
        seen.subordinate.1 = vec![range("agent", "100000-165535")];
        let change = agent().compare(&seen).unwrap().change.unwrap();
        assert!(
            change.summary.ends_with(", no subordinate ids, and nothing that runs under them"),
            "{}",
            change.summary
        );
        let Before::Known(Undo::Restore { before }) = agent().before(&seen) else { panic!("no way back") };
        let lines = "subordinate uids 100000-165535\nsubordinate uids 7-7\nsubordinate gids 100000-165535";
        assert!(before.ends_with(lines), "{before}");
        let is_mentioned = |user: &User| {
            user.compare(&seen).unwrap().change.is_some_and(|change| change.summary.contains("subordinate"))
        };
        assert!(!is_mentioned(&User { subordinate: SubordinateIds::Any, ..agent() }));
        assert!(!is_mentioned(&User { subordinate: SubordinateIds::Needed, ..agent() }));
        // A new account, for which useradd makes some.
        let body = agent().step(&Change::new("user:agent", Action::Create, ""), &Observed::default(), Show::Run).body();
        let (made, taken) = (body.find("ensure_user agent "), body.find("\ndrop_ranges agent\n"));
        assert!(made.is_some() && made < taken, "{body}");
    }

    #[test]
    fn a_system_account_is_refused() {
        let error = agent().compare(&seen(997)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the host has a system account agent (uid 997), which factoryup must not take over"
        );
    }

    #[test]
    fn a_password_is_set_only_where_there_is_none_and_is_sealed() {
        let mut operator = User { password: PasswordWish::Needed(Some(Secret::new("hunter2"))), ..agent() };
        operator.not_in = Vec::new();
        let text =
            |seen: &Observed, show| operator.step(&Change::new("user:agent", Action::Update, ""), seen, show).body();
        assert!(!text(&seen(1005), Show::Run).contains("chpasswd"));
        assert!(text(&Observed::default(), Show::Run).contains("agent:hunter2"));
        assert!(!text(&Observed::default(), Show::Read).contains("hunter2"));
    }
}
