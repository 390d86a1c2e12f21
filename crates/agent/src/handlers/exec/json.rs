//! The JSON mode of `--exec`: what the program is told, and what it may answer.
//!
//! The program reads one object from stdin. It writes JSON lines: any number of `{"progress": "…"}` and
//! `{"step": "name", "result": …}`, recorded as they come, and at last one object with `outcome`. A step, and the outcome of a
//! hop that hands off, may name with `undo` what takes it back.
//!
//! In a replay it reads `"replay": true` as well, and must have no effects then: it takes what `steps` has. A step that
//! it writes all the same is told of as new, and recorded nowhere.

use std::collections::BTreeMap;

use baton_envelope::codes;
use baton_envelope::{Body, Budget, Expects, Json, Onward, Task, Undo, WaitResult, WaitSpec};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

use super::asked::{Asked, AskedCalls, FanOut};
use super::named::{AskedUndo, agent, body};
use super::objects::{Bad, Objects, Place};
use super::pipe::{Pipe, too_large};
use super::remembered::{AskedMemory, AskedView, ToldContext};
use super::spent::{AskedSpend, ToldSpend};
use crate::fault::Fault;
use crate::given::Context;
use crate::hop::Hop;
use crate::memory::Memory;
use crate::outcome::{Capability, Outcome};
use crate::spending::Amounts;

#[derive(Serialize)]
struct Told<'a> {
    intent: &'a str,
    hop: u32,
    attempt: u32,
    epoch: u64,
    idempotency_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a Task>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expects: Option<&'a Expects>,
    payload: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_encoding: Option<&'a str>,
    steps: &'a BTreeMap<String, Json>,
    waits: &'a BTreeMap<String, WaitResult>,
    /// What it is given of what the hops before it remember.
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<ToldContext<'a>>,
    /// What it may spend, where that is bounded.
    #[serde(skip_serializing_if = "Option::is_none")]
    spend: Option<ToldSpend>,
    /// In the newest form that the agent reads.
    envelope: Json,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replay: bool,
}

/// What the program reads from stdin.
pub(crate) fn input(hop: &Hop, context: Option<&Context>, budget: Option<&Budget>) -> String {
    let told = Told {
        intent: hop.intent().as_str(),
        hop: hop.number(),
        attempt: hop.attempt(),
        epoch: hop.epoch(),
        idempotency_key: hop.idempotency_key("exec"),
        task: hop.task(),
        expects: hop.expects(),
        payload: hop.payload(),
        payload_encoding: hop.envelope().payload_encoding.as_deref(),
        steps: hop.steps(),
        waits: hop.waits(),
        context: context.map(ToldContext::of),
        spend: budget.map(ToldSpend::of),
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
    result_encoding: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    capability: Option<Needed>,
    #[serde(default)]
    cost: Option<f64>,
    #[serde(default)]
    payload: Option<Json>,
    #[serde(default)]
    payload_encoding: Option<String>,
    /// Whom a fan-out asks.
    #[serde(default)]
    calls: Option<AskedCalls>,
    /// Where a broadcast goes.
    #[serde(default)]
    channel: Option<String>,
    /// Who gets it, in place of the subscribers.
    #[serde(default)]
    receivers: Option<Vec<String>>,
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
    /// What takes the step or the hop back.
    #[serde(default)]
    undo: Option<AskedUndo>,
    /// What it waits for: the hop is suspended when the program has ended.
    #[serde(default)]
    wait: Option<Asked>,
    #[serde(default)]
    wait_all: Option<Vec<Asked>>,
    #[serde(default)]
    wait_any: Option<Vec<Asked>>,
    /// How far it is.
    #[serde(default)]
    state: Option<Json>,
    /// What the agents after it are to know.
    #[serde(default)]
    remember: Option<AskedMemory>,
    /// What it has spent.
    #[serde(default)]
    spend: Option<AskedSpend>,
    /// What the receiver of a handoff is given of what is remembered.
    #[serde(default)]
    context: Option<AskedView>,
    /// What it is told of the task anew.
    #[serde(default)]
    task: Option<AskedTask>,
}

/// What a program tells of the task.
#[derive(Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "for `task` an object, such as {\"ask\": \"review it\"}"
)]
struct AskedTask {
    #[serde(default)]
    goal: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    ask: Option<String>,
}

impl AskedTask {
    fn task(self) -> Task {
        let Self { goal, state, ask } = self;
        Task {
            goal,
            state,
            ask,
            ..Task::default()
        }
    }
}

/// One capability, or a list of them that are all needed.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "for `capability` a name, or a list of names")]
enum Needed {
    One(String),
    All(Vec<String>),
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Complete,
    HandOff,
    Next,
    FanOut,
    Broadcast,
    Reject,
    Retry,
    Fail,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::HandOff => "hand_off",
            Self::Next => "next",
            Self::FanOut => "fan_out",
            Self::Broadcast => "broadcast",
            Self::Reject => "reject",
            Self::Retry => "retry",
            Self::Fail => "fail",
        }
    }

    fn has_no_view(self) -> String {
        format!(
            "an outcome \"{}\" has a `context` or a `task`: only \"hand_off\" and \"next\" have them, which say what the receiver is given",
            self.name()
        )
    }

    fn has_no_undo(self) -> String {
        format!(
            "an outcome \"{}\" has an `undo`: only \"hand_off\" and \"next\" have one, which goes with a handoff",
            self.name()
        )
    }
}

/// What one object of a program means.
enum Said {
    Outcome(Box<Answer>),
    FanOut(Box<FanOut>),
    Note(String),
    Step(String, Json, Option<Undo>),
    Wait(Vec<Asked>, bool),
    State(Json),
    Memory(Box<Memory>),
    Spend(Box<Amounts>),
}

/// The outcome that a program has named.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What the program says for people.
    pub(crate) message: Option<String>,
    /// What the hop came to; a fault is one that the program asked for.
    pub(crate) outcome: Result<Outcome, Fault>,
}

/// What a program writes, as objects with a meaning.
struct Answers {
    objects: Objects,
    most: usize,
}

impl Answers {
    /// Takes objects of at most so many bytes.
    fn new(most: usize) -> Self {
        let objects = Objects::new(most);
        Self { objects, most }
    }

    /// The next object in these bytes; `None` when all was read.
    fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Said>, Fault> {
        let Some(text) = self.objects.next(bytes).map_err(|bad| self.fault(bad))? else {
            return Ok(None);
        };
        let began = self.objects.began();
        let reply: Reply = serde_json::from_str(&text).map_err(|error| {
            let line = began.line + error.line().saturating_sub(1);
            let byte = match error.line() {
                1 => began.byte + error.column().saturating_sub(1),
                _ => error.column(),
            };
            let seen = text.chars().take(120).collect();
            // It ends with the place within the object.
            let problem = error.to_string();
            let problem = problem.split(" at line ").next().unwrap_or_default().to_owned();
            self.fault(Bad::Syntax {
                at: Place { line, byte },
                problem,
                seen,
            })
        })?;
        reply.said().map(Some).map_err(|problem| {
            let seen = text.chars().take(120).collect();
            self.fault(Bad::Syntax {
                at: began,
                problem,
                seen,
            })
        })
    }

    fn finish(&self) -> Result<(), Fault> {
        self.objects.finish().map_err(|bad| self.fault(bad))
    }

    fn fault(&self, bad: Bad) -> Fault {
        match bad {
            Bad::TooLarge(_) => too_large("outcome object", self.most),
            Bad::Syntax { at, problem, seen } => {
                let Place { line, byte } = at;
                let mut message = format!(
                    "the program wrote something that is not an outcome object: line {line}, byte {byte}: {problem}"
                );
                if !seen.is_empty() {
                    message.push_str(&format!("; the object starts with {seen:?}"));
                }
                Fault::retry(message).with_code(codes::BAD_OUTCOME)
            }
        }
    }
}

impl Reply {
    fn said(mut self) -> Result<Said, String> {
        let asked = match (self.wait.take(), self.wait_all.take(), self.wait_any.take()) {
            (Some(one), None, None) => Some((vec![one], false)),
            (None, Some(all), None) => Some((all, false)),
            (None, None, Some(any)) => Some((any, true)),
            (None, None, None) => None,
            (_, _, _) => return Err("an object has one of `wait`, `wait_all` and `wait_any`".to_owned()),
        };
        if let Some((asked, any)) = asked {
            if asked.is_empty() {
                let field = if any { "wait_any" } else { "wait_all" };
                return Err(format!("`{field}` is empty: name what the hop waits for"));
            }
            asked.iter().try_for_each(Asked::check)?;
            return match self.outcome {
                None => Ok(Said::Wait(asked, any)),
                Some(_) => Err("an object has an outcome or a wait, and not both".to_owned()),
            };
        }
        if let Some(memory) = self.remember.take() {
            return match (self.outcome, &self.progress, &self.step) {
                (None, None, None) => Ok(Said::Memory(Box::new(memory.memory()?))),
                (_, _, _) => {
                    Err("an object has `remember`, an outcome, a step or a note, and not two of them".to_owned())
                }
            };
        }
        if let Some(spend) = self.spend.take() {
            return match (self.outcome, &self.progress, &self.step) {
                (None, None, None) => Ok(Said::Spend(Box::new(spend.amounts()))),
                (_, _, _) => Err("an object has `spend`, an outcome, a step or a note, and not two of them".to_owned()),
            };
        }
        if let (None, None, None, Some(state)) = (self.outcome, &self.progress, &self.step, &self.state) {
            return Ok(Said::State(state.clone()));
        }
        match (self.outcome, &self.progress, &self.step) {
            (Some(Kind::FanOut), _, _) => Ok(Said::FanOut(Box::new(self.fan_out()?))),
            (Some(kind), _, _) => Ok(Said::Outcome(Box::new(Answer {
                message: self.message.clone().or_else(|| self.reason.clone()),
                outcome: self.outcome(kind)?,
            }))),
            (None, Some(note), _) => Ok(Said::Note(note.clone())),
            (None, None, Some(name)) => {
                let undo = self.undo.map(AskedUndo::undo).transpose()?;
                Ok(Said::Step(name.clone(), self.result.unwrap_or_default(), undo))
            }
            (None, None, None) => {
                Err("an object needs `outcome`, `progress`, `remember`, `spend`, `state`, `step` or `wait`".to_owned())
            }
        }
    }

    /// Whom the object asks, and where what they come to goes.
    fn fan_out(self) -> Result<FanOut, String> {
        if self.undo.is_some() {
            return Err(Kind::FanOut.has_no_undo());
        }
        let calls = self.calls.ok_or("an outcome \"fan_out\" needs `calls`")?;
        let onward = Onward {
            to: self.to.map(|to| agent(&to)).transpose()?,
            kind: self.kind,
            ..Onward::new()
        };
        Ok(FanOut {
            calls: calls.into(),
            onward,
            note: self.note,
            cost: self.cost,
        })
    }

    /// The outcome that the object means; fails when it means none.
    fn outcome(mut self, kind: Kind) -> Result<Result<Outcome, Fault>, String> {
        let undo = self.undo.take().map(AskedUndo::undo).transpose()?.map(Box::new);
        if undo.is_some() && !matches!(kind, Kind::HandOff | Kind::Next) {
            return Err(kind.has_no_undo());
        }
        let view = self.context.take().map(AskedView::view);
        let task = self.task.take().map(AskedTask::task);
        if (view.is_some() || task.is_some()) && !matches!(kind, Kind::HandOff | Kind::Next) {
            return Err(kind.has_no_view());
        }
        let missing = |field: &str| format!("an outcome \"{}\" needs `{field}`", kind.name());
        let text = self.message.clone().or_else(|| self.reason.clone()).unwrap_or_default();
        let outcome = match kind {
            Kind::Complete => {
                let result = body("result", self.result, self.result_encoding)?;
                Outcome::complete_body(result)
            }
            Kind::HandOff => {
                let Body {
                    json: payload,
                    encoding,
                } = body("payload", self.payload, self.payload_encoding)?;
                let outcome = match (self.to, self.capability) {
                    (Some(to), None) => Outcome::hand_off(&to, &payload),
                    (None, Some(Needed::One(name))) => Outcome::hand_off_to(&*name, &payload),
                    (None, Some(Needed::All(names))) => Outcome::hand_off_to(Capability(names), &payload),
                    (Some(_), Some(_)) => return Err("the outcome object has both `to` and `capability`".to_owned()),
                    (None, None) => return Err(missing("to")),
                };
                match outcome {
                    Ok(outcome) => outcome.encoded(encoding),
                    // A name that no attempt will mend.
                    Err(fault) => return Ok(Err(fault)),
                }
            }
            Kind::Next => Outcome::next_body(body("payload", self.payload, self.payload_encoding)?),
            Kind::FanOut => return Err(missing("calls")),
            Kind::Broadcast => {
                let channel = self.channel.ok_or_else(|| missing("channel"))?;
                let payload = body("payload", self.payload, self.payload_encoding)?;
                let outcome = Outcome::broadcast_body(&channel, payload);
                let named = |outcome: Outcome| match &self.receivers {
                    Some(agents) => outcome.to_receivers(agents.iter().map(String::as_str)),
                    None => Ok(outcome),
                };
                // Names that no attempt will mend.
                match outcome.and_then(named) {
                    Ok(outcome) => outcome,
                    Err(fault) => return Ok(Err(fault)),
                }
            }
            Kind::Reject => Outcome::reject(self.code.ok_or_else(|| missing("code"))?, text),
            Kind::Retry => {
                let code = self.code.unwrap_or_else(|| codes::RETRY.into());
                return Ok(Err(Fault::retry(text).with_code(code)));
            }
            Kind::Fail => return Ok(Err(Fault::terminal(self.code.ok_or_else(|| missing("code"))?, text))),
        };
        let outcome = Outcome { undo, ..outcome };
        let outcome = match view {
            Some(view) => outcome.with_context(view),
            None => outcome,
        };
        let outcome = match task {
            Some(task) => outcome.with_task(task),
            None => outcome,
        };
        let outcome = match self.kind {
            Some(kind) => outcome.with_kind(kind),
            None => outcome,
        };
        let outcome = match self.cost {
            Some(cost) => outcome.with_cost(cost),
            None => outcome,
        };
        Ok(Ok(match self.note {
            Some(note) => outcome.with_note(note),
            None => outcome,
        }))
    }
}

/// Reads what the program writes, records steps and notes, and returns the last outcome. Fails at the first byte that
/// makes a good outcome impossible.
pub(crate) async fn listen<R: AsyncRead + Unpin>(hop: &mut Hop, mut stdout: Pipe<R>) -> Result<Option<Answer>, Fault> {
    let mut answers = Answers::new(hop.largest);
    let mut found = None;
    let mut bytes = Vec::new();
    while stdout.read(&mut bytes).await? {
        let mut rest = &*bytes;
        while let Some(said) = answers.next(&mut rest)? {
            match said {
                Said::Outcome(answer) => found = Some(*answer),
                Said::FanOut(fan_out) => {
                    let outcome = fan_out.outcome(hop.now());
                    found = Some(Answer { message: None, outcome });
                }
                Said::Note(note) => hop.progress(&note).await?,
                Said::Step(name, ..) if hop.steps().contains_key(&name) => {}
                Said::Step(name, result, undo) => {
                    hop.has_room(1)?;
                    if let Some(undo) = &undo {
                        hop.check_undo(undo).await?;
                    }
                    hop.visible().await?;
                    hop.record_step(&name, result, undo).await?;
                }
                Said::State(state) => hop.publish_state(&state).await?,
                Said::Memory(memory) => hop.remember(*memory).await?,
                Said::Spend(spend) => hop.has_spent(*spend).await?,
                Said::Wait(asked, any) => found = Some(waiting(hop, asked, any).await?),
            }
        }
        bytes.clear();
    }
    answers.finish()?;
    Ok(found)
}

/// What a program comes to that asks for waits: the suspension. One whose result it has been told of it must not ask for.
async fn waiting(hop: &mut Hop, asked: Vec<Asked>, any: bool) -> Result<Answer, Fault> {
    let bad = |problem: String| Fault::terminal(codes::BAD_WAIT, problem);
    let now = hop.now();
    let specs: Result<Vec<WaitSpec>, String> = asked.into_iter().map(|asked| asked.spec(any, now)).collect();
    let mut specs = specs.map_err(bad)?;
    for spec in &mut specs {
        if let Some(approval) = spec.approval.take() {
            let fixed = hop.fix(&spec.name, approval).await?;
            *spec = WaitSpec { any, ..fixed };
        }
    }
    let names: Vec<String> = specs.iter().map(|spec| format!("\"{}\"", spec.name)).collect();
    let outcome = match hop.ask(specs).await {
        Ok(_) => Err(bad(format!(
            "{} has a result already: the program finds it in `waits`",
            names.join(", ")
        ))),
        Err(fault) => Err(fault),
    };
    // It counts when the program has ended well.
    hop.suspended = None;
    Ok(Answer { message: None, outcome })
}

/// The outcome of all that a program wrote, steps and notes left out; `None` when it named none.
///
/// # Errors
/// When it is no outcome, or one that fails the hop.
#[doc(hidden)]
pub fn read_outcome(written: &str) -> Result<Option<Outcome>, Fault> {
    let mut answers = Answers::new(usize::MAX);
    let mut found = None;
    let mut rest = written.as_bytes();
    while let Some(said) = answers.next(&mut rest)? {
        match said {
            Said::Outcome(answer) => found = Some(answer.outcome),
            Said::FanOut(fan_out) => found = Some(fan_out.outcome(baton_envelope::Timestamp::default())),
            Said::Note(_) | Said::Step(..) | Said::Wait(..) | Said::State(_) | Said::Memory(_) | Said::Spend(_) => {}
        }
    }
    answers.finish()?;
    found.transpose()
}
