//! The catalog's automations.
