//! The tokens that the GitLab setup created, or will create, for the trusted host.

use std::path::PathBuf;

use jiff::civil::Date;

use super::GitlabTarget;
use super::ci::Purpose;
use super::desired::Desired;
use super::keep::{AGENT_TOKEN, DESK_TOKEN, Keep, TokenMemory};
use super::lifetime::days_between;
use super::preflight::{facts, facts_of};
use super::resources::membership::needs_renewal;
use super::resources::{agent_token, ci_token, runner};
use crate::error::{Error, Result};
use crate::factory::Factory;
use crate::hand_over::{HandOver, Token};
use crate::plan::{Plan, StateDir};
use crate::secret::Secret;

/// When the agent's token ends, as it was made from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenLife {
    /// The day, from 0:00 UTC on which it does not work.
    pub ends: Date,
    /// Whether the next hand-off renews it: within a week of its end, or within half its life when that is shorter.
    pub is_due: bool,
}

/// What the hand-off of this factory made so far and `state` keeps.
///
/// # Errors
/// `Usage` when `gitlab.url` is no address that a token may be sent to, `Data` when what is kept is damaged.
pub fn hand_over(factory: &Factory, state: &StateDir) -> Result<HandOver> {
    let desired = Desired::new(factory, PathBuf::new()).map_err(Error::from)?;
    kept(&desired, &Keep::new(state.path(), desired.url()))
}

/// When the agent's token ends; none when it was not made from here.
///
/// # Errors
/// As [`hand_over`].
pub fn token_life(factory: &Factory, state: &StateDir) -> Result<Option<TokenLife>> {
    let desired = Desired::new(factory, PathBuf::new()).map_err(Error::from)?;
    let memory = Keep::new(state.path(), desired.url()).memory().map_err(Error::from)?;
    Ok(memory.agent.map(|token| {
        let life = token.made.map(|made| days_between(made, token.ends));
        TokenLife { ends: token.ends, is_due: needs_renewal(&desired.agent, life, Some(token.ends)) }
    }))
}

/// The files with passphrases of this factory's states that this machine has, those of an earlier project too.
///
/// # Errors
/// `Usage` when `gitlab.url` is no address that a token may be sent to, `Data` when the state folder cannot be read.
pub fn stored_passphrases(factory: &Factory, state: &StateDir) -> Result<Vec<PathBuf>> {
    let desired = Desired::new(factory, PathBuf::new()).map_err(Error::from)?;
    Keep::new(state.path(), desired.url()).passphrase_files().map_err(Error::from)
}

fn kept(desired: &Desired, keep: &Keep) -> Result<HandOver> {
    let secret = |name: &str| keep.secret(name).map_err(Error::from).map(Token::from);
    let runners = desired.runners.iter().map(|runner| {
        let name = runner.name.to_owned();
        secret(&Keep::runner_token(&name)).map(|token| (name, token))
    });
    Ok(HandOver {
        agent: secret(AGENT_TOKEN)?,
        desk: secret(DESK_TOKEN)?,
        account: keep.memory().map_err(Error::from)?.agent.map(|token| token.account),
        runners: runners.collect::<Result<_>>()?,
    })
}

impl GitlabTarget {
    /// The first of these runners of the hand-off's that GitLab does not show as online: its id and name.
    ///
    /// # Errors
    /// `Data` when what is kept is damaged; as every request, when GitLab does not answer.
    pub fn offline_runner(&self, names: &[&str]) -> Result<Option<(u64, String)>> {
        let memory = self.keep.memory().map_err(Error::from)?;
        for &name in names {
            let Some(id) = memory.runners.get(name) else { continue };
            let seen = runner::seen(&self.owner, *id).map_err(Error::from)?;
            if !seen.is_some_and(|seen| seen.is_online()) {
                return Ok(Some((*id, name.to_owned())));
            }
        }
        Ok(None)
    }

    /// The stored tokens of the agent and its desk that GitLab does not accept any more.
    ///
    /// # Errors
    /// `Data` when what is kept is damaged; as every request, when GitLab does not answer.
    pub fn refused(&self) -> Result<HandOver> {
        let HandOver { agent, desk, .. } = kept(&self.desired, &self.keep)?;
        let over = |token| match token {
            Token::Known(text) => facts(&self.owner, &text).map(|facts| facts.is_none().then_some(text).into()),
            _ => Ok(Token::Unknown),
        };
        let (agent, desk) = (over(agent).map_err(Error::from)?, over(desk).map_err(Error::from)?);
        Ok(HandOver { agent, desk, ..HandOver::default() })
    }

    /// Stores the tokens that the host has in the place of those, as far as GitLab accepts them. What GitLab says of them is compared later,
    /// like that of any other.
    ///
    /// # Errors
    /// `CannotWrite` when they cannot be stored.
    pub fn take_back(&self, renewed: &HandOver) -> Result<()> {
        let account = self.keep.memory().map_err(Error::from)?.agent.map(|token| token.account);
        for (name, token) in [(AGENT_TOKEN, &renewed.agent), (DESK_TOKEN, &renewed.desk)] {
            let Token::Known(claimed) = token else { continue };
            // An error could repeat it. The comparison that follows says what is wrong.
            let Ok(Some(facts)) = facts_of(&self.owner.with_claimed(claimed.clone())) else { continue };
            if name == AGENT_TOKEN {
                if account != Some(facts.user_id) {
                    continue;
                }
                let renew = |token: &mut TokenMemory| {
                    (token.made, token.ends) = (facts.made(), facts.expires_at.unwrap_or(token.ends));
                };
                self.keep.remember(|memory| memory.agent.iter_mut().for_each(renew)).map_err(Error::from)?;
            }
            self.keep.put_secret(name, &Secret::new(claimed.expose())).map_err(Error::from)?;
        }
        Ok(())
    }

    /// What there will be for the host once `plan` is applied.
    ///
    /// # Errors
    /// `Data` when what is kept is damaged.
    pub fn coming(&self, plan: &Plan) -> Result<HandOver> {
        let mut coming = kept(&self.desired, &self.keep)?;
        for change in &plan.changes {
            if change.kind() == agent_token::KIND {
                coming.agent = Token::Coming;
            }
            if change.id == format!("{}:{}", ci_token::KIND, Purpose::Desk.word()) {
                coming.desk = Token::Coming;
            }
            if let Some(name) = runner::makes_token(change) {
                coming.runners.insert(name.to_owned(), Token::Coming);
            }
        }
        Ok(coming)
    }
}
