//! How much of their views the hops of late could read: counted for each version and minute, in memory.

use std::collections::{BTreeMap, VecDeque};

use baton_envelope::context::Completeness;
use baton_envelope::{AgentName, AgentVersion, IntentId, Timestamp};

/// How many minutes are told of.
const MINUTES: i64 = 15;
/// The milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// What hops of one minute were given, and could read.
#[derive(Debug, Clone)]
struct Minute {
    minute: i64,
    completeness: Completeness,
    /// When the first of them lacked something, and the last that did.
    lacking: Option<(Timestamp, IntentId)>,
}

/// What the hops of a version could read of late.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    /// What they were given, and could read.
    pub(crate) completeness: Completeness,
    /// When the first of them lacked something.
    pub(crate) since: Timestamp,
    /// The last that did.
    pub(crate) intent: IntentId,
    /// Over how many minutes.
    pub(crate) minutes: i64,
}

/// By version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Views(BTreeMap<(AgentName, AgentVersion), VecDeque<Minute>>);

fn minute_of(at: Timestamp) -> i64 {
    at.unix_millis().div_euclid(MINUTE)
}

impl Views {
    /// Notes an attempt of a version.
    pub(super) fn note(
        &mut self,
        of: (&AgentName, &AgentVersion),
        (intent, at): (&IntentId, Timestamp),
        completeness: &Completeness,
        now: Timestamp,
    ) {
        let (minute, present) = (minute_of(at), minute_of(now));
        if minute <= present - MINUTES || completeness.requested == 0 {
            return;
        }
        let minutes = self.0.entry((of.0.clone(), of.1.clone())).or_default();
        minutes.retain(|one| one.minute > present - MINUTES);
        let at_place = minutes.iter().position(|one| one.minute == minute);
        let index = at_place.unwrap_or_else(|| {
            minutes.push_back(Minute {
                minute,
                completeness: Completeness::default(),
                lacking: None,
            });
            minutes.len() - 1
        });
        let Some(found) = minutes.get_mut(index) else { return };
        let sum = |one: u64, other: u64| one.saturating_add(other);
        found.completeness = Completeness::of(
            sum(found.completeness.resolved, completeness.resolved),
            sum(found.completeness.requested, completeness.requested),
        );
        if completeness.resolved < completeness.requested {
            let since = found.lacking.as_ref().map_or(at, |(since, _)| *since);
            found.lacking = Some((since, intent.clone()));
        }
    }

    /// What the hops of a version could read of late; `None` where none of them lacked anything.
    pub(crate) fn of(&self, agent: &AgentName, version: &AgentVersion, now: Timestamp) -> Option<Read> {
        let minutes = self.0.get(&(agent.clone(), version.clone()))?;
        let present = minute_of(now);
        let recent = minutes.iter().filter(|one| one.minute > present - MINUTES);
        let (mut resolved, mut requested) = (0_u64, 0_u64);
        let mut lacking: Option<(Timestamp, IntentId)> = None;
        for one in recent {
            resolved = resolved.saturating_add(one.completeness.resolved);
            requested = requested.saturating_add(one.completeness.requested);
            if let Some((since, intent)) = &one.lacking {
                let first = lacking.as_ref().map_or(*since, |(first, _)| *first);
                lacking = Some((first, intent.clone()));
            }
        }
        let (since, intent) = lacking?;
        Some(Read {
            completeness: Completeness::of(resolved, requested),
            since,
            intent,
            minutes: MINUTES,
        })
    }
}

#[cfg(test)]
mod tests {
    use baton_envelope::context::Concern;

    use super::*;

    #[test]
    fn fifteen_minutes_count_and_nothing_of_nothing_is_whole() {
        let (agent, version): (AgentName, AgentVersion) = ("code".parse().unwrap(), "1.0.0".parse().unwrap());
        let intent: IntentId = "order-42".parse().unwrap();
        let at = |minute: i64| Timestamp::from_unix_millis(minute * MINUTE + 1);
        let expected = [
            (0, None),
            (1, Some(Concern::None)),
            (2, Some(Concern::Warning)),
            (5, Some(Concern::Alarm)),
        ];
        for (missing, concern) in expected {
            let mut views = Views::default();
            let mut note = |minute, read: Completeness| {
                views.note((&agent, &version), (&intent, at(minute)), &read, at(minute));
            };
            // Over by the time that is asked about.
            note(0, Completeness::of(0, 20));
            note(20, Completeness::of(0, 0));
            note(20, Completeness::of(20 - missing, 20));
            let found = views.of(&agent, &version, at(34));
            let numbers = found
                .as_ref()
                .map(|found| (found.completeness.requested, found.completeness.resolved));
            assert_eq!(numbers, (missing > 0).then_some((20, 20 - missing)));
            assert_eq!(found.map(|found| found.completeness.concern()), concern, "{missing}");
            assert!(views.of(&agent, &version, at(35)).is_none(), "fifteen minutes are over");
            let other: AgentVersion = "2.0.0".parse().unwrap();
            assert!(views.of(&agent, &other, at(20)).is_none());
        }
    }
}
