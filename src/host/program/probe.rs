//! The probe: all questions of all resources, answered in one program that asks each tool once.

use std::collections::{BTreeMap, BTreeSet};

use super::{ACCOUNTS, COMMON, HostPath, Word, accounts, frame, library};

pub(super) const PROBE: &str = include_str!("../lib/probe.sh");

/// What is wanted of a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// This SHA-256; with another one, the text is wanted too.
    Hash(String),
    /// The SHA-256 only; the text must stay where it is.
    HashOnly,
}

/// What the probe looks at as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// What sshd does and could do.
    Sshd,
    /// The firewall table, and what it could close.
    Firewall,
    /// Memory, swap, and what a swap file would need.
    Memory,
    /// The kernel's audit rules.
    Audit,
}

/// What a probe is to find out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Questions {
    /// Users: account, state of the password, lingering, subordinate ids.
    pub(crate) users: BTreeSet<String>,
    /// Groups and their members.
    pub(crate) groups: BTreeSet<String>,
    /// Type, mode, owner, group and link.
    pub(crate) paths: BTreeSet<HostPath>,
    /// Contents of files that may be as expected.
    pub(crate) files: BTreeMap<HostPath, Expect>,
    /// Short texts that are wanted in any case.
    pub(crate) texts: BTreeSet<HostPath>,
    /// Versions.
    pub(crate) packages: BTreeSet<String>,
    /// States.
    pub(crate) units: BTreeSet<String>,
    /// Kernel settings by dotted name.
    pub(crate) settings: BTreeSet<String>,
    /// What else is looked at.
    pub(crate) topics: BTreeSet<Topic>,
    /// Whom sshd must let in.
    pub(crate) operator: Option<String>,
    /// `HOST:PORT` whose addresses are looked up there, besides those of the host's proxies.
    pub(crate) places: BTreeSet<String>,
    /// Users about whom sudo is asked.
    pub(crate) sudo: BTreeSet<String>,
}

impl Questions {
    /// Asks for a path and its content.
    pub(crate) fn file(&mut self, path: &HostPath, expect: Expect) {
        self.paths.insert(path.clone());
        self.files.insert(path.clone(), expect);
    }

    /// Asks for a short text and for what its path is like.
    pub(crate) fn text(&mut self, path: &HostPath) {
        self.paths.insert(path.clone());
        self.texts.insert(path.clone());
    }

    /// What is asked about homes, by user. It is asked as that user, and nothing else is an answer of that user's.
    pub(crate) fn homes(&self) -> BTreeMap<String, BTreeSet<HostPath>> {
        let mut homes: BTreeMap<String, BTreeSet<HostPath>> = BTreeMap::new();
        for path in &self.paths {
            if let Some(user) = path.inside_home_of() {
                homes.entry(user.to_owned()).or_default().insert(path.clone());
            }
        }
        homes
    }

    fn calls_home(&self) -> String {
        let mut calls = String::new();
        for (user, paths) in self.homes() {
            calls.push_str(&format!("ask_home {}", Word::text(&user)));
            for path in &paths {
                let want = match self.files.get(path) {
                    _ if self.texts.contains(path) => "line",
                    Some(Expect::Hash(hash)) => hash,
                    Some(Expect::HashOnly) => "hash",
                    None => "path",
                };
                calls.push_str(&format!(" \\\n  {want}:{}", path.word()));
            }
            calls.push('\n');
        }
        calls
    }

    /// Whether the answers to `other` answer these too.
    pub(crate) fn are_among(&self, other: &Self) -> bool {
        let files = self.files.keys().all(|path| other.files.contains_key(path));
        files
            && self.users.is_subset(&other.users)
            && self.groups.is_subset(&other.groups)
            && self.paths.is_subset(&other.paths)
            && self.texts.is_subset(&other.texts)
            && self.packages.is_subset(&other.packages)
            && self.units.is_subset(&other.units)
            && self.settings.is_subset(&other.settings)
            && self.places.is_subset(&other.places)
            && self.sudo.is_subset(&other.sudo)
            && self.topics.is_subset(&other.topics)
            && (self.operator.is_none() || other.operator == self.operator)
    }

    /// The program that answers them.
    pub(crate) fn compile(&self, run: &str) -> String {
        let calls = self.calls();
        let mut users: BTreeSet<&str> = self.users.iter().map(String::as_str).collect();
        users.extend(self.paths.iter().flat_map(HostPath::accounts));
        let users: Vec<&str> = users.into_iter().collect();
        let mut body = format!("{}\n{}\n{}\n", library(COMMON), library(ACCOUNTS), library(PROBE));
        body.push_str(&format!("observe() {{\nsupported || return 0\n{}", look_up(&users)));
        body.push_str(&accounts(&calls, &users));
        body.push_str(&calls);
        body.push_str("section receipt\nreceipt\nsection later\nlater_settings\n");
        if !self.sudo.is_empty() {
            let users = texts(&self.sudo).iter().fold(String::new(), |line, word| line + " " + word.as_str());
            body.push_str(&format!("sudo_rights{users}\nholdings{users}\n"));
        }
        body.push_str("section end\necho\n}\nobserve 2>/dev/null | json_lines\n");
        frame(run, &body)
    }

    fn calls(&self) -> String {
        let mut calls = String::new();
        let mut ask = |section: &str, command: &str, words: Vec<Word>| {
            if !words.is_empty() {
                let words = words.iter().fold(String::new(), |line, word| line + " \\\n  " + word.as_str());
                calls.push_str(&format!("section {section}\n{command}{words}\n"));
            }
        };
        ask("password", "password_states", texts(&self.users));
        ask("group", "getent group", texts(&self.groups));
        let outside =
            |paths: &BTreeSet<HostPath>| paths.iter().filter(|path| is_outside(path)).map(HostPath::word).collect();
        ask("path", "paths", outside(&self.paths));
        ask("line", "lines", outside(&self.texts));
        ask("package", "packages", texts(&self.packages));
        ask("unit", "units", texts(&self.units));
        ask("address", "addresses", texts(&self.places));
        let path = |name: &String| Word::text(&format!("/proc/sys/{}", name.replace('.', "/")));
        ask("setting", "settings", self.settings.iter().map(path).collect());
        if !self.users.is_empty() {
            calls.push_str("section linger\nlingering\n");
            calls.push_str("section subuid\ncat /etc/subuid\nsection subgid\ncat /etc/subgid\n");
        }
        calls.push_str(&self.calls_home());
        calls.push_str(&self.contents());
        for topic in &self.topics {
            match (topic, &self.operator) {
                (Topic::Sshd, Some(user)) => calls.push_str(&format!("secure_shell {}\n", Word::text(user))),
                (Topic::Sshd, None) => calls.push_str("secure_shell\n"),
                (Topic::Firewall, _) => calls.push_str("firewall\n"),
                (Topic::Memory, _) => calls.push_str("memory\n"),
                (Topic::Audit, _) => calls.push_str("audit_rules\n"),
            }
        }
        calls.push_str("section unfinished\nunfinished\n");
        calls
    }

    fn contents(&self) -> String {
        let (mut open, mut sealed, mut expected) = (String::new(), String::new(), String::new());
        for (path, expect) in self.files.iter().filter(|(path, _)| is_outside(path)) {
            let word = path.word();
            let list = if *expect == Expect::HashOnly { &mut sealed } else { &mut open };
            list.push_str(&format!(" \\\n  {word}"));
            if let Expect::Hash(hash) = expect {
                expected.push_str(&format!("expect {hash} {word}\n"));
            }
        }
        if open.is_empty() && sealed.is_empty() {
            return String::new();
        }
        let mut shell = expected;
        shell.push_str(&format!("hashes=$(hashes{open})\nsection hash\nprintf '%s\\n' \"$hashes\"\n"));
        if !sealed.is_empty() {
            shell.push_str(&format!("hashes{sealed}\n"));
        }
        shell.push_str("section text\nprintf '%s\\n' \"$hashes\" | texts\n");
        shell
    }
}

/// The program that sends the last line of a unit in the journal.
pub(crate) fn last_line(unit: &str) -> String {
    look("journal", &format!("journalctl --no-pager --output cat --lines 1 --unit {}", Word::text(unit)))
}

/// The program that says how the host's own backups are.
pub(crate) fn backup_state() -> String {
    look("backup", "backup_state")
}

/// The program that says how the last run of a service ended.
pub(crate) fn last_run(unit: &str, program: &str) -> String {
    look("run", &format!("last_run {unit} {program}"))
}

/// The program that sends tokens that the host renewed: for each name with a file of `user`, whose text had that digest, the token that
/// took its place by the record, in the section `secret:NAME`.
pub(crate) fn renewed(user: &str, record: &HostPath, files: &[(&str, HostPath, String)]) -> String {
    let call = |(name, path, digest): &(&str, HostPath, String)| {
        format!("renewed {} {name} {} {} {digest}\n", Word::text(user), record.word(), path.word())
    };
    let calls: String = files.iter().map(call).collect();
    let known = format!("look_up {}\n{}", Word::text(user), accounts(&calls, &[user]));
    let parts = [COMMON, ACCOUNTS, PROBE].map(library).join("\n");
    frame("renewed", &format!("{parts}\n{known}{{\n{calls}section end\necho\n}} 2>/dev/null | json_lines\n"))
}

/// A program that sends what a command prints, in a section.
fn look(section: &str, command: &str) -> String {
    let body = format!(
        "{}\n{}\n{{ section {section}; {command}; }} 2>/dev/null | json_lines\n",
        library(COMMON),
        library(PROBE)
    );
    frame(section, &body)
}

/// The program that says no more than that it runs as root.
pub(crate) fn nothing() -> String {
    frame("nothing", &format!("{}\n{}\n{{ section nothing; echo; }} | json_lines\n", library(COMMON), library(PROBE)))
}

/// The program that starts a runner: `keep` stores its token first. Sends what both say, and the exit code.
pub(crate) fn runner_start(keep: Option<&str>, start: &str) -> String {
    // A here-document in `keep` ends with its line.
    let keep = keep.map_or_else(String::new, |keep| format!("{keep}code=$?\n"));
    let go = format!(
        "{{ section runner\ncode=0\n{keep}[ \"$code\" != 0 ] || {{ {start} </dev/null; code=$?; }}\nsection code\necho \"$code\"; }}"
    );
    frame("runner", &format!("{}\n{}\n{go} 2>&1 | json_lines\n", library(COMMON), library(PROBE)))
}

/// Whether root itself looks at a path: it lies in nobody's home.
fn is_outside(path: &HostPath) -> bool {
    path.inside_home_of().is_none()
}

/// One look at the user database for all of them.
fn look_up(users: &[&str]) -> String {
    if users.is_empty() {
        return String::new();
    }
    let words: Vec<String> = users.iter().map(|user| Word::text(user).to_string()).collect();
    format!("look_up {}\nsection passwd\nprintf '%s\\n' \"$accounts\"\n", words.join(" "))
}

fn texts(names: &BTreeSet<String>) -> Vec<Word> {
    names.iter().map(|name| Word::text(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::host::event::Line;
    use crate::host::observed::Observed;

    /// What a client makes of a probe that asks in this way, in each shell.
    fn ask(questions: &str) -> Vec<Observed> {
        let body = format!("{}\n{}\n{{ {questions}; }} | json_lines\n", library(COMMON), library(PROBE));
        let program = frame("x", &body);
        let ask = |shell: &[&str]| {
            let mut command = Command::new(shell[0]);
            command.args(&shell[1..]).arg("-s").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{shell:?}: {output:?}");
            let mut seen = Observed::default();
            for line in String::from_utf8(output.stdout).unwrap().lines() {
                let Some(Line::Seen { section, line }) = Line::read(line) else { panic!("{shell:?}: {line}") };
                seen.take(&section, &line);
            }
            seen
        };
        // busybox prefers a find of its own, which does not print as it is told.
        [&["dash"][..], &["bash"]].map(ask).to_vec()
    }

    #[test]
    fn where_a_link_points_is_no_word_of_the_probes() {
        let folder = tempfile::tempdir().unwrap();
        let forged = "x\n\u{1e}sshd\nport 4444\n\u{1e}fact\ndocker yes\n\u{1e}path\nf\t644\troot\troot\t/etc/x\t";
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(forged, &link).unwrap();
        let plain = folder.path().join("plain");
        std::os::unix::fs::symlink("to a\ttab", &plain).unwrap();
        for seen in ask(&format!("section path; paths {} {}", link.display(), plain.display())) {
            assert_eq!((seen.sshd.len(), seen.facts.len(), seen.paths.len()), (0, 0, 2), "{seen:?}");
            let target = &seen.paths[&*link.to_string_lossy()].link;
            assert!(target.starts_with("x??sshd?port 4444?") && !target.contains(['\n', '\u{1e}']), "{target}");
            assert_eq!(seen.paths[&*plain.to_string_lossy()].link, "to a\ttab");
        }
    }

    #[test]
    fn no_line_of_a_tool_opens_a_section() {
        for line in [r"\036sshd", r"\036 sshd", r"\036$MARK sshd", r"\036\036", "${MARK% *}sshd"] {
            for seen in ask(&format!("section os; printf '%b\\n' '{line}' 'port 4444'")) {
                assert_eq!(seen.sshd, [], "{line}");
            }
        }
    }
}
