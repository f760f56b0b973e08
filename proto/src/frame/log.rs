//! Binary frames: log bytes of one run. Layout: big-endian u16 header length, JSON header, body.
//! The body is zstd (level 1) when that is smaller.
//!
//! A frame is complete in itself: run, offset, length and CRC-32 of the plain bytes. Its plain
//! size is bounded before anything is unpacked.

use serde::{Deserialize, Serialize};

use super::{FrameError, MAX_BINARY};
use crate::ids::RunId;
use crate::time::UtcMillis;

/// Most plain log bytes in one frame.
pub const MAX_LOG_BODY: usize = 64 << 10;

/// Most records described in one frame; bytes beyond the last described record are still carried.
pub const MAX_RECORDS: usize = 512;

/// Bodies shorter than this are never worth packing.
const PACK_FROM: usize = 256;

/// Log bytes of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFrame {
    /// Which run.
    pub run_id: RunId,
    /// Offset of the first byte in the run's log.
    pub offset: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// When and from which stream they came, in order, from the first byte on.
    pub records: Vec<LogRecord>,
}

/// One write of the agent, as the supervisor saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Length in bytes.
    #[serde(rename = "n")]
    pub len: u32,
    /// When it was read.
    #[serde(rename = "t")]
    pub at: UtcMillis,
    /// Which stream.
    #[serde(rename = "s")]
    pub stream: LogStream,
}

/// Where log bytes came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// The agent's standard output.
    Out,
    /// The agent's standard error.
    Err,
    /// Words of the supervisor (setup, limits, gaps).
    Note,
    /// A stream newer than this program.
    #[serde(other)]
    Other,
}

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(rename = "type")]
    kind: String,
    run_id: RunId,
    offset: u64,
    len: u32,
    crc32: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enc: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    records: Vec<LogRecord>,
}

impl LogFrame {
    /// Writes the frame. Fails only for more than [`MAX_LOG_BODY`] bytes.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        if self.bytes.len() > MAX_LOG_BODY {
            return Err(FrameError::TooLarge {
                size: self.bytes.len(),
                limit: MAX_LOG_BODY,
            });
        }
        let packed = pack(&self.bytes);
        let header = serde_json::to_vec(&Header {
            kind: "log".to_owned(),
            run_id: self.run_id,
            offset: self.offset,
            len: u32::try_from(self.bytes.len()).unwrap_or(u32::MAX),
            crc32: crc32fast::hash(&self.bytes),
            enc: packed.is_some().then(|| "zstd".to_owned()),
            records: self.records.iter().take(MAX_RECORDS).copied().collect(),
        })
        .map_err(binary)?;
        let length = u16::try_from(header.len()).map_err(binary)?;
        let body = packed.as_deref().unwrap_or(&self.bytes);
        let mut frame = Vec::with_capacity(2 + header.len() + body.len());
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&header);
        frame.extend_from_slice(body);
        Ok(frame)
    }

    /// Reads a frame and checks its length and checksum.
    pub fn decode(frame: &[u8]) -> Result<Self, FrameError> {
        if frame.len() > MAX_BINARY {
            return Err(FrameError::TooLarge {
                size: frame.len(),
                limit: MAX_BINARY,
            });
        }
        let (length, rest) = frame
            .split_first_chunk::<2>()
            .ok_or_else(|| binary("shorter than its header length"))?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (header, body) = rest
            .split_at_checked(length)
            .ok_or_else(|| binary("shorter than its header"))?;
        let header: Header = serde_json::from_slice(header).map_err(binary)?;
        let bytes = unpack(&header, body)?;
        Ok(Self {
            run_id: header.run_id,
            offset: header.offset,
            bytes,
            records: header.records,
        })
    }
}

fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < PACK_FROM {
        return None;
    }
    let packed = zstd::bulk::compress(bytes, 1).ok()?;
    (packed.len() < bytes.len()).then_some(packed)
}

fn unpack(header: &Header, body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let len = usize::try_from(header.len).map_err(binary)?;
    if header.kind != "log" {
        return Err(binary(format!("of type {}", header.kind)));
    }
    if len > MAX_LOG_BODY {
        return Err(FrameError::TooLarge {
            size: len,
            limit: MAX_LOG_BODY,
        });
    }
    let bytes = match header.enc.as_deref() {
        None => body.to_vec(),
        Some("zstd") => zstd::bulk::decompress(body, len).map_err(binary)?,
        Some(other) => return Err(binary(format!("packed with {other}"))),
    };
    if bytes.len() != len || crc32fast::hash(&bytes) != header.crc32 {
        return Err(binary("its bytes do not fit its length and checksum"));
    }
    Ok(bytes)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that it can be given to map_err as it is"
)]
fn binary(reason: impl ToString) -> FrameError {
    FrameError::Binary(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: Vec<u8>) -> LogFrame {
        LogFrame {
            run_id: RunId(uuid::Uuid::from_u128(9)),
            offset: 1 << 33,
            bytes,
            records: vec![LogRecord {
                len: 3,
                at: UtcMillis(7),
                stream: LogStream::Err,
            }],
        }
    }

    #[test]
    fn bytes_come_back_packed_or_not() {
        let noise: Vec<u8> = (0..65_536_u32)
            .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2])
            .collect();
        for bytes in [vec![], b"hi\n".to_vec(), vec![b'a'; MAX_LOG_BODY], noise] {
            let sent = frame(bytes);
            let wire = sent.encode().unwrap();
            assert!(wire.len() <= MAX_BINARY);
            assert_eq!(LogFrame::decode(&wire).unwrap(), sent);
        }
        assert!(frame(vec![b'a'; MAX_LOG_BODY]).encode().unwrap().len() < 1_000);
    }

    #[test]
    fn damage_anywhere_is_noticed_and_nothing_panics() {
        let wire = frame((0..=255).collect()).encode().unwrap();
        for cut in 0..wire.len() {
            assert!(LogFrame::decode(&wire[..cut]).is_err(), "cut at {cut}");
        }
        for at in 2..wire.len() {
            let mut bad = wire.clone();
            bad[at] ^= 0x01;
            if let Ok(read) = LogFrame::decode(&bad) {
                assert_eq!(read.bytes, frame((0..=255).collect()).bytes, "flip at {at}");
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let body = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        for len in [64 << 20, 64 << 10] {
            let header = serde_json::to_vec(&Header {
                kind: "log".into(),
                run_id: RunId(uuid::Uuid::nil()),
                offset: 0,
                len,
                crc32: 0,
                enc: Some("zstd".into()),
                records: vec![],
            })
            .unwrap();
            let mut wire = u16::try_from(header.len()).unwrap().to_be_bytes().to_vec();
            wire.extend(header);
            wire.extend(&body);
            assert!(LogFrame::decode(&wire).is_err());
        }
    }

    #[test]
    fn many_records_never_outgrow_the_header() {
        let mut sent = frame(vec![b'x'; 20_000]);
        sent.records = vec![
            LogRecord {
                len: u32::MAX,
                at: UtcMillis(i64::MAX),
                stream: LogStream::Note
            };
            10_000
        ];
        let read = LogFrame::decode(&sent.encode().unwrap()).unwrap();
        assert_eq!(read.records.len(), MAX_RECORDS);
        assert_eq!(read.bytes, sent.bytes);
    }
}
