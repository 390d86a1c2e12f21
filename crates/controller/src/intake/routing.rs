//! Routes one raw intent: what it asks for, what it becomes, and what to record.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::{
    AgentName, Asked as Wanted, Author, Envelope, HEADER_INTENT, HEADER_KIND, HEADER_MSG_ID, HEADER_PROTOCOL,
    HEADER_WHEN_NONE, IntentId, OnConflict, RawIntent, RawRejection, Role, Submission, Unique, check_answer,
    check_from, check_own_answer, compare_submission,
};
use baton_jetstream::{ControllerMesh, Error, Head, IntakeMessage, Submitted, Uniquely};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::config::ArchiveConfig;
use crate::context::Context;
use crate::intake::again::Again;
use crate::intake::asked::Asked;
use crate::intake::keys;
use crate::intake::rejection::{Recorded, Rejection, is_of, no_child, record, usable_schema};
use crate::projection::Projection;
use crate::stats::Stats;

/// The longest time to hand a message back for when the server cannot take it.
const HAND_BACK_LONGEST: Duration = Duration::from_secs(60);

/// How long the index of the archive may take to catch up before the message is handed back.
pub(super) const CATCH_UP: Duration = Duration::from_secs(10);

/// The longest time between two tries of work that no agent is able to do: one may start at any moment.
const HOLD_LONGEST: Duration = Duration::from_secs(5);

/// What became of a raw message.
pub(crate) enum Taken {
    /// A new intent.
    New(IntentId),
    /// The ledger or the archive had it before, as this intent or this rejection.
    Known {
        /// The last record.
        head: Box<Head>,
        /// Where its sender wants the answer this time.
        reply_to: Option<String>,
    },
    /// A rejection, under this id.
    Rejected(IntentId, Rejection),
    /// It has told an intent something, or is a dead letter that says why not.
    Told,
    /// The archive has it, and nobody waits for it.
    Archived,
    /// It stays in the intake until some agent is able.
    Held,
}

/// How a raw message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Through the intake, where it stands at this sequence.
    Delivered {
        /// How often it was delivered.
        times: u64,
        /// Its sequence.
        seq: u64,
    },
    /// As a request, whose sender may repeat it for as long as the archive has its answer.
    Asked,
}

impl Way {
    fn delivered(self) -> u64 {
        match self {
            Self::Delivered { times, .. } => times,
            Self::Asked => 1,
        }
    }
}

/// What routing a message needs.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) mesh: ControllerMesh,
    pub(super) by: Author,
    kill: CancellationToken,
    pub(super) projection: Projection,
    archive: ArchiveConfig,
    stats: Stats,
    trouble: Mutex<Trouble>,
    again: Again,
}

/// The results since the last look.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) routed: usize,
    pub(crate) failed: usize,
    pub(crate) last: Option<String>,
}

impl Routing {
    pub(crate) fn new(cx: &Context) -> Self {
        Self {
            mesh: cx.mesh.clone(),
            by: cx.by.clone(),
            kill: cx.stops.kill.clone(),
            projection: cx.projection.clone(),
            archive: cx.config.archive.clone(),
            stats: cx.stats.clone(),
            trouble: Mutex::default(),
            again: Again::new(cx),
        }
    }

    /// Routes a message and settles it with the broker.
    pub(crate) async fn finish(self: Arc<Self>, message: IntakeMessage, _slot: OwnedSemaphorePermit) {
        // If this is cut off, the message stays unacked and is redelivered.
        let Some(outcome) = Box::pin(self.kill.run_until_cancelled(self.route(&message))).await else {
            return;
        };
        let failure = match outcome {
            Ok(Taken::Held) => {
                message.hand_back(patience(message.delivered()).min(HOLD_LONGEST)).await;
                return;
            }
            Ok(taken) => {
                message.ack().await;
                if let Taken::Known {
                    head,
                    reply_to: Some(reply_to),
                } = taken
                {
                    self.again.tell(head, reply_to).await;
                }
                None
            }
            Err(error) => {
                tracing::debug!(%error, subject = message.subject(), "handed back");
                message.hand_back(patience(message.delivered())).await;
                Some(error.to_string())
            }
        };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match failure {
            None => trouble.routed += 1,
            Some(error) => {
                trouble.failed += 1;
                trouble.last = Some(error);
            }
        }
    }

    /// The results since the last call.
    pub(crate) fn trouble(&self) -> Trouble {
        std::mem::take(&mut *self.trouble.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn route(&self, message: &IntakeMessage) -> Result<Taken, Error> {
        let raw = message.raw()?;
        // What cannot be read is rejected below.
        if raw.malformed().is_none() {
            match self.asked(&raw) {
                Asked::Signal(to) => return Box::pin(self.signal(message, &raw, &to)).await,
                Asked::Decision(to) => return Box::pin(self.decision(&raw, &to, message.seq())).await,
                Asked::Agent(_) | Asked::Capable(_) | Asked::Channel(_) | Asked::BadName(_) | Asked::Unsupported(_) => {
                }
            }
        }
        Box::pin(self.take(&raw, delivered(message))).await
    }

    /// Turns a message into an intent or a rejection. `Ok` means that the ledger holds one of them, or that the message
    /// waits for an able agent.
    pub(crate) async fn take(&self, raw: &RawIntent<'_>, way: Way) -> Result<Taken, Error> {
        // Before anything else is believed of it: whoever wrote its head wrote the rest, too.
        if let Some(rejection) = raw.malformed() {
            return self.reject(raw, None, rejection.into()).await;
        }
        if Box::pin(self.was_taken(raw, way)).await? {
            tracing::debug!(intent = %raw.derived_id, "redelivered, and already an intent");
            return Ok(Taken::Archived);
        }
        let (agent, needed) = match self.asked(raw) {
            Asked::Agent(agent) => (agent, None),
            Asked::Capable(needed) => match self.able(raw, way, &needed).await? {
                Able::Agent(agent) => (agent, Some(needed)),
                Able::Before(agent) => (agent, None),
                Able::NoneHold(reason) => {
                    if way.delivered() == 1 {
                        tracing::warn!(subject = raw.subject, "held in the intake: {reason}");
                    }
                    return Ok(Taken::Held);
                }
                Able::Rejected(rejection) => return self.reject(raw, None, rejection).await,
            },
            Asked::Channel(channel) => return Box::pin(self.broadcast(raw, way, channel)).await,
            Asked::BadName(error) => {
                let rejection = Rejection::new(codes::BAD_SUBJECT, format!("{error}; subject {}", raw.subject));
                return self.reject(raw, None, rejection).await;
            }
            Asked::Signal(what) | Asked::Decision(what) | Asked::Unsupported(what) => {
                let text = format!("{what} messages are not supported by this version of Baton; publish to an agent");
                return self.reject(raw, None, Rejection::new(codes::UNSUPPORTED, text)).await;
            }
        };
        let envelope = match self.envelope(raw, &agent) {
            Ok(envelope) => envelope,
            Err(rejection) => return self.reject(raw, Some(&agent), rejection.into()).await,
        };
        let unique = match keys::unique(raw, &envelope, needed.is_some()) {
            Ok(unique) => unique,
            Err(rejection) => return self.reject(raw, Some(&agent), rejection.into()).await,
        };
        let (intent, reply_to) = (envelope.intent.clone(), envelope.reply_to.clone());
        let submitted = match &unique {
            None => Box::pin(self.submit(raw, way, envelope, needed.as_deref())).await,
            Some(unique) => match Box::pin(self.submit_unique(raw, way, envelope, unique)).await {
                Ok(Uniquely::Submitted(submitted)) => Ok(submitted),
                Ok(Uniquely::Held(head)) if unique.on_conflict == OnConflict::Refuse => {
                    let rejection = Rejection::not_unique(unique, &head);
                    return self.reject(raw, None, rejection).await;
                }
                Ok(Uniquely::Held(head)) => {
                    tracing::debug!(%intent, holder = %head.record.intent, "its unique key is held");
                    return Ok(Taken::Known { head, reply_to });
                }
                Err(error) => Err(error),
            },
        };
        match submitted {
            Ok(Submitted::New { seq }) => {
                tracing::debug!(%intent, %agent, seq, "routed");
                Ok(Taken::New(intent))
            }
            Ok(Submitted::Repeated(head)) if way == Way::Asked && !self.may_hear(raw, &intent).await? => {
                self.conflict(raw, &head, Some("from")).await
            }
            Ok(Submitted::Repeated(head)) => Ok(Taken::Known { head, reply_to }),
            // An earlier delivery of this message was rejected under its chosen id.
            Ok(Submitted::Conflict { head, .. }) if is_of(&head, raw) => Ok(Taken::Known { head, reply_to }),
            Ok(Submitted::Conflict { head, field }) => self.conflict(raw, &head, field).await,
            Err(error) => match Rejection::of_error(&error) {
                Some(rejection) => self.reject(raw, Some(&agent), rejection).await,
                None => Err(error),
            },
        }
    }

    /// The author of the first record. In an open mesh anybody can write an account into the subject: it is then worth
    /// what any name is.
    fn author(&self, raw: &RawIntent<'_>) -> Author {
        match self.mesh.subjects().intake(raw.subject).0 {
            Some(account) => Author::of(Role::Client, account),
            None => self.by.clone(),
        }
    }

    async fn submit_unique(
        &self,
        raw: &RawIntent<'_>,
        way: Way,
        envelope: Envelope,
        unique: &Unique,
    ) -> Result<Uniquely, Error> {
        match self.in_archive(raw, way, &envelope).await? {
            Some(found) => Ok(Uniquely::Submitted(found)),
            None => Box::pin(self.mesh.submit_unique(envelope, self.author(raw), unique)).await,
        }
    }

    /// What was asked before and is in the archive alone.
    async fn in_archive(&self, raw: &RawIntent<'_>, way: Way, envelope: &Envelope) -> Result<Option<Submitted>, Error> {
        match way == Way::Asked && envelope.intent != raw.derived_id {
            true => self.mesh.submitted_in_archive(envelope).await,
            false => Ok(None),
        }
    }

    async fn submit(
        &self,
        raw: &RawIntent<'_>,
        way: Way,
        envelope: Envelope,
        needed: Option<&[String]>,
    ) -> Result<Submitted, Error> {
        let by = self.author(raw);
        let is_derived = envelope.intent == raw.derived_id;
        if let Some(found) = self.in_archive(raw, way, &envelope).await? {
            return Ok(found);
        }
        match needed {
            None if envelope.order_key.is_some() => self.submit_in_order(way, envelope, by, is_derived).await,
            None if is_derived => self.mesh.submit_new(envelope, by).await,
            None => self.mesh.submit(envelope, by).await,
            Some(needed) => {
                let submitted = if is_derived {
                    self.mesh.submit_capable_new(needed, envelope, by).await
                } else {
                    self.mesh.submit_capable(needed, envelope, by).await
                };
                submitted.map(|(_, submitted)| submitted)
            }
        }
    }

    /// Submits work with an order key: what was published is in the order of the intake.
    async fn submit_in_order(
        &self,
        way: Way,
        envelope: Envelope,
        by: Author,
        is_derived: bool,
    ) -> Result<Submitted, Error> {
        match (way, is_derived) {
            (Way::Delivered { seq, .. }, _) => self.mesh.submit_routed(envelope, by, is_derived, seq).await,
            (Way::Asked, true) => self.mesh.submit_new(envelope, by).await,
            (Way::Asked, false) => self.mesh.submit(envelope, by).await,
        }
    }

    /// Whether whoever asks may hear the answer of an intent that was there before: where accounts are kept apart, it is
    /// for the account that submitted it.
    async fn may_hear(&self, raw: &RawIntent<'_>, intent: &IntentId) -> Result<bool, Error> {
        let Some(account) = self
            .mesh
            .subjects()
            .intake(raw.subject)
            .0
            .filter(|_| self.mesh.is_secured())
        else {
            return Ok(true);
        };
        let first = self.mesh.trail(intent).await?.into_iter().next();
        let envelope = first.and_then(|first| first.record.envelope);
        Ok(envelope.is_some_and(|envelope| envelope.from.as_deref() == Some(account)))
    }

    /// Rejects a message whose id other work has.
    pub(super) async fn conflict(&self, raw: &RawIntent<'_>, head: &Head, field: Option<&str>) -> Result<Taken, Error> {
        let intent = &head.record.intent;
        let differs = field.map_or_else(String::new, |field| format!(", with another `{field}`"));
        let text = format!(
            "intent id \"{intent}\" is taken by other work{differs} ({}, submitted {}); fix: choose another id, or send the same \
             agent, kind and payload to repeat it",
            head.record.snapshot.status, head.record.snapshot.submitted_at
        );
        let ids = vec![raw.derived_id.clone()];
        self.stats.conflicted();
        self.recorded(raw, ids, None, Rejection::new(codes::CONFLICT, text))
            .await
    }

    /// Whether this message became an intent at an earlier delivery. A crash of a single server may lose the last acks, and
    /// the ledger keeps nothing of an id derived from a message.
    ///
    /// The ledger is read before the archive, and what is there is not written again: its records may be archived and purged
    /// before that write arrives, and the write would begin a second life.
    async fn was_taken(&self, raw: &RawIntent<'_>, way: Way) -> Result<bool, Error> {
        let is_old = self.mesh.now().since(raw.stored_at) >= self.archive.grace;
        if !(way.delivered() > 1 || is_old) || raw.intent_id() != raw.derived_id {
            return Ok(false);
        }
        if let Some(head) = self.mesh.head(&raw.derived_id).await? {
            return self.is_its(&head, raw).await;
        }
        self.projection.archive_caught_up(CATCH_UP).await?;
        let at = self.projection.find_archived(&raw.derived_id).await?;
        Ok(self.mesh.bundle_of(&raw.derived_id, at).await?.is_some())
    }

    /// Whether an intent under the id of this message is the message's own. Then what it owes is paid: the router that wrote
    /// it may have died before.
    async fn is_its(&self, head: &Head, raw: &RawIntent<'_>) -> Result<bool, Error> {
        if is_of(head, raw) {
            return Ok(true);
        }
        let first = self.mesh.trail(&raw.derived_id).await?.into_iter().next();
        if let (Some(first), Asked::Channel(channel)) = (&first, self.asked(raw)) {
            return self.is_its_broadcast(head, &first.record, raw, &channel).await;
        }
        let Some(there) = first.and_then(|first| first.record.envelope) else {
            return Ok(false);
        };
        let agent = match self.asked(raw) {
            Asked::Agent(agent) => agent,
            Asked::Capable(_) => there.to.clone(),
            Asked::Signal(_) | Asked::Decision(_) | Asked::Channel(_) | Asked::BadName(_) | Asked::Unsupported(_) => {
                return Ok(false);
            }
        };
        let Ok(here) = raw.to_envelope(self.mesh.clock().envelope_id(), &agent, raw.stored_at) else {
            return Ok(false);
        };
        if compare_submission(&there, &here) != Submission::Same {
            return Ok(false);
        }
        self.mesh.settle(head).await?;
        Ok(true)
    }

    /// The agent that is able to do what a capability subject asks for. If there is none, what the message asks for in
    /// that case.
    async fn able(&self, raw: &RawIntent<'_>, way: Way, needed: &[String]) -> Result<Able, Error> {
        if raw.header(HEADER_PROTOCOL).is_some() {
            let text = "an envelope names its agent: publish it on the agent's subject, or its payload alone here";
            return Ok(Able::Rejected(Rejection::new(codes::BAD_SUBJECT, text)));
        }
        let hold = match raw.header(HEADER_WHEN_NONE).map(str::trim) {
            None | Some("reject") => false,
            Some("hold") => true,
            Some(other) => {
                let text = format!("{HEADER_WHEN_NONE} \"{other}\" is no policy; fix: give reject or hold");
                return Ok(Able::Rejected(Rejection::new(codes::BAD_HEADER, text)));
            }
        };
        let intent = raw.intent_id();
        // Work from an earlier delivery stays with the agent that got it, no matter who is able now.
        let is_named = raw.header(HEADER_INTENT).or(raw.header(HEADER_MSG_ID)).is_some();
        if is_named || way.delivered() > 1 {
            match self.mesh.first_receiver(&intent).await {
                Ok(Some(agent)) => return Ok(Able::Before(agent)),
                Ok(None) => {}
                Err(error) => return Rejection::of_error(&error).map(Able::Rejected).ok_or(error),
            }
        }
        let none = BTreeMap::new();
        let asked = Wanted {
            root: &intent,
            kind: raw.header(HEADER_KIND),
            pins: &none,
            path: &[],
        };
        match self.mesh.choose_capable(needed, &asked).await {
            Ok((agent, choice, _)) => {
                tracing::debug!(%intent, %agent, version = %choice.version, ?needed, "chose an able agent");
                Ok(Able::Agent(agent))
            }
            // Hold nothing that would be refused anyway: a bad header, or a passed deadline.
            Err(error @ Error::NoneCapable { .. }) if hold => Ok(match raw.check(self.mesh.now()) {
                Ok(()) => Able::NoneHold(error.to_string()),
                Err(rejection) => Able::Rejected(rejection.into()),
            }),
            Err(error) => match Rejection::of_error(&error) {
                Some(rejection) => Ok(Able::Rejected(rejection)),
                None => Err(error),
            },
        }
    }

    pub(super) fn envelope(&self, raw: &RawIntent<'_>, agent: &AgentName) -> Result<Envelope, RawRejection> {
        let mut envelope = raw.to_envelope(self.mesh.clock().envelope_id(), agent, self.mesh.now())?;
        match self.mesh.subjects().intake(raw.subject).0 {
            // The server put the account there; what a body says of its sender counts for nothing beside it.
            Some(account) => {
                check_from(account).map_err(|bad| RawRejection {
                    code: codes::BAD_SUBJECT,
                    field: "account".to_owned(),
                    value: bad.value,
                    problem: bad.problem,
                    fix: bad.fix,
                })?;
                envelope.from = Some(account.to_owned());
            }
            None if self.mesh.is_secured() => envelope.from = None,
            None => {}
        }
        usable_schema(&envelope)?;
        if self.mesh.is_secured() {
            no_child(&envelope)?;
        }
        if let Some(reply_to) = envelope.reply_to.as_deref() {
            let account = self.mesh.subjects().intake(raw.subject).0;
            let may_hear = account.map_or(Ok(()), |account| check_own_answer(reply_to, account));
            let checked = may_hear.and_then(|()| check_answer(reply_to, self.mesh.subjects().namespace()));
            checked.map_err(|bad| RawRejection {
                code: codes::BAD_REPLY_TO,
                field: bad.field.to_owned(),
                value: bad.value,
                problem: bad.problem,
                fix: bad.fix,
            })?;
        }
        Ok(envelope)
    }

    /// Rejects a message whose ids no other work has taken.
    pub(crate) async fn reject(
        &self,
        raw: &RawIntent<'_>,
        agent: Option<&AgentName>,
        rejection: Rejection,
    ) -> Result<Taken, Error> {
        // What the message would become, or became at an earlier delivery: at the time of storing its deadline had not
        // passed.
        let envelope = agent.and_then(|agent| {
            raw.to_envelope(self.mesh.clock().envelope_id(), agent, raw.stored_at)
                .ok()
        });
        let chosen = match &envelope {
            Some(envelope) => envelope.intent.clone(),
            None => raw.enveloped_id().unwrap_or_else(|| raw.intent_id()),
        };
        let ids = if chosen == raw.derived_id {
            vec![chosen]
        } else {
            vec![chosen, raw.derived_id.clone()]
        };
        self.recorded(raw, ids, envelope.as_ref(), rejection).await
    }

    pub(super) async fn recorded(
        &self,
        raw: &RawIntent<'_>,
        ids: Vec<IntentId>,
        envelope: Option<&Envelope>,
        rejection: Rejection,
    ) -> Result<Taken, Error> {
        let Rejection { code, message } = &rejection;
        Ok(
            match record(&self.mesh, &self.by, raw, ids, envelope, &rejection).await? {
                Recorded::Rejected(intent) => {
                    tracing::warn!(%intent, code, subject = raw.subject, "rejected: {message}");
                    Taken::Rejected(intent, rejection)
                }
                Recorded::Before(head) => {
                    tracing::debug!(code, subject = raw.subject, "recorded by an earlier delivery");
                    Taken::Known { head, reply_to: None }
                }
            },
        )
    }
}

/// The way of a message of the intake.
fn delivered(message: &IntakeMessage) -> Way {
    Way::Delivered {
        times: message.delivered(),
        seq: message.seq(),
    }
}

/// The answer to a capability subject.
enum Able {
    /// This agent.
    Agent(AgentName),
    /// This agent got it, at an earlier delivery or under the same id.
    Before(AgentName),
    /// None, and the message asks to be held.
    NoneHold(String),
    /// None, or the message is invalid.
    Rejected(Rejection),
}

/// How long to hand a failed message back for. The time grows with each delivery, so that a message that never succeeds
/// does not keep the routers busy.
fn patience(delivered: u64) -> Duration {
    let doublings = u32::try_from(delivered.saturating_sub(1)).unwrap_or(u32::MAX).min(6);
    (Duration::from_secs(1) * 2_u32.pow(doublings)).min(HAND_BACK_LONGEST)
}
