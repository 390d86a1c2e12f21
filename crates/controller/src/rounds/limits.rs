//! Limits of agents for their whole fleets: divides each among the live workers, and tells each its share.
//!
//! The bound is hard: the shares stand in a guarded key before they are told, and what a worker gives back counts as its own
//! until it has said so or has been gone for long. Whoever leads next begins with that key, and a leader of before that wakes
//! up tells an older revision, which no worker takes any more.

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::{AgentLimits, AgentName, Route, Seat, Share, granted, wanted};
use baton_jetstream::{AgentInstance, Bound, ShareTold, Shares};
use futures::future::join_all;
use tokio::time::Instant;

use crate::rounds::error::RoundError;
use crate::rounds::observations::Observations;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How long a worker must be gone before its share is another's: twice as long as it counts on it without a connection, and
/// as long as its tickets stay with it.
const GONE: Duration = Duration::from_secs(10);

/// Divides limits.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    agents: BTreeMap<AgentName, Known>,
}

/// What the last round left.
#[derive(Debug, Default)]
struct Known {
    shares: Shares,
    gone: BTreeMap<AgentInstance, Instant>,
}

/// A worker in a round.
struct Worker {
    place: AgentInstance,
    most: u64,
    /// Whether work waits for its version.
    is_hungry: bool,
    /// Whether it runs something, or has been given it.
    is_busy: bool,
    /// What it may be using.
    bound: Bound,
    /// Whether a leader has written down what it may be using.
    is_known: bool,
    /// What it holds, as it said; `None` where it said nothing.
    told: Option<ShareTold>,
}

impl Round for Limits {
    const NAME: &'static str = "limits";
    const TIMEOUT: Duration = Duration::from_secs(30);
    const PERIOD: Period = Period::Observation;

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let seen = term.observations()?;
        for route in &seen.routes {
            let Some(limits) = &route.limits else { continue };
            if let Err(error) = self.divide(term, &seen, route, limits).await {
                // Whatever was written or not: the next round reads it.
                self.agents.remove(&route.agent);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Limits {
    async fn divide(
        &mut self,
        term: &Term,
        seen: &Observations,
        route: &Route,
        limits: &AgentLimits,
    ) -> Result<(), RoundError> {
        let agent = &route.agent;
        if !self.agents.contains_key(agent) {
            let mut shares = term.in_charge()?.mesh.shares(agent).await?;
            if limits.is_none() && shares.bounds.is_empty() {
                return Ok(());
            }
            // A revision of this term's own: what a leader of before may still tell is older.
            shares.revision = term.in_charge()?.mesh.keep_shares(agent, &shares).await?;
            let gone = BTreeMap::new();
            self.agents.insert(agent.clone(), Known { shares, gone });
        }
        let Some(known) = self.agents.get_mut(agent) else {
            return Ok(());
        };
        if limits.is_none() && known.shares.bounds.is_empty() {
            return Ok(());
        }
        let mut workers = workers(term, seen, route, &known.shares);
        known.ask_back(term, agent, limits, &mut workers).await?;
        // One that was never told a share, and was not heard yet, may be running as much as it has slots.
        if known.shares.bounds.is_empty() && !term.cx.workers.are_all_known() {
            return Ok(());
        }
        known.give(term, agent, limits, &workers).await?;
        // Nothing is limited any more, and everybody knows.
        let knows = |worker: &Worker| matches!(worker.told, Some(ShareTold::Held(_) | ShareTold::Unaware));
        if limits.is_none() && workers.iter().all(knows) && !known.shares.bounds.is_empty() {
            known.shares.bounds.clear();
            known.shares.revision = term.in_charge()?.mesh.keep_shares(agent, &known.shares).await?;
        }
        Ok(())
    }
}

impl Known {
    /// Tells each worker to keep to less where it has too much, and hears what each may be using from now on. Whoever is
    /// gone for long is taken out.
    async fn ask_back(
        &mut self,
        term: &Term,
        agent: &AgentName,
        limits: &AgentLimits,
        workers: &mut Vec<Worker>,
    ) -> Result<(), RoundError> {
        let mesh = &term.in_charge()?.mesh;
        let revision = self.shares.revision;
        let want = wants(limits, workers);
        let asked = workers.iter().zip(&want).map(|(worker, want)| {
            let least = Bound {
                in_flight: worker.bound.in_flight.min(want.in_flight),
                rate_per_hour: worker.bound.rate_per_hour.min(want.rate_per_hour),
            };
            let (place, share) = (worker.place.clone(), share(limits, revision, least));
            async move { mesh.tell_share(agent, &place, share).await }
        });
        let answers = join_all(asked).await;
        for (worker, told) in workers.iter_mut().zip(answers) {
            worker.hear(told, limits);
            match told {
                ShareTold::Gone => {
                    self.gone.entry(worker.place.clone()).or_insert_with(Instant::now);
                }
                ShareTold::Held(_) | ShareTold::Unaware | ShareTold::Silent => {
                    self.gone.remove(&worker.place);
                }
            }
        }
        workers.retain(|worker| {
            let gone = self.gone.get(&worker.place).map(Instant::elapsed);
            !gone.is_some_and(|gone| gone >= GONE || worker.bound == Bound::default())
        });
        self.gone
            .retain(|place, _| workers.iter().any(|worker| worker.place == *place));
        Ok(())
    }

    /// Gives away what is free, in writing before in words.
    async fn give(
        &mut self,
        term: &Term,
        agent: &AgentName,
        limits: &AgentLimits,
        workers: &[Worker],
    ) -> Result<(), RoundError> {
        let grants = grants(limits, workers);
        let each = workers.iter().zip(&grants);
        let bounds = each.clone().map(|(worker, grant)| (worker.place.clone(), *grant));
        let bounds = bounds.collect();
        if self.shares.bounds != bounds {
            self.shares.bounds = bounds;
            self.shares.revision = term.in_charge()?.mesh.keep_shares(agent, &self.shares).await?;
        }
        let revision = self.shares.revision;
        let mesh = &term.in_charge()?.mesh;
        let more = each.filter(|(worker, grant)| {
            let is_more = grant.in_flight > worker.bound.in_flight || grant.rate_per_hour > worker.bound.rate_per_hour;
            is_more && matches!(worker.told, Some(ShareTold::Held(_)))
        });
        let told = more.map(|(worker, grant)| {
            let (place, share) = (worker.place.clone(), share(limits, revision, *grant));
            async move { mesh.tell_share(agent, &place, share).await }
        });
        join_all(told).await;
        Ok(())
    }
}

impl Worker {
    /// Whether it can be given more: it answers, or was not asked yet.
    fn takes_more(&self) -> bool {
        matches!(self.told, None | Some(ShareTold::Held(_)))
    }

    /// Takes what it says: what it holds no more is free.
    fn hear(&mut self, told: ShareTold, limits: &AgentLimits) {
        self.told = Some(told);
        match told {
            ShareTold::Held(held) => {
                let in_flight = match held.share.in_flight {
                    Some(share) => share.max(held.in_use),
                    // It kept to none, so it may be using all of its own.
                    None => u32::try_from(self.most).unwrap_or(u32::MAX),
                };
                self.bound.in_flight = u64::from(in_flight);
                self.bound.rate_per_hour = held.share.rate_per_hour.or(limits.rate_per_hour).unwrap_or_default();
                self.is_busy = held.in_use > 0;
            }
            // It takes what it wants, and all of it counts.
            ShareTold::Unaware => self.bound.in_flight = self.most,
            // It is there, and may have begun before there was a limit.
            ShareTold::Silent if !self.is_known => {
                self.bound.in_flight = self.most;
                self.bound.rate_per_hour = limits.rate_per_hour.unwrap_or_default();
            }
            ShareTold::Silent | ShareTold::Gone => {}
        }
    }
}

/// The workers of all versions, and those that may hold a share and are not heard any more.
fn workers(term: &Term, seen: &Observations, route: &Route, shares: &Shares) -> Vec<Worker> {
    let agent = &route.agent;
    let mut found: BTreeMap<AgentInstance, Worker> = BTreeMap::new();
    for version in route.versions.keys() {
        let is_hungry = seen.tickets(agent, version).is_some_and(|counts| counts.backlog > 0);
        for one in term.cx.workers.of(agent, version) {
            let place = (version.clone(), one.instance.clone());
            let bound = shares.bounds.get(&place).copied();
            let worker = Worker {
                place: place.clone(),
                most: u64::from(one.concurrency),
                is_hungry,
                is_busy: false,
                bound: bound.unwrap_or_default(),
                is_known: bound.is_some(),
                told: None,
            };
            found.insert(place, worker);
        }
    }
    for (place, bound) in &shares.bounds {
        found.entry(place.clone()).or_insert_with(|| Worker {
            place: place.clone(),
            most: 0,
            is_hungry: false,
            is_busy: false,
            bound: *bound,
            is_known: true,
            told: None,
        });
    }
    found.into_values().collect()
}

/// What each worker should have.
fn wants(limits: &AgentLimits, workers: &[Worker]) -> Vec<Bound> {
    let (slots, rates) = (slot_seats(workers), rate_seats(limits, workers));
    let in_flight = wanted(limits.in_flight.map_or(0, u64::from), &slots);
    let rate_per_hour = wanted(limits.rate_per_hour.unwrap_or_default(), &rates);
    bounds(in_flight, rate_per_hour)
}

/// What each worker is given.
fn grants(limits: &AgentLimits, workers: &[Worker]) -> Vec<Bound> {
    let want = wants(limits, workers);
    let of = |pick: fn(&Bound) -> u64| want.iter().map(pick).collect::<Vec<u64>>();
    let (slots, rates) = (slot_seats(workers), rate_seats(limits, workers));
    let in_flight = granted(
        limits.in_flight.map_or(0, u64::from),
        &slots,
        &of(|want| want.in_flight),
    );
    let rate = limits.rate_per_hour.unwrap_or_default();
    bounds(in_flight, granted(rate, &rates, &of(|want| want.rate_per_hour)))
}

fn bounds(in_flight: Vec<u64>, rate_per_hour: Vec<u64>) -> Vec<Bound> {
    let each = in_flight.into_iter().zip(rate_per_hour);
    each.map(|(in_flight, rate_per_hour)| Bound {
        in_flight,
        rate_per_hour,
    })
    .collect()
}

fn slot_seats(workers: &[Worker]) -> Vec<Seat> {
    let seat = |worker: &Worker| Seat {
        most: if worker.takes_more() { worker.most } else { 0 },
        hungry: worker.is_hungry,
        bound: worker.bound.in_flight,
    };
    workers.iter().map(seat).collect()
}

fn rate_seats(limits: &AgentLimits, workers: &[Worker]) -> Vec<Seat> {
    let seat = |worker: &Worker| Seat {
        most: match worker.takes_more() && worker.most > 0 {
            true => limits.rate_per_hour.unwrap_or_default(),
            false => 0,
        },
        // What waits to be started is in its hands.
        hungry: worker.is_hungry || worker.is_busy,
        bound: worker.bound.rate_per_hour,
    };
    workers.iter().map(seat).collect()
}

fn share(limits: &AgentLimits, revision: u64, bound: Bound) -> Share {
    let in_flight = u32::try_from(bound.in_flight).unwrap_or(u32::MAX);
    Share {
        revision,
        in_flight: limits.in_flight.map(|_| in_flight),
        rate_per_hour: limits.rate_per_hour.map(|_| bound.rate_per_hour),
    }
}

#[cfg(test)]
mod tests {
    use baton_envelope::ShareHeld;

    use super::*;

    fn worker(instance: &str, bound: Option<u64>) -> Worker {
        let version = "1.0.0".parse().expect("a version");
        Worker {
            place: (version, instance.to_owned()),
            most: 8,
            is_hungry: true,
            is_busy: true,
            bound: Bound {
                in_flight: bound.unwrap_or_default(),
                rate_per_hour: 0,
            },
            is_known: bound.is_some(),
            told: None,
        }
    }

    fn held(in_use: u32) -> ShareTold {
        ShareTold::Held(ShareHeld {
            share: Share {
                revision: 1,
                in_flight: Some(0),
                rate_per_hour: None,
            },
            in_use,
        })
    }

    /// Both began before there was a limit, and one has a handler that keeps its thread: what it runs is not given to the
    /// other. Met by the fault runner (seed 9808): eight hops at a limit of seven.
    #[test]
    fn what_a_silent_worker_may_be_running_is_not_given_away() {
        let limits = AgentLimits {
            in_flight: Some(7),
            ..AgentLimits::default()
        };
        let mut workers = [worker("a", None), worker("b", None)];
        workers[0].hear(held(3), &limits);
        workers[1].hear(ShareTold::Silent, &limits);
        let given: Vec<u64> = grants(&limits, &workers).iter().map(|bound| bound.in_flight).collect();
        assert_eq!(given, [3, 8]);
        // In the next round it says what it runs.
        workers[1].is_known = true;
        workers[1].hear(held(3), &limits);
        let given: Vec<u64> = grants(&limits, &workers).iter().map(|bound| bound.in_flight).collect();
        assert_eq!(given, [4, 3]);
        // Of one whose share is written down nothing more is feared than that.
        let mut workers = [worker("a", Some(3)), worker("b", Some(2))];
        workers[0].hear(held(3), &limits);
        workers[1].hear(ShareTold::Silent, &limits);
        let given: Vec<u64> = grants(&limits, &workers).iter().map(|bound| bound.in_flight).collect();
        assert_eq!(given, [5, 2]);
    }
}
