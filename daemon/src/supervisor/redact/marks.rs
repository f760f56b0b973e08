//! What secrets look like by themselves: the prefixes of well-known tokens, and private key blocks.

/// Prefixes of well-known tokens, and how many token characters must follow.
pub(super) const TOKEN_PREFIXES: &[(&[u8], usize)] = &[
    (b"sk-ant-", 20),
    (b"sk-proj-", 20),
    (b"sk-or-", 20),
    (b"sk-", 32),
    (b"sk_live_", 16),
    (b"rk_live_", 16),
    (b"sk_test_", 16),
    (b"whsec_", 30),
    // This product's own.
    (b"hk_", 40),
    (b"at_", 40),
    (b"rt_", 40),
    (b"ghp_", 30),
    (b"gho_", 30),
    (b"ghu_", 30),
    (b"ghs_", 30),
    (b"ghr_", 30),
    (b"github_pat_", 30),
    (b"glpat-", 20),
    (b"xoxb-", 20),
    (b"xoxp-", 20),
    (b"xoxa-", 20),
    (b"xoxe-", 20),
    (b"xoxr-", 20),
    (b"xoxs-", 20),
    (b"xapp-", 20),
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AIza", 35),
    (b"ya29.", 30),
    (b"npm_", 36),
    (b"pypi-", 50),
    (b"hf_", 30),
    (b"dop_v1_", 60),
    (b"lin_api_", 30),
    (b"shpat_", 30),
    (b"SG.", 60),
    // JSON web tokens: `{"alg":`, `{"typ":`, `{"kid":`.
    (b"eyJhbGciOi", 40),
    (b"eyJ0eXAiOi", 40),
    (b"eyJraWQiOi", 40),
];

/// What a private key in PEM form begins with; its kind and five dashes follow.
pub(super) const BLOCK_BEGIN: &[u8] = b"-----BEGIN ";

/// The longest kind of a key (`OPENSSH PRIVATE KEY`), with room.
const LONGEST_KIND: usize = 48;

/// A key block longer than this has lost its end, bytes.
const LONGEST_BLOCK: usize = 16 << 10;

const DASHES: &[u8] = b"-----";

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

pub(super) fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What follows the beginning of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// The kind of a private key and its dashes, so many bytes.
    Key(usize),
    /// Something else.
    Other,
    /// More bytes are needed.
    Unclear,
}

/// Judges what follows [`BLOCK_BEGIN`].
pub(super) fn header(rest: &[u8]) -> Header {
    let kind = rest
        .iter()
        .take(LONGEST_KIND)
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || **byte == b' ')
        .count();
    let (kind, after) = rest.split_at(kind);
    if after.len() < DASHES.len() && DASHES.starts_with(after) && kind.len() < LONGEST_KIND {
        return Header::Unclear;
    }
    let is_key = kind.ends_with(b"PRIVATE KEY") || kind.ends_with(b"PRIVATE KEY BLOCK");
    if is_key && after.starts_with(DASHES) {
        return Header::Key(kind.len() + DASHES.len());
    }
    Header::Other
}

/// The body of a private key: base64 and headers, up to the dashes of its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Block {
    dropped: usize,
    dashes: usize,
}

impl Block {
    /// Whether a byte is part of the key.
    pub(super) fn drops(&mut self, byte: u8) -> bool {
        self.dropped += 1;
        self.dashes = if byte == b'-' { self.dashes + 1 } else { 0 };
        let inside = byte.is_ascii_alphanumeric()
            || byte.is_ascii_whitespace()
            || matches!(byte, b'+' | b'/' | b'=' | b'\\' | b':' | b',' | b'-');
        inside && self.dashes < DASHES.len() && self.dropped < LONGEST_BLOCK
    }

    /// The dashes before the one that ended it: they belong to what follows.
    pub(super) fn dropped_dashes(self) -> &'static [u8] {
        &DASHES[..self.dashes.saturating_sub(1)]
    }
}
