//! Writing intents of another mesh: closed ones into the archive, byte for byte; open ones into the ledger, with their history,
//! and parked behind it. Nothing that is there is overwritten.

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{HeaderMap, HeaderName};
use baton_envelope::{
    Author, Bundle, BundleFacts, HEADER_EVENT, HEADER_IMPORTED, HEADER_STATUS, IntentId, Record, Status, StoredRecord,
    act, codes,
};
use bytes::Bytes;

use crate::error::Error;
use crate::ledger::{Advanced, Decision, Known};
use crate::server::{ControllerMesh, Mesh, Published, Stored, UNCONFIRMED, publish_acked};

/// How often to look again when a write was not confirmed, or somebody else wrote.
const TRIES: u32 = 20;

/// What became of an intent of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// The archive has it.
    Archived,
    /// It is parked in the ledger, behind its history.
    Parked {
        /// The ledger sequence of `parked`.
        seq: u64,
    },
    /// It is here already as the file has it; an open one may have gone on since it was imported.
    Known,
    /// Something else is here under its id, or it cannot be taken over; nothing was written.
    Conflict {
        /// Why.
        problem: String,
    },
}

impl Mesh {
    /// Looks at what is here of an intent of an export: `None` where it can be written, or where writing it was begun.
    ///
    /// # Errors
    /// When the server does not answer, or no controller says what the archive has.
    pub async fn import_finds(&self, bundle: &Bundle, is_open: bool) -> Result<Option<Imported>, Error> {
        let conflict = |problem: String| Ok(Some(Imported::Conflict { problem }));
        let intent = &bundle.intent;
        let there = self.stored_records(intent).await?;
        if there
            .as_ref()
            .is_some_and(|there| is_its_source(&there.records, &bundle.records))
        {
            return Ok(Some(Imported::Known));
        }
        if is_open && self.rules().is_some() {
            return conflict(
                "this mesh signs its records: those of an open intent were signed for other places in the ledger"
                    .to_owned(),
            );
        }
        if !is_open && let Err(void) = self.verify_bundle(bundle) {
            return conflict(format!("its records do not verify here: {void}"));
        }
        let same = there
            .as_ref()
            .map_or(0, |there| common(&there.records, &bundle.records));
        let count = |bundle: &Bundle| bundle.records.len() + bundle.void.len();
        let is_opened = there
            .as_ref()
            .and_then(|there| there.records.first())
            .is_some_and(|first| Record::decode(&first.body).is_ok_and(|record| record.is_opening()));
        match &there {
            Some(there) if same == bundle.records.len() && same == count(there) && !is_open => {
                return Ok(Some(Imported::Known));
            }
            Some(there) if is_open && went_on(&there.records, &bundle.records) => return Ok(Some(Imported::Known)),
            // A begun import goes on.
            Some(there) if is_open && same == count(there) => return Ok(None),
            Some(there) if is_opened => {
                let status = there.records.last().and_then(|last| Record::decode(&last.body).ok());
                let status = status.map_or_else(|| "unreadable".to_owned(), |last| last.snapshot.status.to_string());
                return conflict(format!("the ledger has an intent of this id, which is {status}"));
            }
            Some(_) | None => {}
        }
        match self.archived(intent).await? {
            Some(known) if is_its_source(&known.records, &bundle.records) => Ok(Some(Imported::Known)),
            Some(known) if is_open && went_on(&known.records, &bundle.records) => Ok(Some(Imported::Known)),
            Some(_) => conflict("the archive has an intent of this id".to_owned()),
            None if there.is_some() => conflict("the ledger has a record of this id".to_owned()),
            None => Ok(None),
        }
    }

    /// Writes an intent of an export, unless something else is here under its id. May be repeated: what a first try has
    /// written is found, and it goes on from there. `from` says where the intent came from.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn import(&self, bundle: &Bundle, is_open: bool, from: &str, by: &Author) -> Result<Imported, Error> {
        if let Some(found) = self.import_finds(bundle, is_open).await? {
            return Ok(found);
        }
        if is_open {
            return self.import_open(bundle, from, by).await;
        }
        let facts: BundleFacts = bundle.verify().map_err(|error| Error::Bundle(Box::new(error)))?;
        // Whoever imports needs the rights of a controller, and the server knows whether it has them.
        ControllerMesh::of(self).archive_bundle(bundle, &facts).await?;
        Ok(Imported::Archived)
    }

    async fn import_open(&self, bundle: &Bundle, from: &str, by: &Author) -> Result<Imported, Error> {
        let intent = &bundle.intent;
        for _ in 0..TRIES {
            let there = self.raw_history(intent, 1).await?;
            let is_same = |(there, record): (&Stored, &StoredRecord)| *there.body == *record.body;
            if there.len() > bundle.records.len() || !there.iter().zip(&bundle.records).all(is_same) {
                return Ok(Imported::Conflict {
                    problem: "somebody else writes records of this id".to_owned(),
                });
            }
            let mut places: Vec<u64> = there.iter().map(|stored| stored.seq).collect();
            let left = bundle.records.get(places.len()..).unwrap_or_default();
            let mut is_whole = true;
            for record in left {
                match self
                    .write_as_it_was(intent, record, places.last().copied().unwrap_or(0))
                    .await?
                {
                    Some(seq) => places.push(seq),
                    None => {
                        is_whole = false;
                        break;
                    }
                }
            }
            if is_whole {
                return self.park_imported(bundle, &places, from, by).await;
            }
        }
        Err(Error::no_answer(format!("importing {intent}"), UNCONFIRMED))
    }

    /// Writes a record as it stands in the file; `None` when somebody else came first, or nobody knows what became of it.
    async fn write_as_it_was(
        &self,
        intent: &IntentId,
        record: &StoredRecord,
        after: u64,
    ) -> Result<Option<u64>, Error> {
        let decoded = Record::decode(&record.body)?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, after.to_string());
        headers.insert(HeaderName::from_static(HEADER_EVENT), decoded.event.name());
        headers.insert(HeaderName::from_static(HEADER_STATUS), decoded.snapshot.status.name());
        // So that nobody gives it a turn before `parked` stands behind it.
        headers.insert(HeaderName::from_static(HEADER_IMPORTED), "1");
        let subject = self.subjects().ledger(intent);
        let body = Bytes::copy_from_slice(&record.body);
        match publish_acked(self.link(), subject.into(), headers, body).await? {
            Published::Stored { seq } => Ok(Some(seq)),
            Published::Refused(refusal) => Err(refusal.into()),
            Published::WrongSequence | Published::Unheard | Published::Unknown => Ok(None),
        }
    }

    async fn park_imported(&self, bundle: &Bundle, places: &[u64], from: &str, by: &Author) -> Result<Imported, Error> {
        let place = |old: u64| {
            let mut pairs = bundle.records.iter().zip(places);
            pairs.find_map(|(record, now)| (record.seq == old).then_some(*now))
        };
        let last = places.last().copied().unwrap_or(0);
        let parked = self.advance(&bundle.intent, by, Known::Unread, |head, _| {
            let Some(head) = head.filter(|head| head.seq == last) else {
                return Ok::<_, Error>(Decision::Nothing);
            };
            Ok(act::import(head.snapshot, from, place)?.into())
        });
        Ok(match parked.await? {
            Advanced::Committed(committed) => Imported::Parked { seq: committed.seq },
            Advanced::Unchanged(_) => Imported::Conflict {
                problem: "somebody else writes records of this id".to_owned(),
            },
        })
    }
}

/// How many records from the first on are the same in both.
fn common(there: &[StoredRecord], here: &[StoredRecord]) -> usize {
    there
        .iter()
        .zip(here)
        .take_while(|(there, here)| there.body == here.body)
        .count()
}

/// Whether this history was written there, and by no import: the very records stand where and since when the file has them. The
/// intent may have gone on since.
fn is_its_source(there: &[StoredRecord], here: &[StoredRecord]) -> bool {
    let is_it = |(there, here): (&StoredRecord, &StoredRecord)| {
        (there.seq, &there.stored, &there.body) == (here.seq, &here.stored, &here.body)
    };
    !here.is_empty() && there.len() >= here.len() && there.iter().zip(here).all(is_it)
}

/// Whether what is there is this history, imported before: the record behind it says so. It may have gone on since.
fn went_on(there: &[StoredRecord], here: &[StoredRecord]) -> bool {
    let Some(next) = there.get(here.len()).filter(|_| common(there, here) == here.len()) else {
        return false;
    };
    Record::decode(&next.body)
        .is_ok_and(|record| matches!(record.snapshot.status, Status::Parked { code } if code == codes::IMPORTED))
}
