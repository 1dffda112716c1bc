//! What each edition and version of GitLab has: the one table that tells them apart.

use crate::state::Settings;
use crate::{Edition, Tier};

/// Something that not every GitLab has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    /// Service accounts of a project.
    ProjectServiceAccounts,
    /// Service accounts of a top-level group.
    GroupServiceAccounts,
    /// Service accounts' tokens that never expire.
    EndlessServiceAccounts,
    /// A limit of the lifetime of personal access tokens. GitLab wants Ultimate for it, which is more than the license that this knows.
    TokenLifetimeLimit,
    /// `allow_force_push` in `PATCH` of a protected branch.
    PatchForcePush,
    /// Access levels in `PATCH` of a protected branch, and rules that name users and groups.
    NamedGrants,
    /// Fields that the Enterprise Edition's build adds, licensed or not.
    EnterpriseFields,
    /// `protect_merge_request_pipelines` in the API.
    ProtectMergeRequestPipelines,
    /// How many compute minutes a namespace may use, of a group and of the caller.
    ComputeLimits,
    /// How many compute minutes a top-level namespace used, for its Owners.
    ComputeUsage,
    /// `artifacts:access: maintainer` in a pipeline's configuration.
    ArtifactsForMaintainers,
    /// What Premium unlocks and this table does not name: protected environments, approval rules, push rules, some settings.
    Premium,
}

/// From when on something is there.
#[derive(Clone, Copy)]
enum Since {
    Never,
    /// In every version that a client of today meets.
    Always,
    Version(u64, u64),
}

use Since::{Always, Never, Version};

struct Row {
    feature: Feature,
    community: Since,
    enterprise: Since,
    premium: Since,
    /// The file or page of GitLab's that says so.
    #[cfg_attr(not(test), expect(dead_code, reason = "for readers, and for the test that each row has one"))]
    source: &'static str,
}

const fn row(feature: Feature, [community, enterprise, premium]: [Since; 3], source: &'static str) -> Row {
    Row { feature, community, enterprise, premium, source }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    //                                            CE      EE, no license    Premium
    row(Feature::ProjectServiceAccounts,       [Never,  Version(18, 11), Version(18, 11)], "ee/lib/api/project_service_accounts.rb; history in doc/user/profile/service_accounts.md"),
    row(Feature::GroupServiceAccounts,         [Never,  Version(18, 11), Version(16, 1)],  "ee/lib/api/group_service_accounts.rb; history in doc/user/profile/service_accounts.md"),
    row(Feature::EndlessServiceAccounts,       [Never,  Never,           Version(16, 1)],  "doc/user/profile/service_accounts.md: on Free a token always expires"),
    row(Feature::TokenLifetimeLimit,           [Never,  Never,           Always],          "ee/app/models/ee/personal_access_token.rb: expires_at_before_max_expiry_date"),
    row(Feature::PatchForcePush,               [Always, Always,          Always],          "lib/api/protected_branches.rb: PATCH updates allow_force_push"),
    row(Feature::NamedGrants,                  [Never,  Never,           Always],          "doc/api/protected_branches.md: allowed_to_push and its siblings, Premium"),
    row(Feature::EnterpriseFields,             [Never,  Always,          Always],          "ee/lib/ee/api/entities/protected_branch.rb, ee/lib/ee/api/entities/protected_ref_access.rb"),
    row(Feature::ProtectMergeRequestPipelines, [Version(18, 10), Version(18, 10), Version(18, 10)], "lib/api/helpers/projects_helpers.rb, lib/api/entities/project.rb"),
    row(Feature::ComputeLimits,                [Never,  Always,          Always],          "ee/lib/ee/api/entities/group_detail.rb, ee/lib/ee/api/entities/user_public.rb"),
    row(Feature::ComputeUsage,                 [Never,  Version(19, 4),  Version(19, 4)],  "ee/lib/ee/api/entities/namespace.rb; history in doc/api/namespaces.md"),
    row(Feature::ArtifactsForMaintainers,      [Version(18, 4), Version(18, 4), Version(18, 4)], "history of artifacts:access in doc/ci/yaml/_index.md"),
    row(Feature::Premium,                      [Never,  Never,           Always],          "doc/api/protected_environments.md, doc/api/merge_request_approvals.md, doc/api/project_push_rules.md"),
];

impl Settings {
    /// Whether the GitLab that this behaves as has it.
    pub(crate) fn has(&self, feature: Feature) -> bool {
        TABLE.iter().filter(|row| row.feature == feature).any(|row| {
            let since = match (self.edition(), self.tier) {
                (Edition::Ce, _) => row.community,
                (Edition::Ee, Tier::Free) => row.enterprise,
                (Edition::Ee, Tier::Premium) => row.premium,
            };
            match since {
                Never => false,
                Always => true,
                Version(major, minor) => self.at_least(major, minor),
            }
        })
    }

    fn at_least(&self, major: u64, minor: u64) -> bool {
        let version = self.version();
        let mut parts = version.split('.').map(|part| part.parse::<u64>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (major, minor)
    }
}

#[cfg(test)]
mod tests {
    use super::TABLE;

    #[test]
    fn each_feature_has_one_row_and_each_row_a_source() {
        for row in TABLE {
            assert_eq!(TABLE.iter().filter(|other| other.feature == row.feature).count(), 1, "{:?}", row.feature);
            assert!(row.source.contains(".rb") || row.source.contains(".md"), "{:?}", row.feature);
        }
    }
}
