//! The file's format, its privacy, and when a token is renewed.

use super::*;

const URL: &str = "https://hostler.example.com";

pub(super) fn entry(url: &str) -> Entry {
    Entry {
        url: url.to_owned(),
        mcp_url: format!("{url}/mcp"),
        server_id: None,
        api_key: None,
        oauth: None,
    }
}

pub(super) fn tokens(name: &str, life_seconds: i64) -> Tokens {
    Tokens {
        access_token: format!("at_{name}"),
        refresh_token: format!("rt_{name}"),
        expires_at: Timestamp::from_second(1_000_000 + life_seconds).unwrap(),
        life_seconds,
        client_id: "hostler-cli".to_owned(),
        organization: "Acme".to_owned(),
        email: "ann@example.com".to_owned(),
    }
}

#[test]
fn the_present_format_is_read_and_kept() {
    let home = tempfile::tempdir().unwrap();
    let old = r#"{"url": "http://127.0.0.1:4880", "mcpUrl": "http://127.0.0.1:4880/mcp", "apiKey": "sk_live_x"}"#;
    fs::write(path(home.path()), old).unwrap();
    let saved = Saved::load(home.path()).unwrap();
    let found = saved.of("http://127.0.0.1:4880").unwrap();
    assert_eq!(found.api_key.as_deref(), Some("sk_live_x"));
    change(home.path(), |_| {}).unwrap();
    let text = fs::read_to_string(path(home.path())).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    let old: serde_json::Value = serde_json::from_str(old).unwrap();
    assert_eq!(kept, old);
}

#[test]
fn each_control_plane_has_an_entry_and_the_last_put_is_first() {
    let home = tempfile::tempdir().unwrap();
    for url in [URL, "http://127.0.0.1:4880", URL] {
        change(home.path(), |saved| {
            saved.put_first(Entry {
                oauth: Some(tokens("a", 60)),
                ..entry(url)
            });
        })
        .unwrap();
    }
    let saved = Saved::load(home.path()).unwrap();
    let urls: Vec<_> = saved.entries.iter().map(|one| one.url.as_str()).collect();
    assert_eq!(urls, [URL, "http://127.0.0.1:4880"]);
    change(home.path(), |saved| saved.entries.clear()).unwrap();
    assert!(!path(home.path()).exists());
}

#[test]
fn the_file_is_private_and_made_so() {
    let home = tempfile::tempdir().unwrap();
    change(home.path(), |saved| saved.put_first(entry(URL))).unwrap();
    let mode = || {
        let found = fs::metadata(path(home.path())).unwrap();
        found.permissions().mode() & 0o777
    };
    assert_eq!(mode(), 0o600);
    fs::set_permissions(path(home.path()), fs::Permissions::from_mode(0o644)).unwrap();
    Saved::load(home.path()).unwrap();
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_damaged_file_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    fs::write(path(home.path()), "{").unwrap();
    let failure = Saved::load(home.path()).unwrap_err();
    assert!(format!("{failure:?}").contains("hostler login"));
}

#[test]
fn nothing_shows_a_secret() {
    let entry = Entry {
        api_key: Some("sk_live_secret".to_owned()),
        oauth: Some(tokens("secret", 60)),
        ..entry(URL)
    };
    assert!(!format!("{entry:?}").contains("secret"));
}

#[test]
fn a_token_is_renewed_shortly_before_its_end() {
    let at = |second: i64| Timestamp::from_second(1_000_000 + second).unwrap();
    let long = tokens("a", 3600);
    assert!(!long.ends_soon(at(0)) && !long.ends_soon(at(3500)));
    assert!(long.ends_soon(at(3540)) && long.ends_soon(at(9999)));
    let short = tokens("a", 20);
    assert!(!short.ends_soon(at(14)) && short.ends_soon(at(15)));
    // A clock set back makes nobody refresh; the control plane's 401 does.
    assert!(!long.ends_soon(at(-900_000)));
}
