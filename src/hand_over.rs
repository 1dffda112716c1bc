//! What the GitLab setup creates for the trusted host: the tokens of the agent and of the runners on the host.
//!
//! GitLab shows a token once. The gitlab target keeps it in the state directory, and the host target copies it to where it is used.
//! Neither target knows the other: these types pass the tokens between them, in memory only.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// A token, as far as it is known here.
#[derive(Clone, Debug, Default)]
pub enum Token {
    /// This machine has none: it was not created, or it was created from another machine.
    #[default]
    Unknown,
    /// The GitLab setup is about to create one, regardless of any existing one.
    Coming,
    /// This one.
    Known(Secret),
}

impl Token {
    /// The same text, or none both times.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Known(one), Self::Known(two)) => one.expose() == two.expose(),
            (Self::Unknown, Self::Unknown) | (Self::Coming, Self::Coming) => true,
            _ => false,
        }
    }
}

impl From<Option<Secret>> for Token {
    fn from(secret: Option<Secret>) -> Self {
        secret.map_or(Self::Unknown, Self::Known)
    }
}

/// All tokens for the host.
#[derive(Clone, Debug, Default)]
pub struct HandOver {
    /// The agent's token.
    pub agent: Token,
    /// The token for the agent's issues and reviews. Unknown also where GitLab has no such account.
    pub desk: Token,
    /// The number of the agent's account in GitLab, which is part of its mail address.
    pub account: Option<u64>,
    /// The runners' tokens, by the runner's name: `trusted` or `untrusted`.
    pub runners: BTreeMap<String, Token>,
}

impl HandOver {
    /// A runner's token.
    #[must_use]
    pub fn runner(&self, name: &str) -> Token {
        self.runners.get(name).cloned().unwrap_or_default()
    }

    /// Whether the host would receive the same tokens.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let same_runners = self.runners.len() == other.runners.len()
            && self.runners.iter().all(|(name, token)| token.is(&other.runner(name)));
        self.agent.is(&other.agent) && self.desk.is(&other.desk) && self.account == other.account && same_runners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_token_is_news() {
        let with = |agent: &str, runner: Option<&str>| HandOver {
            agent: Token::Known(Secret::new(agent)),
            desk: Token::Known(Secret::new(agent)),
            account: Some(1),
            runners: [("trusted".to_owned(), runner.map(Secret::new).into())].into(),
        };
        assert!(with("a", Some("r")).is(&with("a", Some("r"))));
        assert!(!with("a", Some("r")).is(&with("b", Some("r"))));
        assert!(!with("a", Some("r")).is(&with("a", None)));
        assert!(!with("a", None).is(&HandOver::default()));
        assert!(!format!("{:?}", with("hunter2", Some("hunter2"))).contains("hunter2"));
    }
}
