//! Patterns to values, looked up by name: literal patterns by hash, globs by their literal beginning. Pure.
//!
//! Looking a name up allocates nothing, and its cost follows the patterns that begin like the name, not all of them.

use std::collections::HashMap;

use crate::lakefs::glob::Glob;

/// One pattern of a rule, in lakeFS's syntax.
#[derive(Debug)]
pub(super) enum Pattern {
    /// A pattern that lakeFS would take.
    Glob(Glob),
    /// A pattern that cannot be read: it matches everything. (`lakegate check` refuses it; lakeFS answers 500 for such a repository.)
    Broken,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        Glob::new(text).map_or(Self::Broken, Self::Glob)
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Glob(glob) => glob.matches(name),
            Self::Broken => true,
        }
    }
}

/// The patterns of many rules, each with what is said of the names it matches.
#[derive(Debug)]
pub(super) struct Index<T> {
    literal: HashMap<Box<str>, T>,
    /// Globs by their literal beginning, which may be empty.
    globs: HashMap<Box<str>, Vec<Globbed<T>>>,
    /// The lengths that the keys of `globs` have.
    lengths: Vec<usize>,
}

#[derive(Debug)]
struct Globbed<T> {
    text: Box<str>,
    pattern: Pattern,
    value: T,
}

impl<T> Default for Index<T> {
    fn default() -> Self {
        Self {
            literal: HashMap::new(),
            globs: HashMap::new(),
            lengths: Vec::new(),
        }
    }
}

impl<T: Default> Index<T> {
    /// The value of the pattern `text`, made if there is none yet.
    pub(super) fn entry(&mut self, text: &str) -> &mut T {
        let beginning = literal_beginning(text);
        if beginning.len() == text.len() {
            return self.literal.entry(text.into()).or_default();
        }
        let pattern = Pattern::new(text);
        let beginning = match pattern {
            Pattern::Glob(_) => beginning,
            Pattern::Broken => "",
        };
        if !self.lengths.contains(&beginning.len()) {
            self.lengths.push(beginning.len());
        }
        let group = self.globs.entry(beginning.into()).or_default();
        let known = group.iter().position(|globbed| &*globbed.text == text);
        let at = known.unwrap_or(group.len());
        if known.is_none() {
            group.push(Globbed {
                text: text.into(),
                pattern,
                value: T::default(),
            });
        }
        #[expect(clippy::indexing_slicing, reason = "`at` was found, or has just been pushed")]
        &mut group[at].value
    }
}

impl<T> Index<T> {
    /// Shows `each` the value of every pattern that matches `name`.
    pub(super) fn matching(&self, name: &str, mut each: impl FnMut(&T)) {
        if let Some(value) = self.literal.get(name) {
            each(value);
        }
        for group in self
            .lengths
            .iter()
            .filter_map(|&length| self.globs.get(name.get(..length)?))
        {
            for globbed in group.iter().filter(|globbed| globbed.pattern.matches(name)) {
                each(&globbed.value);
            }
        }
    }

    /// Shows `each` all values.
    pub(super) fn all(&self, mut each: impl FnMut(&T)) {
        self.literal.values().for_each(&mut each);
        self.globs.values().flatten().for_each(|globbed| each(&globbed.value));
    }
}

/// The beginning of a pattern that stands for itself whatever follows: letters, digits, `-`, `_` and `.` have no other meaning outside a
/// class or an alternative, and both of these begin with a character that ends the beginning.
fn literal_beginning(pattern: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = pattern.find(|c| !plain(c)).unwrap_or(pattern.len());
    pattern.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_trying_each_pattern_finds(
            patterns in prop::collection::vec("[ab*?{,}\\[\\]\\\\!-]{0,6}", 1..12),
            name in "[ab-]{0,5}",
        ) {
            let mut index: Index<Vec<usize>> = Index::default();
            for (at, pattern) in patterns.iter().enumerate() {
                index.entry(pattern).push(at);
            }
            let mut found: Vec<usize> = Vec::new();
            index.matching(&name, |values| found.extend(values));
            found.sort_unstable();
            let tried: Vec<usize> = (0..patterns.len()).filter(|&at| Pattern::new(&patterns[at]).matches(&name)).collect();
            prop_assert_eq!(found, tried);
        }
    }
}
