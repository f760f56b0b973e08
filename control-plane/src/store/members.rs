//! Organizations, people, and who belongs where in which role.

use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;

use super::row::Columns;
use super::{Store, StoreError, Tx};

/// A member of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// The person.
    pub user_id: UserId,
    /// Their email as they wrote it.
    pub email: String,
    /// Their name.
    pub name: String,
    /// The role's word: `owner`, `admin` or `member`.
    pub role: String,
}

/// Makes an organization.
pub async fn insert_org(
    tx: &mut Tx,
    id: OrgId,
    name: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO organizations (id, name, created_at) VALUES ($1, $2, $3)")
        .bind(id.to_string())
        .bind(name)
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("makes an organization"))?;
    Ok(())
}

/// Makes a person. A second one with the same email, in any case, is refused as a duplicate.
pub async fn insert_user(
    tx: &mut Tx,
    id: UserId,
    email: &str,
    name: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO users (id, email, email_key, name, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id.to_string())
    .bind(email)
    .bind(email.to_lowercase())
    .bind(name)
    .bind(now.0)
    .execute(&mut **tx)
    .await
    .map_err(StoreError::at("makes a user"))?;
    Ok(())
}

/// Lets a person into an organization.
pub async fn insert_member(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
    role: &str,
    now: UtcMillis,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO members (org_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)")
        .bind(org.to_string())
        .bind(user.to_string())
        .bind(role)
        .bind(now.0)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("adds a member"))?;
    Ok(())
}

/// Changes a person's email and name. Another person's email, in any case, is refused as a duplicate.
pub async fn update_user(
    tx: &mut Tx,
    id: UserId,
    email: &str,
    name: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE users SET email = $2, email_key = $3, name = $4 WHERE id = $1")
        .bind(id.to_string())
        .bind(email)
        .bind(email.to_lowercase())
        .bind(name)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("changes a user"))?;
    Ok(())
}

/// Renames an organization.
pub async fn rename_org(tx: &mut Tx, id: OrgId, name: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE organizations SET name = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(name)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("renames an organization"))?;
    Ok(())
}

/// Gives a member another role.
pub async fn set_role(tx: &mut Tx, org: OrgId, user: UserId, role: &str) -> Result<(), StoreError> {
    sqlx::query("UPDATE members SET role = $3 WHERE org_id = $1 AND user_id = $2")
        .bind(org.to_string())
        .bind(user.to_string())
        .bind(role)
        .execute(&mut **tx)
        .await
        .map_err(StoreError::at("changes a member's role"))?;
    Ok(())
}

/// A member of an organization, as of this transaction.
pub async fn get_in(
    tx: &mut Tx,
    org: OrgId,
    user: UserId,
) -> Result<Option<MemberRow>, StoreError> {
    let row = sqlx::query(
        "SELECT u.id, u.email, u.name, m.role FROM members m JOIN users u ON u.id = m.user_id \
         WHERE m.org_id = $1 AND m.user_id = $2",
    )
    .bind(org.to_string())
    .bind(user.to_string())
    .fetch_optional(&mut **tx)
    .await
    .map_err(StoreError::at("reads a member"))?;
    row.map(|row| member(Columns::of("member", &row)))
        .transpose()
}

/// Takes a person out of an organization.
pub async fn remove(tx: &mut Tx, org: OrgId, user: UserId) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM members WHERE org_id = $1 AND user_id = $2",
        "DELETE FROM host_grants WHERE user_id = $2 \
         AND host_id IN (SELECT id FROM hosts WHERE org_id = $1)",
        "UPDATE sessions SET org_id = NULL WHERE org_id = $1 AND user_id = $2",
        "DELETE FROM sessions WHERE user_id = $2 AND $1 <> '' \
         AND NOT EXISTS (SELECT 1 FROM members m WHERE m.user_id = $2)",
    ] {
        sqlx::query(statement)
            .bind(org.to_string())
            .bind(user.to_string())
            .execute(&mut **tx)
            .await
            .map_err(StoreError::at("removes a member"))?;
    }
    Ok(())
}

/// The oldest owner of an organization but this person.
pub async fn other_owner_in(
    tx: &mut Tx,
    org: OrgId,
    but: UserId,
) -> Result<Option<UserId>, StoreError> {
    let row = sqlx::query(
        "SELECT user_id FROM members WHERE org_id = $1 AND role = 'owner' AND user_id <> $2 \
         ORDER BY created_at, user_id LIMIT 1",
    )
    .bind(org.to_string())
    .bind(but.to_string())
    .fetch_optional(&mut **tx)
    .await
    .map_err(StoreError::at("finds another owner"))?;
    row.map(|row| Columns::of("member", &row).parsed("user_id"))
        .transpose()
}

/// How many owners an organization has, as of this transaction.
pub async fn owners_in(tx: &mut Tx, org: OrgId) -> Result<u64, StoreError> {
    let row =
        sqlx::query("SELECT COUNT(*) AS owners FROM members WHERE org_id = $1 AND role = 'owner'")
            .bind(org.to_string())
            .fetch_one(&mut **tx)
            .await
            .map_err(StoreError::at("counts owners"))?;
    Columns::of("organization", &row).count("owners")
}

/// The members of an organization, by email.
pub async fn list(store: &Store, org: OrgId) -> Result<Vec<MemberRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT u.id, u.email, u.name, m.role FROM members m JOIN users u ON u.id = m.user_id \
         WHERE m.org_id = $1 ORDER BY u.email_key",
    )
    .bind(org.to_string())
    .fetch_all(store.reader())
    .await
    .map_err(StoreError::at("lists members"))?;
    rows.iter()
        .map(|row| member(Columns::of("member", row)))
        .collect()
}

/// The oldest organization and its owner: who works with the data of a machine used alone.
pub async fn first_owner(store: &Store) -> Result<Option<(OrgId, MemberRow)>, StoreError> {
    let row = sqlx::query(
        "SELECT o.id AS org_id, u.id, u.email, u.name, m.role FROM organizations o \
         JOIN members m ON m.org_id = o.id AND m.role = 'owner' JOIN users u ON u.id = m.user_id \
         ORDER BY o.created_at, o.id, m.created_at, u.id LIMIT 1",
    )
    .fetch_optional(store.reader())
    .await
    .map_err(StoreError::at("finds the first owner"))?;
    row.map(|row| {
        let columns = Columns::of("organization", &row);
        Ok((columns.parsed("org_id")?, member(columns)?))
    })
    .transpose()
}

fn member(columns: Columns<'_>) -> Result<MemberRow, StoreError> {
    Ok(MemberRow {
        user_id: columns.parsed("id")?,
        email: columns.text("email")?,
        name: columns.text("name")?,
        role: columns.text("role")?,
    })
}
