//! Parts that pages are made of. Each gives [`Markup`] that works without JavaScript, in both
//! themes, on a phone and for a screen reader.
//!
//! | part | for |
//! |---|---|
//! | `Page::new(&v, Nav::X, "Title").under().beside().actions().tabs().body()` | the frame (in `layout`); `layout::page` is the short form |
//! | `layout::redirect("/path", "What was done.")` | the answer to a form that worked: 303, said once on the next page |
//! | `layout::problem(&failure)` | what went wrong, above the form that is shown again with its input |
//! | `Field::text("name", "Label").value().hint().error().required()` | a field with all that belongs to it (in `field`) |
//! | `badge(Tone::Good, "online")` | a state: shape, colour and word |
//! | `table("Hosts", &["Name", "State", ""], rows)` | a list; the first cell of a row names it, a column called `""` holds actions, one ending in `#` numbers; cards on a phone |
//! | `facts(&[("Branch", html!{..})])` | names and values |
//! | `empty("No hosts yet", html!{..what to do..})` | instead of an empty list |
//! | `tabs("Settings", &[("Keys", "/settings/keys")], "/settings/keys")`, `settings_tabs` | tabs that are links |
//! | `pager(&page)` | "1–50 of 230", previous, next; keeps the query |
//! | `copy_box("key", "The key", text)` | a secret shown once, or a command to paste |
//! | `when(at, now)`, `day(at)` | a time: relative, exact in UTC on hover and for programs |
//! | `post_button(&v, "/path", "Pause", "")` | a form that is one button |
//! | `confirm(&v, "Delete…", html!{..what happens, fields..}, "/path", "Delete")` | a second step before what cannot be undone |
//!
//! Classes: `.card` (a box) in `.cards` (a grid), `.split` (content and side), `section` with
//! `.section-head` (an `h2` and `.actions`), `.filters` (a GET form in a line), `form.stack` (fields
//! below one another) with `.row` (fields in a line), `.button`/`button` with `main`, `danger`,
//! `small`, `link`; `.tag`, `.muted`, `.hint`, `.num`, `.mono`, `.code`, `.log`, `.note` (a warning),
//! `.hidden` (for screen readers alone).

use hostler_proto::time::UtcMillis;
use maud::{Markup, html};

use super::layout;
use crate::auth::session::Visitor;

/// What a state means for the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It is as it should be.
    Good,
    /// Something is happening now.
    Busy,
    /// It waits for somebody or something.
    Wait,
    /// It failed.
    Bad,
    /// Nothing happens: off, gone, never.
    Off,
}

/// A state, told by a shape, a colour and a word.
pub(crate) fn badge(tone: Tone, word: &str) -> Markup {
    let class = match tone {
        Tone::Good => "badge good",
        Tone::Busy => "badge busy",
        Tone::Wait => "badge wait",
        Tone::Bad => "badge bad",
        Tone::Off => "badge off",
    };
    html! { span class=(class) { (word) } }
}

/// A list of things. The first cell of a row is its heading; see the catalogue for `columns`.
pub(crate) fn table(caption: &str, columns: &[&str], rows: Vec<Vec<Markup>>) -> Markup {
    html! {
        div.scroll.cells {
            // Roles stand here because cards on a phone take them away from the elements.
            table role="table" {
                caption.hidden { (caption) }
                thead role="rowgroup" {
                    tr role="row" {
                        @for column in columns {
                            th scope="col" role="columnheader" class=[class_of(column)] {
                                @if column.is_empty() { span.hidden { "Actions" } }
                                @else { (column.trim_end_matches('#')) }
                            }
                        }
                    }
                }
                tbody role="rowgroup" {
                    @for row in rows { tr role="row" { (cells(columns, row)) } }
                }
            }
        }
    }
}

/// Names and values.
pub(crate) fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts { @for (name, value) in facts { dt { (name) } dd { (value) } } }
    }
}

/// What stands where a list would be, and the next step.
#[expect(
    clippy::needless_pass_by_value,
    reason = "markup is made where it is passed"
)]
pub(crate) fn empty(title: &str, next: Markup) -> Markup {
    html! { div.empty { h2 { (title) } (next) } }
}

/// Tabs that are links; `current` is the path of the one that is open.
pub(crate) fn tabs(label: &str, all: &[(&str, &str)], current: &str) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for (name, path) in all {
                a href=(path) aria-current=[(*path == current).then_some("page")] { (name) }
            }
        }
    }
}

/// The tabs of Settings; `current` is the path of the one that is open.
pub(crate) fn settings_tabs(current: &str) -> Markup {
    const ALL: [(&str, &str); 6] = [
        ("Profile", "/settings/profile"),
        ("API keys", "/settings/keys"),
        ("MCP clients", "/settings/clients"),
        ("Members", "/settings/members"),
        ("Organization", "/settings/organization"),
        ("Audit log", "/settings/audit"),
    ];
    tabs("Settings", &ALL, current)
}

/// Which part of a list is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paging<'a> {
    /// The page's path.
    pub(crate) path: &'a str,
    /// Its query without `offset`, such as `q=a&state=ready`.
    pub(crate) query: &'a str,
    /// How many were left out before it.
    pub(crate) offset: u64,
    /// How many a page holds.
    pub(crate) limit: u64,
    /// How many there are in all.
    pub(crate) total: u64,
}

/// Which part of a list is shown, and the way to the others.
pub(crate) fn pager(page: &Paging<'_>) -> Markup {
    let end = page.offset.saturating_add(page.limit).min(page.total);
    let link = |offset: u64| {
        let and = if page.query.is_empty() { "" } else { "&" };
        format!("{}?{}{and}offset={offset}", page.path, page.query)
    };
    html! {
        @if page.total > page.limit || page.offset > 0 {
            nav.pager aria-label="Pages" {
                span { (page.offset.saturating_add(1).min(end)) "–" (end) " of " (page.total) }
                div.actions {
                    @if page.offset > 0 {
                        a.button.small rel="prev" href=(link(page.offset.saturating_sub(page.limit))) { "Previous" }
                    }
                    @if end < page.total {
                        a.button.small rel="next" href=(link(end)) { "Next" }
                    }
                }
            }
        }
    }
}

/// Text to take away: a secret that is shown once, a command to paste. `id` is unique in the page.
pub(crate) fn copy_box(id: &str, label: &str, text: &str) -> Markup {
    html! {
        div.field {
            span.muted id=(format!("{id}-label")) { (label) }
            div.copy {
                code id=(id) tabindex="0" role="textbox" aria-readonly="true" aria-labelledby=(format!("{id}-label")) { (text) }
                button type="button" data-copy=(id) hidden { "Copy" }
            }
        }
    }
}

/// A time as people say it (`5 min ago`, `in 3 h`, a date beyond a month), exact on hover.
pub(crate) fn when(at: UtcMillis, now: UtcMillis) -> Markup {
    timed(at, &relative(at, now))
}

/// A time by its day.
pub(crate) fn day(at: UtcMillis) -> Markup {
    timed(at, &at.to_timestamp().strftime("%Y-%m-%d").to_string())
}

/// A form that is one button; `class` is one or more of `main`, `danger`, `small`, `link`.
pub(crate) fn post_button(visitor: &Visitor, action: &str, label: &str, class: &str) -> Markup {
    html! {
        form.inline method="post" action=(action) {
            (layout::csrf(visitor))
            button type="submit" class=[(!class.is_empty()).then_some(class)] { (label) }
        }
    }
}

/// A second step before what cannot be undone: `summary` opens it, `button` does it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "markup is made where it is passed"
)]
pub(crate) fn confirm(
    visitor: &Visitor,
    summary: &str,
    what: Markup,
    action: &str,
    button: &str,
) -> Markup {
    html! {
        details.confirm {
            summary.button.danger { (summary) }
            form.stack method="post" action=(action) {
                (layout::csrf(visitor))
                (what)
                div.actions { button.danger.main type="submit" { (button) } }
            }
        }
    }
}

fn class_of(column: &str) -> Option<&'static str> {
    match column {
        "" => Some("last"),
        name if name.ends_with('#') => Some("num"),
        _ => None,
    }
}

fn cells(columns: &[&str], row: Vec<Markup>) -> Markup {
    html! {
        @for (at, (column, cell)) in columns.iter().zip(row).enumerate() {
            @if at == 0 {
                th scope="row" role="rowheader" { (cell) }
            } @else {
                td role="cell" class=[class_of(column)] data-label=(column.trim_end_matches('#')) { (cell) }
            }
        }
    }
}

fn timed(at: UtcMillis, words: &str) -> Markup {
    let at = at.to_timestamp();
    html! {
        time.nowrap datetime=(at) title=(at.strftime("%Y-%m-%d %H:%M:%S UTC")) { (words) }
    }
}

fn relative(at: UtcMillis, now: UtcMillis) -> String {
    let ms = at.since(now);
    let seconds = ms.unsigned_abs() / 1000;
    let amount = match seconds {
        0..45 => return if ms > 500 { "in a moment" } else { "just now" }.to_owned(),
        45..3_570 => format!("{} min", (seconds + 30) / 60),
        3_570..84_600 => format!("{} h", (seconds + 1_800) / 3_600),
        84_600..2_592_000 => match (seconds + 43_200) / 86_400 {
            1 => "1 day".to_owned(),
            days => format!("{days} days"),
        },
        _ => return at.to_timestamp().strftime("%Y-%m-%d").to_string(),
    };
    if ms > 0 {
        format!("in {amount}")
    } else {
        format!("{amount} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_do_and_exactly() {
        let now = UtcMillis(1_767_225_600_000);
        let said = |ms: i64| relative(now.plus_ms(ms), now);
        assert_eq!(said(0), "just now");
        assert_eq!(said(-44_000), "just now");
        assert_eq!(said(30_000), "in a moment");
        assert_eq!(said(-45_000), "1 min ago");
        assert_eq!(said(3_569_000), "in 59 min");
        assert_eq!(said(-3_570_000), "1 h ago");
        assert_eq!(said(84_600_000), "in 1 day");
        assert_eq!(said(-20 * 86_400_000), "20 days ago");
        assert_eq!(said(-40 * 86_400_000), "2025-11-22");
        let exact = when(now.plus_ms(-60_000), now).into_string();
        assert!(
            exact.contains("datetime=\"2025-12-31T23:59:00Z\""),
            "{exact}"
        );
        assert!(
            exact.contains("title=\"2025-12-31 23:59:00 UTC\""),
            "{exact}"
        );
    }

    #[test]
    fn the_pager_leads_to_every_page_and_keeps_the_query() {
        let page = |offset| Paging {
            path: "/tasks",
            query: "q=a%26b",
            offset,
            limit: 50,
            total: 120,
        };
        let first = pager(&page(0)).into_string();
        assert!(first.contains("1–50 of 120") && !first.contains("Previous"));
        assert!(first.contains("href=\"/tasks?q=a%26b&amp;offset=50\""));
        let last = pager(&page(100)).into_string();
        assert!(last.contains("101–120 of 120") && !last.contains("Next"));
        let one = Paging {
            total: 50,
            ..page(0)
        };
        assert_eq!(pager(&one).into_string(), "");
    }
}
