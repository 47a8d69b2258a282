//! What commands print, and where: tables, cards, JSON. Names come from clients: what could move the cursor or hide is written as an escape.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

/// Rows under a head, columns aligned.
pub(super) fn grid<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A line a fact.
pub(super) fn lines(facts: impl IntoIterator<Item = (&'static str, String)>) -> String {
    facts.into_iter().fold(String::new(), |text, (name, fact)| {
        text + &format!("{name:<18} {fact}\n")
    })
}

/// A length of time in its largest unit.
pub(super) fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "m"),
        3600..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{number}{unit} ago")
}

/// A number of bytes with its unit.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut number = bytes as f64;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while number >= 1024.0
        && let Some(larger) = units.next()
    {
        number /= 1024.0;
        unit = Some(larger);
    }
    let unit = unit.copied().unwrap_or_default();
    if unit == "B" {
        format!("{bytes} B")
    } else {
        format!("{number:.1} {unit}")
    }
}

/// Without control characters, and without marks that turn the direction of text.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                clean.extend(c.escape_unicode());
            }
            c if c.is_control() => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean
}

/// One JSON object a line.
pub(super) fn json_lines(values: &[impl Serialize]) -> anyhow::Result<String> {
    values.iter().try_fold(String::new(), |lines, value| {
        let line = serde_json::to_string(value).context("writing JSON")?;
        Ok(lines + &line + "\n")
    })
}

/// To standard output; whoever has closed it (`| head`) has seen enough.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("writing to standard output"),
        _ => Ok(()),
    }
}

/// To standard error, so that what is piped on stays clean.
pub(super) fn note(text: &str) -> anyhow::Result<()> {
    writeln!(io::stderr(), "{text}").context("writing to standard error")
}
