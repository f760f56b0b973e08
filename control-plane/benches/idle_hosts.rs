//! Resident memory of a control plane with 0 and with 200 connected idle hosts, on loopback.
//!
//! `cargo bench -p hostler-control-plane --bench idle_hosts [-- COUNT]`. The hosts run in a second process, so
//! that only the control plane's memory is counted.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a program run by hand that prints a table"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hostler_control_plane::{Config, ControlPlane};
use hostler_proto::enrol::{ENROL_PATH, EnrolReply, EnrolRequest, LINK_PATH, enrol_statement};
use hostler_proto::ids::InstanceId;
use hostler_proto::link::host::{HelloFacts, HostConfig, HostEvent, HostSession};
use hostler_proto::link::proof::HostKey;
use hostler_proto::link::{Now, Outgoing};
use hostler_proto::time::UtcMillis;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const ROLE: &str = "HOSTLER_BENCH_HOSTS_AT";
/// Longer than a round of heartbeats.
const SETTLE: Duration = Duration::from_secs(15);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    if let Ok(url) = std::env::var(ROLE) {
        runtime.block_on(be_hosts(&url));
        return;
    }
    let count = std::env::args()
        .find_map(|word| word.parse().ok())
        .unwrap_or(200);
    runtime.block_on(measure(count));
}

async fn measure(count: usize) {
    let home = tempfile::tempdir().expect("a folder");
    let control = hostler_control_plane::open(Config {
        home: home.path().to_owned(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        public_url: None,
        keep_logs: hostler_control_plane::KeepLogs::default(),
        edge: hostler_control_plane::edge::Settings::default(),
        oauth: hostler_control_plane::config::OAuth::default(),
    })
    .await
    .expect("a control plane");
    let url = control.url().to_owned();
    let secrets = secrets(&control, count).await;
    let (app, stop) = (control.app().clone(), CancellationToken::new());
    let mut serving = JoinSet::new();
    let stopping = stop.clone();
    serving.spawn(async move { control.serve(stopping).await.expect("serving") });
    let identities = enrol_all(&url, secrets).await;
    let before = resident_kib();
    let mut hosts = hosts_process(&url, &identities);
    wait_for(&mut hosts, "all welcome");
    assert_eq!(app.hosts.connected(), count, "all are connected");
    let ended = timeout(SETTLE, serving.join_next()).await;
    assert!(ended.is_err(), "the control plane stopped: {ended:?}");
    let with = resident_kib();
    assert_eq!(app.hosts.connected(), count, "all stayed connected");
    println!("| connected idle hosts | resident memory | per host |");
    println!("|---:|---:|---:|");
    println!("| 0 | {:.1} MB | |", mb(before));
    let each = (with.saturating_sub(before)) as f64 / count as f64;
    println!("| {count} | {:.1} MB | {each:.1} KiB |", mb(with));
    hosts.kill().expect("the hosts' process ends");
    hosts.wait().expect("the hosts' process ended");
    stop.cancel();
    serving.join_next().await;
}

async fn secrets(control: &ControlPlane, count: usize) -> Vec<String> {
    let mut secrets = Vec::with_capacity(count);
    for _ in 0..count {
        secrets.push(control.enrolment_key().await.expect("an enrolment key"));
    }
    secrets
}

/// Enrols one host per key, as hosts do; `secret-key-hex host-id server-id` per host.
async fn enrol_all(url: &str, secrets: Vec<String>) -> Vec<String> {
    let url = url.to_owned();
    let enrolling = move || {
        let enrol = |(n, secret): (usize, &String)| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            let (key, name) = (HostKey::from_bytes(&bytes), format!("host {n}"));
            let request = EnrolRequest {
                signature: key.sign(&enrol_statement(secret, &name)),
                public_key: key.public_hex(),
                name,
            };
            let body = serde_json::to_string(&request).expect("JSON");
            let mut response = ureq::post(format!("{url}{ENROL_PATH}"))
                .header("content-type", "application/json")
                .header("authorization", format!("Bearer {secret}"))
                .send(body)
                .expect("enrolled");
            let text = response.body_mut().read_to_string().expect("an answer");
            let reply: EnrolReply = serde_json::from_str(&text).expect("an answer");
            format!("{} {} {}", key.secret_hex(), reply.host_id, reply.server_id)
        };
        secrets.iter().enumerate().map(enrol).collect()
    };
    tokio::task::spawn_blocking(enrolling)
        .await
        .expect("enrolled")
}

fn hosts_process(url: &str, identities: &[String]) -> Child {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(ROLE, url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second process");
    let mut stdin = child.stdin.take().expect("its input");
    for identity in identities {
        writeln!(stdin, "{identity}").expect("its input");
    }
    child
}

fn wait_for(child: &mut Child, line: &str) {
    let output = BufReader::new(child.stdout.as_mut().expect("its output"));
    for said in output.lines() {
        if said.expect("its output") == line {
            return;
        }
    }
    panic!("the hosts' process ended early");
}

/// The second process: one task per identity on its input, connected until killed.
async fn be_hosts(url: &str) {
    let (welcome, mut welcomed) = tokio::sync::mpsc::channel(1_000);
    let mut hosts = JoinSet::new();
    let identities: Vec<String> = std::io::stdin().lines().map_while(Result::ok).collect();
    let count = identities.len();
    for identity in identities {
        hosts.spawn(be_host(url.to_owned(), identity, welcome.clone()));
    }
    for _ in 0..count {
        welcomed.recv().await.expect("a host failed");
    }
    println!("all welcome");
    hosts.join_next().await;
    panic!("a host lost its link");
}

async fn be_host(url: String, identity: String, welcome: tokio::sync::mpsc::Sender<()>) {
    let mut words = identity.split(' ');
    let mut word = || words.next().expect("three words");
    let key = HostKey::from_hex(word()).expect("a key");
    let config = HostConfig {
        key,
        host_id: word().parse().expect("a host id"),
        server_id: word().parse().expect("a server id"),
        instance_id: InstanceId(Uuid::from_u128(1)),
        seed: 1,
        facts: HelloFacts {
            next_seq: 1,
            ..HelloFacts::default()
        },
    };
    let url = format!("{}{LINK_PATH}", url.replace("http://", "ws://"));
    let settings = WebSocketConfig::default()
        .read_buffer_size(4 << 10)
        .write_buffer_size(4 << 10);
    let (mut ws, _) = tokio_tungstenite::connect_async_with_config(url, Some(settings), true)
        .await
        .expect("a websocket");
    let mut elapsed_ms = 0;
    let mut session = HostSession::new(config, at(elapsed_ms));
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    loop {
        while let Some(out) = session.poll_transmit() {
            let Outgoing::Text(text) = out else { return };
            ws.send(Message::text(text)).await.expect("sent");
        }
        while let Some(event) = session.poll_event() {
            match event {
                HostEvent::Welcome(_) => welcome.send(()).await.expect("counted"),
                HostEvent::Ended(why) => panic!("{why:?}"),
                HostEvent::Command { .. }
                | HostEvent::Sync(_)
                | HostEvent::EventsAcked(_)
                | HostEvent::EventRefused { .. }
                | HostEvent::LogAcked(_)
                | HostEvent::LogStuck(_)
                | HostEvent::Noticed(_) => {}
            }
        }
        tokio::select! {
            frame = ws.next() => match frame {
                Some(Ok(Message::Text(text))) => session.handle_text(&text, at(elapsed_ms)),
                Some(Ok(_)) => session.handle_alive(at(elapsed_ms)),
                Some(Err(_)) | None => return,
            },
            _ = ticks.tick() => {
                elapsed_ms += 1_000;
                session.handle_timeout(at(elapsed_ms));
            }
        }
    }
}

/// Seconds of this process, near enough for heartbeats.
fn at(ms: u64) -> Now {
    Now {
        ms,
        wall: UtcMillis(1_772_000_000_000 + i64::try_from(ms).unwrap_or(0)),
    }
}

fn resident_kib() -> u64 {
    let pid = std::process::id().to_string();
    let ps = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output();
    let text = String::from_utf8(ps.expect("ps").stdout).expect("ps");
    text.trim().parse().expect("a number of KiB")
}

fn mb(kib: u64) -> f64 {
    kib as f64 * 1_024.0 / 1e6
}
