//! The ends of a call with many children, while all goes well: each round reads what is new, and not all of them again.
//!
//! It counts what it leaves unread. Where the numbers do not agree with the head of the parent, or there is anything to do but to
//! record ends, the round looks at all of them.

use std::time::Duration;

use baton_envelope::{ChildEnd, IntentId, Status};
use baton_jetstream::Head;

use super::{EVERY, Found, end_of};
use crate::projection::Look;
use crate::rounds::error::RoundError;
use crate::rounds::term::Term;

/// From how many children on a call is worth it.
const MANY: u32 = 256;

/// Records the ends of a parent's children after a record, and tells up to which they are recorded now. `None` where all have to be
/// looked at.
pub(super) async fn gather(
    term: &Term,
    head: &Head,
    after: u64,
    (may_be_missing, slack): (bool, Duration),
) -> Result<Option<(Found, u64)>, RoundError> {
    let (parent, snapshot) = (&head.record.intent, &head.record.snapshot);
    let [set] = snapshot.children.as_slice() else {
        return Ok(None);
    };
    let waits = matches!(snapshot.status, Status::Waiting { .. }) && set.is_awaited(snapshot) && !set.is_undo();
    if !waits || set.count < MANY {
        return Ok(None);
    }
    let cx = term.in_charge()?;
    let known = cx.projection.ended_after(parent, after).await?;
    let is_missing = known.all < set.count;
    if is_missing && !may_be_missing {
        return Ok(None);
    }
    let (ids, recorded) = (IntentId::of_children(parent, set.hop, &set.name), set.ended());
    let mut ends: Vec<ChildEnd> = Vec::with_capacity(known.new.len());
    for row in &known.new {
        let Some(index) = row.child.place_in(&ids) else {
            return Ok(None);
        };
        match recorded.get(index as usize) {
            Some(false) => ends.push(end_of(index, row)),
            // By another leader, or when all of them were looked at.
            Some(true) => {}
            None => return Ok(None),
        }
    }
    let are_all_told = u32::try_from(ends.len()).is_ok_and(|new| known.ended == set.ended_count().saturating_add(new));
    if !are_all_told {
        return Ok(None);
    }
    let through = known.new.iter().map(|row| row.seq).max().unwrap_or(after);
    if !ends.is_empty() {
        ends.sort_by_key(|end| end.index);
        let done = super::done_of(set, ends);
        let cx = term.in_charge()?;
        cx.mesh.record_ends(head, &[done], &cx.by).await?;
    }
    let next = match is_missing {
        true => Look::At(term.cx.mesh.now().plus(slack.max(EVERY))),
        false => Look::WhenMoved,
    };
    Ok(Some((Found { next, is_missing }, through)))
}
