//! The project that is worked on, with what several resources need to know of it, asked once.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::Client;
use super::desired::Desired;
use super::error::{GitlabError, GitlabResult};
use super::http::Call;
use super::keep::Keep;
use crate::error::{Error, Kind};

/// A project as its owner sees it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Project {
    pub(super) id: u64,
    pub(super) permissions: Option<Permissions>,
    /// Everything else, by API name.
    #[serde(flatten)]
    pub(super) attributes: Map<String, Value>,
}

/// The caller's roles.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Permissions {
    project_access: Option<Access>,
    group_access: Option<Access>,
}

#[derive(Clone, Debug, Deserialize)]
struct Access {
    access_level: u8,
}

impl Permissions {
    /// The caller's role: the higher of the two; 0 for none.
    pub(super) fn level(&self) -> u8 {
        [&self.project_access, &self.group_access].into_iter().flatten().map(|a| a.access_level).max().unwrap_or(0)
    }
}

/// A service account.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) username: String,
}

/// The project, and who works on it with what.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) desired: &'a Desired,
    pub(super) owner: &'a Client,
    pub(super) keep: &'a Keep,
    /// Whether Premium's calls work here.
    pub(super) premium: bool,
    /// The project's id.
    pub(super) id: u64,
    project: RefCell<Option<Project>>,
    accounts: RefCell<Option<Vec<Account>>>,
}

impl<'a> Site<'a> {
    /// A project that was just read.
    pub(super) fn new(
        desired: &'a Desired,
        owner: &'a Client,
        keep: &'a Keep,
        premium: bool,
        project: Project,
    ) -> Self {
        let id = project.id;
        Self { desired, owner, keep, premium, id, project: RefCell::new(Some(project)), accounts: RefCell::new(None) }
    }

    /// The project's attributes.
    pub(super) fn attributes(&self) -> GitlabResult<Map<String, Value>> {
        if let Some(project) = &*self.project.borrow() {
            return Ok(project.attributes.clone());
        }
        let project: Project = self.owner.fetch(&Call::get("/projects/:id", &[&self.id]))?;
        let attributes = project.attributes.clone();
        *self.project.borrow_mut() = Some(project);
        Ok(attributes)
    }

    /// The agent's service account, when there is one.
    pub(super) fn account(&self) -> GitlabResult<Option<Account>> {
        if self.accounts.borrow().is_none() {
            let call = Call::get("/projects/:id/service_accounts", &[&self.id]);
            let all = self.owner.list(&call).map_err(|error| self.without_accounts(error))?;
            *self.accounts.borrow_mut() = Some(all);
        }
        let accounts = self.accounts.borrow();
        let mut all = accounts.iter().flatten();
        Ok(all.find(|account| account.username.eq_ignore_ascii_case(&self.desired.agent.username)).cloned())
    }

    fn without_accounts(&self, error: GitlabError) -> GitlabError {
        if error.status() != Some(404) {
            return error;
        }
        let text = format!("{} has no service accounts for projects", self.desired.base.as_str());
        Error::new(Kind::Data, text).hint("GitLab has them from 18.11 on, with Premium earlier; upgrade it").into()
    }

    /// Forgets what was asked, since it may be different now.
    pub(super) fn forget(&self) {
        *self.project.borrow_mut() = None;
        *self.accounts.borrow_mut() = None;
    }
}
