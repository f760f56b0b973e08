//! Limits of a run: silence after a question, memory, disks, the size of its log; and that it
//! reaches nobody's terminal.

use std::process::{Command, Stdio};

use hostler_daemon::supervisor::client;
use hostler_daemon::supervisor::record::{Ended, Exit};

use crate::harness::{Run, SmallDisk, agent, eventually, program, spec};

#[test]
fn a_question_nobody_answers_stalls_the_run_sooner_and_is_shown() {
    let mut run = Run::start(|work| {
        let script = "echo signing in; printf 'Password: '; exec tail -f /dev/null";
        let mut spec = spec(vec![agent(script, work)]);
        spec.limits.asks_ms = 400;
        spec
    });
    let exit = run.end();
    let words = exit.ended.in_words();
    let Ended::Stalled {
        limit_ms,
        asks,
        last,
    } = exit.ended
    else {
        panic!("{words}");
    };
    assert_eq!((limit_ms, asks), (400, true));
    assert_eq!(last, "signing in\nPassword:");
    assert!(words.contains("waits for an answer") && words.ends_with("signing in\nPassword:"));
    assert!(run.log().contains("ending the run"), "{}", run.log());
}

/// `script` gives the supervisor's parent a terminal, as `hostler up` has one.
#[test]
fn no_run_reaches_a_terminal_or_waits_for_one() {
    let mut run = Run::start_unlaunched(|work| {
        let script = "if (: < /dev/tty) 2> /dev/null; then echo a terminal; else echo none; fi\n\
             (echo hello > /dev/tty) 2> /dev/null; read answer; echo \"read gave $?\"";
        spec(vec![agent(script, work)])
    });
    let command = format!(
        "sh -c '{} supervise {}; true'",
        program().display(),
        run.dir().path().display()
    );
    let typed = Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .expect("script(1) is part of util-linux (Debian: bsdutils)");
    assert!(typed.status.success(), "{typed:?}");
    assert_eq!(Exit::load(&run.dir()).unwrap().ended, Ended::ByItself);
    assert_eq!(run.log(), "none\nread gave 1\n");
    assert!(!String::from_utf8_lossy(&typed.stdout).contains("hello"));
    run.pid = 0;
}

#[test]
fn too_much_memory_of_all_processes_together_ends_the_run() {
    let mut run = Run::start(|work| {
        let script = "hold='$x = \"a\" x (40 << 20); open(F, \">\", \"pid.$$\"); print F $$; close F; sleep 1000'\n\
             perl -e \"$hold\" & perl -e \"$hold\" & wait";
        let mut spec = spec(vec![agent(script, work)]);
        spec.limits.memory_bytes = Some(60 << 20);
        spec
    });
    let exit = run.end();
    let Ended::TooMuchMemory {
        used_bytes,
        limit_bytes,
    } = exit.ended
    else {
        panic!("{exit:?}");
    };
    assert!(used_bytes > limit_bytes && exit.peak_memory_bytes >= used_bytes);
    run.assert_all_gone(0);
}

#[test]
fn cpu_time_and_peak_memory_are_those_of_all_processes() {
    let mut run = Run::script(
        "burn='$x = \"a\" x (40 << 20); do { @t = times; $n++ for 1..100000 } while ($t[0] + $t[1] < 0.5); open(F, \">\", $ARGV[0]); close F;'\n\
         (setsid perl -e \"$burn\" orphan &)\n\
         perl -e \"$burn\" child; until [ -e orphan ]; do sleep 0.2; done",
    );
    let exit = run.end();
    assert_eq!(exit.ended, Ended::ByItself);
    assert!((1_000..3_000).contains(&exit.cpu_ms), "{exit:?}");
    let peak = exit.peak_memory_bytes >> 20;
    assert!((80..400).contains(&peak), "{exit:?}");
}

#[test]
fn a_workspace_whose_disk_is_full_ends_the_run_and_says_so() {
    let disk = SmallDisk::mount();
    for after in ["exec tail -f /dev/null", "exit 1"] {
        let mut run = Run::start(|_| {
            let script = format!("cat /dev/zero > filled; {after}");
            spec(vec![agent(&script, disk.0.path())])
        });
        let exit = run.end();
        let Ended::DiskFull { folder, free_bytes } = &exit.ended else {
            panic!("{exit:?}");
        };
        assert_eq!(folder, &disk.0.path().canonicalize().unwrap());
        assert!(*free_bytes < 16 << 10, "{exit:?}");
        assert!(exit.ended.in_words().contains("is full"));
        std::fs::remove_file(disk.0.path().join("filled")).unwrap();
    }
}

#[test]
fn who_follows_sees_the_newest_beyond_the_limit_of_the_log() {
    let mut run = Run::start(|work| {
        let script = "seq 1 20000; echo newest one; until [ -e go ]; do :; done; seq 20001 40000";
        let mut spec = spec(vec![agent(script, work)]);
        (spec.limits.log_head, spec.limits.log_tail) = (10_000, 30_000);
        spec
    });
    run.until_output("newest one\n");
    let seen = run.log();
    assert!(seen.contains("has reached its limit of 40000 bytes"));
    std::fs::write(run.work().join("go"), "").unwrap();
    run.end();
    let log = run.log();
    assert!(log.starts_with(&seen), "what was seen stays where it was");
    let all = numbers(1..=20_000);
    assert!(log.starts_with(&all[..40_000]));
    let rest = numbers(20_001..=40_000);
    assert!(log.ends_with(&rest[rest.len() - 30_000..]));
    eventually("the end", || !client::is_supervised(&run.dir()));
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> String {
    let lines: Vec<String> = range.map(|n| format!("{n}\n")).collect();
    lines.concat()
}
