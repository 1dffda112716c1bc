//! No template says something untrue of the answers: names, tools, tiers, accounts and places that were not chosen.

use factoryup::templating::tree::Mode;

use crate::combinations::{Combination, PAIRWISE};

/// A word that only some answers bring.
struct Word {
    text: &'static str,
    chosen: fn(&Combination) -> bool,
    /// Paths where it may stand all the same, since one form serves every answer; a folder ends with `/`.
    except: &'static [&'static str],
}

const fn word(text: &'static str, chosen: fn(&Combination) -> bool, except: &'static [&'static str]) -> Word {
    Word { text, chosen, except }
}

/// What holds a word without meaning it: names of files, of GitLab's API, of the language, and lists of all there is to choose.
const NO_MENTION: &[&str] = &[
    "terraform.tfvars",
    ".terraform.lock.hcl",
    ".terraform/",
    "terraform {",
    "terraform.encryption",
    "/terraform/state",
    "terraform: $[[",
    "[tofu, terraform]",
    "docs.gitlab.com",
    "packages.gitlab.com",
    "production, staging, testing, development, other",
    "production, staging, testing, development or other",
    "[\"production\", \"staging\", \"testing\", \"development\", \"other\"]",
];

/// The machine that serves applications is "the host" of the edge, even where factoryup provisions none.
const EDGE: &[&str] = &[
    "infra/",
    "templates/deploy/template.yml",
    "docs/runbooks/tunnel-down.md",
    "docs/procedures/leave-cloudflare.md",
    "docs/glossary.md",
];
/// Names the kinds of secrets that it finds, in every repo.
const GUARD: &[&str] = &["scripts/checks/secrets"];
/// What sets up a runner knows each kind, and applications may build images on each host.
const IMAGES: &[&str] = &["scripts/host/factory-runner", "docs/app-contract.md"];
/// One script that serves whatever is installed.
const FACTORY: &[&str] = &["scripts/host/factory"];
/// Examples of a module that is the same for every factory.
const MODULES: &[&str] = &["infra/modules/"];

fn claude(c: &Combination) -> bool {
    !c.has("codex")
}

fn codex(c: &Combination) -> bool {
    !c.has("claude")
}

fn sops(c: &Combination) -> bool {
    c.has("sops") || c.has("sops-owner")
}

fn host(c: &Combination) -> bool {
    !c.has("no-host")
}

fn backup(c: &Combination) -> bool {
    host(c) && c.has("backup")
}

fn edge(c: &Combination) -> bool {
    c.has("cloudflare")
}

fn self_hosted(c: &Combination) -> bool {
    c.has("self-hosted")
}

fn tofu(c: &Combination) -> bool {
    c.has("tofu")
}

fn staging(c: &Combination) -> bool {
    c.has("staging-production")
}

fn production(c: &Combination) -> bool {
    !c.has("three")
}

fn gitlab_com(c: &Combination) -> bool {
    c.has("gitlab.com")
}

fn main_branch(c: &Combination) -> bool {
    !self_hosted(c)
}

fn words() -> Vec<Word> {
    vec![
        word("Claude", claude, &[]),
        word("claude", claude, &[".gitignore", "scripts/checks/skills", "scripts/host/factory"]),
        word("Codex", codex, &[]),
        word("codex", codex, FACTORY),
        word("OpenTofu", tofu, &[]),
        word("tofu", tofu, &["scripts/lib.sh", "scripts/infra"]),
        word("Terraform", |c| !tofu(c), &[]),
        word("terraform", |c| !tofu(c), &["scripts/lib.sh"]),
        word("SOPS", sops, GUARD),
        word("sops", sops, GUARD),
        word("age1", sops, &[]),
        word("age public key", sops, &[]),
        word("OpenBao", |c| c.has("openbao"), &[]),
        word("bao", |c| c.has("openbao"), &[]),
        word("Infisical", |c| c.has("infisical"), &[]),
        word("infisical", |c| c.has("infisical"), &[]),
        word("1Password", |c| c.has("1password"), GUARD),
        word("op", |c| c.has("1password"), &[]),
        word("Bitwarden", |c| c.has("bitwarden"), GUARD),
        word("bws", |c| c.has("bitwarden"), &[]),
        word("glab", |c| c.has("variables"), &[]),
        word("Premium", |c| c.has("premium"), &[]),
        word("Ultimate", |c| c.has("ultimate"), &[]),
        word("GitLab Free", |c| c.has("free"), &[]),
        word("gitlab.com", gitlab_com, &["toolchain.lock"]),
        word("status.gitlab.com", gitlab_com, &[]),
        word("gitlab.corp.example", self_hosted, &[]),
        word("platform/delivery", self_hosted, &[]),
        word("`trunk`", self_hosted, &[]),
        word("`main`", main_branch, &[]),
        word("origin/main", main_branch, &[]),
        word("refs/heads/main", main_branch, &[]),
        word("factory-agent", |c| !c.has("codex"), &[]),
        word("delivery-bot", |c| c.has("codex"), &[]),
        word("factory-backup", backup, &[]),
        word("restore-host", backup, &[]),
        word("/mnt/backup", backup, &[]),
        word("Podman", |c| c.has("podman"), IMAGES),
        word("podman", |c| c.has("podman"), IMAGES),
        word("Kubernetes", |c| c.has("kubernetes"), &[]),
        word("[untrusted]", |c| !c.has("shared"), &[]),
        word("Cloudflare", edge, GUARD),
        word("cloudflared", edge, &[]),
        word("CLOUDFLARE_PLAN_TOKEN", edge, &[]),
        word("tunnel", edge, &[]),
        word("ruleset", edge, &[]),
        word("example.org", edge, &["README.md", ".gitlab/CODEOWNERS"]),
        word("trusted host", host, &[]),
        word("the host", host, EDGE),
        word("/home/agent", host, &[]),
        word("/var/lib/factoryup", host, &[]),
        word("factory work", host, &[]),
        word("systemctl", host, &["docs/runbooks/tunnel-down.md", "docs/procedures/connect-tunnel.md"]),
        word("journalctl", host, &["docs/runbooks/tunnel-down.md", "docs/procedures/connect-tunnel.md"]),
        word("203.0.113.7", |c| c.has("ssh"), &[]),
        word("2222", |c| c.has("ssh-2222"), &[]),
        word("`operator`", |c| c.has("key"), &[]),
        word("staging", staging, MODULES),
        word("environments/staging", staging, &[]),
        word("apply:production", production, &[]),
        word("plan:production", production, &[]),
        word("environments/production", production, &[]),
        word("secrets/production", production, &[]),
        word("qa", |c| c.has("three"), &[]),
        word("environments/live", |c| c.has("three"), &[]),
        word("secrets/live", |c| c.has("three"), &[]),
    ]
}

#[test]
fn nothing_is_mentioned_that_was_not_chosen() {
    let mut untrue = Vec::new();
    for combination in PAIRWISE.iter() {
        for (path, text) in texts(combination) {
            for Word { text: word, except, .. } in words().iter().filter(|word| !(word.chosen)(combination)) {
                let excepted = except.iter().any(|place| within(path, place));
                if !excepted && mentions(text, word) {
                    let line = text.lines().find(|line| mentions(line, word)).unwrap_or_default();
                    untrue.push(format!("{path} mentions {word}: {line}\n    {}", combination.name()));
                }
            }
        }
    }
    assert!(untrue.is_empty(), "{} mentions of what was not chosen:\n{}", untrue.len(), untrue.join("\n"));
}

/// A word that is nowhere would prove nothing, and so would an exception that nothing needs.
#[test]
fn every_word_is_mentioned_where_it_was_chosen() {
    let mut idle = Vec::new();
    for Word { text: word, chosen, except } in words() {
        let stands = |wanted: bool, at: &dyn Fn(&str) -> bool| {
            let of = PAIRWISE.iter().filter(|c| chosen(c) == wanted);
            of.flat_map(texts).any(|(path, text)| at(path) && mentions(text, word))
        };
        if !stands(true, &|_| true) {
            idle.push(format!("{word} is mentioned nowhere"));
        }
        for place in except.iter().filter(|e| !stands(false, &|path| within(path, e))) {
            idle.push(format!("{word} needs no exception for {place}"));
        }
    }
    assert_eq!(idle, Vec::<String>::new());
}

/// Whether a path is this one, or in this folder if it ends with `/`.
fn within(path: &str, place: &str) -> bool {
    path == place || place.ends_with('/') && path.starts_with(place)
}

fn texts(combination: &Combination) -> Vec<(&str, &str)> {
    let files = combination.tree.files.iter().filter(|f| f.mode != Mode::Link);
    files.map(|f| (f.path.as_str(), std::str::from_utf8(&f.bytes).unwrap())).collect()
}

fn mentions(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let inside = |known: &&&str| {
            known.match_indices(word).any(|(offset, _)| at >= offset && text[at - offset..].starts_with(**known))
        };
        !part(before) && !part(after) && !NO_MENTION.iter().any(|known| inside(&known))
    })
}

/// A number in a sentence is that of the rows below it.
#[test]
fn as_many_identities_are_named_as_there_are() {
    for combination in PAIRWISE.iter() {
        let text = combination.text("docs/identities.md");
        let (intro, rest) = text.split_once("|---|").unwrap();
        let rows = rest.lines().skip(1).take_while(|line| line.starts_with('|')).count();
        let word = ["four", "five", "six"].get(rows.wrapping_sub(4)).unwrap_or(&"?");
        assert!(intro.contains(&format!("There are {word} identities")), "{}: {rows}: {intro}", combination.name());
    }
}

/// Where SSH listens on a port of its own, whoever follows a document gets there.
#[test]
fn a_port_of_ssh_is_in_each_command_that_needs_it() {
    let mut commands = 0;
    for combination in PAIRWISE.iter().filter(|c| c.has("ssh-2222")) {
        for (path, text) in texts(combination).into_iter().filter(|(path, _)| path.starts_with("docs/")) {
            for line in text.lines().filter(|line| line.contains("@factory.acme.example")) {
                assert!(line.contains("2222"), "{}: {path}: {line}", combination.name());
                commands += 1;
            }
        }
        let architecture = combination.text("docs/architecture.md");
        assert!(architecture.contains("reached by SSH on port 2222"), "{}", combination.name());
    }
    assert!(commands > 3, "{commands}");
}
