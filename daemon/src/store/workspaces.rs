//! Workspaces: one row each, changed only together with the event that tells the control plane.
//!
//! Invariant: a path stands for one workspace, and a row exists before anything of it is on the
//! disk until nothing of it is there any more. What to do about a row is decided elsewhere.

use hostler_proto::event::Event;
use hostler_proto::ids::{ProjectId, RunId, WorkspaceId};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceKind, WorkspaceState};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, Tx, outbox};

/// A workspace with what only this host remembers of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceRow {
    /// The workspace as others know it.
    pub workspace: Workspace,
    /// The rest.
    pub private: Private,
}

/// What only the host needs to know of a workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Private {
    /// git's id of the worktree; set once the tree is complete.
    pub entry: Option<String>,
    /// The commit at which its branch was made for it; none when the branch existed.
    pub branch_made_at: Option<String>,
    /// What was asked when it was deleted.
    pub deleting: Option<Deleting>,
    /// The run it was made for.
    pub run_id: Option<RunId>,
}

/// A deletion that has been accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleting {
    /// The branch to delete and the commit it was at.
    pub branch: Option<(String, String)>,
    /// Whether commits that are nowhere else may go with it.
    #[serde(default)]
    pub force: bool,
}

const COLUMNS: &str = "SELECT workspace, private FROM workspaces";

/// Inserts a workspace, or replaces the record of the same id, and appends its event.
pub async fn put(tx: &mut Tx, row: &WorkspaceRow, now: UtcMillis) -> Result<(), StoreError> {
    let workspace = &row.workspace;
    sqlx::query(
        "INSERT INTO workspaces (id, project_id, branch, path, kind, state, workspace, private)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (id) DO UPDATE
         SET branch = $3, path = $4, state = $6, workspace = $7, private = $8",
    )
    .bind(workspace.id.to_string())
    .bind(workspace.project_id.map(|id| id.to_string()))
    .bind(&workspace.branch)
    .bind(&workspace.path)
    .bind(kind_word(workspace.kind))
    .bind(state_word(&workspace.state))
    .bind(serde_json::to_string(workspace).map_err(StoreError::corrupt("workspace"))?)
    .bind(serde_json::to_string(&row.private).map_err(StoreError::corrupt("workspace"))?)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("writes a workspace"))?;
    outbox::append(tx, &Event::WorkspaceChanged(workspace.clone()), now).await?;
    Ok(())
}

/// Forgets a workspace and appends the event; false when it was unknown.
pub async fn remove(tx: &mut Tx, id: WorkspaceId, now: UtcMillis) -> Result<bool, StoreError> {
    let done = sqlx::query("DELETE FROM workspaces WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("removes a workspace"))?;
    let known = done.rows_affected() == 1;
    if known {
        outbox::append(tx, &Event::WorkspaceRemoved { id }, now).await?;
    }
    Ok(known)
}

/// Whether another workspace than `own`, in whatever state, has this path.
pub async fn path_taken(tx: &mut Tx, path: &str, own: WorkspaceId) -> Result<bool, StoreError> {
    let found = sqlx::query("SELECT 1 FROM workspaces WHERE path = $1 AND id != $2")
        .bind(path)
        .bind(own.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks for a workspace"))?;
    Ok(found.is_some())
}

impl Store {
    /// The workspace with this id.
    pub async fn workspace(&self, id: WorkspaceId) -> Result<Option<WorkspaceRow>, StoreError> {
        let rows = self
            .some_workspaces("WHERE id = $1", &[&id.to_string()])
            .await?;
        Ok(rows.into_iter().next())
    }

    /// The worktree of a project that is on this branch.
    pub async fn workspace_on(
        &self,
        project: ProjectId,
        branch: &str,
    ) -> Result<Option<WorkspaceRow>, StoreError> {
        let clause = "WHERE project_id = $1 AND branch = $2 AND kind = 'worktree' ORDER BY id";
        let rows = self
            .some_workspaces(clause, &[&project.to_string(), branch])
            .await?;
        Ok(rows.into_iter().next())
    }

    /// All workspaces of a project.
    pub async fn workspaces_of(&self, project: ProjectId) -> Result<Vec<WorkspaceRow>, StoreError> {
        self.some_workspaces("WHERE project_id = $1 ORDER BY id", &[&project.to_string()])
            .await
    }

    /// All workspaces.
    pub async fn workspaces(&self) -> Result<Vec<WorkspaceRow>, StoreError> {
        self.some_workspaces("ORDER BY id", &[]).await
    }

    /// Workspaces whose creation or deletion has not ended.
    pub async fn workspaces_unfinished(&self) -> Result<Vec<WorkspaceRow>, StoreError> {
        self.some_workspaces("WHERE state IN ('creating', 'deleting') ORDER BY id", &[])
            .await
    }

    async fn some_workspaces(
        &self,
        clause: &'static str,
        values: &[&str],
    ) -> Result<Vec<WorkspaceRow>, StoreError> {
        let sql = format!("{COLUMNS} {clause}");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for value in values {
            query = query.bind((*value).to_owned());
        }
        let rows = query
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::at("reads workspaces"))?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &SqliteRow) -> Result<WorkspaceRow, StoreError> {
    let (workspace, private): (String, String) = (row.get("workspace"), row.get("private"));
    Ok(WorkspaceRow {
        workspace: serde_json::from_str(&workspace).map_err(StoreError::corrupt("workspace"))?,
        private: serde_json::from_str(&private).map_err(StoreError::corrupt("workspace"))?,
    })
}

fn kind_word(kind: WorkspaceKind) -> &'static str {
    match kind {
        WorkspaceKind::Main => "main",
        WorkspaceKind::Worktree => "worktree",
        WorkspaceKind::Scratch => "scratch",
    }
}

fn state_word(state: &WorkspaceState) -> &'static str {
    match state {
        WorkspaceState::Creating => "creating",
        WorkspaceState::Ready => "ready",
        WorkspaceState::Failed { .. } => "failed",
        WorkspaceState::Deleting => "deleting",
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::projects;

    #[tokio::test]
    async fn a_workspace_is_found_changed_and_forgotten_with_its_events() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), || ()).await.unwrap();
        let project = projects::tests::sample(1, "/repo");
        let mut row = WorkspaceRow {
            workspace: Workspace {
                id: WorkspaceId(Uuid::from_u128(2)),
                project_id: Some(project.project.id),
                name: "Fix it".to_owned(),
                branch: Some("fix-it".to_owned()),
                base_branch: None,
                base_commit: None,
                kind: WorkspaceKind::Worktree,
                state: WorkspaceState::Creating,
                path: "/trees/fix-it".to_owned(),
                changes: None,
                task_id: None,
                created_by: "ada@example.com".to_owned(),
                created_at: UtcMillis(1),
            },
            private: Private {
                branch_made_at: Some("abc".to_owned()),
                ..Private::default()
            },
        };
        let mut tx = store.begin().await.unwrap();
        projects::put(&mut tx, &project, UtcMillis(1))
            .await
            .unwrap();
        put(&mut tx, &row, UtcMillis(1)).await.unwrap();
        let (own, other) = (row.workspace.id, WorkspaceId(Uuid::from_u128(3)));
        assert!(path_taken(&mut tx, "/trees/fix-it", other).await.unwrap());
        assert!(!path_taken(&mut tx, "/trees/fix-it", own).await.unwrap());
        assert!(!path_taken(&mut tx, "/trees/other", other).await.unwrap());
        store.commit(tx).await.unwrap();
        let id = row.workspace.id;
        assert_eq!(store.workspace(id).await.unwrap(), Some(row.clone()));
        assert_eq!(store.workspaces_unfinished().await.unwrap().len(), 1);
        row.workspace.state = WorkspaceState::Ready;
        row.workspace.branch = Some("other".to_owned());
        let mut tx = store.begin().await.unwrap();
        put(&mut tx, &row, UtcMillis(2)).await.unwrap();
        store.commit(tx).await.unwrap();
        let project = project.project.id;
        assert_eq!(store.workspaces_unfinished().await.unwrap(), []);
        assert_eq!(store.workspace_on(project, "fix-it").await.unwrap(), None);
        let found = store.workspace_on(project, "other").await.unwrap();
        assert_eq!(found, Some(row.clone()));
        assert_eq!(store.workspaces_of(project).await.unwrap(), [row.clone()]);
        assert_eq!(store.workspaces().await.unwrap(), [row]);
        let mut tx = store.begin().await.unwrap();
        assert!(remove(&mut tx, id, UtcMillis(3)).await.unwrap());
        assert!(!remove(&mut tx, id, UtcMillis(3)).await.unwrap());
        store.commit(tx).await.unwrap();
        assert_eq!(store.outbox_after(0, 10).await.unwrap().len(), 4);
    }
}
