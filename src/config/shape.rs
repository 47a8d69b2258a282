//! Whether a tree has the shape that the schema asks for: keys, kinds of values, choices and ranges. All problems are found, and what is
//! good goes on to the `config` crate. What scalars mean (durations, addresses) is left to their own parsers.

use config::{Map, Value as Layered, ValueKind};
use serde_json::Value as Json;

use super::environment::{Environment, join};
use super::problem::{Place, Problem};
use super::tree::{Entry, Kind, Node, Origin, Scalar};
use super::written::Written;

/// Reads `tree` by `schema`: the values that fit, by key, with their references followed. Every value carries its key's path as its
/// origin.
pub(super) fn read(
    tree: &Node,
    schema: &Json,
    environment: &Environment,
    written: &mut Written,
    problems: &mut Vec<Problem>,
) -> Map<String, Layered> {
    let mut reader = Reader {
        schema,
        environment,
        written,
        problems,
    };
    match reader.value(tree, schema, "").map(|value| value.kind) {
        Some(ValueKind::Table(table)) => table,
        _ => Map::new(),
    }
}

struct Reader<'a> {
    schema: &'a Json,
    environment: &'a Environment,
    written: &'a mut Written,
    problems: &'a mut Vec<Problem>,
}

/// What a value may be, its alternatives taken apart.
#[derive(Default)]
struct Shape<'a> {
    secret: bool,
    nullable: bool,
    maps: Vec<&'a Json>,
    items: Option<&'a Json>,
    text: bool,
    truth: bool,
    number: Option<&'a Json>,
    choices: Vec<&'a str>,
}

impl<'a> Reader<'a> {
    fn value(&mut self, node: &Node, schema: &'a Json, key: &str) -> Option<Layered> {
        let mut shape = Shape::default();
        self.take_apart(schema, &mut shape);
        self.written.note(key, node, None);
        let scalar = match &node.kind {
            Kind::Scalar(scalar) => Some(self.resolved(scalar, node, key)?),
            _ => None,
        };
        if let Some(hidden) = scalar.as_ref().filter(|scalar| scalar.origin != Origin::Written) {
            self.written.note(key, node, Some(&hidden.text));
        }
        let kind = match (&node.kind, scalar) {
            (Kind::Map(entries), _) => self.map(entries, node, &shape, key),
            (Kind::List(items), _) => self.list(items, node, &shape, key),
            (Kind::Scalar(written), scalar) => self.scalar(scalar.as_ref().unwrap_or(written), node, &shape, key),
        }?;
        Some(Layered::new(Some(&key.to_owned()), kind))
    }

    /// The scalar with its references followed. What a variable holds is taken as it is.
    fn resolved(&mut self, scalar: &Scalar, node: &Node, key: &str) -> Option<Scalar> {
        if scalar.origin == Origin::Variable {
            return Some(scalar.clone());
        }
        match self.environment.expand(&scalar.text) {
            Ok(None) => Some(scalar.clone()),
            Ok(Some((text, origin))) => Some(Scalar {
                text,
                origin,
                ..*scalar
            }),
            Err((message, remedy)) => {
                self.problem(key, message, remedy, &node.place);
                None
            }
        }
    }

    fn take_apart(&self, schema: &'a Json, shape: &mut Shape<'a>) {
        if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            shape.secret |= reference == "#/$defs/Secret";
            if let Some(target) = reference
                .strip_prefix('#')
                .and_then(|pointer| self.schema.pointer(pointer))
            {
                self.take_apart(target, shape);
            }
            return;
        }
        for alternatives in ["anyOf", "oneOf"]
            .iter()
            .filter_map(|word| schema.get(word)?.as_array())
        {
            for alternative in alternatives {
                self.take_apart(alternative, shape);
            }
        }
        let choices = schema
            .get("const")
            .into_iter()
            .chain(list(schema, "enum"))
            .filter_map(Json::as_str);
        let before = shape.choices.len();
        shape.choices.extend(choices);
        let types = schema.get("type").into_iter().flat_map(|types| match types {
            Json::Array(types) => types.iter().filter_map(Json::as_str).collect(),
            other => other.as_str().into_iter().collect::<Vec<_>>(),
        });
        for name in types {
            match name {
                "null" => shape.nullable = true,
                "object" => shape.maps.push(schema),
                "array" => shape.items = schema.get("items"),
                "boolean" => shape.truth = true,
                "integer" | "number" => shape.number = Some(schema),
                "string" => shape.text |= shape.choices.len() == before,
                _ => {}
            }
        }
    }

    fn map(&mut self, entries: &[Entry], node: &Node, shape: &Shape<'a>, key: &str) -> Option<ValueKind> {
        let Some(first) = entries.first() else {
            return match shape.maps.as_slice() {
                [_] => Some(ValueKind::Table(Map::new())),
                _ => self.wrong_kind(shape, "a mapping", node, key),
            };
        };
        let chosen = match shape.maps.as_slice() {
            [] => return self.wrong_kind(shape, "a mapping", node, key),
            [only] => *only,
            several => match several.iter().find(|map| property(map, &first.key).is_some()) {
                Some(map) => *map,
                None => {
                    let names = several
                        .iter()
                        .flat_map(|map| properties(map))
                        .chain(shape.choices.iter().copied());
                    self.unknown_key(first, &names.collect::<Vec<_>>(), key);
                    return None;
                }
            },
        };
        let mut table = Map::new();
        for entry in entries {
            let path = join(key, &entry.key);
            let below =
                property(chosen, &entry.key).or_else(|| chosen.get("additionalProperties").filter(|p| p.is_object()));
            match below {
                Some(_) if is_null(&entry.value) && required(chosen, node).any(|name| name == entry.key) => {
                    self.problem(
                        &path,
                        "has no value",
                        "it has no default: write one",
                        &entry.value.place,
                    );
                }
                Some(schema) => {
                    if let Some(value) = self.value(&entry.value, schema, &path) {
                        table.insert(entry.key.clone(), value);
                    }
                }
                None if shape.maps.len() > 1 && shape.maps.iter().any(|map| property(map, &entry.key).is_some()) => {
                    let message = format!("stands beside `{}`, and only one of them can be", first.key);
                    self.problem(&path, message, "keep the one you mean", &entry.place);
                }
                None => self.unknown_key(entry, &properties(chosen).collect::<Vec<_>>(), key),
            }
        }
        self.missing(entries, chosen, node, key);
        // Without what it must have, the rest would only be refused again for that.
        let whole = required(chosen, node).all(|name| table.contains_key(name));
        whole.then_some(ValueKind::Table(table))
    }

    fn missing(&mut self, entries: &[Entry], schema: &Json, node: &Node, key: &str) {
        for name in required(schema, node) {
            if !entries.iter().any(|entry| entry.key == name) {
                self.problem(
                    &join(key, name),
                    "is missing",
                    "it has no default: write it",
                    &node.place,
                );
            }
        }
    }

    fn list(&mut self, items: &[Node], node: &Node, shape: &Shape<'a>, key: &str) -> Option<ValueKind> {
        let Some(schema) = shape.items else {
            return self.wrong_kind(shape, "a list", node, key);
        };
        let items = items.iter().enumerate();
        let values = items.filter_map(|(index, item)| self.value(item, schema, &format!("{key}[{index}]")));
        Some(ValueKind::Array(values.collect()))
    }

    fn scalar(&mut self, scalar: &Scalar, node: &Node, shape: &Shape<'a>, key: &str) -> Option<ValueKind> {
        if is_null(node) {
            // A section whose keys are all commented out is as good as no section.
            let list = shape.items.is_some() && !shape.text;
            let section = list || shape.maps.iter().any(|map| map.get("required").is_none());
            if !shape.nullable && !section {
                self.problem(key, "has no value", "write one, or take the key out", &node.place);
            }
            return shape.nullable.then_some(ValueKind::Nil);
        }
        if shape.secret {
            return self.secret(scalar, node, key);
        }
        if let Some(items) = shape.items
            && scalar.origin == Origin::Variable
        {
            return self.split(scalar, items, node, key);
        }
        if let Some(truth) = scalar.as_bool().filter(|_| shape.truth) {
            return Some(ValueKind::Boolean(truth));
        }
        if let Some(schema) = shape.number
            && !shape.choices.contains(&scalar.text.as_str())
        {
            return self.number(scalar, schema, node, key);
        }
        if shape.text || shape.choices.contains(&scalar.text.as_str()) {
            return Some(ValueKind::String(scalar.text.clone()));
        }
        if !shape.choices.is_empty() {
            let names = shape.maps.iter().flat_map(|map| properties(map));
            let choices: Vec<&str> = shape.choices.iter().copied().chain(names).collect();
            let remedy = suggestion(&scalar.text, &choices);
            self.problem(key, format!("cannot be {}", shown(scalar)), remedy, &node.place);
            return None;
        }
        let found = if shape.truth {
            shown(scalar)
        } else {
            "a single value".to_owned()
        };
        self.wrong_kind(shape, &found, node, key)
    }

    fn secret(&mut self, scalar: &Scalar, node: &Node, key: &str) -> Option<ValueKind> {
        let (message, remedy) = match scalar.origin {
            Origin::Reference if scalar.text.is_empty() => {
                ("is a secret, and what it refers to is empty", "give it its value there")
            }
            Origin::Reference => return Some(ValueKind::String(scalar.text.clone())),
            Origin::Variable => (
                "is a secret, and secrets are not taken from variables that lie over the file",
                "name a variable of your own in the file: `${env:NAME}`",
            ),
            Origin::Written | Origin::Mixed => (
                "is a secret, and a secret never stands in the file itself",
                "write all of it as one reference: `${env:NAME}` or `${file:PATH}`",
            ),
        };
        self.problem(key, message, remedy, &node.place);
        None
    }

    /// A list from a variable: its items are parted by commas.
    fn split(&mut self, scalar: &Scalar, schema: &'a Json, node: &Node, key: &str) -> Option<ValueKind> {
        let items = scalar.text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items = items.map(|item| Node {
            kind: Kind::Scalar(Scalar {
                text: item.to_owned(),
                ..scalar.clone()
            }),
            place: node.place.clone(),
        });
        let items: Vec<Node> = items.collect();
        let shape = Shape {
            items: Some(schema),
            ..Shape::default()
        };
        self.list(&items, node, &shape, key)
    }

    fn number(&mut self, scalar: &Scalar, schema: &Json, node: &Node, key: &str) -> Option<ValueKind> {
        let fraction = schema.get("type").and_then(Json::as_str) == Some("number");
        // `012` is ten in some YAMLs and twelve in others, so it is nothing here.
        let number = scalar
            .text
            .parse::<i64>()
            .ok()
            .filter(|number| number.to_string() == scalar.text);
        let fits = |bound: &str, holds: fn(f64, f64) -> bool| {
            let bound = schema.get(bound).and_then(Json::as_f64);
            bound.filter(|bound| number.is_some_and(|number| !holds(number as f64, *bound)))
        };
        let allowed: Vec<i64> = list(schema, "enum").filter_map(Json::as_i64).collect();
        let message = match number {
            None if fraction && scalar.text.parse::<f64>().is_ok_and(f64::is_finite) => {
                return scalar.text.parse().ok().map(ValueKind::Float);
            }
            None => "must be a whole number".to_owned(),
            Some(number) if !allowed.is_empty() && !allowed.contains(&number) => {
                let allowed: Vec<String> = allowed.iter().map(i64::to_string).collect();
                format!("must be {}", allowed.join(" or "))
            }
            Some(number) => match (
                fits("minimum", |n, bound| n >= bound),
                fits("maximum", |n, bound| n <= bound),
            ) {
                (Some(minimum), _) => format!("must be at least {minimum}"),
                (_, Some(maximum)) => format!("must be at most {maximum}"),
                (None, None) => return Some(ValueKind::I64(number)),
            },
        };
        self.problem(key, format!("{message}, and is {}", shown(scalar)), "", &node.place);
        None
    }

    fn wrong_kind(&mut self, shape: &Shape<'a>, found: &str, node: &Node, key: &str) -> Option<ValueKind> {
        let keys = || {
            let names = shape.maps.iter().flat_map(|map| properties(map));
            format!("write its keys below it: {}", quoted(names))
        };
        let (wanted, remedy) = if shape.truth {
            ("`true` or `false`", "write it without quotes".to_owned())
        } else if shape.number.is_some() {
            ("a whole number", String::new())
        } else if shape.text || shape.secret {
            ("a single value", String::new())
        } else if shape.items.is_some() {
            (
                "a list",
                "write `[VALUE, VALUE]`, or a line `- VALUE` for each".to_owned(),
            )
        } else if !shape.choices.is_empty() {
            let names = shape.maps.iter().flat_map(|map| properties(map));
            let names = shape.choices.iter().copied().chain(names);
            ("one of its choices", format!("choose one of {}", quoted(names)))
        } else {
            ("a mapping", keys())
        };
        let file = if key.is_empty() { "the file " } else { "" };
        self.problem(
            key,
            format!("{file}must be {wanted}, and is {found}"),
            remedy,
            &node.place,
        );
        None
    }

    fn unknown_key(&mut self, entry: &Entry, known: &[&str], parent: &str) {
        let (message, remedy) = match entry.key.as_str() {
            "<<" => (
                "is a merge key, and those are not taken",
                "write the keys out".to_owned(),
            ),
            key => ("is not a key", self.right_key(key, known)),
        };
        self.problem(&join(parent, &entry.key), message, remedy, &entry.place);
    }

    fn right_key(&self, wrong: &str, known: &[&str]) -> String {
        let mut homes = Vec::new();
        self.homes(self.schema, "", wrong, &mut homes);
        match homes.as_slice() {
            [] => suggestion(wrong, known),
            _ if nearest(wrong, known).is_some() => suggestion(wrong, known),
            _ => format!("it belongs below {}", quoted(homes.iter().map(String::as_str))),
        }
    }

    /// The keys below which there is one of that name.
    fn homes(&self, schema: &Json, path: &str, name: &str, homes: &mut Vec<String>) {
        let reference = schema.get("$ref").and_then(Json::as_str);
        let target = reference.and_then(|reference| self.schema.pointer(reference.strip_prefix('#')?));
        let alternatives = list(schema, "anyOf").chain(list(schema, "oneOf"));
        for below in target.into_iter().chain(schema.get("items")).chain(alternatives) {
            self.homes(below, path, name, homes);
        }
        for (key, below) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
            if key == name && !path.is_empty() {
                homes.push(path.to_owned());
            }
            self.homes(below, &join(path, key), name, homes);
        }
    }

    fn problem(&mut self, key: &str, message: impl Into<String>, remedy: impl Into<String>, place: &Place) {
        self.problems
            .push(Problem::error(key, message, remedy).at(place.clone()));
    }
}

fn is_null(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(scalar) if scalar.is_null() && scalar.origin == Origin::Written)
}

fn list<'a>(schema: &'a Json, word: &str) -> impl Iterator<Item = &'a Json> + use<'a> {
    schema.get(word).and_then(Json::as_array).into_iter().flatten()
}

/// The keys that a mapping must have. A variable lies over one key and never has to bring the others.
fn required<'a>(schema: &'a Json, node: &Node) -> impl Iterator<Item = &'a str> + use<'a> {
    let in_file = matches!(node.place, Place::File { .. });
    list(schema, "required")
        .filter(move |_| in_file)
        .filter_map(Json::as_str)
}

fn property<'a>(schema: &'a Json, name: &str) -> Option<&'a Json> {
    schema.get("properties")?.get(name)
}

fn properties(schema: &Json) -> impl Iterator<Item = &str> {
    let properties = schema.get("properties").and_then(Json::as_object);
    properties
        .into_iter()
        .flat_map(|properties| properties.keys().map(String::as_str))
}

/// What a value's owner may read in a message.
fn shown(scalar: &Scalar) -> String {
    match scalar.origin {
        Origin::Written => format!("`{}`", scalar.text),
        Origin::Reference | Origin::Mixed => "what its reference gives".to_owned(),
        Origin::Variable => "what the variable holds".to_owned(),
    }
}

/// The nearest right name, or all of them.
fn suggestion(wrong: &str, right: &[&str]) -> String {
    match nearest(wrong, right) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("write one of {}", quoted(right.iter().copied())),
    }
}

/// The right name that is near enough to be what was meant.
fn nearest<'a>(wrong: &str, right: &[&'a str]) -> Option<&'a str> {
    let distances = right
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), *name));
    let near = |(distance, name): &(usize, &str)| *distance <= (name.len() / 3).max(1);
    distances.min().filter(near).map(|(_, name)| name)
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
