//! What sudo lets each identity do, as sudo itself lists it: `sudo -l -U`. Of several rules for a command, the last one counts.

use std::collections::BTreeMap;

use super::{Said, cannot_tell, proof};
use crate::factory::Sudo;
use crate::plan::Proof;

/// One rule of a listing, such as `(ALL : ALL) NOPASSWD: ALL`.
struct Rule<'a> {
    text: &'a str,
    runas: &'a str,
    commands: &'a str,
}

impl<'a> Rule<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let text = line.trim();
        let (runas, mut rest) = text.strip_prefix('(')?.split_once(')')?;
        while let Some((tag, after)) = rest.trim_start().split_once(':')
            && tag.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        {
            rest = after;
        }
        Some(Self { text, runas, commands: rest.trim() })
    }

    /// Whether it is about every command as every user, so that the rules before it do not count.
    fn is_about_all(&self) -> bool {
        self.runas.split(':').next().is_some_and(|users| users.trim() == "ALL")
            && ["ALL", "!ALL"].contains(&self.commands)
    }
}

pub(super) fn judge(said: &Said, operator: &str, sudo: Sudo, workers: &[&str]) -> Vec<Proof> {
    let mut proofs = vec![of_operator(said, operator, sudo)];
    proofs.extend(workers.iter().map(|user| of_worker(said, user)));
    proofs
}

/// The rules that count, or what sudo said in place of a listing.
fn rules<'a>(said: &'a Said, user: &str) -> Result<Vec<Rule<'a>>, String> {
    let lines = said.of(&format!("sudo:{user}"));
    if lines.iter().any(|line| line.contains("is not allowed to run sudo")) {
        return Ok(Vec::new());
    }
    let Some(start) = lines.iter().position(|line| line.contains("may run the following commands")) else {
        return Err("sudo did not list its rules".into());
    };
    let mut rules: Vec<Rule<'_>> = lines[start + 1..].iter().filter_map(|line| Rule::read(line)).collect();
    if let Some(last) = rules.iter().rposition(Rule::is_about_all) {
        rules.drain(..last);
    }
    Ok(rules)
}

/// What a probe heard, as the proof has it.
pub(super) fn said(heard: &BTreeMap<String, Vec<String>>) -> Said {
    let section = |user: &String| if user == "sudoers" { user.clone() } else { format!("sudo:{user}") };
    Said(heard.iter().map(|(user, lines)| (section(user), lines.clone())).collect())
}

/// Rules about these users that a later one takes away.
pub(super) fn without_effect(said: &Said, workers: &[&str]) -> Vec<String> {
    let mut notes = Vec::new();
    for user in workers {
        let all: Vec<Rule<'_>> = said.of(&format!("sudo:{user}")).iter().filter_map(|line| Rule::read(line)).collect();
        let allowed: Vec<&Rule<'_>> = all.iter().filter(|rule| rule.commands != "!ALL").collect();
        if of_worker(said, user).held && !allowed.is_empty() {
            let listed: Vec<&str> = allowed.iter().map(|rule| rule.text).collect();
            notes.push(format!(
                "a rule of sudo for {user} has no effect, since factoryup's own comes after it: {}{}",
                listed.join("; "),
                places(said, user, &allowed)
            ));
        }
    }
    notes
}

fn of_worker(said: &Said, user: &str) -> Proof {
    let claim = format!("{user} cannot use sudo");
    let rules = match rules(said, user) {
        Ok(rules) => rules,
        Err(why) => return cannot_tell(claim, why),
    };
    let allowed: Vec<&Rule<'_>> = rules.iter().filter(|rule| rule.commands != "!ALL").collect();
    if allowed.is_empty() {
        return proof(claim, true, format!("sudo -l -U {user} lists nothing that is allowed"));
    }
    let listed: Vec<&str> = allowed.iter().map(|rule| rule.text).collect();
    proof(claim, false, format!("sudo allows {user}: {}{}", listed.join("; "), places(said, user, &allowed)))
}

fn of_operator(said: &Said, user: &str, sudo: Sudo) -> Proof {
    let claim = match sudo {
        Sudo::Key => format!("{user} can use sudo"),
        Sudo::Password => format!("{user} needs a password for sudo"),
    };
    let rules = match rules(said, user) {
        Ok(rules) => rules,
        Err(why) => return cannot_tell(claim, why),
    };
    let listed: Vec<&str> = rules.iter().map(|rule| rule.text).collect();
    if !rules.first().is_some_and(|rule| rule.is_about_all() && rule.commands == "ALL") {
        return proof(claim, false, format!("sudo does not allow {user} every command: {}", listed.join("; ")));
    }
    let unasked: Vec<&Rule<'_>> = rules.iter().filter(|rule| rule.text.contains("NOPASSWD:")).collect();
    let never_asked = said.of(&format!("sudo:{user}")).iter().any(|line| line.contains("!authenticate"));
    match sudo {
        Sudo::Key => proof(claim, true, format!("sudo -l -U {user}: {}", listed.join("; "))),
        Sudo::Password if never_asked => {
            let lines = said.of("sudoers").iter().filter(|line| line.contains("!authenticate")).cloned();
            let place = lines.collect::<Vec<_>>().join("; ");
            proof(claim, false, format!("`!authenticate` applies to {user}: remove it from {place}"))
        }
        Sudo::Password if unasked.is_empty() => proof(claim, true, format!("sudo -l -U {user}: {}", listed.join("; "))),
        Sudo::Password => {
            let texts: Vec<&str> = unasked.iter().map(|rule| rule.text).collect();
            proof(claim, false, format!("no password for {}{}", texts.join("; "), places(said, user, &unasked)))
        }
    }
}

/// The lines in sudo's files that these rules can come from.
fn places(said: &Said, user: &str, rules: &[&Rule<'_>]) -> String {
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    let ends: Vec<String> = rules.iter().map(|rule| bare(rule.commands)).collect();
    let lines: Vec<&str> = said
        .of("sudoers")
        .iter()
        .filter(|line| {
            let text = line.splitn(3, ':').nth(2).unwrap_or_default();
            let who = text.split_whitespace().next().unwrap_or_default();
            (who == user || who.starts_with(['%', '+']) || who.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
                && ends.iter().any(|end| bare(text).ends_with(end.as_str()))
        })
        .map(String::as_str)
        .collect();
    if lines.is_empty() { String::new() } else { format!("; remove the line that says so: {}", lines.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[&str]) -> Said {
        let head = "User ops may run the following commands on host:".to_owned();
        let lines = std::iter::once(head).chain(lines.iter().map(|&line| line.to_owned())).collect();
        let sudoers = vec!["/etc/sudoers.d/90-cloud-init-users:3:ops ALL=(ALL) NOPASSWD:ALL".to_owned()];
        Said([("sudo:ops".to_owned(), lines), ("sudoers".to_owned(), sudoers)].into())
    }

    #[test]
    fn the_last_rule_about_all_counts() {
        let (free, asked, none) = ("    (ALL) NOPASSWD: ALL", "    (ALL : ALL) PASSWD: ALL", "    (ALL : ALL) !ALL");
        let held = |lines: &[&str]| of_operator(&said(lines), "ops", Sudo::Password).held;
        assert!(held(&[free, asked]) && held(&["    (ALL : ALL) ALL"]));
        assert!(
            !held(&[asked, free])
                && !held(&[asked, "    (root) NOPASSWD: /bin/sh"])
                && !held(&[free, "    (root) PASSWD: ALL"])
        );
        let worker = |lines: &[&str]| of_worker(&said(lines), "ops").held;
        assert!(
            worker(&[free, none]) && !worker(&[none, free]) && !worker(&[free]) && !worker(&["    (root) /bin/sh"])
        );
        assert!(!of_worker(&Said::default(), "ops").held);
        let broken = of_operator(&said(&[free]), "ops", Sudo::Password).detail;
        assert!(broken.contains("/etc/sudoers.d/90-cloud-init-users:3:"), "{broken}");
    }
}
