//! The scripted model (`tests/model/scripted_model.py`) as a process of a test.

use std::{fs, path::PathBuf};

use serde_json::Value;

use super::{
    Home,
    program::Program,
    wait::{eventually, secs},
};

pub(crate) struct Model {
    pub(crate) url: String,
    log: PathBuf,
    _program: Program,
}

impl Model {
    /// Starts a model that answers with these steps; see the script's own description.
    #[track_caller]
    pub(crate) fn start(home: &Home, name: &str, steps: &Value) -> Self {
        let script = home.path(&format!("{name}.json"));
        let log = home.path(&format!("{name}.jsonl"));
        fs::write(&script, steps.to_string()).unwrap();
        let mut command = home.command("python3");
        command.arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/model/scripted_model.py"
        ));
        command.arg("--script").arg(&script).arg("--log").arg(&log);
        let mut program = Program::spawn(command);
        let port = eventually("the scripted model listens", secs(20), || {
            assert!(
                program.ended().is_none(),
                "the scripted model ended: {}",
                program.output()
            );
            let line: Value = serde_json::from_str(program.stdout().lines().next()?).ok()?;
            line["port"].as_u64()
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            log,
            _program: program,
        }
    }

    /// Every request the model was sent, oldest first.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The tool results of the longest conversation.
    pub(crate) fn results(&self) -> Vec<String> {
        let requests = self.requests();
        let longest = requests
            .iter()
            .map(|request| request["results"].as_array().unwrap())
            .max_by_key(|results| results.len());
        let texts = longest.into_iter().flatten();
        texts
            .map(|text| text.as_str().unwrap_or_default().to_owned())
            .collect()
    }
}
