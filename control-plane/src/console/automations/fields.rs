//! Inputs that the parts of all pages do not have: a select with groups and choices that cannot be
//! made, an input with suggestions, a row of choices. Each tied to its label, hint and error.

use maud::{Markup, html};

/// A choice of a select.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) words: String,
    /// It is shown, and cannot be made.
    pub(super) disabled: bool,
}

/// A select's choices under a heading; an empty heading is none.
pub(super) type Group = (&'static str, Vec<Choice>);

impl Choice {
    pub(super) fn new(value: impl Into<String>, words: impl Into<String>) -> Self {
        Self {
            value: value.into(),
            words: words.into(),
            disabled: false,
        }
    }
}

/// A field around an input of any kind.
pub(super) struct Around<'a> {
    pub(super) name: &'a str,
    pub(super) label: &'a str,
    pub(super) hint: &'a str,
    pub(super) error: Option<&'a str>,
}

impl Around<'_> {
    fn described_by(&self) -> Option<String> {
        let hint = (!self.hint.is_empty()).then(|| format!("f-{}-hint", self.name));
        let error = self.error.map(|_| format!("f-{}-error", self.name));
        let ids: Vec<String> = hint.into_iter().chain(error).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    fn with(&self, input: &Markup) -> Markup {
        html! {
            div.field {
                label for=(format!("f-{}", self.name)) { (self.label) }
                (input)
                @if !self.hint.is_empty() { span.hint id=(format!("f-{}-hint", self.name)) { (self.hint) } }
                @if let Some(error) = self.error { span.error id=(format!("f-{}-error", self.name)) { (error) } }
            }
        }
    }

    /// A select.
    pub(super) fn select(&self, value: &str, groups: &[Group]) -> Markup {
        let option = |choice: &Choice| {
            html! { option value=(choice.value) selected[choice.value == value] disabled[choice.disabled] { (choice.words) } }
        };
        self.with(&html! {
            select name=(self.name) id=(format!("f-{}", self.name)) aria-describedby=[self.described_by()] aria-invalid=[self.error.map(|_| "true")] {
                @for (heading, choices) in groups {
                    @if heading.is_empty() { @for choice in choices { (option(choice)) } }
                    @else if !choices.is_empty() { optgroup label=(heading) { @for choice in choices { (option(choice)) } } }
                }
            }
        })
    }

    /// A line with suggestions from the list `list`.
    pub(super) fn suggested(&self, value: &str, list: &str) -> Markup {
        self.with(&html! {
            input type="text" name=(self.name) id=(format!("f-{}", self.name)) value=(value) list=(list) required
                autocomplete="off" spellcheck="false" aria-describedby=[self.described_by()] aria-invalid=[self.error.map(|_| "true")];
        })
    }

    /// A time of day.
    pub(super) fn time(&self, value: &str) -> Markup {
        self.with(&html! {
            input type="time" name=(self.name) id=(format!("f-{}", self.name)) value=(value)
                aria-describedby=[self.described_by()] aria-invalid=[self.error.map(|_| "true")];
        })
    }
}

/// A choice with a radio button.
pub(super) fn radio(name: &str, value: &str, words: &str, chosen: &str) -> Markup {
    let id = format!("f-{name}-{value}");
    html! {
        span.radio {
            input type="radio" name=(name) id=(id) value=(value) checked[value == chosen];
            label for=(id) { (words) }
        }
    }
}

/// Errors of the engine begin in lower case and lack a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    let said: String = first.chain(rest).collect();
    if said.ends_with(['.', '!', '?']) {
        said
    } else {
        said + "."
    }
}
