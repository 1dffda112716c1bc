//! The age keys with which jobs read the repo's secrets: one for each environment, as a CI/CD variable that GitLab never shows again. factoryup
//! keeps no copy: the owner's key reads everything too.
//!
//! A key reads only what was encrypted for it, so [`Readers`](super::readers::Readers) proposes its public half as a reader of its environment's folder.
//! The variable's description names that half. As `SOPS_AGE_KEY`, the text is in the job's environment alone; a variable of the type `file` would
//! be on the runner's disk.

use super::variable;
use super::{Back, Found, Resource, WayBack};
use crate::age::{self, KeyPair};
use crate::gitlab::ci::{AGE_KEY, Place};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::site::Site;
use crate::gitlab::variables::Holder;
use crate::plan::{Action, Change, Undo};

pub(super) const KIND: &str = "secrets-key";
/// How the variable's description begins, before the public half.
const MARK: &str = "age key ";

/// See the [module](self).
pub(in crate::gitlab) struct SecretsKeys;

fn id(environment: &str) -> String {
    format!("{KIND}:{environment}")
}

fn create(place: &Place) -> Change {
    let folder = &place.environment;
    let summary = format!("create an age key for secrets/{folder} in the CI/CD variable {place}");
    Change::new(id(folder), Action::Create, summary)
}

fn compare(place: &Place, holder: Holder<'_>) -> Option<Change> {
    match holder {
        Holder::Nobody => Some(create(place)),
        Holder::Ours(one) if !one.is_guarded() => {
            let summary = format!("replace the age key in the CI/CD variable {place}, which every branch could read");
            Some(Change::new(id(&place.environment), Action::Update, summary))
        }
        Holder::Ours(_) | Holder::Owner => None,
    }
}

/// What stands for the public half of a key that this run makes.
pub(super) const NEW: &str = "age1new";

/// The public half of the key that factoryup made for an environment, or is about to.
pub(super) fn recipient(site: &Site<'_>, place: &Place) -> GitlabResult<Option<String>> {
    let all = site.variables()?;
    let holder = all.holder(place);
    Ok(match holder {
        _ if compare(place, holder).is_some() => Some(NEW.to_owned()),
        // It becomes a line of a file.
        Holder::Ours(one) => {
            let is_key = |key: &&str| age::decode(key).is_some_and(|(kind, data)| kind == "age" && data.len() == 32);
            one.mark().and_then(|mark| mark.strip_prefix(MARK)).filter(is_key).map(str::to_owned)
        }
        Holder::Owner | Holder::Nobody => None,
    })
}

impl Resource for SecretsKeys {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        desired.ci.age_keys().map(|place| create(&place)).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let mut found = Found::default();
        let all = site.variables()?;
        for place in site.desired.ci.age_keys() {
            let holder = all.holder(&place);
            if matches!(holder, Holder::Owner) {
                found.notes.push(variable::kept(&place));
            }
            found.add(compare(&place, holder));
        }
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let wanted = site.desired.ci.age_keys().find(|place| id(&place.environment) == change.id);
        let Some(place) = wanted else { return Ok(Undo::Never { reason: "it is no longer needed".into() }) };
        if compare(&place, site.variables()?.holder(&place)).is_none() {
            return Ok(Undo::Never { reason: "the variable existed already".into() });
        }
        let pair = KeyPair::generate()?;
        variable::set(site, &place, Some(pair.private()), &format!("{MARK}{}", pair.recipient()))?;
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::By(back)
    }
}

fn back(site: &Site<'_>, environment: &str, _undo: &Undo) -> GitlabResult<Back> {
    let place = Place::new(AGE_KEY, environment);
    Ok(match site.variables()?.holder(&place) {
        Holder::Nobody => Back::Done,
        Holder::Owner => Back::Stays(format!("the CI/CD variable {place} stays: it is your own")),
        Holder::Ours(_) => Back::remove(id(environment), format!("remove the CI/CD variable {place}"), move |site| {
            variable::remove(site, place.key, &place.environment)
        }),
    })
}
