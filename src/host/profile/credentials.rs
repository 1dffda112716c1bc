//! What the hand-off made for this host: the agent's access to GitLab with its clone and tools, and the tokens that its runners are set up with.
//!
//! The agent's token is a credential of git's for the control plane's origin and no other, so that `git` and the control repo's
//! scripts work in the agent's shell with nothing typed. That of its desk is known to those scripts alone, and names the origin that they
//! may send it to. The runners' tokens are root's: jobs run as other users.

use super::Wishes;
use crate::factory::{AgentKind, Factory, RunnerKind, SecretProvider};
use crate::hand_over::{HandOver, Token};
use crate::host::accounts::AGENT;
use crate::host::resources::{
    Directory, File, GitClone, GitInclude, INCLUDED, Program, Resource, SecretFile, Tool, Trust, Wish,
};
use crate::host::word::HostPath;
use crate::secret::Secret;

/// Below the agent's home: the credential, in the form of `git-credential(1)`.
const CREDENTIAL: &str = ".config/factory/gitlab-credential";
/// The same for the account that opens issues and answers reviews. `scripts/lib.sh` of the control repo reads it.
const DESK: &str = ".config/factory/desk-credential";

pub(super) fn add(resources: &mut Vec<Box<dyn Resource>>, wishes: &Wishes<'_>) {
    let (factory, made) = (wishes.factory, &wishes.hand_over);
    resources.push(Box::new(Directory {
        path: HostPath::home(AGENT, ".config/factory"),
        mode: "700",
        owner: AGENT.into(),
        group: AGENT.into(),
    }));
    let credential = match &made.agent {
        Token::Known(token) => Wish::Text(credential_text(factory, token)),
        Token::Coming => Wish::Coming,
        Token::Unknown => Wish::Any,
    };
    add_desk(resources, factory, &made.desk);
    // Without a token from here, what is there was made from another machine, and stays.
    let is_known = !matches!(credential, Wish::Any);
    resources.push(Box::new(SecretFile {
        path: HostPath::home(AGENT, CREDENTIAL),
        owner: AGENT.into(),
        what: "the agent's GitLab token",
        wish: credential,
    }));
    if is_known {
        let mut file = File::system("", configuration(factory, made.account));
        file.path = HostPath::home(AGENT, INCLUDED);
        (file.owner, file.group) = (AGENT.into(), AGENT.into());
        resources.push(Box::new(file));
        resources.push(Box::new(GitInclude { user: AGENT.into() }));
    }
    add_clone(resources, factory, made.agent.clone());
    let podman = factory.runner.kind == RunnerKind::Podman;
    for (name, what, is_here) in
        [("trusted", "the trusted runner's token", true), ("untrusted", "the untrusted runner's token", podman)]
    {
        let wish = match made.runner(name) {
            _ if !is_here => Wish::Nothing,
            Token::Known(token) => Wish::Text(Secret::new(format!("{}\n", token.expose()))),
            Token::Coming => Wish::Coming,
            Token::Unknown => Wish::Any,
        };
        let path = HostPath::new(format!("/etc/factory/runner-{name}-token"));
        resources.push(Box::new(SecretFile { path, owner: "root".into(), what, wish }));
    }
}

fn credential_text(factory: &Factory, token: &Secret) -> Secret {
    Secret::new(format!("username={}\npassword={}\n", factory.agent.username, token.expose()))
}

fn desk_text(factory: &Factory, token: &Secret) -> Secret {
    let url = factory.gitlab.url.trim_end_matches('/');
    Secret::new(format!("gitlab={url}\npassword={}\n", token.expose()))
}

/// The agent's files with these tokens: how the token is called in a [`HandOver`], its path, and its text.
pub(crate) fn of_agent(factory: &Factory, made: &HandOver) -> Vec<(&'static str, HostPath, Secret)> {
    let agent = match &made.agent {
        Token::Known(token) => Some(("agent", HostPath::home(AGENT, CREDENTIAL), credential_text(factory, token))),
        _ => None,
    };
    let desk = match &made.desk {
        Token::Known(token) => Some(("desk", HostPath::home(AGENT, DESK), desk_text(factory, token))),
        _ => None,
    };
    agent.into_iter().chain(desk).collect()
}

/// What another machine made stays, and where GitLab has no such account there is none.
fn add_desk(resources: &mut Vec<Box<dyn Resource>>, factory: &Factory, token: &Token) {
    let wish = match token {
        Token::Known(token) => Wish::Text(desk_text(factory, token)),
        Token::Coming => Wish::Coming,
        Token::Unknown => return,
    };
    resources.push(Box::new(SecretFile {
        path: HostPath::home(AGENT, DESK),
        owner: AGENT.into(),
        what: "the token for the agent's issues and reviews",
        wish,
    }));
}

/// Where the agent works on the control repo, so that `factory work N` only has to be typed.
fn add_clone(resources: &mut Vec<Box<dyn Resource>>, factory: &Factory, token: Token) {
    let clone = clone(factory, token);
    resources.push(Box::new(clone.clone()));
    for name in tools(factory) {
        resources.push(Box::new(Tool { name, clone: clone.clone() }));
    }
    let kind = factory.agent.kind;
    let claude = (kind != AgentKind::Codex).then_some(Program::Claude);
    let codex = (kind != AgentKind::ClaudeCode).then_some(Program::Codex);
    for program in claude.into_iter().chain(codex) {
        resources.push(Box::new(Trust { program, clone: clone.clone() }));
    }
}

/// The agent's clone of the control repo.
pub(crate) fn clone(factory: &Factory, token: Token) -> GitClone {
    GitClone {
        user: AGENT.into(),
        below: format!("work/{}", factory.gitlab.project),
        url: format!("{}.git", factory.gitlab.project_url()),
        branch: factory.gitlab.default_branch.clone(),
        token,
        credential: HostPath::home(AGENT, CREDENTIAL),
    }
}

/// The agent's own program, and what `scripts/check` and `scripts/secret` call.
pub(crate) fn tools(factory: &Factory) -> impl Iterator<Item = &'static str> {
    let kind = factory.agent.kind;
    [
        (kind != AgentKind::Codex).then_some("claude"),
        (kind != AgentKind::ClaudeCode).then_some("codex"),
        Some(factory.infra.engine.binary()),
        (factory.secrets.provider == SecretProvider::SopsAge).then_some("sops"),
    ]
    .into_iter()
    .flatten()
}

/// Git's configuration for the agent. The empty helper takes away those that come before, which would store the token elsewhere;
/// this one forgets nothing when GitLab refuses the token once.
fn configuration(factory: &Factory, account: Option<u64>) -> String {
    let (origin, host) = origin(&factory.gitlab.url);
    let username = &factory.agent.username;
    // GitLab's own form of an address that belongs to an account and receives nothing:
    // https://docs.gitlab.com/user/profile/#use-an-automatically-generated-private-commit-email
    let number = account.map_or_else(String::new, |id| format!("{id}-"));
    format!(
        "\
# Written by factoryup; ~/.gitconfig includes it. What stands after the include there wins.
[user]
\tname = {} agent
\temail = {number}{username}@users.noreply.{host}
[credential \"{origin}\"]
\thelper =
\thelper = \"!f() {{ [ \\\"$1\\\" != get ] || cat ~/{CREDENTIAL}; }}; f\"
",
        factory.factory.name
    )
}

/// Scheme with authority, and the host alone, of a base URL.
fn origin(url: &str) -> (&str, &str) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    let authority = &url[start..end];
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    (&url[..end], host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observed::Observed;
    use crate::host::program::Show;
    use crate::plan::{Action, Change};

    fn desk(url: &str, token: &Token) -> Option<String> {
        let text = "schema = 1\n[factory]\nname = \"acme\"\nowner_name = \"Ada\"\nowner_email = \"ada@example.org\"\n\
                    [gitlab]\ngroup = \"acme\"\n";
        let mut factory: Factory = toml::from_str(text).unwrap();
        url.clone_into(&mut factory.gitlab.url);
        let mut resources = Vec::new();
        add_desk(&mut resources, &factory, token);
        let made = resources.pop()?;
        assert_eq!(made.named().1, "~agent/.config/factory/desk-credential");
        let change = Change::new(made.id(), Action::Create, "");
        Some(made.step(&change, &Observed::default(), Show::Run).body())
    }

    /// The scripts of the control repo send it to no other.
    #[test]
    fn the_token_of_the_desk_names_the_gitlab_that_it_is_for() {
        let body = desk("https://git.example:8443/gitlab", &Token::Known(Secret::new("glpat-1"))).unwrap();
        assert!(body.contains("gitlab=https://git.example:8443/gitlab\npassword=glpat-1\n"), "{body}");
        // Where GitLab has no such account, the plan says nothing of it.
        assert!(desk("https://git.example", &Token::Unknown).is_none());
    }

    #[test]
    fn the_credential_is_for_the_origin_alone() {
        assert_eq!(origin("https://gitlab.com"), ("https://gitlab.com", "gitlab.com"));
        assert_eq!(origin("https://git.example:8443/gitlab"), ("https://git.example:8443", "git.example"));
        assert_eq!(origin("http://[::1]:80/x"), ("http://[::1]:80", "::1"));
    }
}
