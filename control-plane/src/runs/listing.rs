//! The caller's runs over all their automations, newest first, page by page. A page begins where the
//! one before ended, whatever was added meanwhile.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{AutomationId, HostId, RunId};
use hostler_proto::time::UtcMillis;

use super::{RunView, view};
use crate::App;
use crate::auth::Caller;
use crate::store::runs::{After, Wanted};
use crate::{names, store};

/// Most runs of a page.
const MOST: u32 = 200;

/// The states a run can be listed by.
pub const STATES: [&str; 10] = [
    "queued",
    "preparing",
    "running",
    "succeeded",
    "failed",
    "timed_out",
    "stalled",
    "cancelled",
    "lost",
    "skipped",
];

/// Which runs to list.
#[derive(Clone, Debug, Default)]
pub struct ListRuns {
    /// Part of the automation's name, in any case.
    pub name: Option<String>,
    /// Only in this state, by its word.
    pub state: Option<String>,
    /// Only of this automation, by its id.
    pub automation: Option<String>,
    /// Only on this host, by its id.
    pub host: Option<String>,
    /// The `next` of the page before.
    pub after: Option<String>,
    /// How many (1..=200).
    pub limit: u32,
}

/// A run with the names that go with it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedRun {
    /// The run, without the end of its log.
    pub view: RunView,
    /// Its automation's name.
    pub automation_name: String,
    /// The zone of its automation.
    pub timezone: String,
    /// Its host's name.
    pub host_name: String,
}

/// A page of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunsPage {
    /// The runs.
    pub runs: Vec<ListedRun>,
    /// Where the next page begins; none when nothing follows.
    pub next: Option<String>,
}

/// Lists the caller's runs, also of deleted automations.
pub async fn listed(app: &App, caller: &Caller, input: ListRuns) -> Result<RunsPage, Failure> {
    let limit = input.limit.clamp(1, MOST);
    let wanted = wanted(&input)?;
    let (org, owner) = (caller.org_id, caller.user_id);
    let mut rows = store::runs::of_all(&app.store, org, owner, &wanted, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more);
    let next = next.map(|row| written(row.run.run.queued_at, row.run.run.id));
    let runs = rows.into_iter().map(|row| ListedRun {
        view: view(row.run, &[]),
        automation_name: row.automation_name,
        timezone: row.timezone,
        host_name: row.host_name,
    });
    Ok(RunsPage {
        runs: runs.collect(),
        next,
    })
}

fn wanted(input: &ListRuns) -> Result<Wanted, Failure> {
    let state = input.state.as_deref().map(str::trim);
    if let Some(unknown) = state.filter(|state| !STATES.contains(state)) {
        let message = format!("\"{}\" is no state of a run", names::shortened(unknown));
        return Err(Failure::new(ErrorCode::InvalidArgument, message)
            .hint(format!("use one of {}", STATES.join(", "))));
    }
    let automation = input.automation.as_deref().map(|id| {
        let read: Option<AutomationId> = id.trim().parse().ok();
        read.ok_or_else(|| names::missing("automation of yours", "automations_list", id))
    });
    let host = input.host.as_deref().map(|id| {
        let read: Option<HostId> = id.trim().parse().ok();
        read.ok_or_else(|| names::missing("host", "hosts_list", id))
    });
    Ok(Wanted {
        name: input.name.clone(),
        state: state.map(str::to_owned),
        automation: automation.transpose()?,
        host: host.transpose()?,
        after: input.after.as_deref().map(read).transpose()?,
    })
}

fn written(at: UtcMillis, id: RunId) -> String {
    format!("{}.{id}", at.0)
}

fn read(text: &str) -> Result<After, Failure> {
    let (at, id) = text.split_once('.').unwrap_or_default();
    let place = at.parse().ok().zip(id.parse().ok());
    let place = place.map(|(at, id)| After {
        queued_at: UtcMillis(at),
        id,
    });
    place.ok_or_else(|| {
        Failure::new(ErrorCode::InvalidArgument, "that page does not exist")
            .hint("begin with the first page")
    })
}
