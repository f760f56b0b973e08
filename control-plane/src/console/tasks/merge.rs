//! Changes of two people to one task, put together field by field.
//!
//! The form carries a mark of what each field held when it was made. So it is known for each field
//! whether its visitor has changed it, and whether somebody else has meanwhile. A form without marks
//! changes what it says, as a program's would.

use sha2::{Digest as _, Sha256};

use super::form::Filled;

/// A field that two people have changed, each to something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Clash {
    /// Its name in the form.
    pub(super) field: &'static str,
    /// What it is called in a sentence.
    pub(super) label: &'static str,
    /// What it holds in the task now.
    pub(super) theirs: String,
}

/// A mark for each field of a form, in their order.
pub(super) fn marks(filled: &Filled) -> String {
    let mut filled = filled.clone();
    let all = filled.fields().map(|(_, _, held)| mark(held));
    all.join(" ")
}

/// A form that was filled in, put onto what the task is now: what others changed and its visitor did
/// not is theirs. What both changed stays as it was typed and is told. The marks are those of now.
pub(super) fn onto(mut typed: Filled, mut now: Filled) -> (Filled, Vec<Clash>) {
    let seen = std::mem::take(&mut typed.seen);
    let mut seen = seen.split(' ').filter(|mark| !mark.is_empty());
    let mut clashes = Vec::new();
    typed.seen.clone_from(&now.seen);
    for ((field, label, mine), (_, _, theirs)) in typed.fields().into_iter().zip(now.fields()) {
        let Some(before) = seen.next() else { break };
        if mark(mine) == before {
            std::mem::swap(mine, theirs);
        } else if mark(theirs) != before && mark(theirs) != mark(mine) {
            let theirs = std::mem::take(theirs);
            clashes.push(Clash {
                field,
                label,
                theirs,
            });
        }
    }
    (typed, clashes)
}

/// A few characters that tell one content from another; how a browser ends lines, and space around
/// it, is no difference.
fn mark(held: &str) -> String {
    let plain = held.replace("\r\n", "\n");
    let digest = Sha256::digest(plain.trim().as_bytes());
    hex::encode(&digest[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A form filled in by somebody who saw a task with these marks.
    fn typed(seen: &str, title: &str, description: &str, branch: &str) -> Filled {
        let mut typed = filled(title, description, branch);
        seen.clone_into(&mut typed.seen);
        typed
    }

    fn filled(title: &str, description: &str, branch: &str) -> Filled {
        let mut filled = Filled::default();
        for (name, _, held) in filled.fields() {
            match name {
                "title" => title.clone_into(held),
                "description" => description.clone_into(held),
                "branch" => branch.clone_into(held),
                _ => {}
            }
        }
        filled.seen = marks(&filled);
        filled
    }

    #[test]
    fn what_only_one_changed_is_taken_and_what_both_did_is_told() {
        let seen = filled("A", "one\ntwo", "main").seen;
        let now = filled("A", "others", "theirs");
        let typed_in = typed(&seen, "Mine", "one\r\ntwo ", "mine");
        let (merged, clashes) = onto(typed_in, now.clone());
        assert_eq!(merged, typed(&now.seen, "Mine", "others", "mine"));
        let expected = Clash {
            field: "branch",
            label: "branch",
            theirs: "theirs".to_owned(),
        };
        assert_eq!(clashes, [expected]);
        // Sent once more, with what was shown as seen, it replaces.
        let (again, clashes) = onto(merged.clone(), now);
        assert_eq!((again, clashes), (merged, vec![]));
    }

    #[test]
    fn the_same_change_twice_is_no_clash_and_a_form_without_marks_says_what_it_wants() {
        let seen = filled("A", "", "").seen;
        let (merged, clashes) = onto(typed(&seen, "B", "", ""), filled("B", "", ""));
        assert_eq!((merged, clashes), (filled("B", "", ""), vec![]));
        let (merged, clashes) = onto(typed("", "C", "", ""), filled("B", "x", ""));
        assert_eq!(clashes, []);
        assert_eq!(merged.seen, filled("B", "x", "").seen);
        assert_eq!(filled("C", "", "").seen, marks(&merged));
    }
}
