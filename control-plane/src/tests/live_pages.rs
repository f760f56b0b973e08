//! A run's log as a file and as it grows.

use std::time::Duration;

use axum::body::BodyDataStream;
use axum::http::header;
use futures_util::StreamExt as _;

use super::browsing::Browser;
use super::hosting::{colleague, let_in};
use super::*;
use crate::hosts_catalog::members;
use crate::store::sessions;

/// Server-sent events as a browser reads them.
struct Events {
    body: BodyDataStream,
    rest: String,
}

impl Events {
    async fn of(browser: &Browser, path: &str, extra: &[(&str, &str)]) -> Self {
        let response = browser.open(path, extra).await;
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        Self {
            body: response.into_body().into_data_stream(),
            rest: String::new(),
        }
    }

    /// The next event's name, id and data; none when the stream has ended.
    async fn next(&mut self) -> Option<(String, String, serde_json::Value)> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.read());
        next.await.expect("an event within 20 s")
    }

    async fn read(&mut self) -> Option<(String, String, serde_json::Value)> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let event = event.to_owned();
                self.rest = rest.to_owned();
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name).map(|text| text.trim().to_owned()))
                };
                if let Some(data) = field("data:") {
                    let data = serde_json::from_str(&data).unwrap();
                    return Some((field("event:")?, field("id:").unwrap_or_default(), data));
                }
                continue;
            }
            let bytes = self.body.next().await?.unwrap();
            self.rest += std::str::from_utf8(&bytes).unwrap();
        }
    }

    /// The text of log events until there is so much of it, and the id of the last.
    async fn text(&mut self, wanted: &str) -> String {
        let (mut text, mut last) = (String::new(), String::new());
        while text != wanted {
            let (name, id, data) = self.next().await.expect("more events");
            if name == "log" {
                text += data["text"].as_str().unwrap();
                last = id;
                assert!(
                    wanted.starts_with(&text),
                    "{text:?} is no part of {wanted:?}"
                );
            }
        }
        last
    }
}

async fn going_on(catalog: &Catalog) -> Run {
    let automation = catalog.automation("nightly").await;
    let record = run(1, automation, RunState::Running { started_at: START });
    catalog
        .tell(&[Event::RunChanged(Box::new(record.clone()))])
        .await;
    record
}

#[tokio::test]
async fn a_log_is_followed_to_its_end_and_goes_on_where_a_reader_lost_it() {
    let catalog = Catalog::new().await;
    let (app, host) = (&catalog.app, catalog.host);
    let record = going_on(&catalog).await;
    let browser = Browser::of(app, &catalog.caller).await;
    let path = format!("/runs/{}/live", record.id);
    log_bytes(app, host, record.id, 0, b"one\ntwo \xe2\x82")
        .await
        .unwrap();
    let mut events = Events::of(&browser, &path, &[]).await;
    let state = events.next().await.unwrap();
    assert_eq!(
        (state.0.as_str(), &state.2["state"]),
        ("state", &"running".into())
    );
    let at = events.text("one\ntwo ").await;
    log_bytes(app, host, record.id, 10, b"\xac \x1b[31mred\n{\"type\":")
        .await
        .unwrap();
    events.text("\u{20ac} red\n").await;
    drop(events);
    // In the middle of a character and of a line, and again in the middle of a JSON line.
    let again = [("last-event-id", at.as_str())];
    let mut events = Events::of(&browser, &path, &again).await;
    let at = events.text("\u{20ac} red\n").await;
    drop(events);
    let again = [("last-event-id", at.as_str())];
    let mut events = Events::of(&browser, &path, &again).await;
    let end = b"\"result\",\"subtype\":\"success\",\"result\":\"All done.\"}\nbye";
    log_bytes(app, host, record.id, 29, end).await.unwrap();
    let mut done = record.clone();
    done.state = finished(29 + end.len() as u64);
    catalog.tell(&[Event::RunChanged(Box::new(done))]).await;
    let (mut text, mut names) = (String::new(), Vec::new());
    while let Some((name, _, data)) = events.next().await {
        text += data["text"].as_str().unwrap_or_default();
        names.push(name);
    }
    assert!(
        text.contains("All done.") && text.trim_end().ends_with("bye"),
        "{text:?}"
    );
    assert_eq!(names.last().unwrap(), "end", "{names:?}");
    assert!(names.contains(&"state".to_owned()), "{names:?}");
}

#[tokio::test]
async fn a_stream_ends_with_the_session_and_there_are_so_many_of_them() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let record = going_on(&catalog).await;
    let browser = Browser::of(app, &catalog.caller).await;
    let path = format!("/runs/{}/live", record.id);
    let foreign = browser
        .open(&path, &[("sec-fetch-site", "cross-site")])
        .await;
    assert_eq!(foreign.status(), 403);
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(Events::of(&browser, &path, &[]).await);
    }
    assert_eq!(browser.open(&path, &[]).await.status(), 429);
    let mut one = open.pop().unwrap();
    drop(open);
    let mut tx = app.store.begin().await.unwrap();
    sessions::delete(&mut tx, browser.visitor.session_id)
        .await
        .unwrap();
    app.store.commit(tx).await.unwrap();
    let mut last = String::new();
    while let Some((name, _, _)) = one.next().await {
        last = name;
    }
    assert_eq!(last, "gone");
}

#[tokio::test]
async fn a_stream_ends_when_its_reader_loses_the_host() {
    let catalog = Catalog::new().await;
    let app = &catalog.app;
    let ada = colleague(&catalog, 1, Role::Member).await;
    let_in(&catalog, &ada).await;
    let made = crate::automations::create(app, &ada, daily("nightly")).await;
    let automation = made.unwrap().automation.id;
    let record = run(1, automation, RunState::Running { started_at: START });
    let told = Event::RunChanged(Box::new(record.clone()));
    catalog.tell(&[told]).await;
    let browser = Browser::of(app, &ada).await;
    let path = format!("/runs/{}/live", record.id);
    let mut events = Events::of(&browser, &path, &[]).await;
    log_bytes(app, catalog.host, record.id, 0, b"before\n")
        .await
        .unwrap();
    events.text("before\n").await;
    members::ungrant(app, &catalog.caller, "MacBook", &ada.label)
        .await
        .unwrap();
    log_bytes(app, catalog.host, record.id, 7, b"after\n")
        .await
        .unwrap();
    let mut names = Vec::new();
    while let Some((name, _, data)) = events.next().await {
        assert!(!data.to_string().contains("after"), "{data}");
        names.push(name);
    }
    assert_eq!(names.last().unwrap(), "gone", "{names:?}");
    assert_eq!(browser.open(&path, &[]).await.status(), 404);
}

#[tokio::test]
async fn a_log_is_a_file_byte_for_byte_and_a_long_one_has_parts() {
    let catalog = Catalog::new().await;
    let automation = catalog.automation("nightly").await;
    let mut log = Vec::new();
    for number in 0..30_000_u32 {
        log.extend(format!("line {number} \u{1b}[1m<b>\u{1b}[0m \r\n").as_bytes());
    }
    log.extend([0xff, 0, b'x']);
    let record = run(1, automation, finished(log.len() as u64));
    let (id, path) = (record.id, format!("/runs/{}", record.id));
    catalog.tell(&[Event::RunChanged(Box::new(record))]).await;
    for (at, part) in log.chunks(200_000).enumerate() {
        let at = at as u64 * 200_000;
        log_bytes(&catalog.app, catalog.host, id, at, part)
            .await
            .unwrap();
    }
    let browser = Browser::of(&catalog.app, &catalog.caller).await;
    let response = browser.open(&format!("{path}/log.txt"), &[]).await;
    let headers = response.headers().clone();
    assert_eq!(headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(
        headers[header::CONTENT_DISPOSITION],
        format!("attachment; filename=\"run-{id}.log\"")
    );
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    assert!(body == log, "{} bytes instead of {}", body.len(), log.len());
    let last = browser.get(&path).await.text;
    assert!(last.contains("line 29999 &lt;b&gt;") && !last.contains("line 0 "));
    let first = browser.get(&format!("{path}?from=0&raw=1")).await.text;
    assert!(
        first.contains("line 0 \u{241b}[1m&lt;b&gt;"),
        "control bytes are signs"
    );
    assert!(
        first.contains("from=131072&amp;raw=1"),
        "the next part is linked"
    );
    let mut seen = 0;
    for from in (0..log.len()).step_by(131_072) {
        let part = browser.get(&format!("{path}?from={from}")).await.text;
        for line in part.lines().filter_map(|line| line.rsplit("line ").next()) {
            let number = line.split(' ').next().unwrap();
            if number.parse() == Ok(seen) {
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 30_000, "every line stands in one part, in order");
}
