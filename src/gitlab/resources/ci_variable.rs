//! Passphrases with which OpenTofu encrypts its states: one for each root, made here, as a CI/CD variable that GitLab never shows again.
//!
//! The state is lost with its passphrase. So the passphrase is in a file of the state folder before any job can encrypt with it, and the file stays:
//! nothing here removes or overwrites one. One law says when the variable is set, so that no passphrase which a state needs is hidden by another:
//! the root has no state, or jobs get no passphrase from any group and the file has the one that factoryup set before.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::variable;
use super::{Found, Resource, WayBack};
use crate::budget::Exceeded;
use crate::error::Error;
use crate::gitlab::ci::{PASSPHRASE, Place};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::{GitlabError, GitlabResult};
use crate::gitlab::http::Call;
use crate::gitlab::keep::Keep;
use crate::gitlab::site::Site;
use crate::gitlab::variables::Holder;
use crate::plan::{Action, Change, Undo};
use crate::secret::Secret;

pub(super) const KIND: &str = "ci-variable";
/// What the variable's description says of the value.
const MARK: &str = "state passphrase";
/// How many random bytes a passphrase is made of.
const BYTES: usize = 24;

/// See the [module](self).
pub(in crate::gitlab) struct Passphrases;

fn id(environment: &str) -> String {
    format!("{KIND}:{PASSPHRASE}/{environment}")
}

fn create(place: &Place) -> Change {
    let summary = format!("create a state passphrase in the CI/CD variable {place}, with a copy in the state folder");
    Change::new(id(&place.environment), Action::Create, summary)
}

fn file(site: &Site<'_>, place: &Place) -> PathBuf {
    site.keep.passphrase_file(&site.desired.base, site.id, &place.environment)
}

/// Why the missing variable is left to the owner, if it is: the law of the [module](self).
pub(in crate::gitlab) fn obstacle(site: &Site<'_>, place: &Place) -> GitlabResult<Option<Error>> {
    let (root, file) = (&place.environment, file(site, place));
    if Keep::passphrase(&file)?.is_some() {
        return Ok(None);
    }
    let state = match state_status(site, root)? {
        // One that was locked and never written has no content.
        204 | 404 => return Ok(None),
        200 => format!("the state of {root} exists"),
        status => format!("GitLab does not say whether {root} has a state (status {status})"),
    };
    let why = format!("{state}, and its passphrase is neither in GitLab nor in {}", file.display());
    Ok(Some(Error::data(why).hint(format!(
        "create the CI/CD variable {place} with the passphrase that the state is encrypted with, or put it into that file"
    ))))
}

/// What plan and card say of a variable that is left to the owner.
pub(in crate::gitlab) fn left(place: &Place, why: &Error) -> String {
    let hints = why.hints().join("; ");
    format!("the CI/CD variable {place} is left to you: {why}; {hints}")
}

/// The stored passphrase of a root, else a new one, which is stored first.
fn passphrase(site: &Site<'_>, place: &Place) -> GitlabResult<Secret> {
    let file = file(site, place);
    if let Some(stored) = Keep::passphrase(&file)? {
        return Ok(stored);
    }
    let mut bytes = Zeroizing::new([0_u8; BYTES]);
    getrandom::fill(&mut *bytes).map_err(|e| Error::internal(format!("no random bytes: {e}")))?;
    let made = Secret::new(STANDARD.encode(bytes.as_slice()));
    Keep::put_passphrase(&file, &made)?;
    Ok(made)
}

/// GitLab's answer to who asks for the state of this root, which is encrypted with the passphrase that it had. A project without the
/// feature answers 403, and keeps its states.
///
/// Source: <https://docs.gitlab.com/user/infrastructure/iac/terraform_state/>, `lib/api/terraform/state.rb`.
fn state_status(site: &Site<'_>, root: &str) -> GitlabResult<u16> {
    let call = Call::get("/projects/:id/terraform/state/:name", &[&site.id, &root]);
    match site.owner.attempt(&call, None) {
        // One that is too large to read is there.
        Err(GitlabError::Budget { limit: Exceeded::Bytes(_), .. }) => Ok(200),
        answer => Ok(answer?.status),
    }
}

impl Resource for Passphrases {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn fresh(&self, desired: &Desired) -> Vec<Change> {
        desired.ci.passphrases().map(|place| create(&place)).collect()
    }

    fn observe(&self, site: &Site<'_>) -> GitlabResult<Found> {
        let mut found = Found::default();
        let all = site.variables()?;
        for place in site.desired.ci.passphrases() {
            match all.holder(&place) {
                Holder::Owner => {
                    found.notes.push(variable::kept(&place));
                    found.add(None);
                }
                Holder::Ours(one) => found.add((!one.is_guarded()).then(|| {
                    let summary = format!("protect and mask the CI/CD variable {place} again");
                    Change::new(id(&place.environment), Action::Update, summary)
                })),
                Holder::Nobody => {
                    if let Some(why) = obstacle(site, &place)? {
                        found.notes.push(left(&place, &why));
                    } else {
                        found.add(Some(create(&place)));
                    }
                }
            }
        }
        Ok(found)
    }

    fn write(&self, site: &Site<'_>, change: &Change) -> GitlabResult<Undo> {
        let wanted = site.desired.ci.passphrases().find(|place| id(&place.environment) == change.id);
        let Some(place) = wanted else { return Ok(Undo::Never { reason: "it is no longer needed".into() }) };
        let all = site.variables()?;
        match all.holder(&place) {
            Holder::Owner => return Ok(Undo::Never { reason: "you created the variable yourself".into() }),
            Holder::Nobody => {
                if let Some(why) = obstacle(site, &place)? {
                    return Err(why.into());
                }
                let value = passphrase(site, &place)?;
                variable::set(site, &place, Some(&value), MARK)?;
            }
            // The value stays: the state is encrypted with it.
            Holder::Ours(_) => variable::set(site, &place, None, MARK)?,
        }
        Ok(Undo::Remove)
    }

    fn way_back(&self) -> WayBack {
        WayBack::Stays(
            "a state is lost with its passphrase, and GitLab never shows it; delete it by hand once the state is gone",
        )
    }
}
