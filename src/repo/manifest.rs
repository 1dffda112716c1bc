//! `.factory/manifest.toml`: the files that factoryup wrote to a control repo.
//!
//! An upgrade needs three texts: what the user has, what the new templates render, and what the old ones rendered. The manifest
//! names the third by its digest, and tells an edited file from an untouched one by the digest of what was written. Files are named
//! by an id that survives a rename in the templates. It is written sorted, so that equal states are equal bytes.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::error::{RepoError, RepoResult};
use crate::migrations::numbers;
use crate::templating::catalogue::Class;
use crate::templating::path;
use crate::templating::tree::{ContentKind, RenderedFile, Tree};

/// Where it is in the control repo.
pub const PATH: &str = ".factory/manifest.toml";
/// The `schema` number this version reads and writes.
pub const SCHEMA: u32 = 1;
/// The oldest factoryup that can work on what this one writes.
const MIN_GENERATOR: &str = "0.1.0";
/// The template language, so that another one never re-renders old templates by mistake.
const ENGINE: &str = "tera-2";
const HEADER: &str =
    "# Written by factoryup. It tells an upgrade what was generated and what you edited: commit it, do not edit it.\n";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format number.
    pub schema: u32,
    /// The factoryup that wrote it.
    pub generator: String,
    /// The oldest factoryup that may write to this repo.
    pub min_generator: String,
    /// SHA-256 of the canonical JSON of the answers last applied.
    pub answers_sha256: String,
    /// The templates last applied.
    pub template: Template,
    /// The files, sorted by path.
    #[serde(default, rename = "file")]
    pub files: Vec<FileRecord>,
    /// Files that the templates no longer make, sorted by id.
    #[serde(default, rename = "tombstone", skip_serializing_if = "Vec::is_empty")]
    pub tombstones: Vec<Tombstone>,
    /// Migrations that were run, in order.
    #[serde(default, rename = "migration", skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<Migration>,
}

/// `[template]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// The pack's version.
    pub version: String,
    /// The pack's digest.
    pub pack_sha256: String,
    /// The template language.
    pub engine: String,
}

/// `[[file]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Where it is.
    pub path: String,
    /// Names it across renames.
    pub id: String,
    /// Whose it is.
    pub class: Class,
    /// How its content is to be read.
    pub kind: ContentKind,
    /// Git's mode: `100644`, `100755` or `120000`.
    pub mode: String,
    /// Its line endings.
    pub eol: Eol,
    /// SHA-256 of the pristine render; for a block, of its body. Under `.factory/base/` for shared files and blocks. Empty where
    /// a file of the user's was in the way from the beginning.
    pub base: String,
    /// SHA-256 of what was written, which differs from `base` after a merge.
    pub written: String,
    /// How it stands.
    pub state: State,
    /// The pack's version at which `base` was last set.
    pub since: String,
}

/// Line endings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eol {
    /// LF.
    Lf,
    /// It has no lines.
    None,
}

/// How a file stands between the templates and the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Followed.
    Ok,
    /// The user deleted it, and it stays deleted.
    DeletedByUser,
    /// The user took it over.
    Forked,
    /// An upgrade found a conflict that waits to be resolved.
    Conflict,
}

/// `[[tombstone]]`: a file that was, so that its id and path are not taken for something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    /// The file's id.
    pub id: String,
    /// Where it was.
    pub path: String,
    /// The pack's version that no longer makes it.
    pub removed_in: String,
}

/// `[[migration]]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// Its name.
    pub id: String,
    /// The pack's version that brought it.
    pub version: String,
}

impl FileRecord {
    /// The record of a file that was written as it was rendered.
    #[must_use]
    pub fn of(file: &RenderedFile, version: &str) -> Self {
        let sha256 = file.sha256();
        Self {
            path: file.path.clone(),
            id: file.id.clone(),
            class: file.class,
            kind: file.kind,
            mode: file.mode.as_str().into(),
            eol: if file.kind == ContentKind::Text { Eol::Lf } else { Eol::None },
            base: sha256.clone(),
            written: sha256,
            state: State::Ok,
            since: version.to_owned(),
        }
    }

    /// Why nothing may be read or written by this record: it was not written by factoryup.
    fn problem(&self) -> Option<String> {
        let digest = |text: &str| text.is_empty() || text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let named = [&self.path, &self.id].into_iter().find_map(|name| Some((name, path::problem(name)?)));
        match named {
            Some((name, why)) => Some(format!("it lists a file `{}`: {why}", name.escape_default())),
            None if !digest(&self.base) || !digest(&self.written) => Some(format!("{} has no SHA-256", self.path)),
            None => None,
        }
    }

    /// Whether the pristine text is kept under `.factory/base/`.
    #[must_use]
    pub fn keeps_base(&self) -> bool {
        self.kind == ContentKind::Text && matches!(self.class, Class::Merge | Class::Block) && !self.base.is_empty()
    }
}

#[derive(Deserialize)]
struct Header {
    schema: u32,
    min_generator: String,
}

impl Manifest {
    /// The manifest of a repo in which every file of `tree` was just written.
    #[must_use]
    pub fn new(tree: &Tree, answers_sha256: String) -> Self {
        Self {
            schema: SCHEMA,
            generator: env!("CARGO_PKG_VERSION").into(),
            min_generator: MIN_GENERATOR.into(),
            answers_sha256,
            template: Template {
                version: tree.version.clone(),
                pack_sha256: tree.pack_sha256.clone(),
                engine: ENGINE.into(),
            },
            files: tree.files.iter().map(|file| FileRecord::of(file, &tree.version)).collect(),
            tombstones: Vec::new(),
            migrations: Vec::new(),
        }
    }

    /// That of a repo in which factoryup wrote nothing yet.
    pub(crate) fn none() -> Self {
        Self {
            schema: SCHEMA,
            generator: String::new(),
            min_generator: MIN_GENERATOR.into(),
            answers_sha256: String::new(),
            template: Template { version: String::new(), pack_sha256: String::new(), engine: ENGINE.into() },
            files: Vec::new(),
            tombstones: Vec::new(),
            migrations: Vec::new(),
        }
    }

    /// Whether factoryup wrote nothing yet: the repo is being adopted.
    pub(crate) fn is_none(&self) -> bool {
        self.template.version.is_empty()
    }

    /// Reads a manifest. What a newer version may have written is refused before the rest is looked at.
    pub(crate) fn parse(text: &str) -> RepoResult<Self> {
        let unreadable = |e: toml::de::Error| RepoError::Unreadable { file: PATH, why: plainly(&e) };
        let newer = |why: String| RepoError::Newer { file: PATH, why };
        let header: Header = toml::from_str(text).map_err(unreadable)?;
        if header.schema > SCHEMA {
            return Err(newer(format!("it has schema {}; this version supports up to {SCHEMA}", header.schema)));
        }
        if numbers(&header.min_generator) > numbers(env!("CARGO_PKG_VERSION")) {
            let own = env!("CARGO_PKG_VERSION");
            return Err(newer(format!("it requires {} or later; this is {own}", header.min_generator)));
        }
        let manifest: Self = toml::from_str(text).map_err(unreadable)?;
        match manifest.files.iter().find_map(FileRecord::problem) {
            Some(why) => Err(RepoError::Unreadable { file: PATH, why }),
            None => Ok(manifest),
        }
    }

    /// The file's text: sorted, and the same for the same content.
    pub(crate) fn to_text(&self) -> RepoResult<String> {
        let mut sorted = self.clone();
        sorted.files.sort_by(|a, b| a.path.cmp(&b.path));
        sorted.tombstones.sort_by(|a, b| a.id.cmp(&b.id));
        let body = toml::to_string(&sorted).map_err(|e| RepoError::Unreadable { file: PATH, why: e.to_string() })?;
        Ok(format!("{HEADER}\n{body}"))
    }

    /// Whether templates of a newer pack than `own` were applied.
    pub(crate) fn is_ahead_of(&self, own: &str) -> bool {
        numbers(&self.template.version) > numbers(own)
    }
}

fn plainly(error: &toml::de::Error) -> String {
    error.to_string().trim_end().replace('\n', " ")
}

/// The text of the manifest as the work tree in `dir` has it; `None` where it is not there.
pub(crate) fn in_work_tree(dir: &Path) -> RepoResult<Option<String>> {
    let path = dir.join(PATH);
    // A pipe would be waited for.
    let opened = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&path);
    let file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(RepoError::io("read", &path))?,
    };
    if !file.metadata().map_err(RepoError::io("read", &path))?.is_file() {
        return Err(RepoError::Unreadable { file: PATH, why: "it is not a regular file".into() });
    }
    crate::budget::read_text(&path).map(Some).map_err(RepoError::io("read", &path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templating::tree::Mode;

    fn sample() -> Manifest {
        let file = |id: &str, path: &str, class, kind, bytes: &[u8]| RenderedFile {
            id: id.into(),
            path: path.into(),
            class,
            mode: if kind == ContentKind::Link { Mode::Link } else { Mode::File },
            kind,
            bytes: bytes.into(),
        };
        let tree = Tree {
            version: "1.0.0".into(),
            pack_sha256: "0".repeat(64),
            files: vec![
                file("readme", "README.md", Class::Merge, ContentKind::Text, b"# acme\n"),
                file("skills", ".claude/skills", Class::Managed, ContentKind::Link, b"../.agents/skills"),
            ],
        };
        let mut manifest = Manifest::new(&tree, "1".repeat(64));
        manifest.tombstones.push(Tombstone { id: "old".into(), path: "OLD.md".into(), removed_in: "1.0.0".into() });
        manifest.migrations.push(Migration { id: "rename-old".into(), version: "1.0.0".into() });
        manifest
    }

    #[test]
    fn it_is_sorted_and_survives_its_text() {
        let manifest = sample();
        let text = manifest.to_text().unwrap();
        let read = Manifest::parse(&text).unwrap();
        assert_eq!(read.files[0].id, "skills");
        assert_eq!(read.to_text().unwrap(), text);
        assert_eq!(read.tombstones, manifest.tombstones);
    }

    #[test]
    fn newer_ones_are_refused_before_they_are_understood() {
        let text = sample().to_text().unwrap();
        for (from, to) in [("schema = 1", "schema = 2\nunheard_of = 1"), ("\"0.1.0\"\nanswers", "\"99.0.0\"\nanswers")]
        {
            assert!(text.contains(from), "{text}");
            let error = Manifest::parse(&text.replace(from, to)).unwrap_err();
            assert!(matches!(error, RepoError::Newer { .. }), "{error}");
        }
        assert!(matches!(Manifest::parse("schema = 1"), Err(RepoError::Unreadable { .. })));
    }

    /// What the first version wrote is read for ever, and written back as it was.
    #[test]
    fn schema_1_is_read() {
        let text = include_str!("../../tests/fixtures/formats/manifest-1.toml");
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.schema, 1);
        assert_eq!(manifest.files.len(), 2);
        assert_eq!((manifest.tombstones.len(), manifest.migrations.len()), (1, 1));
        assert_eq!(manifest.to_text().unwrap(), text);
    }
}
