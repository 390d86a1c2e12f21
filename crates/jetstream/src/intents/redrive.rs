//! Putting a parked intent back before its agent, or a rejected raw one back into the intake.

use baton_envelope::{AgentVersion, Asked, Author, Event, IntentId, MaxHops, ProtocolRange, Record, Status, choose};

use super::form::in_form_for;
use crate::error::Error;
use crate::ledger::Written;
use crate::server::Mesh;

/// What to change on the way back.
#[derive(Debug, Clone, Default)]
pub struct Redrive {
    /// The version that gets it; by default the one that takes new work now.
    pub version: Option<AgentVersion>,
    /// A new limit on hops.
    pub max_hops: Option<MaxHops>,
}

/// What a redrive did.
#[derive(Debug)]
pub enum Redriven {
    /// The intent is before its agent again.
    Put {
        /// The version that gets it.
        version: AgentVersion,
        /// The sequence of the `redriven` record.
        seq: u64,
    },
    /// The rejected raw intent was published again, under a new id: a record never follows a terminal one.
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
        let snapshot = &head.record.snapshot;
        if let (Status::Rejected { .. }, Some(kept)) = (&snapshot.status, &head.record.raw) {
            let again = self.clock().intent_id();
            self.publish_kept(kept, &again).await?;
            return Ok(Redriven::Republished { intent: again });
        }
        let wrong = |problem: &str| Error::WrongStatus {
            intent: intent.clone(),
            status: snapshot.status.to_string(),
            problem: problem.to_owned(),
        };
        let (Status::Parked { .. }, Some(at), Some(agent)) = (&snapshot.status, snapshot.envelope_seq, &snapshot.agent)
        else {
            return Err(wrong(
                "only parked intents, and raw ones that were rejected, can be redriven",
            ));
        };
        let source = self.record_at(intent, at).await?;
        let Some(last) = source.record.envelope else {
            return Err(wrong("its envelope cannot be found in the ledger"));
        };
        let route = self.route_of(agent).await?;
        let version = match &how.version {
            Some(version) => match route.state(version) {
                Some(state) if state.is_shut() => {
                    return Err(wrong(&format!(
                        "version {version} of {agent} is {state}, and takes no work"
                    )));
                }
                Some(_) | None => version.clone(),
            },
            // Not the version of before: a redrive is how parked work gets to a mended one.
            None => {
                let asked = Asked {
                    root: last.root(),
                    kind: last.kind.as_deref(),
                    pins: &snapshot.pins,
                    path: &[],
                };
                choose(&route, &asked)?.version
            }
        };
        let from = last.protocol;
        // A new envelope id: the old ticket's id is still in the server's duplicate window.
        let mut envelope = last.again(self.clock().envelope_id());
        envelope.to_version = Some(version.clone());
        if let Some(max_hops) = how.max_hops {
            envelope.max_hops = max_hops;
        }
        envelope.pins.clone_from(&snapshot.pins);
        let (envelope, conversion) = in_form_for(&route, &version, envelope, from, ProtocolRange::of_forms())?;
        let mut record = Record::following(
            snapshot,
            head.seq,
            self.record_id(),
            intent.clone(),
            Event::Redriven,
            self.now(),
            by,
        )?
        .with_work(envelope, version.clone());
        record.conversion = conversion;
        match self.write(&record, head.seq).await? {
            Written::Stored { seq } => {
                self.settle(&record, seq).await?;
                Ok(Redriven::Put { version, seq })
            }
            Written::Superseded(_) => Err(Error::Raced(intent.clone())),
        }
    }
}
