//! The calls of the API, one file per subject; each file ends in a table of its routes.

use crate::router::Route;

mod accounts;
mod approvals;
mod artifacts;
mod branches;
mod commits;
mod credentials;
mod discussions;
mod environments;
mod files;
mod graphql;
mod groups;
mod issues;
mod job_runs;
mod job_token;
mod lint;
mod members;
mod merge;
mod merge_requests;
mod pipelines;
mod premium;
mod project_settings;
mod projects;
mod protection;
mod runners;
mod schedules;
mod service_accounts;
mod states;
mod tags;
mod variables;

/// Every route. Within a file the more literal path stands before the more general.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    [
        accounts::ROUTES,
        approvals::ROUTES,
        artifacts::ROUTES,
        branches::ROUTES,
        commits::ROUTES,
        credentials::ROUTES,
        discussions::ROUTES,
        environments::ROUTES,
        files::ROUTES,
        graphql::ROUTES,
        groups::ROUTES,
        issues::ROUTES,
        job_runs::ROUTES,
        job_token::ROUTES,
        lint::ROUTES,
        members::ROUTES,
        merge::ROUTES,
        merge_requests::ROUTES,
        pipelines::ROUTES,
        premium::ROUTES,
        projects::ROUTES,
        protection::ROUTES,
        runners::ROUTES,
        schedules::ROUTES,
        service_accounts::ROUTES,
        service_accounts::OF_GROUPS,
        states::ROUTES,
        tags::ROUTES,
        variables::ROUTES,
    ]
    .into_iter()
    .flatten()
}
