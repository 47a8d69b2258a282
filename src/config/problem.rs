//! What is wrong with a configuration: where, which key, what, and the remedy. All problems are told at once, each with its line drawn.

use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is taken, and somebody should look at it.
    Warning,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a file; line and column count from 1, in characters. Line 0 is the file as a whole.
    File {
        /// The file's path, as it was given.
        file: String,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
        /// How many characters are meant.
        width: usize,
        /// The line's text, without what may be a secret.
        text: String,
    },
    /// In a variable of the environment, by its name.
    Variable(String),
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(name: &str) -> Self {
        Self::File {
            file: name.to_owned(),
            line: 0,
            column: 0,
            width: 0,
            text: String::new(),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The key's path, as in `guard.rules[0].branches`; empty for the whole file.
    pub key: String,
    /// What is wrong. Never holds a value that came by reference or from the environment.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Where it was written, if it was.
    pub place: Option<Place>,
}

impl Problem {
    /// A reason to refuse the configuration.
    pub fn error(key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            key: key.into(),
            message: message.into(),
            remedy: remedy.into(),
            place: None,
        }
    }

    /// Something to look at.
    pub fn warning(key: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(key, message, remedy)
        }
    }

    /// The same, written there.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: ")?;
        if !self.key.is_empty() {
            write!(f, "`{}` ", self.key)?;
        }
        writeln!(f, "{}", self.message)?;
        match &self.place {
            Some(Place::File { file, line: 0, .. }) => writeln!(f, " --> {file}")?,
            Some(Place::File {
                file,
                line,
                column,
                width,
                text,
            }) => {
                let number = line.to_string();
                let gutter = " ".repeat(number.len());
                writeln!(f, "{gutter}--> {file}:{line}:{column}")?;
                if !text.is_empty() {
                    let indent = " ".repeat(column.saturating_sub(1));
                    let caret = "^".repeat((*width).max(1));
                    writeln!(f, "{number} | {text}")?;
                    writeln!(f, "{gutter} | {indent}{caret}")?;
                }
            }
            Some(Place::Variable(name)) => writeln!(f, " --> environment variable {name}")?,
            None => {}
        }
        if !self.remedy.is_empty() {
            writeln!(f, "  = {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, problem)| {
            if index > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)
        })
    }
}

/// A line of a configuration as it may be shown: short, without control characters, and without the value of a key that sounds like a
/// secret, which somebody may have written in the clear.
pub(super) fn drawn_line(line: &str) -> String {
    let shown: String = without_secrets(line)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if shown.chars().count() > MAX_DRAWN {
        String::new()
    } else {
        shown.trim_end().to_owned()
    }
}

const MAX_DRAWN: usize = 200;

fn without_secrets(line: &str) -> String {
    let mut seen = 0;
    while let Some((key, value)) = line.get(seen..).and_then(|rest| rest.split_once(':')) {
        let key_name = key
            .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
            .find(|word| !word.is_empty());
        let start = seen + key.len() + 1;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let reference = value.is_empty() || value.starts_with("${") || value.starts_with('{') || value.starts_with('#');
        if key_name.is_some_and(sounds_secret) && !reference {
            return format!("{} [redacted]", line.get(..start).unwrap_or_default());
        }
        seen = start;
    }
    line.to_owned()
}

fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["secr", "passw", "token", "credential", "key"]
        .iter()
        .any(|word| key.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_line_hides_what_sounds_like_a_secret() {
        for (line, drawn) in [
            ("  max_wait: 30s", "  max_wait: 30s"),
            ("  lakefs_secrt: hunter2", "  lakefs_secrt: [redacted]"),
            (
                "{ access_key_id: \"AKIA\", secret_access_key: b }",
                "{ access_key_id: [redacted]",
            ),
            (
                "{ access_key_id: ${env:A}, secret_access_key: b }",
                "{ access_key_id: ${env:A}, secret_access_key: [redacted]",
            ),
            (
                "login: { secret_access_key: ${env:B} }",
                "login: { secret_access_key: ${env:B} }",
            ),
            ("key: # comes below", "key: # comes below"),
            ("a:\tb\u{1b}[31m", "a: b [31m"),
        ] {
            assert_eq!(drawn_line(line), drawn);
        }
    }
}
