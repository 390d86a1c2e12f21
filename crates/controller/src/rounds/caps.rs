//! Caps: settles calls whose holders cannot make them any more, and puts back what waits for room.
//!
//! A hop that has left the epoch of a grant records nothing of it any more, so nobody will say what the call took: all of it
//! counts. A worker that lives says so before its hop ends. What waits is put back by what is left, and never by an event
//! that could be missed: a settled call, a raised cap and a new day are all seen by the next look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use baton_envelope::budget::Amounts;
use baton_envelope::{AgentName, CapBook, CapGrant, Route, day_of};
use baton_jetstream::Head;
use futures::StreamExt as _;

use crate::rounds::error::RoundError;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How old a grant is when its holder is looked after.
const OLD: Duration = Duration::from_secs(2);
/// How many holders of one agent to look after in one round, and how many at the same time.
const LOOKED_AT: usize = 200;
const AT_ONCE: usize = 16;

/// Looks after caps.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    /// The agents whose book had something else than their route, at the last look.
    apart: BTreeSet<AgentName>,
    /// From which of its grants on to look at the next time, where an agent has more than one round looks at.
    next: BTreeMap<AgentName, usize>,
}

impl Round for Caps {
    const NAME: &'static str = "caps";
    const TIMEOUT: Duration = Duration::from_secs(30);
    const PERIOD: Period = Period::Observation;

    fn begin(_: &Term) -> Self {
        Self::default()
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        let seen = term.observations()?;
        let waiting = term.cx.projection.capped().await?;
        let mut first = Ok(());
        for route in &seen.routes {
            let is_waiting = waiting.contains_key(&route.agent);
            let is_known = self.apart.contains(&route.agent);
            if route.per_day().is_some() || is_waiting || is_known {
                let done = self.look_after(term, route, is_waiting).await;
                first = first.and(done.map_err(|error| error.of(&route.agent)));
            }
        }
        first
    }
}

impl Caps {
    async fn look_after(&mut self, term: &Term, route: &Route, is_waiting: bool) -> Result<(), RoundError> {
        let cx = term.in_charge()?;
        let agent = &route.agent;
        let (book, _) = cx.mesh.cap_book(agent).await?;
        let mut book = self.follow(term, route, book).await?;
        let over = self.over(term, &book).await?;
        if !over.is_empty() {
            tracing::warn!(%agent, calls = over.len(), "calls whose holders are gone count whole");
            let settled = term.in_charge()?.change_cap_book(agent, |book| {
                let settled = over.iter().filter(|id| book.settle(id, None)).count();
                (settled > 0, ())
            });
            (book, ()) = settled.await?;
        }
        match is_waiting {
            true => self.put_back(term, agent, &book).await,
            false => Ok(()),
        }
    }

    /// Has the book follow the route, where whoever changed the cap did not come to its end. One that is being changed is
    /// another one at the next look.
    async fn follow(&mut self, term: &Term, route: &Route, book: CapBook) -> Result<CapBook, RoundError> {
        let agent = &route.agent;
        if route.per_day().unwrap_or(&Amounts::NONE) == &book.per_day {
            self.apart.remove(agent);
            return Ok(book);
        }
        if self.apart.insert(agent.clone()) {
            return Ok(book);
        }
        let cx = term.in_charge()?;
        let now = cx.route(agent).await?;
        let set = cx.change_cap_book(agent, |book| (book.set_cap(now.per_day()), ()));
        Ok(set.await?.0)
    }

    /// The calls that nobody will settle.
    async fn over(&mut self, term: &Term, book: &CapBook) -> Result<Vec<String>, RoundError> {
        let cx = term.in_charge()?;
        let before = cx.mesh.now().minus(OLD);
        let old: Vec<&CapGrant> = book.grants().filter(|grant| grant.at <= before).collect();
        let next = self.next.entry(book.agent.clone()).or_default();
        let start = if *next < old.len() { *next } else { 0 };
        *next = start + LOOKED_AT;
        let looked = old.into_iter().skip(start).take(LOOKED_AT).map(|grant| async move {
            let head = cx.mesh.head(&grant.intent).await?;
            Ok::<_, RoundError>(is_over(head.as_ref(), grant).then(|| grant.id.clone()))
        });
        let looked: Vec<_> = looked.collect();
        let mut looked = futures::stream::iter(looked).buffer_unordered(AT_ONCE);
        let mut over = Vec::new();
        while let Some(one) = looked.next().await {
            over.extend(one?);
        }
        Ok(over)
    }

    /// Puts back as much of what waits as there is room for, those first that have waited longest.
    async fn put_back(&self, term: &Term, agent: &AgentName, book: &CapBook) -> Result<(), RoundError> {
        let day = day_of(term.cx.mesh.now());
        let mut left = book.left(&day);
        for intent in term.cx.projection.waiting_for_room(agent).await? {
            let Some(need) = term.in_charge()?.mesh.needs_room(&intent).await? else {
                continue;
            };
            if !need.fit(&left) {
                continue;
            }
            let cx = term.in_charge()?;
            if cx.mesh.redrive_capped(&intent, &cx.by).await? {
                left = left.less(&need);
            }
        }
        Ok(())
    }
}

/// Whether the holder that a call was granted to can record nothing of it any more.
fn is_over(head: Option<&Head>, grant: &CapGrant) -> bool {
    // What has no record any more is archived.
    head.is_none_or(|head| {
        let now = &head.record.snapshot;
        now.epoch != grant.epoch || !now.status.is_workable()
    })
}
