//! Matching, by sets of positions: from where an element may begin to where it may end. Nothing is tried twice, so that no pattern and
//! no text is slow.
//!
//! Turns of gobwas/glob that its optimizer makes and that show:
//! - Neighbours in a row whose lengths it takes for fixed are matched at exactly those lengths. The length it computes for alternatives
//!   is wrong if an early one has none: `{a*,b}c` is taken for two characters, and `axc` does not match.
//! - A row of nothing but the same `[!ab]` matches what does not hold the text `ab`.
//! - The ends of a text, `*`, and another text may overlap: `ab*ba` matches `aba`.
//!
//! Its worse turns are not kept, as nobody can mean them: an alternative that another one begins or ends with, such as `{a*,a}`, or an
//! empty one, makes it panic or match nothing; several wildcards within braces that stand among others may find nothing; and a lone `?`
//! within braces matches nothing at all. There the pattern means here what it says, which with few exceptions is more.

use std::collections::HashMap;

use super::parse::Node;

/// A sequence of elements, which must match one after the other.
#[derive(Debug, Clone)]
pub(super) struct Sequence(Vec<Element>);

#[derive(Debug, Clone)]
enum Element {
    Text(Vec<char>),
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
    /// A row of the same negated list.
    Without {
        count: usize,
        text: Vec<char>,
    },
    /// A text, `*`, and another text, and nothing else.
    Ends {
        prefix: Vec<char>,
        suffix: Vec<char>,
    },
    Alternatives(Vec<Sequence>),
    /// Alternatives that must be exactly so long, as the library says. `id` is their own within the pattern.
    Exactly {
        length: usize,
        of: Vec<Sequence>,
        id: usize,
    },
}

/// Whether the [`Element::Exactly`] of an id matches at a start: asked once, however often it is come by.
type Known = HashMap<(usize, usize), bool>;

impl Sequence {
    /// Compiles what was parsed.
    pub(super) fn of(nodes: Vec<Node>) -> Self {
        Self::numbered(nodes, &mut 0)
    }

    fn numbered(nodes: Vec<Node>, ids: &mut usize) -> Self {
        if let [first, wildcards @ .., last] = &*nodes
            && !wildcards.is_empty()
            && wildcards.iter().all(|node| *node == Node::Any)
            && let (Some(prefix), Some(suffix)) = (plain(first), plain(last))
        {
            let (prefix, suffix) = (prefix.to_vec(), suffix.to_vec());
            return Self(vec![Element::Ends { prefix, suffix }]);
        }
        let mut elements = Vec::with_capacity(nodes.len());
        let mut nodes = nodes.into_iter().peekable();
        while let Some(first) = nodes.next() {
            let mut row = vec![first];
            while row.last().and_then(length).is_some()
                && let Some(next) = nodes.next_if(|next| length(next).is_some())
            {
                row.push(next);
            }
            match uniform(&row) {
                Some(Node::List { chars, .. }) if row.len() > 1 => {
                    elements.push(Element::Without {
                        count: row.len(),
                        text: chars.clone(),
                    });
                }
                _ => {
                    let fixed = row.len() > 1;
                    elements.extend(row.into_iter().map(|node| Element::of(node, fixed, ids)));
                }
            }
        }
        Self(elements)
    }

    pub(super) fn matches(&self, text: &[char]) -> bool {
        self.match_from(0, text, &mut Known::new())
    }

    fn match_from(&self, start: usize, text: &[char], known: &mut Known) -> bool {
        let starts = (0..=text.len()).map(|at| at == start).collect();
        self.ends(text, starts, known).last() == Some(&true)
    }

    fn ends(&self, text: &[char], starts: Vec<bool>, known: &mut Known) -> Vec<bool> {
        self.0
            .iter()
            .fold(starts, |starts, element| element.ends(text, &starts, known))
    }
}

impl Element {
    fn of(node: Node, fixed: bool, ids: &mut usize) -> Self {
        let exactly = length(&node).filter(|_| fixed);
        match node {
            Node::Text(text) => Self::Text(text),
            Node::Any => Self::Any,
            Node::Single => Self::Single,
            Node::List { chars, not } => Self::List { chars, not },
            Node::Range { low, high, not } => Self::Range { low, high, not },
            Node::Alternatives(of) => {
                let of = of.into_iter().map(|nodes| Sequence::numbered(nodes, ids)).collect();
                let Some(length) = exactly else {
                    return Self::Alternatives(of);
                };
                *ids += 1;
                Self::Exactly { length, of, id: *ids }
            }
        }
    }

    fn ends(&self, text: &[char], starts: &[bool], known: &mut Known) -> Vec<bool> {
        let mut ends = vec![false; starts.len()];
        if let Self::Alternatives(of) = self {
            for alternative in of {
                let reached = alternative.ends(text, starts.to_vec(), known);
                ends.iter_mut().zip(reached).for_each(|(end, reached)| *end |= reached);
            }
            return ends;
        }
        let is_start = |at: &usize| starts.get(*at) == Some(&true);
        for start in (0..starts.len()).filter(is_start) {
            let mut reach = |length: usize| {
                if let Some(end) = ends.get_mut(start + length) {
                    *end = true;
                }
            };
            let rest = text.get(start..).unwrap_or_default();
            match self {
                Self::Any => {
                    (0..=rest.len()).for_each(reach);
                    break;
                }
                Self::Text(text) if rest.starts_with(text) => reach(text.len()),
                Self::Single if !rest.is_empty() => reach(1),
                Self::List { chars, not } if rest.first().is_some_and(|c| chars.contains(c) != *not) => reach(1),
                Self::Range { low, high, not } if rest.first().is_some_and(|c| (low..=high).contains(&c) != *not) => {
                    reach(1)
                }
                Self::Without { count, text } if rest.get(..*count).is_some_and(|row| !holds(row, text)) => {
                    reach(*count)
                }
                Self::Ends { prefix, suffix } if rest.starts_with(prefix) => {
                    let ended = |length: &usize| rest.get(..*length).is_some_and(|whole| whole.ends_with(suffix));
                    (prefix.len().max(suffix.len())..=rest.len())
                        .filter(ended)
                        .for_each(reach);
                }
                Self::Exactly { length, of, id } => {
                    let Some(whole) = text.get(..start + length) else {
                        continue;
                    };
                    let asked = known.get(&(*id, start)).copied();
                    let matched = asked.unwrap_or_else(|| of.iter().any(|one| one.match_from(start, whole, known)));
                    known.insert((*id, start), matched);
                    if matched {
                        reach(*length);
                    }
                }
                _ => (),
            }
        }
        ends
    }
}

fn holds(row: &[char], text: &[char]) -> bool {
    row.windows(text.len().max(1)).any(|window| window == text)
}

/// What the library takes for a text.
fn plain(node: &Node) -> Option<&[char]> {
    match node {
        Node::Text(text) => Some(text),
        Node::List { chars, not: false } if chars.len() == 1 => Some(chars),
        _ => None,
    }
}

/// The length that the library computes for an element, if it takes it for fixed.
fn length(node: &Node) -> Option<usize> {
    match node {
        Node::Text(text) => Some(text.len()),
        Node::Any => None,
        Node::Single | Node::List { .. } | Node::Range { .. } => Some(1),
        Node::Alternatives(of) => {
            // Those without a length in front are passed over: that is the mistake.
            let mut lengths = of.iter().map(|nodes| row_length(nodes)).skip_while(Option::is_none);
            let first = lengths.next()?;
            lengths.all(|length| length == first).then_some(first)?
        }
    }
}

fn row_length(nodes: &[Node]) -> Option<usize> {
    if nodes.len() > 1 && uniform(nodes).is_some() {
        return None;
    }
    nodes.iter().map(length).sum()
}

/// The one element that a row of the same `?` or `[!..]` is made of.
fn uniform(row: &[Node]) -> Option<&Node> {
    let first = row
        .first()
        .filter(|first| matches!(first, Node::Single | Node::List { not: true, .. }))?;
    row.iter().all(|node| node == first).then_some(first)
}
