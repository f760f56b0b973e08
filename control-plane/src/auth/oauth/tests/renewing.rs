//! renewing
