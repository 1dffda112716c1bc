//! From a pack of templates and the answers to a tree of files, in memory.
//!
//! A pack is what lies below `templates/` together with its [`catalogue`], which says what becomes of each file. The [`render`]er
//! gives every template the `context` made from `factory.toml` and brings forth a [`tree`]: plain data, which knows no folder and
//! no repo. Who writes it where, and how it meets what is there already, is the business of [`crate::repo`] and [`crate::app`].

pub(crate) mod block;
pub mod catalogue;
mod context;
pub(crate) mod error;
pub(crate) mod path;
pub mod render;
pub mod tree;
