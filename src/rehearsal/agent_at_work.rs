//! What the agent may do and what not: over the real sshd and as the user `agent`, with the identity that the hand-off brought to the host
//! and with nothing typed, it works in the clone that `apply` made. It reads its first issue, proposes an empty change, reads what CI and
//! reviewers make of it, and is refused where it may only propose. Then the clone is as before, and the issue is open.

use super::on_host;
use crate::error::{Error, Kind, Result};
use crate::factory::Factory;
use crate::shell;
use crate::transport::{Session, Status};

/// The last line of a run that did all of it.
const DONE: &str = "factoryup: the agent could do its work and no more";

/// Plays it over a session of a user whom the host lets become the agent.
///
/// # Errors
/// `Pending` when the agent could do less or more than it should, with what the host said.
pub(super) fn play(factory: &Factory, session: &mut dyn Session) -> Result<()> {
    let (said, status) = on_host(session, "sudo -n -H -u agent sh -s 2>&1", script(factory).as_bytes())?;
    if status == Status::Code(0) && said.lines().last() == Some(DONE) {
        return Ok(());
    }
    Err(Error::new(Kind::Pending, format!("the agent's work on the host failed ({status})"))
        .hint(format!("output:\n{said}")))
}

fn script(factory: &Factory) -> String {
    let gitlab = &factory.gitlab;
    format!(
        "\
set -eu
export GIT_TERMINAL_PROMPT=0
cd ~/work
cd {project}
git pull --quiet
scripts/issue list
scripts/issue show 1
git switch --quiet --create rehearsal
git commit --quiet --allow-empty --message 'Rehearse a proposal'
scripts/propose 'Rehearse a proposal' 'It changes nothing. Close it.'
# What it says depends on the runner: 1 is a failed job, 75 a pipeline that is not over.
scripts/pipeline status || case $? in 1 | 75) ;; *) exit 1 ;; esac
scripts/review
if git push --quiet origin HEAD:{branch}; then
    echo 'the agent could push to {branch}'
    exit 3
fi
[ \"$(git ls-remote origin refs/heads/rehearsal | cut -f 1)\" = \"$(git rev-parse HEAD)\" ]
[ \"$(git ls-remote origin refs/heads/{branch} | cut -f 1)\" = \"$(git rev-parse HEAD^)\" ]
git switch --quiet {branch}
git branch --quiet -D rehearsal
echo {done}
",
        project = shell::word(&gitlab.project),
        branch = gitlab.default_branch,
        done = shell::word(DONE),
    )
}
