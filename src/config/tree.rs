//! A YAML document as a tree in which every key and value knows where it was written. What its values mean is not judged here.
//!
//! Scalars stay text: `012` is not the number 12 before somebody asks for a number.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::problem::{Place, Problem, drawn_line};

/// One value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// For a mapping or a list: of its key, if it has one.
    pub(super) place: Place,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A single value, as text.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes: it may be a number, a truth value or nothing at all.
    pub(super) plain: bool,
    pub(super) origin: Origin,
}

/// Whence a scalar's text came. Only what was written may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It stands in the file.
    Written,
    /// All of it came by one reference.
    Reference,
    /// Some of it came by reference.
    Mixed,
    /// It came from a variable that lies over the file.
    Variable,
}

impl Scalar {
    /// Whether it is YAML's null.
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The truth value that it is, if it is one in YAML 1.2 (`yes` and `on` are not).
    pub(super) fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }
}

/// One entry of a mapping.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) value: Node,
}

/// Depth of nesting, and values with all aliases followed: far above any configuration, far below what hurts.
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 20_000;

/// Reads one document. `None` stands for an empty one. What is wrong goes to `problems`.
pub(super) fn parse(file: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Node> {
    let mut builder = Builder {
        file,
        lines: text.lines().collect(),
        events: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
        problems: Vec::new(),
    };
    let root = builder.document();
    if let Err(problem) = &root {
        builder.problems.push((**problem).clone());
    }
    problems.append(&mut builder.problems);
    root.ok().flatten()
}

type Stop = Box<Problem>;

struct Builder<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    events: Parser<'a, serde_saphyr::granit_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    /// What is wrong and does not stop the reading.
    problems: Vec<Problem>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(self.stop(
                        span,
                        "a second document begins here",
                        "a configuration is one document: take the `---` out, or split the file",
                    ));
                }
                Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        Ok(root.filter(|root| !matches!(&root.kind, Kind::Scalar(scalar) if scalar.is_null())))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Stop> {
        self.count(1, span)?;
        if depth > MAX_DEPTH {
            return Err(self.stop(span, "the nesting is too deep", "no key lies that deep"));
        }
        let place = self.place(span);
        if let Some(tag) = event.tag() {
            let message = format!("the tag `{}` is not taken", tag.original());
            return Err(self.stop(span, message, "write the value without a tag; quote it if it is text"));
        }
        let anchor = event.anchor_id();
        let node = match event {
            Event::Scalar(text, style, ..) => Node {
                kind: Kind::Scalar(Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                    origin: Origin::Written,
                }),
                place,
            },
            Event::SequenceStart(..) => self.list(place, depth)?,
            Event::MappingStart(..) => self.map(place, depth)?,
            Event::Alias(id) => self.alias(id, span, place)?,
            _ => return Err(self.stop(span, "a value is missing here", SYNTAX)),
        };
        if let Some(id) = anchor {
            self.anchors.insert(id, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, place: Place, depth: usize) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            match self.expect_next()? {
                (Event::SequenceEnd, _) => break,
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
        Ok(Node {
            kind: Kind::List(items),
            place,
        })
    }

    fn map(&mut self, place: Place, depth: usize) -> Result<Node, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (key, key_place) = match self.expect_next()? {
                (Event::MappingEnd, _) => break,
                (Event::Scalar(key, ..), span) => (key.into_owned(), self.place(span)),
                (_, span) => {
                    return Err(self.stop(span, "a key must be plain text", SYNTAX));
                }
            };
            let (event, span) = self.expect_next()?;
            let mut value = self.node(event, span, depth + 1)?;
            if !matches!(value.kind, Kind::Scalar(_)) {
                value.place = key_place.clone();
            }
            match entries.iter().find(|entry| entry.key == key) {
                Some(first) => {
                    let message = format!("the key `{key}` stands twice{}", on_line(&first.place));
                    self.problems
                        .push(Problem::error("", message, "keep one of the two").at(key_place));
                }
                None => entries.push(Entry {
                    key,
                    place: key_place,
                    value,
                }),
            }
        }
        // The opening of a block mapping is no place to point at; its first key is.
        let place = entries.first().map_or(place, |entry| entry.place.clone());
        Ok(Node {
            kind: Kind::Map(entries),
            place,
        })
    }

    /// The value that an alias stands for, at the alias's own place.
    fn alias(&mut self, id: usize, span: Span, place: Place) -> Result<Node, Stop> {
        let Some(mut node) = self.anchors.get(&id).cloned() else {
            return Err(self.stop(span, "the alias stands inside what it names", "write the value out"));
        };
        self.count(size(&node), span)?;
        node.place = place;
        Ok(node)
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(self.stop(
                span,
                format!("the file holds more than {MAX_NODES} values, aliases followed"),
                "write it without aliases of aliases",
            ));
        }
        Ok(())
    }

    fn expect_next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.next()? {
            Some(event) => Ok(event),
            None => Err(Box::new(Problem::error("", "the file ends too early", SYNTAX))),
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Stop> {
        self.events.next().transpose().map_err(|error| self.syntax(&error))
    }

    fn syntax(&self, error: &ScanError) -> Stop {
        let info = error.info();
        let remedy = if info.contains("tab") {
            "indent with spaces: YAML takes no tabs"
        } else {
            SYNTAX
        };
        let marker = error.marker();
        let problem = Problem::error("", format!("this is not YAML: {info}"), remedy);
        Box::new(problem.at(self.at(marker.line(), marker.col() + 1, 1)))
    }

    fn stop(&self, span: Span, message: impl Into<String>, remedy: &str) -> Stop {
        Box::new(Problem::error("", message, remedy).at(self.place(span)))
    }

    fn place(&self, span: Span) -> Place {
        let width = if span.end.line() == span.start.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            1
        };
        self.at(span.start.line(), span.start.col() + 1, width)
    }

    fn at(&self, line: usize, column: usize, width: usize) -> Place {
        let text = line.checked_sub(1).and_then(|index| self.lines.get(index));
        Place::File {
            file: self.file.to_owned(),
            line,
            column,
            width,
            text: text.map_or_else(String::new, |text| drawn_line(text)),
        }
    }
}

const SYNTAX: &str = "look at the quotes, brackets, colons and indentation of this line and the one before it";

fn on_line(place: &Place) -> String {
    match place {
        Place::File { line, .. } => format!(", first on line {line}"),
        Place::Variable(_) => String::new(),
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::List(items) => items.iter().map(size).sum(),
        Kind::Map(entries) => entries.iter().map(|entry| size(&entry.value)).sum(),
    }
}
