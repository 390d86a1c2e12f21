//! Death everywhere: each pattern, once for each write of each process with that process killed right after it, and once with
//! every delivery doubled. `tests/src/death.rs` has the harness and says what holds for all of them.

mod approvals;
mod breaker;
mod by_hand;
mod kill;
mod pause;
mod schedule;
mod turns;

use std::time::Duration;

use baton_agent::{AgentBuilder, Call, Called, Fault, Outcome, RetryPolicy, Wait};
use baton_e2e::chaos::{assert_legal, events};
use baton_e2e::death::{Pattern, Run, everywhere};
use baton_e2e::gated::result;
use baton_envelope::control::CancelIntent;
use baton_envelope::{Event, HEADER_INTENT, HEADER_NOT_BEFORE, IntentId};
use baton_jetstream::{Head, Mesh};
use baton_testkit::eventually;

/// A time that a wait of these patterns takes at least.
const SHORT: Duration = Duration::from_millis(400);

#[track_caller]
fn completed_with(run: &Run, history: &[Head], expected: &str) {
    let last = history.last().expect("a record");
    let told = format!("{}: {:?}", run.intent(), events(history));
    assert_eq!(last.record.snapshot.status.name(), "completed", "{told}");
    assert_eq!(result(last), expected, "{told}");
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
        eventually(&format!("{intent} is published"), 30 * SHORT, async || {
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
        let question = CancelIntent {
            intent: run.intent(),
            reason: "ordered twice".to_owned(),
            by: "test".to_owned(),
        };
        eventually(&format!("{} is cancelled", run.intent()), 100 * SHORT, async || {
            let asked = client.ask_controller(&question).await;
            let head = client.head(&run.intent()).await.map_err(|error| error.to_string())?;
            let is_over = head.is_some_and(|head| head.record.snapshot.status.name() == "cancelled");
            is_over.then_some(()).ok_or_else(|| format!("{asked:?}"))
        })
        .await;
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

/// A supervisor asks three others, and goes on with what they came to.
struct CallAll;

impl Pattern for CallAll {
    const NAME: &'static str = "call";
    const ROLES: &'static [&'static str] = &["lead", "help"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                if role == "help" {
                    return Outcome::complete(&format!("{} is done", hop.payload().read::<String>()?));
                }
                run.step(hop, "before").await?;
                let help = run.agent("help");
                let calls: Result<Vec<Call>, Fault> = WORK.iter().map(|work| Call::new(&help, work)).collect();
                let called = hop.call_all(calls?).await?;
                run.step(hop, "after").await?;
                let results: Result<Vec<String>, Fault> = called.iter().map(Called::result).collect();
                Outcome::complete(&results?.join(", "))
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "lead", |_| {}).await;
        run.until_ended(client).await;
        for child in children_of(run) {
            let history = client.history(&child, 1).await.expect("history");
            assert_legal(&history);
            let begun = events(&history).iter().filter(|event| **event == "submitted").count();
            assert_eq!(begun, 1, "{child}: {:?}", events(&history));
        }
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "a is done, b is done, c is done");
        for event in ["fanned_out", "resumed"] {
            let found = events(history).iter().filter(|found| **found == event).count();
            assert_eq!(found, 1, "{}: {event} in {:?}", run.intent(), events(history));
        }
        let last = history.last().expect("a record");
        assert_eq!(last.record.snapshot.children, [], "{}", run.intent());
    }
}

/// The work of the children of these patterns.
const WORK: [&str; 3] = ["a", "b", "c"];

fn children_of(run: &Run) -> impl Iterator<Item = IntentId> {
    let parent = run.intent();
    (0..3).map(move |index| IntentId::of_child(&parent, 1, "calls", index))
}

/// Somebody cancels a supervisor that waits for others; these wait for something that never comes.
struct CancelTree;

impl Pattern for CancelTree {
    const NAME: &'static str = "tree";
    const ROLES: &'static [&'static str] = &["lead", "help"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                if role == "help" {
                    hop.wait(Wait::signal("never")).await?;
                }
                let help = run.agent("help");
                let calls: Result<Vec<Call>, Fault> = WORK.iter().map(|work| Call::new(&help, work)).collect();
                hop.call_all(calls?).await?;
                Outcome::complete(&())
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "lead", |_| {}).await;
        run.until(client, &["waiting", "cancelled"]).await;
        let question = CancelIntent {
            intent: run.intent(),
            reason: "not needed".to_owned(),
            by: "test".to_owned(),
        };
        eventually(&format!("{} is cancelled", run.intent()), 100 * SHORT, async || {
            let asked = client.ask_controller(&question).await;
            let head = client.head(&run.intent()).await.map_err(|error| error.to_string())?;
            let is_over = head.is_some_and(|head| head.record.snapshot.status.name() == "cancelled");
            is_over.then_some(()).ok_or_else(|| format!("{asked:?}"))
        })
        .await;
        for child in children_of(run) {
            eventually(&format!("{child} is closed"), 100 * SHORT, async || {
                match client.head(&child).await {
                    Ok(Some(head)) if head.record.snapshot.status.is_terminal() => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
            let history = client.history(&child, 1).await.expect("history");
            assert_legal(&history);
        }
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        let last = history.last().expect("a record");
        assert_eq!(last.record.snapshot.status.name(), "cancelled", "{}", run.intent());
    }
}

macro_rules! die_everywhere {
    ($($test:ident: $pattern:expr, $deaths:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let deaths = everywhere($pattern).await;
            assert!(deaths >= $deaths, "only {deaths}: is a write not seen any more?");
        }
    )*};
}

// The number of deaths that there are at least, one for each write: records, tickets, and what the client sends.
die_everywhere! {
    a_handoff: Relay, 9;
    a_retry: Retry, 8;
    a_wait_for_a_signal: Signal, 12;
    an_early_signal: Early, 14;
    a_wait_that_runs_out_of_time: Timeout, 10;
    a_wait_for_the_first_of_two: Any, 13;
    a_sleep: Sleep, 10;
    work_that_begins_later: Postponed, 7;
    a_cancel: Cancel, 8;
    two_with_one_key: turns::Ordered::default(), 11;
    a_pause_of_work_that_waits: pause::Waits, 12;
    a_pause_of_work_that_runs: pause::Runs, 12;
    a_pause_of_an_agent: pause::Agent, 12;
    a_kill: kill::Kill, 20;
    a_schedule: schedule::Twice, 12;
    work_by_hand: by_hand::Done, 12;
    work_handed_on_by_hand: by_hand::HandedOn, 18;
    a_breaker: breaker::Breaks, 20;
    a_gate: approvals::Gate, 14;
    an_approval_by_two: approvals::Quorum, 14;
    an_approval_that_escalates: approvals::Escalates, 12;
    a_call_of_three: CallAll, 14;
    a_cancel_of_a_tree: CancelTree, 10;
}
