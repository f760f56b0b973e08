//! Clients with a metadata document, served by a machine that answers as the test says.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Pair, Site};
use crate::config::OAuth;

const DEVELOPMENT: fn() -> OAuth = || OAuth {
    loopback_documents: true,
    ..OAuth::default()
};

/// Answers every connection with what `answer` makes of the server's own address.
async fn serving(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = answer(&url);
    #[expect(
        clippy::disallowed_methods,
        reason = "the other end of a test, ended with its runtime"
    )]
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    break;
                };
                head.push(byte);
            }
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    url
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn document(url: &str) -> Value {
    json!({
        "client_id": format!("{url}/client.json"),
        "client_name": "Documented",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    })
}

#[tokio::test]
async fn a_client_is_known_by_its_document_without_registering() {
    let site = Site::with(DEVELOPMENT()).await;
    let url = serving(|url| ok(&document(url).to_string())).await;
    let client = format!("{url}/client.json");
    let page = site.authorize(&client, &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    for words in [
        "Documented",
        "Vouched for by",
        url.trim_start_matches("http://"),
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    let code = site.code(&client).await;
    let pair = Pair::of(client.clone(), &site.exchange(&client, &code, &[]).await);
    assert_eq!(site.ping(&pair.access).await, StatusCode::OK);
    let strange = site
        .authorize(&client, &[("redirect_uri", "http://localhost:1/other")])
        .await;
    assert_eq!(strange.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nothing_is_fetched_for_somebody_who_is_not_signed_in() {
    let site = Site::with(DEVELOPMENT()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = format!("http://{}/client.json", listener.local_addr().unwrap());
    let query = site.query(&client, &[]);
    let answer = site.get(&format!("/oauth/authorize?{query}")).await;
    assert!(
        answer
            .header(header::LOCATION)
            .starts_with("/sign-in?next="),
        "{answer:?}"
    );
    let asked = listener.into_std().unwrap();
    assert_eq!(
        asked.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
}

#[tokio::test]
async fn what_is_no_document_of_its_own_address_is_refused() {
    let site = Site::with(DEVELOPMENT()).await;
    let changed = |url: &str, name: &str, value: Value| {
        let mut body = document(url);
        body[name] = value;
        ok(&body.to_string())
    };
    let answers: Vec<(Box<dyn Fn(&str) -> String + Send>, &str)> = vec![
        (
            Box::new(move |url| changed(url, "client_id", json!(format!("{url}/other.json")))),
            "client_id is not its own",
        ),
        (
            Box::new(move |url| changed(url, "client_id", json!(format!("{url}/client.json/")))),
            "client_id is not its own",
        ),
        (
            Box::new(move |url| changed(url, "redirect_uris", json!(["javascript:alert(1)"]))),
            "scheme is not taken",
        ),
        (
            Box::new(move |url| changed(url, "redirect_uris", json!(["http://app.example/"]))),
            "localhost",
        ),
        (
            Box::new(move |url| changed(url, "redirect_uris", json!([]))),
            "redirect_uris",
        ),
        (
            Box::new(move |url| {
                changed(
                    url,
                    "token_endpoint_auth_method",
                    json!("client_secret_basic"),
                )
            }),
            "other than none",
        ),
        (
            Box::new(move |url| changed(url, "client_name", json!("x".repeat(6_000)))),
            "longer than 5120",
        ),
        (Box::new(|_| ok("no JSON")), "cannot be read"),
        (
            Box::new(|url| ok(&document(url).to_string()).replace("application/json", "text/html")),
            "application/json",
        ),
        (
            Box::new(|_| {
                "HTTP/1.1 302 Found\r\nlocation: https://a.example/client.json\r\ncontent-length: 0\r\n\r\n".to_owned()
            }),
            "answers 302",
        ),
        (
            Box::new(|_| "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned()),
            "answers 404",
        ),
    ];
    for (answer, told) in answers {
        let url = serving(answer).await;
        let page = site.authorize(&format!("{url}/client.json"), &[]).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{told}: {page:?}");
        assert!(page.body.contains(told), "{told}: {}", page.body);
        assert_eq!(page.header(header::LOCATION), "");
    }
}

#[tokio::test]
async fn a_document_in_our_own_network_is_never_asked_for() {
    let site = Site::new().await;
    for client in [
        "https://127.0.0.1:1/client.json",
        "https://localhost:1/client.json",
        "https://10.0.0.1/client.json",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]:1/client.json",
        "https://[::ffff:192.168.0.1]/client.json",
        "https://0x7f000001/client.json",
        "http://127.0.0.1:1/client.json",
        "http://a.example/client.json",
        "https://a.example/",
        "https://a.example/x/../client.json",
    ] {
        let page = site.authorize(client, &[]).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{client}");
        let told = ["not a public address", "no address of a metadata document"];
        assert!(
            told.iter().any(|told| page.body.contains(told)),
            "{client}: {}",
            page.body
        );
    }
}
