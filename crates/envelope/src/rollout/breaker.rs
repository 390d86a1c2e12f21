//! Decisions on the breaker of a version. Each takes what stands and gives what to write next.

use crate::base::ids::IntentId;
use crate::base::names::{AgentName, AgentVersion};
use crate::base::timestamp::Timestamp;
use crate::rollout::act::Act;
use crate::version::breaker::{Breaker, BreakerState};

/// A breaker that opens: by itself until `until`, or by hand until it is closed by hand.
pub fn open_breaker(
    before: Option<&Breaker>,
    (agent, version): (&AgentName, &AgentVersion),
    until: Option<Timestamp>,
    act: &Act,
) -> Breaker {
    let withholds = before.filter(|before| before.withholds());
    Breaker {
        agent: agent.clone(),
        version: version.clone(),
        state: BreakerState::Open,
        since: act.at,
        until,
        probe: None,
        probe_seq: None,
        by: act.by.clone(),
        reason: act.reason.clone(),
        opened: withholds.map_or(0, |before| before.opened).saturating_add(1),
        owed_through: 0,
        extra: before.map(|before| before.extra.clone()).unwrap_or_default(),
    }
}

/// Lets one intent through, whose last record is at `seq`.
pub fn half_open_breaker(breaker: &Breaker, probe: IntentId, seq: u64, act: &Act) -> Breaker {
    Breaker {
        state: BreakerState::HalfOpen,
        since: act.at,
        until: None,
        probe: Some(probe),
        probe_seq: Some(seq),
        by: act.by.clone(),
        reason: act.reason.clone(),
        ..breaker.clone()
    }
}

/// Lets another intent through instead of the present probe, which went away without a word of the version.
pub fn drop_probe(breaker: &Breaker, act: &Act) -> Breaker {
    Breaker {
        state: BreakerState::Open,
        since: act.at,
        until: Some(act.at),
        probe: None,
        probe_seq: None,
        by: act.by.clone(),
        reason: act.reason.clone(),
        ..breaker.clone()
    }
}

/// Closes a breaker. The tickets of records up to `owed_through` are still to be written.
pub fn close_breaker(breaker: &Breaker, owed_through: u64, act: &Act) -> Breaker {
    Breaker {
        state: BreakerState::Closed,
        since: act.at,
        until: None,
        probe: None,
        probe_seq: None,
        by: act.by.clone(),
        reason: act.reason.clone(),
        opened: 0,
        owed_through,
        ..breaker.clone()
    }
}

/// The tickets that were withheld are written.
pub fn pay_breaker(breaker: &Breaker) -> Breaker {
    Breaker {
        owed_through: 0,
        ..breaker.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1000)
    }

    fn act(seconds: i64) -> Act {
        Act::new("controller c1", at(seconds)).because("three in a row")
    }

    fn of() -> (AgentName, AgentVersion) {
        ("code".parse().expect("name"), "1.0.0".parse().expect("version"))
    }

    fn open(seconds: i64) -> Breaker {
        let (agent, version) = of();
        open_breaker(None, (&agent, &version), Some(at(seconds + 60)), &act(seconds))
    }

    #[test]
    fn it_opens_lets_one_through_and_closes_or_opens_again() {
        let (agent, version) = of();
        let first = open(100);
        assert!(first.withholds() && !first.is_due(at(159)) && first.is_due(at(160)));
        let half = half_open_breaker(&first, "order-1".parse().expect("id"), 7, &act(160));
        assert!(
            half.withholds() && !half.is_due(at(1000)),
            "one probe, and no second one"
        );
        assert_eq!((half.probe_seq, half.opened), (Some(7), 1));
        let again = open_breaker(Some(&half), (&agent, &version), Some(at(230)), &act(170));
        assert_eq!((again.opened, again.probe.as_ref()), (2, None));
        let closed = close_breaker(&half, 99, &act(171));
        assert!(!closed.withholds());
        assert_eq!(
            (closed.owed_through, closed.opened, pay_breaker(&closed).owed_through),
            (99, 0, 0)
        );
        let later = open_breaker(Some(&closed), (&agent, &version), Some(at(400)), &act(340));
        assert_eq!(
            (later.opened, later.owed_through),
            (1, 0),
            "what was withheld then is withheld now"
        );
    }

    #[test]
    fn what_a_person_opened_a_person_closes() {
        let (agent, version) = of();
        let by_hand = open_breaker(None, (&agent, &version), None, &act(1));
        assert!(by_hand.withholds() && !by_hand.is_due(at(1_000_000)));
    }

    #[test]
    fn the_route_tells_a_time_only_where_somebody_needs_it() {
        let (first, span) = (open(100), Duration::from_secs(60));
        let waits = first.told(None, false, span).expect("withheld");
        assert_eq!((waits.since, waits.until), (at(100), None));
        let half = half_open_breaker(&first, "order-1".parse().expect("id"), 7, &act(160));
        assert_eq!(
            half.told(Some(&waits), false, span),
            Some(waits.clone()),
            "it does not change while work waits"
        );
        let refuses = half.told(Some(&waits), true, span).expect("withheld");
        assert_eq!((refuses.since, refuses.until), (at(100), Some(at(220))));
        assert!(refuses.turns_away(at(219)) && !refuses.turns_away(at(220)));
        assert!(waits.turns_away(at(1_000_000)));
        assert_eq!(close_breaker(&half, 0, &act(161)).told(Some(&waits), true, span), None);
    }
}
