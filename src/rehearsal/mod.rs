//! Day one against disposable targets on this machine.
//!
//! [`day_one`] plays the real journey, with the real targets and the real engine; what it plays against lives here too: a
//! disposable [`host`] and a stand-in [`control_plane`]. The tests use the same ones. Nothing outside the tests and
//! `factoryup rehearse` knows this room.

mod agent_at_work;
pub mod control_plane;
pub mod day_one;
pub mod host;
pub mod system;
