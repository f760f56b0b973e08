//! How long the console's pages take with a full catalog. Run by hand:
//!
//! ```text
//! cargo bench --bench console
//! HOSTLER_PAGES=1000 cargo bench --bench console
//! ```
//!
//! The real server on a real socket, over a catalog of 3 hosts, 1,000 automations, 10,000 runs (2,000
//! of them of one automation, one with a log of 4 MiB), 1,000 tasks, 300 workspaces and 10,000
//! entries of the audit log. Each page is asked for one after another, on one connection, by a
//! signed-in browser's request; the time is until the last byte. The goal is a p95 below 20 ms.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]
#![expect(
    clippy::unwrap_used,
    clippy::too_many_lines,
    clippy::disallowed_methods,
    reason = "a bench that cannot go on stops, measures time, and lists what it measures"
)]

mod seed;

use std::time::{Duration, Instant};

use hostler_control_plane::{Config, KeepLogs, edge};
use seed::Seeded;
use tokio_util::sync::CancellationToken;

fn main() {
    let pages = std::env::var("HOSTLER_PAGES").map_or(200, |text| text.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config {
        home: home.path().to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        public_url: None,
        keep_logs: KeepLogs { days: 0, gib: 0 },
        edge: unlimited(),
        oauth: hostler_control_plane::config::OAuth::default(),
    };
    let plane = runtime
        .block_on(hostler_control_plane::open(config))
        .unwrap();
    let began = Instant::now();
    let seeded = runtime.block_on(seed::fill(plane.app()));
    println!("catalog filled in {:.1} s", began.elapsed().as_secs_f64());
    let (url, stop) = (plane.url().to_owned(), CancellationToken::new());
    let serving = runtime.spawn(plane.serve(stop.clone()));
    measure(&url, &seeded, pages);
    stop.cancel();
    runtime.block_on(serving).unwrap().unwrap();
}

/// The usual limits would end a bench that asks so often.
fn unlimited() -> edge::Settings {
    use hostler_control_plane::limits::{Bucket, Rate, Rates};
    let rates = [Bucket::Requests, Bucket::Calls];
    let none = Rate::per_minute(0, 1_000_000);
    edge::Settings {
        rates: rates
            .into_iter()
            .fold(Rates::default(), |rates, kind| rates.with(kind, none)),
        ..edge::Settings::default()
    }
}

fn measure(url: &str, seeded: &Seeded, pages: usize) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .build()
        .into();
    let all = [
        ("hosts", "/hosts".to_owned()),
        ("automations", "/automations".to_owned()),
        (
            "automations, searched",
            "/automations?q=nightly+9".to_owned(),
        ),
        (
            "automations, last page",
            "/automations?offset=950".to_owned(),
        ),
        ("automation", format!("/automations/{}", seeded.automation)),
        (
            "automation, old history",
            format!("/automations/{}?offset=1900", seeded.automation),
        ),
        ("editor", format!("/automations/{}/edit", seeded.automation)),
        ("runs", "/runs".to_owned()),
        ("runs, failed", "/runs?state=failed".to_owned()),
        ("runs of a host", format!("/runs?host={}", seeded.host)),
        (
            "runs of an automation",
            format!("/runs?automation={}", seeded.automation),
        ),
        ("runs, by name", "/runs?q=nightly+999".to_owned()),
        (
            "runs, 9,000 back",
            format!("/runs?after={}", seeded.far_back),
        ),
        ("run", format!("/runs/{}", seeded.run)),
        (
            "run, as it is",
            format!("/runs/{}?raw=1&from=0", seeded.run),
        ),
        ("projects", "/projects".to_owned()),
        ("workspaces", "/workspaces".to_owned()),
        ("tasks", "/tasks".to_owned()),
        ("tasks board", "/tasks?view=board".to_owned()),
        ("audit", "/settings/audit".to_owned()),
    ];
    println!("\n| page | KiB | p50 ms | p95 ms | max ms |\n|---|---:|---:|---:|---:|");
    for (name, path) in all {
        let mut times = Vec::with_capacity(pages);
        let mut size = 0;
        let mut status = 0;
        for _ in 0..pages {
            let began = Instant::now();
            let request = agent
                .get(format!("{url}{path}"))
                .header("cookie", &seeded.cookie);
            let mut answer = request.header("accept", "text/html").call().unwrap();
            status = answer.status().as_u16();
            size = answer.body_mut().read_to_vec().unwrap().len();
            times.push(began.elapsed());
        }
        if status != 200 {
            println!("| {name} | {status} | | | |");
            continue;
        }
        times.sort();
        let at = |share: usize| millis(times[(times.len() - 1) * share / 100]);
        println!(
            "| {name} | {} | {:.1} | {:.1} | {:.1} |",
            size / 1024,
            at(50),
            at(95),
            at(100)
        );
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
