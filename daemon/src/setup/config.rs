//! Reads `config.json` and its overlay: what each key must be, and what is said when it is not.
//!
//! Our own folder's file is strict. Another program's file may hold keys of its own: they are left
//! aside, with a word.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::{FOLDERS, Setup, SetupError};

/// Every key there is. `run` is for other programs.
const KEYS: [&str; 5] = ["setup", "teardown", "run", "copy", "cwd"];

/// The file as written.
#[derive(Default)]
struct File {
    path: PathBuf,
    keys: Map<String, Value>,
}

/// Lists that replace, or what goes around the list that is there.
enum Change {
    Instead(Vec<String>),
    Around(Vec<String>, Vec<String>),
}

/// What the folder of a place asks for, with the nearest overlay; none when it has no config.
pub(super) fn load(
    place: &Path,
    folder: &str,
    places: [&Path; 2],
) -> Result<Option<Setup>, SetupError> {
    let config = File::read(&place.join(folder).join("config.json"))?;
    let local = |place: &Path| place.join(folder).join("config.local.json");
    let overlay = if config.is_some() {
        let nearest = places.into_iter().map(local).find(|path| path.exists());
        nearest.map(|path| File::read(&path)).transpose()?.flatten()
    } else {
        File::read(&local(place))?
    };
    if config.is_none() && overlay.is_none() {
        return Ok(None);
    }
    let (config, overlay) = (config.unwrap_or_default(), overlay.unwrap_or_default());
    let mut warnings = Vec::new();
    for file in [&config, &overlay] {
        file.check_keys(folder == FOLDERS[0], &mut warnings)?;
    }
    let list = |key: &str| -> Result<Vec<String>, SetupError> {
        let list = config.list(key)?.unwrap_or_default();
        Ok(match overlay.change(key)? {
            None => list,
            Some(Change::Instead(all)) => all,
            Some(Change::Around(before, after)) => [before, list, after].concat(),
        })
    };
    list("run")?;
    Ok(Some(Setup {
        setup: list("setup")?,
        teardown: list("teardown")?,
        copy: list("copy")?,
        cwd: overlay.folder()?.or(config.folder()?).unwrap_or_default(),
        warnings,
    }))
}

impl File {
    fn read(path: &Path) -> Result<Option<Self>, SetupError> {
        let path = path.to_owned();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(SetupError::Unreadable { path, source }),
        };
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(keys)) => Ok(Some(Self { path, keys })),
            Ok(other) => {
                let problem = format!(
                    "must be an object of {}, not {}",
                    KEYS.join(", "),
                    a(&other)
                );
                let key = "the file".to_owned();
                Err(SetupError::Value { path, key, problem })
            }
            Err(source) => Err(SetupError::Invalid { path, source }),
        }
    }

    fn wrong(&self, key: &str, problem: String) -> SetupError {
        SetupError::Value {
            path: self.path.clone(),
            key: key.to_owned(),
            problem,
        }
    }

    fn check_keys(&self, strict: bool, warnings: &mut Vec<String>) -> Result<(), SetupError> {
        for key in self.keys.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let problem = format!("is not known; the keys are {}", KEYS.join(", "));
            let wrong = self.wrong(key, problem);
            if strict {
                return Err(wrong);
            }
            warnings.push(format!(
                "{}: `{key}` is not known and was left aside",
                self.path.display()
            ));
        }
        Ok(())
    }

    fn list(&self, key: &str) -> Result<Option<Vec<String>>, SetupError> {
        match self.keys.get(key) {
            None => Ok(None),
            Some(Value::Object(_)) => {
                let words = "must be a list; before and after are for config.local.json";
                Err(self.wrong(key, words.to_owned()))
            }
            Some(value) => self.texts(key, key, value).map(Some),
        }
    }

    fn change(&self, key: &str) -> Result<Option<Change>, SetupError> {
        let around = match self.keys.get(key) {
            None => return Ok(None),
            Some(Value::Object(around)) => around,
            Some(value) => return self.texts(key, key, value).map(Change::Instead).map(Some),
        };
        let mut parts = [Vec::new(), Vec::new()];
        for (part, value) in around {
            let named = format!("{key}.{part}");
            let place = match part.as_str() {
                "before" => 0,
                "after" => 1,
                _ => {
                    let problem = "is not known; the keys are before, after".to_owned();
                    return Err(self.wrong(&named, problem));
                }
            };
            parts[place] = self.texts(key, &named, value)?;
        }
        let [before, after] = parts;
        Ok(Some(Change::Around(before, after)))
    }

    /// A list of texts; paths of `copy` are checked.
    fn texts(&self, key: &str, named: &str, value: &Value) -> Result<Vec<String>, SetupError> {
        let Value::Array(list) = value else {
            let problem = format!("must be a list of texts, not {}", a(value));
            return Err(self.wrong(named, problem));
        };
        let text = |(at, value): (usize, &Value)| {
            let named = format!("{named}[{at}]");
            let Value::String(text) = value else {
                return Err(self.wrong(&named, format!("must be a text, not {}", a(value))));
            };
            if key == "copy" {
                self.check_path(&named, text, false)?;
            }
            Ok(text.clone())
        };
        list.iter().enumerate().map(text).collect()
    }

    fn folder(&self) -> Result<Option<PathBuf>, SetupError> {
        match self.keys.get("cwd") {
            None => Ok(None),
            Some(Value::String(text)) => {
                self.check_path("cwd", text, true)?;
                Ok(Some(PathBuf::from(text)))
            }
            Some(other) => {
                let problem = format!("must be a path inside the repository, not {}", a(other));
                Err(self.wrong("cwd", problem))
            }
        }
    }

    fn check_path(&self, named: &str, text: &str, may_be_root: bool) -> Result<(), SetupError> {
        let path = Path::new(text);
        let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        let first = path.components().find(|part| *part != Component::CurDir);
        let of_git = first == Some(Component::Normal(".git".as_ref()));
        if !path.components().all(inside) || of_git || (first.is_none() && !may_be_root) {
            let problem = format!("names '{text}', which is not a path inside the repository");
            return Err(self.wrong(named, problem));
        }
        Ok(())
    }
}

/// What a value is, in words.
fn a(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
