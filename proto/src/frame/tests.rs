//! Every variant has a golden frame that keeps parsing into the same value; what is unknown, too
//! large or broken is met as the protocol says.

use std::path::PathBuf;

use super::log::{LogFrame, LogRecord, LogStream};
use super::payload::*;
use super::*;
use crate::automation::{AutomationSpec, Policies, RunTarget, ScheduleSpec};
use crate::command::{
    ProjectCreate, ProjectSource, RunCancel, RunStart, WorkspaceCreate, WorkspaceDelete,
    WorkspacesCount,
};
use crate::event::Event;
use crate::host::HostLoad;
use crate::ids::{AutomationId, HostId, InstanceId, ProjectId, RunId, WorkspaceId};
use crate::time::UtcMillis;
use crate::version::VersionRange;
use uuid::Uuid;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | n)
}

fn run() -> RunId {
    RunId(id(5))
}

const AT: UtcMillis = UtcMillis(1_772_000_000_000);

fn messages() -> Vec<Envelope> {
    let re = Some(id(9).to_string());
    let mut frames: Vec<Envelope> = greeting();
    frames.extend(host_messages().into_iter().map(Envelope::message));
    frames.extend(control_messages().into_iter().map(Envelope::message));
    frames.push(Envelope::answer(
        re.clone(),
        Message::Ok(Reply::RunStarted { run_id: run() }),
    ));
    frames.push(Envelope::answer(
        re.clone(),
        Message::Error(WireError {
            code: "conflict".into(),
            message: "branch feature is checked out elsewhere".into(),
            retryable: false,
            hint: Some("choose another branch".into()),
            detail: Some("fatal: already checked out".into()),
        }),
    ));
    frames.push(Envelope::answer(
        re,
        Message::Progress(Progress {
            phase: "receiving objects".into(),
            done: 10,
            total: Some(40),
        }),
    ));
    frames.extend(commands());
    frames
}

fn greeting() -> Vec<Envelope> {
    let messages = [
        Message::Challenge(Challenge {
            nonce: "00ff".repeat(16),
            server_id: id(1),
            server_time: AT,
            versions: VersionRange { min: 1, max: 1 },
        }),
        Message::Hello(Box::new(Hello {
            version: 1,
            host_id: HostId(id(2)),
            boot_id: "4f3c".into(),
            instance_id: InstanceId(id(3)),
            start_counter: 7,
            daemon_version: "0.1.0".into(),
            os: "linux".into(),
            arch: "x86_64".into(),
            capabilities: vec!["zstd".into()],
            signature: "ab".repeat(64),
            time: AT,
            applied_revision: 12,
            applied_hash: "cd".repeat(32),
            next_seq: 41,
            runs: vec![RunMark {
                run_id: run(),
                state: "running".into(),
                log_end: 1_024,
            }],
            lives: vec![],
            machine: None,
        })),
        Message::Welcome(Box::new(Welcome {
            session: id(4),
            epoch: 3,
            heartbeat_ms: 10_000,
            dead_ms: 30_000,
            limits: Limits::default(),
            desired_revision: 13,
            acks: Acks {
                seq: 40,
                logs: vec![LogAck {
                    run_id: run(),
                    offset: 512,
                    complete: false,
                }],
            },
        })),
        Message::Reject(Reject {
            code: RejectCode::VersionUnsupported,
            message: "update the host".into(),
            retry_after_ms: Some(300_000),
            fatal: false,
            versions: Some(VersionRange { min: 1, max: 1 }),
        }),
    ];
    messages.into_iter().map(Envelope::message).collect()
}

fn host_messages() -> Vec<Message> {
    vec![
        Message::Heartbeat(Heartbeat {
            time: AT,
            load: Some(HostLoad {
                load_1m: 0.5,
                memory_used_bytes: 1 << 30,
                disk_free_bytes: 1 << 35,
                disk_total_bytes: 1 << 36,
                running_runs: 1,
                low_space: None,
            }),
            probe: false,
        }),
        Message::SyncAck(SyncAck {
            revision: 13,
            hash: "ef".repeat(32),
            next_seq: None,
        }),
        Message::SyncWanted(SyncWanted {
            have: 11,
            reason: "the step starts from 12".into(),
        }),
        Message::Events(Events {
            prev: 40,
            items: vec![EventItem {
                seq: 41,
                event: serde_json::to_value(Event::WorkspaceRemoved {
                    id: WorkspaceId(id(6)),
                })
                .unwrap(),
            }],
        }),
        Message::LogFinal(LogFinal {
            run_id: run(),
            size: 2_048,
            crc32: 0xdead_beef,
        }),
    ]
}

fn control_messages() -> Vec<Message> {
    vec![
        Message::Sync(Sync {
            from: 12,
            to: 13,
            upserts: vec![automation()],
            tombstones: vec![AutomationId(id(8))],
            full: false,
            hash: "ef".repeat(32),
            more: true,
        }),
        Message::EventAck(EventMark { seq: 41 }),
        Message::EventNack(EventMark { seq: 39 }),
        Message::EventRefused(EventRefused {
            seq: 38,
            reason: "unknown project".into(),
        }),
        Message::LogAck(LogAck {
            run_id: run(),
            offset: 2_048,
            complete: true,
        }),
        Message::LogResend(LogResend {
            run_id: run(),
            offset: 0,
        }),
        Message::Watch(Watch {
            run_id: run(),
            on: true,
        }),
        Message::Slow(Slow { max_bps: 65_536 }),
        Message::Bye(Bye {
            reconnect_after_ms: 1_000,
        }),
    ]
}

fn automation() -> AutomationSpec {
    AutomationSpec {
        id: AutomationId(id(7)),
        revision: 4,
        name: "Nightly review".into(),
        agent: "claude".into(),
        prompt: "Review yesterday's commits.\n".into(),
        prompt_version: 2,
        enabled: true,
        target: RunTarget::Project {
            project_id: ProjectId(id(10)),
            base_branch: Some("main".into()),
        },
        schedule: ScheduleSpec {
            rrule: "FREQ=DAILY;BYHOUR=9;BYMINUTE=0".into(),
            dtstart: "2026-03-08T09:00:00".parse().unwrap(),
            timezone: "America/New_York".into(),
            exdates: vec![AT],
            rdates: vec![],
        },
        plan_after: AT,
        starts: 0,
        policies: Policies::default(),
        env: [("CI".to_owned(), "1".to_owned())].into(),
        owner: None,
    }
}

fn commands() -> Vec<Envelope> {
    let commands = [
        Command::ProjectCreate(ProjectCreate {
            project_id: ProjectId(id(10)),
            source: ProjectSource::Url("https://example.com/shop.git".into()),
            name: Some("Shop".into()),
            parent_dir: None,
            by: None,
        }),
        Command::WorkspaceCreate(WorkspaceCreate {
            workspace_id: WorkspaceId(id(6)),
            project_id: ProjectId(id(10)),
            name: "Fix login".into(),
            branch: Some("fix-login".into()),
            base_branch: Some("main".into()),
            task_id: None,
            setup: true,
            created_by: "ada@example.com".into(),
            by: None,
        }),
        Command::WorkspaceDelete(WorkspaceDelete {
            workspace_id: WorkspaceId(id(6)),
            force: false,
            delete_branch: true,
            by: None,
        }),
        Command::WorkspacesCount(WorkspacesCount {
            workspace_ids: vec![WorkspaceId(id(6))],
            by: None,
        }),
        Command::RunStart(RunStart {
            run_id: run(),
            automation_id: AutomationId(id(7)),
            requested_at: AT,
            by: None,
        }),
        Command::RunCancel(RunCancel {
            run_id: run(),
            requested_by: "ada@example.com".into(),
            by: None,
        }),
    ];
    commands
        .into_iter()
        .map(|command| Envelope::command(id(9).to_string(), 30_000, command))
        .collect()
}

fn kind(envelope: &Envelope) -> String {
    let value: serde_json::Value = serde_json::from_str(&envelope.encode().unwrap()).unwrap();
    value["type"].as_str().unwrap().to_owned()
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1")
}

/// The released frame of that name. With HOSTLER_NEW_FIXTURES set, one that is missing is written;
/// one that is there is never changed.
fn released(name: &str, now: &[u8]) -> Vec<u8> {
    let path = folder().join(name);
    if !path.exists() && std::env::var_os("HOSTLER_NEW_FIXTURES").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn released_frames_keep_their_meaning() {
    for frame in messages() {
        let kind = kind(&frame);
        let text = frame.encode().unwrap();
        let golden = released(&format!("{kind}.json"), format!("{text}\n").as_bytes());
        let read = Envelope::decode(std::str::from_utf8(&golden).unwrap(), MAX_TEXT).unwrap();
        assert_eq!(read, frame, "{kind}");
    }
    let log = LogFrame {
        run_id: run(),
        offset: 512,
        bytes: b"compiling hostler v0.1.0\n".repeat(20),
        records: vec![LogRecord {
            len: 500,
            at: AT,
            stream: LogStream::Out,
        }],
    };
    let golden = released("log.bin", &log.encode().unwrap());
    assert_eq!(LogFrame::decode(&golden).unwrap(), log);
}

/// Released frames with what was added to their type later, by file name.
fn later_frames() -> Vec<(&'static str, Envelope)> {
    let actor = crate::actor::Actor {
        user_id: crate::ids::UserId(id(11)),
        email: "ada@example.com".into(),
    };
    let by = Some(actor.clone());
    let mut hello = greeting().swap_remove(1);
    if let Body::Message(Message::Hello(hello)) = &mut hello.body {
        hello.machine = Some("ef".repeat(32));
        hello.lives = vec![Life {
            first_seq: 1,
            mark: "0123456789abcdef".into(),
        }];
    }
    let owned = AutomationSpec {
        owner: by.clone(),
        ..automation()
    };
    let start = Command::RunStart(RunStart {
        run_id: run(),
        automation_id: AutomationId(id(7)),
        requested_at: AT,
        by,
    });
    let step = Sync {
        to: 13,
        upserts: vec![owned],
        hash: "cd".repeat(32),
        ..Sync::default()
    };
    let moved = Reject {
        code: RejectCode::Moved,
        message: "which one is the host?".into(),
        retry_after_ms: Some(30_000),
        fatal: false,
        versions: None,
    };
    vec![
        ("hello-machine", hello),
        (
            "run_start-by",
            Envelope::command(id(9).to_string(), 30_000, start),
        ),
        ("sync-owner", Envelope::message(Message::Sync(step))),
        ("reject-moved", Envelope::message(Message::Reject(moved))),
    ]
}

#[test]
fn what_was_added_later_keeps_its_meaning_too() {
    for (name, frame) in later_frames() {
        let text = frame.encode().unwrap();
        let golden = released(&format!("{name}.json"), format!("{text}\n").as_bytes());
        let read = Envelope::decode(std::str::from_utf8(&golden).unwrap(), MAX_TEXT).unwrap();
        assert_eq!(read, frame, "{name}");
    }
}

#[test]
fn every_type_has_a_frame() {
    let mut kinds: Vec<String> = messages().iter().map(kind).collect();
    kinds.sort();
    let mut types: Vec<&str> = [Message::TYPES, COMMAND_TYPES].concat();
    types.sort_unstable();
    assert_eq!(kinds, types);
    for file in std::fs::read_dir(folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let known = name == "log.bin"
            || name
                .strip_suffix(".json")
                .is_some_and(|n| types.contains(&n.split('-').next().unwrap_or(n)));
        assert!(known, "{name} belongs to no type");
    }
}

#[test]
fn unknown_fields_are_ignored_everywhere() {
    for frame in messages() {
        let mut value: serde_json::Value = serde_json::from_str(&frame.encode().unwrap()).unwrap();
        value["from_the_future"] = 1.into();
        value["payload"]["from_the_future"] = serde_json::json!({ "a": [1] });
        let read = Envelope::decode(&value.to_string(), MAX_TEXT).unwrap();
        assert_eq!(read, frame);
    }
}

#[test]
fn an_unknown_type_is_a_value_and_a_bad_payload_names_its_request() {
    let read = Envelope::decode(r#"{"id":"x1","type":"teleport"}"#, MAX_TEXT).unwrap();
    assert_eq!(read.id.as_deref(), Some("x1"));
    assert_eq!(
        read.body,
        Body::Unknown {
            kind: "teleport".into()
        }
    );
    let error = Envelope::decode(r#"{"id":"x2","type":"run_start","payload":{}}"#, MAX_TEXT);
    assert!(matches!(error, Err(FrameError::Payload { id: Some(id), .. }) if id == "x2"));
}

#[test]
fn what_is_no_envelope_or_too_large_is_refused() {
    for text in ["", "{", "[]", "null", "\"hello\"", r#"{"type":7}"#, "{}"] {
        let error = Envelope::decode(text, MAX_TEXT);
        assert!(matches!(error, Err(FrameError::NotAnEnvelope(_))), "{text}");
    }
    let large = format!(
        r#"{{"type":"heartbeat","payload":{{}},"x":"{}"}}"#,
        "y".repeat(5_000)
    );
    let error = Envelope::decode(&large, 4_096);
    assert!(matches!(
        error,
        Err(FrameError::TooLarge { limit: 4_096, .. })
    ));
    assert!(Envelope::decode(&large, MAX_TEXT).is_ok());
}

#[test]
fn an_error_code_newer_than_this_program_is_still_an_error() {
    let text =
        r#"{"re":"x","type":"error","payload":{"code":"paused_by_moon","message":"full moon"}}"#;
    let Body::Message(Message::Error(error)) = Envelope::decode(text, MAX_TEXT).unwrap().body
    else {
        panic!("not an error");
    };
    let failure = crate::error::Failure::from(error);
    assert_eq!(failure.code, crate::error::ErrorCode::HostError);
    assert_eq!(failure.message, "full moon");
}

#[test]
fn the_largest_automation_fits_a_frame() {
    let mut spec = automation();
    spec.prompt = "\u{1}".repeat(100_000);
    let frame = Envelope::message(Message::Sync(Sync {
        upserts: vec![spec],
        ..Sync::default()
    }));
    assert!(frame.encode().unwrap().len() <= MAX_TEXT);
}
