//! Putting open work before another version of its agent: by a person (`moved`), because its version takes none any more
//! (`rerouted`), or before it gets there (`repinned`).

use baton_envelope::{
    AgentName, AgentVersion, Asked, Author, Envelope, Event, IntentId, PathEntry, ProtocolRange, Record, Route,
    Snapshot, Status,
};

use super::form::in_form_for;
use crate::error::Error;
use crate::ledger::{Head, Written};
use crate::server::Mesh;

/// How often a move is tried again when the intent changes at the same moment. A holder that records steps writes
/// often.
const TRIES: u32 = 50;

/// What became of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// It was done.
    Done {
        /// The version that has it now.
        to: AgentVersion,
        /// The status before.
        status: String,
        /// What was done, in words.
        what: &'static str,
    },
    /// The intent does not name the version, or not any more.
    NotThere,
}

impl Mesh {
    /// Moves an intent from one version of an agent to another: its work, when it is the agent's turn; else its pin.
    /// A holder that is at work on it is fenced out; the steps that it has recorded are reused.
    ///
    /// # Errors
    /// When the intent cannot be moved in its status, keeps changing, or the server does not answer.
    pub async fn move_intent(
        &self,
        intent: &IntentId,
        agent: &AgentName,
        from: &AgentVersion,
        to: &AgentVersion,
        by: &Author,
    ) -> Result<Moved, Error> {
        let route = self.route_of(agent).await?;
        self.carry(intent, (agent, from), Event::Moved, by, |_| {
            Ok((to.clone(), (*route).clone()))
        })
        .await
    }

    /// Sends an intent elsewhere that names a version which takes no work any more. Where to, the route says.
    ///
    /// # Errors
    /// As [`Mesh::move_intent`].
    pub async fn reroute(
        &self,
        intent: &IntentId,
        agent: &AgentName,
        from: &AgentVersion,
        by: &Author,
    ) -> Result<Moved, Error> {
        // From the bucket: the local table may be as old as the one of the sender that caused this.
        let Some((route, _)) = self.route(agent).await? else {
            return Err(Error::api("rerouting", format!("agent {agent} has no route")));
        };
        let none = std::collections::BTreeMap::new();
        let target = |head: &Head| {
            let snapshot = &head.record.snapshot;
            let asked = Asked {
                root: snapshot.root.as_ref().unwrap_or(intent),
                kind: snapshot.kind.as_deref(),
                pins: &none,
                path: &[],
            };
            let choice = baton_envelope::choose(&route, &asked)?;
            Ok((choice.version, route.clone()))
        };
        self.carry(intent, (agent, from), Event::Rerouted, by, target).await
    }

    async fn carry(
        &self,
        intent: &IntentId,
        (agent, from): (&AgentName, &AgentVersion),
        event: Event,
        by: &Author,
        target: impl Fn(&Head) -> Result<(AgentVersion, Route), Error>,
    ) -> Result<Moved, Error> {
        for _ in 0..TRIES {
            let head = self.must_find(intent).await?;
            let snapshot = &head.record.snapshot;
            let is_there = snapshot.agent.as_ref() == Some(agent) && snapshot.version.as_ref() == Some(from);
            let is_pinned = snapshot.pins.get(agent) == Some(from);
            if snapshot.status.is_terminal() || !(is_there || is_pinned) {
                return Ok(Moved::NotThere);
            }
            let (to, route) = target(&head)?;
            let status = snapshot.status.to_string();
            let (record, what) = if !is_there {
                (self.repinned(&head, agent, &to, by)?, "its pin was changed")
            } else if snapshot.status.is_workable() {
                let record = self.with_work_at(&head, &route, &to, event.clone(), by).await?;
                (record, "its work was put before the new version")
            } else {
                (
                    self.renamed(&head, agent, &to, by)?,
                    "the new version has it when it goes on",
                )
            };
            match self.write(&record, head.seq).await? {
                Written::Stored { seq } => {
                    self.settle(&record, seq).await?;
                    return Ok(Moved::Done { to, status, what });
                }
                Written::Superseded(_) => {}
            }
        }
        Err(Error::Raced(intent.clone()))
    }

    /// The record that puts the present hop before another version.
    async fn with_work_at(
        &self,
        head: &Head,
        route: &Route,
        to: &AgentVersion,
        event: Event,
        by: &Author,
    ) -> Result<Record, Error> {
        let last = self.envelope_of(head).await?;
        let mut record = self.after(head, event, by)?;
        let (agent, from) = (last.to.clone(), last.protocol);
        repin(&mut record.snapshot, &agent, to);
        // A new envelope id: the old ticket's id is still in the server's duplicate window.
        let mut envelope = last.again(self.clock().envelope_id());
        envelope.to_version = Some(to.clone());
        envelope.pins.clone_from(&record.snapshot.pins);
        let (envelope, conversion) = in_form_for(route, to, envelope, from, ProtocolRange::of_forms())?;
        let mut record = record.with_work(envelope, to.clone());
        record.conversion = conversion;
        Ok(record)
    }

    /// The record that names another version for work that waits, or was set aside.
    fn renamed(&self, head: &Head, agent: &AgentName, to: &AgentVersion, by: &Author) -> Result<Record, Error> {
        if head.record.snapshot.status == Status::Compensating {
            return Err(Error::WrongStatus {
                intent: head.record.intent.clone(),
                status: head.record.snapshot.status.to_string(),
                problem: "what is being undone stays with the version that did it".to_owned(),
            });
        }
        let mut record = self.after(head, Event::Moved, by)?;
        let wake_at = head.record.snapshot.wake_at;
        let snapshot = &mut record.snapshot;
        snapshot.version = Some(to.clone());
        snapshot.epoch += 1;
        snapshot.wake_at = wake_at;
        if let Some(last) = snapshot
            .path
            .last_mut()
            .filter(|last: &&mut PathEntry| last.agent == *agent)
        {
            last.version = to.clone();
        }
        repin(snapshot, agent, to);
        Ok(record)
    }

    /// The record that changes a pin of work that is elsewhere.
    fn repinned(&self, head: &Head, agent: &AgentName, to: &AgentVersion, by: &Author) -> Result<Record, Error> {
        let mut record = self.after(head, Event::Repinned, by)?;
        repin(&mut record.snapshot, agent, to);
        Ok(record)
    }

    fn after(&self, head: &Head, event: Event, by: &Author) -> Result<Record, Error> {
        Ok(Record::following(
            &head.record.snapshot,
            head.seq,
            self.record_id(),
            head.record.intent.clone(),
            event,
            self.now(),
            by.clone(),
        )?)
    }

    /// The envelope of the present hop.
    ///
    /// # Errors
    /// When it cannot be found in the ledger.
    pub(crate) async fn envelope_of(&self, head: &Head) -> Result<Envelope, Error> {
        let intent = &head.record.intent;
        let source = match head.record.snapshot.envelope_seq {
            Some(seq) if head.record.envelope.is_none() => self.record_at(intent, seq).await?.record.envelope,
            Some(_) | None => head.record.envelope.clone(),
        };
        source.ok_or_else(|| Error::WrongStatus {
            intent: intent.clone(),
            status: head.record.snapshot.status.to_string(),
            problem: "its envelope cannot be found in the ledger".to_owned(),
        })
    }
}

/// Changes a pin that is there. One that is not there is not made: a move is no promise for later hops.
fn repin(snapshot: &mut Snapshot, agent: &AgentName, to: &AgentVersion) {
    if let Some(pinned) = snapshot.pins.get_mut(agent) {
        *pinned = to.clone();
    }
}
