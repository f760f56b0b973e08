//! A project: a git repository registered on a host.

use serde::{Deserialize, Serialize};

use crate::ids::ProjectId;
use crate::time::UtcMillis;

/// A project as its host knows it. The host's database is the owner of this record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Identity on this host and in the catalog.
    pub id: ProjectId,
    /// Display name; defaults to the repository's folder name.
    pub name: String,
    /// File-system and URL safe form of the name, unique on the host.
    pub slug: String,
    /// Canonical remote URL (never with credentials); none for a repository without a remote.
    pub url: Option<String>,
    /// Absolute path of the main checkout.
    pub path: String,
    /// Branch new workspaces start from unless told otherwise; none before the first commit.
    pub default_branch: Option<String>,
    /// Whether it can be used.
    pub state: ProjectState,
    /// True when the repository existed before and was registered by path: its files are never
    /// deleted by us.
    pub imported: bool,
    /// When it was registered.
    pub created_at: UtcMillis,
}

/// Whether a project can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectState {
    /// The clone is under way.
    Cloning,
    /// The repository is there.
    Ready,
    /// The path no longer holds the repository.
    Missing,
}
