//! Waits until GitLab shows the host's runners online.

use std::time::{Duration, Instant};

use super::Workspace;
use crate::error::{Error, Kind, Result};
use crate::gitlab::GitlabTarget;
use crate::host::HostTarget;
use crate::interrupt;

/// How long: a runner asks for jobs every few seconds.
const LIMIT: Duration = Duration::from_mins(1);

impl Workspace<'_> {
    /// Returns once GitLab shows every runner of the host as online.
    ///
    /// # Errors
    /// As [`wait_online`](Self::wait_online).
    pub(super) fn see_online(&self) -> Result<()> {
        let gitlab = GitlabTarget::new(&self.factory, self.owner_token()?, &self.dir, &self.state)?;
        let mut host = None;
        self.wait_online(&mut host, &mut || {
            let offline = gitlab.offline_runner(self.runners_on_host())?;
            Ok(offline.map(|(id, name)| (format!("the {name} runner (id {id})"), name.clone())))
        })
    }

    /// Returns once `offline` names no runner any more: what it is, and its name on the host, which is connected to if it must be.
    ///
    /// # Errors
    /// `CutShort` with the last line of the service, if it does not in time; `Unreachable` if GitLab does not answer.
    pub(super) fn wait_online<'w>(
        &'w self,
        host: &mut Option<HostTarget<'w>>,
        offline: &mut dyn FnMut() -> Result<Option<(String, String)>>,
    ) -> Result<()> {
        let since = Instant::now();
        let (what, name) = loop {
            interrupt::check()?;
            let Some(offline) = offline()? else { return Ok(()) };
            let left = LIMIT.saturating_sub(since.elapsed());
            if left.is_zero() {
                break offline;
            }
            self.watch.busy(&format!("waiting up to {} s for GitLab to show {} online", left.as_secs(), offline.0));
            std::thread::sleep(Duration::from_secs(2).min(left));
        };
        let unit = format!("factory-runner-{name}.service");
        let mut host = match host.take() {
            Some(host) => host,
            None => self.host()?,
        };
        let said = host.last_line_of(&unit, self.watch)?;
        let why = if said.is_empty() { "it logged nothing".to_owned() } else { said };
        let limit = LIMIT.as_secs();
        Err(Error::new(
            Kind::CutShort,
            format!("GitLab does not show {what} online after {limit} s; the last line of {unit}: {why}"),
        )
        .hint("run `sudo factory-runner status` on the host: it shows whether the service runs and GitLab accepts its token")
        .hint("then run the command again; it waits for the runner again"))
    }
}
