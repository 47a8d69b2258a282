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
    /// In a file; line and column count from 1, in characters.
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
        self.0.iter().try_for_each(|problem| problem.fmt(f))
    }
}
