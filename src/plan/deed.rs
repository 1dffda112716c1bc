//! The operations on a target.

use super::change::TargetName;

/// What is done to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Apply the state that `factory.toml` describes.
    Apply,
    /// Apply it to an existing control repo, as `factoryup upgrade` does.
    Upgrade {
        /// Into the work tree instead of onto a branch.
        in_place: bool,
        /// Whether a branch is pushed.
        push: bool,
    },
    /// Revert to the state before.
    Revert,
}

impl Deed {
    /// As in the type of an evidence statement.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            // An upgrade is no other deed to the record than the apply that makes the same commit.
            Self::Apply | Self::Upgrade { .. } => "apply",
            Self::Revert => "revert",
        }
    }

    /// The commands that show the plan, and that apply it without confirmation.
    /// No target means all of them.
    pub(super) fn commands(self, target: Option<TargetName>) -> [String; 2] {
        let target = target.map_or(String::new(), |target| format!(" {target}"));
        match self {
            Self::Apply => [format!("factoryup plan{target}"), format!("factoryup apply{target} --yes")],
            Self::Upgrade { in_place, push } => {
                let place = if in_place { " --in-place" } else { "" };
                let push = if push { "" } else { " --no-push" };
                [format!("factoryup upgrade{place} --dry-run --diff"), format!("factoryup upgrade{place}{push} --yes")]
            }
            Self::Revert => [format!("factoryup revert{target} --dry-run"), format!("factoryup revert{target} --yes")],
        }
    }
}
