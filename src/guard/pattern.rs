//! One pattern of a rule, in lakeFS's syntax, with the shortest way to match it. Pure; most patterns match without an allocation.

use crate::lakefs::glob::Glob;

/// A compiled pattern.
#[derive(Debug)]
pub(super) enum Pattern {
    /// `*`; and a pattern that cannot be read: a mistake must not open anything. (`lakegate check` refuses it; lakeFS itself fails every
    /// check of a repository with such a rule.)
    Everything,
    /// No name at all: a pattern that cannot be read, in a rule that opens.
    Nothing,
    /// A name, which only that name matches.
    Name(Box<str>),
    /// `release-*`
    Beginning(Box<str>),
    /// `*-stable`
    End(Box<str>),
    /// All others.
    Glob(Glob),
}

impl Pattern {
    pub(super) fn new(text: &str) -> Self {
        let (beginning, end) = (literal_beginning(text), literal_end(text));
        let stars = |between: Option<&str>| between.is_some_and(|between| between.chars().all(|c| c == '*'));
        if beginning.len() == text.len() {
            Self::Name(text.into())
        } else if stars(Some(text)) {
            Self::Everything
        } else if stars(text.strip_prefix(beginning)) {
            Self::Beginning(beginning.into())
        } else if stars(text.strip_suffix(end)) {
            Self::End(end.into())
        } else {
            Glob::new(text).map_or(Self::Everything, Self::Glob)
        }
    }

    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Nothing => false,
            Self::Name(own) => **own == *name,
            Self::Beginning(beginning) => name.starts_with(&**beginning),
            Self::End(end) => name.ends_with(&**end),
            Self::Glob(glob) => glob.matches(name),
        }
    }
}

/// What every name that a pattern matches begins with: letters, digits, `-`, `_` and `.` have no other meaning outside a class or an
/// alternative, and both of these begin with a character that ends the beginning.
pub(super) fn literal_beginning(text: &str) -> &str {
    let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// What every name that a pattern matches ends with; nothing where the pattern has more than plain characters, `*` and `?`.
pub(super) fn literal_end(text: &str) -> &str {
    if text.chars().any(|c| !is_plain(c) && c != '*' && c != '?') {
        return "";
    }
    text.rsplit(['*', '?']).next().unwrap_or_default()
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn matches_what_lakefs_matches(text in "[ab*?{,}\\[\\]\\\\!-]{0,6}", name in "[ab-]{0,5}") {
            let lakefs = Glob::new(&text).map_or(true, |glob| glob.matches(&name));
            prop_assert_eq!(Pattern::new(&text).matches(&name), lakefs);
            if lakefs && Glob::new(&text).is_ok() {
                prop_assert!(name.starts_with(literal_beginning(&text)), "{}", text);
                prop_assert!(name.ends_with(literal_end(&text)), "{}", text);
            }
        }
    }
}
