//! Renders settings to a tree: a pure function, with the same result on every machine and at any time.
//!
//! Each template stands alone and is parsed when its file is made: parsed, it takes some twenty times its size, which a large pack has not
//! to spare. Escaping is off: these are not web pages. Of Tera's functions only `range` and `throw` exist in a render, so that neither
//! clock, chance, environment nor network can reach a file. What a human typed freely goes into YAML, JSON and TOML through the filter
//! `quoted`.

use std::path::Path;
use std::sync::OnceLock;

use serde::Serialize;
use serde_json::Value;
use tera::{ErrorKind, Tera};

use super::block;
use super::catalogue::{CatalogueRow, Class, Condition, ENVIRONMENT, Each, Pack};
use super::context::Context;
use super::error::{TemplateError, TemplateResult};
use super::path;
use super::tree::{ContentKind, Mode, RenderedFile, Tree};
use crate::error::Result;
use crate::factory::Factory;

/// The control repo that `factory` describes, from the templates in this binary.
///
/// # Errors
/// `Internal` when a template is wrong, naming template, line and what is missing; `Data` when an answer makes a file that git or
/// a merge could not hold.
pub fn render(factory: &Factory) -> Result<Tree> {
    static RENDERER: OnceLock<TemplateResult<Renderer>> = OnceLock::new();
    match RENDERER.get_or_init(|| Pack::embedded().map(Renderer::new)) {
        Ok(renderer) => Ok(renderer.render(factory)?),
        Err(fault) => Err(TemplateError::Catalogue(fault.to_string()).into()),
    }
}

/// Makes trees from a pack.
#[derive(Debug)]
pub struct Renderer {
    pack: Pack,
}

impl Renderer {
    /// The pack in a folder: its `catalogue.toml`, and its files below `templates/`. So a pack can be tried that is in no binary.
    ///
    /// # Errors
    /// `Data` when a file cannot be read; `Internal` when catalogue and files do not fit each other.
    pub fn read(folder: &Path) -> Result<Self> {
        Ok(Self::new(Pack::read(folder)?))
    }

    /// The control repo that `factory` describes, from this pack.
    ///
    /// # Errors
    /// As [`render`].
    pub fn tree(&self, factory: &Factory) -> Result<Tree> {
        Ok(self.render(factory)?)
    }

    pub(crate) fn new(pack: Pack) -> Self {
        Self { pack }
    }

    /// Renders every file that `factory` asks for.
    pub(crate) fn render(&self, factory: &Factory) -> TemplateResult<Tree> {
        self.render_with(factory, &())
    }

    /// Renders every file that `factory` asks for, with the keys of `more` beside those of the factory.
    pub(crate) fn render_with(&self, factory: &Factory, more: &impl Serialize) -> TemplateResult<Tree> {
        let mut json = Context::new(factory, &self.pack.version).to_json();
        if let (Value::Object(keys), Ok(Value::Object(more))) = (&mut json, serde_json::to_value(more)) {
            keys.extend(more);
        }
        let base = tera::Context::from_serialize(&json).map_err(|e| explain("(context)", &e))?;
        let mut files = Vec::with_capacity(self.pack.entries.len());
        for entry in &self.pack.entries {
            if !wanted(entry, &json)? {
                continue;
            }
            match entry.each {
                None => files.push(self.file(entry, entry.id.clone(), entry.path.clone(), &base)?),
                Some(Each::Environments) => {
                    for name in &factory.environments.names {
                        let mut context = base.clone();
                        context.insert("environment", name);
                        let path = entry.path.replace(ENVIRONMENT, name);
                        files.push(self.file(entry, format!("{}/{name}", entry.id), path, &context)?);
                    }
                }
            }
        }
        if let Some((one, other)) = path::collision(files.iter().map(|f| f.path.as_str())) {
            return Err(rendered(other, format!("it conflicts with {one}")));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Tree { version: self.pack.version.clone(), pack_sha256: self.pack.sha256.clone(), files })
    }

    fn file(
        &self,
        entry: &CatalogueRow,
        id: String,
        path: String,
        context: &tera::Context,
    ) -> TemplateResult<RenderedFile> {
        if let Some(why) = self.pack.path_problem(&path) {
            return Err(rendered(&path, why));
        }
        let mode = if entry.mode.as_deref() == Some("755") { Mode::Executable } else { Mode::File };
        let source = self.pack.files.get(entry.template()).map_or(&[][..], |bytes| bytes);
        let (mode, kind, bytes) = if let Some(destination) = &entry.link {
            (Mode::Link, ContentKind::Link, destination.clone().into_bytes())
        } else if entry.raw {
            (mode, if is_text(source) { ContentKind::Text } else { ContentKind::Binary }, source.to_vec())
        } else {
            (mode, ContentKind::Text, text_file(&path, filled(entry.template(), source, context)?)?)
        };
        let file = RenderedFile { id, path, class: entry.class, mode, kind, bytes };
        if entry.class == Class::Block && std::str::from_utf8(&file.bytes).ok().and_then(block::body).is_none() {
            return Err(fault(
                entry.template(),
                1,
                "its class is `block`, but it does not contain exactly one block".into(),
            ));
        }
        Ok(file)
    }
}

/// What is made of a template, whose name is for messages.
fn filled(name: &str, template: &[u8], context: &tera::Context) -> TemplateResult<String> {
    let template = std::str::from_utf8(template)
        .map_err(|e| fault(name, 1, format!("it is not UTF-8 ({e}); copy it as `raw`")))?;
    let mut tera = Tera::new();
    tera.autoescape_on(Vec::<&str>::new());
    tera.register_filter("quoted", quoted);
    tera.add_raw_template(name, template).and_then(|()| tera.render(name, context)).map_err(|e| explain(name, &e))
}

/// The filter `quoted`: free text as a JSON string, which is also one in YAML and TOML.
fn quoted(text: &str, _: tera::Kwargs, _: &tera::State) -> String {
    Value::from(text).to_string()
}

fn wanted(entry: &CatalogueRow, context: &Value) -> TemplateResult<bool> {
    let Some(when) = &entry.when else { return Ok(true) };
    Condition::parse(when)
        .and_then(|condition| condition.holds(context))
        .map_err(|why| TemplateError::Catalogue(format!("the file `{}` has the condition `{when}`: {why}", entry.id)))
}

/// Rendered text as a file: LF only, no conflict markers, exactly one line ending at its end.
fn text_file(path: &str, mut text: String) -> TemplateResult<Vec<u8>> {
    if let Some(c) = text.chars().find(|&c| c.is_control() && c != '\n' && c != '\t') {
        return Err(rendered(path, format!("it would contain the control character {}", c.escape_default())));
    }
    if let Some(line) = text.lines().position(is_conflict_marker) {
        return Err(rendered(path, format!("line {} would be a conflict marker", line + 1)));
    }
    text.truncate(text.trim_end_matches('\n').len());
    if !text.is_empty() {
        text.push('\n');
    }
    // Tera gives every text 8 KiB to grow in.
    text.shrink_to_fit();
    Ok(text.into_bytes())
}

/// Whether a line is one that git's conflict style `merge` or `diff3` writes. `=======` alone is not counted: it underlines
/// headings.
pub(crate) fn is_conflict_marker(line: &str) -> bool {
    ["<<<<<<<", ">>>>>>>", "|||||||"]
        .iter()
        .any(|marker| line.strip_prefix(marker).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
}

/// Whether bytes can be treated as text with LF line endings.
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(['\0', '\r']))
}

fn rendered(path: &str, why: impl Into<String>) -> TemplateError {
    TemplateError::Rendered { path: path.to_owned(), why: why.into() }
}

fn fault(template: &str, line: usize, message: String) -> TemplateError {
    TemplateError::Template { template: template.to_owned(), line, message }
}

fn explain(template: &str, error: &tera::Error) -> TemplateError {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            let name = if report.filename().is_empty() { template } else { report.filename() };
            fault(name, report.span().start_line, report.message().to_owned())
        }
        // What is found while loading, such as an unknown function, comes as a text that names its place.
        _ => TemplateError::Catalogue(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
