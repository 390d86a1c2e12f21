//! What a sender says of its work from outside: the task, and what it expects back; and whether a result is that.

use std::borrow::Cow;

use serde::Deserialize;

use crate::base::json::Json;
use crate::base::text::{Line, line_problem, quoted};
use crate::base::wire::Extra;
use crate::message::body::Body;
use crate::message::parts::{Expects, Task};

/// The longest task, in bytes of JSON. It is in the view of every agent.
pub const TASK_LIMIT: usize = 16 * 1024;
/// The longest format, length and quality, in bytes.
const WORD_LIMIT: usize = 256;
/// How many characters of a value are quoted.
const QUOTED: usize = 120;
/// An example, for whoever has given something else.
const EXAMPLE: &str =
    r#"give an object, such as {"goal": "…", "ask": "…", "expects": {"format": "json", "max_length": 2000}}"#;

/// What is wrong with a task that somebody gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` \"{value}\" {problem}; {fix}")]
pub struct BadTask {
    /// The member, such as `expects.format`; empty for the whole.
    pub field: String,
    /// Its value, shortened.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenTask {
    goal: Option<String>,
    state: Option<String>,
    ask: Option<String>,
    expects: Option<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenExpects {
    format: Option<String>,
    length: Option<String>,
    quality: Option<String>,
    schema: Option<Json>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    checked: Option<bool>,
}

fn bad(field: &str, value: &str, problem: impl Into<String>, fix: impl Into<String>) -> BadTask {
    BadTask {
        field: field.to_owned(),
        value: quoted(value, QUOTED),
        problem: problem.into(),
        fix: fix.into(),
    }
}

impl Task {
    /// What somebody asks of a receiver.
    pub fn ask(ask: impl Into<String>) -> Self {
        Self {
            ask: Some(ask.into()),
            ..Self::default()
        }
    }

    /// This task, and what it leaves open as it was before.
    #[must_use]
    pub fn over(self, before: Option<Self>) -> Self {
        let before = before.unwrap_or_default();
        let mut extra = before.extra;
        extra.extend(self.extra);
        Self {
            goal: self.goal.or(before.goal),
            state: self.state.or(before.state),
            ask: self.ask.or(before.ask),
            extra,
        }
    }

    /// The value of the header that says this, where there is anything to say.
    pub fn header(task: Option<&Self>, expects: Option<&Expects>) -> Option<String> {
        /// A header says `checked` where it is false: absent, it is true there.
        #[derive(serde::Serialize)]
        struct WholeExpects<'a> {
            #[serde(flatten)]
            expects: &'a Expects,
            #[serde(skip_serializing_if = "Option::is_none")]
            checked: Option<bool>,
        }
        #[derive(serde::Serialize)]
        struct Whole<'a> {
            #[serde(flatten)]
            task: Option<&'a Task>,
            #[serde(skip_serializing_if = "Option::is_none")]
            expects: Option<WholeExpects<'a>>,
        }
        let says = task.is_some() || expects.is_some();
        let expects = expects.map(|expects| WholeExpects {
            expects,
            checked: (!expects.checked).then_some(false),
        });
        let whole = || serde_json::to_string(&Whole { task, expects }).unwrap_or_default();
        // A schema as it was written may have several lines. Within a string there is none.
        says.then(|| whole().replace(['\n', '\r'], " "))
    }

    /// Reads a task as somebody gives it: a JSON object of `goal`, `state`, `ask` and `expects`, all of which may be absent, but
    /// not all at once.
    ///
    /// # Errors
    /// Names the member, its value, what is wrong and what to do.
    pub fn read_given(text: &str) -> Result<(Option<Self>, Option<Expects>), BadTask> {
        if text.len() > TASK_LIMIT {
            let problem = format!("has {} bytes, and {TASK_LIMIT} are the most", text.len());
            let fix = "put what is long into the payload, or let the first agent remember it";
            return Err(bad("", text, problem, fix));
        }
        let given: GivenTask =
            serde_json::from_str(text).map_err(|error| bad("", text, format!("is no task: {error}"), EXAMPLE))?;
        let words = [("goal", &given.goal), ("state", &given.state), ("ask", &given.ask)];
        if let Some((field, _)) = words
            .iter()
            .find(|(_, words)| words.as_ref().is_some_and(|words| words.trim().is_empty()))
        {
            return Err(bad(field, "", "is empty", "say it in words, or leave it out"));
        }
        let expects = given.expects.as_ref().map(|expects| Expects::read_given(expects.get()));
        let expects = expects.transpose()?;
        let says = words.iter().any(|(_, words)| words.is_some());
        if !says && expects.is_none() {
            return Err(bad("", text, "says nothing", EXAMPLE));
        }
        let task = says.then(|| Self {
            goal: given.goal,
            state: given.state,
            ask: given.ask,
            extra: Extra::new(),
        });
        Ok((task, expects))
    }
}

impl Expects {
    /// Reads what somebody expects: a JSON object of `format`, `schema`, `min_length`, `max_length`, `length`, `quality` and
    /// `checked`, which is true where it is not given.
    ///
    /// # Errors
    /// Names the member, its value, what is wrong and what to do.
    pub fn read_given(text: &str) -> Result<Self, BadTask> {
        let example = r#"give an object, such as {"format": "json", "min_length": 2, "max_length": 2000}"#;
        let given: GivenExpects = serde_json::from_str(text).map_err(|error| {
            bad(
                "expects",
                text,
                format!("is not what can be expected: {error}"),
                example,
            )
        })?;
        for (field, words) in [
            ("expects.format", &given.format),
            ("expects.length", &given.length),
            ("expects.quality", &given.quality),
        ] {
            let Some(words) = words else { continue };
            let problem = match words.trim().is_empty() {
                true => Some("is empty".to_owned()),
                false => line_problem(words, Line::Text, WORD_LIMIT),
            };
            if let Some(problem) = problem {
                let fix = format!("give one line of at most {WORD_LIMIT} bytes, or leave it out");
                return Err(bad(field, words, problem, fix));
            }
        }
        if let (Some(least), Some(most)) = (given.min_length, given.max_length)
            && least > most
        {
            let (value, problem) = (least.to_string(), format!("is above `max_length`, {most}"));
            return Err(bad("expects.min_length", &value, problem, "give at most that"));
        }
        if let Some(schema) = &given.schema
            && !(schema.get().starts_with('{') || matches!(schema.get(), "true" | "false"))
        {
            let fix = "give a JSON schema, such as {\"type\": \"object\"}";
            return Err(bad("expects.schema", schema.get(), "is no schema", fix));
        }
        let mut expects = Self {
            format: given.format,
            length: given.length,
            quality: given.quality,
            schema: given.schema,
            min_length: given.min_length,
            max_length: given.max_length,
            checked: false,
            extra: Extra::new(),
        };
        if expects == Self::default() {
            return Err(bad("expects", text, "says nothing", example));
        }
        expects.checked = given.checked.unwrap_or(true);
        Ok(expects)
    }

    /// Whether a result has the format and the length that are expected; the schema is not looked at, and neither is what nobody
    /// can count, such as `quality`. What is not to be checked is fine.
    ///
    /// # Errors
    /// Says what is expected, and what there is.
    pub fn check(&self, result: &Body) -> Result<(), String> {
        if !self.checked {
            return Ok(());
        }
        let is_bytes = result.encoding.is_some();
        let text = result.json.read::<String>().ok().filter(|_| !is_bytes);
        let first = result.json.get().chars().next().unwrap_or_default();
        let problem = match self.format.as_deref().map(Format::of) {
            Some(Format::Text) if is_bytes => Some("text is expected, and the result is bytes"),
            Some(Format::Text) if result.json.is_null() => Some("text is expected, and there is no result"),
            // A program that prints 42 means the text.
            Some(Format::Text) if matches!(first, '{' | '[') => Some("text is expected, and the result is JSON"),
            Some(Format::Json) if is_bytes => Some("JSON is expected, and the result is bytes"),
            Some(Format::Json) if text.is_some() && self.schema.is_none() => {
                Some("JSON is expected, and the result is text that is no JSON")
            }
            Some(Format::Text | Format::Json | Format::Other) | None => None,
        };
        if let Some(problem) = problem {
            return Err(problem.to_owned());
        }
        let (length, unit) = match (is_bytes, &text) {
            (true, _) => (
                Body::bytes(&result.json, result.encoding.as_deref()).map_or(0, |bytes| bytes.len()),
                "bytes",
            ),
            (false, text) => {
                let text = text.as_deref().map_or(Cow::Borrowed(result.json.get()), Cow::Borrowed);
                (text.chars().count(), "characters")
            }
        };
        match (self.min_length, self.max_length) {
            (Some(least), _) if (length as u64) < least => Err(format!(
                "at least {least} {unit} are expected, and the result has {length}"
            )),
            (_, Some(most)) if length as u64 > most => Err(format!(
                "at most {most} {unit} are expected, and the result has {length}"
            )),
            (_, _) => Ok(()),
        }
    }
}

/// What a format asks of a result.
enum Format {
    Text,
    Json,
    /// The name of a schema, or a media type that nobody here knows.
    Other,
}

impl Format {
    fn of(name: &str) -> Self {
        let media = name.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.as_str() {
            "text" => Self::Text,
            "json" | "application/json" => Self::Json,
            media if media.starts_with("text/") => Self::Text,
            media if media.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> Body {
        Json::parse(json).expect("JSON").into()
    }

    #[test]
    fn a_task_is_read_and_what_is_wrong_is_named() {
        let text = r#"{"goal":"ship it","ask":"test it","expects":{"format":"json","schema":{"type":"object"},"max_length":9}}"#;
        let (task, expects) = Task::read_given(text).expect("a task");
        assert_eq!(task.as_ref().expect("a task").ask.as_deref(), Some("test it"));
        assert_eq!(expects.as_ref().expect("expected").max_length, Some(9));
        let header = Task::header(task.as_ref(), expects.as_ref()).expect("a header");
        assert_eq!(Task::read_given(&header).expect("a task"), (task, expects));
        assert_eq!(Task::header(None, None), None);
        let unchecked = r#"{"ask":"test it","expects":{"format":"json","checked":false}}"#;
        let (task, expects) = Task::read_given(unchecked).expect("a task");
        assert_eq!(
            Task::header(task.as_ref(), expects.as_ref()).as_deref(),
            Some(unchecked)
        );
        for (text, field, says) in [
            ("", "", "is no task"),
            ("[]", "", "is no task"),
            ("{}", "", "says nothing"),
            (r#"{"gaol":"x"}"#, "", "gaol"),
            (r#"{"goal":" "}"#, "goal", "is empty"),
            (r#"{"goal":7}"#, "", "is no task"),
            (r#"{"expects":{}}"#, "expects", "says nothing"),
            (r#"{"expects":"json"}"#, "expects", "is not what can be expected"),
            (
                r#"{"expects":{"max_length":-1}}"#,
                "expects",
                "is not what can be expected",
            ),
            (r#"{"expects":{"format":""}}"#, "expects.format", "is empty"),
            (r#"{"expects":{"quality":"a\nb"}}"#, "expects.quality", ""),
            (r#"{"expects":{"schema":"x"}}"#, "expects.schema", "is no schema"),
            (
                r#"{"expects":{"min_length":3,"max_length":2}}"#,
                "expects.min_length",
                "is above",
            ),
        ] {
            let bad = Task::read_given(text).expect_err(text);
            assert_eq!(bad.field, field, "{text}: {bad}");
            assert!(bad.problem.contains(says), "{text}: {bad}");
        }
        let long = format!(r#"{{"goal":"{}"}}"#, "x".repeat(TASK_LIMIT));
        assert!(Task::read_given(&long).expect_err("long").problem.contains("bytes"));
    }

    #[test]
    fn a_result_is_what_was_expected_or_it_is_said_what_it_is_not() {
        let expects = |text: &str| Expects::read_given(text).expect("expected");
        for (expected, result, is_fine) in [
            (r#"{"format":"text"}"#, r#""ok""#, true),
            (r#"{"format":"text"}"#, "42", true),
            (r#"{"format":"text/plain; charset=utf-8"}"#, r#"{"a":1}"#, false),
            (r#"{"format":"text"}"#, "null", false),
            (r#"{"format":"json"}"#, r#"{"a":1}"#, true),
            (r#"{"format":"application/json"}"#, r#""no""#, false),
            (r#"{"format":"json","schema":{"type":"string"}}"#, r#""yes""#, true),
            (r#"{"format":"invoice.v1"}"#, r#""whatever""#, true),
            (r#"{"min_length":2,"max_length":3}"#, r#""öß""#, true),
            (r#"{"min_length":3}"#, r#""öß""#, false),
            (r#"{"max_length":1}"#, r#""öß""#, false),
            (r#"{"max_length":7}"#, r#"{"a":1}"#, true),
            (r#"{"max_length":6}"#, r#"{"a":1}"#, false),
            (r#"{"format":"text","checked":false}"#, r#"{"a":1}"#, true),
        ] {
            let checked = expects(expected).check(&body(result));
            assert_eq!(checked.is_ok(), is_fine, "{expected} {result}: {checked:?}");
        }
        let bytes = Body::of_bytes(&[0xff, 0xfe, 0xfd]);
        for (expected, is_fine) in [
            (r#"{"format":"text"}"#, false),
            (r#"{"format":"json"}"#, false),
            (r#"{"max_length":3}"#, true),
            (r#"{"min_length":4}"#, false),
        ] {
            assert_eq!(expects(expected).check(&bytes).is_ok(), is_fine, "{expected}");
        }
    }
}
