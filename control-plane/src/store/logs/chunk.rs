//! The form of a row of log bytes: plain or packed, with records of a few bytes each. Pure.
//!
//! Records are (length, time since the one before, stream), as variable-length numbers; together
//! they cover the row's bytes exactly.

use hostler_proto::frame::log::{LogRecord, LogStream};
use hostler_proto::time::UtcMillis;

/// Plain bytes of a packed row: enough to pack well, little enough to read a page.
pub(super) const PACKED_BYTES: usize = 256 << 10;

/// How hard packing tries: the link's level, which costs the least time for the bytes it saves.
const LEVEL: i32 = 1;

/// Log bytes in order, with when and from where they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Their records, covering all of them.
    pub records: Vec<LogRecord>,
}

impl Chunk {
    /// Appends bytes and what is known of their records. What no record covers came `at` this time.
    pub fn push(&mut self, bytes: &[u8], records: &[LogRecord], at: UtcMillis) {
        self.bytes.extend_from_slice(bytes);
        let mut left = bytes.len();
        for record in records {
            let len = left.min(usize::try_from(record.len).unwrap_or(usize::MAX));
            self.note(len, record.at, record.stream);
            left -= len;
        }
        self.note(left, at, LogStream::Other);
    }

    /// Appends another chunk.
    pub fn join(&mut self, other: &Self) {
        self.bytes.extend_from_slice(&other.bytes);
        for record in &other.records {
            let len = usize::try_from(record.len).unwrap_or(usize::MAX);
            self.note(len, record.at, record.stream);
        }
    }

    fn note(&mut self, len: usize, at: UtcMillis, stream: LogStream) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        match self.records.last_mut() {
            _ if len == 0 => {}
            Some(last) if last.at == at && last.stream == stream => last.len += len,
            Some(_) | None => self.records.push(LogRecord { len, at, stream }),
        }
    }

    /// Takes the first bytes away, with their records.
    pub(super) fn take(&mut self, count: usize) -> Self {
        let rest = self.bytes.split_off(count.min(self.bytes.len()));
        let mut taken = Self {
            bytes: std::mem::replace(&mut self.bytes, rest),
            records: Vec::new(),
        };
        let mut left = taken.bytes.len();
        for record in std::mem::take(&mut self.records) {
            let whole = usize::try_from(record.len).unwrap_or(usize::MAX);
            let len = left.min(whole);
            taken.note(len, record.at, record.stream);
            self.note(whole - len, record.at, record.stream);
            left -= len;
        }
        taken
    }

    /// The part that lies in `from..to` when the chunk lies at `start`.
    pub(super) fn within(mut self, start: u64, from: u64, to: u64) -> Self {
        let place = |offset: u64| usize::try_from(offset.saturating_sub(start));
        let (low, high) = (place(from), place(to));
        let mut kept = self.take(high.unwrap_or(usize::MAX));
        kept.take(low.unwrap_or(usize::MAX));
        kept
    }

    /// The records as bytes.
    pub(super) fn written_records(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.records.len() * 4);
        let mut before = 0;
        for record in &self.records {
            number(u64::from(record.len), &mut out);
            let step = record.at.0.wrapping_sub(before);
            // The sign in the lowest bit: times may go back.
            number(
                (step.wrapping_shl(1) ^ (step >> 63)).cast_unsigned(),
                &mut out,
            );
            out.push(code(record.stream));
            before = record.at.0;
        }
        out
    }

    /// The packed bytes.
    pub(super) fn packed(&self) -> std::io::Result<Vec<u8>> {
        zstd::bulk::compress(&self.bytes, LEVEL)
    }

    /// A chunk from its row; rows without records are from before they were kept.
    pub(super) fn read(
        bytes: Vec<u8>,
        packed: bool,
        records: Option<&[u8]>,
    ) -> std::io::Result<Self> {
        let bytes = if packed {
            zstd::bulk::decompress(&bytes, PACKED_BYTES)?
        } else {
            bytes
        };
        let mut chunk = Self {
            records: read_records(records.unwrap_or_default()).unwrap_or_default(),
            bytes,
        };
        let covered: usize = chunk.records.iter().map(|record| record.len as usize).sum();
        let missing = chunk.bytes.len().saturating_sub(covered);
        chunk.note(missing, UtcMillis(0), LogStream::Other);
        Ok(chunk)
    }
}

fn read_records(mut bytes: &[u8]) -> Option<Vec<LogRecord>> {
    let mut records = Vec::new();
    let mut at = 0_i64;
    while !bytes.is_empty() {
        let len = u32::try_from(read_number(&mut bytes)?).ok()?;
        let step = read_number(&mut bytes)?;
        let step = (step >> 1).cast_signed() ^ -(step & 1).cast_signed();
        at = at.wrapping_add(step);
        let (stream, rest) = bytes.split_first()?;
        bytes = rest;
        records.push(LogRecord {
            len,
            at: UtcMillis(at),
            stream: stream_of(*stream),
        });
    }
    Some(records)
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn code(stream: LogStream) -> u8 {
    match stream {
        LogStream::Other => 0,
        LogStream::Out => 1,
        LogStream::Err => 2,
        LogStream::Note => 3,
    }
}

fn stream_of(code: u8) -> LogStream {
    match code {
        1 => LogStream::Out,
        2 => LogStream::Err,
        3 => LogStream::Note,
        _ => LogStream::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(len: u32, at: i64, stream: LogStream) -> LogRecord {
        LogRecord {
            len,
            at: UtcMillis(at),
            stream,
        }
    }

    #[test]
    fn bytes_without_a_record_are_told_apart() {
        let mut chunk = Chunk::default();
        chunk.push(b"abcdef", &[record(2, 5, LogStream::Err)], UtcMillis(9));
        chunk.push(b"gh", &[record(90, 9, LogStream::Other)], UtcMillis(1));
        let expected = [record(2, 5, LogStream::Err), record(6, 9, LogStream::Other)];
        assert_eq!(chunk.records, expected);
        let old = Chunk::read(b"abc".to_vec(), false, None).unwrap();
        assert_eq!(old.records, [record(3, 0, LogStream::Other)]);
    }

    proptest! {
        #[test]
        fn a_row_reads_as_it_was_written_and_in_any_part(
            parts in proptest::collection::vec((0u32..9, -5i64..1_700_000_000_000, 0u8..4), 0..20),
            packed: bool, from in 0u64..99, to in 0u64..199,
        ) {
            let mut chunk = Chunk::default();
            for (at, (len, time, code)) in parts.iter().enumerate() {
                let bytes = vec![u8::try_from(at).unwrap(); *len as usize];
                chunk.push(&bytes, &[record(*len, *time, stream_of(*code))], UtcMillis(0));
            }
            let bytes = if packed { chunk.packed().unwrap() } else { chunk.bytes.clone() };
            let read = Chunk::read(bytes, packed, Some(&chunk.written_records())).unwrap();
            prop_assert_eq!(&read, &chunk);
            let part = read.within(7, from, to);
            let each: Vec<(u8, &LogRecord)> = chunk.bytes.iter().copied()
                .zip(chunk.records.iter().flat_map(|one| std::iter::repeat_n(one, one.len as usize)))
                .enumerate().filter(|(at, _)| (from..to).contains(&(*at as u64 + 7))).map(|(_, one)| one).collect();
            prop_assert_eq!(part.bytes.len(), each.len());
            let records = part.records.iter().flat_map(|one| std::iter::repeat_n(one, one.len as usize));
            for ((byte, record), (got, has)) in each.iter().zip(part.bytes.iter().zip(records)) {
                prop_assert_eq!((*byte, record.at, record.stream), (*got, has.at, has.stream));
            }
        }

        #[test]
        fn garbage_is_no_record_and_no_panic(bytes: Vec<u8>) {
            let chunk = Chunk::read(vec![1; 5], false, Some(&bytes)).unwrap();
            prop_assert_eq!(chunk.bytes.len(), 5);
        }
    }
}
