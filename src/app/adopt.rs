//! An existing repo under the app contract: read, tried once in a temporary folder, then given a branch that adds `.factory/`.

use std::path::Path;

use super::detect::{Facts, Source, detect};
use super::entry::AppEntry;
use super::scaffold::{self, commit, contract, is_free, is_named};
use super::trial::{self, Outcome, Shown};
use super::{ADOPT_BRANCH, AppError, Made, Request, Trial};
use crate::factory::{HostKind, POSTGRES, REDIS};
use crate::git::Git;
use crate::git::write::Edit;
use crate::repo::desired::blob;
use crate::templating::catalogue::Class;
use crate::templating::tree::RenderedFile;

/// What the host needs before it takes a release.
fn lacks(title: &str, name: &str) -> String {
    format!(
        "it asks for {title}, which the host does not have yet: add services = [\"{name}\"] under [host] in factory.toml, \
         then run `factoryup apply host`"
    )
}

/// A repo that can be adopted, at the commit that is checked out.
#[derive(Debug)]
pub(super) struct Repo {
    pub(super) git: Git,
    head: String,
    /// Its own default branch: the one that is checked out.
    pub(super) branch: String,
}

impl Repo {
    /// Looks at the repo in `folder`. Nothing is made when it cannot be adopted as it is.
    pub(super) fn open(folder: &Path) -> Result<Self, AppError> {
        let not = |why, hint| AppError::NotAdoptable { dir: folder.to_owned(), why, hint };
        let top = "choose the top directory of a git repo with a commit; to create one: git init, git add, git commit";
        if std::fs::symlink_metadata(folder.join(".git")).is_err() {
            return Err(not("it is not the top directory of a git repo", top));
        }
        let git = Git::new(folder)?;
        let head = git.resolve("HEAD^{commit}")?.ok_or_else(|| not("it has no commit", top))?;
        if git.line(&["rev-parse", "--is-shallow-repository"])? == "true" {
            return Err(not(
                "it is a shallow clone, so its history would be lost",
                "fetch all of it: git fetch --unshallow --tags",
            ));
        }
        let Some((_, Some(branch))) = git.head()? else {
            return Err(not(
                "no branch is checked out (detached HEAD)",
                "check out its default branch: git switch BRANCH",
            ));
        };
        if git.resolve(&format!("{head}:.factory/manifest.toml"))?.is_some() {
            return Err(not("it is a control repo", "choose an application's repo"));
        }
        Ok(Self { git, head, branch })
    }

    /// Adds what it lacks, on a branch of its own.
    pub(super) fn adopt(
        &self,
        request: &Request<'_>,
        entry: &AppEntry,
        components: &str,
        say: &dyn Fn(&str),
    ) -> Result<Made, AppError> {
        let folder = self.git.dir();
        let not = |why, hint| AppError::NotAdoptable { dir: folder.to_owned(), why, hint };
        let begun = format!("refs/heads/{ADOPT_BRANCH}");
        let is_begun = self.git.resolve(&begun)?.is_some();
        let known = contract(&self.git, if is_begun { &begun } else { &self.head })?;
        if known.as_ref().is_some_and(|text| !is_named(text, request.name)) {
            return Err(not(
                "its .factory/app.conf contains the name of another application, and a repo can be only one",
                if is_begun {
                    "use that name; or, for another folder of the repo, adopt a second clone: git clone --no-local DIR DIR-NAME"
                } else {
                    "use that name; or, for another folder of the repo, adopt a second clone (git clone --no-local DIR DIR-NAME), after: git rm -rq .factory && git commit -m 'Remove .factory of the other application'"
                },
            ));
        }
        if is_begun {
            return Ok(Made::AlreadyThere);
        }
        self.refuse_uncommitted()?;
        let mut facts = match &known {
            Some(text) => Facts { is_static: text.contains("\nsite="), ..Facts::default() },
            None => self.detect(request)?,
        };
        let host = &request.factory.host;
        let asked = [(&facts.postgres, "Postgres", POSTGRES), (&facts.redis, "Redis", REDIS)];
        let missing = asked.into_iter().filter(|(said, _, name)| {
            said.is_some() && host.kind != HostKind::None && !host.services.iter().any(|there| there == name)
        });
        let notes: Vec<_> = missing.map(|(_, title, name)| lacks(title, name)).collect();
        facts.notes.extend(notes);
        let (there, unnamed) = self.git.whole_tree(&self.head)?;
        let there: Vec<&String> = there.keys().chain(&unnamed).collect();
        if known.is_none() && !is_free(".factory/app.conf", &there) {
            return Err(not("another file is in the place of .factory/app.conf", "rename its .factory, and commit"));
        }
        let mut outcome = Trial::NotTried { why: "the contract existed before".into() };
        if known.is_none() {
            let first = scaffold::render(request, entry, components, Some(&facts))?;
            let edits = edits(&first.files, &there).0;
            let Shown { outcome: shown, ended, used } =
                trial::run(&self.git, &self.head, request, &facts, &edits, say)?;
            facts.used = used;
            for (name, why) in ended {
                facts.turn_off(&name, why);
            }
            outcome = match shown {
                Outcome::Answered(health) => {
                    facts.health = Some(health);
                    answered(&facts)
                }
                Outcome::Served => answered(&facts),
                Outcome::Built => Trial::Built,
                Outcome::NotTried(why) => Trial::NotTried { why },
            };
        }
        let scaffold = scaffold::render(request, entry, components, Some(&facts))?;
        let (edits, missing, kept) = edits(&scaffold.files, &there);
        if edits.is_empty() {
            return Ok(Made::AlreadyThere);
        }
        let message = format!(
            "Bring {} under the factory's app contract\n\nAdds what was missing and changes nothing that was there.\n\nMade by factoryup {}.\n",
            request.name,
            env!("CARGO_PKG_VERSION")
        );
        self.git.commit(&commit(request, ADOPT_BRANCH, Some(&self.head), &message, &edits))?;
        Ok(Made::Adopted { files: missing, kept, trial: outcome, notes: facts.notes })
    }

    /// A change that is not committed would be in a trial's way and in no branch.
    pub(super) fn refuse_uncommitted(&self) -> Result<(), AppError> {
        if self.git.run(&["status", "--porcelain", "--untracked-files=normal"])?.is_empty() {
            return Ok(());
        }
        Err(AppError::NotAdoptable {
            dir: self.git.dir().to_owned(),
            why: "it has uncommitted changes",
            hint: "commit them, or stash them: git stash --include-untracked",
        })
    }

    fn detect(&self, request: &Request<'_>) -> Result<Facts, AppError> {
        let source = Source::read(&self.git, &self.head)?;
        detect(&source, &request.wishes, request.kind).map_err(|refusal| AppError::Refused {
            dir: self.git.dir().to_owned(),
            why: refusal.why,
            hints: refusal.hints,
        })
    }
}

fn answered(facts: &Facts) -> Trial {
    let on = facts.workers.iter().filter(|worker| worker.off.is_none());
    Trial::Answered {
        path: facts.health.as_ref().map_or("/", |said| &said.value).to_owned(),
        migrated: facts.migrate.is_some(),
        workers: on.map(|worker| worker.name.clone()).collect(),
    }
}

/// The files that are missing, as edits and by path; and those that are there.
fn edits(files: &[RenderedFile], there: &[&String]) -> (Vec<Edit>, Vec<String>, Vec<String>) {
    let contract = files.iter().filter(|file| file.class == Class::Merge);
    let (missing, kept): (Vec<&RenderedFile>, Vec<_>) = contract.partition(|file| is_free(&file.path, there));
    let paths = |files: &[&RenderedFile]| files.iter().map(|file| file.path.clone()).collect();
    (missing.iter().map(|file| Edit::Put(blob(file))).collect(), paths(&missing), paths(&kept))
}
