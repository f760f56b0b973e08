//! guarding
