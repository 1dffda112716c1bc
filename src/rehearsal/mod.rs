//! The rehearsal: day one against a disposable host and a stand-in control plane, on this machine and without any account.
//!
//! The targets' own code runs unchanged; only what stands at the other end is different.

pub mod control_plane;
pub mod host;
