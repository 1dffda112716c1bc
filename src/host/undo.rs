//! The way back from each kind of resource, given its id and what the receipt says.

use super::profile::{INCLUDED, is_of_worker};
use super::program::{HostPath, Step, Word};
use super::resources::{Guarded, RULES, UNIT_FILE};
use crate::plan::{Action, Change, Risk, Undo};

/// What an entry is about, in the words of a plan.
pub(super) fn title(id: &str) -> String {
    let (kind, name) = id.split_once(':').unwrap_or(("", id));
    match kind {
        "directory" => format!("folder {name}"),
        "authorized_key" => format!("key {name}"),
        "sysctl" => format!("what is set of the kernel in {name}"),
        "secret" => format!("the secret in {name}"),
        "git_include" => format!("the factory's include in ~{name}/.gitconfig"),
        "group" | "user" | "unit" => format!("{kind} {name}"),
        "package" => format!("what was installed ({name})"),
        "nftables" => "the firewall".into(),
        _ => name.to_owned(),
    }
}

/// What leads back from one entry of the receipt, as a change; none for what stays.
pub(super) fn change(id: &str, undo: &Undo) -> Option<Change> {
    let (kind, name) = id.split_once(':')?;
    let noun = match kind {
        "directory" => "folder ",
        "authorized_key" => "key ",
        "sysctl" => "kernel settings ",
        "file" | "link" => "",
        _ => return plain_change(id, kind, name, undo),
    };
    describe(id, &format!("{noun}{name}"), undo)
}

fn plain_change(id: &str, kind: &str, name: &str, undo: &Undo) -> Option<Change> {
    match kind {
        "secret" => describe(id, &format!("the secret in {name}"), undo),
        "git_include" if !matches!(undo, Undo::Never { .. }) => {
            let summary = format!("take the factory's include out of ~{name}/.gitconfig");
            Some(Change::new(id, Action::Update, summary))
        }
        "group" | "user" | "unit" => describe(id, &format!("{kind} {name}"), undo),
        "sshd" => describe(id, name, undo).map(|change| change.with_risk(Risk::Access)),
        "nftables" => describe(id, "the firewall", undo).map(|change| change.with_risk(Risk::Access)),
        _ => None,
    }
}

fn describe(id: &str, what: &str, undo: &Undo) -> Option<Change> {
    match undo {
        Undo::Remove if id.starts_with("directory:") => {
            // Nothing of anybody's goes with it.
            Some(Change::new(id, Action::Delete, format!("remove {what}, unless something is left in it")))
        }
        Undo::Remove => Some(Change::new(id, Action::Delete, format!("remove {what}"))),
        Undo::Restore { .. } => Some(Change::new(id, Action::Update, format!("bring back {what} as it was"))),
        Undo::Never { .. } => None,
    }
}

/// Writes the shell for it.
pub(super) fn write(step: &mut Step, id: &str, undo: &Undo) {
    let (kind, name) = id.split_once(':').unwrap_or((id, ""));
    let before = match undo {
        Undo::Restore { before } => Some(before.as_str()),
        _ => None,
    };
    match kind {
        "file" | "link" => path(step, &HostPath::shown(name), before),
        "sysctl" => path(step, &HostPath::new(format!("/etc/sysctl.d/{name}.conf")), before),
        "directory" => {
            let path = HostPath::shown(name);
            let mut words = vec![actor(&path), step.path(&path)];
            words.extend(before.into_iter().flat_map(|state| state.split(' ')).map(Word::text));
            step.call(if is_of_worker(&path) { "best_effort undo_folder" } else { "undo_folder" }, &words);
        }
        "authorized_key" => {
            let (user, fingerprint) = name.split_once('/').unwrap_or((name, ""));
            let file = step.path(&HostPath::home(user, ".ssh/authorized_keys"));
            step.call("undo_key", &[Word::text(user), file, Word::text(fingerprint)]);
        }
        "secret" => {
            let path = HostPath::shown(name);
            let words = [actor(&path), step.path(&path)];
            step.call(if is_of_worker(&path) { "best_effort drop_secret" } else { "drop_secret" }, &words);
        }
        "git_include" => {
            let file = step.path(&HostPath::home(name, ".gitconfig"));
            let mut words = vec![Word::text(name), file, Word::text(INCLUDED)];
            // Whatever else is in it by now stays.
            words.extend(before.is_none().then(|| Word::text("new")));
            step.call("best_effort undo_include", &words);
        }
        "user" => match before {
            None => step.call("undo_user", &[Word::text(name)]),
            Some(before) => before.lines().for_each(|line| user(step, name, line)),
        },
        "group" => step.call("undo_group", &[Word::text(name)]),
        "unit" => {
            let (file, active) = before.and_then(|state| state.split_once(' ')).unwrap_or(("disabled", "inactive"));
            step.call("undo_unit", &[name, file, active].map(Word::text));
        }
        "sshd" => step.call("undo_sshd", &[Word::text(before.unwrap_or_default())]),
        "nftables" => step.call("undo_firewall", &[Word::text(before.unwrap_or_default())]),
        _ => {}
    }
    step.call("forget", &[Word::text(&serde_json::Value::from(id).to_string())]);
}

/// Whether an entry is undone before sshd and the firewall are: secrets, and what lies in the home of a worker. Accounts are not:
/// the firewall's rules name them.
pub(super) fn comes_first(id: &str) -> bool {
    match id.split_once(':') {
        Some(("secret" | "git_include", _)) => true,
        Some(("file" | "link" | "directory", name)) => is_of_worker(&HostPath::shown(name)),
        _ => false,
    }
}

/// Who does it: in a home folder its user, who could have put a link where root would follow.
fn actor(path: &HostPath) -> Word {
    Word::text(path.inside_home_of().unwrap_or("root"))
}

/// The files that an entry is about whose text a person could have edited.
pub(super) fn files(id: &str) -> Vec<HostPath> {
    match id.split_once(':') {
        Some(("file", name)) => vec![HostPath::shown(name)],
        Some(("sysctl", name)) => vec![HostPath::new(format!("/etc/sysctl.d/{name}.conf"))],
        Some(("sshd", name)) => vec![HostPath::new(name)],
        Some(("nftables", _)) => [RULES, UNIT_FILE].map(HostPath::new).to_vec(),
        _ => Vec::new(),
    }
}

/// Writes the shell that stages, for the guard, what could shut everybody out; says which part it is. None for everything else.
pub(super) fn stage(step: &mut Step, id: &str, undo: &Undo) -> Option<Guarded> {
    let Undo::Restore { before } = undo else { return None };
    let (kind, name) = id.split_once(':')?;
    let words = |path: &str| [Word::text(before), Word::text(path)];
    match kind {
        "sshd" => {
            step.call("stage_back", &words(name));
            step.call("stage_back_if_kept", &words("/etc/ssh/sshd_config"));
            step.call("check_sshd_back", &[]);
            Some(Guarded::Sshd)
        }
        "nftables" => {
            step.call("stage_back", &words(RULES));
            Some(Guarded::Firewall)
        }
        _ => None,
    }
}

fn path(step: &mut Step, path: &HostPath, before: Option<&str>) {
    let mut words = vec![actor(path), step.path(path)];
    words.extend(before.map(Word::text));
    step.call(if is_of_worker(path) { "best_effort undo_path" } else { "undo_path" }, &words);
}

/// One line of what a [`User`](super::resources::User) says of the state before.
fn user(step: &mut Step, name: &str, line: &str) {
    let name = Word::text(name);
    if let Some(group) = line.strip_prefix("not in ") {
        step.call("gpasswd --delete", &[name, Word::text(group)]);
    } else if let Some(group) = line.strip_prefix("in ") {
        step.call("usermod --append --groups", &[Word::text(group), name]);
    } else if line == "password" {
        step.call("usermod --unlock", &[name]);
    } else if line == "no services of its own" {
        step.call("loginctl disable-linger", &[name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::program::Show;

    fn shell(id: &str, undo: &Undo) -> String {
        let mut step = Step::new(id, Action::Delete, Show::Run);
        write(&mut step, id, undo);
        step.body()
    }

    #[test]
    fn what_a_worker_could_stop_comes_first_and_stops_nothing() {
        for id in ["secret:~agent/x", "secret:/etc/x", "git_include:agent", "file:~agent/x", "directory:~deploy/x"] {
            assert!(comes_first(id), "{id}");
        }
        for id in ["user:agent", "file:/etc/x", "directory:~agent", "directory:~operator/.ssh", "nftables:x", "sshd:x"]
        {
            assert!(!comes_first(id), "{id}");
        }
        assert!(shell("file:~agent/x", &Undo::Remove).contains("\nbest_effort undo_path agent "));
        assert!(shell("secret:/etc/x", &Undo::Remove).starts_with("drop_secret root "));
    }

    #[test]
    fn an_id_is_enough_to_find_the_way_back() {
        let restore = |before: &str| Undo::Restore { before: before.into() };
        assert!(shell("file:/etc/motd", &restore("/b/etc/motd")).starts_with("undo_path root /etc/motd /b/etc/motd\n"));
        assert!(shell("directory:~agent/work", &Undo::Remove).contains("undo_folder agent \"$home_of_agent\"/work\n"));
        assert!(shell("directory:/x", &restore("755 root:root")).starts_with("undo_folder root /x 755 root:root\n"));
        let slice = "file:/etc/systemd/system/user-UID(agent).slice.d/50.conf";
        assert!(
            shell(slice, &Undo::Remove).contains("/user-\"$uid_of_agent\".slice.d/50.conf\n"),
            "{}",
            shell(slice, &Undo::Remove)
        );
        let secret = shell("secret:~agent/x", &Undo::Remove);
        assert!(secret.contains("drop_secret agent \"$home_of_agent\"/x\n") && !secret.contains("back_up"), "{secret}");
        let include = "undo_include agent \"$home_of_agent\"/.gitconfig '~/.config/factory/gitconfig'";
        assert!(shell("git_include:agent", &Undo::Remove).contains(&format!("{include} new\n")));
        assert!(shell("git_include:agent", &restore("/b")).contains(&format!("{include}\n")));
        assert!(shell("unit:x.timer", &restore("disabled active")).starts_with("undo_unit x.timer disabled active\n"));
        let user = shell("user:a", &restore("in docker\nnot in work\npassword"));
        assert!(
            user.starts_with("usermod --append --groups docker a\ngpasswd --delete a work\nusermod --unlock a\n"),
            "{user}"
        );
        assert!(shell("group:g", &Undo::Remove).ends_with("forget '\"group:g\"'\n"));
        assert!(change("package:base", &Undo::Never { reason: "no".into() }).is_none());
        assert_eq!(title("package:base"), "what was installed (base)");
        assert_eq!(title("file:/etc/motd"), "/etc/motd");
        assert_eq!(
            change("nftables:inet factoryup", &restore("/b")).unwrap().summary,
            "bring back the firewall as it was"
        );
    }
}
