//! Accepts a new intent.

use crate::base::names::AgentVersion;
use crate::base::timestamp::Timestamp;
use crate::base::wire::Extra;
use crate::intent::draft::{Draft, accept_within};
use crate::intent::event::Event;
use crate::intent::in_order::InOrder;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;
use crate::intent::wait_reason::WaitReason;
use crate::message::envelope::Envelope;
use crate::message::parts::Budget;
use crate::version::path::PathEntry;

/// Writes the first record of a child: its path goes on from that of its parent.
pub fn submit_child(at: Timestamp, version: AgentVersion, envelope: Envelope, path: &[PathEntry]) -> Draft {
    let mut draft = submit(at, version, envelope);
    let own = std::mem::take(&mut draft.snapshot.path);
    draft.snapshot.path = path.iter().cloned().chain(own).collect();
    draft
}

/// Writes the first record of an intent, with the envelope of its first hop for a version of its agent. Work that begins
/// later, or in its turn, waits, and has no ticket until then.
pub fn submit(at: Timestamp, version: AgentVersion, envelope: Envelope) -> Draft {
    let wake_at = envelope.not_before.filter(|from| *from > at);
    // Work that begins later has no key: it would keep those behind it waiting.
    let order = envelope.order_key.clone().filter(|_| wake_at.is_none());
    let order = order.map(|key| InOrder::keyed(envelope.hop, key));
    let status = match (wake_at, &order) {
        (Some(_), _) => Status::Waiting {
            reason: WaitReason::Time,
        },
        (None, Some(_)) => Status::Waiting {
            reason: WaitReason::Order,
        },
        (None, None) => Status::Pending,
    };
    let snapshot = Snapshot {
        agent: Some(envelope.to.clone()),
        version: Some(version.clone()),
        hop: envelope.hop,
        max_hops: envelope.max_hops,
        attempt: 1,
        epoch: 1,
        envelope: Some(envelope.id),
        priority: envelope.priority,
        kind: envelope.kind.clone(),
        root: envelope.root.clone(),
        parent: envelope.parent.clone(),
        deadline: envelope.deadline,
        path: vec![PathEntry {
            agent: envelope.to.clone(),
            version,
            extra: Extra::new(),
        }],
        pins: envelope.pins.clone(),
        reply_to: envelope.reply_to.clone(),
        wake_at,
        accept_within_ms: accept_within(&envelope),
        order: order.map(Box::new),
        budget: envelope.budget.as_deref().and_then(Budget::opened),
        ..Snapshot::blank(status, at)
    };
    Draft {
        envelope: Some(Box::new(envelope)),
        ..Draft::first(Event::Submitted, snapshot)
    }
}
