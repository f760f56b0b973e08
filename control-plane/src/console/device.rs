//! Signing in a machine without a browser: `/device`, where its code is typed.
//!
//! First the code, then a page that says what asks from where, then the decision: a link with the code
//! in it only fills the field in, so that nobody allows anything by opening it.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use hostler_proto::error::Failure;
use hostler_proto::time::UtcMillis;
use maud::{Markup, html};

use super::consent::{Form, chosen, organization, organizations, permissions, value};
use super::field::Field;
use super::visit::{Checked, SignedIn};
use super::{layout, parts};
use crate::auth::Scopes;
use crate::auth::oauth::device;
use crate::auth::session::Visitor;
use crate::store::devices::DeviceRow;
use crate::{App, clock};

/// The routes of the pages.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/device", get(ask).post(look))
        .route("/device/decision", post(decide))
}

async fn ask(SignedIn(visitor): SignedIn, uri: Uri) -> Response {
    let query = uri.query().unwrap_or_default().as_bytes();
    let mut pairs = form_urlencoded::parse(query);
    let code = pairs.find(|(name, _)| name == "user_code");
    code_page(&visitor, code.as_ref().map_or("", |(_, code)| code), None)
}

async fn look(State(app): State<App>, Checked { visitor, form }: Checked<Form>) -> Response {
    let code = value(&form, "user_code");
    let now = clock::wall();
    match device::waiting(&app, &visitor, code, now).await {
        Ok(device) => confirm_page(&visitor, &device, now),
        Err(failure) => code_page(&visitor, code, Some(&failure)),
    }
}

async fn decide(State(app): State<App>, Checked { visitor, form }: Checked<Form>) -> Response {
    match decided(&app, &visitor, &form, clock::wall()).await {
        Ok((title, words)) => layout::plain(StatusCode::OK, title, html! { p { (words) } }),
        Err(failure) => code_page(&visitor, "", Some(&failure)),
    }
}

async fn decided(
    app: &App,
    visitor: &Visitor,
    form: &Form,
    now: UtcMillis,
) -> Result<(&'static str, &'static str), Failure> {
    let device = device::waiting(app, visitor, value(form, "user_code"), now).await?;
    if value(form, "decision") != "allow" {
        device::deny(app, visitor, &device, now).await?;
        return Ok((
            "Refused",
            "The device was told so. You can close this page.",
        ));
    }
    let org = organization(form)?;
    let scopes = chosen(form, Scopes::parse(&device.scopes));
    device::allow(app, visitor, org, &device, scopes, now).await?;
    Ok((
        "Signed in",
        "Go back to the device: it goes on by itself within a few seconds. You can close this page.",
    ))
}

fn code_page(visitor: &Visitor, code: &str, failure: Option<&Failure>) -> Response {
    let status = failure.map_or(StatusCode::OK, |failure| layout::status_of(failure.code));
    let field = Field::text("user_code", "Code")
        .value(code)
        .hint("Eight letters, as the device shows them.")
        .autocomplete("off")
        .most(20)
        .required()
        .autofocus();
    let body = html! {
        @if let Some(failure) = failure { (layout::problem(failure)) }
        p { "Type the code that the device shows." }
        form.stack method="post" action="/device" {
            (layout::csrf(visitor))
            (field)
            div.actions { button.main type="submit" { "Continue" } }
        }
    };
    layout::plain(status, "Sign a device in", body)
}

fn confirm_page(visitor: &Visitor, device: &DeviceRow, now: UtcMillis) -> Response {
    let address = device.address.as_deref().unwrap_or("an unknown address");
    let facts: [(&str, Markup); 4] = [
        ("Program", html! { (device.client_name) }),
        ("Address", html! { code { (address) } }),
        ("Asked", parts::when(device.created_at, now)),
        (
            "Code",
            html! { code { (device::shown(&device.user_code)) } },
        ),
    ];
    let body = html! {
        p { "A machine wants to work with Hostler in your name, " (visitor.email) "." }
        (parts::facts(&facts))
        div.note {
            p { "Go on only if the code is on a device in front of you, or on one you are logged in to." }
            p.hint { "If somebody sent you the code or a link, refuse: they would get your access." }
        }
        form.stack method="post" action="/device/decision" {
            (layout::csrf(visitor))
            input type="hidden" name="user_code" value=(device.user_code);
            (organizations(visitor))
            (permissions(Scopes::parse(&device.scopes)))
            div.actions {
                button.main type="submit" name="decision" value="allow" { "Allow" }
                button type="submit" name="decision" value="deny" { "Refuse" }
            }
        }
    };
    layout::plain(StatusCode::OK, "Is this your device?", body)
}
