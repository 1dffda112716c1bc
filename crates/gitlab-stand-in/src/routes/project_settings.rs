//! The attributes of a project that are only kept and shown: their kinds, their defaults, and which need a licence.
//!
//! Names and values: <https://docs.gitlab.com/api/projects/#edit-a-project>; the defaults are those of a new self-managed 18.x
//! instance, as far as the documentation states them.

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::editions::Feature;
use crate::reply::Refusal;
use crate::state::Settings;

/// What values an attribute takes, and the one it starts with.
enum SettingType {
    Switch(bool),
    /// A switch that is unset at first.
    Unset,
    Text(Option<&'static str>),
    Number(Option<i64>),
    OneOf(&'static [&'static str], &'static str),
    Texts(&'static [&'static str]),
    /// A switch that only a licence makes settable; without one it is ignored.
    Licensed,
}

use SettingType::{Licensed, Number, OneOf, Switch, Text, Texts, Unset};

/// Known to newer versions only.
const PROTECT_MERGE_REQUEST_PIPELINES: &str = "protect_merge_request_pipelines";

const LEVELS: &[&str] = &["disabled", "private", "enabled"];
const PUBLIC_LEVELS: &[&str] = &["disabled", "private", "enabled", "public"];

const SETTINGS: &[(&str, SettingType)] = &[
    ("allow_merge_on_skipped_pipeline", Unset),
    ("analytics_access_level", OneOf(LEVELS, "enabled")),
    ("auto_cancel_pending_pipelines", OneOf(&["disabled", "enabled"], "enabled")),
    ("auto_devops_deploy_strategy", OneOf(&["continuous", "manual", "timed_incremental"], "continuous")),
    ("auto_devops_enabled", Switch(true)),
    ("autoclose_referenced_issues", Switch(true)),
    ("build_git_strategy", OneOf(&["fetch", "clone"], "fetch")),
    ("build_timeout", Number(Some(3600))),
    ("builds_access_level", OneOf(LEVELS, "enabled")),
    ("ci_allow_fork_pipelines_to_run_in_parent_project", Switch(true)),
    ("ci_config_path", Text(None)),
    ("ci_default_git_depth", Number(Some(20))),
    ("ci_delete_pipelines_in_seconds", Number(None)),
    ("ci_forward_deployment_enabled", Switch(true)),
    ("ci_forward_deployment_rollback_allowed", Switch(true)),
    ("ci_id_token_sub_claim_components", Texts(&["project_path", "ref_type", "ref"])),
    (
        "ci_pipeline_variables_minimum_override_role",
        OneOf(&["no_one_allowed", "developer", "maintainer", "owner"], "developer"),
    ),
    ("ci_push_repository_for_job_token_allowed", Switch(false)),
    ("ci_separated_caches", Switch(true)),
    ("container_registry_access_level", OneOf(LEVELS, "enabled")),
    ("emails_disabled", Switch(false)),
    ("emails_enabled", Switch(true)),
    ("enforce_auth_checks_on_uploads", Switch(true)),
    ("environments_access_level", OneOf(LEVELS, "enabled")),
    ("feature_flags_access_level", OneOf(LEVELS, "enabled")),
    ("forking_access_level", OneOf(LEVELS, "enabled")),
    ("group_runners_enabled", Switch(true)),
    ("infrastructure_access_level", OneOf(LEVELS, "enabled")),
    ("issue_branch_template", Text(None)),
    ("issues_access_level", OneOf(LEVELS, "enabled")),
    ("issues_enabled", Switch(true)),
    ("jobs_enabled", Switch(true)),
    ("keep_latest_artifact", Switch(true)),
    ("lfs_enabled", Switch(true)),
    ("merge_commit_template", Text(None)),
    ("merge_method", OneOf(&["merge", "rebase_merge", "ff"], "merge")),
    ("merge_pipelines_enabled", Licensed),
    ("merge_request_title_regex", Text(None)),
    ("merge_request_title_regex_description", Text(None)),
    ("merge_requests_access_level", OneOf(LEVELS, "enabled")),
    ("merge_requests_enabled", Switch(true)),
    ("merge_trains_enabled", Licensed),
    ("model_experiments_access_level", OneOf(LEVELS, "enabled")),
    ("model_registry_access_level", OneOf(LEVELS, "enabled")),
    ("monitor_access_level", OneOf(LEVELS, "enabled")),
    ("only_allow_merge_if_all_discussions_are_resolved", Switch(false)),
    ("only_allow_merge_if_all_status_checks_passed", Licensed),
    ("only_allow_merge_if_pipeline_succeeds", Switch(false)),
    ("package_registry_access_level", OneOf(PUBLIC_LEVELS, "enabled")),
    ("packages_enabled", Switch(true)),
    ("pages_access_level", OneOf(PUBLIC_LEVELS, "private")),
    ("printing_merge_request_link_enabled", Switch(true)),
    (PROTECT_MERGE_REQUEST_PIPELINES, Switch(true)),
    ("public_jobs", Switch(true)),
    ("releases_access_level", OneOf(LEVELS, "enabled")),
    ("remove_source_branch_after_merge", Switch(true)),
    ("repository_access_level", OneOf(LEVELS, "enabled")),
    ("request_access_enabled", Switch(true)),
    ("resolve_outdated_diff_discussions", Switch(false)),
    (
        "resource_group_default_process_mode",
        OneOf(&["unordered", "oldest_first", "newest_first", "newest_ready_first"], "unordered"),
    ),
    ("restrict_user_defined_variables", Switch(false)),
    ("security_and_compliance_access_level", OneOf(LEVELS, "private")),
    ("service_desk_enabled", Switch(false)),
    ("shared_runners_enabled", Switch(true)),
    ("snippets_access_level", OneOf(LEVELS, "enabled")),
    ("snippets_enabled", Switch(true)),
    ("squash_commit_template", Text(None)),
    ("squash_option", OneOf(&["never", "always", "default_on", "default_off"], "default_off")),
    ("suggestion_commit_message", Text(None)),
    ("topics", Texts(&[])),
    ("warn_about_potentially_unwanted_characters", Switch(true)),
    ("wiki_access_level", OneOf(LEVELS, "enabled")),
    ("wiki_enabled", Switch(true)),
];

/// Those that only editing a project knows; creating one ignores them.
const EDIT_ONLY: &[&str] = &[
    "ci_allow_fork_pipelines_to_run_in_parent_project",
    "ci_default_git_depth",
    "ci_delete_pipelines_in_seconds",
    "ci_forward_deployment_enabled",
    "ci_forward_deployment_rollback_allowed",
    "ci_id_token_sub_claim_components",
    "ci_pipeline_variables_minimum_override_role",
    "ci_push_repository_for_job_token_allowed",
    "ci_separated_caches",
    "keep_latest_artifact",
    "merge_pipelines_enabled",
    "merge_trains_enabled",
    PROTECT_MERGE_REQUEST_PIPELINES,
    "restrict_user_defined_variables",
];

/// What a new project's attributes are.
pub(super) fn defaults(settings: &Settings) -> Map<String, Value> {
    let value = |kind: &SettingType| match kind {
        Switch(value) => json!(value),
        Unset => Value::Null,
        Text(value) => json!(value),
        Number(value) => json!(value),
        OneOf(_, value) => json!(value),
        Texts(values) => json!(values),
        Licensed => json!(false),
    };
    let known =
        |name: &str| name != PROTECT_MERGE_REQUEST_PIPELINES || settings.has(Feature::ProtectMergeRequestPipelines);
    let known = SETTINGS.iter().filter(|(name, _)| known(name));
    known.map(|(name, kind)| ((*name).to_owned(), value(kind))).collect()
}

/// The names of the attributes that editing knows.
pub(super) fn edit_names() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().map(|(name, _)| *name)
}

/// The names of the attributes that creating knows.
pub(super) fn create_names() -> impl Iterator<Item = &'static str> {
    edit_names().filter(|name| !EDIT_ONLY.contains(name))
}

/// Those of the named attributes that a call sets, checked. Licensed ones are left out without a licence, as GitLab ignores them.
pub(super) fn sent(call: &Call<'_>, names: impl Iterator<Item = &'static str>) -> Result<Map<String, Value>, Refusal> {
    let names: Vec<_> = names.collect();
    let mut set = Map::new();
    for (name, kind) in SETTINGS.iter().filter(|(name, _)| names.contains(name) && call.has(name)) {
        let value = match kind {
            _ if *name == PROTECT_MERGE_REQUEST_PIPELINES
                && !call.settings.has(Feature::ProtectMergeRequestPipelines) =>
            {
                continue;
            }
            Licensed if !call.settings.has(Feature::Premium) => continue,
            Switch(_) | Unset | Licensed => call.boolean(name)?.map(Value::from),
            Text(_) => Some(call.text(name).filter(|text| !text.is_empty()).into()),
            Number(_) => Some(call.integer(name)?.into()),
            OneOf(values, _) => call.one_of(name, values)?.map(Value::from),
            Texts(_) => call.list(name)?.map(Value::from),
        };
        if let Some(value) = value {
            set.insert((*name).to_owned(), value);
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::{EDIT_ONLY, SETTINGS, create_names};

    #[test]
    fn each_attribute_is_listed_once_and_every_choice_has_its_default() {
        let names: std::collections::BTreeSet<_> = SETTINGS.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        assert_eq!(create_names().count(), SETTINGS.len() - EDIT_ONLY.len());
        for (name, kind) in SETTINGS {
            if let super::OneOf(values, default) = kind {
                assert!(values.contains(default), "{name}");
            }
        }
    }
}
