//! The remote `origin` of the control repo on this machine, so that the owner's own `git fetch` and `git push` know where to.
//!
//! It is set where there is none, to the project's HTTPS address and without a login: git asks for that, or has a helper. One that is
//! there is the owner's, wherever it leads, and is never changed. factoryup itself does not use it.

use super::{Back, Found, Resource, WayBack, seed};
use crate::error::Error;
use crate::git::Git;
use crate::git::remote::{ORIGIN as NAME, follow};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

pub(super) const KIND: &str = "remote";

/// See the [module](self).
pub(in crate::gitlab) struct Remote;

fn create(desired: &Desired) -> Change {
    let summary = format!("set the control repo's remote {NAME} to {}", desired.git_url());
    Change::new(format!("{KIND}:{NAME}"), Action::Create, summary)
}

/// git in the control repo, and whether it has a remote of this name; none where there is no repo.
fn local(desired: &Desired) -> GitlabResult<Option<(Git, bool)>> {
    if !desired.repo.join(".git").exists() {
        return Ok(None);
    }
    let git = Git::new(&desired.repo).map_err(Error::from)?;
    // `git remote` lists as well what only the user's global configuration has a setting of.
    let settings = git.run(&["config", "--local", "--includes", "--list", "-z"]).map_err(Error::from)?;
    let is_there = is_set(&settings);
    Ok(Some((git, is_there)))
}

/// Whether the settings of a repo, as `git config --list -z` prints them, have anything of the remote. One without a URL is not to be
/// added either: git refuses that.
fn is_set(settings: &[u8]) -> bool {
    let prefix = format!("remote.{NAME}.");
    settings.split(|&byte| byte == 0).any(|setting| setting.starts_with(prefix.as_bytes()))
}

impl Resource for Remote {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        // Before there is a repo, it will be one without a remote.
        let is_there = local(desired).ok().flatten().is_some_and(|(_, is_there)| is_there);
        if is_there { Vec::new() } else { vec![create(desired)] }
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        Ok(match local(site.desired)? {
            None => Found::default(),
            Some((_, is_there)) => Found::one((!is_there).then(|| create(site.desired))),
        })
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        if let Some((git, false)) = local(site.desired)? {
            git.run(&["remote", "add", NAME, &site.desired.git_url()]).map_err(Error::from)?;
            // What GitLab has is here, or another history that was refused: so a plain `git pull` works once a merge request is merged.
            if let Some(there) = seed::branch(site.owner, site.desired, site.id)? {
                follow(&git, &site.desired.branch, &there.commit.id).map_err(Error::from)?;
            }
        }
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(|site, _, _| {
            let Some((git, true)) = local(site.desired)? else { return Ok(Back::Done) };
            let url = git.line(&["config", "--local", "--get", &format!("remote.{NAME}.url")]).unwrap_or_default();
            if url != site.desired.git_url() {
                return Ok(Back::Stays(format!("the control repo's remote {NAME} has another URL now; not removed")));
            }
            Ok(Back::remove(format!("{KIND}:{NAME}"), format!("remove the control repo's remote {NAME}"), move |_| {
                git.run(&["remote", "remove", NAME]).map_err(Error::from)?;
                Ok(())
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_is_known_by_its_settings() {
        assert!(is_set(b"core.bare\nfalse\0remote.origin.url\nhttps://a/b.git\0"));
        assert!(!is_set(b"core.bare\nfalse\0remote.upstream.url\nremote.origin.url\0branch.main.remote\norigin\0"));
    }
}
