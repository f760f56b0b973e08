//! A token with the names of its person and organization, for telling its bearer who they are.

use hostler_proto::time::UtcMillis;
use uuid::Uuid;

use super::row::Columns;
use super::{Store, StoreError};

/// What a token's bearer may know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoamiRow {
    /// The person's name.
    pub person: String,
    /// The organization's name.
    pub organization: String,
    /// The token's kind, as its word.
    pub kind: String,
    /// What its owner calls it.
    pub name: String,
    /// The part that may be shown.
    pub prefix: String,
    /// The OAuth client it was given to.
    pub client_id: Option<String>,
    /// When it was made.
    pub created_at: UtcMillis,
    /// When it stops being good; none never.
    pub expires_at: Option<UtcMillis>,
}

/// The token with this id.
pub async fn by_token(store: &Store, id: Uuid) -> Result<Option<WhoamiRow>, StoreError> {
    let row = sqlx::query(
        "SELECT u.name AS person, o.name AS organization, t.kind, t.name, t.prefix, t.client_id, \
         t.created_at, t.expires_at FROM tokens t JOIN users u ON u.id = t.user_id \
         JOIN organizations o ON o.id = t.org_id WHERE t.id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("tells whose a token is"))?;
    row.map(|row| {
        let columns = Columns::of("token", &row);
        Ok(WhoamiRow {
            person: columns.text("person")?,
            organization: columns.text("organization")?,
            kind: columns.text("kind")?,
            name: columns.text("name")?,
            prefix: columns.text("prefix")?,
            client_id: columns.maybe_text("client_id")?,
            created_at: columns.time("created_at")?,
            expires_at: columns.maybe_time("expires_at")?,
        })
    })
    .transpose()
}
