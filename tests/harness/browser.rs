//! A real Chromium, driven over the WebDriver protocol (W3C) as any person drives one: by what is on
//! the page. Debian's chromedriver is started on a port of its own and ended with its browsers.
//!
//! Elements are found by CSS selectors or by their words. Everything waits for a state with a
//! deadline. What a page logs as an error (a script that fails, a policy that refuses) is kept for
//! [`Browser::complaints`].

use std::{fs, path::PathBuf, time::Duration};

use base64::Engine as _;
use serde_json::{Value, json};

use super::{
    Home, free_port,
    http::{Answer, Http},
    program::Program,
    wait::{eventually, secs, within},
};

/// How long a page may take to show what is waited for.
const PATIENCE: Duration = secs(20);

/// The name of an element's reference on the wire (WebDriver section 12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window and a profile of its own.
pub(crate) struct Browser {
    driver: Http,
    /// `/session/<id>`.
    session: String,
    // Ended after the session was closed.
    program: Program,
}

/// The theme the system asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    Light,
    Dark,
}

impl Theme {
    pub(crate) const BOTH: [Self; 2] = [Self::Light, Self::Dark];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Browser {
    /// A fresh browser with nothing in it.
    #[track_caller]
    pub(crate) fn start(home: &Home) -> Self {
        Self::start_with(home, true)
    }

    /// A fresh browser that runs no script.
    #[track_caller]
    pub(crate) fn without_scripts(home: &Home) -> Self {
        Self::start_with(home, false)
    }

    #[track_caller]
    fn start_with(home: &Home, scripts: bool) -> Self {
        let port = free_port();
        let mut command = home.command("chromedriver");
        command.arg(format!("--port={port}"));
        command.env("TMPDIR", home.user());
        let mut program = Program::spawn(command);
        let driver = Http::new(&format!("http://127.0.0.1:{port}"));
        eventually("chromedriver answers", secs(30), || {
            let ended = program.ended();
            assert!(
                ended.is_none(),
                "chromedriver ended with {ended:?}: {}; run `tests/run --install`",
                program.output()
            );
            driver.answers().then_some(())
        });
        let profile = home.path(&format!("chromium-{port}"));
        let made = answer(&driver.post(
            "/session",
            &[("content-type", "application/json")],
            capabilities(&profile, scripts).to_string().as_bytes(),
        ));
        let made = made.unwrap_or_else(|error| panic!("no browser: {error}"));
        let id = made["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("{made}"));
        let browser = Self {
            session: format!("/session/{id}"),
            driver,
            program,
        };
        browser.size(1280, 900);
        browser
    }

    // --- going places

    /// Opens an address and waits until it is loaded.
    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.ask("/url", &json!({"url": url}));
    }

    /// The address that is open.
    #[track_caller]
    pub(crate) fn url(&self) -> String {
        self.get("/url").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the address satisfies `wanted`; gives it.
    #[track_caller]
    pub(crate) fn wait_url(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        eventually(what, PATIENCE, || {
            Some(self.url()).filter(|url| wanted(url))
        })
    }

    /// The page's title.
    #[track_caller]
    pub(crate) fn title(&self) -> String {
        self.get("/title").as_str().unwrap_or_default().to_owned()
    }

    /// The words a person sees on the page.
    #[track_caller]
    pub(crate) fn words(&self) -> String {
        self.text_of("body")
    }

    /// Waits until the page shows these words.
    #[track_caller]
    pub(crate) fn wait_words(&self, words: &str) {
        let mut shown = String::new();
        let found = within(PATIENCE, || {
            shown = self.try_words()?;
            shown.contains(words).then_some(())
        });
        assert!(
            found.is_some(),
            "no {words:?} at {} in: {shown}",
            self.url()
        );
    }

    // --- elements

    /// How many elements match a CSS selector now.
    #[track_caller]
    pub(crate) fn count(&self, css: &str) -> usize {
        let found = self.ask("/elements", &json!({"using": "css selector", "value": css}));
        found.as_array().map_or(0, Vec::len)
    }

    /// The words of the first match, waited for.
    #[track_caller]
    pub(crate) fn text_of(&self, css: &str) -> String {
        self.with(css, |path| self.try_get(&format!("{path}/text")))
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// A property of the first match (`value`, `checked`), waited for.
    #[track_caller]
    pub(crate) fn property(&self, css: &str, name: &str) -> Value {
        self.with(css, |path| self.try_get(&format!("{path}/property/{name}")))
    }

    /// Clicks the link, button or summary with exactly these words.
    #[track_caller]
    pub(crate) fn press(&self, words: &str) {
        let quoted = format!("\"{words}\"");
        let xpath = format!(
            "//*[self::a or self::button or self::summary or self::label][normalize-space(.)={quoted}]"
        );
        let body = json!({"using": "xpath", "value": xpath});
        self.with_found(words, &body, |path| {
            self.try_ask(&format!("{path}/click"), &json!({}))
        });
    }

    /// Replaces what the field with this label holds.
    #[track_caller]
    pub(crate) fn fill(&self, label: &str, text: &str) {
        let xpath = format!("//*[@id=//label[starts-with(normalize-space(.),\"{label}\")]/@for]");
        let body = json!({"using": "xpath", "value": xpath});
        self.with_found(label, &body, |path| {
            self.try_ask(&format!("{path}/clear"), &json!({}))?;
            self.try_ask(&format!("{path}/value"), &json!({"text": text}))
        });
    }

    /// Chooses the option with these words in the list with this label.
    #[track_caller]
    pub(crate) fn choose(&self, label: &str, option: &str) {
        let xpath = format!(
            "//*[@id=//label[starts-with(normalize-space(.),\"{label}\")]/@for]/option[normalize-space(.)=\"{option}\"]"
        );
        let body = json!({"using": "xpath", "value": xpath});
        self.with_found(label, &body, |path| {
            self.try_ask(&format!("{path}/click"), &json!({}))
        });
    }

    /// Presses a key where the focus is; WebDriver's code points name keys (`\u{E004}` is Tab).
    #[track_caller]
    pub(crate) fn key(&self, key: &str) {
        let strokes = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.ask("/actions", &json!({"actions": [keyboard]}));
    }

    /// Runs a script in the page (a function's body) and gives what it returns.
    #[track_caller]
    pub(crate) fn script(&self, body: &str, arguments: &[Value]) -> Value {
        self.ask("/execute/sync", &json!({"script": body, "args": arguments}))
    }

    /// Runs a script that calls its last argument when it is done.
    #[track_caller]
    pub(crate) fn script_until_done(&self, body: &str, arguments: &[Value]) -> Value {
        self.ask(
            "/execute/async",
            &json!({"script": body, "args": arguments}),
        )
    }

    // --- cookies, looks, complaints

    /// Sets a cookie for the site that is open.
    #[track_caller]
    pub(crate) fn set_cookie(&self, name: &str, value: &str) {
        let cookie = json!({"name": name, "value": value, "path": "/", "secure": true, "httpOnly": true, "sameSite": "Lax"});
        self.ask("/cookie", &json!({"cookie": cookie}));
    }

    /// The size of the page's window in CSS pixels, as a phone of that width would have it.
    #[track_caller]
    pub(crate) fn size(&self, width: u32, height: u32) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the system asks for.
    #[track_caller]
    pub(crate) fn theme(&self, theme: Theme) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": theme.word()},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": features}));
    }

    /// Keeps a picture of the whole page as `name.png` in HOSTLER_SCREENSHOTS, or among the build's
    /// files.
    #[track_caller]
    pub(crate) fn picture(&self, name: &str) -> PathBuf {
        let metrics = self.devtools("Page.getLayoutMetrics", &json!({}));
        let size = &metrics["cssContentSize"];
        let clip =
            json!({"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1});
        let shot = self.devtools(
            "Page.captureScreenshot",
            &json!({"format": "png", "captureBeyondViewport": true, "clip": clip}),
        );
        let data = shot["data"].as_str().unwrap_or_default();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(data)
            .unwrap();
        let folder = std::env::var_os("HOSTLER_SCREENSHOTS").map_or_else(
            || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots"),
            PathBuf::from,
        );
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        fs::write(&path, bytes).unwrap();
        path
    }

    /// What the browser complained of since this was last asked: failed scripts, refused sources.
    /// An answer of the server that says that something failed is not one.
    #[track_caller]
    pub(crate) fn complaints(&self) -> Vec<String> {
        let entries = self.ask("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["source"] != "network" && entry["level"] != "INFO")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Asks Chromium's own protocol.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.ask(
            "/goog/cdp/execute",
            &json!({"cmd": command, "params": parameters}),
        )
    }

    // --- the protocol

    fn try_words(&self) -> Option<String> {
        let body =
            json!({"script": "return document.body ? document.body.innerText : ''", "args": []});
        let words = self.try_ask("/execute/sync", &body).ok()?;
        Some(words.as_str()?.to_owned())
    }

    #[track_caller]
    fn with(&self, css: &str, act: impl Fn(&str) -> Result<Value, String>) -> Value {
        let body = json!({"using": "css selector", "value": css});
        self.with_found(css, &body, act)
    }

    /// Finds an element and does something with it, again until that works: a page may be on its way.
    #[track_caller]
    fn with_found(
        &self,
        what: &str,
        find: &Value,
        act: impl Fn(&str) -> Result<Value, String>,
    ) -> Value {
        let mut last = String::new();
        let done = within(PATIENCE, || {
            let acted = self.try_ask("/element", find).and_then(|found| {
                let id = found[ELEMENT].as_str().unwrap_or_default().to_owned();
                act(&format!("/element/{id}"))
            });
            acted.map_err(|error| last = error).ok()
        });
        done.unwrap_or_else(|| {
            let words = self.try_words().unwrap_or_default();
            panic!("{what:?} at {}: {last}\n{words}", self.url())
        })
    }

    #[track_caller]
    fn ask(&self, path: &str, body: &Value) -> Value {
        self.try_ask(path, body)
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.try_get(path)
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_ask(&self, path: &str, body: &Value) -> Result<Value, String> {
        let headers = [("content-type", "application/json")];
        let path = format!("{}{path}", self.session);
        answer(
            &self
                .driver
                .post(&path, &headers, body.to_string().as_bytes()),
        )
    }

    fn try_get(&self, path: &str) -> Result<Value, String> {
        answer(&self.driver.get(&format!("{}{path}", self.session), &[]))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let words = self.try_words().unwrap_or_default();
            let address = self.try_get("/url").unwrap_or_default();
            eprintln!("--- the browser at {address} showed\n{words}");
        }
        // Closing the session ends the browser; what would still run is ended with its home.
        self.driver.delete(&self.session);
        self.program.kill();
    }
}

fn capabilities(profile: &std::path::Path, scripts: bool) -> Value {
    let mut preferences = json!({"profile": {"password_manager_leak_detection": false}});
    if !scripts {
        preferences["profile"]["managed_default_content_settings"] = json!({"javascript": 2});
    }
    let arguments = [
        "--headless=new".to_owned(),
        // Tests may run as root, in a container with a small /dev/shm.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--no-first-run".to_owned(),
        "--hide-scrollbars".to_owned(),
        format!("--user-data-dir={}", profile.display()),
    ];
    json!({"capabilities": {"alwaysMatch": {
        "browserName": "chrome",
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {"args": arguments, "prefs": preferences},
        "unhandledPromptBehavior": "accept",
    }}})
}

/// The value of an answer, or the driver's words.
fn answer(answer: &Answer) -> Result<Value, String> {
    let mut body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if answer.status == 200 {
        return Ok(body["value"].take());
    }
    let message = body["value"]["message"].as_str().unwrap_or(&answer.body);
    Err(message.lines().next().unwrap_or_default().to_owned())
}
