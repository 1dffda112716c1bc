//! The two things that can be done to a target.

use super::change::TargetName;

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
    pub(super) fn commands(self, target: TargetName) -> [String; 2] {
        match self {
            Self::Apply => [format!("factoryup plan {target}"), format!("factoryup apply {target} --yes")],
            Self::Revert => {
                [format!("factoryup revert {target} --dry-run"), format!("factoryup revert {target} --yes")]
            }
        }
    }
}
