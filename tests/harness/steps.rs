//! What nearly every end-to-end test does on its way: find the host, register a repository, make a
//! workspace, run an automation to its end. Only calls of the public tools.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{
    Repo,
    mcp::Mcp,
    wait::{eventually, secs},
};

impl Mcp {
    /// The first host as `hosts_list` shows it.
    #[track_caller]
    pub(crate) fn host(&self) -> Value {
        self.ok("hosts_list", json!({}))["hosts"][0].clone()
    }

    /// Registers a repository on the first host; gives the project's id.
    #[track_caller]
    pub(crate) fn import(&self, repo: &Repo<'_>) -> Value {
        let arguments = json!({"hostId": self.host()["id"], "path": repo.path});
        self.ok("projects_create", arguments)["project"]["id"].clone()
    }

    /// Creates a workspace on the first host; gives its id and folder.
    #[track_caller]
    pub(crate) fn workspace(&self, project: &Value, name: &str) -> (Value, PathBuf) {
        let arguments = json!({"hostId": self.host()["id"], "projectId": project, "name": name});
        let made = self.ok("workspaces_create", arguments)["workspace"].clone();
        let path = made["path"].as_str().unwrap().into();
        (made["id"].clone(), path)
    }

    /// Creates an automation that fires once a year, with these fields changed; gives its id.
    #[track_caller]
    pub(crate) fn automation(&self, changes: &Value) -> Value {
        self.ok("automations_create", yearly(changes))["automation"]["id"].clone()
    }

    /// Starts a run by hand; gives its id.
    #[track_caller]
    pub(crate) fn start(&self, automation: &Value) -> Value {
        self.ok("automations_run", json!({"id": automation}))["runId"].clone()
    }

    /// Starts a run by hand and waits for its end; gives the run.
    #[track_caller]
    pub(crate) fn run_to_end(&self, automation: &Value) -> Value {
        let run = self.start(automation);
        self.finished(automation, &run)
    }

    /// The run once it has ended and its log is whole.
    #[track_caller]
    pub(crate) fn finished(&self, automation: &Value, run: &Value) -> Value {
        eventually("the run ends", secs(60), || {
            let found = self.log(automation, run)?;
            let ended = found["run"]["finishedAt"].is_string() && found["done"] == true;
            ended.then(|| found["run"].clone())
        })
    }

    /// A run with its log as far as it has arrived, up to a mebibyte; nothing when the call fails.
    #[track_caller]
    pub(crate) fn log(&self, automation: &Value, run: &Value) -> Option<Value> {
        let arguments = json!({"automationId": automation, "runId": run, "maxBytes": 1 << 20});
        self.call("automations_logs", arguments).ok()
    }

    /// Waits until a run's log contains this text.
    #[track_caller]
    pub(crate) fn wait_log(&self, automation: &Value, run: &Value, text: &str) {
        eventually("the log arrives", secs(30), || {
            self.log(automation, run)?["log"]
                .as_str()?
                .contains(text)
                .then_some(())
        });
    }

    /// A workspace as the list shows it.
    #[track_caller]
    pub(crate) fn find_workspace(&self, id: &Value) -> Option<Value> {
        let listed = self.ok("workspaces_list", json!({}));
        listed["workspaces"]
            .as_array()?
            .iter()
            .find(|one| one["id"] == *id)
            .cloned()
    }
}

/// Arguments for an automation that does nothing, once a year, with these fields changed.
pub(crate) fn yearly(changes: &Value) -> Value {
    let mut arguments = json!({
        "name": "test", "agent": "shell", "prompt": "true", "rrule": "FREQ=YEARLY", "timezone": "UTC",
    });
    for (key, value) in changes.as_object().unwrap() {
        arguments[key] = value.clone();
    }
    arguments
}
