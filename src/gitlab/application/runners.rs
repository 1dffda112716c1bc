//! The runners of an application's project. What a person made by hand counts as well, if it takes the jobs that it must.

use super::Application;
use crate::dialog::plain;
use crate::error::{Error, Kind, Result};
use crate::gitlab::desired;
use crate::gitlab::http::Call;
use crate::gitlab::resources::runner::{self, Listed, Seen};
use crate::secret::Secret;

/// A kind of runner that an application has on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppRunnerKind {
    /// Deploys.
    Trusted,
    /// Builds.
    Build,
    /// Runs code that was not reviewed, in containers.
    Untrusted,
}

impl AppRunnerKind {
    /// What `factory-runner` on the host calls it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Build => "build",
            Self::Untrusted => "untrusted",
        }
    }

    /// The tag of its jobs, as the components of the control repo name it.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Build => "trusted-build",
            Self::Untrusted => "untrusted",
        }
    }

    fn wanted(self, application: &str) -> desired::Runner {
        let is_untrusted = self == Self::Untrusted;
        desired::Runner {
            name: self.tag(),
            tags: vec![self.tag().into()],
            description: format!("factoryup {application}: {}", self.tag()),
            protected: !is_untrusted,
            untagged: is_untrusted,
        }
    }

    /// Why a runner with its tag may not do its work, if so.
    fn objection(self, seen: &Seen) -> Option<&'static str> {
        match (self, seen.is_protected()) {
            (Self::Untrusted, true) => Some("takes jobs of protected branches only"),
            (Self::Untrusted, false) => None,
            (_, false) => Some("takes jobs of branches that are not protected"),
            (_, true) if seen.run_untagged => Some("takes jobs without tags"),
            (_, true) => None,
        }
    }
}

/// A runner that an application needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppRunner {
    /// Its kind.
    pub kind: AppRunnerKind,
    /// What GitLab says of it.
    pub state: RunnerState,
}

/// How a runner is in GitLab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerState {
    /// There is none.
    Missing,
    /// factoryup created this one, and it never spoke to GitLab: its token was shown once, and is lost.
    Unused(u64),
    /// It spoke to GitLab once.
    Offline {
        /// Its number.
        id: u64,
        /// GitLab's word for its state.
        state: String,
    },
    /// It speaks to GitLab.
    Online(u64),
}

impl Application<'_> {
    /// How each of these runners is.
    ///
    /// # Errors
    /// `Data` if a runner has the tag and takes other jobs as well; of the calls.
    pub fn runners(&self, project: u64, kinds: &[AppRunnerKind]) -> Result<Vec<AppRunner>> {
        let owner = &self.gitlab.owner;
        let mut all = Vec::new();
        for listed in runner::list(owner, project)? {
            let seen = runner::seen(owner, listed.id)?;
            all.extend(seen.map(|seen| (listed, seen)));
        }
        kinds.iter().map(|kind| Ok(AppRunner { kind: *kind, state: self.state(*kind, &all)? })).collect()
    }

    fn state(&self, kind: AppRunnerKind, all: &[(Listed, Seen)]) -> Result<RunnerState> {
        let of_kind = || all.iter().filter(|(_, seen)| seen.tag_list.iter().any(|tag| tag == kind.tag()));
        if let Some((listed, why)) = of_kind().find_map(|(listed, seen)| Some((listed, kind.objection(seen)?))) {
            let text = format!(
                "the runner {} ({}) of {} has the tag {} and {why}",
                listed.id,
                plain(listed.description.as_deref().unwrap_or_default()),
                self.url(),
                kind.tag()
            );
            return Err(Error::data(text)
                .hint(format!("delete it: {}/-/settings/ci_cd#js-runners-settings", self.url()))
                .hint("then run the command again; it creates the right one"));
        }
        let ours = kind.wanted(&self.name).description;
        let online = of_kind().find(|(_, seen)| seen.is_online()).map(|(listed, _)| RunnerState::Online(listed.id));
        let spoke = || of_kind().find(|(_, seen)| seen.contacted_at.is_some());
        let offline =
            || spoke().map(|(listed, seen)| RunnerState::Offline { id: listed.id, state: plain(seen.state()) });
        let unused = || of_kind().find(|(listed, _)| listed.description.as_deref() == Some(&ours));
        let unused = || unused().map(|(listed, _)| RunnerState::Unused(listed.id));
        Ok(online.or_else(offline).or_else(unused).unwrap_or(RunnerState::Missing))
    }

    /// Creates a runner, in place of one whose token is lost. Returns its token, which GitLab shows this once.
    ///
    /// # Errors
    /// `CutShort` if the lost one was used in the meantime; of the calls.
    pub fn make_runner(&self, project: u64, kind: AppRunnerKind, lost: Option<u64>) -> Result<Secret> {
        let owner = &self.gitlab.owner;
        if let Some(lost) = lost {
            if runner::seen(owner, lost)?.is_some_and(|seen| seen.contacted_at.is_some()) {
                let text = format!("the runner {lost} of {} was started by another command", self.url());
                return Err(Error::new(Kind::CutShort, text).hint("run the command again"));
            }
            owner.delete(&Call::delete(runner::ONE, &[&lost]))?;
        }
        let (_, token) = runner::make(owner, project, &kind.wanted(&self.name))?;
        Ok(Secret::new(token))
    }
}
