//! Reads all of the factory, and makes a [`Card`] of it. Changes nothing.

mod gitlab;

use super::Workspace;
use super::card::{Card, State, Step};
use crate::app::registered;
use crate::error::{Kind, Result};
use crate::factory::{AgentKind, HostKind, SecretProvider};
use crate::gitlab::{Now, stored_passphrases};
use crate::host::Backups;
use crate::plan::{Plan, Target as _};
use crate::repo::doctor::glance;
use crate::wizard::discover::Surroundings;

/// Whether the targets have to be compared with `factory.toml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Yes.
    Now,
    /// This run has applied and read them all.
    Done,
}

impl Workspace<'_> {
    /// Reads all of the factory, part by part: what cannot be read is a line of the card.
    ///
    /// # Errors
    /// `Interrupted`; nothing else keeps the card from being made.
    pub fn status(&self, compare: Compare) -> Result<Card> {
        let mut card = Card::default();
        let gitlab = self.ask_gitlab(compare);
        let now = gitlab.as_ref().ok().and_then(|gitlab| gitlab.now.as_ref().ok()?.as_ref());
        self.repo_line(&mut card, now)?;
        self.host_line(&mut card, compare)?;
        let has_project = now.is_some();
        self.gitlab_lines(&mut card, gitlab)?;
        self.own_lines(&mut card)?;
        self.app_lines(&mut card, has_project)?;
        self.watch.busy("");
        Ok(card)
    }

    /// The control repo, with how it differs from GitLab's, if GitLab said what it has.
    fn repo_line(&self, card: &mut Card, now: Option<&Now>) -> Result<()> {
        let glance = match glance(&self.dir, &self.factory, &self.text) {
            Err(error) => return card.unknown("repo", error),
            Ok(None) => {
                card.line("repo", State::Attention, format!("no control repo in {}", self.dir.display()));
                card.step("create the control repo", "factoryup apply repo");
                return Ok(());
            }
            Ok(Some(glance)) => glance,
        };
        let mut state = State::Ok;
        let mut parts = vec![self.dir.display().to_string()];
        let commit = glance.head.get(..12).unwrap_or(&glance.head);
        parts.push(format!("{} at {commit}", glance.branch.as_deref().unwrap_or("no branch")));
        parts.push(format!("templates {}", glance.templates));
        match glance.changed {
            0 => parts.push("clean".into()),
            changed => {
                parts.push(format!("{} changed and not committed", counted(changed, "file")));
                state = State::Attention;
            }
        }
        match now.map(|now| (&now.head, &now.pushed)) {
            Some((Some(_), Ok(None))) => parts.push("pushed".into()),
            Some((Some(_), Ok(Some(apart)))) => {
                parts.push(apart.what.clone());
                card.step(&apart.step, &apart.how);
                state = State::Attention;
            }
            Some((Some(_), Err(error))) => {
                parts.push(format!("cannot tell whether it is pushed: {error}"));
                state = State::Unknown;
            }
            Some((None, _)) => parts.push("not pushed".into()),
            None => parts.push("cannot tell whether it is pushed: GitLab was not read".into()),
        }
        match self.repo().and_then(|mut repo| Ok((self.read(&mut repo)?, repo))) {
            Ok((plan, repo)) if plan.is_empty() => {
                if let Some((branch, how)) = repo.unmerged() {
                    parts.push(format!("{branch} is not merged"));
                    card.step(format!("merge the branch {branch} of the control repo"), how);
                    state = State::Attention;
                }
            }
            Ok((plan, _)) => {
                parts.push(format!(
                    "{} to merge from factory.toml or the templates",
                    counted(plan.changes.len(), "change")
                ));
                state = State::Attention;
                card.step("review and merge the pending changes of the control repo", "factoryup upgrade");
            }
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => {
                parts.push(format!("cannot tell whether changes are pending: {error}"));
                state = State::Unknown;
            }
        }
        card.line("repo", state, parts.join("; "));
        Ok(())
    }

    fn host_line(&self, card: &mut Card, compare: Compare) -> Result<()> {
        if self.factory.host.kind == HostKind::None {
            card.line("host", State::Ok, "none: the agent works elsewhere");
            return Ok(());
        }
        let ask = || {
            let mut host = self.host()?;
            let plan = if compare == Compare::Now { Some(self.read(&mut host)?) } else { None };
            self.watch.busy("reading the agent's files on the host");
            let wanted = self.agent_logins();
            let paths: Vec<&str> = wanted.iter().map(|(path, _)| path.as_str()).collect();
            let (has_clone, has) = host.agent_has(&paths, self.watch)?;
            let clone = Step {
                what: "get the agent its clone of the control repo".into(),
                how: "factoryup apply".into(),
                is_open: true,
            };
            let logins = wanted.into_iter().zip(has).filter(|(_, has)| !has).map(|((_, step), _)| step);
            let left = (!has_clone).then_some(clone).into_iter().chain(logins);
            let faults = (host.backups(self.watch)?, host.renewal_fault(self.watch)?, host.copies_fault(self.watch)?);
            let left = left.chain(host.tunnels_down(self.watch)?.into_iter().map(|name| Step {
                what: format!("start Cloudflare's tunnel of {name}: the job connect:{name} does, after apply:{name}"),
                how: "docs/procedures/connect-tunnel.md".into(),
                is_open: true,
            }));
            Ok((host.subject(), plan, faults, left.collect::<Vec<_>>()))
        };
        match ask() {
            Err(error) => card.unknown("host", error),
            Ok((subject, plan, (backups, renewal, copies), left)) => {
                let (state, text) = compared(plan.as_ref());
                let differs = state != State::Ok;
                let fault = backups.as_ref().and_then(Backups::fault);
                let state = if fault.is_some() { State::Attention } else { state };
                let last = backups
                    .map_or_else(String::new, |backups| format!("; {}", fault.clone().unwrap_or(backups.last())));
                card.line("host", state, format!("{subject} answers; {text}{last}"));
                if differs {
                    card.step(
                        "review the differences on the host (factoryup plan host --diff), then apply",
                        "factoryup apply host",
                    );
                }
                if fault.is_some() {
                    let how = format!("{}sudo systemctl start factory-backup", self.login());
                    card.step("back up the host (journalctl --unit factory-backup there says what failed)", how);
                }
                if let Some(why) = copies {
                    card.line("host", State::Attention, format!("a nightly copy of a database failed: {why}"));
                    let how = format!("{}sudo systemctl start factory-postgres-copies", self.login());
                    card.step(
                        "copy the databases (journalctl --unit factory-postgres-copies there says what failed)",
                        how,
                    );
                }
                if let Some(why) = renewal {
                    card.line("host", State::Attention, format!("the agent's tokens were not renewed: {why}"));
                    card.step("find out why, or replace the agent's tokens", "factoryup apply");
                }
                card.next.extend(left);
                Ok(())
            }
        }
    }

    /// The files of the agent's logins in its home, each with what to do when it is not there.
    fn agent_logins(&self) -> Vec<(String, Step)> {
        let kind = self.factory.agent.kind;
        let login = self.login();
        // Where each program keeps its login on Linux.
        let claude = (kind != AgentKind::Codex).then_some(("claude auth login", ".claude/.credentials.json"));
        let codex = (kind != AgentKind::ClaudeCode).then_some(("codex login --device-auth", ".codex/auth.json"));
        let logins = claude.into_iter().chain(codex);
        let step = |(command, file): (&str, &str)| {
            let program = command.split(' ').next().unwrap_or_default();
            let what = format!("log {program} in to your account, as the agent");
            let how = format!("{login}sudo -iu agent {command}");
            (file.into(), Step { what, how, is_open: true })
        };
        logins.map(step).collect()
    }

    /// What to type before a command that runs on the host.
    fn login(&self) -> String {
        let host = &self.factory.host;
        match (host.kind, host.port) {
            (HostKind::Ssh, 22) => format!("ssh -t {}@{} ", host.operator, host.address),
            (HostKind::Ssh, port) => format!("ssh -t -p {port} {}@{} ", host.operator, host.address),
            _ => String::new(),
        }
    }

    /// What only the files here say: the edge, the owner's key.
    fn own_lines(&self, card: &mut Card) -> Result<()> {
        let edge = &self.factory.cloudflare;
        let text = if edge.enabled {
            format!("Cloudflare zone {}: pipelines configure it, factoryup does not read it", edge.zone)
        } else {
            "none".into()
        };
        card.line("edge", State::Ok, text);
        if self.factory.secrets.provider == SecretProvider::SopsAge {
            self.key_step(card);
        }
        let passphrases = stored_passphrases(&self.factory, &self.state)?;
        if !passphrases.is_empty() {
            let what = "keep a copy of the state passphrases off this machine, if you have none: a state is lost with its passphrase";
            let files: Vec<_> = passphrases.iter().map(|file| file.display().to_string()).collect();
            card.next.push(Step { what: what.into(), how: files.join(" "), is_open: false });
        }
        Ok(())
    }

    /// The applications that are registered, and what those lack that are not whole, if GitLab can be asked.
    fn app_lines(&self, card: &mut Card, can_ask: bool) -> Result<()> {
        let names = match registered(&self.dir, &self.factory) {
            Err(error) => return card.unknown("apps", error),
            Ok(names) if names.is_empty() => {
                card.line("apps", State::Ok, "none registered; add one: factoryup app add NAME");
                return Ok(());
            }
            Ok(names) => names,
        };
        card.line("apps", State::Ok, names.join(", "));
        let gitlab = if can_ask { self.gitlab()? } else { return Ok(()) };
        for name in names {
            self.watch.busy(&format!("reading the application {name} from GitLab"));
            match self.app_lacks(&gitlab, &name) {
                Ok(None) => {}
                Ok(Some(lacks)) => {
                    card.line("app", State::Attention, format!("{name}: {lacks}"));
                    card.step(format!("publish the application {name}"), format!("factoryup app publish {name}"));
                }
                Err(error) => card.unknown("app", error)?,
            }
        }
        Ok(())
    }

    fn key_step(&self, card: &mut Card) {
        let recipient = &self.factory.secrets.owner_recipient;
        if recipient.is_empty() {
            card.step("create your age key, on your own machine, then run factoryup upgrade", "factoryup keys init");
            return;
        }
        let around = Surroundings::here(&self.dir);
        let file = crate::age::place(&around.home, around.variable);
        let text = zeroize::Zeroizing::new(crate::budget::read_text(&file).unwrap_or_default());
        if crate::age::pairs(&text).iter().any(|pair| pair.recipient() == recipient) {
            let what =
                format!("keep a copy of your age key off this machine, if you have none; it is in {}", file.display());
            card.next.push(Step { what, how: "factoryup keys init --sheet FILE".into(), is_open: false });
        }
    }
}

/// What a comparison with `factory.toml` came to.
fn compared(plan: Option<&Plan>) -> (State, String) {
    match plan {
        None => (State::Ok, "matches factory.toml, verified by this run".into()),
        Some(plan) if plan.is_empty() => {
            (State::Ok, format!("{} as in factory.toml", counted(plan.unchanged, "setting")))
        }
        Some(plan) => {
            let differ = plan.changes.len();
            let all = differ + plan.unchanged;
            (State::Attention, format!("{differ} of {} differ from factory.toml", counted(all, "setting")))
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
