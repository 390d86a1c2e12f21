//! Records that decide nothing: reading past them, and closing an intent again that one of them opened.

use baton_envelope::{
    Author, Chain, Containment, DecodeError, Guard, IntentId, Link, Record, close_again, contain, containable,
    stands_elsewhere, void,
};

use super::advance::{Advanced, Decision, Known};
use super::read::{Head, Original};
use crate::error::Error;
use crate::server::{ControllerMesh, Mesh, Stored};

/// A message of a ledger subject, read as a record.
type Read = (u64, Result<Record, DecodeError>);

impl Mesh {
    /// Where an intent stands by its records in the ledger, with those that decide nothing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn standing(&self, intent: &IntentId) -> Result<Containment, Error> {
        let records = self.raw_history(intent, 1).await?;
        Ok(contain(self.judge(intent, &records).0))
    }

    /// A record as the head of its intent. One that decides nothing is passed over: the head is then what the records before
    /// it say, at the sequence of the last, so that whoever writes next writes after it.
    ///
    /// Where the mesh signs, this verifies the record by itself. Whoever acts on it reads the head again with [`Mesh::head`],
    /// which judges it by those before it.
    pub(super) async fn head_of(&self, intent: &IntentId, last: &Stored) -> Result<Option<Head>, Error> {
        Ok(self.head_and_problem(intent, last).await?.0)
    }

    /// As [`Mesh::head_of`], and why the last record decides nothing, where it does not.
    pub(super) async fn head_and_problem(
        &self,
        intent: &IntentId,
        last: &Stored,
    ) -> Result<(Option<Head>, Option<String>), Error> {
        let read = self.verified(intent, last);
        let Some(problem) = containable(&read) else {
            let head = Head {
                stored_at: last.stored_at(),
                is_copy: last.is_copy(),
                original: self.original(last, None),
                ..Head::new(read?, last.seq)
            };
            return Ok((Some(head), None));
        };
        // The projection has warned of it when it came.
        tracing::debug!(%intent, seq = last.seq, problem, "a ledger record decides nothing");
        let records = Box::pin(self.raw_history(intent, 1)).await?;
        let head = self.judged_head(intent, &records)?;
        // Without a head all of it was purged meanwhile.
        let problem = head.as_ref().map(|_| problem);
        Ok((head, problem))
    }

    /// The head of an intent by all of its records.
    pub(super) fn judged_head(&self, intent: &IntentId, records: &[Stored]) -> Result<Option<Head>, Error> {
        let (reads, link) = self.judge(intent, records);
        let standing = contain(reads);
        let end = records.last().map_or(0, |last| last.seq);
        match standing.decides {
            Some((at, record)) => {
                let mut record = *record;
                if at != end {
                    // Its envelope is in that record, and not in the one at the end.
                    record.snapshot = record.snapshot.seen_at(at);
                }
                let original = records.iter().find(|stored| stored.seq == at);
                Ok(Some(Head {
                    original: original.and_then(|stored| self.original(stored, link)),
                    ..Head::new(record, end)
                }))
            }
            // All of it was purged meanwhile, or never there.
            None => match standing.contained.into_iter().next_back() {
                None => Ok(None),
                Some(last) => Err(Error::NoneReadable {
                    intent: intent.clone(),
                    seq: last.seq,
                    problem: last.problem,
                }),
            },
        }
    }

    /// The head of an intent by its last message alone, where that takes no look at others: it can be read, and where the mesh
    /// signs, its guard says that none was before it.
    pub(crate) fn sole_head(&self, intent: &IntentId, last: &Stored) -> Option<Head> {
        if self.proofs().is_some() && last.entry("").guard != Guard::At(0) {
            return None;
        }
        self.judged_head(intent, std::slice::from_ref(last)).ok().flatten()
    }

    /// The records of a history that can be read, oldest first.
    pub(super) fn readable(&self, intent: &IntentId, records: &[Stored]) -> Result<Vec<Head>, Error> {
        let mut found = Vec::with_capacity(records.len());
        for (stored, (seq, read)) in records.iter().zip(self.judge(intent, records).0) {
            match read {
                Ok(record) => found.push(Head {
                    stored_at: stored.stored_at(),
                    original: self.original(stored, None),
                    ..Head::new(record, seq)
                }),
                Err(error) if containable(&Err(error.clone())).is_some() => {
                    tracing::warn!(%intent, seq, %error, "a ledger record cannot be read");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    /// The records of an intent, each judged by those before it: where the mesh signs, a void one reads as an error. Then the
    /// link of the last that counts.
    pub(super) fn judge(&self, intent: &IntentId, records: &[Stored]) -> (Vec<Read>, Option<Link>) {
        let read = |stored: &Stored| (stored.seq, decoded(intent, &stored.body));
        let mut reads: Vec<Read> = records.iter().map(read).collect();
        let Some(rules) = self.rules() else {
            return (reads, None);
        };
        let subject = self.subjects().ledger(intent);
        let mut chain = Chain::new(&rules);
        for (stored, (_, read)) in records.iter().zip(&reads) {
            chain.take(&stored.entry(&subject), read.as_ref());
        }
        let mut judged = chain.judged();
        for (seq, read) in &mut reads {
            if let Some(found) = judged.void.remove(seq) {
                *read = Err(void(found.problem));
            }
        }
        (reads, judged.link)
    }

    /// A record that is verified by itself, where the mesh signs.
    pub(super) fn verified(&self, intent: &IntentId, stored: &Stored) -> Result<Record, DecodeError> {
        let record = decoded(intent, &stored.body)?;
        if let Some(rules) = self.rules() {
            let subject = self.subjects().ledger(intent);
            rules.check(&stored.entry(&subject), &record).map_err(void)?;
        }
        Ok(record)
    }

    /// A record as it is stored, where the mesh signs; `link` is that of the last record which counts, if it is another.
    pub(super) fn original(&self, stored: &Stored, link: Option<Link>) -> Option<Box<Original>> {
        self.proofs()?;
        Some(Box::new(Original {
            body: stored.body.clone(),
            signature: stored.signature().map(str::to_owned),
            link: link.unwrap_or_else(|| Link::of(&stored.body, stored.signature())),
        }))
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
