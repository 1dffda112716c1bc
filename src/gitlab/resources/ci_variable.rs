//! Passphrases with which OpenTofu encrypts its states: one for each root, made here, as a CI/CD variable that GitLab never shows again.
//!
//! The state is lost with its passphrase. So the passphrase is in a file of the state folder before any job can encrypt with it, and the file stays:
//! nothing here removes or overwrites one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::variable::{self, Holder};
use super::{Found, Resource, WayBack};
use crate::error::Error;
use crate::gitlab::ci::{PASSPHRASE, Place};
use crate::gitlab::desired::Desired;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;
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

fn compare(place: &Place, holder: Holder<'_>) -> Option<Change> {
    match holder {
        Holder::Nobody => Some(create(place)),
        Holder::Ours(one) if !one.is_guarded() => {
            let summary = format!("protect and mask the CI/CD variable {place} again");
            Some(Change::new(id(&place.environment), Action::Update, summary))
        }
        Holder::Ours(_) | Holder::Owner => None,
    }
}

/// The stored passphrase of a root, else a new one, which is stored first.
fn passphrase(site: &Site<'_>, root: &str) -> GitlabResult<Secret> {
    if let Some(stored) = site.keep.passphrase(root)? {
        return Ok(stored);
    }
    if has_state(site, root)? {
        let file = site.keep.passphrase_file(root);
        let text =
            format!("the state of {root} exists, and its passphrase is neither in GitLab nor in {}", file.display());
        return Err(Error::data(text)
            .hint("create the CI/CD variable with the passphrase that the state is encrypted with, or put it into that file")
            .into());
    }
    let mut bytes = Zeroizing::new([0_u8; BYTES]);
    getrandom::fill(&mut *bytes).map_err(|e| Error::internal(format!("no random bytes: {e}")))?;
    let made = Secret::new(STANDARD.encode(bytes.as_slice()));
    site.keep.put_passphrase(root, &made)?;
    Ok(made)
}

/// Whether GitLab has a state of this root, which is encrypted with the passphrase that it had.
///
/// Source: <https://docs.gitlab.com/user/infrastructure/iac/terraform_state/>.
fn has_state(site: &Site<'_>, root: &str) -> GitlabResult<bool> {
    let answer = site.owner.attempt(&Call::get("/projects/:id/terraform/state/:name", &[&site.id, &root]), None)?;
    Ok(answer.status == 200)
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
            let holder = all.holder(&place);
            if matches!(holder, Holder::Owner) {
                found.notes.push(variable::kept(&place));
            }
            found.add(compare(&place, holder));
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
                let value = passphrase(site, &place.environment)?;
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
