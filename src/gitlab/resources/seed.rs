//! The initial push of the control repo's history to the default branch of a project that has none.
//!
//! Pushing is done by git, before the branch is protected. Where there is a branch already nothing is ever pushed over it: it must
//! share the control repo's history, and what is only here goes the way of every change, by merge request.

use serde::Deserialize;

use super::{Found, Resource, WayBack};
use crate::error::{Error, Kind};
pub(in crate::gitlab) use crate::git::objects::is_object_id;
use crate::git::{Git, remote};
use crate::gitlab::client::Client;
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Diff, Undo};

pub(in crate::gitlab) const KIND: &str = "seed";

/// The user name that git shows with a token; GitLab takes any.
pub(in crate::gitlab) const GIT_USER: &str = "oauth2";

/// See the [module](self).
pub(in crate::gitlab) struct Seed;

/// A branch of the project.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::gitlab) struct Branch {
    pub(in crate::gitlab) commit: Commit,
}

/// A commit of the project.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::gitlab) struct Commit {
    pub(in crate::gitlab) id: String,
}

/// The project's default branch, when it has one.
pub(in crate::gitlab) fn branch(owner: &Client, desired: &Desired, project: u64) -> GitlabResult<Option<Branch>> {
    owner.find(&Call::get("/projects/:id/repository/branches/:branch", &[&project, &desired.branch]))
}

/// How the control repo's default branch differs from this commit, which GitLab's has; nothing if it does not.
pub(in crate::gitlab) fn differs(site: &Site<'_>, there: &str) -> GitlabResult<Option<Apart>> {
    let Some(local) = LocalRepo::open(site.desired)? else { return Ok(None) };
    let Some(head) = local.head()?.filter(|head| head != there) else { return Ok(None) };
    let unknown = || {
        Apart::behind(format!("{} here does not have GitLab's newest commit", site.desired.branch), "git pull --rebase")
    };
    Ok(Some(compare(site, &local, &head, there)?.unwrap_or_else(unknown)))
}

/// How the control repo's default branch and GitLab's are apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// What differs.
    pub what: String,
    /// What to do about it.
    pub step: String,
    /// The command that does it.
    pub how: String,
}

impl Apart {
    fn ahead(branch: &str) -> Self {
        Self {
            what: format!("{branch} here has commits that are not on GitLab"),
            step: format!(
                "open a merge request for the commits of {branch} that are not on GitLab; after the merge, run `git pull --rebase`"
            ),
            how: format!("git push -o merge_request.create origin {branch}:refs/heads/NAME"),
        }
    }

    /// GitLab squashes what it merges, so a commit here can be there as another one: only a rebase tells.
    fn behind(what: String, how: &str) -> Self {
        Self { what, step: "update the control repo from GitLab".into(), how: how.into() }
    }
}

impl std::fmt::Display for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}: `{}`", self.what, self.step, self.how)
    }
}

fn create(desired: &Desired, commit: Option<&str>) -> Change {
    let what = commit.map_or("the control repo's first commit".to_owned(), |commit| {
        format!("commit {} of the control repo", short(commit))
    });
    let change =
        Change::new(format!("{KIND}:{}", desired.branch), Action::Create, format!("push {what} to {}", desired.branch));
    // The whole id is what was confirmed, and what is pushed.
    Change { diff: commit.map(|commit| Diff { before: None, after: Some(format!("commit {commit}\n")) }), ..change }
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

impl Resource for Seed {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        let local =
            LocalRepo::open(desired).and_then(|local| local.map_or(Ok(None), |local| local.head())).ok().flatten();
        vec![create(desired, local.as_deref())]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let local = LocalRepo::open(site.desired)?;
        let head = local.as_ref().map_or(Ok(None), LocalRepo::head)?;
        let Some(there) = site.glance()?.head.clone() else {
            return Ok(Found::one(Some(create(site.desired, head.as_deref()))));
        };
        let mut found = Found::one(None);
        if let (Some(local), Some(head)) = (local, head)
            && head != there
        {
            found.notes.extend(compare(site, &local, &head, &there)?.map(|apart| apart.to_string()));
        }
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let nothing = || {
            Error::new(Kind::Usage, format!("no control repo to push in {}", site.desired.repo.display()))
                .hint("create it first: factoryup apply repo")
        };
        let local = LocalRepo::open(site.desired)?.ok_or_else(nothing)?;
        let head = local.head()?.ok_or_else(nothing)?;
        if change.diff.is_some() && change.diff != create(site.desired, Some(&head)).diff {
            return Err(Error::new(Kind::CutShort, format!("the control repo moved to commit {}", short(&head)))
                .hint("run the command again to plan for that commit; nothing was pushed")
                .into());
        }
        if branch(site.owner, site.desired, site.id)?.is_some() {
            return Ok(Undo::Never { reason: "it existed already".into() });
        }
        let refspec = format!("{head}:refs/heads/{}", site.desired.branch);
        let login = (GIT_USER, site.owner.token());
        let pushed = remote::push(&site.desired.repo, &site.desired.git_url(), &refspec, login)?;
        if !pushed.accepted {
            let why = format!("GitLab rejected the push to {}: {}", site.desired.branch, pushed.reason);
            return Err(Error::new(Kind::NotPermitted, why)
                .hint(
                    "check the push rules and protected branches of the group: the first push needs permission to push",
                )
                .into());
        }
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::Stays("what was pushed to the project stays")
    }
}

/// What is worth knowing when the two differ; an error when they have nothing to do with each other.
fn compare(site: &Site<'_>, local: &LocalRepo, head: &str, there: &str) -> GitlabResult<Option<Apart>> {
    let branch = &site.desired.branch;
    if local.has(there) {
        return Ok(Some(if local.contains(head, there) {
            Apart::ahead(branch)
        } else if local.contains(there, head) {
            Apart::behind(format!("{branch} here is behind GitLab's"), "git pull")
        } else {
            Apart::behind(format!("{branch} here and on GitLab have diverged"), "git pull --rebase")
        }));
    }
    let commit =
        |sha: &str| site.owner.find::<Commit>(&Call::get("/projects/:id/repository/commits/:sha", &[&site.id, &sha]));
    let root = local.root(head)?;
    if commit(&root)?.is_none() {
        return Err(Error::new(
            Kind::Data,
            format!(
                "{} has a branch {branch} with another history than the control repo in {}",
                site.desired.url(),
                site.desired.repo.display()
            ),
        )
        .hint("choose another project: change gitlab.project in factory.toml; nothing was overwritten")
        .hint(format!("or use that history: git clone {}", site.desired.git_url()))
        .into());
    }
    Ok(None)
}

/// The control repo on this machine.
struct LocalRepo(Git, String);

impl LocalRepo {
    fn open(desired: &Desired) -> GitlabResult<Option<Self>> {
        if !desired.repo.join(".git").exists() {
            return Ok(None);
        }
        let git = Git::new(&desired.repo).map_err(Error::from)?;
        Ok(Some(Self(git, format!("refs/heads/{}^{{commit}}", desired.branch))))
    }

    /// The commit of the default branch.
    fn head(&self) -> GitlabResult<Option<String>> {
        Ok(self.0.resolve(&self.1).map_err(Error::from)?)
    }

    fn has(&self, commit: &str) -> bool {
        is_object_id(commit) && self.0.run(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_ok()
    }

    /// Whether `part` is in the history of `whole`.
    fn contains(&self, whole: &str, part: &str) -> bool {
        self.0.run(&["merge-base", "--is-ancestor", part, whole]).is_ok()
    }

    /// The first commit of a history; of several, the one that git names last.
    fn root(&self, head: &str) -> GitlabResult<String> {
        let roots = self.0.run(&["rev-list", "--max-parents=0", head]).map_err(Error::from)?;
        let text = String::from_utf8_lossy(&roots).into_owned();
        Ok(text.lines().last().unwrap_or(head).to_owned())
    }
}
