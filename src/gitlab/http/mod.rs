//! HTTP for the GitLab setup: one exchange at a time, bounded in time and size, retried where that is safe.
//!
//! [`base`] says which URLs a token may be sent to, [`call`] names a call in GitLab's own notation, [`transport`] makes one
//! exchange, and [`retry`] decides whether to make it again. What an answer *means* is the client's affair.
//!
//! ```text
//! let call = Call::get("/projects/:id/protected_branches/:name", &[&"acme/factory", &"main"]);
//! call.to_string()  // GET /projects/:id/protected_branches/:name
//! call.path()       // /projects/acme%2Ffactory/protected_branches/main
//! ```

pub(super) mod base;
pub(super) mod call;
pub(super) mod retry;
pub(super) mod transport;

pub(super) use base::BaseUrl;
pub(super) use call::{Call, Method};
pub(super) use retry::Policy;
pub(super) use transport::{Failure, Response, Transport};
