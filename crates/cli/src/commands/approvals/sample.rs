//! An answer to begin with, for the line that decides: what a form asks for, with values that stand for those of a person.

use baton_envelope::Json;
use serde_json::{Map, Value};

/// How deep a form is followed.
const DEEPEST: usize = 8;

/// A body with each field that the form requires. It matches forms that ask for types and choices; of the rest it is a draft.
pub(super) fn of(form: &Json) -> String {
    let schema: Value = serde_json::from_str(form.get()).unwrap_or_default();
    value(&schema, DEEPEST).to_string()
}

fn value(schema: &Value, depth: usize) -> Value {
    let first = |key: &str| schema.get(key).and_then(|values| values.get(0)).cloned();
    let given = schema.get("const").or_else(|| schema.get("default")).cloned();
    if let Some(given) = given.or_else(|| first("enum")).or_else(|| first("examples")) {
        return given;
    }
    let kind = schema.get("type");
    let kind = kind.and_then(|kind| kind.as_str().or_else(|| kind.get(0)?.as_str()));
    match kind {
        Some("string") => "TEXT".into(),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| 0.into()),
        Some("boolean") => true.into(),
        Some("array") => Value::Array(Vec::new()),
        Some("null") => Value::Null,
        Some(_) | None => Value::Object(object(schema, depth)),
    }
}

fn object(schema: &Value, depth: usize) -> Map<String, Value> {
    let required = schema.get("required").and_then(Value::as_array);
    let names = required.into_iter().flatten().filter_map(Value::as_str);
    let Some(deeper) = depth.checked_sub(1) else {
        return Map::new();
    };
    let properties = schema.get("properties").unwrap_or(&Value::Null);
    let field = |name: &str| value(properties.get(name).unwrap_or(&Value::Null), deeper);
    names.map(|name| (name.to_owned(), field(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_what_the_form_requires() {
        let cases = [
            (r#"{"type":"object"}"#, "{}"),
            (
                r#"{"type":"object","properties":{"n":{"type":"integer","minimum":2},"s":{"type":"string"}},"required":["n","s"]}"#,
                r#"{"n":2,"s":"TEXT"}"#,
            ),
            (r#"{"enum":["red","blue"]}"#, r#""red""#),
            (r#"{"required":["a"]}"#, r#"{"a":{}}"#),
        ];
        for (form, expected) in cases {
            assert_eq!(of(&Json::parse(form).expect("JSON")), expected);
        }
    }
}
