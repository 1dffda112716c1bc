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
    },
    /// Publish an application, as `factoryup app publish` does.
    Publish,
    /// Revert to the state before.
    Revert,
}

impl Deed {
    /// As in the type of an evidence statement.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            // An upgrade is no other deed to the record than the apply that makes the same commit.
            Self::Apply | Self::Upgrade { .. } | Self::Publish => "apply",
            Self::Revert => "revert",
        }
    }

    /// The command that only shows the plan, if there is one. No target means all of them.
    pub(super) fn show(self, target: Option<TargetName>) -> Option<String> {
        let target = target.map_or(String::new(), |target| format!(" {target}"));
        Some(match self {
            Self::Apply => format!("factoryup plan{target}"),
            Self::Upgrade { in_place } => {
                format!("factoryup upgrade{} --dry-run --diff", if in_place { " --in-place" } else { "" })
            }
            Self::Publish => return None,
            Self::Revert => format!("factoryup revert{target} --dry-run"),
        })
    }
}
