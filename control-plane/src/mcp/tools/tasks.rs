//! Tools for tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{About, Call, Effect, Entry, entry};
use crate::auth::Scope;
use crate::mcp::schema::Instant;
use crate::patch::Patch;
use crate::tasks::{self, CreateTask, ListTasks, Person, Task, TaskView, UpdateTask};
use hostler_proto::error::Failure;

pub(super) fn tools() -> Vec<Entry> {
    vec![
        entry(&LIST, list),
        entry(&GET, get),
        entry(&CREATE, create),
        entry(&UPDATE, update),
        entry(&DELETE, delete),
    ]
}

const LIST: About = About {
    name: "tasks_list",
    title: "List and search tasks",
    description: "Lists the organization's tasks (work items), newest first, narrowed by status, \
        priority, people, labels or text. Use it to find a task whose id you do not have, or to see \
        what is open; with an id or slug in hand, tasks_get is the direct way. All filters must hold \
        at once, `labels` asks for every label given, and `assigneeMe` means the owner of the token. \
        Pages follow by raising `offset` by `limit` while `hasMore` is true. An unknown status or \
        person is an error that names the valid ones, never an empty list.",
    scope: Scope::TasksRead,
    effect: Effect::Reads,
    open_world: false,
};

const GET: About = About {
    name: "tasks_get",
    title: "Read one task",
    description: "Reads one task in full: description, status, people, dates, pull request and the \
        workspaces made for it. Use it once you have the task's id or slug, for instance from a branch \
        name or from the user; to search by words, status or person call tasks_list instead. The slug \
        (such as `fix-login-page`) and the UUID are interchangeable, and the slug does not change \
        when the title does. A not_found error means that the task was deleted, or belongs to \
        another organization: look for it with tasks_list.",
    scope: Scope::TasksRead,
    effect: Effect::Reads,
    open_world: false,
};

const CREATE: About = About {
    name: "tasks_create",
    title: "Create a new task",
    description: "Creates a task in the organization and returns it with the id and slug that other \
        tools take. Use it for new work; to change existing work use tasks_update, and look with \
        tasks_list first when a similar task may exist, because each call adds another one. The \
        caller becomes its creator. Without a status it starts in the backlog. The slug is made \
        from the title and numbered when taken. It starts no work by itself: pass the task's id to \
        workspaces_create for a place to work in. Unknown statuses or people are refused and \
        nothing is created.",
    scope: Scope::TasksWrite,
    effect: Effect::Adds,
    open_world: false,
};

const UPDATE: About = About {
    name: "tasks_update",
    title: "Update a task's fields",
    description: "Changes fields of one existing task and returns the whole task. Use it to move work \
        along (status), assign it, or record its branch and pull request; use tasks_create for new \
        work and tasks_delete to remove it. Fields left out keep their value and null clears them; \
        `labels` replaces the whole set. The times of start and completion follow the status and \
        cannot be set. Any member may change any task, the last writer wins, and there is no \
        history to go back to. If a status or person is unknown, nothing changes and the error \
        lists what is valid.",
    scope: Scope::TasksWrite,
    effect: Effect::Overwrites,
    open_world: false,
};

const DELETE: About = About {
    name: "tasks_delete",
    title: "Delete a task for good",
    description: "Deletes one task for good: the record is gone, there is no trash, and its slug \
        becomes free for others. Use it only for tasks made by mistake or when the user asks for \
        removal; for work that is finished or given up, set the status with tasks_update so that \
        its story stays readable. Workspaces, branches and automations made for the task are left \
        alone: remove those with workspaces_delete. Any member may delete any task. Deleting it a \
        second time is not_found.",
    scope: Scope::TasksWrite,
    effect: Effect::Removes,
    open_world: false,
};

async fn list(call: Call, input: ListInput) -> Result<ListOutput, Failure> {
    let wanted = ListTasks {
        status: input.status,
        status_id: input.status_id,
        priority: input.priority.map(Into::into),
        assignee: input.assignee_id,
        assignee_me: input.assignee_me,
        creator_me: input.creator_me,
        labels: input.labels.unwrap_or_default(),
        search: input.search,
        limit: input.limit,
        offset: input.offset,
    };
    let page = tasks::list(&call.app, &call.caller, wanted).await?;
    Ok(ListOutput {
        tasks: page.tasks.into_iter().map(TaskOutput::from).collect(),
        total: page.total,
        has_more: page.has_more,
    })
}

async fn get(call: Call, input: GetInput) -> Result<OneTask, Failure> {
    let view = tasks::get(&call.app, &call.caller, &input.id_or_slug).await?;
    Ok(OneTask { task: view.into() })
}

async fn create(call: Call, input: CreateInput) -> Result<OneTask, Failure> {
    let wanted = CreateTask {
        title: input.title,
        description: input.description,
        status: input.status,
        status_id: input.status_id,
        priority: input.priority.map(Into::into),
        assignee: input.assignee_id,
        estimate: input.estimate,
        due_at: input.due_date.map(|at| at.0),
        labels: input.labels.unwrap_or_default(),
    };
    let view = tasks::create(&call.app, &call.caller, wanted).await?;
    Ok(OneTask { task: view.into() })
}

async fn update(call: Call, input: UpdateInput) -> Result<OneTask, Failure> {
    let changes = UpdateTask {
        title: input.title,
        description: input.description,
        status: input.status,
        status_id: input.status_id,
        priority: input.priority.map(Into::into),
        assignee: input.assignee_id,
        estimate: input.estimate,
        due_at: input.due_date.map(|at| at.0),
        labels: input.labels,
        pr_url: input.pr_url,
        branch: input.branch,
        if_changed_at: None,
    };
    let view = tasks::update(&call.app, &call.caller, &input.id, changes).await?;
    Ok(OneTask { task: view.into() })
}

async fn delete(call: Call, input: DeleteInput) -> Result<DeleteOutput, Failure> {
    let (id, slug) = tasks::delete(&call.app, &call.caller, &input.id).await?;
    Ok(DeleteOutput {
        deleted: true,
        id: id.to_string(),
        slug,
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListInput {
    /// A status name (`In Progress`) or type (`backlog`, `unstarted`, `started`, `completed`,
    /// `canceled`), in any case.
    #[schemars(length(min = 1, max = 200))]
    status: Option<String>,
    /// A status id, as tasks carry it in `status.id`.
    #[schemars(length(min = 1, max = 200))]
    status_id: Option<String>,
    /// Only tasks of this priority.
    priority: Option<Priority>,
    /// Only tasks assigned to this member: id or email.
    #[schemars(length(min = 1, max = 320))]
    assignee_id: Option<String>,
    /// Only tasks assigned to the owner of this token.
    #[serde(default)]
    assignee_me: bool,
    /// Only tasks created by the owner of this token.
    #[serde(default)]
    creator_me: bool,
    /// Only tasks that carry every one of these labels, in any case.
    #[schemars(length(max = 50), inner(length(min = 1, max = 100)))]
    labels: Option<Vec<String>>,
    /// Text to find in title, description or slug, in any case.
    #[schemars(length(max = 500))]
    search: Option<String>,
    /// How many tasks to return at most.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 500))]
    limit: u32,
    /// How many tasks to skip from the newest.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    offset: u64,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct GetInput {
    /// The task's UUID or slug.
    #[schemars(length(min = 1, max = 200))]
    id_or_slug: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CreateInput {
    /// Title in one line; the slug is made from it.
    #[schemars(length(min = 1, max = 500))]
    title: String,
    /// Description in markdown.
    #[schemars(length(max = 100_000))]
    description: Option<String>,
    /// Status name or type; left out, the first status of type backlog.
    #[schemars(length(min = 1, max = 200))]
    status: Option<String>,
    /// Status id instead of a name.
    #[schemars(length(min = 1, max = 200))]
    status_id: Option<String>,
    /// How urgent it is; left out, `none`.
    priority: Option<Priority>,
    /// The member it is for: id or email.
    #[schemars(length(min = 1, max = 320))]
    assignee_id: Option<String>,
    /// Estimate in the unit your team uses (points, hours), above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    estimate: Option<f64>,
    /// When it is due, RFC 3339 with an offset, such as `2026-03-08T17:00:00Z`.
    due_date: Option<Instant>,
    /// Labels, free words.
    #[schemars(length(max = 50), inner(length(min = 1, max = 100)))]
    labels: Option<Vec<String>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct UpdateInput {
    /// The task's UUID or slug.
    #[schemars(length(min = 1, max = 200))]
    id: String,
    /// New title; the slug stays.
    #[schemars(length(min = 1, max = 500))]
    title: Option<String>,
    /// New description in markdown; null clears it.
    #[serde(default)]
    #[schemars(length(max = 100_000))]
    description: Patch<String>,
    /// New status by name or type.
    #[schemars(length(min = 1, max = 200))]
    status: Option<String>,
    /// New status by id.
    #[schemars(length(min = 1, max = 200))]
    status_id: Option<String>,
    /// New priority; null means `none`.
    #[serde(default)]
    priority: Patch<Priority>,
    /// New assignee, id or email; null unassigns.
    #[serde(default)]
    #[schemars(length(min = 1, max = 320))]
    assignee_id: Patch<String>,
    /// New estimate, above 0; null clears it.
    #[serde(default)]
    #[schemars(extend("exclusiveMinimum" = 0))]
    estimate: Patch<f64>,
    /// New due date, RFC 3339 with an offset; null clears it.
    #[serde(default)]
    due_date: Patch<Instant>,
    /// All labels it shall have; null or an empty list removes them.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(min = 1, max = 100)))]
    labels: Patch<Vec<String>>,
    /// Address of its pull request (http or https); null clears it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2000))]
    pr_url: Patch<String>,
    /// Git branch of the work; null clears it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 255))]
    branch: Patch<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeleteInput {
    /// The task's UUID or slug.
    #[schemars(length(min = 1, max = 200))]
    id: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListOutput {
    /// The page, newest first.
    tasks: Vec<TaskOutput>,
    /// How many tasks match in all.
    total: u64,
    /// Whether more follow after this page.
    has_more: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OneTask {
    /// The task.
    task: TaskOutput,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct DeleteOutput {
    /// Always true: it is gone.
    deleted: bool,
    /// Its id.
    id: String,
    /// Its slug, free again.
    slug: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TaskOutput {
    /// UUID.
    id: String,
    /// Readable id, unique in the organization.
    slug: String,
    /// Title.
    title: String,
    /// Description in markdown.
    description: Option<String>,
    /// Status.
    status: StatusOutput,
    /// Priority.
    priority: String,
    /// Whom it is for.
    assignee: Option<PersonOutput>,
    /// Who created it.
    creator: PersonOutput,
    /// Estimate.
    estimate: Option<f64>,
    /// When it is due.
    due_date: Option<Instant>,
    /// Labels.
    labels: Vec<String>,
    /// Git branch of the work.
    branch: Option<String>,
    /// Pull request.
    pr_url: Option<String>,
    /// Workspaces made for it that the caller may use.
    workspace_ids: Vec<String>,
    /// When work started.
    started_at: Option<Instant>,
    /// When it was completed.
    completed_at: Option<Instant>,
    /// When it was created.
    created_at: Instant,
    /// When it was last changed.
    updated_at: Instant,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StatusOutput {
    /// Status id.
    id: String,
    /// Status name.
    name: String,
    /// `backlog`, `unstarted`, `started`, `completed` or `canceled`.
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PersonOutput {
    /// User id.
    id: String,
    /// Email.
    email: String,
    /// Name.
    name: String,
}

/// How urgent a task is.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Priority {
    Urgent,
    High,
    Medium,
    Low,
    None,
}

fn default_limit() -> u32 {
    50
}

impl From<Priority> for tasks::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Urgent => Self::Urgent,
            Priority::High => Self::High,
            Priority::Medium => Self::Medium,
            Priority::Low => Self::Low,
            Priority::None => Self::None,
        }
    }
}

impl From<TaskView> for TaskOutput {
    fn from(view: TaskView) -> Self {
        let Task {
            id,
            slug,
            title,
            description,
            status,
            priority,
            assignee,
            creator,
            estimate,
            due_at,
            labels,
            branch,
            pr_url,
            started_at,
            completed_at,
            created_at,
            updated_at,
        } = view.task;
        Self {
            id: id.to_string(),
            slug,
            title,
            description,
            status: StatusOutput {
                id: status.id.to_string(),
                name: status.name,
                kind: status.kind,
            },
            priority,
            assignee: assignee.map(Into::into),
            creator: creator.into(),
            estimate,
            due_date: due_at.map(Into::into),
            labels,
            branch,
            pr_url,
            workspace_ids: view.workspace_ids.iter().map(ToString::to_string).collect(),
            started_at: started_at.map(Into::into),
            completed_at: completed_at.map(Into::into),
            created_at: created_at.into(),
            updated_at: updated_at.into(),
        }
    }
}

impl From<Person> for PersonOutput {
    fn from(person: Person) -> Self {
        Self {
            id: person.id.to_string(),
            email: person.email,
            name: person.name,
        }
    }
}
