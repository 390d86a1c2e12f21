//! Makes a firing: submits its intent, which is one intent whoever submits it, and however often.

use std::time::Duration;

use baton_envelope::schedule::{Firing, Schedule};
use baton_envelope::{IntentId, Mutant, Timestamp};
use baton_jetstream::{DueWork, Error, Submitted};

use crate::context::Context;

/// How long after its nominal time a firing may have been archived, at the earliest: whoever makes it later looks there
/// first. A shorter grace time of the archive counts.
const LATE: Duration = Duration::from_secs(60);
/// How long the index of the archive may take to catch up.
const CATCH_UP: Duration = Duration::from_secs(8);

/// What became of a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Made {
    /// Its intent is new.
    New,
    /// Somebody made it before.
    Before,
}

impl Made {
    /// Its name in the answer of a controller.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Before => "before",
        }
    }
}

/// Submits the intent of a firing. `why` says in the history how it came about.
pub(crate) async fn make(
    cx: &Context,
    schedule: &Schedule,
    firing: &Firing,
    deadline: Option<Timestamp>,
    why: &str,
) -> Result<Made, Error> {
    let intent = &firing.intent;
    let looked_at = cx.mesh.now();
    if looked_at.since(firing.at) >= LATE.min(cx.config.archive.grace) {
        // The ledger first: what leaves it afterwards was in the archive before that.
        if let Some(head) = cx.mesh.head(intent).await? {
            cx.mesh.settle(&head).await?;
            return Ok(Made::Before);
        }
        if is_archived(cx, intent).await? {
            return Ok(Made::Before);
        }
    }
    let mut envelope = firing.envelope(schedule, cx.mesh.clock().envelope_id());
    envelope.deadline = deadline;
    if Mutant::P4FiresAnew.is_on() {
        envelope.intent = cx.mesh.clock().intent_id();
    }
    let due = DueWork {
        at: firing.at,
        looked_at,
        note: format!("schedule {}, {why} {}", schedule.name, firing.at),
        path: Vec::new(),
    };
    match cx.mesh.submit_due(envelope, cx.by.clone(), &due).await? {
        Submitted::New { seq } => {
            tracing::debug!(schedule = %schedule.name, %intent, at = %firing.at, seq, "fired");
            Ok(Made::New)
        }
        Submitted::Repeated(_) => Ok(Made::Before),
        Submitted::Conflict { head, field } => {
            // Whoever wrote it took the id on purpose: it follows from nothing else.
            tracing::warn!(schedule = %schedule.name, %intent, seq = head.seq, field, "the id of a firing is taken by other work");
            Ok(Made::Before)
        }
    }
}

async fn is_archived(cx: &Context, intent: &IntentId) -> Result<bool, Error> {
    let mut at = cx.projection.find_archived(intent).await?;
    if at.is_empty() {
        cx.projection.archive_caught_up(CATCH_UP).await?;
        at = cx.projection.find_archived(intent).await?;
    }
    Ok(cx.mesh.bundle_of(intent, at).await?.is_some())
}

/// Whether an intent has not ended.
pub(crate) async fn is_open(cx: &Context, intent: &IntentId) -> Result<bool, Error> {
    let head = cx.mesh.head(intent).await?;
    Ok(head.is_some_and(|head| !head.record.snapshot.status.is_terminal()))
}
