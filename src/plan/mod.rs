//! The engine: the steps that apply a desired state to a target.
//!
//! A [`Target`] knows how to *observe* (read what is there, compare it with what should be, and say so as a [`Plan`]), how to
//! *apply* the changes of such a plan, and how to *prove* promises that only trying can prove. Everything else exists once, in
//! [`converge`]: showing the plan, asking, journaling before and after each change, verifying by observing again, the
//! [`Receipt`] and the [evidence](Evidence).
//!
//! No target is named here, and nothing here prints.
//!
//! ```
//! use factoryup::plan::{Action, Change, Plan, TargetName};
//!
//! let mut plan = Plan::new(TargetName::Host, "ssh://operator@203.0.113.7:22");
//! plan.push(Change::new("directory:/srv", Action::Create, "create /srv, 0755 root:root"));
//! assert!(!plan.is_empty());
//! assert_eq!(plan.changes[0].kind(), "directory");
//! ```

#[cfg(test)]
#[path = "../../tests/fuzz/plan.rs"]
pub(crate) mod fuzz;

mod anchor;
mod change;
mod deed;
mod engine;
mod evidence;
mod journal;
pub(crate) mod lock;
mod receipt;
mod saved;
mod state;
mod whole;

pub use anchor::{Anchor, Head, Standing, standing};
pub use change::{Action, Change, Diff, Plan, Risk, TargetName};
pub use deed::Deed;
pub use engine::{Event, Log, Options, Outcome, Proof, Target, Watch, converge};
pub(crate) use engine::{carry_out, confirm, prepare};
pub use evidence::{Evidence, Statement, Subject};
pub use journal::{Journal, Unfinished};
pub use receipt::{Entry, Receipt, Undo};
pub use saved::SavedPlan;
pub use state::StateDir;
pub(crate) use state::real_place;
pub use whole::write_atomically;
pub(crate) use whole::{create_atomically, write_json};
