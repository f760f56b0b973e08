//! The edge over real sockets: slow and greedy clients, names and origins, limits, TLS.

mod connections;
mod requests;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Listening, Patience, Settings, Tls, serve};

/// Far beyond every patience of these tests.
const SOON: Duration = Duration::from_secs(20);

/// A served router.
struct Edge {
    address: SocketAddr,
    stopping: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

fn hasty() -> Settings {
    Settings {
        patience: Patience {
            head: Duration::from_millis(400),
            idle: Duration::from_millis(1_500),
            body_part: Duration::from_millis(400),
            body: Duration::from_millis(1_500),
            write: Duration::from_millis(400),
        },
        ..Settings::default()
    }
}

impl Edge {
    async fn of(routes: Router, settings: Settings) -> Self {
        let tls = settings.tls.as_ref();
        let tls = tls.map(|files| Tls::open(files, crate::clock::wall()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listening = Listening {
            listener,
            tls,
            settings,
        };
        let stopping = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "a test's server")]
        let serving = tokio::spawn(serve(listening, routes, stopping.clone()));
        Self {
            address,
            stopping,
            serving,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What one request gets; the connection is closed after it.
    async fn ask(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        to_the_end(&mut stream).await
    }
}

/// Everything until the other side closes; what comes after a reset is lost.
async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut part = vec![0; 16 << 10];
    let reading = async {
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..count]);
        }
    };
    timeout(SOON, reading)
        .await
        .expect("the connection is closed");
    String::from_utf8_lossy(&all).into_owned()
}

/// Until what was read ends so.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    let reading = async {
        while !all.ends_with(end.as_bytes()) {
            let byte = stream.read_u8().await.expect("more to read");
            all.push(byte);
        }
    };
    timeout(SOON, reading).await.expect("an answer");
    String::from_utf8_lossy(&all).into_owned()
}
