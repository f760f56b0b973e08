//! The last screenful of a run's output, and whether it looks as if somebody were asked something.
//!
//! Pure. It sees output after redaction. It only says how the words look: whether anything still
//! happens is seen elsewhere.

/// Bytes that are kept.
const KEPT: usize = 2 * 1024;

/// Lines of a screenful.
const LINES: usize = 24;

/// Words at the end of output that waits for a person, whether or not their line has ended.
const QUESTIONS: &[&str] = &[
    "[y/n]",
    "(y/n)",
    "[yes/no]",
    "(yes/no)",
    "(y/n/a)",
    "press enter",
    "press any key",
    "hit enter",
    "password:",
    "passphrase:",
    "username:",
    "verification code",
    "one-time code",
    "waiting for auth",
    "waiting for login",
    "waiting for sign",
    "do you want to proceed",
    "do you want to continue",
    "do you trust",
    "would you like to",
    "esc to cancel",
    "enter to confirm",
    "in your browser",
    "following url",
];

/// What a question that has not ended its line ends with.
const OPEN_ENDS: &[char] = &['?', ':', '>', ']', ')', '❯', '›'];

/// The end of what was printed.
#[derive(Debug, Default)]
pub(super) struct Screen {
    bytes: Vec<u8>,
}

impl Screen {
    /// Output came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let last = &bytes[bytes.len().saturating_sub(KEPT)..];
        self.bytes.extend_from_slice(last);
        let over = self.bytes.len().saturating_sub(KEPT);
        self.bytes.drain(..over);
    }

    /// The last lines, without control characters.
    pub(super) fn text(&self) -> String {
        let text = plain(&String::from_utf8_lossy(&self.bytes));
        let lines: Vec<&str> = text.trim().lines().map(str::trim_end).collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Whether the last words ask somebody for something.
    pub(super) fn asks(&self) -> bool {
        let text = plain(&String::from_utf8_lossy(&self.bytes));
        let ended = text.ends_with('\n');
        let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
        let Some(last) = lines.next() else {
            return false;
        };
        let open = !ended && last.trim_end().ends_with(OPEN_ENDS) && !is_json(last);
        let mut nearest = std::iter::once(last).chain(lines.take(3));
        open || nearest.any(|line| {
            let line = line.to_lowercase();
            !is_json(&line) && QUESTIONS.iter().any(|words| line.contains(words))
        })
    }
}

/// A message of a program to a program: what an agent quotes in it asks nobody.
fn is_json(line: &str) -> bool {
    line.trim_start().starts_with('{')
}

/// A text without the sequences that move a terminal's cursor or colour its letters.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(one) = chars.next() {
        match one {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                // Parameters, up to the letter that ends the sequence.
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            '\r' if chars.peek() != Some(&'\n') => out.push('\n'),
            '\n' | '\t' => out.push(one),
            _ if one.is_control() => {}
            _ => out.push(one),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(text: &str) -> Screen {
        let mut screen = Screen::default();
        for byte in text.as_bytes() {
            screen.push(&[*byte]);
        }
        screen
    }

    #[test]
    fn questions_are_told_from_words() {
        for text in [
            "Delete 3 files? [y/N] ",
            "\u{1b}[1mPassword:\u{1b}[0m ",
            "Login: ",
            "Open this page in your browser:\n\n  https://example.com/device\n",
            "Do you want to proceed?\n ❯ 1. Yes\n   2. No\n",
            "Press Enter to continue\n",
        ] {
            assert!(screen(text).asks(), "{text:?}");
        }
        for text in [
            "",
            "compiling\n",
            "Shall I go on? I do.\n",
            "{\"type\":\"text\",\"text\":\"Continue? [y/N]\"}\n",
            "12% done",
            "Press Enter was pressed\n1\n2\n3\n4\n",
        ] {
            assert!(!screen(text).asks(), "{text:?}");
        }
    }

    #[test]
    fn a_screenful_is_the_end_without_colours() {
        let long = "x".repeat(5_000) + "\n\u{1b}[31mred\u{1b}[0m\r\nend\n\n";
        let text = screen(&long).text();
        assert!(text.ends_with("xx\nred\nend"), "{text}");
        assert!(text.len() <= KEPT);
        let many: Vec<String> = (0..100).map(|n| format!("{n}\n")).collect();
        assert!(screen(&many.concat()).text().starts_with("76\n"));
    }
}
