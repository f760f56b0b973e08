//! The supervisor as a real process: what it ends, what it survives, what it leaves on disk.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod family;
mod faults;
mod harness;
mod limits;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;

use harness::{DEADLINE, Run, SmallDisk, agent, eventually, program, spec};
use hostler_daemon::platform;
use hostler_daemon::supervisor::client;
use hostler_daemon::supervisor::commands::{self, Commands};
use hostler_daemon::supervisor::record::{Ended, Exit, RunDir, Status, StepKind};
use hostler_daemon::supervisor::spool;

/// Five kinds of children, each of which has got away from somebody: plain, own session, orphaned,
/// without environment in its own session, and one that forks again and again.
const FAMILY: &str = r#"
trap '' INT TERM
wait_forever='trap "" INT TERM; echo $$ > pid.$0; while :; do tail -f /dev/null & wait; done'
sh -c "$wait_forever" plain &
setsid sh -c "$wait_forever" session &
(setsid sh -c "$wait_forever" orphan & ) &
env -i setsid /bin/sh -c "PATH=/usr/bin:/bin; cd /; trap '' INT TERM; echo \$\$ > $PWD/pid.bare; while :; do tail -f /dev/null & wait; done" &
setsid sh -c 'trap "" INT TERM; echo $$ > pid.forks; while :; do (trap "" INT TERM; sh -c "tail -f /dev/null" & ); done' &
until [ -s pid.plain ] && [ -s pid.session ] && [ -s pid.orphan ] && [ -s pid.bare ] && [ -s pid.forks ]; do :; done
echo family complete
while :; do wait; done
"#;

#[test]
fn an_agent_that_succeeds_leaves_its_log_and_record() {
    let mut run = Run::script("echo out; echo err >&2; pwd");
    let exit = run.end();
    assert_eq!(exit.ended, Ended::ByItself);
    assert_eq!(exit.agent().unwrap().code, Some(0));
    assert_eq!(exit.leftovers, 0);
    let log = run.log();
    assert!(log.contains("out\n") && log.contains("err\n"), "{log}");
    assert!(log.contains(run.work().to_str().unwrap()), "{log}");
    let streams: Vec<_> = spool::index(&run.dir())
        .unwrap()
        .iter()
        .map(|one| one.stream)
        .collect();
    assert!(streams.contains(&spool::Stream::Out) && streams.contains(&spool::Stream::Err));
    assert!(!run.dir().exit_draft().exists());
}

#[test]
fn exit_codes_and_signals_are_told() {
    let exit = Run::script("exit 7").end();
    assert_eq!(exit.agent().unwrap().code, Some(7));
    let exit = Run::script("kill -SEGV $$").end();
    assert_eq!(
        (exit.agent().unwrap().code, exit.agent().unwrap().signal),
        (None, Some(11))
    );
}

#[test]
fn cancel_ends_every_kind_of_descendant() {
    let mut run = Run::script(FAMILY);
    run.until_output("family complete");
    run.cancel();
    let exit = run.end();
    assert_eq!(exit.ended, Ended::Cancelled { by: "ada".into() });
    assert_eq!(exit.agent().unwrap().signal, Some(9));
    run.assert_all_gone(5);
    assert!(run.log().contains("cancelled by ada"), "{}", run.log());
}

#[test]
fn the_time_limit_ends_every_kind_of_descendant() {
    let mut run = Run::start(|work| {
        let mut spec = spec(vec![agent(FAMILY, work)]);
        spec.limits.agent_ms = 1_500;
        spec
    });
    let exit = run.end();
    assert_eq!(exit.ended, Ended::TimedOut { limit_ms: 1_500 });
    run.assert_all_gone(5);
}

#[test]
fn what_is_left_after_the_agents_own_end_is_ended_and_said() {
    let mut run = Run::script(
        "setsid sh -c 'echo $$ > pid.left; exec tail -f /dev/null' & until [ -s pid.left ]; do :; done; echo bye",
    );
    let exit = run.end();
    assert_eq!(exit.ended, Ended::ByItself);
    assert_eq!((exit.agent().unwrap().code, exit.leftovers), (Some(0), 1));
    run.assert_all_gone(1);
    assert!(
        run.log().contains("1 process was left over"),
        "{}",
        run.log()
    );
}

#[test]
fn an_agent_that_obeys_the_first_signal_ends_by_it() {
    let mut run = Run::start(|work| {
        let mut spec = spec(vec![agent(
            "trap 'echo stopping; exit 3' INT; echo ready; while :; do tail -f /dev/null & wait; done",
            work,
        )]);
        spec.grace.int_ms = 2_000;
        spec
    });
    run.until_output("ready");
    run.cancel();
    // The child of a shell's background job ignores INT: it is left over and gets TERM.
    let exit = run.end();
    assert_eq!(exit.agent().unwrap().code, Some(3));
    assert!(run.log().contains("stopping"));
}

#[test]
fn a_run_without_output_and_without_work_is_stalled() {
    let mut run = Run::start(|work| {
        let mut spec = spec(vec![agent("echo once; exec tail -f /dev/null", work)]);
        spec.limits.idle_ms = 300;
        spec
    });
    let Ended::Stalled {
        limit_ms,
        asks,
        last,
    } = run.end().ended
    else {
        panic!("{}", run.log());
    };
    assert_eq!((limit_ms, asks, last.as_str()), (300, false, "once"));
}

#[test]
fn setup_runs_first_and_its_failure_is_the_end() {
    let mut run = Run::start(|work| {
        let texts = ["echo one".to_owned(), "echo two; exit 4".to_owned()];
        let mut steps = commands::steps(StepKind::Setup, &texts, work);
        steps.push(agent("echo never", work));
        spec(steps)
    });
    let exit = run.end();
    assert_eq!(exit.ended, Ended::ByItself);
    assert!(exit.agent().is_none());
    assert_eq!(exit.steps.last().unwrap().code, Some(4));
    let log = run.log();
    assert!(
        log.contains("one\n") && log.contains("two\n") && !log.contains("never"),
        "{log}"
    );
    assert!(log.contains("ended with exit code 4"), "{log}");
}

#[test]
fn a_program_that_cannot_be_started_is_a_result() {
    let mut run = Run::start(|work| {
        let mut step = agent("", work);
        step.argv = vec!["/no/such/agent".into()];
        spec(vec![step])
    });
    let exit = run.end();
    assert!(matches!(exit.ended, Ended::NotStarted { .. }), "{exit:?}");
    assert!(run.log().contains("cannot be started"), "{}", run.log());
}

#[test]
fn a_prompt_of_any_size_arrives_whole() {
    let prompt = "0123456789".repeat(20_000);
    let mut run = Run::start(|work| {
        let mut step = agent(
            "tail -f /dev/null --pid=1 2>/dev/null & kill $!; wc -c; echo done",
            work,
        );
        step.stdin = Some(prompt.clone());
        spec(vec![step])
    });
    run.end();
    assert!(run.log().contains("200000"), "{}", run.log());
    let mut deaf = Run::start(|work| {
        let mut step = agent("exec 0<&-; echo deaf", work);
        step.stdin = Some(prompt.clone());
        spec(vec![step])
    });
    assert_eq!(deaf.end().agent().unwrap().code, Some(0));
}

#[test]
fn secrets_do_not_reach_the_disk_in_any_form_or_cut() {
    use base64::Engine;
    let secret = "s3cr3t/value+long&enough";
    let in_base64 = base64::engine::general_purpose::STANDARD.encode(secret);
    let in_url: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut run = Run::start(|work| {
        let script = r#"
            say() { rest=$1; while [ -n "$rest" ]; do printf %s "$(printf %s "$rest" | cut -c1-3)"; rest=$(printf %s "$rest" | cut -c4-); done; echo; }
            say "$DEPLOY_TOKEN"; say "$IN_BASE" >&2; say "$IN_FORM"; echo "$DEPLOY_TOKEN$IN_BASE"
        "#;
        let mut spec = spec(vec![agent(script, work)]);
        for (name, value) in [
            ("DEPLOY_TOKEN", secret),
            ("IN_BASE", &in_base64),
            ("IN_FORM", &in_url),
        ] {
            spec.env.insert(name.into(), value.into());
        }
        spec
    });
    run.end();
    assert_eq!(run.log().matches("[redacted]").count(), 5, "{}", run.log());
    let written = all_files(run.dir().path());
    for form in [secret, &in_base64, &in_url] {
        // The two encoded forms stand in the spec under names that do not look secret.
        let (name, _) = written
            .iter()
            .find(|(name, bytes)| {
                !name.ends_with("spec.json")
                    && bytes.windows(form.len()).any(|at| at == form.as_bytes())
            })
            .cloned()
            .unwrap_or_default();
        assert_eq!(name, "", "{form}");
    }
    let spec = std::fs::read_to_string(run.dir().spec()).unwrap();
    assert!(!spec.contains(secret));
}

fn all_files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn a_log_over_its_limit_keeps_both_ends() {
    let mut run = Run::start(|work| {
        let mut spec = spec(vec![agent("seq 1 200000", work)]);
        spec.limits.log_head = 10_000;
        spec.limits.log_tail = 20_000;
        spec
    });
    run.end();
    let log = run.log();
    assert!(log.starts_with("1\n2\n3\n") && log.ends_with("\n199999\n200000\n"));
    assert!(
        log.contains("bytes of output are left out here"),
        "{}",
        &log[29_900..30_600]
    );
    // Whole up to its limit, a few samples, the end.
    assert!(log.len() < 30_000 + 20_000 + 20_000, "{}", log.len());
}

#[test]
fn the_run_goes_on_without_the_daemon_and_can_be_attached_again() {
    let mut run = Run::script(
        "for n in $(seq 1 2000); do echo line $n; done; until [ -e go ]; do :; done; echo end",
    );
    run.until_output("line 1\n");
    // The daemon dies: its end of the socket is closed without a word.
    let pair = UnixStream::pair().unwrap();
    run.socket = BufReader::new(pair.0);
    let dir = run.dir();
    assert!(client::is_supervised(&dir));
    let again = client::attach(&dir).unwrap();
    again.set_read_timeout(Some(DEADLINE)).unwrap();
    run.socket = BufReader::new(again);
    run.until_output("line 2000\n");
    let seen = run.log();
    std::fs::write(run.work().join("go"), "").unwrap();
    run.end();
    let log = run.log();
    assert!(log.starts_with(&seen));
    let lines: Vec<String> = (1..=2000)
        .map(|n| {
            format!(
                "line {n}
"
            )
        })
        .collect();
    let expected = lines.concat()
        + "end
";
    assert_eq!(log, expected);
}

#[test]
fn a_client_that_does_not_read_does_not_slow_the_run() {
    let mut run = Run::script("seq 1 100000; for n in 1 2 3 4 5; do seq 1 50000; done");
    let _deaf = (0..3)
        .map(|_| wait_for_attach(&run.dir()))
        .collect::<Vec<_>>();
    assert_eq!(run.end().ended, Ended::ByItself);
}

fn wait_for_attach(dir: &RunDir) -> Option<UnixStream> {
    let mut stream = None;
    eventually("the socket", || {
        stream = client::attach(dir).ok();
        stream.is_some() || dir.exit().exists()
    });
    stream
}

#[test]
fn a_second_supervisor_refuses() {
    let mut run = Run::script("echo here; until [ -e go ]; do :; done");
    run.until_output("here");
    let mut second = std::process::Command::new(program())
        .arg("supervise")
        .arg(run.dir().path())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(second.wait().unwrap().code(), Some(3));
    std::fs::write(run.work().join("go"), "").unwrap();
    assert_eq!(run.end().ended, Ended::ByItself);
}

#[test]
fn a_terminated_supervisor_ends_its_run_with_a_record() {
    let mut run = Run::script("echo $$ > pid.agent; echo ready; exec tail -f /dev/null");
    run.until_output("ready");
    let own = platform::process(i32::try_from(run.pid).unwrap()).unwrap();
    platform::signal_process(own.pid, own.started, rustix::process::Signal::TERM);
    let exit = run.end();
    assert!(matches!(exit.ended, Ended::Cancelled { .. }), "{exit:?}");
    run.assert_all_gone(1);
}

#[test]
fn a_tied_run_ends_with_whoever_asked() {
    let mut run = Run::start(|work| {
        let mut spec = spec(vec![agent(
            "echo $$ > pid.agent; echo ready; exec tail -f /dev/null",
            work,
        )]);
        spec.tied = true;
        spec
    });
    run.until_output("ready");
    run.socket = BufReader::new(UnixStream::pair().unwrap().0);
    eventually("the end", || !client::is_supervised(&run.dir()));
    let exit = Exit::load(&run.dir()).unwrap();
    assert!(matches!(exit.ended, Ended::Cancelled { .. }), "{exit:?}");
    run.assert_all_gone(1);
}

#[tokio::test]
async fn setup_commands_give_a_report_and_leave_no_folder() {
    let temp = tempfile::tempdir().unwrap();
    let commands = |texts: &[&str]| Commands {
        kind: StepKind::Setup,
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        folder: temp.path().into(),
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        limit_ms: 1_000,
    };
    let dir = temp.path().join("steps");
    let good = commands::run(program(), &dir, &commands(&["echo a > made", "cat made"]))
        .await
        .unwrap();
    assert!(good.ok, "{good:?}");
    assert!(good.last_lines.ends_with("\na"), "{good:?}");
    let bad = commands::run(
        program(),
        &dir,
        &commands(&["echo why >&2; exit 9", "touch no"]),
    )
    .await
    .unwrap();
    assert_eq!((bad.ok, bad.exit_code), (false, Some(9)));
    assert_eq!(bad.failed_command.as_deref(), Some("echo why >&2; exit 9"));
    assert!(bad.last_lines.contains("why"), "{bad:?}");
    let slow = commands::run(program(), &dir, &commands(&["exec tail -f /dev/null"]))
        .await
        .unwrap();
    assert_eq!((slow.ok, slow.exit_code), (false, None));
    assert!(!dir.exists() && !temp.path().join("no").exists());
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let mut run = Run::start(|work| {
        let mut step = agent("", work);
        step.argv = vec!["/usr/bin/env".into()];
        spec(vec![step])
    });
    run.end();
    let log = run.log();
    let mut names: Vec<_> = log
        .lines()
        .filter_map(|line| Some(line.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["HOSTLER_SUPERVISED", "PATH"]);
}

#[test]
fn a_full_disk_ends_the_run_in_a_defined_state() {
    let disk = SmallDisk::mount();
    let dir = RunDir::new(&disk.0.path().join("run"));
    let work = tempfile::tempdir().unwrap();
    let script =
        "echo $$ > pid.agent; while :; do echo a line that fills the disk bit by bit; done";
    let launched =
        client::launch(program(), &dir, &spec(vec![agent(script, work.path())])).unwrap();
    launched.socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut last = None;
    for line in BufReader::new(&launched.socket).lines() {
        let status: Status = serde_json::from_str(&line.unwrap()).unwrap();
        last = status.exit;
    }
    eventually("the end", || !client::is_supervised(&dir));
    let exit = Exit::load(&dir).unwrap();
    assert_eq!(last.as_deref(), Some(&exit));
    assert!(matches!(exit.ended, Ended::SpoolFailed { .. }), "{exit:?}");
    assert_eq!(exit.log_bytes, std::fs::metadata(dir.log()).unwrap().len());
    let pid = std::fs::read_to_string(work.path().join("pid.agent")).unwrap();
    assert!(platform::process(pid.trim().parse().unwrap()).is_none());
}
