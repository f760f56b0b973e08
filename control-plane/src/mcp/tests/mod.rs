//! The MCP server as a whole: what it advertises, and what it answers over HTTP.

mod advertised;
mod http;
mod inputs;
mod outputs;

use std::path::Path;

use axum::Router;
use serde_json::{Value, json};

use crate::{App, Config};

/// A control plane on a folder of its own, served without a socket.
struct Served {
    _home: tempfile::TempDir,
    _plane: crate::ControlPlane,
    app: App,
    key: String,
    routes: Router,
}

async fn served() -> Served {
    let home = tempfile::tempdir().unwrap();
    let plane = open(home.path()).await;
    let key = plane.first_api_key().unwrap().to_owned();
    let app = plane.app().clone();
    let routes = super::router(&app);
    Served {
        _home: home,
        _plane: plane,
        app,
        key,
        routes,
    }
}

async fn open(home: &Path) -> crate::ControlPlane {
    crate::open(Config {
        home: home.to_owned(),
        listen: ([127, 0, 0, 1], 0).into(),
        public_url: None,
        keep_logs: crate::config::KeepLogs::default(),
        edge: crate::edge::Settings::default(),
        oauth: crate::config::OAuth::default(),
    })
    .await
    .unwrap()
}

/// A JSON-RPC request.
fn rpc(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// A call of a tool.
fn tool_call(name: &str, arguments: &Value) -> Value {
    rpc("tools/call", &json!({"name": name, "arguments": arguments}))
}
