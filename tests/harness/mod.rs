//! What the end-to-end tests stand on: a home of their own, the real program as real processes, a
//! plain MCP client, real git repositories and real agent clients.
//!
//! Nothing here reads the developer's own home, git configuration or environment, everything is
//! bounded by a deadline, and what a test started is ended by process id when its `Home` goes away.
//! A client that is not installed fails the test that needs it; nothing is skipped.

mod agents;
mod browser;
mod clients;
mod cutter;
mod home;
mod http;
mod mcp;
mod model;
mod person;
mod program;
mod proxy;
mod repo;
mod steps;
mod terminal;
mod visit;
mod visitor;
mod wait;

pub(crate) use agents::{set_run_environment, settle_agent, wait_for_agent};
pub(crate) use browser::{Browser, Theme};
pub(crate) use clients::{
    ask_claude, claude_environment, client, client_folder, codex_settings, host_model, printed,
    says_the_host,
};
pub(crate) use cutter::Cutter;
pub(crate) use home::{Home, free_port};
pub(crate) use http::Http;
pub(crate) use mcp::{Era, Mcp};
pub(crate) use model::Model;
pub(crate) use person::{
    INVITED, OWNER, accept, allow, allow_device, device_page, disconnect, invite, set_up,
};
pub(crate) use program::{Ended, Program, Service};
pub(crate) use proxy::KeyProxy;
pub(crate) use repo::{Repo, git};
pub(crate) use steps::yearly;
pub(crate) use terminal::Terminal;
pub(crate) use visit::{catalog, newcomer_cookie, owner_cookie};
pub(crate) use visitor::Visitor;
pub(crate) use wait::{Stopwatch, eventually, passed, secs, soon};
