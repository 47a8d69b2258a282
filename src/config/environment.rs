//! What a configuration takes from outside its file: `${env:NAME}` and `${file:PATH}`, and variables that lie over the file's keys.
//!
//! Not the `config` crate's own environment source: that one retypes values (`0123` becomes 123) and forgets which variable a value
//! came from. Here an overlay is a tree like the file's, so that the same judgement reads both.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::problem::{Place, Problem};
use super::tree::{Entry, Kind, Node, Origin, Scalar};

/// Variables of an environment, by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment(BTreeMap<String, OsString>);

/// What overlay variables begin with, and what parts the keys of a path in their names.
const PREFIX: &str = "LAKEGATE__";
const SEPARATOR: &str = "__";

impl Environment {
    /// The environment of this process.
    pub(super) fn of_process() -> Self {
        let names = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self(names.collect())
    }

    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), OsString::from(value));
        Self(variables.iter().map(owned).collect())
    }

    /// The text with its references followed, or `None` if there are none; `$${` stands for `${` itself.
    ///
    /// # Errors
    /// What is wrong with a reference, and the remedy.
    pub(super) fn expand(&self, text: &str) -> Result<Option<(String, Origin)>, (String, String)> {
        if !text.contains("${") {
            return Ok(None);
        }
        let (mut whole, mut rest, mut references, mut length) = (String::new(), text, 0, 0);
        while let Some((before, after)) = rest.split_once("${") {
            if let Some(before) = before.strip_suffix('$') {
                whole.extend([before, "${"]);
                rest = after;
                continue;
            }
            let (reference, after) = after
                .split_once('}')
                .ok_or_else(|| ("holds a reference without its `}`".to_owned(), FORMS.to_owned()))?;
            whole.push_str(before);
            whole.push_str(&self.follow(reference)?);
            references += 1;
            length = reference.len() + "${}".len();
            rest = after;
        }
        whole.push_str(rest);
        let origin = match references {
            0 => Origin::Written,
            1 if length == text.len() => Origin::Reference,
            _ => Origin::Mixed,
        };
        Ok(Some((whole, origin)))
    }

    fn follow(&self, reference: &str) -> Result<String, (String, String)> {
        match reference.split_once(':') {
            Some(("env", name)) => self.variable(name),
            Some(("file", path)) => read(path).map_err(|why| {
                let remedy =
                    "make it a file of text that the gateway may read; relative paths begin at the working directory";
                (format!("needs the file `{path}`, which {why}"), remedy.to_owned())
            }),
            _ => Err((
                format!("holds `${{{reference}}}`, which is no reference"),
                FORMS.to_owned(),
            )),
        }
    }

    fn variable(&self, name: &str) -> Result<String, (String, String)> {
        let Some(value) = self.0.get(name) else {
            let message = format!("needs the environment variable `{name}`, which is not set");
            return Err((
                message,
                format!("set {name} for the gateway's process, or write `${{file:PATH}}`"),
            ));
        };
        value.to_str().map(str::to_owned).ok_or_else(|| {
            let message = format!("needs the environment variable `{name}`, which is not UTF-8");
            (message, "a value is text".to_owned())
        })
    }

    /// The variables that lie over the file's keys, as a tree; `None` if there are none.
    pub(super) fn overlay(&self, problems: &mut Vec<Problem>) -> Option<Node> {
        let place = Place::Variable(format!("{PREFIX}*"));
        let mut root = Node {
            kind: Kind::Map(Vec::new()),
            place,
        };
        for (name, value) in &self.0 {
            let Some(path) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let place = Place::Variable(name.clone());
            let keys: Vec<String> = path.split(SEPARATOR).map(str::to_lowercase).collect();
            let placed = match value.to_str() {
                Some(value) => insert(&mut root, &keys, value, &place),
                None => Err(("is not UTF-8", "a value is text")),
            };
            if let Err((message, remedy)) = placed {
                problems.push(Problem::error(keys.join("."), message, remedy).at(place));
            }
        }
        matches!(&root.kind, Kind::Map(entries) if !entries.is_empty()).then_some(root)
    }
}

const FORMS: &str = "write `${env:NAME}` or `${file:PATH}`; `$${` stands for `${` itself";

/// `key` below `parent`.
pub(super) fn join(parent: &str, key: &str) -> String {
    if parent.is_empty() {
        key.to_owned()
    } else {
        format!("{parent}.{key}")
    }
}

/// A file's text without the line end that editors and `echo` leave.
fn read(path: &str) -> Result<String, String> {
    let text = super::load::read(path.as_ref())?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn insert(node: &mut Node, keys: &[String], value: &str, place: &Place) -> Result<(), (&'static str, &'static str)> {
    let Some((key, deeper)) = keys.split_first() else {
        node.kind = Kind::Scalar(Scalar {
            text: value.to_owned(),
            plain: true,
            origin: Origin::Variable,
        });
        return Ok(());
    };
    if key.is_empty() {
        return Err((
            "has an empty key in its path",
            "keys are parted by two underscores: LAKEGATE__LOG__FORMAT",
        ));
    }
    let Kind::Map(entries) = &mut node.kind else {
        return Err((
            "lies below a key that another variable gives a value",
            "unset one of the two",
        ));
    };
    let index = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
        entries.push(Entry {
            key: key.clone(),
            place: place.clone(),
            value: Node {
                kind: Kind::Map(Vec::new()),
                place: place.clone(),
            },
        });
        entries.len() - 1
    });
    match entries.get_mut(index) {
        Some(entry) => insert(&mut entry.value, deeper, value, place),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<Option<(String, Origin)>, String> {
        let environment = Environment::of(&[("A", "one"), ("B", "two")]);
        environment.expand(text).map_err(|(message, _)| message)
    }

    #[test]
    fn references_are_followed_anywhere_in_a_value() {
        assert_eq!(expand("plain $ and {}"), Ok(None));
        assert_eq!(expand("${env:A}"), Ok(Some(("one".into(), Origin::Reference))));
        assert_eq!(
            expand("http://${env:A}.${env:B}"),
            Ok(Some(("http://one.two".into(), Origin::Mixed)))
        );
        assert_eq!(expand("$${env:A}"), Ok(Some(("${env:A}".into(), Origin::Written))));
        assert!(expand("${env:C}").unwrap_err().contains("not set"));
        assert!(expand("${A}").unwrap_err().contains("no reference"));
        assert!(expand("${env:A").unwrap_err().contains("without its"));
    }

    #[test]
    fn what_a_variable_holds_is_not_read_again() {
        let environment = Environment::of(&[("A", "${env:A}")]);
        assert_eq!(environment.expand("${env:A}").unwrap().unwrap().0, "${env:A}");
    }

    #[test]
    fn a_file_loses_one_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (written, value) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a ", " a "), ("", "")] {
            std::fs::write(&path, written).unwrap();
            assert_eq!(read(path.to_str().unwrap()).unwrap(), value);
        }
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(read(path.to_str().unwrap()).unwrap_err(), "is not UTF-8");
        assert_eq!(read("/dev/zero").unwrap_err(), "is larger than 1 MiB");
    }
}
