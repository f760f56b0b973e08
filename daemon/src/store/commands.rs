//! Replies by command id: what makes a repeated command return what it returned before.

use hostler_proto::command::{Command, Reply};
use hostler_proto::error::Failure;
use hostler_proto::ids::CommandId;
use hostler_proto::time::UtcMillis;
use sqlx::Row;

use super::{Store, StoreError, Tx};

/// What a command came to.
pub type Outcome = Result<Reply, Failure>;

impl Store {
    /// What a command came to when it was carried out before.
    pub async fn outcome(&self, id: CommandId) -> Result<Option<Outcome>, StoreError> {
        let row = sqlx::query("SELECT reply FROM commands WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await
            .map_err(StoreError::at("reads a reply"))?;
        row.map(|row| serde_json::from_str(row.get(0)).map_err(StoreError::corrupt("reply")))
            .transpose()
    }

    /// Forgets replies older than `before`, except those that are kept for ever: what creates,
    /// starts or cancels must never be carried out again.
    pub async fn forget_outcomes(&self, before: UtcMillis) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM commands WHERE created_at < $1 AND type = 'workspace_delete'")
            .bind(before.0)
            .execute(self.writer())
            .await
            .map_err(StoreError::at("forgets replies"))?;
        Ok(())
    }
}

/// Records what a command came to; a reply recorded before stays.
pub async fn put(
    tx: &mut Tx,
    id: CommandId,
    kind: &'static str,
    outcome: &Outcome,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let json = serde_json::to_string(outcome).map_err(StoreError::corrupt("reply"))?;
    sqlx::query(
        "INSERT INTO commands (id, type, reply, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(id.to_string())
    .bind(kind)
    .bind(json)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("records a reply"))?;
    Ok(())
}

/// A command's word in the database.
pub fn kind(command: &Command) -> &'static str {
    match command {
        Command::ProjectCreate(_) => "project_create",
        Command::WorkspaceCreate(_) => "workspace_create",
        Command::WorkspaceDelete(_) => "workspace_delete",
        Command::WorkspacesCount(_) => "workspaces_count",
        Command::RunStart(_) => "run_start",
        Command::RunCancel(_) => "run_cancel",
    }
}

#[cfg(test)]
mod tests {
    use hostler_proto::error::ErrorCode;
    use hostler_proto::ids::RunId;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn replies_are_kept_as_they_were_first_and_deletions_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("host.db"), || {})
            .await
            .unwrap();
        let id = |number| CommandId(Uuid::from_u128(number));
        let started = Ok(Reply::RunStarted {
            run_id: RunId(Uuid::nil()),
        });
        let refused = Err(Failure::new(ErrorCode::PreconditionFailed, "dirty").hint("force"));
        let mut tx = store.begin().await.unwrap();
        put(&mut tx, id(1), "run_start", &started, UtcMillis(5))
            .await
            .unwrap();
        put(&mut tx, id(1), "run_start", &refused, UtcMillis(6))
            .await
            .unwrap();
        put(&mut tx, id(2), "workspace_delete", &refused, UtcMillis(5))
            .await
            .unwrap();
        store.commit(tx).await.unwrap();
        assert_eq!(store.outcome(id(1)).await.unwrap(), Some(started.clone()));
        assert_eq!(store.outcome(id(2)).await.unwrap(), Some(refused));
        store.forget_outcomes(UtcMillis(10)).await.unwrap();
        assert_eq!(store.outcome(id(1)).await.unwrap(), Some(started));
        assert_eq!(store.outcome(id(2)).await.unwrap(), None);
    }
}
