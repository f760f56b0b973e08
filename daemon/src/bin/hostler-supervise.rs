//! The supervisor alone, for this crate's own tests: `hostler-supervise supervise <run-dir>` is what
//! `hostler supervise <run-dir>` is in the product, and nothing else.

use std::path::Path;

fn main() {
    let folder = std::env::args_os().nth(2).unwrap_or_default();
    std::process::exit(hostler_daemon::supervise(Path::new(&folder)));
}
