//! The envelope that follows another.

use crate::base::ids::EnvelopeId;
use crate::base::json::Json;
use crate::base::mutants::Mutant;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::wire::Extra;
use crate::message::convert;
use crate::message::envelope::Envelope;
use crate::message::error::HopLimit;
use crate::message::parts::HistoryEntry;
use crate::version::policy::StandsIn;

/// What differs in the next envelope.
#[derive(Debug, Clone)]
pub struct Successor {
    /// The id of the new envelope.
    pub id: EnvelopeId,
    /// The agent that gets it.
    pub to: AgentName,
    /// The version of that agent.
    pub to_version: AgentVersion,
    /// Who made it, as `agent@version`.
    pub from: String,
    /// The payload.
    pub payload: Json,
    /// The kind, if it changes.
    pub kind: Option<String>,
    /// What the author did and decided.
    pub history: Option<HistoryEntry>,
}

impl Envelope {
    /// The envelope of the next hop: the same intent, one hop further, with constraints and unknown fields carried
    /// along. It has the form of this build, whatever form this envelope came in; [`Envelope::in_form`] converts it for
    /// the receiver.
    ///
    /// # Errors
    /// When the handoff would exceed `max_hops`.
    pub fn successor(&self, new: Successor) -> Result<Self, HopLimit> {
        let hop = self.hop.saturating_add(1);
        if hop > self.max_hops.get() + u32::from(Mutant::I9OneHopMore.is_on()) {
            return Err(HopLimit {
                to: new.to,
                hop,
                max_hops: self.max_hops.get(),
            });
        }
        let mut next = self.again(new.id);
        next.hop = hop;
        next.from = Some(new.from);
        next.to = new.to;
        next.to_version = Some(new.to_version);
        next.kind = new.kind.or(next.kind);
        next.payload = new.payload;
        next.payload_encoding = None;
        next.payload_ref = None;
        next.not_before = None;
        next.stands_in = None;
        next.order_key = None;
        convert::forget_payload(&mut next.extra);
        next.history.extend(new.history);
        next.itinerary = self.itinerary_after(&next.to);
        Ok(next)
    }

    /// The number of the next hop, to this agent.
    ///
    /// # Errors
    /// When it would exceed `max_hops`.
    pub fn next_hop(&self, to: &AgentName) -> Result<u32, HopLimit> {
        let (hop, max_hops) = (self.hop.saturating_add(1), self.max_hops.get());
        match hop > max_hops {
            true => Err(HopLimit {
                to: to.clone(),
                hop,
                max_hops,
            }),
            false => Ok(hop),
        }
    }

    /// Who stands in for the agent of this envelope, now that the agent has had the work: for whom, and who has had it before.
    pub fn passed_by(&self) -> StandsIn {
        let mut passed_by = self.stands_in.as_deref().cloned().unwrap_or_else(|| StandsIn {
            for_agent: self.to.clone(),
            tried: Vec::new(),
            extra: Extra::new(),
        });
        if !passed_by.tried.contains(&self.to) {
            passed_by.tried.push(self.to.clone());
        }
        passed_by
    }

    /// The envelope with which another agent gets the same work, one hop further: the payload stays as it is, with all that
    /// describes it. The payload and the kind of `new` count for nothing.
    ///
    /// # Errors
    /// When the handoff would exceed `max_hops`.
    pub fn passed_on(&self, new: Successor, stands_in: Option<StandsIn>) -> Result<Self, HopLimit> {
        let mut next = self.successor(Successor {
            payload: self.payload.clone(),
            kind: None,
            ..new
        })?;
        // The agent whose work it is has had its turn already, and who stands in takes no turn of its own.
        next.itinerary.clone_from(&self.itinerary);
        next.payload_encoding.clone_from(&self.payload_encoding);
        next.payload_ref.clone_from(&self.payload_ref);
        next.extra.clone_from(&self.extra);
        next.stands_in = stands_in.map(Box::new);
        Ok(next)
    }
}
