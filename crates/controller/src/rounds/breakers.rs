//! Breakers: opens that of a version whose hops use up their attempts in a row, lets one intent through when its time is up,
//! and closes it, or opens it again, by what becomes of that one.
//!
//! The bucket of breakers is the truth. The route of the agent follows it, because every sender follows the routes: while a
//! route says so, nobody writes a ticket of the version. What every sender leaves unwritten the leader writes when the breaker
//! is closed; how far it has come stands in the bucket, so that the next leader goes on.

mod release;

use std::collections::BTreeMap;
use std::time::Duration;

use baton_envelope::rollout::{self, Act};
use baton_envelope::{
    AgentName, AgentVersion, Breaker, BreakerState, Probed, Status, Timestamp, VersionState, is_long_retry, probed,
};
use baton_jetstream::{ControllerMesh, Head};
use tokio::time::Instant;

use self::release::Release;
use crate::projection::Streak;
use crate::rounds::error::RoundError;
use crate::rounds::observations::Key;
use crate::rounds::round::{Period, Round};
use crate::rounds::term::Term;

/// How often to look at the failures in a row; they are kept in memory.
const EVERY: Duration = Duration::from_millis(50);
/// How often to look for tickets of a version whose breaker is open: of senders that had not heard of it, or never will.
const STRAYS: Duration = Duration::from_secs(1);
/// How often to look at a probe.
const LOOK: Duration = Duration::from_millis(300);
/// How many intents to consider for a probe.
const CANDIDATES: u32 = 20;
/// How long after a long retry is due it may be the probe: clocks differ, and a worker acks its ticket before that.
const DUE: Duration = Duration::from_secs(1);

/// Opens, tries and closes breakers.
#[derive(Debug)]
pub(crate) struct Breakers {
    known: BTreeMap<Key, Known>,
    is_loaded: bool,
}

/// What this leader knows of one breaker.
#[derive(Debug)]
struct Known {
    breaker: Breaker,
    revision: u64,
    /// When strays, or the probe, were last looked for.
    looked: Option<Instant>,
    /// The sequence of the probe's last record that was judged.
    judged: u64,
    release: Option<Release>,
}

impl Known {
    fn new((breaker, revision): (Breaker, u64)) -> Self {
        Self {
            breaker,
            revision,
            looked: None,
            judged: 0,
            release: None,
        }
    }

    fn is_due(&mut self, every: Duration) -> bool {
        let is_due = self.looked.is_none_or(|at| at.elapsed() >= every);
        if is_due {
            self.looked = Some(Instant::now());
        }
        is_due
    }
}

impl Round for Breakers {
    const NAME: &'static str = "breakers";
    const PERIOD: Period = Period::Time(EVERY);

    fn begin(_: &Term) -> Self {
        Self {
            known: BTreeMap::new(),
            is_loaded: false,
        }
    }

    async fn round(&mut self, term: &Term) -> Result<(), RoundError> {
        if !self.is_loaded {
            self.load(term).await?;
        }
        let mut first = self.follow_routes(term).await;
        first = first.and(self.trip(term).await);
        let at_work = |known: &Known| known.breaker.withholds() || known.breaker.owed_through > 0;
        let keys = self.known.iter().filter(|(_, known)| at_work(known));
        let keys: Vec<Key> = keys.map(|(key, _)| key.clone()).collect();
        for key in keys {
            // One that cannot be dealt with must not hold up the others.
            first = first.and(self.attend(term, &key).await.map_err(|error| error.of(&key.0)));
        }
        first
    }
}

impl Breakers {
    async fn load(&mut self, term: &Term) -> Result<(), RoundError> {
        for breaker in term.cx.mesh.breakers().await? {
            self.read(term, &(breaker.agent, breaker.version)).await?;
        }
        self.is_loaded = true;
        Ok(())
    }

    /// Reads a breaker anew.
    async fn read(&mut self, term: &Term, key: &Key) -> Result<(), RoundError> {
        match term.cx.mesh.breaker(&key.0, &key.1).await? {
            Some(found) => drop(self.known.insert(key.clone(), Known::new(found))),
            None => drop(self.known.remove(key)),
        }
        Ok(())
    }

    /// Reads a breaker that may have been changed by somebody else, and has the route say what it says then; `true` if it was.
    async fn refresh(&mut self, term: &Term, key: &Key) -> Result<bool, RoundError> {
        let found = term.cx.mesh.breaker(&key.0, &key.1).await?;
        let revision = self.known.get(key).map(|known| known.revision);
        if found.as_ref().map(|(_, revision)| *revision) == revision {
            return Ok(false);
        }
        let act = term.cx.act().because("its route follows its breaker");
        match &found {
            Some((breaker, _)) => term.in_charge()?.tell_breaker(breaker, &act).await?,
            None => drop(self.known.remove(key)),
        }
        self.take(key, found);
        Ok(true)
    }

    /// Looks for routes that say something else than what is known: somebody has opened or closed a breaker by hand, has set a
    /// policy whose senders need to know until when it is open, or has died between its two writes.
    async fn follow_routes(&mut self, term: &Term) -> Result<(), RoundError> {
        let mut others = Vec::new();
        for route in term.cx.mesh.followed_routes() {
            for (version, entry) in &route.versions {
                let key = (route.agent.clone(), version.clone());
                let known = self.known.get(&key).map(|known| &known.breaker);
                let told = known.and_then(|known| term.cx.told(&route, known));
                if told != entry.withheld {
                    others.push(key);
                }
            }
        }
        for key in others {
            self.read(term, &key).await?;
            let act = term.cx.act().because("its route follows its breaker");
            match self.known.get(&key) {
                Some(known) => term.in_charge()?.tell_breaker(&known.breaker, &act).await?,
                // Its bucket was lost: nobody would ever close it.
                None => term.in_charge()?.mesh.tell_withheld(&key.0, &key.1, None, &act).await?,
            }
        }
        Ok(())
    }

    /// Opens the breakers of versions whose hops use up their attempts in a row.
    async fn trip(&mut self, term: &Term) -> Result<(), RoundError> {
        let (cx, config) = (&term.cx, term.cx.config.breaker);
        if config.after == 0 {
            return Ok(());
        }
        let after = u64::from(config.after);
        let streaks = cx.projection.streaks(after);
        for (key, streak) in streaks {
            let known = self.known.get(&key).map(|known| &known.breaker);
            // A file of the projection may tell of failures of long ago.
            let is_old = cx.mesh.now().since(streak.last()) > config.open_for;
            if is_old || known.is_some_and(Breaker::withholds) {
                continue;
            }
            // A closed one has forgiven what was before, whoever leads by now.
            let counted = known.map_or(streak.in_a_row, |closed| streak.after(closed.since));
            if counted >= after {
                self.open(term, &key, &streak, counted).await?;
            }
        }
        Ok(())
    }

    async fn open(&mut self, term: &Term, key: &Key, streak: &Streak, counted: u64) -> Result<(), RoundError> {
        let cx = &term.cx;
        let Some(route) = cx.mesh.followed_route(&key.0) else {
            return Ok(());
        };
        // The evidence decides about a version whose rollout goes on and back by itself, and needs its attempts for that.
        let is_judged = route
            .running()
            .is_some_and(|rollout| rollout.auto && rollout.to == key.1);
        if is_judged || route.state(&key.1).is_none_or(|state| state == VersionState::Retired) {
            return Ok(());
        }
        let reason = format!(
            "{counted} hops in a row used up their attempts, the last at {}",
            streak.last()
        );
        let act = cx.act().because(reason);
        let until = act.at.plus(cx.config.breaker.open_for);
        let (agent, version) = (&key.0, &key.1);
        let changed = term
            .in_charge()?
            .mesh
            .change_breaker(agent, version, |present| {
                let is_closed = present.is_none_or(|present| !present.withholds());
                Ok(is_closed.then(|| rollout::open_breaker(present, (agent, version), Some(until), &act)))
            })
            .await?;
        let Some(found) = changed else { return Ok(()) };
        let known = Known::new(found);
        tracing::warn!(%agent, %version, %until, "breaker opened: {}", act.reason.as_deref().unwrap_or_default());
        term.in_charge()?.tell_breaker(&known.breaker, &act).await?;
        self.known.insert(key.clone(), known);
        let withdrawn = term.in_charge()?.mesh.withdraw_tickets(agent, version).await?;
        tracing::debug!(%agent, %version, withdrawn, "tickets were withdrawn");
        Ok(())
    }

    /// Does what is to be done for a breaker that is not at rest.
    async fn attend(&mut self, term: &Term, key: &Key) -> Result<(), RoundError> {
        let Some(known) = self.known.get_mut(key) else {
            return Ok(());
        };
        // "0 opens none" holds for those, too, that were opened before it was said.
        if term.cx.config.breaker.after == 0 && known.breaker.withholds() && !known.breaker.is_by_hand() {
            return self.close(term, key, "breakers are turned off".to_owned()).await;
        }
        let every = if known.breaker.state == BreakerState::HalfOpen {
            LOOK
        } else {
            STRAYS
        };
        let is_due = known.is_due(every);
        // Somebody may have changed it by hand while this leader was about to tell the route of it.
        if is_due && known.breaker.withholds() && self.refresh(term, key).await? {
            return Ok(());
        }
        let Some(known) = self.known.get_mut(key) else {
            return Ok(());
        };
        match known.breaker.state {
            BreakerState::Open => {
                if is_due {
                    withdraw_strays(term, key).await?;
                }
                if known.breaker.is_due(term.cx.mesh.now()) {
                    self.let_one_through(term, key).await?;
                }
            }
            BreakerState::HalfOpen => {
                if is_due {
                    self.look_at_probe(term, key).await?;
                }
            }
            BreakerState::Closed => {
                let (breaker, revision) = (known.breaker.clone(), known.revision);
                let release = known.release.get_or_insert_with(Release::default);
                if release.go_on(term, &breaker, revision).await? {
                    let paid = change(term, key, |present| {
                        (*present == breaker).then(|| rollout::pay_breaker(present))
                    });
                    self.take(key, paid.await?);
                }
            }
            BreakerState::Unknown(_) => {}
        }
        Ok(())
    }

    fn take(&mut self, key: &Key, found: Option<(Breaker, u64)>) {
        if let Some(found) = found {
            self.known.insert(key.clone(), Known::new(found));
        }
    }

    /// Lets the oldest intent through that waits for the version; without one, whoever comes first.
    async fn let_one_through(&mut self, term: &Term, key: &Key) -> Result<(), RoundError> {
        let (cx, (agent, version)) = (&term.cx, key);
        let waiting = cx.projection.waiting_work(agent, version, u64::MAX, CANDIDATES).await?;
        for intent in waiting {
            let Some(head) = cx.mesh.head(&intent).await? else {
                continue;
            };
            if !waits_for(&head, agent, version) || is_put_off(&head, cx.mesh.now()) {
                continue;
            }
            let act = cx.act().because(format!("{intent} is let through"));
            let found = change(term, key, |present| {
                let is_due = present.is_due(act.at);
                is_due.then(|| rollout::half_open_breaker(present, intent.clone(), head.seq, &act))
            });
            let Some((breaker, revision)) = found.await? else {
                return Ok(());
            };
            let is_own = breaker.probe.as_ref() == Some(&intent);
            self.take(key, Some((breaker.clone(), revision)));
            if is_own {
                tracing::info!(%agent, %version, %intent, "breaker half open: one intent is let through");
                let cx = term.in_charge()?;
                cx.tell_breaker(&breaker, &act).await?;
                cx.mesh.let_through(&head, revision).await?;
            }
            return Ok(());
        }
        Ok(())
    }

    async fn look_at_probe(&mut self, term: &Term, key: &Key) -> Result<(), RoundError> {
        let (cx, (agent, version)) = (&term.cx, key);
        let Some(known) = self.known.get_mut(key) else {
            return Ok(());
        };
        let (Some(intent), Some(from)) = (known.breaker.probe.clone(), known.breaker.probe_seq) else {
            return Ok(());
        };
        let judged = match cx.mesh.head(&intent).await? {
            None => Probed::Gone("its records are gone".to_owned()),
            Some(head) if head.seq == known.judged => return Ok(()),
            Some(head) if head.seq <= from => {
                // The leader before may have died before it wrote the ticket; the server drops a second one.
                known.judged = head.seq;
                return Ok(term.in_charge()?.mesh.let_through(&head, known.revision).await?);
            }
            Some(head) => {
                known.judged = head.seq;
                let history = cx.mesh.history_through(&intent, head.seq).await?;
                let since = history.iter().filter(|head| head.seq > from);
                probed(since.map(|head| &head.record), (agent, version))
            }
        };
        match judged {
            Probed::Unknown => Ok(()),
            Probed::Well => self.close(term, key, format!("{intent} was done")).await,
            Probed::Exhausted(code) => {
                let reason = format!("{intent} used up its attempts, too: {code}");
                let act = cx.act().because(reason);
                let until = Some(act.at.plus(cx.config.breaker.open_for));
                self.replace_probe(term, key, &act, |present, act| {
                    rollout::open_breaker(Some(present), (agent, version), until, act)
                })
                .await
            }
            Probed::Gone(status) => {
                let act = cx
                    .act()
                    .because(format!("{intent} is {status}: another one is let through"));
                self.replace_probe(term, key, &act, rollout::drop_probe).await
            }
        }
    }

    async fn replace_probe(
        &mut self,
        term: &Term,
        key: &Key,
        act: &Act,
        decide: impl Fn(&Breaker, &Act) -> Breaker + Send + Sync,
    ) -> Result<(), RoundError> {
        let found = change(term, key, |present| {
            (present.state == BreakerState::HalfOpen).then(|| decide(present, act))
        })
        .await?;
        if let Some((breaker, _)) = &found {
            let reason = act.reason.as_deref().unwrap_or_default();
            tracing::warn!(agent = %key.0, version = %key.1, "breaker open again: {reason}");
            term.in_charge()?.tell_breaker(breaker, act).await?;
        }
        self.take(key, found);
        Ok(())
    }

    async fn close(&mut self, term: &Term, key: &Key, reason: String) -> Result<(), RoundError> {
        let end = term.cx.mesh.ledger_end().await?;
        let act = term.cx.act().because(reason);
        let found = change(term, key, |present| {
            (present.withholds() && !present.is_by_hand()).then(|| rollout::close_breaker(present, end.last_seq, &act))
        })
        .await?;
        if let Some((breaker, _)) = &found {
            let reason = act.reason.as_deref().unwrap_or_default();
            tracing::info!(agent = %key.0, version = %key.1, "breaker closed: {reason}");
            term.in_charge()?.tell_breaker(breaker, &act).await?;
        }
        self.take(key, found);
        Ok(())
    }
}

/// Changes a breaker that was there before.
async fn change(
    term: &Term,
    key: &Key,
    decide: impl Fn(&Breaker) -> Option<Breaker> + Send + Sync,
) -> Result<Option<(Breaker, u64)>, RoundError> {
    let mesh: &ControllerMesh = &term.in_charge()?.mesh;
    let changed = mesh.change_breaker(&key.0, &key.1, |present| Ok(present.and_then(&decide)));
    Ok(changed.await?)
}

/// Takes tickets away that senders wrote who had not heard that the breaker is open.
async fn withdraw_strays(term: &Term, (agent, version): &Key) -> Result<(), RoundError> {
    let counts = term.cx.mesh.agent_counts(agent).await?;
    if counts.get(version).is_some_and(|counts| counts.backlog > 0) {
        let withdrawn = term.in_charge()?.mesh.withdraw_tickets(agent, version).await?;
        tracing::info!(%agent, %version, withdrawn, "tickets of senders that had not heard of the open breaker were withdrawn");
    }
    Ok(())
}

/// Whether an intent waits for a version, and nobody holds it.
fn waits_for(head: &Head, agent: &AgentName, version: &AgentVersion) -> bool {
    let snapshot = &head.record.snapshot;
    snapshot.status == Status::Pending
        && snapshot.holder.is_none()
        && snapshot.agent.as_ref() == Some(agent)
        && snapshot.version.as_ref() == Some(version)
}

/// Whether a worker would ack its ticket without running it: the leader writes that when the next attempt is due.
fn is_put_off(head: &Head, now: Timestamp) -> bool {
    let snapshot = &head.record.snapshot;
    let is_early = snapshot.wake_at.is_some_and(|wake_at| wake_at.plus(DUE) > now);
    is_early && is_long_retry(snapshot, head.record.at)
}
