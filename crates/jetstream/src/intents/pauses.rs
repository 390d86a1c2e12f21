//! Pausing an open intent, letting it go on, and starting its next attempt at once.

use baton_envelope::act::{self, Wake};
use baton_envelope::codes;
use baton_envelope::{AgentVersion, Author, IntentId, Snapshot, Status};

use super::redrive::Redrive;
use super::refused::{cannot_become, why_closed};
use super::taken::TakenFrom;
use crate::error::Error;
use crate::ledger::{Advanced, Committed, Decision, HeadRef, Known};
use crate::server::ControllerMesh;

/// An intent that was changed from outside of its hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its status before.
    pub was: String,
    /// Its status now.
    pub now: String,
    /// The version that has it.
    pub version: Option<AgentVersion>,
    /// The ledger sequence of the record.
    pub seq: u64,
    /// Whoever may still run what was taken away.
    pub taken: Option<TakenFrom>,
}

impl ControllerMesh {
    /// Pauses an open intent: it stands still until somebody resumes it. Its holder is fenced out, and what it waits for
    /// is kept.
    ///
    /// # Errors
    /// When the intent is parked already, has ended, is being undone, or does not exist; the error names its status.
    pub async fn pause_intent(&self, intent: &IntentId, reason: &str, by: &Author) -> Result<Changed, Error> {
        self.change(intent, by, |head| {
            let wanted = format!("parked({})", codes::PAUSED);
            match why_not_paused(&head) {
                Some(why) => Err(cannot_become(intent, &head.snapshot.status, &wanted, &why)),
                None => Ok(act::pause(head.snapshot, reason)?.into()),
            }
        })
        .await
    }

    /// Lets a paused intent go on, at attempt 1: on the version that had it while that still takes work, else on the one
    /// that takes new work.
    ///
    /// # Errors
    /// When nobody paused it, or no version may take it.
    pub async fn resume_intent(&self, intent: &IntentId, reason: Option<&str>, by: &Author) -> Result<Changed, Error> {
        let found = self.must_find(intent).await?;
        let way = self.way_back(&found).await?;
        self.change(intent, by, |head| {
            let snapshot = head.snapshot;
            let is_paused = matches!(&snapshot.status, Status::Parked { code } if code == codes::PAUSED);
            let Some(way) = way.as_ref().filter(|_| is_paused) else {
                return Err(cannot_become(
                    intent,
                    &snapshot.status,
                    "pending",
                    &why_not_resumed(&head),
                ));
            };
            let Some(last) = head.envelope else {
                return Ok(Decision::ReadEnvelope);
            };
            let is_alive = |version: &&AgentVersion| way.route.state(version).is_some_and(|state| state.is_alive());
            let how = Redrive {
                version: snapshot.version.as_ref().filter(is_alive).cloned(),
                max_hops: None,
            };
            let draft = self.put_back(intent, head, last, way, &how)?;
            Ok(draft.with_note(reason.map(str::to_owned)).into())
        })
        .await
    }

    /// Starts the next attempt of an intent at once, whatever delay it has. It has a new ticket: the old one is in the
    /// stream until its delay is over.
    ///
    /// # Errors
    /// When the intent does not wait for its next attempt.
    pub async fn retry_intent(&self, intent: &IntentId, reason: Option<&str>, by: &Author) -> Result<Changed, Error> {
        let note = reason.unwrap_or("the delay was skipped");
        self.change(intent, by, |head| {
            let snapshot = head.snapshot;
            if !is_delayed(snapshot) {
                return Err(cannot_become(
                    intent,
                    &snapshot.status,
                    "pending",
                    &why_not_retried(&head),
                ));
            }
            let Some(last) = head.envelope else {
                return Ok(Decision::ReadEnvelope);
            };
            let again = last.again(self.clock().envelope_id());
            Ok(act::renew(snapshot, again, Wake::Now, note)?.into())
        })
        .await
    }

    /// Notes something on an open intent; `None` where it has ended.
    pub(super) async fn note(&self, intent: &IntentId, note: &str, by: &Author) -> Result<Option<u64>, Error> {
        let noted = self.advance(intent, by, Known::Unread, |head, _| match head {
            Some(head) if !head.snapshot.status.is_terminal() => Ok(act::annotate(head.snapshot, note)?.into()),
            Some(_) | None => Ok::<_, Error>(Decision::Nothing),
        });
        Ok(match noted.await? {
            Advanced::Committed(committed) => Some(committed.seq),
            Advanced::Unchanged(_) => None,
        })
    }

    /// Changes an intent by what `decide` makes of its head.
    async fn change(
        &self,
        intent: &IntentId,
        by: &Author,
        decide: impl Fn(HeadRef<'_>) -> Result<Decision, Error> + Send + Sync,
    ) -> Result<Changed, Error> {
        let found = self.must_find(intent).await?;
        let (mut was, mut taken) = (String::new(), None);
        let changed = self.advance(intent, by, Known::Read(&found), |head, _| {
            let head = head.ok_or_else(|| Error::NoIntent(intent.clone()))?;
            was = head.snapshot.status.to_string();
            taken = TakenFrom::before(intent, head.snapshot);
            decide(head)
        });
        match changed.await? {
            Advanced::Committed(Committed { record, seq }) => Ok(Changed {
                was,
                now: record.snapshot.status.to_string(),
                version: record.snapshot.version.clone(),
                seq,
                taken,
            }),
            Advanced::Unchanged(_) => Err(Error::Raced(intent.clone())),
        }
    }
}

/// Whether it waits for its next attempt, or for the time of its first.
fn is_delayed(snapshot: &Snapshot) -> bool {
    snapshot.status == Status::Pending && snapshot.wake_at.is_some()
}

fn why_not_paused(head: &HeadRef<'_>) -> Option<String> {
    if head.snapshot.channel.is_some() && !head.snapshot.status.is_terminal() {
        let why = "it is a message, and no agent has it: pause the agents that get its copies, or cancel it";
        return Some(why.to_owned());
    }
    match (&head.snapshot.status, head.record) {
        (Status::Parked { code }, Some(record)) if code == codes::PAUSED => {
            let reason = record.note.as_deref().unwrap_or("no reason was given");
            Some(format!("{} paused it at {} ({reason})", record.by.instance, record.at))
        }
        (Status::Parked { .. }, _) => Some("it stands still until somebody redrives it".to_owned()),
        (status, _) => why_closed(status, "pause"),
    }
}

fn why_not_resumed(head: &HeadRef<'_>) -> String {
    let status = &head.snapshot.status;
    if let Status::Parked { .. } = status {
        return "nobody paused it; `baton dead redrive` puts it back".to_owned();
    }
    why_closed(status, "resume").unwrap_or_else(|| "nobody paused it".to_owned())
}

fn why_not_retried(head: &HeadRef<'_>) -> String {
    let status = &head.snapshot.status;
    if let Status::Parked { .. } = status {
        return "it waits for a person; `baton dead redrive` puts it back".to_owned();
    }
    why_closed(status, "retry").unwrap_or_else(|| "it does not wait for its next attempt".to_owned())
}
