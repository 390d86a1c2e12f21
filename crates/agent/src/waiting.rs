//! Waiting in a hop: what a handler asks for, and what it gets.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{
    AskedWaits, Body, Json, OnTimeout, Timestamp, WaitKind, WaitOutcome, WaitResult, WaitSpec, check_room,
    compare_waits,
};
use serde::de::DeserializeOwned;

use crate::fault::Fault;
use crate::hop::{Hop, Journal};

/// Something that a hop waits for, without a process, a slot or a delivery being held: for a second, or for a year.
///
/// The name is unique within the hop, also among the names of steps.
#[derive(Debug, Clone)]
pub struct Wait {
    pub(crate) spec: WaitSpec,
}

/// The result of a wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Waited {
    result: WaitResult,
}

impl Wait {
    /// Waits for a signal of this name: `baton signal INTENT NAME DATA`.
    pub fn signal(name: impl Into<String>) -> Self {
        Self {
            spec: WaitSpec::new(name, WaitKind::Signal),
        }
    }

    /// Waits for one message of an outside system, to which the handler gives [`Hop::callback_subject`] before.
    pub fn callback(name: impl Into<String>) -> Self {
        Self {
            spec: WaitSpec::new(name, WaitKind::Callback),
        }
    }

    /// Waits for a time to pass.
    pub fn sleep(name: impl Into<String>, time: Duration) -> Self {
        let spec = WaitSpec::new(name, WaitKind::Sleep);
        Self { spec }.within(time)
    }

    /// Waits no longer than this, counted from the moment at which the server stores that it waits. Without more the handler
    /// then goes on, and finds [`Waited::is_timed_out`].
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.spec.after_ms = Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// Waits until this time at the latest.
    #[must_use]
    pub fn until(self, hop: &Hop, time: Timestamp) -> Self {
        self.within(time.since(hop.now()))
    }

    /// When the time is over, the intent is parked for a person.
    #[must_use]
    pub fn or_park(mut self) -> Self {
        self.spec.then = OnTimeout::Park;
        self
    }

    /// When the time is over, the intent fails.
    #[must_use]
    pub fn or_fail(mut self) -> Self {
        self.spec.then = OnTimeout::Fail;
        self
    }

    /// Says for people what it is about.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.spec.title = Some(title.into());
        self
    }
}

impl Waited {
    /// The name of the wait.
    pub fn name(&self) -> &str {
        &self.result.name
    }

    /// Whether its time was over before anything came.
    pub fn is_timed_out(&self) -> bool {
        self.result.outcome == WaitOutcome::TimedOut
    }

    /// Whether another wait of the same call came first.
    pub fn is_abandoned(&self) -> bool {
        self.result.outcome == WaitOutcome::Abandoned
    }

    /// How it ended.
    pub fn outcome(&self) -> &WaitOutcome {
        &self.result.outcome
    }

    /// The data of the signal, or the decision, unparsed.
    pub fn json(&self) -> &Json {
        &self.result.data
    }

    /// The data of the signal, or the decision.
    ///
    /// # Errors
    /// When it is not what the handler takes: no attempt can mend that.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        self.result.data.read().map_err(|error| {
            let text = format!(
                "what ended wait \"{}\" is not what this agent takes: {error}",
                self.result.name
            );
            Fault::terminal(codes::BAD_PAYLOAD, text)
        })
    }

    /// The bytes of a signal that is not text.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        Body::bytes(&self.result.data, self.result.data_encoding.as_deref())
    }

    /// Who ended it, where that is known.
    pub fn by(&self) -> Option<&str> {
        self.result.by.as_deref()
    }

    /// All that is recorded of it.
    pub fn result(&self) -> &WaitResult {
        &self.result
    }
}

impl Hop {
    /// Waits without holding a process. The first time there is no result: the hop is suspended, and this returns a fault
    /// that the handler passes on with `?`. When what it waits for has come, the handler runs again from its first line, and
    /// this returns the result, as a recorded step does.
    ///
    /// # Errors
    /// The suspension; or when the wait cannot be asked for, or the handler has asked for others before.
    pub async fn wait(&mut self, wait: Wait) -> Result<Waited, Fault> {
        let mut waited = self.wait_all([wait]).await?;
        waited
            .pop()
            .ok_or_else(|| Fault::terminal(codes::BAD_WAIT, "no wait was asked for"))
    }

    /// Waits until the first of several ends; the others are abandoned. Gives the one that ended.
    ///
    /// # Errors
    /// As [`Hop::wait`].
    pub async fn wait_any(&mut self, waits: impl IntoIterator<Item = Wait>) -> Result<Waited, Fault> {
        let specs = waits.into_iter().map(|wait| WaitSpec { any: true, ..wait.spec });
        let waited = self.ask(specs.collect()).await?;
        let first = waited.into_iter().find(|waited| !waited.is_abandoned());
        first.ok_or_else(|| Fault::terminal(codes::BAD_WAIT, "no wait was asked for"))
    }

    /// Waits until each of several has ended, and gives them in their order.
    ///
    /// # Errors
    /// As [`Hop::wait`].
    pub async fn wait_all(&mut self, waits: impl IntoIterator<Item = Wait>) -> Result<Vec<Waited>, Fault> {
        self.ask(waits.into_iter().map(|wait| wait.spec).collect()).await
    }

    /// Waits for a time to pass.
    ///
    /// # Errors
    /// As [`Hop::wait`].
    pub async fn sleep(&mut self, name: &str, time: Duration) -> Result<(), Fault> {
        self.wait(Wait::sleep(name, time)).await.map(drop)
    }

    /// The results of these waits if the hop has them, else the suspension.
    pub(crate) async fn ask(&mut self, specs: Vec<WaitSpec>) -> Result<Vec<Waited>, Fault> {
        if let Some(waited) = self.waited(&specs)? {
            return Ok(waited);
        }
        self.check(&specs)?;
        let Journal::Ledger(claim) = &self.journal else {
            let sandbox = self.sandbox().map(|sandbox| {
                let names = specs.iter().map(|spec| sandbox.new_step(&spec.name));
                names.last()
            });
            let none = || Fault::terminal(codes::BAD_WAIT, "no wait was asked for");
            return Err(sandbox.flatten().unwrap_or_else(none));
        };
        let open = compare_waits(&claim.lock().await.snapshot, &specs);
        match open {
            AskedWaits::Changed => {
                let text = format!("the hop waits for others than {}", names(&specs));
                return Err(Fault::terminal(codes::STEP_CHANGED, text));
            }
            AskedWaits::New => self.check_new(&specs)?,
            // They are open, whoever has opened them.
            AskedWaits::Same => {}
        }
        self.suspended = Some(specs.clone());
        Err(Fault::suspend(specs))
    }

    /// The recorded results of these waits; `None` when there is none.
    fn waited(&self, specs: &[WaitSpec]) -> Result<Option<Vec<Waited>>, Fault> {
        let found: Vec<&WaitResult> = specs.iter().filter_map(|spec| self.waits.get(&spec.name)).collect();
        match found.len() {
            0 => Ok(None),
            all if all == specs.len() => {
                let waited = found.into_iter().map(|result| Waited { result: result.clone() });
                Ok(Some(waited.collect()))
            }
            _ => {
                let text = format!("of {} only some have a recorded result", names(specs));
                Err(Fault::terminal(codes::STEP_CHANGED, text))
            }
        }
    }

    fn check(&self, specs: &[WaitSpec]) -> Result<(), Fault> {
        let bad = |text: String| Err(Fault::terminal(codes::BAD_WAIT, text));
        if specs.is_empty() {
            return bad("no wait was asked for".to_owned());
        }
        for (at, spec) in specs.iter().enumerate() {
            if let Err(problem) = spec.check() {
                return bad(problem);
            }
            if specs.iter().take(at).any(|other| other.name == spec.name) {
                return bad(format!("two waits of one call are named \"{}\"", spec.name));
            }
            if self.steps.contains_key(&spec.name) {
                let text = format!("\"{}\" is a recorded step, and now a wait", spec.name);
                return Err(Fault::terminal(codes::STEP_CHANGED, text));
            }
        }
        Ok(())
    }

    /// Whether waits may be opened that are well formed.
    fn check_new(&self, specs: &[WaitSpec]) -> Result<(), Fault> {
        for spec in specs {
            spec.check_title()
                .map_err(|problem| Fault::terminal(codes::BAD_WAIT, problem))?;
        }
        check_room(specs).map_err(|problem| Fault::terminal(codes::TOO_MANY_WAITS, problem))?;
        self.has_room(specs.len())
    }

    /// The server's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

fn names(specs: &[WaitSpec]) -> String {
    let names: Vec<String> = specs.iter().map(|spec| format!("\"{}\"", spec.name)).collect();
    names.join(", ")
}
