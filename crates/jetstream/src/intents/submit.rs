//! Submitting an intent: `submitted` at expected sequence 0, then the ticket.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::control::{SubmitIntent, SubmitView};
use baton_envelope::{
    AgentName, AgentVersion, Asked, Author, Envelope, IntentId, Origin, PathEntry, Pinning, ProtocolRange, Role,
    Timestamp, act, check_answer, choose, differing_field,
};

use super::form::in_form_for;
use super::unique::KEPT;
use crate::error::Error;
use crate::ledger::{Advanced, Committed, Decision, Head, Known};
use crate::server::Mesh;

/// The outcomes of a submit that a controller made, on the wire.
const NEW: &str = "new";
const REPEATED: &str = "repeated";
const CONFLICT: &str = "conflict";

/// The result of a submit.
#[derive(Debug)]
pub enum Submitted {
    /// The intent is new, and its record is at this sequence.
    New {
        /// Its sequence in the ledger stream.
        seq: u64,
    },
    /// The same work was submitted under this id before; this is its head.
    Repeated(Box<Head>),
    /// Other work was submitted under this id before.
    Conflict {
        /// Its head.
        head: Box<Head>,
        /// The first field that differs; `None` when the ledger no longer has the work to compare with.
        field: Option<&'static str>,
    },
}

/// Work that was due at a time: whoever submits it, and whenever, writes the same beginning. So a repeat that comes when
/// the intent is long archived is the same life of it, and is taken away again.
#[derive(Debug, Clone, PartialEq)]
pub struct DueWork {
    /// When it was due.
    pub at: Timestamp,
    /// When whoever submits it began to look whether that was done before. Should it freeze afterwards, its record is as old
    /// as that: then a worker that gets the ticket asks the archive.
    pub looked_at: Timestamp,
    /// Who submits it, and why, for the history.
    pub note: String,
    /// The agents and versions that its parent came by, for a child. Its deadline may have passed: then it ends by that.
    pub path: Vec<PathEntry>,
}

/// How a submit came about.
#[derive(Debug, Clone, Copy)]
enum Way<'a> {
    /// Somebody asks for it.
    Plain,
    /// It is made of a hop of another intent, if of one.
    From(Option<&'a Origin>),
    /// It was due.
    Due(&'a DueWork),
    /// A router took it from the intake, at this sequence.
    Routed(u64),
}

impl<'a> Way<'a> {
    fn parts(self) -> (Option<&'a Origin>, Option<&'a DueWork>, Option<u64>) {
        match self {
            Self::Plain => (None, None, None),
            Self::From(origin) => (origin, None, None),
            Self::Due(due) => (None, Some(due), None),
            Self::Routed(intake) => (None, None, Some(intake)),
        }
    }
}

impl Submitted {
    /// What a controller answers to whoever asked it to submit.
    pub fn view(&self, intent: IntentId, agent: Option<AgentName>) -> SubmitView {
        let (outcome, seq, field) = match self {
            Self::New { seq } => (NEW, *seq, None),
            Self::Repeated(head) => (REPEATED, head.seq, None),
            Self::Conflict { head, field } => (CONFLICT, head.seq, *field),
        };
        SubmitView {
            intent,
            agent,
            outcome: outcome.to_owned(),
            seq,
            field: field.map(str::to_owned),
        }
    }
}

/// What to tell where this user may neither write nor ask.
fn neither(write: Error, ask: Error) -> Error {
    match (write, ask) {
        (Error::Denied { what: write }, Error::Denied { what: ask }) => Error::Denied {
            what: format!("{write}; nor to {ask}"),
        },
        (_, ask) => ask,
    }
}

/// The field that a controller names, where this build knows it.
fn known_field(named: &str) -> Option<&'static str> {
    ["to", "kind", "payload_encoding", "payload"]
        .into_iter()
        .find(|field| *field == named)
}

impl Mesh {
    /// Submits an intent: the version comes from the envelope's pins, else from the route.
    ///
    /// The id is an idempotency key. A submit that finds it taken compares: the same work is the same intent, other
    /// work is a conflict. Either way, if nobody has taken the intent yet, it writes the ticket once more. So the next
    /// submit completes one whose submitter died between its two writes.
    ///
    /// # Errors
    /// When the agent is unknown, the deadline has passed, or the server refuses.
    pub async fn submit(&self, envelope: Envelope, by: Author) -> Result<Submitted, Error> {
        self.submit_as(envelope, by, false).await
    }

    /// Submits an intent whose id was created for this submit alone ([`Clock::intent_id`](crate::Clock::intent_id)), so
    /// that nobody will submit it again: once it is archived, the ledger keeps nothing of it.
    ///
    /// # Errors
    /// As [`Mesh::submit`].
    pub async fn submit_new(&self, envelope: Envelope, by: Author) -> Result<Submitted, Error> {
        self.submit_as(envelope, by, true).await
    }

    /// As [`Mesh::submit`], for what is made of a hop of another intent.
    pub(super) async fn submit_from(
        &self,
        envelope: Envelope,
        by: Author,
        generated: bool,
        origin: Option<&Origin>,
    ) -> Result<Submitted, Error> {
        Box::pin(self.submit_at(envelope, by, generated, Way::From(origin))).await
    }

    /// Submits work that was due at a time, under an id that follows from what it is. Whoever submits it later than it may
    /// be archived by asks the archive first.
    ///
    /// # Errors
    /// As [`Mesh::submit`].
    pub async fn submit_due(&self, envelope: Envelope, by: Author, due: &DueWork) -> Result<Submitted, Error> {
        Box::pin(self.submit_at(envelope, by, true, Way::Due(due))).await
    }

    /// Submits what a router has taken from the intake, at this sequence there: with an order key it gets its place once all
    /// before it in the intake are routed. `generated` tells whether the id was made for this submit alone.
    ///
    /// # Errors
    /// As [`Mesh::submit`].
    pub async fn submit_routed(
        &self,
        envelope: Envelope,
        by: Author,
        generated: bool,
        intake: u64,
    ) -> Result<Submitted, Error> {
        Box::pin(self.submit_at(envelope, by, generated, Way::Routed(intake))).await
    }

    pub(crate) async fn submit_as(&self, envelope: Envelope, by: Author, generated: bool) -> Result<Submitted, Error> {
        Box::pin(self.submit_at(envelope, by, generated, Way::Plain)).await
    }

    /// Whether the times of new work make sense, and the mesh can keep them.
    async fn check_times(&self, envelope: &Envelope, may_be_late: bool) -> Result<(), Error> {
        let now = self.now();
        if let Some(deadline) = envelope.deadline.filter(|deadline| *deadline <= now && !may_be_late) {
            let problem = format!("{deadline} is in the past (now {now}); give a time in the future, or none");
            return Err(Error::BadEnvelope {
                field: "deadline",
                problem,
            });
        }
        if let Some(from) = envelope.not_before.filter(|from| *from > now) {
            if let Some(deadline) = envelope.deadline.filter(|deadline| *deadline <= from) {
                let problem = format!("{from} is not before the deadline, {deadline}; give an earlier time, or none");
                return Err(Error::BadEnvelope {
                    field: "not_before",
                    problem,
                });
            }
            if !Box::pin(self.knows_waits()).await? {
                return Err(Error::MeshTooOld {
                    what: "begin work later".to_owned(),
                });
            }
            if envelope.order_key.is_some() {
                let problem = "is for work that begins in its turn, and this has a `not_before`; give one of the two";
                return Err(Error::BadEnvelope {
                    field: "order_key",
                    problem: problem.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Boxed by whoever calls it: its state holds several envelopes, and each caller's would hold it.
    async fn submit_at(
        &self,
        mut envelope: Envelope,
        by: Author,
        generated: bool,
        way: Way<'_>,
    ) -> Result<Submitted, Error> {
        let (origin, due, intake) = way.parts();
        let path = due.map_or(&[][..], |due| &due.path);
        // The deadline of a child may have passed: then it ends by that.
        Box::pin(self.check_times(&envelope, !path.is_empty())).await?;
        envelope.check_texts()?;
        envelope.check_payload_ref()?;
        envelope.check_budget()?;
        envelope = envelope.with_counted_budget();
        if let Some(reply_to) = &envelope.reply_to {
            check_answer(reply_to, self.subjects().namespace())?;
        }
        if origin.is_none() {
            envelope.check_itinerary()?;
            Box::pin(self.check_gates(&envelope)).await?;
            Box::pin(self.check_ahead(&envelope)).await?;
        }
        // An unknown agent has no stream for the ticket, whatever version the intent is pinned to.
        let asked = Asked {
            root: envelope.root(),
            kind: envelope.kind.as_deref(),
            pins: &envelope.pins,
            path,
        };
        let placed = self.place(&envelope.to, &asked).await?;
        let said = way.parts().1.map(|due| due.note.clone());
        let note = placed.note(said.filter(|said| !said.is_empty()));
        let (version, route) = (placed.choice.version, placed.route);
        let meant_for = envelope.to.clone();
        if let Some(stands_in) = placed.stands_in {
            envelope.to = route.agent.clone();
            envelope.stands_in = Some(Box::new(stands_in));
            envelope.history.extend(placed.passed_by.map(|entry| *entry));
        }
        let pinning = envelope.pinning.as_ref().unwrap_or(&route.pinning);
        if *pinning == Pinning::Chain {
            envelope.pins = Box::pin(self.pins_of_now(&envelope, &version)).await?;
        }
        envelope.to_version = Some(version.clone());
        let given = envelope.payload_ref.clone();
        let from = envelope.protocol;
        if given.is_some() || envelope.has_large_payload() {
            envelope = Box::pin(self.fitted(&route, &version, envelope)).await?;
        }
        if given.is_some() && envelope.payload_ref == given {
            Box::pin(self.must_have_payload(&envelope)).await?;
        }
        let (envelope, conversion) = in_form_for(&route, &version, envelope, from, ProtocolRange::of_forms())?;
        let intent = envelope.intent.clone();
        let is_fair = route.limits.as_ref().is_some_and(|limits| limits.fair.is_some());
        let submitter = is_fair.then(|| submitter(&envelope, &by));
        let submitted = self.advance(&intent, &by, Known::Absent, |head, stamp| {
            if head.is_some() {
                return Ok::<_, Error>(Decision::Nothing);
            }
            let at = due.map_or(stamp.at, |due| due.at);
            let draft = act::submit_child(at, version.clone(), envelope.clone(), path);
            let draft = draft.by_hand(route.is_manual(&version));
            let mut draft = draft.routed_from(intake).in_turn_of(submitter.as_deref());
            draft.conversion.clone_from(&conversion);
            draft.generated_id = generated;
            draft.snapshot.restarted_from = origin.cloned().map(Box::new);
            draft.at = due.map(|due| due.at);
            draft.looked_at = due.map(|due| due.looked_at);
            draft.note.clone_from(&note);
            Ok(draft.into())
        });
        match submitted.await? {
            Advanced::Committed(Committed { seq, .. }) => Ok(Submitted::New { seq }),
            // Boxed, so that the common case stays small.
            Advanced::Unchanged(Some(head)) => Box::pin(self.compare(&meant_for, envelope, head)).await,
            Advanced::Unchanged(None) => Err(Error::NoIntent(intent)),
        }
    }

    /// Refuses a gate before an agent that nobody knows: by a misspelt name nobody is ever asked.
    async fn check_gates(&self, envelope: &Envelope) -> Result<(), Error> {
        for agent in envelope.gates.keys().filter(|agent| **agent != envelope.to) {
            self.route_of(agent).await?;
        }
        Ok(())
    }

    /// Refuses an itinerary by way of an agent that nobody knows: the work would be stuck before it.
    async fn check_ahead(&self, envelope: &Envelope) -> Result<(), Error> {
        for agent in envelope.agents_ahead() {
            self.route_of(agent).await?;
        }
        Ok(())
    }

    /// The version of every agent that the routes give this intent now; its own pins come first.
    async fn pins_of_now(
        &self,
        envelope: &Envelope,
        first: &AgentVersion,
    ) -> Result<BTreeMap<AgentName, AgentVersion>, Error> {
        let mut pins = BTreeMap::from([(envelope.to.clone(), first.clone())]);
        for route in self.known_routes().await? {
            let asked = Asked {
                root: envelope.root(),
                kind: None,
                pins: &envelope.pins,
                path: &[],
            };
            // Where a pin names a version that takes no work, the intent is refused only when it gets there.
            if let Ok(choice) = choose(&route, &asked) {
                pins.entry(route.agent.clone()).or_insert(choice.version);
            }
        }
        for (agent, version) in &envelope.pins {
            pins.insert(agent.clone(), version.clone());
        }
        Ok(pins)
    }

    /// Submits as soon as the agent is known: a newly started worker's agent is, once a controller has heard it.
    ///
    /// # Errors
    /// As [`Mesh::submit`]; `UnknownAgent` when the agent is still unknown after `patience`.
    pub async fn submit_when_known(
        &self,
        envelope: Envelope,
        by: Author,
        patience: Duration,
    ) -> Result<Submitted, Error> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            match Box::pin(self.submit(envelope.clone(), by.clone())).await {
                Err(Error::UnknownAgent { .. }) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                submitted => return submitted,
            }
        }
    }

    /// Submits an intent in the way that is open to this user: in a secured mesh by asking a controller, in another one by its
    /// own writes, and by asking only where these are denied. `needed` is what the agent must be able to do; with it the
    /// envelope names any agent. `generated` tells whether the id was made for this submit alone.
    ///
    /// # Errors
    /// As [`Mesh::submit`] and [`Mesh::ask_controller`].
    pub async fn submit_or_ask(
        &self,
        envelope: Envelope,
        needed: &[String],
        by: Author,
        generated: bool,
    ) -> Result<Submitted, Error> {
        let (own_envelope, own_by) = (envelope.clone(), by.clone());
        let own = Box::pin(async move {
            match needed {
                [] => self.submit_as(own_envelope, own_by, generated).await,
                needed => self
                    .submit_capable_as(needed, own_envelope, own_by, generated)
                    .await
                    .map(|(_, submitted)| submitted),
            }
        });
        let ask = Box::pin(self.ask_to_submit(envelope, needed, by, generated));
        self.write_or_ask("submit", own, ask).await
    }

    /// Does something in the way that is open to this user: in a secured mesh by asking a controller, in another one by its own
    /// writes, and by asking only where these are denied. What is not needed is not begun.
    pub(super) async fn write_or_ask<T: Send>(
        &self,
        what: &'static str,
        own: impl Future<Output = Result<T, Error>> + Send,
        ask: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        if self.is_secured() {
            return ask.await;
        }
        match own.await {
            Err(denied @ Error::Denied { .. }) => {
                tracing::debug!(error = %denied, "a controller is asked to {what}");
                ask.await.map_err(|error| neither(denied, error))
            }
            own => own,
        }
    }

    async fn ask_to_submit(
        &self,
        envelope: Envelope,
        needed: &[String],
        by: Author,
        generated: bool,
    ) -> Result<Submitted, Error> {
        let envelope = match envelope.has_large_payload() {
            true => Box::pin(self.fitted_to_ask(envelope, needed)).await?,
            false => envelope,
        };
        let question = SubmitIntent {
            envelope,
            needed: needed.to_vec(),
            generated_id: generated,
            by: by.instance,
        };
        let view = self.ask_controller(&question).await?;
        self.submitted(view).await
    }

    /// The envelope as a controller can be asked to submit it: a question has the room of one message.
    async fn fitted_to_ask(&self, envelope: Envelope, needed: &[String]) -> Result<Envelope, Error> {
        if !needed.is_empty() {
            return Ok(envelope);
        }
        let asked = Asked {
            root: envelope.root(),
            kind: envelope.kind.as_deref(),
            pins: &envelope.pins,
            path: &[],
        };
        // What is refused here the controller refuses, too, and says why.
        match self.place(&envelope.to, &asked).await {
            Ok(placed) => self.fitted(&placed.route, &placed.choice.version, envelope).await,
            Err(_) => Ok(envelope),
        }
    }

    /// What a controller made of a submit.
    pub(super) async fn submitted(&self, view: SubmitView) -> Result<Submitted, Error> {
        let SubmitView {
            intent,
            outcome,
            seq,
            field,
            ..
        } = view;
        if outcome == NEW {
            return Ok(Submitted::New { seq });
        }
        let Some(head) = self.last_record(&intent).await?.map(Box::new) else {
            return Err(Error::NoIntent(intent));
        };
        Ok(match outcome.as_str() {
            REPEATED | KEPT => Submitted::Repeated(head),
            _ => Submitted::Conflict {
                head,
                field: field.and_then(|field| known_field(&field)),
            },
        })
    }

    /// What was submitted under the id of `envelope`, where the ledger has forgotten it and only the archive knows. It
    /// compares as a submit does.
    ///
    /// # Errors
    /// As [`Mesh::trail`].
    pub async fn submitted_in_archive(&self, envelope: &Envelope) -> Result<Option<Submitted>, Error> {
        if !self.has_no_record(&envelope.intent).await? {
            return Ok(None);
        }
        let trail = self.trail(&envelope.intent).await?;
        let first = trail.first().and_then(|first| first.record.envelope.clone());
        let Some(head) = trail.into_iter().next_back().map(Box::new) else {
            return Ok(None);
        };
        let field = first
            .as_ref()
            .map(|there| difference(there, &envelope.to, envelope.clone()));
        Ok(Some(match field {
            Some(None) => Submitted::Repeated(head),
            Some(field) => Submitted::Conflict { head, field },
            None => Submitted::Conflict { head, field: None },
        }))
    }

    async fn compare(&self, meant_for: &AgentName, envelope: Envelope, head: Box<Head>) -> Result<Submitted, Error> {
        let first = self.trail_through(&envelope.intent, head.seq).await?.into_iter().next();
        let there = first.and_then(|first| first.record.envelope);
        let Some(there) = there else {
            return Ok(Submitted::Conflict { head, field: None });
        };
        if let field @ Some(_) = difference(&there, meant_for, envelope) {
            return Ok(Submitted::Conflict { head, field });
        }
        self.settle(&head).await?;
        Ok(Submitted::Repeated(head))
    }
}

/// Who submits, where an agent serves its submitters in turn: the account or the name that the envelope gives, else the writer.
/// What controllers route of nobody in particular is all of one, and so is what one person sends in many processes.
fn submitter(envelope: &Envelope, by: &Author) -> String {
    let written = match by.role {
        Role::Controller => "-",
        Role::Client | Role::Worker | Role::Operator | Role::Unknown(_) => match by.instance.rsplit_once(':') {
            Some((name, process)) if process.bytes().all(|byte| byte.is_ascii_digit()) => name,
            Some(_) | None => &by.instance,
        },
    };
    envelope.from.clone().unwrap_or_else(|| written.to_owned())
}

/// The field in which a submit for this agent differs from what is there. Whether another agent stood in then, or would now,
/// it is the same work.
fn difference(there: &Envelope, meant_for: &AgentName, mut envelope: Envelope) -> Option<&'static str> {
    let was_meant_for = there
        .stands_in
        .as_ref()
        .map_or(&there.to, |stands_in| &stands_in.for_agent);
    if was_meant_for == meant_for {
        envelope.to = there.to.clone();
    }
    differing_field(there, &envelope)
}
