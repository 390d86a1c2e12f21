//! Approvals before a hop: the worker asks people before it begins. The judge plays the controller that hears them.

use std::time::Duration;

use baton_envelope::codes;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::court::{Court, LOOK, Plan, SINK, Work};
use crate::fault::{Fault, expect};
use crate::record::{Stored, story};
use crate::routes::{OF_1_3, OF_1_5, PERSON, gate};
use crate::script::Script;

/// The name under which a worker asks where the intent says so.
const GATE: &str = "gate";
/// That where an operator says so.
const AGENT_GATE: &str = "agent-gate";
/// How long a worker may take to hear of its route: a table of routes is proven every 5 s.
const HEARD: Duration = Duration::from_secs(8);

/// Work for the agent, with a gate before this one.
fn gated(agent: &str, script: Script) -> Plan {
    let gates = json!({agent: gate()});
    Plan {
        script,
        envelope: format!(r#","gates":{gates}"#),
        ..Plan::default()
    }
}

fn script() -> Script {
    Script::new().step("a").complete()
}

/// Breaks the rule unless the hop waits for people under this name, and for nothing else.
fn is_asked(head: &Stored, name: &str) -> Result<(), Fault> {
    let is_waiting = head.event() == "waiting" && head.text("/snapshot/status/reason") == "human";
    expect(
        is_waiting,
        format!("the wait \"{name}\", and the status `waiting` for a human"),
        head.in_words(),
    )?;
    let holder = head.at("/snapshot/holder");
    expect(holder.is_null(), "no `holder`", holder.to_string())?;
    for pointer in ["/waits", "/snapshot/waits"] {
        let waits = head.at(pointer);
        let is_it =
            |wait: &Value| wait.get("name") == Some(&json!(name)) && wait.get("kind") == Some(&json!("approval"));
        let is_alone = waits
            .as_array()
            .is_some_and(|all| all.len() == 1 && all.iter().all(is_it));
        expect(
            is_alone,
            format!("one approval \"{name}\" at {pointer}"),
            waits.to_string(),
        )?;
    }
    let (who, choices) = (head.at("/waits/0/approval/who"), head.at("/waits/0/approval/choices"));
    let is_fixed = who == &json!([PERSON]) && choices.as_array().is_some_and(|choices| !choices.is_empty());
    expect(
        is_fixed,
        format!("`who` [\"{PERSON}\"] and the choices, written out"),
        format!("{who}, {choices}"),
    )?;
    let ballot = head.at("/snapshot/waits/0/ballot");
    let has_seat = ballot.pointer("/seats/0/person") == Some(&json!(PERSON));
    let is_closed = ballot.get("closed") == Some(&json!(true));
    expect(
        has_seat && is_closed,
        format!("a ballot that is closed, with a seat for {PERSON}"),
        ballot.to_string(),
    )
}

/// Waits until the hop asks people under this name, and breaks the rule if its handler has begun.
async fn asks(court: &Court, work: &Work, name: &str) -> Result<(), Fault> {
    let head = court
        .until(work, &format!("the hop waits for \"{name}\""), |head| {
            head.is_over() && head.seq > work.seq
        })
        .await?;
    is_asked(&head, name)?;
    has_not_begun(court, work).await
}

async fn has_not_begun(court: &Court, work: &Work) -> Result<(), Fault> {
    let own = court.own(work).await?;
    let has_begun = own.iter().any(|record| record.event() == "step");
    expect(!has_begun, "no step before people let it begin", story(&own))
}

/// Lets the hop go on with what people have decided, and writes its ticket.
async fn decide(court: &Court, work: &Work, name: &str, is_accepted: bool) -> Result<Work, Fault> {
    let again = court.decide(work, name, is_accepted).await?;
    court.ticket(&again, false).await?;
    Ok(again)
}

/// The hop was not let through: it ends without having begun.
async fn is_denied(court: &Court, work: &Work) -> Result<(), Fault> {
    court.ends(work, "rejected", codes::NOT_APPROVED).await?;
    has_not_begun(court, work).await
}

/// The hop was let through: it ends, and has asked so many times.
async fn is_let_through(court: &Court, work: &Work, asked: usize) -> Result<(), Fault> {
    court.ends(work, "completed", "").await?;
    let own = court.own(work).await?;
    let times = own.iter().filter(|record| record.event() == "waiting").count();
    expect(times == asked, format!("people asked {asked} times"), story(&own))
}

pub(super) async fn asks_for_the_intent(court: &Court) -> Result<(), Fault> {
    court.reads(4)?;
    for is_accepted in [true, false] {
        let (work, ticket) = court.send("gate", gated(court.agent.as_str(), script())).await?;
        asks(court, &work, GATE).await?;
        court.acks(ticket).await?;
        let again = decide(court, &work, GATE, is_accepted).await?;
        if is_accepted {
            is_let_through(court, &again, 1).await?;
        } else {
            is_denied(court, &again).await?;
        }
    }
    // A gate before somebody else is not this agent's.
    let (work, _) = court.send("gate-elsewhere", gated(SINK, script())).await?;
    is_let_through(court, &work, 0).await
}

/// Changes the route, and sends work until the agent treats it so: the last of it, which waits for people or has completed.
async fn heard_of(court: &Court, gate: Option<Value>) -> Result<Work, Fault> {
    let is_gated = gate.is_some();
    court.write_own_route(gate).await?;
    let until = Instant::now() + HEARD;
    loop {
        let (work, _) = court.send("agent-gate", script()).await?;
        let head = court
            .until(&work, "the hop waits for people, or the intent ends", Stored::is_over)
            .await?;
        if (head.event() == "waiting") == is_gated {
            return Ok(work);
        }
        let expected = match is_gated {
            true => "people asked before a hop that begins while the route says so",
            false => "nobody asked before a hop that begins while the route says nothing",
        };
        expect(Instant::now() < until, expected, head.in_words())?;
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) async fn asks_for_the_operator(court: &Court) -> Result<(), Fault> {
    court.reads(6)?;
    let tried = operators(court).await;
    // However that ended, the rules after this one are tried without a gate.
    let restored = heard_of(court, None).await;
    tried.and(restored.map(|_| ()))
}

async fn operators(court: &Court) -> Result<(), Fault> {
    let work = heard_of(court, Some(gate())).await?;
    asks(court, &work, AGENT_GATE).await?;
    // What the intent itself asks comes after that.
    let (both, _) = court
        .send("agent-gate-and-gate", gated(court.agent.as_str(), script()))
        .await?;
    asks(court, &both, AGENT_GATE).await?;
    let both = decide(court, &both, AGENT_GATE, true).await?;
    asks(court, &both, GATE).await?;
    let both = decide(court, &both, GATE, true).await?;
    is_let_through(court, &both, 2).await?;

    // What was asked stands when the gate is taken away.
    heard_of(court, None).await?;
    let again = decide(court, &work, AGENT_GATE, false).await?;
    is_denied(court, &again).await
}

/// Nobody would ask before these: the handoff is not written.
pub(super) async fn hands_off_to_who_asks(court: &Court) -> Result<(), Fault> {
    court.reads(4)?;
    let over = |agent: &str| Script::new().hand_off(agent, "1");
    let (work, _) = court.send("gated-handoff", gated(OF_1_3, over(OF_1_3))).await?;
    is_refused(court, &work).await?;
    // One of before 1.6 does not look at the route.
    if court.reads(6).is_err() {
        return Ok(());
    }
    let (work, _) = court.send("gated-receiver", over(OF_1_5)).await?;
    is_refused(court, &work).await
}

async fn is_refused(court: &Court, work: &Work) -> Result<(), Fault> {
    let is_done = |head: &Stored| head.is_over() || head.event() == "handed_off";
    let expected = format!("`parked` with {}, as nobody would be asked", codes::NO_COMMON_PROTOCOL);
    let head = court.until(work, &expected, is_done).await?;
    let is_parked = head.status() == "parked" && head.text("/snapshot/status/code") == codes::NO_COMMON_PROTOCOL;
    expect(is_parked, expected, head.in_words())
}
