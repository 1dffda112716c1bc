//! The rehearsal: day one against a disposable host and a stand-in control plane, on this machine and without any account.

pub mod host;
