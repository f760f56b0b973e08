//! How people name things: an id or a name, in any case; and the errors when a name fits nothing
//! or several things.
//!
//! It looks nothing up: callers bring the candidates. What a new name may be made of is decided here,
//! for people, organizations, hosts and keys alike.

use hostler_proto::error::{ErrorCode, Failure};

/// What a thing is called, for matching and for errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Another name that also finds it (a slug).
    pub slug: Option<String>,
    /// The thing.
    pub thing: T,
}

/// A name that people can read and tell from others: 1 to `most` characters on one line, without
/// such as hide, turn or stand for nothing; white space around it is taken off.
pub(crate) fn readable(text: &str, most: usize) -> Option<&str> {
    let name = text.trim();
    let fits = (1..=most).contains(&name.chars().count());
    let seen = |c: char| !matches!(c, '\u{200c}' | '\u{200d}');
    (fits && name.chars().any(seen) && !name.chars().any(disguises)).then_some(name)
}

/// Whether a character hides, turns its neighbours around, or shows as nothing. The two joiners do
/// not: scripts and emoji need them.
pub(crate) fn disguises(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'
            | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Picks the one thing that `reference` means: by id, else by slug or name, in any case.
///
/// `noun` is the thing's word (`host`), `list_tool` the tool that lists them.
pub fn pick<T>(
    noun: &str,
    list_tool: &str,
    reference: &str,
    candidates: Vec<Named<T>>,
) -> Result<T, Failure> {
    let wanted = reference.trim().to_lowercase();
    let mut by_name = Vec::new();
    for candidate in candidates {
        if candidate.id == wanted {
            return Ok(candidate.thing);
        }
        if candidate.is_called(&wanted) {
            by_name.push(candidate);
        }
    }
    if by_name.len() > 1 {
        return Err(ambiguous(noun, reference, &by_name));
    }
    match by_name.pop() {
        Some(found) => Ok(found.thing),
        None => Err(missing(noun, list_tool, reference)),
    }
}

/// There is no such thing, or it is not the caller's to see.
pub fn missing(noun: &str, list_tool: &str, reference: &str) -> Failure {
    Failure::new(
        ErrorCode::NotFound,
        format!("there is no {noun} \"{}\"", shortened(reference)),
    )
    .hint(format!("call {list_tool} to see what there is"))
}

/// A value a user sent, short enough to repeat in an error.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 80;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain(['…']).collect()
}

impl<T> Named<T> {
    fn is_called(&self, wanted: &str) -> bool {
        self.name.to_lowercase() == wanted
            || self
                .slug
                .as_ref()
                .is_some_and(|slug| slug.to_lowercase() == wanted)
    }
}

fn ambiguous<T>(noun: &str, reference: &str, found: &[Named<T>]) -> Failure {
    let list = found
        .iter()
        .map(|one| format!("{} ({})", one.name, one.id))
        .collect::<Vec<_>>()
        .join(", ");
    Failure::new(
        ErrorCode::InvalidArgument,
        format!(
            "{} {noun}s are called \"{}\": {list}",
            found.len(),
            shortened(reference)
        ),
    )
    .hint("pass the id of the one you mean")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(id: &str, name: &str, slug: Option<&str>) -> Named<u32> {
        Named {
            id: id.to_owned(),
            name: name.to_owned(),
            slug: slug.map(str::to_owned),
            thing: id.parse().unwrap(),
        }
    }

    #[test]
    fn an_id_a_name_in_any_case_and_a_slug_find_the_thing() {
        let all = || {
            vec![
                named("1", "MacBook", None),
                named("2", "Build Box", Some("build-box")),
            ]
        };
        for (reference, id) in [
            ("1", 1),
            ("macbook", 1),
            (" BUILD box ", 2),
            ("build-box", 2),
        ] {
            assert_eq!(pick("host", "hosts_list", reference, all()).unwrap(), id);
        }
        let none = pick("host", "hosts_list", "Mac", all()).unwrap_err();
        assert_eq!(none.code, ErrorCode::NotFound);
        assert_eq!(none.message, "there is no host \"Mac\"");
        assert_eq!(none.hint.unwrap(), "call hosts_list to see what there is");
    }

    #[test]
    fn a_name_of_two_things_lists_them() {
        let all = vec![named("1", "api", None), named("2", "API", None)];
        let failure = pick("project", "projects_list", "api", all).unwrap_err();
        assert_eq!(failure.code, ErrorCode::InvalidArgument);
        assert_eq!(
            failure.message,
            "2 projects are called \"api\": api (1), API (2)"
        );
    }

    #[test]
    fn a_long_reference_is_not_repeated_in_full() {
        let failure = missing("host", "hosts_list", &"x".repeat(5000));
        assert!(failure.message.len() < 150, "{}", failure.message);
    }
}
