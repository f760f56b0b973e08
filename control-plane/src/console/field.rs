//! A field of a form: label, hint, error and input, tied together for screen readers.
//!
//! It keeps what was typed and checks nothing: operations do.

use maud::{Markup, Render, html};

/// A field of a form; renders itself.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    name: &'a str,
    label: &'a str,
    kind: Kind<'a>,
    id: String,
    value: &'a str,
    hint: Option<&'a str>,
    error: Option<&'a str>,
    required: bool,
    quiet: bool,
    class: &'a str,
    attributes: Attributes<'a>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Attributes<'a> {
    autocomplete: Option<&'a str>,
    placeholder: Option<&'a str>,
    most: Option<u32>,
    autofocus: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    Input(&'static str),
    Area { rows: u32, mono: bool },
    Select(&'a [(String, String)]),
    Check(bool),
}

impl<'a> Field<'a> {
    /// One line of text.
    pub(crate) fn text(name: &'a str, label: &'a str) -> Self {
        Self::new(name, label, Kind::Input("text"))
    }

    /// An email address.
    pub(crate) fn email(name: &'a str, label: &'a str) -> Self {
        Self::new(name, label, Kind::Input("email"))
    }

    /// A password; what was typed is never given back.
    pub(crate) fn password(name: &'a str, label: &'a str) -> Self {
        Self::new(name, label, Kind::Input("password"))
    }

    /// A number.
    pub(crate) fn number(name: &'a str, label: &'a str) -> Self {
        Self::new(name, label, Kind::Input("number"))
    }

    /// A day.
    pub(crate) fn date(name: &'a str, label: &'a str) -> Self {
        Self::new(name, label, Kind::Input("date"))
    }

    /// Text to search for.
    pub(crate) fn search(name: &'a str, label: &'a str) -> Self {
        Self::new(name, label, Kind::Input("search")).class("grow")
    }

    /// Several lines of text.
    pub(crate) fn area(name: &'a str, label: &'a str, rows: u32) -> Self {
        Self::new(name, label, Kind::Area { rows, mono: false })
    }

    /// Several lines in which every character counts: code, a prompt, a rule.
    pub(crate) fn code(name: &'a str, label: &'a str, rows: u32) -> Self {
        Self::new(name, label, Kind::Area { rows, mono: true })
    }

    /// One of `options`, each a value and its words.
    pub(crate) fn select(name: &'a str, label: &'a str, options: &'a [(String, String)]) -> Self {
        Self::new(name, label, Kind::Select(options))
    }

    /// Yes or no; sent as `on`.
    pub(crate) fn check(name: &'a str, label: &'a str, checked: bool) -> Self {
        Self::new(name, label, Kind::Check(checked))
    }

    fn new(name: &'a str, label: &'a str, kind: Kind<'a>) -> Self {
        Self {
            name,
            label,
            kind,
            id: format!("f-{name}"),
            value: "",
            hint: None,
            error: None,
            required: false,
            quiet: false,
            class: "",
            attributes: Attributes::default(),
        }
    }

    /// What it holds; of a check box, what is sent when it is ticked.
    pub(crate) fn value(mut self, value: &'a str) -> Self {
        self.value = value;
        self
    }

    /// What helps to fill it in.
    pub(crate) fn hint(mut self, hint: &'a str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// What was wrong with it.
    pub(crate) fn error(mut self, error: Option<&'a str>) -> Self {
        self.error = error;
        self
    }

    /// It must be filled in; other fields say that they are optional.
    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// It need not say that it is optional: a filter, a choice that always has a value.
    pub(crate) fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Its id, where two forms of a page have a field of the same name.
    pub(crate) fn id(mut self, id: impl Into<String>) -> Self {
        self.id = id.into();
        self
    }

    /// What the browser may fill in (`username`, `current-password`, `off`).
    pub(crate) fn autocomplete(mut self, autocomplete: &'a str) -> Self {
        self.attributes.autocomplete = Some(autocomplete);
        self
    }

    /// An example.
    pub(crate) fn placeholder(mut self, placeholder: &'a str) -> Self {
        self.attributes.placeholder = Some(placeholder);
        self
    }

    /// The most characters it takes.
    pub(crate) fn most(mut self, characters: u32) -> Self {
        self.attributes.most = Some(characters);
        self
    }

    /// It has the focus when the page opens.
    pub(crate) fn autofocus(mut self) -> Self {
        self.attributes.autofocus = true;
        self
    }

    /// A class of the field's box: `grow` in a line of filters.
    pub(crate) fn class(mut self, class: &'a str) -> Self {
        self.class = class;
        self
    }

    /// The ids of what describes it.
    fn described_by(&self) -> Option<String> {
        let hint = self.hint.map(|_| format!("{}-hint", self.id));
        let error = self.error.map(|_| format!("{}-error", self.id));
        let ids: Vec<String> = hint.into_iter().chain(error).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    fn input(&self) -> Markup {
        let Self { name, id, .. } = self;
        let about = self.described_by();
        let wrong = self.error.map(|_| "true");
        let Attributes {
            autocomplete,
            placeholder,
            most,
            autofocus,
        } = self.attributes;
        match self.kind {
            Kind::Input(kind) => html! {
                input type=(kind) name=(name) id=(id) value=(if kind == "password" { "" } else { self.value })
                    required[self.required] autocomplete=[autocomplete] placeholder=[placeholder] maxlength=[most]
                    step=[(kind == "number").then_some("any")] autofocus[autofocus]
                    aria-describedby=[about] aria-invalid=[wrong];
            },
            Kind::Area { rows, mono } => html! {
                textarea name=(name) id=(id) rows=(rows) class=[mono.then_some("mono")] spellcheck=[mono.then_some("false")]
                    required[self.required] placeholder=[placeholder] maxlength=[most] autofocus[autofocus]
                    aria-describedby=[about] aria-invalid=[wrong] { "\n" (self.value) }
            },
            Kind::Select(options) => html! {
                select name=(name) id=(id) required[self.required] autofocus[autofocus]
                    aria-describedby=[about] aria-invalid=[wrong] {
                    @for (value, words) in options {
                        option value=(value) selected[value == self.value] { (words) }
                    }
                }
            },
            Kind::Check(checked) => html! {
                input type="checkbox" name=(name) id=(id) value=(if self.value.is_empty() { "on" } else { self.value })
                    checked[checked] required[self.required] aria-describedby=[about] aria-invalid=[wrong];
            },
        }
    }

    fn about(&self) -> Markup {
        html! {
            @if let Some(hint) = self.hint { span.hint id=(format!("{}-hint", self.id)) { (hint) } }
            @if let Some(error) = self.error { span.error id=(format!("{}-error", self.id)) { (error) } }
        }
    }
}

impl Render for Field<'_> {
    fn render(&self) -> Markup {
        if matches!(self.kind, Kind::Check(_)) {
            return html! {
                div.check { (self.input()) label for=(self.id) { (self.label) } (self.about()) }
            };
        }
        let optional = !self.required && !self.quiet && !matches!(self.kind, Kind::Select(_));
        html! {
            div class={ "field " (self.class) } {
                label for=(self.id) { (self.label) @if optional { " " span.optional { "(optional)" } } }
                (self.input())
                (self.about())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_tied_to_its_words_and_escapes_what_it_holds() {
        let field = Field::text("name", "Name")
            .value("\"><script>")
            .hint("Short.")
            .error(Some("Too long."))
            .render()
            .into_string();
        assert!(field.contains("<label for=\"f-name\">"), "{field}");
        assert!(
            field.contains("aria-describedby=\"f-name-hint f-name-error\""),
            "{field}"
        );
        assert!(field.contains("aria-invalid=\"true\""), "{field}");
        assert!(
            field.contains("value=\"&quot;&gt;&lt;script&gt;\""),
            "{field}"
        );
        let password = Field::password("p", "P").value("secret").render();
        assert!(!password.into_string().contains("secret"));
        let area = Field::area("a", "A", 3).value("\nfirst").render();
        assert!(area.into_string().contains(">\n\nfirst</textarea>"));
    }
}
