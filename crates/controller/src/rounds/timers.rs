//! Timers: what is due in the ledger is done within a second of its time, and once. The projection is the index; the head of
//! each intent decides, and the guard of the ledger decides every race.

use std::collections::HashMap;
use std::time::Duration;

use baton_envelope::{IntentId, Mutant};
use baton_jetstream::{Due, Error, Fired};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to look.
const EVERY: Duration = Duration::from_millis(200);
/// How many intents to look at in one round.
const PAGE: u32 = 2_000;
/// How long to leave alone what cannot be done, such as a ticket for a full stream.
const LATER: Duration = Duration::from_secs(5);
/// How many to do at the same time.
const AT_ONCE: usize = 32;

/// Does what is due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// What was done, by the record that the projection knew: it may lag, and names an intent again.
    done: HashMap<IntentId, u64>,
    /// What could not be done, and when to try again.
    later: HashMap<IntentId, Instant>,
}

impl Round for Timers {
    const NAME: &'static str = "timers";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let now = cx.mesh.now();
        let mut dues = cx.projection.due(now, PAGE).await?;
        // What the projection does not name any more, or names by a newer record, is over.
        let named: HashMap<&IntentId, u64> = dues.iter().map(|due| (&due.intent, due.seen)).collect();
        self.done.retain(|intent, seen| named.get(intent) == Some(seen));
        self.later.retain(|_, until| *until > Instant::now());
        dues.retain(|due| !self.done.contains_key(&due.intent) && !self.later.contains_key(&due.intent));
        if dues.is_empty() || Mutant::P3TimersSleep.is_on() {
            return Ok(());
        }
        let fired = futures::stream::iter(dues).map(|due| async move {
            let fired = match term.in_charge() {
                Ok(cx) => cx.mesh.fire(&due, &cx.by).await,
                Err(_) => Err(Error::no_answer("firing a timer", "this controller no longer leads")),
            };
            (due, fired)
        });
        let mut fired = std::pin::pin!(fired.buffer_unordered(AT_ONCE));
        let (mut idle, mut count): (Vec<Due>, u64) = (Vec::new(), 0);
        while let Some((due, fired)) = fired.next().await {
            match fired {
                Ok(Fired::WentOn | Fired::TimedOut | Fired::Reissued) => {
                    count += 1;
                    self.done.insert(due.intent, due.seen);
                }
                Ok(Fired::Later) => {}
                // Nothing is written that would take it out of the index.
                Ok(Fired::Told | Fired::Nothing) => idle.push(due),
                Err(error) if error.is_of_server() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, intent = %due.intent, "what is due cannot be done now");
                    self.later.insert(due.intent, Instant::now() + LATER);
                }
            }
        }
        if count > 0 {
            tracing::debug!(count, "timers fired");
        }
        if !idle.is_empty() {
            cx.projection.disarm(idle, now).await?;
        }
        Ok(())
    }
}
