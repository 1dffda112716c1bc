//! Anchors of the evidence log in GitLab: tags `evidence/NUMBER`, each with one head in its message.
//!
//! The rule for [`EVIDENCE_TAGS`] protects them: Maintainers make and remove such tags, and nobody moves one, not even by force. The
//! agent is a Developer, and the state folder has no other token than the agent's. So who has only the state folder can neither make
//! nor change an anchor. A tag is not signed: what counts is GitLab's protection, and its date is GitLab's own.
//!
//! The API makes the tag, and no push does: nothing has to be fetched first, and no commit leaves this machine by it.
//! Source: <https://docs.gitlab.com/api/tags/>.

use serde::Deserialize;
use serde_json::json;

use super::GitlabTarget;
use super::desired::EVIDENCE_TAGS;
use super::error::GitlabResult;
use super::http::Call;
use super::resources::{project, protected_tag};
use crate::dialog::plain;
use crate::error::{Error, Kind, Result};
use crate::plan::{Anchor, Head};

pub(super) const TAGS: &str = "/projects/:id/repository/tags";

/// How the names of the tags begin.
pub(super) fn prefix() -> &'static str {
    EVIDENCE_TAGS.trim_end_matches('*')
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    protected: bool,
    #[serde(default)]
    created_at: Option<String>,
}

impl Tag {
    fn number(&self) -> Option<u64> {
        self.name.strip_prefix(prefix())?.parse().ok()
    }

    /// The head that it holds; none if it is no tag of factoryup's.
    fn anchor(self) -> Result<Option<Anchor>> {
        let text = self.message.as_deref().unwrap_or_default().trim();
        let line = text.lines().last().unwrap_or_default();
        let (Some(_), Ok(value)) = (self.number(), serde_json::from_str::<serde_json::Value>(line)) else {
            return Ok(None);
        };
        if value["schema"].as_u64().is_some_and(|schema| schema > Head::SCHEMA.into()) {
            return Err(Error::data(format!(
                "GitLab's tag {} has schema {}; this factoryup supports up to {}",
                self.name,
                value["schema"],
                Head::SCHEMA
            ))
            .hint("use the factoryup that wrote it, or a newer one"));
        }
        let Ok(head) = serde_json::from_value::<Head>(value) else { return Ok(None) };
        let at = plain(&self.created_at.unwrap_or_else(|| head.at.clone()));
        Ok(Some(Anchor { name: self.name, at, is_protected: self.protected, head }))
    }
}

/// The message of the tag for a head: its last line is for programs.
fn message(head: &Head) -> Result<String> {
    let json = serde_json::to_string(head).map_err(|e| Error::internal(e.to_string()))?;
    Ok(format!("The evidence log has {} statements\n\n{json}", head.statements))
}

impl GitlabTarget {
    /// The heads that the project's tags hold. None are there before there is a project.
    ///
    /// # Errors
    /// Of the calls; `Data` for a tag of a newer factoryup.
    pub fn anchors(&self) -> Result<Vec<Anchor>> {
        let tags = self.tags().map_err(Error::from)?;
        tags.into_iter().filter_map(|tag| tag.anchor().transpose()).collect()
    }

    /// Keeps a head in a new tag, and returns the tag's name.
    ///
    /// # Errors
    /// `CutShort` if the rule that protects the tag is missing; those of the calls.
    pub fn anchor(&self, head: &Head) -> Result<String> {
        let text = message(head)?;
        self.write_tag(&text).map_err(Error::from)
    }

    fn tags(&self) -> GitlabResult<Vec<Tag>> {
        let Some(found) = project::read(&self.owner, &self.desired)? else { return Ok(Vec::new()) };
        self.owner.list(&Call::get(TAGS, &[&found.id]).query("search", format!("^{}", prefix())))
    }

    fn write_tag(&self, message: &str) -> GitlabResult<String> {
        let id = project::require(&self.owner, &self.desired)?.id;
        let last = self.tags()?.iter().filter_map(Tag::number).max().unwrap_or(0);
        let name = format!("{}{}", prefix(), last.saturating_add(1));
        if !protected_tag::protects(&self.owner, id, &name)? {
            return Err(Error::new(Kind::CutShort, format!("GitLab does not protect the tags {EVIDENCE_TAGS}"))
                .hint("run `factoryup apply gitlab` again; it protects them first")
                .into());
        }
        let body = json!({ "tag_name": name, "ref": self.desired.branch, "message": message });
        self.owner.send(&Call::post(TAGS, &[&id]), &body)?;
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str, message: &str) -> Tag {
        Tag { name: name.into(), message: Some(message.into()), protected: true, created_at: None }
    }

    #[test]
    fn a_head_comes_back_as_it_was_written_and_nothing_else_is_one() {
        let head = Head::of(&["a".to_owned(), "b".to_owned()]).unwrap();
        let text = message(&head).unwrap();
        let back = tag("evidence/12", &text).anchor().unwrap().unwrap();
        assert_eq!((back.head, back.name.as_str()), (head, "evidence/12"));
        for (name, text) in
            [("evidence/x", text.as_str()), ("v12", &text), ("evidence/1", "Mine"), ("evidence/1", "{}")]
        {
            assert_eq!(tag(name, text).anchor().unwrap(), None, "{name} {text}");
        }
        let newer = text.replace("\"schema\":1", "\"schema\":2");
        assert_eq!(tag("evidence/1", &newer).anchor().unwrap_err().kind(), Kind::Data);
    }
}
