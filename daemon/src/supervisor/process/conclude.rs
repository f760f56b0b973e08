//! The end of a run: completes the log, leaves the record, tells whoever is attached.
//!
//! Invariant: a supervisor whose run is over goes only when its record is on the disk, or can never
//! be. Until then it holds the lock and tells the record to everyone who attaches, so a full disk
//! makes no run `lost`.

use super::{Ended, Exit, ExitDraft, Supervision};
use crate::clock;
use crate::supervisor::{EXIT_DONE, EXIT_UNUSABLE, complain, wakeup};

/// Pause before a record that could not be written is tried again, milliseconds.
const AGAIN_MS: u64 = 1_000;

/// How long it is tried after somebody was told, milliseconds: they have made a note of it by then.
const AFTER_TOLD_MS: u64 = 10 * 60 * 1000;

impl Supervision {
    /// Nothing is left: reads what is still in the pipes, completes the log, leaves the record.
    pub(super) fn conclude(mut self, mut draft: ExitDraft) -> i32 {
        let exit = self.complete();
        let status = self.status(Some(exit.clone()));
        let published = draft.publish(&exit);
        let mut told = self.clients.tell_last(&status);
        let done = match published {
            Ok(()) => true,
            Err(error) => {
                complain(self.dir.path(), &error);
                let begun_ms = clock::now().awake_ms;
                loop {
                    let now_ms = clock::now().awake_ms;
                    let patient = !told || now_ms < begun_ms + AFTER_TOLD_MS;
                    if !patient || !self.dir.exit_draft().exists() {
                        break false;
                    }
                    wakeup::wait_for_clients(AGAIN_MS, &self.clients);
                    self.clients.reopen_if_gone(&self.dir);
                    if draft.publish(&exit).is_ok() {
                        break true;
                    }
                    told |= self.clients.tell_last(&status);
                }
            }
        };
        self.clients.tell_last(&status);
        // Gone with its folder is as good.
        std::fs::remove_file(self.dir.socket()).ok();
        if done { EXIT_DONE } else { EXIT_UNUSABLE }
    }

    fn complete(&mut self) -> Exit {
        let now = clock::now();
        for at in 0..self.pipes.sources.len() {
            while !self.pipes.sources[at].ended && self.read(at, now) {}
            let mut held = Vec::new();
            let source = &mut self.pipes.sources[at];
            source.finish(&mut held);
            let stream = source.stream;
            let written = self.spool.write(stream, &held, now.wall);
            self.after_write(written, now);
        }
        self.tree.end_caging(&self.dir);
        let mut ended = self.ended.take().unwrap_or(Ended::ByItself);
        let (log_bytes, log_crc32) = match self.spool.finish(now.wall) {
            Ok(sum) => sum,
            Err(error) => {
                if ended == Ended::ByItself {
                    let error = error.to_string();
                    ended = Ended::SpoolFailed { error };
                }
                self.spool.sum()
            }
        };
        Exit {
            ended,
            steps: std::mem::take(&mut self.exits),
            finished_at: now.wall,
            log_bytes,
            log_crc32,
            peak_memory_bytes: self.tree.peak_memory_bytes(),
            cpu_ms: self.tree.cpu_ms(),
            leftovers: self.leftovers,
        }
    }
}
