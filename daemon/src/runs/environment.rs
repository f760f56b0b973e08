//! The environment of a run: a clean base, the host's own additions, the automation's, and what
//! names the run. Nothing of the daemon's own environment is in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::host::machine::User;
use crate::store::runs::{Place, RunRow};

/// The base, and on top of it the host's `[env]`.
pub fn base(user: &User, host: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mut env: BTreeMap<String, String> = [
        ("HOME", text(&user.home)),
        ("USER", user.name.clone()),
        ("LOGNAME", user.name.clone()),
        ("SHELL", text(&user.shell)),
        ("PATH", user.path.clone()),
        ("LANG", user.language.clone()),
        ("TERM", "dumb".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    env.extend(host.clone());
    env
}

/// The base with the automation's variables and those that name the run.
pub fn of_run(
    mut env: BTreeMap<String, String>,
    row: &RunRow,
    place: &Place,
) -> BTreeMap<String, String> {
    env.extend(row.automation.env.clone());
    let named = [
        ("HOSTLER_RUN_ID", row.run.id.to_string()),
        ("HOSTLER_AUTOMATION_ID", row.run.automation_id.to_string()),
        ("HOSTLER_WORKSPACE_ID", place.workspace_id.to_string()),
        ("HOSTLER_WORKSPACE_NAME", place.name.clone()),
        ("HOSTLER_WORKSPACE_PATH", place.path.clone()),
        ("HOSTLER_ROOT_PATH", place.root.clone()),
        ("HOSTLER_BRANCH", place.branch.clone().unwrap_or_default()),
    ];
    env.extend(named.map(|(name, value)| (name.to_owned(), value)));
    env
}

#[cfg(test)]
mod tests {
    use super::super::launch::tests::{place, row, user};
    use super::*;

    #[test]
    fn the_automation_stands_above_the_host_and_the_run_above_both() {
        let host = [("LANG", "de_DE.UTF-8"), ("A", "host"), ("B", "host")];
        let host = host
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let mut row = row("shell", "true");
        for (name, value) in [("B", "automation"), ("HOSTLER_BRANCH", "forged")] {
            row.automation.env.insert(name.into(), value.into());
        }
        let env = of_run(base(&user(), &host), &row, &place());
        for (name, value) in [
            ("HOME", "/home/ada"),
            ("TERM", "dumb"),
            ("LANG", "de_DE.UTF-8"),
            ("A", "host"),
            ("B", "automation"),
            ("HOSTLER_BRANCH", "main"),
            ("HOSTLER_WORKSPACE_PATH", "/w"),
            ("HOSTLER_ROOT_PATH", "/r"),
        ] {
            assert_eq!(env[name], value, "{name}");
        }
        assert_eq!(env["HOSTLER_RUN_ID"], row.run.id.to_string());
    }
}
