//! Bundles of the archive: writing them, reading them back by their sequence, and purging what they hold.
//!
//! The stream has few subjects and does not know where the bundle of an intent is. Controllers keep an index.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::HeaderMap;
use baton_envelope::{
    Bundle, BundleError, BundleFacts, Chain, HEADER_ENDED, HEADER_GENERATED, HEADER_INTENT, HEADER_LEDGER_SEQUENCE,
    HEADER_MSG_ID, HEADER_PART, HEADER_PREVIOUS_PART, HEADER_STATUS, HEADER_SUBMITTED, IntentId, Record, StoredRecord,
    Void,
};
use bytes::Bytes;

use crate::error::{Error, Status};
use crate::server::{ControllerMesh, LedgerEnd, Mesh, Stored, header_u64, publish_stored};

/// How many bytes of a message the headers of a part may take. An intent id has up to 128 bytes and appears twice; the
/// rest is numbers and times.
const HEADROOM: usize = 4 * 1024;
/// The server's codes for a message that is no longer in its stream.
const GONE: [u64; 3] = [10037, 10043, 10057];
const PAUSE: Duration = Duration::from_millis(50);
/// How many times to ask a replica again that does not have a bundle yet, a pause apart.
const LAG_TRIES: usize = 100;

impl Mesh {
    /// One message of the archive. It is known to have existed, so a replica without it lags. If none ever returns it,
    /// this fails in the end.
    async fn archived_part(&self, seq: u64) -> Result<Stored, Error> {
        let stream = self.subjects().archive_stream();
        let what = format!("DIRECT.GET.{stream}");
        for _ in 0..LAG_TRIES {
            let request = serde_json::json!({ "seq": seq }).to_string();
            let reply = self
                .client()
                .request(format!("{}.{what}", self.api_prefix()), request.into())
                .await
                .map_err(|error| Error::no_answer(&*what, error))?;
            match reply.status.map(|status| status.as_u16()) {
                None => {
                    return Ok(Stored {
                        seq,
                        subject: String::new(),
                        headers: reply.headers,
                        body: reply.payload,
                    });
                }
                Some(404) if self.replicas() > 1 => tokio::time::sleep(PAUSE).await,
                Some(404) => break,
                Some(status) => return Err(Error::api(what, Status::of(status))),
            }
        }
        Err(Error::Missing {
            what: format!("message {seq} of the archive"),
        })
    }

    /// The bundle whose last part is at a sequence of the archive.
    ///
    /// # Errors
    /// When a part is missing, or the bundle was altered.
    pub async fn bundle_at(&self, seq: u64) -> Result<Bundle, Error> {
        let last = self.archived_part(seq).await?;
        let mut parts = vec![last.body];
        let mut previous = header_u64(last.headers.as_ref(), HEADER_PREVIOUS_PART);
        while let Some(seq) = previous {
            let part = self.archived_part(seq).await?;
            previous = header_u64(part.headers.as_ref(), HEADER_PREVIOUS_PART).filter(|before| *before < seq);
            parts.push(part.body);
        }
        parts.reverse();
        let bundle = Bundle::decode(&parts.concat()).map_err(|error| Error::Bundle(Box::new(error)))?;
        self.verify_bundle(&bundle)?;
        Ok(bundle)
    }

    /// Verifies the records of a bundle, where the mesh signs.
    pub(crate) fn verify_bundle(&self, bundle: &Bundle) -> Result<(), Error> {
        let mut all: Vec<&StoredRecord> = bundle.records.iter().chain(&bundle.void).collect();
        all.sort_by_key(|record| record.seq);
        let found = self.void_of(&bundle.intent, &all);
        let void = bundle
            .records
            .iter()
            .find_map(|record| found.get(&record.seq).map(|void| (record.seq, void)));
        let Some((seq, void)) = void else { return Ok(()) };
        Err(Error::Bundle(Box::new(BundleError::Void {
            intent: bundle.intent.clone(),
            seq,
            problem: void.problem.clone(),
        })))
    }

    /// The void records among those of an intent; none where the mesh does not sign.
    fn void_of(&self, intent: &IntentId, records: &[&StoredRecord]) -> BTreeMap<u64, Void> {
        let Some(rules) = self.rules() else {
            return BTreeMap::new();
        };
        let subject = self.subjects().ledger(intent);
        let mut chain = Chain::new(&rules);
        for record in records {
            let read = Record::decode(&record.body);
            chain.take(&record.entry(&subject), read.as_ref());
        }
        chain.judged().void
    }

    /// The newest bundle of an intent among those at these sequences of the archive, and its sequence. Skips those that
    /// the archive has since dropped for their age.
    ///
    /// # Errors
    /// When the server does not answer, or a bundle was altered.
    pub async fn bundle_of(&self, intent: &IntentId, seqs: Vec<u64>) -> Result<Option<(u64, Bundle)>, Error> {
        for seq in seqs {
            match self.bundle_at(seq).await {
                Ok(bundle) if bundle.intent == *intent => return Ok(Some((seq, bundle))),
                Ok(_) => {}
                Err(Error::Missing { .. }) => tracing::debug!(seq, %intent, "a bundle is no longer in the archive"),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// All records of an intent as stored; `None` when there are none.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn stored_records(&self, intent: &IntentId) -> Result<Option<Bundle>, Error> {
        let subject = self.subjects().ledger(intent);
        let stream = self.subjects().ledger_stream();
        let (mut records, mut next) = (Vec::new(), 1);
        loop {
            let request = serde_json::json!({ "seq": next, "next_by_subj": subject, "batch": 256 });
            let (batch, more) = self.direct_batch_of(&stream, &request).await?;
            let Some(last) = batch.last() else { break };
            next = last.seq + 1;
            records.extend(batch.iter().map(as_stored));
            if !more {
                break;
            }
        }
        if records.is_empty() {
            return Ok(None);
        }
        let void = self.void_of(intent, &records.iter().collect::<Vec<_>>());
        let (void, records) = records.into_iter().partition(|record| void.contains_key(&record.seq));
        Ok(Some(Bundle {
            intent: intent.clone(),
            records,
            void,
        }))
    }

    /// The end of the archive, according to its leader.
    ///
    /// # Errors
    /// When there is no archive, or the server does not answer.
    pub async fn archive_end(&self) -> Result<LedgerEnd, Error> {
        self.stream_end(&self.subjects().archive_stream()).await
    }
}

impl ControllerMesh {
    /// Removes void records that are archived from the ledger, one by one.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn remove_void(&self, bundle: &Bundle) -> Result<(), Error> {
        let what = format!("STREAM.MSG.DELETE.{}", self.subjects().ledger_stream());
        for record in &bundle.void {
            let request = serde_json::json!({ "seq": record.seq, "no_erase": true });
            match self.ask::<serde::de::IgnoredAny>(&what, &request).await? {
                // The purge has taken it already.
                Err(refusal) if !GONE.contains(&refusal.code) => return Err(refusal.into()),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Writes a bundle into the archive (in parts if one message cannot hold it), reads all of it back, and compares.
    /// Returns the sequence of its last part. May be repeated: within the duplicate window a repeat is the same bundle,
    /// later it is a second copy; readers take the newest.
    ///
    /// # Errors
    /// When the server refuses or does not answer, or returns other bytes.
    pub async fn archive_bundle(&self, bundle: &Bundle, facts: &BundleFacts) -> Result<u64, Error> {
        let unusable = |error: baton_envelope::BundleError| Error::Bundle(Box::new(error));
        let bytes = Bytes::from(bundle.encode().map_err(unusable)?);
        let room = self.client().max_payload().saturating_sub(HEADROOM).max(1);
        let parts = bytes.len().div_ceil(room).max(1);
        let mut previous = None;
        for (index, start) in (0..bytes.len()).step_by(room).enumerate() {
            let part = bytes.slice(start..bytes.len().min(start + room));
            let seq = self
                .publish_part(bundle, facts, &part, (index + 1, parts), previous)
                .await?;
            self.compare_part(seq, &bundle.intent, &part).await?;
            previous = Some(seq);
        }
        previous.ok_or_else(|| Error::api("archiving", "an empty bundle"))
    }

    async fn publish_part(
        &self,
        bundle: &Bundle,
        facts: &BundleFacts,
        body: &Bytes,
        (part, parts): (usize, usize),
        previous: Option<u64>,
    ) -> Result<u64, Error> {
        let subject = self.subjects().archive(facts.agent.as_ref());
        let mut headers = HeaderMap::new();
        headers.insert(HEADER_MSG_ID, Bundle::message_id(&bundle.intent, facts.seq, part));
        headers.insert(HEADER_INTENT, bundle.intent.as_str());
        headers.insert(HEADER_STATUS, facts.status.as_str());
        headers.insert(HEADER_LEDGER_SEQUENCE, facts.seq.to_string());
        headers.insert(HEADER_SUBMITTED, facts.submitted_at.to_string());
        headers.insert(HEADER_ENDED, facts.ended_at.to_string());
        if facts.generated {
            headers.insert(HEADER_GENERATED, "1");
        }
        if parts > 1 {
            headers.insert(HEADER_PART, format!("{part}/{parts}"));
        }
        if let Some(previous) = previous {
            headers.insert(HEADER_PREVIOUS_PART, previous.to_string());
        }
        publish_stored(self.link(), &subject, headers, body).await
    }

    /// Reads a part back. The message id turns a repeat into the first write, so compare the bytes and trust nothing.
    async fn compare_part(&self, seq: u64, intent: &IntentId, wanted: &Bytes) -> Result<(), Error> {
        let found = self.archived_part(seq).await?;
        if found.body == *wanted {
            return Ok(());
        }
        let problem = format!(
            "the bundle of {intent} at {seq} is not what was written ({} bytes, {} were written)",
            found.body.len(),
            wanted.len()
        );
        Err(Error::api("reading back from the archive", problem))
    }

    /// Removes the records of an intent below a sequence from the ledger. Only for what the archive holds.
    ///
    /// # Errors
    /// When the server refuses or does not answer; the purge may have happened then.
    pub async fn purge_records(&self, intent: &IntentId, below: u64) -> Result<(), Error> {
        let what = format!("STREAM.PURGE.{}", self.subjects().ledger_stream());
        let request = serde_json::json!({ "filter": self.subjects().ledger(intent), "seq": below });
        self.ask::<serde::de::IgnoredAny>(&what, &request).await??;
        Ok(())
    }
}

fn as_stored(found: &Stored) -> StoredRecord {
    let mut headers = found.published_headers();
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    StoredRecord {
        seq: found.seq,
        stored: found.stored_text().to_owned(),
        headers,
        body: found.body.to_vec(),
    }
}
