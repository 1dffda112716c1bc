//! Asks for the missing settings of the field table.
//!
//! [`settle`] is how a `factory.toml` comes about: from flags and variables, from what [`discover`] finds on this machine, from
//! defaults, and, where a person is there to answer, from the questions of [`run`]. The questions themselves, their checks and
//! their order are the [field table](crate::factory::fields)'s; how they look is [`prompt`](crate::ui::prompt)'s matter. Here is
//! the flow: what to ask next, going back, keeping answers so that a wizard that was left can be resumed, and the review of all
//! answers before anything is written.
//!
//! [`catch_up`] does the same for a `factory.toml` of an older version: it asks only what that one did not know.
//!
//! No secret is asked for here. Tokens are found by [`discover::gitlab_token`] when they are needed, and are never an answer.

mod apart;
mod catch_up;
pub mod discover;
mod flow;
mod known;
mod memory;
mod review;
mod settle;

pub use catch_up::{CatchUp, answered_there, catch_up};
pub use flow::{Scope, run};
pub use memory::Memory;
pub use settle::{Request, Settled, Taken, settle};
