//! Automations and runs in a real Chromium: made in the editor, run, watched live, cancelled, run
//! again; with and without scripts; every page looked over.

use serde_json::json;

use super::console::{faults_of, picture_name};
use crate::harness::{Browser, Home, Repo, Service, Theme, eventually, secs};

/// A control plane with this machine as its host.
struct Console {
    home: Home,
    service: Service,
}

impl Console {
    #[track_caller]
    fn new() -> Self {
        let home = Home::new();
        let service = home.up();
        service.mcp().host();
        Self { home, service }
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.service.url)
    }

    /// A script that goes on once the file at [`Console::gate`] is there.
    fn script(&self) -> String {
        let gate = self.home.path("go");
        format!(
            "echo first line\nuntil [ -e {} ]; do sleep 0.05; done\necho last line",
            gate.display()
        )
    }

    #[track_caller]
    fn open_gate(&self) {
        std::fs::write(self.home.path("go"), "").unwrap();
    }

    #[track_caller]
    fn shut_gate(&self) {
        std::fs::remove_file(self.home.path("go")).unwrap();
    }
}

#[track_caller]
fn fill_in(browser: &Browser, script: &str) {
    browser.fill("Name", "Watch <b>me</b>");
    browser.fill("Prompt", script);
    browser.choose("Agent", "Shell script");
    browser.choose("How often", "Every day");
    browser.fill("Time zone", "America/New_York");
}

#[test]
fn an_automation_is_made_watched_cancelled_and_run_again() {
    let console = Console::new();
    let browser = Browser::start(&console.home);
    browser.sign_in_as_owner(&console.home, &console.service);
    browser.open(&console.address("/automations/new"));
    fill_in(&browser, &console.script());
    eventually("the preview follows what is typed", secs(20), || {
        let shown = browser.text_of("#preview");
        (shown.contains("Daily at 9:00 AM, New York") && shown.contains("UTC")).then_some(())
    });
    browser.press("Create automation");
    browser.wait_words("Created. It runs daily at 9:00 AM, New York.");
    assert_eq!(browser.text_of("h1"), "Watch <b>me</b>");

    browser.press("Run now");
    browser.wait_url("the run's page", |url| url.contains("/runs/"));
    browser.wait_words("first line");
    assert!(!browser.words().contains("last line"));
    let loaded = browser.script("return performance.timeOrigin", &[]);
    console.open_gate();
    browser.wait_words("last line");
    browser.wait_words("The run is over");
    eventually("the state follows", secs(20), || {
        (browser.text_of("#run-state") == "succeeded").then_some(())
    });
    let now = browser.script("return performance.timeOrigin", &[]);
    assert_eq!(now, loaded, "all of it without loading the page again");
    let first = browser.url();

    console.shut_gate();
    browser.press("Run again");
    browser.wait_url("another run's page", |url| {
        url.contains("/runs/") && url != first
    });
    browser.wait_words("first line");
    browser.press("Cancel run");
    browser.wait_words("cancelled");
    eventually("the run is cancelled", secs(30), || {
        (browser.text_of("#run-state") == "cancelled").then_some(())
    });
    browser.open(&console.address("/runs?state=cancelled"));
    assert_eq!(browser.count("tbody tr"), 1);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn without_scripts_everything_works_but_what_is_live() {
    let console = Console::new();
    let browser = Browser::without_scripts(&console.home);
    browser.sign_in_as_owner(&console.home, &console.service);
    browser.open(&console.address("/automations/new"));
    fill_in(&browser, &console.script());
    browser.press("Preview");
    browser.wait_words("Daily at 9:00 AM, New York");
    assert_eq!(
        browser.property("#f-name", "value"),
        json!("Watch <b>me</b>")
    );
    assert_eq!(
        browser.property("#f-prompt", "value"),
        json!(console.script())
    );
    browser.fill("Time zone", "Nowhere/AtAll");
    browser.press("Create automation");
    browser.wait_words("Choose a time zone of the list");
    browser.fill("Time zone", "America/New_York");
    browser.press("Create automation");
    browser.wait_words("Created.");

    browser.press("Run now");
    browser.wait_url("the run's page", |url| url.contains("/runs/"));
    let run = browser.url();
    let shows = |words: &str| {
        eventually(words, secs(30), || {
            browser.open(&run);
            browser.words().contains(words).then_some(())
        });
    };
    shows("first line");
    console.open_gate();
    shows("last line");
    shows("succeeded");

    browser.press("Watch <b>me</b>");
    browser.press("Edit");
    browser.fill("Name", "Renamed");
    browser.press("Save");
    browser.wait_words("Saved.");
    browser.wait_words("Renamed from");
    browser.press("Pause");
    browser.wait_words("Paused. A run that is going on goes on.");
    browser.press("Resume");
    browser.wait_words("Resumed.");
    browser.press("Delete…");
    browser.press("Delete automation");
    browser.wait_words("Deleted. Its runs stay under Runs.");
    browser.open(&run);
    browser.wait_words("deleted");
}

#[test]
fn every_page_of_automations_and_runs_is_sound() {
    let console = Console::new();
    let mcp = console.service.mcp();
    let project = mcp.import(&Repo::new(&console.home, "shop", 3));
    let hostile = "<script>document.title = 'taken'</script> \u{202e}\u{1b}]0;x\u{7} averyveryveryverylongwordwithoutanyspaceinit";
    let automation = mcp.automation(&json!({
        "name": hostile, "projectId": project, "timezone": "Europe/Berlin",
        "rrule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
        "prompt": "printf '\\033[31mred\\033[0m <b>bold</b>\\n'; echo more >> new; git add -A; git commit -qm x; exit 3"
    }));
    let run = mcp.start(&automation);
    mcp.finished(&automation, &run);
    let id = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let (automation, run) = (id(&automation), id(&run));
    mcp.ok("automations_pause", json!({"id": automation}));
    let browser = Browser::start(&console.home);
    browser.sign_in_as_owner(&console.home, &console.service);
    let mut faults = Vec::new();
    for page in [
        "/automations",
        "/automations?show=deleted",
        "/automations/new",
        "/automations/{automation}",
        "/automations/{automation}/edit",
        "/automations/{automation}/prompt",
        "/runs",
        "/runs?state=queued",
        "/runs/{run}",
        "/runs/{run}?raw=1",
    ] {
        let path = page
            .replace("{automation}", &automation)
            .replace("{run}", &run);
        for theme in Theme::BOTH {
            for width in [1280, 390] {
                browser.theme(theme);
                browser.size(width, 900);
                browser.open(&console.address(&path));
                browser.picture(&picture_name(page, theme, width));
                assert_ne!(browser.title(), "taken");
                let found = faults_of(&browser);
                let place = format!("{page} {} {width}", theme.word());
                faults.extend(found.into_iter().map(|fault| format!("{place}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
