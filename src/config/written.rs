//! Where each key was written: for the places of problems that are found after the file's tree is gone, and for what must not be shown.

use std::collections::BTreeMap;

use super::problem::{Place, Problem};
use super::tree::{Kind, Node};

/// Where each key was written, the last layer's word over the others'.
#[derive(Debug, Default)]
pub(super) struct Written(BTreeMap<String, (Place, Option<String>)>);

impl Written {
    /// Notes a value that a layer brings; `hidden` is its text if that must not be shown.
    pub(super) fn note(&mut self, key: &str, node: &Node, hidden: Option<&str>) {
        // Over a mapping a variable lies only with the keys that it brings.
        let over = matches!((&node.kind, &node.place), (Kind::Map(_), Place::Variable(_)));
        if !(over && self.has(key)) {
            self.0
                .insert(key.to_owned(), (node.place.clone(), hidden.map(str::to_owned)));
        }
    }

    /// Whether any layer names the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The problem with the place of its key; if that was written nowhere, of another key that it is about, or of the nearest key above.
    pub(super) fn placed(&self, problem: Problem, others: &[String]) -> Problem {
        let written = std::iter::once(&problem.key)
            .chain(others)
            .find_map(|key| self.0.get(key));
        let mut above = problem.key.as_str();
        let mut found = written;
        while found.is_none() && !above.is_empty() {
            above = above
                .rfind(['.', '['])
                .and_then(|end| above.get(..end))
                .unwrap_or_default();
            found = self.0.get(above).filter(|_| !above.is_empty());
        }
        match found {
            Some((place, _)) => problem.at(place.clone()),
            None => problem,
        }
    }

    /// The message without a value that must not be shown.
    pub(super) fn masked(&self, key: &str, message: &str) -> String {
        let Some((place, Some(value))) = self.0.get(key) else {
            return message.to_owned();
        };
        let instead = match place {
            Place::Variable(_) => "what the variable holds",
            Place::File { .. } => "what its reference gives",
        };
        let message = message.replace(&format!("`{value}`"), instead);
        if value.is_empty() || !message.replace(instead, "").contains(value) {
            message
        } else {
            format!("{instead} is no valid value")
        }
    }
}

/// Whether one of two keys is the other or lies below it.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let within = |key: &str, parent: &str| {
        key.strip_prefix(parent)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    !one.is_empty() && (within(one, other) || within(other, one))
}
