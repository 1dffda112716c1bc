//! The rehearsal's requirements of this machine, and their installation after confirmation.

use std::io::Read;
use std::process::Stdio;

use disposable_host::{Missing, Requirements};

use crate::dialog::{Dialog, plain};
use crate::error::{Error, Kind, Result};
use crate::process;

/// Whether a disposable host can run here, after installing what is missing if that was agreed to. The text says why not.
///
/// # Errors
/// `Interrupted` when the person leaves; `CannotWrite` when packages were agreed to and cannot be installed.
pub(crate) fn ready_for_a_host(dialog: &dyn Dialog, yes: bool) -> Result<Option<String>> {
    let missing = Requirements::check();
    if missing.is_empty() {
        return Ok(None);
    }
    let unmendable: Vec<_> = missing.iter().filter(|m| m.package.is_none()).collect();
    let names =
        |list: &[&Missing]| list.iter().map(|m| format!("{} ({})", m.what, m.why)).collect::<Vec<_>>().join(", ");
    if !unmendable.is_empty() {
        return Ok(Some(format!("the disposable host needs {}", names(&unmendable))));
    }
    let packages = Requirements::packages(&missing);
    let what = format!("the disposable host needs {}", names(&missing.iter().collect::<Vec<_>>()));
    if which::which("apt-get").is_err() {
        return Ok(Some(format!("{what}; install them with this system's package manager")));
    }
    dialog.note(&what);
    let agreed = yes
        || (dialog.is_interactive()
            && dialog.confirm(&format!("Install {} with apt-get?", packages.join(" ")), true)?);
    if !agreed {
        return Ok(Some(format!("{what}; install them with `apt-get install {}` or --yes", packages.join(" "))));
    }
    install(dialog, &packages)?;
    let left = Requirements::check();
    if left.is_empty() {
        Ok(None)
    } else {
        Ok(Some(format!("after installing, still missing: {}", names(&left.iter().collect::<Vec<_>>()))))
    }
}

fn install(dialog: &dyn Dialog, packages: &[&str]) -> Result<()> {
    dialog.busy("refreshing the package lists");
    apt_get(&["update"], &[])?;
    dialog.busy(&format!("installing {}", packages.join(" ")));
    apt_get(&["install", "--yes", "--no-install-recommends"], packages)?;
    dialog.busy("");
    Ok(())
}

fn apt_get(words: &[&str], packages: &[&str]) -> Result<()> {
    let call = || format!("apt-get {} {}", words.join(" "), packages.join(" "));
    let cannot = |why: String| Error::new(Kind::CannotWrite, format!("`{}` failed", call().trim())).caused_by(why);
    let mut child = process::command("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(words)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| cannot(e.to_string()))?;
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut said);
    }
    let status = child.wait().map_err(|e| cannot(e.to_string()))?;
    if status.success() {
        Ok(())
    } else {
        Err(cannot(plain(&said)).hint("run that command yourself to see its full output"))
    }
}
