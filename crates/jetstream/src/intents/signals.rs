//! Signals for open intents: sending them, and writing them into the ledger.

use std::time::Duration;

use baton_envelope::{
    Author, Body, ErrorInfo, Event, Extra, HEADER_MSG_ID, IntentId, Protocol, ProtocolRange, RawIntent, SignalEntry,
    SignalFate, Status, act, check_wait_name, is_told, on_signal, owes_resume,
};
use bytes::Bytes;
use tokio::time::Instant;

use super::history::heads_of;
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::{ControllerMesh, Intake, Mesh};

/// The first minor whose workers judge a redelivery by `given_back`, whatever the last event is.
const KNOWS_GIVEN_BACK: Protocol = Protocol::new(1, 2, 0);

/// How soon, and how often at the end, to look what became of a signal.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_millis(500);

/// A signal that stands in the intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalSent {
    /// Its sequence in the intake stream.
    pub seq: u64,
}

/// What became of a signal, as its sender finds out.
#[derive(Debug)]
pub enum Told {
    /// The ledger has it.
    Taken {
        /// Whether no wait has taken it yet.
        unread: bool,
        /// Where the intent stands then.
        status: Status,
    },
    /// It could not be told, and is a dead letter.
    Dead {
        /// The id of the dead letter.
        letter: IntentId,
        /// Why.
        error: ErrorInfo,
    },
    /// Nothing was heard of it in time: it stands in the intake.
    Nothing,
}

/// What became of a signal.
#[derive(Debug)]
pub enum Signalled {
    /// The ledger has it, at this sequence.
    Taken {
        /// The sequence of the record.
        seq: u64,
    },
    /// The ledger had it already.
    Before,
    /// The intent has ended; this is its last record.
    TooLate(Box<Head>),
    /// The intent has too many that nobody has read.
    TooMany,
    /// The ledger has nothing of the intent.
    NoIntent,
    /// A worker of an old release could count its delivery for a death: later.
    NotYet,
}

/// Whether an intent that the archive alone has was told something before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToldBefore {
    /// The same message came then.
    Yes,
    /// It did not, or so long before that the intent had forgotten it.
    No,
    /// The archive has no such intent either.
    NoIntent,
}

impl Mesh {
    /// Publishes a signal for an intent. `id` makes a repeat the same signal.
    ///
    /// # Errors
    /// When the name is no subject token, or the server refuses or does not answer.
    pub async fn send_signal(
        &self,
        intent: &IntentId,
        name: &str,
        id: Option<&str>,
        body: Bytes,
    ) -> Result<SignalSent, Error> {
        check_wait_name(name).map_err(|problem| Error::BadEnvelope { field: "name", problem })?;
        let subject = self.subjects().signal(intent, name);
        let headers = id.map(|id| (HEADER_MSG_ID.to_owned(), id.to_owned()));
        let seq = self.publish_raw(subject, headers.into_iter().collect(), body).await?;
        Ok(SignalSent { seq })
    }

    /// Publishes a signal for an intent, and waits for what becomes of it.
    ///
    /// # Errors
    /// As [`Mesh::send_signal`].
    pub async fn tell(
        &self,
        intent: &IntentId,
        name: &str,
        id: &str,
        body: Bytes,
        patience: Duration,
    ) -> Result<Told, Error> {
        let until = Instant::now() + patience;
        self.send_signal(intent, name, Some(id), body).await?;
        let letter = intent.letter(id);
        let mut pause = FIRST_LOOK;
        loop {
            // A head that owes a `resumed` is about to get it: then the signal is taken.
            if let Some(head) = self.head(intent).await?
                && is_told(&head.record.snapshot, id)
                && (!owes_resume(&head.record.snapshot) || Instant::now() >= until)
            {
                let snapshot = head.record.snapshot;
                let unread = snapshot.signals.iter().any(|signal| signal.id == id);
                return Ok(Told::Taken {
                    unread,
                    status: snapshot.status,
                });
            }
            if let Some(error) = self.head(&letter).await?.and_then(|head| head.record.error) {
                return Ok(Told::Dead { letter, error });
            }
            if Instant::now() >= until {
                return Ok(Told::Nothing);
            }
            tokio::time::sleep(pause.min(until.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LAST_LOOK);
        }
    }
}

impl ControllerMesh {
    /// Writes the signal of a message on the head of its intent, and pays what the head then owes. `account` is who has sent
    /// it, where the server says so.
    ///
    /// # Errors
    /// When the server does not answer, or the record would be too large.
    pub async fn signal(
        &self,
        raw: &RawIntent<'_>,
        (intent, name): (&IntentId, &str),
        account: Option<&str>,
        by: &Author,
    ) -> Result<Signalled, Error> {
        let Some(head) = self.head(intent).await? else {
            return Ok(Signalled::NoIntent);
        };
        if self.could_burn(&head).await? {
            return Ok(Signalled::NotYet);
        }
        let id = raw.message_id();
        let Body { json, encoding } = Body::of_bytes(raw.body);
        let entry = SignalEntry {
            name: name.to_owned(),
            id: id.to_owned(),
            data: json,
            data_encoding: encoding,
            by: account.map(str::to_owned),
            at: Some(raw.stored_at),
            extra: Extra::new(),
        };
        let mut fate = SignalFate::Take;
        let written = self.advance(intent, by, Known::Read(&head), |now, _| {
            let Some(now) = now else { return Ok(Decision::Nothing) };
            fate = on_signal(now.snapshot, name, id);
            match fate {
                SignalFate::Take => Ok::<_, Error>(act::signal(now.snapshot, entry.clone())?.into()),
                SignalFate::Known | SignalFate::TooLate | SignalFate::TooMany => Ok(Decision::Nothing),
            }
        });
        let newer = match written.await? {
            Advanced::Committed(committed) => return Ok(Signalled::Taken { seq: committed.seq }),
            Advanced::Unchanged(newer) => newer,
        };
        let head = newer.map_or(head, |newer| *newer);
        match fate {
            // Whoever recorded it may have died before it went on.
            SignalFate::Take | SignalFate::Known => {
                self.settle(&head).await?;
                Ok(Signalled::Before)
            }
            SignalFate::TooLate => Ok(Signalled::TooLate(Box::new(head))),
            SignalFate::TooMany => Ok(Signalled::TooMany),
        }
    }

    /// What the archive says of a message for an intent that the ledger has nothing of; `at` is where it may have bundles of that.
    ///
    /// # Errors
    /// When the archive does not answer, or the bundle was altered.
    pub async fn told_before_archived(
        &self,
        raw: &RawIntent<'_>,
        intent: &IntentId,
        at: Vec<u64>,
    ) -> Result<ToldBefore, Error> {
        let Some((_, bundle)) = self.bundle_of(intent, at).await? else {
            return Ok(ToldBefore::NoIntent);
        };
        let last = heads_of(&bundle)?.pop();
        let is_known = last.is_some_and(|last| is_told(&last.record.snapshot, raw.message_id()));
        Ok(if is_known { ToldBefore::Yes } else { ToldBefore::No })
    }

    /// Whether a signal is the first on its subject that the intake has. An earlier one of the same name comes first, unless it is
    /// acked already.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn is_first_in_intake(&self, subject: &str, seq: u64) -> Result<bool, Error> {
        if self.first_in_intake(subject, 1).await?.is_none_or(|first| first >= seq) {
            return Ok(true);
        }
        let through = self.acked_through(Intake::Signals).await?;
        let first = self.first_in_intake(subject, through + 1).await?;
        Ok(first.is_none_or(|first| first >= seq))
    }

    async fn first_in_intake(&self, subject: &str, from: u64) -> Result<Option<u64>, Error> {
        let request = serde_json::json!({ "seq": from, "next_by_subj": subject, "batch": 1 });
        let (found, _) = self.direct_batch_of(&self.subjects().intake_stream(), &request).await?;
        Ok(found.first().map(|first| first.seq))
    }

    /// Whether the record of a signal on this head could make a worker of before protocol 1.2 count a release for a death: it
    /// judges the next delivery by the last event.
    pub(super) async fn could_burn(&self, head: &Head) -> Result<bool, Error> {
        let is_judged = matches!(
            head.record.event,
            Event::RetryScheduled | Event::Released | Event::Repinned
        );
        let snapshot = &head.record.snapshot;
        let (true, Some(agent), Some(version)) = (is_judged, &snapshot.agent, &snapshot.version) else {
            return Ok(false);
        };
        let route = self.route_of(agent).await?;
        let reads = route.versions.get(version).map(|entry| entry.protocol);
        Ok(reads.unwrap_or_else(ProtocolRange::default).newest < KNOWS_GIVEN_BACK)
    }
}
