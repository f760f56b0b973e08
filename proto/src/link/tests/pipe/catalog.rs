//! The control plane's disk in the simulation: what it commits and then acknowledges.

use super::*;

impl World {
    pub(super) fn welcome(&mut self, at: usize, hello: &Hello) {
        let seq = self.catalog.applied.last().copied().unwrap_or(0);
        let logs = hello.runs.iter().map(|mark| {
            let stored = self.catalog.logs.get(&mark.run_id);
            LogAck {
                run_id: mark.run_id,
                offset: stored.map_or(0, |log| log.0.len() as u64),
                complete: stored.is_some_and(|log| log.1),
            }
        });
        let acks = Acks {
            seq,
            logs: logs.collect(),
        };
        let now = self.now();
        self.sockets[at].control.accept(accepted(acks), now);
        self.ask_again();
        self.push_desired();
    }

    pub(super) fn store_events(&mut self, at: usize, prev: u64, items: &[EventItem]) {
        let stored = self.catalog.applied.last().copied().unwrap_or(0);
        if prev > stored {
            self.sockets[at].control.events_failed(stored);
            return;
        }
        let new = items
            .iter()
            .map(|item| item.seq)
            .filter(|seq| *seq > stored);
        self.catalog.applied.extend(new);
        let seq = *self.catalog.applied.last().unwrap();
        // The catalog crashes after the commit, before the acknowledgement.
        if self.one_in(20) {
            self.sockets[at].control.close(1012, "crash");
            return;
        }
        self.sockets[at].control.events_stored(seq, vec![]);
    }

    pub(super) fn store_log(&mut self, at: usize, frame: &LogFrame) {
        let log = self.catalog.logs.entry(frame.run_id).or_default();
        let end = log.0.len() as u64;
        if frame.offset > end {
            self.sockets[at].control.log_resend(frame.run_id, end);
            return;
        }
        let known = usize::try_from(end - frame.offset)
            .unwrap()
            .min(frame.bytes.len());
        log.0.extend(&frame.bytes[known..]);
        // Damage on the disk, noticed only by the final checksum.
        if log.0.len() > 10 && self.chance.below(150) == 0 {
            log.0[5] ^= 1;
        }
        let offset = log.0.len() as u64;
        self.sockets[at]
            .control
            .log_stored(frame.run_id, offset, false);
    }

    pub(super) fn finish_log(&mut self, at: usize, last: LogFinal) {
        let log = self.catalog.logs.entry(last.run_id).or_default();
        if log.0.len() as u64 == last.size && crc32fast::hash(&log.0) == last.crc32 {
            log.1 = true;
            self.sockets[at]
                .control
                .log_stored(last.run_id, last.size, true);
        } else {
            if log.0.len() as u64 >= last.size {
                log.0.clear();
            }
            let from = log.0.len() as u64;
            self.sockets[at].control.log_resend(last.run_id, from);
        }
    }
}
