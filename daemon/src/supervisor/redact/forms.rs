//! Which variables hold secrets, and the forms a secret is printed in. Pure.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Values shorter than this are not secrets one could search for.
const SHORTEST_SECRET: usize = 8;

/// Lines of a secret of many lines (a private key) are searched for from this length on.
const SHORTEST_LINE: usize = 16;

/// A form longer than this is searched for by its lines alone: that much may be held back.
const LONGEST_FORM: usize = 16 << 10;

/// Parts of environment variable names that look secret.
const SECRET_PARTS: &[&str] = &[
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "PRIVATE",
    "COOKIE",
    "BEARER",
];

/// Whole words of names (`DB_PASS`) that look secret, unless they are the whole name (`PWD`).
const SECRET_WORDS: &[&str] = &["PASS", "PWD", "PW", "PAT", "AUTH", "JWT", "DSN", "SALT"];

/// Ends of names that say where a secret lies rather than what it is.
const PLACE_NAMES: &[&str] = &["_PATH", "_FILE", "_DIR", "_SOCK", "_ID", "_NAME"];

/// Widths at which common programs break lines of base64 and hexadecimal digits.
const WIDTHS: [usize; 3] = [76, 64, 60];

/// Whether an environment variable's name looks like that of a secret.
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let has_word = name.contains('_') && name.split('_').any(|word| SECRET_WORDS.contains(&word));
    (has_word || SECRET_PARTS.iter().any(|part| name.contains(part)))
        && !PLACE_NAMES.iter().any(|end| name.ends_with(end))
}

/// The password of `scheme://user:password@host`.
pub(super) fn password_in_url(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let (user, _) = rest.split(['/', '?', '#']).next()?.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

/// A value and the forms it is printed in: its lines, base64 at each of the three alignments
/// inside a longer text, whole or in lines, percent-encoded, hexadecimal, as a JSON string (also
/// inside another), and as a shell quotes it.
pub(super) fn add(value: &str, forms: &mut Vec<Vec<u8>>) {
    let value = value.trim();
    if value.len() < SHORTEST_SECRET {
        return;
    }
    add_text(value, forms);
    for alignment in 0..3 {
        add_text(&base64_inside(&STANDARD_NO_PAD, value, alignment), forms);
        add_text(&base64_inside(&URL_SAFE_NO_PAD, value, alignment), forms);
    }
    add_broken(&STANDARD.encode(value), forms);
    add_broken(&hex::encode(value), forms);
    for keep in [&b"-_.~"[..], b"-_.~!'()*", b"-_.~!$&'()*+,;=:@/?"] {
        let encoded = percent_encoded(value, keep);
        add_text(&encoded.replace("%20", "+"), forms);
        add_text(&lower_escapes(&encoded), forms);
        add_text(&encoded, forms);
    }
    add_text(&hex::encode(value), forms);
    add_text(&hex::encode_upper(value), forms);
    for json in json_strings(value) {
        add_text(&json_string(&json), forms);
        add_text(&json, forms);
    }
    add_text(&value.replace('\'', r"'\''"), forms);
}

/// A text, and its long lines by themselves.
fn add_text(text: &str, forms: &mut Vec<Vec<u8>>) {
    if text.len() <= LONGEST_FORM {
        forms.push(text.as_bytes().to_vec());
    }
    // Escaped line ends are those of a JSON string.
    let lines = text.split('\n').flat_map(|line| line.split(r"\n"));
    if text.len() > LONGEST_FORM || text.contains('\n') || text.contains(r"\n") {
        let lines = lines.map(str::trim).filter(|line| {
            (SHORTEST_LINE..=LONGEST_FORM).contains(&line.len()) && !line.starts_with("-----")
        });
        forms.extend(lines.map(|line| line.as_bytes().to_vec()));
    }
}

/// An encoded text as programs break it into lines.
fn add_broken(encoded: &str, forms: &mut Vec<Vec<u8>>) {
    for width in WIDTHS.into_iter().filter(|width| *width < encoded.len()) {
        let lines: Vec<&str> = (0..encoded.len())
            .step_by(width)
            .map(|at| &encoded[at..encoded.len().min(at + width)])
            .collect();
        add_text(&lines.join("\n"), forms);
        add_text(&lines.join("\r\n"), forms);
    }
}

/// The characters of a base64 text that depend on `value` alone when `alignment` bytes stand before it.
fn base64_inside(engine: &impl Engine, value: &str, alignment: usize) -> String {
    let mut bytes = vec![0; alignment];
    bytes.extend_from_slice(value.as_bytes());
    let text = engine.encode(&bytes);
    let begin = (alignment * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    text[begin..end].to_owned()
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

/// What stands between the quotes of a JSON string: plain, with `/` escaped, in ASCII alone.
fn json_strings(value: &str) -> [String; 3] {
    use std::fmt::Write;
    let json = json_string(value);
    let ascii = json.chars().fold(String::new(), |mut text, letter| {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(text, "\\u{unit:04x}").ok();
            }
        }
        text
    });
    [json.replace('/', r"\/"), ascii, json]
}

fn json_string(value: &str) -> String {
    // A text is always a JSON string.
    let json = serde_json::to_string(value).unwrap_or_default();
    json.get(1..json.len().saturating_sub(1))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide() {
        for name in [
            "DB_PASSWORD",
            "aws_secret_access_key",
            "ANTHROPIC_API_KEY",
            "DB_PASS",
            "MYSQL_PWD",
            "PASS_FOR_X",
            "SESSION_COOKIE",
        ] {
            assert!(looks_secret(name), "{name}");
        }
        for name in [
            "EDITOR",
            "SSH_KEY_PATH",
            "PWD",
            "OLDPWD",
            "PATH",
            "BYPASS_CACHE",
            "TOKEN_FILE",
        ] {
            assert!(!looks_secret(name), "{name}");
        }
    }
}
