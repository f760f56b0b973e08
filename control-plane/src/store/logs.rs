//! The catalog's logs.
