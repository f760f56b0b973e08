//! What is taken away from a supervisor while it works: space, its files, its socket.

use std::io::BufReader;

use hostler_daemon::supervisor::client;
use hostler_daemon::supervisor::record::{Ended, Exit};
use rustix::process::{Pid, Resource, Rlimit};

use crate::harness::{DEADLINE, Run, agent, eventually, spec};

#[test]
fn a_log_that_may_not_grow_ends_the_run_in_a_defined_state() {
    let mut run = Run::script(
        "echo $$ > pid.agent; echo ready; until [ -e go ]; do :; done; seq 1 100000; tail -f /dev/null",
    );
    run.until_output("ready");
    let own = Pid::from_raw(i32::try_from(run.pid).unwrap());
    let most = Rlimit {
        current: Some(50_000),
        maximum: Some(50_000),
    };
    rustix::process::prlimit(own, Resource::Fsize, most).unwrap();
    std::fs::write(run.work().join("go"), "").unwrap();
    let exit = run.end();
    assert!(matches!(exit.ended, Ended::SpoolFailed { .. }), "{exit:?}");
    assert_eq!(exit.log_bytes, 50_000);
    run.assert_all_gone(1);
}

/// A folder stands where the record belongs, until it does not.
#[test]
fn a_record_that_cannot_be_written_is_told_and_written_later() {
    let mut run = Run::script("echo ready; until [ -e go ]; do :; done; exit 6");
    run.until_output("ready");
    let blocked = run.dir().exit().join("x");
    std::fs::create_dir_all(&blocked).unwrap();
    std::fs::write(run.work().join("go"), "").unwrap();
    let told = run.until(|status| status.exit.is_some()).exit.unwrap();
    assert_eq!(told.agent().unwrap().code, Some(6));
    // The daemon that was told dies without a note of it: the next one is told as well.
    let again = client::attach(&run.dir()).unwrap();
    again.set_read_timeout(Some(DEADLINE)).unwrap();
    run.socket = BufReader::new(again);
    let again = run.until(|status| status.exit.is_some()).exit.unwrap();
    assert_eq!(again, told);
    assert!(client::is_supervised(&run.dir()), "it would be lost");
    std::fs::remove_dir_all(run.dir().exit()).unwrap();
    eventually("the supervisor's end", || {
        !client::is_supervised(&run.dir())
    });
    assert_eq!(Exit::load(&run.dir()), Some(*told));
}

#[test]
fn a_run_folder_that_is_gone_ends_its_supervisor() {
    let mut run = Run::script("echo $$ > pid.agent; echo ready; until [ -e go ]; do :; done");
    run.until_output("ready");
    std::fs::remove_dir_all(run.dir().path()).unwrap();
    std::fs::write(run.work().join("go"), "").unwrap();
    let exit = run.until(|status| status.exit.is_some()).exit.unwrap();
    assert_eq!(exit.ended, Ended::ByItself);
    let pid = i32::try_from(run.pid).unwrap();
    eventually("the supervisor's end", || {
        hostler_daemon::platform::process(pid).is_none_or(|one| one.ended)
    });
    run.assert_all_gone(1);
}

#[test]
fn a_socket_that_was_removed_comes_back() {
    let mut run = Run::script("echo $$ > pid.agent; echo ready; exec tail -f /dev/null");
    run.until_output("ready");
    std::fs::remove_file(run.dir().socket()).unwrap();
    let mut again = None;
    eventually("the socket", || {
        again = client::attach(&run.dir()).ok();
        again.is_some()
    });
    client::cancel(&mut again.unwrap(), "ada").unwrap();
    assert_eq!(run.end().ended, Ended::Cancelled { by: "ada".into() });
    run.assert_all_gone(1);
}

#[test]
fn closed_and_broken_pipes_are_no_end() {
    let mut run = Run::start(|work| {
        let script =
            "echo first; exec >&- 2>&- <&-; : > silent; until [ -e go ]; do :; done; exit 5";
        spec(vec![agent(script, work)])
    });
    let silent = run.work().join("silent");
    eventually("the agent is silent", || silent.exists());
    assert!(client::is_supervised(&run.dir()));
    std::fs::write(run.work().join("go"), "").unwrap();
    assert_eq!(run.end().agent().unwrap().code, Some(5));
}
