//! The agent's first day: over the real sshd and as the user `agent`, with the identity that the hand-off brought to the host and
//! with nothing typed, it works in the clone that `apply` made: reads its first issue, proposes a change, reads what CI and reviewers make of it, and
//! is refused where it may only propose.

use std::fmt::Write as _;

use crate::error::{Error, Kind, Result};
use crate::factory::Factory;
use crate::shell;
use crate::transport::{Session, Transport};

/// The last line of a run that did all of it.
const DONE: &str = "factoryup: the agent could do its work and no more";

/// Plays it over `transport`, which logs in as somebody whom the host lets become the agent.
///
/// # Errors
/// `Pending` when the agent could do less or more than it should, with what the host said.
pub(super) fn play(factory: &Factory, transport: &mut dyn Transport) -> Result<()> {
    let mut session: Box<dyn Session> = transport.connect()?;
    let mut said = String::new();
    let exit = session.exec("sudo -n -H -u agent sh -s 2>&1", script(factory).as_bytes(), None, &mut |line| {
        let _ = writeln!(said, "{}", crate::dialog::plain(line));
    })?;
    if exit.success() && said.lines().last() == Some(DONE) {
        return Ok(());
    }
    Err(Error::new(Kind::Pending, format!("the agent's first day on the host failed ({})", exit.status))
        .hint(format!("output:\n{}", said.trim_end())))
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
git switch --quiet --create agent/1-first-day
git commit --quiet --allow-empty --message 'Begin to work'
scripts/propose 'Begin to work' 'Closes #1'
# What it says depends on the runner: 1 is a failed job, 75 a pipeline that is not over.
scripts/pipeline status || case $? in 1 | 75) ;; *) exit 1 ;; esac
scripts/review
if git push --quiet origin HEAD:{branch}; then
    echo 'the agent could push to {branch}'
    exit 3
fi
[ \"$(git ls-remote origin refs/heads/agent/1-first-day | cut -f 1)\" = \"$(git rev-parse HEAD)\" ]
[ \"$(git ls-remote origin refs/heads/{branch} | cut -f 1)\" = \"$(git rev-parse HEAD^)\" ]
echo {done}
",
        project = shell::word(&gitlab.project),
        branch = gitlab.default_branch,
        done = shell::word(DONE),
    )
}
