//! The `hostler` program: both ends, and the commands people type. Thin: it parses, calls the
//! libraries or the MCP tools, and renders.

mod access;
mod args;
mod audit;
mod auth;
mod automations;
mod client;
mod credentials;
mod failure;
mod history;
mod home;
mod host;
mod hosts;
mod keys;
mod login;
mod oauth;
mod output;
mod paste;
mod projects;
mod runs;
mod schedule;
mod serve;
mod server_file;
mod status;
mod tasks;
mod when;
mod workspaces;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use args::{AuthCommand, Cli, Command};
use client::Session;
use failure::Failure;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().as_deref() == Some(OsStr::new("supervise"))
        && let Some(run_dir) = words.next()
    {
        // A supervisor lives beside every run: nothing of the rest of the program is touched.
        return host::supervise(&PathBuf::from(run_dir));
    }
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code,
        Err(failure) => {
            failure.print();
            failure.exit_code()
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let session = Session::new(cli.connection);
    match cli.command {
        Command::Up(args) => serve::up(&args),
        Command::Server(args) => serve::server(&args),
        Command::Daemon => host::daemon(),
        Command::Join(args) => host::join(&session, &args),
        Command::Leave => host::leave(),
        Command::Login(args) => login::login(&session, &args),
        Command::Logout { url } => login::logout(&session, url.as_deref()),
        Command::Auth(AuthCommand::Status) => auth::status(&session),
        Command::Auth(AuthCommand::Refresh) => auth::refresh(&session),
        Command::Whoami => auth::whoami(&session),
        Command::Recover { email } => serve::recover(&email),
        Command::Console { open } => login::console(&session, open),
        Command::Connect { client } => paste::run(&session, client.as_deref()),
        Command::Hosts(command) => hosts::run(&session, &command),
        Command::Projects(command) => projects::run(&session, command),
        Command::Workspaces(command) => workspaces::run(&session, command),
        Command::Tasks(command) => tasks::run(&session, command),
        Command::Automations(command) => automations::run(&session, *command),
        Command::Runs(command) => runs::run(&session, command),
        Command::Schedule(command) => schedule::run(&session, command),
        Command::Keys(command) => keys::run(&session, command),
        Command::Audit(command) => audit::run(&session, command),
        Command::Status => status::run(&session),
    }
}
