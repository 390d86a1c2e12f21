//! The texts of an envelope that travel in headers, in subjects and in the environment of programs: one validator for
//! every way in.

use crate::base::names::Namespace;
use crate::base::text::{Line, line_problem, quoted};
use crate::message::envelope::Envelope;

/// The longest kind of work, in bytes.
pub(crate) const KIND_LIMIT: usize = 256;
/// The longest name of who made an envelope, in bytes.
pub(crate) const FROM_LIMIT: usize = 256;
/// The longest trace context, in bytes.
pub(crate) const TRACEPARENT_LIMIT: usize = 512;
/// The longest order key, in bytes.
pub(crate) const ORDER_KEY_LIMIT: usize = 256;
/// The longest subject that an answer is published on, in bytes.
pub(crate) const REPLY_TO_LIMIT: usize = 512;
/// How many characters of a value are quoted.
const QUOTED: usize = 80;

/// A text that is refused: which, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` \"{value}\" {problem}; {fix}")]
pub struct BadText {
    /// The field of the envelope.
    pub field: &'static str,
    /// Its value, shortened, with what cannot be printed escaped.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl BadText {
    fn new(field: &'static str, value: &str, problem: String, fix: impl Into<String>) -> Self {
        Self {
            field,
            value: quoted(value, QUOTED),
            problem,
            fix: fix.into(),
        }
    }
}

/// Checks the kind of a piece of work.
///
/// # Errors
/// When it is too long or holds control characters.
pub fn check_kind(kind: &str) -> Result<(), BadText> {
    checked("kind", kind, Line::Text, KIND_LIMIT)
}

/// Checks the name of who made a piece of work.
///
/// # Errors
/// When it is too long or holds control characters.
pub fn check_from(from: &str) -> Result<(), BadText> {
    checked("from", from, Line::Text, FROM_LIMIT)
}

/// Checks the key in whose order an agent gets work.
///
/// # Errors
/// When it is empty, too long or holds control characters.
pub fn check_order_key(key: &str) -> Result<(), BadText> {
    if key.is_empty() {
        let fix = format!("give one line of characters, 1 to {ORDER_KEY_LIMIT} bytes, or leave it out");
        return Err(BadText::new("order_key", key, "is empty".to_owned(), fix));
    }
    checked("order_key", key, Line::Text, ORDER_KEY_LIMIT)
}

/// Checks a trace context. What it means is left to those who trace.
///
/// # Errors
/// When it is too long or holds more than printable ASCII.
pub(crate) fn check_traceparent(traceparent: &str) -> Result<(), BadText> {
    checked("traceparent", traceparent, Line::Ascii, TRACEPARENT_LIMIT)
}

/// Checks the form of a subject that an answer is published on.
///
/// # Errors
/// When nobody could publish there.
pub(crate) fn check_reply_to(reply_to: &str) -> Result<(), BadText> {
    let bad = |problem: String| {
        let fix = "name one subject of your own, such as clients.7.answers";
        Err(BadText::new("reply_to", reply_to, problem, fix))
    };
    if let Some(problem) = line_problem(reply_to, Line::Text, REPLY_TO_LIMIT) {
        return bad(problem);
    }
    if reply_to.split('.').any(str::is_empty) {
        return bad("has an empty part".to_owned());
    }
    if let Some(c) = reply_to.chars().find(|c| c.is_whitespace() || "*>".contains(*c)) {
        return bad(format!("holds '{c}', which no subject of a message may"));
    }
    if reply_to.starts_with('$') {
        return bad("is a subject of the server".to_owned());
    }
    Ok(())
}

/// Checks that an answer may be published on a subject: whoever submits names it, and a worker or a controller publishes
/// there with its own permissions, so it must reach neither the mesh nor the server.
///
/// # Errors
/// When it has no form of a subject, or belongs to the mesh.
pub fn check_answer(reply_to: &str, namespace: &Namespace) -> Result<(), BadText> {
    check_reply_to(reply_to)?;
    let is_own = reply_to
        .strip_prefix(namespace.as_str())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if is_own {
        let problem = format!("belongs to the mesh: {namespace} is its namespace");
        let fix = "name one subject of your own, such as clients.7.answers";
        return Err(BadText::new("reply_to", reply_to, problem, fix));
    }
    Ok(())
}

/// Checks that whoever asks may be told there: `reply.<account>.` is heard by that account alone.
///
/// # Errors
/// When the subject is the one of another account.
pub fn check_own_answer(reply_to: &str, account: &str) -> Result<(), BadText> {
    let owner = reply_to
        .strip_prefix("reply.")
        .map(|rest| rest.split('.').next().unwrap_or_default());
    match owner {
        Some(owner) if owner != account => {
            let problem = format!("is for {owner} to hear, and this came from {account}");
            Err(BadText::new(
                "reply_to",
                reply_to,
                problem,
                format!("name a subject below reply.{account}"),
            ))
        }
        Some(_) | None => Ok(()),
    }
}

fn checked(field: &'static str, value: &str, line: Line, limit: usize) -> Result<(), BadText> {
    match line_problem(value, line, limit) {
        None => Ok(()),
        Some(problem) => {
            let what = match line {
                Line::Text => "characters",
                Line::Ascii => "printable ASCII",
            };
            let fix = format!("give one line of {what}, at most {limit} bytes, or leave it out");
            Err(BadText::new(field, value, problem, fix))
        }
    }
}

impl Envelope {
    /// Checks the texts that travel further than in JSON: `kind`, `from`, `traceparent`, `order_key` and the form of
    /// `reply_to`.
    ///
    /// # Errors
    /// Names the first that is refused.
    pub fn check_texts(&self) -> Result<(), BadText> {
        self.kind.as_deref().map_or(Ok(()), check_kind)?;
        let from = self.from.as_deref();
        from.map_or(Ok(()), |from| checked("from", from, Line::Text, FROM_LIMIT))?;
        self.traceparent.as_deref().map_or(Ok(()), check_traceparent)?;
        self.order_key.as_deref().map_or(Ok(()), check_order_key)?;
        self.reply_to.as_deref().map_or(Ok(()), check_reply_to)
    }

    /// Checks the reference to the payload, where there is one.
    ///
    /// # Errors
    /// When there is a payload beside it, or it names no object.
    pub fn check_payload_ref(&self) -> Result<(), BadText> {
        let Some(payload_ref) = &self.payload_ref else {
            return Ok(());
        };
        let bad =
            |problem: String, fix: &str| Err(BadText::new("payload_ref", payload_ref.hash.as_str(), problem, fix));
        if !self.payload.is_null() || self.payload_encoding.is_some() {
            return bad("stands beside a payload".to_owned(), "give one of the two");
        }
        match payload_ref.token() {
            Ok(_) => Ok(()),
            Err(problem) => bad(problem, "give the reference as `baton context put` has printed it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_has_no_control_characters() {
        assert_eq!(check_kind("Rechnung prüfen, Teil 2"), Ok(()));
        assert_eq!(check_traceparent("00-aa-bb-01"), Ok(()));
        for bad in ["a\0b", "a\nb", "a\u{85}b", "\u{7f}", &"k".repeat(KIND_LIMIT + 1)] {
            let error = check_kind(bad).expect_err(bad);
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
        let error = check_kind("a\0b").expect_err("a control character");
        assert_eq!(
            error.to_string(),
            "`kind` \"a\\u{0}b\" holds the control character U+0000; give one line of characters, at most 256 bytes, or \
             leave it out"
        );
        assert!(check_traceparent("00-é").is_err());
    }

    #[test]
    fn an_answer_goes_to_one_subject_outside_of_the_mesh_and_the_server() {
        let mesh = Namespace::default();
        for good in ["clients.7.answers", "_INBOX.a.b", "meshed.x", "a"] {
            assert_eq!(check_answer(good, &mesh), Ok(()), "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "a.*",
            ">",
            "a b",
            "$JS.API.x",
            "mesh",
            "mesh.x",
            "a\r\nb",
            &"x".repeat(513),
        ] {
            assert!(check_answer(bad, &mesh).is_err(), "{bad}");
        }
    }
}
