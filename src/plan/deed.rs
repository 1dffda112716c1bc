//! The two things that can be done to a target.

/// What is done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is brought to the state that `factory.toml` describes.
    Apply,
    /// It is brought back to the state before.
    Revert,
}

impl Deed {
    /// As in the type of an evidence statement.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Revert => "revert",
        }
    }

    /// What shows the plan, and what carries it out without asking.
    pub(super) fn commands(self) -> [&'static str; 2] {
        match self {
            Self::Apply => ["factoryup plan", "factoryup apply --yes"],
            Self::Revert => ["factoryup revert host --dry-run", "factoryup revert host --yes"],
        }
    }
}
