//! Defaults from SSH: the user's public keys, and the aliases in its configuration.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::Surroundings;
use crate::budget::{Budget, read_within};
use crate::factory::fields::by_key;

/// How deep `Include` is followed; OpenSSH follows 16.
const DEPTH: usize = 4;
/// The maximum number of aliases in the list.
const MOST: usize = 1000;

/// A public key of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its OpenSSH line.
    pub line: String,
    /// Where it is: `~/.ssh/id_ed25519.pub`, `ssh-agent`.
    pub place: String,
    /// Whether it is one that ssh would offer by itself: in the agent, or with a standard name.
    pub usual: bool,
}

/// A host alias in `~/.ssh/config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Its name.
    pub name: String,
    /// The host name of the alias, if it is configured.
    pub host_name: Option<String>,
}

/// The keys of the agent and those in `~/.ssh/*.pub`, each once, those that ssh would offer first.
pub(super) fn keys(around: &Surroundings) -> Vec<PublicKey> {
    let mut keys: Vec<PublicKey> = Vec::new();
    let mut add = |line: &str, place: String, usual: bool| {
        let usable = by_key("host.authorized_keys").is_some_and(|field| field.check_text(line).is_ok());
        let known = |key: &PublicKey| key.line.split_whitespace().nth(1) == line.split_whitespace().nth(1);
        if usable && !keys.iter().any(known) {
            keys.push(PublicKey { line: line.to_owned(), place, usual });
        }
    };
    if (around.variable)("SSH_AUTH_SOCK").is_some() {
        for line in around.ask("ssh-add", &["-L"]).unwrap_or_default().lines() {
            add(line.trim(), "ssh-agent".to_owned(), true);
        }
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(around.home.join(".ssh"))
        .map(|entries| entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
        .unwrap_or_default();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".pub") else { continue };
        for line in crate::budget::read_text(&file).unwrap_or_default().lines() {
            add(line.trim(), format!("~/.ssh/{name}"), stem.starts_with("id_"));
        }
    }
    keys.sort_by_key(|key| !key.usual);
    keys
}

/// The hosts of `~/.ssh/config`, in its order. Patterns are none.
pub(super) fn aliases(around: &Surroundings) -> Vec<Alias> {
    let folder = around.home.join(".ssh");
    let mut aliases = Vec::new();
    read_config(&folder.join("config"), &folder, DEPTH, (&mut HashSet::new(), &mut aliases));
    aliases
}

/// Reads each file once: those that include each other would be read as often as there are ways through them.
fn read_config(file: &Path, folder: &Path, depth: usize, (seen, aliases): (&mut HashSet<PathBuf>, &mut Vec<Alias>)) {
    if !seen.insert(std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())) {
        return;
    }
    let text =
        read_within(file, Budget::LOCAL).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    let mut current: Vec<usize> = Vec::new();
    for line in text.lines() {
        let line = line.trim();
        let (keyword, value) = line.split_once(|c: char| c.is_whitespace() || c == '=').unwrap_or((line, ""));
        let words = value.trim_start_matches(|c: char| c.is_whitespace() || c == '=').split_whitespace();
        let words: Vec<&str> = words.map(|word| word.trim_matches('"')).collect();
        match keyword.to_lowercase().as_str() {
            "host" => {
                current = words.iter().filter_map(|word| add_alias(aliases, word)).collect();
            }
            "match" => current.clear(),
            "hostname" => {
                for index in &current {
                    let name = aliases[*index].name.clone();
                    let host_name = words.first().map(|host| host.replace("%h", &name));
                    aliases[*index].host_name = aliases[*index].host_name.take().or(host_name);
                }
            }
            "include" if depth > 0 => {
                for included in words.iter().flat_map(|pattern| included(pattern, folder)) {
                    read_config(&included, folder, depth - 1, (seen, aliases));
                }
            }
            _ => {}
        }
    }
}

fn add_alias(aliases: &mut Vec<Alias>, word: &str) -> Option<usize> {
    let usable = by_key("host.address").is_some_and(|field| field.check_text(word).is_ok());
    if !usable {
        return None;
    }
    let known = aliases.iter().position(|alias| alias.name == word);
    known.or_else(|| {
        if aliases.len() == MOST {
            return None;
        }
        aliases.push(Alias { name: word.to_owned(), host_name: None });
        Some(aliases.len() - 1)
    })
}

/// The files of an `Include`: a path, relative to `~/.ssh`, whose last part may have a `*`.
fn included(pattern: &str, folder: &Path) -> Vec<PathBuf> {
    let home = folder.parent().unwrap_or(folder);
    let path = pattern.strip_prefix("~/").map_or_else(|| folder.join(pattern), |rest| home.join(rest));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let Some((before, after)) = name.split_once('*') else { return vec![path] };
    let parent = path.parent().unwrap_or(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(parent)
        .map(|entries| entries.filter_map(std::result::Result::ok).collect::<Vec<_>>())
        .unwrap_or_default()
        .into_iter()
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.len() >= before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
                && !name.starts_with('.')
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_are_names_not_patterns() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".ssh");
        std::fs::create_dir_all(folder.join("conf.d")).unwrap();
        let config = "Include conf.d/*.conf\nHost forge forge2\n  HostName %h.example.org\nhost=quoted\nHost *.internal !x ?y *\n  User git\nMatch all\n  HostName no.example.org\n";
        std::fs::write(folder.join("config"), config).unwrap();
        std::fs::write(folder.join("conf.d/a.conf"), "Host included\n\tHostname 203.0.113.7\n").unwrap();
        std::fs::write(folder.join("conf.d/b.txt"), "Host other\n").unwrap();
        let around = Surroundings {
            home: home.path().to_owned(),
            folder: home.path().to_owned(),
            variable: |_| None,
            clock: home.path().join("none"),
        };
        let found: Vec<_> =
            aliases(&around).into_iter().map(|alias| (alias.name, alias.host_name.unwrap_or_default())).collect();
        let expected = [
            ("included", "203.0.113.7"),
            ("forge", "forge.example.org"),
            ("forge2", "forge2.example.org"),
            ("quoted", ""),
        ];
        assert_eq!(found, expected.map(|(name, host)| (name.to_owned(), host.to_owned())));
    }

    #[test]
    fn each_key_is_found_once_and_the_usual_ones_first() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".ssh");
        std::fs::create_dir_all(&folder).unwrap();
        let key = |last: &str| {
            format!(
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJnsBe7SWfOLDDpmmIM9BNxYUTtCIpsZMPUiINWD8SX{last} ada@laptop\n"
            )
        };
        for (name, text) in [
            ("deploy.pub", key("8")),
            ("id_ed25519.pub", key("9")),
            ("id_old.pub", key("9")),
            ("id_bad.pub", "ssh-rsa AAAA".into()),
        ] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        let around = Surroundings {
            home: home.path().to_owned(),
            folder: home.path().to_owned(),
            variable: |_| None,
            clock: home.path().join("none"),
        };
        let found: Vec<_> = keys(&around).into_iter().map(|key| (key.place, key.usual)).collect();
        assert_eq!(found, [("~/.ssh/id_ed25519.pub".to_owned(), true), ("~/.ssh/deploy.pub".to_owned(), false)]);
    }
}
