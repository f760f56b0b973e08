//! The form itself.

use maud::{Markup, html};

use super::super::super::field::Field;
use super::super::super::layout::csrf;
use super::super::super::{moment, parts, text};
use super::super::choices::{Choices, zones};
use super::super::fields::{Around, Choice, Group, radio};
use super::super::form::{Errors, Form};
use super::super::simple::{DAYS, EVERY};
use super::SCHEDULE;
use crate::auth::session::Visitor;
use crate::automations::Preview;

/// The uncommon fields of the schedule, and those of the policies.
const FOLDED: [&str; 3] = ["dtstart", "exdates", "rdates"];
const POLICIES: [&str; 7] = [
    "jitter_seconds",
    "max_runtime_seconds",
    "retries",
    "pause_after_failures",
    "max_runs",
    "policies",
    "autonomy",
];

/// Everything a page of the editor shows.
pub(super) struct Shown<'a> {
    pub(super) visitor: &'a Visitor,
    pub(super) form: &'a Form,
    pub(super) choices: &'a Choices,
    pub(super) errors: &'a Errors,
    pub(super) preview: Option<&'a Preview>,
    pub(super) theirs: Option<&'a str>,
}

impl Shown<'_> {
    pub(super) fn body(&self) -> Markup {
        if !self.choices.has_hosts() {
            return parts::empty(
                "No host yet",
                html! {
                    p { "An automation runs on a host: a machine that you have connected." }
                    a.button.main href="/hosts" { "Add a host" }
                },
            );
        }
        let form = self.form;
        let (action, save) = if form.id.is_empty() {
            ("/automations".to_owned(), "Create automation")
        } else {
            (format!("/automations/{}", form.id), "Save")
        };
        html! {
            form.editor method="post" action=(action) data-preview="/automations/preview" data-new[form.id.is_empty()] {
                (csrf(self.visitor))
                input type="hidden" name="id" value=(form.id);
                input type="hidden" name="revision" value=(form.revision);
                input type="hidden" name="version" value=(form.version);
                // Enter saves, so that is the first button of the form.
                button type="submit" hidden {}
                (self.what())
                (self.place())
                (self.when())
                (self.policies())
                div.actions {
                    button.main type="submit" { (save) }
                    a.button href=(if form.id.is_empty() { "/automations".to_owned() } else { format!("/automations/{}", form.id) }) { "Cancel" }
                }
            }
        }
    }

    fn what(&self) -> Markup {
        let (form, errors) = (self.form, self.errors);
        html! {
            section.card {
                h2 { "What it does" }
                (Field::text("name", "Name").value(&form.name).required().most(200).error(errors.of("name")))
                (Field::code("prompt", "Prompt", 12).value(&form.prompt).required().error(errors.of("prompt"))
                    .hint("What the agent is told, in markdown. For the agent shell, the script to run."))
                @if let Some(theirs) = self.theirs {
                    details open { summary { "The prompt as it is now, changed by somebody else" } pre.code { (text::shown(theirs)) } }
                }
            }
        }
    }

    fn place(&self) -> Markup {
        let (form, errors, choices) = (self.form, self.errors, self.choices);
        let around = |name, label, hint| Around {
            name,
            label,
            hint,
            error: errors.of(name),
        };
        html! {
            section.card #where {
                div.section-head {
                    h2 { "Where it runs" }
                    button.small type="submit" formaction="/automations/preview#where" formnovalidate data-hide { "Show what this host has" }
                }
                div.row {
                    (around("host", "Host", "").select(&form.host, &choices.hosts()))
                    @match choices.agents(&form.agent) {
                        Some(agents) => (around("agent", "Agent", "").select(&form.agent, &agents)),
                        None => (Field::text("agent", "Agent").value(&form.agent).required().error(errors.of("agent"))
                            .hint("This host has not told which agents it has. Such as claude, codex or shell.")),
                    }
                }
                (around("place", "Folder", "").select(&form.place, &choices.places))
                (Field::text("base_branch", "Branch to start from").value(&form.base_branch).most(255)
                    .hint("Only for a fresh worktree; without it, the project's default branch."))
                (around("autonomy", "The agent may", "").select(&form.autonomy, &choices.autonomy(&form.autonomy)))
            }
        }
    }

    fn when(&self) -> Markup {
        let (form, errors) = (self.form, self.errors);
        html! {
            section.card.schedule {
                h2 { "When it runs" }
                fieldset {
                    legend.hidden { "How the schedule is given" }
                    div.radios {
                        (radio("kind", "simple", "Simple", &form.kind))
                        (radio("kind", "cron", "Cron line", &form.kind))
                        (radio("kind", "rrule", "Rule (RFC 5545)", &form.kind))
                    }
                }
                (self.simple())
                div.by-cron {
                    (Field::text("cron", "Cron line").value(&form.cron).placeholder("0 9 * * 1-5").quiet().error(errors.of("cron"))
                        .hint("Minute, hour, day of month, month, day of week. It is kept as the rule it means."))
                }
                div.by-rrule {
                    (Field::code("rrule", "Rule", 2).value(&form.rrule).placeholder("FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0").quiet().error(errors.of("rrule"))
                        .hint("An RFC 5545 RRULE, also with COUNT or UNTIL."))
                }
                (Around { name: "timezone", label: "Time zone", hint: "The clock that the schedule goes by.", error: errors.of("timezone") }.suggested(&form.timezone, "zones"))
                datalist #zones { @for zone in zones() { option value=(zone) {} } }
                (self.uncommon_times())
                (self.coming())
            }
        }
    }

    fn simple(&self) -> Markup {
        let choices = &self.form.choices;
        let every: Vec<Choice> = EVERY
            .iter()
            .map(|(value, words)| Choice::new(*value, *words))
            .collect();
        let plain = |name, label| Around {
            name,
            label,
            hint: "",
            error: None,
        };
        html! {
            div.by-simple {
                div.row {
                    (plain("every", "How often").select(&choices.every, &[("", every)]))
                    div.at-time { (plain("at", "At").time(&choices.at)) }
                    div.at-minute { (Field::number("minute", "Minute of the hour").value(&choices.minute).quiet()) }
                    div.at-day { (Field::number("month_day", "Day of the month").value(&choices.month_day).quiet()) }
                }
                fieldset.at-weekdays {
                    legend { "On" }
                    div.radios {
                        @for (day, words) in DAYS {
                            @let name = day.to_lowercase();
                            span.radio {
                                input type="checkbox" name=(name) id=(format!("f-{name}")) value="on" checked[choices.has(day)];
                                label for=(format!("f-{name}")) { (words) }
                            }
                        }
                    }
                }
                @if let Some(error) = self.errors.of("simple") { p.error role="alert" { (error) } }
            }
        }
    }

    fn uncommon_times(&self) -> Markup {
        let (form, errors) = (self.form, self.errors);
        let open = errors.any(&FOLDED)
            || [&form.exdates, &form.rdates]
                .iter()
                .any(|text| !text.is_empty());
        html! {
            details open[open] {
                summary { "Start and exceptions" }
                div.fold {
                    (Field::text("dtstart", "Not before").value(&form.dtstart).placeholder("2026-03-01T09:00").error(errors.of("dtstart"))
                        .hint("A time in the time zone above. Intervals count from here; without it, from now."))
                    div.row {
                        (Field::code("exdates", "Leave out", 2).value(&form.exdates).hint("Instants, one a line: 2026-12-24T09:00:00+01:00"))
                        (Field::code("rdates", "Add", 2).value(&form.rdates).hint("Instants, one a line."))
                    }
                }
            }
        }
    }

    /// The next instants, or why there are none.
    fn coming(&self) -> Markup {
        html! {
            section #preview aria-live="polite" {
                div.section-head {
                    h3 { "The next times" }
                    button.small type="submit" formaction="/automations/preview#preview" formnovalidate data-hide { "Preview" }
                }
                @if let Some(error) = self.errors.of("schedule") { p.error { (error) } }
                @match self.preview {
                    Some(preview) => (instants(preview)),
                    None => {
                        @if !self.errors.any(&SCHEDULE) { p.muted { "They are shown once the schedule above is complete." } }
                    }
                }
            }
        }
    }

    fn policies(&self) -> Markup {
        let (form, errors) = (self.form, self.errors);
        let around = |name, label, hint| Around {
            name,
            label,
            hint,
            error: errors.of(name),
        };
        let number = |name: &'static str, label: &'static str, hint: &'static str, value| {
            Field::number(name, label)
                .value(value)
                .quiet()
                .hint(hint)
                .error(errors.of(name))
        };
        html! {
            details.card open[errors.any(&POLICIES)] {
                summary { h2 { "Limits and exceptions" } }
                div.fold {
                    @if let Some(error) = errors.of("policies") { p.error role="alert" { (error) } }
                    div.row {
                        (around("overlap", "When the run before still goes on", "").select(&form.overlap, &words(&OVERLAP)))
                        (around("catch_up", "When the host was off at its time", "").select(&form.catch_up, &words(&CATCH_UP)))
                    }
                    div.row {
                        (number("max_runtime_seconds", "Time limit, seconds", "A run is ended after so long.", &form.max_runtime_seconds))
                        (number("retries", "Further attempts", "Of a run that failed: 0 to 3.", &form.retries))
                    }
                    div.row {
                        (number("pause_after_failures", "Pause after failures", "So many in a row; 0 never pauses it.", &form.pause_after_failures))
                        (number("max_runs", "Finished after runs", "Empty: never.", &form.max_runs))
                    }
                    div.row {
                        (number("jitter_seconds", "Spread, seconds", "Starts so much later at most, to not start all at once.", &form.jitter_seconds))
                        (around("keep_workspace", "The folder of a run stays", "").select(&form.keep_workspace, &words(&KEEP)))
                    }
                }
            }
        }
    }
}

const OVERLAP: [(&str, &str); 4] = [
    ("skip", "Skip the new one"),
    ("queue_one", "Start the new one after it"),
    ("cancel_previous", "Cancel the old one"),
    ("allow", "Run both"),
];

const CATCH_UP: [(&str, &str); 3] = [
    ("latest", "Run the newest missed one"),
    ("skip", "Run none of the missed"),
    ("all", "Run all missed, at most 10"),
];

const KEEP: [(&str, &str); 3] = [
    ("if_changed", "When it holds changes"),
    ("always", "Always"),
    ("never", "Never, unless it holds unsaved work"),
];

fn words(all: &[(&str, &str)]) -> Vec<Group> {
    let choices = all.iter().map(|(value, words)| Choice::new(*value, *words));
    vec![("", choices.collect())]
}

/// The next instants of a schedule, local and UTC, with what clock changes do to them.
pub(in super::super) fn instants(preview: &Preview) -> Markup {
    let zone = moment::zone("UTC");
    let noted = preview.instants.iter().any(|one| one.note.is_some());
    let mut columns = vec![preview.timezone.as_str()];
    let elsewhere = preview.timezone != "UTC";
    if elsewhere {
        columns.push("UTC");
    }
    if noted {
        columns.push("Clock change");
    }
    let rows = preview.instants.iter().map(|one| {
        let mut row = vec![html! { (one.local) }];
        if elsewhere {
            row.push(moment::at(one.at, &zone));
        }
        if noted {
            row.push(html! { @if let Some(note) = &one.note { (note) } });
        }
        row
    });
    html! {
        p { strong { (text::line(&preview.text)) } }
        (parts::table("The next times", &columns, rows.collect()))
        @if preview.exhausted { p.hint { "The schedule ends there." } }
        @for warning in &preview.warnings { p.note { (warning) } }
    }
}
