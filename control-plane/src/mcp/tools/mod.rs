//! The tools: what each is called, takes, gives and may do, and the one path every call takes.
//!
//! A tool's file holds its types (schemas come from them), its description and a thin call of the
//! domain operation. Order is fixed, so that every listing is the same bytes.

mod automations;
pub(super) mod hosts;
mod projects;
mod runs;
mod tasks;
pub(super) mod workspaces;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hostler_proto::error::{ErrorCode, Failure};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::progress::ProgressSender;
use super::{schema, validate};
use crate::App;
use crate::auth::{Caller, Scope, Scopes};
use crate::hosts::ProgressSink;

/// One call of a tool: who calls, on what, and where progress goes.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) app: App,
    pub(super) caller: Caller,
    /// None when the client gave no progress token.
    pub(super) progress: Option<ProgressSender>,
}

/// What is said of a tool besides its schemas.
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) scope: Scope,
    pub(super) effect: Effect,
    /// Whether it reaches beyond what Hostler keeps (a git remote, an agent).
    pub(super) open_world: bool,
}

/// What a call of a tool does, as its annotations say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Changes nothing.
    Reads,
    /// Adds something each time.
    Adds,
    /// Adds something; a repeat finds it there.
    AddsOnce,
    /// Writes something new in a place whose past is kept.
    Writes,
    /// Switches something that can be switched back; a repeat changes nothing more.
    Switches,
    /// Writes over what is there; a repeat changes nothing more.
    Overwrites,
    /// Removes something for good; a repeat removes nothing more.
    Removes,
}

/// A tool as it is called.
pub(super) struct Entry {
    pub(super) tool: Tool,
    scope: Scope,
    run: Run,
}

type Answer = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;
type Run = Box<dyn Fn(Call, Value) -> Answer + Send + Sync>;

/// Every tool, in the order they are listed.
#[derive(Clone)]
pub(super) struct Tools(Arc<Inner>);

/// As much of a message as tells which tool it calls.
#[derive(Deserialize)]
struct Peeked {
    method: String,
    params: Option<Value>,
}

struct Inner {
    list: Vec<Entry>,
    by_name: HashMap<String, usize>,
}

impl Tools {
    /// All tools; with the conformance suite's fixtures when asked.
    pub(super) fn new(fixtures: bool) -> Self {
        let mut list: Vec<Entry> = [
            tasks::tools(),
            workspaces::tools(),
            automations::tools(),
            projects::tools(),
            hosts::tools(),
            runs::tools(),
        ]
        .into_iter()
        .flatten()
        .collect();
        if fixtures {
            list.extend(super::fixtures::tools());
        }
        Self::of(list)
    }

    /// These tools.
    pub(super) fn of(list: Vec<Entry>) -> Self {
        let names = list.iter().map(|entry| entry.tool.name.to_string());
        let by_name = names.enumerate().map(|(at, name)| (name, at)).collect();
        Self(Arc::new(Inner { list, by_name }))
    }

    pub(super) fn list(&self) -> Vec<Tool> {
        self.0.list.iter().map(|entry| entry.tool.clone()).collect()
    }

    /// What a call in `body` needs and `held` lacks; none for what is no call of a known tool.
    pub(super) fn missing(&self, body: &[u8], held: Scopes) -> Option<Scopes> {
        let call: Peeked = serde_json::from_slice(body).ok()?;
        let name = call.params.as_ref()?.get("name")?.as_str()?;
        let needed = self
            .get(name)
            .filter(|_| call.method == "tools/call")?
            .scope;
        (!held.contains(needed)).then(|| [needed].into_iter().collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Entry> {
        self.0.by_name.get(name).and_then(|at| self.0.list.get(*at))
    }
}

impl Entry {
    /// Scope, then arguments, then the operation.
    pub(super) async fn call(&self, call: Call, arguments: JsonObject) -> Result<Value, Failure> {
        call.caller.require(self.scope)?;
        let arguments = validate::arguments(&self.tool.name, &self.tool.input_schema, arguments)?;
        (self.run)(call, arguments).await
    }

    /// The failure of a call whose arguments are no object at all.
    pub(super) fn no_object(&self) -> Failure {
        validate::no_object(&self.tool.name, &self.tool.input_schema)
    }
}

/// Puts a tool together from what is said of it and the function that does it.
pub(super) fn entry<I, O, F, R>(about: &About, run: F) -> Entry
where
    I: DeserializeOwned + JsonSchema,
    O: Serialize + JsonSchema,
    F: Fn(Call, I) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<O, Failure>> + Send + 'static,
{
    let annotations = about.annotations();
    let mut tool = Tool::new(
        about.name,
        about.description,
        Arc::new(schema::of_input::<I>()),
    );
    tool.title = Some(about.title.to_owned());
    tool.output_schema = Some(Arc::new(schema::of_output::<O>()));
    tool.annotations = Some(annotations);
    let run: Run = Box::new(move |call, arguments| {
        let run = run.clone();
        Box::pin(async move {
            let input = serde_json::from_value::<I>(arguments).map_err(|error| unread(&error))?;
            let output = run(call, input).await?;
            serde_json::to_value(output).map_err(|error| unwritten(&error))
        })
    });
    Entry {
        tool,
        scope: about.scope,
        run,
    }
}

impl Call {
    /// Where the operation tells how far it is.
    fn sink(&self) -> Option<ProgressSink> {
        self.progress.clone().map(ProgressSender::sink)
    }
}

impl About {
    fn annotations(&self) -> ToolAnnotations {
        let effect = self.effect;
        ToolAnnotations::from_raw(
            Some(self.title.to_owned()),
            Some(effect == Effect::Reads),
            Some(matches!(effect, Effect::Overwrites | Effect::Removes)),
            Some(!matches!(effect, Effect::Adds | Effect::Writes)),
            Some(self.open_world),
        )
    }
}

/// The word that an enum without data is in JSON.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(_) | Err(_) => String::new(),
    }
}

/// What the schema let through and the type does not take (a number beyond its range).
fn unread(error: &serde_json::Error) -> Failure {
    Failure::new(
        ErrorCode::InvalidArgument,
        format!("the arguments cannot be read: {error}"),
    )
}

fn unwritten(error: &serde_json::Error) -> Failure {
    tracing::error!(%error, "a tool's result cannot be written as JSON");
    Failure::new(
        ErrorCode::HostError,
        "the result could not be written as JSON",
    )
    .hint("this is a fault of the control plane: look at its log")
}
