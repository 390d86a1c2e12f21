//! One firing of a schedule: the id of its intent, how long it is put off, and its envelope.

use std::time::Duration;

use crate::base::ids::{EnvelopeId, IntentId};
use crate::base::timestamp::Timestamp;
use crate::message::envelope::Envelope;
use crate::schedule::document::Schedule;

/// Why a schedule fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was due. Who makes up for it later makes the same firing.
    Due,
    /// Somebody asked for it, at a time that is none of the schedule's own.
    Asked,
}

/// One firing of a schedule. Whoever submits it, and however often, it is one intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// Its intent.
    pub intent: IntentId,
    /// The nominal time.
    pub at: Timestamp,
}

impl Firing {
    /// The firing of a schedule at a nominal time. The creation of the schedule is part of the hash, because a schedule
    /// that was removed and created again is another one; and so is its time, because a bucket that was removed and made
    /// again counts from 1 again.
    pub fn of(schedule: &Schedule, why: Why, at: Timestamp) -> Self {
        let word = match why {
            Why::Due => "schedule",
            Why::Asked => "run",
        };
        let Schedule { name, created_at, .. } = schedule;
        let revision = schedule.revision.unwrap_or_default();
        let intent = IntentId::hash_of(&format!("{word}\n{name}\n{revision}\n{created_at}\n{at}"));
        Self { intent, at }
    }

    /// How long it is put off: up to the schedule's jitter, and always the same.
    pub fn put_off(&self, schedule: &Schedule) -> Duration {
        let bits = u64::from_be_bytes(self.intent.fingerprint().to_be_bytes());
        let span = schedule.jitter_ms.saturating_add(1);
        Duration::from_millis(bits.checked_rem(span).unwrap_or_default())
    }

    /// Its envelope, at hop 1.
    pub fn envelope(&self, schedule: &Schedule, id: EnvelopeId) -> Envelope {
        let mut envelope = Envelope::first(
            id,
            self.intent.clone(),
            schedule.agent.clone(),
            schedule.payload.clone(),
        );
        envelope.kind.clone_from(&schedule.kind);
        envelope.from = Some(Self::sender(schedule));
        envelope.priority = schedule.priority;
        envelope.deadline = schedule.deadline(self.at);
        envelope.payload_encoding.clone_from(&schedule.payload_encoding);
        envelope
    }

    /// Who made the work: no account has such a name, so nobody else can be it in a secured mesh.
    pub fn sender(schedule: &Schedule) -> String {
        format!("schedule/{}", schedule.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::wire::Extra;
    use crate::schedule::{Missed, Overlap};

    fn schedule(jitter_ms: u64) -> Schedule {
        Schedule {
            name: "nightly".parse().expect("a name"),
            agent: "report".parse().expect("a name"),
            cron: None,
            tz: None,
            every_ms: Some(1000),
            jitter_ms,
            until: None,
            missed: Missed::default(),
            overlap: Overlap::default(),
            kind: None,
            priority: crate::Priority::default(),
            deadline_ms: Some(60_000),
            payload: crate::Json::null(),
            payload_encoding: None,
            created_at: Timestamp::from_unix_millis(1_795_000_000_000),
            created_by: "ada".to_owned(),
            revision: Some(7),
            through: Timestamp::from_unix_millis(1_795_000_000_000),
            paused: None,
            fired: 0,
            last: None,
            skipped: None,
            held: None,
            extra: Extra::new(),
        }
    }

    #[test]
    fn a_firing_is_the_same_whoever_makes_it_and_another_for_another_schedule() {
        let (one, at) = (schedule(0), Timestamp::from_unix_millis(1_795_000_005_000));
        let id = |schedule: &Schedule, why, at| Firing::of(schedule, why, at).intent;
        let due = id(&one, Why::Due, at);
        let later = Schedule {
            through: at,
            fired: 5,
            ..one.clone()
        };
        assert_eq!(due, id(&later, Why::Due, at), "what it has fired since changes nothing");
        let again = Schedule {
            revision: Some(9),
            ..one.clone()
        };
        let of_another_bucket = Schedule {
            created_at: at,
            ..one.clone()
        };
        let others = [
            id(&again, Why::Due, at),
            id(&of_another_bucket, Why::Due, at),
            id(&one, Why::Asked, at),
            id(&one, Why::Due, at.plus(Duration::from_millis(1))),
        ];
        assert!(others.iter().all(|other| *other != due), "{others:?}");
    }

    #[test]
    fn a_firing_is_put_off_within_the_jitter_and_always_alike() {
        let (none, some) = (schedule(0), schedule(5000));
        let at = |n: u64| Timestamp::from_unix_millis(1_795_000_000_000).plus(Duration::from_secs(n));
        let put_off: Vec<Duration> = (0..200)
            .map(|n| Firing::of(&some, Why::Due, at(n)).put_off(&some))
            .collect();
        let longest = put_off.iter().max().copied().unwrap_or_default();
        assert!(
            longest <= some.jitter() && longest > Duration::from_secs(4),
            "{longest:?}"
        );
        assert!(
            put_off
                .iter()
                .min()
                .is_some_and(|least| *least < Duration::from_secs(1))
        );
        let first = Firing::of(&some, Why::Due, at(3));
        assert_eq!(first.put_off(&some), Firing::of(&some, Why::Due, at(3)).put_off(&some));
        assert_eq!(Firing::of(&none, Why::Due, at(3)).put_off(&none), Duration::ZERO);
    }
}
