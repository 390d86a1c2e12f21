//! Moving open work to another version of its agent: by a person (`moved`), because its version takes no more work
//! (`rerouted`), or before it gets there (`repinned`).

use baton_envelope::act::{self, Shift};
use baton_envelope::{
    AgentName, AgentVersion, Asked, Author, Draft, Envelope, IntentId, ProtocolRange, Route, Snapshot, Status,
};

use super::form::in_form_for;
use super::taken::TakenFrom;
use crate::error::Error;
use crate::ledger::{Advanced, Decision, Known};
use crate::server::ControllerMesh;

/// The result of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moved {
    /// The intent was moved.
    Done {
        /// The version that has it now.
        to: AgentVersion,
        /// The status before.
        status: String,
        /// What was done, in words.
        what: &'static str,
        /// Whoever may still run what was taken away.
        taken: Option<TakenFrom>,
    },
    /// The intent does not name the version, or no longer does.
    NotThere,
}

impl ControllerMesh {
    /// Moves an intent from one version of an agent to another: its work if it is the agent's turn, else its pin. A
    /// holder at work on it is fenced out; its recorded steps are reused.
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
        self.shift(intent, (agent, from), Shift::Moved, by, |_| Ok((to.clone(), &*route)))
            .await
    }

    /// Moves an intent off a version that takes no more work; the route says where to.
    ///
    /// # Errors
    /// As [`ControllerMesh::move_intent`].
    pub async fn reroute(
        &self,
        intent: &IntentId,
        agent: &AgentName,
        from: &AgentVersion,
        by: &Author,
    ) -> Result<Moved, Error> {
        // From the bucket: the local table may be as old as that of the sender which caused this.
        let Some((route, _)) = self.route(agent).await? else {
            return Err(Error::api("rerouting", format!("agent {agent} has no route")));
        };
        let none = std::collections::BTreeMap::new();
        let target = |snapshot: &Snapshot| {
            let asked = Asked {
                root: snapshot.root.as_ref().unwrap_or(intent),
                kind: snapshot.kind.as_deref(),
                pins: &none,
                path: &[],
            };
            Ok((baton_envelope::choose(&route, &asked)?.version, &route))
        };
        self.shift(intent, (agent, from), Shift::Rerouted, by, target).await
    }

    async fn shift<'r>(
        &self,
        intent: &IntentId,
        (agent, from): (&AgentName, &AgentVersion),
        why: Shift,
        by: &Author,
        target: impl Fn(&Snapshot) -> Result<(AgentVersion, &'r Route), Error> + Send + Sync,
    ) -> Result<Moved, Error> {
        let found = self.must_find(intent).await?;
        let is_at =
            |snapshot: &Snapshot| snapshot.agent.as_ref() == Some(agent) && snapshot.version.as_ref() == Some(from);
        let objects = match is_at(&found.record.snapshot) && !found.record.snapshot.status.is_terminal() {
            true => {
                let (_, route) = target(&found.record.snapshot)?;
                Some(self.objects_of_hop(&found, route).await?)
            }
            false => None,
        };
        let mut done = None;
        let shifted = self.advance(intent, by, Known::Read(&found), |head, _| {
            let head = head.ok_or_else(|| Error::NoIntent(intent.clone()))?;
            let snapshot = head.snapshot;
            let is_there = is_at(snapshot);
            let is_pinned = snapshot.pins.get(agent) == Some(from);
            if snapshot.status.is_terminal() || !(is_there || is_pinned) {
                return Ok(Decision::Nothing);
            }
            let (to, route) = target(snapshot)?;
            let (draft, what) = if !is_there {
                (act::repin(snapshot, agent, &to)?, "its pin was changed")
            } else if snapshot.status.is_workable() {
                let Some(last) = head.envelope else {
                    return Ok(Decision::ReadEnvelope);
                };
                let draft = self.before_another(snapshot, why, last, route, &to)?;
                (draft, "its work was put before the new version")
            } else if snapshot.status == Status::Compensating {
                return Err(Error::WrongStatus {
                    intent: intent.clone(),
                    status: snapshot.status.to_string(),
                    problem: "what is being undone stays with the version that did it".to_owned(),
                });
            } else {
                let draft = act::rename(snapshot, agent, &to)?;
                (draft, "the new version has it when it goes on")
            };
            let draft = match objects {
                _ if !is_there => draft,
                Some(objects) => objects.allow((intent, head.seq), route, draft)?,
                // It got there only now.
                None => return Err(Error::Raced(intent.clone())),
            };
            done = Some(Moved::Done {
                to,
                status: snapshot.status.to_string(),
                what,
                taken: TakenFrom::before(intent, snapshot).filter(|_| is_there),
            });
            Ok::<_, Error>(draft.into())
        });
        match shifted.await? {
            Advanced::Committed(_) => Ok(done.unwrap_or(Moved::NotThere)),
            Advanced::Unchanged(_) => Ok(Moved::NotThere),
        }
    }

    /// The draft that moves the present hop to another version.
    pub(super) fn before_another(
        &self,
        head: &Snapshot,
        why: Shift,
        last: &Envelope,
        route: &Route,
        to: &AgentVersion,
    ) -> Result<Draft, Error> {
        // A new envelope id: the old ticket's id is still in the server's duplicate window.
        let mut envelope = last.again(self.clock().envelope_id());
        envelope.to_version = Some(to.clone());
        let (envelope, conversion) = in_form_for(route, to, envelope, last.protocol, ProtocolRange::of_forms())?;
        let mut draft = act::shift(head, why, envelope, to.clone())?.by_hand(route.is_manual(to));
        draft.conversion = conversion;
        Ok(draft)
    }
}
