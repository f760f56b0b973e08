//! The control plane's side of the link over real sockets: a served catalog on a free port, and hosts
//! made of the sans-IO session on a plain websocket client.

#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::large_futures,
    reason = "a test picks the event it is about and joins both sides"
)]

mod doubting;
mod enrolling;
mod linking;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hostler_proto::command::{Command, Reply, RunCancel};
use hostler_proto::enrol::{ENROL_PATH, EnrolReply, EnrolRequest, LINK_PATH, enrol_statement};
use hostler_proto::ids::{CommandId, HostId, InstanceId, RunId};
use hostler_proto::link::Outgoing;
use hostler_proto::link::host::{Ended, HelloFacts, HostConfig, HostEvent, HostSession};
use hostler_proto::link::proof::HostKey;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{App, Config, clock};

/// No wait of these tests is longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A control plane that serves.
struct Served {
    app: App,
    url: String,
    home: tempfile::TempDir,
    stop: CancellationToken,
    serving: JoinSet<()>,
    keys: Vec<String>,
}

impl Served {
    async fn start() -> Self {
        Self::at(tempfile::tempdir().unwrap(), 0).await
    }

    async fn at(home: tempfile::TempDir, port: u16) -> Self {
        let config = Config {
            home: home.path().to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            public_url: None,
            keep_logs: crate::config::KeepLogs::default(),
            edge: crate::edge::Settings::default(),
            oauth: crate::config::OAuth::default(),
        };
        let control = crate::open(config).await.unwrap();
        let (app, url) = (control.app().clone(), control.url().to_owned());
        let mut keys = Vec::new();
        for _ in 0..3 {
            keys.push(control.enrolment_key().await.unwrap());
        }
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        let stopping = stop.clone();
        serving.spawn(async move { control.serve(stopping).await.unwrap() });
        Self {
            app,
            url,
            home,
            stop,
            serving,
            keys,
        }
    }

    /// Stops it in good order and starts it again on the same port and catalog.
    async fn restart(mut self) -> Self {
        let port = self.url.rsplit(':').next().unwrap().parse().unwrap();
        self.stop.cancel();
        timeout(LIMIT, self.serving.join_next()).await.unwrap();
        Self::at(self.home, port).await
    }

    /// A host enrolled as hosts enrol.
    async fn enrol(&mut self, name: &str) -> Host {
        let key = HostKey::from_bytes(&clock::random());
        let secret = self.keys.pop().unwrap();
        let (status, body) = post_enrol(&self.url, &secret, &key, name).await;
        assert_eq!(status, 200, "{body}");
        let reply: EnrolReply = serde_json::from_str(&body).unwrap();
        Host {
            key,
            id: reply.host_id,
            server_id: reply.server_id,
            url: self.url.clone(),
            instance: 1,
            boot: "boot-a".to_owned(),
            next_seq: 1,
            machine: None,
            lives: Vec::new(),
        }
    }

    /// Waits until the catalog and the registry say so.
    async fn until(&self, what: &str, mut holds: impl AsyncFnMut(&App) -> bool) {
        let waiting = async {
            while !holds(&self.app).await {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(LIMIT, waiting).await.is_ok(), "never {what}");
    }
}

async fn post_enrol(url: &str, secret: &str, key: &HostKey, name: &str) -> (u16, String) {
    let request = EnrolRequest {
        name: name.to_owned(),
        public_key: key.public_hex(),
        signature: key.sign(&enrol_statement(secret, name)),
    };
    post(
        url,
        ENROL_PATH,
        secret,
        serde_json::to_string(&request).unwrap(),
    )
    .await
}

async fn post(url: &str, path: &str, secret: &str, body: String) -> (u16, String) {
    let (url, secret) = (format!("{url}{path}"), secret.to_owned());
    tokio::task::spawn_blocking(move || {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LIMIT))
            .build()
            .into();
        let mut response = agent
            .post(url)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {secret}"))
            .send(body)
            .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), text)
    })
    .await
    .unwrap()
}

/// An enrolled host, not connected.
#[derive(Clone)]
struct Host {
    key: HostKey,
    id: HostId,
    server_id: Uuid,
    url: String,
    instance: u128,
    boot: String,
    next_seq: u64,
    machine: Option<String>,
    lives: Vec<hostler_proto::frame::payload::Life>,
}

type Ws = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open_socket(url: &str) -> Ws {
    let url = format!("{}{LINK_PATH}", url.replace("http://", "ws://"));
    let (ws, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    ws
}

impl Host {
    /// Connects and waits for the welcome.
    async fn connect(&self) -> Connected {
        let mut connected = self.greet().await;
        let event = connected.next().await;
        assert!(matches!(event, HostEvent::Welcome(_)), "{event:?}");
        connected
    }

    /// Opens a socket; the handshake goes on as events are asked for.
    async fn greet(&self) -> Connected {
        let config = HostConfig {
            key: self.key.clone(),
            host_id: self.id,
            server_id: self.server_id,
            instance_id: InstanceId(Uuid::from_u128(self.instance)),
            seed: 1,
            facts: HelloFacts {
                boot_id: self.boot.clone(),
                next_seq: self.next_seq,
                machine: self.machine.clone(),
                lives: self.lives.clone(),
                ..HelloFacts::default()
            },
        };
        Connected {
            session: HostSession::new(config, super::link::now()),
            ws: open_socket(&self.url).await,
        }
    }

    /// Connects and tells why it was refused.
    async fn refused(&self) -> Ended {
        self.greet().await.ended().await
    }
}

/// A host with its socket.
struct Connected {
    session: HostSession,
    ws: Ws,
}

impl Connected {
    /// The next thing that happens, except acknowledgements.
    async fn next(&mut self) -> HostEvent {
        timeout(LIMIT, self.next_in_time())
            .await
            .expect("nothing happened")
    }

    async fn next_in_time(&mut self) -> HostEvent {
        loop {
            while let Some(event) = self.session.poll_event() {
                if !matches!(event, HostEvent::EventsAcked(0)) {
                    return event;
                }
            }
            self.send_all().await;
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.session.handle_text(&text, super::link::now());
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    self.session.handle_close(frame.code.into(), &frame.reason);
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => self.session.handle_close(1006, &error.to_string()),
                None => self.session.handle_close(1006, "ended"),
            }
        }
    }

    async fn send_all(&mut self) {
        while let Some(out) = self.session.poll_transmit() {
            let message = match out {
                Outgoing::Text(text) => Message::text(text),
                Outgoing::Binary(bytes) => Message::binary(bytes),
                Outgoing::Close { .. } => Message::Close(None),
            };
            // A socket that is closing takes nothing more.
            if self.ws.send(message).await.is_err() {
                return;
            }
        }
    }

    async fn ended(&mut self) -> Ended {
        loop {
            if let HostEvent::Ended(why) = self.next().await {
                return why;
            }
        }
    }

    /// Answers commands until the socket ends; gives back how many there were.
    async fn serve_commands(&mut self) -> u32 {
        let mut count = 0;
        loop {
            match self.next_in_time().await {
                HostEvent::Command { id, command, .. } => {
                    count += 1;
                    self.session.reply(id, Ok(cancelled(&command)));
                }
                HostEvent::Ended(_) => return count,
                _ => {}
            }
        }
    }
}

fn cancel(n: u128) -> (CommandId, Command) {
    let command = Command::RunCancel(RunCancel {
        run_id: RunId(Uuid::from_u128(n)),
        requested_by: "ada@example.com".into(),
        by: None,
    });
    (CommandId(Uuid::from_u128(1_000 + n)), command)
}

fn cancelled(command: &Command) -> Reply {
    let Command::RunCancel(cancel) = command else {
        panic!("not asked for: {command:?}");
    };
    Reply::RunCancelled {
        run_id: cancel.run_id,
        already_over: false,
    }
}
