//! A run's log, whole or followed to its end: readable, or byte for byte.
//!
//! Following outlives a restart of the control plane: the cursor says where to go on, so no byte is
//! missed or shown twice.

use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hostler_proto::transcript::Renderer;
use serde_json::{Value, json};

use crate::client::Session;
use crate::failure::Failure;
use crate::output;

/// How long the server waits for new output before it answers with none, milliseconds.
const WAIT_MS: u64 = 15_000;

/// Bytes of one page.
const PAGE: u64 = 256 << 10;

/// How long following goes on without a control plane, in tries of [`PAUSE`]: five minutes.
const TRIES: u32 = 600;

/// Pause before a control plane that went away is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// How a log is printed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct How {
    /// Until the run ends.
    pub(crate) follow: bool,
    /// Its bytes as they are.
    pub(crate) raw: bool,
}

/// Prints a run's log. With `follow` the exit code tells whether the run succeeded.
pub(crate) fn tail(
    session: &Session,
    automation: &str,
    run: &str,
    how: How,
) -> Result<ExitCode, Failure> {
    let mut reader = Reader {
        session,
        automation,
        run,
        how,
        cursor: 0,
        told_away: false,
    };
    let mut renderer = (!how.raw).then(Renderer::new);
    loop {
        let page = reader.next()?;
        let bytes = if session.json() {
            output::line(&page.to_string())?;
            Vec::new()
        } else {
            bytes_of(&page)?
        };
        match &mut renderer {
            Some(renderer) => output::bytes(renderer.push(&bytes).as_bytes())?,
            None => output::bytes(&bytes)?,
        }
        let empty = page["log"] == json!("");
        if page["done"] == json!(true) || (!how.follow && empty) {
            let rest = renderer.take().map(Renderer::finish).unwrap_or_default();
            output::bytes(rest.as_bytes())?;
            return Ok(verdict(&page["run"], how.follow));
        }
        if empty {
            reader.say_when_away()?;
        }
    }
}

struct Reader<'a> {
    session: &'a Session,
    automation: &'a str,
    run: &'a str,
    how: How,
    cursor: u64,
    told_away: bool,
}

impl Reader<'_> {
    /// The next page; while following, a control plane that is away is waited for.
    fn next(&mut self) -> Result<Value, Failure> {
        let arguments = json!({
            "automationId": self.automation,
            "runId": self.run,
            "cursor": self.cursor,
            "maxBytes": PAGE,
            "waitMs": if self.how.follow { WAIT_MS } else { 0 },
            "encoding": if self.session.json() { "text" } else { "base64" },
        });
        let mut tries = 0;
        let page = loop {
            match self.session.call("automations_logs", &arguments) {
                Err(failure) if self.how.follow && failure.may_pass() && tries < TRIES => {
                    if tries == 0 {
                        output::note("The control plane does not answer; waiting for it.");
                    }
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                answer => break answer?,
            }
        };
        self.cursor = page["nextCursor"].as_u64().unwrap_or(self.cursor);
        Ok(page)
    }

    /// A log that has not grown for a while may wait for its host.
    fn say_when_away(&mut self) -> Result<(), Failure> {
        if self.told_away {
            return Ok(());
        }
        let full = match super::in_full(self.session, self.run) {
            Err(failure) if failure.may_pass() => return Ok(()),
            answer => answer?,
        };
        if full["host"]["online"] == json!(false) {
            self.told_away = true;
            output::note(&format!(
                "Host {} is offline; the log goes on when it is back.",
                output::cell(&full["host"]["name"])
            ));
        }
        Ok(())
    }
}

fn bytes_of(page: &Value) -> Result<Vec<u8>, Failure> {
    let text = page["log"].as_str().unwrap_or_default();
    STANDARD.decode(text).map_err(|error| {
        Failure::new(format!(
            "The control plane sent a log that cannot be read: {error}."
        ))
    })
}

fn verdict(run: &Value, follow: bool) -> ExitCode {
    let state = output::cell(&run["state"]);
    let ended = !run["finishedAt"].is_null();
    let quiet = state == "succeeded" || (!follow && run["logBytes"] != json!(0));
    if quiet || !ended {
        return ExitCode::SUCCESS;
    }
    let reason = output::text(&run["reason"]).map_or(String::new(), |reason| format!(": {reason}"));
    output::note(&format!(
        "Run {} ended as {state}{reason}",
        output::cell(&run["runId"])
    ));
    if follow {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
