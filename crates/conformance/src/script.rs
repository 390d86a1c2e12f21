//! The payloads that tell an agent what to do: the language of `docs/conformance.md`.

use serde_json::{Value, json};

/// The acts of a payload, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Script(Vec<String>);

impl Script {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn then(self, act: &Value) -> Self {
        self.raw(act.to_string())
    }

    /// Run an effect as a step.
    pub(crate) fn step(self, name: &str) -> Self {
        self.then(&json!({"do": "step", "name": name}))
    }

    /// Run an effect as a step that may take so many tokens of the budget, and takes so many.
    pub(crate) fn spend(self, name: &str, most: u64, took: u64) -> Self {
        self.then(&json!({"do": "spend", "name": name, "most": most, "took": took}))
    }

    /// Remember a text as a decision under this key.
    pub(crate) fn remember(self, key: &str, text: &str) -> Self {
        self.then(&json!({"do": "remember", "key": key, "text": text}))
    }

    /// Look at the view.
    pub(crate) fn view(self) -> Self {
        self.then(&json!({"do": "view"}))
    }

    /// Do nothing for a while.
    pub(crate) fn wait(self, seconds: f64) -> Self {
        self.then(&json!({"do": "wait", "seconds": seconds}))
    }

    /// Fail such that it is tried again, in each of the first attempts.
    pub(crate) fn retry(self, times: u32, code: &str, seconds: f64) -> Self {
        self.then(&json!({"do": "retry", "times": times, "code": code, "seconds": seconds}))
    }

    /// Fail for good.
    pub(crate) fn fail(self, code: &str) -> Self {
        self.then(&json!({"do": "fail", "code": code}))
    }

    /// Decline.
    pub(crate) fn reject(self, code: &str) -> Self {
        self.then(&json!({"do": "reject", "code": code}))
    }

    /// Hand over with this payload, as its text.
    pub(crate) fn hand_off(self, to: &str, payload: &str) -> Self {
        self.raw(format!(r#"{{"do":"hand_off","to":"{to}","payload":{payload}}}"#))
    }

    /// Hand on to whoever is next, with this payload, as its text.
    pub(crate) fn next(self, payload: &str) -> Self {
        self.raw(format!(r#"{{"do":"next","payload":{payload}}}"#))
    }

    /// Ask this agent for as many as there are payloads, by a call of this name, and go on when all have ended.
    pub(crate) fn call(self, name: &str, to: &str, payloads: &[&str]) -> Self {
        let payloads = payloads.join(",");
        self.raw(format!(
            r#"{{"do":"call","name":"{name}","to":"{to}","payloads":[{payloads}]}}"#
        ))
    }

    /// End with a message of a channel for these agents, with this payload, as its text.
    pub(crate) fn broadcast(self, channel: &str, receivers: &[&str], payload: &str) -> Self {
        let receivers = json!(receivers);
        self.raw(format!(
            r#"{{"do":"broadcast","channel":"{channel}","receivers":{receivers},"payload":{payload}}}"#
        ))
    }

    fn raw(mut self, act: String) -> Self {
        self.0.push(act);
        self
    }

    /// Complete with what the handler saw.
    pub(crate) fn complete(self) -> Self {
        self.then(&json!({"do": "complete"}))
    }

    /// The payload.
    pub(crate) fn text(&self) -> String {
        format!(r#"{{"script":[{}]}}"#, self.0.join(","))
    }
}
