//! Making a workspace: name, base, row, worktree, copied files, setup.
//!
//! Invariant: at every moment a crash leaves either a `creating` row that [`super::recover`] takes
//! back, or a complete worktree with its row. Twins take turns per (project, branch), so the second
//! one finds what the first made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hostler_proto::command::{Base, Progress, SetupReport, WorkspaceCreate, WorkspaceCreated};
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::ids::{RunId, WorkspaceId};
use hostler_proto::time::UtcMillis;
use hostler_proto::workspace::{Workspace, WorkspaceKind, WorkspaceState};

use super::base::{self, Choice};
use super::{forget, invalid, save, set_state, setup_key, turn_key};
use crate::git::worktree::{self, Made, Plan, Step};
use crate::git::{Limits, Repo, Watch, fetch, names};
use crate::link::ProgressSink;
use crate::projects::{blocking, made_folder, ready, text, told};
use crate::setup::{self, SETUP_LIMIT, Setup, Steps, Supervise};
use crate::store::projects::ProjectRow;
use crate::store::workspaces::{self, Private, WorkspaceRow};
use crate::{Context, failpoint, space};

/// Called after each step of a creation, with the names in [`failpoint`]; tests crash there.
pub type Crash = Arc<dyn Fn(&str) + Send + Sync>;

const FRESH_MS: i64 = 5 * 60 * 1000;
const RETRY_MS: i64 = 60 * 1000;

/// Makes a workspace of a project, or gives the one that is on that branch.
pub async fn create(
    context: &Context,
    command: WorkspaceCreate,
    supervise: &dyn Supervise,
    report: ProgressSink,
    now: UtcMillis,
) -> Result<WorkspaceCreated, Failure> {
    let at: Crash = Arc::new(|step| failpoint::reached("workspace_create", step));
    create_at(
        context,
        Wish {
            command,
            run_id: None,
        },
        supervise,
        report,
        at,
        now,
    )
    .await
}

/// What is to be made, and for which run.
pub struct Wish {
    /// The request.
    pub command: WorkspaceCreate,
    /// The run it is made for, if any.
    pub run_id: Option<RunId>,
}

/// [`create`] with a hook after each step.
pub async fn create_at(
    context: &Context,
    wish: Wish,
    supervise: &dyn Supervise,
    report: ProgressSink,
    at: Crash,
    now: UtcMillis,
) -> Result<WorkspaceCreated, Failure> {
    let command = &wish.command;
    let branch = branch_name(command)?;
    let project = ready(context, command.project_id).await?;
    let job = Making {
        context,
        project,
        branch,
        supervise,
        report,
        at,
        now,
    };
    let _turn = context
        .busy
        .turn(turn_key(command.project_id, &job.branch))
        .await;
    match job.settled(command.workspace_id).await? {
        Some(row) => job.existing(row, command).await,
        None => job.make(&wish).await,
    }
}

fn branch_name(command: &WorkspaceCreate) -> Result<String, Failure> {
    let name = command.name.trim();
    if name.is_empty() || name.chars().count() > 200 {
        let message = format!(
            "a workspace's name has 1 to 200 characters, this one has {}",
            name.chars().count()
        );
        return Err(invalid(
            message,
            "Give a short name, such as 'Fix login timeout'.",
        ));
    }
    let branch = match &command.branch {
        Some(branch) => branch.clone(),
        None => names::slug(name)
            .unwrap_or_else(|| format!("workspace-{}", short(&command.workspace_id.to_string()))),
    };
    names::check_branch(&branch)?;
    Ok(branch)
}

/// The last eight digits: the ones that differ between ids made in one moment.
pub(super) fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id)
}

struct Making<'a> {
    context: &'a Context,
    project: ProjectRow,
    branch: String,
    supervise: &'a dyn Supervise,
    report: ProgressSink,
    at: Crash,
    now: UtcMillis,
}

impl Making<'_> {
    /// The workspace on this branch, if it is there; what an earlier life left is taken away.
    async fn settled(&self, wanted: WorkspaceId) -> Result<Option<WorkspaceRow>, Failure> {
        let store = &self.context.store;
        let same = store.workspace(wanted).await?;
        let Some(row) = (match same {
            Some(row) => Some(row),
            None => {
                store
                    .workspace_on(self.project.project.id, &self.branch)
                    .await?
            }
        }) else {
            return Ok(None);
        };
        match row.workspace.state {
            WorkspaceState::Ready | WorkspaceState::Failed { .. }
                if Path::new(&row.workspace.path).is_dir() =>
            {
                Ok(Some(row))
            }
            // Its own id is taken up again; the catalog never takes back a workspace it was told gone.
            WorkspaceState::Ready | WorkspaceState::Failed { .. } if row.workspace.id == wanted => {
                Ok(None)
            }
            WorkspaceState::Ready | WorkspaceState::Failed { .. } => {
                forget(self.context, &row, self.now).await?;
                Ok(None)
            }
            WorkspaceState::Creating => {
                super::recover::take_back(self.context, &row, self.now).await?;
                if row.workspace.id != wanted {
                    forget(self.context, &row, self.now).await?;
                }
                Ok(None)
            }
            WorkspaceState::Deleting => {
                super::delete::go_on(self.context, row, self.now).await?;
                Ok(None)
            }
        }
    }

    /// The answer for a workspace that was there; setup that failed before is tried again.
    async fn existing(
        &self,
        mut row: WorkspaceRow,
        command: &WorkspaceCreate,
    ) -> Result<WorkspaceCreated, Failure> {
        let base = Base {
            branch: row
                .workspace
                .base_branch
                .clone()
                .unwrap_or_else(|| self.branch.clone()),
            commit: row.workspace.base_commit.clone().unwrap_or_default(),
            fetched_at: self.project.fetched_at,
        };
        let mut warnings = Vec::new();
        let mut setup = None;
        if command.setup && matches!(row.workspace.state, WorkspaceState::Failed { .. }) {
            setup = self.furnish(&mut row, true, &mut warnings).await?;
        }
        Ok(WorkspaceCreated {
            workspace: row.workspace,
            existed: true,
            base,
            setup,
            warnings,
        })
    }

    async fn make(&self, wish: &Wish) -> Result<WorkspaceCreated, Failure> {
        space::check(self.context)?;
        let path = PathBuf::from(&self.project.project.path);
        let repo = blocking(move || Repo::discover(&path)).await?;
        let (choice, fetched_at, mut warnings) = self.choose(&repo, &wish.command).await?;
        let mut row = self.claim(&choice, wish).await?;
        (self.at)("intent");
        let made = match self.build(&repo, &choice, &row).await {
            Ok(made) => made,
            Err(failure) => {
                forget(self.context, &row, self.now).await?;
                return Err(named(failure, &row));
            }
        };
        warnings.extend(made.warnings);
        row.private.entry = Some(made.entry);
        row.workspace.base_commit = Some(made.commit.clone());
        save(self.context, &row, self.now).await?;
        (self.at)("recorded");
        let setup = self
            .furnish(&mut row, wish.command.setup, &mut warnings)
            .await?;
        let base = Base {
            branch: choice.branch,
            commit: made.commit,
            fetched_at,
        };
        Ok(WorkspaceCreated {
            workspace: row.workspace,
            existed: false,
            base,
            setup,
            warnings,
        })
    }

    /// Where the branch starts, after a fetch if one is due.
    async fn choose(
        &self,
        repo: &Repo,
        command: &WorkspaceCreate,
    ) -> Result<(Choice, Option<UtcMillis>, Vec<String>), Failure> {
        let (tools, at, branch) = (
            Arc::clone(&self.context.git),
            repo.clone(),
            self.branch.clone(),
        );
        let here = blocking(move || base::existing(&tools.git, &at, &branch)).await?;
        if let Some(choice) = here {
            return Ok((choice, self.project.fetched_at, Vec::new()));
        }
        let (fetched_at, warning) = self.fetch(repo).await?;
        let default = self
            .project
            .project
            .default_branch
            .clone()
            .unwrap_or_else(|| "HEAD".to_owned());
        let wanted = command.base_branch.clone().unwrap_or(default);
        let (tools, at, branch) = (
            Arc::clone(&self.context.git),
            repo.clone(),
            self.branch.clone(),
        );
        let choice = blocking(move || base::new(&tools.git, &at, &branch, &wanted)).await?;
        let warnings = warning
            .into_iter()
            .chain(choice.warnings.iter().cloned())
            .collect();
        Ok((choice, fetched_at, warnings))
    }

    /// Fetches the remote unless that was done, or failed, a moment ago.
    async fn fetch(&self, repo: &Repo) -> Result<(Option<UtcMillis>, Option<String>), Failure> {
        let id = self.project.project.id;
        let _turn = self.context.busy.turn(format!("fetch {id}")).await;
        let Some(row) = self.context.store.project(id).await? else {
            return Ok((None, None));
        };
        if row
            .fetched_at
            .is_some_and(|at| self.now.since(at) < FRESH_MS)
        {
            return Ok((row.fetched_at, None));
        }
        if row
            .fetch_failed_at
            .is_some_and(|at| self.now.since(at) < RETRY_MS)
        {
            return Ok((
                row.fetched_at,
                Some("the base was not fetched: that failed a moment ago".to_owned()),
            ));
        }
        let (tools, repo, tell) = (
            Arc::clone(&self.context.git),
            repo.clone(),
            told(&self.report),
        );
        let fetched = blocking(move || {
            let watch = Watch {
                progress: &tell,
                cancel: tools.stopping(),
            };
            Ok(fetch::fetch(&tools.git, &repo, Limits::FETCH, &watch))
        })
        .await?;
        match fetched {
            Ok(false) => Ok((None, None)),
            Ok(true) => {
                self.context.store.note_fetch(id, true, self.now).await?;
                Ok((Some(self.now), None))
            }
            Err(error) => {
                self.context.store.note_fetch(id, false, self.now).await?;
                Ok((
                    row.fetched_at,
                    Some(format!("the base was not fetched: {error}")),
                ))
            }
        }
    }

    /// Writes the intent: from now on the path is this workspace's.
    async fn claim(&self, choice: &Choice, wish: &Wish) -> Result<WorkspaceRow, Failure> {
        let root = self.context.config.worktrees_root.clone();
        let root = blocking(move || made_folder(root)).await?;
        let folder = root
            .join(&self.project.project.slug)
            .join(names::folder(&self.branch));
        let own = wish.command.workspace_id;
        let mut tx = self.context.store.begin().await?;
        let mut path = text(&folder)?;
        let mut number = 2;
        while workspaces::path_taken(&mut tx, &path, own).await?
            || Path::new(&path).symlink_metadata().is_ok()
        {
            path = format!("{}-{number}", text(&folder)?);
            number += 1;
        }
        let row = self.row(choice, wish, path);
        workspaces::put(&mut tx, &row, self.now).await?;
        self.context.store.commit(tx).await?;
        Ok(row)
    }

    fn row(&self, choice: &Choice, wish: &Wish, path: String) -> WorkspaceRow {
        let command = &wish.command;
        WorkspaceRow {
            workspace: Workspace {
                id: command.workspace_id,
                project_id: Some(command.project_id),
                name: command.name.trim().to_owned(),
                branch: Some(self.branch.clone()),
                base_branch: choice.made_from.clone(),
                base_commit: Some(choice.commit.clone()),
                kind: WorkspaceKind::Worktree,
                state: WorkspaceState::Creating,
                path,
                changes: None,
                task_id: command.task_id,
                created_by: command.created_by.clone(),
                created_at: self.now,
            },
            private: Private {
                branch_made_at: choice.start.created().cloned(),
                run_id: wish.run_id,
                ..Private::default()
            },
        }
    }

    async fn build(
        &self,
        repo: &Repo,
        choice: &Choice,
        row: &WorkspaceRow,
    ) -> Result<Made, Failure> {
        let plan = Plan {
            token: row.workspace.id.to_string(),
            branch: self.branch.clone(),
            path: PathBuf::from(&row.workspace.path),
            start: choice.start.clone(),
        };
        let (tools, repo, tell, at) = (
            Arc::clone(&self.context.git),
            repo.clone(),
            told(&self.report),
            Arc::clone(&self.at),
        );
        blocking(move || {
            let watch = Watch {
                progress: &tell,
                cancel: tools.stopping(),
            };
            worktree::create(&tools, &repo, &plan, &watch, &|step: Step| at(step.name()))
        })
        .await
    }

    /// Copies files, runs setup, and settles the state: ready, or failed with the reason.
    async fn furnish(
        &self,
        row: &mut WorkspaceRow,
        run: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Option<SetupReport>, Failure> {
        let (tree, root) = (
            PathBuf::from(&row.workspace.path),
            PathBuf::from(&self.project.project.path),
        );
        let wants = blocking(move || {
            let found = setup::find(&tree, &root);
            let problems = found
                .as_ref()
                .map_or_else(|_| Vec::new(), |found| setup::copy(found, &root, &tree));
            Ok(found.map(|found| (found, problems)))
        })
        .await?;
        let report = match wants {
            Ok((wants, problems)) => {
                warnings.extend(wants.warnings.iter().cloned().chain(problems));
                if run {
                    self.set_up(row, wants).await?
                } else {
                    None
                }
            }
            Err(error) => run.then(|| unreadable(&error.to_string())),
        };
        let state = match &report {
            Some(report) if !report.ok => WorkspaceState::Failed { error: why(report) },
            Some(_) | None => WorkspaceState::Ready,
        };
        set_state(self.context, row, state, self.now).await?;
        Ok(report)
    }

    async fn set_up(
        &self,
        row: &WorkspaceRow,
        wants: Setup,
    ) -> Result<Option<SetupReport>, Failure> {
        if wants.setup.is_empty() {
            return Ok(None);
        }
        (self.report)(Progress {
            phase: "setup".to_owned(),
            done: 0,
            total: None,
        });
        let dir = match wants.folder(Path::new(&row.workspace.path)) {
            Ok(dir) => dir,
            Err(error) => return Ok(Some(unreadable(&error.to_string()))),
        };
        let steps = Steps {
            what: "setup",
            commands: wants.setup,
            dir,
            env: env_of(row, &self.project.project.path),
            limit: SETUP_LIMIT,
        };
        let done = self
            .context
            .busy
            .until_cut(setup_key(row.workspace.id), self.supervise.steps(steps))
            .await;
        Ok(Some(done.unwrap_or_else(|| {
            unreadable("it was ended, because the workspace is to be deleted")
        })))
    }
}

/// What setup and teardown commands can count on in their environment.
pub(super) fn env_of(row: &WorkspaceRow, root: &str) -> BTreeMap<String, String> {
    let workspace = &row.workspace;
    let mut env: BTreeMap<String, String> = [
        ("HOSTLER_WORKSPACE_ID", workspace.id.to_string()),
        ("HOSTLER_WORKSPACE_NAME", workspace.name.clone()),
        ("HOSTLER_WORKSPACE_PATH", workspace.path.clone()),
        ("HOSTLER_ROOT_PATH", root.to_owned()),
        // What a project's `.superset/config.json` was written for.
        ("SUPERSET_WORKSPACE_NAME", workspace.name.clone()),
        ("SUPERSET_ROOT_PATH", root.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Some(branch) = &workspace.branch {
        env.insert("HOSTLER_BRANCH".to_owned(), branch.clone());
    }
    env
}

/// A failure of git says what failed; this says to which workspace.
fn named(mut failure: Failure, row: &WorkspaceRow) -> Failure {
    if failure.code == ErrorCode::HostError {
        let workspace = &row.workspace;
        failure.message = format!(
            "workspace '{}' could not be made at {}: {}",
            workspace.name, workspace.path, failure.message
        );
    }
    failure
}

fn unreadable(error: &str) -> SetupReport {
    SetupReport {
        ok: false,
        failed_command: None,
        exit_code: None,
        duration_ms: 0,
        last_lines: error.to_owned(),
    }
}

fn why(report: &SetupReport) -> String {
    let ending = report.exit_code.map_or_else(
        || "did not finish".to_owned(),
        |code| format!("exited with {code}"),
    );
    match &report.failed_command {
        Some(command) => format!("setup failed: '{command}' {ending}"),
        None => format!("setup failed: {}", report.last_lines),
    }
}
