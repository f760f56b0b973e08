//! The real program, driven as a user drives it: over HTTP, from its command line and through real
//! agent clients, with real git repositories and real faults.
