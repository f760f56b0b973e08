//! The MCP server: Streamable HTTP at `/api/v2/agent/mcp` and `/mcp`, both protocol eras, stateless.
//!
//! A call's work runs apart from the connection that asked for it: a client that goes away stops
//! waiting, it never stops a clone, a workspace or a run half-way. Who calls is settled before
//! routing, so that every method on these paths answers 401 without a good key. Arguments are
//! checked against the advertised schemas; what a known tool is given wrong is the tool's error,
//! never the protocol's. Prompts, resources and completion are not offered.

mod access;
mod error;
mod fixtures;
mod pages;
mod progress;
mod schema;
mod tools;
mod validate;
mod views;

#[cfg(test)]
mod tests;

use axum::Router;
use axum::middleware;
use hostler_proto::error::{ErrorCode, Failure};
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CacheScope, CallToolRequestMethod, CallToolRequestParams, CallToolResponse, CallToolResult,
    CompleteRequestMethod, CompleteRequestParams, CompleteResult, CustomRequest, CustomResult,
    ErrorData, Implementation, ListPromptsRequestMethod, ListPromptsResult,
    ListResourceTemplatesRequestMethod, ListResourceTemplatesResult, ListResourcesRequestMethod,
    ListResourcesResult, ListToolsRequestMethod, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::{RoleServer, model::ConstString};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::App;
use crate::auth::Caller;
use crate::limits::Wait;
use tools::{Call, Tools};

/// Where the server answers: the documented path first.
const PATHS: [&str; 2] = ["/api/v2/agent/mcp", "/mcp"];

/// For how long a client may keep the list of tools, milliseconds: it changes with the program only.
const LIST_TTL_MS: u64 = 300_000;

/// Told to a client when it connects.
const INSTRUCTIONS: &str = "Hostler turns machines (hosts) into places where coding agents work. \
    Tasks are work items. Projects are git repositories registered on hosts. Workspaces are \
    git worktrees of a project on a host, one per branch. Automations run a coding agent on a host \
    by schedule; their runs have states and logs. Start with hosts_list and projects_list to learn \
    the ids and names that other tools take. An error's hint says what to do next.";

/// The routes of the MCP server.
pub(crate) fn router(app: &App) -> Router {
    serving(app, Tools::new(fixtures_asked_for()))
}

fn serving(app: &App, tools: Tools) -> Router {
    let server = Server {
        app: app.clone(),
        tools,
        work: TaskTracker::new(),
    };
    let guarded = (app.clone(), server.tools.clone());
    let config = access::rebinding_rules(&app.server.url)
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_cancellation_token(app.shutdown.child_token());
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        NeverSessionManager::default().into(),
        config,
    );
    let routes = PATHS.into_iter().fold(Router::new(), |routes, path| {
        routes.route_service(path, service.clone())
    });
    routes
        .layer(middleware::from_fn(access::bodies_are_judged_as_json))
        .layer(middleware::from_fn_with_state(
            guarded,
            access::only_with_a_key,
        ))
        .layer(middleware::from_fn_with_state(
            app.server.url.clone(),
            pages::may_call,
        ))
}

/// The conformance suite calls tools of fixed names; a debug build offers them when asked.
fn fixtures_asked_for() -> bool {
    cfg!(debug_assertions) && std::env::var_os("HOSTLER_MCP_FIXTURES").is_some()
}

#[derive(Clone)]
struct Server {
    app: App,
    tools: Tools,
    work: TaskTracker,
}

impl Server {
    /// Does a call's work apart from the connection; progress is told while it goes on.
    async fn work(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        if let Some(wait) = told_to_wait(&context) {
            return Ok(error::answer(wait.into()));
        }
        let caller = caller_of(&context)?;
        let token = context.meta.get_progress_token();
        let told = token.map(|token| progress::channel(token, context.peer.clone()));
        let (progress, teller) = told.unzip();
        let call = Call {
            app: self.app.clone(),
            caller,
            progress,
        };
        let answered = answered(self.job(request, call), teller);
        tokio::select! {
            done = answered => Ok(done.unwrap_or_else(|error| error::answer(broken(&error)))),
            () = context.ct.cancelled() => Ok(error::answer(no_longer_awaited())),
        }
    }

    fn job(
        &self,
        request: CallToolRequestParams,
        call: Call,
    ) -> impl Future<Output = Result<CallToolResult, JoinError>> + use<> {
        let tools = self.tools.clone();
        self.work.spawn(async move {
            let Some(tool) = tools.get(&request.name) else {
                return error::answer(no_such_tool(&request.name));
            };
            match tool.call(call, request.arguments.unwrap_or_default()).await {
                Ok(value) => error::success(value),
                Err(failure) => error::answer(failure),
            }
        })
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let about = Implementation::new("hostler", env!("CARGO_PKG_VERSION"))
            .with_title("Hostler")
            .with_description("Hosts, workspaces, tasks and scheduled runs of coding agents");
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(about)
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        if request.and_then(|page| page.cursor).is_some() {
            return Err(ErrorData::invalid_params(
                "tools/list has one page: call it without a cursor",
                None,
            ));
        }
        Ok(ListToolsResult::with_all_items(self.tools.list())
            .with_ttl_ms(LIST_TTL_MS)
            .with_cache_scope(CacheScope::Private))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.get(name).map(|entry| entry.tool.clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if self.tools.get(&request.name).is_none() {
            return Err(ErrorData::invalid_params(
                format!("unknown tool: {}", crate::names::shortened(&request.name)),
                None,
            ));
        }
        self.work(request, context).await.map(Into::into)
    }

    /// What does not read as a request of a known method comes here: a call of a known tool with
    /// arguments that are no object is that tool's error.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let name = request
            .params
            .as_ref()
            .and_then(|params| params.get("name"));
        let tool = name
            .and_then(serde_json::Value::as_str)
            .and_then(|name| self.tools.get(name));
        match (request.method.as_str(), tool) {
            (CallToolRequestMethod::VALUE, Some(tool)) => {
                let answer = serde_json::to_value(error::answer(tool.no_object()));
                answer
                    .map(CustomResult::new)
                    .map_err(|error| ErrorData::internal_error(error.to_string(), None))
            }
            (CallToolRequestMethod::VALUE | ListToolsRequestMethod::VALUE, _) => {
                Err(ErrorData::invalid_params(
                    format!("the params of {} are malformed", request.method),
                    None,
                ))
            }
            (method, _) => Err(ErrorData::new(
                rmcp::model::ErrorCode::METHOD_NOT_FOUND,
                method.to_owned(),
                None,
            )),
        }
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        not_offered::<CompleteRequestMethod, _>()
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        not_offered::<ListPromptsRequestMethod, _>()
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        not_offered::<ListResourcesRequestMethod, _>()
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        not_offered::<ListResourceTemplatesRequestMethod, _>()
    }
}

/// Waits for the work, telling its progress meanwhile. What waits to be told when the work is done
/// is told before the answer; whoever still holds a sender then does not hold the answer up.
async fn answered(
    job: impl Future<Output = Result<CallToolResult, JoinError>>,
    teller: Option<progress::Teller>,
) -> Result<CallToolResult, JoinError> {
    let Some(teller) = teller else {
        return job.await;
    };
    let over = CancellationToken::new();
    let work = async {
        let done = job.await;
        over.cancel();
        done
    };
    let (done, ()) = tokio::join!(work, teller.run(over.clone()));
    done
}

fn not_offered<M: ConstString, T>() -> Result<T, ErrorData> {
    Err(ErrorData::method_not_found::<M>())
}

/// The caller that [`access`] put into the request.
fn caller_of(context: &RequestContext<RoleServer>) -> Result<Caller, ErrorData> {
    let parts = context.extensions.get::<axum::http::request::Parts>();
    let caller = parts.and_then(|parts| parts.extensions.get::<Caller>());
    caller
        .cloned()
        .ok_or_else(|| ErrorData::internal_error("the request has no caller", None))
}

/// Whether the credential called too often: a tool's error, so that the model can wait.
fn told_to_wait(context: &RequestContext<RoleServer>) -> Option<Wait> {
    let parts = context.extensions.get::<axum::http::request::Parts>()?;
    parts.extensions.get::<Wait>().copied()
}

fn no_such_tool(name: &str) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("there is no tool \"{}\"", crate::names::shortened(name)),
    )
}

fn broken(error: &JoinError) -> Failure {
    tracing::error!(%error, "a tool's work broke off");
    Failure::new(
        ErrorCode::HostError,
        "the call broke off inside the control plane",
    )
    .hint("look at what was done before calling again, and at the control plane's log")
}

fn no_longer_awaited() -> Failure {
    Failure::new(
        ErrorCode::Timeout,
        "the client stopped waiting; what was asked for goes on",
    )
    .hint("list or get the thing to see how it ended")
}
