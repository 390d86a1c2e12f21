//! Death everywhere: each pattern, once for each write of each process with that process killed right after it, and once with
//! every delivery doubled; and once for each kind of write with that process frozen, and woken later. `tests/src/death.rs` has the
//! harness and says what holds for all of them.

mod approvals;
mod breaker;
mod broadcast;
mod by_hand;
mod children;
mod itinerary;
mod joins;
mod kill;
mod lending;
mod pause;
mod policy;
mod schedule;
mod turns;
mod undo;

use std::marker::PhantomData;
use std::time::Duration;

use baton_agent::{AgentBuilder, Fault, Outcome, RetryPolicy, Wait};
use baton_e2e::chaos::events;
use baton_e2e::death::{Part, Pattern, Run, everywhere, frozen};
use baton_e2e::gated::result;
use baton_envelope::control::CancelIntent;
use baton_envelope::{Event, HEADER_INTENT, HEADER_NOT_BEFORE};
use baton_jetstream::{Head, Mesh};

/// A time that a wait of these patterns takes at least.
const SHORT: Duration = Duration::from_millis(400);

#[track_caller]
fn completed_with(run: &Run, history: &[Head], expected: &str) {
    let last = history.last().expect("a record");
    let told = format!("{}: {:?}", run.intent(), events(history));
    assert_eq!(last.record.snapshot.status.name(), "completed", "{told}");
    assert_eq!(result(last), expected, "{told}");
}

/// Cancels the intent of a run, by a client that asks again until it is so.
async fn cancel(client: &Mesh, run: &Run, reason: &str) {
    let question = CancelIntent {
        intent: run.intent(),
        reason: reason.to_owned(),
        by: "test".to_owned(),
    };
    let is_over = |head: &Head| head.record.snapshot.status.name() == "cancelled";
    run.ask_until_head(client, &run.intent(), &question, is_over).await;
}

/// A chain of two: `code` hands on, `qa` completes.
fn relay(run: &Run, role: &'static str) -> AgentBuilder {
    run.scripted(role, move |hop, run| {
        Box::pin(async move {
            run.step(hop, role).await?;
            match role {
                "code" => Outcome::hand_off(&run.agent("qa"), &"checked"),
                _ => Outcome::complete(&"good"),
            }
        })
    })
}

/// A handler that returns its result once the client has reached a phase, whatever has become of its hop; it completes with
/// `resumed` where it runs after that.
fn careless(run: &Run, role: &'static str, (stopped, resumed): (usize, usize)) -> AgentBuilder {
    run.scripted(role, move |hop, run| {
        Box::pin(async move {
            run.step(hop, "before").await?;
            if run.phase() < resumed {
                run.reached(stopped).await;
                return Outcome::complete(&"what ran before");
            }
            run.step(hop, "after").await?;
            Outcome::complete(&"resumed")
        })
    })
}

/// How long after the first record of this event the first of that one was stored.
fn between(history: &[Head], from: &Event, to: &Event) -> Duration {
    let at = |event: &Event| {
        let found = history.iter().find(|head| head.record.event.name() == event.name());
        let stored = found.and_then(|head| head.stored_at);
        stored.unwrap_or_else(|| panic!("no {} in {:?}", event.name(), events(history)))
    };
    at(to).since(at(from))
}

/// Two agents; the first hands on.
struct Relay;

impl Pattern for Relay {
    const NAME: &'static str = "relay";
    const ROLES: &'static [&'static str] = &["code", "qa"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        relay(run, role)
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "code", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "good");
    }
}

/// A first attempt that fails after a step.
struct Retry;

impl Pattern for Retry {
    const NAME: &'static str = "retry";
    const ROLES: &'static [&'static str] = &["code"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        let builder = run.scripted(role, |hop, run| {
            Box::pin(async move {
                run.step(hop, "paid").await?;
                if hop.attempt() == 1 {
                    return Err(Fault::retry("the bank is closed").after(SHORT));
                }
                run.step(hop, "sent").await?;
                Outcome::complete(&"sent")
            })
        });
        builder.retry(RetryPolicy {
            max_attempts: 4,
            ..RetryPolicy::default()
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "code", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "sent");
    }
}

/// What a hop waits for; each is a pattern.
fn waiter(run: &Run, role: &'static str, asks: fn() -> Vec<Wait>) -> AgentBuilder {
    run.scripted(role, move |hop, run| {
        Box::pin(async move {
            run.step(hop, "before").await?;
            let waited = hop.wait_any(asks()).await?;
            run.step(hop, "after").await?;
            Outcome::complete(&format!("{}:{}", waited.name(), waited.outcome().name()))
        })
    })
}

/// A hop waits for a signal.
struct Signal;

impl Pattern for Signal {
    const NAME: &'static str = "signal";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        waiter(run, role, || vec![Wait::signal("paid")])
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        run.until(client, &["waiting", "completed"]).await;
        run.signal(client, "paid").await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "paid:signalled");
    }
}

/// The signal comes before anybody waits for it, and a second time.
struct Early;

impl Pattern for Early {
    const NAME: &'static str = "early";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        waiter(run, role, || vec![Wait::signal("paid")])
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let later = run.later(client, 3 * SHORT);
        run.submit(client, "shop", |envelope| envelope.not_before = Some(later))
            .await;
        run.signal(client, "paid").await;
        run.signal(client, "paid").await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "paid:signalled");
    }
}

/// Nothing comes, and the time of the wait ends it.
struct Timeout;

impl Pattern for Timeout {
    const NAME: &'static str = "timeout";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        waiter(run, role, || vec![Wait::signal("paid").within(SHORT)])
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "paid:timed_out");
        let waiting = history.iter().find(|head| head.record.event.name() == "waiting");
        let waited = between(history, &waiting.expect("waiting").record.event, &Event::Resumed);
        assert!(waited >= SHORT, "{}: fired after {waited:?}", run.intent());
    }
}

/// The first of two signals ends the call; the other is told that it is too late.
struct Any;

impl Pattern for Any {
    const NAME: &'static str = "any";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        waiter(run, role, || vec![Wait::signal("paid"), Wait::signal("called-off")])
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        run.until(client, &["waiting", "completed"]).await;
        run.signal(client, "called-off").await;
        run.until_ended(client).await;
        run.signal(client, "paid").await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "called-off:signalled");
    }
}

/// A hop sleeps.
struct Sleep;

impl Pattern for Sleep {
    const NAME: &'static str = "sleep";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        waiter(run, role, || vec![Wait::sleep("nap", SHORT)])
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "nap:slept");
    }
}

/// A raw message that begins later.
struct Postponed;

impl Pattern for Postponed {
    const NAME: &'static str = "postponed";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, |hop, run| {
            Box::pin(async move {
                run.step(hop, "begun").await?;
                Outcome::complete(&"begun")
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let (subject, intent) = (format!("mesh.intent.{}", run.agent("shop")), run.intent());
        let later = run.later(client, 5 * SHORT).to_string();
        let headers = [(HEADER_INTENT, intent.to_string()), (HEADER_NOT_BEFORE, later)];
        let headers = headers.map(|(key, value)| (key.to_owned(), value));
        run.also(intent.clone());
        run.eventually(&format!("{intent} is published"), 30 * SHORT, async || {
            let published = client.publish_raw(subject.clone(), headers.to_vec(), "1".into()).await;
            published.map(drop).map_err(|error| error.to_string())
        })
        .await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "begun");
        let due = history
            .first()
            .and_then(|head| head.record.snapshot.wake_at)
            .expect("a time");
        let resumed = history
            .iter()
            .find(|head| head.record.event == Event::Resumed)
            .expect("resumed");
        assert!(
            resumed.stored_at.expect("stored") >= due,
            "{}: before its time",
            run.intent()
        );
    }
}

/// Somebody cancels an intent that waits.
struct Cancel;

impl Pattern for Cancel {
    const NAME: &'static str = "cancel";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        waiter(run, role, || vec![Wait::signal("paid")])
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        run.until(client, &["waiting", "cancelled"]).await;
        cancel(client, run, "ordered twice").await;
        // Too late.
        run.signal(client, "paid").await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        let last = history.last().expect("a record");
        assert_eq!(last.record.snapshot.status.name(), "cancelled", "{}", run.intent());
        assert!(
            !events(history).contains(&"resumed"),
            "{}: {:?}",
            run.intent(),
            events(history)
        );
    }
}

macro_rules! die_everywhere {
    ($($test:ident: $pattern:expr, $deaths:literal, $freezes:literal;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let deaths = everywhere($pattern).await;
                assert!(deaths >= $deaths, "only {deaths}: is a write not seen any more?");
            }
        )*

        /// As above, with each process frozen after each kind of its writes, and woken when another has taken its place.
        mod frozen {
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let freezes = frozen($pattern).await;
                    assert!(freezes >= $freezes, "only {freezes}: is a write not seen any more?");
                }
            )*
        }

        /// No test of its own: where the harness has started it as one, this process is a part of a run.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn as_a_part_of_a_run() {
            let Some(part) = Part::here() else { return };
            $(part.play($pattern).await;)*
        }
    };
}

// The number of deaths that there are at least, one for each write: records, tickets, and what the client sends; and that of the
// freezes, one for each kind of them.
die_everywhere! {
    a_handoff: Relay, 9, 8;
    a_retry: Retry, 8, 6;
    a_wait_for_a_signal: Signal, 12, 9;
    an_early_signal: Early, 14, 8;
    a_wait_that_runs_out_of_time: Timeout, 10, 7;
    a_wait_for_the_first_of_two: Any, 13, 9;
    a_sleep: Sleep, 10, 7;
    work_that_begins_later: Postponed, 7, 6;
    a_cancel: Cancel, 8, 7;
    two_with_one_key: turns::Ordered, 11, 7;
    a_pause_of_work_that_waits: pause::Waits, 12, 10;
    a_pause_of_work_that_runs: pause::Runs, 12, 9;
    a_pause_of_an_agent: pause::Agent, 12, 7;
    a_kill: kill::Kill, 20, 11;
    a_schedule: schedule::Twice, 12, 7;
    work_by_hand: by_hand::Done, 12, 10;
    work_handed_on_by_hand: by_hand::HandedOn, 18, 16;
    a_breaker: breaker::Breaks, 20, 11;
    a_gate: approvals::Gate, 14, 11;
    an_approval_by_two: approvals::Quorum, 14, 8;
    an_approval_that_escalates: approvals::Escalates, 12, 8;
    an_approval_that_an_operator_decides: approvals::Operator, 14, 9;
    work_that_is_escalated: policy::Exhausted, 10, 9;
    work_that_is_declined: policy::Declined, 10, 9;
    // The ends of three may come in one record.
    a_call_of_three: children::CallAll, 14, 10;
    a_cancel_of_a_tree: children::CancelTree, 10, 6;
    a_child_that_is_lent_more: lending::LendsMore, 14, 10;
    an_itinerary: itinerary::Itinerary, 9, 7;
    a_fan_out_of_three: itinerary::FanOut, 16, 12;
    a_fan_out_that_all_must_do: joins::FanOut::<joins::All>(PhantomData), 20, 13;
    a_fan_out_that_one_must_do: joins::FanOut::<joins::Any>(PhantomData), 20, 13;
    a_fan_out_that_two_must_do: joins::FanOut::<joins::AtLeastTwo>(PhantomData), 20, 13;
    a_fan_out_that_has_its_time: joins::FanOut::<joins::Until>(PhantomData), 20, 13;
    a_broadcast: broadcast::ToTwo, 8, 7;
    a_broadcast_of_a_hop: broadcast::ByHop, 14, 8;
    an_undo_of_what_fails: undo::Fails, 16, 11;
    an_undo_of_what_is_cancelled: undo::Cancelled, 16, 12;
}
