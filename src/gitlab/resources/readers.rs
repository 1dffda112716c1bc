//! A merge request that lets CI read secrets: the public halves of its [keys](super::secrets_key) as readers in `.sops.yaml`.
//!
//! Only the owner decides who reads a secret, so it is proposed and not pushed, once for each set of keys: a merge request that the owner closed is not
//! opened again. A folder that has files already is left to the owner, whose key alone can encrypt them for a reader more.

use std::path::Path;

use serde::Deserialize;
use serde_json::json;

use super::{Found, Resource, WayBack, secrets_key, seed};
use crate::digest::sha256;
use crate::error::{Error, Kind};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;
use crate::plan::{Action, Change, Undo};

pub(super) const KIND: &str = "secrets-readers";
/// The file that says who reads what.
const RULES: &str = ".sops.yaml";
/// How the branch's name begins.
pub(in crate::gitlab) const BRANCH: &str = "factory/readers-";

/// See the [module](self).
pub(in crate::gitlab) struct Readers;

/// What there is to propose.
struct Proposal {
    /// The commit that it starts from.
    head: String,
    branch: String,
    /// The rules with the new readers.
    text: String,
    /// The folders, in words.
    folders: String,
}

#[derive(Deserialize)]
struct Leaf {
    path: String,
    r#type: String,
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    state: String,
    source_project_id: Option<u64>,
}

fn create(desired: &Desired, folders: &str) -> Change {
    let summary = format!("open a merge request that lets CI read {folders}, by {RULES}");
    Change::new(format!("{KIND}:{}", desired.branch), Action::Create, summary)
}

fn folders<'a>(environments: impl Iterator<Item = &'a str>) -> String {
    environments.map(|name| format!("secrets/{name}")).collect::<Vec<_>>().join(", ")
}

/// The rules with `key` as one more reader of the folder of an environment; none if the rule has another form than `scripts/secret` of the
/// control repo writes, which refuses every other.
fn with_reader(text: &str, environment: &str, key: &str) -> Option<String> {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let about = lines.iter().enumerate().filter(|(_, line)| is_rule(line) && line.contains(&folder(environment)));
    let about: Vec<usize> = about.map(|(at, _)| at).collect();
    let [rule] = about[..] else { return None };
    let readers = lines.get(rule + 1)?.trim_start().strip_prefix("age: ")?.strip_suffix('\n')?.to_owned();
    let is_plain = readers.split(',').all(|one| {
        one.starts_with("age1") && one.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    });
    if !is_plain || lines[rule].trim() != format!("- path_regex: ^{}", folder(environment)) {
        return None;
    }
    lines[rule + 1] = lines[rule + 1].replacen(&readers, &format!("{readers},{key}"), 1);
    Some(lines.concat())
}

fn folder(environment: &str) -> String {
    format!("secrets/{environment}/")
}

fn is_rule(line: &str) -> bool {
    !line.trim_start().starts_with('#')
}

/// Whether a rule for the folder names the key.
fn reads(text: &str, environment: &str, key: &str) -> bool {
    let mut lines = text.lines().filter(|line| is_rule(line)).skip_while(|line| !line.contains(&folder(environment)));
    lines.next();
    lines.take_while(|line| !line.contains("path_regex:")).any(|line| line.contains(key))
}

/// Whether the folder of an environment has something to encrypt again.
fn has_files(site: &Site<'_>, head: &str, environment: &str) -> GitlabResult<bool> {
    let call = Call::get("/projects/:id/repository/tree", &[&site.id]).query("ref", head);
    let call = call.query("path", format!("secrets/{environment}")).query("recursive", "true");
    match site.owner.list::<Leaf>(&call) {
        Err(error) if error.status() == Some(404) => Ok(false),
        all => Ok(all?
            .iter()
            .any(|leaf| leaf.r#type != "tree" && Path::new(&leaf.path).extension() != Some("md".as_ref()))),
    }
}

/// What there is to propose on top of the commit `head`, with what is left to the owner. Keys that this run makes are in it as [`NEW`](secrets_key::NEW).
fn look(site: &Site<'_>, head: String) -> GitlabResult<(Option<Proposal>, Vec<String>)> {
    let (mut new, mut left) = (Vec::new(), Vec::new());
    let mut keys = Vec::new();
    for place in site.desired.ci.age_keys() {
        keys.extend(secrets_key::recipient(site, &place)?.map(|key| (place.environment, key)));
    }
    if keys.is_empty() {
        return Ok((None, left));
    }
    let Some(mut text) = site.owner.file(site.id, &head, RULES)? else { return Ok((None, left)) };
    for (environment, key) in keys {
        if reads(&text, &environment, &key) {
            continue;
        }
        match with_reader(&text, &environment, &key) {
            Some(more) if !has_files(site, &head, &environment)? => {
                text = more;
                new.push((environment, key));
            }
            _ if key == secrets_key::NEW => {}
            _ => left.push(format!(
                "CI cannot read secrets/{environment} yet; where your age key is: scripts/secret add-recipient secrets/{environment} {key}, then merge"
            )),
        }
    }
    if new.is_empty() {
        return Ok((None, left));
    }
    let names: Vec<_> = new.iter().map(|(environment, key)| format!("{environment} {key}")).collect();
    let branch = format!("{BRANCH}{}", &sha256(names.join("\n").as_bytes())[..8]);
    let folders = folders(new.iter().map(|(environment, _)| environment.as_str()));
    Ok((Some(Proposal { head, branch, text, folders }), left))
}

/// The merge requests of the proposal's branch, whatever became of them; a fork's branch may have its name.
fn proposed(site: &Site<'_>, proposal: &Proposal) -> GitlabResult<Vec<MergeRequest>> {
    let call = Call::get("/projects/:id/merge_requests", &[&site.id]);
    let call = call.query("source_branch", proposal.branch.as_str()).query("target_branch", &site.desired.branch);
    let mut all: Vec<MergeRequest> = site.owner.list(&call)?;
    all.retain(|one| one.source_project_id == Some(site.id));
    Ok(all)
}

impl Resource for Readers {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        let places: Vec<_> = desired.ci.age_keys().collect();
        if places.is_empty() {
            return Vec::new();
        }
        vec![create(desired, &folders(places.iter().map(|place| place.environment.as_str())))]
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let fresh = self.fresh(site.desired);
        if fresh.is_empty() {
            return Ok(Found::default());
        }
        let Some(head) = site.glance()?.head.clone() else {
            return Ok(Found { changes: fresh, ..Found::default() });
        };
        let (proposal, notes) = look(site, head)?;
        let mut found = Found { notes, ..Found::default() };
        let Some(proposal) = proposal else { return Ok(found) };
        let there = proposed(site, &proposal)?;
        if let Some(open) = there.iter().find(|one| one.state == "opened") {
            found.notes.push(format!("CI can read {} once you merge !{}", proposal.folders, open.iid));
        }
        found.add(there.is_empty().then(|| create(site.desired, &proposal.folders)));
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, _change: &Change) -> GitlabResult<Undo> {
        let branch = seed::branch(site.owner, site.desired, site.id)?;
        let proposal = branch.map_or(Ok(None), |branch| Ok::<_, GitlabError>(look(site, branch.commit.id)?.0))?;
        let Some(proposal) = proposal else {
            return Ok(Undo::Never { reason: "CI has no key that is not a reader".into() });
        };
        if proposal.text.contains(secrets_key::NEW) {
            return Err(Error::new(Kind::CutShort, "CI's age keys were not made")
                .hint("run `factoryup apply gitlab` again")
                .into());
        }
        if !proposed(site, &proposal)?.is_empty() {
            return Ok(Undo::Never { reason: "the merge request existed already".into() });
        }
        let Proposal { head, branch, text, folders } = proposal;
        let title = format!("Let CI read {folders}");
        // In place of what is there: a run that was cut may have made it, or the agent, before such branches were protected.
        let body = json!({
            "branch": branch, "start_sha": head, "force": true, "commit_message": title,
            "actions": [{ "action": "update", "file_path": RULES, "content": text }],
        });
        site.owner.send(&Call::post("/projects/:id/repository/commits", &[&site.id]), &body)?;
        let body = json!({
            "source_branch": branch, "target_branch": site.desired.branch, "title": title,
            "description": format!(
                "Jobs of these environments on protected refs get an age key in the CI/CD variable SOPS_AGE_KEY. Merge this if a job is to read \
                 {folders}; close it if none is. The keys are described in docs/procedures/age-keys.md."
            ),
        });
        site.owner.send(&Call::post("/projects/:id/merge_requests", &[&site.id]), &body)?;
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::Stays(
            "close the merge request, or, if it is merged, see \"Removing a reader\" in docs/procedures/age-keys.md",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# secrets/staging/ is a folder\ncreation_rules:\n  - path_regex: ^secrets/staging/\n    age: age1owner\n  \
                        - path_regex: ^secrets/production/\n    age: age1owner,age1host\n";

    #[test]
    fn a_reader_is_added_to_the_rule_of_its_folder_alone() {
        let more = with_reader(TEXT, "staging", "age1ci").unwrap();
        assert_eq!(more, TEXT.replacen("age: age1owner\n", "age: age1owner,age1ci\n", 1));
        assert!(reads(&more, "staging", "age1ci") && !reads(&more, "production", "age1ci"));
        assert!(with_reader(TEXT, "production", "age1ci").unwrap().ends_with("age1owner,age1host,age1ci\n"));
    }

    #[test]
    fn a_rule_in_another_form_is_left_to_the_owner() {
        for (from, to) in [
            ("age: age1owner\n", "age: \"age1owner\"\n"),
            ("age: age1owner\n", "pgp: x\n    age: age1owner\n"),
            ("age: age1owner\n", "age: age1owner # mine\n"),
            ("^secrets/staging/\n", "^secrets/(staging|x)/\n"),
            ("creation_rules:\n", "creation_rules:\n  - path_regex: ^secrets/staging/x\n    age: age1owner\n"),
        ] {
            let text = TEXT.replacen(from, to, 1);
            assert_ne!(text, TEXT);
            assert_eq!(with_reader(&text, "staging", "age1ci"), None, "{text}");
        }
    }
}
