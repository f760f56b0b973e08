//! Progress of a call: from where the work is done to the client's notifications.
//!
//! Sending never waits and never fails: progress is a courtesy, and a client that reads slowly or
//! has gone must not slow the work down. Numbers told to a client only grow, as the protocol asks,
//! although the work goes through several phases.

use std::ops::ControlFlow;
use std::sync::Arc;

use hostler_proto::command::Progress;
use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::hosts::ProgressSink;

/// Steps that may wait to be told; further ones are dropped.
const WAITING: usize = 32;

/// Where the work puts its steps.
#[derive(Clone, Debug)]
pub(crate) struct ProgressSender(mpsc::Sender<Progress>);

/// What tells the client.
pub(super) struct Teller {
    steps: mpsc::Receiver<Progress>,
    token: ProgressToken,
    peer: Peer<RoleServer>,
    scale: Scale,
}

/// Maps the steps of all phases onto one growing number: each phase is worth 1.
#[derive(Debug, Default)]
struct Scale {
    phase: Option<String>,
    ended: u32,
    told: f64,
}

/// A sender for the work and the teller that serves this client.
pub(super) fn channel(token: ProgressToken, peer: Peer<RoleServer>) -> (ProgressSender, Teller) {
    let (sender, steps) = mpsc::channel(WAITING);
    let teller = Teller {
        steps,
        token,
        peer,
        scale: Scale::default(),
    };
    (ProgressSender(sender), teller)
}

impl ProgressSender {
    /// The same as the function that domain operations take.
    pub(crate) fn sink(self) -> ProgressSink {
        Arc::new(move |step| self.send(step))
    }

    /// Tells a step, or drops it when too many wait.
    pub(crate) fn send(&self, step: Progress) {
        if let Err(error) = self.0.try_send(step) {
            tracing::trace!(%error, "progress step dropped");
        }
    }
}

impl Teller {
    /// Tells steps until the work is `over`, and then those that still wait. Each is told to its end
    /// before the next one is begun: a send that is given up may arrive after a later one.
    pub(super) async fn run(mut self, over: CancellationToken) {
        loop {
            let step = tokio::select! {
                biased;
                step = self.steps.recv() => step,
                () = over.cancelled(), if !self.steps.is_closed() => {
                    self.steps.close();
                    continue;
                }
            };
            let Some(step) = step else { return };
            if self.tell(&step).await.is_break() {
                return;
            }
        }
    }

    async fn tell(&mut self, step: &Progress) -> ControlFlow<()> {
        let notification = self.notification(step);
        match self.peer.notify_progress(notification).await {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                tracing::debug!(%error, "the client no longer takes progress");
                ControlFlow::Break(())
            }
        }
    }

    fn notification(&mut self, step: &Progress) -> ProgressNotificationParam {
        let at = self.scale.place(step);
        let mut told =
            ProgressNotificationParam::new(self.token.clone(), at).with_message(words(step));
        told.meta = Some(detail(step));
        told
    }
}

impl Scale {
    fn place(&mut self, step: &Progress) -> f64 {
        if self.phase.as_ref() != Some(&step.phase) {
            self.ended += u32::from(self.phase.is_some());
            self.phase = Some(step.phase.clone());
        }
        let part = step.total.map_or(0.0, |total| fraction(step.done, total));
        let at = f64::from(self.ended) + part;
        self.told = if at > self.told { at } else { self.told + 1e-6 };
        self.told
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a part of a whole for display; precision does not matter"
)]
fn fraction(done: u64, total: u64) -> f64 {
    if total == 0 {
        return 0.0;
    }
    (done as f64 / total as f64).clamp(0.0, 0.999)
}

fn words(step: &Progress) -> String {
    match step.total {
        Some(total) if total > 0 => format!("{} {}/{total}", step.phase, step.done),
        Some(_) | None if step.done > 0 => format!("{} {}", step.phase, step.done),
        Some(_) | None => step.phase.clone(),
    }
}

/// The step as it is, for clients that draw a bar of their own.
fn detail(step: &Progress) -> rmcp::model::NotificationMetaObject {
    let mut detail = rmcp::model::NotificationMetaObject::new();
    let value = json!({"phase": step.phase, "done": step.done, "total": step.total});
    if let Value::Object(_) = value {
        detail.0.insert("hostler/step".to_owned(), value);
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(phase: &str, done: u64, total: Option<u64>) -> Progress {
        Progress {
            phase: phase.to_owned(),
            done,
            total,
        }
    }

    #[test]
    fn the_number_told_only_grows() {
        let mut scale = Scale::default();
        let steps = [
            step("fetching", 0, None),
            step("fetching", 5, None),
            step("receiving", 10, Some(100)),
            step("receiving", 100, Some(100)),
            step("receiving", 50, Some(100)),
            step("writing", 0, Some(0)),
            step("writing", 1, Some(4)),
        ];
        let told: Vec<f64> = steps.iter().map(|step| scale.place(step)).collect();
        assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
    }

    #[test]
    fn words_say_the_phase_and_how_far() {
        assert_eq!(words(&step("setup", 0, None)), "setup");
        assert_eq!(words(&step("fetching", 7, None)), "fetching 7");
        assert_eq!(
            words(&step("writing files", 7, Some(9))),
            "writing files 7/9"
        );
    }
}
