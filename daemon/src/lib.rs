//! The host daemon: registers git projects, makes workspaces, fires schedules from its own database
//! and runs agents unattended, whether or not the control plane can be reached.

pub mod clock;
pub mod platform;
pub mod store;
