//! What the owner of this machine allows here, whatever the control plane asks: folders, agents,
//! members, how many runs, how much autonomy.
//!
//! The file is looked at (one stat) whenever something is decided, so a change holds at once and
//! without a restart. A file that became wrong changes nothing: what it said last goes on to hold,
//! and the mistake is told. Who a member is, is the control plane's word; this is checked here all
//! the same, for every command and for every run.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hostler_proto::actor::Actor;
use hostler_proto::automation::{Autonomy, RunTarget};
use hostler_proto::command::Command;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::host::HostPolicy;
use hostler_proto::ids::ProjectId;

use crate::Context;
use crate::config::{Config, Layout};
use crate::store::runs::RunRow;
use crate::store::{StoreError, meta};

/// What is allowed, as the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Folders that projects may lie in; empty is anywhere.
    pub roots: Vec<PathBuf>,
    /// Who and what, as it is told to the control plane.
    pub told: HostPolicy,
    /// The most an automation may let an agent do.
    pub max_autonomy: Autonomy,
}

/// The owner's rules, read again when the file has changed.
#[derive(Debug)]
pub struct Policy {
    layout: Option<Layout>,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    rules: Arc<Rules>,
}

/// Where it is kept that nothing new begins here, and why; empty when it does.
const DOUBT_KEY: &str = "stood_down";

/// What tells one state of a file from another; none while there is no file.
type Stamp = Option<(u64, u64, i64, i64)>;

impl Rules {
    fn of(config: &Config) -> Self {
        let shown = |root: &PathBuf| root.to_string_lossy().into_owned();
        Self {
            roots: config.allowed_roots.clone(),
            told: HostPolicy {
                allowed_roots: config.allowed_roots.iter().map(shown).collect(),
                allowed_agents: config.allowed_agents.clone(),
                allowed_members: config.allowed_members.clone(),
                max_runs: config.max_runs,
                problem: None,
            },
            max_autonomy: config.max_autonomy,
        }
    }

    /// Whether a project may lie at this absolute path. Folders are compared as the file system
    /// knows them, so that neither a symlink, nor `..`, nor another case of the same letters on a
    /// volume that does not tell them apart leads out or keeps out.
    pub fn allows(&self, path: &Path) -> bool {
        self.roots.is_empty() || self.roots.iter().any(|root| lies_in(path, root))
    }
}

impl Policy {
    /// The rules of a configuration that was just read; looked at again from then on.
    pub fn new(layout: &Layout, config: &Config) -> Self {
        Self {
            known: Mutex::new(Known {
                stamp: stamp(&layout.config_file()),
                rules: Arc::new(Rules::of(config)),
            }),
            layout: Some(layout.clone()),
        }
    }

    /// Rules that stay as they are.
    pub fn fixed(config: &Config) -> Self {
        Self {
            known: Mutex::new(Known {
                stamp: None,
                rules: Arc::new(Rules::of(config)),
            }),
            layout: None,
        }
    }

    /// The rules as they are now.
    pub fn rules(&self) -> Arc<Rules> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = &self.layout {
            // Before the reading: what is written meanwhile is read at the next look.
            let stamp = stamp(&layout.config_file());
            if stamp != known.stamp {
                known.stamp = stamp;
                known.rules = Arc::new(read_again(layout, &known.rules));
            }
        }
        Arc::clone(&known.rules)
    }
}

fn read_again(layout: &Layout, before: &Rules) -> Rules {
    match Config::load(layout) {
        Ok(config) => {
            tracing::info!(
                "host.toml changed: what it allows holds from now on, the rest from the next start"
            );
            Rules::of(&config)
        }
        Err(error) => {
            tracing::error!("{error}; what it said before goes on to hold");
            let mut rules = before.clone();
            rules.told.problem = Some(error.to_string());
            rules
        }
    }
}

fn stamp(file: &Path) -> Stamp {
    let about = std::fs::metadata(file).ok()?;
    Some((about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

/// Why this machine does not carry out a command; none when it does. What needs the disk to decide
/// (the folder of a new project) is decided where it is looked at.
pub async fn refuses_command(
    context: &Context,
    command: &Command,
) -> Result<Option<Failure>, StoreError> {
    let rules = context.policy.rules();
    if !rules.told.allows_member(command.by()) {
        return Ok(Some(not_a_member(context, command.by())));
    }
    let project = match command {
        Command::WorkspaceCreate(create) => Some(create.project_id),
        Command::ProjectCreate(_)
        | Command::WorkspaceDelete(_)
        | Command::WorkspacesCount(_)
        | Command::RunStart(_)
        | Command::RunCancel(_) => None,
    };
    match project {
        Some(project) => outside(context, &rules, project).await,
        None => Ok(None),
    }
}

/// Nothing new begins here: this identity is in use on another machine too, and which one is the
/// host is not settled. Outlives a restart.
pub async fn stand_down(context: &Context, why: &str) -> Result<(), Failure> {
    // Said once: it is tried again and again.
    if doubt(context).await?.as_deref() != Some(why) {
        tracing::error!("{why}");
    }
    set_standing(context, why).await
}

/// It is settled: the control plane takes this machine.
pub async fn stand_up(context: &Context) -> Result<(), Failure> {
    if doubt(context).await?.is_none() {
        return Ok(());
    }
    set_standing(context, "").await
}

async fn set_standing(context: &Context, why: &str) -> Result<(), Failure> {
    let mut tx = context.store.begin().await?;
    meta::set(&mut tx, DOUBT_KEY, why).await?;
    Ok(context.store.commit(tx).await?)
}

/// Why nothing new begins here; none when it does.
pub(crate) async fn doubt(context: &Context) -> Result<Option<String>, StoreError> {
    let why = context.store.meta(DOUBT_KEY).await?;
    Ok(why.filter(|why| !why.is_empty()))
}

/// Why this machine does not start a run, in a sentence; none when it does.
pub async fn refuses_run(context: &Context, row: &RunRow) -> Result<Option<String>, StoreError> {
    if let Some(why) = doubt(context).await? {
        return Ok(Some(format!(
            "it is not settled that this machine is the host: {why}"
        )));
    }
    let (rules, automation) = (context.policy.rules(), &row.automation);
    if !rules.told.allows_member(automation.owner.as_ref()) {
        return Ok(Some(words(&not_a_member(
            context,
            automation.owner.as_ref(),
        ))));
    }
    if !rules.told.allows_agent(&automation.agent) {
        let allowed = rules.told.allowed_agents.clone().unwrap_or_default();
        return Ok(Some(format!(
            "its owner does not allow the agent {} on this host (allowed_agents in {}: {})",
            automation.agent,
            context.layout.config_file().display(),
            if allowed.is_empty() {
                "none".to_owned()
            } else {
                allowed.join(", ")
            },
        )));
    }
    let project = match &automation.target {
        RunTarget::Project { project_id, .. } => Some(*project_id),
        RunTarget::Workspace { workspace_id } => {
            let row = context.store.workspace(*workspace_id).await?;
            row.and_then(|row| row.workspace.project_id)
        }
        RunTarget::Scratch => None,
    };
    let refusal = match project {
        Some(project) => outside(context, &rules, project).await?,
        None => None,
    };
    Ok(refusal.as_ref().map(words))
}

/// The refusal of a path, if it is not allowed.
pub fn check_path(context: &Context, path: &Path) -> Result<(), Failure> {
    if context.policy.rules().allows(path) {
        return Ok(());
    }
    let message = format!("{} is outside the folders this host allows", path.display());
    Err(Failure::new(ErrorCode::Forbidden, message).hint(
        "Choose a path inside allowed_roots of the host's host.toml, or add its folder there.",
    ))
}

async fn outside(
    context: &Context,
    rules: &Rules,
    project: ProjectId,
) -> Result<Option<Failure>, StoreError> {
    let Some(row) = context.store.project(project).await? else {
        // Whoever carries it out says that there is none.
        return Ok(None);
    };
    if rules.allows(Path::new(&row.project.path)) {
        return Ok(None);
    }
    let message = format!(
        "project {} lies at {}, outside the folders this host allows",
        row.project.name, row.project.path
    );
    Ok(Some(Failure::new(ErrorCode::Forbidden, message).hint(
        "Use a project inside allowed_roots of the host's host.toml, or add its folder there.",
    )))
}

fn not_a_member(context: &Context, who: Option<&Actor>) -> Failure {
    let who = who.map_or("somebody the control plane does not name", |who| &who.email);
    Failure::new(
        ErrorCode::Forbidden,
        format!("the owner of this host does not let {who} use it"),
    )
    .hint(format!(
        "Ask its owner to add the email to allowed_members in {}.",
        context.layout.config_file().display()
    ))
}

fn words(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{}. {hint}", failure.message),
        None => failure.message.clone(),
    }
}

/// Whether a path, of which the end may not exist yet, is `root` or lies below it.
fn lies_in(path: &Path, root: &Path) -> bool {
    let Some((there, rest)) = resolved(path) else {
        return false;
    };
    match std::fs::metadata(root) {
        Ok(root) => there.ancestors().any(|above| {
            std::fs::metadata(above)
                .is_ok_and(|above| (above.dev(), above.ino()) == (root.dev(), root.ino()))
        }),
        // A root that is not there yet has nothing in it but what is about to be made.
        Err(_) => resolved(root).is_some_and(|(at, more)| {
            at.join(more) != Path::new("/") && there.join(rest).starts_with(resolved_path(root))
        }),
    }
}

fn resolved_path(path: &Path) -> PathBuf {
    resolved(path).map_or_else(|| path.to_owned(), |(there, rest)| there.join(rest))
}

/// The nearest folder that exists, without symlinks, and what comes below it. None for a path that
/// is not absolute or goes up through what does not exist.
fn resolved(path: &Path) -> Option<(PathBuf, PathBuf)> {
    if !path.is_absolute() {
        return None;
    }
    let mut rest: Vec<OsString> = Vec::new();
    let mut at = path.to_owned();
    loop {
        if let Ok(there) = at.canonicalize() {
            return Some((there, rest.iter().rev().collect()));
        }
        // A link that leads nowhere is not the folder it may lead to later.
        if at.symlink_metadata().is_ok() {
            return None;
        }
        match at.components().next_back() {
            Some(Component::Normal(name)) => rest.push(name.to_owned()),
            Some(Component::CurDir) => {}
            Some(Component::ParentDir | Component::RootDir | Component::Prefix(_)) | None => {
                return None;
            }
        }
        at = at.parent()?.to_owned();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn rules(roots: &[&Path]) -> Rules {
        Rules::of(&Config {
            allowed_roots: roots.iter().map(|root| (*root).to_owned()).collect(),
            ..Config::default()
        })
    }

    #[test]
    fn links_and_dots_lead_neither_out_nor_keep_out() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for folder in ["code/shop", "codex", "secret/repo", "real/app"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        symlink(at("secret"), at("code/out")).unwrap();
        symlink(at("code"), at("linked")).unwrap();
        symlink(at("nowhere"), at("code/dangling")).unwrap();
        let code = rules(&[&at("code")]);
        for inside in [
            "code",
            "code/shop",
            "code/new/deep",
            "linked/shop",
            "code/shop/../shop",
            "code/./new",
        ] {
            assert!(code.allows(&at(inside)), "{inside}");
        }
        for outside in [
            "codex",
            "",
            "secret/repo",
            "code/out/repo",
            "code/out/new",
            "code/../secret/repo",
            "code/shop/../../secret",
            "code/new/../../secret",
            "code/dangling",
            "code/dangling/x",
        ] {
            assert!(!code.allows(&at(outside)), "{outside}");
        }
        assert!(!code.allows(Path::new("code/shop")), "not absolute");
        // The root itself may be a link, and may not be there yet.
        assert!(rules(&[&at("linked")]).allows(&at("code/shop")));
        let later = rules(&[&at("later")]);
        assert!(later.allows(&at("later/app")) && !later.allows(&at("code/shop")));
        assert!(!later.allows(&at("later2/app")) && !later.allows(&at("later/../code")));
        assert!(rules(&[]).allows(&at("anywhere")));
    }

    #[test]
    fn the_same_folder_is_the_same_however_it_is_spelled() {
        // What a volume that ignores case does, is done here by a second name of the same folder.
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        std::fs::create_dir_all(at("Code/shop")).unwrap();
        symlink(at("Code"), at("code")).unwrap();
        assert!(rules(&[&at("code")]).allows(&at("Code/shop")));
        assert!(rules(&[&at("Code")]).allows(&at("code/shop")));
    }

    #[test]
    fn a_changed_file_holds_at_once_and_a_broken_one_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(home.path());
        let config = Config::load(&layout).unwrap();
        let policy = Policy::new(&layout, &config);
        assert_eq!(policy.rules().told.allowed_members, None);
        let write = |text: &str| {
            // Another file each time, as editors do it: its number tells, whatever the clock says.
            let new = home.path().join("host.toml.new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, layout.config_file()).unwrap();
        };
        write("allowed_members = ['ada@example.com']\nmax_runs = 1\nmax_autonomy = 'read_only'\n");
        let rules = policy.rules();
        assert_eq!(
            rules.told.allowed_members.as_deref(),
            Some(&["ada@example.com".to_owned()][..])
        );
        assert_eq!(
            (rules.told.max_runs, rules.max_autonomy),
            (1, Autonomy::ReadOnly)
        );
        write("allowed_members = ");
        let broken = policy.rules();
        assert_eq!(broken.told.allowed_members, rules.told.allowed_members);
        assert!(broken.told.problem.as_ref().unwrap().contains("host.toml"));
        std::fs::remove_file(layout.config_file()).unwrap();
        assert_eq!(
            policy.rules().told,
            HostPolicy {
                max_runs: 2,
                ..HostPolicy::default()
            }
        );
    }
}
