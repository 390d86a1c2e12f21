//! Putting a parked intent back before its agent, or a rejected raw intent back into the intake.

use std::sync::Arc;

use baton_envelope::control::{RedriveIntent, RedriveView};
use baton_envelope::rollout::known;
use baton_envelope::{
    AgentVersion, Asked, Author, Draft, Envelope, IntentId, MaxHops, ProtocolRange, Route, Snapshot, Status, act,
    choose,
};

use super::form::in_form_for;
use super::objects_of_hop::ObjectsOfHop;
use crate::error::Error;
use crate::ledger::{Advanced, Committed, Decision, Head, HeadRef, Known};
use crate::server::Mesh;

/// What to change in a redriven intent.
#[derive(Debug, Clone, Default)]
pub struct Redrive {
    /// The version that gets it; by default the one that takes new work now.
    pub version: Option<AgentVersion>,
    /// A new limit on hops.
    pub max_hops: Option<MaxHops>,
}

/// What putting an intent back goes by.
#[derive(Debug)]
pub(super) struct WayBack {
    /// The route of its agent.
    pub(super) route: Arc<Route>,
    objects: ObjectsOfHop,
}

/// The result of a redrive.
#[derive(Debug)]
pub enum Redriven {
    /// The intent is before its agent again.
    Put {
        /// The version that gets it.
        version: AgentVersion,
        /// The sequence of the `redriven` record.
        seq: u64,
        /// Whether it goes on to be undone, and no agent gets it.
        undoes: bool,
    },
    /// The rejected raw intent was published again, under a new id: no record ever follows a terminal one.
    Republished {
        /// The new id.
        intent: IntentId,
    },
}

impl Mesh {
    /// Puts a parked intent back with a fresh count of attempts; publishes a rejected raw intent again.
    ///
    /// # Errors
    /// When the intent does not exist, is neither parked nor a rejected raw one, or changed at the same moment.
    pub async fn redrive(&self, intent: &IntentId, how: &Redrive, by: Author) -> Result<Redriven, Error> {
        let Some(head) = self.last_record(intent).await? else {
            return Err(Error::NoIntent(intent.clone()));
        };
        if let (Status::Rejected { .. }, Some(kept)) = (&head.record.snapshot.status, &head.record.raw) {
            let again = self.clock().intent_id();
            self.publish_kept(kept, &again).await?;
            return Ok(Redriven::Republished { intent: again });
        }
        if head.record.snapshot.is_undoing() {
            return self.undo_again(intent, &head, by).await;
        }
        let way = self.way_back(&head).await?;
        let put = self.advance(intent, &by, Known::Read(&head), |now, _| {
            let Some(now) = now else {
                return Err(Error::NoIntent(intent.clone()));
            };
            let is_parked = matches!(now.snapshot.status, Status::Parked { .. });
            let Some(way) = way.as_ref().filter(|_| is_parked) else {
                return Err(not_parked(intent, now.snapshot));
            };
            let Some(last) = now.envelope else {
                return Ok(Decision::ReadEnvelope);
            };
            Ok(self.put_back(intent, now, last, way, how)?.into())
        });
        written(intent, put.await?, false)
    }

    /// Goes on to undo a parked intent, with the undo that had failed.
    async fn undo_again(&self, intent: &IntentId, head: &Head, by: Author) -> Result<Redriven, Error> {
        let put = self.advance(intent, &by, Known::Read(head), |now, _| {
            let Some(now) = now else {
                return Err(Error::NoIntent(intent.clone()));
            };
            let is_parked = matches!(now.snapshot.status, Status::Parked { .. });
            match is_parked && now.snapshot.is_undoing() {
                true => Ok(act::undo_again(now.snapshot)?.into()),
                false => Err(not_parked(intent, now.snapshot)),
            }
        });
        written(intent, put.await?, true)
    }

    /// Redrives in the way that is open to this user: in a secured mesh by asking a controller, in another one by its own
    /// writes, and by asking only where these are denied.
    ///
    /// # Errors
    /// As [`Mesh::redrive`] and [`Mesh::ask_controller`].
    pub async fn redrive_or_ask(&self, intent: &IntentId, how: &Redrive, by: Author) -> Result<Redriven, Error> {
        let own = Box::pin(self.redrive(intent, how, by.clone()));
        self.write_or_ask("redrive", own, self.ask_to_redrive(intent, how, by))
            .await
    }

    async fn ask_to_redrive(&self, intent: &IntentId, how: &Redrive, by: Author) -> Result<Redriven, Error> {
        let question = RedriveIntent {
            intent: intent.clone(),
            version: how.version.clone(),
            max_hops: how.max_hops,
            by: by.instance,
        };
        let RedriveView {
            version,
            seq,
            new_intent,
            undoes,
            ..
        } = self.ask_controller(&question).await?;
        match (version, seq, new_intent) {
            (_, _, Some(intent)) => Ok(Redriven::Republished { intent }),
            (Some(version), Some(seq), None) => Ok(Redriven::Put { version, seq, undoes }),
            _ => Err(Error::api("redriving", "the controller says nothing of what it did")),
        }
    }

    /// What putting an intent back goes by; `None` where it has no agent. It is read first: deciding on a head cannot wait for the
    /// server.
    pub(super) async fn way_back(&self, head: &Head) -> Result<Option<WayBack>, Error> {
        let Some(agent) = &head.record.snapshot.agent else {
            return Ok(None);
        };
        let route = self.route_of(agent).await?;
        let objects = self.objects_of_hop(head, &route).await?;
        Ok(Some(WayBack { route, objects }))
    }

    /// The draft that puts a parked intent before its agent again.
    pub(super) fn put_back(
        &self,
        intent: &IntentId,
        now: HeadRef<'_>,
        last: &Envelope,
        WayBack { route, objects }: &WayBack,
        how: &Redrive,
    ) -> Result<Draft, Error> {
        let snapshot = now.snapshot;
        if snapshot.agent.as_ref() != Some(&route.agent) {
            return Err(Error::Raced(intent.clone()));
        }
        let version = match &how.version {
            Some(version) => match route.state(version) {
                Some(state) if state.is_paused() => {
                    let agent = &route.agent;
                    let problem = format!("version {version} of {agent} is {state}, and takes no work");
                    return Err(wrong_status(intent, snapshot, problem));
                }
                Some(_) => version.clone(),
                // A route from a 1.0 controller knows only its active version.
                None if route.versions.is_empty() => version.clone(),
                None => {
                    known(route, version)?;
                    version.clone()
                }
            },
            // Not the previous version: a redrive is how parked work gets to a fixed one.
            None => {
                let asked = Asked {
                    root: last.root(),
                    kind: last.kind.as_deref(),
                    pins: &snapshot.pins,
                    path: &[],
                };
                choose(route, &asked)?.version
            }
        };
        // A new envelope id: the old ticket's id is still in the server's duplicate window.
        let mut envelope = last.again(self.clock().envelope_id());
        envelope.to_version = Some(version.clone());
        if let Some(max_hops) = how.max_hops {
            envelope.max_hops = max_hops;
        }
        let (envelope, conversion) = in_form_for(route, &version, envelope, last.protocol, ProtocolRange::of_forms())?;
        let is_manual = route.is_manual(&version);
        let mut draft = act::redrive(snapshot, envelope, version)?.by_hand(is_manual);
        draft.conversion = conversion;
        objects.allow((intent, now.seq), route, draft)
    }
}

/// What a redrive has written.
fn written(intent: &IntentId, put: Advanced, undoes: bool) -> Result<Redriven, Error> {
    match put {
        Advanced::Committed(Committed { record, seq }) => Ok(Redriven::Put {
            version: record
                .snapshot
                .version
                .clone()
                .ok_or_else(|| Error::NoEnvelope(intent.clone()))?,
            seq,
            undoes,
        }),
        Advanced::Unchanged(_) => Err(Error::Raced(intent.clone())),
    }
}

fn not_parked(intent: &IntentId, snapshot: &Snapshot) -> Error {
    let problem =
        "it cannot become pending by a redrive: only parked intents, and raw ones that were rejected, can be redriven";
    wrong_status(intent, snapshot, problem.to_owned())
}

fn wrong_status(intent: &IntentId, snapshot: &Snapshot, problem: String) -> Error {
    Error::WrongStatus {
        intent: intent.clone(),
        status: snapshot.status.to_string(),
        problem,
    }
}
