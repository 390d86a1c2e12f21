//! People decide: before a hop that knows nothing of it, and in one.

use std::time::Duration;

use baton_agent::{AgentBuilder, Approval, Outcome};
use baton_e2e::chaos::events;
use baton_e2e::death::{Pattern, Run};
use baton_envelope::control::{AssignSeat, OverrideApproval};
use baton_jetstream::{Head, Mesh};

use super::{completed_with, relay};

/// How long until somebody else is asked, too.
const ESCALATES: Duration = Duration::from_millis(1_200);

#[track_caller]
fn resumed_once(run: &Run, history: &[Head]) {
    let told = events(history);
    let resumed = told.iter().filter(|event| **event == "resumed").count();
    assert_eq!(resumed, 1, "{}: {told:?}", run.intent());
}

/// The second hop of a chain begins when somebody has let it.
pub(crate) struct Gate;

impl Pattern for Gate {
    const NAME: &'static str = "gate";
    const ROLES: &'static [&'static str] = &["code", "qa"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        relay(run, role)
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let qa = run.agent("qa").parse().expect("agent name");
        let gate = Approval::new("May it be tested?").who(["ada"]);
        run.submit(client, "code", |envelope| {
            envelope.gates.insert(Clone::clone(&qa), gate.clone());
        })
        .await;
        run.until(client, &["waiting", "completed"]).await;
        run.decide(client, "ada", (2, "gate"), "approve").await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "good");
        resumed_once(run, history);
        let step = |head: &Head| head.record.step.as_ref().is_some_and(|step| step.name == "qa");
        let began = history.iter().position(step).expect("a step of qa");
        let asked = history.iter().position(|head| head.record.event.name() == "resumed");
        assert!(asked.is_some_and(|asked| asked < began), "{:?}", events(history));
    }
}

/// A hop that asks, and then says what people decided.
fn asks(run: &Run, role: &'static str, approval: fn() -> Approval) -> AgentBuilder {
    run.scripted(role, move |hop, run| {
        Box::pin(async move {
            run.step(hop, "written").await?;
            let decision = hop.approve("publish", approval()).await?;
            run.step(hop, "published").await?;
            Outcome::complete(&format!("{}:{}", decision.choice, decision.accepted))
        })
    })
}

/// Two of three must approve.
pub(crate) struct Quorum;

impl Pattern for Quorum {
    const NAME: &'static str = "quorum";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        asks(run, role, || {
            Approval::new("May it go out?").who(["ada", "bob", "eve"]).quorum(2)
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        run.until(client, &["waiting", "completed"]).await;
        run.decide(client, "ada", (1, "publish"), "approve").await;
        run.decide(client, "bob", (1, "publish"), "approve").await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "approve:true");
        resumed_once(run, history);
    }
}

/// Nobody answers, and somebody else is asked, who does.
pub(crate) struct Escalates;

impl Pattern for Escalates {
    const NAME: &'static str = "escalate";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        asks(run, role, || {
            Approval::new("May it go out?")
                .who(["ada"])
                .escalate(ESCALATES, ["boss"])
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        run.submit(client, "shop", |_| {}).await;
        let what = format!("{} is escalated", run.intent());
        run.eventually(&what, baton_e2e::chaos::SOON * 3, async || {
            let history = client.history(&run.intent(), 1).await;
            let history = history.map_err(|error| error.to_string())?;
            let told = events(&history).join(" ");
            is_escalated(&history).then_some(()).ok_or(told)
        })
        .await;
        run.decide(client, "boss", (1, "publish"), "approve").await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "approve:true");
        resumed_once(run, history);
        assert!(is_escalated(history), "{}: {:?}", run.intent(), events(history));
    }
}

fn is_escalated(history: &[Head]) -> bool {
    acts(history, "escalated") == 1
}

/// An operator gives a seat to somebody else, and then decides in the place of all.
pub(crate) struct Operator;

impl Pattern for Operator {
    const NAME: &'static str = "override";
    const ROLES: &'static [&'static str] = &["shop"];

    fn agent(&self, run: &Run, role: &'static str) -> AgentBuilder {
        asks(run, role, || {
            Approval::new("May it go out?").who(["ada", "bob"]).quorum(2)
        })
    }

    async fn drive(&self, client: &Mesh, run: &Run) {
        let (intent, by) = (run.intent(), "test".to_owned());
        run.submit(client, "shop", |_| {}).await;
        run.until(client, &["waiting", "completed"]).await;
        let assign = AssignSeat {
            intent: intent.clone(),
            wait: None,
            from: "ada".parse().expect("a name"),
            to: "zoe".parse().expect("a name"),
            reason: "ada is away".to_owned(),
            by: by.clone(),
        };
        run.ask_until(client, &assign, async || happened(client, run, "assigned").await)
            .await;
        let decide = OverrideApproval {
            intent,
            wait: None,
            choice: "approve".to_owned(),
            reason: "nobody is in".to_owned(),
            by,
        };
        run.ask_until(client, &decide, async || happened(client, run, "overridden").await)
            .await;
        run.until_ended(client).await;
    }

    fn judge(&self, run: &Run, history: &[Head]) {
        completed_with(run, history, "approve:true");
        resumed_once(run, history);
        for act in ["assigned", "overridden"] {
            assert_eq!(
                acts(history, act),
                1,
                "{}: {act} in {:?}",
                run.intent(),
                events(history)
            );
        }
    }
}

async fn happened(client: &Mesh, run: &Run, act: &str) -> Result<bool, String> {
    let history = client.history(&run.intent(), 1).await;
    let history = history.map_err(|error| error.to_string())?;
    Ok(acts(&history, act) > 0)
}

fn acts(history: &[Head], act: &str) -> usize {
    let entries = history.iter().filter_map(|head| head.record.people.as_ref());
    entries.filter(|entry| entry.act.name() == act).count()
}
