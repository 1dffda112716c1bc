//! What GitLab says: project, pipeline, runners, the agent's account, tokens and variables.

use super::super::card::{Card, State};
use super::super::{AnyTarget, Workspace};
use super::{Compare, compared, counted};
use crate::error::{Error, Result};
use crate::factory::{Engine, Factory, HostKind, PROMISES, Tier};
use crate::gitlab::{AGENT_TOKEN, Missing, Now, Pipeline, Place, Renewer, RunnerNow, TokenNow, Verdict, roots};
use crate::plan::{Plan, TargetName};

/// A token that ends within so many days is marked.
const SOON: i32 = 30;

/// What GitLab said.
pub(super) struct Gitlab {
    pub(super) version: String,
    pub(super) plan: Option<Result<Plan>>,
    pub(super) now: Result<Option<Now>>,
}

impl Workspace<'_> {
    pub(super) fn ask_gitlab(&self, compare: Compare) -> Result<Gitlab> {
        let AnyTarget::Gitlab(mut gitlab) = self.make(TargetName::Gitlab)? else {
            return Err(Error::internal("the target gitlab is another one"));
        };
        self.watch.busy(&format!("asking {}", self.factory.gitlab.url));
        let version = gitlab.version()?;
        let plan = (compare == Compare::Now).then(|| self.read(gitlab.as_mut()));
        self.watch.busy("reading pipeline, runners and tokens from GitLab");
        let now = gitlab.now(wanted_variables(&self.factory));
        Ok(Gitlab { version, plan, now })
    }

    pub(super) fn gitlab_lines(&self, card: &mut Card, gitlab: Result<Gitlab>) -> Result<()> {
        let url = self.factory.gitlab.project_url();
        let Gitlab { version, plan, now } = match gitlab {
            Err(error) => return unread(card, error),
            Ok(gitlab) => gitlab,
        };
        let now = match now {
            Err(error) => return unread(card, error),
            Ok(None) => {
                card.line("gitlab", State::Attention, format!("GitLab {version} has no project at {url}"));
                card.step("create it", "factoryup apply");
                return Ok(());
            }
            Ok(Some(now)) => now,
        };
        match plan.transpose() {
            Err(error) => card.unknown("gitlab", error)?,
            Ok(plan) => {
                let (state, text) = compared(plan.as_ref());
                let plan_differs = state != State::Ok;
                let named = self.factory.gitlab.tier;
                let tier = tier(named, now.licensed);
                let is_lower = named != Tier::Free && now.licensed != Some(true);
                let state = if is_lower { State::Attention } else { state };
                card.linked("gitlab", state, format!("GitLab {version}, {tier}; {text}"), &url);
                if is_lower {
                    let left = PROMISES.iter().filter(|promise| promise.licensed).map(|promise| promise.holds);
                    let left = left.collect::<Vec<_>>().join("; ");
                    let step =
                        format!("get a license, or set gitlab.tier = \"free\": GitLab does not enforce this: {left}");
                    card.step(step, "factoryup upgrade");
                }
                if plan_differs {
                    card.step(
                        "review the differences in GitLab (factoryup plan gitlab --diff), then apply",
                        "factoryup apply gitlab",
                    );
                }
            }
        }
        match now.pipeline {
            Err(error) => card.unknown("pipeline", error)?,
            Ok(pipeline) => self.pipeline_line(card, pipeline.as_ref(), now.head.as_deref()),
        }
        match now.runners {
            Err(error) => card.unknown("runner", error)?,
            Ok(runners) => runners.iter().for_each(|runner| self.runner_line(card, runner)),
        }
        match now.agent {
            Err(error) => card.unknown("agent", error)?,
            Ok(Some(words)) => card.line("agent", State::Ok, words),
            Ok(None) => {
                card.line("agent", State::Attention, format!("no account {}", self.factory.agent.username));
                card.step("create the agent's account", "factoryup apply");
            }
        }
        match now.tokens {
            Err(error) => card.unknown("token", error)?,
            Ok(tokens) => tokens.iter().for_each(|token| token_line(card, token)),
        }
        match now.proposals {
            Err(error) => card.unknown("merge requests", error)?,
            Ok(proposals) => proposals.into_iter().for_each(|one| {
                card.step(format!("read the merge request \"{}\", then merge or close it", one.title), one.web_url);
            }),
        }
        match now.missing {
            Err(error) => card.unknown("variables", error)?,
            Ok(missing) if missing.is_empty() => card.line("variables", State::Ok, "all CI variables are set"),
            Ok(missing) => {
                let (count, text) = grouped(missing.iter());
                let remarks = now.remarks.iter().fold(String::new(), |all, words| all + "; " + words);
                let text = format!("CI lacks {}: {text}{remarks}", counted(count, "variable"));
                card.line("variables", State::Attention, text);
                let (count, text) = grouped(missing.iter().filter(|one| one.is_by_hand));
                if count > 0 {
                    let what = format!("create {text} as CI variables (docs/secrets.md, \"What CI needs\")");
                    card.step(what, format!("{url}/-/settings/ci_cd"));
                }
            }
        }
        Ok(())
    }

    /// The pipeline of this commit, which is that of GitLab's default branch.
    pub(in crate::workspace) fn pipeline_line(
        &self,
        card: &mut Card,
        pipeline: Option<&Pipeline>,
        commit: Option<&str>,
    ) {
        let Some(pipeline) = pipeline else {
            let commit =
                commit.map_or_else(String::new, |commit| format!(" for {}", commit.get(..12).unwrap_or(commit)));
            let url = format!("{}/-/pipelines", self.factory.gitlab.project_url());
            card.linked("pipeline", State::Attention, format!("none{commit}"), &url);
            return;
        };
        let state = match pipeline.verdict() {
            Verdict::Passed | Verdict::Waits => State::Ok,
            Verdict::Underway | Verdict::Failed => State::Attention,
        };
        card.linked("pipeline", state, pipeline.words(), &pipeline.url);
        if pipeline.verdict() == Verdict::Failed {
            card.step("find out why the pipeline failed", pipeline.url.clone());
        }
    }

    fn runner_line(&self, card: &mut Card, runner: &RunnerNow) {
        let contact =
            runner.contacted_at.as_deref().map_or("no contact yet".to_owned(), |at| format!("last contact {at}"));
        if runner.is_online {
            let text = format!("{}: online, {contact}; GitLab shows a dead runner online for up to 2 h", runner.name);
            card.line("runner", State::Ok, text);
            return;
        }
        card.line("runner", State::Attention, format!("{}: {}, {contact}", runner.name, runner.state));
        let is_on_host = self.factory.host.kind != HostKind::None && self.runners_on_host().contains(&runner.name);
        if is_on_host {
            card.step(
                format!("check on the host why the {} runner is not online", runner.name),
                "sudo factory-runner status",
            );
        } else {
            let how = "docs/procedures/start-runners.md in the control repo";
            card.step(format!("connect a machine as the {} runner", runner.name), how);
        }
    }
}

/// How many names these variables have, and each name with its environments.
fn grouped<'a>(all: impl Iterator<Item = &'a Missing>) -> (usize, String) {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for Place { key, environment } in all.map(|one| &one.place) {
        match groups.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => known.push(environment),
            None => groups.push((key, vec![environment])),
        }
    }
    let words: Vec<_> = groups.iter().map(|(key, all)| format!("{key} ({})", all.join(", "))).collect();
    (groups.len(), words.join(", "))
}

/// The variables that the pipelines of the control repo need, each with its environment: `docs/secrets.md` there.
fn wanted_variables(factory: &Factory) -> Vec<Place> {
    let roots = roots(factory);
    let mut all = Vec::new();
    for root in &roots {
        let cloudflare = ["CLOUDFLARE_PLAN_TOKEN", "CLOUDFLARE_APPLY_TOKEN"];
        let control = ["CONTROL_PLANE_PLAN_TOKEN", "CONTROL_PLANE_APPLY_TOKEN"];
        let own = if root == "control-plane" { control } else { cloudflare };
        all.extend(own.map(|key| Place::new(key, root)));
    }
    let everywhere = |key| roots.iter().map(move |root| Place::new(key, root));
    if factory.infra.engine == Engine::Opentofu {
        all.extend(everywhere("STATE_PASSPHRASE"));
    }
    all.extend(everywhere("REPORT_TOKEN"));
    all.extend(everywhere("EVIDENCE_SIGNING_KEY").chain([Place::new("EVIDENCE_SIGNING_KEY", "evidence")]));
    all
}

fn tier(named: Tier, licensed: Option<bool>) -> String {
    let name = match named {
        Tier::Free => return "used as Free".into(),
        Tier::Premium => "Premium",
        Tier::Ultimate => "Ultimate",
    };
    match licensed {
        Some(true) => name.into(),
        _ => format!("{name} in factory.toml, but GitLab reports Free"),
    }
}

/// The lines of a GitLab that was not read.
fn unread(card: &mut Card, error: Error) -> Result<()> {
    card.unknown("gitlab", error)?;
    for part in ["pipeline", "runner", "agent", "token", "variables"] {
        card.line(part, State::Unknown, "cannot tell: GitLab was not read");
    }
    Ok(())
}

fn token_line(card: &mut Card, token: &TokenNow) {
    let TokenNow { whose, name, .. } = token;
    let text = match (token.ends, token.days) {
        (Some(end), Some(days)) if days <= SOON => {
            format!("{whose}: \"{name}\" ends on {end}, in {}", counted_days(days))
        }
        (Some(end), _) => format!("{whose}: \"{name}\" ends on {end}"),
        (None, _) => format!("{whose}: \"{name}\" never ends"),
    };
    let text = match token.renewer {
        Renewer::Owner => text + "; its CI variables are your own, so factoryup does not renew it",
        Renewer::Apply | Renewer::Person => text,
    };
    card.line("token", if token.is_due { State::Attention } else { State::Ok }, text);
    match token.renewer {
        Renewer::Person if token.is_due => card.step(
            format!("create a new token of {whose} like the first, and hand it over in a file"),
            format!("{AGENT_TOKEN}_FILE=FILE factoryup apply"),
        ),
        Renewer::Apply if token.is_due => card.step(format!("renew the token of {whose}"), "factoryup apply"),
        _ => {}
    }
}

fn counted_days(days: i32) -> String {
    counted(usize::try_from(days).unwrap_or(0), "day")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_token_that_ends_has_a_step_that_renews_it() {
        for (renewer, is_due, how) in [
            (Renewer::Apply, true, &["factoryup apply"][..]),
            (Renewer::Person, true, &["FACTORYUP_AGENT_TOKEN_FILE=FILE factoryup apply"]),
            (Renewer::Apply, false, &[]),
            (Renewer::Person, false, &[]),
            (Renewer::Owner, false, &[]),
        ] {
            let mut card = Card::default();
            let (whose, name) = ("agent".to_owned(), "t".to_owned());
            token_line(&mut card, &TokenNow { whose, name, ends: None, days: None, is_due, renewer });
            let steps: Vec<_> = card.next.iter().map(|step| step.how.as_str()).collect();
            assert_eq!(steps, how, "{renewer:?}");
            assert_eq!(card.lines[0].text.contains("does not renew it"), renewer == Renewer::Owner);
        }
    }

    #[test]
    fn the_variables_are_those_that_the_control_repo_documents() {
        let text = "schema = 2\n[factory]\nname = \"a1\"\nowner_name = \"A\"\nowner_email = \"a@example.org\"\n[gitlab]\ngroup = \"g\"\n\
                    [host]\nkind = \"none\"\n";
        let mut factory = crate::factory::parse(text, "factory.toml").unwrap();
        assert_eq!(wanted_variables(&factory).len(), 6);
        factory.cloudflare.enabled = true;
        let wanted = wanted_variables(&factory);
        assert!(wanted.contains(&Place::new("CLOUDFLARE_APPLY_TOKEN", "production")), "{wanted:?}");
        let page = include_str!("../../../templates/docs/secrets.md");
        let (_, table) = page.split_once("| variable | environment |").unwrap();
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|') || line.starts_with('{'));
        let told: BTreeSet<_> = rows.filter_map(|row| Some(row.strip_prefix("| `")?.split_once('`')?.0)).collect();
        let names: BTreeSet<_> = wanted.iter().map(|place| place.key).chain(["SOPS_AGE_KEY"]).collect();
        assert_eq!(names, told, "nothing in the control repo itself needs SOPS_AGE_KEY");
    }
}
