//! The catalog's runs.
