//! A remote's address: what may be cloned, and when two addresses mean the same repository.
//!
//! Invariant: a [`Remote`] never names a helper program, never reads as an option and never carries
//! a secret, so it can be passed to git, stored and shown.

use std::path::{Path, PathBuf};

use url::Url;

use super::Error;

/// An address that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// As git is given it.
    pub url: String,
    /// The same for every spelling of the same repository: `github.com/owner/name` or a path.
    pub canonical: String,
    /// The folder a clone gets by default.
    pub name: String,
}

impl Remote {
    /// Checks `text`: https, http, ssh, git, file, the scp form, or an absolute local path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        if text.is_empty() || text.chars().any(char::is_control) {
            return refuse("it is empty or contains control characters", FORMS);
        }
        if text.len() > LONGEST {
            return refuse("it is longer than 2,000 bytes", FORMS);
        }
        if text.starts_with('-') {
            return refuse(
                "it starts with '-', which git would read as an option",
                FORMS,
            );
        }
        if let Some((scheme, _)) = text.split_once("::")
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+.-".contains(c))
        {
            return refuse(
                "helper transports such as 'ext::' run programs and are not allowed",
                FORMS,
            );
        }
        if text.contains("://") {
            return parse_url(text);
        }
        if text.starts_with('/') {
            return local(text, Path::new(text));
        }
        parse_scp(text)
    }

    /// The folder, when the repository lies on this machine.
    pub fn local(&self) -> Option<&Path> {
        let path = Path::new(&self.canonical);
        path.is_absolute().then_some(path)
    }
}

const LONGEST: usize = 2_000;
const FORMS: &str = "Use https://host/owner/repo.git, git@host:owner/repo.git, ssh://, file:// or an absolute path.";
const NO_SECRETS: &str = "Leave it out and let git's credential helper on the host supply it (git config --global credential.helper store, or 'gh auth setup-git'), or use ssh.";

fn refuse<T>(reason: &'static str, hint: &'static str) -> Result<T, Error> {
    Err(Error::Address { reason, hint })
}

fn parse_url(text: &str) -> Result<Remote, Error> {
    let Ok(url) = Url::parse(text) else {
        return refuse("it is not a valid URL", FORMS);
    };
    let default_port = match url.scheme() {
        "https" => 443,
        "http" => 80,
        "ssh" => 22,
        "git" => 9418,
        "file" => {
            return match url.to_file_path() {
                Ok(path) => local(text, &path),
                Err(()) => refuse("a file URL must be file:///absolute/path", FORMS),
            };
        }
        _ => {
            return refuse(
                "only https, http, ssh, git and file addresses can be cloned",
                FORMS,
            );
        }
    };
    if url.password().is_some() || (url.scheme().starts_with("http") && may_be_secret(&url)) {
        return refuse(
            "it contains a password or token, which would be stored and shown",
            NO_SECRETS,
        );
    }
    if url
        .query_pairs()
        .any(|(key, _)| key.contains("token") || key.contains("password") || key.contains("secret"))
    {
        return refuse(
            "it contains a password or token, which would be stored and shown",
            NO_SECRETS,
        );
    }
    let Some(host) = url
        .host_str()
        .filter(|host| !host.is_empty() && !host.starts_with('-'))
    else {
        return refuse("it names no host", FORMS);
    };
    let port = url
        .port()
        .filter(|port| *port != default_port)
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    network(text, &format!("{host}{port}"), url.path())
}

fn parse_scp(text: &str) -> Result<Remote, Error> {
    let Some((host, path)) = text.split_once(':').filter(|(host, _)| !host.contains('/')) else {
        return refuse(
            "it is neither a URL, nor host:path, nor an absolute path",
            FORMS,
        );
    };
    let bare = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if path.contains(['(', ')', ';', '|', '<', '>', '`', '$', '"', '\''])
        || ["javascript", "data", "mailto", "vbscript"].contains(&bare)
    {
        return refuse(
            "only https, http, ssh, git and file addresses can be cloned",
            FORMS,
        );
    }
    if bare.is_empty()
        || bare.starts_with('-')
        || path.is_empty()
        || path.starts_with('-')
        || host.contains(' ')
    {
        return refuse(
            "it is neither a URL, nor host:path, nor an absolute path",
            FORMS,
        );
    }
    if host
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
    {
        return refuse(
            "it contains a password or token, which would be stored and shown",
            NO_SECRETS,
        );
    }
    network(text, bare, path)
}

fn network(url: &str, host: &str, path: &str) -> Result<Remote, Error> {
    let path = strip(path.trim_start_matches('/'));
    let canonical = format!("{}/{path}", host.to_ascii_lowercase());
    Ok(Remote {
        url: url.to_owned(),
        canonical,
        name: name_of(path)?,
    })
}

fn local(url: &str, path: &Path) -> Result<Remote, Error> {
    let real: PathBuf = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let shown = real.to_string_lossy();
    let checkout = strip(&shown);
    Ok(Remote {
        url: url.to_owned(),
        canonical: shown.to_string(),
        name: name_of(checkout.trim_end_matches("/.git"))?,
    })
}

fn strip(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    path.strip_suffix(".git")
        .filter(|rest| !rest.is_empty() && !rest.ends_with('/'))
        .unwrap_or(path)
}

fn name_of(path: &str) -> Result<String, Error> {
    let last = path.rsplit(['/', ':']).next().unwrap_or_default();
    let name: String = last
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    let name = name.trim_start_matches(['.', '-']);
    if name.is_empty() {
        return refuse("it does not say which repository", FORMS);
    }
    Ok(name.chars().take(100).collect())
}

/// A user in an http address is taken for a token, unless it is `git` or a name that stands in the
/// path anyway (as in `https://org@dev.azure.com/org/...`).
fn may_be_secret(url: &Url) -> bool {
    let (user, mut parts) = (url.username(), url.path().split('/'));
    !user.is_empty() && user != "git" && !parts.any(|part| part == user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_repository_agree() {
        let spellings = [
            "https://github.com/Owner/Repo.git",
            "https://GitHub.com/Owner/Repo/",
            "https://github.com:443/Owner/Repo",
            "git@github.com:Owner/Repo.git",
            "ssh://git@github.com/Owner/Repo.git",
            "ssh://git@github.com:22/Owner/Repo",
        ];
        for text in spellings {
            let remote = Remote::parse(text).unwrap();
            assert_eq!(
                (remote.canonical.as_str(), remote.name.as_str()),
                ("github.com/Owner/Repo", "Repo"),
                "{text}"
            );
        }
        assert_ne!(
            Remote::parse("https://h:8443/a/b").unwrap().canonical,
            Remote::parse("https://h/a/b").unwrap().canonical
        );
    }

    #[test]
    fn dangerous_addresses_are_refused() {
        let refused = [
            "ext::sh -c touch% /tmp/x",
            "fd::17",
            "--upload-pack=touch /tmp/x",
            "-u",
            "",
            "https://user:secret@host/r",
            "https://ghp_0123456789abcdefghij@github.com/a/b",
            "https://host/r?private_token=abc",
            "https://anything@host/r",
            "ssh://-oProxyCommand=x/r",
            "-oProxyCommand=x:r",
            "ssh://git:pw@host/r",
            "foo://host/r",
            "javascript:alert(1)",
            "relative/path",
            "host:",
            "https:///",
            "a\nb:c",
            "file://host/x",
        ];
        for text in refused {
            let error = Remote::parse(text).expect_err(text);
            assert!(
                !error.to_string().contains("secret@") && error.hint().is_some(),
                "{error}"
            );
        }
    }

    #[test]
    fn local_addresses_are_paths() {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("tool.git");
        std::fs::create_dir(&bare).unwrap();
        let by_path = Remote::parse(bare.to_str().unwrap()).unwrap();
        let by_url = Remote::parse(&format!("file://{}", bare.display())).unwrap();
        assert_eq!(by_path.canonical, by_url.canonical);
        assert_eq!(by_path.name, "tool");
    }
}
