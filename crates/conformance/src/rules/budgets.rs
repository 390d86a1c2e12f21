//! Budgets: what a call may take is held before it is called, and counted after it.

use std::time::Duration;

use baton_envelope::codes;
use serde_json::{Value, json};

use crate::court::{Court, Plan, SINK};
use crate::fault::{Fault, expect};
use crate::record::{Stored, story};
use crate::rules::patterns::{completes, hands_over, has_word};
use crate::script::Script;

/// How many tokens each intent is allotted.
const ALLOTTED: u64 = 1_000;
/// What a call may take, and what it takes.
const CALL: (u64, u64) = (100, 40);
/// More than there is.
const TOO_MUCH: u64 = ALLOTTED + 1;
/// What a holder that is gone had held.
const LOST: u64 = 300;
/// How far the time that was counted may be from the time that a record says: amounts of it are decimals.
const NEAR: Duration = Duration::from_millis(1);

/// Work with a budget that the ledger counts.
fn funded(script: Script, budget: &Value) -> Plan {
    let mut plan = Plan::from(script);
    plan.envelope = format!(r#","budget":{budget}"#);
    plan.snapshot.insert("budget".to_owned(), budget.clone());
    plan
}

fn tokens() -> Value {
    json!({"tokens": {"allotted": ALLOTTED}, "counted": true})
}

/// Breaks the rule unless the record says of the tokens that so many are spent and so many held.
fn counts(record: &Stored, spent: u64, held: u64) -> Result<(), Fault> {
    let meter = "/snapshot/budget/tokens";
    let amount = |name: &str| amount(record.at(&format!("{meter}/{name}")));
    let is_so = amount("allotted") == Some(ALLOTTED as f64)
        && amount("spent").unwrap_or_default() == spent as f64
        && amount("held").unwrap_or_default() == held as f64
        && amount("overrun").unwrap_or_default() == 0.0;
    expect(
        is_so,
        format!("{ALLOTTED} tokens allotted, {spent} spent and {held} held"),
        format!("{}, budget.tokens {}", record.in_words(), record.at(meter)),
    )
}

/// An amount: a number, or a string of the same text.
fn amount(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// The one record of the agent that this is about.
fn only<'r>(own: &'r [Stored], what: &str, is_it: impl Fn(&Stored) -> bool) -> Result<&'r Stored, Fault> {
    let found: Vec<&Stored> = own.iter().filter(|record| is_it(record)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        _ => Err(Fault::Broken {
            expected: format!("one record with {what}"),
            seen: story(own),
        }),
    }
}

pub(super) async fn holds_before_it_calls(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    let (most, took) = CALL;
    let script = Script::new().spend("a", most, took).complete();
    let (work, _) = court.send("hold", funded(script, &tokens())).await?;
    let head = completes(court, &work).await?;
    let own = court.own(&work).await?;
    let hold = only(&own, "`hold`", |record| !record.at("/hold").is_null())?;
    let is_named = hold.text("/hold/step") == "a"
        && amount(hold.at("/hold/amounts/tokens")) == Some(most as f64)
        && hold.at("/hold/epoch") == hold.at("/snapshot/epoch")
        && hold.at("/snapshot/budget/epoch") == hold.at("/snapshot/epoch");
    expect(
        is_named,
        format!("`hold` of the step \"a\" with {most} tokens, in the epoch of its holder"),
        hold.raw(&["hold"]).unwrap_or_default(),
    )?;
    counts(hold, 0, most)?;
    let step = only(&own, "the step \"a\"", |record| record.text("/step/name") == "a")?;
    expect(hold.seq < step.seq, "`hold` before the step", story(&own))?;
    let is_counted = amount(step.at("/spend/amounts/tokens")) == Some(took as f64)
        && amount(step.at("/spend/held/tokens")) == Some(most as f64);
    expect(
        is_counted,
        format!("`spend` of {took} tokens in the step, for which {most} had been held"),
        step.raw(&["spend"]).unwrap_or_else(|| "none".to_owned()),
    )?;
    counts(step, took, 0)?;
    counts(&head, took, 0)
}

pub(super) async fn does_not_call_beyond_it(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    for (name, on_exhausted, state) in [
        ("exhausted-park", "park", "parked"),
        ("exhausted-fail", "fail", "failed"),
    ] {
        let mut budget = tokens();
        if let Some(members) = budget.as_object_mut() {
            members.insert("on_exhausted".to_owned(), on_exhausted.into());
        }
        let script = Script::new().spend("a", TOO_MUCH, 1).complete();
        let (work, ticket) = court.send(name, funded(script, &budget)).await?;
        let head = court.until(&work, "the intent ends", Stored::is_over).await?;
        has_word(&head)?;
        let is_so = head.status() == state && head.text("/snapshot/status/code") == codes::BUDGET;
        expect(is_so, format!("`{state}` with {}", codes::BUDGET), head.in_words())?;
        if state == "parked" {
            let need = head.at("/snapshot/budget/need/tokens");
            expect(
                amount(need) == Some(TOO_MUCH as f64),
                format!("`need` with {TOO_MUCH} tokens"),
                need.to_string(),
            )?;
        }
        let own = court.own(&work).await?;
        let has_called = own.iter().any(|record| record.event() == "step");
        expect(!has_called, "no step that did not fit", story(&own))?;
        counts(&head, 0, 0)?;
        court.acks(ticket).await?;
    }
    Ok(())
}

/// A worker held something and died: whoever takes the hop counts that as spent.
pub(super) async fn assumes_what_was_held(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    let (most, took) = CALL;
    let script = Script::new().spend("b", most, took).complete();
    let work = court.submit("assumed", funded(script, &tokens())).await?;
    court.overtake(&work).await?;
    let epoch = court
        .head(&work)
        .await?
        .map_or(0, |head| head.number("/snapshot/epoch"));
    let mut budget = tokens();
    if let Some(meter) = budget.pointer_mut("/tokens").and_then(Value::as_object_mut) {
        meter.insert("held".to_owned(), LOST.into());
    }
    if let Some(members) = budget.as_object_mut() {
        members.insert("epoch".to_owned(), epoch.into());
    }
    let hold = json!({"step": "a", "amounts": {"tokens": LOST}, "epoch": epoch});
    let (event, changes) = (json!({"type": "started"}), json!({ "budget": budget }));
    court
        .append(
            &work,
            event,
            Some("in_progress"),
            &changes,
            &format!(r#","hold":{hold}"#),
        )
        .await?;
    court.ticket(&work, true).await?;
    let head = completes(court, &work).await?;
    let own = court.own(&work).await?;
    let first = only(&own, "`assumed`", |record| !record.at("/assumed").is_null())?;
    expect(
        amount(first.at("/assumed/tokens")) == Some(LOST as f64),
        format!("`assumed` with {LOST} tokens"),
        first.raw(&["assumed"]).unwrap_or_default(),
    )?;
    expect(
        own.first().is_some_and(|own| own.seq == first.seq),
        "`assumed` in the record that takes the hop",
        story(&own),
    )?;
    counts(first, LOST, 0)?;
    counts(&head, LOST + took, 0)
}

/// The next envelope shows what is left, and each attempt is counted with the time that it ran.
pub(super) async fn tells_what_is_left(court: &Court) -> Result<(), Fault> {
    court.reads(7)?;
    let (most, took) = CALL;
    let script = Script::new().spend("a", most, took).wait(0.5).hand_off(SINK, "1");
    let mut budget = tokens();
    if let Some(members) = budget.as_object_mut() {
        members.insert("time".to_owned(), json!({"allotted": 600}));
    }
    let (work, _) = court.send("left", funded(script, &budget)).await?;
    let head = hands_over(court, &work).await?;
    counts(&head, took, 0)?;
    let (ran, counted) = (head.number("/took_ms"), head.at("/snapshot/budget/time/spent"));
    let counted = amount(counted).unwrap_or_default();
    let is_near = (counted - ran as f64 / 1_000.0).abs() <= NEAR.as_secs_f64();
    expect(
        ran > 0 && is_near,
        "`took_ms` of the attempt, spent of the time of the budget",
        format!("`took_ms` {ran}, {counted} s spent"),
    )?;
    for name in ["tokens", "time"] {
        let (given, kept) = (format!("/envelope/budget/{name}"), format!("/snapshot/budget/{name}"));
        let is_alike = |field: &str| {
            let of = |meter: &str| amount(head.at(&format!("{meter}/{field}")));
            of(&given) == of(&kept)
        };
        let has_none = |field: &str| head.at(&format!("{given}/{field}")).is_null();
        let is_so = is_alike("allotted") && is_alike("spent") && has_none("held") && has_none("lent");
        expect(
            is_so,
            format!("`{name}` in `budget` of the next envelope as in the snapshot, without `held` and `lent`"),
            head.at("/envelope/budget").to_string(),
        )?;
    }
    let is_counted = head.at("/envelope/budget/counted") == &json!(true);
    let expected = "`counted` in `budget` of the next envelope";
    expect(is_counted, expected, head.at("/envelope/budget").to_string())
}
