//! Pieces of a transcript become lines: words as they are, calls on one line, results shortened.

use super::clean::clean;

/// Lines of a tool's result that are shown from its beginning and from its end.
const SHOWN_LINES: usize = 4;

/// Longest line of a call or a result, characters.
const LONGEST_SHOWN: usize = 200;

/// One thing an agent told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// About the session: model, id.
    About(String),
    /// What the agent was asked.
    Asked(String),
    /// Words of the agent, whole.
    Words(String),
    /// The next characters of the agent's words.
    More(String),
    /// What it thinks aloud.
    Thought(String),
    /// A tool call, on one line.
    Call(String),
    /// What a tool answered.
    Answer(String),
    /// What a tool answered when it failed.
    Trouble(String),
    /// The end: how, and at what cost.
    End(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Words,
    Tools,
    Plain,
}

/// Where the page stands.
#[derive(Debug, Default)]
pub(super) struct Layout {
    last: Option<Kind>,
    /// The page does not stand at the beginning of a line.
    in_line: bool,
}

impl Layout {
    /// Writes a piece.
    pub(super) fn add(&mut self, piece: &Piece, out: &mut String) {
        match piece {
            Piece::More(text) => self.more(text, out),
            Piece::About(text) | Piece::End(text) => {
                self.begin(Kind::Words, out);
                line(&one_line(&clean(text)), "-- ", out);
            }
            Piece::Asked(text) => {
                self.begin(Kind::Words, out);
                for text in shorten(&clean(text)) {
                    line(&text, "< ", out);
                }
            }
            Piece::Words(text) => {
                self.begin(Kind::Words, out);
                out.push_str(clean(text).trim_end_matches('\n'));
                out.push('\n');
            }
            Piece::Thought(text) => {
                self.begin(Kind::Words, out);
                line(&one_line(&clean(text)), "(thinking) ", out);
            }
            Piece::Call(text) => {
                self.begin(Kind::Tools, out);
                line(&one_line(&clean(text)), "> ", out);
            }
            Piece::Answer(text) => self.answer(text, "  ", out),
            Piece::Trouble(text) => self.answer(text, "! ", out),
        }
    }

    /// Writes text that is nobody's piece, as it is (already clean).
    pub(super) fn plain(&mut self, text: &str, out: &mut String) {
        if text.is_empty() {
            return;
        }
        if self.last != Some(Kind::Plain) && self.in_line {
            out.push('\n');
        }
        out.push_str(text);
        self.last = Some(Kind::Plain);
        self.in_line = !text.ends_with('\n');
    }

    /// Nothing more comes; plain text keeps its missing newline.
    pub(super) fn finish(self, out: &mut String) {
        if self.in_line && self.last != Some(Kind::Plain) {
            out.push('\n');
        }
    }

    fn more(&mut self, text: &str, out: &mut String) {
        if !(self.in_line && self.last == Some(Kind::Words)) {
            self.begin(Kind::Words, out);
        }
        let text = clean(text);
        out.push_str(&text);
        self.in_line = !text.ends_with('\n');
    }

    fn answer(&mut self, text: &str, mark: &str, out: &mut String) {
        self.begin(Kind::Tools, out);
        for text in shorten(&clean(text)) {
            line(&text, mark, out);
        }
    }

    /// Ends a line that is open; a blank line stands around words.
    fn begin(&mut self, kind: Kind, out: &mut String) {
        if self.in_line {
            out.push('\n');
        }
        if self
            .last
            .is_some_and(|last| last != kind || kind == Kind::Words)
        {
            out.push('\n');
        }
        self.last = Some(kind);
        self.in_line = false;
    }
}

fn line(text: &str, mark: &str, out: &mut String) {
    let text = format!("{mark}{text}");
    out.push_str(text.trim_end());
    out.push('\n');
}

/// The first line, and how many more there are.
fn one_line(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first = cut(lines.next().unwrap_or_default());
    match lines.filter(|line| !line.trim().is_empty()).count() {
        0 => first,
        more => format!("{first} (+{more} lines)"),
    }
}

/// The first and last lines.
fn shorten(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.trim_matches('\n').lines().collect();
    if lines.len() <= 2 * SHOWN_LINES + 1 {
        return lines.into_iter().map(cut).collect();
    }
    let (first, rest) = lines.split_at(SHOWN_LINES);
    let (middle, last) = rest.split_at(rest.len() - SHOWN_LINES);
    let gap = format!("... {} more lines ...", middle.len());
    let shown = |lines: &[&str]| lines.iter().map(|line| cut(line)).collect::<Vec<_>>();
    [shown(first), vec![gap], shown(last)].concat()
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(LONGEST_SHOWN) {
        None => line.to_owned(),
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
    }
}
