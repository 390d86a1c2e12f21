//! The sweep: finds lost tickets, passed deadlines, and records that came back after being archived.
//!
//! It reads only what the projection holds for suspect: intents that owe something, and subjects with odd records. So an intent
//! that waits costs nothing. It reads all of the ledger at the beginning of a term, after a crash of the server, when the
//! projection is not current, and from time to time.

use std::time::Duration;

use baton_envelope::IntentId;
use baton_jetstream::{ClosedInLedger, Error, Head, LedgerEnd, SweepReport, Sweeper, ToSweep, holds_life};

use crate::backoff::{fraction, spread};
use crate::context::Context;
use crate::projection::{Error as ProjectionError, Life, Odd};
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;
use crate::rounds::unreadable::Teller;

/// How long after its grace time the sweep adopts a closed intent that the projection does not know.
const ADOPT_AFTER: Duration = Duration::from_secs(10);

/// How long the projection may take to have read what the ledger has. Otherwise the sweep reads all of it itself.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Sweeps. If one sweep is cut off, the next one makes up for it.
#[derive(Debug)]
pub(crate) struct Sweep {
    sweeper: Sweeper,
    teller: Teller,
}

impl Round for Sweep {
    const NAME: &'static str = "sweep";
    /// A large ledger takes time, and the next sweep would start over.
    const TIMEOUT: Duration = Duration::from_secs(30 * 60);
    /// The default; [`ControllerConfig::sweep_interval`](crate::ControllerConfig) replaces it.
    const PERIOD: Period = Period::Time(Duration::from_secs(10));

    fn begin(term: &Term) -> Self {
        let cx = &term.cx;
        Self {
            sweeper: Sweeper::new(&cx.mesh, cx.by.clone(), cx.config.sweep_slack),
            teller: Teller::default(),
        }
    }

    fn due(&mut self, term: &Term, turn: u64) -> Period {
        let (mesh, interval) = (&term.cx.mesh, term.cx.config.sweep_interval);
        Period::Time(match turn {
            0 => interval.mul_f64(fraction(mesh)),
            // Never a busy loop, whatever the configuration says.
            _ => spread(mesh, interval).max(Duration::from_millis(10)),
        })
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let end = cx.mesh.ledger_end().await?;
        let (suspects, mut odd) = self.suspects(cx, &end).await?;
        let swept = Box::pin(self.sweeper.sweep(suspects, &end, &Closings(term))).await;
        let SweepReport {
            open,
            reissued,
            timed_out,
            topped_up,
            resumed,
            failed,
            returned,
            closed_again,
        } = match (swept, term.in_charge()) {
            (Ok(report), _) => report,
            (Err(_), Err(error)) => return Err(error),
            (Err(error), Ok(_)) => return Err(error.into()),
        };
        if reissued + timed_out + topped_up + resumed + failed + returned + closed_again > 0 {
            tracing::info!(
                open,
                reissued,
                timed_out,
                topped_up,
                resumed,
                failed,
                returned,
                closed_again,
                "swept"
            );
        } else {
            tracing::debug!(open, "swept, nothing to do");
        }
        odd.retain(|(subject, _)| self.sweeper.is_done_with(subject));
        if !odd.is_empty() {
            cx.projection.forget_odd(odd).await?;
        }
        self.teller.tell(term, self.sweeper.unreadable()).await
    }
}

impl Sweep {
    /// What to look at, and the odd subjects among it as the projection has them.
    async fn suspects(&self, cx: &Context, end: &LedgerEnd) -> Result<(ToSweep, Vec<Odd>), RoundError> {
        let projection = &cx.projection;
        let is_current = match projection.caught_up(CATCH_UP).await {
            Ok(_) => true,
            Err(error @ ProjectionError::Behind { .. }) => {
                tracing::debug!(%error, "sweeping all of the ledger");
                false
            }
            Err(error) => return Err(error.into()),
        };
        let now = cx.mesh.now();
        let owing = projection.owing(now.minus(cx.config.sweep_slack), now).await?;
        let odd = projection.odd().await?;
        let suspects = ToSweep {
            // One in a rebuild knows nothing, and its position shows that.
            all: !is_current || projection.position() < end.last_seq || self.sweeper.must_look_at_all(end),
            owing,
            odd: odd.iter().map(|(subject, _)| subject.clone()).collect(),
        };
        Ok((suspects, odd))
    }
}

/// What a sweep asks the index of the archive.
#[derive(Debug)]
struct Closings<'t>(&'t Term);

impl ClosedInLedger for Closings<'_> {
    async fn purge_returned(&self, open: &[Head]) -> Result<Vec<IntentId>, Error> {
        let lives = open.iter().map(Life::of).collect();
        let mut purged = Vec::new();
        for (index, archive_seq) in self.0.cx.projection.returned(lives).await? {
            let Some(head) = open.get(index) else { continue };
            // The index knows only fingerprints; the bundle names its intent.
            let bundle = match self.0.cx.mesh.bundle_at(archive_seq).await {
                Ok(bundle) => bundle,
                Err(error @ Error::NoAnswer { .. }) => return Err(error),
                // Dropped because of its age, or altered: one bundle must not keep all other intents from being swept.
                Err(error) => {
                    tracing::warn!(%error, intent = %head.record.intent, "cannot read the bundle of an open intent");
                    continue;
                }
            };
            let submitted_at = head.record.snapshot.submitted_at;
            if bundle.intent != head.record.intent || !holds_life(&bundle, submitted_at).unwrap_or(false) {
                continue;
            }
            tracing::warn!(intent = %bundle.intent, seq = head.seq, "records of an archived intent are back: purged again");
            let Ok(cx) = self.0.in_charge() else {
                return Err(Error::no_answer(
                    "purging what came back",
                    "this controller no longer leads",
                ));
            };
            cx.mesh
                .purge_returned(&bundle, head.seq + 1, &self.0.cx.by.instance)
                .await?;
            purged.push(bundle.intent);
        }
        Ok(purged)
    }

    async fn note_closed(&self, closed: Vec<Head>) -> Result<(), Error> {
        let before = self.0.cx.mesh.now().minus(self.0.cx.config.archive.grace + ADOPT_AFTER);
        let mut old = closed;
        old.retain(|head| head.record.snapshot.updated_at <= before);
        if old.is_empty() {
            return Ok(());
        }
        Ok(self.0.cx.projection.adopt(old).await?)
    }
}

impl Life {
    fn of(head: &Head) -> Self {
        Self {
            intent: head.record.intent.clone(),
            submitted_at: head.record.snapshot.submitted_at,
        }
    }
}
