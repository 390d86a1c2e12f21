//! Work that waits for its turn: giving it its place in the order of its key, and its turn.

use baton_envelope::{AgentName, Author, IntentId, RawIntent, Snapshot, Timestamp, act};

use crate::error::Error;
use crate::ledger::{Advanced, Decision, Known};
use crate::server::{ControllerMesh, Stored};

/// An intent that waits for its turn, as the index of the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Waiter {
    /// The intent.
    pub intent: IntentId,
    /// The ledger sequence of the record that gave it its place. An id that is used again has another.
    pub place: u64,
}

impl ControllerMesh {
    /// Puts work before its agent that waits for its turn; `false` when it waits no more, or has another place. Who is next,
    /// the caller knows by the ledger up to the place: an intent has left a place before it for ever, so that stays true.
    /// `at` is noted where the next of its key depends on it.
    ///
    /// # Errors
    /// When the server does not answer, or the ticket could not be written.
    pub async fn give_turn(&self, waiter: &Waiter, of: u32, at: Option<Timestamp>, by: &Author) -> Result<bool, Error> {
        let Some(head) = self.head(&waiter.intent).await? else {
            return Ok(false);
        };
        if head.is_copy {
            return Ok(false);
        }
        let given = self.advance(&waiter.intent, by, Known::Read(&head), |now, _| {
            let Some(now) = now else {
                return Ok(Decision::Nothing);
            };
            let place = now.snapshot.in_order().and_then(|order| order.place_at(now.seq));
            if !now.snapshot.awaits_turn() || place != Some(waiter.place) {
                return Ok(Decision::Nothing);
            }
            let Some(last) = now.envelope else {
                return Ok(Decision::ReadEnvelope);
            };
            let Some(version) = now.snapshot.version.clone() else {
                return Err(Error::NoEnvelope(waiter.intent.clone()));
            };
            // In the form that the version got before, under a new id.
            let again = last.again(self.clock().envelope_id());
            let (envelope, _) = again
                .in_form(last.protocol)
                .map_err(|error| Error::api("writing an envelope", error))?;
            Ok::<_, Error>(act::give_turn(now.snapshot, envelope, version, of, at)?.into())
        });
        let given = match given.await {
            Ok(given) => Ok(matches!(given, Advanced::Committed(_))),
            Err(error) => Err(Error::from(error)),
        };
        // It would keep all behind it waiting.
        self.or_park(&waiter.intent, by, given).await
    }

    /// Gives work its place behind all that have one, if it has none yet. Of those of one key the caller places the one that
    /// came first first.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn place_in_order(&self, intent: &IntentId, by: &Author) -> Result<(), Error> {
        let has_none = |snapshot: &Snapshot| snapshot.in_order().is_some_and(|order| order.intake.is_some());
        let placed = self.advance(intent, by, Known::Unread, |now, _| match now {
            Some(now) if has_none(now.snapshot) && !now.snapshot.status.is_terminal() => {
                Ok::<_, Error>(act::place(now.snapshot)?.into())
            }
            Some(_) | None => Ok(Decision::Nothing),
        });
        placed.await?;
        Ok(())
    }

    /// The first raw message for an agent that is still in the intake, from this sequence on: all before it are routed, and
    /// their records are in the ledger. `None` when there is none at all.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn next_in_intake(&self, agent: &AgentName, from: u64) -> Result<Option<InIntake>, Error> {
        let stream = self.subjects().intake_stream();
        let mut first: Option<Stored> = None;
        for subject in self.subjects().intents_in_intake(agent) {
            let request = serde_json::json!({ "seq": from.max(1), "next_by_subj": subject });
            if let Some(there) = self.leader_get(&stream, &request).await?
                && first.as_ref().is_none_or(|first| there.seq < first.seq)
            {
                first = Some(there);
            }
        }
        Ok(first.map(|stored| InIntake {
            seq: stored.seq,
            stream,
            stored,
        }))
    }
}

/// A raw message that is in the intake.
#[derive(Debug)]
pub struct InIntake {
    /// Its sequence there.
    pub seq: u64,
    stream: String,
    stored: Stored,
}

/// The ids by which the ledger may know a raw message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawIds {
    /// The id that the mesh derives from it.
    pub derived: IntentId,
    /// The id that its sender chose, or that one.
    pub chosen: IntentId,
}

impl InIntake {
    /// The ids by which the ledger may know it.
    ///
    /// # Errors
    /// When the server's time of storing cannot be read.
    pub fn ids(&self) -> Result<RawIds, Error> {
        let Self { seq, stream, stored } = self;
        let at = time::OffsetDateTime::parse(stored.stored_text(), &time::format_description::well_known::Rfc3339)
            .map_err(|error| Error::api(format!("STREAM.MSG.GET.{stream}"), error))?;
        let nanos = at.unix_timestamp_nanos();
        let headers = stored.published_headers();
        let raw = RawIntent {
            subject: &stored.subject,
            headers: headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect(),
            body: &stored.body,
            stored_at: Timestamp::from_unix_millis(i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)),
            derived_id: IntentId::derived(stream, *seq, nanos),
        };
        Ok(RawIds {
            chosen: raw.enveloped_id().unwrap_or_else(|| raw.intent_id()),
            derived: raw.derived_id,
        })
    }
}
