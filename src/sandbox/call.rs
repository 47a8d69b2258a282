//! One request to an operation: parameters, query and body, checked in lakeFS's order and with its words (kin-openapi, then the binders).

use bytes::Bytes;
use http::HeaderMap;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::reply::Failure;
use super::route::{Plus, Route, bind, unescape};

/// A request as its handler sees it.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// Path parameters, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    /// The JSON body after binding; null where there is none.
    pub(super) json: Value,
    /// The body of an upload.
    pub(super) bytes: Bytes,
    /// Who asks.
    pub(super) user: String,
}

impl Call {
    /// A path parameter, in the template's order.
    pub(super) fn segment(&self, index: usize) -> &str {
        self.path.get(index).map_or("", String::as_str)
    }

    /// A text of the body, empty where it is missing.
    pub(super) fn text(&self, name: &str) -> &str {
        self.json.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A flag of the body.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.json.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A number of the body.
    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.json.get(name).and_then(Value::as_i64)
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A query as Go's `url.ParseQuery` reads it: pairs with `;` or a bad escape are dropped.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let text = |part: &str| Some(String::from_utf8_lossy(&unescape(part, Plus::Space)?).into_owned());
        Self(
            query
                .split('&')
                .filter(|pair| !pair.is_empty() && !pair.contains(';'))
                .filter_map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((text(name)?, text(value)?))
                })
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// All values of a list parameter.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).and_then(parse_bool).unwrap_or(default)
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    /// What the schema validator says of the query.
    pub(super) fn validate(&self, route: Route) -> Result<(), Failure> {
        for parameter in route.spec().query.split_whitespace() {
            let (name, kind) = parameter.split_once(':').unwrap_or((parameter, "s"));
            let (name, required) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
            let wrong = |what: &str| Failure::Invalid(format!("parameter \"{name}\" in query has an error: {what}"));
            match self.get(name) {
                None if required => return Err(wrong("value is required but missing")),
                Some("") if required => return Err(wrong("empty value is not allowed")),
                Some(value) if kind == "b" && !value.is_empty() && parse_bool(value).is_none() => {
                    return Err(wrong(&format!("value {value}: an invalid boolean: invalid syntax")));
                }
                Some(value) if kind == "i" && !value.is_empty() => {
                    check_integer(name, value).map_err(|what| wrong(&what))?
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What the binder says of it afterwards: a repeated parameter, and an empty one with a default (the validator appends that).
    pub(super) fn bind(&self, route: Route) -> Result<(), Failure> {
        for parameter in route.spec().query.split_whitespace() {
            let (name, kind) = parameter.split_once(':').unwrap_or((parameter, "s"));
            let name = name.trim_end_matches('!');
            let given = if kind == "l" { 1 } else { self.all(name).len() };
            if given > 1 || ((kind == "b" || name == "amount") && self.get(name) == Some("")) {
                return Err(Failure::Unbound(format!(
                    "Invalid format for parameter {name}: multiple values for single value parameter '{name}'"
                )));
            }
        }
        Ok(())
    }
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn check_integer(name: &str, value: &str) -> Result<(), String> {
    let Ok(number) = value.parse::<i64>() else {
        return Err(format!("value {value}: an invalid integer: invalid syntax"));
    };
    let schema = |what: &str| {
        format!(
            "{what}\nSchema:\n  {{\n    \"default\": 100,\n    \"maximum\": 1000,\n    \"minimum\": -1,\n    \"type\": \"integer\"\n  }}\n\nValue:\n  {value}\n"
        )
    };
    match number {
        _ if name != "amount" => Ok(()),
        ..-1 => Err(schema("number must be at least -1")),
        1001.. => Err(schema("number must be at most 1000")),
        _ => Ok(()),
    }
}

/// Path parameters, unescaped for the second time.
pub(super) fn bind_path(route: Route, sent: &[String]) -> Result<Vec<String>, Failure> {
    sent.iter()
        .enumerate()
        .map(|(index, value)| bind(route, index, value))
        .collect()
}

/// Validates a JSON body against its schema and binds it as Go would.
///
/// kin-openapi writes the body anew, with defaults added and keys sorted, if a property with a default is missing; only then Go's decoder
/// matches the keys, without regard to case, the last one winning. So `{"Force":true}` binds only where nothing was added.
pub(super) fn bind_json(route: Route, headers: &HeaderMap, body: &[u8]) -> Result<Value, Failure> {
    let wrong = |what: String| Failure::Invalid(format!("request body has an error: {what}"));
    let spec = route.spec().body;
    let (spec, optional) = spec.strip_prefix('?').map_or((spec, false), |spec| (spec, true));
    let (spec, array) = spec.strip_prefix("[]").map_or((spec, false), |spec| (spec, true));
    if body.is_empty() {
        return if optional {
            Ok(Value::Null)
        } else {
            Err(wrong("value is required but missing".to_owned()))
        };
    }
    let kind = headers
        .get(http::header::CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    if kind != b"application/json" && !kind.starts_with(b"application/json;") {
        let kind = String::from_utf8_lossy(kind);
        return Err(wrong(format!("header Content-Type has unexpected value \"{kind}\"")));
    }
    let (schema, properties) = spec.split_once(": ").unwrap_or((spec, ""));
    let undecodable =
        |error: serde_json::Error| wrong(format!("failed to decode request body: {}", go_error(body, &error)));
    let unfit = |what: String| match schema {
        "" => wrong(format!("doesn't match schema: {what}")),
        _ => wrong(format!("doesn't match schema #/components/schemas/{schema}: {what}")),
    };
    if array {
        let value: Value = first_value(body).map_err(undecodable)?;
        let items = value
            .as_array()
            .ok_or_else(|| unfit("value must be an array".to_owned()))?;
        check_items(properties, items, "").map_err(unfit)?;
        return Ok(value);
    }
    let pairs = match first_value::<Pairs>(body) {
        Ok(pairs) => pairs.0,
        Err(error) if error.is_data() => return Err(unfit("value must be an object".to_owned())),
        Err(error) => return Err(undecodable(error)),
    };
    check(properties, &pairs, "").map_err(unfit)?;
    Ok(bind_properties(properties, pairs))
}

/// The first JSON value of a body; Go's decoder never looks at what follows it.
fn first_value<T: for<'de> serde::Deserialize<'de>>(body: &[u8]) -> serde_json::Result<T> {
    serde_json::Deserializer::from_slice(body)
        .into_iter()
        .next()
        .unwrap_or_else(|| serde_json::from_slice(b""))
}

/// The decoder's error as Go words it, near enough.
fn go_error(body: &[u8], error: &serde_json::Error) -> String {
    let line = body
        .split(|byte| *byte == b'\n')
        .nth(error.line().saturating_sub(1))
        .unwrap_or_default();
    match line.get(error.column().saturating_sub(1)) {
        Some(byte) if !error.is_eof() => format!(
            "invalid character '{}' looking for beginning of value",
            char::from(*byte)
        ),
        _ => "unexpected EOF".to_owned(),
    }
}

/// Name, kind, and whether it is required, of each property.
fn properties(spec: &str) -> impl Iterator<Item = (&str, &str, bool)> {
    let mut depth = 0_usize;
    let separates = move |c: char| {
        depth = match c {
            '(' => depth + 1,
            ')' => depth.saturating_sub(1),
            _ => depth,
        };
        c == ' ' && depth == 0
    };
    spec.split(separates)
        .filter(|property| !property.is_empty())
        .map(|property| {
            let (name, kind) = property.split_once(':').unwrap_or((property, "s"));
            let (name, required) = name.strip_suffix('!').map_or((name, false), |name| (name, true));
            (name, kind, required)
        })
}

fn last<'a>(pairs: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The validator's words about the first property that is wrong; `at` is where the object is.
fn check(spec: &str, pairs: &[(String, Value)], at: &str) -> Result<(), String> {
    for (name, kind, _) in properties(spec) {
        let Some(value) = last(pairs, name) else { continue };
        let at = format!("{at}/{name}");
        let (kind, inner) = kind.trim_end_matches(')').split_once('(').unwrap_or((kind, ""));
        let (fits, wanted) = match kind {
            "b" => (value.is_boolean(), "a boolean"),
            "i" => (value.is_i64() || value.is_u64(), "an integer"),
            "a" => (value.is_array(), "an array"),
            "o" | "m" => (value.is_object(), "an object"),
            _ => (value.is_string(), "a string"),
        };
        // An optional flag may be null: Go binds that as unset.
        if !(fits || kind == "b" && value.is_null()) {
            return Err(format!("Error at \"{at}\": value must be {wanted}"));
        }
        match value {
            Value::Object(map) if kind == "m" => {
                if let Some((key, _)) = map.iter().find(|(_, value)| !value.is_string()) {
                    return Err(format!("Error at \"{at}/{key}\": value must be a string"));
                }
            }
            Value::Object(map) => check(inner, &Vec::from_iter(map.clone()), &at)?,
            Value::Array(items) if !inner.is_empty() => check_items(inner, items, &at)?,
            _ => {}
        }
    }
    match properties(spec).find(|(name, _, required)| *required && last(pairs, name).is_none()) {
        Some((name, ..)) => Err(format!("Error at \"{at}/{name}\": property \"{name}\" is missing")),
        None => Ok(()),
    }
}

fn check_items(spec: &str, items: &[Value], at: &str) -> Result<(), String> {
    items.iter().enumerate().try_for_each(|(index, item)| {
        let pairs = Vec::from_iter(item.as_object().cloned().unwrap_or_default());
        check(spec, &pairs, &format!("{at}/{index}"))
    })
}

fn bind_properties(spec: &str, mut pairs: Vec<(String, Value)>) -> Value {
    let defaulted: Vec<&str> = properties(spec)
        .filter(|(name, kind, required)| *kind == "b" && !required && last(&pairs, name).is_none())
        .map(|(name, ..)| name)
        .collect();
    if !defaulted.is_empty() {
        let mut rewritten: Map<String, Value> = pairs.into_iter().collect();
        rewritten.extend(defaulted.into_iter().map(|name| (name.to_owned(), Value::Bool(false))));
        pairs = rewritten.into_iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let mut bound = Map::new();
    for (key, value) in pairs {
        if let Some((name, ..)) = properties(spec).find(|(name, ..)| folds(name, &key)) {
            bound.insert(name.to_owned(), value);
        }
    }
    Value::Object(bound)
}

/// Whether Go's JSON decoder takes `key` for `name`: case folded by Unicode, so the long s and the Kelvin sign count too.
fn folds(name: &str, key: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(key.chars().map(fold))
}

/// An object's properties in the order sent, repeated ones too.
struct Pairs(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Each)
    }
}
