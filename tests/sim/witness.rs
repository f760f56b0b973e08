//! What really happened, whatever either end remembers: every start of an agent, and what users
//! wanted at which time.

use std::collections::BTreeMap;

use hostler_proto::automation::AutomationSpec;
use hostler_proto::ids::{AutomationId, RunId};
use hostler_proto::run::{Run, Trigger};
use hostler_proto::time::UtcMillis;

#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) starts: Vec<Start>,
    by_run: BTreeMap<RunId, usize>,
    /// Starts of something that had been started before: the earlier and the later one.
    pub(crate) doubles: Vec<(Start, Start)>,
    pub(crate) eras: BTreeMap<AutomationId, Vec<Era>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) host: usize,
    pub(crate) run: RunId,
    pub(crate) automation: AutomationId,
    pub(crate) at: UtcMillis,
    pub(crate) trigger: Trigger,
}

/// What users wanted of an automation, from one change to the next.
#[derive(Clone, Debug)]
pub(crate) struct Era {
    pub(crate) from: UtcMillis,
    /// None once it is deleted.
    pub(crate) spec: Option<AutomationSpec>,
}

impl Witness {
    /// An agent's process was started.
    pub(crate) fn started(&mut self, host: usize, run: &Run) {
        let start = Start {
            host,
            run: run.id,
            automation: run.automation_id,
            at: run.scheduled_for,
            trigger: run.trigger,
        };
        match self.by_run.get(&run.id) {
            Some(before) => self.doubles.push((self.starts[*before], start)),
            None => {
                self.by_run.insert(run.id, self.starts.len());
            }
        }
        self.starts.push(start);
    }

    pub(crate) fn wanted(
        &mut self,
        id: AutomationId,
        from: UtcMillis,
        spec: Option<AutomationSpec>,
    ) {
        self.eras.entry(id).or_default().push(Era { from, spec });
    }
}
