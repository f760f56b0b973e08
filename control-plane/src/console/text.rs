//! Text of others, made fit to be shown: what moves a cursor, retitles a window, turns the reading
//! direction or cannot be seen is shown as a sign and does nothing.
//!
//! Markup is escaped elsewhere, where text is put into a page.

use hostler_proto::error::{ErrorCode, Failure};

/// What the tools' names begin with.
const TOOLS: [&str; 6] = [
    "automations_",
    "hosts_",
    "projects_",
    "runs_",
    "tasks_",
    "workspaces_",
];

/// The text with control characters as their signs (ESC as U+241B) and characters that turn or hide
/// text as U+FFFD. Newlines and tabs stay.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter_map(character).collect()
}

/// A page (markup) whose text is all [`shown`]. What fields of forms hold stays exact, because it is
/// sent back.
pub(super) fn harmless(page: String) -> String {
    if page.chars().all(|one| character(one) == Some(one)) {
        return page;
    }
    let mut clean = String::with_capacity(page.len());
    let mut rest = page.as_str();
    while let Some((before, field, after)) = next_field(rest) {
        clean.extend(before.chars().filter_map(character));
        clean.push_str(field);
        rest = after;
    }
    clean.extend(rest.chars().filter_map(character));
    clean
}

/// What stands before the next field of a form, what the field holds, and what follows. Text has no
/// quotes and no brackets of its own: they are escaped.
fn next_field(page: &str) -> Option<(&str, &str, &str)> {
    const FIELDS: [(&str, &str); 2] = [(" value=\"", "\""), ("<textarea", "</textarea>")];
    let found = FIELDS
        .iter()
        .filter_map(|(start, end)| Some((page.find(start)? + start.len(), end)));
    let (start, end) = found.min()?;
    let end = start + page[start..].find(end)?;
    Some((&page[..start], &page[start..end], &page[end..]))
}

/// The same on one line.
pub(super) fn line(text: &str) -> String {
    shown(text).replace(['\n', '\t'], " ")
}

/// The beginning of a text on one line.
pub(super) fn short(text: &str, characters: usize) -> String {
    let line = line(text);
    if line.chars().count() <= characters {
        return line;
    }
    line.chars().take(characters).chain(['…']).collect()
}

/// A failure in a page's words: what only says which tool to call is left out.
pub(super) fn for_people(failure: Failure) -> Failure {
    let hint = failure.hint.as_ref().filter(|hint| {
        let mut words = hint.split(|part: char| !part.is_ascii_lowercase() && part != '_');
        !words.any(|word| TOOLS.iter().any(|tool| word.starts_with(tool)))
    });
    let hint = match failure.code {
        ErrorCode::NotFound => Some("It may have been deleted, or it is not yours.".to_owned()),
        ErrorCode::InvalidArgument
        | ErrorCode::Conflict
        | ErrorCode::Forbidden
        | ErrorCode::Unauthorized
        | ErrorCode::HostOffline
        | ErrorCode::Timeout
        | ErrorCode::PreconditionFailed
        | ErrorCode::HostError
        | ErrorCode::RateLimited
        | ErrorCode::Unsupported => hint.cloned(),
    };
    Failure {
        message: shown(&failure.message),
        hint,
        ..failure
    }
}

fn character(character: char) -> Option<char> {
    Some(match character {
        '\n' | '\t' => character,
        '\r' => return None,
        '\u{7f}' => '\u{2421}',
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(character)).unwrap_or('\u{fffd}'),
        '\u{80}'..='\u{9f}'
        | '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{e0000}'..='\u{e007f}' => '\u{fffd}',
        _ => character,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_is_shown_as_a_sign() {
        for (text, expected) in [
            (
                "plain, h\u{e9}llo\t\u{1f980}\n",
                "plain, h\u{e9}llo\t\u{1f980}\n",
            ),
            ("\u{1b}]0;title\u{7}", "\u{241b}]0;title\u{2407}"),
            ("a\u{202e}b\u{2066}c\u{200f}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("x\u{9b}2J\u{7f}\r\n\0", "x\u{fffd}2J\u{2421}\n\u{2400}"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
        assert_eq!(short("one\ntwo three", 7), "one two…");
    }

    #[test]
    fn a_page_turns_and_hides_nothing_and_its_fields_stay_exact() {
        let page = "<h1>a\u{202e}b</h1><p title=\"\u{7}\"><input value=\"x\u{202e}\"><textarea\
             name=\"t\">\r\n\u{1b}</textarea>\u{1b}[2J<code>value=&quot;\u{202e}</code>";
        let expected = "<h1>a\u{fffd}b</h1><p title=\"\u{2407}\"><input value=\"x\u{202e}\"><textarea\
             name=\"t\">\r\n\u{1b}</textarea>\u{241b}[2J<code>value=&quot;\u{fffd}</code>";
        assert_eq!(harmless(page.to_owned()), expected);
        let plain = "<p>h\u{e9}llo</p>\n";
        assert_eq!(harmless(plain.to_owned()), plain);
    }

    #[test]
    fn a_hint_that_names_a_tool_is_for_agents() {
        let failure = |hint| Failure::new(ErrorCode::Conflict, "no").hint(hint);
        let tool = failure("read it with automations_get_prompt");
        assert_eq!(for_people(tool).hint, None);
        let plain = failure("wait for its end");
        assert_eq!(for_people(plain).hint.as_deref(), Some("wait for its end"));
    }
}
