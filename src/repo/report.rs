//! Reports what an upgrade did with the user's changes: for the terminal, the commit message and `--json`.

use serde::Serialize;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The version of the templates before; empty for a repo that is being adopted.
    pub from: String,
    /// And after.
    pub to: String,
    /// The branch that holds it, once it is known.
    pub branch: Option<String>,
    /// Fields of `factory.toml` that are new, each with its answer.
    pub answers: Vec<Answered>,
    /// Migrations that were run, each with its reason.
    pub migrations: Vec<String>,
    /// File by file, sorted by path; files that only follow the templates are not listed.
    pub findings: Vec<Finding>,
}

/// A new field and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answered {
    /// `section.key`.
    pub key: String,
    /// Its value as it stands in the file.
    pub value: String,
    /// What it is about.
    pub about: String,
    /// Whether that is the default.
    pub is_default: bool,
}

impl Answered {
    /// One clause that says it to the user.
    #[must_use]
    pub fn as_text(&self) -> String {
        let default = if self.is_default { ", the default" } else { "" };
        format!("new in factory.toml: {} = {}{default} ({})", self.key, self.value, self.about)
    }
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it is.
    pub path: String,
    /// What about it.
    #[serde(flatten)]
    pub sort: Sort,
}

/// How many lines of a file are shown.
pub const LINES: usize = 3;

/// What there is to say about a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Sort {
    /// It holds the user's changes and the templates'.
    Merged,
    /// It moved with the user's changes.
    Moved {
        /// Where it was.
        from: String,
    },
    /// The user deleted it and it stays so, but the templates changed it.
    DeletedByYou,
    /// The templates no longer make it, but the user edited it.
    YoursNow,
    /// It is the user's since it was created, and the templates or answers would make another one today.
    Yours {
        /// Lines of that other one which it lacks, at most [`LINES`].
        lacks: Vec<String>,
    },
    /// It stays as the user has it, and a proposal waits.
    Conflict {
        /// The file's id, by which it is resolved.
        id: String,
        /// Why.
        why: &'static str,
        /// Where the proposal is.
        proposal: String,
    },
}

impl Sort {
    /// One clause that says it to the user.
    #[must_use]
    pub fn as_text(&self) -> String {
        match self {
            Self::Merged => "merged with your changes".into(),
            Self::Moved { from } => format!("moved from {from} with your changes"),
            Self::DeletedByYou => "you deleted it, so it stays deleted; the templates changed it".into(),
            Self::YoursNow => "the templates no longer contain it, but you edited it; kept as your own file".into(),
            Self::Yours { lacks } => {
                let lacks: Vec<String> = lacks.iter().map(|line| format!("`{line}`")).collect();
                let with = if lacks.is_empty() { String::new() } else { format!(" with {}", lacks.join(", ")) };
                format!("yours, so it stays; today it would be created{with}: change it yourself if it should follow")
            }
            Self::Conflict { why, proposal, .. } => {
                format!("conflict: {why}; your version is kept, the template version is {proposal}")
            }
        }
    }
}

impl Report {
    pub(crate) fn new(from: &str, to: &str) -> Self {
        let (answers, migrations, findings) = (Vec::new(), Vec::new(), Vec::new());
        Self { from: from.to_owned(), to: to.to_owned(), branch: None, answers, migrations, findings }
    }

    pub(crate) fn push(&mut self, path: &str, sort: Sort) {
        self.findings.push(Finding { path: path.to_owned(), sort });
    }

    /// The files that wait for the user.
    pub fn conflicts(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| matches!(finding.sort, Sort::Conflict { .. }))
    }

    /// One line for each new answer and each migration.
    pub fn news(&self) -> impl Iterator<Item = String> {
        let migrations = self.migrations.iter().map(|migration| format!("migration {migration}"));
        self.answers.iter().map(Answered::as_text).chain(migrations)
    }

    /// One line for each file.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.findings.iter().map(|finding| format!("{}: {}", finding.path, finding.sort.as_text()))
    }
}
