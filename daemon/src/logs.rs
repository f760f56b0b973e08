//! A run's log as its supervisor has written it so far, for delivery.
//!
//! It reads only; what was acknowledged is in the database, and when a spool may go is decided
//! elsewhere.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::RunId;

use crate::config::Layout;
use crate::link::LogPart;

/// Bytes in a run's log by now; 0 before it has one.
pub fn end(layout: &Layout, run: RunId) -> u64 {
    std::fs::metadata(file(layout, run)).map_or(0, |metadata| metadata.len())
}

/// At most `max` bytes from `offset`; none when the log ends there or does not exist yet.
pub fn part(layout: &Layout, run: RunId, offset: u64, max: usize) -> Result<LogPart, Failure> {
    let bytes = match File::open(file(layout, run)) {
        Ok(log) => read(&log, offset, max),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|error| {
        let message = format!("the log of run {run} cannot be read on this host");
        Failure::new(ErrorCode::HostError, message).detail(error.to_string())
    })?;
    Ok(LogPart {
        bytes,
        records: Vec::new(),
    })
}

fn read(log: &File, offset: u64, max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; max];
    let mut filled = 0;
    while filled < max {
        match log.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn file(layout: &Layout, run: RunId) -> PathBuf {
    layout.runs().join(run.to_string()).join("output.log")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_log_is_read_from_any_offset_while_it_grows() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        let run = RunId(Uuid::from_u128(1));
        assert_eq!(end(&layout, run), 0);
        assert_eq!(part(&layout, run, 0, 10).unwrap().bytes, b"");
        std::fs::create_dir_all(file(&layout, run).parent().unwrap()).unwrap();
        std::fs::write(file(&layout, run), "hello world").unwrap();
        assert_eq!(end(&layout, run), 11);
        assert_eq!(part(&layout, run, 6, 3).unwrap().bytes, b"wor");
        assert_eq!(part(&layout, run, 11, 3).unwrap().bytes, b"");
    }
}
