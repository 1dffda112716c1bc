//! What the hand-off makes for the trusted host: the agent's token, and those of the runners that run there.
//!
//! GitLab shows a token once. The gitlab target keeps it in the state folder, the host target brings it to where it is used, and
//! neither knows the other: this is the word between them. It is in memory only.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// A token, as far as it is known here.
#[derive(Clone, Debug, Default)]
pub enum Token {
    /// There is none on this machine: none was made, or it was made from another machine.
    #[default]
    Unknown,
    /// The hand-off is about to make one, whatever is there now.
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

/// All of it.
#[derive(Clone, Debug, Default)]
pub struct HandOver {
    /// The agent's token.
    pub agent: Token,
    /// The number of the agent's account in GitLab, which its mail address holds.
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

    /// Whether the host would be given the same.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let same_runners = self.runners.len() == other.runners.len()
            && self.runners.iter().all(|(name, token)| token.is(&other.runner(name)));
        self.agent.is(&other.agent) && self.account == other.account && same_runners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_token_is_news() {
        let with = |agent: &str, runner: Option<&str>| HandOver {
            agent: Token::Known(Secret::new(agent)),
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
