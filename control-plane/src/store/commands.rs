//! Commands recorded before they are sent, kept until they are answered for good.
//!
//! A command is never changed: sent again, it has the same id, and the host answers a repeat with
//! its stored reply.

use hostler_proto::command::Command;
use hostler_proto::ids::{CommandId, HostId, OrgId, RunId, WorkspaceId};
use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::row::{Columns, json};
use super::{Store, StoreError, Tx};

/// A command not yet answered.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenCommand {
    /// Identity, also on the host.
    pub id: CommandId,
    /// The organization it belongs to.
    pub org_id: OrgId,
    /// Who is to do it.
    pub host_id: HostId,
    /// The workspace or run it is about.
    pub subject: Uuid,
    /// What to do.
    pub command: Command,
    /// When it was asked for.
    pub created_at: UtcMillis,
}

/// Records a command.
pub async fn insert(tx: &mut Tx, open: &OpenCommand) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO open_commands (id, org_id, host_id, subject_id, kind, command, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(open.id.to_string())
    .bind(open.org_id.to_string())
    .bind(open.host_id.to_string())
    .bind(open.subject.to_string())
    .bind(kind(&open.command))
    .bind(json("command", &open.command)?)
    .bind(open.created_at.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records a command"))?;
    Ok(())
}

/// A host's open commands in the order they were asked for.
pub async fn of_host(store: &Store, host: HostId) -> Result<Vec<OpenCommand>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM open_commands WHERE host_id = $1 ORDER BY created_at, id")
            .bind(host.to_string())
            .fetch_all(store.reader())
            .await
            .map_err(StoreError::at("lists open commands"))?;
    rows.iter().map(open_command).collect()
}

/// The open commands about one subject.
pub async fn of_subject(store: &Store, subject: Uuid) -> Result<Vec<OpenCommand>, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM open_commands WHERE subject_id = $1 ORDER BY created_at, id")
            .bind(subject.to_string())
            .fetch_all(store.reader())
            .await
            .map_err(StoreError::at("lists open commands"))?;
    rows.iter().map(open_command).collect()
}

/// The end of a run that is still to be asked of its host, if it was wished for.
pub async fn cancel_of(tx: &mut Tx, run: RunId) -> Result<Option<OpenCommand>, StoreError> {
    let row = sqlx::query("SELECT * FROM open_commands WHERE subject_id = $1 AND kind = $2")
        .bind(run.to_string())
        .bind("run_cancel")
        .fetch_optional(&mut **tx)
        .await
        .map_err(StoreError::at("looks up a command"))?;
    row.as_ref().map(open_command).transpose()
}

/// Forgets an answered command.
pub async fn remove(tx: &mut Tx, id: CommandId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM open_commands WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets a command"))?;
    Ok(())
}

/// Forgets everything asked of a host, because it is none any more.
pub async fn remove_of_host(tx: &mut Tx, host: HostId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM open_commands WHERE host_id = $1")
        .bind(host.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets commands"))?;
    Ok(())
}

/// Forgets every command about a subject, because its host's events settled it.
pub async fn remove_of_subject(tx: &mut Tx, host: HostId, subject: Uuid) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM open_commands WHERE subject_id = $1 AND host_id = $2")
        .bind(subject.to_string())
        .bind(host.to_string())
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("forgets commands"))?;
    Ok(())
}

/// Forgets the making of a workspace, because its host told how it went.
pub async fn remove_creation(
    tx: &mut Tx,
    host: HostId,
    workspace: WorkspaceId,
) -> Result<(), StoreError> {
    remove_kind(tx, host, workspace.0, "workspace_create").await?;
    Ok(())
}

/// Forgets the start of a run, because its host knows of it, or because it is not to start any
/// more. Whether there was one.
pub async fn remove_start(tx: &mut Tx, host: HostId, run: RunId) -> Result<bool, StoreError> {
    remove_kind(tx, host, run.0, "run_start").await
}

async fn remove_kind(
    tx: &mut Tx,
    host: HostId,
    subject: Uuid,
    kind: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "DELETE FROM open_commands WHERE subject_id = $1 AND host_id = $2 AND kind = $3",
    )
    .bind(subject.to_string())
    .bind(host.to_string())
    .bind(kind)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("forgets a command"))?;
    Ok(done.rows_affected() > 0)
}

fn kind(command: &Command) -> &'static str {
    match command {
        Command::ProjectCreate(_) => "project_create",
        Command::WorkspaceCreate(_) => "workspace_create",
        Command::WorkspaceDelete(_) => "workspace_delete",
        Command::WorkspacesCount(_) => "workspaces_count",
        Command::RunStart(_) => "run_start",
        Command::RunCancel(_) => "run_cancel",
    }
}

fn open_command(row: &sqlx::any::AnyRow) -> Result<OpenCommand, StoreError> {
    let columns = Columns::of("command", row);
    Ok(OpenCommand {
        id: columns.parsed("id")?,
        org_id: columns.parsed("org_id")?,
        host_id: columns.parsed("host_id")?,
        subject: columns.parsed("subject_id")?,
        command: columns.json("command")?,
        created_at: columns.time("created_at")?,
    })
}
