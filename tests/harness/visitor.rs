//! A person's browser without scripts: it keeps cookies, follows redirects as long as they stay on
//! one site, and fills in the forms it is shown. It knows pages as they come, nothing of how they
//! are made.

use std::{collections::BTreeMap, time::Duration};

use url::Url;

/// A browser with its cookies.
pub(crate) struct Visitor {
    site: Url,
    agent: ureq::Agent,
    cookies: BTreeMap<String, String>,
}

/// What a browser shows, or where it was sent away from the site.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(crate) status: u16,
    pub(crate) body: String,
    /// The address on another site that this answer redirects to.
    pub(crate) away: Option<Url>,
}

/// A form on a page: where it goes, its fields as they stand, and its buttons by their words.
#[derive(Debug, Default, PartialEq, Eq)]
struct Form {
    action: String,
    posts: bool,
    words: String,
    fields: Vec<(String, String)>,
    buttons: Vec<Button>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Button {
    words: String,
    sends: Option<(String, String)>,
}

impl Visitor {
    /// A browser that has never been on this site.
    pub(crate) fn new(site: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        Self {
            site: Url::parse(site).unwrap(),
            agent,
            cookies: BTreeMap::new(),
        }
    }

    /// Opens a path of the site, or an address.
    #[track_caller]
    pub(crate) fn open(&mut self, address: &str) -> Page {
        let url = self.site.join(address).unwrap();
        let request = self.agent.get(url.as_str());
        let cookies = self.cookie_header();
        let answer = request.header("cookie", cookies).call();
        self.arrive(url, answer)
    }

    /// Fills in the form that has a button with these words, and presses it.
    #[track_caller]
    pub(crate) fn press(&mut self, page: &Page, button: &str, fill: &[(&str, &str)]) -> Page {
        self.press_beside(page, "", button, fill)
    }

    /// The same, in the form that has these words in it too.
    #[track_caller]
    pub(crate) fn press_beside(
        &mut self,
        page: &Page,
        words: &str,
        button: &str,
        fill: &[(&str, &str)],
    ) -> Page {
        let forms = forms(&page.body);
        let found = forms
            .iter()
            .filter(|form| form.words.contains(words))
            .find_map(|form| form.button(button).map(|pressed| (form, pressed)));
        let (form, pressed) =
            found.unwrap_or_else(|| panic!("no button {button:?} on {}: {forms:#?}", page.shown()));
        let mut fields: Vec<_> = form
            .fields
            .iter()
            .filter(|(name, _)| !fill.iter().any(|(filled, _)| filled == name))
            .cloned()
            .collect();
        fields.extend(
            fill.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        fields.extend(pressed.sends.clone());
        let mut url = page.url.join(&form.action).unwrap();
        let cookies = self.cookie_header();
        if !form.posts {
            url.query_pairs_mut().clear().extend_pairs(&fields);
            let address = url.to_string();
            return self.open(&address);
        }
        let answer = self
            .agent
            .post(url.as_str())
            .header("cookie", cookies)
            .header("origin", self.site.origin().ascii_serialization())
            .header("sec-fetch-site", "same-origin")
            .send_form(fields);
        self.arrive(url, answer)
    }

    /// Reads an answer; follows it while it stays on the site.
    #[track_caller]
    fn arrive(
        &mut self,
        url: Url,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Page {
        let mut answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        let header = |name: &str| {
            let values = answer.headers().get_all(name).iter();
            values
                .map(|value| value.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let (set, location) = (header("set-cookie"), header("location"));
        let status = answer.status().as_u16();
        let body = answer.body_mut().read_to_string().unwrap_or_default();
        for cookie in set {
            self.keep(&cookie);
        }
        let target = location
            .first()
            .filter(|_| (300..400).contains(&status))
            .map(|target| url.join(target).unwrap());
        if let Some(next) = &target
            && next.origin() == self.site.origin()
        {
            return self.open(next.as_str());
        }
        Page {
            url,
            status,
            body,
            away: target,
        }
    }

    fn keep(&mut self, cookie: &str) {
        let mut parts = cookie.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        if value.is_empty() || parts.any(|part| part.eq_ignore_ascii_case("max-age=0")) {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    fn cookie_header(&self) -> String {
        let pairs = self.cookies.iter();
        let pairs: Vec<_> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ")
    }
}

impl Page {
    /// The words a person reads.
    pub(crate) fn words(&self) -> String {
        let body = self.body.split_once("<body").map_or("", |(_, body)| body);
        let texts = tags(body).into_iter().map(|tag| tag.text_after);
        let text = texts.collect::<Vec<_>>().join(" ");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The page for a message: its address, status and words.
    pub(crate) fn shown(&self) -> String {
        format!("{} ({}): {}", self.url, self.status, self.words())
    }
}

impl Form {
    fn button(&self, words: &str) -> Option<&Button> {
        self.buttons.iter().find(|button| button.words == words)
    }
}

/// A tag with the text up to the next one.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: Vec<(String, String)>,
    text_after: String,
}

impl Tag {
    fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter();
        let found = found.find(|(attribute, _)| attribute == name)?;
        Some(&found.1)
    }
}

fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    let (mut select, mut button) = (None, false);
    for tag in tags(html) {
        let text = |name: &str| tag.value(name).unwrap_or_default().to_owned();
        match tag.name.as_str() {
            "form" => {
                forms.push(Form {
                    action: text("action"),
                    posts: text("method").eq_ignore_ascii_case("post"),
                    ..Form::default()
                });
                open = true;
            }
            "/form" => open = false,
            _ => {}
        }
        let Some(form) = forms.last_mut().filter(|_| open) else {
            continue;
        };
        form.words.push_str(&tag.text_after);
        match tag.name.as_str() {
            "input" => form.fields.extend(input(&tag)),
            "textarea" => form.fields.push((
                text("name"),
                tag.text_after.trim_start_matches('\n').to_owned(),
            )),
            "select" => select = Some((text("name"), false)),
            "option" => {
                if let Some((name, chosen)) = &mut select
                    && (!*chosen || tag.value("selected").is_some())
                {
                    if *chosen {
                        form.fields.pop();
                    }
                    form.fields.push((name.clone(), text("value")));
                    *chosen = true;
                }
            }
            "button" => {
                button = true;
                form.buttons.push(Button {
                    words: tag.text_after.trim().to_owned(),
                    sends: tag
                        .value("name")
                        .map(|name| (name.to_owned(), text("value"))),
                });
            }
            "/button" => button = false,
            _ => {
                if let Some(last) = form.buttons.last_mut().filter(|_| button) {
                    last.words.push_str(tag.text_after.trim());
                }
            }
        }
    }
    forms
}

fn input(tag: &Tag) -> Option<(String, String)> {
    let name = tag.value("name")?.to_owned();
    let kind = tag.value("type").unwrap_or("text");
    let boxed = matches!(kind, "checkbox" | "radio");
    if boxed && tag.value("checked").is_none() {
        return None;
    }
    let default = if boxed { "on" } else { "" };
    Some((name, tag.value("value").unwrap_or(default).to_owned()))
}

/// The tags of a page in their order, comments and the like left out.
fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut left = html;
    while let Some((_, rest)) = left.split_once('<') {
        let (tag, rest) = split_tag(rest);
        let text = rest.split('<').next().unwrap_or_default();
        if let Some((name, attributes)) = read_tag(tag) {
            tags.push(Tag {
                name,
                attributes,
                text_after: unescape(text),
            });
        }
        left = rest;
    }
    tags
}

/// Up to the `>` that is in no quotes, and what is behind it.
fn split_tag(text: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

fn read_tag(tag: &str) -> Option<(String, Vec<(String, String)>)> {
    let (name, mut left) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
    if name.starts_with(['!', '?']) {
        return None;
    }
    let mut attributes = Vec::new();
    loop {
        left = left.trim_start();
        if left.is_empty() {
            return Some((name.to_ascii_lowercase(), attributes));
        }
        let end = left.find(['=', ' ', '\n']).unwrap_or(left.len());
        let (attribute, rest) = left.split_at(end);
        if let Some(value) = rest.strip_prefix("=\"") {
            let (value, rest) = value.split_once('"').unwrap_or((value, ""));
            attributes.push((attribute.to_owned(), unescape(value)));
            left = rest;
        } else {
            attributes.push((attribute.to_owned(), String::new()));
            left = rest.trim_start_matches('=');
        }
    }
}

fn unescape(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[test]
fn a_form_is_read_as_a_browser_reads_it() {
    let html = r#"<body><form method="post" action="/a?b=1&amp;c"><input type="hidden" name="csrf" value="&lt;x>">
        <input type="checkbox" name="scope" value="a" checked><input type="checkbox" name="scope" value="b">
        <select name="org"><option value="1">One</option><option value="2" selected>Two</option></select>
        <button type="submit" name="answer" value="yes"><span>Allow</span></button></form></body>"#;
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = Form {
        action: "/a?b=1&c".to_owned(),
        posts: true,
        words: "\n        \n        OneTwo\n        Allow".to_owned(),
        fields: vec![field("csrf", "<x>"), field("scope", "a"), field("org", "2")],
        buttons: vec![Button {
            words: "Allow".to_owned(),
            sends: Some(field("answer", "yes")),
        }],
    };
    assert_eq!(forms(html), [expected]);
}
