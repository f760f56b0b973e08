//! What becomes of the automations of somebody who leaves: they are paused and pass to whoever stays
//! and answers for it, who may resume or delete them.

use hostler_proto::ids::{HostId, UserId};
use hostler_proto::time::UtcMillis;
use serde_json::json;

use super::{noted, write_change};
use crate::auth::Caller;
use crate::store::{self, StoreError, Tx};

/// Pauses what `owner` has in the caller's organization and gives it to `heir`; the hosts to tell.
pub(crate) async fn leave_behind(
    tx: &mut Tx,
    caller: &Caller,
    owner: UserId,
    heir: UserId,
    now: UtcMillis,
) -> Result<Vec<HostId>, StoreError> {
    let mut hosts = Vec::new();
    for before in store::automations::of_owner(tx, caller.org_id, owner).await? {
        let mut after = before.clone();
        after.owner_id = heir;
        if after.enabled {
            after.enabled = false;
            after.paused_reason = Some("its owner left the organization".to_owned());
        }
        let row = write_change(tx, &before, after, now).await?;
        store::automations::set_owner(tx, row.id, heir).await?;
        let detail = json!({"from": owner, "to": heir});
        noted(tx, caller, "automation.pass_on", &row, detail, now).await?;
        hosts.push(row.host_id);
    }
    Ok(hosts)
}
