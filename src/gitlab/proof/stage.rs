//! What the attempts are made with: the tokens of the agent and of its desk, a separate repo, a branch and a merge request, and the clearing
//! away of all of it.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::attempts::{SCHEDULE, SCHEDULES};
use super::{AGENT, PREFIX};
use crate::error::{Error, Kind};
use crate::git::ObjectFormat;
use crate::git::remote::{self, Login, Pushed};
use crate::git::{Git, remote::push_with_options};
use crate::gitlab::anchor;
use crate::gitlab::ci::Purpose;
use crate::gitlab::client::Client;
use crate::gitlab::desired::AGENT_SCOPES;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::identity::{Account, Identity};
use crate::gitlab::preflight::days_from_now;
use crate::gitlab::resources::seed::{self, GIT_USER, is_object_id};
use crate::gitlab::resources::wanted_branch::PROPOSING;
use crate::gitlab::resources::{account, agent_token, ci_account, ci_token};
use crate::gitlab::roles::DEVELOPER;
use crate::gitlab::second_user;
use crate::gitlab::site::Site;
use crate::secret::Secret;

/// What the token with the scope `api` is called in GitLab.
const WIDE_NAME: &str = "factoryup proof, ended right after";
/// How many days it could live if nothing ended it. GitLab ends tokens at midnight, UTC: one day would be over for a run that goes on
/// from one day to the next.
const WIDE_DAYS: i64 = 2;
/// How often to look for a merge request that a push asked for.
const LOOKS: u32 = 8;
/// How the names of the proof's own CI/CD variables begin.
pub(super) const VARIABLE: &str = "FACTORYUP_PROOF_";
pub(super) const VARIABLES: &str = "/projects/:id/variables";
/// The pipeline's file.
pub(super) const PIPELINE: &str = ".gitlab-ci.yml";

/// See the [module](self).
pub(super) struct Stage<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) agent: Person,
    /// The account for the agent's issues and reviews, where there is one.
    pub(super) desk: Option<Person>,
    directory: TempDir,
    pub(super) git: Git,
    /// The proof's branch.
    pub(super) branch: String,
    /// The default branch's commit, before anything is tried.
    pub(super) tip: String,
    notes: Vec<String>,
}

/// Who attempts what is forbidden.
#[derive(Clone)]
pub(super) struct Person {
    /// As claims begin.
    pub(super) who: &'static str,
    pub(super) account: Account,
    /// What kind of account it is, and where.
    pub(super) home: Identity,
    /// Its role in the project.
    pub(super) level: u8,
    /// The scopes of its token.
    pub(super) scopes: &'static [&'static str],
    /// With its own token.
    pub(super) client: Client,
    /// With a token of scope `api`, if its own is narrower.
    wide: Option<Client>,
}

impl Person {
    /// A claim about the agent, about this person.
    pub(super) fn claim(&self, of_agent: &str) -> String {
        of_agent.replacen(AGENT, self.who, 1)
    }

    /// The one with the scope `api`, if it needs one.
    pub(super) fn wide(&self) -> Option<&Client> {
        self.wide.as_ref()
    }

    fn login(&self) -> Login<'_> {
        (GIT_USER, self.client.token())
    }
}

/// A merge request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MergeRequest {
    pub(super) iid: u64,
    source_branch: String,
}

#[derive(Deserialize)]
struct RefName {
    name: String,
}

#[derive(Deserialize)]
struct Named {
    key: String,
}

#[derive(Deserialize)]
struct Numbered {
    id: u64,
}

#[derive(Deserialize)]
struct Scheduled {
    id: u64,
    description: String,
}

impl<'a> Stage<'a> {
    /// Makes ready what costs nothing to leave behind.
    pub(super) fn set(site: &'a Site<'a>, agent: Client) -> GitlabResult<Self> {
        let agent = Person {
            who: AGENT,
            account: account::require(site)?,
            home: site.desired.agent.identity.clone(),
            level: DEVELOPER,
            scopes: &AGENT_SCOPES,
            client: agent,
            wide: None,
        };
        let (mut notes, mut at_desk) = (Vec::new(), None);
        if let Some((home, account)) = ci_account::existing(site, Purpose::Desk)? {
            let (who, level) = ("the agent's desk account", Purpose::Desk.level());
            match ci_token::desk(site)? {
                Some(client) => {
                    at_desk = Some(Person { who, account, home, level, scopes: &["api"], client, wide: None });
                }
                None => notes.push(format!("not tried, since its token is not in the state directory: {who}")),
            }
        }
        let tip = tip(site)?;
        let directory = crate::private::directory("factoryup-proof-").map_err(|e| {
            Error::new(Kind::CannotWrite, format!("cannot create a temporary directory: {e}"))
                .hint("free space in TMPDIR")
        })?;
        let git = Git::new(directory.path()).map_err(Error::from)?;
        let format = if tip.len() == 64 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        git.init("proof", format).map_err(Error::from)?;
        let number = getrandom::u32().map_err(|e| Error::internal(format!("no random number: {e}")))?;
        let branch = format!("{PREFIX}{number:08x}");
        Ok(Self { site, agent, desk: at_desk, directory, git, branch, tip, notes })
    }

    /// Makes what [`clear`](Self::clear) must remove.
    pub(super) fn begin(&mut self) -> GitlabResult<()> {
        self.still_known()?;
        self.end_strays()?;
        if self.site.desired.agent.identity == Identity::Given {
            self.agent.wide = second_user::for_proof(self.site.owner, &self.agent.account, self.site.handed)?;
            return Ok(());
        }
        let made = agent_token::mint(self.site, &self.agent.account, WIDE_NAME, &["api"], days_from_now(WIDE_DAYS));
        match made {
            Ok(made) => {
                let token = Secret::new(made.token);
                self.agent.wide = Some(self.agent.client.with_token(token, "the agent's account with the scope api"));
            }
            // Without it, each attempt for which it is needed says so.
            Err(error) if error.status().is_some() || error.is_foreign() => self.note(Error::from(error).to_string()),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What to do where there is no token with the scope `api`.
    pub(super) fn without_wide(&self) -> String {
        match self.site.desired.agent.identity {
            Identity::Given => second_user::without_proof_token(self.site.desired),
            _ => "could not create a token of its account with the scope api".into(),
        }
    }

    /// Ends the wide tokens of proofs that were cut. Their texts are lost, but rotating one gives a text to end it with.
    fn end_strays(&self) -> GitlabResult<()> {
        let account = &self.agent.account;
        for token in agent_token::list(self.site, account)?.iter().filter(|t| t.active && t.name == WIDE_NAME) {
            let made = agent_token::rotate(self.site, account, token.id, days_from_now(WIDE_DAYS))?;
            let stray = self.agent.client.with_token(Secret::new(made.token), "the agent's account with the scope api");
            stray.delete(&Call::delete("/personal_access_tokens/self", &[]))?;
        }
        Ok(())
    }

    /// Sees that GitLab knows all tokens, so that a refusal is one of the person.
    pub(super) fn still_known(&self) -> GitlabResult<()> {
        let desk = self.desk.as_ref().map(|desk| &desk.client);
        for client in [Some(&self.agent.client), self.agent.wide(), desk].into_iter().flatten() {
            client.fetch::<serde::de::IgnoredAny>(&Call::get("/personal_access_tokens/self", &[]))?;
        }
        Ok(())
    }

    /// Fetches the default branch as the agent.
    pub(super) fn fetch(&self) -> crate::Result<()> {
        let refspec = format!("+refs/heads/{}:refs/heads/base", self.site.desired.branch);
        remote::fetch(self.path(), &self.site.desired.git_url(), &refspec, self.agent.login())
    }

    /// Pushes as the agent.
    pub(super) fn push(&self, refspec: &str, options: &[&str]) -> crate::Result<Pushed> {
        self.push_as(&self.agent, refspec, options)
    }

    /// Pushes as that person.
    pub(super) fn push_as(&self, person: &Person, refspec: &str, options: &[&str]) -> crate::Result<Pushed> {
        push_with_options(self.path(), &self.site.desired.git_url(), refspec, options, person.login())
    }

    /// Pushes as the owner, to take back what went through.
    pub(super) fn push_as_owner(&self, refspec: &str) -> crate::Result<Pushed> {
        remote::push(self.path(), &self.site.desired.git_url(), refspec, (GIT_USER, self.site.owner.token()))
    }

    /// The merge request that the push of the proof's branch asked for.
    pub(super) fn merge_request(&self) -> GitlabResult<Option<MergeRequest>> {
        self.merge_request_of(&self.branch)
    }

    /// The merge request that the push of this branch asked for.
    pub(super) fn merge_request_of(&self, branch: &str) -> GitlabResult<Option<MergeRequest>> {
        let call = Call::get("/projects/:id/merge_requests", &[&self.site.id])
            .query("source_branch", branch)
            .query("state", "opened");
        for look in 0..LOOKS {
            std::thread::sleep(Duration::from_millis(150) * look);
            let mut found: Vec<MergeRequest> = self.site.owner.list(&call)?;
            if let Some(request) = found.pop() {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    /// Remembers something that the owner must hear of.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// What the owner must hear of.
    pub(super) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Removes every branch, tag, schedule, pipeline, CI/CD variable and merge request of this and earlier proofs, and ends the wide token, whatever
    /// happened before.
    pub(super) fn clear(&mut self) -> GitlabResult<()> {
        let ended = match self.agent.wide.take() {
            Some(wide) => wide.delete(&Call::delete("/personal_access_tokens/self", &[])),
            None => Ok(()),
        };
        if ended.is_err() {
            let username = &self.site.desired.agent.username;
            self.note(format!("could not revoke a token of {username} with the scope api; it expires in two days"));
        }
        let (variables, branches) = (self.clear_variables(), self.clear_branches());
        let (tags, schedules) = (self.clear_tags(), self.clear_schedules());
        variables.and(branches).and(tags).and(schedules).and(ended)
    }

    fn clear_variables(&self) -> GitlabResult<()> {
        let all: Vec<Named> = self.site.owner.list(&Call::get(VARIABLES, &[&self.site.id]))?;
        for variable in all.iter().filter(|variable| variable.key.starts_with(VARIABLE)) {
            self.site.owner.delete(&Call::delete("/projects/:id/variables/:key", &[&self.site.id, &variable.key]))?;
        }
        Ok(())
    }

    /// Those of one branch, also those that `ci.skip` skipped.
    fn clear_pipelines(&mut self, branch: &str) -> GitlabResult<()> {
        let call = Call::get("/projects/:id/pipelines", &[&self.site.id]).query("ref", branch);
        let all: Vec<Numbered> = self.site.owner.list(&call)?;
        for pipeline in all {
            let values: [&dyn std::fmt::Display; 2] = [&self.site.id, &pipeline.id];
            let deleted = self.site.owner.attempt(&Call::delete(ONE_PIPELINE, &values), None)?;
            if !deleted.is_success() {
                // Only Owners delete pipelines; a Maintainer cancels them.
                self.site.owner.attempt(&Call::post("/projects/:id/pipelines/:pipeline_id/cancel", &values), None)?;
                self.note(
                    "pipelines of the policy checks stay, canceled: only an Owner of the project may delete pipelines",
                );
            }
        }
        Ok(())
    }

    /// Those of the proof, which never came due.
    fn clear_schedules(&self) -> GitlabResult<()> {
        let all: Vec<Scheduled> = self.site.owner.list(&Call::get(SCHEDULES, &[&self.site.id]))?;
        for schedule in all.iter().filter(|schedule| schedule.description.starts_with(PREFIX)) {
            self.site.owner.delete(&Call::delete(SCHEDULE, &[&self.site.id, &schedule.id]))?;
        }
        Ok(())
    }

    /// Those of the proof that look like anchors of the evidence log.
    fn clear_tags(&self) -> GitlabResult<()> {
        let begin = format!("{}{PREFIX}", anchor::prefix());
        let call = Call::get(anchor::TAGS, &[&self.site.id]).query("search", format!("^{begin}"));
        let all: Vec<RefName> = self.site.owner.list(&call)?;
        for tag in all.iter().filter(|tag| tag.name.starts_with(&begin)) {
            let call = Call::delete("/projects/:id/repository/tags/:tag_name", &[&self.site.id, &tag.name]);
            self.site.owner.delete(&call)?;
        }
        Ok(())
    }

    /// Those of one branch: the agent can have as many others as it likes.
    fn clear_merge_requests(&self, branch: &str) -> GitlabResult<()> {
        let call = Call::get("/projects/:id/merge_requests", &[&self.site.id]).query("state", "opened");
        let all: Vec<MergeRequest> = self.site.owner.list(&call.query("source_branch", branch))?;
        for request in all.iter().filter(|request| request.source_branch == branch) {
            let values: [&dyn std::fmt::Display; 2] = [&self.site.id, &request.iid];
            // Only owners delete merge requests; a Maintainer closes them.
            let deleted = self.site.owner.attempt(&Call::delete(ONE_REQUEST, &values), None)?;
            if !deleted.is_success() {
                self.site.owner.send(&Call::put(ONE_REQUEST, &values), &json!({ "state_event": "close" }))?;
            }
        }
        Ok(())
    }

    fn clear_branches(&mut self) -> GitlabResult<()> {
        let call = Call::get("/projects/:id/repository/branches", &[&self.site.id]).query("search", PREFIX);
        let all: Vec<RefName> = self.site.owner.list(&call)?;
        let own = |name: &str| name.strip_prefix(PROPOSING).unwrap_or(name).starts_with(PREFIX);
        for branch in all.iter().filter(|branch| own(&branch.name)) {
            self.clear_merge_requests(&branch.name)?;
            self.clear_pipelines(&branch.name)?;
            let call = Call::delete("/projects/:id/repository/branches/:branch", &[&self.site.id, &branch.name]);
            self.site.owner.delete(&call)?;
        }
        Ok(())
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

const ONE_PIPELINE: &str = "/projects/:id/pipelines/:pipeline_id";
const ONE_REQUEST: &str = "/projects/:id/merge_requests/:merge_request_iid";

/// The default branch's commit now.
pub(super) fn tip(site: &Site<'_>) -> GitlabResult<String> {
    let branch =
        seed::branch(site.owner, site.desired, site.id)?.map(|branch| branch.commit.id).filter(|id| is_object_id(id));
    branch.ok_or_else(|| {
        Error::new(Kind::CutShort, format!("{} has no branch {}", site.desired.url(), site.desired.branch))
            .hint("push it: factoryup apply gitlab")
            .into()
    })
}
