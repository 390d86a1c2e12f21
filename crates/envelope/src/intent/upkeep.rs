//! What a record implies, and what an open intent needs that nobody seems to be at: the rules of settling and sweeping.

use std::time::Duration;

use crate::base::mutants::Mutant;
use crate::base::timestamp::Timestamp;
use crate::intent::event::Event;
use crate::intent::record::Record;
use crate::intent::snapshot::Snapshot;
use crate::intent::status::Status;

impl Record {
    /// Whether this record, while it is the head, implies a ticket that must stand in a work stream.
    pub fn implies_ticket(&self) -> bool {
        let is_dropped = self.event == Event::HandedOff && Mutant::I5NoTicket.is_on();
        self.envelope.is_some() && self.snapshot.status == Status::Pending && !is_dropped
    }

    /// Whether a ticket of this record that is written now must be marked as reissued: the server may not know the
    /// message id any more, so it can come to stand beside the first one. `window` is how long it surely does.
    pub fn is_past_window(&self, now: Timestamp, window: Duration) -> bool {
        now.since(self.at) > window
    }
}

/// What an intent needs from the sweeper, as far as its head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it has ended, waits for a person, or is at a status of a newer version.
    Closed,
    /// Its deadline has passed: end it.
    TimeOut,
    /// Nothing now.
    None,
    /// Its ticket, if that is lost; see [`is_ticket_lost`].
    Ticket,
}

/// What an intent needs whose head has this snapshot. It is left alone until `slack` after its last record.
pub fn needs(head: &Snapshot, now: Timestamp, slack: Duration) -> Need {
    let status = &head.status;
    if status.is_terminal() || matches!(status, Status::Parked { .. } | Status::Unknown { .. }) {
        return Need::Closed;
    }
    // Undoing is not cut short by the deadline that may have caused it.
    let is_late = head.deadline.is_some_and(|deadline| deadline <= now) && !Mutant::I13DeadlineSleeps.is_on();
    if is_late && *status != Status::Compensating {
        return Need::TimeOut;
    }
    let due = head.updated_at.max(head.wake_at.unwrap_or(head.updated_at)).plus(slack);
    if status.is_workable() && due <= now && !Mutant::I1SweeperSleeps.is_on() {
        Need::Ticket
    } else {
        Need::None
    }
}

/// Whether the ticket of an intent is lost, when the oldest ticket in the queue of its version was stored at `oldest`.
///
/// A ticket stays in its stream until it is acked, so while anything as old as this record (less slack for two clocks) is
/// queued, the ticket may be among it.
pub fn is_ticket_lost(head: &Snapshot, oldest: Option<Timestamp>, slack: Duration) -> bool {
    oldest.is_none_or(|at| at > head.updated_at.plus(slack))
}
