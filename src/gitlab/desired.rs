//! The desired state of GitLab, computed from the settings.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::ci::Ci;
use super::error::GitlabResult;
use super::http::BaseUrl;
use super::identity::Identity;
use crate::factory::{Factory, RunnerKind, Tier};

/// The release tags that only Maintainers make.
pub(super) const RELEASE_TAGS: &str = "v*";
/// The tags that hold heads of the evidence log. Only Maintainers make them, and nobody moves them.
pub(super) const EVIDENCE_TAGS: &str = "evidence/*";

/// What the agent's token may do: read by API and git, push by git, open merge requests by push option, and renew itself on the host.
/// Commenting by API would need `api`, which opens every call that the role allows.
/// Source: <https://docs.gitlab.com/user/profile/personal_access_tokens/#personal-access-token-scopes>.
pub(super) const AGENT_SCOPES: [&str; 3] = ["read_api", "write_repository", "self_rotate"];

/// The desired state of one project on one instance.
#[derive(Clone, Debug)]
pub(super) struct Desired {
    /// The instance.
    pub(super) base: BaseUrl,
    /// Full path of the group.
    pub(super) group: String,
    /// Path of the project in the group.
    pub(super) project: String,
    /// Default branch.
    pub(super) branch: String,
    /// The subscription that the owner says there is.
    pub(super) tier: Tier,
    /// The project's description.
    pub(super) description: String,
    /// The control repo on this machine.
    pub(super) repo: PathBuf,
    /// Attributes of the project, by API name.
    pub(super) settings: Vec<(&'static str, Value)>,
    /// Environments with their tiers.
    pub(super) environments: Vec<Environment>,
    /// Runners.
    pub(super) runners: Vec<Runner>,
    /// The tags that only runners of the factory may have.
    pub(super) reserved_tags: Vec<String>,
    /// The agent's account.
    pub(super) agent: Agent,
    /// What pipelines need.
    pub(super) ci: Ci,
}

/// An environment that jobs deploy to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) name: String,
    /// `production`, `staging`, `testing`, `development` or `other`.
    pub(super) tier: &'static str,
}

/// A project runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Runner {
    /// `trusted` or `untrusted`: part of its description and its token's file.
    pub(super) name: &'static str,
    /// Those of its jobs, sorted.
    pub(super) tags: Vec<String>,
    /// How people and the next run recognise it.
    pub(super) description: String,
    /// Whether it serves protected refs only.
    pub(super) protected: bool,
    /// Whether it takes jobs without tags.
    pub(super) untagged: bool,
}

/// The agent's account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) username: String,
    /// As people see it.
    pub(super) name: String,
    /// The life of its token and membership, in days.
    pub(super) days: u16,
    /// What kind of account it is. What GitLab offers decides, once it was asked.
    pub(super) identity: Identity,
}

impl Desired {
    /// What `factory` asks for, with the control repo in `repo`.
    pub(super) fn new(factory: &Factory, repo: PathBuf) -> GitlabResult<Self> {
        let gitlab = &factory.gitlab;
        let name = &factory.factory.name;
        let shared = factory.runner.kind == RunnerKind::Shared;
        let untrusted = Runner {
            name: "untrusted",
            tags: runner_tags(name, "untrusted"),
            description: format!("factoryup {name}: untrusted"),
            protected: false,
            untagged: true,
        };
        let trusted = Runner {
            name: "trusted",
            tags: runner_tags(name, "trusted"),
            description: format!("factoryup {name}: trusted"),
            protected: true,
            untagged: false,
        };
        Ok(Self {
            base: BaseUrl::parse(&gitlab.url)?,
            group: gitlab.group.clone(),
            project: gitlab.project.clone(),
            branch: gitlab.default_branch.clone(),
            tier: gitlab.tier,
            description: factory.factory.description.clone(),
            repo,
            settings: settings(&gitlab.default_branch, shared),
            environments: environments(&factory.environments.names),
            reserved_tags: ["trusted", "untrusted"].into_iter().flat_map(|kind| runner_tags(name, kind)).collect(),
            runners: if shared { vec![trusted] } else { vec![untrusted, trusted] },
            agent: Agent {
                username: factory.agent.username.clone(),
                // With the project, since another factory in the group can have the same name.
                name: format!("{name} agent of {}/{}", gitlab.group, gitlab.project),
                days: factory.agent.token_days.clamp(1, 30),
                identity: Identity::Project,
            },
            ci: Ci::new(factory),
        })
    }

    /// What an attribute of the project should be.
    pub(super) fn setting(&self, name: &str) -> Option<&Value> {
        self.settings.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// `group/project`.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.group, self.project)
    }

    /// Path of the top-level group.
    pub(super) fn top(&self) -> &str {
        self.group.split('/').next().unwrap_or_default()
    }

    /// The project's page.
    pub(super) fn url(&self) -> String {
        format!("{}/{}", self.base.as_str(), self.path())
    }

    /// Where git pushes to: below the instance's own address, since the token goes there.
    pub(super) fn git_url(&self) -> String {
        format!("{}.git", self.url())
    }
}

/// The tags of a factory's runner. Its jobs name the one with the factory's name, which no runner of another owner has by chance. Jobs of
/// earlier versions name the plain one: those of an open merge request, and manual jobs, which you can start at any time.
pub(super) fn runner_tags(factory: &str, name: &str) -> Vec<String> {
    let mut tags = vec![format!("{factory}-{name}"), name.to_owned()];
    tags.sort();
    tags
}

/// The attribute that says where the pipeline is; empty for the usual place.
const CI_FILE: &str = "ci_config_path";

/// The attribute that gives merge requests' pipelines protected variables and runners. Before 18.10 GitLab's API has it not.
const MERGE_REQUEST_PIPELINES: &str = "protect_merge_request_pipelines";

/// Whether an attribute's present value means what is wanted. In a private project, `private` and `enabled` let in the same people.
/// Source: <https://docs.gitlab.com/api/projects/#project-feature-visibility-level>.
pub(super) fn is_as_wanted(name: &str, wanted: &Value, present: Option<&Value>) -> bool {
    present == Some(wanted)
        || (name == MERGE_REQUEST_PIPELINES && present.is_none())
        || (name == CI_FILE && present.is_some_and(|path| path.is_null() || path == ""))
        || (name.ends_with("_access_level") && wanted == "enabled" && present.is_some_and(|level| level == "private"))
}

/// The policy as attributes of a project on GitLab Free. What each does: <https://docs.gitlab.com/api/projects/#edit-a-project>.
fn settings(branch: &str, shared_runners: bool) -> Vec<(&'static str, Value)> {
    vec![
        ("visibility", json!("private")),
        ("default_branch", json!(branch)),
        ("repository_access_level", json!("enabled")),
        ("merge_requests_access_level", json!("enabled")),
        // Without pipelines nothing validates, and every refusal to start one would be a refusal for everybody.
        ("builds_access_level", json!("enabled")),
        // Without it no job reads or writes a state. It is for all members or for none: GitLab lets Developers read states.
        ("infrastructure_access_level", json!("enabled")),
        // Elsewhere it could lie in a file, or in a project, that the policy does not protect.
        (CI_FILE, json!(".gitlab-ci.yml")),
        ("only_allow_merge_if_pipeline_succeeds", json!(true)),
        ("allow_merge_on_skipped_pipeline", json!(false)),
        ("only_allow_merge_if_all_discussions_are_resolved", json!(true)),
        ("merge_method", json!("ff")),
        ("squash_option", json!("always")),
        ("remove_source_branch_after_merge", json!(true)),
        ("public_jobs", json!(false)),
        // On since 18.1: a merge request between protected branches would run with production's variables and runner.
        (MERGE_REQUEST_PIPELINES, json!(false)),
        ("ci_pipeline_variables_minimum_override_role", json!("no_one_allowed")),
        ("ci_separated_caches", json!(true)),
        ("ci_forward_deployment_enabled", json!(true)),
        ("ci_push_repository_for_job_token_allowed", json!(false)),
        ("auto_devops_enabled", json!(false)),
        ("shared_runners_enabled", json!(shared_runners)),
        // A runner of the group would take jobs by their tags alone, with the tokens that they get.
        ("group_runners_enabled", json!(false)),
        // GitLab's default keeps the title only, and with it what was handed over in the description is lost. CI's evidence takes the
        // merge request from the last line.
        ("squash_commit_template", json!("%{title}\n\n%{description}\n\nSee merge request %{reference}")),
    ]
}

/// The last environment is production; the tier of the others follows from the name, as in the pipeline.
fn environments(names: &[String]) -> Vec<Environment> {
    let tier = |index: usize, name: &str| match name {
        _ if index + 1 == names.len() => "production",
        "staging" => "staging",
        "test" | "testing" => "testing",
        "dev" | "development" => "development",
        _ => "other",
    };
    names.iter().enumerate().map(|(i, name)| Environment { name: name.clone(), tier: tier(i, name) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_environment_is_production() {
        let names = ["dev", "staging", "blue", "live"].map(str::to_owned);
        let tiers: Vec<_> = environments(&names).iter().map(|e| e.tier).collect();
        assert_eq!(tiers, ["development", "staging", "other", "production"]);
    }
}
