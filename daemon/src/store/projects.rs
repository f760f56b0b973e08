//! Projects: one row each, changed only together with the event that tells the control plane.
//!
//! Invariant: a path and a slug stand for one project. Whether a repository may be registered is
//! decided elsewhere.

use hostler_proto::event::Event;
use hostler_proto::ids::ProjectId;
use hostler_proto::project::{Project, ProjectState};
use hostler_proto::time::UtcMillis;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, Tx, outbox};

/// A project with what only this host remembers of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectRow {
    /// The project as others know it.
    pub project: Project,
    /// Its remote in the spelling all spellings share.
    pub canonical: Option<String>,
    /// When the remote was last fetched.
    pub fetched_at: Option<UtcMillis>,
    /// When fetching last failed, if nothing succeeded since.
    pub fetch_failed_at: Option<UtcMillis>,
}

const COLUMNS: &str = "SELECT project, canonical, fetched_at, fetch_failed_at FROM projects";

/// Inserts a project, or replaces the record of the same id, and appends its event.
pub async fn put(tx: &mut Tx, row: &ProjectRow, now: UtcMillis) -> Result<(), StoreError> {
    let project = &row.project;
    sqlx::query(
        "INSERT INTO projects (id, path, canonical, slug, state, project, fetched_at, fetch_failed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (id) DO UPDATE SET path = $2, canonical = $3, slug = $4, state = $5, project = $6",
    )
    .bind(project.id.to_string())
    .bind(&project.path)
    .bind(&row.canonical)
    .bind(&project.slug)
    .bind(word(project.state))
    .bind(serde_json::to_string(project).map_err(StoreError::corrupt("project"))?)
    .bind(row.fetched_at.map(|at| at.0))
    .bind(row.fetch_failed_at.map(|at| at.0))
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("writes a project"))?;
    outbox::append(tx, &Event::ProjectChanged(project.clone()), now).await?;
    Ok(())
}

/// Forgets a project and its workspaces, and appends the event.
pub async fn remove(tx: &mut Tx, id: ProjectId, now: UtcMillis) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM projects WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("removes a project"))?;
    outbox::append(tx, &Event::ProjectRemoved { id }, now).await?;
    Ok(())
}

/// Whether another project has this slug.
pub async fn slug_taken(tx: &mut Tx, slug: &str) -> Result<bool, StoreError> {
    let found = sqlx::query("SELECT 1 FROM projects WHERE slug = $1")
        .bind(slug)
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks for a project"))?;
    Ok(found.is_some())
}

impl Store {
    /// The project with this id.
    pub async fn project(&self, id: ProjectId) -> Result<Option<ProjectRow>, StoreError> {
        self.one_project("WHERE id = $1", &id.to_string()).await
    }

    /// The project whose main checkout is at this path.
    pub async fn project_at(&self, path: &str) -> Result<Option<ProjectRow>, StoreError> {
        self.one_project("WHERE path = $1", path).await
    }

    /// The oldest project of this remote (canonical spelling).
    pub async fn project_of(&self, canonical: &str) -> Result<Option<ProjectRow>, StoreError> {
        self.one_project("WHERE canonical = $1 ORDER BY id LIMIT 1", canonical)
            .await
    }

    /// All projects, by slug.
    pub async fn projects(&self) -> Result<Vec<ProjectRow>, StoreError> {
        let sql = format!("{COLUMNS} ORDER BY slug");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .fetch_all(self.pool())
            .await
            .map_err(StoreError::at("reads the projects"))?;
        rows.iter().map(read).collect()
    }

    /// Records that the project's remote was fetched, or could not be.
    pub async fn note_fetch(
        &self,
        id: ProjectId,
        worked: bool,
        now: UtcMillis,
    ) -> Result<(), StoreError> {
        let sql = if worked {
            "UPDATE projects SET fetched_at = $2, fetch_failed_at = NULL WHERE id = $1"
        } else {
            "UPDATE projects SET fetch_failed_at = $2 WHERE id = $1"
        };
        sqlx::query(sql)
            .bind(id.to_string())
            .bind(now.0)
            .execute(self.writer())
            .await
            .map_err(StoreError::at("notes a fetch"))?;
        Ok(())
    }

    async fn one_project(
        &self,
        clause: &'static str,
        value: &str,
    ) -> Result<Option<ProjectRow>, StoreError> {
        let sql = format!("{COLUMNS} {clause}");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(value)
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::at("reads a project"))?;
        row.as_ref().map(read).transpose()
    }
}

fn read(row: &SqliteRow) -> Result<ProjectRow, StoreError> {
    let json: String = row.get("project");
    Ok(ProjectRow {
        project: serde_json::from_str(&json).map_err(StoreError::corrupt("project"))?,
        canonical: row.get("canonical"),
        fetched_at: row.get::<Option<i64>, _>("fetched_at").map(UtcMillis),
        fetch_failed_at: row.get::<Option<i64>, _>("fetch_failed_at").map(UtcMillis),
    })
}

fn word(state: ProjectState) -> &'static str {
    match state {
        ProjectState::Cloning => "cloning",
        ProjectState::Ready => "ready",
        ProjectState::Missing => "missing",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use uuid::Uuid;

    use super::*;

    pub(crate) fn sample(number: u128, path: &str) -> ProjectRow {
        ProjectRow {
            project: Project {
                id: ProjectId(Uuid::from_u128(number)),
                name: format!("Project {number}"),
                slug: format!("project-{number}"),
                url: None,
                path: path.to_owned(),
                default_branch: Some("main".to_owned()),
                state: ProjectState::Ready,
                imported: true,
                created_at: UtcMillis(5),
            },
            canonical: Some("host/repo".to_owned()),
            fetched_at: None,
            fetch_failed_at: None,
        }
    }

    #[tokio::test]
    async fn a_project_is_found_by_each_of_its_keys_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("db"), || ()).await.unwrap();
        let row = sample(1, "/repo");
        let mut tx = store.begin().await.unwrap();
        put(&mut tx, &row, UtcMillis(1)).await.unwrap();
        assert!(slug_taken(&mut tx, "project-1").await.unwrap());
        store.commit(tx).await.unwrap();
        let id = row.project.id;
        assert_eq!(store.project(id).await.unwrap(), Some(row.clone()));
        assert_eq!(store.project_at("/repo").await.unwrap(), Some(row.clone()));
        assert_eq!(
            store.project_of("host/repo").await.unwrap(),
            Some(row.clone())
        );
        store.note_fetch(id, false, UtcMillis(7)).await.unwrap();
        store.note_fetch(id, true, UtcMillis(9)).await.unwrap();
        let seen = store.projects().await.unwrap();
        assert_eq!(
            (seen[0].fetched_at, seen[0].fetch_failed_at),
            (Some(UtcMillis(9)), None)
        );
        let mut tx = store.begin().await.unwrap();
        remove(&mut tx, id, UtcMillis(2)).await.unwrap();
        store.commit(tx).await.unwrap();
        assert_eq!(store.project(id).await.unwrap(), None);
        assert_eq!(store.outbox_after(0, 10).await.unwrap().len(), 2);
    }
}
