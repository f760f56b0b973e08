//! The catalog's workspaces.
