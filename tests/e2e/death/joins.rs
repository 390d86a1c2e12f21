//! One agent asks three others and does not come back; the next one begins when as many have ended as the join asks for, and what
//! is still open then is closed.

use std::marker::PhantomData;
use std::time::Duration;

use baton_agent::{AgentBuilder, Call, Calls, Fault, Joined, Outcome, Wait};
use baton_e2e::chaos::{count, events};
use baton_e2e::death::{Pattern, Run};
use baton_e2e::gated::{result, said};
use baton_envelope::IntentId;
use baton_jetstream::{Head, Mesh};

use super::completed_with;

/// How long one of them waits for the others.
const TIME: Duration = Duration::from_millis(1_500);

/// What a child does with its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Help {
    Works,
    Fails,
    /// It waits for what never comes.
    Waits,
}

use Help::{Fails, Waits, Works};

/// When the next hop begins.
pub(super) trait Join: Send + Sync + 'static {
    const NAME: &'static str;

    /// What each child does.
    const HELP: [Help; 3];

    /// What each child may have come to where the next hop begins.
    const SAID: [&'static [&'static str]; 3];

    fn of(calls: Calls) -> Calls;
}

/// The first that fails ends it.
pub(super) struct All;

impl Join for All {
    const NAME: &'static str = "join-all";
    const HELP: [Help; 3] = [Works, Fails, Waits];
    const SAID: [&'static [&'static str]; 3] = [&["done", "open"], &["NO_WAY"], &["open"]];

    fn of(calls: Calls) -> Calls {
        calls.all()
    }
}

/// The first that completes ends it.
pub(super) struct Any;

impl Join for Any {
    const NAME: &'static str = "join-any";
    const HELP: [Help; 3] = [Waits, Works, Waits];
    const SAID: [&'static [&'static str]; 3] = [&["open"], &["done"], &["open"]];

    fn of(calls: Calls) -> Calls {
        calls.any()
    }
}

/// Two of three end it.
pub(super) struct AtLeastTwo;

impl Join for AtLeastTwo {
    const NAME: &'static str = "join-some";
    const HELP: [Help; 3] = [Works, Waits, Works];
    const SAID: [&'static [&'static str]; 3] = [&["done"], &["open"], &["done"]];

    fn of(calls: Calls) -> Calls {
        calls.at_least(2)
    }
}

/// Its time ends it, with what there is.
pub(super) struct Until;

impl Join for Until {
    const NAME: &'static str = "join-until";
    const HELP: [Help; 3] = [Works, Waits, Waits];
    const SAID: [&'static [&'static str]; 3] = [&["done", "open"], &["open"], &["open"]];

    fn of(calls: Calls) -> Calls {
        calls.within(TIME)
    }
}

/// The pattern of a join.
pub(super) struct FanOut<J>(pub(super) PhantomData<J>);

impl<J: Join> Pattern for FanOut<J> {
    const NAME: &'static str = J::NAME;
    const ROLES: &'static [&'static str] = &["lead", "help", "report"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                match role {
                    "help" => {
                        let place: usize = hop.payload().read()?;
                        match J::HELP.get(place) {
                            Some(Works) => return Outcome::complete(&"done"),
                            Some(Fails) => return Err(Fault::terminal("NO_WAY", "it cannot be done")),
                            Some(Waits) | None => {}
                        }
                        hop.wait(Wait::signal("never")).await?;
                        Outcome::complete(&"after the join")
                    }
                    "report" => {
                        let joined: Joined = hop.payload().read()?;
                        let said = joined.children().iter().map(said).collect::<Vec<_>>().join(" ");
                        Outcome::complete(&said)
                    }
                    _ => {
                        run.step(hop, "before").await?;
                        let help = run.agent("help");
                        let calls: Result<Vec<Call>, Fault> =
                            (0..J::HELP.len()).map(|place| Call::new(&help, &place)).collect();
                        Outcome::fan_out(J::of(Calls::of(calls?))).then(&run.agent("report"))
                    }
                }
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        children_of(run).for_each(|child| run.also(child));
        run.submit(client, "lead", |_| {}).await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        let last = history.last().expect("a record");
        let (intent, snapshot) = (&last.record.intent, &last.record.snapshot);
        let told = format!("{intent}: {:?}", events(history));
        if let Some(place) = children_of(run).position(|child| child == *intent) {
            // What the join does not wait for may be closed before it has ended, or before it has begun.
            let may_be: &[&str] = match J::HELP.get(place) {
                Some(Works) if J::SAID.get(place) == Some(&&["done"][..]) => &["completed"],
                Some(Works) => &["completed", "cancelled", "rejected"],
                Some(Fails) => &["failed"],
                Some(Waits) | None => &["cancelled", "rejected"],
            };
            assert!(may_be.contains(&snapshot.status.name()), "{}: {told}", snapshot.status);
            assert!(count(history, "submitted") <= 1, "{told}");
            return;
        }
        for event in ["fanned_out", "resumed", "handed_off"] {
            assert_eq!(count(history, event), 1, "{event}: {told}");
        }
        let said = result(last);
        completed_with(run, history, &said);
        let words: Vec<&str> = said.split(' ').collect();
        assert_eq!(words.len(), J::SAID.len(), "{said}: {told}");
        for (word, may_be) in words.iter().zip(J::SAID) {
            assert!(may_be.contains(word), "{word} is none of {may_be:?}: {said}: {told}");
        }
    }
}

fn children_of(run: &Run) -> impl Iterator<Item = IntentId> {
    let parent = run.intent();
    (0..3).map(move |index| IntentId::of_child(&parent, 1, "fan-out", index))
}
