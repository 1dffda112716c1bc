//! The git hooks that guard the repositories, and the two files through which they and the stand-in speak.
//!
//! GitLab asks its application from a `pre-receive` hook whether a push is allowed. Here the stand-in writes down beforehand what
//! the pusher may do, one rule a line, and the hook looks each pushed ref up in it; git itself says whether a push is forced.
//! `post-receive` writes down what was pushed, with its push options, for the stand-in to act on.

use std::fmt::Write as _;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::access::Actor;
use crate::model::Project;

/// The environment variable that names the file of rules.
pub(crate) const RULES: &str = "FACTORYUP_STAND_IN_RULES";
/// The environment variable that names the file to report to.
pub(crate) const REPORT: &str = "FACTORYUP_STAND_IN_REPORT";

const PRE_RECEIVE: &str = r#"#!/bin/sh
# Refuses what protected branches and tags refuse. The rules are lines of tab-separated fields:
#   role LEVEL | default BRANCH | first MAY_PUSH | secrets yes | branch PATTERN MAY_PUSH MAY_FORCE | tag PATTERN MAY_CREATE
set -eu
tab=$(printf '\t')

refuse() {
    printf 'GitLab: %s\n' "$1" >&2
    exit 1
}

role=0
default=
first_branch=no
secrets=no
while IFS=$tab read -r kind first _; do
    case $kind in
    role) role=$first ;;
    default) default=$first ;;
    first) first_branch=$first ;;
    secrets) secrets=$first ;;
    esac
done <"$FACTORYUP_STAND_IN_RULES"

# Sets matched, push and force for a ref. Of several rules that match, the most permissive wins.
look_up() {
    matched=no push=no force=no
    while IFS=$tab read -r kind pattern may_push may_force; do
        [ "$kind" = "$1" ] || continue
        # shellcheck disable=SC2254 # the pattern is meant as one
        case $2 in
        $pattern) ;;
        *) continue ;;
        esac
        matched=yes
        [ "$may_push" != yes ] || push=yes
        [ "$may_force" != yes ] || force=yes
    done <"$FACTORYUP_STAND_IN_RULES"
}

is_zero() {
    case $1 in
    *[!0]*) return 1 ;;
    esac
}

branch() {
    look_up branch "$3"
    if is_zero "$2"; then
        [ "$3" != "$default" ] || refuse 'The default branch of a project cannot be deleted.'
        [ "$matched" = yes ] || return 0
        [ "$role" -ge 40 ] || refuse 'You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch.'
        refuse 'You can only delete protected branches using the web interface.'
    fi
    if [ -z "$(git for-each-ref --count=1 refs/heads)" ]; then
        matched=yes push=$first_branch
    fi
    [ "$matched" = yes ] || return 0
    if ! is_zero "$1" && ! git merge-base --is-ancestor "$1" "$2" && [ "$force" = no ]; then
        refuse 'You are not allowed to force push code to a protected branch on this project.'
    fi
    [ "$push" = yes ] || refuse 'You are not allowed to push code to protected branches on this project.'
}

tag() {
    look_up tag "$3"
    [ "$matched" = yes ] || return 0
    if is_zero "$2"; then
        [ "$role" -ge 40 ] || refuse 'You are not allowed to delete protected tags from this project. Only a project maintainer or owner can delete a protected tag.'
        refuse 'You can only delete protected tags using the web interface.'
    fi
    is_zero "$1" || refuse 'Protected tags cannot be updated.'
    [ "$push" = yes ] || refuse 'You are not allowed to create this tag as it is protected.'
}

# A push rule's list of names, ee/lib/gitlab/checks/files_denylist.yml, in the order of that file.
file_names() {
    [ "$secrets" = yes ] && ! is_zero "$1" || return 0
    for pattern in 'aws\/credentials$' '(ssh|config)\/(personal|server)_(rsa|dsa|ed25519|ecdsa|ecdsa_sk|ed25519_sk)' \
        'id_rsa$' 'id_dsa$' 'id_ed25519$' 'id_ecdsa$' 'id_ecdsa_sk$' 'id_ed25519_sk$' '\.(pem|key)$' '[._]history$'; do
        found=$(git log --format= --name-only --diff-filter=AR "$1" --not --all | grep -E -m 1 "$pattern") || continue
        refuse "File name $found was prohibited by the pattern \"$pattern\"."
    done
}

while read -r old new ref; do
    file_names "$new"
    case $ref in
    refs/heads/*) branch "$old" "$new" "${ref#refs/heads/}" ;;
    refs/tags/*) tag "$old" "$new" "${ref#refs/tags/}" ;;
    *) refuse "The ref $ref is reserved." ;;
    esac
done
"#;

const POST_RECEIVE: &str = r#"#!/bin/sh
# Reports what was pushed, and the push options.
set -eu
exec >>"$FACTORYUP_STAND_IN_REPORT"
while read -r old new ref; do
    printf 'moved\t%s\t%s\t%s\n' "$old" "$new" "$ref"
done
count=0
while [ "$count" -lt "${GIT_PUSH_OPTION_COUNT:-0}" ]; do
    option=
    eval "option=\$GIT_PUSH_OPTION_$count"
    printf 'option\t%s\n' "$option"
    count=$((count + 1))
done
"#;

/// Writes the hooks into a directory, for `core.hooksPath`.
pub(crate) fn install(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    for (name, text) in [("pre-receive", PRE_RECEIVE), ("post-receive", POST_RECEIVE)] {
        let path = directory.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// What the pusher may do in a project, for the hook to read. `protection` is the instance's default protection of branches.
pub(crate) fn rules(project: &Project, actor: &Actor, protection: u8) -> String {
    let yes = |allowed: bool| if allowed { "yes" } else { "no" };
    let first = yes(actor.may_push_first(protection));
    let mut text = format!("role\t{}\ndefault\t{}\nfirst\t{first}\n", actor.role, project.default_branch);
    if project.premium.push_rule.as_ref().is_some_and(|rule| rule.get("prevent_secrets").is_some_and(|on| on == true)) {
        text.push_str("secrets\tyes\n");
    }
    for rule in &project.protected_branches {
        let push = yes(actor.covers_push_rule(rule));
        let _ = writeln!(text, "branch\t{}\t{push}\t{}", pattern(&rule.name), yes(rule.allow_force_push));
    }
    for rule in &project.protected_tags {
        let _ = writeln!(text, "tag\t{}\t{}", pattern(&rule.name), yes(actor.covers_tag_rule(rule)));
    }
    text
}

/// A rule's name as a pattern of the shell's `case`, in which only `*` keeps a meaning.
fn pattern(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars().filter(|c| !c.is_control()) {
        match c {
            '?' | '[' => text.extend(['[', c, ']']),
            '\\' => text.push_str("[\\\\]"),
            other => text.push(other),
        }
    }
    text
}

/// A ref that a push moved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// `refs/heads/…` or `refs/tags/…`.
    pub(crate) reference: String,
    /// `None` when the ref is new.
    pub(crate) old: Option<String>,
    /// `None` when the ref is gone.
    pub(crate) new: Option<String>,
}

/// What one push did.
#[derive(Debug, Default)]
pub(crate) struct Push {
    pub(crate) moved: Vec<Moved>,
    /// `-o` options as given: `merge_request.create`, `merge_request.target=main`, …
    pub(crate) options: Vec<String>,
}

impl Push {
    /// The value of an option, empty when it has none; `None` when it was not given.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|option| match option.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (option == name).then_some(""),
        })
    }

    /// The values of an option that may be given more than once, those that are empty left out.
    pub(crate) fn options<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let values = self.options.iter().filter_map(|option| option.split_once('='));
        values.filter_map(move |(key, value)| (key == name && !value.is_empty()).then_some(value))
    }
}

/// Reads a report and removes it; without one nothing was pushed.
pub(crate) fn take_report(path: &PathBuf) -> io::Result<Push> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Push::default()),
        other => other?,
    };
    std::fs::remove_file(path)?;
    let mut push = Push::default();
    let known = |sha: &str| (!sha.bytes().all(|byte| byte == b'0')).then(|| sha.to_owned());
    for line in text.lines() {
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["moved", old, new, reference] => {
                push.moved.push(Moved { reference: (*reference).to_owned(), old: known(old), new: known(new) });
            }
            ["option", option] => push.options.push((*option).to_owned()),
            _ => {}
        }
    }
    Ok(push)
}
