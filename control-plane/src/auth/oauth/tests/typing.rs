//! Device authorization: the code on the device, the pages in the browser, and the waiting.

use axum::http::{StatusCode, header};
use serde_json::Value;

use super::{Answer, Browser, Pair, Site};
use crate::auth::oauth::client::CLI;
use crate::auth::oauth::device::DEVICE_GRANT;
use crate::limits::{Bucket, Limits, Rate, Rates};

/// A device that shows its code.
struct Device {
    code: String,
    user_code: String,
}

impl Site {
    async fn device(&self) -> Device {
        let fields = [("client_id", CLI), ("scope", "tasks:read hosts:write")];
        let answer = self.post("/oauth/device_authorization", &fields).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let user_code = text("user_code");
        assert_eq!(text("verification_uri"), format!("{}/device", self.url()));
        assert_eq!(
            text("verification_uri_complete"),
            format!("{}/device?user_code={user_code}", self.url())
        );
        assert_eq!(
            (&body["expires_in"], &body["interval"]),
            (&Value::from(600), &Value::from(5))
        );
        Device {
            code: text("device_code"),
            user_code,
        }
    }

    /// The device looks whether it may go on, five seconds after it last did.
    async fn look(&self, device: &Device) -> Answer {
        self.age(5_000).await;
        self.look_now(device, CLI).await
    }

    async fn look_now(&self, device: &Device, client: &str) -> Answer {
        let fields = [
            ("grant_type", DEVICE_GRANT),
            ("client_id", client),
            ("device_code", &device.code),
        ];
        self.post("/oauth/token", &fields).await
    }

    async fn decide(&self, device: &Device, decision: &str) -> Answer {
        let org = self.org.to_string();
        let fields = [
            ("user_code", device.user_code.as_str()),
            ("org", &org),
            ("decision", decision),
            ("tasks:read", "on"),
            ("automations:write", "on"),
        ];
        self.submit("/device/decision", &fields).await
    }
}

#[tokio::test]
async fn a_device_gets_tokens_once_its_code_was_typed_and_allowed() {
    let site = Site::new().await;
    let device = site.device().await;
    site.look(&device).await.refused("authorization_pending");
    let typed = device.user_code.to_lowercase().replace('-', " ");
    let page = site.submit("/device", &[("user_code", &typed)]).await;
    assert_eq!(page.status, StatusCode::OK);
    for words in [
        "Hostler command line",
        "127.0.0.1",
        &device.user_code,
        "See tasks",
        "Add hosts",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    site.look(&device).await.refused("authorization_pending");
    let decided = site.decide(&device, "allow").await;
    assert_eq!(decided.status, StatusCode::OK, "{decided:?}");
    let answer = site.look(&device).await;
    assert_eq!(
        answer.json()["scope"],
        "tasks:read",
        "what was taken out or never asked for is not given"
    );
    let pair = Pair::of(CLI.to_owned(), &answer);
    assert_eq!(site.ping(&pair.access).await, StatusCode::OK);
    let next = Pair::of(CLI.to_owned(), &site.refresh(CLI, &pair.refresh).await);
    assert_eq!(site.ping(&next.access).await, StatusCode::OK);
    site.look(&device).await.refused("invalid_grant");
    assert_eq!(
        site.ping(&next.access).await,
        StatusCode::UNAUTHORIZED,
        "a code used twice"
    );
}

#[tokio::test]
async fn a_refused_device_is_told_and_an_undecided_one_runs_out() {
    let site = Site::new().await;
    let (refused, late) = (site.device().await, site.device().await);
    assert_eq!(site.decide(&refused, "deny").await.status, StatusCode::OK);
    site.look(&refused).await.refused("access_denied");
    assert_eq!(
        site.decide(&refused, "allow").await.status,
        StatusCode::NOT_FOUND
    );
    site.age(600_001).await;
    site.look(&late).await.refused("expired_token");
    assert_eq!(
        site.decide(&late, "allow").await.status,
        StatusCode::NOT_FOUND
    );
    site.look(&late).await.refused("expired_token");
}

#[tokio::test]
async fn a_hasty_device_is_slowed_down() {
    let site = Site::new().await;
    let device = site.device().await;
    site.look_now(&device, CLI)
        .await
        .refused("authorization_pending");
    site.look_now(&device, CLI).await.refused("slow_down");
    site.look(&device).await.refused("slow_down");
    site.age(15_000).await;
    site.look_now(&device, CLI)
        .await
        .refused("authorization_pending");
    assert_eq!(site.decide(&device, "allow").await.status, StatusCode::OK);
    assert_eq!(site.look_now(&device, CLI).await.status, StatusCode::OK);
}

#[tokio::test]
async fn only_the_command_line_may_and_only_with_its_own_code() {
    let site = Site::new().await;
    let client = site.client().await;
    let other = site
        .post("/oauth/device_authorization", &[("client_id", &client)])
        .await;
    other.refused("unauthorized_client");
    site.post("/oauth/device_authorization", &[])
        .await
        .refused("invalid_request");
    let target = [
        ("client_id", CLI),
        ("resource", "https://other.example/mcp"),
    ];
    site.post("/oauth/device_authorization", &target)
        .await
        .refused("invalid_target");
    let device = site.device().await;
    site.decide(&device, "allow").await;
    site.look_now(&device, &client)
        .await
        .refused("invalid_grant");
    assert_eq!(site.look_now(&device, CLI).await.status, StatusCode::OK);
}

/// A link that somebody was sent allows nothing by being opened, nor does a form of another page.
#[tokio::test]
async fn opening_a_link_decides_nothing() {
    let site = Site::new().await;
    let device = site.device().await;
    let path = format!("/device?user_code={}", device.user_code);
    let page = site.browse(&path).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(
        page.body
            .contains(&format!("value=\"{}\"", device.user_code)),
        "{}",
        page.body
    );
    let hostile = site.browse("/device?user_code=%22%3E%3Cscript%3E").await;
    assert!(!hostile.body.contains("\"><script>"), "{}", hostile.body);
    let nobody = site.get(&path).await;
    assert!(
        nobody
            .header(header::LOCATION)
            .starts_with("/sign-in?next=%2Fdevice"),
        "{nobody:?}"
    );
    let org = site.org.to_string();
    let fields = [
        ("user_code", device.user_code.as_str()),
        ("org", &org),
        ("decision", "allow"),
        ("tasks:read", "on"),
    ];
    let stranger = Browser {
        csrf: "0".repeat(64),
        ..site.browser.clone()
    };
    let forged = site.submit_as(&stranger, "/device/decision", &fields).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    site.look(&device).await.refused("authorization_pending");
}

#[tokio::test]
async fn codes_cannot_be_guessed_at_leisure() {
    let mut site = Site::new().await;
    let rates = Rates::default().with(Bucket::UserCodes, Rate::per_minute(1, 3));
    site.app.limits = std::sync::Arc::new(Limits::new(rates));
    site.routes = super::routes_of(&site.app);
    let device = site.device().await;
    for _ in 0..3 {
        let wrong = site.submit("/device", &[("user_code", "BBBB-BBBB")]).await;
        assert_eq!(wrong.status, StatusCode::NOT_FOUND, "{wrong:?}");
    }
    let right = site
        .submit("/device", &[("user_code", &device.user_code)])
        .await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "{right:?}");
}
