//! What GitLab says of the factory at this moment, each part by itself, so that one that cannot be read hides no other.

use jiff::civil::Date;
use serde::Deserialize;

use super::GitlabTarget;
use super::ci::{PASSPHRASE, Place, Purpose, SIGNING_KEY};
use super::error::GitlabResult;
use super::http::Call;
use super::identity::Identity;
use super::keep::AGENT_TOKEN;
use super::pipeline::{Pipeline, newest};
use super::preflight::{TokenFacts, facts, today};
use super::resources::{agent_token, ci_account, ci_token, ci_variable, project, readers, runner, seed};
use super::site::Site;
use crate::dialog::plain;
use crate::error::{Error, Result};

/// How the branch begins with which `scripts/infra` of the control repo proposes the checksums of providers.
const LOCKS: &str = "factory/provider-locks-";

/// The project, as GitLab has it now.
#[derive(Debug)]
pub struct Now {
    /// Whether Premium's calls work; none if `factory.toml` does not ask for them.
    pub licensed: Option<bool>,
    /// The commit of its default branch; none while it is empty.
    pub head: Option<String>,
    /// How the control repo here differs from that; nothing if it is the same.
    pub pushed: Result<Option<seed::Apart>>,
    /// The newest pipeline of that commit.
    pub pipeline: Result<Option<Pipeline>>,
    /// Each runner of the factory.
    pub runners: Result<Vec<RunnerNow>>,
    /// The agent's account in words; none if there is none.
    pub agent: Result<Option<String>>,
    /// The owner's token and those of the agent.
    pub tokens: Result<Vec<TokenNow>>,
    /// The CI/CD variables that jobs lack, of those that were asked for.
    pub missing: Result<Vec<Missing>>,
    /// The merge requests that factoryup opened and that wait for the owner.
    pub proposals: Result<Vec<Proposed>>,
    /// Which of CI's accounts factoryup cannot make here, and why; which variables it cannot read.
    pub remarks: Vec<String>,
}

/// A merge request of factoryup's that is open.
#[derive(Debug, Deserialize)]
pub struct Proposed {
    /// Its title.
    pub title: String,
    /// Its page.
    pub web_url: String,
    source_branch: String,
    source_project_id: Option<u64>,
    author: Author,
}

#[derive(Debug, Deserialize)]
struct Author {
    username: String,
}

/// A CI/CD variable that jobs lack.
#[derive(Debug)]
pub struct Missing {
    /// The variable.
    pub place: Place,
    /// Whether the next apply does not create it.
    pub is_by_hand: bool,
}

/// A runner, as GitLab has it now.
#[derive(Debug)]
pub struct RunnerNow {
    /// `trusted` or `untrusted`.
    pub name: &'static str,
    /// Whether GitLab has heard from it in the last two hours.
    pub is_online: bool,
    /// GitLab's word for its state; `missing` if there is none.
    pub state: String,
    /// When GitLab last heard from it.
    pub contacted_at: Option<String>,
}

/// A token that works.
#[derive(Debug)]
pub struct TokenNow {
    /// Whose it is.
    pub whose: String,
    /// What it is called in GitLab.
    pub name: String,
    /// The day on which it ends, at 0:00 UTC.
    pub ends: Option<Date>,
    /// How many days that is from today.
    pub days: Option<i32>,
    /// Whether it is in use, and has to be renewed now.
    pub is_due: bool,
    /// Who renews it.
    pub renewer: Renewer,
}

/// Who renews a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewer {
    /// The next apply.
    Apply,
    /// The owner, who set all of the variables of a CI account.
    Owner,
    /// The person who made the agent's account and hands over its tokens.
    Person,
}

impl TokenNow {
    fn of(whose: &str, token: &TokenFacts, is_due: bool) -> Self {
        let days = token.expires_at.and_then(|end| Some(today().until(end).ok()?.get_days()));
        let (whose, name) = (whose.to_owned(), plain(&token.name));
        Self { whose, name, ends: token.expires_at, days, is_due, renewer: Renewer::Apply }
    }
}

impl GitlabTarget {
    /// GitLab's version. The first call of all, which says whether GitLab answers and accepts the token.
    ///
    /// # Errors
    /// As [`observe`](crate::plan::Target::observe).
    pub fn version(&mut self) -> Result<String> {
        Ok(self.facts().map_err(Error::from)?.version)
    }

    /// The project now; none if it does not exist. `wanted` are the CI/CD variables that jobs need.
    ///
    /// # Errors
    /// Of the calls that all others need.
    pub fn now(&mut self, wanted: Vec<Place>) -> Result<Option<Now>> {
        self.look_now(wanted).map_err(Error::from)
    }

    fn look_now(&mut self, wanted: Vec<Place>) -> GitlabResult<Option<Now>> {
        let Some(found) = project::read(&self.owner, &self.desired)? else { return Ok(None) };
        self.identify(Some(&found), false)?;
        let (premium, unlicensed) = self.premium(&found)?;
        let site = Site::new(&self.desired, &self.owner, &self.keep, premium, &self.handed, found);
        let head = self.head(site.id)?.map(|branch| branch.commit.id);
        let commit = head.as_deref();
        let pipeline = || commit.map_or(Ok(None), |commit| newest(&self.owner, site.id, &self.desired.branch, commit));
        let (missing, remarks) = match missing(&site, wanted) {
            Ok((missing, remarks)) => (Ok(missing), remarks),
            Err(error) => (Err(Error::from(error)), Vec::new()),
        };
        Ok(Some(Now {
            licensed: (premium || unlicensed.is_some()).then_some(premium),
            pushed: commit.map_or(Ok(None), |commit| seed::differs(&site, commit)).map_err(Error::from),
            pipeline: pipeline().map_err(Error::from),
            runners: runners(&site).map_err(Error::from),
            agent: agent(&site).map_err(Error::from),
            tokens: tokens(&site).map_err(Error::from),
            missing,
            proposals: proposals(&site).map_err(Error::from),
            remarks,
            head,
        }))
    }
}

/// The variables that jobs lack, and what the owner should know about them.
fn missing(site: &Site<'_>, wanted: Vec<Place>) -> GitlabResult<(Vec<Missing>, Vec<String>)> {
    let (mut all, mut remarks) = (Vec::new(), Vec::new());
    for place in site.variables()?.missing(wanted) {
        let purpose = Purpose::ALL.into_iter().find(|purpose| purpose.key() == Some(place.key));
        let is_made = match purpose {
            Some(purpose) => ci_account::home(site, purpose)?.is_some(),
            None if place.key == PASSPHRASE => {
                let obstacle = ci_variable::obstacle(site, &place)?;
                remarks.extend(obstacle.as_ref().map(|why| ci_variable::left(&place, why)));
                obstacle.is_none()
            }
            None => place.key == SIGNING_KEY,
        };
        all.push(Missing { is_by_hand: !is_made, place });
    }
    remarks.extend(ci_account::deferred(site)?);
    Ok((all, remarks))
}

/// What the hand-off and the first pipeline propose; `factoryup upgrade` shows its own. A fork can give a branch any name, and before such
/// branches were protected the agent could.
fn proposals(site: &Site<'_>) -> GitlabResult<Vec<Proposed>> {
    let call = Call::get("/projects/:id/merge_requests", &[&site.id]).query("state", "opened");
    let mut all: Vec<Proposed> = site.owner.list(&call.query("target_branch", &site.desired.branch))?;
    all.retain(|one| {
        [readers::BRANCH, LOCKS].iter().any(|branch| one.source_branch.starts_with(branch))
            && one.source_project_id == Some(site.id)
            && !one.author.username.eq_ignore_ascii_case(&site.desired.agent.username)
    });
    for one in &mut all {
        (one.title, one.web_url) = (plain(&one.title), plain(&one.web_url));
    }
    Ok(all)
}

fn runners(site: &Site<'_>) -> GitlabResult<Vec<RunnerNow>> {
    let found = runner::ours(site)?;
    let now = |(name, seen): (&'static str, Option<runner::Seen>)| RunnerNow {
        name,
        is_online: seen.as_ref().is_some_and(runner::Seen::is_online),
        state: seen.as_ref().map_or_else(|| "missing".into(), |seen| plain(seen.state())),
        contacted_at: seen.and_then(|seen| seen.contacted_at).map(|at| plain(&at)),
    };
    Ok(found.into_iter().map(now).collect())
}

fn agent(site: &Site<'_>) -> GitlabResult<Option<String>> {
    let agent = &site.desired.agent;
    Ok(site.account()?.map(|account| agent.identity.words(&plain(&account.username))))
}

/// The owner's own token, then those of the agent that work. Of an agent that a person made only the kept one is seen.
fn tokens(site: &Site<'_>) -> GitlabResult<Vec<TokenNow>> {
    let owner: TokenFacts = site.owner.fetch(&Call::get("/personal_access_tokens/self", &[]))?;
    // It is only for the set-up, so that its end is nothing to do.
    let mut all = vec![TokenNow::of("you", &owner, false)];
    all.extend(of_ci(site)?);
    let Some(account) = site.account()? else { return Ok(all) };
    let kept = site.keep.secret(AGENT_TOKEN)?.map_or(Ok(None), |token| facts(site.owner, &token))?;
    let mut listed = match agent_token::list(site, &account) {
        Err(error) if matches!(error.status(), Some(403 | 404)) => Vec::new(),
        listed => listed?,
    };
    if listed.is_empty() {
        listed.extend(kept.clone());
    }
    let wanted = &site.desired.agent;
    // Another one of the agent's may end: factoryup does not renew it.
    let is_due = |token: &TokenFacts| {
        kept.as_ref().is_some_and(|kept| kept.id == token.id) && agent_token::is_due(wanted, token)
    };
    let working = listed.iter().filter(|token| token.active);
    let renewer = if wanted.identity == Identity::Given { Renewer::Person } else { Renewer::Apply };
    all.extend(working.map(|token| TokenNow { renewer, ..TokenNow::of(&wanted.username, token, is_due(token)) }));
    Ok(all)
}

/// The tokens of CI's accounts, also of one whose variables the owner has set since.
fn of_ci(site: &Site<'_>) -> GitlabResult<Vec<TokenNow>> {
    let mut all = Vec::new();
    for purpose in Purpose::ALL {
        let Some((home, account)) = ci_account::existing(site, purpose)? else { continue };
        let tokens = ci_token::ours(site, purpose, &home, &account)?;
        let is_renewed = ci_token::is_renewed(site, purpose)?;
        let now = |token: &TokenFacts| TokenNow {
            renewer: if is_renewed { Renewer::Apply } else { Renewer::Owner },
            ..TokenNow::of(&account.username, token, is_renewed && ci_token::is_due(site.desired, purpose, token))
        };
        all.extend(tokens.iter().map(now));
    }
    Ok(all)
}
