//! Starting: what stands in the way is said in one sentence, and nothing is damaged.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::auth::Secret;
use crate::{Config, ControlPlane, OpenError, open};

fn config(home: &Path) -> Config {
    Config {
        home: home.to_owned(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        public_url: None,
        keep_logs: crate::config::KeepLogs::default(),
        edge: crate::edge::Settings::default(),
        oauth: crate::config::OAuth::default(),
    }
}

async fn refusal(config: Config) -> String {
    let refused: Result<ControlPlane, OpenError> = open(config).await;
    refused.map(|_| ()).unwrap_err().to_string()
}

#[tokio::test]
async fn the_first_start_makes_an_owner_and_shows_a_key_once() {
    let home = tempfile::tempdir().unwrap();
    let first = open(config(home.path())).await.unwrap();
    let key = first.first_api_key().unwrap().to_owned();
    assert!(key.starts_with("sk_live_"));
    assert!(first.mcp_url().starts_with("http://127.0.0.1:"));
    let (id, store) = (first.app().server.id, first.app().store.clone());
    let hash = Secret::read(&key).unwrap().hash().to_string();
    let token = store::tokens::by_hash(&store, &hash)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (token.kind.as_str(), token.role.as_str()),
        ("api_key", "owner")
    );
    assert_eq!(token.prefix, key[..12]);
    let enrolment = first.enrolment_key().await.unwrap();
    let hash = Secret::read(&enrolment).unwrap().hash().to_string();
    let token = store::tokens::by_hash(&store, &hash)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        token.expires_at,
        Some(token.created_at.plus_ms(15 * 60_000))
    );
    let dir = home.path().join("control-plane");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&dir), mode(&dir.join("catalog.db"))), (0o700, 0o600));

    store.close().await;
    drop(first);
    let second = open(config(home.path())).await.unwrap();
    assert_eq!(second.first_api_key(), None);
    let setup = second.setup_link().await.unwrap().unwrap();
    assert!(setup.starts_with(&format!("{}/setup/ln_", second.url())));
    assert_eq!((second.app().server.id, second.app().server.epoch), (id, 2));
}

#[tokio::test]
async fn presence_of_an_earlier_start_is_void() {
    let home = tempfile::tempdir().unwrap();
    let first = open(config(home.path())).await.unwrap();
    let app = first.app().clone();
    let (org, owner) = store::members::first_owner(&app.store)
        .await
        .unwrap()
        .unwrap();
    let caller = Caller {
        org_id: org,
        user_id: owner.user_id,
        role: Role::Owner,
        token_id: Uuid::nil(),
        scopes: Scopes::all(),
        label: owner.email,
        via: crate::auth::Via::default(),
    };
    let host = add_host(&app, &caller, "MacBook").await;
    crate::ingest::hello(&app, host, &crate::ingest::Stated::default())
        .await
        .unwrap();
    app.store.close().await;
    drop((first, app));
    let second = open(config(home.path())).await.unwrap();
    let hosts = crate::hosts_catalog::list(second.app(), &caller, Some(true))
        .await
        .unwrap();
    assert_eq!(hosts, []);
}

#[tokio::test]
async fn a_second_one_on_the_same_folder_is_told_of_the_first() {
    let home = tempfile::tempdir().unwrap();
    let first = open(config(home.path())).await.unwrap();
    let words = refusal(config(home.path())).await;
    let pid = format!("(process {})", std::process::id());
    assert!(
        words.contains("already runs") && words.contains(&pid),
        "{words}"
    );
    assert!(
        first.enrolment_key().await.is_ok(),
        "the first is not disturbed"
    );
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let home = tempfile::tempdir().unwrap();
    let words = refusal(Config {
        listen: taken.local_addr().unwrap(),
        ..config(home.path())
    })
    .await;
    let port = taken.local_addr().unwrap().port().to_string();
    assert!(words.contains(&port) && words.contains("--port"), "{words}");
    assert!(
        open(config(home.path())).await.is_ok(),
        "the lock was given back"
    );
}

#[tokio::test]
async fn a_damaged_catalog_is_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("control-plane/catalog.db");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let garbage = b"this is not a database, it is a letter to a friend".repeat(200);
    std::fs::write(&path, &garbage).unwrap();
    let words = refusal(config(home.path())).await;
    assert!(
        words.contains("catalog.db") && words.contains("backup"),
        "{words}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), garbage);
}

#[tokio::test]
async fn a_catalog_damaged_in_the_middle_is_noticed_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let first = open(config(home.path())).await.unwrap();
    first.app().store.close().await;
    drop(first);
    let path = home.path().join("control-plane/catalog.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0xaa);
    std::fs::write(&path, &bytes).unwrap();
    let words = refusal(config(home.path())).await;
    assert!(words.contains("catalog.db"), "{words}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[tokio::test]
async fn a_newer_catalog_is_left_to_the_newer_program() {
    let home = tempfile::tempdir().unwrap();
    let first = open(config(home.path())).await.unwrap();
    store::claim_newer_schema(&first.app().store).await;
    first.app().store.close().await;
    drop(first);
    let path = home.path().join("control-plane/catalog.db");
    let before = std::fs::read(&path).unwrap();
    let words = refusal(config(home.path())).await;
    assert!(words.contains("newer hostler"), "{words}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let words = refusal(config(&file)).await;
    assert!(
        words.contains("cannot write to") && words.contains("HOSTLER_HOME"),
        "{words}"
    );
}

#[tokio::test]
async fn it_serves_and_ends_when_told_to() {
    let home = tempfile::tempdir().unwrap();
    let plane = open(config(home.path())).await.unwrap();
    let url = format!("{}/healthz", plane.url());
    let shutdown = CancellationToken::new();
    let asking = shutdown.clone();
    let ask = tokio::task::spawn_blocking(move || {
        let text = ureq::get(&url)
            .call()
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        asking.cancel();
        text
    });
    let serve = tokio::time::timeout(std::time::Duration::from_secs(5), plane.serve(shutdown));
    let (served, text) = tokio::join!(serve, ask);
    served.expect("ends within five seconds").unwrap();
    assert_eq!(text.unwrap(), "ok");
    assert!(
        open(config(home.path())).await.is_ok(),
        "the lock was given back"
    );
}
