//! Turns: work that waits for its turn is put before its agent when it is. So much of each key at a time as the agent allows,
//! in the order of the places; where an agent serves its submitters in turn, so much of all as it allows.
//!
//! For keys a look at an old index is as good as one at a new one: whoever is before a place there is before it for ever, and
//! whoever has left it does not come back. So two leaders at once give the same turns, and the guard of each intent lets one
//! of them. Places are given to raw messages here, too, in the order of the intake.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use baton_envelope::{AgentName, IntentId, Mutant, Timestamp};
use baton_jetstream::{Error, InIntake, Intake, RawIds, Waiter};
use futures::StreamExt as _;

use crate::context::Context;
use crate::projection::{Front, Lane, Submitter, Touched};
use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to look without an event, for a limit that was changed.
const IDLE: Duration = Duration::from_secs(1);
/// When to look again at raw messages that are not all routed, at first and at last.
const SOON: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(500);
/// When to try again what failed.
const AGAIN: Duration = Duration::from_millis(500);
/// How many lanes, or agents, to work at at the same time.
const AT_ONCE: usize = 32;
/// How many of an agent that is not fair any more to let go in one round.
const LET_GO: u32 = 500;
const HOUR_MS: u64 = 3_600_000;
/// How often the same raw message may be found unrouted before it is asked whether it only lacks its ack, and of how many
/// messages in one look.
const PATIENT: u32 = 10;
const LOOK_THROUGH: usize = 100;
/// How long the projection may take to catch up before places are given.
const CATCH_UP: Duration = Duration::from_secs(5);

/// What an agent allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Allowed {
    per_key: Option<u32>,
    fair: Option<u32>,
    /// How far apart the turns of a key are.
    apart: Option<Duration>,
}

/// Gives turns.
#[derive(Debug)]
pub(crate) struct Turns {
    /// What to look at.
    todo: Touched,
    /// Whose turn was given, by lane, while the projection does not show it yet.
    given: HashMap<Lane, HashSet<Waiter>>,
    /// The agents that allow something else than one of each key; `None` before they were observed.
    allowed: Option<BTreeMap<AgentName, Allowed>>,
    /// When a key had its turn last, while the projection does not show it yet.
    times: HashMap<Lane, Timestamp>,
    /// Lanes whose next turn is to come later, as its key had one just now.
    later: HashMap<Lane, Timestamp>,
    /// Whose turn came last at each fair agent.
    last: HashMap<AgentName, String>,
    /// When to look at raw messages again, while some have no place.
    wait: Option<Duration>,
    /// The first message in the intake of each agent that has some without a place, and how often it was the first.
    firsts: HashMap<AgentName, (u64, u32)>,
    failed: bool,
}

/// What is to be done in one lane: each in this order.
struct Gift {
    lane: Lane,
    of: u32,
    waiters: Vec<Waiter>,
    /// Whether the next of the key depends on when this is.
    timed: bool,
}

impl Round for Turns {
    const NAME: &'static str = "turns";
    const PERIOD: Period = Period::Turn(IDLE);
    const TIMEOUT: Duration = Duration::from_secs(30);

    fn begin(_: &Term) -> Self {
        Self {
            todo: Touched::all(),
            given: HashMap::new(),
            times: HashMap::new(),
            later: HashMap::new(),
            allowed: None,
            last: HashMap::new(),
            wait: None,
            firsts: HashMap::new(),
            failed: false,
        }
    }

    fn due(&mut self, term: &Term, turn: u64) -> Period {
        let now = term.cx.mesh.now();
        let later = self.later.values().min().map(|at| at.since(now));
        match (turn, self.failed) {
            (0, _) => Period::Time(Duration::ZERO),
            (_, true) => Period::Time(AGAIN),
            (_, false) => match self.wait.into_iter().chain(later).min() {
                Some(wait) => Period::Turn(wait),
                None => Self::PERIOD,
            },
        }
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        self.failed = true;
        self.observe(term);
        let cx = term.in_charge()?;
        self.todo.add(cx.projection.take_touched());
        let now = cx.mesh.now();
        self.todo
            .touch(self.later.extract_if(|_, at| *at <= now).map(|(lane, _)| lane));
        if self.todo.is_empty() && self.wait.is_none() {
            self.failed = false;
            return Ok(());
        }
        self.place(term).await?;
        let lanes = match self.todo.all {
            true => cx.projection.lanes().await?,
            false => self.todo.lanes.clone(),
        };
        if self.todo.all {
            self.given.retain(|lane, _| lanes.contains(lane));
            self.later.retain(|lane, _| lanes.contains(lane));
        }
        let gifts = self.gifts(term, lanes).await?;
        self.give(term, gifts).await?;
        self.failed = false;
        Ok(())
    }
}

impl Turns {
    /// Notes what agents allow. Where that has changed, any turn may have come.
    fn observe(&mut self, term: &Term) {
        // Without fresh observations the last ones stand.
        let Ok(seen) = term.observations() else { return };
        let of = |limits: &baton_envelope::AgentLimits| Allowed {
            per_key: limits.per_key,
            fair: limits.fair,
            apart: limits.key_rate_per_hour.map(apart),
        };
        let each = seen.routes.iter().filter_map(|route| {
            let allowed = route.limits.as_ref().map(of)?;
            (allowed != Allowed::default()).then(|| (route.agent.clone(), allowed))
        });
        let allowed = Some(each.collect());
        if self.allowed != allowed {
            self.allowed = allowed;
            self.todo = Touched::all();
            self.later.clear();
        }
    }

    /// Gives raw messages their places, of each agent those that came before whatever is not routed yet.
    async fn place(&mut self, term: &Term) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let agents = cx.projection.with_unplaced().await?;
        self.firsts.retain(|agent, _| agents.contains(agent));
        if agents.is_empty() {
            self.wait = None;
            return Ok(());
        }
        let mut firsts = Vec::with_capacity(agents.len());
        for agent in agents {
            let first = self.first_unrouted(term, &agent).await?;
            firsts.push((agent, first));
        }
        // What was routed before that look is in the ledger.
        cx.projection.caught_up(CATCH_UP).await?;
        let mut keys: BTreeMap<(AgentName, String), Vec<Waiter>> = BTreeMap::new();
        for (agent, first) in firsts {
            for (key, waiter) in cx.projection.unplaced(&agent, first).await? {
                keys.entry((agent.clone(), key)).or_default().push(waiter);
            }
        }
        // What has its place soon shows in the projection, and wakes this up.
        self.wait = Some(match (keys.is_empty(), self.wait) {
            (true, Some(wait)) => (wait * 2).min(LATER),
            (true, None) | (false, _) => SOON,
        });
        let each = keys.into_values().map(|waiters| async move {
            for waiter in waiters {
                let cx = term.in_charge()?;
                // In order: the next one has no place before this one has.
                cx.mesh.place_in_order(&waiter.intent, &cx.by).await?;
            }
            Ok::<_, RoundError>(())
        });
        let mut placed = std::pin::pin!(futures::stream::iter(each).buffer_unordered(AT_ONCE));
        while let Some(placed) = placed.next().await {
            placed?;
        }
        Ok(())
    }

    /// Where in the intake the first message for an agent is that is not routed yet.
    ///
    /// A routed one may stay there. Its ack was lost with a router or a server: then it comes again, after its ack wait or later.
    /// Or a server that was killed has kept the ack and lost the removal: then it stays for ever. So where the first one stays
    /// the same, those are passed over that are acked, and those that are in the ledger.
    async fn first_unrouted(&mut self, term: &Term, agent: &AgentName) -> Result<u64, RoundError> {
        let cx = term.in_charge()?;
        let Some(first) = cx.mesh.next_in_intake(agent, 1).await? else {
            self.firsts.remove(agent);
            return Ok(u64::MAX);
        };
        let (seq, times) = self.firsts.entry(agent.clone()).or_default();
        *times = if *seq == first.seq { *times + 1 } else { 0 };
        *seq = first.seq;
        if *times < PATIENT {
            return Ok(first.seq);
        }
        let through = cx.mesh.acked_through(Intake::Router).await?;
        let mut next = match first.seq <= through {
            false => first,
            true => match cx.mesh.next_in_intake(agent, through + 1).await? {
                Some(next) => next,
                None => return Ok(u64::MAX),
            },
        };
        for _ in 0..LOOK_THROUGH {
            if !is_routed(cx, &next).await? {
                break;
            }
            match cx.mesh.next_in_intake(agent, next.seq + 1).await? {
                Some(after) => next = after,
                None => return Ok(u64::MAX),
            }
        }
        Ok(next.seq)
    }

    /// Who has a turn now, by lane.
    async fn gifts(&mut self, term: &Term, lanes: HashSet<Lane>) -> Result<Vec<Gift>, RoundError> {
        let cx = term.in_charge()?;
        let allowed = |agent: &AgentName| self.allowed.as_ref().and_then(|all| all.get(agent)).copied();
        let (mut keys, mut agents) = (Vec::new(), Vec::new());
        for (agent, key) in lanes {
            match key {
                // Before it is known what its agent allows, nobody is let go; then all lanes are looked at.
                _ if self.allowed.is_none() => {}
                Some(key) => {
                    let of = allowed(&agent).unwrap_or_default().per_key.unwrap_or(1);
                    let of = if Mutant::P12KeysIgnored.is_on() { LET_GO } else { of };
                    keys.push((agent, key, of));
                }
                None => {
                    let fair = allowed(&agent).unwrap_or_default().fair;
                    agents.push((agent, fair));
                }
            }
        }
        let mut gifts = Vec::new();
        let fronts = cx.projection.fronts(keys.clone()).await?;
        let is_timed = |(agent, _, _): &(AgentName, String, u32)| allowed(agent).is_some_and(|of| of.apart.is_some());
        let timed: Vec<bool> = keys.iter().map(is_timed).collect();
        for (((agent, key, of), fronts), timed) in keys.into_iter().zip(fronts).zip(timed) {
            let lane = (agent, Some(key));
            let waiting: Vec<Waiter> = waiting(fronts).collect();
            let waiters = self.not_given(&lane, &waiting);
            gifts.push(Gift {
                lane,
                of,
                waiters,
                timed,
            });
        }
        self.hold_apart(term, &mut gifts).await?;
        for (agent, fair) in agents {
            let fair = match fair {
                Some(fair) => Some(fair),
                // What was observed may be older than what submitters go by.
                None => {
                    let route = cx.mesh.route(&agent).await?;
                    route.and_then(|(route, _)| route.limits).and_then(|limits| limits.fair)
                }
            };
            let most = fair.unwrap_or(LET_GO);
            // As many more as may be given already and not show yet.
            let (submitters, queued) = cx.projection.submitters(&agent, most.saturating_mul(2)).await?;
            let lane = (agent, None);
            let known: Vec<Waiter> = submitters.iter().flat_map(|one| one.first.clone()).collect();
            self.not_given(&lane, &known);
            let given = self.given.get(&lane).cloned().unwrap_or_default();
            let free = match fair {
                Some(fair) => u64::from(fair).saturating_sub(queued + given.len() as u64),
                None => u64::from(LET_GO),
            };
            let last = self.last.get(&lane.0).map(String::as_str);
            let (waiters, last) = in_turn(submitters, &given, free, last);
            self.last.extend(last.map(|last| (lane.0.clone(), last)));
            gifts.push(Gift {
                lane,
                of: fair.unwrap_or(LET_GO),
                waiters,
                timed: false,
            });
        }
        gifts.retain(|gift| !gift.waiters.is_empty());
        Ok(gifts)
    }

    /// Lets of each key whose rate is limited at most one have its turn, and none before it is time.
    async fn hold_apart(&mut self, term: &Term, gifts: &mut [Gift]) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let timed = gifts.iter_mut().filter(|gift| gift.timed && !gift.waiters.is_empty());
        let mut timed: Vec<&mut Gift> = timed.collect();
        if timed.is_empty() {
            return Ok(());
        }
        let keys = timed
            .iter()
            .filter_map(|gift| Some((gift.lane.0.clone(), gift.lane.1.clone()?)));
        let shown = cx.projection.last_times(keys.collect()).await?;
        let now = cx.mesh.now();
        for (gift, shown) in timed.iter_mut().zip(shown) {
            let apart = self.allowed.as_ref().and_then(|all| all.get(&gift.lane.0)?.apart);
            let last = shown.max(self.times.get(&gift.lane).copied());
            if last == shown {
                self.times.remove(&gift.lane);
            }
            let next = last.zip(apart).map(|(last, apart)| last.plus(apart));
            if let Some(next) = next.filter(|next| *next > now) {
                gift.waiters.clear();
                self.later.insert(gift.lane.clone(), next);
            }
            gift.waiters.truncate(1);
        }
        Ok(())
    }

    /// Those of the waiting of a lane whose turn was not given yet. Of the others, those are forgotten that wait no more.
    fn not_given(&mut self, lane: &Lane, waiting: &[Waiter]) -> Vec<Waiter> {
        let Some(given) = self.given.get_mut(lane) else {
            return waiting.to_vec();
        };
        given.retain(|waiter| waiting.contains(waiter));
        let fresh = waiting.iter().filter(|waiter| !given.contains(waiter));
        let fresh = fresh.cloned().collect();
        if given.is_empty() {
            self.given.remove(lane);
        }
        fresh
    }

    /// Gives turns: within a lane one after the other, so that they begin in order.
    async fn give(&mut self, term: &Term, gifts: Vec<Gift>) -> Result<(), RoundError> {
        let each = gifts.into_iter().map(|gift| async move {
            let (mut given, mut failed) = (Vec::new(), None);
            let at = gift.timed.then(|| term.cx.mesh.now());
            for waiter in gift.waiters {
                let done = match term.in_charge() {
                    Ok(cx) => cx.mesh.give_turn(&waiter, gift.of, at, &cx.by).await,
                    Err(_) => Err(Error::no_answer("giving a turn", "this controller no longer leads")),
                };
                match done {
                    Ok(_) => given.push(waiter),
                    Err(error) => {
                        failed = Some((waiter.intent, error));
                        break;
                    }
                }
            }
            (gift.lane, at, given, failed)
        });
        let mut done = std::pin::pin!(futures::stream::iter(each).buffer_unordered(AT_ONCE));
        // Until all are done, all are to be done: this may be cut off.
        let mut again = Touched::default();
        let mut first: Option<(IntentId, Error)> = None;
        while let Some((lane, at, given, failed)) = done.next().await {
            if !given.is_empty() {
                self.times.extend(at.map(|at| (lane.clone(), at)));
                self.given.entry(lane.clone()).or_default().extend(given);
            }
            if let Some(failed) = failed {
                again.touch([lane]);
                first = first.or(Some(failed));
            }
        }
        self.todo = again;
        match first {
            None => Ok(()),
            Some((intent, error)) => {
                tracing::debug!(%intent, %error, "its turn cannot be given now");
                Err(error.into())
            }
        }
    }
}

/// How far apart turns are at a rate, rounded up so that no hour sees more.
fn apart(per_hour: u64) -> Duration {
    Duration::from_millis(HOUR_MS.div_ceil(per_hour.max(1)))
}

/// Whether a message of the intake is in the ledger, or was there.
async fn is_routed(cx: &Context, message: &InIntake) -> Result<bool, RoundError> {
    let RawIds { derived, chosen } = message.ids()?;
    if !cx.mesh.heads(&[chosen, derived.clone()]).await?.is_empty() {
        return Ok(true);
    }
    // A chosen id in the archive says nothing: it may live again.
    Ok(!cx.projection.find_archived(&derived).await?.is_empty())
}

fn waiting(fronts: Vec<Front>) -> impl Iterator<Item = Waiter> {
    fronts.into_iter().filter(|front| front.waits).map(|front| front.waiter)
}

/// Who comes next among submitters, so many: always one of whoever has the fewest in the queues; of those alike, the one whose
/// name follows that of the last. Gives the last one now, too.
fn in_turn(
    submitters: Vec<Submitter>,
    given: &HashSet<Waiter>,
    free: u64,
    last: Option<&str>,
) -> (Vec<Waiter>, Option<String>) {
    let mut lines: Vec<(u64, String, std::vec::IntoIter<Waiter>)> = submitters
        .into_iter()
        .map(|Submitter { name, queued, first }| {
            let (hidden, fresh): (Vec<Waiter>, Vec<Waiter>) = first.into_iter().partition(|one| given.contains(one));
            (queued + hidden.len() as u64, name, fresh.into_iter())
        })
        .collect();
    let (mut next, mut last) = (Vec::new(), last.map(str::to_owned));
    while (next.len() as u64) < free {
        lines.retain(|(_, _, line)| !line.as_slice().is_empty());
        let after = last.clone().unwrap_or_default();
        let turn = |(queued, name, _): &&mut (u64, String, _)| (*queued, *name <= after, name.clone());
        let Some((queued, name, line)) = lines.iter_mut().min_by_key(turn) else {
            break;
        };
        *queued += 1;
        next.extend(line.next());
        last = Some(name.clone());
    }
    (next, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submitter(name: &str, queued: u64, waiting: std::ops::Range<u64>) -> Submitter {
        let waiter = |place: u64| Waiter {
            intent: format!("{name}-{place}").parse().expect("id"),
            place,
        };
        Submitter {
            name: name.to_owned(),
            queued,
            first: waiting.map(waiter).collect(),
        }
    }

    fn names(next: &[Waiter]) -> Vec<&str> {
        next.iter().map(|waiter| waiter.intent.as_str()).collect()
    }

    #[test]
    fn a_flooder_does_not_keep_others_waiting() {
        let all = || vec![submitter("flood", 3, 1..100), submitter("few", 0, 200..202)];
        let none = HashSet::new();
        let (next, last) = in_turn(all(), &none, 4, None);
        assert_eq!(names(&next), ["few-200", "few-201", "flood-1", "flood-2"]);
        assert_eq!(last.as_deref(), Some("flood"));
        assert!(in_turn(all(), &none, 0, None).0.is_empty());
        // What is given and does not show yet counts as queued.
        let given: HashSet<Waiter> = submitter("few", 0, 200..202).first.into_iter().collect();
        assert_eq!(names(&in_turn(all(), &given, 1, None).0), ["flood-1"]);
    }

    #[test]
    fn those_alike_come_one_after_the_other() {
        let (mut served, mut last) = (Vec::new(), None);
        for round in 0..4 {
            let all = ["a", "b", "c"].map(|name| submitter(name, 0, round * 10..round * 10 + 5));
            let (next, now) = in_turn(all.into(), &HashSet::new(), 1, last.as_deref());
            served.extend(next.into_iter().map(|waiter| waiter.intent.as_str()[..1].to_owned()));
            last = now;
        }
        assert_eq!(served, ["a", "b", "c", "a"]);
    }
}
