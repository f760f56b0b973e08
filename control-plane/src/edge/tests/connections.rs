//! Clients that are slow, greedy or many.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{any, get, post};
use futures_util::stream;
use tokio::sync::Notify;

use super::*;

const GET: &str = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

fn hello() -> Router {
    Router::new().route("/", any(async || "hello"))
}

fn echo() -> Router {
    Router::new().route(
        "/",
        post(async |body: Result<Bytes, _>| match body {
            Ok(body) => body.len().to_string(),
            Err(error) => axum::extract::rejection::BytesRejection::body_text(&error),
        }),
    )
}

/// Sends `byte` again and again, as slowly as the other side bears, until it closes.
async fn trickle(stream: TcpStream, byte: u8) -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a test measures")]
    let begin = Instant::now();
    let (mut read, mut write) = stream.into_split();
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let mut part = [0; 4096];
    let sending = async {
        loop {
            tokio::select! {
                _ = pace.tick() => if write.write_all(&[byte]).await.is_err() { break },
                got = read.read(&mut part) => if !matches!(got, Ok(1..)) { break },
            }
        }
    };
    timeout(SOON, sending).await.expect("the server gives up");
    begin.elapsed()
}

#[tokio::test]
async fn a_head_that_trickles_is_given_up_as_a_whole() {
    let edge = Edge::of(hello(), hasty()).await;
    let mut stream = edge.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nx-slow: ")
        .await
        .unwrap();
    let took = trickle(stream, b'a').await;
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    // One that says nothing at all too.
    assert_eq!(to_the_end(&mut edge.connect().await).await, "");
}

#[tokio::test]
async fn an_open_connection_waits_longer_for_its_next_request_and_not_for_ever() {
    let edge = Edge::of(hello(), hasty()).await;
    let mut stream = edge.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    assert!(
        until(&mut stream, "hello")
            .await
            .starts_with("HTTP/1.1 200")
    );
    let longer_than_a_head = Duration::from_millis(800);
    let waited = timeout(longer_than_a_head, stream.read_u8()).await;
    assert!(waited.is_err(), "it is still open");
    stream.write_all(GET.as_bytes()).await.unwrap();
    until(&mut stream, "hello").await;
    assert_eq!(to_the_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_slow_body_is_answered_408_and_a_large_one_413() {
    let edge = Edge::of(echo(), hasty()).await;
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nabc";
    let answer = edge.ask(head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");

    let mut stream = edge.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let took = trickle(stream, b'a').await;
    assert!(
        took >= Duration::from_secs(1),
        "parts came in time: {took:?}"
    );
    assert!(
        took < Duration::from_secs(10),
        "the whole did not: {took:?}"
    );

    let large = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000000\r\n\r\n";
    let answer = edge.ask(large).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// Clients send a body behind its head and keep the connection: one that was answered before its body
/// came, and closed, would break their next request.
#[tokio::test]
async fn a_connection_goes_on_after_a_body_that_nobody_read() {
    let edge = Edge::of(hello(), Settings::default()).await;
    let mut stream = edge.connect().await;
    for _ in 0..20 {
        let head = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 3\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(b"abc").await.unwrap();
        let answer = until(&mut stream, "hello").await;
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    let chunked = "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(chunked.as_bytes()).await.unwrap();
    stream.write_all(b"3\r\nabc\r\n0\r\n\r\n").await.unwrap();
    until(&mut stream, "hello").await;
    // What does not come, is much, or waits to be asked for is not waited for: the answer says so.
    for line in [
        "content-length: 3",
        "content-length: 3\r\nexpect: 100-continue",
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: localhost\r\n{line}\r\n\r\n");
        let answer = edge.ask(&head).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_its_headers_say_is_the_senders_fault() {
    let edge = Edge::of(echo(), hasty()).await;
    let post = async |coding: &str, body: &str| {
        let head = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
        edge.ask(&format!("{head}transfer-encoding: {coding}\r\n\r\n{body}"))
            .await
    };
    let good = post("Chunked", "3\r\nabc\r\n0\r\n\r\n").await;
    assert!(good.starts_with("HTTP/1.1 200"), "{good}");
    for broken in ["fffffffffffffffff\r\nabc", "x\r\nabc", "3\r\nabcd\r\n"] {
        let answer = post("chunked", broken).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{broken}: {answer}");
    }
    let packed = post("gzip, chunked", "3\r\nabc\r\n0\r\n\r\n").await;
    assert!(packed.starts_with("HTTP/1.1 501"), "{packed}");
    // What a proxy in front of us may take for a second request never is one.
    let two = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\
        transfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let answer = edge.ask(two).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    let twice = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\
        content-length: 6\r\n\r\nabcdef";
    let answer = edge.ask(twice).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[tokio::test]
async fn large_and_many_headers_are_answered_431() {
    let edge = Edge::of(hello(), hasty()).await;
    let large = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nx-large: {}",
        "a".repeat(70 << 10)
    );
    let answer = edge.ask(&large).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let many = "x-many: a\r\n".repeat(200);
    let answer = edge
        .ask(&format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    // What fits is answered.
    let fits = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-large: {}\r\n\r\n",
        "a".repeat(50 << 10)
    );
    assert!(edge.ask(&fits).await.starts_with("HTTP/1.1 200"));
}

/// Counts the answers that were let go.
struct LetGo(Arc<AtomicUsize>, Arc<Notify>);

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.notify_one();
    }
}

#[tokio::test]
async fn a_reader_that_never_reads_is_given_up() {
    let (count, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let held = (count.clone(), told.clone());
    let endless = move || {
        let held = LetGo(held.0.clone(), held.1.clone());
        let chunks = stream::repeat_with(move || {
            let _held = &held;
            Ok::<_, Infallible>(Bytes::from(vec![b'x'; 64 << 10]))
        });
        async move { Body::from_stream(chunks) }
    };
    let edge = Edge::of(Router::new().route("/", get(endless)), hasty()).await;
    let mut stream = edge.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    timeout(SOON, told.notified())
        .await
        .expect("the answer is let go");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    drop(stream);
}

#[tokio::test]
async fn a_stream_that_is_quiet_for_long_is_not_cut() {
    let quiet = async || {
        let end = Box::pin(async {
            tokio::time::timeout(Duration::from_secs(3), std::future::pending::<()>())
                .await
                .ok();
            Ok::<_, Infallible>(Bytes::from_static(b"end"))
        });
        Body::from_stream(stream::once(end))
    };
    let edge = Edge::of(Router::new().route("/", get(quiet)), hasty()).await;
    let mut stream = edge.connect().await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    assert!(
        until(&mut stream, "end\r\n0\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
    );
}

async fn turn_to_echo(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    #[expect(clippy::disallowed_methods, reason = "a test's server")]
    drop(tokio::spawn(async move {
        let mut io = hyper_util::rt::TokioIo::new(upgrade.await.unwrap());
        let byte = io.read_u8().await.unwrap();
        io.write_u8(byte).await.unwrap();
    }));
    Response::builder()
        .status(101)
        .header("connection", "upgrade")
        .header("upgrade", "echo")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn an_upgraded_connection_is_left_alone_and_frees_its_addresss_share() {
    let settings = Settings {
        connections_per_address: 1,
        ..hasty()
    };
    let routes = Router::new().route("/up", get(turn_to_echo)).merge(hello());
    let edge = Edge::of(routes, settings).await;
    let mut link = edge.connect().await;
    link.write_all(
        b"GET /up HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
    )
    .await
    .unwrap();
    until(&mut link, "\r\n\r\n").await;
    let longer_than_idle = Duration::from_secs(2);
    assert!(
        timeout(longer_than_idle, link.read_u8()).await.is_err(),
        "it is still open"
    );
    let answer = edge
        .ask("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    link.write_u8(b'!').await.unwrap();
    assert_eq!(link.read_u8().await.unwrap(), b'!');
}

#[tokio::test]
async fn one_address_has_its_share_and_the_house_its_places() {
    for (connections, connections_per_address) in [(2, 512), (4_096, 2)] {
        let settings = Settings {
            connections,
            connections_per_address,
            ..hasty()
        };
        let edge = Edge::of(hello(), settings).await;
        let (mut first, mut second) = (edge.connect().await, edge.connect().await);
        for stream in [&mut first, &mut second] {
            stream.write_all(GET.as_bytes()).await.unwrap();
            until(stream, "hello").await;
        }
        let answer = to_the_end(&mut edge.connect().await).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 503"),
            "{answer}"
        );
        drop(first);
        let again = async {
            loop {
                let mut stream = edge.connect().await;
                if stream.write_all(GET.as_bytes()).await.is_ok()
                    && stream.read_u8().await.is_ok_and(|byte| byte == b'H')
                    && until(&mut stream, "\r\n").await.contains("200")
                {
                    break;
                }
            }
        };
        timeout(SOON, again).await.expect("there is room again");
    }
}

#[tokio::test]
async fn a_stop_lets_answers_end_and_closes_what_waits() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let held = (asked.clone(), go.clone());
    let slow = move || {
        let (asked, go) = held.clone();
        async move {
            asked.notify_one();
            go.notified().await;
            "done"
        }
    };
    let edge = Edge::of(
        Router::new()
            .route("/", get(slow))
            .route("/now", get(async || "now")),
        hasty(),
    )
    .await;
    let mut idle = edge.connect().await;
    idle.write_all(b"GET /now HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    until(&mut idle, "now").await;
    let mut busy = edge.connect().await;
    busy.write_all(GET.as_bytes()).await.unwrap();
    timeout(SOON, asked.notified()).await.unwrap();
    edge.stopping.cancel();
    assert_eq!(to_the_end(&mut idle).await, "");
    assert!(!edge.serving.is_finished());
    go.notify_one();
    assert!(to_the_end(&mut busy).await.ends_with("done"));
    timeout(SOON, edge.serving).await.unwrap().unwrap().unwrap();
}
