//! Applies a plan change by change, and reads each one back before the next.

use std::time::Duration;

use super::GitlabTarget;
use super::error::{GitlabError, GitlabResult};
use super::resources::{self, group, name, project};
use super::site::Site;
use crate::error::{Error, Result};
use crate::plan::{Change, Log, Plan, Undo};

/// How often a change is read back before it counts as not made. GitLab does part of its work after it has answered: until a background job has run,
/// a repository counts as empty after its first push.
const LOOKS: u32 = 9;
/// The wait before the second look; it grows with each.
const WAIT: Duration = Duration::from_millis(200);

impl GitlabTarget {
    pub(super) fn make(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        if self.keep.memory()?.jobs_passed {
            self.keep.remember(|memory| memory.jobs_passed = false)?;
        }
        let (outside, inside): (Vec<_>, Vec<_>) =
            plan.changes.iter().partition(|change| matches!(change.kind(), group::KIND | project::KIND));
        for change in outside {
            let make = || match change.kind() {
                group::KIND => group::write(&self.owner, name(change)),
                _ => project::write(&self.owner, &self.desired),
            };
            logged(log, change, make, Log::done)?;
        }
        if inside.is_empty() {
            return Ok(());
        }
        let project = project::require(&self.owner, &self.desired)?;
        let site = self.site(project)?;
        let mut left: Option<Error> = None;
        for change in inside {
            match logged(log, change, || write(&site, change), |log, change, undo| settle(&site, log, change, undo)) {
                Err(error) if resources::is_left(change.kind(), error.kind()) => {
                    left = Some(match left {
                        None => error,
                        Some(first) => first.hint(format!("this was not made either: {error}")),
                    });
                }
                made => made?,
            }
        }
        left.map_or(Ok(()), |error| Err(error.partial()))
    }
}

/// Makes a change between two lines of the log.
pub(super) fn logged<'l, T>(
    log: &mut Log<'l>,
    change: &Change,
    make: impl FnOnce() -> GitlabResult<T>,
    record: impl FnOnce(&mut Log<'l>, &Change, T) -> Result<()>,
) -> Result<()> {
    log.started(change)?;
    match make() {
        Ok(undo) => record(log, change, undo),
        Err(error) => {
            let error = Error::from(error);
            log.failed(change, &error.to_string())?;
            Err(error)
        }
    }
}

fn write(site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
    let all = resources::all();
    let resource = all.iter().find(|resource| resource.kind() == change.kind()).ok_or_else(|| {
        Error::internal(format!("the plan contains {}, which no resource of the gitlab target handles", change.id))
    })?;
    site.forget();
    resource.write(site, change)
}

/// Sees that a change is made. How to undo it is kept in any case: a part of it may be made.
fn settle(site: &Site<'_>, log: &mut Log<'_>, change: &Change, undo: Undo) -> Result<()> {
    let resources = resources::all();
    let resource = resources.iter().find(|resource| resource.kind() == change.kind());
    let seen = finish(change, || {
        site.forget();
        let found = resource.map(|resource| resource.observe(site)).transpose()?.unwrap_or_default();
        Ok(found.changes.into_iter().find(|left| left.id == change.id))
    });
    match seen {
        Ok(()) => log.done(change, undo),
        Err(error) => {
            let error = Error::from(error);
            log.unsettled(change, undo, &error.to_string())?;
            Err(error)
        }
    }
}

/// Sees that a change is made, in a few looks at what is `left` to be done.
pub(super) fn finish(change: &Change, left: impl Fn() -> GitlabResult<Option<Change>>) -> GitlabResult<()> {
    let mut look = 1;
    loop {
        let Some(left) = left()? else { return Ok(()) };
        if look == LOOKS {
            return Err(GitlabError::Untouched {
                call: change.summary.clone(),
                what: change.id.clone(),
                left: left.diff.and_then(|diff| diff.before).unwrap_or(left.summary).trim().replace('\n', ", "),
            });
        }
        std::thread::sleep(WAIT * look);
        look += 1;
    }
}
