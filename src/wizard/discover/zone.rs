//! The time zone of this machine.

use super::{Discovered, Surroundings, answer};

/// From the variable `TZ` when it names a zone, as for every other program; else from where the link `/etc/localtime` leads. Sources:
/// <https://www.freedesktop.org/software/systemd/man/latest/localtime.html>, tzset(3).
pub(super) fn of_the_clock(around: &Surroundings, found: &mut Discovered) {
    let (name, place) = if let Some(text) = around.text("TZ") {
        (text.trim_start_matches(':').to_owned(), "TZ".to_owned())
    } else {
        let Ok(target) = std::fs::read_link(&around.clock) else { return };
        let target = target.to_string_lossy().into_owned();
        let Some((_, name)) = target.split_once("zoneinfo/") else { return };
        (name.to_owned(), around.clock.display().to_string())
    };
    // Copies of the database for clocks that count leap seconds, or do not.
    let name = name.trim_start_matches("posix/").trim_start_matches("right/");
    // Names of UTC by which servers are set up; it is the default anyway.
    if ["UTC", "Etc/UTC", "Etc/UCT", "UCT", "Universal", "Zulu", "Etc/Universal", "Etc/Zulu"].contains(&name) {
        return;
    }
    // A rule of its own, such as `CET-1CEST`, is no name of the database.
    if place != "TZ" || name.contains('/') {
        answer(found, "factory.timezone", name, &place);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::discover;
    use super::Surroundings;
    use crate::factory::answers::Source;
    use crate::factory::fields::by_key;

    fn zone(link: Option<&str>, variable: fn(&str) -> Option<std::ffi::OsString>) -> Option<(String, Source)> {
        let home = tempfile::tempdir().unwrap();
        let clock = home.path().join("localtime");
        if let Some(target) = link {
            symlink(target, &clock).unwrap();
        }
        let around = Surroundings {
            home: home.path().to_owned(),
            folder: home.path().to_owned(),
            variable,
            clock: clock.clone(),
        };
        let found = discover(&around).answers;
        let answer = found.answer(by_key("factory.timezone").unwrap())?;
        let source = match &answer.source {
            Source::Found(place) if *place == clock.display().to_string() => Source::Found("the link".to_owned()),
            other => other.clone(),
        };
        Some((answer.value.to_string(), source))
    }

    #[test]
    fn the_clocks_zone_is_found_by_its_name() {
        let found = |name: &str, place: &str| Some((name.to_owned(), Source::Found(place.to_owned())));
        let unset: fn(&str) -> Option<std::ffi::OsString> = |_| None;
        assert_eq!(zone(Some("/usr/share/zoneinfo/Europe/Vienna"), unset), found("Europe/Vienna", "the link"));
        let two = Some("../usr/share/zoneinfo/posix/America/Argentina/Ushuaia");
        assert_eq!(zone(two, unset), found("America/Argentina/Ushuaia", "the link"));
        for nothing in
            [None, Some("/usr/share/zoneinfo/Etc/UTC"), Some("/etc/elsewhere"), Some("/usr/share/zoneinfo/no zone")]
        {
            assert_eq!(zone(nothing, unset), None, "{nothing:?}");
        }
    }

    #[test]
    fn the_variable_comes_before_the_link() {
        let link = Some("/usr/share/zoneinfo/Europe/Vienna");
        let set: fn(&str) -> Option<std::ffi::OsString> = |name| (name == "TZ").then(|| ":Asia/Tokyo".into());
        assert_eq!(zone(link, set), Some(("Asia/Tokyo".to_owned(), Source::Found("TZ".to_owned()))));
        for none in
            [|name: &str| (name == "TZ").then(|| "UTC".into()), |name: &str| (name == "TZ").then(|| "CET-1CEST".into())]
        {
            assert_eq!(zone(link, none), None);
        }
    }
}
