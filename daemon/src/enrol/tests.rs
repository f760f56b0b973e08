//! Enrolment against a scripted HTTP server.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::thread::JoinHandle;

use super::*;

const KEY: &str = "hk_AAAA";

/// Answers one request and gives it back.
fn answering(listener: TcpListener, status: &str, body: &str) -> JoinHandle<String> {
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut request, mut part) = (Vec::new(), [0; 4_096]);
        loop {
            let read = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..read]);
            if read == 0 || request.ends_with(b"}") {
                break;
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    })
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn enrolled_answer() -> String {
    let reply = EnrolReply {
        host_id: HostId(Uuid::from_u128(3)),
        name: "box".into(),
        server_id: Uuid::from_u128(4),
    };
    serde_json::to_string(&reply).unwrap()
}

fn posted(request: &str) -> EnrolRequest {
    let body = request.split("\r\n\r\n").nth(1).unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn the_identity_is_the_owners_alone_and_the_secret_stays_here() {
    let home = tempfile::tempdir().unwrap();
    let (listener, url) = listen();
    let server = answering(listener, "200 OK", &enrolled_answer());
    let base = format!("{url}/");
    let enrolled = enrol(home.path(), &base, KEY, Some("box")).await.unwrap();
    assert_eq!((enrolled.name.as_str(), &enrolled.url), ("box", &url));
    let request = server.join().unwrap();
    let identity = identity(home.path()).unwrap().unwrap();
    assert!(!request.contains(&identity.key.secret_hex()));
    assert!(request.contains(&format!("Bearer {KEY}")), "{request}");
    let posted = posted(&request);
    assert_eq!(posted.public_key, identity.key.public_hex());
    let statement = enrol_statement(KEY, "box");
    assert!(hostler_proto::link::proof::verify(
        &posted.public_key,
        &statement,
        &posted.signature
    ));
    let folder = home.path().join("host");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder.join("identity.json")), 0o600);
    assert_eq!(mode(&folder), 0o700);
    assert!(!folder.join("identity.prepared").exists());
    let again = enrol(home.path(), &url, KEY, None).await.unwrap_err();
    assert!(again.to_string().contains("hostler leave"), "{again}");
}

#[tokio::test]
async fn a_lost_answer_is_repeated_with_the_same_key_pair() {
    let home = tempfile::tempdir().unwrap();
    let (listener, url) = listen();
    let cut = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 8_192];
        let read = stream.read(&mut request).unwrap();
        (
            listener,
            String::from_utf8_lossy(&request[..read]).into_owned(),
        )
    });
    let lost = enrol(home.path(), &url, KEY, Some("box"))
        .await
        .unwrap_err();
    assert!(lost.to_string().contains("repeat the command"), "{lost}");
    assert!(identity(home.path()).unwrap().is_none());
    let prepared = home.path().join("host/identity.prepared");
    let first = HostKey::from_hex(&std::fs::read_to_string(&prepared).unwrap()).unwrap();
    assert_eq!(
        prepared.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (listener, _) = cut.join().unwrap();
    let server = answering(listener, "200 OK", &enrolled_answer());
    enrol(home.path(), &url, KEY, Some("box")).await.unwrap();
    assert_eq!(
        posted(&server.join().unwrap()).public_key,
        first.public_hex()
    );
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words_and_leaves_nothing_enrolled() {
    let home = tempfile::tempdir().unwrap();
    let (listener, url) = listen();
    let words = r#"{"code":"unauthorized","message":"the enrolment key is not good","hint":"get a fresh key"}"#;
    let server = answering(listener, "401 Unauthorized", words);
    let error = enrol(home.path(), &url, KEY, None)
        .await
        .unwrap_err()
        .to_string();
    server.join().unwrap();
    assert!(
        error.contains("not good") && error.contains("fresh key"),
        "{error}"
    );
    assert!(identity(home.path()).unwrap().is_none());
    let (listener, url) = listen();
    let server = answering(listener, "200 OK", "<html>not it}");
    let error = enrol(home.path(), &url, KEY, None)
        .await
        .unwrap_err()
        .to_string();
    server.join().unwrap();
    assert!(error.contains("cannot be read"), "{error}");
}

#[tokio::test]
async fn wrong_addresses_and_keys_are_told_before_anything_is_sent() {
    let home = tempfile::tempdir().unwrap();
    for (url, key, words) in [
        ("nonsense", KEY, "https://"),
        ("ftp://127.0.0.1/", KEY, "https://"),
        ("http://hostler.example.com", KEY, "plain http"),
        ("http://10.0.0.7:4880", KEY, "plain http"),
        ("https://ada:secret@hostler.example.com", KEY, "password"),
        ("http://127.0.0.1:1", "sk_live_x", "hk_"),
    ] {
        let error = enrol(home.path(), url, key, None).await.unwrap_err();
        assert!(error.to_string().contains(words), "{url}: {error}");
    }
    assert!(!home.path().join("host").exists());
}

#[tokio::test]
async fn leaving_forgets_the_identity_even_when_nobody_can_be_told() {
    let home = tempfile::tempdir().unwrap();
    let never = leave(home.path()).await.unwrap_err();
    assert!(never.to_string().contains("not enrolled"), "{never}");
    let (listener, url) = listen();
    let server = answering(listener, "200 OK", &enrolled_answer());
    enrol(home.path(), &url, KEY, Some("box")).await.unwrap();
    server.join().unwrap();
    let left = leave(home.path()).await.unwrap();
    assert_eq!(left.was.host_id, HostId(Uuid::from_u128(3)));
    assert!(left.not_told.is_some());
    assert!(identity(home.path()).unwrap().is_none());
}

#[test]
fn a_damaged_identity_is_named_and_not_replaced() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("host/identity.json");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for text in ["", "{", r#"{"hostId":"x"}"#] {
        std::fs::write(&path, text).unwrap();
        let error = identity(home.path()).unwrap_err().to_string();
        assert!(error.contains("identity.json"), "{error}");
        let refused = enrol_blocking(home.path(), "http://127.0.0.1:1", KEY, "box");
        assert!(
            matches!(refused, Err(EnrolError::File { .. })),
            "{refused:?}"
        );
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

/// A machine that is enrolled at `url`.
fn enrolled_at(url: &str) -> (tempfile::TempDir, HostKey) {
    let home = tempfile::tempdir().unwrap();
    let key = HostKey::from_bytes(&[1; 32]);
    let identity = Identity {
        host_id: HostId(Uuid::from_u128(3)),
        name: "box".into(),
        url: url.to_owned(),
        server_id: Uuid::from_u128(4),
        key: key.clone(),
    };
    save(home.path(), &identity).unwrap();
    (home, key)
}

#[tokio::test]
async fn a_changed_key_is_signed_by_both_and_kept_aside_until_it_is_taken() {
    use hostler_proto::enrol::{RotateRequest, rotate_statement};
    use hostler_proto::link::proof::verify;

    let (listener, url) = listen();
    let (home, old) = enrolled_at(&url);
    let aside = home.path().join("host/identity.rotating");
    // No answer: the identity is as it was, and the new key is kept.
    drop(listener);
    rotate(home.path()).await.unwrap_err();
    let kept = std::fs::read_to_string(&aside).unwrap();
    let mode = aside.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let now = identity(home.path()).unwrap().unwrap();
    assert_eq!(now.key.public_hex(), old.public_hex());
    assert!(
        rotate_when_due(home.path()).await.is_err(),
        "a change that was begun is due"
    );
    // Refused: the same.
    let address: std::net::SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    let refusal = r#"{"code":"unauthorized","message":"no"}"#;
    let server = answering(
        TcpListener::bind(address).unwrap(),
        "401 Unauthorized",
        refusal,
    );
    rotate(home.path()).await.unwrap_err();
    server.join().unwrap();
    // Taken: the repeat is of the same key.
    let listener = TcpListener::bind(address).unwrap();
    let server = answering(listener, "200 OK", r#"{"old_key_until":86400000}"#);
    let rotated = rotate(home.path()).await.unwrap();
    assert_eq!(rotated.old_key_until.unwrap().0, 86_400_000);
    let request = server.join().unwrap();
    let body = request.split("\r\n\r\n").nth(1).unwrap();
    let posted: RotateRequest = serde_json::from_str(body).unwrap();
    let new = HostKey::from_hex(&kept).unwrap();
    assert_eq!(posted.public_key, new.public_hex());
    let statement = rotate_statement(posted.host_id, Uuid::from_u128(4), &new.public_hex());
    assert!(verify(&old.public_hex(), &statement, &posted.old_signature));
    assert!(verify(&new.public_hex(), &statement, &posted.new_signature));
    let now = identity(home.path()).unwrap().unwrap();
    assert_eq!(now.key.public_hex(), new.public_hex());
    assert!(!request.contains(&kept) && !aside.exists());
    // A control plane that knows only the old key gets it again, and then the same change.
    assert!(back_to_old_key(home.path()).unwrap());
    let now = identity(home.path()).unwrap().unwrap();
    assert_eq!(now.key.public_hex(), old.public_hex());
    assert_eq!(std::fs::read_to_string(&aside).unwrap(), kept);
    assert!(
        !back_to_old_key(home.path()).unwrap(),
        "there and back once"
    );
    let listener = TcpListener::bind(address).unwrap();
    let server = answering(listener, "200 OK", r#"{"old_key_until":86400000}"#);
    let rotated = rotate_when_due(home.path()).await.unwrap();
    assert!(rotated.is_some(), "a change that was begun is due");
    server.join().unwrap();
    let now = identity(home.path()).unwrap().unwrap();
    assert_eq!(now.key.public_hex(), new.public_hex());
    assert_eq!(
        rotate_when_due(home.path()).await.unwrap(),
        None,
        "nothing is due"
    );
}

#[test]
fn an_identity_that_others_can_read_is_taken_back_from_them() {
    let (home, key) = enrolled_at("http://127.0.0.1:1");
    let path = home.path().join("host/identity.json");
    for wide in [0o644, 0o660, 0o604, 0o777] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(wide)).unwrap();
        let read = identity(home.path()).unwrap().unwrap();
        assert_eq!(read.key.public_hex(), key.public_hex());
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{wide:o}");
    }
}
