//! What every running sshd offers to each identity, and the rules that it goes by: for this connection, and for each `Match` block.

use std::collections::BTreeMap;

use super::{Said, cannot_tell, proof};
use crate::host::accounts::LOGIN_GROUP;
use crate::plan::Proof;

/// As `sshd -T` prints them.
const WANTED: [(&str, &str); 6] = [
    ("permitrootlogin", "no"),
    ("passwordauthentication", "no"),
    ("kbdinteractiveauthentication", "no"),
    ("permitemptypasswords", "no"),
    ("authenticationmethods", "publickey"),
    ("allowgroups", LOGIN_GROUP),
];

/// The settings of one sshd for one user on one connection.
#[derive(Debug, Default)]
struct Rules<'a> {
    values: Vec<(&'a str, &'a str)>,
    places: Vec<(&'a str, &'a str)>,
    error: Option<&'a str>,
}

impl<'a> Rules<'a> {
    fn take(&mut self, fields: &[&'a str]) {
        match fields {
            ["is", keyword, value] => self.values.push((keyword, value)),
            ["at", place, setting] => self.places.push((place, setting)),
            ["error", why] => self.error = Some(why),
            _ => {}
        }
    }

    /// What is another way than wanted, with the file and line where one says so.
    fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (keyword, wanted) in WANTED {
            let values: Vec<&str> = self.values.iter().filter(|(k, _)| *k == keyword).map(|(_, v)| *v).collect();
            if !values.is_empty() && values.iter().all(|value| *value == wanted) {
                continue;
            }
            let is = if values.is_empty() { "not set".to_owned() } else { values.join(" ") };
            let says = |setting: &str| {
                let (key, value) = setting.split_once([' ', '\t']).unwrap_or((setting, ""));
                key.eq_ignore_ascii_case(keyword) && value.split_whitespace().eq(is.split_whitespace())
            };
            let place = self.places.iter().rev().find(|(_, setting)| says(setting)).map(|(place, _)| *place);
            let place = place.unwrap_or("no file: see SSHD_OPTS in /etc/default/ssh and the unit that starts sshd");
            wrong.push(format!("{keyword} is {is}, not {wanted} ({place})"));
        }
        wrong
    }
}

/// The promises about these identities, and about others that a `Match` block names. `here` says that the host is this machine,
/// which can do without sshd.
pub(super) fn judge(said: &Said, known: &[&str], here: bool) -> Vec<Proof> {
    let mut rules: BTreeMap<(&str, &str, &str), Rules<'_>> = BTreeMap::new();
    for line in said.of("rules") {
        if let [port, user, place, fields @ ..] = line.split('\t').collect::<Vec<_>>()[..].as_ref() {
            rules.entry((user, port, place)).or_default().take(fields);
        }
    }
    if rules.is_empty() && here {
        return vec![proof("nobody logs in over SSH", true, "no sshd listens on this machine")];
    }
    let mut users = known.to_vec();
    for (user, _, _) in rules.keys() {
        if !users.contains(user) {
            users.push(user);
        }
    }
    let mut proofs: Vec<Proof> = known.iter().map(|user| offered(said, user)).collect();
    for user in users {
        let claim = format!("sshd accepts {user} with a key only, and only as a member of {LOGIN_GROUP}");
        let of_user: Vec<_> = rules.iter().filter(|((who, _, _), _)| *who == user).collect();
        let name = |(_, port, place): &(&str, &str, &str)| match *place {
            "here" => format!("port {port}"),
            block => format!("port {port}, Match {block}"),
        };
        let (mut wrong, mut unknown, mut tried) = (Vec::new(), Vec::new(), Vec::new());
        for (key, rules) in of_user {
            if let Some(why) = rules.error {
                unknown.push(format!("{}: sshd says: {why}", name(key)));
            } else {
                tried.push(name(key));
                wrong.extend(rules.wrong().into_iter().map(|what| format!("{}: {what}", name(key))));
            }
        }
        proofs.push(if !wrong.is_empty() {
            let remedy = "; remove the setting, then: systemctl restart ssh";
            proof(claim, false, wrong.join("; ") + remedy)
        } else if !unknown.is_empty() || tried.is_empty() {
            cannot_tell(claim, if unknown.is_empty() { "no running sshd was found".into() } else { unknown.join("; ") })
        } else {
            proof(claim, true, format!("asked the running sshd with its own command line: {}", tried.join("; ")))
        });
    }
    proofs
}

/// What every sshd offers to a user who has not shown a key: "PORT USER CODE ANSWER".
fn offered(said: &Said, user: &str) -> Proof {
    let claim = format!("sshd offers {user} no password");
    let mut answers = Vec::new();
    for line in said.of("methods") {
        let [port, who, code, answer] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        if who != user {
            continue;
        }
        if code == "0" {
            return proof(claim, false, format!("port {port} lets {user} in without any key"));
        }
        let methods =
            answer.rsplit_once("Permission denied (").and_then(|(_, rest)| rest.split_once(')')).map(|(m, _)| m);
        match methods {
            Some("publickey") => answers.push(format!("port {port} offers publickey")),
            Some(methods) => return proof(claim, false, format!("port {port} offers {methods}")),
            None => return cannot_tell(claim, format!("port {port}: {answer}")),
        }
    }
    if answers.is_empty() {
        return cannot_tell(claim, "no running sshd was found");
    }
    proof(claim, true, answers.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(lines: &[&str]) -> Vec<Proof> {
        let right = [
            "is\tpermitrootlogin\tno",
            "is\tpasswordauthentication\tno",
            "is\tkbdinteractiveauthentication\tno",
            "is\tpermitemptypasswords\tno",
            "is\tauthenticationmethods\tpublickey",
        ];
        let base = right.iter().map(|line| format!("22\troot\there\t{line}"));
        let rules = base.chain(lines.iter().map(|&line| line.to_owned())).collect();
        let methods = vec!["22\troot\t255\troot@10.0.0.2: Permission denied (publickey).".to_owned()];
        judge(&Said([("rules".to_owned(), rules), ("methods".to_owned(), methods)].into()), &["root"], false)
    }

    #[test]
    fn one_setting_that_is_another_way_breaks_the_promise() {
        let group = "22\troot\there\tis\tallowgroups\tfactory-ssh";
        assert!(judged(&[group]).iter().all(|proof| proof.held), "{:#?}", judged(&[group]));
        for more in [
            "22\troot\there\tis\tallowgroups\troot",
            "22\troot\tUser root\tis\tpermitrootlogin\tyes",
            "2222\tbob\there\tis\tpasswordauthentication\tyes",
            "22\troot\tAddress 10.0.0.0/8\terror\tbad configuration",
        ] {
            let broken: Vec<_> = judged(&[group, more]).into_iter().filter(|proof| !proof.held).collect();
            assert_eq!(broken.len(), 1, "{more}: {broken:#?}");
        }
        assert!(!judged(&[]).iter().all(|proof| proof.held));
        let placed = judged(&[
            group,
            "22\troot\tx\tis\tpermitrootlogin\tyes",
            "22\troot\tx\tat\t/etc/ssh/sshd_config:9\tPermitRootLogin yes",
        ]);
        assert!(placed[1].detail.contains("permitrootlogin is yes, not no (/etc/ssh/sshd_config:9)"), "{placed:#?}");
    }
}
