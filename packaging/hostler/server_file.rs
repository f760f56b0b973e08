//! `server.toml` in `HOSTLER_HOME`: settings of the control plane that have structure. An unknown key is
//! an error, and a file that cannot be used stops the start before anything is made.

use std::fs;
use std::path::{Path, PathBuf};

use hostler_control_plane::SingleSignOn;
use serde::Deserialize;

use crate::failure::Failure;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerFile {
    /// Signing in with an OpenID Connect provider.
    pub(crate) single_sign_on: Option<SingleSignOn>,
}

/// Reads the file of this home; nothing when there is none.
pub(crate) fn load(home: &Path) -> Result<ServerFile, Failure> {
    let path = home.join("server.toml");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(ServerFile::default());
        }
        Err(error) => return Err(wrong(&path, &error.to_string())),
    };
    let mut file: ServerFile =
        toml::from_str(&text).map_err(|error| wrong(&path, &error.to_string()))?;
    if let Some(sign_on) = &mut file.single_sign_on {
        if !sign_on.issuer.starts_with("https://")
            && !sign_on.issuer.starts_with("http://127.0.0.1:")
        {
            return Err(wrong(&path, "the issuer must begin with https://"));
        }
        if let Some(secret) = &sign_on.client_secret_file {
            sign_on.client_secret = Some(secret_of(home, secret)?);
        }
    }
    Ok(file)
}

fn secret_of(home: &Path, file: &PathBuf) -> Result<String, Failure> {
    let path = home.join(file);
    let text = fs::read_to_string(&path).map_err(|error| wrong(&path, &error.to_string()))?;
    Ok(text.trim().to_owned())
}

fn wrong(path: &Path, words: &str) -> Failure {
    Failure::new(format!(
        "{} cannot be used: {}.",
        path.display(),
        words.trim_end()
    ))
    .hint("Correct it or take it away; README.md lists what it may hold.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_strict_and_its_secret_stands_elsewhere() {
        let home = tempfile::tempdir().unwrap();
        assert!(load(home.path()).unwrap().single_sign_on.is_none());
        let write = |text: &str| fs::write(home.path().join("server.toml"), text).unwrap();
        let good = "[single_sign_on]\nissuer = \"https://id.example.com\"\nclient_id = \"hostler\"\nclient_secret_file = \"sso-secret\"\n";
        write(good);
        assert!(load(home.path()).is_err(), "the secret's file is not there");
        fs::write(home.path().join("sso-secret"), "s3cret\n").unwrap();
        let sign_on = load(home.path()).unwrap().single_sign_on.unwrap();
        assert_eq!(sign_on.client_secret.as_deref(), Some("s3cret"));
        assert!(!format!("{sign_on:?}").contains("s3cret"));
        for bad in [
            good.replace("issuer", "isuer"),
            good.replace("https://", "http://"),
            format!("{good}colour = 1\n"),
            format!("{good}[other]\n"),
            "nonsense".to_owned(),
        ] {
            write(&bad);
            assert!(load(home.path()).is_err(), "{bad}");
        }
    }
}
