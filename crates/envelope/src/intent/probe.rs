//! What a hop says of the breaker of its version: whether its attempts are used up, and what became of a probe.

use crate::base::codes;
use crate::base::names::{AgentName, AgentVersion};
use crate::intent::event::Event;
use crate::intent::record::{Record, Role};

/// What became of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probed {
    /// It still runs or waits.
    Unknown,
    /// The version did its work.
    Well,
    /// Its attempts were used up.
    Exhausted(String),
    /// It went away without a word of the version: it was cancelled, moved or timed out. Another one is let through.
    Gone(String),
}

/// What became of a probe, judged by the records that its intent has got since it was let through, oldest first.
pub fn probed<'r>(
    records: impl IntoIterator<Item = &'r Record>,
    (agent, version): (&AgentName, &AgentVersion),
) -> Probed {
    for record in records {
        let is_own = record.by.role == Role::Worker
            && record.by.agent.as_ref() == Some(agent)
            && record.by.version.as_ref() == Some(version);
        if is_own {
            if is_exhausted(&record.event, record.exhausted) {
                let code = record
                    .error
                    .as_ref()
                    .map_or_else(String::new, |error| error.code.clone());
                return Probed::Exhausted(code);
            }
            if is_answer(&record.event) {
                return Probed::Well;
            }
        }
        let snapshot = &record.snapshot;
        let is_there = snapshot.agent.as_ref() == Some(agent) && snapshot.version.as_ref() == Some(version);
        if !is_there || snapshot.status.is_terminal() || !snapshot.status.is_workable() {
            return Probed::Gone(snapshot.status.to_string());
        }
    }
    Probed::Unknown
}

/// The codes with which a worker parks what says nothing of itself: no further attempt would change it, or another agent is
/// the cause. Else the breaker of one agent would open those of all before it.
const OF_OTHERS: [&str; 19] = [
    codes::BREAKER_OPEN,
    codes::BUDGET,
    codes::CAP_REACHED,
    codes::CONTEXT_CORRUPT,
    codes::CONTEXT_FULL,
    codes::CONTEXT_MISSING,
    codes::CONTEXT_OVERFLOW,
    codes::HOP_LIMIT,
    codes::MESH_TOO_OLD,
    codes::MUST_CARRY,
    codes::NONE_CAPABLE,
    codes::NO_COMMON_PROTOCOL,
    codes::NO_ENVELOPE,
    codes::NO_SUBSCRIBERS,
    codes::PAYLOAD_TOO_LARGE,
    codes::UNKNOWN_AGENT,
    codes::UNKNOWN_RECEIVER,
    codes::UNROUTABLE,
    codes::WAIT_EXPIRED,
];

/// The codes of what ends a hop without the work of its handler: people said no before it began, nobody ended its wait, what it
/// was given cannot be had, or it may not spend.
const WITHOUT_WORK: [&str; 6] = [
    codes::BUDGET,
    codes::CAP_REACHED,
    codes::CONTEXT_CORRUPT,
    codes::CONTEXT_MISSING,
    codes::NOT_APPROVED,
    codes::WAIT_EXPIRED,
];

/// Whether used up attempts that ended with this code speak against the version.
pub fn speaks_against(code: &str) -> bool {
    !OF_OTHERS.contains(&code)
}

/// Whether the record of a worker says that its version has used up the attempts of the hop. `marked` is what the record itself
/// says. Workers before protocol 1.4 do not mark it: they park it under a code of the handler's choice.
pub fn is_exhausted(event: &Event, marked: bool) -> bool {
    marked || matches!(event, Event::Parked { code } if speaks_against(code))
}

/// Whether a worker that writes this has done its work, or has said no to it: a version that answers is a healthy one. A hop
/// that is suspended says neither, nor does one that a wait has ended.
pub fn is_answer(event: &Event) -> bool {
    match event {
        Event::HandedOff | Event::Completed | Event::FannedOut => true,
        Event::Rejected { code } | Event::Failed { code } | Event::Parked { code } => {
            !WITHOUT_WORK.contains(&code.as_str())
        }
        Event::Submitted
        | Event::Claimed
        | Event::Started
        | Event::Step
        | Event::Progress
        | Event::ChildDone
        | Event::Waiting { .. }
        | Event::Signalled
        | Event::Resumed
        | Event::RetryScheduled
        | Event::Released
        | Event::Redriven
        | Event::Rerouted
        | Event::Moved
        | Event::Repinned
        | Event::Cancelled
        | Event::TimedOut
        | Event::Compensating
        | Event::Compensated { .. }
        | Event::Placed
        | Event::ToppedUp
        | Event::Unknown { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::timestamp::Timestamp;
    use crate::intent::draft::{Draft, Stamp};
    use crate::intent::record::Author;
    use crate::intent::snapshot::Snapshot;
    use crate::intent::status::Status;

    fn of() -> (AgentName, AgentVersion) {
        ("code".parse().expect("name"), "1.0.0".parse().expect("version"))
    }

    /// A record of a worker of `agent` that leaves the intent at this status.
    fn record(agent: &str, event: Event, status: Status, exhausted: bool) -> Record {
        let (code, version) = of();
        let at = Timestamp::from_unix_millis(1);
        let snapshot = Snapshot {
            agent: Some(code),
            version: Some(version.clone()),
            ..Snapshot::blank(status, at)
        };
        let draft = Draft {
            exhausted,
            ..Draft::first(event, snapshot)
        };
        let stamp = Stamp {
            id: crate::base::ids::RecordId::generate(at, [1; 10]),
            at,
            by: Author::worker(agent.parse().expect("name"), version, "w1"),
        };
        draft.seal("order-1".parse().expect("id"), 1, stamp)
    }

    fn judged(records: &[Record]) -> Probed {
        let (agent, version) = of();
        probed(records, (&agent, &version))
    }

    #[test]
    fn an_answer_is_well_and_used_up_attempts_are_not() {
        let parked = |code: &str| {
            (
                Event::Parked { code: code.to_owned() },
                Status::Parked { code: code.to_owned() },
            )
        };
        let claimed = record("code", Event::Claimed, Status::Accepted, false);
        assert_eq!(judged(&[]), Probed::Unknown);
        let retried = record("code", Event::RetryScheduled, Status::Pending, false);
        assert_eq!(judged(&[claimed.clone(), retried]), Probed::Unknown);
        for (event, status) in [
            (Event::Completed, Status::Completed),
            (
                Event::Failed { code: "BAD".to_owned() },
                Status::Failed { code: "BAD".to_owned() },
            ),
            (
                Event::Rejected { code: "NO".to_owned() },
                Status::Rejected { code: "NO".to_owned() },
            ),
            parked(codes::HOP_LIMIT),
        ] {
            assert_eq!(
                judged(&[claimed.clone(), record("code", event, status, false)]),
                Probed::Well
            );
        }
        let (event, status) = parked("EXIT_3");
        assert!(
            matches!(judged(&[record("code", event, status, false)]), Probed::Exhausted(_)),
            "a worker of 1.3"
        );
        let failed = (
            Event::Failed {
                code: "EXIT_3".to_owned(),
            },
            Status::Failed {
                code: "EXIT_3".to_owned(),
            },
        );
        assert!(matches!(
            judged(&[record("code", failed.0, failed.1, true)]),
            Probed::Exhausted(_)
        ));
        let escalated = record("code", Event::HandedOff, Status::Pending, true);
        assert!(
            matches!(judged(&[escalated]), Probed::Exhausted(_)),
            "an escalation is no success"
        );
    }

    #[test]
    fn what_goes_away_without_a_word_of_the_version_is_gone() {
        let cancelled = record("other", Event::Cancelled, Status::Cancelled, false);
        assert!(matches!(judged(&[cancelled]), Probed::Gone(_)));
        let mut moved = record("other", Event::Moved, Status::Pending, false);
        moved.snapshot.version = Some("2.0.0".parse().expect("version"));
        assert!(matches!(judged(&[moved]), Probed::Gone(_)));
    }

    #[test]
    fn a_suspended_hop_and_what_its_wait_ends_say_nothing_of_the_version() {
        use crate::intent::wait_reason::WaitReason;

        let reason = WaitReason::Human;
        let waiting = record(
            "code",
            Event::Waiting { reason: reason.clone() },
            Status::Waiting { reason },
            false,
        );
        assert!(!is_answer(&waiting.event) && matches!(judged(&[waiting]), Probed::Gone(_)));
        let (no, late) = (codes::NOT_APPROVED.to_owned(), codes::WAIT_EXPIRED.to_owned());
        let rejected = record(
            "code",
            Event::Rejected { code: no.clone() },
            Status::Rejected { code: no },
            false,
        );
        let parked = |code: &str| {
            let code = code.to_owned();
            let event = Event::Parked { code: code.clone() };
            record("code", event, Status::Parked { code }, false)
        };
        let capped = parked(codes::CAP_REACHED);
        for ended in [rejected, parked(&late), parked(codes::BUDGET), capped] {
            assert!(!is_exhausted(&ended.event, ended.exhausted) && !is_answer(&ended.event));
            assert!(matches!(judged(&[ended]), Probed::Gone(_)));
        }
    }
}
