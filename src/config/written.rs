//! Where each key was written: for the places of problems that are found after the file's tree is gone, and for what must not be shown.

use std::collections::BTreeMap;

use super::environment::join;
use super::problem::{Place, Problem};
use super::tree::{Kind, Node, Origin};

/// Where each key was written, the last layer's word over the others'.
#[derive(Debug, Default)]
pub(super) struct Written(BTreeMap<String, (Place, Option<String>)>);

impl Written {
    /// Notes all of a layer.
    pub(super) fn note(&mut self, node: &Node, key: &str) {
        let hidden = match &node.kind {
            Kind::Scalar(scalar) if scalar.origin != Origin::Written => Some(scalar.text.clone()),
            Kind::Scalar(_) | Kind::Broken => None,
            Kind::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.note(item, &format!("{key}[{index}]"));
                }
                None
            }
            Kind::Map(entries) => {
                for entry in entries {
                    self.note(&entry.value, &join(key, &entry.key));
                }
                None
            }
        };
        // Over a mapping a variable lies only with the keys that it brings.
        let over = matches!((&node.kind, &node.place), (Kind::Map(_), Place::Variable(_)));
        if !(over && self.has(key)) {
            self.0.insert(key.to_owned(), (node.place.clone(), hidden));
        }
    }

    /// Whether any layer names the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The problem with the place of its key, or of the nearest key above it that was written.
    pub(super) fn placed(&self, problem: Problem) -> Problem {
        let mut key = problem.key.as_str();
        loop {
            if let Some((place, _)) = self.0.get(key).filter(|_| !key.is_empty()) {
                let place = place.clone();
                return problem.at(place);
            }
            match key.rfind(['.', '[']).and_then(|end| key.get(..end)) {
                Some(parent) => key = parent,
                None => return problem,
            }
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
