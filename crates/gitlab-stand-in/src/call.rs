//! One request on its way through a handler: who asks, with which parameters, on whose state.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::access::Actor;
use crate::auth::Token;
use crate::git::GitError;
use crate::model::{GUEST, Project};
use crate::reply::{Refusal, error, forbidden, message, not_found};
use crate::state::{Settings, State};

/// A request that passed authentication.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) settings: &'a Settings,
    /// The values of the route's `:names`, in order, percent-decoded.
    pub(crate) params: Vec<String>,
    /// Query and body parameters together, as GitLab takes them.
    pub(crate) input: Map<String, Value>,
    /// The caller's token; absent only on routes that need none.
    pub(crate) token: Option<Token>,
    /// The request's headers, with names in lower case.
    pub(crate) headers: &'a BTreeMap<String, String>,
    /// The request's body, as it came.
    pub(crate) body: &'a [u8],
    /// The caller's role on what the request is about, for the log.
    pub(crate) role: Option<u8>,
}

type Checked<T> = Result<T, Refusal>;

impl Call<'_> {
    /// The caller.
    pub(crate) fn user(&self) -> Checked<u64> {
        self.token.as_ref().map(|token| token.user).ok_or_else(|| message(401, "401 Unauthorized"))
    }

    /// Whether the caller is an administrator.
    pub(crate) fn is_admin(&self) -> bool {
        self.user().is_ok_and(|user| self.state.users.get(&user).is_some_and(|user| user.admin))
    }

    /// A value of the path.
    pub(crate) fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// A value of the path that is a number; a 404 when it isn't.
    pub(crate) fn param_id(&self, index: usize) -> Checked<u64> {
        self.param(index).parse().map_err(|_| not_found(""))
    }

    /// The project that the path's first value names, when the caller may see it and has at least this role there.
    ///
    /// A project that the caller may not see is answered as one that does not exist: 404.
    pub(crate) fn project(&mut self, role: u8) -> Checked<u64> {
        let user = self.user()?;
        let id = self.state.project_id(self.param(0)).ok_or_else(|| not_found("Project"))?;
        let project = self.state.projects.get(&id).ok_or_else(|| not_found("Project"))?;
        let own = self.state.role(user, project);
        self.role = Some(own);
        if own < GUEST && project.visibility == "private" {
            return Err(not_found("Project"));
        }
        if own < role {
            return Err(forbidden(""));
        }
        Ok(id)
    }

    /// The group that the path's first value names, as [`Call::project`].
    pub(crate) fn group(&mut self, role: u8) -> Checked<u64> {
        let user = self.user()?;
        let group = self.state.namespace(self.param(0)).filter(|group| group.person.is_none());
        let (id, private) =
            group.map(|group| (group.id, group.visibility == "private")).ok_or_else(|| not_found("Group"))?;
        let own = self.state.group_role(user, id);
        self.role = Some(own);
        if own < GUEST && private {
            return Err(not_found("Group"));
        }
        if own < role {
            return Err(forbidden(""));
        }
        Ok(id)
    }

    /// The caller's rights on a project.
    pub(crate) fn actor(&self, project: u64) -> Checked<Actor> {
        Ok(self.state.actor(self.user()?, self.at(project)?))
    }

    /// A project by its id.
    pub(crate) fn at(&self, project: u64) -> Checked<&Project> {
        self.state.projects.get(&project).ok_or_else(|| not_found("Project"))
    }

    /// A project by its id, to change it.
    pub(crate) fn at_mut(&mut self, project: u64) -> Checked<&mut Project> {
        self.state.projects.get_mut(&project).ok_or_else(|| not_found("Project"))
    }

    /// Whether a parameter was sent at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.input.contains_key(name)
    }

    /// A text parameter; numbers and booleans are taken as their text, `null` as absent.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.input.get(name)? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            _ => None,
        }
    }

    /// A text parameter that must be there and not be empty.
    pub(crate) fn required(&self, name: &str) -> Checked<String> {
        match self.text(name) {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) => Err(error(400, format!("{name} is empty"))),
            None => Err(error(400, format!("{name} is missing"))),
        }
    }

    /// A text parameter that must be one of some values.
    pub(crate) fn one_of(&self, name: &str, values: &[&str]) -> Checked<Option<String>> {
        match self.text(name) {
            Some(text) if values.contains(&text.as_str()) => Ok(Some(text)),
            Some(_) => Err(error(400, format!("{name} does not have a valid value"))),
            None => Ok(None),
        }
    }

    /// A whole number, sent as a number or as digits.
    pub(crate) fn integer(&self, name: &str) -> Checked<Option<i64>> {
        match self.text(name) {
            Some(text) if !text.is_empty() => {
                text.parse().map(Some).map_err(|_| error(400, format!("{name} is invalid")))
            }
            _ => Ok(None),
        }
    }

    /// A whole number that is an id.
    pub(crate) fn id(&self, name: &str) -> Checked<Option<u64>> {
        self.integer(name)?
            .map(|id| u64::try_from(id).map_err(|_| error(400, format!("{name} is invalid"))))
            .transpose()
    }

    /// A switch, sent as a boolean or as `true`, `false`, `1`, `0`.
    pub(crate) fn boolean(&self, name: &str) -> Checked<Option<bool>> {
        match self.text(name).as_deref() {
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(error(400, format!("{name} is invalid"))),
            None => Ok(None),
        }
    }

    /// A list of texts, sent as a list or separated by commas.
    pub(crate) fn list(&self, name: &str) -> Checked<Option<Vec<String>>> {
        match self.input.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(Some(Vec::new())),
            Some(Value::String(text)) => Ok(Some(text.split(',').map(|part| part.trim().to_owned()).collect())),
            Some(Value::Array(values)) => {
                let texts: Option<Vec<_>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
                texts.map(Some).ok_or_else(|| error(400, format!("{name} is invalid")))
            }
            Some(_) => Err(error(400, format!("{name} is invalid"))),
        }
    }

    /// A calendar date, `YYYY-MM-DD`.
    pub(crate) fn date(&self, name: &str) -> Checked<Option<jiff::civil::Date>> {
        match self.text(name) {
            Some(text) if !text.is_empty() => {
                text.parse().map(Some).map_err(|_| error(400, format!("{name} is invalid")))
            }
            _ => Ok(None),
        }
    }
}

impl From<GitError> for Refusal {
    fn from(failure: GitError) -> Self {
        message(500, failure.to_string())
    }
}
