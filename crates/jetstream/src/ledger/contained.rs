//! Records that decide nothing: reading past them, and closing an intent again that one of them opened.

use baton_envelope::{
    Author, Containment, DecodeError, IntentId, Record, close_again, contain, containable, stands_elsewhere,
};
use bytes::Bytes;

use super::advance::{Advanced, Decision, Known};
use super::read::Head;
use crate::error::Error;
use crate::server::{ControllerMesh, Mesh};

impl Mesh {
    /// Where an intent stands by its records in the ledger, with those that decide nothing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn standing(&self, intent: &IntentId) -> Result<Containment, Error> {
        Ok(self.standing_and_end(intent).await?.0)
    }

    /// As [`Mesh::standing`], and the sequence of the last record, whatever it is.
    async fn standing_and_end(&self, intent: &IntentId) -> Result<(Containment, u64), Error> {
        let records = self.raw_history(intent, 1).await?;
        let end = records.last().map_or(0, |(seq, _)| *seq);
        let records = records.into_iter().map(|(seq, body)| (seq, decoded(intent, &body)));
        Ok((contain(records), end))
    }

    /// A record as the head of its intent. One that decides nothing is passed over: the head is then what the records before
    /// it say, at the sequence of the last, so that whoever writes next writes after it.
    pub(super) async fn head_of(&self, intent: &IntentId, seq: u64, body: &Bytes) -> Result<Option<Head>, Error> {
        Ok(self.head_and_problem(intent, seq, body).await?.0)
    }

    /// As [`Mesh::head_of`], and why the last record decides nothing, where it does not.
    pub(super) async fn head_and_problem(
        &self,
        intent: &IntentId,
        seq: u64,
        body: &Bytes,
    ) -> Result<(Option<Head>, Option<String>), Error> {
        let read = decoded(intent, body);
        let Some(problem) = containable(&read) else {
            return Ok((Some(Head::new(read?, seq)), None));
        };
        // The projection has warned of it when it came.
        tracing::debug!(%intent, seq, problem, "a ledger record decides nothing");
        let (standing, end) = Box::pin(self.standing_and_end(intent)).await?;
        match standing.decides {
            Some((at, record)) => {
                let mut record = *record;
                // Its envelope is in that record, and not in the one at the end.
                record.snapshot = record.snapshot.seen_at(at);
                Ok((Some(Head::new(record, end)), Some(problem)))
            }
            // All of it was purged meanwhile.
            None if standing.contained.is_empty() => Ok((None, None)),
            None => Err(Error::NoneReadable {
                intent: intent.clone(),
                seq,
                problem,
            }),
        }
    }

    /// The records of a history that can be read, oldest first.
    pub(super) fn readable(intent: &IntentId, records: Vec<(u64, Bytes)>) -> Result<Vec<Head>, Error> {
        let mut found = Vec::with_capacity(records.len());
        for (seq, body) in records {
            match decoded(intent, &body) {
                Ok(record) => found.push(Head::new(record, seq)),
                Err(error) if containable(&Err(error.clone())).is_some() => {
                    tracing::warn!(%intent, seq, %error, "a ledger record cannot be read");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

impl ControllerMesh {
    /// Closes an intent again if records that follow its end have opened it. Gives what it found, where it did.
    ///
    /// # Errors
    /// When the server does not answer, or refuses.
    pub async fn keep_closed(&self, head: &Head, by: &Author) -> Result<Option<Containment>, Error> {
        let intent = &head.record.intent;
        let standing = self.standing(intent).await?;
        let Some((_, closed)) = standing.decides.as_ref().filter(|_| standing.is_reopened) else {
            return Ok(None);
        };
        let kept = self.advance(intent, by, Known::Read(head), |now, _| {
            // Somebody has written since: the next look at it begins anew.
            let Some(now) = now.filter(|now| now.seq == head.seq) else {
                return Ok::<_, Error>(Decision::Nothing);
            };
            Ok(close_again(now.snapshot, closed).into())
        });
        Ok(matches!(kept.await?, Advanced::Committed(_)).then_some(standing))
    }
}

/// A record on the subject of an intent.
pub(super) fn decoded(intent: &IntentId, body: &[u8]) -> Result<Record, DecodeError> {
    let record = Record::decode(body)?;
    if record.intent == *intent {
        Ok(record)
    } else {
        Err(stands_elsewhere(&record, intent))
    }
}
