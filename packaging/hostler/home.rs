//! `HOSTLER_HOME`: where it is, how it is made, and the commands' own credentials in it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What `credentials.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credentials {
    /// Base URL of the control plane.
    pub(crate) url: String,
    /// URL of its MCP endpoint.
    #[serde(rename = "mcpUrl")]
    pub(crate) mcp_url: String,
    /// API key `sk_live_…`.
    #[serde(rename = "apiKey")]
    pub(crate) api_key: String,
}

/// The folder: `HOSTLER_HOME`, or `~/.hostler`.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    if let Some(home) = std::env::var_os("HOSTLER_HOME").filter(|home| !home.is_empty()) {
        return std::path::absolute(PathBuf::from(home)).map_err(Failure::from);
    }
    std::env::home_dir()
        .map(|home| home.join(".hostler"))
        .ok_or_else(|| {
            Failure::new("Your home folder is not known.")
                .hint("Set HOSTLER_HOME to a folder for hostler's data.")
        })
}

/// The folder, private (0700) unless it is one that also holds what is not ours.
pub(crate) fn ensure() -> Result<PathBuf, Failure> {
    let home = path()?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&home)
        .map_err(|error| unusable(&home, &error))?;
    if is_ours(&home).map_err(|error| unusable(&home, &error))? {
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700))
            .map_err(|error| unusable(&home, &error))?;
    }
    let probe = home.join(".writable");
    fs::write(&probe, b"")
        .and_then(|()| fs::remove_file(&probe))
        .map_err(|error| unusable(&home, &error))?;
    Ok(home)
}

/// Whether the folder is empty or holds our data: a shared folder such as `/tmp` keeps its mode, and
/// what stands in it is private by itself.
fn is_ours(home: &Path) -> std::io::Result<bool> {
    const OURS: [&str; 3] = ["control-plane", "host", "credentials.json"];
    if OURS.iter().any(|name| home.join(name).exists()) {
        return Ok(fs::metadata(home)?.permissions().mode() & 0o1000 == 0);
    }
    Ok(fs::read_dir(home)?.next().is_none())
}

/// The credentials left by `hostler up` or `hostler server`, if any.
pub(crate) fn credentials(home: &Path) -> Result<Option<Credentials>, Failure> {
    let file = credentials_file(home);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::unauthorized(format!(
                "{} cannot be read: {error}.",
                file.display()
            )));
        }
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Failure::unauthorized(format!("{} is not valid: {error}.", file.display()))
            .hint("It must hold {\"url\", \"mcpUrl\", \"apiKey\"}; or set HOSTLER_URL and HOSTLER_API_KEY.")
    })
}

/// Writes the credentials so that only this user can read them (0600), replacing the file whole.
pub(crate) fn save_credentials(home: &Path, credentials: &Credentials) -> Result<(), Failure> {
    let file = credentials_file(home);
    let partial = file.with_extension("json.new");
    let text = serde_json::to_string_pretty(credentials)
        .map_err(|error| Failure::new(error.to_string()))?;
    let write = || -> std::io::Result<()> {
        if partial.exists() {
            fs::remove_file(&partial)?;
        }
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        fs::rename(&partial, &file)
    };
    write().map_err(|error| Failure::new(format!("{} cannot be written: {error}.", file.display())))
}

/// Where the credentials stand.
pub(crate) fn credentials_file(home: &Path) -> PathBuf {
    home.join("credentials.json")
}

fn unusable(home: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "The data folder {} cannot be used: {error}.",
        home.display()
    ))
    .hint("Make it writable for this user, or set HOSTLER_HOME to another folder.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_private_and_read_back() {
        let home = tempfile::tempdir().unwrap();
        let credentials = Credentials {
            url: "http://127.0.0.1:4880".into(),
            mcp_url: "http://127.0.0.1:4880/mcp".into(),
            api_key: "sk_live_x".into(),
        };
        save_credentials(home.path(), &credentials).unwrap();
        save_credentials(home.path(), &credentials).unwrap();
        let mode = fs::metadata(credentials_file(home.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(super::credentials(home.path()).unwrap(), Some(credentials));
    }

    #[test]
    fn only_a_folder_of_ours_is_made_private() {
        let home = tempfile::tempdir().unwrap();
        assert!(is_ours(home.path()).unwrap());
        fs::write(home.path().join("somebody's"), "").unwrap();
        assert!(!is_ours(home.path()).unwrap());
        fs::create_dir(home.path().join("host")).unwrap();
        assert!(is_ours(home.path()).unwrap());
    }

    #[test]
    fn damaged_credentials_say_what_they_must_hold() {
        let home = tempfile::tempdir().unwrap();
        fs::write(credentials_file(home.path()), "{").unwrap();
        assert!(credentials(home.path()).is_err());
    }
}
