//! The JSON Schema of the file, for editors: what the types say, and what else `load` takes.

use serde_json::{Value as Json, json};

use super::Config;

/// The schema, with references allowed wherever a single value is, and sections allowed to be empty.
pub fn schema() -> Json {
    let mut schema = schemars::schema_for!(Config).to_value();
    loosen(&mut schema);
    schema
}

/// What an editor takes for a value that comes from elsewhere.
const REFERENCE: &str = r"\$\{(env|file):[^}]+\}";

fn loosen(schema: &mut Json) {
    if let Some(object) = schema.as_object_mut() {
        let number = matches!(
            object.get("type").and_then(Json::as_str),
            Some("integer" | "number" | "boolean")
        );
        if number {
            let words = ["type", "format", "minimum", "maximum", "enum"];
            let value: serde_json::Map<String, Json> =
                words.iter().filter_map(|word| object.remove_entry(*word)).collect();
            object.insert(
                "anyOf".to_owned(),
                json!([value, { "type": "string", "pattern": REFERENCE }]),
            );
            return;
        }
        let optional = !object.contains_key("required");
        if let Some(section @ Json::String(_)) = object.get_mut("type")
            && (section == "array" || (section == "object" && optional))
        {
            *section = json!([*section, "null"]);
        }
        // A secret's own pattern asks for a reference already.
        if let Some(Json::String(pattern)) = object.get_mut("pattern").filter(|pattern| !is_reference(pattern)) {
            *pattern = format!("{pattern}|{REFERENCE}");
        }
        let choices = object.get_mut("oneOf").and_then(Json::as_array_mut);
        if let Some(choices) = choices.filter(|choices| choices.iter().any(|choice| choice.get("const").is_some())) {
            choices.push(json!({ "type": "string", "pattern": REFERENCE }));
        }
    }
    match schema {
        Json::Object(object) => object.values_mut().for_each(loosen),
        Json::Array(items) => items.iter_mut().for_each(loosen),
        _ => {}
    }
}

fn is_reference(pattern: &Json) -> bool {
    pattern.as_str().is_some_and(|pattern| pattern.contains("(env|file)"))
}
