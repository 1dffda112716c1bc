//! The programs that a disposable host has before `apply`: what takes the jobs, and the agent's tools.
//!
//! The pipeline runs with the real GitLab Runner where one is found. The first of these counts:
//!
//! 1. `usr/bin/gitlab-runner` in the directory of `rehearse --files`, which is copied to the host as it is;
//! 2. `/usr/bin/gitlab-runner` of this machine;
//! 3. GitLab's packages, if the host reaches them: `apply` then installs the program from there, as on a real host.
//!
//! Otherwise, the script `gitlab-runner` next to this file takes the jobs. It runs no script of theirs, and the report says so. The agent's
//! tools are programs that do nothing, unless `--files` has them: the agent is not logged in, and jobs install their own tools.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use disposable_host::DisposableHost;

use super::run;
use crate::error::{Error, Kind, Result};
use crate::factory::Factory;
use crate::host::agent_tools;
use crate::plan::write_atomically;
use crate::process;

/// Where GitLab Runner is on a host.
const RUNNER: &str = "/usr/bin/gitlab-runner";

/// What has to answer on the host so that `apply` can install GitLab Runner there.
const PACKAGES: &str = "</dev/tcp/packages.gitlab.com/443";

/// Says that no script of a job runs.
const NO_SCRIPTS: &str = "the scripts of the pipeline's jobs: no gitlab-runner was found on this machine, in --files DIR, or at \
                          packages.gitlab.com; a stand-in takes the jobs and runs no script";

/// A container on this machine lacks what Podman would use: keyrings, and the control group for the number of processes.
const PODMAN: &str = "[containers]\nkeyring = false\npids_limit = 0\n";

/// What Podman makes networks with. On a real host, udev lets every user open it.
const TUN: &str = "/dev/net/tun";

/// The GitLab stand-in answers on the host's loopback only, which a job in a network of its own does not reach.
const NETWORK: &str = r#"[Service]
ExecStartPre=+/bin/sed -i -e "s/FF_NETWORK_PER_BUILD=1/FF_NETWORK_PER_BUILD=0/" \
    -e "s/^    privileged = false/    network_mode = \"host\"/" /etc/factory/runner-untrusted/config.toml
"#;

/// What came onto the host.
pub(super) struct Programs {
    /// Where GitLab Runner comes from.
    pub(super) runner: String,
    /// Where the agent's tools come from.
    pub(super) tools: String,
    /// Why no script of a job runs, if so.
    pub(super) without_scripts: Option<String>,
}

/// Puts the files below `files` and whatever programs are missing then onto the host.
///
/// # Errors
/// `CannotWrite` with what cannot be copied or created.
pub(super) fn bring(host: &DisposableHost, files: Option<&Path>, factory: &Factory) -> Result<Programs> {
    if let Some(files) = files {
        run(process::command("cp").args(["-R", "-T", "--preserve=mode", "--"]).args([files, &host.rootfs()]))?;
    }
    let is_there = |path: &str| host.rootfs().join(&path[1..]).symlink_metadata().is_ok();
    let here = if files.is_some() && is_there(RUNNER) { None } else { fs::read(RUNNER).ok() };
    let mut without_scripts = None;
    let runner = if let (Some(files), true) = (files, is_there(RUNNER)) {
        format!("the one in {}", files.display())
    } else if let Some(program) = here {
        put(host, RUNNER, &program, 0o755)?;
        format!("a copy of this machine's {RUNNER}")
    } else if host.run_inside(&["timeout", "10", "bash", "-c", PACKAGES])?.status.success() {
        "from GitLab's packages, by apply".to_owned()
    } else {
        put(host, RUNNER, include_bytes!("gitlab-runner"), 0o755)?;
        without_scripts = Some(NO_SCRIPTS.to_owned());
        "a stand-in that takes jobs and runs no script".to_owned()
    };
    if without_scripts.is_none() {
        host.run_inside(&["chmod", "666", TUN])?;
        put(host, "/etc/containers/containers.conf.d/rehearsal.conf", PODMAN.as_bytes(), 0o644)?;
        put(host, "/etc/systemd/system/factory-runner-untrusted.service.d/rehearsal.conf", NETWORK.as_bytes(), 0o644)?;
    }
    let places = agent_tools(factory).map(|name| (name, format!("/usr/local/bin/{name}")));
    let (brought, missing): (Vec<_>, Vec<_>) = places.partition(|(_, path)| is_there(path));
    for (_, path) in &missing {
        put(host, path, b"#!/bin/sh\n", 0o755)?;
    }
    let names = |of: &[(&str, String)]| of.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let tools = match (&brought[..], &missing[..]) {
        (brought, []) => format!("{} from --files", names(brought)),
        ([], missing) => format!("programs that do nothing for {}", names(missing)),
        (brought, missing) => {
            format!("{} from --files; programs that do nothing for {}", names(brought), names(missing))
        }
    };
    Ok(Programs { runner, tools, without_scripts })
}

fn put(host: &DisposableHost, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let place = host.rootfs().join(&path[1..]);
    let cannot = |e: std::io::Error| Error::new(Kind::CannotWrite, format!("cannot create {}: {e}", place.display()));
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    write_atomically(&place, bytes, mode)?;
    fs::set_permissions(&place, fs::Permissions::from_mode(mode)).map_err(cannot)
}
