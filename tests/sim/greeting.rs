//! A host introduces itself to the catalog: what of its past still counts, which of its runs will
//! never end by themselves, where its logs stand.
//!
//! It follows `control-plane/src/ingest.rs` and `reconcile.rs`.

use hostler_proto::frame::payload::{Hello, LogAck};
use hostler_proto::link::history;
use hostler_proto::run::RunResult;
use hostler_proto::time::UtcMillis;

use crate::catalog::{Catalog, over};

impl Catalog {
    /// A host connected. The answer is where its logs stand here.
    pub(crate) fn hello(&mut self, host: usize, hello: &Hello, now: UtcMillis) -> Vec<LogAck> {
        self.hosts[host].last_seen = now;
        let restored = self.restored_to(host, hello);
        if let Some(seq) = restored {
            self.hosts[host].event_seq = seq;
            self.plan_anew(host, now);
        }
        self.hosts[host].lives.clone_from(&hello.lives);
        let told = hello.next_seq <= self.hosts[host].event_seq + 1;
        // What a host applied counts once it has told what it did before.
        self.hosts[host].applied = if told {
            hello.applied_revision
        } else {
            hello.applied_revision.min(self.hosts[host].applied)
        };
        let acks = hello.runs.iter().map(|mark| {
            let log = self.logs.get(&mark.run_id);
            let log = log.filter(|log| log.host == host);
            LogAck {
                run_id: mark.run_id,
                offset: log.map_or(0, |log| log.bytes.len() as u64),
                complete: log.is_some_and(|log| log.whole),
            }
        });
        let acks = acks.collect();
        if told || restored.is_some() {
            self.mark_lost(host, hello, now);
        }
        acks
    }

    fn restored_to(&self, host: usize, hello: &Hello) -> Option<u64> {
        let entry = &self.hosts[host];
        let parted = history::parted_at(&entry.lives, &hello.lives, entry.event_seq);
        let reused = (hello.next_seq <= entry.event_seq).then_some(hello.next_seq);
        let first = parted.into_iter().chain(reused).min()?;
        Some(first.saturating_sub(1).min(entry.event_seq))
    }

    fn plan_anew(&mut self, host: usize, now: UtcMillis) {
        let here = self.automations.iter();
        let here = here.filter(|(_, entry)| entry.host == host && !entry.deleted);
        let here = here.filter(|(_, entry)| entry.moving.is_none());
        for id in here.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(known) = self.accounted_until(id, now) else {
                continue;
            };
            let revision = self.next_revision(host);
            if let Some(entry) = self.automations.get_mut(&id) {
                entry.spec.plan_after = entry.spec.plan_after.max(known);
                entry.spec.revision += 1;
                entry.host_revision = revision;
            }
        }
    }

    fn mark_lost(&mut self, host: usize, hello: &Hello, now: UtcMillis) {
        let asked: Vec<_> = self.open.values().map(|open| open.start.run_id).collect();
        for (id, (of, run)) in &mut self.runs {
            let stated = hello.runs.iter().any(|mark| mark.run_id == *id);
            if *of == host && !run.state.is_final() && !asked.contains(id) && !stated {
                run.state = over(RunResult::Lost, now);
            }
        }
    }
}
