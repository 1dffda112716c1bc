//! A file as git keeps it.

/// What git keeps of a file's type and permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `100644`
    File,
    /// `100755`
    Executable,
    /// `120000`: a symbolic link; its content is the destination.
    Link,
}

impl Mode {
    /// As git writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }

    /// From git's notation; `None` for what factoryup never writes, such as a submodule.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::File, Self::Executable, Self::Link].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// A file as git will hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) path: String,
    pub(crate) mode: Mode,
    pub(crate) bytes: Vec<u8>,
}

impl Blob {
    pub(crate) fn file(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: Mode::File, bytes: bytes.into() }
    }
}
