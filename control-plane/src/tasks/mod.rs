//! Tasks: the organization's work items, which people and agents plan and work through.
//!
//! Everybody of an organization sees and changes its tasks. A task's slug is made from its first
//! title and never changes; a deleted task is gone and its slug free. When a task started and
//! completed follows from its status and is nobody's to set.

mod limits;
mod slug;
mod status;

#[cfg(test)]
mod tests;

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{TaskId, UserId, WorkspaceId};
use hostler_proto::time::UtcMillis;
use serde_json::{Value, json};

use crate::App;
use crate::audit::{self, Thing};
use crate::auth::Caller;
use crate::clock;
use crate::names::{missing, shortened};
use crate::patch::Patch;
pub use crate::store::tasks::{PersonRow as Person, StatusRow as Status, TaskRow as Task};
use crate::store::{self, StoreError, Tx};
use status::StatusKind;

/// How urgent a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Now.
    Urgent,
    /// Soon.
    High,
    /// In its turn.
    Medium,
    /// When there is time.
    Low,
    /// Not said.
    None,
}

/// A task with the workspaces made for it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// The record.
    pub task: Task,
    /// Workspaces made for it, on hosts the caller may use.
    pub workspace_ids: Vec<WorkspaceId>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct ListTasks {
    /// A status name or type, in any case.
    pub status: Option<String>,
    /// A status id.
    pub status_id: Option<String>,
    /// This priority.
    pub priority: Option<Priority>,
    /// Id or email of whom they are for.
    pub assignee: Option<String>,
    /// Only the caller's own work.
    pub assignee_me: bool,
    /// Only what the caller made.
    pub creator_me: bool,
    /// Every one of these labels, in any case.
    pub labels: Vec<String>,
    /// Text in title, description or slug, in any case.
    pub search: Option<String>,
    /// How many.
    pub limit: u32,
    /// How many to leave out first.
    pub offset: u64,
}

/// A page of tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskPage {
    /// The page, newest first.
    pub tasks: Vec<TaskView>,
    /// How many there are in all.
    pub total: u64,
    /// Whether more follow.
    pub has_more: bool,
}

/// What to make.
#[derive(Clone, Debug, Default)]
pub struct CreateTask {
    /// Title, 1..=500 characters.
    pub title: String,
    /// Description.
    pub description: Option<String>,
    /// Status name or type; none (and no id) is the first of type backlog.
    pub status: Option<String>,
    /// Status id.
    pub status_id: Option<String>,
    /// Priority; none is [`Priority::None`].
    pub priority: Option<Priority>,
    /// Id or email of whom it is for.
    pub assignee: Option<String>,
    /// Estimate, above 0.
    pub estimate: Option<f64>,
    /// When it is due.
    pub due_at: Option<UtcMillis>,
    /// Labels.
    pub labels: Vec<String>,
}

/// What to change; what is left out stays.
#[derive(Clone, Debug, Default)]
pub struct UpdateTask {
    /// Title.
    pub title: Option<String>,
    /// Description.
    pub description: Patch<String>,
    /// Status name or type.
    pub status: Option<String>,
    /// Status id.
    pub status_id: Option<String>,
    /// Priority.
    pub priority: Patch<Priority>,
    /// Whom it is for.
    pub assignee: Patch<String>,
    /// Estimate.
    pub estimate: Patch<f64>,
    /// When it is due.
    pub due_at: Patch<UtcMillis>,
    /// Labels, all of them.
    pub labels: Patch<Vec<String>>,
    /// Pull request.
    pub pr_url: Patch<String>,
    /// Branch.
    pub branch: Patch<String>,
    /// Refused unless the task was last changed then.
    pub if_changed_at: Option<UtcMillis>,
}

/// The organization's tasks, newest first.
pub async fn list(app: &App, caller: &Caller, input: ListTasks) -> Result<TaskPage, Failure> {
    let filter = store::tasks::Filter {
        statuses: status::wanted(app, caller, &input).await?,
        priority: input.priority.map(|priority| priority.word().to_owned()),
        assignee: wanted_assignee(app, caller, &input).await?,
        creator: input.creator_me.then_some(caller.user_id),
        labels: input.labels,
        search: input.search.filter(|text| !text.is_empty()),
    };
    let (rows, total) = store::tasks::list(
        &app.store,
        caller.org_id,
        &filter,
        input.limit,
        input.offset,
    )
    .await?;
    let end = input.offset.saturating_add(rows.len() as u64);
    Ok(TaskPage {
        tasks: views(app, caller, rows).await?,
        total,
        has_more: end < total,
    })
}

/// One task by id or slug.
pub async fn get(app: &App, caller: &Caller, id_or_slug: &str) -> Result<TaskView, Failure> {
    let found = store::tasks::find(&app.store, caller.org_id, &key(id_or_slug)).await?;
    let task = found.ok_or_else(|| no_task(id_or_slug))?;
    view(app, caller, task).await
}

/// The id of the task that an id or a slug means.
pub async fn resolve(app: &App, caller: &Caller, id_or_slug: &str) -> Result<TaskId, Failure> {
    let found = store::tasks::find(&app.store, caller.org_id, &key(id_or_slug)).await?;
    found.map(|task| task.id).ok_or_else(|| no_task(id_or_slug))
}

/// The organization's statuses in their order.
pub async fn statuses(app: &App, caller: &Caller) -> Result<Vec<Status>, Failure> {
    status::all(app, caller.org_id).await
}

/// Makes a task.
pub async fn create(app: &App, caller: &Caller, input: CreateTask) -> Result<TaskView, Failure> {
    let now = clock::wall();
    let title = titled(&input.title)?;
    input
        .description
        .as_deref()
        .map_or(Ok(()), limits::description)?;
    input.estimate.map_or(Ok(()), limits::estimate)?;
    limits::labels(&input.labels)?;
    let statuses = status::all(app, caller.org_id).await?;
    let status = match status::pick(&statuses, input.status.as_ref(), input.status_id.as_ref())? {
        Some(status) => status,
        None => status::first_of(&statuses, StatusKind::Backlog)?,
    };
    let assignee = assignee(app, caller, input.assignee.as_deref()).await?;
    let creator = assignee_by_id(app, caller, caller.user_id).await?;
    let (started_at, completed_at) = status::times(status.kind(), None, None, now);
    let mut task = Task {
        id: TaskId::fresh(now, &clock::id_entropy()),
        slug: String::new(),
        title,
        description: input.description,
        status,
        priority: input.priority.unwrap_or(Priority::None).word().to_owned(),
        assignee,
        creator,
        estimate: input.estimate,
        due_at: input.due_at,
        labels: labelled(&input.labels),
        branch: None,
        pr_url: None,
        started_at,
        completed_at,
        created_at: now,
        updated_at: now,
    };
    let mut tx = app.store.begin().await?;
    let base = slug::of_title(&task.title);
    let taken =
        store::tasks::slugs_like(&mut tx, caller.org_id, &base[..base.len().min(40)]).await?;
    task.slug = slug::free(&base, &taken);
    store::tasks::insert(&mut tx, caller.org_id, &task).await?;
    record(&mut tx, caller, "task.create", &task, None, now).await?;
    app.store.commit(tx).await?;
    view(app, caller, task).await
}

/// Changes a task.
pub async fn update(
    app: &App,
    caller: &Caller,
    id_or_slug: &str,
    input: UpdateTask,
) -> Result<TaskView, Failure> {
    let now = clock::wall();
    let statuses = status::all(app, caller.org_id).await?;
    let status = status::pick(&statuses, input.status.as_ref(), input.status_id.as_ref())?;
    let assignee = match &input.assignee {
        Patch::Keep => Patch::Keep,
        Patch::Clear => Patch::Clear,
        Patch::Set(person) => known_member(app, caller, person).await.map(Patch::Set)?,
    };
    check(&input)?;
    let mut tx = app.store.begin().await?;
    let found = store::tasks::find_in(&mut tx, caller.org_id, &key(id_or_slug)).await?;
    let mut task = found.ok_or_else(|| no_task(id_or_slug))?;
    let before = task.clone();
    if input
        .if_changed_at
        .is_some_and(|seen| seen != before.updated_at)
    {
        return Err(changed_meanwhile(&before));
    }
    apply(&mut task, input, assignee)?;
    if let Some(status) = status {
        (task.started_at, task.completed_at) =
            status::times(status.kind(), task.started_at, task.completed_at, now);
        task.status = status;
    }
    let changed = differing(&before, &task);
    if changed.is_empty() {
        return view(app, caller, before).await;
    }
    // Later than every change before it, however close: it tells one state from the next.
    task.updated_at = now.max(before.updated_at.plus_ms(1));
    store::tasks::update(&mut tx, caller.org_id, &task).await?;
    let detail = json!({"changed": changed});
    record(&mut tx, caller, "task.update", &task, Some(detail), now).await?;
    app.store.commit(tx).await?;
    view(app, caller, task).await
}

/// Deletes a task for good; its slug is free again.
pub async fn delete(
    app: &App,
    caller: &Caller,
    id_or_slug: &str,
) -> Result<(TaskId, String), Failure> {
    let mut tx = app.store.begin().await?;
    let found = store::tasks::find_in(&mut tx, caller.org_id, &key(id_or_slug)).await?;
    let task = found.ok_or_else(|| no_task(id_or_slug))?;
    store::tasks::delete(&mut tx, caller.org_id, task.id).await?;
    record(&mut tx, caller, "task.delete", &task, None, clock::wall()).await?;
    app.store.commit(tx).await?;
    Ok((task.id, task.slug))
}

impl Priority {
    /// Every priority, most urgent first.
    pub const ALL: [Self; 5] = [
        Self::Urgent,
        Self::High,
        Self::Medium,
        Self::Low,
        Self::None,
    ];

    /// The priority of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }

    /// The word, as stored and as tools say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::None => "none",
        }
    }
}

async fn wanted_assignee(
    app: &App,
    caller: &Caller,
    input: &ListTasks,
) -> Result<Option<UserId>, Failure> {
    let named = assignee(app, caller, input.assignee.as_deref()).await?;
    match named {
        Some(person) if input.assignee_me && person.id != caller.user_id => Err(Failure::new(
            ErrorCode::InvalidArgument,
            "`assigneeMe` and `assigneeId` name different people",
        )
        .hint("give one of the two")),
        Some(person) => Ok(Some(person.id)),
        None => Ok(input.assignee_me.then_some(caller.user_id)),
    }
}

async fn assignee(
    app: &App,
    caller: &Caller,
    person: Option<&str>,
) -> Result<Option<Person>, Failure> {
    match person {
        Some(person) => known_member(app, caller, person).await.map(Some),
        None => Ok(None),
    }
}

async fn known_member(app: &App, caller: &Caller, person: &str) -> Result<Person, Failure> {
    let found = store::tasks::person(&app.store, caller.org_id, person).await?;
    found.ok_or_else(|| {
        Failure::new(
            ErrorCode::NotFound,
            format!("`assigneeId`: no member \"{}\"", shortened(person)),
        )
        .hint("give the id or email of a member of the organization")
    })
}

async fn assignee_by_id(app: &App, caller: &Caller, user: UserId) -> Result<Person, Failure> {
    let found = store::tasks::person(&app.store, caller.org_id, &user.to_string()).await?;
    found.ok_or_else(|| {
        Failure::new(
            ErrorCode::Forbidden,
            "you are no longer a member of this organization",
        )
    })
}

fn apply(task: &mut Task, input: UpdateTask, assignee: Patch<Person>) -> Result<(), Failure> {
    if let Some(title) = input.title {
        task.title = titled(&title)?;
    }
    input.description.apply(&mut task.description);
    input.estimate.apply(&mut task.estimate);
    input.due_at.apply(&mut task.due_at);
    input.pr_url.apply(&mut task.pr_url);
    input.branch.apply(&mut task.branch);
    assignee.apply(&mut task.assignee);
    task.priority = match input.priority {
        Patch::Keep => std::mem::take(&mut task.priority),
        Patch::Clear => Priority::None.word().to_owned(),
        Patch::Set(priority) => priority.word().to_owned(),
    };
    let mut labels = Some(std::mem::take(&mut task.labels));
    input.labels.apply(&mut labels);
    task.labels = labelled(&labels.unwrap_or_default());
    Ok(())
}

/// Whether what is to be set can be.
fn check(input: &UpdateTask) -> Result<(), Failure> {
    if let Patch::Set(link) = &input.pr_url {
        limits::link(link)?;
        check_link(link)?;
    }
    if let Patch::Set(branch) = &input.branch {
        limits::branch(branch)?;
    }
    if let Patch::Set(text) = &input.description {
        limits::description(text)?;
    }
    if let Patch::Set(estimate) = input.estimate {
        limits::estimate(estimate)?;
    }
    if let Patch::Set(labels) = &input.labels {
        limits::labels(labels)?;
    }
    Ok(())
}

/// The fields that differ, by their names; what they hold stays in the task.
fn differing(before: &Task, after: &Task) -> Vec<&'static str> {
    let fields = [
        ("title", before.title != after.title),
        ("description", before.description != after.description),
        ("status", before.status.id != after.status.id),
        ("priority", before.priority != after.priority),
        ("assignee", before.assignee != after.assignee),
        ("estimate", before.estimate != after.estimate),
        ("dueDate", before.due_at != after.due_at),
        ("labels", before.labels != after.labels),
        ("branch", before.branch != after.branch),
        ("prUrl", before.pr_url != after.pr_url),
    ];
    let differing = fields.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(name, _)| name).collect()
}

async fn record(
    tx: &mut Tx,
    caller: &Caller,
    action: &str,
    task: &Task,
    detail: Option<Value>,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let id = task.id.to_string();
    let thing = Thing {
        kind: "task",
        id: &id,
        name: &task.title,
    };
    audit::record(tx, caller, action, thing, detail, now).await
}

fn titled(title: &str) -> Result<String, Failure> {
    let title = title.trim();
    if title.is_empty() {
        return Err(Failure::new(
            ErrorCode::InvalidArgument,
            "`title` must hold more than white space",
        ));
    }
    limits::title(title)?;
    Ok(title.to_owned())
}

/// Labels without white space around them, without empty ones and without repeats in any case.
fn labelled(labels: &[String]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for label in labels.iter().map(|label| label.trim()) {
        let again = kept
            .iter()
            .any(|k| k.to_lowercase() == label.to_lowercase());
        if !label.is_empty() && !again {
            kept.push(label.to_owned());
        }
    }
    kept
}

fn check_link(link: &str) -> Result<(), Failure> {
    let web = url::Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if web {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::InvalidArgument,
        format!(
            "`prUrl` must be an http or https address, got \"{}\"",
            shortened(link)
        ),
    ))
}

/// Ids and slugs are in lower case.
fn key(id_or_slug: &str) -> String {
    id_or_slug.trim().to_lowercase()
}

fn changed_meanwhile(task: &Task) -> Failure {
    let message = format!("task {} was changed meanwhile", task.slug);
    Failure::new(ErrorCode::Conflict, message).hint("look at it as it is now, and change it again")
}

fn no_task(id_or_slug: &str) -> Failure {
    missing("task", "tasks_list", id_or_slug)
}

async fn view(app: &App, caller: &Caller, task: Task) -> Result<TaskView, Failure> {
    let mut views = views(app, caller, vec![task]).await?;
    views.pop().ok_or_else(|| no_task(""))
}

async fn views(app: &App, caller: &Caller, tasks: Vec<Task>) -> Result<Vec<TaskView>, Failure> {
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let made = store::tasks::workspaces_of(&app.store, caller.org_id, caller.user_id, &ids).await?;
    let with_workspaces = |task: Task| {
        let own = made.iter().filter(|(of, _)| *of == task.id);
        TaskView {
            workspace_ids: own.map(|(_, workspace)| *workspace).collect(),
            task,
        }
    };
    Ok(tasks.into_iter().map(with_workspaces).collect())
}
