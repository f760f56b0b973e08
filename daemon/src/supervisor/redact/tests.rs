//! Redaction of streams: every form of a secret, wherever it is cut, and nothing else.

use std::sync::Arc;

use base64::Engine;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "pa/ss+w0rd \"q\"&x";

fn env(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

fn redact(env: &BTreeMap<String, String>, chunks: &[&[u8]]) -> String {
    redact_with(&Arc::new(Secrets::of_env(env).unwrap()), chunks)
}

fn redact_with(secrets: &Arc<Secrets>, chunks: &[&[u8]]) -> String {
    let mut redactor = Redactor::new(Arc::clone(secrets));
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
        percent(value),
        serde_json::to_string(value).unwrap(),
        serde_json::to_string(&serde_json::to_string(value).unwrap()).unwrap(),
        hex::encode(value),
        hex::encode_upper(value),
        format!("'{}'", value.replace('\'', r"'\''")),
    ]
}

fn percent(value: &str) -> String {
    value.bytes().fold(String::new(), |text, byte| {
        if byte.is_ascii_alphanumeric() {
            text + &char::from(byte).to_string()
        } else {
            text + &format!("%{byte:02x}")
        }
    })
}

#[test]
fn every_form_is_found_wherever_it_is_cut() {
    let secrets = Arc::new(Secrets::of_env(&env("MY_API_KEY", SECRET)).unwrap());
    for form in forms_of(SECRET) {
        let text = format!("before {form} after\n");
        for cut in 0..=text.len() {
            let (left, right) = text.as_bytes().split_at(cut);
            let out = redact_with(&secrets, &[left, right]);
            assert!(
                out.starts_with("before ") && out.ends_with(" after\n"),
                "{out}"
            );
            assert!(out.contains("[redacted]"), "{form}: {out}");
            assert!(!out.contains(&form), "{form}: {out}");
        }
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert!(redact_with(&secrets, &bytes).contains("[redacted]"));
    }
}

#[test]
fn what_is_no_secret_passes_at_once() {
    let env = env("GITHUB_TOKEN", "abcdefghij");
    let mut redactor = Redactor::new(Arc::new(Secrets::of_env(&env).unwrap()));
    let mut out = Vec::new();
    redactor.push(b"Continue? [y/n] ", &mut out);
    assert_eq!(out, b"Continue? [y/n] ");
    redactor.push(b"abcdefg", &mut out);
    assert_eq!(out, b"Continue? [y/n] ");
    redactor.push(b"-no", &mut out);
    assert_eq!(out, b"Continue? [y/n] abcdefg-no");
}

#[test]
fn short_values_do_not_count() {
    for (name, value, hidden) in [
        ("DB_PASSWORD", "longenough", true),
        ("DB_PASSWORD", "short", false),
        ("EDITOR", "longenough", false),
    ] {
        let out = redact(&env(name, value), &[b"=longenough= short"]);
        assert_eq!(out.contains("[redacted]"), hidden, "{name}={value}: {out}");
    }
}

#[test]
fn a_long_secret_is_found_in_the_lines_that_programs_break_it_into() {
    use base64::engine::general_purpose::STANDARD;
    let secret = (0..70).fold(String::new(), |text, n| text + &(n * 7919).to_string());
    let secrets = Arc::new(Secrets::of_env(&env("SIGNING_KEY", &secret)).unwrap());
    for (encoded, width) in [
        (STANDARD.encode(&secret), 76),
        (STANDARD.encode(&secret), 64),
        (hex::encode(&secret), 60),
    ] {
        for end in ["\n", "\r\n"] {
            let lines: Vec<String> = encoded
                .as_bytes()
                .chunks(width)
                .map(|line| String::from_utf8(line.to_vec()).unwrap())
                .collect();
            let text = lines.join(end);
            for cut in 0..text.len() {
                let (left, right) = text.as_bytes().split_at(cut);
                let out = redact_with(&secrets, &[left, right]);
                assert_eq!(out, "[redacted]", "cut at {cut}");
            }
        }
    }
}

#[test]
fn a_private_key_is_cut_wherever_it_comes_from() {
    let body = format!("Proc-Type: 4,ENCRYPTED\n\n{}==", "aB3/+\n".repeat(30));
    let block = |body: &str| {
        format!("a\n-----BEGIN RSA PRIVATE KEY-----{body}-----END RSA PRIVATE KEY-----\nb")
    };
    let (text, expected) = (block(&body), block("[redacted]"));
    let secrets = Arc::new(Secrets::of_env(&BTreeMap::new()).unwrap());
    for cut in 0..text.len() {
        let (left, right) = text.as_bytes().split_at(cut);
        assert_eq!(redact_with(&secrets, &[left, right]), expected);
    }
    for plain in [
        "-----BEGIN CERTIFICATE-----\nabc",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY---- x",
    ] {
        assert_eq!(redact(&BTreeMap::new(), &[plain.as_bytes()]), plain);
    }
    let source = "if text.contains(\"-----BEGIN PRIVATE KEY-----\") { ok() }";
    let out = redact(&BTreeMap::new(), &[source.as_bytes()]);
    assert!(out.ends_with("[redacted]\") { ok() }"), "{out}");
}

#[test]
fn of_secrets_that_begin_alike_the_longest_is_taken_as_in_a_whole() {
    let env: BTreeMap<_, _> = [("A_KEY", "abcdefgh"), ("B_KEY", "abcdefghijkl")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    for (chunks, expected) in [
        (vec!["abcdefgh", "ijkl!"], "[redacted]!"),
        (vec!["abcdefgh", "ijk!"], "[redacted]ijk!"),
        (vec!["abcdefghij"], "[redacted]ij"),
        (vec!["abcabc", "defgh"], "abc[redacted]"),
    ] {
        let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
        assert_eq!(redact(&env, &chunks), expected);
    }
}

#[test]
fn what_is_held_back_has_a_bound() {
    let secret = "s3cr3t-".repeat(5_000);
    let secrets = Arc::new(Secrets::of_env(&env("BIG_TOKEN", &secret)).unwrap());
    let (mut redactor, mut out, mut given) = (Redactor::new(secrets), Vec::new(), 0);
    for chunk in secret.as_bytes().chunks(1_000) {
        redactor.push(chunk, &mut out);
        given += chunk.len();
        assert!(redactor.held.len() <= 16 << 10, "{given}");
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
    let secrets = Arc::new(Secrets::of_env(&BTreeMap::new()).unwrap());
    for cut in 0..=text.len() {
        let (left, right) = text.as_bytes().split_at(cut);
        let out = redact_with(&secrets, &[left, right]);
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
