//! No descendant outlives its run, however the run ends and whatever the descendant did to get away,
//! and nobody else's process is touched.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use hostler_daemon::platform;
use hostler_daemon::supervisor::client;
use hostler_daemon::supervisor::commands::{self, Commands};
use hostler_daemon::supervisor::record::{Ended, Grace, RunDir, StepKind};
use hostler_daemon::supervisor::strays;
use rustix::process::Signal;

use crate::harness::{Run, agent, eventually, program, spec};

/// Children that each got away from somebody: plain, own session, orphaned, without environment and
/// elsewhere in its own session. `end` is what the agent does once they are there.
fn family(end: &str) -> String {
    format!(
        r#"
trap '' INT TERM
wait_forever='trap "" INT TERM; echo $$ > pid.$0; while :; do tail -f /dev/null & wait; done'
sh -c "$wait_forever" plain &
setsid sh -c "$wait_forever" session &
(setsid sh -c "$wait_forever" orphan & ) &
(env -i setsid /bin/sh -c "PATH=/usr/bin:/bin; cd /; trap '' INT TERM; exec </dev/null >/dev/null 2>&1; echo \$\$ > $PWD/pid.bare; while :; do tail -f /dev/null & wait; done" & ) &
until [ -s pid.plain ] && [ -s pid.session ] && [ -s pid.orphan ] && [ -s pid.bare ]; do :; done
echo family complete
{end}
"#
    )
}

/// Ends and goes on in its orphan, which leads a new session, thousands of times a second, and tells
/// its newest number.
const COMET: &str = r#"
perl -e 'use POSIX; $SIG{INT}=$SIG{TERM}="IGNORE"; my $n=0;
  while (1) { my $p = fork; if (!defined $p) { next } if ($p) { POSIX::_exit(0) } setsid();
    if ($n++ % 50 == 0) { open(F, ">", "comet.new"); print F $$; close F; rename("comet.new", "comet"); } }' &
until [ -s comet ]; do :; done
echo comet complete
trap '' INT TERM
while :; do tail -f /dev/null & wait; done
"#;

/// Forks in every process it forks, until there are many.
const STORM: &str = r#"
perl -e 'use POSIX; $SIG{INT}=$SIG{TERM}="IGNORE"; my $n=0;
  while ($n < 3) { my $p = fork; $n++; if (defined $p && !$p) { setsid() } }
  while (1) { my $p = fork; if (defined $p && !$p) { select undef,undef,undef,0.02; POSIX::_exit(0) } while (waitpid(-1, WNOHANG) > 0) {} select undef,undef,undef,0.01 }' &
echo storm complete
trap '' INT TERM
while :; do tail -f /dev/null & wait; done
"#;

/// Without a cage, as on a machine that has none to give: its note cannot be written.
fn uncaged(script: &str) -> Run {
    Run::start_in(
        |run| std::fs::create_dir_all(run.join("cgroup/x")).unwrap(),
        |work| spec(vec![agent(script, work)]),
    )
}

/// Processes of this machine that carry a run's number or its folder in their environment.
fn left_of(dir: &RunDir) -> usize {
    strays::end(
        dir,
        None,
        Grace {
            int_ms: 0,
            term_ms: 0,
        },
    )
}

#[test]
fn none_outlives_an_agent_that_ends_by_itself() {
    let mut run = Run::script(&family("exit 0"));
    let exit = run.end();
    assert_eq!(exit.ended, Ended::ByItself);
    assert_eq!(exit.agent().unwrap().code, Some(0));
    assert!(exit.leftovers >= 4, "{exit:?}");
    run.assert_all_gone(4);
    assert_eq!(left_of(&run.dir()), 0);
}

#[test]
fn none_outlives_a_stalled_run() {
    let mut run = Run::start(|work| {
        let mut spec = spec(vec![agent(&family("while :; do wait; done"), work)]);
        spec.limits.idle_ms = 1_000;
        spec
    });
    let exit = run.end();
    assert!(matches!(exit.ended, Ended::Stalled { .. }), "{exit:?}");
    run.assert_all_gone(4);
    assert_eq!(left_of(&run.dir()), 0);
}

#[test]
fn a_program_that_forks_and_ends_all_the_time_does_not_get_away() {
    for mut run in [Run::script(COMET), uncaged(COMET)] {
        run.until_output("comet complete");
        run.cancel();
        let exit = run.end();
        assert_eq!(exit.ended, Ended::Cancelled { by: "ada".into() });
        assert_eq!(left_of(&run.dir()), 0);
        let newest = run.work().join("comet");
        std::fs::remove_file(&newest).unwrap();
        assert_eq!(left_of(&run.dir()), 0);
        assert!(!newest.exists(), "it goes on");
    }
}

#[test]
fn a_program_that_forks_on_all_sides_does_not_get_away() {
    for mut run in [Run::script(STORM), uncaged(STORM)] {
        run.until_output("storm complete");
        run.cancel();
        run.end();
        assert_eq!(left_of(&run.dir()), 0);
    }
}

#[test]
fn what_a_killed_supervisor_leaves_is_found_by_its_number_or_its_cage() {
    for run in [
        Run::script(&family("while :; do wait; done")),
        uncaged(&family("while :; do wait; done")),
    ] {
        let mut run = run;
        run.until_output("family complete");
        let mut bystander = Bystander::in_folder(&run.work());
        let own = platform::process(i32::try_from(run.pid).unwrap()).unwrap();
        assert!(platform::signal_process(own.pid, own.started, Signal::KILL));
        eventually("the supervisor's end", || {
            !client::is_supervised(&run.dir())
        });
        let grace = Grace {
            int_ms: 50,
            term_ms: 50,
        };
        let work = run.work();
        let count = strays::end(&run.dir(), Some(&work), grace);
        assert!(count >= 4, "{count}");
        run.assert_all_gone_or_ended(4);
        assert!(bystander.lives(), "somebody who only works there was ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_whose_supervisor_is_killed_leaves_nothing_either() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, note) = (temp.path().join("steps"), temp.path().join("pid"));
    let text = "w=$PWD; (cd /; setsid env -i /bin/sh -c \"PATH=/usr/bin:/bin; echo \\$\\$ > $w/pid.new; mv $w/pid.new $w/pid; exec tail -f /dev/null\" &); exec tail -f /dev/null";
    let commands = Commands {
        kind: StepKind::Setup,
        texts: vec![text.into()],
        folder: temp.path().into(),
        env: [("PATH".into(), "/usr/bin:/bin".into())].into(),
        limit_ms: 60_000,
    };
    let killed = tokio::task::spawn_blocking({
        let (note, dir) = (note.clone(), dir.clone());
        move || {
            eventually("the orphan", || note.exists());
            let all = platform::processes();
            let leads = |one: &&platform::ProcessFacts| {
                let line = std::fs::read(format!("/proc/{}/cmdline", one.pid)).unwrap_or_default();
                let named =
                    String::from_utf8_lossy(&line).ends_with(&format!("{}\0", dir.display()));
                named && one.session == one.pid
            };
            let supervisor = all.iter().find(leads).unwrap();
            platform::signal_process(supervisor.pid, supervisor.started, Signal::KILL)
        }
    });
    let error = commands::run(program(), &dir, &commands).await.unwrap_err();
    assert!(killed.await.unwrap());
    assert!(error.to_string().contains("were left and ended"), "{error}");
    let orphan = std::fs::read_to_string(&note).unwrap();
    let orphan = platform::process(orphan.trim().parse().unwrap());
    assert!(orphan.is_none_or(|one| one.ended), "{orphan:?}");
}

/// A process of somebody else's that happens to work in the same folder.
struct Bystander(Child);

impl Bystander {
    fn in_folder(folder: &Path) -> Self {
        let child = Command::new("tail")
            .args(["-f", "/dev/null"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The kernel is told to give a number again: the process that has it now is not the one that was
/// meant. Only where the kernel lets itself be told (root, outside of most containers).
#[test]
fn a_number_that_is_used_again_is_not_signalled() {
    let told = std::fs::read(LAST_PID).and_then(|last| std::fs::write(LAST_PID, last));
    if told.is_err() {
        eprintln!("this kernel does not let its numbers be chosen: not tried");
        return;
    }
    // A number that somebody else's process got meanwhile is lost: then with another.
    let tried = (0..50).any(|_| a_number_was_used_again());
    assert!(tried, "no number was given again");
}

/// Where the last number that was given is told, see proc_sys_kernel(5).
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

fn a_number_was_used_again() -> bool {
    let mut first = Bystander::in_folder(Path::new("/"));
    let pid = i32::try_from(first.0.id()).unwrap();
    let before = platform::process(pid).unwrap();
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    assert!(!platform::signal_process(pid, before.started, Signal::KILL));
    for _ in 0..20 {
        std::fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
        let mut again = Bystander::in_folder(Path::new("/"));
        let now = platform::process(i32::try_from(again.0.id()).unwrap()).unwrap();
        if now.pid == pid && now.started != before.started {
            assert!(!platform::signal_process(pid, before.started, Signal::KILL));
            assert!(again.lives());
            return true;
        }
    }
    false
}
