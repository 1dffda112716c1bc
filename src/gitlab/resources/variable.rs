//! CI/CD variables: none is set from here, but one that every branch can read is pointed out.
//!
//! Source: <https://docs.gitlab.com/api/project_level_variables/>.

use serde::Deserialize;

use crate::dialog::plain;
use crate::gitlab::error::GitlabResult;
use crate::gitlab::http::Call;
use crate::gitlab::site::Site;

#[derive(Debug, Deserialize)]
struct Listed {
    key: String,
    protected: bool,
}

/// What the owner should know of each variable that is not protected. It may be meant so.
pub(in crate::gitlab) fn notes(site: &Site<'_>) -> GitlabResult<Vec<String>> {
    let all: Vec<Listed> = site.owner.list(&Call::get("/projects/:id/variables", &[&site.id]))?;
    let open = all.iter().filter(|variable| !variable.protected).map(|variable| {
        let key = plain(&variable.key);
        format!("the CI/CD variable {key} is not protected: jobs of every branch can read it, the agent's too")
    });
    Ok(open.collect())
}
