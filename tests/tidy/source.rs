//! The tree as the rules see it: every text file, and for Rust the code without comments, string
//! contents and test modules. A light lexer, not a parser: it knows just enough of Rust's tokens to
//! keep line numbers exact and never to take a word in a comment for code.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One file, by its path from the root of the tree.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// All text files of the tree, sorted by path.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

/// Where a rule is broken, printed as `file:line: what`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Tree {
    /// Reads the repository this test was built from.
    pub(crate) fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut paths = Vec::new();
        walk(root, &mut paths);
        paths.sort();
        let files = paths
            .into_iter()
            .filter_map(|path| {
                let text = String::from_utf8(std::fs::read(&path).unwrap()).ok()?;
                let path = path.strip_prefix(root).unwrap().to_str()?.to_owned();
                Some(File { path, text })
            })
            .collect();
        Self { files }
    }

    /// A tree written in a test of a rule.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| File {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        Self { files }
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.extension() == "rs")
    }

    /// The Rust files of the product: not the tests beside it, nor files that hold only tests.
    pub(crate) fn product(&self) -> impl Iterator<Item = &File> {
        self.rust().filter(|file| !file.is_test())
    }
}

impl File {
    pub(crate) fn extension(&self) -> &str {
        self.path
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the whole file is test code: under a `tests` or `benches` folder, or a `tests.rs`.
    pub(crate) fn is_test(&self) -> bool {
        self.name() == "tests.rs"
            || self
                .path
                .split('/')
                .any(|part| part == "tests" || part == "benches")
    }

    pub(crate) fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }

    /// The code alone: comments, string contents and items under `#[cfg(test)]` are blanked.
    pub(crate) fn code(&self) -> String {
        blank_tests(&blank_words(&self.text))
    }

    /// The test code alone: all of a test file, else what `#[cfg(test)]` covers.
    pub(crate) fn test_code(&self) -> String {
        let code = blank_words(&self.text);
        if self.is_test() {
            return code;
        }
        let product = blank_tests(&code);
        let keep = |(whole, product)| {
            if whole == product && whole != '\n' {
                ' '
            } else {
                whole
            }
        };
        code.chars().zip(product.chars()).map(keep).collect()
    }

    /// Each path the code names, with its line: `use` trees are spelled out, so
    /// `use tokio::{sync::{mpsc, Mutex}}` gives `tokio::sync::mpsc` and `tokio::sync::Mutex`.
    pub(crate) fn paths(&self) -> Vec<(usize, String)> {
        let code = self.code();
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(start) = next_word(&code, at) {
            let end = path_end(&code, start);
            let path = code[start..end].to_owned();
            let line = line_of(&code, start);
            if path.ends_with("::") && code[end..].starts_with('{') {
                spell_out(&code, path.trim_end_matches("::"), end + 1, &mut found);
            } else {
                found.push((line, path.trim_end_matches("::").to_owned()));
            }
            at = end.max(start + 1);
        }
        found
    }
}

/// Lines of `code` that contain one of `words` as whole words.
pub(crate) fn lines_with<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.lines()
        .enumerate()
        .filter(move |(_, line)| has_word(line, word))
        .map(|(at, _)| at + 1)
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joined_before = word.starts_with(is_word) && before.is_some_and(is_word);
        let joined_after = word.ends_with(is_word) && after.is_some_and(is_word);
        !joined_before && !joined_after
    })
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    if folder.join("CACHEDIR.TAG").exists() {
        return; // a cargo target folder
    }
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == ".git" || name == "node_modules" || name == "__pycache__" {
            continue;
        }
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            walk(&entry.path(), paths);
        } else if kind.is_file() {
            paths.push(entry.path());
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The start of the next word at or after `at`.
fn next_word(code: &str, at: usize) -> Option<usize> {
    code[at..].find(is_word).map(|offset| at + offset)
}

/// The end of the path that starts at `start`: words joined by `::`, a trailing `::` included.
fn path_end(code: &str, start: usize) -> usize {
    let mut end = start;
    loop {
        end = code[end..]
            .find(|c| !is_word(c))
            .map_or(code.len(), |offset| end + offset);
        if !code[end..].starts_with("::") {
            return end;
        }
        end += 2;
        if !code[end..].starts_with(is_word) {
            return end;
        }
    }
}

/// Spells out the `{..}` of a use tree that begins at `at`.
fn spell_out(code: &str, prefix: &str, mut at: usize, found: &mut Vec<(usize, String)>) {
    let mut depth = vec![prefix.to_owned()];
    while let Some(c) = code[at..].chars().next() {
        match c {
            '}' => {
                depth.pop();
                at += 1;
                if depth.is_empty() {
                    return;
                }
            }
            c if is_word(c) => {
                let end = path_end(code, at);
                let inner = format!(
                    "{}::{}",
                    depth[depth.len() - 1],
                    code[at..end].trim_end_matches("::")
                );
                found.push((line_of(code, at), inner.clone()));
                at = end;
                if code[end..].starts_with('{') {
                    depth.push(inner);
                    at += 1;
                }
            }
            c => at += c.len_utf8(),
        }
    }
}

/// Blanks comments and the contents of strings and characters, keeping every line where it is.
fn blank_words(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end > at {
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// The end of the comment, string or character that starts at `at`, or `at` when none does.
fn skipped(chars: &[char], at: usize) -> usize {
    let next = |ahead: usize| chars.get(at + ahead).copied();
    match chars[at] {
        '/' if next(1) == Some('/') => until(chars, at, |c| c == '\n'),
        '/' if next(1) == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        'r' if at == 0 || !is_word(chars[at - 1]) || chars[at - 1] == 'b' => {
            raw_string_end(chars, at).unwrap_or(at)
        }
        '\'' if next(1) == Some('\\') => until(chars, at + 3, |c| c == '\'') + 1,
        '\'' if next(2) == Some('\'') => at + 3,
        _ => at,
    }
    .min(chars.len())
}

fn until(chars: &[char], at: usize, stop: impl Fn(char) -> bool) -> usize {
    (at..chars.len())
        .find(|at| stop(chars[*at]))
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let open = until(chars, at + 1, |c| c != '#');
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let hashes = open - at - 1;
    let closes = |end: &usize| {
        chars[*end] == '"'
            && chars[end + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
    };
    Some(
        (open + 1..chars.len())
            .find(closes)
            .map_or(chars.len(), |end| end + 1 + hashes),
    )
}

/// Blanks each item that stands under `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let end = item_end(&out, start + "#[cfg(test)]".len());
        let blank: String = out[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// The end of the item that follows: its closing brace, or its semicolon when that comes first.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[start..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return start + at + 1,
            _ => continue,
        }
        if depth == 0 {
            return start + at + 1;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        File {
            path: "daemon/src/x.rs".into(),
            text: text.into(),
        }
    }

    #[test]
    fn words_in_comments_strings_and_tests_are_not_code() {
        let text = "// sqlx::a\n/* sqlx::b /* sqlx::c */ */\nlet s = \"sqlx::d \\\" sqlx::e\";\nlet r = r#\"sqlx::f \" \"#;\nlet c = '\"'; sqlx::real();\nfn x<'a>(y: &'a str) {}\n#[cfg(test)]\nmod tests { fn t() { sqlx::g(); } }\n";
        let found: Vec<_> = file(text)
            .paths()
            .into_iter()
            .filter(|(_, path)| path.starts_with("sqlx"))
            .collect();
        assert_eq!(found, [(5, "sqlx::real".to_owned())]);
    }

    #[test]
    fn use_trees_are_spelled_out() {
        let found =
            file("use tokio::{\n    sync::{mpsc, Mutex},\n    time::sleep as nap,\n};\n").paths();
        for path in [
            "tokio::sync::mpsc",
            "tokio::sync::Mutex",
            "tokio::time::sleep",
        ] {
            assert!(
                found.iter().any(|(_, found)| found == path),
                "{path} in {found:?}"
            );
        }
    }

    #[test]
    fn test_code_is_what_the_attribute_covers() {
        let code =
            file("fn a() { one(); }\n#[cfg(test)]\nmod tests { fn b() { two(); } }\n").test_code();
        assert!(code.contains("two") && !code.contains("one"), "{code}");
    }
}
