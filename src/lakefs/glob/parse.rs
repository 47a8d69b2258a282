//! The text of a pattern to its syntax tree, accepting what gobwas/glob's lexer and parser accept.
//!
//! Turns of theirs: a `{` that is never closed is closed by the end; `}` and `,` outside braces, and `]` outside a range, are plain; a
//! `\` at the very end is nothing; within `[...]` a `-` stands for a range only as the second character, and then the next two must be
//! the end of the range, whatever it is, and `]`.

use super::BadPattern;

/// How many braces may stand within each other.
pub(super) const MAX_DEPTH: usize = 32;

/// An element of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(Vec<char>),
    /// `*` and `**`, which are one without separators.
    Any,
    Single,
    List {
        chars: Vec<char>,
        not: bool,
    },
    Range {
        low: char,
        high: char,
        not: bool,
    },
    Alternatives(Vec<Vec<Self>>),
}

/// Parses a pattern.
pub(super) fn parse(pattern: &str) -> Result<Vec<Node>, BadPattern> {
    if pattern.contains(['\0', '\u{fffd}']) {
        return Err(BadPattern::Character);
    }
    let mut rest = pattern.chars().peekable();
    let mut open: Vec<Level> = vec![Level::default()];
    while let Some(c) = rest.next() {
        let depth = open.len();
        let Some(level) = open.last_mut() else { break };
        match c {
            '*' => level.current.push(Node::Any),
            '?' => level.current.push(Node::Single),
            '[' => level.current.push(range(&mut rest)?),
            '{' if depth > MAX_DEPTH => return Err(BadPattern::TooDeep),
            '{' => open.push(Level::default()),
            ',' if depth > 1 => level.next_alternative(),
            '}' if depth > 1 => close(&mut open),
            '\\' => level.text(rest.next()),
            _ => level.text(Some(c)),
        }
    }
    while open.len() > 1 {
        close(&mut open);
    }
    Ok(open.pop().map(|level| level.current).unwrap_or_default())
}

/// The alternatives between one pair of braces, as far as they are read.
#[derive(Debug, Default)]
struct Level {
    done: Vec<Vec<Node>>,
    current: Vec<Node>,
}

impl Level {
    fn next_alternative(&mut self) {
        self.done.push(std::mem::take(&mut self.current));
    }

    fn text(&mut self, c: Option<char>) {
        match (self.current.last_mut(), c) {
            (Some(Node::Text(text)), Some(c)) => text.push(c),
            (_, Some(c)) => self.current.push(Node::Text(vec![c])),
            (_, None) => (),
        }
    }
}

fn close(open: &mut Vec<Level>) {
    if let Some(mut inner) = open.pop()
        && let Some(outer) = open.last_mut()
    {
        inner.next_alternative();
        outer.current.push(Node::Alternatives(inner.done));
    }
}

fn range(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Node, BadPattern> {
    let not = rest.next_if_eq(&'!').is_some();
    let first = *rest.peek().ok_or(BadPattern::OpenRange)?;
    let mut ahead = rest.clone();
    ahead.next();
    if ahead.next() == Some('-') {
        rest.nth(1);
        let high = rest.next().ok_or(BadPattern::OpenRange)?;
        return match rest.next().ok_or(BadPattern::OpenRange)? {
            ']' if high < first => Err(BadPattern::Backwards(first, high)),
            ']' => Ok(Node::Range { low: first, high, not }),
            _ => Err(BadPattern::Range),
        };
    }
    let mut chars = Vec::new();
    loop {
        match rest.next().ok_or(BadPattern::OpenRange)? {
            ']' if chars.is_empty() => return Err(BadPattern::Range),
            ']' => return Ok(Node::List { chars, not }),
            '\\' => chars.push(rest.next().ok_or(BadPattern::OpenRange)?),
            c => chars.push(c),
        }
    }
}
