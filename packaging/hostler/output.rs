//! Tables, JSON, progress and colour. Standard output closed early (`| head`) ends the program
//! quietly.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::failure::Failure;

/// Prints a line of text.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints bytes as they are.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(Failure::from),
    }
}

/// Prints text of others: its control characters but line ends and tabs are left out.
pub(crate) fn text_block(text: &str) -> Result<(), Failure> {
    line(lines(text).trim_end())
}

/// A word to the person at the terminal, beside what is printed.
pub(crate) fn note(text: &str) {
    // Nobody is left to tell when standard error is gone.
    drop(writeln!(std::io::stderr(), "hostler: {text}"));
}

/// Prints a JSON document.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?)
}

/// Prints an aligned table, or `empty` when there are no rows.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>, empty: &str) -> Result<(), Failure> {
    if rows.is_empty() {
        return line(empty);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(
        header
            .iter()
            .map(|title| title.to_uppercase())
            .collect::<Vec<_>>(),
    );
    for row in rows {
        table.add_row(row.into_iter().map(|cell| shown(&cell)).collect::<Vec<_>>());
    }
    for line in table.to_string().lines() {
        self::line(line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end()))?;
    }
    Ok(())
}

/// Prints `name  value` lines, leaving out absent values.
pub(crate) fn fields(fields: &[(&str, Option<String>)]) -> Result<(), Failure> {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in fields {
        if let Some(value) = value {
            line(&format!("{name:width$}  {}", shown(value)))?;
        }
    }
    Ok(())
}

/// Whether standard output is a terminal that wants colour.
pub(crate) fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A state's word, coloured on a terminal.
pub(crate) fn state(word: &str) -> String {
    let code = match word {
        "succeeded" | "ready" | "online" | "Done" => "32",
        "failed" | "lost" | "timed_out" | "stalled" => "31",
        "running" | "preparing" | "creating" => "36",
        "skipped" | "cancelled" | "paused" | "offline" => "33",
        _ => return word.to_owned(),
    };
    if colour() {
        format!("\u{1b}[{code}m{word}\u{1b}[0m")
    } else {
        word.to_owned()
    }
}

/// The text of a JSON string, or nothing; without what would command a terminal.
pub(crate) fn text(value: &Value) -> Option<String> {
    value.as_str().map(lines).filter(|text| !text.is_empty())
}

/// The text of a JSON value for a table's cell; without what would command a terminal.
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => lines(text),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Bytes in a person's units.
pub(crate) fn size(bytes: &Value) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let Some(mut amount) = bytes.as_f64() else {
        return "-".to_owned();
    };
    let mut unit = 0;
    while amount >= 1024.0 && unit < UNITS.len() - 1 {
        amount /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{amount} B")
    } else {
        format!("{amount:.1} {}", UNITS[unit])
    }
}

/// Text without control characters but line ends and tabs.
fn lines(text: &str) -> String {
    let kept = |c: &char| harmless(*c) || matches!(c, '\n' | '\t');
    text.chars().filter(kept).collect()
}

/// Text without control characters: names come from other people, and from hosts.
fn plain(text: &str) -> String {
    text.chars().filter(|c| harmless(*c)).collect()
}

/// The same, but with the colour of a state's word.
fn shown(text: &str) -> String {
    let inner = text.strip_prefix("\u{1b}[").and_then(|rest| {
        let (colour, word) = rest.strip_suffix("\u{1b}[0m")?.split_once('m')?;
        (colour.len() == 2 && colour.bytes().all(|b| b.is_ascii_digit())).then_some((colour, word))
    });
    match inner {
        Some((colour, word)) => format!("\u{1b}[{colour}m{}\u{1b}[0m", plain(word)),
        None => plain(text),
    }
}

/// Whether a character is one of text: neither a command to a terminal nor one that turns the
/// direction of what stands around it (Unicode's bidirectional controls).
fn harmless(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}

/// Progress of a long call, on a terminal only.
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar that shows itself when the first report comes.
    pub(crate) fn start() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self { bar }
    }

    /// Shows one MCP progress notification's `params`. Our server adds the step of the phase it is
    /// in (`_meta`), which makes a better bar than the number that grows over all phases.
    pub(crate) fn show(&mut self, params: &Value) {
        let step = &params["_meta"]["hostler/step"];
        let (message, done, total) = if step.is_object() {
            (&step["phase"], &step["done"], &step["total"])
        } else {
            (&params["message"], &params["progress"], &params["total"])
        };
        if let Some(message) = message.as_str() {
            self.bar.set_message(plain(message));
        }
        if let Some(total) = total.as_f64() {
            self.bar.set_style(bar_style());
            self.bar.set_length(whole(total));
        } else {
            self.bar.set_style(phase_style());
            self.bar.unset_length();
        }
        self.bar.set_position(whole(done.as_f64().unwrap_or(0.0)));
    }

    /// Takes the bar away.
    pub(crate) fn clear(self) {
        self.bar.finish_and_clear();
    }
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn phase_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "progress is a picture"
)]
fn whole(amount: f64) -> u64 {
    amount.max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_others_are_dropped() {
        assert_eq!(plain("a\u{1b}[31mb\u{7}\u{202e}c"), "a[31mbc");
        let value = Value::from("\u{1b}[2Ja\r\nb\u{9b}");
        assert_eq!(cell(&value), "[2Ja\nb");
        assert_eq!(text(&value).as_deref(), Some("[2Ja\nb"));
        // Colour is a state's alone, and does not let anything else through.
        assert_eq!(
            shown("\u{1b}[32mready\u{1b}[0m"),
            "\u{1b}[32mready\u{1b}[0m"
        );
        assert_eq!(shown("\u{1b}[2J\u{1b}[31mx\u{1b}[0m"), "[2J[31mx[0m");
        assert_eq!(
            shown("\u{1b}[32mx\u{1b}[2J\u{1b}[0m"),
            "\u{1b}[32mx[2J\u{1b}[0m"
        );
    }

    #[test]
    fn a_step_of_ours_is_a_bar_of_its_phase() {
        let mut progress = Progress {
            bar: ProgressBar::hidden(),
        };
        let step = serde_json::json!({"phase": "Writing files", "done": 3, "total": 9});
        progress.show(&serde_json::json!({"progress": 1.3, "_meta": {"hostler/step": step}}));
        assert_eq!(progress.bar.message(), "Writing files");
        assert_eq!(
            (progress.bar.position(), progress.bar.length()),
            (3, Some(9))
        );
        progress.show(&serde_json::json!({"progress": 4, "message": "elsewhere"}));
        assert_eq!(progress.bar.message(), "elsewhere");
        assert_eq!((progress.bar.position(), progress.bar.length()), (4, None));
    }

    #[test]
    fn sizes_are_read_by_people() {
        assert_eq!(size(&serde_json::json!(1536)), "1.5 KiB");
        assert_eq!(size(&Value::Null), "-");
    }
}
