//! The JSON mode of `--exec`: what the program is told, and what it may answer.
//!
//! The program reads one object from stdin. It writes JSON lines: any number of `{"progress": "…"}` and
//! `{"step": "name", "result": …}`, recorded as they come, and at last one object with `outcome`.
//!
//! In a replay it reads `"replay": true` as well, and must have no effects then: it takes what `steps` has. A step that
//! it writes all the same is told of as new, and recorded nowhere.

use std::collections::BTreeMap;

use baton_envelope::Json;
use baton_envelope::codes;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use crate::fault::Fault;
use crate::hop::Hop;
use crate::outcome::{Capability, Outcome};

#[derive(Serialize)]
struct Told<'a> {
    intent: &'a str,
    hop: u32,
    attempt: u32,
    epoch: u64,
    idempotency_key: String,
    payload: &'a Json,
    steps: &'a BTreeMap<String, Json>,
    /// In the newest form that the agent reads.
    envelope: Json,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replay: bool,
}

/// What the program reads from stdin.
pub(crate) fn input(hop: &Hop) -> String {
    let told = Told {
        intent: hop.intent().as_str(),
        hop: hop.number(),
        attempt: hop.attempt(),
        epoch: hop.epoch(),
        idempotency_key: hop.idempotency_key("exec"),
        payload: hop.payload(),
        steps: hop.steps(),
        envelope: hop.document(),
        replay: hop.is_replay(),
    };
    let mut text = serde_json::to_string(&told).unwrap_or_default();
    text.push('\n');
    text
}

/// One object that a program writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reply {
    #[serde(default)]
    outcome: Option<Kind>,
    #[serde(default)]
    result: Option<Json>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    capability: Option<Needed>,
    #[serde(default)]
    cost: Option<f64>,
    #[serde(default)]
    payload: Option<Json>,
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    note: Option<String>,
    #[serde(default)]
    progress: Option<String>,
    #[serde(default)]
    step: Option<String>,
}

/// One capability, or a list of them that are all needed.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Needed {
    One(String),
    All(Vec<String>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Complete,
    HandOff,
    Reject,
    Retry,
    Fail,
}

/// Joins the lines that a program writes to objects: one object may span lines.
#[derive(Debug, Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// The object that ends with this line, if one does.
    fn push(&mut self, line: &str) -> Result<Option<Reply>, Fault> {
        if line.trim().is_empty() && self.text.is_empty() {
            return Ok(None);
        }
        self.text.push_str(line);
        self.text.push('\n');
        match serde_json::from_str(&self.text) {
            Ok(reply) => {
                self.text.clear();
                Ok(Some(reply))
            }
            // An unfinished one waits for the next line.
            Err(error) if error.is_eof() => Ok(None),
            Err(error) => Err(bad(&self.text, &error)),
        }
    }

    /// Fails when the last object is unfinished.
    fn finish(self) -> Result<(), Fault> {
        match serde_json::from_str::<serde::de::IgnoredAny>(&self.text) {
            Err(error) if !self.text.trim().is_empty() => Err(bad(&self.text, &error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// What one object of a program means.
enum Said {
    Outcome(Box<Reply>),
    Note(String),
    Step(String, Json),
}

impl Reply {
    fn said(self) -> Result<Said, Fault> {
        match (self.outcome, &self.progress, &self.step) {
            (Some(_), _, _) => Ok(Said::Outcome(Box::new(self))),
            (None, Some(note), _) => Ok(Said::Note(note.clone())),
            (None, None, Some(name)) => Ok(Said::Step(name.clone(), self.result.unwrap_or_default())),
            (None, None, None) => {
                let problem = "an object needs `outcome`, `progress` or `step`";
                Err(Fault::retry(problem).with_code(codes::BAD_OUTCOME))
            }
        }
    }
}

/// Reads what the program writes, records steps and notes, and returns the object with the outcome.
pub(crate) async fn listen(hop: &mut Hop, stdout: impl AsyncRead + Unpin) -> Result<Option<Reply>, Fault> {
    let mut written = BufReader::new(stdout).lines();
    let mut lines = Lines::default();
    let mut found = None;
    while let Some(line) = written.next_line().await? {
        let Some(reply) = lines.push(&line)? else { continue };
        match reply.said()? {
            Said::Outcome(reply) => found = Some(*reply),
            Said::Note(note) => hop.progress(&note).await?,
            Said::Step(name, _) if hop.steps().contains_key(&name) => {}
            Said::Step(name, result) => {
                hop.visible().await?;
                hop.record_step(&name, result).await?;
            }
        }
    }
    lines.finish()?;
    Ok(found)
}

/// The outcome of all that a program wrote, steps and notes left out; `None` when it named none.
///
/// # Errors
/// When it is no outcome, or one that fails the hop.
#[doc(hidden)]
pub fn read_outcome(written: &str) -> Result<Option<Outcome>, Fault> {
    let mut lines = Lines::default();
    let mut found = None;
    for line in written.lines() {
        let Some(reply) = lines.push(line)? else { continue };
        if let Said::Outcome(reply) = reply.said()? {
            found = Some(*reply);
        }
    }
    lines.finish()?;
    found.map(Reply::outcome).transpose()
}

fn bad(text: &str, error: &serde_json::Error) -> Fault {
    let start: String = text.chars().take(120).collect();
    Fault::retry(format!(
        "the program wrote what is no outcome object: {error}; it starts with {start:?}"
    ))
    .with_code(codes::BAD_OUTCOME)
}

impl Reply {
    /// What the program says for people.
    pub(crate) fn message(&self) -> Option<&str> {
        self.message.as_deref().or(self.reason.as_deref())
    }

    /// The outcome that the object means.
    pub(crate) fn outcome(self) -> Result<Outcome, Fault> {
        let missing =
            |field: &str| Fault::retry(format!("the outcome object has no `{field}`")).with_code(codes::BAD_OUTCOME);
        let text = self.message.clone().or_else(|| self.reason.clone()).unwrap_or_default();
        let outcome = match self.outcome {
            Some(Kind::Complete) => Outcome::complete(&self.result.unwrap_or_default())?,
            Some(Kind::HandOff) => {
                let payload = self.payload.unwrap_or_default();
                let outcome = match (self.to, self.capability) {
                    (Some(to), None) => Outcome::hand_off(&to, &payload)?,
                    (None, Some(Needed::One(name))) => Outcome::hand_off_to(&*name, &payload)?,
                    (None, Some(Needed::All(names))) => Outcome::hand_off_to(Capability(names), &payload)?,
                    (Some(_), Some(_)) => {
                        let problem = "the outcome object has both `to` and `capability`";
                        return Err(Fault::retry(problem).with_code(codes::BAD_OUTCOME));
                    }
                    (None, None) => return Err(missing("to")),
                };
                match self.kind {
                    Some(kind) => outcome.with_kind(kind),
                    None => outcome,
                }
            }
            Some(Kind::Reject) => Outcome::reject(self.code.ok_or_else(|| missing("code"))?, text),
            Some(Kind::Retry) => {
                return Err(Fault::retry(text).with_code(self.code.unwrap_or_else(|| codes::RETRY.into())));
            }
            Some(Kind::Fail) => return Err(Fault::terminal(self.code.ok_or_else(|| missing("code"))?, text)),
            None => return Err(missing("outcome")),
        };
        let outcome = match self.cost {
            Some(cost) => outcome.with_cost(cost),
            None => outcome,
        };
        Ok(match self.note {
            Some(note) => outcome.with_note(note),
            None => outcome,
        })
    }
}
