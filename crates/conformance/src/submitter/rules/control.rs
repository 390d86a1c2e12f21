//! What an operator or the intent itself has put before the work: a pause, a gate, a turn.

use baton_envelope::{PROTOCOL, Protocol, codes};
use serde_json::{Value, json};

use crate::fault::{Fault, expect};
use crate::submitter::arrival::{Arrival, Way, list};
use crate::submitter::desk::{ACTIVE, Desk};
use crate::submitter::ending::Play;
use crate::submitter::job::{AGENT, Job, NOBODY};
use crate::submitter::rules::fields::envelope;
use crate::submitter::rules::routing::SOON;
use crate::submitter::trial::Trial;

/// A key that no parser of headers changes.
const KEY: &str = "customer 42";

/// Runs a job under a route with further members, for versions that read the protocol up to there, and restores the route.
async fn under(desk: &Desk, newest: Protocol, more: &Value, job: &Job) -> Result<Trial, Fault> {
    desk.write_route_with(newest, more).await?;
    let trial = desk.run(job, Play::Nothing).await;
    desk.write_route(ACTIVE, None).await?;
    trial
}

/// Skips the rule if the record says that its writer knows less than this minor of protocol 1.
fn knows(arrival: &Arrival, minor: u32) -> Result<(), Fault> {
    let said = arrival.at("/protocol").as_str().unwrap_or_default();
    let written: Protocol = said.parse().unwrap_or_default();
    if written < Protocol::new(1, minor, 0) {
        return Err(Fault::Skipped(format!(
            "the program writes protocol {written}, and this is of 1.{minor}.0"
        )));
    }
    Ok(())
}

pub(super) async fn submits_to_the_paused(desk: &Desk) -> Result<(), Fault> {
    desk.writes_records().await?;
    let paused = json!({"paused": {"by": "conformance", "at": desk.mesh.now()}});
    let arrival = under(desk, PROTOCOL, &paused, &Job::of("1")).await?.into_submitted()?;
    let version = arrival.at("/snapshot/version").as_str().unwrap_or("none");
    expect(
        version == ACTIVE && arrival.message.status() == "pending",
        format!("`pending` for version {ACTIVE}: the work waits in the queue"),
        arrival.message.in_words(),
    )
}

/// Breaks the rule unless nothing was written as a record, and the program says why.
fn is_refused(trial: &Trial, code: &str) -> Result<(), Fault> {
    let record = trial.arrivals.iter().find(|arrival| arrival.way == Way::Record);
    expect(record.is_none(), "no record", list(&trial.arrivals))?;
    expect(
        trial.run.has_failed() && trial.run.says(code),
        format!("an exit code other than 0, and the code {code} on stdout or stderr"),
        trial.run.in_words(),
    )
}

pub(super) async fn names_gates_that_are_asked(desk: &Desk) -> Result<(), Fault> {
    let arrival = desk.submitted(&Job::of("1").gate(AGENT)).await?;
    let is_there = envelope(&arrival)?.gates.keys().any(|agent| agent.as_str() == AGENT);
    expect(is_there, format!("a gate before {AGENT}"), arrival.in_words())?;
    // A router tells it to whoever waits.
    let trial = desk.run(&Job::of("1").gate(NOBODY).wait(SOON), Play::Route).await?;
    is_refused(&trial, codes::UNKNOWN_AGENT)?;
    if arrival.way != Way::Record {
        return Ok(());
    }
    let job = Job::of("1").gate(AGENT);
    let trial = under(desk, Protocol::new(1, 3, 0), &Value::Null, &job).await?;
    is_refused(&trial, codes::NO_COMMON_PROTOCOL)
}

pub(super) async fn heeds_gates_of_operators(desk: &Desk) -> Result<(), Fault> {
    desk.writes_records().await?;
    let gated = json!({"policy": {"gate": {"who": ["ada"]}}});
    let trial = under(desk, Protocol::new(1, 5, 0), &gated, &Job::of("1")).await?;
    if let Some(arrival) = trial.arrivals.first() {
        knows(arrival, 6)?;
    }
    is_refused(&trial, codes::NO_COMMON_PROTOCOL)
}

pub(super) async fn carries_the_order_key(desk: &Desk) -> Result<(), Fault> {
    let arrival = desk.submitted(&Job::of("1").order_key(KEY)).await?;
    let found = envelope(&arrival)?.order_key.clone();
    expect(
        found.as_deref() == Some(KEY),
        format!("the order key \"{KEY}\""),
        format!("{found:?}"),
    )?;
    if arrival.way == Way::Record {
        let order = waits_for_its_turn(&arrival)?;
        expect(
            order.get("key") == Some(&json!(KEY)),
            format!("`order` with the key \"{KEY}\""),
            order.to_string(),
        )?;
    }
    Ok(())
}

/// Breaks the rule unless the record leaves the work to wait for its turn: its `order`.
fn waits_for_its_turn(arrival: &Arrival) -> Result<&Value, Fault> {
    let status = arrival.at("/snapshot/status");
    let wanted = json!({"state": "waiting", "reason": "order"});
    expect(status == &wanted, format!("the status {wanted}"), status.to_string())?;
    let order = arrival.at("/snapshot/order");
    let has = |name: &str| order.get(name).is_some_and(|value| !value.is_null());
    expect(
        order.get("hop") == Some(&json!(1)) && !has("place") && !has("given"),
        "`order` of hop 1, without a place and without a turn",
        order.to_string(),
    )?;
    Ok(order)
}

pub(super) async fn waits_among_submitters(desk: &Desk) -> Result<(), Fault> {
    desk.writes_records().await?;
    let fair = json!({"limits": {"fair": 2}});
    let arrival = under(desk, PROTOCOL, &fair, &Job::of("1")).await?.into_submitted()?;
    knows(&arrival, 5)?;
    let order = waits_for_its_turn(&arrival)?;
    let submitter = order.get("submitter").and_then(Value::as_str).unwrap_or_default();
    let is_so = match arrival.at("/envelope/from").as_str() {
        Some(from) => submitter == from,
        // Without the number of its process.
        None => !submitter.is_empty() && arrival.message.text("/by/instance").starts_with(submitter),
    };
    expect(
        is_so,
        "`submitter`: `from` of the envelope, else the instance of the writer without the number of its process",
        order.to_string(),
    )
}
