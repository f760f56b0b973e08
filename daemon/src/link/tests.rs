//! The daemon's link over real sockets, against the control plane's sans-IO session on a plain
//! websocket server, and an in-memory machine.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the event it is about"
)]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::{SinkExt, StreamExt};
use hostler_proto::command::{Command, Reply, RunCancel};
use hostler_proto::error::Failure;
use hostler_proto::frame::log::LogFrame;
use hostler_proto::frame::payload::{
    Acks, LogFinal, Reject, RejectCode, Sync as DesiredStep, SyncAck,
};
use hostler_proto::host::HostLoad;
use hostler_proto::ids::{CommandId, HostId, RunId};
use hostler_proto::link::control::{Accepted, ControlConfig, ControlEvent, ControlSession};
use hostler_proto::link::host::{Dismissal, HelloFacts, LogState, SyncOutcome};
use hostler_proto::link::proof::HostKey;
use hostler_proto::link::{Outgoing, proof};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);
const SERVER: Uuid = Uuid::from_u128(9);
const RUN: RunId = RunId(Uuid::from_u128(4));
const LOG: &[u8] = b"line of output\n";

/// A machine with three events and one finished run, that carries out each command when told.
#[derive(Default)]
struct Machine {
    acked: Mutex<u64>,
    delivered: AtomicU32,
    carried_out: Mutex<BTreeMap<CommandId, u32>>,
    synced: AtomicU32,
    dismissed: Mutex<Vec<Dismissal>>,
    go: Notify,
}

impl Local for Machine {
    async fn hello(&self) -> Result<HelloFacts, Failure> {
        Ok(HelloFacts {
            next_seq: 4,
            ..HelloFacts::default()
        })
    }

    async fn command(
        &self,
        id: CommandId,
        _command: Command,
        _progress: ProgressSink,
    ) -> Result<Reply, Failure> {
        *self.carried_out.lock().unwrap().entry(id).or_default() += 1;
        self.go.notified().await;
        Ok(cancelled())
    }

    async fn apply_sync(&self, step: DesiredStep) -> Result<SyncOutcome, Failure> {
        self.synced.fetch_add(1, Ordering::Relaxed);
        Ok(SyncOutcome::Applied(SyncAck {
            revision: step.to,
            hash: step.hash,
            next_seq: None,
        }))
    }

    async fn events_after(&self, seq: u64, _: u32) -> Result<Vec<(u64, String)>, Failure> {
        Ok((seq + 1..=3).map(|seq| (seq, "{}".to_owned())).collect())
    }

    async fn events_acked(&self, seq: u64) -> Result<(), Failure> {
        *self.acked.lock().unwrap() = seq;
        Ok(())
    }

    async fn event_refused(&self, seq: u64, reason: String) -> Result<(), Failure> {
        panic!("event {seq} was refused: {reason}")
    }

    async fn log_streams(&self) -> Result<Vec<LogState>, Failure> {
        Ok(vec![LogState {
            run_id: RUN,
            end: LOG.len() as u64,
            acked: 0,
            finished: Some((LOG.len() as u64, crc32fast::hash(LOG))),
        }])
    }

    fn log_end(&self, _: RunId) -> u64 {
        LOG.len() as u64
    }

    async fn log_read(&self, _: RunId, offset: u64, max: usize) -> Result<LogPart, Failure> {
        let rest = &LOG[usize::try_from(offset).unwrap()..];
        Ok(LogPart {
            bytes: rest[..rest.len().min(max)].to_vec(),
            records: vec![],
        })
    }

    async fn log_delivered(&self, _: RunId) -> Result<(), Failure> {
        self.delivered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn logs_acked(&self, _: &[(RunId, u64)]) -> Result<(), Failure> {
        Ok(())
    }

    async fn welcomed(&self, _: u64) -> Result<(), Failure> {
        Ok(())
    }

    async fn dismissed(&self, how: Dismissal) -> Result<(), Failure> {
        self.dismissed.lock().unwrap().push(how);
        Ok(())
    }

    async fn load(&self) -> HostLoad {
        HostLoad::default()
    }
}

fn cancelled() -> Reply {
    Reply::RunCancelled {
        run_id: RUN,
        already_over: false,
    }
}

/// A daemon's link with its home, and a listener it connects to.
struct Scene {
    machine: Arc<Machine>,
    listener: TcpListener,
    home: tempfile::TempDir,
    stop: CancellationToken,
    link: JoinSet<Result<(), String>>,
}

impl Scene {
    async fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let home = tempfile::tempdir().unwrap();
        let scene = Self {
            machine: Arc::new(Machine::default()),
            listener,
            home,
            stop: CancellationToken::new(),
            link: JoinSet::new(),
        };
        scene.identity(1);
        scene
    }

    fn identity(&self, host: u128) {
        let text = serde_json::json!({
            "hostId": HostId(Uuid::from_u128(host)),
            "name": "box",
            "url": format!("http://{}", self.listener.local_addr().unwrap()),
            "serverId": SERVER,
            "secretKey": key().secret_hex(),
        });
        let folder = self.home.path().join("host");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("identity.json"), text.to_string()).unwrap();
    }

    fn start(&mut self) {
        self.start_believing(BELIEVED);
    }

    fn start_believing(&mut self, believed: Duration) {
        let (layout, local) = (Layout::new(self.home.path()), Arc::clone(&self.machine));
        let (signals, stop) = (Arc::new(Signals::default()), self.stop.clone());
        self.link
            .spawn(async move { run_believing(believed, &layout, local, signals, stop).await });
    }

    /// The daemon's next socket.
    async fn accept(&self) -> Served {
        let (stream, _) = timeout(LIMIT, self.listener.accept())
            .await
            .expect("the daemon did not connect")
            .unwrap();
        let config = ControlConfig {
            server_id: SERVER,
            nonce: clock::random(),
            seed: 1,
        };
        Served {
            ws: tokio_tungstenite::accept_async(stream).await.unwrap(),
            session: ControlSession::new(&config, now()),
        }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        let ended = timeout(LIMIT, self.link.join_next()).await;
        ended
            .expect("the link did not stop")
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

fn key() -> HostKey {
    HostKey::from_bytes(&[5; 32])
}

/// The other end of the daemon's socket.
struct Served {
    ws: WebSocketStream<TcpStream>,
    session: ControlSession,
}

impl Served {
    /// The next event but heartbeats, which come when they like.
    async fn next(&mut self) -> ControlEvent {
        timeout(LIMIT, self.next_in_time())
            .await
            .expect("nothing happened")
    }

    async fn next_in_time(&mut self) -> ControlEvent {
        loop {
            self.send_all().await;
            match self.session.poll_event() {
                Some(ControlEvent::Heartbeat { .. }) => continue,
                Some(event) => return event,
                None => {}
            }
            match self.ws.next().await {
                Some(Ok(Message::Text(text))) => self.session.handle_text(&text, now()),
                Some(Ok(Message::Binary(bytes))) => self.session.handle_binary(&bytes, now()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => self.session.handle_close(1006, "ended"),
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
            self.ws.send(message).await.unwrap();
        }
    }

    async fn hello(&mut self) {
        self.hello_by(&key()).await;
    }

    async fn hello_by(&mut self, key: &HostKey) {
        let ControlEvent::Hello(hello) = self.next().await else {
            panic!("no hello");
        };
        let challenge = self.session.challenge();
        assert!(proof::verify_hello(&key.public_hex(), challenge, &hello));
    }

    /// Refuses the host for good.
    async fn reject(mut self, code: RejectCode) {
        self.session.reject(Reject {
            code,
            message: "no".into(),
            retry_after_ms: None,
            fatal: true,
            versions: None,
        });
        self.send_all().await;
    }

    async fn welcome(&mut self) {
        self.hello().await;
        let accepted = Accepted {
            session: Uuid::nil(),
            epoch: 1,
            desired_revision: 0,
            acks: Acks::default(),
        };
        self.session.accept(accepted, now());
        self.send_all().await;
    }

    /// Takes what comes until the run's final record, acknowledging all of it.
    async fn take_everything(&mut self) -> (Vec<u64>, Vec<u8>) {
        let (mut events, mut log) = (vec![], vec![]);
        loop {
            match self.next().await {
                ControlEvent::Events { items, .. } => {
                    events.extend(items.iter().map(|item| item.seq));
                    self.session
                        .events_stored(items.last().unwrap().seq, vec![]);
                }
                ControlEvent::Log(LogFrame { offset, bytes, .. }) => {
                    assert_eq!(offset, log.len() as u64);
                    log.extend(bytes);
                    self.session.log_stored(RUN, log.len() as u64, false);
                }
                ControlEvent::LogFinal(LogFinal { size, crc32, .. }) => {
                    assert_eq!((size, crc32), (log.len() as u64, crc32fast::hash(&log)));
                    self.session.log_stored(RUN, size, true);
                    self.send_all().await;
                    return (events, log);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn ask(&mut self) -> CommandId {
        let id = CommandId(Uuid::from_u128(77));
        let command = Command::RunCancel(RunCancel {
            run_id: RUN,
            requested_by: "ada@example.com".into(),
            by: None,
        });
        self.session.call(id, command, 30_000, now());
        id
    }
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(LIMIT, waiting).await.is_ok(), "never {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_logs_and_desired_state_cross_a_real_socket() {
    let mut scene = Scene::new().await;
    scene.start();
    let mut served = scene.accept().await;
    served.welcome().await;
    let (events, log) = served.take_everything().await;
    assert_eq!(
        (events.as_slice(), log.as_slice()),
        ([1, 2, 3].as_slice(), LOG)
    );
    let machine = Arc::clone(&scene.machine);
    eventually("acknowledged", || {
        *machine.acked.lock().unwrap() == 3 && machine.delivered.load(Ordering::Relaxed) == 1
    })
    .await;
    served.session.sync(DesiredStep {
        to: 8,
        full: true,
        hash: "h".into(),
        ..DesiredStep::default()
    });
    let acked = served.next().await;
    assert!(
        matches!(acked, ControlEvent::SyncAcked(SyncAck { revision: 8, .. })),
        "{acked:?}"
    );
    scene.stop().await;
    let ended = served.next().await;
    assert!(matches!(ended, ControlEvent::Ended(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_asked_on_two_sockets_is_carried_out_once_and_answered_on_the_second() {
    let mut scene = Scene::new().await;
    scene.start();
    let mut first = scene.accept().await;
    first.welcome().await;
    first.take_everything().await;
    let id = first.ask();
    first.send_all().await;
    let machine = Arc::clone(&scene.machine);
    eventually("started", || {
        machine.carried_out.lock().unwrap().contains_key(&id)
    })
    .await;
    drop(first);
    let mut second = scene.accept().await;
    second.welcome().await;
    second.take_everything().await;
    second.ask();
    // Frames are taken in their order: what answers this one comes after the repeated command.
    second.session.sync(DesiredStep {
        to: 8,
        full: true,
        hash: "h".into(),
        ..DesiredStep::default()
    });
    let acked = second.next().await;
    assert!(matches!(acked, ControlEvent::SyncAcked(_)), "{acked:?}");
    scene.machine.go.notify_one();
    let reply = second.next().await;
    let ControlEvent::Reply {
        id: answered,
        result,
        ..
    } = reply
    else {
        panic!("{reply:?}");
    };
    assert_eq!((answered, result.unwrap()), (id, cancelled()));
    assert_eq!(scene.machine.carried_out.lock().unwrap()[&id], 1);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_a_cut_and_a_restart_lead_back_to_a_socket() {
    let mut scene = Scene::new().await;
    scene.start();
    let mut garbage = scene.accept().await;
    garbage.ws.send(Message::text("garbage")).await.unwrap();
    let mut cut = scene.accept().await;
    cut.hello().await;
    cut.ws
        .get_mut()
        .write_all(&[0x81, 0x7e, 0x10])
        .await
        .unwrap();
    drop(cut);
    let mut restarting = scene.accept().await;
    restarting.welcome().await;
    restarting.session.bye(100);
    restarting.send_all().await;
    let mut last = scene.accept().await;
    last.welcome().await;
    assert_eq!(last.take_everything().await.1, LOG);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_refusal_stops_until_the_host_is_enrolled_anew() {
    let mut scene = Scene::new().await;
    scene.start();
    let mut refusing = scene.accept().await;
    refusing.hello().await;
    refusing.reject(RejectCode::Revoked).await;
    let again = timeout(Duration::from_millis(2_500), scene.listener.accept()).await;
    assert!(again.is_err(), "it came back although it must not");
    scene.identity(2);
    scene.accept().await.welcome().await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_may_be_put_right_over_there_is_not_believed_for_ever() {
    let mut scene = Scene::new().await;
    scene.start_believing(Duration::from_millis(10));
    for code in [RejectCode::UnknownHost, RejectCode::VersionUnsupported] {
        let mut refusing = scene.accept().await;
        refusing.hello().await;
        refusing.reject(code).await;
    }
    scene.accept().await.welcome().await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_does_not_know_the_key_is_shown_the_one_before() {
    let mut scene = Scene::new().await;
    let before = HostKey::from_bytes(&[6; 32]);
    let file = scene.home.path().join("host/identity.before");
    std::fs::write(file, before.secret_hex()).unwrap();
    scene.start();
    let mut refusing = scene.accept().await;
    refusing.hello().await;
    refusing.reject(RejectCode::BadSignature).await;
    let mut restored = scene.accept().await;
    restored.hello_by(&before).await;
    // Only once: then it is said, and waits.
    restored.reject(RejectCode::BadSignature).await;
    let again = timeout(Duration::from_millis(2_500), scene.listener.accept()).await;
    assert!(again.is_err(), "it tries its keys by turns");
    let told = standing(scene.home.path()).unwrap();
    assert_eq!((told.up, told.why.as_deref()), (false, Some("no")));
    scene.stop().await;
}

#[tokio::test]
async fn what_is_no_control_plane_says_when_to_come_back() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4_096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let answer =
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let error = connect::open(&url).await.unwrap_err();
    assert_eq!(error.retry_after_ms(), Some(7_000));
    assert!(error.to_string().contains("503"), "{error}");
    let error = connect::open(&url).await.unwrap_err();
    assert!(error.to_string().contains("cannot connect"), "{error}");
    assert_eq!(error.retry_after_ms(), None);
}
