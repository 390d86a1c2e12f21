//! Beginning an intent again from one of its hops, as a new intent.

use baton_envelope::codes;
use baton_envelope::control::ControlError;
use baton_envelope::{AgentName, Author, Envelope, IntentId, Origin, Timestamp};

use super::submit::Submitted;
use crate::error::Error;
use crate::server::ControllerMesh;

/// How many restarts of one intent get an id that is made of its own.
const MOST: u32 = 1_000;

/// A restarted intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarted {
    /// The new intent.
    pub intent: IntentId,
    /// The agent that has it.
    pub agent: AgentName,
    /// The ledger sequence of its first record.
    pub seq: u64,
    /// The ledger sequence of the note on the old intent; `None` where that has ended.
    pub noted: Option<u64>,
}

impl ControllerMesh {
    /// Submits a new intent with the work of a hop of another one, as that hop received it. The old one stays as it is;
    /// while it is open, a note on it names the new one.
    ///
    /// # Errors
    /// When the intent or the hop does not exist, the id is taken, or the work cannot be submitted.
    pub async fn restart(
        &self,
        old: &IntentId,
        hop: u32,
        id: Option<IntentId>,
        reason: Option<&str>,
        by: &Author,
    ) -> Result<Restarted, Error> {
        let trail = self.trail(old).await?;
        let Some(last) = trail.last() else {
            return Err(Error::NoIntent(old.clone()));
        };
        let is_open = !last.record.snapshot.status.is_terminal();
        let envelopes = || trail.iter().filter_map(|head| head.record.envelope.as_ref());
        // The last one of the hop: a redrive may have raised its limit on hops.
        let Some(received) = envelopes().rfind(|envelope| envelope.hop == hop) else {
            let hops = envelopes().map(|envelope| envelope.hop).max().unwrap_or_default();
            return Err(no_hop(old, hop, hops));
        };
        let agent = received.to.clone();
        let origin = Origin::new(old.clone(), hop);
        let (intent, seq) = match id {
            Some(id) => {
                let submitted = self.submit_again(received, &id, &origin, by).await?;
                (id.clone(), submitted.ok_or_else(|| taken(&id))?)
            }
            None => self.submit_beside(received, &origin, by).await?,
        };
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let note = format!("hop {hop} was restarted as {intent}{why}");
        let noted = match is_open {
            true => self.note(old, &note, by).await.unwrap_or_else(|error| {
                tracing::warn!(%error, intent = %old, "the restart is not noted on the old intent");
                None
            }),
            false => None,
        };
        Ok(Restarted {
            intent,
            agent,
            seq,
            noted,
        })
    }

    /// Submits under the first free id that is made of the old one.
    async fn submit_beside(&self, received: &Envelope, origin: &Origin, by: &Author) -> Result<(IntentId, u64), Error> {
        for number in 1..=MOST {
            let id = origin.intent.of_restart(number);
            if self.head(&id).await?.is_some() {
                continue;
            }
            if let Some(seq) = self.submit_again(received, &id, origin, by).await? {
                return Ok((id, seq));
            }
        }
        Err(taken(&origin.intent.of_restart(MOST)))
    }

    /// Submits the work of a hop as a new intent; `None` where the id is taken.
    async fn submit_again(
        &self,
        received: &Envelope,
        id: &IntentId,
        origin: &Origin,
        by: &Author,
    ) -> Result<Option<u64>, Error> {
        let mut envelope = first_of(received, id, self.now());
        if let Some(payload) = &received.payload_ref {
            // The objects of a tree are its own: the new intent is a tree by itself.
            let body = self.body_of(received.root(), payload).await?;
            envelope = envelope.with_payload(body);
        }
        envelope.id = self.clock().envelope_id();
        match Box::pin(self.submit_from(envelope, by.clone(), false, Some(origin))).await? {
            Submitted::New { seq } => Ok(Some(seq)),
            Submitted::Repeated(_) | Submitted::Conflict { .. } => Ok(None),
        }
    }
}

/// The work of a hop as the first hop of an intent of its own: no part of a tree, on whatever version takes new work now.
fn first_of(received: &Envelope, id: &IntentId, now: Timestamp) -> Envelope {
    let again = received.again(received.id);
    Envelope {
        intent: id.clone(),
        hop: 1,
        previous: None,
        root: None,
        parent: None,
        join: None,
        to_version: None,
        // What a tree remembers are objects of its own, too.
        context: None,
        pins: std::collections::BTreeMap::new(),
        // What was late once would be refused for ever.
        deadline: again.deadline.filter(|deadline| *deadline > now),
        ..again
    }
}

fn no_hop(intent: &IntentId, hop: u32, hops: u32) -> Error {
    let (message, fix) = match hops {
        0 => (
            format!("intent \"{intent}\" has no hop {hop}: no agent ever had it"),
            format!("`baton dead redrive {intent}` publishes a rejected raw intent again"),
        ),
        hops => (
            format!("intent \"{intent}\" has no hop {hop}: it has hops 1 to {hops}"),
            format!("`baton intents get {intent}` shows its path"),
        ),
    };
    ControlError::new(codes::NOT_FOUND, message, fix).into()
}

fn taken(id: &IntentId) -> Error {
    let message = format!("the intent id \"{id}\" is taken");
    ControlError::new(codes::CONFLICT, message, "give another one with --id, or none").into()
}
