//! Takes terminal control out of text: an agent's words must not move a reader's cursor, retitle
//! the window or write to the clipboard.
//!
//! Newlines and tabs stay; `\r\n` is a newline and a lone `\r` (a progress line drawn over) becomes
//! one; escape sequences go as a whole, so that no `[31m` is left behind. No sequence can hide what
//! comes after its line. Bytes that are not UTF-8 become U+FFFD.

/// Takes bytes in pieces, gives clean text; a character or a sequence may be cut anywhere.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    state: State,
    /// The beginning of a character whose rest has not come yet.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After a `\r`.
    Return,
    /// After ESC.
    Escape,
    /// In a control sequence: ESC `[` up to its final byte.
    Control,
    /// In a string (window title, link, clipboard): up to BEL, ESC or the end of the line.
    String,
}

impl Cleaner {
    /// Clean text of more bytes.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut String) {
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(bytes);
        let mut left = joined.as_slice();
        loop {
            match std::str::from_utf8(left) {
                Ok(text) => return self.text(text, out),
                Err(error) => {
                    let (good, bad) = left.split_at(error.valid_up_to());
                    self.text(&String::from_utf8_lossy(good), out);
                    let Some(length) = error.error_len() else {
                        self.rest = bad.to_vec();
                        return;
                    };
                    self.text("\u{fffd}", out);
                    left = &bad[length..];
                }
            }
        }
    }

    /// What is left when nothing more comes.
    pub(super) fn finish(mut self, out: &mut String) {
        if !self.rest.is_empty() {
            self.text("\u{fffd}", out);
        }
        if self.state == State::Return {
            out.push('\n');
        }
    }

    fn text(&mut self, text: &str, out: &mut String) {
        for character in text.chars() {
            self.character(character, out);
        }
    }

    fn character(&mut self, character: char, out: &mut String) {
        self.state = match self.state {
            State::Text => plain(character, out),
            State::Return => {
                out.push('\n');
                match character {
                    '\n' => State::Text,
                    _ => plain(character, out),
                }
            }
            State::Escape => after_escape(character, out),
            State::Control => in_control(character, out),
            State::String => match character {
                '\u{1b}' => State::Escape,
                '\u{7}' | '\u{9c}' => State::Text,
                '\n' => plain(character, out),
                _ => State::String,
            },
        };
    }
}

/// A whole text made clean.
pub(super) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut cleaner = Cleaner::default();
    cleaner.text(text, &mut out);
    cleaner.finish(&mut out);
    out
}

fn after_escape(character: char, out: &mut String) -> State {
    match character {
        '[' => State::Control,
        ']' | 'P' | 'X' | '^' | '_' => State::String,
        // ESC again, and longer sequences with intermediates: ESC ( B.
        '\u{1b}' | ' '..='/' => State::Escape,
        '0'..='~' => State::Text,
        // A sequence that is none: what interrupts it is text again.
        _ => plain(character, out),
    }
}

fn in_control(character: char, out: &mut String) -> State {
    match character {
        ' '..='?' => State::Control,
        '@'..='~' => State::Text,
        _ => plain(character, out),
    }
}

fn plain(character: char, out: &mut String) -> State {
    match character {
        '\u{1b}' => return State::Escape,
        '\u{9b}' => return State::Control,
        '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => return State::String,
        '\r' => return State::Return,
        '\n' | '\t' => out.push(character),
        _ if character.is_control() => {}
        _ => out.push(character),
    }
    State::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_goes_and_words_stay() {
        for (dirty, expected) in [
            ("\u{1b}[1;31mred\u{1b}[0m\tand\n", "red\tand\n"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\b", "ab"),
            ("\u{1b}]52;c;aGk=\nnext line", "\nnext line"),
            (
                "\u{1b}P1$r\u{1b}\\q\u{1b}(Bw\u{9b}2Jx\u{8}\u{7f}\u{0}",
                "qwx",
            ),
            ("10%\r20%\r\ndone\r", "10%\n20%\ndone\n"),
            ("\u{1b}[31\u{e9}t\u{e9}", "\u{e9}t\u{e9}"),
            ("\u{1b}[\u{1b}[31mx", "x"),
            ("wide \u{1f980} stays", "wide \u{1f980} stays"),
        ] {
            assert_eq!(clean(dirty), expected, "{dirty:?}");
            let mut cleaner = Cleaner::default();
            let mut out = String::new();
            for byte in dirty.as_bytes() {
                cleaner.push(&[*byte], &mut out);
            }
            cleaner.finish(&mut out);
            assert_eq!(out, expected, "{dirty:?} byte by byte");
        }
    }

    #[test]
    fn what_is_not_text_is_marked() {
        let mut cleaner = Cleaner::default();
        let mut out = String::new();
        cleaner.push(b"a\xffb\xe2\x82", &mut out);
        assert_eq!(out, "a\u{fffd}b");
        cleaner.push(b"\xacc\xf0\x9f", &mut out);
        cleaner.finish(&mut out);
        assert_eq!(out, "a\u{fffd}b\u{20ac}c\u{fffd}");
    }
}
