//! The hops of the upgraded agent: when and to which version each was routed, and who worked on it.

use std::time::Duration;

use baton_envelope::{AgentName, AgentVersion, Event, IntentId, Role, Route, Timestamp, canary_bucket};
use baton_jetstream::Head;

/// How long after a decision a worker may still route by the previous revision, until its watch delivers the new one.
const TOLERANCE: Duration = Duration::from_millis(250);

/// A routed hop of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) bucket: u8,
    pub(super) at: Timestamp,
    pub(super) version: AgentVersion,
}

/// What the histories say about the agent's hops.
#[derive(Debug, Default)]
pub(super) struct Hops {
    pub(super) routed: Vec<Hop>,
    /// Records that gave open work to another version.
    pub(super) moved: usize,
    /// Records by workers of a version that the hop was not routed to.
    pub(super) foreign: usize,
    /// Attempts that failed and were retried.
    pub(super) retries: usize,
}

impl Hops {
    /// Collects them from all histories.
    pub(super) fn of(agent: &AgentName, histories: &[(IntentId, Vec<Head>)]) -> Self {
        let mut hops = Self::default();
        for (intent, history) in histories {
            hops.read(agent, intent, history);
        }
        hops
    }

    fn read(&mut self, agent: &AgentName, intent: &IntentId, history: &[Head]) {
        // The version that the current ticket is for: the one in the record that authorised it.
        let mut ticket: Option<AgentVersion> = None;
        for head in history {
            let record = &head.record;
            let worker = record.by.agent.as_ref() == Some(agent) && record.by.role == Role::Worker;
            if worker && ticket.is_some() && record.by.version != ticket {
                self.foreign += 1;
            }
            self.retries += usize::from(record.event == Event::RetryScheduled);
            self.moved += usize::from(matches!(record.event, Event::Moved | Event::Rerouted | Event::Repinned));
            let Some(envelope) = &record.envelope else { continue };
            let version = record.snapshot.version.clone().filter(|_| envelope.to == *agent);
            if let (Event::HandedOff, Some(version)) = (&record.event, &version) {
                self.routed.push(Hop {
                    bucket: canary_bucket(record.snapshot.root.as_ref().unwrap_or(intent)),
                    at: record.at,
                    version: version.clone(),
                });
            }
            ticket = version;
        }
    }
}

/// A revision of the route: since when it applies, and which versions it chooses.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) since: Timestamp,
    active: AgentVersion,
    canary: Option<(AgentVersion, u8)>,
}

impl Rule {
    pub(super) fn of(route: &Route) -> Self {
        let canary = route.canary.as_ref();
        Self {
            since: route.updated_at,
            active: route.active.clone(),
            canary: canary.map(|canary| (canary.version.clone(), canary.percent.get())),
        }
    }

    /// The route before the rollout.
    pub(super) fn before(active: &AgentVersion) -> Self {
        Self {
            since: Timestamp::default(),
            active: active.clone(),
            canary: None,
        }
    }

    fn version(&self, bucket: u8) -> &AgentVersion {
        match &self.canary {
            Some((version, share)) if bucket < *share => version,
            Some(_) | None => &self.active,
        }
    }
}

/// Whether a hop went where the route sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Where the revision in force sent it.
    Right,
    /// So close to a change that another revision may have been in force.
    Near,
    /// Elsewhere.
    Wrong,
}

/// Compares a hop with the revisions, oldest first.
pub(super) fn side(rules: &[Rule], hop: &Hop) -> Side {
    let in_force = rules.iter().enumerate().filter(|(n, rule)| {
        let ended = rules.get(n + 1).map(|next| next.since.plus(TOLERANCE));
        rule.since <= hop.at.plus(TOLERANCE) && ended.is_none_or(|ended| hop.at <= ended)
    });
    let versions: Vec<&AgentVersion> = in_force.map(|(_, rule)| rule.version(hop.bucket)).collect();
    match versions.iter().filter(|version| ***version == hop.version).count() {
        0 => Side::Wrong,
        hits if hits == versions.len() => Side::Right,
        _ => Side::Near,
    }
}

/// Whether a hop was certainly routed while a revision was in force.
pub(super) fn is_within(hop: &Hop, since: Timestamp, until: Option<Timestamp>) -> bool {
    since.plus(TOLERANCE) < hop.at && until.is_none_or(|until| hop.at.plus(TOLERANCE) < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> AgentVersion {
        text.parse().expect("version")
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis)
    }

    #[test]
    fn a_hop_is_held_against_what_was_in_force() {
        let canary = |since, share| Rule {
            since: at(since),
            active: version("1.0.0"),
            canary: Some((version("2.0.0"), share)),
        };
        let rules = [Rule::before(&version("1.0.0")), canary(10_000, 10), canary(20_000, 25)];
        let seen = |bucket, millis, to: &str| {
            side(
                &rules,
                &Hop {
                    bucket,
                    at: at(millis),
                    version: version(to),
                },
            )
        };
        assert_eq!(seen(5, 5_000, "1.0.0"), Side::Right);
        assert_eq!(seen(5, 5_000, "2.0.0"), Side::Wrong);
        assert_eq!(seen(5, 15_000, "2.0.0"), Side::Right);
        assert_eq!(seen(5, 15_000, "1.0.0"), Side::Wrong);
        assert_eq!(seen(5, 10_200, "1.0.0"), Side::Near);
        assert_eq!(seen(15, 15_000, "2.0.0"), Side::Wrong);
        assert_eq!(seen(15, 19_800, "2.0.0"), Side::Near);
        assert_eq!(seen(15, 20_300, "2.0.0"), Side::Right);
        assert_eq!(seen(50, 20_100, "1.0.0"), Side::Right);
    }
}
