//! The layers of a configuration, laid over one another by the `config` crate, and what serde makes of them.

use config::{ConfigError, Map, Source, Value as Layered, ValueKind};
use serde_path_to_error::Segment;

use super::Config;
use super::environment::join;
use super::problem::Problem;
use super::written::Written;

/// One layer of values, for the `config` crate.
#[derive(Debug, Clone)]
pub(super) struct Layer(pub(super) Map<String, Layered>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Layered>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Makes the typed configuration. What a parser refuses is noted, left out, and the rest tried again, so that all of it is found.
pub(super) fn typed(layers: Vec<Layer>, written: &Written, problems: &mut Vec<Problem>) -> Option<(Config, Layered)> {
    let layered = layers
        .into_iter()
        .fold(config::Config::builder(), |builder, layer| builder.add_source(layer))
        .build();
    let mut root = match layered {
        Ok(layered) => layered.cache,
        Err(error) => {
            problems.push(Problem::error("", plain(&error), ""));
            return None;
        }
    };
    loop {
        let error = match serde_path_to_error::deserialize(root.clone()) {
            Ok(config) => return Some((config, root)),
            Err(error) => error,
        };
        let path: Vec<&Segment> = error.path().iter().collect();
        let mut key = String::new();
        let removed = remove(&mut root, &path, &mut key);
        let mut problem = Problem::error(key.clone(), written.masked(&key, &plain(error.inner())), "");
        if let Some(field) = problem
            .message
            .strip_prefix("missing field `")
            .and_then(|rest| rest.strip_suffix('`'))
        {
            problem = Problem::error(join(&key, field), "is missing", "it has no default: write it");
        } else if let Some((message, remedy)) = problem.message.clone().split_once(": ") {
            (problem.message, problem.remedy) = (format!("is wrong: {message}"), remedy.to_owned());
        }
        if !problems.iter().any(|known| known.key == problem.key) {
            problems.push(written.placed(problem, &[]));
        }
        if !removed {
            return None;
        }
    }
}

/// An error's own message, without the `config` crate's notes of where it was.
fn plain(error: &ConfigError) -> String {
    match error {
        ConfigError::At { error, .. } => plain(error),
        ConfigError::NotFound(path) => {
            let field = path.rsplit(['.', ']']).next().unwrap_or_default();
            format!("missing field `{field}`")
        }
        ConfigError::Message(message) => message.clone(),
        ConfigError::Type {
            unexpected, expected, ..
        } => format!("must be {expected}, and is {unexpected}"),
        other => other.to_string(),
    }
}

/// Takes the value at the end of `path` out, and writes its key's path, by which it was written, to `key`.
fn remove(node: &mut Layered, path: &[&Segment], key: &mut String) -> bool {
    let Some((segment, deeper)) = path.split_first() else {
        return false;
    };
    match (segment, &mut node.kind) {
        (Segment::Map { key: name } | Segment::Enum { variant: name }, ValueKind::Table(table)) => {
            let Some(below) = table.get_mut(name) else { return false };
            *key = below.origin().map_or_else(|| join(key, name), str::to_owned);
            remove(below, deeper, key) || table.remove(name).is_some()
        }
        (Segment::Seq { index }, ValueKind::Array(items)) => {
            let Some(below) = items.get_mut(*index) else {
                return false;
            };
            *key = below.origin().map_or_else(|| format!("{key}[{index}]"), str::to_owned);
            if !remove(below, deeper, key) {
                items.remove(*index);
            }
            true
        }
        _ => false,
    }
}

/// The path of a key as its file has it: items of a list that were left out count.
pub(super) fn key_as_written(root: &Layered, key: &str) -> String {
    let (mut node, mut written) = (Some(root), String::new());
    for part in key.split_inclusive(['.', '[', ']']) {
        let name = part.trim_end_matches(['.', '[', ']']);
        let below = match (node.map(|node| &node.kind), name.parse::<usize>()) {
            (Some(ValueKind::Array(items)), Ok(index)) => items.get(index),
            (Some(ValueKind::Table(table)), _) => table.get(name),
            _ => None,
        };
        written = match below.and_then(Layered::origin) {
            Some(origin) => origin.to_owned(),
            None if name.is_empty() => continue,
            None if part.ends_with(']') => format!("{written}[{name}]"),
            None => join(&written, name),
        };
        node = below;
    }
    written
}
