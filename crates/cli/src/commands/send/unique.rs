//! `baton send --unique` and `--order-key`: work that is to be the only one of its agent under a key, or is done in the order of
//! one.

use baton_envelope::codes;
use baton_envelope::{OnConflict, Unique, check_order_key as check_key};
use clap::{Args, ValueEnum};

use super::to::To;
use crate::error::{CliError, Kind};
use crate::parse::Span;

/// The key, and what to do if other work holds it.
#[derive(Debug, Clone, Args)]
pub(super) struct UniqueArgs {
    /// Key under which the agent is to have this work once: while it is open, and for --within after it was submitted.
    #[arg(long = "unique", value_name = "KEY")]
    key: Option<String>,
    /// How long completed work holds the key [default: 1h].
    #[arg(long, value_name = "DURATION", requires = "key")]
    within: Option<Span>,
    /// What to do if other work holds the key.
    #[arg(long, value_enum, default_value = "keep", requires = "key")]
    on_conflict: Conflict,
}

/// What to do if other work holds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Conflict {
    /// Take that work for this.
    Keep,
    /// Cancel that work if it is open, and submit this.
    Replace,
    /// Submit nothing.
    Refuse,
}

impl UniqueArgs {
    /// The key, if one is given.
    pub(super) fn read(&self, to: &To) -> Result<Option<Unique>, CliError> {
        let Some(key) = &self.key else { return Ok(None) };
        of_one_agent("--unique", to)?;
        let on_conflict = match self.on_conflict {
            Conflict::Keep => OnConflict::Keep,
            Conflict::Replace => OnConflict::Replace,
            Conflict::Refuse => OnConflict::Refuse,
        };
        let unique = Unique::new(key, self.within.map(|within| within.0), on_conflict);
        unique
            .map(Some)
            .map_err(|bad| CliError::say(Kind::Usage, codes::USAGE, bad.to_string()))
    }
}

/// Checks an order key before anything is sent.
pub(super) fn check_order_key(key: Option<&str>, to: &To) -> Result<(), CliError> {
    let Some(key) = key else { return Ok(()) };
    of_one_agent("--order-key", to)?;
    check_key(key).map_err(|bad| CliError::say(Kind::Usage, codes::USAGE, bad.to_string()))
}

/// Work for whichever agent is able has no key: it would be another's for each agent.
fn of_one_agent(flag: &str, to: &To) -> Result<(), CliError> {
    match to {
        To::Agent(_) => Ok(()),
        To::Channel { .. } => {
            let message = format!("{flag} is a key of one agent, and --channel has many");
            Err(CliError::say(Kind::Usage, codes::USAGE, message).hint("leave it out, or name the agent"))
        }
        To::Capable { .. } => {
            let message = format!("{flag} is a key of one agent, and --capability names none");
            Err(CliError::say(Kind::Usage, codes::USAGE, message).hint("name the agent"))
        }
    }
}
