//! The post-checkout hook, which git runs after adding a worktree and so do we.
//!
//! Invariant: a hook never fails a workspace; what went wrong is returned as a warning.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::system::Watch;
use super::{Engine, Error, Git, Limits, Repo};

const LIMITS: Limits = Limits {
    total: Duration::from_secs(60),
    stall: Duration::from_secs(60),
};

/// Runs post-checkout in a new worktree; `None` when there is none or all went well.
pub fn post_checkout(
    git: &Git,
    repo: &Repo,
    path: &Path,
    commit: &str,
) -> Result<Option<String>, Error> {
    if !present(git, repo)? {
        return Ok(None);
    }
    let zero = "0".repeat(commit.len());
    let args = [
        "hook",
        "run",
        "--ignore-missing",
        "post-checkout",
        "--",
        &zero,
        commit,
        "1",
    ];
    let watch = Watch {
        progress: &|_| (),
        cancel: &AtomicBool::new(false),
    };
    let said = match git.run(path, "the post-checkout hook", &args, LIMITS, &watch) {
        Ok(output) if output.status.success() => return Ok(None),
        Ok(output) => format!(
            "the post-checkout hook failed ({}): {}",
            output.status,
            last_line(&output.stderr)
        ),
        Err(error) => error.to_string(),
    };
    Ok(Some(said))
}

fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing")
}

fn present(git: &Git, repo: &Repo) -> Result<bool, Error> {
    Ok(folder(git, repo)?.join("post-checkout").is_file())
}

fn folder(git: &Git, repo: &Repo) -> Result<PathBuf, Error> {
    let configured = match repo.engine {
        Engine::Native => {
            let config = repo
                .git2()?
                .config()
                .map_err(Error::git2("reading the configuration"))?;
            config.get_path("core.hooksPath").ok()
        }
        Engine::System(_) => {
            let output = git.attempt(
                &repo.root,
                "reading the configuration",
                &["config", "--type=path", "--get", "core.hooksPath"],
            )?;
            output
                .status
                .success()
                .then(|| PathBuf::from(output.text()))
        }
    };
    Ok(configured.map_or_else(|| repo.common.join("hooks"), |path| repo.root.join(path)))
}
