//! `/v1/keys`: API keys as JSON.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::Response;
use axum::routing::{delete, get};
use axum::{Json, Router};
use hostler_proto::error::{ErrorCode, Failure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Signed, answer};
use crate::App;
use crate::console::Path;
use crate::keys::{self, CreateKey, Key, scope_names};

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/keys", get(list).post(create))
        .route("/v1/keys/{id}", delete(revoke))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    name: String,
    #[serde(default)]
    scopes: Option<Vec<String>>,
    #[serde(default)]
    expires_in_days: Option<u32>,
}

async fn list(State(app): State<App>, Signed(caller): Signed) -> Response {
    let found = keys::list(&app, &caller).await;
    answer(found.map(|keys| json!({"keys": keys.iter().map(view).collect::<Vec<_>>()})))
}

async fn create(
    State(app): State<App>,
    Signed(caller): Signed,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Response {
    let made = async {
        let Json(wanted) = body
            .map_err(|rejection| Failure::new(ErrorCode::InvalidArgument, rejection.body_text()))?;
        let input = CreateKey {
            name: wanted.name,
            scopes: wanted.scopes,
            expires_in_days: wanted.expires_in_days,
        };
        let made = keys::create(&app, &caller, input).await?;
        Ok(json!({"secret": made.secret, "key": view(&made.key)}))
    };
    answer(made.await)
}

async fn revoke(
    State(app): State<App>,
    Signed(caller): Signed,
    Path(id): Path<String>,
) -> Response {
    let revoked = keys::revoke(&app, &caller, &id).await;
    answer(revoked.map(|key| json!({"key": view(&key)})))
}

fn view(key: &Key) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": scope_names(key.scopes),
        "owner": key.owner,
        "ownerId": key.owner_id,
        "createdAt": key.created_at.to_string(),
        "lastUsedAt": key.last_used_at.map(|at| at.to_string()),
        "expiresAt": key.expires_at.map(|at| at.to_string()),
    })
}
