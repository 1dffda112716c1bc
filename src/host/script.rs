//! The very programs that run on the host, for people to read.

use super::program::guard::{confirm, guard};
use super::program::{Run, Show, apply};
use super::root;
use super::target::{HostTarget, questions_of};
use crate::plan::Plan;

/// One program as text, with `[secret]` where a secret would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What it is for: `login`, `probe`, `apply`, `guard`, `confirm` or `proof`.
    pub name: &'static str,
    /// When it runs, in a sentence.
    pub about: &'static str,
    /// POSIX sh.
    pub text: String,
}

impl HostTarget<'_> {
    /// The programs that bring this host about, in the order in which they run. Without a plan, which only a host that was
    /// observed has, those that come before one.
    #[must_use]
    pub fn scripts(&self, plan: Option<&Plan>) -> Vec<Script> {
        let script = |name, about, text| Script { name, about, text };
        let mut scripts = vec![
            script(
                "login",
                "The command that each of the following programs is piped to, after a line for sudo's password.",
                root::command() + "\n",
            ),
            script("probe", "Only reads.", questions_of(&self.resources).compile("probe")),
        ];
        let Some(plan) = plan else { return scripts };
        let run = Run { id: "RUN".into(), subject: self.subject.clone() };
        let (steps, staged, last) = self.steps(plan, Show::Read);
        if !steps.is_empty() {
            scripts.push(script("apply", "Makes the changes that can shut nobody out.", apply(&run, &steps)));
        }
        if !staged.is_empty() {
            let about = "Changes sshd and the firewall, after a new login has shown that the operator gets in, and has the host take it back by itself.";
            scripts.push(script("guard", about, guard(&run, &staged, self.revert_after, true, steps.is_empty())));
            let about = "Makes that change stay; runs only over one more new login.";
            scripts.push(script("confirm", about, confirm(&run, &staged)));
        }
        if !last.is_empty() {
            let about = "Clones and installs for the agent, as the agent.";
            scripts.push(script("agent", about, apply(&run, &last)));
        }
        let about = "Tests the host's promises after the changes; changes nothing.";
        scripts.push(script("proof", about, self.proof_program()));
        scripts
    }
}
