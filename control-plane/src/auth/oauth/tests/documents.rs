//! Clients with a metadata document, served by a machine that answers as the test says.

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Pair, Site};
use crate::config::OAuth;
use crate::store::clients;

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

/// A document with one field changed; `{url}` in it is the server's own address.
fn changed(name: &'static str, value: Value) -> impl Fn(&str) -> String + Send + 'static {
    move |url| {
        let mut body = document(url);
        body[name] = value.clone();
        ok(&body.to_string().replace("{url}", url))
    }
}

impl Site {
    /// The page that a client with such a document gets.
    async fn refuses(&self, answer: impl Fn(&str) -> String + Send + 'static, told: &str) {
        let url = serving(answer).await;
        let page = self.authorize(&format!("{url}/client.json"), &[]).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{told}: {page:?}");
        assert!(page.body.contains(told), "{told}: {}", page.body);
        assert_eq!(page.header(header::LOCATION), "");
    }
}

#[tokio::test]
async fn a_document_that_says_something_else_is_refused() {
    let site = Site::with(DEVELOPMENT()).await;
    for (name, value, told) in [
        (
            "client_id",
            json!("{url}/other.json"),
            "client_id is not its own",
        ),
        (
            "client_id",
            json!("{url}/client.json/"),
            "client_id is not its own",
        ),
        (
            "redirect_uris",
            json!(["javascript:alert(1)"]),
            "scheme is not taken",
        ),
        ("redirect_uris", json!(["http://app.example/"]), "localhost"),
        ("redirect_uris", json!([]), "redirect_uris"),
        (
            "token_endpoint_auth_method",
            json!("client_secret_basic"),
            "other than none",
        ),
        ("client_name", json!("x".repeat(6_000)), "longer than 5120"),
    ] {
        site.refuses(changed(name, value), told).await;
    }
}

#[tokio::test]
async fn what_is_no_document_at_all_is_refused() {
    let site = Site::with(DEVELOPMENT()).await;
    let plain =
        |head: &'static str| move |_: &str| format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\n\r\n");
    site.refuses(|_| ok("no JSON"), "cannot be read").await;
    let html = |url: &str| ok(&document(url).to_string()).replace("application/json", "text/html");
    site.refuses(html, "application/json").await;
    let moved = "302 Found\r\nlocation: https://a.example/client.json";
    site.refuses(plain(moved), "answers 302").await;
    site.refuses(plain("404 Not Found"), "answers 404").await;
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

#[tokio::test]
async fn without_the_internet_a_program_on_this_machine_is_connected_unvouched() {
    let site = Site::with(DEVELOPMENT()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let client = format!("http://{nobody}/client.json");
    let page = site.authorize(&client, &[]).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(page.body.contains("cannot reach to ask"), "{}", page.body);
    let code = site.code(&client).await;
    let pair = Pair::of(client.clone(), &site.exchange(&client, &code, &[]).await);
    assert_eq!(site.ping(&pair.access).await, StatusCode::OK);
    let elsewhere = [("redirect_uri", "https://app.example/callback")];
    let page = site.authorize(&client, &elsewhere).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.body.contains("cannot be reached"), "{}", page.body);
    assert_eq!(page.header(header::LOCATION), "");
}

/// More often than documents are fetched for one address: only the first sign-in waits for nobody.
#[tokio::test]
async fn that_nobody_is_there_is_not_found_out_at_every_step() {
    let site = Site::with(DEVELOPMENT()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let client = format!("http://{nobody}/client.json");
    for _ in 0..30 {
        let page = site.authorize(&client, &[]).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        assert!(page.body.contains("cannot reach to ask"), "{}", page.body);
    }
    let later = crate::clock::wall().plus_ms(6 * 60_000);
    let known = clients::by_id(&site.app.store, &client, later).await;
    assert_eq!(known.unwrap(), None, "it is asked again after a while");
}
