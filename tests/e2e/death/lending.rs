//! A child is parked for want of budget, and somebody has its parent lend it more.

use baton_agent::{AgentBuilder, Amounts, Call, Fault, Outcome};
use baton_e2e::chaos::events;
use baton_e2e::death::{Pattern, Run};
use baton_envelope::budget::{Amount, Amounts as Meters, MeterName, TopUp};
use baton_envelope::{Author, Budget, IntentId, Role};
use baton_jetstream::{Head, Mesh};

use super::{SHORT, completed_with};

/// How far the client is: it has begun to lend more, and leaves what is missing of it to the sweeper when it begins again.
const LENT: usize = 1;

/// What a call holds. A worker that dies in it has spent that, and the child has enough for a few.
const CALL: u64 = 300;

pub(super) struct LendsMore;

fn tokens(count: u64) -> Meters {
    Meters::NONE.with(MeterName::Tokens, Amount::whole(count))
}

fn child_of(run: &Run) -> IntentId {
    IntentId::of_child(&run.intent(), 1, "calls", 0)
}

impl Pattern for LendsMore {
    const NAME: &'static str = "lends";
    const ROLES: &'static [&'static str] = &["lead", "help"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        run.scripted(role, move |hop, run| {
            Box::pin(async move {
                if role == "help" {
                    run.spend(hop, "call", CALL).await?;
                    return Outcome::complete(&"done");
                }
                let call = Call::new(&run.agent("help"), &1)?.with_budget(Amounts::tokens(CALL / 3));
                let called = hop.call_all(vec![call]).await?;
                let said: Result<Vec<String>, Fault> = called.iter().map(|child| child.result()).collect();
                Outcome::complete(&said?.join(", "))
            })
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let child = child_of(run);
        run.also(child.clone());
        run.submit(client, "lead", |envelope| {
            envelope.budget = Some(Box::new(Budget::of(&tokens(20 * CALL))));
        })
        .await;
        if run.phase() < LENT {
            run.until_is(client, &child, &["parked"]).await;
            run.reach(LENT);
            let top_up = TopUp::new("more", tokens(9 * CALL));
            let by = Author::of(Role::Operator, "test");
            run.eventually(&format!("{child} is lent more"), 100 * SHORT, async || {
                let lent = client.top_up(&child, &top_up, "the long one", &by).await;
                lent.map(drop).map_err(|error| error.to_string())
            })
            .await;
        }
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        let last = &history.last().expect("a record").record;
        let told = format!("{}: {:?}", last.intent, events(history));
        let budget = last.snapshot.budget.as_deref().expect("a budget");
        let topped = history.iter().filter_map(|head| head.record.top_up.as_deref());
        let kinds: Vec<(bool, bool)> = topped.map(|top_up| (top_up.lent_to.is_some(), top_up.paid)).collect();
        if last.intent == child_of(run) {
            assert_eq!(last.snapshot.status.name(), "completed", "{told}");
            assert_eq!(kinds, [(false, false)], "{told}");
            assert_eq!(budget.allotted(), tokens(9 * CALL + CALL / 3), "{told}");
            return;
        }
        completed_with(run, history, "done");
        // The end of the child may come before its parent hears that it is paid.
        assert!(
            kinds == [(true, false), (true, true)] || kinds == [(true, false)],
            "{told}"
        );
        assert!(budget.lent().are_zero() && budget.overrun().are_zero(), "{told}");
        let spent = budget.spent().get(MeterName::Tokens);
        assert!(
            spent >= Amount::whole(CALL) && budget.allotted() == tokens(20 * CALL),
            "{told}"
        );
    }
}
