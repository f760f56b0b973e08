//! A run's log as its supervisor has written it so far, for delivery.
//!
//! It reads only; what was acknowledged is in the database, and when a spool may go is decided
//! elsewhere.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::frame::log::{LogRecord, LogStream, MAX_RECORDS};
use hostler_proto::ids::RunId;

use crate::config::Layout;
use crate::link::LogPart;
use crate::supervisor::record::RunDir;
use crate::supervisor::spool::{self, RECORD_BYTES, Record, Stream};

/// Bytes in a run's log by now; 0 before it has one.
pub fn end(layout: &Layout, run: RunId) -> u64 {
    std::fs::metadata(dir(layout, run).log()).map_or(0, |metadata| metadata.len())
}

/// At most `max` bytes from `offset`, with what is known of when they came; none when the log ends
/// there or does not exist yet.
pub fn part(layout: &Layout, run: RunId, offset: u64, max: usize) -> Result<LogPart, Failure> {
    let dir = dir(layout, run);
    let bytes = match spool::read(&dir, offset, max) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    };
    let bytes = bytes.map_err(|error| {
        let message = format!("the log of run {run} cannot be read on this host");
        Failure::new(ErrorCode::HostError, message).detail(error.to_string())
    })?;
    // Times are a courtesy: without them the bytes still go.
    let records = records(&dir.index(), offset, bytes.len()).unwrap_or_default();
    Ok(LogPart { bytes, records })
}

/// The records that describe `length` bytes from `offset`, the first cut to what is left of it.
fn records(index: &Path, offset: u64, length: usize) -> io::Result<Vec<LogRecord>> {
    let file = File::open(index)?;
    let end = offset + length as u64;
    let mut at = offset;
    let mut found = Vec::new();
    for number in first_behind(&file, offset)?.. {
        let Some(record) = record(&file, number)? else {
            break;
        };
        let until = (record.offset + u64::from(record.length)).min(end);
        if record.offset > at || until <= at || found.len() == MAX_RECORDS {
            break;
        }
        found.push(LogRecord {
            len: u32::try_from(until - at).unwrap_or(u32::MAX),
            at: record.at,
            stream: stream(record.stream),
        });
        at = until;
    }
    Ok(found)
}

/// The number of the first record that reaches beyond `offset`, found by halving.
fn first_behind(file: &File, offset: u64) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len() / RECORD_BYTES as u64);
    while low < high {
        let middle = low + (high - low) / 2;
        match record(file, middle)? {
            Some(record) if record.offset + u64::from(record.length) <= offset => low = middle + 1,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

fn record(file: &File, number: u64) -> io::Result<Option<Record>> {
    let mut bytes = [0; RECORD_BYTES];
    match file.read_exact_at(&mut bytes, number * RECORD_BYTES as u64) {
        Ok(()) => Ok(Record::decode(&bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn stream(stream: Stream) -> LogStream {
    match stream {
        Stream::Out | Stream::Mixed => LogStream::Out,
        Stream::Err => LogStream::Err,
        Stream::Note => LogStream::Note,
    }
}

fn dir(layout: &Layout, run: RunId) -> RunDir {
    RunDir::new(&layout.runs().join(run.to_string()))
}

#[cfg(test)]
mod tests {
    use hostler_proto::time::UtcMillis;
    use uuid::Uuid;

    use super::*;
    use crate::supervisor::record::Limits;
    use crate::supervisor::spool::Spool;

    #[test]
    fn a_log_is_read_from_any_offset_with_its_records() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        let run = RunId(Uuid::from_u128(1));
        assert_eq!(end(&layout, run), 0);
        assert_eq!(part(&layout, run, 0, 10).unwrap(), LogPart::default());

        std::fs::create_dir_all(dir(&layout, run).path()).unwrap();
        let mut spool = Spool::create(&dir(&layout, run), &Limits::default()).unwrap();
        spool.write(Stream::Out, b"hello ", UtcMillis(1)).unwrap();
        spool.write(Stream::Err, b"cruel ", UtcMillis(2)).unwrap();
        spool.write(Stream::Out, b"world", UtcMillis(3)).unwrap();
        spool.finish(UtcMillis(4)).unwrap();

        assert_eq!(end(&layout, run), 17);
        let part = part(&layout, run, 8, 6).unwrap();
        assert_eq!(part.bytes, b"uel wo");
        let seen: Vec<_> = part
            .records
            .iter()
            .map(|r| (r.len, r.at.0, r.stream))
            .collect();
        assert_eq!(seen, [(4, 2, LogStream::Err), (2, 3, LogStream::Out)]);
        let rest = super::part(&layout, run, 17, 6).unwrap();
        assert_eq!(rest, LogPart::default());
    }
}
