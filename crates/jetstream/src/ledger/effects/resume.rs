//! Resuming a waiting intent: what it waits for has come.

use baton_envelope::{
    Author, Ends, ErrorInfo, Extra, IntentId, Json, OnTimeout, OpenWait, Role, SignalEntry, Snapshot, Status, WaitKind,
    WaitOutcome, WaitResult, act, codes, satisfied,
};

use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::Mesh;

/// How many times to read a head again that others write to.
const TRIES: u32 = 20;

/// Whether somebody may write the `resumed` of a head: a controller, or a worker of the agent whose turn it is. Others leave it
/// to the sweeper.
pub(super) fn may_resume(by: &Author, head: &Snapshot) -> bool {
    match by.role {
        Role::Controller => true,
        Role::Worker => by.agent.is_some() && by.agent == head.agent,
        Role::Client | Role::Operator | Role::Unknown(_) => false,
    }
}

/// What a waiting head comes to.
enum Next {
    /// It goes on with these results; the signals with these ids are taken.
    Resume(Vec<WaitResult>, Vec<String>),
    /// A wait has run out of time, and says that the intent is parked.
    Park(ErrorInfo),
    /// As above, that it fails.
    Fail(ErrorInfo),
    /// It is a message of a channel, and ends with this result.
    Gather(Json),
}

impl Mesh {
    /// Resumes an intent if its waits have ended; `is_due` tells whose time is over. Whoever comes first has written it, and
    /// the others find that nothing is owed.
    ///
    /// # Errors
    /// When the server does not answer, or the ticket could not be written.
    pub(crate) async fn resume(
        &self,
        intent: &IntentId,
        by: &Author,
        is_due: impl Fn(&OpenWait) -> bool + Send + Sync,
    ) -> Result<bool, Error> {
        let resumed = self.resume_now(intent, by, is_due).await;
        self.or_park(intent, by, resumed).await
    }

    /// Sets an intent aside that can never go on: the ledger has lost records of its hop, or what would let it go on is too large
    /// for one record. Else it would be tried for ever, and nobody would know.
    pub(crate) async fn or_park(
        &self,
        intent: &IntentId,
        by: &Author,
        done: Result<bool, Error>,
    ) -> Result<bool, Error> {
        let error = match done {
            Err(error @ (Error::NoEnvelope(_) | Error::TooLarge { .. })) => error,
            done => return done,
        };
        let is_lost = matches!(error, Error::NoEnvelope(_));
        let parked = self.advance(intent, by, Known::Unread, |now, _| {
            let Some(now) = now.map(|now| now.snapshot) else {
                return Ok(Decision::Nothing);
            };
            let is_aside = now.status.is_terminal() || matches!(now.status, Status::Parked { .. });
            let is_untaken = now.holder.is_none() && matches!(now.status, Status::Pending | Status::Waiting { .. });
            if is_lost && !is_aside {
                Ok::<_, Error>(act::park_lost(now)?.into())
            } else if !is_lost && is_untaken {
                let why = ErrorInfo::new(codes::PAYLOAD_TOO_LARGE, format!("it cannot go on: {error}"));
                Ok(act::park(now, why)?.into())
            } else {
                Ok(Decision::Nothing)
            }
        });
        let is_parked = matches!(Box::pin(parked).await?, Advanced::Committed(_));
        if is_parked {
            tracing::error!(%intent, %error, "an intent is parked that can never go on");
        }
        match is_parked || is_lost {
            true => Ok(is_parked),
            false => Err(error),
        }
    }

    async fn resume_now(
        &self,
        intent: &IntentId,
        by: &Author,
        is_due: impl Fn(&OpenWait) -> bool + Send + Sync,
    ) -> Result<bool, Error> {
        for _ in 0..TRIES {
            let Some(head) = self.head(intent).await? else {
                return Ok(false);
            };
            let Some(ends) = satisfied(&head.record.snapshot, &is_due) else {
                return Ok(false);
            };
            if !Box::pin(self.submit_detached(&head, by)).await? {
                return Ok(false);
            }
            if head.record.snapshot.awaited_receivers().is_some() {
                let next = Next::Gather(Box::pin(self.gathered(&head)).await?);
                if self.go_on(&head, by, &next).await? {
                    return Ok(true);
                }
                continue;
            }
            let ends: Vec<(OpenWait, Ends)> = ends.into_iter().map(|(wait, end)| (wait.clone(), end)).collect();
            let next = self.next_of(&head, ends).await?;
            if self.go_on(&head, by, &next).await? {
                return Ok(true);
            }
        }
        Err(Error::Raced(intent.clone()))
    }

    /// Resumes an intent that waited for nothing but its time.
    ///
    /// # Errors
    /// As [`Mesh::resume`].
    pub(crate) async fn begin_postponed(&self, head: &Head, by: &Author) -> Result<bool, Error> {
        let gone_on = self.go_on(head, by, &Next::Resume(Vec::new(), Vec::new())).await;
        self.or_park(&head.record.intent, by, gone_on).await
    }

    async fn next_of(&self, head: &Head, ends: Vec<(OpenWait, Ends)>) -> Result<Next, Error> {
        let (mut results, mut taken) = (Vec::with_capacity(ends.len()), Vec::new());
        for (wait, end) in ends {
            match (&end, &wait.kind, &wait.then) {
                (Ends::Time, WaitKind::Sleep, _) | (Ends::Time, _, OnTimeout::Give | OnTimeout::Unknown(_)) => {}
                (Ends::Time, _, OnTimeout::Park) => return Ok(Next::Park(timed_out(&wait))),
                (Ends::Time, _, OnTimeout::Fail) => return Ok(Next::Fail(timed_out(&wait))),
                (Ends::Signal { .. } | Ends::Decision(_) | Ends::Another | Ends::Children, _, _) => {}
            }
            results.push(self.result_of(head, wait, &end).await?);
            if let Ends::Signal { id, .. } = end {
                taken.push(id);
            }
        }
        Ok(Next::Resume(results, taken))
    }

    async fn result_of(&self, head: &Head, wait: OpenWait, end: &Ends) -> Result<WaitResult, Error> {
        let outcome = match (end, &wait.kind) {
            (Ends::Signal { .. }, _) => WaitOutcome::Signalled,
            (Ends::Decision(_), _) => WaitOutcome::Decided,
            (Ends::Time, WaitKind::Sleep) => WaitOutcome::Slept,
            (Ends::Time, _) => WaitOutcome::TimedOut,
            (Ends::Another, _) => WaitOutcome::Abandoned,
            (Ends::Children, _) => WaitOutcome::Joined,
        };
        let mut result = WaitResult {
            name: wait.name,
            kind: wait.kind,
            outcome,
            data: Json::null(),
            data_encoding: None,
            by: None,
            at: None,
            seq: None,
            children: Vec::new(),
            extra: Extra::new(),
        };
        if result.kind == WaitKind::Children {
            result.children = Box::pin(self.ends_of(head, wait.hop, &result.name)).await?;
        }
        match end {
            Ends::Signal { seq, .. } => {
                let seq = seq.unwrap_or(head.seq);
                if let Some(signal) = self.signal_at(head, seq).await? {
                    result.data = signal.data;
                    result.data_encoding = signal.data_encoding;
                    result.by = signal.by;
                    result.at = signal.at;
                }
                result.seq = Some(seq);
            }
            Ends::Decision(choice) => {
                Box::pin(self.decided(head, wait.ballot.as_ref(), choice, &mut result)).await?;
            }
            Ends::Time | Ends::Another | Ends::Children => {}
        }
        Ok(result)
    }

    /// The signal of a record.
    async fn signal_at(&self, head: &Head, seq: u64) -> Result<Option<Box<SignalEntry>>, Error> {
        if seq == head.seq && head.record.signal.is_some() {
            return Ok(head.record.signal.clone());
        }
        Ok(self.record_at(&head.record.intent, seq).await?.record.signal)
    }

    /// Writes what a head comes to. `false` when it has moved on meanwhile.
    async fn go_on(&self, head: &Head, by: &Author, next: &Next) -> Result<bool, Error> {
        let intent = &head.record.intent;
        let written = self.advance(intent, by, Known::Read(head), |now, _| {
            let Some(now) = now.filter(|now| now.seq == head.seq) else {
                return Ok(Decision::Nothing);
            };
            let (results, taken) = match next {
                Next::Park(error) => return Ok(act::park(now.snapshot, error.clone())?.into()),
                Next::Fail(error) => return Ok(act::fail(now.snapshot, error.clone())?.into()),
                Next::Gather(result) => return Ok(act::gather(now.snapshot, result.clone())?.into()),
                Next::Resume(results, taken) => (results, taken),
            };
            let Some(last) = now.envelope else {
                return Ok(Decision::ReadEnvelope);
            };
            let Some(version) = now.snapshot.version.clone() else {
                return Err(Error::NoEnvelope(intent.clone()));
            };
            // In the form that the version got before, under a new id.
            let again = last.again(self.clock().envelope_id());
            let (envelope, _) = again
                .in_form(last.protocol)
                .map_err(|error| Error::api("writing an envelope", error))?;
            let draft = act::resume(now.snapshot, envelope, version, results.clone(), taken)?;
            Ok::<_, Error>(draft.into())
        });
        Ok(matches!(written.await?, Advanced::Committed(_)))
    }
}

fn timed_out(wait: &OpenWait) -> ErrorInfo {
    let after = std::time::Duration::from_millis(wait.after_ms.unwrap_or_default());
    let message = format!("nothing ended wait \"{}\" within {after:?}", wait.name);
    ErrorInfo::new(codes::WAIT_EXPIRED, message)
}
