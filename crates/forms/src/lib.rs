//! The form of an approval: a JSON schema (draft 2020-12) that the body of a decision must match.
//!
//! Whoever asks and whoever decides may be strangers, and a controller checks for both. So a form may fetch nothing, refer to
//! nothing, not even within itself (a reference to itself would never end), and its patterns take time that is linear in the
//! text. What is too long is refused before it is read.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// The longest form and the longest answer, in bytes.
pub const LONGEST: usize = 16 * 1024;
/// How large a compiled pattern may be, in bytes.
const PATTERN: usize = 256 * 1024;
/// How many faults of an answer are named.
const MOST_FAULTS: usize = 3;
/// How many characters of a fault are shown.
const LONGEST_FAULT: usize = 300;
/// The keywords that lead elsewhere.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Why a form or an answer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The form is no schema that Baton takes.
    #[error("the form {0}")]
    Form(String),
    /// The answer does not match the form.
    #[error("the answer {0}")]
    Answer(String),
}

/// A form that answers can be checked by.
#[derive(Debug)]
pub struct Form {
    validator: Validator,
}

impl Form {
    /// Reads a JSON schema.
    ///
    /// # Errors
    /// When it is too long, is no JSON schema, or has a reference.
    pub fn read(schema: &str) -> Result<Self, Refused> {
        let refused = |problem: String| Refused::Form(problem);
        if schema.len() > LONGEST {
            let length = schema.len();
            return Err(refused(format!("has {length} bytes, and may have at most {LONGEST}")));
        }
        let schema: Value = serde_json::from_str(schema).map_err(|error| refused(format!("is not JSON: {error}")))?;
        if let Some(word) = reference(&schema) {
            return Err(refused(format!(
                "refers to another schema with \"{word}\"; fix: write what it says in its place"
            )));
        }
        let patterns = PatternOptions::regex().size_limit(PATTERN).dfa_size_limit(PATTERN);
        let options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns);
        let validator = options
            .build(&schema)
            .map_err(|error| refused(format!("is no JSON schema: {}", shortened(&error.to_string()))))?;
        Ok(Self { validator })
    }

    /// Checks an answer; `None` when a decision has no body.
    ///
    /// # Errors
    /// Names what does not match, and where.
    pub fn check(&self, answer: Option<&str>) -> Result<(), Refused> {
        self.check_up_to(answer, LONGEST)
    }

    /// Checks an answer of at most so many bytes.
    ///
    /// # Errors
    /// As [`Form::check`].
    pub fn check_up_to(&self, answer: Option<&str>, longest: usize) -> Result<(), Refused> {
        let refused = |problem: String| Refused::Answer(problem);
        let text = answer.unwrap_or("null");
        if text.len() > longest {
            let length = text.len();
            return Err(refused(format!("has {length} bytes, and may have at most {longest}")));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| refused(format!("is not JSON: {error}")))?;
        let faults: Vec<String> = self
            .validator
            .iter_errors(&value)
            .take(MOST_FAULTS)
            .map(|fault| {
                let place = fault.instance_path().to_string();
                let place = if place.is_empty() { "/" } else { &place };
                format!("at {place}: {}", shortened(&fault.to_string()))
            })
            .collect();
        match (faults.is_empty(), answer) {
            (true, _) => Ok(()),
            (false, None) => Err(refused("is missing, and the form asks for one".to_owned())),
            (false, Some(_)) => Err(refused(format!("does not match the form: {}", faults.join("; ")))),
        }
    }
}

/// The first keyword in a schema that leads elsewhere.
fn reference(schema: &Value) -> Option<&'static str> {
    match schema {
        Value::Object(fields) => {
            let own = REFERENCES.into_iter().find(|word| fields.contains_key(*word));
            own.or_else(|| fields.values().find_map(reference))
        }
        Value::Array(items) => items.iter().find_map(reference),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST_FAULT).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1},"code":{"type":"string","pattern":"^[A-Z]{2}$"}},"required":["n"],"additionalProperties":false}"#;

    #[test]
    fn an_answer_matches_or_its_fault_is_named() {
        let form = Form::read(ORDER).expect("a form");
        for good in [r#"{"n":1}"#, r#"{"n":7,"code":"DE"}"#] {
            assert_eq!(form.check(Some(good)), Ok(()), "{good}");
        }
        for (bad, place) in [
            (r#"{"n":0}"#, "/n"),
            (r#"{"n":1,"code":"de"}"#, "/code"),
            (r#"{"code":"DE"}"#, "\"n\""),
            (r#"{"n":1,"more":true}"#, "more"),
            ("[]", "at /"),
            ("{", "not JSON"),
        ] {
            let refused = form.check(Some(bad)).expect_err(bad).to_string();
            assert!(refused.contains(place), "{bad}: {refused}");
        }
        assert!(form.check(None).expect_err("none").to_string().contains("missing"));
        assert_eq!(Form::read("{}").expect("a form").check(None), Ok(()));
        let long = format!("\"{}\"", "x".repeat(LONGEST));
        assert!(
            form.check(Some(&long))
                .expect_err("long")
                .to_string()
                .contains("at most")
        );
    }

    #[test]
    fn a_form_that_could_harm_whoever_checks_it_is_refused() {
        let deep = format!("{}{}", r#"{"not":"#.repeat(200), "}".repeat(200));
        let long = format!("{{\"title\":\"{}\"}}", "x".repeat(LONGEST));
        for (bad, word) in [
            (r#"{"$ref":"https://example.com/schema"}"#, "$ref"),
            (r##"{"$ref":"#"}"##, "$ref"),
            (r##"{"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"}]}}}"##, "$ref"),
            (r##"{"$dynamicRef":"#a"}"##, "$dynamicRef"),
            (r#"{"type":"nothing"}"#, "no JSON schema"),
            (r#"{"pattern":"(a)\\1"}"#, "no JSON schema"),
            (r#"{"pattern":"(?=a)"}"#, "no JSON schema"),
            (r#"{"pattern":"\\w{500}{500}"}"#, "no JSON schema"),
            (&deep, "not JSON"),
            (&long, "at most"),
            ("[]", "no JSON schema"),
        ] {
            let refused = Form::read(bad).expect_err(bad).to_string();
            assert!(refused.contains(word), "{bad}: {refused}");
        }
    }
}
