//! Refuses a new repo among system files, a user's settings, or another repo's own files.

use std::path::{Component, Path, PathBuf};

use super::error::{RepoError, RepoResult};
use super::observe::is_bare;
use crate::plan::{StateDir, real_place};

/// Folders that hold other people's folders: a repo may be in one of them, and not be one of them.
const SHARED: [&str; 17] = [
    "/",
    "/home",
    "/media",
    "/mnt",
    "/opt",
    "/private",
    "/private/tmp",
    "/private/var",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/local",
    "/usr/src",
    "/Users",
    "/var",
    "/var/tmp",
    "/Volumes",
];
/// Folders that belong to the system with all that is in them: hier(7), and macOS.
const SYSTEM: [&str; 39] = [
    "/Applications",
    "/Library",
    "/System",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/private/etc",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/libexec",
    "/usr/local/sbin",
    "/usr/local/share",
    "/usr/sbin",
    "/usr/share",
    "/var/backups",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/mail",
    "/var/run",
    "/var/spool",
];

/// Refuses a folder in which no new repo belongs. It need not exist.
///
/// # Errors
/// `Unfit` with the reason.
pub(crate) fn refuse_unfit(dir: &Path) -> RepoResult<()> {
    match unfit(&real_place(dir), std::env::home_dir().as_deref().map(real_place).as_deref()) {
        Some(why) => Err(RepoError::Unfit { dir: dir.to_owned(), why }),
        None => Ok(()),
    }
}

/// Why no repo belongs in `place`, for a person whose home is `home`.
fn unfit(place: &Path, home: Option<&Path>) -> Option<String> {
    if place.components().any(|part| part == Component::ParentDir) {
        return Some("it goes up from a directory that does not exist".into());
    }
    if place.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
        return Some("its name begins with a dot, as in directories with settings".into());
    }
    if place.components().any(|part| part.as_os_str() == ".git") || place.ancestors().any(is_bare) {
        return Some("it is inside git's own directory of a repo".into());
    }
    if let Some(state) = StateDir::all().ok().map(|all| real_place(&all)).filter(|state| place.starts_with(state)) {
        return Some(format!("factoryup keeps its records in {}", state.display()));
    }
    if let Some(home) = home_above(place, home) {
        let below = place.strip_prefix(&home).ok()?.components().next();
        return match below {
            None => Some("it is a home directory".into()),
            Some(first) if first.as_os_str().as_encoded_bytes().starts_with(b".") => {
                Some(format!("{} contains settings", home.join(first).display()))
            }
            Some(_) => None,
        };
    }
    if home.is_some_and(|home| home.starts_with(place)) {
        return Some("it contains your home directory".into());
    }
    if SHARED.iter().any(|folder| place == Path::new(folder)) {
        return Some("it is a system directory".into());
    }
    let system = SYSTEM.iter().find(|folder| place.starts_with(folder))?;
    Some(format!("{system} belongs to the system"))
}

/// The home folder that `place` is, or is in: the person's own, or one where homes usually are.
fn home_above(place: &Path, home: Option<&Path>) -> Option<PathBuf> {
    // The root folder is the home of accounts that have none.
    if let Some(home) = home.filter(|home| home.parent().is_some() && place.starts_with(home)) {
        return Some(home.to_owned());
    }
    if place.starts_with("/root") {
        return Some("/root".into());
    }
    let above = |homes: &str| Some(Path::new(homes).join(place.strip_prefix(homes).ok()?.components().next()?));
    above("/home").or_else(|| above("/Users"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repo_belongs_in_a_folder_for_projects() {
        let home = Some(Path::new("/home/ada"));
        for fit in [
            "/home/ada/factory",
            "/home/ada/work/a/b",
            "/home/ada/work/.cache/x",
            "/root/factory",
            "/srv/factory",
            "/opt/acme/factory",
            "/tmp/.tmpabc/x",
            "/usr/src/app",
            "/factory",
            "/etcetera",
        ] {
            assert_eq!(unfit(Path::new(fit), home), None, "{fit}");
        }
        // A service whose home is among the system's files.
        assert_eq!(unfit(Path::new("/var/lib/ci/work/x"), Some(Path::new("/var/lib/ci"))), None);
        for not in [
            "/",
            "/home",
            "/home/ada",
            "/home/ada/.ssh",
            "/home/ada/.ssh/x",
            "/home/ada/.config/git/x",
            "/home/eve",
            "/home/eve/.gnupg/x",
            "/root",
            "/root/.ssh",
            "/root/.config/x",
            "/etc",
            "/etc/ssh",
            "/usr/local/bin/x",
            "/var/lib/factoryup",
            "/tmp",
            "/srv",
            "/srv/.hidden",
            "/srv/factory/.git/x",
            "/srv/nowhere/../x",
        ] {
            assert!(unfit(Path::new(not), home).is_some(), "{not}");
        }
        assert!(unfit(Path::new("/data/homes"), Some(Path::new("/data/homes/ada"))).is_some());
    }
}
