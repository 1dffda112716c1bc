//! Applies a plan change by change, and reads each one back before the next.

use std::time::Duration;

use super::GitlabTarget;
use super::error::{GitlabError, GitlabResult};
use super::resources::{self, Resource, group, name, project};
use super::site::Site;
use crate::error::{Error, Result};
use crate::plan::{Change, Log, Plan, Undo};

/// How often a change is read back before it counts as not made. GitLab does part of its work after it has answered.
const LOOKS: u32 = 5;
/// The wait before the second look; it grows with each.
const WAIT: Duration = Duration::from_millis(200);

impl GitlabTarget {
    pub(super) fn make(&mut self, plan: &Plan, log: &mut Log<'_>) -> Result<()> {
        let (outside, inside): (Vec<_>, Vec<_>) =
            plan.changes.iter().partition(|change| matches!(change.kind(), group::KIND | project::KIND));
        for change in outside {
            logged(log, change, || match change.kind() {
                group::KIND => group::write(&self.owner, name(change)),
                _ => project::write(&self.owner, &self.desired),
            })?;
        }
        if inside.is_empty() {
            return Ok(());
        }
        let project = project::require(&self.owner, &self.desired)?;
        let (premium, _) = self.premium(&project)?;
        let site = Site::new(&self.desired, &self.owner, &self.keep, premium, &self.handed, project);
        for change in inside {
            logged(log, change, || settle(&site, change))?;
        }
        Ok(())
    }
}

fn logged(log: &mut Log<'_>, change: &Change, make: impl FnOnce() -> GitlabResult<Undo>) -> Result<()> {
    log.started(change)?;
    match make() {
        Ok(undo) => log.done(change, undo),
        Err(error) => {
            let error = Error::from(error);
            log.failed(change, &error.to_string())?;
            Err(error)
        }
    }
}

/// Makes one change and sees that it is made.
fn settle(site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
    let all = resources::all();
    let resource = all.iter().find(|resource| resource.kind() == change.kind()).ok_or_else(|| {
        Error::internal(format!("the plan contains {}, which no resource of the gitlab target handles", change.id))
    })?;
    site.forget();
    let undo = resource.write(site, change)?;
    match left(*resource, site, change)? {
        None => Ok(undo),
        Some(left) => Err(GitlabError::Untouched {
            call: change.summary.clone(),
            what: change.id.clone(),
            left: left.diff.and_then(|diff| diff.before).unwrap_or(left.summary).trim().replace('\n', ", "),
        }),
    }
}

/// The change, if it is still to be made after a few looks.
fn left(resource: &dyn Resource, site: &Site<'_>, change: &Change) -> GitlabResult<Option<Change>> {
    let mut look = 1;
    loop {
        site.forget();
        let left = resource.observe(site)?.changes.into_iter().find(|left| left.id == change.id);
        if left.is_none() || look == LOOKS {
            return Ok(left);
        }
        std::thread::sleep(WAIT * look);
        look += 1;
    }
}
