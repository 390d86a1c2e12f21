//! Taking what runs on a version from its workers: what they commit afterwards is refused, and each intent can go on.
//!
//! A fresh ticket runs without a record, and a handler that never yields never writes one. So the ledger does not say what
//! runs; the consumers do. Once a consumer says itself that it is paused, whatever it ever gave away lies between its ack
//! floor and its last delivery. Each of these hops is put before the version again under a new envelope id: so every
//! ticket that was delivered is superseded, whatever its holder knows.
//!
//! A single server that was killed may have forgotten its last deliveries. So the tickets behind the last one are looked at, too:
//! what the ledger says that somebody holds is taken as well. Of a hop without a record not even the ledger knows, so where the
//! server was started lately all of these tickets are taken: a hop that only waits loses nothing by it.
//!
//! Such a server may have lost the ticket itself, too, which its worker has all the same. So the hops that the ledger says to be
//! before the version, and that have no ticket, are taken then as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baton_envelope::act::{self, Wake};
use baton_envelope::{AgentName, AgentVersion, Author, EnvelopeId, Event, IntentId, Mutant, Snapshot, Timestamp};
use futures::StreamExt as _;

use super::pause::FOR_GOOD;
use super::tickets::QueuedTicket;
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Head, Known};
use crate::server::{ControllerMesh, Stored};

/// How many intents to fence at the same time.
const AT_ONCE: usize = 64;
/// How many sequences behind its last delivery a consumer may have delivered and forgotten. A single server writes them to disk
/// some time later; copies have them before the worker has.
const FORGOTTEN: u64 = 1_000;
/// How long a consumer may take to say that it is paused; in a cluster the server answers the pause first.
const PAUSING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// A hop whose ticket a worker may have.
#[derive(Debug)]
pub struct MaybeGiven {
    intent: IntentId,
    /// Of the ticket; `None` where nobody can read it, or the ticket is gone: then it is whatever the ledger says.
    envelope: Option<EnvelopeId>,
    /// Whether its consumer says that it was delivered, or may have forgotten it; otherwise only the ledger can tell.
    is_given: bool,
}

impl MaybeGiven {
    /// A hop that may run though its ticket is gone.
    pub const fn lost(intent: IntentId) -> Self {
        Self {
            intent,
            envelope: None,
            is_given: true,
        }
    }
}

/// Who takes hops away, and why: what the records of it say.
#[derive(Debug, Clone, Copy)]
pub struct Taking<'a> {
    /// Why, in words.
    pub reason: &'a str,
    /// Who.
    pub by: &'a Author,
    /// Since when. Several controllers may carry out one kill, and each counts what the others have taken since then.
    pub since: Timestamp,
}

impl Taking<'_> {
    /// Whether it was this that took the hop. The reason is not compared: who pauses a killed version again says less.
    fn has_taken(&self, Head { record, .. }: &Head) -> bool {
        record.event == Event::Released && record.at >= self.since && record.by == *self.by
    }
}

/// Which sequences of a work stream were given to a worker and not acked; both ends included.
type Given = (u64, u64);

impl ControllerMesh {
    /// Pauses a version, and takes every hop that a worker of it may have from whoever has it; returns the intents. It may be
    /// repeated: a hop that was fenced out has no delivered ticket any more.
    ///
    /// # Errors
    /// When the server refuses or does not answer. Some hops may be fenced out by then.
    pub async fn fence_version(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        taking: Taking<'_>,
    ) -> Result<BTreeSet<IntentId>, Error> {
        let tickets = self.pause_and_list(agent, version).await?;
        self.fence_tickets((agent, version), tickets, taking).await
    }

    /// Pauses a version, and lists every ticket that a worker of it may have.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn pause_and_list(&self, agent: &AgentName, version: &AgentVersion) -> Result<Vec<MaybeGiven>, Error> {
        let given = self.given_away(agent, version).await?;
        self.delivered_tickets(agent, version, &given).await
    }

    /// The intents that have a ticket of a version in its stream.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn with_ticket(&self, agent: &AgentName, version: &AgentVersion) -> Result<BTreeSet<IntentId>, Error> {
        let queued = self.queued_tickets(agent, version).await?;
        Ok(queued.into_iter().map(|ticket| ticket.intent).collect())
    }

    /// Takes the hops of listed tickets from whoever has them; returns the intents, with those that were taken already.
    ///
    /// # Errors
    /// When one of them could not be taken, such as by a full ledger: its holder may commit yet, so this has to be repeated.
    /// The others may be fenced out by then.
    pub async fn fence_tickets(
        &self,
        (agent, version): (&AgentName, &AgentVersion),
        tickets: Vec<MaybeGiven>,
        taking: Taking<'_>,
    ) -> Result<BTreeSet<IntentId>, Error> {
        let fencing = tickets.into_iter().map(|ticket| async move {
            let fenced = self.fence_hop(agent, version, &ticket, taking).await;
            (ticket.intent, fenced)
        });
        let mut fencing = futures::stream::iter(fencing).buffer_unordered(AT_ONCE);
        let (mut done, mut failed) = (BTreeSet::new(), None);
        while let Some((intent, fenced)) = fencing.next().await {
            match fenced {
                Ok(true) => drop(done.insert(intent)),
                Ok(false) => {}
                Err(error) if error.is_of_server() => return Err(error),
                // It must not save the others, and no worker can read it either.
                Err(error) if error.is_unreadable() => {
                    tracing::warn!(%error, %intent, "a hop of a killed version is not fenced out");
                }
                // The others are taken first: the server may refuse this one alone.
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(done),
        }
    }

    /// Pauses the consumers of a version and returns what each of their subjects has given away. The pause's own answer may
    /// come before it is applied, so only a consumer that says of itself that it is paused is believed. Without any consumer
    /// everything in the stream may have been given away.
    async fn given_away(&self, agent: &AgentName, version: &AgentVersion) -> Result<BTreeMap<String, Given>, Error> {
        let mut given = BTreeMap::new();
        let mut consumers = self.consumers(agent).await?;
        consumers.retain(|(of, _)| of == version);
        for (_, found) in consumers {
            let until = serde_json::json!({ "pause_until": FOR_GOOD });
            if !found.paused && !self.pause(agent, &found.name, &until).await? {
                continue;
            }
            let deadline = tokio::time::Instant::now() + PAUSING;
            loop {
                match self.consumer(agent, &found.name).await? {
                    Some(paused) if paused.paused => {
                        let range = (paused.ack_floor.stream_seq + 1, paused.delivered.stream_seq);
                        given.extend(paused.subjects().map(|subject| (subject.clone(), range)));
                        break;
                    }
                    Some(_) if tokio::time::Instant::now() > deadline => {
                        return Err(Error::no_answer(
                            format!("pausing consumer {}", found.name),
                            "it was not applied in time",
                        ));
                    }
                    Some(_) => tokio::time::sleep(LOOK).await,
                    None => break,
                }
            }
        }
        Ok(given)
    }

    /// The tickets of a version that a worker was given and that are not acked, and those of which nobody knows.
    async fn delivered_tickets(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        given: &BTreeMap<String, Given>,
    ) -> Result<Vec<MaybeGiven>, Error> {
        let stream = self.subjects().work_stream(agent);
        // The server does not answer a direct get of a stream that does not exist.
        if self.stream_info::<serde::de::IgnoredAny>(&stream).await?.is_none() {
            return Ok(Vec::new());
        }
        let forgotten = if self.replicas() > 1 { 0 } else { FORGOTTEN };
        let forgets = self.may_have_forgotten().await?;
        let (mut next, last) = match given.values().map(|(from, _)| *from).min() {
            None => (1, u64::MAX),
            Some(from) => (
                from,
                given.values().map(|(_, to)| *to).max().unwrap_or_default() + forgotten,
            ),
        };
        let subject = self.subjects().work_version(agent, version);
        let mut tickets = Vec::new();
        while next <= last {
            let (batch, more) = self.some_tickets(&stream, &subject, next).await?;
            let Some(end) = batch.last() else { break };
            next = end.seq + 1;
            let was_given = |subject: &String, seq: u64| match given.get(subject) {
                Some((from, to)) => (*from..=*to).contains(&seq),
                // A band without a consumer: it may have had one.
                None => true,
            };
            let found = batch.iter().filter(|stored| stored.seq <= last);
            tickets.extend(found.filter_map(|stored| {
                let is_given = forgets || was_given(&stored.subject, stored.seq);
                let ticket = QueuedTicket::read(stored).filter(|_| is_given || forgotten > 0)?;
                let QueuedTicket { intent, envelope, .. } = ticket;
                Some(MaybeGiven {
                    intent,
                    envelope,
                    is_given,
                })
            }));
            if !more {
                break;
            }
        }
        Ok(tickets)
    }

    /// Some messages of a subject from a sequence on, and whether there may be more. Where there are several copies the leader
    /// says it, one by one: another one may lag, and a ticket that it lacks would go on running.
    async fn some_tickets(&self, stream: &str, subject: &str, from: u64) -> Result<(Vec<Stored>, bool), Error> {
        if self.replicas() > 1 {
            let request = serde_json::json!({ "seq": from, "next_by_subj": subject });
            let found = self.leader_get(stream, &request).await?;
            return Ok((found.into_iter().collect(), true));
        }
        let request = serde_json::json!({ "seq": from, "next_by_subj": subject, "batch": 256 });
        self.direct_batch_of(stream, &request).await
    }

    /// Takes the hop of a ticket from whoever has it, or may have it; `false` when that ticket is not the hop's any more, and
    /// something else than this took it. Read
    /// again after each refused write: the epoch may be another, and the holder still one of before the kill.
    async fn fence_hop(
        &self,
        agent: &AgentName,
        version: &AgentVersion,
        hop: &MaybeGiven,
        taking: Taking<'_>,
    ) -> Result<bool, Error> {
        let MaybeGiven { intent, is_given, .. } = hop;
        let Some(head) = self.head(intent).await? else {
            return Ok(false);
        };
        if taking.has_taken(&head) {
            return Ok(true);
        }
        let envelope = hop.envelope.or(head.record.snapshot.envelope);
        let fenced = self.advance(intent, taking.by, Known::Read(&head), |now, _| {
            let spares = |head: &Snapshot| head.holder.is_none() && (!is_given || Mutant::P11SparesUnheld.is_on());
            let of_hop = now.filter(|now| is_hop_of(now.snapshot, agent, version, envelope));
            let Some(now) = of_hop.filter(|now| !spares(now.snapshot)) else {
                return Ok(Decision::Nothing);
            };
            let Some(last) = now.envelope else {
                return Ok(Decision::ReadEnvelope);
            };
            let again = last.again(self.clock().envelope_id());
            Ok::<_, Error>(act::renew(now.snapshot, again, Wake::AsPlanned, taking.reason)?.into())
        });
        if let Advanced::Committed(_) = fenced.await? {
            return Ok(true);
        }
        // Somebody may have been faster.
        let present = if *is_given { self.head(intent).await? } else { None };
        Ok(present.is_some_and(|head| taking.has_taken(&head)))
    }
}

/// Whether a ticket with this envelope is the one of the present hop, on this version.
fn is_hop_of(head: &Snapshot, agent: &AgentName, version: &AgentVersion, envelope: Option<EnvelopeId>) -> bool {
    head.status.is_workable()
        && head.agent.as_ref() == Some(agent)
        && head.version.as_ref() == Some(version)
        && head.envelope == envelope
}
