//! What a host tells the control plane without being asked: facts, in the order of its outbox.

use serde::{Deserialize, Serialize};

use crate::automation::AutomationStatus;
use crate::host::HostFacts;
use crate::ids::{ProjectId, WorkspaceId};
use crate::project::Project;
use crate::run::Run;
use crate::workspace::Workspace;

/// A change on a host. Each carries the whole record, so that applying one twice is harmless.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub enum Event {
    /// The host's own facts changed.
    HostChanged(HostFacts),
    /// A project was registered or changed.
    ProjectChanged(Project),
    /// A project is no longer registered.
    ProjectRemoved {
        /// Which.
        id: ProjectId,
    },
    /// A workspace was made or changed.
    WorkspaceChanged(Workspace),
    /// A workspace is gone.
    WorkspaceRemoved {
        /// Which.
        id: WorkspaceId,
    },
    /// A run changed its state.
    RunChanged(Box<Run>),
    /// An automation's plan changed.
    AutomationChanged(AutomationStatus),
}
