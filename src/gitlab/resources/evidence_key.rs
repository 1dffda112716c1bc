//! Keys that CI signs its statements with: one for each environment whose jobs record something, as a CI/CD variable that GitLab never shows
//! again. factoryup keeps no copy.
//!
//! The public half is in the message of a tag `evidence/signer-NUMBER`, as a line of OpenSSH's `allowed_signers`. Such a tag is protected as
//! an anchor is, and in every clone and backup, so a statement can be verified without GitLab. The tag is there before the key can sign, and
//! stays: what was signed stays valid. The variable's description names its tag.

use serde::Deserialize;
use serde_json::json;

use super::variable;
use super::{Found, Resource, WayBack, protected_tag};
use crate::error::{Error, Kind};
use crate::gitlab::anchor::{TAGS, prefix};
use crate::gitlab::ci::Place;
use crate::gitlab::desired::{Desired, EVIDENCE_TAGS};
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::signing_key::SigningKey;
use crate::gitlab::site::Site;
use crate::gitlab::variables::Holder;
use crate::plan::{Action, Change, Undo};

pub(super) const KIND: &str = "evidence-key";
/// How the part of a tag's name after [`prefix`] begins.
const SIGNER: &str = "signer-";
/// How the variable's description begins, before the tag's name.
const MARK: &str = "public half in ";

/// See the [module](self).
pub(in crate::gitlab) struct EvidenceKeys;

#[derive(Deserialize)]
struct Tag {
    name: String,
}

impl Tag {
    fn number(&self) -> u64 {
        self.name.strip_prefix(prefix()).and_then(|name| name.strip_prefix(SIGNER)?.parse().ok()).unwrap_or(0)
    }
}

fn tags(site: &Site<'_>) -> GitlabResult<Vec<Tag>> {
    site.owner.list(&Call::get(TAGS, &[&site.id]).query("search", format!("^{}{SIGNER}", prefix())))
}

fn id(place: &Place) -> String {
    format!("{KIND}:{}", place.environment)
}

fn create(place: &Place) -> Change {
    let summary =
        format!("create a key for evidence in the CI/CD variable {place}, and a protected tag with its public half");
    Change::new(id(place), Action::Create, summary)
}

fn compare(place: &Place, holder: Holder<'_>, tags: &[Tag]) -> Option<Change> {
    let update = |summary: String| Some(Change::new(id(place), Action::Update, summary));
    match holder {
        Holder::Nobody => Some(create(place)),
        Holder::Ours(one) if !is_known(one.mark(), tags) => {
            update(format!("replace the key in the CI/CD variable {place}: the tag with its public half is gone"))
        }
        Holder::Ours(one) if !one.is_guarded() => {
            update(format!("replace the key in the CI/CD variable {place}, which every branch could read"))
        }
        Holder::Ours(_) | Holder::Owner => None,
    }
}

/// Whether a variable's description names one of the tags.
fn is_known(mark: Option<&str>, tags: &[Tag]) -> bool {
    let name = mark.and_then(|mark| mark.strip_prefix(MARK));
    name.is_some_and(|name| tags.iter().any(|tag| tag.name == name))
}

impl Resource for EvidenceKeys {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        desired.ci.signing_keys().map(|place| create(&place)).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let mut found = Found::default();
        let (all, tags) = (site.variables()?, tags(site)?);
        for place in site.desired.ci.signing_keys() {
            let holder = all.holder(&place);
            if matches!(holder, Holder::Owner) {
                found.notes.push(variable::kept(&place));
            }
            found.add(compare(&place, holder, &tags));
        }
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let wanted = site.desired.ci.signing_keys().find(|place| id(place) == change.id);
        let Some(place) = wanted else { return Ok(Undo::Never { reason: "it is no longer needed".into() }) };
        let tags = tags(site)?;
        if compare(&place, site.variables()?.holder(&place), &tags).is_none() {
            return Ok(Undo::Never { reason: "the variable existed already".into() });
        }
        let number = tags.iter().map(Tag::number).max().unwrap_or(0).saturating_add(1);
        let name = format!("{}{SIGNER}{number}", prefix());
        if !protected_tag::protects(site.owner, site.id, &name)? {
            return Err(Error::new(Kind::CutShort, format!("GitLab does not protect the tags {EVIDENCE_TAGS}"))
                .hint("run `factoryup apply gitlab` again; it protects them first")
                .into());
        }
        let key = SigningKey::generate()?;
        let message = format!(
            "Signs CI's evidence of the environment {}\n\nci namespaces=\"factory-evidence\" {}\n",
            place.environment, key.public
        );
        let body = json!({ "tag_name": name, "ref": site.desired.branch, "message": message });
        site.owner.send(&Call::post(TAGS, &[&site.id]), &body)?;
        variable::set(site, &place, Some(&key.private), &format!("{MARK}{name}"))?;
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::Stays(
            "jobs sign evidence with it, and the evidence is verified with its public half; delete it by hand once no job runs",
        )
    }
}
