//! What a hop has recorded as objects: only a version that reads them may go on with it.

use baton_envelope::{AgentVersion, Draft, IntentId, NoCommonProtocol, OBJECTS_SINCE, ProtocolRange, Route};

use crate::error::Error;
use crate::ledger::Head;
use crate::objects::takes_references;
use crate::server::Mesh;

/// Whether the present hop of an intent has recorded objects, by the record at a sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectsOfHop {
    seq: u64,
    any: bool,
}

impl Mesh {
    /// Whether the present hop has recorded objects. The history is read only where its agent has another version that reads no
    /// references.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn objects_of_hop(&self, head: &Head, route: &Route) -> Result<ObjectsOfHop, Error> {
        let (seq, snapshot) = (head.seq, &head.record.snapshot);
        let is_older = |version: &AgentVersion| !takes_references(route, version);
        // Of a version that the route has forgotten nobody knows what it read.
        let is_of_older = |version: &AgentVersion| route.versions.contains_key(version) && is_older(version);
        let may_have = snapshot.version.as_ref().is_some_and(|version| !is_of_older(version));
        let has_older = route.versions.is_empty() || route.versions.keys().any(is_older);
        if !(may_have && has_older) {
            return Ok(ObjectsOfHop { seq, any: false });
        }
        let history = Box::pin(self.history_through(&head.record.intent, seq)).await?;
        let mut of_hop = history.iter().filter(|head| head.record.snapshot.hop == snapshot.hop);
        let any = of_hop.any(|head| head.record.needs_references());
        Ok(ObjectsOfHop { seq, any })
    }
}

impl ObjectsOfHop {
    /// Gives a draft back that puts the hop before a version which can go on with it. `seq` is the record that it was made from.
    ///
    /// # Errors
    /// [`Error::NoCommonProtocol`] when the version reads no references, and the hop has recorded objects; [`Error::Raced`] when
    /// it may have, since something was written meanwhile.
    pub(crate) fn allow(self, (intent, seq): (&IntentId, u64), route: &Route, draft: Draft) -> Result<Draft, Error> {
        let version = draft.snapshot.version.clone();
        let Some(version) = version.filter(|version| !takes_references(route, version)) else {
            return Ok(draft);
        };
        if self.any {
            let receiver = route.versions.get(&version).map(|entry| entry.protocol);
            let sender = ProtocolRange {
                oldest: OBJECTS_SINCE,
                ..ProtocolRange::of_forms()
            };
            let none = NoCommonProtocol {
                agent: route.agent.clone(),
                version,
                sender,
                receiver: receiver.unwrap_or_default(),
            };
            return Err(none.into());
        }
        match self.seq == seq {
            true => Ok(draft),
            false => Err(Error::Raced(intent.clone())),
        }
    }
}
