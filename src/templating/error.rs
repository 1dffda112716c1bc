//! What can fail in the rendering of templates, with the remedy for each.

use crate::dialog::plain;
use crate::error::{Error, IoError};

/// `Result` with [`TemplateError`].
pub(crate) type TemplateResult<T> = std::result::Result<T, TemplateError>;

/// A failure of the rendering, before it is turned into the program's one [`Error`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("invalid template catalogue: {0}")]
    Catalogue(String),
    #[error("cannot render the template {template}: {message}, at line {line}")]
    Template { template: String, line: usize, message: String },
    #[error("{path} cannot be part of a control repo: {why}")]
    Rendered { path: String, why: String },
    #[error(transparent)]
    Io(#[from] IoError),
}

impl From<TemplateError> for Error {
    fn from(error: TemplateError) -> Self {
        let text = plain(&error.to_string());
        match error {
            TemplateError::Catalogue(_) | TemplateError::Template { .. } => Self::internal(text).hint(
                "report this error with the output of `factoryup --version`: the templates are part of factoryup",
            ),
            TemplateError::Rendered { .. } => {
                Self::data(text).hint(format!("change the value in {}", crate::factory::FILE_NAME))
            }
            TemplateError::Io(error) => error.into(),
        }
    }
}
