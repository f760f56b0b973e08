//! The catalog's projects.
