//! What is asked of a host and not yet answered for good, sent again when the host returns.
