//! Workspaces as their hosts reported them, and those asked for but not yet reported.
//!
//! A removed workspace's row stays, marked, so that removing it again can say so.

use hostler_proto::ids::{HostId, OrgId, ProjectId, WorkspaceId};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceState};

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use super::row::{Columns, escaped, json, word};
use super::{Store, StoreError, Tx};

/// A workspace with where it is and as of when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceRow {
    /// The record.
    pub workspace: Workspace,
    /// Name of its project, when the catalog knows it.
    pub project_name: Option<String>,
    /// Where it is.
    pub host_id: HostId,
    /// When the host last told of it, or when it was asked for.
    pub as_of: UtcMillis,
    /// Whether the host ever told of it.
    pub confirmed: bool,
    /// When its removal was asked for, while that is open.
    pub delete_asked_at: Option<UtcMillis>,
    /// Why a removal asked for while the host was away was refused.
    pub delete_error: Option<String>,
    /// When it was removed.
    pub removed_at: Option<UtcMillis>,
}

/// Records that a workspace was asked for.
pub async fn insert_intent(
    tx: &mut Tx,
    org: OrgId,
    host: HostId,
    workspace: &Workspace,
) -> Result<(), StoreError> {
    write(tx, org, host, workspace, false, workspace.created_at)
        .await
        .map(|_| ())
}

/// Records what a host says of a workspace. False, and nothing written, when the id is another
/// host's. What was seen ready is not seen as being made again, and what is removed stays removed.
pub async fn put(
    tx: &mut Tx,
    org: OrgId,
    host: HostId,
    workspace: &Workspace,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    write(tx, org, host, workspace, true, now).await
}

async fn write(
    tx: &mut Tx,
    org: OrgId,
    host: HostId,
    workspace: &Workspace,
    confirmed: bool,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let (state, error) = state_columns(&workspace.state);
    let changes = workspace.changes.as_ref();
    let changes = changes
        .map(|changes| json("changes", changes))
        .transpose()?;
    let done = sqlx::query(
        "INSERT INTO workspaces (id, org_id, host_id, project_id, name, branch, base_branch, \
         base_commit, kind, state, error, path, changes, task_id, created_by, created_at, as_of, \
         confirmed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
         $17, $18) ON CONFLICT (id) DO UPDATE SET project_id = excluded.project_id, \
         name = excluded.name, branch = excluded.branch, base_branch = excluded.base_branch, \
         base_commit = excluded.base_commit, kind = excluded.kind, state = CASE \
         WHEN excluded.state = 'creating' AND workspaces.confirmed = 1 THEN workspaces.state \
         ELSE excluded.state END, error = excluded.error, path = excluded.path, \
         changes = excluded.changes, task_id = excluded.task_id, as_of = excluded.as_of, \
         confirmed = 1 WHERE workspaces.host_id = excluded.host_id",
    )
    .bind(workspace.id.to_string())
    .bind(org.to_string())
    .bind(host.to_string())
    .bind(workspace.project_id.map(|id| id.to_string()))
    .bind(&workspace.name)
    .bind(workspace.branch.as_deref())
    .bind(workspace.base_branch.as_deref())
    .bind(workspace.base_commit.as_deref())
    .bind(word("workspace type", &workspace.kind)?)
    .bind(state)
    .bind(error)
    .bind(&workspace.path)
    .bind(changes)
    .bind(workspace.task_id.map(|id| id.to_string()))
    .bind(&workspace.created_by)
    .bind(workspace.created_at.0)
    .bind(now.0)
    .bind(i64::from(confirmed))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records a workspace"))?;
    Ok(done.rows_affected() == 1)
}

/// Forgets a workspace that was asked for and never came to be.
pub async fn remove_intent(tx: &mut Tx, id: WorkspaceId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM workspaces WHERE id = $1 AND confirmed = 0")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets a workspace asked for"))?;
    Ok(())
}

/// Records that a workspace is gone.
pub async fn mark_removed(
    tx: &mut Tx,
    host: HostId,
    id: WorkspaceId,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE workspaces SET removed_at = $3, delete_asked_at = NULL, delete_error = NULL \
         WHERE id = $1 AND host_id = $2 AND removed_at IS NULL",
    )
    .bind(id.to_string())
    .bind(host.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records a workspace's removal"))?;
    Ok(())
}

/// Records that a removal was asked for (a time) or is no longer (none, with why it was refused).
pub async fn set_delete_asked(
    tx: &mut Tx,
    id: WorkspaceId,
    at: Option<UtcMillis>,
    error: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE workspaces SET delete_asked_at = $2, delete_error = $3 WHERE id = $1")
        .bind(id.to_string())
        .bind(at.map(|at| at.0))
        .bind(error)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("records a removal asked for"))?;
    Ok(())
}

/// The organization's workspaces that are not removed, newest first.
pub async fn list(store: &Store, org: OrgId) -> Result<Vec<WorkspaceRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT w.*, p.name AS project_name FROM workspaces w \
         LEFT JOIN projects p ON p.id = w.project_id AND p.org_id = w.org_id \
         WHERE w.org_id = $1 AND w.removed_at IS NULL ORDER BY w.created_at DESC, w.id DESC",
    )
    .bind(org.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists workspaces"))?;
    rows.iter()
        .map(|row| workspace(Columns::of("workspace", row)))
        .collect()
}

/// Which workspaces a page shows; what is none does not narrow.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// On one of these hosts.
    pub hosts: Vec<HostId>,
    /// Of this project.
    pub project: Option<ProjectId>,
    /// In this state, as users see it: a removal asked for is `deleting`.
    pub state: Option<String>,
    /// This text in name or branch, in any case.
    pub search: Option<String>,
}

/// A page of the workspaces that are not removed, newest first, and how many there are in all.
pub async fn page(
    store: &Store,
    org: OrgId,
    filter: &Filter,
    limit: u32,
    offset: u64,
) -> Result<(Vec<WorkspaceRow>, u64), StoreError> {
    let (condition, values) = condition(org, filter);
    let count = format!("SELECT COUNT(*) AS n FROM workspaces w WHERE {condition}");
    let counted = bound(AssertSqlSafe(count), &values)
        .fetch_one(store.reader())
        .await
        .map_err(StoreError::at("counts workspaces"))?;
    let total = Columns::of("workspace", &counted).count("n")?;
    let page = format!(
        "SELECT w.*, p.name AS project_name FROM workspaces w \
         LEFT JOIN projects p ON p.id = w.project_id AND p.org_id = w.org_id \
         WHERE {condition} ORDER BY w.created_at DESC, w.id DESC LIMIT {limit} OFFSET {offset}"
    );
    let rows = bound(AssertSqlSafe(page), &values)
        .fetch_all(store.reader())
        .await
        .map_err(StoreError::at("lists a page of workspaces"))?;
    let found = rows
        .iter()
        .map(|row| workspace(Columns::of("workspace", row)));
    Ok((found.collect::<Result<_, _>>()?, total))
}

/// One workspace of the organization, also a removed one.
pub async fn by_id(
    store: &Store,
    org: OrgId,
    id: WorkspaceId,
) -> Result<Option<WorkspaceRow>, StoreError> {
    let row = sqlx::query(
        "SELECT w.*, p.name AS project_name FROM workspaces w \
         LEFT JOIN projects p ON p.id = w.project_id AND p.org_id = w.org_id \
         WHERE w.org_id = $1 AND w.id = $2",
    )
    .bind(org.to_string())
    .bind(id.to_string())
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("looks up a workspace"))?;
    row.map(|row| workspace(Columns::of("workspace", &row)))
        .transpose()
}

/// The condition of a page, and the values of its placeholders.
fn condition(org: OrgId, filter: &Filter) -> (String, Vec<String>) {
    let mut values = vec![org.to_string()];
    let mut place = |value: String| {
        values.push(value);
        format!("${}", values.len())
    };
    let hosts: Vec<String> = filter
        .hosts
        .iter()
        .map(|id| place(id.to_string()))
        .collect();
    let mut all = vec![
        "w.org_id = $1 AND w.removed_at IS NULL".to_owned(),
        format!("w.host_id IN ({})", hosts.join(", ")),
    ];
    if let Some(project) = filter.project {
        all.push(format!("w.project_id = {}", place(project.to_string())));
    }
    match filter.state.as_deref() {
        None => {}
        Some("deleting") => {
            all.push("(w.state = 'deleting' OR w.delete_asked_at IS NOT NULL)".to_owned());
        }
        Some(state) => {
            let state = place(state.to_owned());
            all.push(format!("w.state = {state} AND w.delete_asked_at IS NULL"));
        }
    }
    if let Some(text) = &filter.search {
        let like = place(format!("%{}%", escaped(&text.to_lowercase())));
        all.push(format!(
            "(LOWER(w.name) LIKE {like} ESCAPE '!' OR LOWER(w.branch) LIKE {like} ESCAPE '!')"
        ));
    }
    (all.join(" AND "), values)
}

fn bound(sql: AssertSqlSafe<String>, values: &[String]) -> Query<'static, Any, AnyArguments> {
    let query = sqlx::query(sql);
    values
        .iter()
        .fold(query, |query, value| query.bind(value.clone()))
}

fn state_columns(state: &WorkspaceState) -> (&'static str, Option<&str>) {
    match state {
        WorkspaceState::Creating => ("creating", None),
        WorkspaceState::Ready => ("ready", None),
        WorkspaceState::Failed { error } => ("failed", Some(error)),
        WorkspaceState::Deleting => ("deleting", None),
    }
}

fn state(columns: Columns<'_>) -> Result<WorkspaceState, StoreError> {
    match columns.text("state")?.as_str() {
        "creating" => Ok(WorkspaceState::Creating),
        "ready" => Ok(WorkspaceState::Ready),
        "deleting" => Ok(WorkspaceState::Deleting),
        "failed" => Ok(WorkspaceState::Failed {
            error: columns.maybe_text("error")?.unwrap_or_default(),
        }),
        other => Err(StoreError::unreadable("workspace")(format!(
            "unknown state {other}"
        ))),
    }
}

fn workspace(columns: Columns<'_>) -> Result<WorkspaceRow, StoreError> {
    Ok(WorkspaceRow {
        workspace: Workspace {
            id: columns.parsed("id")?,
            project_id: columns.maybe_parsed("project_id")?,
            name: columns.text("name")?,
            branch: columns.maybe_text("branch")?,
            base_branch: columns.maybe_text("base_branch")?,
            base_commit: columns.maybe_text("base_commit")?,
            kind: columns.word("kind")?,
            state: state(columns)?,
            path: columns.text("path")?,
            changes: columns.maybe_json("changes")?,
            task_id: columns.maybe_parsed("task_id")?,
            created_by: columns.text("created_by")?,
            created_at: columns.time("created_at")?,
        },
        project_name: columns.maybe_text("project_name")?,
        host_id: columns.parsed("host_id")?,
        as_of: columns.time("as_of")?,
        confirmed: columns.flag("confirmed")?,
        delete_asked_at: columns.maybe_time("delete_asked_at")?,
        delete_error: columns.maybe_text("delete_error")?,
        removed_at: columns.maybe_time("removed_at")?,
    })
}
