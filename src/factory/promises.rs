//! What GitLab enforces on each tier: the one list from which the reference of `gitlab.tier`, the control repo's page on policies and
//! `status` come. What is not in it is no promise of a tier.
//!
//! Each entry names what the policy checks try. Tests of the gitlab target compare the list with the checks on each tier, in both directions.

use std::fmt::Write as _;

use super::Tier;

/// Something that GitLab enforces.
#[derive(Clone, Copy, Debug)]
pub struct Promise {
    /// What holds.
    pub holds: &'static str,
    /// What is set in GitLab for it.
    pub by: &'static str,
    /// Whether it takes Premium or Ultimate. For factoryup the two are the same.
    pub licensed: bool,
    /// The claims of the policy checks, for a default branch `main` and an environment `production`. One that ends with `…` goes on.
    pub tried: &'static [&'static str],
}

const fn free(holds: &'static str, by: &'static str, tried: &'static [&'static str]) -> Promise {
    Promise { holds, by, licensed: false, tried }
}

const fn licensed(holds: &'static str, by: &'static str, tried: &'static [&'static str]) -> Promise {
    Promise { licensed: true, ..free(holds, by, tried) }
}

/// What GitLab enforces, of every tier. A claim about the agent is tried as the agent's desk account too, if there is one.
pub const PROMISES: &[Promise] = &[
    free(
        "The agent can work",
        "its role Developer",
        &[
            "the pipeline of main is valid",
            "the agent can read the control repo",
            "the agent can push a branch and open a merge request",
        ],
    ),
    free(
        "The default branch changes only through merge requests",
        "branch protection: no one pushes, no force push",
        &[
            "the agent cannot push to main",
            "the agent cannot rewrite main",
            "the agent cannot delete main",
            "the agent cannot commit to main by API",
            "the agent cannot unprotect main",
        ],
    ),
    free(
        "What factoryup proposes is what factoryup wrote",
        "branch protection: only Maintainers push to factory/*",
        &["the agent cannot push to a branch that factoryup proposes from"],
    ),
    free("Only Maintainers merge", "branch protection", &["the agent cannot merge into main"]),
    free(
        "Only Maintainers create release tags and anchors of the evidence log",
        "tag protection",
        &[
            "the agent cannot create a release tag",
            "the agent cannot create an anchor of the evidence log",
            "the agent cannot move an anchor of the evidence log",
            "the agent cannot delete an anchor of the evidence log",
        ],
    ),
    free(
        "Only Maintainers start pipelines and jobs of the default branch",
        "branch protection",
        &[
            "the agent cannot start a pipeline on main",
            "the agent cannot schedule pipelines on main",
            "the agent cannot change a schedule of yours",
            "the agent cannot start the job …",
        ],
    ),
    free(
        "The agent reads no secret",
        "its role Developer",
        &["the agent cannot read CI/CD variables", "the agent cannot read the owner's token"],
    ),
    free(
        "A job of an unprotected branch gets no protected variable and no trusted runner",
        "protected variables; a protected runner",
        &[
            "the agent cannot run a job on the trusted runner from a branch",
            "the agent cannot read a protected variable in a pipeline of a branch",
        ],
    ),
    free(
        "Only Maintainers download a stored plan",
        "`artifacts:access` in the pipeline",
        &["the agent cannot download a stored plan"],
    ),
    free(
        "The agent changes no setting, and gets no other access",
        "its role Developer",
        &[
            "the agent cannot change the project's settings",
            "the agent cannot change the job token allowlist",
            "the agent cannot add a deploy key",
            "the agent cannot register a runner",
            "the agent cannot create a project access token",
            "the agent cannot create another token for itself",
            "the agent cannot add a member",
            "the agent cannot raise its own role",
        ],
    ),
    free(
        "The agent's desk writes issues and answers only",
        "its role Reporter",
        &[
            "the agent's desk account cannot push a branch",
            "the agent's desk account cannot start a pipeline on a branch",
            "the agent's desk account cannot resolve a thread of a reviewer",
        ],
    ),
    licensed(
        "A merge request of the agent needs the owner's approval, after the last push",
        "an approval rule that names the owner; approval settings",
        &[
            "a merge request of the agent waits for the owner's approval",
            "the agent cannot approve the agent's merge request",
            "the owner's approval lets the agent's merge request be merged",
            "a push to the agent's merge request removes its approvals",
            "the agent cannot change the approval settings",
        ],
    ),
    licensed(
        "A merge request of a single owner needs no approval",
        "the same rule: an author does not count, and GitLab approves a rule without approvers",
        &["a merge request of a single owner waits for no approval"],
    ),
    licensed(
        "A change of the pipeline, its scripts or its policy needs a code owner's approval",
        "`.gitlab/CODEOWNERS`; code owner approval on the default branch",
        &["a change of the pipeline waits for a code owner's approval"],
    ),
    licensed(
        "Only Maintainers deploy to production",
        "a protected environment",
        &["the agent cannot deploy to production", "the agent cannot unprotect the environment production"],
    ),
    licensed(
        "No file that is named like a private key is pushed",
        "a push rule",
        &["GitLab refuses a file that is named like a private key"],
    ),
];

/// What GitLab enforces on this tier.
pub fn promises(tier: Tier) -> impl Iterator<Item = &'static Promise> {
    PROMISES.iter().filter(move |promise| !promise.licensed || tier != Tier::Free)
}

/// The list as Markdown, for the reference.
pub(super) fn table() -> String {
    let mut text = String::from(
        "\nWhat GitLab enforces, as `factoryup apply gitlab --prove` tries it:\n\n| holds | set in GitLab | Free | Premium, Ultimate |\n|---|---|---|---|\n",
    );
    for promise in PROMISES {
        let on_free = if promise.licensed { "–" } else { "yes" };
        let _ = writeln!(text, "| {} | {} | {on_free} | yes |", promise.holds, promise.by);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_claim_belongs_to_one_promise() {
        let mut all: Vec<_> = PROMISES.iter().flat_map(|promise| promise.tried).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(promises(Tier::Free).count() < promises(Tier::Premium).count());
        assert!(table().contains("| Only Maintainers merge | branch protection | yes | yes |"));
    }
}
