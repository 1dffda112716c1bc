//! Compares a factory's evidence log with its anchors in GitLab.

use super::Workspace;
use crate::error::{Error, Kind, Result};
use crate::gitlab::GitlabTarget;
use crate::plan::{Anchor, Evidence, Head, Standing, TargetName, standing};

const LOG: &str = "evidence/log.jsonl";

/// A log whose links hold, and what GitLab knows of it.
#[derive(Debug)]
pub struct Compared {
    /// The log.
    pub path: std::path::PathBuf,
    /// The hash of each line.
    pub hashes: Vec<String>,
    /// What GitLab keeps; none if there is no token to ask it with, or the reason why it does not answer.
    pub anchors: Option<Result<Vec<Anchor>>>,
}

impl Workspace<'_> {
    /// Checks the evidence log by itself, and reads its anchors from GitLab if a token is found without a question.
    ///
    /// # Errors
    /// `Data` if the log does not hold by itself.
    pub fn compare_evidence(&self) -> Result<Compared> {
        let path = self.state.file(LOG);
        let hashes = Evidence::at(&path).hashes()?;
        let anchors = || {
            let Some(token) = self.token_at_hand()? else { return Ok(None) };
            self.watch.busy("reading the anchors of the evidence log from GitLab");
            let anchors = GitlabTarget::new(&self.factory, token, &self.dir, &self.state)?.anchors();
            self.watch.busy("");
            anchors.map(Some)
        };
        let anchors = anchors().transpose();
        Ok(Compared { path, hashes, anchors })
    }

    /// Anchors the evidence log in GitLab, after an apply of GitLab ended as `result`. An apply that stopped before its end leaves that
    /// to the next one.
    pub(super) fn anchored(&self, names: &[TargetName], result: Result<()>) -> Result<()> {
        let is_due = match &result {
            Ok(()) => true,
            // Policy checks that failed are evidence too.
            Err(error) => error.is_partial() || error.kind() == Kind::Pending,
        };
        if !is_due || !names.contains(&TargetName::Gitlab) {
            return result;
        }
        match (self.anchor_evidence(), result) {
            (anchored, Ok(())) => anchored,
            (Ok(()), result) => result,
            (Err(unanchored), Err(error)) => {
                self.watch.warn(&unanchored.to_string());
                Err(error)
            }
        }
    }

    fn anchor_evidence(&self) -> Result<()> {
        let path = self.state.file(LOG);
        // One that is gone can be one that somebody removed.
        let hashes = if path.exists() { Evidence::at(&path).hashes()? } else { Vec::new() };
        let gitlab = GitlabTarget::new(&self.factory, self.owner_token()?, &self.dir, &self.state)?;
        self.watch.busy("comparing the evidence log with GitLab's anchors");
        let anchors = gitlab.anchors().map_err(|error| unanchored(&error))?;
        self.watch.busy("");
        match standing(&hashes, &anchors) {
            Standing::Holds(last) if last.is_protected && last.head.statements == hashes.len() => return Ok(()),
            Standing::Missing(first, before) => return Err(missing(first, before)),
            Standing::Unknown(last) => self.accept_new_log(last)?,
            Standing::Unanchored | Standing::Holds(_) => {}
        }
        let Some(head) = Head::of(&hashes) else { return Ok(()) };
        let name = gitlab.anchor(&head).map_err(|error| unanchored(&error))?;
        self.watch.note(&format!("evidence: anchored entry {} of the log in GitLab's tag {name}", head.statements));
        Ok(())
    }

    /// Asks about a new log: the state directory was lost, or an attacker replaced the log.
    fn accept_new_log(&self, last: &Anchor) -> Result<()> {
        if self.watch.is_interactive() {
            self.watch.warn(&format!("{}; if you confirm, factoryup starts a new series of anchors", unknown(last)));
            if self.watch.confirm("Did you lose the state directory, or is this another machine of yours?", false)? {
                return Ok(());
            }
        }
        Err(not_known(last))
    }
}

impl Compared {
    /// What the anchors say; none if GitLab was not asked or did not answer.
    #[must_use]
    pub fn standing(&self) -> Option<Standing<'_>> {
        Some(standing(&self.hashes, self.anchors.as_ref()?.as_ref().ok()?))
    }

    /// What is wrong, if anything is.
    ///
    /// # Errors
    /// `Pending` if the log does not fit its anchors, or an anchor is not protected; the reason if GitLab did not answer.
    pub fn verdict(self) -> Result<()> {
        let error = match self.standing() {
            None | Some(Standing::Unanchored) => None,
            Some(Standing::Holds(anchor)) if anchor.is_protected => None,
            Some(Standing::Holds(anchor)) => Some(
                Error::new(
                    Kind::Pending,
                    format!("GitLab does not protect its anchor {}: the agent could move it", anchor.name),
                )
                .hint("protect it: `factoryup apply gitlab`"),
            ),
            Some(Standing::Missing(first, held)) => Some(missing(first, held)),
            Some(Standing::Unknown(last)) => Some(not_known(last)),
        };
        match (error, self.anchors) {
            (Some(error), _) | (None, Some(Err(error))) => Err(error),
            _ => Ok(()),
        }
    }
}

fn unanchored(error: &Error) -> Error {
    let text = format!("the evidence log is not anchored in GitLab: {error}");
    let error = error.hints().iter().fold(Error::new(error.kind(), text), Error::hint);
    error.hint("run `factoryup apply gitlab` to anchor it").partial()
}

fn missing(first: &Anchor, held: Option<&Anchor>) -> Error {
    let Anchor { name, at, head, .. } = first;
    let up_to = held.map_or("no earlier anchor matches".to_owned(), |held| {
        format!("the log is intact up to entry {}, by {} of {}", held.head.statements, held.name, held.at)
    });
    let text = format!(
        "the log was shortened or rewritten: GitLab's anchor {name} of {at} names entry {} with the hash {}, which is missing here; \
         {up_to}",
        head.statements, head.sha256
    );
    Error::new(Kind::Pending, text)
        .hint("keep this log unchanged for the investigation, and restore evidence/log.jsonl from a backup of the state directory")
        .hint("or, without a backup, move it out of the state directory: the next `factoryup apply` starts a new log, and asks first")
        .partial()
}

fn unknown(last: &Anchor) -> String {
    format!(
        "GitLab has only anchors of another log: {} of {} names its entry {}",
        last.name, last.at, last.head.statements
    )
}

fn not_known(last: &Anchor) -> Error {
    let text = format!("{}; the log here is missing, new, or was rewritten from its first entry", unknown(last));
    Error::new(Kind::Pending, text)
        .hint("restore evidence/log.jsonl from a backup of the state directory")
        .hint("or, if you lost the state directory or use another machine, run `factoryup apply gitlab` on a terminal and confirm")
        .partial()
}
