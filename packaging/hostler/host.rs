//! `hostler daemon`, `join`, `leave`, and the hidden `supervise`.

use std::path::Path;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::args::JoinArgs;
use crate::client::{Session, address};
use crate::failure::Failure;
use crate::home;
use crate::login;
use crate::output;
use crate::serve::{self, block_on};

/// Supervises one run: this process's whole life.
pub(crate) fn supervise(run_dir: &Path) -> ExitCode {
    match u8::try_from(hostler_daemon::supervise(run_dir)) {
        Ok(code) => ExitCode::from(code),
        Err(_) => ExitCode::FAILURE,
    }
}

pub(crate) fn daemon() -> Result<ExitCode, Failure> {
    let home = home::ensure()?;
    serve::log_to_stderr();
    let identity =
        hostler_daemon::identity(&home).map_err(|error| Failure::new(error.to_string()))?;
    if identity.is_none() {
        tracing::warn!("this machine is no host yet: run `hostler join URL`; waiting for that");
    }
    block_on(async {
        let shutdown = CancellationToken::new();
        serve::cancel_on_signal(&shutdown)?;
        hostler_daemon::run(&home, shutdown)
            .await
            .map_err(|error| Failure::new(error.to_string()))
    })??;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn join(session: &Session, args: &JoinArgs) -> Result<ExitCode, Failure> {
    let home = home::ensure()?;
    let known = hostler_daemon::identity(&home).map_err(|error| Failure::new(error.to_string()))?;
    let key = match &args.key {
        Some(key) => key.clone(),
        // It is a host already: enrolling says so, and nobody has to sign in for that.
        None if known.is_some() => String::new(),
        None => login::enrolment_key(session, &address(&args.url)?)?,
    };
    let enrolled = block_on(hostler_daemon::enrol(
        &home,
        &args.url,
        &key,
        args.name.as_deref(),
    ))?
    .map_err(|error| Failure::new(error.to_string()))?;
    output::line(&format!(
        "This machine is host {} ({}) of {}.",
        enrolled.name, enrolled.host_id, enrolled.url
    ))?;
    output::line("Start it: hostler daemon")?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn leave() -> Result<ExitCode, Failure> {
    let home = home::path()?;
    let left =
        block_on(hostler_daemon::leave(&home))?.map_err(|error| Failure::new(error.to_string()))?;
    output::line(&format!(
        "This machine is no longer host {} of {}. Its projects and workspaces stay on disk.",
        left.was.name, left.was.url
    ))?;
    if let Some(reason) = left.not_told {
        output::line(&format!(
            "warning: the control plane still lists it, for it could not be told: {reason}\n\
             Until its owner removes it there (`hostler hosts revoke {}`), its name is taken.",
            left.was.host_id
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
