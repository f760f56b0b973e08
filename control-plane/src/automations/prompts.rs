//! The versions of an automation's prompt: read, and replaced as a whole.

use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;
use serde_json::json;

use super::record::PromptView;
use super::{check, find, find_in, missing, noted, write_change};
use crate::auth::Caller;
use crate::store::automations::{AutomationRow, PromptRow, PromptVersion};
use crate::store::{StoreError, Tx};
use crate::{App, clock, store};

/// So many versions are listed.
const MOST_VERSIONS: u32 = 200;

/// Its prompt.
pub async fn get_prompt(app: &App, caller: &Caller, id: &str) -> Result<PromptView, Failure> {
    let row = find(app, caller, id).await?;
    let version = row.prompt_version;
    prompt_at(app, &row, version)
        .await?
        .ok_or_else(|| missing(id))
}

/// An older version of its prompt; none when there is no such version.
pub async fn get_prompt_version(
    app: &App,
    caller: &Caller,
    id: &str,
    version: u32,
) -> Result<Option<PromptView>, Failure> {
    let row = find(app, caller, id).await?;
    prompt_at(app, &row, version).await
}

/// The versions of its prompt, newest first, at most 200.
pub async fn prompt_versions(
    app: &App,
    caller: &Caller,
    id: &str,
) -> Result<Vec<PromptVersion>, Failure> {
    let row = find(app, caller, id).await?;
    Ok(store::automations::prompt_versions(&app.store, row.id, MOST_VERSIONS).await?)
}

/// Replaces the prompt; refused when `if_version` is not the version it has.
pub async fn set_prompt(
    app: &App,
    caller: &Caller,
    id: &str,
    prompt: &str,
    if_version: Option<u32>,
) -> Result<PromptView, Failure> {
    check::prompt(prompt)?;
    let now = clock::wall();
    let mut tx = app.store.begin().await?;
    let before = find_in(&mut tx, caller, id).await?;
    let mut after = before.clone();
    replace(&mut tx, &mut after, prompt, if_version, now).await?;
    let row = write_change(&mut tx, &before, after, now).await?;
    note_prompt(&mut tx, caller, &row, now).await?;
    app.store.commit(tx).await?;
    app.hosts.sync_soon(row.host_id);
    Ok(PromptView {
        id: row.id,
        prompt: prompt.to_owned(),
        version: row.prompt_version,
        updated_at: now,
    })
}

/// Stores the next version of a prompt; the row is still to be written.
pub(super) async fn replace(
    tx: &mut Tx,
    row: &mut AutomationRow,
    prompt: &str,
    if_version: Option<u32>,
    now: UtcMillis,
) -> Result<(), Failure> {
    if let Some(wanted) = if_version.filter(|wanted| *wanted != row.prompt_version) {
        let message = format!(
            "the prompt of automation {} is at version {}, not {wanted}",
            row.id, row.prompt_version
        );
        return Err(Failure::new(ErrorCode::Conflict, message)
            .hint("read it with automations_get_prompt, and set it with that version"));
    }
    row.prompt_version += 1;
    let version = PromptRow {
        version: row.prompt_version,
        prompt: prompt.to_owned(),
        created_at: now,
    };
    Ok(store::automations::insert_prompt(tx, row.id, &version).await?)
}

/// Notes in the audit log that a prompt was replaced.
async fn note_prompt(
    tx: &mut Tx,
    caller: &Caller,
    row: &AutomationRow,
    now: UtcMillis,
) -> Result<(), StoreError> {
    let detail = json!({"version": row.prompt_version});
    noted(tx, caller, "automation.set_prompt", row, detail, now).await
}

async fn prompt_at(
    app: &App,
    row: &AutomationRow,
    version: u32,
) -> Result<Option<PromptView>, Failure> {
    let prompt = store::automations::prompt(&app.store, row.id, version).await?;
    Ok(prompt.map(|prompt| PromptView {
        id: row.id,
        prompt: prompt.prompt,
        version: prompt.version,
        updated_at: prompt.created_at,
    }))
}
