//! Writing checkpoints.

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::jetstream::stream::{Compression, Config, DiscardPolicy, RetentionPolicy, StorageType};
use baton_envelope::{Bundle, Checkpoint, HEADER_SIGNATURE, Link, Place, RemovedMessage, Span};
use serde_json::json;

use crate::error::{Error, STREAM_NOT_FOUND};
use crate::server::{ControllerMesh, LedgerEnd, Mesh, Published, Stored, mark, publish_acked};

/// How many messages one checkpoint names that are removed.
const NAMED: usize = 1000;
/// The first checkpoint of a mesh reads what is there, unless it has more than this: then it begins at the end.
const FROM_THE_BEGINNING: u64 = 20_000;

/// How often to try to write a checkpoint that must be there, beside other controllers that write theirs.
const TRIES: usize = 10;

/// The last checkpoint, and where the next one is written.
struct Last {
    checkpoint: Option<Checkpoint>,
    place: Place,
}

impl ControllerMesh {
    /// Writes a checkpoint of all that was stored since the last one. `None` when nothing was, when another controller
    /// came first, or when this process does not sign.
    ///
    /// # Errors
    /// When the server refuses or does not answer, or the last checkpoint cannot be read.
    pub async fn make_checkpoint(&self, by: &str) -> Result<Option<Checkpoint>, Error> {
        self.checkpoint_before_removing(by, &[]).await
    }

    /// As [`ControllerMesh::make_checkpoint`], which says that these messages are removed from the ledger after it.
    async fn checkpoint_before_removing(
        &self,
        by: &str,
        removed: &[RemovedMessage],
    ) -> Result<Option<Checkpoint>, Error> {
        let Some(proofs) = self.proofs().filter(|proofs| proofs.key().is_some()) else {
            return Ok(None);
        };
        self.ensure_stream(self.audit_stream_config()).await?;
        let last = self.last_checkpoint().await?;
        // The archive first: what leaves the ledger meanwhile is counted here, or there with the next one.
        let archive = self.archive_end().await?;
        let ledger = self.ledger_end().await?;
        let before = last.checkpoint.as_ref();
        let ledger_before = same(before.map(|one| &one.ledger), &ledger);
        let ledger_after = begin(before.map(|one| &one.ledger), &ledger);
        let archive_after = begin(before.map(|one| &one.archive), &archive);
        if removed.is_empty()
            && before.is_some()
            && ledger_after == ledger.last_seq
            && archive_after == archive.last_seq
        {
            return Ok(None);
        }
        let checkpoint = Checkpoint {
            checkpoint: Checkpoint::FORM,
            at: self.now(),
            by: by.to_owned(),
            ledger: match ledger_before {
                Some(_) => self.ledger_span(ledger, ledger_after, archive_after).await?,
                None => self.first_ledger_span(ledger, ledger_after).await?,
            },
            archive: self.archive_span(archive, archive_after).await?,
            removed: removed.to_vec(),
        };
        let body = serde_json::to_vec(&checkpoint).map_err(|error| Error::api("encoding a checkpoint", error))?;
        let subject = self.subjects().checkpoint();
        let Some(signature) = proofs.sign(&subject, last.place.seq, last.place.link, Link::of_bytes(&body)) else {
            return Ok(None);
        };
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.place.seq.to_string());
        headers.insert(HEADER_SIGNATURE, signature.text);
        match publish_acked(self.link(), subject.into(), headers, body.into()).await? {
            Published::Stored { .. } => Ok(Some(checkpoint)),
            // Another controller has led meanwhile, or this one is there without an answer: the next one follows it.
            Published::WrongSequence | Published::Unheard | Published::Unknown => Ok(None),
            Published::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Says, where this process signs, that messages of the ledger are about to be removed that no bundle holds: an audit does
    /// not miss them then. It covers them, too, as everything must be that is purged.
    ///
    /// # Errors
    /// When the server refuses or does not answer, or other controllers write checkpoints all the time.
    pub(crate) async fn announce_removal(&self, by: &str, messages: &[Stored]) -> Result<(), Error> {
        if messages.is_empty() || self.proofs().is_none_or(|proofs| proofs.key().is_none()) {
            return Ok(());
        }
        for some in messages.chunks(NAMED) {
            let removed: Vec<RemovedMessage> = some.iter().map(as_removed).collect();
            self.announce(by, &removed).await?;
        }
        Ok(())
    }

    async fn announce(&self, by: &str, removed: &[RemovedMessage]) -> Result<(), Error> {
        for _ in 0..TRIES {
            if self.checkpoint_before_removing(by, removed).await?.is_some() {
                return Ok(());
            }
        }
        Err(Error::no_answer(
            "announcing what is removed",
            "other controllers write checkpoints at the same time",
        ))
    }

    /// Removes what stands of an archived intent in the ledger, below a sequence. What its bundle does not hold is announced
    /// first where this process signs: a process that was frozen may have written it.
    ///
    /// # Errors
    /// When the server refuses or does not answer; the purge may have happened then.
    pub async fn purge_returned(&self, bundle: &Bundle, below: u64, by: &str) -> Result<(), Error> {
        if self.proofs().is_some() {
            let (stream, subject) = (self.subjects().ledger_stream(), self.subjects().ledger(&bundle.intent));
            let mut unbundled = self.stored_through(&stream, &subject, below.saturating_sub(1)).await?;
            let has = |seq: u64| {
                bundle
                    .records
                    .iter()
                    .chain(&bundle.void)
                    .any(|record| record.seq == seq)
            };
            unbundled.retain(|stored| !has(stored.seq));
            self.announce_removal(by, &unbundled).await?;
        }
        self.purge_records(&bundle.intent, below).await
    }

    /// The last ledger sequence that a checkpoint covers, where this process signs: nothing above it is purged.
    ///
    /// # Errors
    /// When the server does not answer, or the last checkpoint cannot be read.
    pub async fn covered_through(&self) -> Result<Option<u64>, Error> {
        if self.proofs().is_none_or(|proofs| proofs.key().is_none()) {
            return Ok(None);
        }
        let last = self.last_checkpoint().await?;
        Ok(Some(last.checkpoint.map_or(0, |last| last.ledger.through)))
    }

    async fn last_checkpoint(&self) -> Result<Last, Error> {
        let s = self.subjects();
        let request = json!({ "last_by_subj": s.checkpoint() });
        let found = match self.leader_get(&s.audit_stream(), &request).await {
            Ok(found) => found,
            Err(Error::Refused(refusal)) if refusal.code == STREAM_NOT_FOUND => None,
            Err(error) => return Err(error),
        };
        let Some(found) = found else {
            return Ok(Last {
                checkpoint: None,
                place: Place::from(0),
            });
        };
        let what = || format!("reading checkpoint {}", found.seq);
        let checkpoint = serde_json::from_slice(&found.body).map_err(|error| Error::api(what(), error))?;
        Ok(Last {
            checkpoint: Some(checkpoint),
            place: Place {
                seq: found.seq,
                link: Some(Link::of(&found.body, found.signature())),
            },
        })
    }
}

fn as_removed(stored: &Stored) -> RemovedMessage {
    RemovedMessage {
        seq: stored.seq,
        subject: stored.subject.clone(),
        link: Link::of(&stored.body, stored.signature()),
    }
}

impl Mesh {
    /// The stream of the checkpoints. It is made by the first leader that signs, and nothing is taken out of it by name.
    fn audit_stream_config(&self) -> Config {
        let (s, limits) = (self.subjects(), self.limits());
        Config {
            name: s.audit_stream(),
            subjects: vec![s.checkpoint()],
            description: Some("Baton: signed checkpoints of ledger and archive".to_owned()),
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: limits.replicas,
            compression: Some(Compression::S2),
            allow_direct: true,
            deny_delete: true,
            deny_purge: true,
            metadata: mark(),
            ..Config::default()
        }
    }
}

/// After which sequence the next span begins.
fn begin(before: Option<&Span>, end: &LedgerEnd) -> u64 {
    match (same(before, end), before) {
        (Some(span), _) => span.through.min(end.last_seq),
        // Another stream: all of it is new.
        (None, Some(_)) => 0,
        (None, None) if end.last_seq <= FROM_THE_BEGINNING => 0,
        (None, None) => end.last_seq,
    }
}

/// The span before, if it is of the stream that is there now.
fn same<'s>(before: Option<&'s Span>, end: &LedgerEnd) -> Option<&'s Span> {
    before.filter(|span| span.created == end.created)
}
