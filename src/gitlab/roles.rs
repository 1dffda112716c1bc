//! GitLab's roles.

/// Nobody.
pub(super) const NO_ONE: u8 = 0;
/// GitLab's role Reporter.
pub(super) const REPORTER: u8 = 20;
/// GitLab's role Developer. All levels: <https://docs.gitlab.com/api/access_requests/#valid-access-levels>.
pub(super) const DEVELOPER: u8 = 30;
/// GitLab's role Maintainer.
pub(super) const MAINTAINER: u8 = 40;
/// GitLab's role Owner.
pub(super) const OWNER: u8 = 50;

/// A level as people say it.
pub(super) fn role(level: u8) -> &'static str {
    match level {
        NO_ONE => "no one",
        1..=9 => "Minimal Access",
        10..=14 => "Guest",
        15..=19 => "Planner",
        REPORTER..=29 => "Reporter",
        DEVELOPER..=39 => "Developer",
        MAINTAINER..=49 => "Maintainer",
        OWNER..=59 => "Owner",
        _ => "Administrator",
    }
}
