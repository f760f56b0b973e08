//! Projects and the hosts they are on, as those hosts reported them.

use hostler_proto::ids::{HostId, OrgId, ProjectId};
use hostler_proto::project::{Project, ProjectState};
use hostler_proto::time::UtcMillis;

use super::row::{Columns, word};
use super::{Store, StoreError, Tx};

/// A project on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceRow {
    /// The project.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// Its slug on that host.
    pub slug: String,
    /// Its canonical URL.
    pub url: Option<String>,
    /// When it was first registered anywhere.
    pub created_at: UtcMillis,
    /// The host.
    pub host_id: HostId,
    /// Path of the main checkout there.
    pub path: String,
    /// Its default branch there.
    pub default_branch: Option<String>,
    /// Whether it can be used there.
    pub state: ProjectState,
    /// When the host last told of it.
    pub as_of: UtcMillis,
}

/// Records what a host says of a project. False, and nothing written, when the id is another
/// organization's. What the project is called and where it comes from is a host's to say only while
/// no other host has it.
pub async fn put(
    tx: &mut Tx,
    org: OrgId,
    host: HostId,
    project: &Project,
    url_key: Option<&str>,
    now: UtcMillis,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO projects (id, org_id, name, slug, url, url_key, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET \
         name = excluded.name, slug = excluded.slug, url = excluded.url, \
         url_key = excluded.url_key, updated_at = excluded.updated_at \
         WHERE projects.org_id = excluded.org_id AND NOT EXISTS (SELECT 1 FROM host_projects p \
         JOIN hosts h ON h.id = p.host_id WHERE p.project_id = excluded.id AND p.host_id <> $9 \
         AND h.revoked_at IS NULL)",
    )
    .bind(project.id.to_string())
    .bind(org.to_string())
    .bind(&project.name)
    .bind(&project.slug)
    .bind(project.url.as_deref())
    .bind(url_key)
    .bind(project.created_at.0)
    .bind(now.0)
    .bind(host.to_string())
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records a project"))?;
    if done.rows_affected() == 0 && !is_of(tx, org, project.id).await? {
        return Ok(false);
    }
    put_place(tx, host, project, now).await?;
    Ok(true)
}

/// Whether a project is the organization's.
async fn is_of(tx: &mut Tx, org: OrgId, id: ProjectId) -> Result<bool, StoreError> {
    let row = sqlx::query("SELECT 1 FROM projects WHERE id = $1 AND org_id = $2")
        .bind(id.to_string())
        .bind(org.to_string())
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a project"))?;
    Ok(row.is_some())
}

async fn put_place(
    tx: &mut Tx,
    host: HostId,
    project: &Project,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO host_projects (host_id, project_id, slug, path, default_branch, state, \
         imported, as_of) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (host_id, project_id) DO UPDATE SET slug = excluded.slug, \
         path = excluded.path, default_branch = excluded.default_branch, state = excluded.state, \
         imported = excluded.imported, as_of = excluded.as_of",
    )
    .bind(host.to_string())
    .bind(project.id.to_string())
    .bind(&project.slug)
    .bind(&project.path)
    .bind(project.default_branch.as_deref())
    .bind(word("project state", &project.state)?)
    .bind(i64::from(project.imported))
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records a project's place"))?;
    Ok(())
}

/// Records that a host no longer has a project.
pub async fn remove(tx: &mut Tx, host: HostId, id: ProjectId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM host_projects WHERE host_id = $1 AND project_id = $2")
        .bind(host.to_string())
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("removes a project's place"))?;
    Ok(())
}

/// Every project of the organization on every host it is on, by name.
pub async fn places(store: &Store, org: OrgId) -> Result<Vec<PlaceRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT p.id, p.name, p.url, p.created_at, h.host_id, h.slug, h.path, h.default_branch, \
         h.state, h.as_of FROM projects p JOIN host_projects h ON h.project_id = p.id \
         WHERE p.org_id = $1 ORDER BY p.name, p.id, h.host_id",
    )
    .bind(org.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists projects"))?;
    rows.iter()
        .map(|row| place(Columns::of("project", row)))
        .collect()
}

/// The oldest project of the organization with this remote.
pub async fn by_url(
    store: &Store,
    org: OrgId,
    url_key: &str,
) -> Result<Option<ProjectId>, StoreError> {
    let row = sqlx::query(
        "SELECT id FROM projects WHERE org_id = $1 AND url_key = $2 \
         ORDER BY created_at, id LIMIT 1",
    )
    .bind(org.to_string())
    .bind(url_key)
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("finds a project by its remote"))?;
    row.map(|row| Columns::of("project", &row).parsed("id"))
        .transpose()
}

fn place(columns: Columns<'_>) -> Result<PlaceRow, StoreError> {
    Ok(PlaceRow {
        id: columns.parsed("id")?,
        name: columns.text("name")?,
        slug: columns.text("slug")?,
        url: columns.maybe_text("url")?,
        created_at: columns.time("created_at")?,
        host_id: columns.parsed("host_id")?,
        path: columns.text("path")?,
        default_branch: columns.maybe_text("default_branch")?,
        state: columns.word("state")?,
        as_of: columns.time("as_of")?,
    })
}
