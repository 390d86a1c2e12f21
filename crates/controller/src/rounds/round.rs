//! A round: what it is, and the task that repeats it.

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

/// How often a person is told that a round fails; each time would drown the rest.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Something that the leader does again and again.
pub(crate) trait Round: Send + Sized + 'static {
    /// What logs and numbers call it.
    const NAME: &'static str;
    /// When a round is cut off, and another begins: it hangs, or what it waits for will not come.
    const TIMEOUT: Duration = Duration::from_secs(120);

    /// When a round follows the last one.
    const PERIOD: Period;

    /// The state at the beginning of a term. What a round of an earlier term knew is gone.
    fn begin(term: &Term) -> Self;

    /// When the next round is due, where that is more than [`Round::PERIOD`]; `turn` counts them from 0 in each term. The
    /// first is due at once.
    fn due(&mut self, _term: &Term, turn: u64) -> Period {
        match (turn, Self::PERIOD) {
            (0, Period::Time(_)) => Period::Time(Duration::ZERO),
            (_, period) => period,
        }
    }

    /// Does it once. It may be cut off at each await, and is repeated after a failure.
    fn round(&mut self, term: &Term) -> impl Future<Output = Result<(), RoundError>> + Send;
}

/// How far apart rounds are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    /// So long after the last one ended.
    Time(Duration),
    /// As soon as there are new observations, which is as often as [`Observe`] looks.
    ///
    /// [`Observe`]: super::observe::Observe
    Observation,
}

/// A round, to be repeated in a task of its own until the term is over.
pub(crate) fn round<R: Round>(term: &Term) -> Task {
    Task {
        name: R::NAME,
        work: Box::pin(repeat::<R>(term.clone())),
    }
}

async fn repeat<R: Round>(term: Term) {
    let mut seen = term.watch();
    let mut state = R::begin(&term);
    let mut told: Option<Instant> = None;
    for turn in 0.. {
        match state.due(&term, turn) {
            Period::Time(pause) => tokio::time::sleep(pause).await,
            // Without new ones it finds out how old the last are.
            Period::Observation => drop(tokio::time::timeout(FRESH, seen.changed()).await),
        }
        let result = once(&mut state, &term).await;
        if let Err(RoundError::Panicked(_)) = result {
            // What it left behind may be half done.
            state = R::begin(&term);
        }
        let Err(error) = result else { continue };
        if error.outcome() == RoundOutcome::Failed && told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            tracing::warn!(round = R::NAME, %error, "a round failed, the next one makes it good");
        } else {
            tracing::debug!(round = R::NAME, %error, "a round did not do all of it");
        }
    }
}

/// One round, with its bounds and its numbers.
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
