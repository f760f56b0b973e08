//! `/v1/audit`: the audit log as JSON, its export, and whether it still fits together.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use hostler_proto::error::{ErrorCode, Failure};
use serde::Deserialize;
use serde_json::json;

use super::{Signed, answer};
use crate::App;
use crate::audit::{self, Filter, Form, object};
use crate::auth::Caller;
use crate::console::Query;

/// Entries of one answer.
const MOST: u32 = 500;

/// The routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/audit", get(list))
        .route("/v1/audit/export", get(file))
        .route("/v1/audit/verify", get(verify))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    actor: Option<String>,
    action: Option<String>,
    thing_id: Option<String>,
    thing: Option<String>,
    before: Option<u64>,
    limit: Option<u32>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    format: String,
}

async fn list(
    State(app): State<App>,
    Signed(caller): Signed,
    Query(asked): Query<Asked>,
) -> Response {
    let filter = Filter {
        actor: asked.actor,
        action: asked.action,
        thing_id: asked.thing_id,
        thing: asked.thing,
        ..Filter::default()
    };
    let limit = asked.limit.unwrap_or(50).clamp(1, MOST);
    let found = audit::list(&app, &caller, &filter, asked.before, limit).await;
    answer(found.map(|entries| json!({"entries": entries.iter().map(object).collect::<Vec<_>>()})))
}

async fn file(
    State(app): State<App>,
    Signed(caller): Signed,
    Query(asked): Query<File>,
) -> Response {
    exported(app, caller, &asked.format).unwrap_or_else(|failure| answer::<()>(Err(failure)))
}

async fn verify(State(app): State<App>, Signed(caller): Signed) -> Response {
    let chain = audit::verify(&app, &caller).await;
    answer(chain.map(|chain| {
        json!({"entries": chain.entries, "digest": chain.digest, "brokenAt": chain.broken_at})
    }))
}

/// The whole log as a file, sent as it is read.
pub(crate) fn exported(app: App, caller: Caller, format: &str) -> Result<Response, Failure> {
    audit::may_read(&caller)?;
    let word = if format.is_empty() { "jsonl" } else { format };
    let form = Form::of_word(word).ok_or_else(|| {
        Failure::new(ErrorCode::InvalidArgument, "there is no such format")
            .hint("pass jsonl or csv")
    })?;
    let head = stream::once(async move { Ok(Bytes::from(form.head())) });
    let parts = stream::try_unfold(0, move |after| {
        let (app, caller) = (app.clone(), caller.clone());
        async move {
            let part = audit::export(&app, &caller, form, after).await?;
            Ok::<_, Failure>(part.map(|(lines, last)| (Bytes::from(lines), last)))
        }
    });
    let (media, name) = form.names();
    let headers = [
        (header::CONTENT_TYPE, media.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    let body = Body::from_stream(futures_util::StreamExt::chain(head, parts));
    Ok((headers, body).into_response())
}
