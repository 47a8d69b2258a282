//! Branch and repository patterns with the semantics of gobwas/glob v0.2.3, as lakeFS uses it (without separators). Pure.
//!
//! `*` and `**` are any text, `?` one character, `[abc]`, `[a-c]`, `[!x]` and `[!a-c]` one of or none of some, `{a,b*}` alternatives,
//! `\` takes the next character as it is. Patterns are anchored and case matters. The library's own turns are kept where they show, see
//! [`parse`] and [`pattern`]; a table made with it holds both to that.

mod parse;
mod pattern;

use pattern::Sequence;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Glob(Sequence);

/// A pattern that lakeFS could not read either: there, every check of a repository with such a rule fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    /// A `[` without its `]`.
    #[error("`[` is not closed")]
    OpenRange,
    /// `[]`, `[!]`, or a range with more than its two ends.
    #[error("`[...]` holds either characters or one range such as `a-z`, and at least one")]
    Range,
    /// The end of a range is less than its beginning.
    #[error("the range `{0}-{1}` runs backwards")]
    Backwards(char, char),
    /// A NUL or U+FFFD.
    #[error("the pattern holds a character that no name has")]
    Character,
    /// More than [`parse::MAX_DEPTH`] braces within each other.
    #[error("too many `{{` within each other")]
    TooDeep,
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`BadPattern`], where the library has an error too (and for too many nested braces, where it has none).
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        parse::parse(pattern).map(Sequence::of).map(Self)
    }

    /// Whether the whole of `text` matches, in time bounded by the pattern's length times the square of the text's.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.0.matches(&text)
    }
}

impl std::str::FromStr for Glob {
    type Err = BadPattern;

    fn from_str(pattern: &str) -> Result<Self, BadPattern> {
        Self::new(pattern)
    }
}

#[cfg(test)]
mod tests;
