//! Statuses of tasks: the organization's own list, what a name or type means in it, and what a
//! status says of a task's times.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::OrgId;
use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::{ListTasks, Status};
use crate::App;
use crate::auth::Caller;
use crate::names::shortened;
use crate::store;

/// What kind of state a status is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusKind {
    Backlog,
    Unstarted,
    Started,
    Completed,
    Canceled,
}

impl StatusKind {
    /// Every kind with the name of its default status, in their order.
    const DEFAULTS: [(Self, &'static str); 5] = [
        (Self::Backlog, "Backlog"),
        (Self::Unstarted, "Todo"),
        (Self::Started, "In Progress"),
        (Self::Completed, "Done"),
        (Self::Canceled, "Canceled"),
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Backlog => "backlog",
            Self::Unstarted => "unstarted",
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
        }
    }
}

impl Status {
    pub(super) fn kind(&self) -> StatusKind {
        let kinds = StatusKind::DEFAULTS.into_iter().map(|(kind, _)| kind);
        let known = kinds.into_iter().find(|kind| kind.word() == self.kind);
        known.unwrap_or(StatusKind::Backlog)
    }
}

/// The organization's statuses; the five defaults are made when it has none.
pub(super) async fn all(app: &App, org: OrgId) -> Result<Vec<Status>, Failure> {
    let found = store::tasks::statuses(&app.store, org).await?;
    if !found.is_empty() {
        return Ok(found);
    }
    let mut tx = app.store.begin().await?;
    for (position, (kind, name)) in (0..).zip(StatusKind::DEFAULTS) {
        let status = Status {
            id: Uuid::new_v5(&org.0, name.as_bytes()),
            name: name.to_owned(),
            kind: kind.word().to_owned(),
        };
        store::tasks::add_status(&mut tx, org, &status, position).await?;
    }
    app.store.commit(tx).await?;
    Ok(store::tasks::statuses(&app.store, org).await?)
}

pub(super) async fn wanted(
    app: &App,
    caller: &Caller,
    input: &ListTasks,
) -> Result<Option<Vec<Uuid>>, Failure> {
    if input.status.is_none() && input.status_id.is_none() {
        return Ok(None);
    }
    let all = all(app, caller.org_id).await?;
    let mut wanted = match &input.status {
        Some(text) => matching(&all, text)?,
        None => all.clone(),
    };
    if let Some(id) = &input.status_id {
        let one = by_id(&all, id)?;
        wanted.retain(|status| status.id == one.id);
    }
    if wanted.is_empty() {
        return Err(contradiction());
    }
    Ok(Some(wanted.into_iter().map(|status| status.id).collect()))
}

/// The statuses that a name or a type means.
fn matching(all: &[Status], text: &str) -> Result<Vec<Status>, Failure> {
    let wanted = text.trim().to_lowercase();
    let named = |status: &&Status| status.name.to_lowercase() == wanted;
    if let Some(status) = all.iter().find(named) {
        return Ok(vec![status.clone()]);
    }
    let typed: Vec<Status> = all.iter().filter(|s| s.kind == wanted).cloned().collect();
    if typed.is_empty() {
        return Err(no_status(all, "status", text));
    }
    Ok(typed)
}

fn by_id(all: &[Status], id: &str) -> Result<Status, Failure> {
    let wanted = id.trim().to_lowercase();
    let found = all.iter().find(|status| status.id.to_string() == wanted);
    found.cloned().ok_or_else(|| no_status(all, "statusId", id))
}

/// The status that a name, a type or an id means; both given must mean the same.
pub(super) fn pick(
    all: &[Status],
    text: Option<&String>,
    id: Option<&String>,
) -> Result<Option<Status>, Failure> {
    let named = text.map(|text| matching(all, text)).transpose()?;
    let one = id.map(|id| by_id(all, id)).transpose()?;
    match (named, one) {
        (None, one) => Ok(one),
        (Some(named), None) => Ok(named.into_iter().next()),
        (Some(named), Some(one)) if named.contains(&one) => Ok(Some(one)),
        (Some(_), Some(_)) => Err(contradiction()),
    }
}

pub(super) fn first_of(all: &[Status], kind: StatusKind) -> Result<Status, Failure> {
    let found = all.iter().find(|status| status.kind == kind.word());
    found.or(all.first()).cloned().ok_or_else(|| {
        Failure::new(
            ErrorCode::PreconditionFailed,
            "the organization has no task statuses",
        )
    })
}

fn contradiction() -> Failure {
    Failure::new(
        ErrorCode::InvalidArgument,
        "`status` and `statusId` mean different statuses",
    )
    .hint("give one of the two")
}

fn no_status(all: &[Status], field: &str, given: &str) -> Failure {
    let names: Vec<String> = all
        .iter()
        .map(|status| format!("{} (type {}, id {})", status.name, status.kind, status.id))
        .collect();
    Failure::new(
        ErrorCode::InvalidArgument,
        format!("`{field}`: there is no status \"{}\"", shortened(given)),
    )
    .hint(format!("use one of: {}", names.join(", ")))
}

/// When a task started and completed, by the kind of status it comes into.
pub(super) fn times(
    kind: StatusKind,
    started: Option<UtcMillis>,
    completed: Option<UtcMillis>,
    now: UtcMillis,
) -> (Option<UtcMillis>, Option<UtcMillis>) {
    match kind {
        StatusKind::Backlog | StatusKind::Unstarted => (None, None),
        StatusKind::Started => (started.or(Some(now)), None),
        StatusKind::Completed => (started.or(Some(now)), completed.or(Some(now))),
        StatusKind::Canceled => (started, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_the_kind_of_status() {
        let (t1, t2) = (Some(UtcMillis(1)), Some(UtcMillis(2)));
        let now = UtcMillis(9);
        assert_eq!(
            times(StatusKind::Started, None, None, now),
            (Some(now), None)
        );
        assert_eq!(times(StatusKind::Started, t1, t2, now), (t1, None));
        assert_eq!(times(StatusKind::Completed, t1, None, now), (t1, Some(now)));
        assert_eq!(times(StatusKind::Completed, t1, t2, now), (t1, t2));
        assert_eq!(times(StatusKind::Canceled, t1, t2, now), (t1, None));
        assert_eq!(times(StatusKind::Unstarted, t1, t2, now), (None, None));
    }
}
