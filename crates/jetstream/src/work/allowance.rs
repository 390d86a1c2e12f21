//! How many tickets a worker may run at a time, and how fast it may start them: its own slots, and its share of the limits of
//! its agent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use baton_envelope::{Share, ShareHeld};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How long a worker without a connection may count on its share. The leader gives the share of one that is gone to others
/// after twice this time.
const ALONE: Duration = Duration::from_secs(5);
/// How much of its rate a worker may start at once after it has been idle.
const BURST: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3600);

/// What a worker may run and start.
#[derive(Debug)]
pub struct Allowance {
    /// The slots of the worker without a limit.
    own: u32,
    slots: Arc<Semaphore>,
    state: Mutex<State>,
    /// For whoever pulls.
    slots_changed: Notify,
    /// For hops that wait to be started.
    rate_changed: Notify,
}

#[derive(Debug)]
struct State {
    share: Share,
    /// How many slots exist, free and taken. More than the share for as long as more are taken.
    existing: u32,
    /// From when on the next hop may be started; it is behind by the time that was not used.
    next_start: Instant,
    /// Since when there is no connection.
    alone_since: Option<Instant>,
    /// Whether nothing may be taken, whatever the share is.
    is_held_back: bool,
}

impl Allowance {
    /// `own` slots, and no limit.
    pub(super) fn new(own: u32) -> Self {
        Self {
            own,
            slots: Arc::new(Semaphore::new(own as usize)),
            state: Mutex::new(State {
                share: Share::default(),
                existing: own,
                next_start: Instant::now(),
                alone_since: None,
                is_held_back: false,
            }),
            slots_changed: Notify::new(),
            rate_changed: Notify::new(),
        }
    }

    /// Nothing may run until the leader has told a share: the agent has limits.
    pub(super) fn await_share(&self, in_flight: bool, rate: bool) {
        let mut state = self.state();
        state.share.in_flight = in_flight.then_some(0);
        state.share.rate_per_hour = rate.then_some(0);
        self.fit(&mut state);
    }

    /// Keeps to a share from now on, unless a newer one was told, and says what is kept to. After the answer no more than
    /// that is ever in use, or what is in use now if that is more.
    pub fn keep_to(&self, share: Share) -> ShareHeld {
        let held = {
            let mut state = self.state();
            if share.revision >= state.share.revision {
                if state.share.rate_per_hour != share.rate_per_hour {
                    // What was not used of another rate is not used of this one.
                    state.next_start = Instant::now();
                }
                state.share = share;
            }
            self.fit(&mut state);
            let free = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
            ShareHeld {
                share: state.share,
                in_use: state.existing.saturating_sub(free),
            }
        };
        self.slots_changed.notify_one();
        self.rate_changed.notify_waiters();
        held
    }

    /// Takes nothing new, or takes work again. What runs goes on.
    pub fn hold_back(&self, is_held_back: bool) {
        {
            let mut state = self.state();
            state.is_held_back = is_held_back;
            self.fit(&mut state);
        }
        self.slots_changed.notify_one();
    }

    /// Notes whether there is a connection. Without one for too long the share is another's.
    pub(super) fn note_connection(&self, is_there: bool) {
        let mut state = self.state();
        if is_there {
            state.alone_since = None;
            return;
        }
        let since = *state.alone_since.get_or_insert_with(Instant::now);
        if since.elapsed() < ALONE {
            return;
        }
        let Share {
            in_flight,
            rate_per_hour,
            ..
        } = &mut state.share;
        *in_flight = in_flight.map(|_| 0);
        *rate_per_hour = rate_per_hour.map(|_| 0);
        self.fit(&mut state);
    }

    /// Whether no leader has told a share yet.
    pub(super) fn awaits_share(&self) -> bool {
        self.state().share.revision == 0
    }

    /// Whether the agent has limits, or nothing new may be taken.
    pub(super) fn is_limited(&self) -> bool {
        let state = self.state();
        let share = state.share;
        state.is_held_back || share.in_flight.is_some() || share.rate_per_hour.is_some()
    }

    /// The most slots that may be taken.
    pub(super) fn most(&self) -> u32 {
        self.target(&self.state())
    }

    /// The free slots.
    pub(super) fn free(&self) -> u32 {
        let mut state = self.state();
        self.fit(&mut state);
        u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX)
    }

    /// Whether more slots are taken than may be.
    pub(super) fn is_overdrawn(&self) -> bool {
        let mut state = self.state();
        self.fit(&mut state);
        state.existing > self.target(&state)
    }

    /// Takes slots, if there are so many.
    pub(super) fn take(&self, count: u32) -> Option<OwnedSemaphorePermit> {
        let mut state = self.state();
        self.fit(&mut state);
        Arc::clone(&self.slots).try_acquire_many_owned(count).ok()
    }

    /// The slots, to wait for a free one.
    pub(super) fn slots(&self) -> Arc<Semaphore> {
        Arc::clone(&self.slots)
    }

    /// Resolves when the share has changed.
    pub(super) async fn changed(&self) {
        self.slots_changed.notified().await;
    }

    /// Waits until a hop may be started, and counts it. It returns at once where nothing limits the rate.
    pub async fn start(&self) {
        loop {
            let changed = self.rate_changed.notified();
            tokio::pin!(changed);
            // Before looking: a change right after the look must not be missed.
            changed.as_mut().enable();
            match self.try_start() {
                Ok(()) => return,
                Err(Some(wait)) => drop(tokio::time::timeout(wait, changed).await),
                Err(None) => changed.await,
            }
        }
    }

    /// Counts a hop that is started now; else how long to wait before the next look, `None` for until the share changes.
    pub fn try_start(&self) -> Result<(), Option<Duration>> {
        let mut state = self.state();
        let Some(rate) = state.share.rate_per_hour else {
            return Ok(());
        };
        let Some(each) = HOUR.checked_div(u32::try_from(rate).unwrap_or(u32::MAX)) else {
            return Err(None);
        };
        let now = Instant::now();
        if state.next_start > now {
            return Err(Some(state.next_start - now));
        }
        let unused = now.checked_sub(BURST).unwrap_or(now);
        state.next_start = state.next_start.max(unused) + each;
        Ok(())
    }

    fn target(&self, state: &State) -> u32 {
        if state.is_held_back {
            return 0;
        }
        state.share.in_flight.map_or(self.own, |share| share.min(self.own))
    }

    /// Makes slots, or takes free ones away, until as many exist as there may be. Everyone who takes a slot fits first, under
    /// the same lock: so a slot that comes back above the share is not taken again.
    fn fit(&self, state: &mut State) {
        let target = self.target(state);
        if state.existing < target {
            self.slots.add_permits((target - state.existing) as usize);
            state.existing = target;
        } else if state.existing > target {
            let gone = self.slots.forget_permits((state.existing - target) as usize);
            state.existing -= u32::try_from(gone).unwrap_or(u32::MAX);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(revision: u64, in_flight: Option<u32>) -> Share {
        Share {
            revision,
            in_flight,
            rate_per_hour: None,
        }
    }

    #[tokio::test]
    async fn a_lower_share_is_reached_as_slots_come_back_and_never_passed_again() {
        let allowance = Allowance::new(8);
        let mut taken: Vec<_> = (0..6).filter_map(|_| allowance.take(1)).collect();
        let held = allowance.keep_to(share(1, Some(2)));
        assert_eq!((held.share.in_flight, held.in_use), (Some(2), 6));
        assert!(allowance.is_overdrawn() && allowance.take(1).is_none());
        for left in (2..6).rev() {
            taken.pop();
            assert_eq!(allowance.keep_to(share(1, Some(2))).in_use, left);
            assert!(allowance.take(1).is_none(), "{left} are in use");
        }
        taken.pop();
        let again = allowance.take(1);
        assert!(again.is_some() && allowance.take(1).is_none());
        // An older word counts for nothing; a newer one gives the rest back.
        assert_eq!(allowance.keep_to(share(0, Some(7))).share.in_flight, Some(2));
        assert_eq!(allowance.keep_to(share(2, None)).in_use, 2);
        assert_eq!((allowance.most(), allowance.free()), (8, 6));
    }

    #[tokio::test(start_paused = true)]
    async fn hops_are_started_at_the_rate_of_the_share() {
        let allowance = Allowance::new(8);
        allowance.await_share(true, true);
        assert_eq!((allowance.free(), allowance.try_start()), (0, Err(None)));
        let of = |rate| Share {
            revision: 1,
            in_flight: None,
            rate_per_hour: Some(rate),
        };
        // Ten in a second.
        allowance.keep_to(of(36_000));
        let began = Instant::now();
        for _ in 0..21 {
            allowance.start().await;
        }
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(1_900) && took < Duration::from_millis(2_200),
            "{took:?}"
        );
        // After a pause no more than a moment's worth at once.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let at_once = (0..10).filter(|_| allowance.try_start().is_ok()).count();
        assert!((1..=2).contains(&at_once), "{at_once}");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_alone_for_long_counts_on_no_share() {
        let allowance = Allowance::new(4);
        allowance.keep_to(share(1, Some(3)));
        allowance.note_connection(false);
        tokio::time::sleep(ALONE / 2).await;
        allowance.note_connection(true);
        allowance.note_connection(false);
        tokio::time::sleep(ALONE / 2).await;
        allowance.note_connection(false);
        assert_eq!(allowance.free(), 3);
        tokio::time::sleep(ALONE).await;
        allowance.note_connection(false);
        assert_eq!(allowance.free(), 0);
        assert_eq!(allowance.keep_to(share(1, Some(3))).in_use, 0);
        assert_eq!(allowance.free(), 3);
    }
}
