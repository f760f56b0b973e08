//! When a run is ended although it goes on: time, silence, memory, a full disk.

use super::{Activity, Ended, StepKind, Supervision};
use crate::clock::Now;
use crate::supervisor::disk;
use crate::supervisor::record::Limits;

/// Longest time between two looks at the tree of a run whose memory is limited, milliseconds.
const MEMORY_LOOK_MS: u64 = 250;

/// How often a run with these limits is looked at.
pub(super) fn activity(limits: &Limits, now_ms: u64) -> Activity {
    let idle_ms = limits.idle_ms.min(limits.asks_ms);
    let memory_ms = limits.memory_bytes.map_or(u64::MAX, |_| MEMORY_LOOK_MS);
    Activity::new(idle_ms.min(memory_ms), now_ms)
}

impl Supervision {
    pub(super) fn check_limits(&mut self, now: Now) {
        if let Some(deadline) = self.step_deadline_ms()
            && now.awake_ms >= deadline
        {
            let limit_ms = self.step_limit_ms();
            self.end(Ended::TimedOut { limit_ms }, now);
            return;
        }
        if self.activity.sample_due(now.awake_ms) {
            let cpu_ms = self.tree.sample();
            let idle_ms = self.activity.sampled(cpu_ms, now.awake_ms);
            let reached = self
                .stalled(idle_ms)
                .or_else(|| self.too_much_memory())
                .or_else(|| self.full_disk());
            if let Some(reason) = reached {
                self.end(reason, now);
            }
        }
    }

    /// Silence is shorter when it follows a question: nobody will answer.
    fn stalled(&self, idle_ms: u64) -> Option<Ended> {
        let limits = &self.spec.limits;
        let asks = idle_ms >= limits.asks_ms && self.screen.asks();
        let limit_ms = if asks {
            limits.asks_ms.min(limits.idle_ms)
        } else {
            limits.idle_ms
        };
        (idle_ms >= limit_ms).then(|| Ended::Stalled {
            limit_ms,
            asks: self.screen.asks(),
            last: self.screen.text(),
        })
    }

    fn too_much_memory(&self) -> Option<Ended> {
        let limit_bytes = self.spec.limits.memory_bytes?;
        let used_bytes = self.tree.memory_bytes();
        (used_bytes > limit_bytes).then_some(Ended::TooMuchMemory {
            used_bytes,
            limit_bytes,
        })
    }

    /// The disk of the log or of the workspace, when it is about to be full.
    pub(super) fn full_disk(&self) -> Option<Ended> {
        let step = self.spec.steps.get(self.step);
        let folders = [Some(self.dir.path()), step.map(|step| step.cwd.as_path())];
        folders.into_iter().flatten().find_map(|folder| {
            let free_bytes = disk::too_little(folder, self.spec.limits.free_bytes)?;
            Some(Ended::DiskFull {
                // The run folder is named relative to itself in here.
                folder: std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned()),
                free_bytes,
            })
        })
    }

    /// The limit of the step under way: its own for the agent, a common one for all commands.
    fn step_limit_ms(&self) -> u64 {
        match self.spec.steps.get(self.step).map(|step| step.kind) {
            Some(StepKind::Setup | StepKind::Teardown) => self.spec.limits.commands_ms,
            Some(StepKind::Agent) | None => self.spec.limits.agent_ms,
        }
    }

    pub(super) fn step_deadline_ms(&self) -> Option<u64> {
        let current = self.current.as_ref()?;
        let used = match self.spec.steps.get(self.step)?.kind {
            StepKind::Setup | StepKind::Teardown => self.commands_used_ms,
            StepKind::Agent => 0,
        };
        let left = self.step_limit_ms().saturating_sub(used);
        Some(current.began_ms.saturating_add(left))
    }
}
