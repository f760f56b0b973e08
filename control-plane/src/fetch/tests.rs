//! Fetching from a server of this machine that answers, redirects, floods, stalls or breaks off.

use std::time::Duration;

use axum::http::{Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::{FetchError, Limits, Reach, Target, send};

const LIMITS: Limits = Limits {
    reach: Reach::PublicOrLoopback,
    most_bytes: 100,
    reached_within: Duration::from_secs(5),
    within: Duration::from_secs(5),
};

/// Answers one connection with these bytes after it read the request's head; gives the head.
async fn once(answer: &'static str, hold: bool) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "the other end of a test, joined by it"
    )]
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        if hold {
            // Until the other end gives up.
            drop(stream.read_u8().await);
        }
        String::from_utf8(head).unwrap()
    });
    (url, served)
}

async fn get(url: &str, limits: Limits) -> Result<Response<Vec<u8>>, FetchError> {
    send(Request::get(url).body(Vec::new()).unwrap(), limits).await
}

#[tokio::test]
async fn an_answer_is_read_whole_and_the_request_is_in_origin_form() {
    let (url, served) = once("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", false).await;
    let answer = get(&format!("{url}/a/b?c=d"), LIMITS).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.body().as_slice()),
        (200, &b"hi"[..])
    );
    let head = served.await.unwrap();
    assert!(head.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{head}");
    let host = url.trim_start_matches("http://");
    assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
    let (url, served) = once(moved, false).await;
    assert_eq!(get(&url, LIMITS).await.unwrap().status(), 302);
    served.await.unwrap();
}

#[tokio::test]
async fn too_much_and_too_slow_are_given_up() {
    let flood = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n65\r\n\
        0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789x\r\n";
    let (url, served) = once(flood, true).await;
    let refused = get(&url, LIMITS).await.unwrap_err();
    assert!(matches!(refused, FetchError::TooLarge(100)), "{refused}");
    served.await.unwrap();
    let (url, served) = once("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true).await;
    let hurried = Limits {
        within: Duration::from_millis(200),
        ..LIMITS
    };
    let refused = get(&url, hurried).await.unwrap_err();
    assert!(matches!(refused, FetchError::TooSlow(_)), "{refused}");
    served.await.unwrap();
}

#[tokio::test]
async fn what_breaks_off_is_no_answer() {
    for broken in [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab",
    ] {
        let (url, served) = once(broken, false).await;
        let refused = get(&url, LIMITS).await.unwrap_err();
        assert!(matches!(refused, FetchError::Broken { .. }), "{refused}");
        served.await.unwrap();
    }
}

#[tokio::test]
async fn a_stranger_cannot_reach_into_this_network() {
    let strict = Limits {
        reach: Reach::Public,
        ..LIMITS
    };
    for url in [
        "https://127.0.0.1:1/",
        "https://localhost:1/",
        "https://[::1]:1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00::1]/",
    ] {
        let refused = get(url, strict).await.unwrap_err();
        assert!(
            matches!(refused, FetchError::NotPublic(_)),
            "{url}: {refused}"
        );
    }
    for url in [
        "http://example.com/",
        "ftp://example.com/",
        "https://user:pw@example.com/",
    ] {
        let refused = Target::of(&url.parse().unwrap(), Reach::Public).unwrap_err();
        assert!(
            matches!(refused, FetchError::Address(_)),
            "{url}: {refused}"
        );
    }
    let near = get("http://10.0.0.1/", LIMITS).await.unwrap_err();
    assert!(matches!(near, FetchError::Address(_)), "{near}");
}
