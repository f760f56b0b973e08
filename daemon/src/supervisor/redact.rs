//! Takes secrets out of output before anything touches the disk.
//!
//! Works on a stream: what may be the beginning of a secret is held back until enough bytes have
//! come to know, so a secret cut into pieces is found like a whole one. Everything else passes at
//! once. It knows the values of environment variables whose names look secret, in several
//! encodings, and the prefixes of well-known tokens; it does not guess at anything else.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What stands in the log in place of a secret.
pub const MARK: &[u8] = b"[redacted]";

/// Values shorter than this are not secrets one could search for.
const SHORTEST_SECRET: usize = 8;

/// Lines of a secret of many lines (a private key) are searched for from this length on.
const SHORTEST_LINE: usize = 16;

/// Parts of environment variable names that look secret.
const SECRET_NAMES: &[&str] = &[
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATE",
    "COOKIE",
];

/// Ends of names that say where a secret lies rather than what it is.
const PLACE_NAMES: &[&str] = &["_PATH", "_FILE", "_DIR", "_SOCK", "_ID", "_NAME"];

/// Prefixes of well-known tokens, and how many token characters must follow.
const TOKEN_PREFIXES: &[(&[u8], usize)] = &[
    (b"sk-ant-", 20),
    (b"sk-proj-", 20),
    (b"sk-or-", 20),
    (b"sk-", 32),
    (b"sk_live_", 16),
    (b"rk_live_", 16),
    (b"sk_test_", 16),
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
    (b"xapp-", 20),
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AIza", 35),
    (b"npm_", 36),
    (b"pypi-", 50),
    (b"hf_", 30),
    (b"dop_v1_", 60),
    (b"lin_api_", 30),
    (b"eyJhbGciOi", 40),
];

/// What to look for; shared by the streams of one run.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// Longest first, so that the longest match wins.
    values: Vec<Vec<u8>>,
    /// Whether a value or prefix begins with this byte.
    begins: Vec<bool>,
}

impl Secrets {
    /// The secrets of an environment.
    pub fn of_env(env: &BTreeMap<String, String>) -> Self {
        let mut values = Vec::new();
        for (name, value) in env {
            if looks_secret(name) {
                add_forms(value, &mut values);
            } else if let Some(password) = password_in_url(value) {
                add_forms(password, &mut values);
            }
        }
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        let mut begins = vec![false; 256];
        for first in values
            .iter()
            .map(Vec::as_slice)
            .chain(TOKEN_PREFIXES.iter().map(|(prefix, _)| *prefix))
            .filter_map(|bytes| bytes.first())
        {
            begins[usize::from(*first)] = true;
        }
        Self { values, begins }
    }
}

/// Whether an environment variable's name looks like that of a secret.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
        && !PLACE_NAMES.iter().any(|end| name.ends_with(end))
}

/// The redaction of one stream.
#[derive(Debug)]
pub struct Redactor {
    secrets: std::sync::Arc<Secrets>,
    /// Bytes that may be the beginning of a secret.
    held: Vec<u8>,
    /// Inside a token whose prefix was recognised: its characters are dropped.
    in_token: bool,
    /// The last byte that passed, to know where words begin.
    before: u8,
}

/// What stands at one place of the stream.
enum Found {
    Nothing,
    /// A secret of so many bytes.
    Value(usize),
    /// A token's prefix of so many bytes; its characters follow.
    Token(usize),
    /// Cannot be known before more bytes come.
    Unclear,
}

impl Redactor {
    /// A redactor at the beginning of a stream.
    pub fn new(secrets: std::sync::Arc<Secrets>) -> Self {
        Self {
            secrets,
            held: Vec::new(),
            in_token: false,
            before: b'\n',
        }
    }

    /// Passes `chunk` on into `out`, except for secrets and for an end that may begin one.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(chunk);
        let kept = self.scan(&held, out, false);
        held.drain(..kept);
        self.held = held;
    }

    /// The stream has ended: what is held back passes, unless it is a secret.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.scan(&held, out, true);
    }

    /// Writes what is clear into `out`; returns how many bytes were dealt with.
    fn scan(&mut self, bytes: &[u8], out: &mut Vec<u8>, last: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_token {
                if is_token_byte(bytes[at]) {
                    at += 1;
                    continue;
                }
                self.in_token = false;
            }
            match self.look(&bytes[at..], last) {
                Found::Nothing => {
                    out.push(bytes[at]);
                    self.before = bytes[at];
                    at += 1;
                }
                Found::Value(length) => {
                    self.mark(out);
                    at += length;
                }
                Found::Token(length) => {
                    out.extend_from_slice(&bytes[at..at + length]);
                    self.mark(out);
                    self.in_token = true;
                    at += length;
                }
                Found::Unclear => return at,
            }
        }
        at
    }

    fn mark(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(MARK);
        self.before = b']';
    }

    fn look(&self, rest: &[u8], last: bool) -> Found {
        if !rest
            .first()
            .is_some_and(|first| self.secrets.begins[usize::from(*first)])
        {
            return Found::Nothing;
        }
        match self.look_for_value(rest, last) {
            Found::Nothing => self.look_for_token(rest, last),
            found @ (Found::Value(_) | Found::Token(_) | Found::Unclear) => found,
        }
    }

    fn look_for_value(&self, rest: &[u8], last: bool) -> Found {
        for value in &self.secrets.values {
            if rest.starts_with(value) {
                return Found::Value(value.len());
            }
            if !last && value.starts_with(rest) {
                return Found::Unclear;
            }
        }
        Found::Nothing
    }

    fn look_for_token(&self, rest: &[u8], last: bool) -> Found {
        if is_word_byte(self.before) {
            return Found::Nothing;
        }
        for (prefix, needed) in TOKEN_PREFIXES {
            if !last && prefix.starts_with(rest) {
                return Found::Unclear;
            }
            let Some(tail) = rest.strip_prefix(*prefix) else {
                continue;
            };
            let length = tail.iter().take_while(|byte| is_token_byte(**byte)).count();
            if length >= *needed {
                return Found::Token(prefix.len());
            }
            if !last && length == tail.len() {
                return Found::Unclear;
            }
        }
        Found::Nothing
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The password of `scheme://user:password@host`.
fn password_in_url(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let (user, _) = rest.split(['/', '?', '#']).next()?.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

/// A value and the forms it is printed in: its lines, base64 at each of the three alignments
/// inside a longer text, percent-encoded, hexadecimal, and as a JSON string.
fn add_forms(value: &str, forms: &mut Vec<Vec<u8>>) {
    let value = value.trim();
    if value.len() < SHORTEST_SECRET {
        return;
    }
    forms.push(value.as_bytes().to_vec());
    if value.contains('\n') {
        let lines = value.lines().map(str::trim);
        forms.extend(
            lines
                .filter(|line| line.len() >= SHORTEST_LINE && !line.starts_with("-----"))
                .map(|line| line.as_bytes().to_vec()),
        );
    }
    for alignment in 0..3 {
        forms.push(base64_inside(&STANDARD_NO_PAD, value, alignment));
        forms.push(base64_inside(&URL_SAFE_NO_PAD, value, alignment));
    }
    for keep in [&b"-_.~"[..], b"-_.~!'()*", b"-_.~!$&'()*+,;=:@/?"] {
        let encoded = percent_encoded(value, keep);
        forms.push(encoded.replace("%20", "+").into_bytes());
        forms.push(lower_escapes(&encoded).into_bytes());
        forms.push(encoded.into_bytes());
    }
    forms.push(hex::encode(value).into_bytes());
    forms.push(hex::encode_upper(value).into_bytes());
    if let Ok(json) = serde_json::to_string(value) {
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
    }
}

/// The characters of a base64 text that depend on `value` alone when `alignment` bytes stand before it.
fn base64_inside(engine: &impl Engine, value: &str, alignment: usize) -> Vec<u8> {
    let mut bytes = vec![0; alignment];
    bytes.extend_from_slice(value.as_bytes());
    let text = engine.encode(&bytes);
    let begin = (alignment * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    text.as_bytes()[begin..end].to_vec()
}

fn percent_encoded(value: &str, keep: &[u8]) -> String {
    use std::fmt::Write;
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            write!(text, "%{byte:02X}").ok();
        }
        text
    })
}

/// The same with the digits of the escapes in lower case.
fn lower_escapes(encoded: &str) -> String {
    let mut digits = 0;
    encoded
        .chars()
        .map(|letter| {
            if letter == '%' {
                digits = 2;
                return letter;
            }
            if digits == 0 {
                return letter;
            }
            digits -= 1;
            letter.to_ascii_lowercase()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "pa/ss+w0rd \"q\"&x";

    fn env(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    fn redact(env: &BTreeMap<String, String>, chunks: &[&[u8]]) -> String {
        let mut redactor = Redactor::new(Arc::new(Secrets::of_env(env)));
        let mut out = Vec::new();
        for chunk in chunks {
            redactor.push(chunk, &mut out);
        }
        redactor.finish(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn forms_of(value: &str) -> Vec<String> {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        vec![
            value.to_owned(),
            STANDARD.encode(value),
            URL_SAFE.encode(value),
            STANDARD.encode(format!("user:{value}")),
            STANDARD.encode(format!("me:{value}:more")),
            url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
            percent_encoded(value, b"-_.~"),
            serde_json::to_string(value).unwrap(),
            hex::encode(value),
        ]
    }

    #[test]
    fn every_form_is_found_wherever_it_is_cut() {
        let env = env("MY_API_KEY", SECRET);
        for form in forms_of(SECRET) {
            let text = format!("before {form} after\n");
            for cut in 0..=text.len() {
                let (left, right) = text.as_bytes().split_at(cut);
                let out = redact(&env, &[left, right]);
                assert!(
                    out.starts_with("before ") && out.ends_with(" after\n"),
                    "{out}"
                );
                assert!(out.contains("[redacted]"), "{form}: {out}");
                assert!(!out.contains(&form), "{form}: {out}");
            }
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            assert!(redact(&env, &bytes).contains("[redacted]"));
        }
    }

    #[test]
    fn what_is_no_secret_passes_at_once() {
        let env = env("GITHUB_TOKEN", "abcdefghij");
        let mut redactor = Redactor::new(Arc::new(Secrets::of_env(&env)));
        let mut out = Vec::new();
        redactor.push(b"Continue? [y/n] ", &mut out);
        assert_eq!(out, b"Continue? [y/n] ");
        redactor.push(b"abcdefg", &mut out);
        assert_eq!(out, b"Continue? [y/n] ");
        redactor.push(b"-no", &mut out);
        assert_eq!(out, b"Continue? [y/n] abcdefg-no");
    }

    #[test]
    fn names_decide_and_short_values_do_not_count() {
        for (name, value, hidden) in [
            ("DB_PASSWORD", "longenough", true),
            ("aws_secret_access_key", "longenough", true),
            ("DB_PASSWORD", "short", false),
            ("EDITOR", "longenough", false),
            ("SSH_KEY_PATH", "longenough", false),
        ] {
            let out = redact(&env(name, value), &[b"=longenough= short"]);
            assert_eq!(out.contains("[redacted]"), hidden, "{name}={value}: {out}");
        }
    }

    #[test]
    fn a_password_inside_a_url_is_a_secret() {
        let env = env("DATABASE_URL", "postgres://app:hunter2hunter2@db/x");
        let out = redact(&env, &[b"connecting to postgres://app:hunter2hunter2@db/x"]);
        assert_eq!(out, "connecting to postgres://app:[redacted]@db/x");
    }

    #[test]
    fn lines_of_a_private_key_are_secrets() {
        let key = "-----BEGIN KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAB\nshort\n-----END KEY-----";
        let out = redact(
            &env("DEPLOY_KEY", key),
            &[b"  AAAAAAAAAAAAAAAAAAAAAAAB\r\nshort"],
        );
        assert_eq!(out, "  [redacted]\r\nshort");
    }

    #[test]
    fn well_known_tokens_are_cut_wherever_they_come_from() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let text = format!("token={token}\nmy_ghp_{}", "a".repeat(40));
        for cut in 0..=text.len() {
            let (left, right) = text.as_bytes().split_at(cut);
            let out = redact(&BTreeMap::new(), &[left, right]);
            let expected = format!("token=ghp_[redacted]\nmy_ghp_{}", "a".repeat(40));
            assert_eq!(out, expected, "cut at {cut}");
        }
        assert_eq!(
            redact(&BTreeMap::new(), &[b"sk-learn ghp_"]),
            "sk-learn ghp_"
        );
    }

    proptest! {
        /// However the stream is cut, the same comes out.
        #[test]
        fn cuts_do_not_matter(
            text in "(ab|abcdefgh|c|sk-|ghp_|[a-z0-9]{0,40}|\n){0,12}",
            cuts in proptest::collection::vec(0usize..400, 0..8),
        ) {
            let env = env("SOME_TOKEN", "abcdefghab");
            let whole = redact(&env, &[text.as_bytes()]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut begin = 0;
            for cut in cuts {
                chunks.push(&text.as_bytes()[begin..cut]);
                begin = cut;
            }
            chunks.push(&text.as_bytes()[begin..]);
            prop_assert_eq!(redact(&env, &chunks), whole);
        }
    }
}
