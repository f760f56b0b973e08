//! The link to the control plane: what it needs of this machine, and (below) the socket.

mod local;

pub use local::{Local, LogPart, ProgressSink};
