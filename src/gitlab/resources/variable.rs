//! Writes a [CI/CD variable](crate::gitlab::variables) of factoryup's.

use serde_json::json;

use crate::gitlab::ci::Place;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;
use crate::gitlab::variables::{Holder, MARK};
use crate::secret::Secret;

/// What the rest of its description ends with.
const HOW_TO_KEEP: &str = "empty this text to keep a value of your own";
const ONE: &str = "/projects/:id/variables/:key";

/// What the plan says of a variable that the owner made.
pub(in crate::gitlab) fn kept(place: &Place) -> String {
    format!("the CI/CD variable {place} is your own; factoryup keeps it")
}

/// Sets factoryup's variable of this place, for jobs of its environment on protected refs only, masked and hidden.
///
/// Without a value, the present one stays.
pub(in crate::gitlab) fn set(site: &Site<'_>, place: &Place, value: Option<&Secret>, mark: &str) -> GitlabResult<()> {
    let mut body = json!({
        "protected": true,
        "raw": true,
        "variable_type": "env_var",
        "description": format!("{MARK}{mark}; {HOW_TO_KEEP}"),
    });
    if let Some(value) = value {
        body["value"] = value.expose().into();
    }
    if matches!(site.variables()?.holder(place), Holder::Ours(_)) {
        body["masked"] = true.into();
        body["filter"] = json!({ "environment_scope": place.environment });
        return site.owner.send(&Call::put(ONE, &[&site.id, &place.key]), &body);
    }
    body["key"] = place.key.into();
    body["masked_and_hidden"] = true.into();
    body["environment_scope"] = place.environment.as_str().into();
    site.owner.send(&Call::post("/projects/:id/variables", &[&site.id]), &body)
}

/// Removes a variable.
pub(in crate::gitlab) fn remove(site: &Site<'_>, key: &str, scope: &str) -> GitlabResult<()> {
    site.owner.delete(&Call::delete(ONE, &[&site.id, &key]).query("filter[environment_scope]", scope))
}
