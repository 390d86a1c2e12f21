//! Writing the tickets that were withheld, once a breaker is closed.
//!
//! Senders hear of it a moment later. So this looks twice: at once at what the ledger had when the breaker was closed, and
//! after a moment at what came meanwhile from senders that still withheld. An intent that has a ticket in the stream is left
//! alone: a second one would take the hop from whoever runs it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Breaker, IntentId};
use futures::StreamExt as _;
use tokio::time::Instant;

use super::waits_for;
use crate::rounds::error::RoundError;
use crate::rounds::term::Term;

/// How many tickets to write in one round, and how many at the same time.
const A_ROUND: usize = 500;
const AT_ONCE: usize = 16;
/// How long after the route told of it a sender may still withhold a ticket, and how long one may take to write it.
const HEARD: Duration = Duration::from_secs(1);
const WRITTEN: Duration = Duration::from_secs(1);
/// More than a version may have.
const ALL: u32 = u32::MAX;

/// How far the tickets of a breaker are written.
#[derive(Debug, Default)]
pub(super) struct Release {
    step: Step,
    left: VecDeque<IntentId>,
    /// Those that have a ticket in the stream.
    queued: HashSet<IntentId>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing is listed yet.
    #[default]
    Begin,
    /// What the ledger had when the breaker was closed is being written.
    First,
    /// It is written, since then.
    Heard(Instant),
    /// What came until then, up to this sequence, has its ticket soon, if its sender had heard.
    Until(u64, Instant),
    /// What has none by now is being written.
    Second,
}

impl Release {
    /// Writes some more tickets; `true` when all are written.
    pub(super) async fn go_on(&mut self, term: &Term, breaker: &Breaker, revision: u64) -> Result<bool, RoundError> {
        let of = (&breaker.agent, &breaker.version);
        match self.step {
            Step::Begin => {
                // A projection that lags, or is being rebuilt, does not know them all.
                if term.cx.projection.position() >= breaker.owed_through {
                    self.list(term, of, breaker.owed_through).await?;
                    self.step = Step::First;
                }
            }
            Step::First => {
                if self.write(term, of, revision).await? {
                    self.step = Step::Heard(Instant::now());
                }
            }
            Step::Heard(at) if at.elapsed() >= HEARD => {
                self.step = Step::Until(term.cx.projection.position(), Instant::now());
            }
            Step::Until(seq, at) if at.elapsed() >= WRITTEN => {
                self.list(term, of, seq).await?;
                self.step = Step::Second;
            }
            Step::Heard(_) | Step::Until(..) => {}
            Step::Second => return self.write(term, of, revision).await,
        }
        Ok(false)
    }

    async fn list(
        &mut self,
        term: &Term,
        (agent, version): (&AgentName, &AgentVersion),
        through: u64,
    ) -> Result<(), RoundError> {
        let waiting = term.cx.projection.waiting_work(agent, version, through, ALL).await?;
        self.left = waiting.into();
        let tickets = match self.left.is_empty() {
            true => Vec::new(),
            false => term.cx.mesh.undelivered_tickets(agent, version).await?,
        };
        self.queued = tickets.into_iter().map(|ticket| ticket.intent).collect();
        Ok(())
    }

    /// Writes the next tickets of the list; `true` when none is left.
    async fn write(
        &mut self,
        term: &Term,
        (agent, version): (&AgentName, &AgentVersion),
        revision: u64,
    ) -> Result<bool, RoundError> {
        let some = self.left.len().min(A_ROUND);
        let (queued, mesh) = (&self.queued, &term.in_charge()?.mesh);
        let next: Vec<IntentId> = self.left.iter().take(some).cloned().collect();
        let next = next.into_iter().filter(|intent| !queued.contains(intent));
        let written = futures::stream::iter(next).map(|intent| async move {
            match mesh.head(&intent).await? {
                Some(head) if waits_for(&head, agent, version) => mesh.let_through(&head, revision).await,
                Some(_) | None => Ok(()),
            }
        });
        let mut written = written.buffer_unordered(AT_ONCE);
        while let Some(one) = written.next().await {
            match one {
                Ok(()) => {}
                Err(error) if error.is_of_server() => return Err(error.into()),
                // The sweeper tries again.
                Err(error) => tracing::warn!(%error, %agent, %version, "a withheld ticket was not written"),
            }
        }
        drop(written);
        self.left.drain(..some);
        Ok(self.left.is_empty())
    }
}
