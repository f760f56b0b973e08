//! The console in a real Chromium: every page in both themes and at phone width, with and without
//! scripts, and what people do on them.

mod pages;

use serde_json::{Value, json};

use crate::harness::{
    Browser, Http, Repo, Stopwatch, Theme, catalog, client_folder, eventually, newcomer_cookie,
    owner_cookie, secs,
};
use pages::{Furnished, PAGES, STRANGERS_PAGES};

const WIDTHS: [u32; 2] = [1280, 390];

#[test]
fn every_page_is_sound_in_the_light() {
    every_page_is_sound(Theme::Light);
}

#[test]
fn every_page_is_sound_in_the_dark() {
    every_page_is_sound(Theme::Dark);
}

/// Every page: loaded without a complaint of the browser, one first heading, named fields, unique
/// ids, no sideways scrolling, and nothing that axe finds serious; a picture of each.
fn every_page_is_sound(theme: Theme) {
    let furnished = Furnished::new();
    let browser = furnished.browser();
    let mut faults = Vec::new();
    for page in PAGES {
        look_at(&browser, &furnished, page, theme, &mut faults);
    }
    browser.open(&furnished.address("/device?user_code=<code>"));
    browser.press("Continue");
    browser.wait_words("Is this your device?");
    look(&browser, "device, confirm", theme, &mut faults);
    browser.open(&furnished.address("/workspaces/{workspace}/delete"));
    browser.press("Delete");
    browser.wait_words("notes.txt");
    look(&browser, "workspace, refused to delete", theme, &mut faults);
    browser.open(&furnished.address("/projects/new"));
    browser.press("Register");
    browser.wait_words("xactly one of url and path");
    look(&browser, "project, refused", theme, &mut faults);
    drop(browser);
    let stranger = Browser::start(&furnished.home);
    for page in STRANGERS_PAGES {
        look_at(&stranger, &furnished, page, theme, &mut faults);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// One page of the list: a picture of each look it has, and what is wrong with it.
fn look_at(
    browser: &Browser,
    furnished: &Furnished,
    page: &str,
    theme: Theme,
    faults: &mut Vec<String>,
) {
    browser.open(&furnished.address(page));
    let path = page.split(['{', '?']).next().unwrap();
    if !browser.url().contains(path) {
        faults.push(format!("{page}: led to {}", browser.url()));
    }
    look(browser, page, theme, faults);
}

/// The page that is open, at both widths.
fn look(browser: &Browser, page: &str, theme: Theme, faults: &mut Vec<String>) {
    browser.theme(theme);
    for width in WIDTHS {
        browser.size(width, 900);
        browser.picture(&picture_name(page, theme, width));
        let at = format!("{page} {} {width}", theme.word());
        let found = faults_of(browser);
        faults.extend(found.into_iter().map(|fault| format!("{at}: {fault}")));
    }
    let found = axe_faults(browser);
    faults.extend(found.into_iter().map(|fault| format!("{page}: {fault}")));
}

/// Each address that a listed page links to is a listed page, or one of another part's list.
#[test]
fn every_link_leads_somewhere() {
    let furnished = Furnished::new();
    let browser = furnished.browser();
    let mut addresses = std::collections::BTreeSet::new();
    for page in PAGES {
        browser.open(&furnished.address(page));
        let links = browser.script(
            "return [...document.querySelectorAll('a[href]')].map(a => a.href)",
            &[],
        );
        let links = links.as_array().unwrap().iter().filter_map(Value::as_str);
        addresses.extend(
            links
                .map(|link| link.split('#').next().unwrap().to_owned())
                .filter(|link| link.starts_with(&furnished.service.url)),
        );
    }
    let http = Http::new(&furnished.service.url);
    let cookie = owner_cookie(&furnished.home);
    let headers = [("cookie", cookie.as_str()), ("accept", "text/html")];
    let broken: Vec<String> = addresses
        .iter()
        .map(|address| &address[furnished.service.url.len()..])
        .filter(|path| !["/nowhere", "/tasks/no-such-task", "/hosts/no-such-host"].contains(path))
        .filter(|path| http.get(path, &headers).status >= 400)
        .map(str::to_owned)
        .collect();
    assert_eq!(broken, Vec::<String>::new());
}

/// What belongs to an organization, or to a host, is not there for those who have no part in it.
#[test]
fn others_find_nothing_on_any_page() {
    let furnished = Furnished::new();
    let http = Http::new(&furnished.service.url);
    for colleague in [false, true] {
        let cookie = newcomer_cookie(&furnished.home, colleague);
        let headers = [("cookie", cookie.as_str()), ("accept", "text/html")];
        for page in PAGES {
            let path = furnished.address(page)[furnished.service.url.len()..].to_owned();
            let answer = http.get(&path, &headers);
            let tasks_of_all = colleague && (page.contains("{task}") || page.contains("{member}"));
            if page.contains('{') && !tasks_of_all {
                assert_eq!(answer.status, 404, "colleague: {colleague}, {page}");
                continue;
            }
            assert!(answer.status < 500, "colleague: {colleague}, {page}");
            let leak = furnished.ids_on_host().find(|id| answer.body.contains(*id));
            assert_eq!(leak, None, "colleague: {colleague}, {page}");
            let foreign = !colleague && answer.body.contains("release notes");
            assert!(!foreign, "another organization's task on {page}");
        }
    }
}

#[test]
fn a_workspace_with_unsaved_work_is_deleted_only_in_a_second_step() {
    let furnished = Furnished::new();
    let browser = furnished.browser();
    browser.open(&furnished.address("/workspaces/{workspace}"));
    browser.press("Delete…");
    browser.wait_words("1 untracked");
    browser.press("Delete");
    browser.wait_words("notes.txt");
    browser.press("Delete anyway");
    browser.wait_words("is deleted");
    assert_eq!(browser.count("tbody tr"), 1, "the main checkout stays");
    browser.open(&furnished.address("/workspaces"));
    assert!(!browser.words().contains("is deleted"), "said once");
    browser.open(&furnished.address("/workspaces/{workspace}"));
    browser.wait_words("Not found");
}

#[test]
fn a_project_a_workspace_and_a_task_are_made_without_scripts() {
    let furnished = Furnished::new();
    let other = Repo::new(&furnished.home, "books", 3);
    let browser = Browser::without_scripts(&furnished.home);
    browser.sign_in_as_owner(&furnished.home, &furnished.service);
    let url = |path: &str| furnished.address(path);

    browser.open(&url("/projects/new"));
    browser.fill("Path of a checkout", "/nowhere/at/all");
    browser.press("Register");
    browser.wait_words("/nowhere/at/all");
    assert_eq!(
        browser.property("#f-path", "value"),
        json!("/nowhere/at/all"),
        "the input is kept"
    );
    browser.fill("Path of a checkout", other.path.to_str().unwrap());
    browser.press("Register");
    browser.wait_words("books is registered");

    browser.press("New workspace");
    browser.fill("Name", "Count the pages");
    browser.press("Create");
    browser.wait_words("Count the pages is ready");

    browser.open(&url("/tasks/new"));
    browser.fill("Title", "Read <b>all</b> of it");
    browser.choose("Priority", "High");
    browser.fill("Labels", "one, two");
    browser.press("Create");
    browser.wait_words("The task is made");
    assert_eq!(browser.text_of("h1"), "Read <b>all</b> of it");
    browser.press("Delete…");
    browser.press("Delete task");
    browser.wait_words("is deleted");
}

#[test]
fn a_task_is_moved_on_the_board_from_the_keyboard() {
    let furnished = Furnished::new();
    let browser = furnished.browser();
    browser.open(&furnished.address("/tasks?view=board"));
    let lane = |name: &str| {
        let found = browser.script(
            "return [...document.querySelectorAll('.lane')].find(l => l.querySelector('h2').innerText.startsWith(arguments[0])).innerText",
            &[json!(name)],
        );
        found.as_str().unwrap().to_owned()
    };
    assert!(lane("Backlog").contains("Write the release notes"));
    let focus = "[...document.querySelectorAll('.lane li')].find(l => l.innerText.includes('Write the release notes')).querySelector('summary').focus()";
    browser.script(focus, &[]);
    browser.key("\u{E007}");
    // Backlog's others in order: Todo, In Progress.
    browser.key("\u{E004}");
    browser.key("\u{E004}");
    browser.key("\u{E007}");
    browser.wait_words("Write the release notes is now In Progress.");
    assert!(browser.url().contains("view=board"));
    assert!(lane("In Progress").contains("Write the release notes"));
}

#[test]
fn forms_of_others_change_nothing() {
    let furnished = Furnished::new();
    let http = Http::new(&furnished.service.url);
    let cookie = owner_cookie(&furnished.home);
    let path = format!("/tasks/{}/delete", furnished.task);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let session = ("cookie", cookie.as_str());
    let tries: [&[(&str, &str)]; 3] = [
        &[form, session],
        &[form, session, ("sec-fetch-site", "cross-site")],
        &[form, session, ("origin", "https://evil.example")],
    ];
    for headers in tries {
        let answer = http.post(&path, headers, b"csrf=00");
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    let kept = furnished
        .service
        .mcp()
        .ok("tasks_get", json!({"idOrSlug": furnished.task}));
    assert_eq!(kept["task"]["slug"], json!(furnished.task));
    let stranger = http.post(&path, &[form], b"csrf=00");
    assert_eq!(
        (stranger.status, stranger.header("location")),
        (303, Some("/sign-in"))
    );
}

#[test]
fn lists_are_quick_with_ten_thousand_rows() {
    let furnished = Furnished::new();
    fill_catalog(&furnished);
    let http = Http::new(&furnished.service.url);
    let cookie = owner_cookie(&furnished.home);
    let headers = [("cookie", cookie.as_str()), ("accept", "text/html")];
    for path in [
        "/tasks",
        "/tasks?view=board",
        "/tasks?q=number+77",
        "/workspaces",
        "/workspaces?q=work-99&offset=50",
        "/projects",
    ] {
        http.get(path, &headers);
        let mut took: Vec<u128> = (0..9)
            .map(|_| {
                let watch = Stopwatch::start();
                let answer = http.get(path, &headers);
                assert_eq!(answer.status, 200, "{path}");
                watch.elapsed().as_millis()
            })
            .collect();
        took.sort_unstable();
        println!("{path}: {took:?} ms");
        // The quickest, because other tests run beside it; of an unoptimized program.
        assert!(took[0] < 200, "{path}: {took:?} ms");
    }
}

/// Ten thousand tasks and workspaces beside those that are there.
fn fill_catalog(furnished: &Furnished) {
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)";
    let task = "SELECT lower(hex(randomblob(4)) || '-' || substr(hex(randomblob(2)), 1, 4) || '-7' || substr(hex(randomblob(2)), 1, 3) || '-8' || substr(hex(randomblob(2)), 1, 3) || '-' || hex(randomblob(6)))";
    let tasks = format!(
        "{numbers} INSERT INTO tasks (id, org_id, ordinal, slug, title, search_text, status_id, priority, creator_id, labels, created_at, updated_at) \
         {task}, t.org_id, 1000 + i, 'task-' || i, 'Task number ' || i, 'task number ' || i, \
         (SELECT id FROM task_statuses WHERE position = (SELECT MIN(position) FROM task_statuses) + i % 5), 'none', t.creator_id, '[]', t.created_at, t.updated_at \
         FROM n, (SELECT * FROM tasks LIMIT 1) t"
    );
    let workspaces = format!(
        "{numbers} INSERT INTO workspaces (id, org_id, host_id, project_id, name, branch, kind, state, path, created_by, created_at, as_of, confirmed) \
         {task}, w.org_id, w.host_id, w.project_id, 'Work ' || i, 'work-' || i, 'worktree', 'failed', '/w/' || i, w.created_by, w.created_at + i, w.as_of, 1 \
         FROM n, (SELECT * FROM workspaces LIMIT 1) w"
    );
    furnished
        .home
        .sql(&catalog(&furnished.home), &[tasks, workspaces]);
    eventually("the rows are there", secs(10), || {
        let listed = furnished
            .service
            .mcp()
            .ok("tasks_list", json!({"limit": 1}));
        (listed["total"].as_u64()? > 10_000).then_some(())
    });
}

pub(super) fn picture_name(page: &str, theme: Theme, width: u32) -> String {
    let plain: String = page
        .trim_matches('/')
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("{plain}.{}.{width}", theme.word())
}

pub(super) fn faults_of(browser: &Browser) -> Vec<String> {
    const SOUND: &str = "
        const faults = [];
        const all = css => [...document.querySelectorAll(css)];
        if (all('h1').length !== 1) faults.push(all('h1').length + ' h1');
        if (document.documentElement.scrollWidth > innerWidth) {
            const wide = all('body *').filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 3);
            faults.push('wider than the window: ' + wide.map(e => e.outerHTML.slice(0, 80)).join(' | '));
        }
        const ids = all('[id]').map(e => e.id);
        for (const id of new Set(ids.filter((id, at) => ids.indexOf(id) !== at))) faults.push('two of id ' + id);
        for (const field of all('input:not([type=hidden]), select, textarea'))
            if (!field.labels.length && !field.getAttribute('aria-label')) faults.push('no label: ' + field.outerHTML.slice(0, 120));
        for (const form of all('form[method=post]'))
            if (!form.elements.csrf) faults.push('no csrf: ' + form.outerHTML.slice(0, 120));
        if (all('[style], [onclick], style, script:not([src])').length) faults.push('inline style or script');
        for (const small of all('a:not(.skip), button:not(.hidden), summary, input:not([type=hidden]), select')) {
            const box = small.getBoundingClientRect();
            const inline = getComputedStyle(small).display === 'inline';
            if (box.width && !inline && (box.height < 24 || box.width < 16) && !['checkbox', 'radio'].includes(small.type))
                faults.push('small target: ' + small.outerHTML.slice(0, 120));
        }
        return faults;";
    let mut faults: Vec<String> = browser.complaints();
    faults.extend(texts(&browser.script(SOUND, &[])));
    faults
}

/// What axe finds wrong with the page that is open.
fn axe_faults(browser: &Browser) -> Vec<String> {
    const AXE: &str = "
        const done = arguments[arguments.length - 1];
        axe.run({resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice']}).then(
            found => done(found.passes.length === 0 ? ['axe looked at nothing'] : found.violations.filter(v => ['serious', 'critical', 'moderate'].includes(v.impact))
                .map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 120) + ' ' + (n.failureSummary || '').slice(0, 200)).join(' | '))),
            error => done(['axe failed: ' + error]));";
    browser.script(&axe(), &[]);
    texts(&browser.script_until_done(AXE, &[]))
}

fn texts(found: &Value) -> Vec<String> {
    let found = found.as_array().into_iter().flatten();
    let texts = found.map(|fault| fault.as_str().unwrap_or_default().to_owned());
    texts.collect()
}

/// The source of axe-core, as `tests/run` installed it.
fn axe() -> String {
    let path = client_folder().join("../npm/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `tests/run --install`", path.display()))
}
