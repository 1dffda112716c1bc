//! sshd's configuration: one drop-in that is read before all others, since sshd takes the first value it sees.

use super::{File, Resource, ResourceKind, Verdict, WayBack};
use crate::dialog::plain;
use crate::error::{Error, Result};
use crate::host::accounts::LOGIN_GROUP;
use crate::host::observed::Observed;
use crate::host::program::{Before, HostPath, Payload, Questions, Step, Topic, Word};
use crate::plan::{Action, Change, Risk};

/// Before `50-cloud-init.conf`, which turns passwords on.
const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-factoryup.conf";

/// Named by the drop-in. The state before is the folder of the guard's copies.
pub(super) const KIND: ResourceKind = ResourceKind {
    name: "sshd",
    shell: include_str!("sshd.sh"),
    title: str::to_owned,
    way_back: WayBack::Write(|name, before, back| {
        let copies = Word::text(before.unwrap_or_default());
        let stage = back.under_guard("sshd");
        stage.call("stage_back", &[copies.clone(), Word::text(name)]);
        stage.call("stage_back_if_kept", &[copies.clone(), Word::text("/etc/ssh/sshd_config")]);
        stage.call("check_sshd_back", &[]);
        back.step.call("undo_sshd", &[copies]);
        back.files.push(HostPath::new(name));
    }),
};

/// The host's own keys, without `.pub`: best first.
pub(crate) const HOST_KEYS: [&str; 3] =
    ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_ecdsa_key"];

/// Where sshd listens if nothing says otherwise.
const USUAL_PORT: u16 = 22;

/// What `sshd -T` leaves out: Debian's own keyword.
const NOT_PRINTED: [&str; 1] = ["DebianBanner"];

/// What sshd is to do.
#[derive(Clone, Debug)]
pub(crate) struct Sshd {
    /// Keywords and values in the drop-in's order. `sshd -T` prints them the same way, the keyword in small letters.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Who must be able to log in under it.
    pub(crate) operator: String,
    /// What ends once only the operator logs in.
    pub(crate) ends: Vec<String>,
    /// Whether the checks that need no login are made beforehand. Always, but in a drill of the way back.
    pub(crate) checked: bool,
}

impl Sshd {
    fn file(&self) -> File {
        let mut text = String::from(
            "# Written by factoryup. sshd takes the first value it reads, so this file comes before all others here.\n",
        );
        for (keyword, value) in &self.settings {
            text.push_str(&format!("{keyword} {value}\n"));
        }
        File::system(DROP_IN, text).mode("600")
    }

    /// The lines of `sshd -T` that must come of it.
    fn wanted(&self) -> Vec<(String, String)> {
        let lower = |keyword: &str| keyword.to_ascii_lowercase();
        self.settings
            .iter()
            .filter(|(keyword, _)| !NOT_PRINTED.contains(keyword))
            .flat_map(|(keyword, value)| match *keyword {
                // Printed one to a line.
                "AllowGroups" | "DenyUsers" => {
                    value.split(' ').map(|name| (lower(keyword), name.to_owned())).collect::<Vec<_>>()
                }
                _ => vec![(lower(keyword), value.clone())],
            })
            .collect()
    }

    /// Refuses settings of others that keep the operator out: under them the operator must log in before anything is hardened, and
    /// some stay in force after it. A drop-in that is not as it should be is written anew, so then it is not known yet.
    fn operator_gets_in(&self, seen: &Observed) -> Result<()> {
        let path = HostPath::new(DROP_IN);
        let exists = path.on(seen).is_some_and(|path| seen.paths.contains_key(&path));
        if seen.sshd_for_operator.is_empty() || exists && self.file().compare(seen)?.change.is_some() {
            return Ok(());
        }
        let name = self.operator.as_str();
        let values = |keyword: &str| -> Vec<&str> {
            let of = seen.sshd_for_operator.iter().filter(|(key, _)| key == keyword);
            of.flat_map(|(_, value)| value.split_whitespace()).collect()
        };
        let refuse = |keyword: &str, values: &[&str], remedy: String| {
            let values = plain(&values.join(" "));
            Err(Error::data(format!("sshd on the host would not let {name} log in with a key: {keyword} {values}"))
                .hint(remedy)
                .hint("then check it with `sshd -t`, run `systemctl restart ssh`, and try again; nothing was changed"))
        };
        let allowed = values("allowusers");
        if !allowed.is_empty() && !allowed.iter().any(|pattern| is_meant(name, pattern)) {
            return refuse("AllowUsers", &allowed, format!("add {name} to AllowUsers in /etc/ssh, or remove the line"));
        }
        let denied = values("denyusers");
        if denied.iter().any(|pattern| is_meant(name, pattern)) {
            return refuse("DenyUsers", &denied, format!("remove {name} from DenyUsers in /etc/ssh"));
        }
        let groups = values("allowgroups");
        if !groups.is_empty() && !groups.iter().any(|pattern| is_meant(LOGIN_GROUP, pattern)) {
            return refuse(
                "AllowGroups",
                &groups,
                format!("add {LOGIN_GROUP} to AllowGroups in /etc/ssh, or remove the line"),
            );
        }
        let denied = values("denygroups");
        if denied.iter().any(|pattern| is_meant(LOGIN_GROUP, pattern)) {
            return refuse("DenyGroups", &denied, format!("remove {LOGIN_GROUP} from DenyGroups in /etc/ssh"));
        }
        let files = values("authorizedkeysfile");
        let home = |file: &&str| {
            file.strip_prefix("%h/").unwrap_or(file) == ".ssh/authorized_keys"
                || **file == format!("/home/{name}/.ssh/authorized_keys")
        };
        if !files.is_empty() && !files.iter().any(home) {
            return refuse(
                "AuthorizedKeysFile",
                &files,
                "add .ssh/authorized_keys to AuthorizedKeysFile in /etc/ssh".into(),
            );
        }
        let methods = values("authenticationmethods");
        if !methods.is_empty() && !methods.iter().any(|method| ["any", "publickey"].contains(method)) {
            return refuse(
                "AuthenticationMethods",
                &methods,
                "remove AuthenticationMethods in /etc/ssh, which factoryup then sets to publickey".into(),
            );
        }
        if values("pubkeyauthentication") == ["no"] {
            return refuse("PubkeyAuthentication", &["no"], "remove PubkeyAuthentication in /etc/ssh".into());
        }
        Ok(())
    }

    /// What sshd's files come to that is not wanted. Nothing, where sshd could not be asked.
    fn overruled(&self, seen: &Observed) -> Vec<(String, String)> {
        if seen.sshd.is_empty() {
            Vec::new()
        } else {
            self.wanted().into_iter().filter(|w| !seen.sshd.contains(w)).collect()
        }
    }
}

/// Whether a name is meant by one of sshd's patterns, `ssh_config(5)`: `*` and `?`, and a host after `@`, which is not looked at.
fn is_meant(name: &str, pattern: &str) -> bool {
    fn matches(name: &[u8], pattern: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => matches(name, rest) || !name.is_empty() && matches(&name[1..], pattern),
            (Some((&one, rest)), Some((&first, after))) => (one == b'?' || one == first) && matches(after, rest),
            _ => false,
        }
    }
    matches(name.as_bytes(), pattern.split('@').next().unwrap_or_default().as_bytes())
}

/// As `sshd -T` prints them.
fn lines(settings: &[(String, String)]) -> String {
    settings.iter().fold(String::new(), |text, (keyword, value)| text + keyword + " " + value + "\n")
}

impl Resource for Sshd {
    fn named(&self) -> (&'static ResourceKind, String) {
        (&KIND, DROP_IN.into())
    }

    fn ask(&self, questions: &mut Questions) {
        self.file().ask(questions);
        questions.topics.insert(Topic::Sshd);
        questions.operator = Some(self.operator.clone());
        questions.packages.insert("openssh-server".into());
        for key in HOST_KEYS {
            questions.text(&HostPath::new(format!("{key}.pub")));
        }
    }

    fn compare(&self, seen: &Observed) -> Result<Verdict> {
        self.operator_gets_in(seen)?;
        if let Some(change) = self.file().compare(seen)?.change {
            let summary = match change.action {
                Action::Create => format!("harden sshd: only {} logs in, by key ({DROP_IN})", self.operator),
                _ => format!("change sshd's settings in {DROP_IN}"),
            };
            let ends = if change.action == Action::Create { self.ends.clone() } else { Vec::new() };
            let change = Change { id: self.id(), summary, ends, ..change };
            return Ok(Verdict::differs(change.with_risk(Risk::Access)));
        }
        let overruled = self.overruled(seen);
        if overruled.is_empty() {
            return Ok(Verdict::right());
        }
        let is: Vec<_> = seen.sshd.iter().filter(|(k, _)| overruled.iter().any(|(o, _)| o == k)).cloned().collect();
        let summary = "have sshd follow 00-factoryup.conf, which another file overrules".to_owned();
        let change = Change::new(self.id(), Action::Update, summary)
            .with_diff(Some(lines(&is)), Some(lines(&overruled)))
            .with_risk(Risk::Access);
        Ok(Verdict::differs(change))
    }

    fn write(&self, seen: &Observed, step: &mut Step) {
        let file = self.file();
        step.feed("stage", &[Word::text(DROP_IN), Word::text("0600")], &file.content);
        if !seen.facts.contains_key("sshd-include") {
            step.call("stage_include", &[]);
        }
        if self.checked {
            let ports = seen.sshd_ports();
            let ports = if ports.is_empty() { vec![USUAL_PORT] } else { ports };
            let mut words = vec![Word::text(&self.operator)];
            words.extend(ports.iter().map(|port| Word::text(&port.to_string())));
            step.feed("check_sshd", &words, &Payload::text(lines(&self.wanted())));
        }
    }

    fn before(&self, _seen: &Observed) -> Before {
        Before::Guarded("sshd")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::sha256;
    use crate::host::observed::PathState;

    fn sshd() -> Sshd {
        let settings = vec![("PermitRootLogin", "no".into()), ("DenyUsers", "agent deploy".into())];
        Sshd { settings, operator: "ops".into(), ends: vec!["old".into()], checked: true }
    }

    fn seen(lines: &[(&str, &str)]) -> Observed {
        let mut seen = Observed::default();
        let text = String::from_utf8(sshd().file().content.visible().unwrap().to_vec()).unwrap();
        seen.hashes.insert(DROP_IN.into(), sha256(text.as_bytes()));
        let state = PathState::of('f', "600", "root");
        seen.paths.insert(DROP_IN.into(), state);
        seen.sshd = lines.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        seen
    }

    #[test]
    fn a_value_from_elsewhere_that_wins_is_a_difference() {
        let obeyed = [("permitrootlogin", "no"), ("denyusers", "agent"), ("denyusers", "deploy")];
        assert!(sshd().compare(&seen(&obeyed)).unwrap().change.is_none());
        let change =
            sshd().compare(&seen(&[("permitrootlogin", "yes"), obeyed[1], obeyed[2]])).unwrap().change.unwrap();
        let diff = change.diff.unwrap();
        assert_eq!(diff.before.as_deref(), Some("permitrootlogin yes\n"));
        assert_eq!(diff.after.as_deref(), Some("permitrootlogin no\n"));
        assert_eq!(change.risk, Risk::Access);
    }

    #[test]
    fn settings_that_keep_the_operator_out_are_refused_before_anything_is_written() {
        let refused = |lines: &[&str]| {
            let mut seen = Observed::default();
            for line in lines {
                seen.take("sshd-operator", line);
            }
            sshd().compare(&seen).err().map(|error| error.to_string())
        };
        let usual = [
            "authorizedkeysfile .ssh/authorized_keys .ssh/authorized_keys2",
            "authenticationmethods any",
            "pubkeyauthentication yes",
        ];
        assert_eq!(refused(&usual), None);
        assert_eq!(
            refused(&["allowusers root", "allowusers op?@10.0.0.*", "authorizedkeysfile /x %h/.ssh/authorized_keys"]),
            None
        );
        for (line, named) in [
            ("allowusers root", "AllowUsers root"),
            ("denyusers o*", "DenyUsers o*"),
            ("allowgroups admins", "AllowGroups admins"),
            ("authorizedkeysfile /etc/ssh/keys/%u", "AuthorizedKeysFile /etc/ssh/keys/%u"),
            ("authenticationmethods publickey,keyboard-interactive", "publickey,keyboard-interactive"),
            ("pubkeyauthentication no", "PubkeyAuthentication no"),
        ] {
            let error = refused(&[line]).unwrap_or_default();
            assert!(error.contains("would not let ops log in with a key") && error.ends_with(named), "{line}: {error}");
        }
        // Of a drop-in that is going to be written nobody knows yet.
        let mut edited = seen(&[]);
        edited.hashes.insert(DROP_IN.into(), "other".into());
        edited.take("sshd-operator", "allowusers nobody");
        assert_eq!(sshd().compare(&edited).unwrap().change.unwrap().ends, [""; 0]);
    }

    #[test]
    fn the_drop_in_is_a_risk_to_access() {
        let change = sshd().compare(&Observed::default()).unwrap().change.unwrap();
        assert_eq!((change.action, change.risk, change.ends.len()), (Action::Create, Risk::Access, 1));
        assert!(change.diff.unwrap().after.unwrap().contains("\nPermitRootLogin no\n"));
    }
}
