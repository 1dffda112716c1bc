//! The calls of the API, one file per subject; each file ends its story in a table of its routes.

use super::router::Route;

mod accounts;
mod groups;
mod members;
mod project_settings;
mod projects;
mod protection;

/// Every route, the more literal before the more general.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    [accounts::ROUTES, groups::ROUTES, members::ROUTES, projects::ROUTES, protection::ROUTES].into_iter().flatten()
}
