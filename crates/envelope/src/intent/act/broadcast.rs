//! A message of a channel is taken in, or sent by a hop, and comes to its end.

use crate::base::json::Json;
use crate::base::names::AgentName;
use crate::base::timestamp::Timestamp;
use crate::intent::act::{complete, suspend};
use crate::intent::broadcast::{Broadcast, RECEIVERS, copies};
use crate::intent::budget::lend;
use crate::intent::children::{Children, forget_over, opened_calls};
use crate::intent::draft::Draft;
use crate::intent::event::Event;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::{IllegalTransition, Status};
use crate::intent::wait_reason::WaitReason;
use crate::intent::waits::WaitSpec;
use crate::message::envelope::Envelope;
use crate::message::parts::Budget;

/// Writes the first record of a root, which no agent has: it fixes the receivers, and owes each of them its copy. `envelope`
/// is what the message says.
pub fn broadcast(at: Timestamp, sent: Broadcast, envelope: &Envelope, receivers: Vec<AgentName>) -> Draft {
    let waits = vec![WaitSpec::for_children(RECEIVERS, copies(receivers))];
    let status = Status::Waiting {
        reason: WaitReason::Children,
    };
    let mut snapshot = Snapshot {
        max_hops: envelope.max_hops,
        epoch: 1,
        priority: envelope.priority,
        kind: envelope.kind.clone(),
        deadline: envelope.deadline,
        reply_to: envelope.reply_to.clone(),
        channel: Some(sent.channel.clone()),
        budget: envelope
            .clone()
            .with_counted_budget()
            .budget
            .as_deref()
            .and_then(Budget::opened),
        ..Snapshot::blank(status, at)
    };
    snapshot.waits = waits.iter().map(|wait| wait.open(snapshot.hop)).collect();
    snapshot.children = opened_calls(&waits)
        .map(|(name, children)| children.open(snapshot.hop, name))
        .collect();
    // The copies name no shares, so that what is there is enough.
    let lent = lend(&mut snapshot, &waits);
    debug_assert!(lent.is_ok(), "{lent:?}");
    Draft {
        waits,
        broadcast: Some(Box::new(sent)),
        ..Draft::first(Event::Submitted, snapshot)
    }
}

/// Ends a hop with a message of a channel: it is suspended as by a call, and the intent is the message from then on. The record
/// fixes the receivers, and owes each of them its copy, which begins with this context. A hop that asks again for what is open
/// already keeps its receivers.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn broadcast_hop(
    head: &Snapshot,
    sent: Broadcast,
    receivers: Vec<AgentName>,
    context: Option<Json>,
) -> Result<Draft, IllegalTransition> {
    let copies = Children {
        context: context.clone(),
        ..copies(receivers)
    };
    let wait = WaitSpec {
        // Its handler does not come back: should the hop be put before its agent again, it waits on.
        onward: Some(Box::default()),
        ..WaitSpec::for_children(RECEIVERS, copies)
    };
    let mut draft = suspend(head, &[wait])?;
    if draft.event == Event::FannedOut {
        draft.snapshot.channel = Some(sent.channel.clone());
        draft.snapshot.context = context;
        draft.broadcast = Some(Box::new(sent));
    }
    Ok(draft)
}

/// Ends the intent of a message whose copies have all ended.
///
/// # Errors
/// When this may not follow the status of the head.
pub fn gather(head: &Snapshot, result: Json) -> Result<Draft, IllegalTransition> {
    let mut draft = complete(head, result)?;
    draft.snapshot.waits.clear();
    forget_over(&mut draft.snapshot);
    Ok(draft)
}
