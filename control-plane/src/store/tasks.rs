//! Tasks and their statuses in the catalog. Every statement is scoped to an organization.

use hostler_proto::ids::{OrgId, TaskId, UserId, WorkspaceId};
use hostler_proto::time::UtcMillis;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row};
use uuid::Uuid;

use super::row::{self, Columns, escaped};
use super::{Store, StoreError, Tx};

/// A status that tasks of an organization can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRow {
    /// Identity.
    pub id: Uuid,
    /// Name as shown.
    pub name: String,
    /// Its type's word.
    pub kind: String,
}

/// A task as stored, with what its references are called.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    /// Identity.
    pub id: TaskId,
    /// Slug, unique in the organization.
    pub slug: String,
    /// Title.
    pub title: String,
    /// Description.
    pub description: Option<String>,
    /// Status.
    pub status: StatusRow,
    /// Priority's word.
    pub priority: String,
    /// Who it is for.
    pub assignee: Option<PersonRow>,
    /// Who made it.
    pub creator: PersonRow,
    /// Estimate.
    pub estimate: Option<f64>,
    /// When it is due.
    pub due_at: Option<UtcMillis>,
    /// Labels as given.
    pub labels: Vec<String>,
    /// Branch.
    pub branch: Option<String>,
    /// Pull request.
    pub pr_url: Option<String>,
    /// When work started.
    pub started_at: Option<UtcMillis>,
    /// When it was completed.
    pub completed_at: Option<UtcMillis>,
    /// When it was made.
    pub created_at: UtcMillis,
    /// When it was last changed.
    pub updated_at: UtcMillis,
}

/// A person as others see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonRow {
    /// Identity.
    pub id: UserId,
    /// Email.
    pub email: String,
    /// Name.
    pub name: String,
}

/// Which tasks to find; what is none or empty does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Any of these statuses.
    pub statuses: Option<Vec<Uuid>>,
    /// This priority's word.
    pub priority: Option<String>,
    /// For this person.
    pub assignee: Option<UserId>,
    /// Made by this person.
    pub creator: Option<UserId>,
    /// Every one of these labels.
    pub labels: Vec<String>,
    /// This text in title, description or slug, in any case.
    pub search: Option<String>,
}

const SELECT: &str = "SELECT t.id, t.slug, t.title, t.description, t.status_id, t.priority, \
    t.assignee_id, t.creator_id, t.estimate, t.due_at, t.labels, t.branch, t.pr_url, t.started_at, \
    t.completed_at, t.created_at, t.updated_at, s.name AS status_name, s.type AS status_type, \
    c.email AS creator_email, c.name AS creator_name, \
    a.email AS assignee_email, a.name AS assignee_name \
    FROM tasks t JOIN task_statuses s ON s.id = t.status_id JOIN users c ON c.id = t.creator_id \
    LEFT JOIN users a ON a.id = t.assignee_id ";

/// The statuses of an organization in their order.
pub async fn statuses(store: &Store, org: OrgId) -> Result<Vec<StatusRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, name, type FROM task_statuses WHERE org_id = $1 ORDER BY position, id",
    )
    .bind(org.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists task statuses"))?;
    rows.iter().map(status).collect()
}

/// Adds a status; one of the same name stays as it is.
pub async fn add_status(
    tx: &mut Tx,
    org: OrgId,
    status: &StatusRow,
    position: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO task_statuses (id, org_id, name, name_key, type, position) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, name_key) DO NOTHING",
    )
    .bind(status.id.to_string())
    .bind(org.to_string())
    .bind(status.name.clone())
    .bind(status.name.to_lowercase())
    .bind(status.kind.clone())
    .bind(position)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("adds a task status"))?;
    Ok(())
}

/// A page of tasks, newest first, and how many there are in all.
pub async fn list(
    store: &Store,
    org: OrgId,
    filter: &Filter,
    limit: u32,
    offset: u64,
) -> Result<(Vec<TaskRow>, u64), StoreError> {
    let found = Where::of(org, filter);
    let count = format!("SELECT COUNT(*) AS n FROM tasks t {}", found.sql);
    let counted = found
        .bind(sqlx::query(AssertSqlSafe(count)))
        .fetch_one(store.reader())
        .await
        .map_err(StoreError::at("counts tasks"))?;
    let total = Columns::of("task", &counted).count("n")?;
    let page = format!(
        "{SELECT}{} ORDER BY t.ordinal DESC LIMIT {limit} OFFSET {offset}",
        found.sql
    );
    let rows = found
        .bind(sqlx::query(AssertSqlSafe(page)))
        .fetch_all(store.reader())
        .await
        .map_err(StoreError::at("lists tasks"))?;
    let tasks = rows.iter().map(task).collect::<Result<_, _>>()?;
    Ok((tasks, total))
}

/// The task with this id or slug.
pub async fn find(
    store: &Store,
    org: OrgId,
    id_or_slug: &str,
) -> Result<Option<TaskRow>, StoreError> {
    let sql = format!("{SELECT}WHERE t.org_id = $1 AND (t.id = $2 OR t.slug = $2)");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(org.to_string())
        .bind(id_or_slug.to_owned())
        .fetch_all(store.reader())
        .await
        .map_err(StoreError::at("reads a task"))?;
    first_by_id(&rows, id_or_slug)
}

/// The same inside a transaction.
pub async fn find_in(
    tx: &mut Tx,
    org: OrgId,
    id_or_slug: &str,
) -> Result<Option<TaskRow>, StoreError> {
    let sql = format!("{SELECT}WHERE t.org_id = $1 AND (t.id = $2 OR t.slug = $2)");
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(org.to_string())
        .bind(id_or_slug.to_owned())
        .fetch_all(&mut **tx)
        .await
        .map_err(StoreError::at("reads a task"))?;
    first_by_id(&rows, id_or_slug)
}

/// The slugs in use that start with `start`.
pub async fn slugs_like(tx: &mut Tx, org: OrgId, start: &str) -> Result<Vec<String>, StoreError> {
    let rows = sqlx::query("SELECT slug FROM tasks WHERE org_id = $1 AND slug LIKE $2 ESCAPE '!'")
        .bind(org.to_string())
        .bind(format!("{}%", escaped(start)))
        .fetch_all(&mut **tx)
        .await
        .map_err(StoreError::at("reads task slugs"))?;
    rows.iter()
        .map(|row| Columns::of("task", row).text("slug"))
        .collect()
}

/// Adds a task as the organization's newest.
pub async fn insert(tx: &mut Tx, org: OrgId, task: &TaskRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO tasks (id, org_id, ordinal, slug, title, description, search_text, status_id, \
         priority, assignee_id, creator_id, estimate, due_at, labels, branch, pr_url, started_at, \
         completed_at, created_at, updated_at) \
         SELECT $1, $2, COALESCE(MAX(ordinal), 0) + 1, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, \
         $13, $14, $15, $16, $17, $18, $19 FROM tasks WHERE org_id = $2",
    )
    .bind(task.id.to_string())
    .bind(org.to_string())
    .bind(task.slug.clone())
    .bind(task.title.clone())
    .bind(task.description.clone())
    .bind(search_text(task))
    .bind(task.status.id.to_string())
    .bind(task.priority.clone())
    .bind(task.assignee.as_ref().map(|person| person.id.to_string()))
    .bind(task.creator.id.to_string())
    .bind(task.estimate)
    .bind(task.due_at.map(|at| at.0))
    .bind(row::json("task", &task.labels)?)
    .bind(task.branch.clone())
    .bind(task.pr_url.clone())
    .bind(task.started_at.map(|at| at.0))
    .bind(task.completed_at.map(|at| at.0))
    .bind(task.created_at.0)
    .bind(task.updated_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("adds a task"))?;
    replace_labels(tx, task).await
}

/// Writes a task's changeable fields; id, slug, creator and creation stay.
pub async fn update(tx: &mut Tx, org: OrgId, task: &TaskRow) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tasks SET title = $3, description = $4, search_text = $5, status_id = $6, \
         priority = $7, assignee_id = $8, estimate = $9, due_at = $10, labels = $11, branch = $12, \
         pr_url = $13, started_at = $14, completed_at = $15, updated_at = $16 \
         WHERE org_id = $1 AND id = $2",
    )
    .bind(org.to_string())
    .bind(task.id.to_string())
    .bind(task.title.clone())
    .bind(task.description.clone())
    .bind(search_text(task))
    .bind(task.status.id.to_string())
    .bind(task.priority.clone())
    .bind(task.assignee.as_ref().map(|person| person.id.to_string()))
    .bind(task.estimate)
    .bind(task.due_at.map(|at| at.0))
    .bind(row::json("task", &task.labels)?)
    .bind(task.branch.clone())
    .bind(task.pr_url.clone())
    .bind(task.started_at.map(|at| at.0))
    .bind(task.completed_at.map(|at| at.0))
    .bind(task.updated_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("changes a task"))?;
    replace_labels(tx, task).await
}

/// Removes a task for good.
pub async fn delete(tx: &mut Tx, org: OrgId, id: TaskId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM tasks WHERE org_id = $1 AND id = $2")
        .bind(org.to_string())
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("deletes a task"))?;
    Ok(())
}

/// The workspaces made for tasks of an organization, on hosts this person may use: pairs of task
/// and workspace, oldest first.
pub async fn workspaces_of(
    store: &Store,
    org: OrgId,
    user: UserId,
    tasks: &[TaskId],
) -> Result<Vec<(TaskId, WorkspaceId)>, StoreError> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let places: Vec<String> = (0..tasks.len()).map(|at| format!("${}", at + 3)).collect();
    let sql = format!(
        "SELECT w.id, w.task_id FROM workspaces w JOIN hosts h ON h.id = w.host_id \
         WHERE w.org_id = $1 AND w.removed_at IS NULL AND w.task_id IN ({}) \
         AND (h.owner_id = $2 OR EXISTS (SELECT 1 FROM host_grants g \
         WHERE g.host_id = h.id AND g.user_id = $2)) ORDER BY w.created_at, w.id",
        places.join(", ")
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(org.to_string())
        .bind(user.to_string());
    let rows = tasks
        .iter()
        .fold(query, |query, task| query.bind(task.to_string()))
        .fetch_all(store.reader())
        .await
        .map_err(StoreError::at("lists workspaces of tasks"))?;
    rows.iter()
        .map(|row| {
            let row = Columns::of("workspace", row);
            Ok((row.parsed("task_id")?, row.parsed("id")?))
        })
        .collect()
}

/// The member of the organization with this id or email.
pub async fn person(
    store: &Store,
    org: OrgId,
    id_or_email: &str,
) -> Result<Option<PersonRow>, StoreError> {
    let row = sqlx::query(
        "SELECT u.id, u.email, u.name FROM users u JOIN members m ON m.user_id = u.id \
         WHERE m.org_id = $1 AND (u.id = $2 OR u.email_key = $2)",
    )
    .bind(org.to_string())
    .bind(id_or_email.trim().to_lowercase())
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("reads a member"))?;
    row.as_ref()
        .map(|row| {
            let row = Columns::of("member", row);
            Ok(PersonRow {
                id: row.parsed("id")?,
                email: row.text("email")?,
                name: row.text("name")?,
            })
        })
        .transpose()
}

/// Conditions and the values of their placeholders, in order.
struct Where {
    sql: String,
    values: Vec<String>,
}

impl Where {
    fn of(org: OrgId, filter: &Filter) -> Self {
        let mut found = Self {
            sql: "WHERE t.org_id = $1".to_owned(),
            values: vec![org.to_string()],
        };
        if let Some(statuses) = &filter.statuses {
            let places: Vec<String> = statuses.iter().map(|id| found.place(id)).collect();
            found.and(&format!("t.status_id IN ({})", places.join(", ")));
        }
        if let Some(priority) = &filter.priority {
            let place = found.place(priority);
            found.and(&format!("t.priority = {place}"));
        }
        if let Some(assignee) = filter.assignee {
            let place = found.place(&assignee);
            found.and(&format!("t.assignee_id = {place}"));
        }
        if let Some(creator) = filter.creator {
            let place = found.place(&creator);
            found.and(&format!("t.creator_id = {place}"));
        }
        for label in &filter.labels {
            let place = found.place(&label.to_lowercase());
            found.and(&format!(
                "EXISTS (SELECT 1 FROM task_labels l WHERE l.task_id = t.id AND l.label_key = {place})"
            ));
        }
        if let Some(search) = &filter.search {
            let place = found.place(&format!("%{}%", escaped(&search.to_lowercase())));
            found.and(&format!("t.search_text LIKE {place} ESCAPE '!'"));
        }
        found
    }

    fn place(&mut self, value: &impl ToString) -> String {
        self.values.push(value.to_string());
        format!("${}", self.values.len())
    }

    fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    fn bind<'q>(&self, query: Query<'q, Any, AnyArguments>) -> Query<'q, Any, AnyArguments> {
        self.values
            .iter()
            .fold(query, |query, value| query.bind(value.clone()))
    }
}

async fn replace_labels(tx: &mut Tx, task: &TaskRow) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM task_labels WHERE task_id = $1")
        .bind(task.id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("clears task labels"))?;
    for label in &task.labels {
        sqlx::query(
            "INSERT INTO task_labels (task_id, label_key) VALUES ($1, $2) \
             ON CONFLICT (task_id, label_key) DO NOTHING",
        )
        .bind(task.id.to_string())
        .bind(label.to_lowercase())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("adds a task label"))?;
    }
    Ok(())
}

/// What a search looks at.
fn search_text(task: &TaskRow) -> String {
    let description = task.description.as_deref().unwrap_or_default();
    format!("{}\n{description}\n{}", task.title, task.slug).to_lowercase()
}

/// An id wins over a slug that is spelled like it.
fn first_by_id(rows: &[AnyRow], id: &str) -> Result<Option<TaskRow>, StoreError> {
    let found: Vec<TaskRow> = rows.iter().map(task).collect::<Result<_, _>>()?;
    let at = found.iter().position(|task| task.id.to_string() == id);
    Ok(found.into_iter().nth(at.unwrap_or(0)))
}

fn status(row: &AnyRow) -> Result<StatusRow, StoreError> {
    let row = Columns::of("task status", row);
    Ok(StatusRow {
        id: row.parsed("id")?,
        name: row.text("name")?,
        kind: row.text("type")?,
    })
}

fn task(any: &AnyRow) -> Result<TaskRow, StoreError> {
    let row = Columns::of("task", any);
    let status = StatusRow {
        id: row.parsed("status_id")?,
        name: row.text("status_name")?,
        kind: row.text("status_type")?,
    };
    let creator = PersonRow {
        id: row.parsed("creator_id")?,
        email: row.text("creator_email")?,
        name: row.text("creator_name")?,
    };
    Ok(TaskRow {
        id: row.parsed("id")?,
        slug: row.text("slug")?,
        title: row.text("title")?,
        description: row.maybe_text("description")?,
        status,
        priority: row.text("priority")?,
        assignee: assignee(row)?,
        creator,
        estimate: any
            .try_get("estimate")
            .map_err(StoreError::unreadable("task"))?,
        due_at: row.maybe_time("due_at")?,
        labels: row.json("labels")?,
        branch: row.maybe_text("branch")?,
        pr_url: row.maybe_text("pr_url")?,
        started_at: row.maybe_time("started_at")?,
        completed_at: row.maybe_time("completed_at")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

fn assignee(row: Columns<'_>) -> Result<Option<PersonRow>, StoreError> {
    let Some(id) = row.maybe_parsed("assignee_id")? else {
        return Ok(None);
    };
    Ok(Some(PersonRow {
        id,
        email: row.text("assignee_email")?,
        name: row.text("assignee_name")?,
    }))
}
