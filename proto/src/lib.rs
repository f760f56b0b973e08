//! What the host daemon and the control plane agree on: ids, passive data, commands, events,
//! frames, the sans-IO link session and the schedule engine.
//!
//! Everything here is pure: no sockets, no tasks, no database, and no clock. `now` is a parameter.

pub mod actor;
pub mod automation;
pub mod command;
pub mod enrol;
pub mod error;
pub mod event;
pub mod frame;
pub mod host;
pub mod ids;
pub mod link;
pub mod project;
pub mod run;
pub mod schedule;
pub mod time;
pub mod transcript;
pub mod version;
pub mod workspace;
