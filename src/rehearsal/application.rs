//! The example application: a release of it is deployed and serves, the next one is bad, and the host keeps the one before.
//!
//! The operator hands both releases to `factory-deploy` on the host, as a job of the trusted runner does. The application has no project in
//! GitLab: `apply:control-plane` would create it with GitLab's Terraform provider, which a rehearsal does not have.

use std::path::{Path, PathBuf};

use super::{on_host, run};
use crate::app::{AppKind, Request, add};
use crate::error::{Error, Kind, Result};
use crate::factory::Factory;
use crate::git::Git;
use crate::process;
use crate::transport::{Session, Status};

/// Its name.
pub(super) const NAME: &str = "example";

/// What `factory-deploy` exits with if a release is bad and the one before serves.
const ROLLED_BACK: i32 = 76;

/// The page without which a release of a site is bad.
const PAGE: &str = "public/index.html";

/// Plays it with the control repo in `dir`, over a session of the operator's. Returns the address on the host.
///
/// # Errors
/// `Pending` with what the host said, if a release does not end as it should.
pub(super) fn play(factory: &Factory, dir: &Path, session: &mut dyn Session) -> Result<String> {
    // The rehearsal may be in the state directory, where no repo of the owner's belongs.
    let place = crate::private::directory("factoryup-example-")
        .map_err(|e| Error::new(Kind::CannotWrite, format!("cannot create a temporary directory: {e}")))?;
    let folder = Some(place.path().join(NAME));
    let added = add(&Request { folder, ..Request::new(dir, factory, NAME, AppKind::Static) })?;
    let port = added.ports.last().map(|(_, port)| *port).unwrap_or_default();
    let address = format!("http://127.0.0.1:{port}/");
    deploy(session, &build(&added.folder, "1")?, "1", 0)?;
    let before = ask(session, &address)?;
    let git = Git::new(&added.folder)?;
    git.run(&["rm", "--quiet", PAGE])?;
    let author = ["-c", "user.name=Rehearsal", "-c", "user.email=rehearsal@localhost"];
    git.run(&[&author[..], &["commit", "--quiet", "-m", "Break it"]].concat())?;
    deploy(session, &build(&added.folder, "2")?, "2", ROLLED_BACK)?;
    if ask(session, &address)? == before {
        return Ok(address);
    }
    Err(Error::new(Kind::Pending, format!("{NAME} does not serve the release from before the bad one")))
}

/// Builds a release as CI does.
fn build(folder: &Path, version: &str) -> Result<PathBuf> {
    let path = run(process::command(folder.join(".factory/build")).arg(version).current_dir(folder))?;
    Ok(folder.join(path.trim_end()))
}

fn deploy(session: &mut dyn Session, archive: &Path, version: &str, wanted: i32) -> Result<()> {
    let bytes = std::fs::read(archive)
        .map_err(|e| Error::new(Kind::CannotWrite, format!("cannot read {}: {e}", archive.display())))?;
    let command = format!("sudo -n /usr/local/sbin/factory-deploy install {NAME} {version} 2>&1");
    let (said, status) = on_host(session, &command, &bytes)?;
    if status == Status::Code(wanted) {
        return Ok(());
    }
    let text = format!("release {version} of {NAME} ended with {status} instead of exit code {wanted}");
    Err(Error::new(Kind::Pending, text).hint(format!("output:\n{said}")))
}

/// What it answers on the host.
fn ask(session: &mut dyn Session, address: &str) -> Result<String> {
    match on_host(session, &format!("curl -fsS --max-time 20 {address} 2>&1"), &[])? {
        (page, Status::Code(0)) => Ok(page),
        (said, _) => Err(Error::new(Kind::Pending, format!("{address} does not answer on the host: {said}"))),
    }
}
