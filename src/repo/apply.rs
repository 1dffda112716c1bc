//! Makes the changes of a plan. Whatever their number, they become real in one step: with the commit.

use std::path::Path;

use super::desired::Desired;
use super::error::RepoResult;
use super::git::write::{NewCommit, ObjectFormat};
use super::{Pending, branch, create, in_place};
use crate::error::{Error, Kind, Result};
use crate::factory::FILE_NAME;
use crate::plan::{Change, Log, Plan, Undo};

pub(super) fn apply(
    dir: &Path,
    desired: &Desired,
    on_disk: Option<&[u8]>,
    format: ObjectFormat,
    step: Option<Pending>,
    plan: &Plan,
    log: &mut Log<'_>,
) -> Result<()> {
    // The files come into being with the last change, the commit, so it alone is journaled and can be undone.
    let Some((change, step)) = plan.changes.last().zip(step) else {
        return Err(Error::internal("the control repo was not observed before it was to be changed"));
    };
    if let Pending::Branch { .. } = &step {
        refuse_new_answers(dir, on_disk)?;
    }
    log.started(change)?;
    let (made, undo) = match &step {
        Pending::Create => (create(dir, desired, format), Undo::Remove),
        Pending::Finish => (create::finish(dir), Undo::Never { reason: "the files belong to the first commit".into() }),
        Pending::InPlace { repo, comparison, read } => {
            let edits = branch::edits(desired, repo, comparison);
            let written = edits.and_then(|edits| in_place::write(&repo.git, &repo.head, &edits, read));
            (written, Undo::Never { reason: "git has what was there: git restore .".into() })
        }
        Pending::Branch { repo, comparison, name } => (branch::commit(desired, repo, comparison, name), Undo::Remove),
    };
    report(change, made.map_err(Error::from), undo, log)
}

/// Refuses to commit answers that are not those of the work tree any more: the branch would be said to hold the owner's edit.
fn refuse_new_answers(dir: &Path, then: Option<&[u8]>) -> Result<()> {
    if then.is_none_or(|then| then == crate::budget::read(&dir.join(FILE_NAME)).unwrap_or_default()) {
        return Ok(());
    }
    let what = format!("{FILE_NAME} was changed while factoryup was running; nothing was written");
    Err(Error::new(Kind::CutShort, what).hint("run the same command again: it takes the new answers"))
}

/// Makes the control repo in `dir`.
pub(super) fn create(dir: &Path, desired: &Desired, format: ObjectFormat) -> RepoResult<()> {
    let message = format!(
        "Generate the control repo of {}\n\nMade by factoryup {} from its templates {}.\n",
        desired.factory.factory.name,
        env!("CARGO_PKG_VERSION"),
        desired.tree.version
    );
    let first = NewCommit {
        branch: &desired.factory.gitlab.default_branch,
        parent: None,
        owner: desired.owner(),
        at: jiff::Timestamp::now().as_second(),
        message: &message,
        edits: &desired.first_commit()?,
    };
    create::create(dir, &first, format)
}

fn report(change: &Change, made: Result<()>, undo: Undo, log: &mut Log<'_>) -> Result<()> {
    match made {
        Ok(()) => log.done(change, undo),
        Err(error) => {
            log.failed(change, &error.to_string())?;
            Err(error)
        }
    }
}
