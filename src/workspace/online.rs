//! Waits until GitLab shows the host's runners online.

use std::time::{Duration, Instant};

use super::Workspace;
use crate::error::{Error, Kind, Result};
use crate::gitlab::GitlabTarget;
use crate::interrupt;

/// How long: a runner asks for jobs every few seconds.
const LIMIT: Duration = Duration::from_mins(1);

impl Workspace<'_> {
    /// Returns once GitLab shows every runner of the host as online.
    ///
    /// # Errors
    /// `CutShort` with the last line of the service, if it does not in time; `Unreachable` if GitLab does not answer.
    pub(super) fn see_online(&self) -> Result<()> {
        let gitlab = GitlabTarget::new(&self.factory, self.owner_token()?, &self.dir, &self.state)?;
        let since = Instant::now();
        let (id, name) = loop {
            interrupt::check()?;
            let Some(offline) = gitlab.offline_runner(self.runners_on_host())? else { return Ok(()) };
            let left = LIMIT.saturating_sub(since.elapsed());
            if left.is_zero() {
                break offline;
            }
            let name = &offline.1;
            self.watch.busy(&format!("waiting up to {} s for GitLab to show the {name} runner online", left.as_secs()));
            std::thread::sleep(Duration::from_secs(2).min(left));
        };
        let unit = format!("factory-runner-{name}.service");
        let said = self.host()?.last_line_of(&unit, self.watch)?;
        let why = if said.is_empty() { "it logged nothing".to_owned() } else { said };
        let limit = LIMIT.as_secs();
        Err(Error::new(
            Kind::CutShort,
            format!("GitLab does not show the {name} runner (id {id}) online after {limit} s; the last line of {unit}: {why}"),
        )
        .hint("run `sudo factory-runner status` on the host: it shows whether the service runs and GitLab accepts its token")
        .hint("then run the command again; it waits for the runner again"))
    }
}
