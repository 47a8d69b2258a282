//! Patterns to values, looked up by name: names by hash, globs by their literal beginning or end. Pure.
//!
//! Looking a name up costs what the patterns cost that begin or end like it, not what all of them do.

use std::collections::HashMap;

use super::pattern::{Pattern, literal_beginning, literal_end};

/// The patterns of many rules, each with what is said of the names it matches.
#[derive(Debug)]
pub(super) struct Index<T> {
    names: HashMap<Box<str>, T>,
    /// Globs by their literal beginning, which may be empty.
    beginnings: Affixes<T>,
    /// Globs without a literal beginning, by their literal end.
    ends: Affixes<T>,
}

/// Globs grouped by a text that every name they match begins, or ends, with.
#[derive(Debug)]
struct Affixes<T> {
    groups: HashMap<Box<str>, Vec<Globbed<T>>>,
    /// The lengths that the keys of `groups` have.
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
            names: HashMap::new(),
            beginnings: Affixes::default(),
            ends: Affixes::default(),
        }
    }
}

impl<T> Default for Affixes<T> {
    fn default() -> Self {
        Self {
            groups: HashMap::new(),
            lengths: Vec::new(),
        }
    }
}

impl<T: Default> Index<T> {
    /// The value of the pattern `text`, made if there is none yet.
    pub(super) fn entry(&mut self, text: &str) -> &mut T {
        match Pattern::new(text) {
            Pattern::Name(name) => self.names.entry(name).or_default(),
            Pattern::Everything => self.beginnings.entry("", text, Pattern::Everything),
            pattern => match (literal_beginning(text), literal_end(text)) {
                ("", end) if !end.is_empty() => self.ends.entry(end, text, pattern),
                (beginning, _) => self.beginnings.entry(beginning, text, pattern),
            },
        }
    }
}

impl<T: Default> Affixes<T> {
    fn entry(&mut self, affix: &str, text: &str, pattern: Pattern) -> &mut T {
        if !self.lengths.contains(&affix.len()) {
            self.lengths.push(affix.len());
        }
        let group = self.groups.entry(affix.into()).or_default();
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
        if let Some(value) = self.names.get(name) {
            each(value);
        }
        let beginning = |length| name.get(..length);
        self.beginnings.matching(name, beginning, &mut each);
        let end = |length| name.get(name.len().checked_sub(length)?..);
        self.ends.matching(name, end, &mut each);
    }

    /// Shows `each` all values.
    pub(super) fn all(&self, mut each: impl FnMut(&T)) {
        self.names.values().for_each(&mut each);
        for affixes in [&self.beginnings, &self.ends] {
            affixes
                .groups
                .values()
                .flatten()
                .for_each(|globbed| each(&globbed.value));
        }
    }
}

impl<T> Affixes<T> {
    /// `affix` cuts a name's beginning or end of a length, if it has that many bytes.
    fn matching<'a>(&self, name: &str, affix: impl Fn(usize) -> Option<&'a str>, mut each: impl FnMut(&T)) {
        for group in self
            .lengths
            .iter()
            .filter_map(|&length| self.groups.get(affix(length)?))
        {
            for globbed in group.iter().filter(|globbed| globbed.pattern.matches(name)) {
                each(&globbed.value);
            }
        }
    }
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
