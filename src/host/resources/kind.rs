//! What is true of all resources of one kind. It is enough to undo a change of which only the receipt is left.

use crate::host::program::guard::Staged;
use crate::host::program::{HostPath, Show, Step};
use crate::plan::{Action, Change, Entry, Risk, Undo};

/// One kind of resource. Its [`Resource`](super::Resource)s say what should be; this says how a change to one is undone.
pub(crate) struct ResourceKind {
    /// The part of an id before the colon. A receipt names it, so it never changes.
    pub(crate) name: &'static str,
    /// Functions that no other kind calls, or nothing. They come into a program with the first step of this kind.
    pub(crate) shell: &'static str,
    /// What to call a resource in a plan, given its name: the part of its id after the colon.
    pub(crate) title: fn(&str) -> String,
    /// How a change is undone.
    pub(crate) way_back: WayBack,
}

/// How changes of one kind are undone.
pub(crate) enum WayBack {
    /// They are not, and why. Such a change is planned with that reason.
    None(&'static str),
    /// By what this makes of a resource's name and of the text in [`Undo::Restore`]. Without that text, the resource was not there.
    Write(fn(&str, Option<&str>, &mut Back)),
}

/// The way back from one change.
pub(crate) struct Back {
    /// In the plan. Written already, and can be said better.
    pub(crate) change: Change,
    /// The shell that undoes it. What it changes is backed up first.
    pub(crate) step: Step,
    /// The files it is about whose text a person could have edited.
    pub(crate) files: Vec<HostPath>,
    /// What puts back, under the guard and before `step`, what could shut everybody out.
    pub(crate) staged: Option<Staged>,
    /// Whether it comes before sshd and the firewall are put back, as all does that a worker could stop.
    pub(crate) comes_first: bool,
}

impl Back {
    /// A call as [`Step::at`]. What lies in a worker's home comes first, and stays as it is where that fails.
    pub(crate) fn at(&mut self, command: &'static str, path: &HostPath, words: &[&str]) {
        if path.is_of_worker() {
            self.comes_first = true;
            self.step.best_effort();
        }
        self.step.at(command, path, words);
    }

    /// Brings a file or link back from its copy, or removes it where there is none.
    pub(crate) fn path(&mut self, path: HostPath, copy: Option<&str>) {
        self.at("undo_path", &path, copy.as_slice());
        self.files.push(path);
    }

    /// The step that stages it for the guard.
    pub(crate) fn under_guard(&mut self, part: &'static str) -> &mut Step {
        self.change.risk = Risk::Access;
        &mut self.staged.insert(Staged { step: Step::new(&self.change, self.step.shell(), Show::Run), part }).step
    }
}

impl ResourceKind {
    /// The way back from an entry of the receipt about the resource with this name; or why there is none, in words for the plan.
    ///
    /// # Errors
    /// In a text, when the change stays.
    pub(crate) fn back(&self, name: &str, entry: &Entry) -> Result<Back, String> {
        let title = (self.title)(name);
        let stays = |reason: &str| Err(format!("{title} stays: {reason}"));
        let (write, (action, summary, before)) = match (&self.way_back, &entry.undo) {
            (_, Undo::Never { reason }) => return stays(reason),
            (WayBack::None(reason), _) => return stays(reason),
            (WayBack::Write(write), Undo::Remove) => (write, (Action::Delete, format!("remove {title}"), None)),
            (WayBack::Write(write), Undo::Restore { before }) => {
                (write, (Action::Update, format!("bring back {title} as it was"), Some(before.as_str())))
            }
        };
        let change = Change::new(&entry.id, action, summary);
        let step = Step::new(&change, self.shell, Show::Run);
        let mut back = Back { change, step, files: Vec::new(), staged: None, comes_first: false };
        write(name, before, &mut back);
        back.step.forget();
        Ok(back)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ways_back;
    use super::*;

    fn way_back(id: &str, undo: &Undo) -> Back {
        let entry = Entry { id: id.into(), action: Action::Create, at: String::new(), undo: undo.clone() };
        ways_back(&[entry]).unwrap().pop().unwrap().unwrap()
    }

    fn restore(before: &str) -> Undo {
        Undo::Restore { before: before.into() }
    }

    #[test]
    fn what_a_worker_could_stop_comes_first_and_stops_nothing() {
        for id in ["secret:~agent/x", "secret:/etc/x", "git_include:agent", "file:~agent/x", "directory:~deploy/x"] {
            assert!(way_back(id, &Undo::Remove).comes_first, "{id}");
        }
        for id in ["user:agent", "file:/etc/x", "directory:~agent", "directory:~operator/.ssh", "nftables:x", "sshd:x"]
        {
            assert!(!way_back(id, &Undo::Remove).comes_first, "{id}");
        }
        assert!(way_back("file:~agent/x", &Undo::Remove).step.body().contains("\nbest_effort undo_path agent "));
        assert!(way_back("secret:/etc/x", &Undo::Remove).step.body().starts_with("drop_secret root "));
    }

    /// A receipt as factoryup 0.1 wrote it: its kinds and texts are read as long as there are hosts with such ones.
    #[test]
    fn an_entry_of_the_receipt_is_enough_to_find_the_way_back() {
        let text = include_str!("../../../tests/fixtures/formats/receipt-host-1.json");
        let receipt: crate::plan::Receipt = serde_json::from_str(text).unwrap();
        let mut said = String::new();
        for (entry, back) in receipt.entries.iter().zip(ways_back(&receipt.entries).unwrap()) {
            match back {
                Err(stays) => said += &format!("{}: {stays}\n\n", entry.id),
                Ok(back) => {
                    let first = if back.comes_first { " (first)" } else { "" };
                    said += &format!("{} {}{first}\n", back.change.action.sign(), back.change.summary);
                    for file in &back.files {
                        said += &format!("unless edited: {file}\n");
                    }
                    said += &back.step.body();
                    if let Some(staged) = back.staged {
                        said += &format!("staged for {}, {:?}:\n{}", staged.part, back.change.risk, staged.step.body());
                    }
                    said.push('\n');
                }
            }
        }
        insta::assert_snapshot!(said);
    }

    #[test]
    fn a_receipt_with_an_unknown_kind_is_refused_by_its_name() {
        let known = Entry { id: "group:g".into(), action: Action::Create, at: String::new(), undo: Undo::Remove };
        let unknown = Entry { id: "cgroup:g".into(), ..known.clone() };
        let error = ways_back(&[known, unknown]).err().unwrap();
        assert_eq!(error.kind(), crate::error::Kind::Data);
        let said = error.to_string();
        assert!(
            said.starts_with("this receipt was written by a newer factoryup: it names the kind `cgroup`"),
            "{said}"
        );
    }

    #[test]
    fn a_change_to_a_user_is_undone_line_by_line() {
        let body =
            way_back("user:a", &restore("in docker\nnot in work\npassword\nno subordinate ids\nsubordinate uids 7-9"))
                .step
                .body();
        let lines = "usermod --append --groups docker a\ngpasswd --delete a work\nusermod --unlock a\n\
                     usermod --add-subuids 7-9 a\nforget ";
        assert!(body.starts_with(lines), "{body}");
    }
}
