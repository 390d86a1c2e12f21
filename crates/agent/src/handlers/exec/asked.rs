//! What a program asks for that does not end its hop: waits, and other agents.

use baton_envelope::codes;
use baton_envelope::people::Approval;
use baton_envelope::{Child, Children, JoinRule, OnTimeout, Onward, Timestamp, WaitKind, WaitSpec, quoted};
use serde::Deserialize;

use super::named::{AskedChild, agent};
use crate::fault::Fault;
use crate::outcome::Outcome;

/// The name of the call of a fan-out that has none.
const FAN_OUT: &str = "fan-out";
/// How many characters of a value a message shows.
const SHOWN: usize = 80;

/// A wait that a program asks for.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "for a wait an object, such as {\"name\": \"paid\"}"
)]
pub(super) struct Asked {
    pub(super) name: String,
    #[serde(default)]
    kind: Option<String>,
    /// A time, or a duration such as `24h`.
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    then: Option<String>,
    #[serde(default)]
    title: Option<String>,
    /// What people are asked, for `approval`.
    #[serde(default)]
    approval: Option<Approval>,
    /// What other agents are asked.
    #[serde(default)]
    children: Option<Vec<AskedChild>>,
    /// The agent of the children that name none.
    #[serde(default)]
    to: Option<String>,
    /// When the hop goes on: `collect`, `all`, `any` or `some`.
    #[serde(default)]
    join: Option<JoinRule>,
    /// How many must complete, for `some`.
    #[serde(default)]
    need: Option<u32>,
    /// Whether children that are open then are left alone.
    #[serde(default)]
    detach: bool,
}

/// Whom a program asks that does not come back.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "for `calls` an object, such as {\"to\": \"searcher\", \"children\": []}"
)]
pub(super) struct AskedCalls {
    #[serde(default)]
    name: Option<String>,
    children: Vec<AskedChild>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    join: Option<JoinRule>,
    #[serde(default)]
    need: Option<u32>,
    #[serde(default)]
    detach: bool,
    #[serde(default)]
    until: Option<String>,
    #[serde(default)]
    then: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

impl From<AskedCalls> for Asked {
    fn from(calls: AskedCalls) -> Self {
        Self {
            name: calls.name.unwrap_or_else(|| FAN_OUT.to_owned()),
            kind: None,
            until: calls.until,
            then: calls.then,
            title: calls.title,
            approval: None,
            children: Some(calls.children),
            to: calls.to,
            join: calls.join,
            need: calls.need,
            detach: calls.detach,
        }
    }
}

/// A fan-out: whom it asks, and where what they come to goes.
pub(super) struct FanOut {
    pub(super) calls: Asked,
    pub(super) onward: Onward,
    pub(super) note: Option<String>,
    pub(super) cost: Option<f64>,
}

impl FanOut {
    pub(super) fn outcome(self, now: Timestamp) -> Result<Outcome, Fault> {
        let spec = self.calls.spec(false, now);
        let mut spec = spec.map_err(|problem| Fault::terminal(codes::BAD_WAIT, problem))?;
        spec.onward = Some(Box::new(self.onward));
        let mut outcome = Outcome::of_fan_out(spec);
        (outcome.note, outcome.cost) = (self.note, self.cost);
        Ok(outcome)
    }
}

impl Asked {
    /// Checks what a program may have misspelled. On the wire a field that this version does not know is kept; of a program it
    /// is a mistake, which would change who is asked.
    pub(super) fn check(&self) -> Result<(), String> {
        let Some(approval) = &self.approval else { return Ok(()) };
        let name = quoted(&self.name, SHOWN);
        if self.kind.as_deref().is_some_and(|kind| kind != "approval") {
            return Err(format!(
                "wait \"{name}\": `approval` goes with kind \"approval\" alone: leave `kind` out"
            ));
        }
        let within = [
            (
                "approval",
                Some(&approval.extra),
                "title, text, preset, choices, form, who, quorum, four_eyes, remind_ms, escalate, due_ms, default",
            ),
            (
                "approval.escalate",
                approval.escalate.as_ref().map(|escalate| &escalate.extra),
                "after_ms, to",
            ),
        ];
        let choices = approval.choices.iter();
        let choices = choices.map(|choice| ("approval.choices", Some(&choice.extra), "name, counts, title"));
        for (object, extra, fields) in within.into_iter().chain(choices) {
            if let Some(unknown) = extra.and_then(|extra| extra.keys().next()) {
                return Err(format!(
                    "wait \"{name}\": `{object}` has no field `{}`; it has {fields}",
                    quoted(unknown, SHOWN)
                ));
            }
        }
        match approval.barred.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "wait \"{name}\": `approval.barred` is written by Baton: give `four_eyes`"
            )),
        }
    }

    pub(super) fn spec(self, any: bool, now: Timestamp) -> Result<WaitSpec, String> {
        let kind = match self.kind.as_deref() {
            Some("approval") => WaitKind::Approval,
            Some("children") => WaitKind::Children,
            None if self.approval.is_some() => WaitKind::Approval,
            None if self.children.is_some() => WaitKind::Children,
            None | Some("signal") => WaitKind::Signal,
            Some("callback") => WaitKind::Callback,
            Some("sleep") => WaitKind::Sleep,
            Some(other) => {
                let name = quoted(&self.name, SHOWN);
                return Err(format!(
                    "wait \"{name}\": kind \"{}\" is none of signal, approval, callback, sleep, children",
                    quoted(other, SHOWN)
                ));
            }
        };
        let then = match self.then.as_deref() {
            None | Some("give") => OnTimeout::Give,
            Some("park") => OnTimeout::Park,
            Some("fail") => OnTimeout::Fail,
            Some(other) => {
                return Err(format!(
                    "wait \"{}\": then \"{}\" is none of give, park, fail",
                    quoted(&self.name, SHOWN),
                    quoted(other, SHOWN)
                ));
            }
        };
        let after = match &self.until {
            None => None,
            Some(text) => {
                let until = Timestamp::parse_or_after(text.trim(), now).map_err(|problem| {
                    let (name, text) = (quoted(&self.name, SHOWN), quoted(text, SHOWN));
                    format!("wait \"{name}\": until \"{text}\": {problem}")
                })?;
                Some(u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX))
            }
        };
        if kind == WaitKind::Children {
            let children = self.children.unwrap_or_default().into_iter().map(AskedChild::child);
            let children: Result<Vec<Child>, String> = children.collect();
            let mut children = Children::new(children?, self.join.unwrap_or_default());
            children.to = self.to.map(|to| agent(&to)).transpose()?;
            (children.need, children.detach) = (self.need, self.detach);
            return Ok(WaitSpec {
                after_ms: after,
                then,
                any,
                title: self.title,
                ..WaitSpec::for_children(self.name, children)
            });
        }
        if kind == WaitKind::Approval {
            let mut approval = self.approval.unwrap_or_default();
            approval.due_ms = after.or(approval.due_ms);
            approval.title = approval.title.or(self.title);
            let spec = WaitSpec::for_people(self.name, approval);
            return Ok(WaitSpec { then, any, ..spec });
        }
        Ok(WaitSpec {
            after_ms: after,
            then,
            any,
            title: self.title,
            ..WaitSpec::new(self.name, kind)
        })
    }
}
