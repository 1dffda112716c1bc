//! Finds GitLab tokens: the owner's, and those of a manually created agent.

use super::Workspace;
use crate::error::{Error, Result};
use crate::gitlab::{AGENT_PROOF_TOKEN, AGENT_TOKEN, AgentTokens, GitlabTarget};
use crate::secret::Secret;
use crate::wizard::discover::{Surroundings, agent_token, gitlab_token, token_for_another_instance};

impl Workspace<'_> {
    /// The owner's GitLab token: from the file that was named, from where tokens are found, or asked for. Found once.
    ///
    /// # Errors
    /// `Usage` if there is none and no terminal to ask on.
    pub fn owner_token(&self) -> Result<Secret> {
        let token = self.token.get().cloned().map_or_else(|| self.find_token(), Ok)?;
        crate::repo::failpoint::reached("owner-token");
        Ok(self.token.get_or_init(|| token).clone())
    }

    /// The target, with the tokens of an agent whom a person made, if there are any.
    pub(super) fn agent_of(&self, target: GitlabTarget) -> Result<GitlabTarget> {
        let surroundings = Surroundings::here(&self.dir);
        let found = |name: &str| agent_token(&surroundings, name);
        Ok(target.with_agent(AgentTokens { own: found(AGENT_TOKEN)?, proof: found(AGENT_PROOF_TOKEN)? }))
    }

    /// The owner's GitLab token, if it is found without a question.
    ///
    /// # Errors
    /// As [`owner_token`](Self::owner_token), if what was named cannot be read.
    pub(super) fn token_at_hand(&self) -> Result<Option<Secret>> {
        if let Some(path) = &self.keys.gitlab_token_file {
            return Secret::from_file(path).map(Some);
        }
        let found = gitlab_token(&Surroundings::here(&self.dir), &self.factory.gitlab.url)?;
        Ok(found.map(|(token, place)| {
            self.watch.note(&format!("using the GitLab token from {place}"));
            token
        }))
    }

    fn find_token(&self) -> Result<Secret> {
        if let Some(token) = self.token_at_hand()? {
            return Ok(token);
        }
        let url = &self.factory.gitlab.url;
        let surroundings = Surroundings::here(&self.dir);
        let page = format!("{url}/-/user_settings/personal_access_tokens?name=factoryup&scopes=api");
        if self.watch.is_interactive() {
            self.watch.note(&format!("create a token at {page}"));
            return self.watch.secret(&format!("GitLab token of a group Owner for {url}, with the scope api"));
        }
        let error = Error::usage(format!("no GitLab token for {url}"));
        let error = match token_for_another_instance(&surroundings, url) {
            Some(why) => error.hint(why),
            None => error,
        };
        Err(error
            .hint("set FACTORYUP_GITLAB_TOKEN, or pass --gitlab-token-file FILE")
            .hint(format!("or create one with the scope api: {page}")))
    }
}
