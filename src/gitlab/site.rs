//! The project, with facts that several resources need, requested once.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::ci::Purpose;
use super::client::Client;
use super::desired::Desired;
use super::error::{GitlabError, GitlabResult};
use super::glance::{self, Glance};
use super::http::Call;
use super::identity::{Account, Identity};
use super::keep::Keep;
use super::resources::ci_account;
use super::second_user::{self, Handed};
use super::variables::Variables;
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

/// Whether a project of these attributes is in a personal namespace, which has none above it.
pub(super) fn is_personal(attributes: &Map<String, Value>) -> bool {
    attributes.get("namespace").is_some_and(|namespace| namespace["kind"] == "user")
}

impl Permissions {
    /// The caller's role: the higher of the two; 0 for none.
    pub(super) fn level(&self) -> u8 {
        [&self.project_access, &self.group_access].into_iter().flatten().map(|a| a.access_level).max().unwrap_or(0)
    }
}

/// The project, and who works on it with what.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) desired: &'a Desired,
    pub(super) owner: &'a Client,
    pub(super) keep: &'a Keep,
    /// Whether Premium's calls work here.
    pub(super) premium: bool,
    /// Tokens of an agent whom a person made.
    pub(super) handed: &'a Handed,
    /// The project's id.
    pub(super) id: u64,
    project: RefCell<Option<Project>>,
    /// None while it was not asked for; empty when there is none.
    account: RefCell<Option<Vec<Account>>>,
    /// The service accounts of each place that was asked for.
    service_accounts: RefCell<Vec<(Identity, Rc<Vec<Account>>)>>,
    /// The project's full path, and that of its namespace.
    path: (String, String),
    glance: RefCell<Option<Rc<Glance>>>,
}

impl<'a> Site<'a> {
    /// A project that was just read.
    pub(super) fn new(
        desired: &'a Desired,
        owner: &'a Client,
        keep: &'a Keep,
        premium: bool,
        handed: &'a Handed,
        project: Project,
    ) -> Self {
        let id = project.id;
        let path = project.attributes.get("path_with_namespace").and_then(Value::as_str);
        let path = path.map_or_else(|| desired.path(), str::to_owned);
        let namespace =
            path.rsplit_once('/').map_or_else(|| desired.group.clone(), |(namespace, _)| namespace.to_owned());
        Self {
            desired,
            owner,
            keep,
            premium,
            handed,
            id,
            project: RefCell::new(Some(project)),
            account: RefCell::default(),
            service_accounts: RefCell::default(),
            path: (path, namespace),
            glance: RefCell::default(),
        }
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

    /// The agent's account, when there is one.
    pub(super) fn account(&self) -> GitlabResult<Option<Account>> {
        if let Some(account) = &*self.account.borrow() {
            return Ok(account.first().cloned());
        }
        let found = match &self.desired.agent.identity {
            home @ (Identity::Project | Identity::Group(_)) => {
                self.service_account(home, &self.desired.agent.username)?
            }
            Identity::Made | Identity::Given => second_user::find(self.owner, self.desired, self.keep, Some(self.id))?,
        };
        *self.account.borrow_mut() = Some(found.clone().into_iter().collect());
        Ok(found)
    }

    /// The service account of this name in the project, or in the top-level group that `home` names.
    pub(super) fn service_account(&self, home: &Identity, username: &str) -> GitlabResult<Option<Account>> {
        let all = self.service_accounts(home)?;
        Ok(all.iter().find(|account| account.username.eq_ignore_ascii_case(username)).cloned())
    }

    fn service_accounts(&self, home: &Identity) -> GitlabResult<Rc<Vec<Account>>> {
        if let Some((_, all)) = self.service_accounts.borrow().iter().find(|(known, _)| known == home) {
            return Ok(Rc::clone(all));
        }
        let call = match home {
            Identity::Group(top) => Call::get("/groups/:id/service_accounts", &[top]),
            _ => Call::get("/projects/:id/service_accounts", &[&self.id]),
        };
        let all = Rc::new(self.owner.list::<Account>(&call).map_err(|error| self.without_accounts(error))?);
        self.service_accounts.borrow_mut().push((home.clone(), Rc::clone(&all)));
        Ok(all)
    }

    /// The instance said that it has them, and has them not: a flag that is off, or something in between.
    fn without_accounts(&self, error: GitlabError) -> GitlabError {
        if !matches!(error.status(), Some(403 | 404)) {
            return error;
        }
        let text = format!("{error}: {} has no service accounts for this project", self.desired.base.as_str());
        Error::new(Kind::CutShort, text).hint("run the command again; it plans another kind of account").into()
    }

    /// The CI/CD variables that the project's jobs get.
    pub(super) fn variables(&self) -> GitlabResult<Variables> {
        self.glance().map(Variables)
    }

    /// What GitLab shows in one answer.
    pub(super) fn glance(&self) -> GitlabResult<Rc<Glance>> {
        if let Some(glance) = &*self.glance.borrow() {
            return Ok(Rc::clone(glance));
        }
        let (project, namespace) = &self.path;
        let mut group = None;
        for purpose in Purpose::ALL.into_iter().filter(|purpose| purpose.is_in_group()) {
            group = group.or(ci_account::existing(self, purpose)?.map(|_| namespace.as_str()));
        }
        let glance = Rc::new(glance::read(self.owner, self.desired, project, group)?);
        *self.glance.borrow_mut() = Some(Rc::clone(&glance));
        Ok(glance)
    }

    /// Forgets what was asked, since it may be different now.
    pub(super) fn forget(&self) {
        *self.project.borrow_mut() = None;
        *self.account.borrow_mut() = None;
        self.service_accounts.borrow_mut().clear();
        *self.glance.borrow_mut() = None;
    }
}
