//! Writes a run's log: an append-only file of bounded size, and an index of what came when.
//!
//! Up to its limit (head and tail together) the log is whole, and is there as it comes. What comes
//! after that goes to a ring beside the log, with a sample of the newest output in the log every
//! second and then less often, so that whoever follows sees it go on; at the end a record says how
//! much is missing, and the ring's content (the last bytes) follows. So a byte of `output.log` never
//! changes once it is there, and offsets can be sent, acknowledged and followed at any time.
//! It does not sync: a log survives the death of any process, not a power cut.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use hostler_proto::time::UtcMillis;

use super::record::{Limits, RunDir, private_file};
use crate::clock::Now;

/// Size of one record of `output.idx`.
pub const RECORD_BYTES: usize = 24;

/// Output of one stream that comes within this time is one record, milliseconds.
const MERGE_MS: i64 = 100;

/// Bytes of one sample of what is over the limit.
const SAMPLE_BYTES: usize = 4 * 1024;

/// Shortest time between two samples, milliseconds.
const SAMPLE_MS: u64 = 1_000;

/// Samples come after this part of the time the log has been over its limit: about 4 MiB of them in
/// a day.
const SAMPLE_PART: u64 = 128;

/// Bytes moved at once when the ring is appended.
const COPY_BYTES: usize = 64 * 1024;

/// Where bytes of the log came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// The supervisor's own notes.
    Note,
    /// The last bytes of a log over its limit: standard output and error mixed.
    Mixed,
}

impl Stream {
    fn code(self) -> u8 {
        match self {
            Self::Out => 1,
            Self::Err => 2,
            Self::Note => 3,
            Self::Mixed => 4,
        }
    }

    fn of_code(code: u8) -> Option<Self> {
        [Self::Out, Self::Err, Self::Note, Self::Mixed]
            .into_iter()
            .find(|stream| stream.code() == code)
    }
}

/// One record of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// First byte in the log.
    pub offset: u64,
    /// When the first of its bytes came.
    pub at: UtcMillis,
    /// Bytes.
    pub length: u32,
    /// Where they came from.
    pub stream: Stream,
}

impl Record {
    fn encode(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.at.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20] = self.stream.code();
        bytes
    }

    /// A record from its bytes; none for bytes this program did not write.
    pub fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk::<8>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            offset: u64::from_le_bytes(*offset),
            at: UtcMillis(i64::from_le_bytes(*at)),
            length: u32::from_le_bytes(*length),
            stream: Stream::of_code(*rest.first()?)?,
        })
    }
}

/// The log being written.
#[derive(Debug)]
pub struct Spool {
    log: File,
    index: File,
    dir: RunDir,
    /// Bytes up to which it is whole.
    limit: u64,
    /// Last bytes that are kept of what comes after.
    tail_limit: u64,
    length: u64,
    crc: crc32fast::Hasher,
    /// The last record of the index, which still grows.
    open: Option<Record>,
    /// Where it lies in the index.
    open_at: u64,
    /// Whether the output so far ends within a line.
    within_line: bool,
    ring: Option<Ring>,
    newest: Newest,
}

/// What is shown, now and then, of the output over the limit.
#[derive(Debug, Default)]
struct Newest {
    /// The last of what came since the sample before.
    bytes: Vec<u8>,
    /// How much came since then.
    came: u64,
    over_since_ms: Option<u64>,
    shown_ms: u64,
}

/// The last bytes of a log over its limit, in a file written round and round.
#[derive(Debug)]
struct Ring {
    file: File,
    size: u64,
    written: u64,
}

impl Spool {
    /// Creates the log of a run folder.
    pub fn create(dir: &RunDir, limits: &Limits) -> io::Result<Self> {
        Ok(Self {
            log: private_file(&dir.log())?,
            index: private_file(&dir.index())?,
            dir: dir.clone(),
            limit: limits.log_head.saturating_add(limits.log_tail),
            tail_limit: limits.log_tail.max(1),
            length: 0,
            crc: crc32fast::Hasher::new(),
            open: None,
            open_at: 0,
            within_line: false,
            ring: None,
            newest: Newest::default(),
        })
    }

    /// Bytes that can be read from the log.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes output. What is over the limit goes to the ring.
    pub fn write(&mut self, stream: Stream, bytes: &[u8], now: UtcMillis) -> io::Result<()> {
        if let Some(last) = bytes.last() {
            self.within_line = *last != b'\n';
        }
        if let Some(ring) = &mut self.ring {
            self.newest.push(bytes);
            return ring.write(bytes);
        }
        let room = usize::try_from(self.limit.saturating_sub(self.length));
        let (fits, over) = bytes.split_at(room.unwrap_or(usize::MAX).min(bytes.len()));
        self.append(stream, fits, now)?;
        if over.is_empty() {
            return Ok(());
        }
        let mut ring = Ring::create(&self.dir, self.tail_limit)?;
        ring.write(over)?;
        self.ring = Some(ring);
        self.newest.push(over);
        let words = format!(
            "the log has reached its limit of {} bytes: from here on there are samples of the newest output; the last {} bytes follow at the end",
            self.limit, self.tail_limit
        );
        self.append(
            Stream::Note,
            format!("\n[hostler] {words}\n").as_bytes(),
            now,
        )
    }

    /// Shows a sample of what is over the limit, if it is time for one.
    pub fn show_newest(&mut self, now: Now) -> io::Result<()> {
        if self.ring.is_none() {
            return Ok(());
        }
        self.newest.over_since_ms.get_or_insert(now.awake_ms);
        if self.next_newest_ms().is_none_or(|next| now.awake_ms < next) {
            return Ok(());
        }
        let sample = self.newest.take(now.awake_ms);
        self.append(Stream::Note, &sample, now.wall)
    }

    /// When there is a sample to show, in awake milliseconds.
    pub fn next_newest_ms(&self) -> Option<u64> {
        self.ring.as_ref()?;
        self.newest.next_ms()
    }

    /// Writes a line of the supervisor's own, whatever the log's size.
    pub fn note(&mut self, text: &str, now: UtcMillis) -> io::Result<()> {
        let begin = if std::mem::take(&mut self.within_line) {
            "\n"
        } else {
            ""
        };
        let line = format!("{begin}[hostler] {text}\n");
        match &mut self.ring {
            Some(ring) => ring.write(line.as_bytes()),
            None => self.append(Stream::Note, line.as_bytes(), now),
        }
    }

    /// Completes the log; returns its size and CRC-32.
    pub fn finish(&mut self, now: UtcMillis) -> io::Result<(u64, u32)> {
        self.append_ring(now).map(|()| self.sum())
    }

    /// Size and CRC-32 of what is in the log.
    pub fn sum(&self) -> (u64, u32) {
        (self.length, self.crc.clone().finalize())
    }

    fn append_ring(&mut self, now: UtcMillis) -> io::Result<()> {
        let Some(ring) = self.ring.take() else {
            return Ok(());
        };
        let lost = ring.written.saturating_sub(ring.size);
        let gap = if lost > 0 {
            format!(
                "\n[hostler] {lost} bytes of output are left out here: the log keeps the first {} and the last {} bytes\n",
                self.limit, self.tail_limit
            )
        } else {
            "\n[hostler] nothing is left out: all output after the limit follows, with what the samples showed\n".to_owned()
        };
        self.append(Stream::Note, gap.as_bytes(), now)?;
        let mut at = lost;
        let mut buffer = vec![0; COPY_BYTES];
        while at < ring.written {
            let length = ring.read(at, &mut buffer)?;
            self.append(Stream::Mixed, &buffer[..length], now)?;
            at += length as u64;
        }
        std::fs::remove_file(self.dir.tail())
    }

    fn append(&mut self, stream: Stream, bytes: &[u8], now: UtcMillis) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let before = self.length;
        let result = self.append_bytes(bytes);
        let length = u32::try_from(self.length - before).unwrap_or(u32::MAX);
        if length > 0 {
            self.record(stream, before, length, now)?;
        }
        result
    }

    /// Appends as much as the disk takes, so that size and checksum always tell the truth.
    fn append_bytes(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = match self.log.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.crc.update(&bytes[..taken]);
            self.length += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    fn record(
        &mut self,
        stream: Stream,
        offset: u64,
        length: u32,
        now: UtcMillis,
    ) -> io::Result<()> {
        let grown = self.open.and_then(|open| {
            let near = open.stream == stream && now.since(open.at) < MERGE_MS;
            let length = open.length.checked_add(length).filter(|_| near)?;
            Some(Record { length, ..open })
        });
        if grown.is_none() && self.open.is_some() {
            self.open_at += RECORD_BYTES as u64;
        }
        let record = grown.unwrap_or(Record {
            offset,
            at: now,
            length,
            stream,
        });
        self.open = Some(record);
        // At once, so that whoever reads the newest bytes knows when they came.
        self.index.write_all_at(&record.encode(), self.open_at)
    }
}

/// Reads at most `most` bytes of a log from `offset` on.
pub fn read(dir: &RunDir, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let file = File::open(dir.log())?;
    let mut bytes = vec![0; most];
    let mut filled = 0;
    while filled < most {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The last bytes of a log, at most `most`.
pub fn read_tail(dir: &RunDir, most: u64) -> io::Result<Vec<u8>> {
    let length = std::fs::metadata(dir.log())?.len();
    let most = most.min(length);
    read(
        dir,
        length - most,
        usize::try_from(most).unwrap_or(usize::MAX),
    )
}

/// Size and CRC-32 of a log as it lies on disk, for a run whose supervisor left no record.
pub fn measure(dir: &RunDir) -> io::Result<(u64, u32)> {
    let mut crc = crc32fast::Hasher::new();
    let mut offset = 0;
    loop {
        let bytes = read(dir, offset, COPY_BYTES)?;
        if bytes.is_empty() {
            return Ok((offset, crc.finalize()));
        }
        crc.update(&bytes);
        offset += bytes.len() as u64;
    }
}

/// The index of a log, as far as it was written.
pub fn index(dir: &RunDir) -> io::Result<Vec<Record>> {
    let bytes = std::fs::read(dir.index())?;
    let (records, _) = bytes.as_chunks::<RECORD_BYTES>();
    Ok(records.iter().filter_map(Record::decode).collect())
}

/// Gives what was printed with where it was printed, in order and in pieces. Where the end of a
/// large log was appended from the ring, output and error are mixed.
pub fn read_streams(dir: &RunDir, mut take: impl FnMut(Stream, &[u8])) -> io::Result<()> {
    for record in index(dir)? {
        let (mut at, end) = (record.offset, record.offset + u64::from(record.length));
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(COPY_BYTES);
            let bytes = read(dir, at, most.min(COPY_BYTES))?;
            if bytes.is_empty() {
                return Ok(());
            }
            take(record.stream, &bytes);
            at += bytes.len() as u64;
        }
    }
    Ok(())
}

/// The last `count` lines of a text, the first of them whole only if the text has its beginning.
pub fn last_lines(bytes: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

impl Newest {
    fn push(&mut self, bytes: &[u8]) {
        self.came += bytes.len() as u64;
        let last = &bytes[bytes.len().saturating_sub(SAMPLE_BYTES)..];
        self.bytes.extend_from_slice(last);
        let over = self.bytes.len().saturating_sub(SAMPLE_BYTES);
        self.bytes.drain(..over);
    }

    fn next_ms(&self) -> Option<u64> {
        if self.bytes.is_empty() {
            return None;
        }
        let over = self.shown_ms.saturating_sub(self.over_since_ms?);
        Some(self.shown_ms + SAMPLE_MS.max(over / SAMPLE_PART))
    }

    /// The sample with the record of the gap before it; it begins with a whole line where there is
    /// one.
    fn take(&mut self, now_ms: u64) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        let came = std::mem::take(&mut self.came);
        let cut = came > bytes.len() as u64;
        let line = bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| at + 1);
        let begin = line.filter(|at| cut && *at < bytes.len()).unwrap_or(0);
        let shown = &bytes[begin..];
        let gap = came - shown.len() as u64;
        let mut sample =
            format!("[hostler] {gap} bytes are left out here; the newest:\n").into_bytes();
        sample.extend_from_slice(shown);
        if !shown.ends_with(b"\n") {
            sample.push(b'\n');
        }
        self.shown_ms = now_ms;
        sample
    }
}

impl Ring {
    fn create(dir: &RunDir, size: u64) -> io::Result<Self> {
        drop(private_file(&dir.tail())?);
        let file = File::options().read(true).write(true).open(dir.tail())?;
        Ok(Self {
            file,
            size,
            written: 0,
        })
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let place = self.written % self.size;
            let room = usize::try_from(self.size - place).unwrap_or(usize::MAX);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.file.write_all_at(now, place)?;
            self.written += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Reads what was written as the `at`-th byte and after it.
    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let place = at % self.size;
        let most = (self.size - place).min(self.written - at);
        let length = usize::try_from(most)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        self.file.read_exact_at(&mut buffer[..length], place)?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(head: u64, tail: u64) -> (tempfile::TempDir, RunDir, Spool) {
        let temp = tempfile::tempdir().unwrap();
        let dir = RunDir::new(temp.path());
        let limits = Limits {
            log_head: head,
            log_tail: tail,
            ..Limits::default()
        };
        let spool = Spool::create(&dir, &limits).unwrap();
        (temp, dir, spool)
    }

    fn now(awake_ms: u64) -> Now {
        Now {
            wall: UtcMillis(0),
            boot_ms: awake_ms,
            awake_ms,
        }
    }

    #[test]
    fn a_log_within_its_limits_is_whole_and_its_index_tells_the_streams() {
        let (_temp, dir, mut spool) = spool(4, 100);
        spool.write(Stream::Out, b"ab", UtcMillis(0)).unwrap();
        spool.write(Stream::Out, b"c", UtcMillis(50)).unwrap();
        spool.write(Stream::Err, b"defg", UtcMillis(60)).unwrap();
        assert_eq!(spool.length(), 7);
        spool.write(Stream::Out, b"hi", UtcMillis(70)).unwrap();
        let (length, crc) = spool.finish(UtcMillis(99)).unwrap();
        let log = std::fs::read(dir.log()).unwrap();
        assert_eq!(log, b"abcdefghi");
        assert_eq!((length, crc), (9, crc32fast::hash(&log)));
        let shape: Vec<_> = index(&dir)
            .unwrap()
            .iter()
            .map(|record| (record.offset, record.length, record.stream))
            .collect();
        let expected = [
            (0, 3, Stream::Out),
            (3, 4, Stream::Err),
            (7, 2, Stream::Out),
        ];
        assert_eq!(shape, expected);
        assert!(!dir.tail().exists());
    }

    #[test]
    fn a_log_over_its_limits_keeps_both_ends_and_says_what_is_missing() {
        let (_temp, dir, mut spool) = spool(10, 100);
        let all: Vec<u8> = (0..10_000u32)
            .flat_map(|n| format!("{n} ").into_bytes())
            .collect();
        for chunk in all.chunks(7) {
            spool.write(Stream::Out, chunk, UtcMillis(0)).unwrap();
        }
        let (length, crc) = spool.finish(UtcMillis(1)).unwrap();
        let log = std::fs::read(dir.log()).unwrap();
        assert!(log.starts_with(&all[..110]));
        assert!(log.ends_with(&all[all.len() - 100..]));
        let gap = String::from_utf8_lossy(&log[110..log.len() - 100]).into_owned();
        assert!(
            gap.contains(&format!(" {} bytes", all.len() - 210)),
            "{gap}"
        );
        assert_eq!((length, crc), (log.len() as u64, crc32fast::hash(&log)));
    }

    #[test]
    fn who_follows_a_log_over_its_limit_sees_the_newest_now_and_then() {
        let (_temp, dir, mut spool) = spool(4, 8);
        let read = || String::from_utf8(std::fs::read(dir.log()).unwrap()).unwrap();
        spool
            .write(Stream::Out, b"0123456789ab", UtcMillis(0))
            .unwrap();
        spool.show_newest(now(10_000)).unwrap();
        assert_eq!(read(), "0123456789ab");
        spool.write(Stream::Out, b"one\n", UtcMillis(0)).unwrap();
        assert!(read().contains("limit of 12 bytes"), "{}", read());
        spool.show_newest(now(10_000)).unwrap();
        assert!(read().ends_with(" 0 bytes are left out here; the newest:\none\n"));
        assert_eq!(spool.next_newest_ms(), None);
        let long = [b"x".repeat(5_000), b"\nend\n".to_vec()].concat();
        spool.write(Stream::Out, &long, UtcMillis(0)).unwrap();
        assert_eq!(spool.next_newest_ms(), Some(11_000));
        spool.show_newest(now(10_999)).unwrap();
        assert!(!read().ends_with("end\n"));
        spool.show_newest(now(11_000)).unwrap();
        assert!(read().ends_with(" 5001 bytes are left out here; the newest:\nend\n"));
        let before = read();
        spool.finish(UtcMillis(1)).unwrap();
        assert!(read().starts_with(&before) && read().ends_with("xxx\nend\n"));
        let output: Vec<u8> = {
            let mut all = Vec::new();
            read_streams(&dir, |stream, bytes| match stream {
                Stream::Out | Stream::Mixed => all.extend_from_slice(bytes),
                Stream::Err | Stream::Note => {}
            })
            .unwrap();
            all
        };
        assert_eq!(output, b"0123456789abxxx\nend\n", "samples are not output");
    }
}
