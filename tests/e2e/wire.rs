//! What goes over the wire: TLS with a certificate authority of our own, headers and connections that
//! cost nothing, and files that do not fit.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Ended, Home, Program, Service, client, eventually, secs, set_up};

/// A certificate authority and what it signed for `localhost`, as files.
struct Authority {
    root: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn of(home: &Home) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &root).unwrap();
        let write = |name: &str, text: String| {
            let path = home.path(name);
            fs::write(&path, text).unwrap();
            path
        };
        Self {
            root: write("root.pem", root.pem()),
            certificate: write("cert.pem", certificate.pem()),
            key: write("key.pem", key.serialize_pem()),
        }
    }
}

/// Runs a command that trusts these roots.
fn trusting(home: &Home, roots: &PathBuf, arguments: &[&str]) -> Ended {
    let mut command = home.hostler(arguments);
    command.env("SSL_CERT_FILE", roots);
    Ended::of(command, secs(60))
}

#[test]
fn a_host_and_the_commands_use_tls_with_the_systems_roots() {
    let (server, host) = (Home::new(), Home::new());
    let authority = Authority::of(&server);
    let port = server.port().to_string();
    let (certificate, key) = (
        authority.certificate.to_str().unwrap(),
        authority.key.to_str().unwrap(),
    );
    let mut command = server.hostler(&[
        "server",
        "--port",
        &port,
        "--tls-cert",
        certificate,
        "--tls-key",
        key,
    ]);
    command.env("HOSTLER_LOG", "hostler=info");
    let mut program = Program::spawn(command);
    let url = format!("https://localhost:{port}");
    eventually("the server serves", secs(20), || {
        assert!(program.ended().is_none(), "{}", program.output());
        let saved = server.hostler_home().join("credentials.json");
        let there = fs::read_to_string(saved).is_ok_and(|text| text.contains(&url));
        (there && TcpStream::connect(("127.0.0.1", server.port())).is_ok()).then_some(())
    });
    // A service is asked by HUP to read its files again: that does not end it.
    program.signal(Signal::HUP);
    eventually("HUP is noticed", secs(30), || {
        program.stderr().contains("HUP").then_some(())
    });
    // Without the root nobody believes it; with it, everything works.
    let (_, words) = trusting(&server, &host.path("none.pem"), &["hosts", "list"]).failed();
    assert!(words.to_lowercase().contains("certificate"), "{words}");
    let made = trusting(&server, &authority.root, &["hosts", "enrol-key", "--json"]).ok();
    let enrolment = made
        .split('"')
        .find(|part| part.starts_with("hk_"))
        .unwrap();
    trusting(
        &host,
        &authority.root,
        &["join", &url, "--key", enrolment, "--name", "box"],
    )
    .ok();
    let root = authority.root.to_str().unwrap();
    let _daemon = host.daemon_with(&[("SSL_CERT_FILE", root)]);
    eventually("the host is online over TLS", secs(60), || {
        let listed = trusting(
            &server,
            &authority.root,
            &["hosts", "list", "--online", "--json"],
        )
        .json();
        (listed["hosts"][0]["name"] == json!("box")).then_some(())
    });
}

/// Serves this text at `/client.json` over TLS, and says where.
fn serving_over_tls(home: &Home, authority: &Authority) -> (Program, u16) {
    const SCRIPT: &str = "const fs = require('fs');
        const server = require('https').createServer(
            {cert: fs.readFileSync(process.argv[1]), key: fs.readFileSync(process.argv[2])},
            (request, response) => {
                const id = `https://${request.headers.host}${request.url}`;
                response.setHeader('content-type', 'application/json');
                response.end(JSON.stringify({client_id: id, client_name: 'Documented',
                    redirect_uris: ['http://localhost/callback']}));
            });
        server.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port} `));";
    let mut command = client(home, "node");
    command.arg("-e").arg(SCRIPT);
    command.args([&authority.certificate, &authority.key]);
    let program = Program::spawn(command);
    let port = eventually("node serves", secs(30), || {
        let said = program.stdout();
        let (_, rest) = said.split_once("port ")?;
        rest.split_once(' ')?.0.parse().ok()
    });
    (program, port)
}

#[test]
fn a_clients_document_is_read_over_tls_from_whom_this_system_trusts() {
    let (trusting, doubting) = (Home::new(), Home::new());
    let authority = Authority::of(&trusting);
    let (_site, port) = serving_over_tls(&trusting, &authority);
    let root = authority.root.to_str().unwrap();
    let vouched = format!("Vouched for by localhost:{port}");
    let unknown = "invalid peer certificate";
    for (home, roots, cases) in [
        // The certificate is for one of the two names.
        (
            &trusting,
            root,
            &[("localhost", vouched.as_str()), ("127.0.0.1", unknown)][..],
        ),
        (&doubting, "/dev/null", &[("localhost", unknown)]),
    ] {
        let environment = [
            ("SSL_CERT_FILE", roots),
            ("HOSTLER_LOOPBACK_CLIENT_DOCUMENTS", "true"),
        ];
        let service = home.server_with(&environment);
        let mut owner = set_up(&service);
        for (host, words) in cases {
            let page = owner.open(&format!(
                "/oauth/authorize?response_type=code&code_challenge_method=S256\
                 &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
                 &client_id=https%3A%2F%2F{host}%3A{port}%2Fclient.json\
                 &redirect_uri=http%3A%2F%2Flocalhost%3A9%2Fcallback"
            ));
            assert!(page.words().contains(words), "{host}: {}", page.shown());
        }
    }
}

#[test]
fn files_that_do_not_fit_and_open_networks_are_refused_in_words() {
    let home = Home::new();
    let authority = Authority::of(&home);
    let port = home.port().to_string();
    let [certificate, key, root] = [&authority.certificate, &authority.key, &authority.root]
        .map(|path| path.to_str().unwrap());
    for (arguments, words) in [
        (
            &["--tls-cert", certificate, "--tls-key", "/nowhere.pem"][..],
            "cannot read /nowhere.pem",
        ),
        (
            &["--tls-cert", root, "--tls-key", key],
            "is not the key of the certificate",
        ),
        (&["--tls-cert", certificate], "--tls-key"),
        (
            &[
                "--tls-cert",
                certificate,
                "--tls-key",
                key,
                "--public-url",
                "https://other.example.com",
            ],
            "is not for other.example.com",
        ),
        (&["--trusted-proxy", "proxy.example.com"], "is no network"),
    ] {
        let whole: Vec<_> = ["server", "--port", &port]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let (_, said) = home.run(&whole).failed();
        assert!(said.contains(words), "{said}");
    }
    let (_, said) = home
        .run(&["server", "--listen", &format!("0.0.0.0:{port}")])
        .failed();
    assert!(said.contains("--insecure-http"), "{said}");
}

/// Resident memory of a program, KiB.
fn memory(service: &Service) -> u64 {
    let status = fs::read_to_string(format!(
        "/proc/{}/status",
        service.program.pid().as_raw_nonzero()
    ))
    .unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn headers_of_any_size_and_idle_connections_cost_little_memory() {
    const CONNECTIONS: u64 = 400;
    let home = Home::new();
    let service = home.server();
    let address = ("127.0.0.1", home.port());
    let before = memory(&service);
    let line = vec![b'a'; 1 << 20];
    let greedy: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx-large: ")
                .unwrap();
            let sent = (0..10).all(|_| stream.write_all(&line).is_ok());
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer).is_ok();
            let refused = String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431");
            assert!(
                refused || !read || !sent,
                "{}",
                String::from_utf8_lossy(&answer)
            );
            stream
        })
        .collect();
    let after = memory(&service);
    assert!(
        after < before + (20 << 10),
        "200 MB of headers: {before} KiB, then {after} KiB"
    );
    drop(greedy);
    let idle: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .unwrap();
            let mut part = [0; 4096];
            assert!(stream.read(&mut part).unwrap() > 0);
            stream
        })
        .collect();
    let open = memory(&service);
    let each = open.saturating_sub(after) / CONNECTIONS;
    println!(
        "{each} KiB for each of {CONNECTIONS} idle connections ({after} KiB, then {open} KiB)"
    );
    assert!(each < 64, "{each} KiB for each idle connection");
    assert_eq!(idle.len() as u64, CONNECTIONS);
}
