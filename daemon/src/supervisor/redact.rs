//! Takes secrets out of output before anything touches the disk.
//!
//! Works on a stream: what may be the beginning of a secret is held back until enough bytes have
//! come to know, so a secret cut into pieces is found like a whole one. Everything else passes at
//! once, and what is held is never longer than the longest form of a secret. It knows the values of
//! environment variables whose names look secret, in several encodings, the prefixes of well-known
//! tokens, and private key blocks; it does not guess at anything else.

mod forms;
mod marks;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, BuildError, Input, MatchKind};

pub use forms::looks_secret;
use marks::{BLOCK_BEGIN, Block, TOKEN_PREFIXES, is_token_byte, is_word_byte};

/// What stands in the log in place of a secret.
pub const MARK: &[u8] = b"[redacted]";

/// Up to so many bytes of patterns the fastest search is worth its memory.
const FAST_SEARCH_BYTES: usize = 3_000;

/// What to look for; shared by the streams of one run.
pub struct Secrets {
    /// Values in all their forms, then token prefixes, then the beginning of a key block.
    search: AhoCorasick,
    /// The forms of values, in byte order.
    values: Vec<Vec<u8>>,
    /// Length of the longest pattern.
    longest: usize,
    /// What the patterns begin with.
    begins: [bool; 256],
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.values.len())
    }
}

/// What the pattern of a number is.
#[derive(Clone, Copy)]
enum Pattern {
    Value,
    /// A token's prefix, by its place in [`TOKEN_PREFIXES`].
    Token(usize),
    Block,
}

impl Secrets {
    /// The secrets of an environment. Fails only for more of them than can be searched for.
    pub fn of_env(env: &BTreeMap<String, String>) -> io::Result<Self> {
        let mut values = Vec::new();
        for (name, value) in env {
            if looks_secret(name) {
                forms::add(value, &mut values);
            } else if let Some(password) = forms::password_in_url(value) {
                forms::add(password, &mut values);
            }
        }
        values.sort();
        values.dedup();
        let prefixes = TOKEN_PREFIXES.iter().map(|(prefix, _)| *prefix);
        let marks = prefixes.chain([BLOCK_BEGIN]);
        let patterns: Vec<&[u8]> = values.iter().map(Vec::as_slice).chain(marks).collect();
        let mut begins = [false; 256];
        for first in patterns.iter().filter_map(|pattern| pattern.first()) {
            begins[usize::from(*first)] = true;
        }
        Ok(Self {
            search: search(&patterns).map_err(io::Error::other)?,
            longest: patterns.iter().map(|one| one.len()).max().unwrap_or(0),
            begins,
            values,
        })
    }

    /// A text without its secrets.
    pub fn clean(self: &Arc<Self>, text: &str) -> String {
        let mut redactor = Redactor::new(Arc::clone(self));
        let mut out = Vec::with_capacity(text.len());
        redactor.push(text.as_bytes(), &mut out);
        redactor.finish(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn pattern(&self, number: usize) -> Pattern {
        match number.checked_sub(self.values.len()) {
            None => Pattern::Value,
            Some(at) if at < TOKEN_PREFIXES.len() => Pattern::Token(at),
            Some(_) => Pattern::Block,
        }
    }

    /// Whether more bytes could make a secret, or a mark of one, of these.
    fn may_become(&self, rest: &[u8], within_word: bool) -> bool {
        let at = self.values.partition_point(|value| value.as_slice() < rest);
        let is_value = self.values[at..]
            .iter()
            .take_while(|value| value.starts_with(rest))
            .any(|value| value.len() > rest.len());
        let begins = |mark: &[u8]| mark.len() > rest.len() && mark.starts_with(rest);
        is_value
            || begins(BLOCK_BEGIN)
            || (!within_word && TOKEN_PREFIXES.iter().any(|(prefix, _)| begins(prefix)))
    }
}

/// The search for patterns: of those that begin first, the longest.
fn search(patterns: &[&[u8]]) -> Result<AhoCorasick, BuildError> {
    let size: usize = patterns.iter().map(|pattern| pattern.len()).sum();
    let kind = if size <= FAST_SEARCH_BYTES {
        AhoCorasickKind::DFA
    } else {
        AhoCorasickKind::ContiguousNFA
    };
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .kind(Some(kind))
        .build(patterns)
}

/// The redaction of one stream.
#[derive(Debug)]
pub struct Redactor {
    secrets: Arc<Secrets>,
    /// Bytes that may be the beginning of a secret.
    held: Vec<u8>,
    within: Within,
    /// The last byte that passed, to know where words begin.
    before: u8,
}

/// What the stream is in the middle of.
#[derive(Clone, Copy, Debug)]
enum Within {
    Text,
    /// A token whose prefix was recognised: its characters are dropped.
    Token,
    /// A private key: its characters are dropped.
    Block(Block),
}

/// A secret's place in the bytes.
struct Found {
    /// Where it begins.
    start: usize,
    /// What follows this is looked at again; what is before it and after `start` passes if `shown`.
    end: usize,
    /// Whether it is only the beginning, which may be shown.
    shown: bool,
    then: Within,
}

impl Redactor {
    /// A redactor at the beginning of a stream.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self {
            secrets,
            held: Vec::new(),
            within: Within::Text,
            before: b'\n',
        }
    }

    /// Passes `chunk` on into `out`, except for secrets and for an end that may begin one.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        if self.held.is_empty() {
            let done = self.scan(chunk, out, false);
            self.held.extend_from_slice(&chunk[done..]);
            return;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(chunk);
        let done = self.scan(&held, out, false);
        held.drain(..done);
        self.held = held;
    }

    /// The stream has ended: what is held back passes, unless it is a secret.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.scan(&held, out, true);
    }

    /// Writes what is clear into `out`; returns how many bytes were dealt with.
    fn scan(&mut self, bytes: &[u8], out: &mut Vec<u8>, last: bool) -> usize {
        let mut at = self.skip(bytes, 0, out);
        let mut clear = self.clear_until(bytes, at, last);
        while at < bytes.len() {
            if clear < at {
                clear = self.clear_until(bytes, at, last);
            }
            let found = match self.find(bytes, at, clear, last) {
                Ok(found) => found,
                Err(until) => {
                    self.pass(&bytes[at..until], out);
                    return until;
                }
            };
            let shown = if found.shown { found.end } else { found.start };
            self.pass(&bytes[at..shown], out);
            out.extend_from_slice(MARK);
            self.before = b']';
            self.within = found.then;
            at = self.skip(bytes, found.end, out);
        }
        at
    }

    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.before = bytes.last().copied().unwrap_or(self.before);
    }

    /// Goes past what is to be dropped.
    fn skip(&mut self, bytes: &[u8], mut at: usize, out: &mut Vec<u8>) -> usize {
        while let Some(byte) = bytes.get(at) {
            let dropped = match &mut self.within {
                Within::Text => return at,
                Within::Token => is_token_byte(*byte),
                Within::Block(block) => block.drops(*byte),
            };
            if dropped {
                at += 1;
                continue;
            }
            if let Within::Block(block) = self.within {
                self.pass(block.dropped_dashes(), out);
            }
            self.within = Within::Text;
        }
        at
    }

    /// Where the end begins that may become a secret when more bytes come.
    fn clear_until(&self, bytes: &[u8], from: usize, last: bool) -> usize {
        if last {
            return bytes.len();
        }
        let secrets = &self.secrets;
        let first = from.max((bytes.len() + 1).saturating_sub(secrets.longest));
        (first..bytes.len())
            .find(|at| {
                secrets.begins[usize::from(bytes[*at])]
                    && secrets.may_become(&bytes[*at..], self.is_within_word(bytes, from, *at))
            })
            .unwrap_or(bytes.len())
    }

    fn is_within_word(&self, bytes: &[u8], from: usize, at: usize) -> bool {
        is_word_byte(if at == from {
            self.before
        } else {
            bytes[at - 1]
        })
    }

    /// The first secret, or up to where there is none for sure. What begins at `clear` or later
    /// cannot be told yet.
    fn find(&self, bytes: &[u8], at: usize, clear: usize, last: bool) -> Result<Found, usize> {
        let mut from = at;
        loop {
            let input = Input::new(bytes).range(from..);
            let Some(found) = self.secrets.search.find(input) else {
                return Err(clear);
            };
            let start = found.start();
            if start >= clear {
                return Err(clear);
            }
            match self.secrets.pattern(found.pattern().as_usize()) {
                Pattern::Value => {
                    return Ok(Found {
                        start,
                        end: found.end(),
                        shown: false,
                        then: Within::Text,
                    });
                }
                Pattern::Token(number) => {
                    let tail = &bytes[found.end()..];
                    let needed = TOKEN_PREFIXES[number].1;
                    let length = tail.iter().take(needed);
                    let length = length.take_while(|byte| is_token_byte(**byte)).count();
                    let begins = !self.is_within_word(bytes, at, start);
                    if begins && length == needed {
                        return Ok(Found {
                            start,
                            end: found.end(),
                            shown: true,
                            then: Within::Token,
                        });
                    }
                    if begins && !last && length == tail.len() {
                        return Err(start);
                    }
                }
                Pattern::Block => match marks::header(&bytes[found.end()..]) {
                    marks::Header::Key(length) => {
                        return Ok(Found {
                            start,
                            end: found.end() + length,
                            shown: true,
                            then: Within::Block(Block::default()),
                        });
                    }
                    marks::Header::Unclear if !last => return Err(start),
                    marks::Header::Unclear | marks::Header::Other => {}
                },
            }
            from = start + 1;
        }
    }
}

#[cfg(test)]
mod tests;
