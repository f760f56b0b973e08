//! The catalog's commands.
