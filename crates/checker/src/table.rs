//! The transitions of `docs/protocol.md` section 9, a second copy on purpose.

/// For each event the status that follows, by the status before in the order of `STATUSES`; `-` where the event must
/// not follow.
pub const TRANSITIONS: [(&str, &str); 27] = [
    ("submitted", "pending - - - - - -"),
    ("claimed", "- accepted accepted accepted - - -"),
    ("started", "- in_progress in_progress in_progress - - -"),
    ("step", "- - in_progress in_progress - - -"),
    ("progress", "- - in_progress in_progress waiting - compensating"),
    ("handed_off", "- pending pending pending - - -"),
    ("fanned_out", "- waiting waiting waiting - - -"),
    (
        "child_done",
        "- pending accepted in_progress waiting parked compensating",
    ),
    ("waiting", "- waiting waiting waiting - - -"),
    (
        "signalled",
        "- pending accepted in_progress waiting parked compensating",
    ),
    ("resumed", "- - - - pending - -"),
    ("retry_scheduled", "- pending pending pending - - -"),
    ("released", "- pending pending pending - - -"),
    ("parked", "- parked parked parked parked parked parked"),
    ("redriven", "- - - - - pending -"),
    ("rerouted", "- pending pending pending - - -"),
    ("moved", "- pending pending pending waiting parked -"),
    ("repinned", "- pending accepted in_progress waiting parked compensating"),
    ("placed", "- pending accepted in_progress waiting parked compensating"),
    (
        "topped_up",
        "- pending accepted in_progress waiting parked compensating",
    ),
    ("completed", "- completed completed completed completed - -"),
    ("rejected", "rejected rejected rejected rejected rejected - -"),
    ("failed", "- failed failed failed failed failed -"),
    ("cancelled", "- cancelled cancelled cancelled cancelled cancelled -"),
    ("timed_out", "- timed_out timed_out timed_out timed_out timed_out -"),
    (
        "compensating",
        "- compensating compensating compensating compensating compensating -",
    ),
    ("compensated", "- - - - - - failed,cancelled"),
];

const STATUSES: [&str; 7] = [
    "none",
    "pending",
    "accepted",
    "in_progress",
    "waiting",
    "parked",
    "compensating",
];

/// Whether a status may follow another by an event; `None` is an intent without a record.
pub(crate) fn allows(before: Option<&str>, event: &str, after: &str) -> bool {
    let before = before.unwrap_or("none");
    let Some(column) = STATUSES.iter().position(|status| *status == before) else {
        return false;
    };
    let row = TRANSITIONS.iter().find(|(name, _)| *name == event);
    let cell = row.and_then(|(_, cells)| cells.split(' ').nth(column));
    cell.is_some_and(|cell| cell.split(',').any(|status| status == after))
}

/// Whether nothing may follow a status.
pub(crate) fn is_terminal(status: &str) -> bool {
    matches!(status, "completed" | "rejected" | "failed" | "cancelled" | "timed_out")
}

/// Whether an intent in this status should have a ticket.
pub(crate) fn is_workable(status: &str) -> bool {
    matches!(status, "pending" | "accepted" | "in_progress")
}

/// Whether a record of this event puts work before an agent.
pub(crate) fn puts_work(event: &str) -> bool {
    matches!(
        event,
        "submitted" | "handed_off" | "resumed" | "redriven" | "rerouted" | "moved"
    )
}
