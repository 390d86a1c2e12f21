//! The trait of a round, and the task that repeats it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::Instant;

use crate::duty::Task;
use crate::rounds::error::RoundError;
use crate::rounds::observations::FRESH;
use crate::rounds::term::Term;
use crate::stats::{LastRound, RoundOutcome};

/// The shortest time between two warnings that a round fails; more would drown the rest of the log.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Something that the leader repeats.
pub(crate) trait Round: Send + Sized + 'static {
    /// Its name in logs and numbers.
    const NAME: &'static str;
    /// When to cut a round off and start another: it hangs, or what it waits for will not come.
    const TIMEOUT: Duration = Duration::from_secs(120);

    /// When a round follows the last one.
    const PERIOD: Period;

    /// The state at the start of a term. Nothing from an earlier term remains.
    fn begin(term: &Term) -> Self;

    /// When the next round is due, if that depends on more than [`Round::PERIOD`]. `turn` counts the rounds of a term
    /// from 0. The first round is due at once.
    fn due(&mut self, _term: &Term, turn: u64) -> Period {
        match (turn, Self::PERIOD) {
            (0, Period::Time(_)) => Period::Time(Duration::ZERO),
            (_, period) => period,
        }
    }

    /// Runs once. It may be cut off at each await, and is repeated after a failure.
    fn round(&mut self, term: &Term) -> impl Future<Output = Result<(), RoundError>> + Send;
}

/// The time between rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    /// This long after the last round ended.
    Time(Duration),
    /// When there are new observations, as often as [`Observe`] makes them.
    ///
    /// [`Observe`]: super::observe::Observe
    Observation,
    /// When the turn of somebody may have come, and at the latest after this long.
    Turn(Duration),
}

/// Makes the task that repeats a round until the term is over.
pub(crate) fn round<R: Round>(term: &Term) -> Task {
    Task {
        name: R::NAME,
        work: Box::pin(repeat::<R>(term.clone())),
    }
}

async fn repeat<R: Round>(term: Term) {
    let mut seen = term.watch();
    let mut turns = term.cx.projection.turns();
    let mut state = R::begin(&term);
    let mut told: Option<Instant> = None;
    for turn in 0.. {
        match state.due(&term, turn) {
            Period::Time(pause) => tokio::time::sleep(pause).await,
            // Without new observations, the round finds out how old the last ones are.
            Period::Observation => drop(tokio::time::timeout(FRESH, seen.changed()).await),
            Period::Turn(longest) => drop(tokio::time::timeout(longest, turns.changed()).await),
        }
        let result = once(&mut state, &term).await;
        if let Err(RoundError::Panicked(_)) = result {
            // The panic may have left it half done.
            state = R::begin(&term);
        }
        let Err(error) = result else { continue };
        if error.outcome() == RoundOutcome::Failed && told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            tracing::warn!(round = R::NAME, %error, "a round failed; the next one tries again");
        } else {
            tracing::debug!(round = R::NAME, %error, "a round did not do its work");
        }
    }
}

/// Runs one round within its time limit, and counts it.
async fn once<R: Round>(state: &mut R, term: &Term) -> Result<(), RoundError> {
    let (stats, started) = (&term.cx.stats, Instant::now());
    stats.begun(R::NAME, term.cx.mesh.now());
    let bounded = async {
        term.in_charge()?;
        let whole = AssertUnwindSafe(state.round(term)).catch_unwind();
        match tokio::time::timeout(R::TIMEOUT, Box::pin(whole)).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(RoundError::Panicked(text(panic.as_ref()))),
            Err(_) => Err(RoundError::TimedOut(R::TIMEOUT)),
        }
    };
    let result = bounded.await;
    let ended = LastRound {
        at: term.cx.mesh.now(),
        outcome: result.as_ref().err().map_or(RoundOutcome::Ok, RoundError::outcome),
        took: started.elapsed(),
        why: result.as_ref().err().map(ToString::to_string),
    };
    stats.ended(R::NAME, ended);
    result
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}
