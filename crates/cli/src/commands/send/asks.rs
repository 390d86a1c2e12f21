//! What an intent asks of the failure policy of each agent, within the agent's bounds.

use std::num::NonZeroU32;

use baton_envelope::{OnExhausted, Policy};
use clap::{Args, ValueEnum};

use crate::parse::{self, Span};

/// The flags of the policy.
#[derive(Debug, Clone, Args)]
pub(crate) struct AsksArgs {
    /// How many attempts a hop may take, if that is fewer than its agent gives.
    #[arg(long, value_name = "N", value_parser = parse::attempts)]
    attempts: Option<NonZeroU32>,
    /// How long one attempt may run, if that is shorter than its agent allows.
    #[arg(long, value_name = "DURATION")]
    attempt_timeout: Option<Span>,
    /// How long the work may wait to be taken, three times over; then its agent's policy decides
    /// [without a value: 15s].
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "15s")]
    accept_within: Option<Span>,
    /// What happens to a hop whose attempts are used up, where its agent parks it or has it fail.
    #[arg(long, value_enum)]
    on_exhausted: Option<Exhausted>,
}

/// What happens to a hop whose attempts are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Exhausted {
    /// It is set aside for a person.
    Park,
    /// The intent fails.
    Fail,
    /// What the intent did is undone, and then it fails.
    Compensate,
}

impl AsksArgs {
    /// The policy of the envelope; `None` where the intent asks for nothing.
    pub(super) fn policy(&self) -> Option<Box<Policy>> {
        let policy = Policy {
            attempts: self.attempts.map(NonZeroU32::get),
            attempt_timeout_ms: self.attempt_timeout.map(Span::millis),
            accept_within_ms: self.accept_within.map(Span::millis),
            on_exhausted: self.on_exhausted.map(|what| match what {
                Exhausted::Park => OnExhausted::Park,
                Exhausted::Fail => OnExhausted::Fail,
                Exhausted::Compensate => OnExhausted::Compensate,
            }),
            ..Policy::default()
        };
        (!policy.is_empty()).then(|| Box::new(policy))
    }
}
