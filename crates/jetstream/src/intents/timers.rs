//! What is due: waits that run out of time, work that begins later, long retries, deadlines, and signals that nobody will
//! read any more. The ledger says what; an index of it says when.

use base64::Engine as _;
use baton_envelope::{
    Author, ErrorInfo, Extra, HEADER_MSG_ID, IntentId, Mutant, OpenWait, Protocol, RawKept, Status, act, codes,
    open_waits,
};

use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::{ControllerMesh, Mesh};

/// The first minor whose workers leave the ticket of a long retry to the leader.
const ACKS_LONG_RETRIES: Protocol = Protocol::new(1, 4, 0);

/// What the index has of a due intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The intent.
    pub intent: IntentId,
    /// The sequence of the last record that the index has of it.
    pub seen: u64,
    /// The waits whose time is over: their names, and the sequence of the record that opened each.
    pub waits: Vec<(String, u64)>,
}

/// What a due intent came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fired {
    /// It went on, was parked or failed.
    WentOn,
    /// Its deadline had passed.
    TimedOut,
    /// The ticket of its next attempt was written.
    Reissued,
    /// It has to wait a little: what was said before its time is not read yet.
    Later,
    /// Signals that nobody will read have become dead letters.
    Told,
    /// Nothing was due: it has moved on, or waits for something else, too.
    Nothing,
}

impl Mesh {
    /// Ends an intent whose deadline has passed; `false` when another writer has moved it on.
    pub(crate) async fn time_out(&self, head: &Head, by: &Author) -> Result<bool, Error> {
        let ended = self.advance(&head.record.intent, by, Known::Read(head), |now, _| {
            let Some(now) = now.filter(|now| now.seq == head.seq) else {
                return Ok(Decision::Nothing);
            };
            Ok::<_, Error>(act::time_out(now.snapshot)?.into())
        });
        Ok(matches!(ended.await?, Advanced::Committed(_)))
    }
}

impl ControllerMesh {
    /// Does what is due for an intent, judged by its present head. Anyone may repeat it: the guard decides every race between
    /// a time and what it waits for.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn fire(&self, due: &Due, by: &Author) -> Result<Fired, Error> {
        let Some(head) = self.head(&due.intent).await? else {
            return Ok(Fired::Nothing);
        };
        let snapshot = &head.record.snapshot;
        let now = self.now();
        if snapshot.status.is_terminal() {
            return self.tell_unread(&head, by).await;
        }
        let is_late = snapshot.deadline.is_some_and(|deadline| deadline <= now);
        if is_late
            && !Mutant::I13DeadlineSleeps.is_on()
            && !matches!(snapshot.status, Status::Parked { .. } | Status::Compensating)
        {
            return Ok(match self.time_out(&head, by).await? {
                true => Fired::TimedOut,
                false => Fired::Nothing,
            });
        }
        let went_on = |done: bool| if done { Fired::WentOn } else { Fired::Nothing };
        match &snapshot.status {
            Status::Waiting { .. } if open_waits(snapshot).next().is_some() => {
                if let Some(fired) = self.fire_people(&head, due, by).await? {
                    return Ok(fired);
                }
                let seq = head.seq;
                let is_due = |wait: &OpenWait| {
                    let opened = wait.seq.unwrap_or(seq);
                    due.waits.iter().any(|(name, at)| *name == wait.name && *at == opened)
                };
                self.resume(&due.intent, by, is_due).await.map(went_on)
            }
            Status::Waiting { .. } if snapshot.wake_at.is_some_and(|at| at <= now) => {
                self.begin_postponed(&head, by).await.map(went_on)
            }
            Status::Accepted | Status::InProgress if snapshot.back_at().is_some_and(|at| at <= now) => {
                let given = self.give_back_by_hand(&head, by).await?;
                if given {
                    let holder = snapshot.holder.as_deref().unwrap_or_default();
                    tracing::info!(intent = %due.intent, holder, "its time by hand is over, and it is given back");
                }
                Ok(went_on(given))
            }
            Status::Pending if snapshot.wake_at.is_some_and(|at| at <= now) => {
                if self.acks_long_retries(&head).await? {
                    if let Err(error) = self.reissue(&head).await {
                        return self.or_park(&due.intent, by, Err(error)).await.map(went_on);
                    }
                    return Ok(Fired::Reissued);
                }
                // A worker of before holds its ticket back itself.
                Ok(Fired::Nothing)
            }
            Status::Pending
            | Status::Accepted
            | Status::InProgress
            | Status::Waiting { .. }
            | Status::Parked { .. }
            | Status::Compensating
            | Status::Completed
            | Status::Rejected { .. }
            | Status::Failed { .. }
            | Status::Cancelled
            | Status::TimedOut
            | Status::Unknown { .. } => Ok(Fired::Nothing),
        }
    }

    /// Whether the version that has the work acks the ticket of a long retry.
    async fn acks_long_retries(&self, head: &Head) -> Result<bool, Error> {
        let (Some(agent), Some(version)) = (&head.record.snapshot.agent, &head.record.snapshot.version) else {
            return Ok(false);
        };
        let route = self.route_of(agent).await?;
        let entry = route.versions.get(version);
        Ok(entry.is_some_and(|entry| entry.protocol.newest >= ACKS_LONG_RETRIES))
    }

    /// Turns the signals that an intent has not read by its end into dead letters. Their ids are made of the signal, so that
    /// each becomes one.
    async fn tell_unread(&self, head: &Head, by: &Author) -> Result<Fired, Error> {
        let intent = &head.record.intent;
        for unread in &head.record.snapshot.signals {
            let Some(seq) = unread.seq else { continue };
            let signal = match self.record_at(intent, seq).await {
                Ok(record) => record.record.signal,
                // It is archived: that waits until all of this is told.
                Err(Error::NoEnvelope(_)) => continue,
                Err(error) => return Err(error),
            };
            let Some(signal) = signal else { continue };
            let body = baton_envelope::Body::bytes(&signal.data, signal.data_encoding.as_deref())
                .unwrap_or_else(|| signal.data.get().as_bytes().to_vec());
            let raw = RawKept {
                subject: self.subjects().signal(intent, &unread.name),
                headers: vec![(HEADER_MSG_ID.to_owned(), unread.id.clone())],
                body_base64: base64::engine::general_purpose::STANDARD.encode(body),
                extra: Extra::new(),
            };
            let (status, at) = (&head.record.snapshot.status, head.record.at);
            let message = format!("{intent} ended before it was read ({status}, {at})");
            let error = ErrorInfo::new(codes::TOO_LATE, message);
            self.keep_dead(&intent.letter(&unread.id), by, raw, error).await?;
        }
        Ok(Fired::Told)
    }

    async fn keep_dead(&self, id: &IntentId, by: &Author, raw: RawKept, error: ErrorInfo) -> Result<(), Error> {
        let written = self.advance(id, by, Known::Absent, |head, stamp| {
            if head.is_some() {
                return Ok::<_, Error>(Decision::Nothing);
            }
            // Its id is not a generated one: it stands as long as an id is remembered, since a controller that begins anew
            // finds the unread signal once more.
            Ok(act::refuse(stamp.at, error.clone(), raw.clone()).into())
        });
        written.await?;
        Ok(())
    }
}
