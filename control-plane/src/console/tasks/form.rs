//! The form that makes a task and changes one.
//!
//! Several people and agents may change a task at the same time. What only one of them changed is taken
//! from that one; a field that both changed is shown with both, and nothing is saved until its visitor
//! has seen it (in `merge`).

use axum::extract::State;
use axum::response::Response;
use hostler_proto::error::{ErrorCode, Failure};
use hostler_proto::time::UtcMillis;
use maud::{Markup, html};
use serde::Deserialize;

use super::merge::{self, Clash};
use super::{Choices, path_of};
use crate::App;
use crate::auth::session::Visitor;
use crate::console::Path;
use crate::console::field::Field;
use crate::console::input::given;
use crate::console::layout::{self, Nav, Page};
use crate::console::text;
use crate::console::{Checked, SignedIn};
use crate::patch::Patch;
use crate::tasks::{self, CreateTask, Priority, Task, UpdateTask};

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Filled {
    /// What the fields held when the form was made: a mark each.
    pub(super) seen: String,
    title: String,
    description: String,
    status: String,
    priority: String,
    assignee: String,
    estimate: String,
    due: String,
    labels: String,
    branch: String,
    pr_url: String,
}

/// Where a filled form goes.
struct Target<'a> {
    title: &'a str,
    action: String,
    back: String,
    button: &'a str,
    /// Whether the task is there already: it can have a branch and a pull request.
    exists: bool,
}

pub(super) async fn new(State(app): State<App>, SignedIn(visitor): SignedIn) -> Response {
    let filled = Filled {
        priority: Priority::None.word().to_owned(),
        ..Filled::default()
    };
    page(&app, &visitor, &filled, &Target::new(), &Said::default()).await
}

pub(super) async fn create(
    State(app): State<App>,
    Checked { visitor, form }: Checked<Filled>,
) -> Response {
    let made = async {
        let input = form.to_create()?;
        tasks::create(&app, &visitor.caller, input).await
    };
    match made.await {
        Ok(view) => layout::redirect(&path_of(&view.task), "The task is made."),
        Err(failure) => page(&app, &visitor, &form, &Target::new(), &failure.into()).await,
    }
}

pub(super) async fn edit(
    State(app): State<App>,
    SignedIn(visitor): SignedIn,
    Path(slug): Path<String>,
) -> Response {
    match tasks::get(&app, &visitor.caller, &slug).await {
        Ok(view) => {
            let (filled, target) = (Filled::of(&view.task), Target::of(&view.task));
            page(&app, &visitor, &filled, &target, &Said::default()).await
        }
        Err(failure) => layout::failed(&visitor, Nav::Tasks, &failure),
    }
}

pub(super) async fn update(
    State(app): State<App>,
    Path(slug): Path<String>,
    Checked { visitor, form }: Checked<Filled>,
) -> Response {
    let before = match tasks::get(&app, &visitor.caller, &slug).await {
        Ok(view) => view.task,
        Err(failure) => return layout::failed(&visitor, Nav::Tasks, &failure),
    };
    let target = Target::of(&before);
    let (form, clashes) = merge::onto(form, Filled::of(&before));
    if !clashes.is_empty() {
        let said = Said {
            failure: Some(clashing(&clashes)),
            clashes,
        };
        return page(&app, &visitor, &form, &target, &said).await;
    }
    let changed = async {
        let input = form.to_update(&before)?;
        tasks::update(&app, &visitor.caller, &slug, input).await
    };
    match changed.await {
        Ok(view) => layout::redirect(&path_of(&view.task), "The task is saved."),
        Err(failure) => page(&app, &visitor, &form, &target, &failure.into()).await,
    }
}

fn clashing(clashes: &[Clash]) -> Failure {
    let names: Vec<&str> = clashes.iter().map(|clash| clash.label).collect();
    let message = format!(
        "Nothing was saved yet: somebody else has changed the same meanwhile ({})",
        names.join(", ")
    );
    Failure::new(ErrorCode::Conflict, message).hint(
        "What you wrote stands in the fields, and what it would replace stands below each. Save again to replace it.",
    )
}

/// What a page says beside the form.
#[derive(Default)]
struct Said {
    failure: Option<Failure>,
    clashes: Vec<Clash>,
}

impl From<Failure> for Said {
    fn from(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            clashes: Vec::new(),
        }
    }
}

impl Said {
    /// What somebody else has made of a field, in words.
    fn theirs(&self, field: &str, choices: &Choices) -> Option<String> {
        let clash = self.clashes.iter().find(|clash| clash.field == field)?;
        let known = [choices.statuses(), Choices::priorities(), choices.members()].concat();
        let words = known.into_iter().find(|(id, _)| *id == clash.theirs);
        let words = words.map_or_else(|| clash.theirs.clone(), |(_, words)| words);
        Some(if words.is_empty() {
            "Somebody else has emptied it.".to_owned()
        } else {
            format!("Somebody else has made it: {}", text::shown(&words))
        })
    }
}

impl Target<'_> {
    fn new() -> Self {
        Self {
            title: "New task",
            action: "/tasks".to_owned(),
            back: "/tasks".to_owned(),
            button: "Create",
            exists: false,
        }
    }

    fn of(task: &Task) -> Self {
        Self {
            title: "Edit task",
            action: format!("{}/edit", path_of(task)),
            back: path_of(task),
            button: "Save",
            exists: true,
        }
    }
}

impl Filled {
    fn of(task: &Task) -> Self {
        let mut filled = Self {
            seen: String::new(),
            title: task.title.clone(),
            description: task.description.clone().unwrap_or_default(),
            status: task.status.id.to_string(),
            priority: task.priority.clone(),
            assignee: task
                .assignee
                .as_ref()
                .map(|one| one.id.to_string())
                .unwrap_or_default(),
            estimate: task.estimate.map(|one| one.to_string()).unwrap_or_default(),
            due: task.due_at.map(day_of).unwrap_or_default(),
            labels: task.labels.join(", "),
            branch: task.branch.clone().unwrap_or_default(),
            pr_url: task.pr_url.clone().unwrap_or_default(),
        };
        filled.seen = merge::marks(&filled);
        filled
    }

    /// What can be changed: name, label and what it holds.
    pub(super) fn fields(&mut self) -> [(&'static str, &'static str, &mut String); 10] {
        [
            ("title", "title", &mut self.title),
            ("description", "description", &mut self.description),
            ("status", "status", &mut self.status),
            ("priority", "priority", &mut self.priority),
            ("assignee", "assignee", &mut self.assignee),
            ("estimate", "estimate", &mut self.estimate),
            ("due", "due day", &mut self.due),
            ("labels", "labels", &mut self.labels),
            ("branch", "branch", &mut self.branch),
            ("pr_url", "pull request", &mut self.pr_url),
        ]
    }

    fn to_create(&self) -> Result<CreateTask, Failure> {
        Ok(CreateTask {
            title: self.title.clone(),
            description: given(&self.lines()),
            status: None,
            status_id: given(&self.status),
            priority: Priority::from_word(&self.priority),
            assignee: given(&self.assignee),
            estimate: self.estimate()?,
            due_at: self.due()?,
            labels: self.labels(),
        })
    }

    /// Everything it holds; a due time stays as exact as it was while its day stays.
    fn to_update(&self, before: &Task) -> Result<UpdateTask, Failure> {
        let same_day = before.due_at.map(day_of).unwrap_or_default() == self.due.trim();
        Ok(UpdateTask {
            title: Some(self.title.clone()),
            description: set(given(&self.lines())),
            status: None,
            status_id: given(&self.status),
            priority: set(Priority::from_word(&self.priority)),
            assignee: set(given(&self.assignee)),
            estimate: set(self.estimate()?),
            due_at: if same_day {
                Patch::Keep
            } else {
                set(self.due()?)
            },
            labels: Patch::Set(self.labels()),
            pr_url: set(given(&self.pr_url)),
            branch: set(given(&self.branch)),
            if_changed_at: Some(before.updated_at),
        })
    }

    /// Browsers send CR LF at the end of each line.
    fn lines(&self) -> String {
        self.description.replace("\r\n", "\n")
    }

    fn labels(&self) -> Vec<String> {
        self.labels.split(',').filter_map(given).collect()
    }

    fn estimate(&self) -> Result<Option<f64>, Failure> {
        let Some(text) = given(&self.estimate) else {
            return Ok(None);
        };
        let number = text.replace(',', ".").parse();
        number
            .map(Some)
            .map_err(|error: std::num::ParseFloatError| {
                unread("estimate", &text, "a number, such as 3 or 0.5").detail(error.to_string())
            })
    }

    /// The beginning of its day in UTC.
    fn due(&self) -> Result<Option<UtcMillis>, Failure> {
        let Some(text) = given(&self.due) else {
            return Ok(None);
        };
        let day: Result<jiff::civil::Date, _> = text.parse();
        let start = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
        let start = start.map_err(|error| {
            unread("due date", &text, "a day, such as 2026-03-08").detail(error.to_string())
        })?;
        Ok(Some(start.timestamp().into()))
    }
}

fn set<T>(value: Option<T>) -> Patch<T> {
    value.map_or(Patch::Clear, Patch::Set)
}

fn day_of(at: UtcMillis) -> String {
    at.to_timestamp().strftime("%Y-%m-%d").to_string()
}

fn unread(field: &str, text: &str, wanted: &str) -> Failure {
    let text = crate::names::shortened(text);
    let message = format!("the {field} \"{text}\" cannot be read");
    Failure::new(ErrorCode::InvalidArgument, message).hint(format!("write {wanted}"))
}

async fn page(
    app: &App,
    visitor: &Visitor,
    filled: &Filled,
    target: &Target<'_>,
    said: &Said,
) -> Response {
    let choices = match Choices::of(app, visitor).await {
        Ok(choices) => choices,
        Err(failure) => return layout::failed(visitor, Nav::Tasks, &failure),
    };
    let failure = said.failure.as_ref();
    let status = failure.map(|failure| layout::status_of(failure.code));
    let mut page = Page::new(visitor, Nav::Tasks, target.title)
        .under("Tasks", "/tasks")
        .status(status.unwrap_or_default());
    if target.exists {
        page = page.under("Task", target.back.as_str());
    }
    page.body(html! {
        @if let Some(failure) = failure { (layout::problem(failure)) }
        form.stack method="post" action=(target.action) {
            (layout::csrf(visitor))
            input type="hidden" name="seen" value=(filled.seen);
            (fields(filled, &choices, said, target.exists))
            div.actions { button.main type="submit" { (target.button) } a.button href=(target.back) { "Cancel" } }
        }
    })
}

fn fields(filled: &Filled, choices: &Choices, said: &Said, exists: bool) -> Markup {
    let (statuses, priorities) = (choices.statuses(), Choices::priorities());
    let mut members = vec![(String::new(), "Nobody".to_owned())];
    members.extend(choices.members());
    // Each field stands with what somebody else has made of it, where that is another thing.
    let with = |field: Field<'_>, name: &str| {
        let theirs = said.theirs(name, choices);
        html! { (field.error(theirs.as_deref())) }
    };
    html! {
        (with(Field::text("title", "Title").value(&filled.title).required().most(500).autocomplete("off"), "title"))
        (with(Field::area("description", "Description", 8).value(&filled.description).most(100_000), "description"))
        div.row {
            (with(Field::select("status", "Status", &statuses).value(&filled.status), "status"))
            (with(Field::select("priority", "Priority", &priorities).value(&filled.priority), "priority"))
            (with(Field::select("assignee", "Assignee", &members).value(&filled.assignee), "assignee"))
        }
        div.row {
            (with(Field::date("due", "Due").value(&filled.due), "due"))
            (with(Field::number("estimate", "Estimate").value(&filled.estimate), "estimate"))
        }
        (with(Field::text("labels", "Labels").value(&filled.labels).autocomplete("off").hint("Separated by commas."), "labels"))
        @if exists {
            div.row {
                (with(Field::text("branch", "Branch").value(&filled.branch).most(255).autocomplete("off"), "branch"))
                (with(Field::text("pr_url", "Pull request").value(&filled.pr_url).most(2000).autocomplete("off"), "pr_url"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_and_what_can_is_taken() {
        let filled = |due: &str, estimate: &str| Filled {
            due: due.to_owned(),
            estimate: estimate.to_owned(),
            labels: "a, ,b c,".to_owned(),
            ..Filled::default()
        };
        let good = filled("2026-03-08", "0,5").to_create().unwrap();
        assert_eq!(good.due_at.unwrap().to_string(), "2026-03-08T00:00:00Z");
        assert_eq!(good.estimate, Some(0.5));
        assert_eq!(good.labels, ["a", "b c"]);
        let due = filled("soon", "").to_create().unwrap_err();
        assert_eq!(due.message, "the due date \"soon\" cannot be read");
        let estimate = filled("", "much").to_create().unwrap_err();
        assert_eq!(estimate.message, "the estimate \"much\" cannot be read");
    }
}
