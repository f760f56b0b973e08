//! TLS by files: spoken, refused, renewed while running.

use std::path::Path;
use std::sync::Arc;

use axum::routing::get;
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;
use crate::clock;
use crate::edge::tls::has_gap;
use crate::edge::{TlsError, TlsFiles};
use crate::{Config, OpenError};

/// A certificate that is its own root, and its key, in PEM.
fn pair(name: &str, years: std::ops::Range<i32>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn write(dir: &Path, (certificate, key): &(String, String)) -> TlsFiles {
    let files = TlsFiles {
        certificate: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
    files
}

/// What a client that trusts only this certificate gets; an error when the server shows another.
async fn ask(edge: &Edge, root: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(edge.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    timeout(SOON, stream.read_to_string(&mut text)).await??;
    Ok(text)
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn tls_is_spoken_and_a_renewed_certificate_is_taken_into_use() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (pair("localhost", 2020..2090), pair("localhost", 2020..2091));
    let files = write(dir.path(), &first);
    let settings = Settings {
        tls: Some(files.clone()),
        ..hasty()
    };
    let edge = Edge::of(hello(), settings).await;
    assert!(ask(&edge, &first.0).await.unwrap().ends_with("hello"));
    assert!(ask(&edge, &second.0).await.is_err());
    // Plain HTTP is told what to do, and who says nothing is given up.
    let answer = edge.ask("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(answer.contains("https://"), "{answer}");
    assert_eq!(to_the_end(&mut edge.connect().await).await, "");

    // Half a renewal leaves the old one in use; the whole takes the new.
    std::fs::write(&files.certificate, &second.0).unwrap();
    let mut half = Tls::open(&write(dir.path(), &first), clock::wall()).unwrap();
    std::fs::write(&files.certificate, format!("{}\n", second.0)).unwrap();
    assert!(!half.refresh(clock::wall()));
    write(dir.path(), &second);
    assert!(half.refresh(clock::wall()));
    let renewed = async { while ask(&edge, &second.0).await.is_err() {} };
    timeout(SOON, renewed)
        .await
        .expect("the new certificate is in use");
}

#[test]
fn files_that_do_not_fit_are_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let good = pair("hostler.example.com", 2020..2090);
    let open = |certificate: &str, key: &str| {
        let files = write(dir.path(), &(certificate.to_owned(), key.to_owned()));
        Tls::open(&files, clock::wall()).map(|_| ()).unwrap_err()
    };
    let other = pair("hostler.example.com", 2020..2090);
    assert!(matches!(
        open(&good.0, &other.1),
        TlsError::Unmatched { .. }
    ));
    assert!(matches!(
        open(&good.1, &good.0),
        TlsError::Missing {
            what: "certificate",
            ..
        }
    ));
    assert!(matches!(
        open(&good.0, &good.0),
        TlsError::Missing {
            what: "private key",
            ..
        }
    ));
    assert!(matches!(open("", ""), TlsError::Missing { .. }));
    let over = pair("hostler.example.com", 2020..2021);
    let words = open(&over.0, &over.1).to_string();
    assert!(words.contains("expired at 2021-01-01T00:00:00Z"), "{words}");
    let early = pair("hostler.example.com", 2089..2090);
    assert!(matches!(
        open(&early.0, &early.1),
        TlsError::TooEarly { .. }
    ));
    let broken = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    assert!(matches!(open(broken, &good.1), TlsError::Damaged { .. }));
    let nowhere = TlsFiles {
        certificate: dir.path().join("nowhere.pem"),
        key: dir.path().join("key.pem"),
    };
    assert!(matches!(
        Tls::open(&nowhere, clock::wall()),
        Err(TlsError::Read { .. })
    ));
    let tls = Tls::open(&write(dir.path(), &good), clock::wall()).unwrap();
    assert!(tls.is_for("hostler.example.com").is_ok());
    assert!(matches!(
        tls.is_for("other.example.com"),
        Err(TlsError::OtherName { .. })
    ));
}

#[test]
fn an_end_that_comes_near_is_told_once_a_week_a_day_and_at_it() {
    const DAY_MS: i64 = 24 * 3_600_000;
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), &pair("localhost", 2020..2090));
    let mut tls = Tls::open(&files, clock::wall()).unwrap();
    let end = tls.until;
    let mut told = Vec::new();
    for half_days in -20..4 {
        let now = end.plus_ms(half_days * DAY_MS / 2);
        assert!(!tls.refresh(now));
        // What `refresh` told is not told again.
        assert!(!tls.warn(now));
        told.push(tls.warned);
    }
    told.dedup();
    let day = |count: i64| Some(count * DAY_MS);
    assert_eq!(told, [None, day(7), day(1), day(0)]);
}

#[test]
fn a_chain_with_a_gap_is_noticed() {
    use rcgen::{BasicConstraints, CertifiedIssuer, DistinguishedName, DnType, IsCa};
    let named = |name: &str, is_ca: bool| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    };
    let fresh = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(named("root", true), fresh()).unwrap();
    let between = CertifiedIssuer::signed_by(named("between", true), fresh(), &root).unwrap();
    let leaf = named("leaf", false).signed_by(&fresh(), &between).unwrap();
    let (leaf, between, root) = (leaf.der(), between.der(), root.der());
    let gap = |chain: &[&CertificateDer<'static>]| {
        let chain: Vec<_> = chain.iter().map(|der| (*der).clone()).collect();
        has_gap(&chain)
    };
    assert!(gap(&[leaf]));
    assert!(gap(&[leaf, root]));
    assert!(gap(&[leaf, root, between]));
    assert!(!gap(&[leaf, between]));
    assert!(!gap(&[leaf, between, root]));
    assert!(!gap(&[root]));
}

#[tokio::test]
async fn what_others_could_read_is_not_served_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let files = write(dir.path(), &pair("localhost", 2020..2090));
    let open = |listen: &str, public_url: Option<&str>, edge: Settings| {
        crate::open(Config {
            home: dir.path().join("home"),
            listen: listen.parse().unwrap(),
            public_url: public_url.map(str::to_owned),
            keep_logs: crate::KeepLogs::default(),
            edge,
            oauth: crate::config::OAuth::default(),
        })
    };
    let plain = Settings::default;
    let tls = || Settings {
        tls: Some(files.clone()),
        ..plain()
    };
    for public in [None, Some("http://hostler.example.com")] {
        let refused = open("0.0.0.0:0", public, plain()).await.unwrap_err();
        assert!(refused.to_string().contains("--tls-cert"), "{refused}");
        assert!(!dir.path().join("home").exists(), "nothing was made");
    }
    let refused = open("0.0.0.0:0", Some("https://other.example.com"), tls()).await;
    assert!(matches!(
        refused,
        Err(OpenError::Tls(TlsError::OtherName { .. }))
    ));
    let allowed = Settings {
        plain_http: true,
        ..plain()
    };
    assert!(open("0.0.0.0:0", None, allowed).await.is_ok());
    let proxied = open("0.0.0.0:0", Some("https://hostler.example.com"), plain()).await;
    assert!(proxied.is_ok());
    drop(proxied);
    for wrong in [
        "https://example.com/hostler",
        "https://example.com?x",
        "https://me:secret@example.com",
        "example.com",
        "ftp://example.com",
        "",
    ] {
        let refused = open("127.0.0.1:0", Some(wrong), plain()).await.unwrap_err();
        assert!(
            refused.to_string().contains("a name of its own"),
            "{refused}"
        );
    }
    let own = open("127.0.0.1:0", Some("https://Example.com:443/"), plain()).await;
    assert_eq!(own.unwrap().url(), "https://example.com");
    let own = open("127.0.0.1:0", None, tls()).await.unwrap();
    assert!(own.url().starts_with("https://localhost:"), "{}", own.url());
}
