//! Which targets a factory has, and how each one is made from `factory.toml` and the keys at hand.

use std::path::{Path, PathBuf};

use crate::dialog::Dialog;
use crate::error::{Error, Kind, Result};
use crate::factory::{FILE_NAME, Factory, HostKind, to_toml};
use crate::gitlab::{GitlabTarget, hand_over, token_life};
use crate::host::{HostTarget, Reach, RevertTarget};
use crate::plan::{Event, Plan, StateDir, Target, TargetName, Watch};
use crate::repo::RepoTarget;
use crate::repo::doctor;
use crate::repo::resolve::Resolver;
use crate::secret::Secret;
use crate::transport::{Local, Ssh, SshOptions};
use crate::wizard::discover::{Surroundings, gitlab_token, token_for_another_instance};

/// How to get in, beside what `factory.toml` says. Files rather than values: secrets are read when they are needed.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// A private SSH key.
    pub identity: Option<PathBuf>,
    /// The only host key to accept, `SHA256:…`; wins over `host.host_key`.
    pub host_key: Option<String>,
    /// A file that holds the password for sudo on the host.
    pub sudo_password_file: Option<PathBuf>,
    /// A file that holds the GitLab token.
    pub gitlab_token_file: Option<PathBuf>,
}

/// The targets of a factory, in the order in which they are brought about.
#[must_use]
pub fn of(factory: &Factory) -> Vec<TargetName> {
    let mut names = vec![TargetName::Repo];
    if factory.host.kind != HostKind::None {
        names.push(TargetName::Host);
    }
    names.push(TargetName::Gitlab);
    names
}

/// One target, ready to be observed. Its secrets are read here, or asked for when it turns out that they are needed.
///
/// # Errors
/// `Usage` when a secret is missing and nobody can be asked; `Data` when the factory has no such target.
pub fn make<'a>(
    name: TargetName,
    factory: &'a Factory,
    dir: &Path,
    keys: &'a Keys,
    state: &'a StateDir,
    watch: &'a dyn Watch,
) -> Result<Box<dyn Target + 'a>> {
    match name {
        TargetName::Repo => Ok(Box::new(repo(factory, dir)?)),
        TargetName::Host => Ok(Box::new(host(factory, keys, state, watch)?)),
        TargetName::Gitlab => Ok(Box::new(gitlab(factory, dir, keys, state, watch)?)),
    }
}

/// Brings targets about in order; and the host once more when the hand-off made something for it.
///
/// What could not be made in a worker's home stops none of the targets that follow, since the worker itself could have seen to that,
/// and the control plane has to be brought right all the same; the error comes at the end.
///
/// # Errors
/// As [`make`], and what `work` returns.
pub fn bring_about(
    names: &[TargetName],
    factory: &Factory,
    dir: &Path,
    keys: &Keys,
    state: &StateDir,
    watch: &dyn Watch,
    work: &mut dyn FnMut(&mut dyn Target) -> Result<()>,
) -> Result<()> {
    // A token that is missing is noticed before anything is changed, not between the host and the hand-off.
    let mut token = match names {
        [_, .., TargetName::Gitlab] => Some(owner_token(&factory.gitlab.url, dir, keys, watch)?),
        _ => None,
    };
    let mut left = None;
    for &name in names {
        let before = hand_over(factory, state)?;
        let made = match (name, token.take_if(|_| name == TargetName::Gitlab)) {
            (TargetName::Gitlab, Some(token)) => work(&mut GitlabTarget::new(factory, token, dir, state)?),
            _ => work(&mut *make(name, factory, dir, keys, state, watch)?),
        };
        match made {
            Err(error) if error.is_partial() => {
                if names.last() != Some(&name) {
                    watch.warn(&format!("{error}; going on with what comes after {name}"));
                }
                left = Some(error);
            }
            made => made?,
        }
        if name != TargetName::Gitlab || factory.host.kind == HostKind::None || hand_over(factory, state)?.is(&before) {
            continue;
        }
        if names.contains(&TargetName::Host) {
            left = match work(&mut host(factory, keys, state, watch)?) {
                Err(error) if error.is_partial() => Some(error),
                made => made.map(|()| None)?,
            };
        } else {
            watch.warn(
                "the hand-off made new tokens, which the host does not have yet; bring them: factoryup apply host",
            );
        }
    }
    left.map_or(Ok(()), Err)
}

/// Observes targets in order, and says what a hand-off that is still to come will change on the host. Returns whether changes are
/// pending. One that cannot be looked at does not keep the others from being shown.
///
/// # Errors
/// As [`make`] and [`Target::observe`], of the first that could not be looked at; and what `show` returns.
pub fn look(
    names: &[TargetName],
    factory: &Factory,
    dir: &Path,
    keys: &Keys,
    state: &StateDir,
    watch: &dyn Watch,
    show: &mut dyn FnMut(&Plan) -> Result<()>,
) -> Result<bool> {
    let mut pending = false;
    let mut seen = None;
    let mut look_at = |target: &mut dyn Target, show: &mut dyn FnMut(&Plan) -> Result<()>| {
        watch.event(&Event::Target { name: target.name(), subject: &target.subject() });
        let plan = target.observe(watch)?;
        pending |= !plan.is_empty();
        show(&plan).map(|()| plan)
    };
    let mut failure = None;
    for &name in names {
        let looked = match name {
            TargetName::Repo => repo(factory, dir).and_then(|mut repo| look_at(&mut repo, show)).map(drop),
            TargetName::Host => host(factory, keys, state, watch).and_then(|mut host| {
                let plan = look_at(&mut host, show)?;
                seen = Some((host, plan));
                Ok(())
            }),
            TargetName::Gitlab => gitlab(factory, dir, keys, state, watch).and_then(|mut gitlab| {
                let plan = look_at(&mut gitlab, show)?;
                let Some((host, now)) = &mut seen else { return Ok(()) };
                let then = host.after(gitlab.coming(&plan)?, now)?;
                if then.is_empty() {
                    return Ok(());
                }
                watch.event(&Event::Target { name: TargetName::Host, subject: &host.subject() });
                show(&then)
            }),
        };
        let Err(error) = looked else { continue };
        // What ends the process, or cannot be shown, ends the look as well.
        if names.len() == 1 || matches!(error.kind(), Kind::Interrupted | Kind::CannotWrite) {
            return Err(error);
        }
        if failure.is_none() && Some(&name) != names.last() {
            watch.warn(&format!("{name} cannot be looked at; the error at the end says why"));
        } else if failure.is_some() {
            watch.warn(&format!("{name} cannot be looked at: {error}"));
        }
        failure.get_or_insert(error);
    }
    failure.map_or(Ok(pending), Err)
}

fn gitlab(factory: &Factory, dir: &Path, keys: &Keys, state: &StateDir, dialog: &dyn Dialog) -> Result<GitlabTarget> {
    let token = owner_token(&factory.gitlab.url, dir, keys, dialog)?;
    GitlabTarget::new(factory, token, dir, state)
}

/// The control repo in `dir`.
///
/// # Errors
/// `Data` when its `factory.toml` cannot be read; otherwise as [`RepoTarget::new`].
pub fn repo(factory: &Factory, dir: &Path) -> Result<RepoTarget> {
    RepoTarget::new(dir, factory, &text(factory, dir)?)
}

/// The conflicts of the control repo in `dir`.
///
/// # Errors
/// `Data` when its `factory.toml` cannot be read; otherwise as [`Resolver::open`].
pub fn resolver(factory: &Factory, dir: &Path) -> Result<Resolver> {
    Resolver::open(dir, factory, &text(factory, dir)?)
}

/// Checks the control repo in `dir`, and what this machine knows of the agent's token.
///
/// # Errors
/// `Data` when its `factory.toml` cannot be read; otherwise as [`doctor::check`].
pub fn check(factory: &Factory, dir: &Path, state: &StateDir) -> Result<Vec<doctor::Check>> {
    let mut checks = doctor::check(dir, factory, &text(factory, dir)?)?;
    checks.push(check_token(factory, state)?);
    Ok(checks)
}

/// Whether the agent's token, here and on the host, is not about to end.
fn check_token(factory: &Factory, state: &StateDir) -> Result<doctor::Check> {
    let life = token_life(factory, state)?;
    let username = &factory.agent.username;
    let fault = life.filter(|life| life.is_due).map(|life| format!("that of {username} ends on {}", life.ends));
    Ok(doctor::Check {
        claim: "the agent's token is not about to end",
        faults: fault.into_iter().collect(),
        remedy: "renew it, in GitLab and on the host, with: factoryup apply",
        skipped: life.is_none().then(|| "no hand-off was made from this machine".to_owned()),
    })
}

/// The text of `factory.toml` as the user wrote it.
fn text(factory: &Factory, dir: &Path) -> Result<String> {
    let path = dir.join(FILE_NAME);
    if path.exists() { read_text(&path) } else { to_toml(factory) }
}

/// The host of a factory, as [`make`] makes it, for what only a host can do.
///
/// # Errors
/// As [`make`].
pub fn host<'a>(
    factory: &'a Factory,
    keys: &'a Keys,
    state: &'a StateDir,
    watch: &'a dyn Watch,
) -> Result<HostTarget<'a>> {
    let password = secret(keys.sudo_password_file.as_deref(), "FACTORYUP_SUDO_PASSWORD")?;
    HostTarget::new(factory, reach(factory, keys, state, watch), password)?.with_hand_over(hand_over(factory, state)?)
}

/// The host of a factory on its way back.
///
/// # Errors
/// As [`make`].
pub fn way_back<'a>(
    factory: &'a Factory,
    keys: &'a Keys,
    state: &'a StateDir,
    watch: &'a dyn Watch,
) -> Result<RevertTarget<'a>> {
    let password = secret(keys.sudo_password_file.as_deref(), "FACTORYUP_SUDO_PASSWORD")?;
    RevertTarget::new(factory, reach(factory, keys, state, watch), password)
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::new(Kind::Data, format!("cannot read {}: {e}", path.display())))
}

/// A way to the host for the first of the users that it lets in.
fn reach<'a>(factory: &'a Factory, keys: &'a Keys, state: &'a StateDir, watch: &'a dyn Watch) -> Reach<'a> {
    if factory.host.kind == HostKind::Local {
        return Reach::Here(Box::new(Local));
    }
    Reach::Remote(Box::new(move |users| {
        let pinned = keys.host_key.as_deref().unwrap_or(&factory.host.host_key);
        let mut options = SshOptions::new(&factory.host.address, state.file("known_hosts"));
        options.port = Some(factory.host.port).filter(|&port| port != 22);
        options.users = users.to_vec();
        options.identity.clone_from(&keys.identity);
        options.host_key = if pinned.is_empty() { None } else { Some(pinned.parse()?) };
        Ok(Box::new(Ssh::new(options, watch)?))
    }))
}

/// The owner's GitLab token: from the file that was named, from where tokens are found, or asked for.
///
/// # Errors
/// `Usage` when there is none and nobody can be asked.
pub fn owner_token(url: &str, dir: &Path, keys: &Keys, dialog: &dyn Dialog) -> Result<Secret> {
    if let Some(path) = &keys.gitlab_token_file {
        return Secret::from_file(path);
    }
    if let Some((token, place)) = gitlab_token(&Surroundings::here(dir), url)? {
        dialog.note(&format!("the GitLab token is from {place}"));
        return Ok(token);
    }
    let page = format!("{url}/-/user_settings/personal_access_tokens?name=factoryup&scopes=api");
    if dialog.is_interactive() {
        dialog.note(&format!("a token can be made at {page}"));
        return dialog.secret(&format!("Token for {url}, of a group owner, with the scope api"));
    }
    let error = Error::usage(format!("no token for {url}"));
    let error = match token_for_another_instance(&Surroundings::here(dir), url) {
        Some(why) => error.hint(why),
        None => error,
    };
    Err(error
        .hint("set FACTORYUP_GITLAB_TOKEN, or name a file with --gitlab-token-file FILE")
        .hint(format!("to make one with the scope api: {page}")))
}

/// A secret from its file or its variable.
fn secret(file: Option<&Path>, variable: &str) -> Result<Option<Secret>> {
    match file {
        Some(path) => Secret::from_file(path).map(Some),
        None => Ok(std::env::var(variable).ok().filter(|v| !v.is_empty()).map(Secret::new)),
    }
}
