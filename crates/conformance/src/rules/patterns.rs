//! What a hop meets that asked others, that is undone, or that does not name whom it hands on to. The agent need not be able to
//! ask or to undo anything: the judge plays that for it.

use baton_envelope::codes;
use serde_json::{Map, Value, json};

use crate::children::{CALL, child_of};
use crate::court::{Court, Plan, SINK, Work};
use crate::fault::{Fault, expect};
use crate::record::{Stored, story};
use crate::rules::accidents::{PLANTED, plant_step};
use crate::rules::hops::same_result;
use crate::script::Script;

/// The code of a handler that has no word for what the payload asks.
pub(super) const NO_WORD: &str = "UNKNOWN_ACT";
/// A result whose spelling a parser would lose.
const PAYLOAD: &str = r#"{"n": 1.50, "s": "\u00e9"}"#;

/// The ticket of a hop that is not to be done is acked, and nothing is written.
pub(super) async fn is_left(court: &Court, work: &Work) -> Result<(), Fault> {
    let before = court.history(work).await?.len();
    let ticket = court.ticket(work, true).await?;
    court.acks(ticket).await?;
    let after = court.history(work).await?;
    expect(after.len() == before, "no record", story(&after))
}

/// The hop asks one child, as another worker that ran it.
async fn ask(court: &Court, work: &Work) -> Result<(), Fault> {
    let spec = json!([{"name": "ask", "kind": "children", "children": {"children": [{"payload": 1}], "to": SINK}}]);
    let changes = json!({
        "status": {"state": "waiting", "reason": "children"}, "epoch": "+1", "holder": null,
        "waits": [{"hop": 1, "name": "ask", "kind": "children"}],
        "children": [{"hop": 1, "name": "ask", "count": 1}],
    });
    let more = format!(r#","waits":{spec}"#);
    court
        .append(work, json!({"type": "fanned_out"}), Some("waiting"), &changes, &more)
        .await?;
    Ok(())
}

pub(super) async fn leaves_the_suspended(court: &Court) -> Result<(), Fault> {
    let work = court.submit("suspended", Script::new().step("a").complete()).await?;
    court.overtake(&work).await?;
    ask(court, &work).await?;
    is_left(court, &work).await
}

pub(super) async fn leaves_the_undone(court: &Court) -> Result<(), Fault> {
    let work = court.submit("undoing", Script::new().step("a").complete()).await?;
    court.overtake(&work).await?;
    let changes = json!({"epoch": "+1", "holder": null,
                         "undo": {"named": 1, "error": {"code": codes::CANCELLED, "message": "planted"}}});
    let event = json!({"type": "compensating"});
    court.append(&work, event, Some("compensating"), &changes, "").await?;
    is_left(court, &work).await
}

pub(super) async fn goes_on(court: &Court) -> Result<(), Fault> {
    let work = court.submit("resumed", Script::new().step("a").complete()).await?;
    let child = child_of(&work, 0)?;
    let last = court.refuse_child(&child, &work).await?;
    court.overtake(&work).await?;
    plant_step(court, &work).await?;
    ask(court, &work).await?;
    let ends = json!([{"index": 0, "id": child, "state": "rejected", "code": "NO", "seq": last}]);
    // None of them has completed, and a writer leaves out what is 0.
    let set = json!({"hop": 1, "name": CALL, "count": 1, "ended": "AQ"});
    court.record_ends(&work, &set, &ends).await?;
    let again = court.join(&work, &ends).await?;
    court.ticket(&again, false).await?;
    let head = court.ends(&again, "completed", "").await?;
    let own = court.own(&again).await?;
    let repeated = own.iter().any(|record| record.text("/step/name") == "a");
    let expected = "no second record of a step from before the hop was suspended";
    expect(!repeated, expected, story(&own))?;
    same_result(&head, "a", PLANTED)
}

pub(super) async fn passes_on(court: &Court) -> Result<(), Fault> {
    let kept = json!({
        "children": [{"hop": 1, "name": "ask", "count": 2, "detach": true, "seq": 1, "ended": "AQ", "completed": 1}],
        "undo": {"named": 2},
        "order": {"hop": 1, "key": "k", "place": 1, "given": 1},
    });
    let plan = Plan {
        snapshot: kept.as_object().cloned().unwrap_or_else(Map::new),
        ..Plan::from(Script::new().step("a").complete())
    };
    let (work, _) = court.send("kept", plan).await?;
    court.ends(&work, "completed", "").await?;
    let own = court.own(&work).await?;
    let Some(step) = own.iter().find(|record| record.event() == "step") else {
        return expect(false, "the step", story(&own));
    };
    for (name, value) in kept.as_object().into_iter().flatten() {
        let found = step.at(&format!("/snapshot/{name}"));
        expect(
            found == value,
            format!("`{name}` {value} in the step"),
            found.to_string(),
        )?;
    }
    Ok(())
}

/// Skips the rule if the handler could not do what the payload asks.
pub(super) fn has_word(head: &Stored) -> Result<(), Fault> {
    match head.text("/snapshot/status/code") {
        NO_WORD => Err(Fault::Skipped("the handler has no word for it".to_owned())),
        _ => Ok(()),
    }
}

/// How a hop ended that was to hand on.
async fn handed(court: &Court, work: &Work) -> Result<Stored, Fault> {
    let is_done = |head: &Stored| head.is_over() || head.event() == "handed_off";
    let head = court
        .until(work, "the hop is handed off, or the intent ends", is_done)
        .await?;
    has_word(&head)?;
    Ok(head)
}

/// Waits until the agent has handed the intent on, if its handler has a word for it.
pub(super) async fn hands_over(court: &Court, work: &Work) -> Result<Stored, Fault> {
    let head = handed(court, work).await?;
    expect(head.event() == "handed_off", "`handed_off`", head.in_words())?;
    Ok(head)
}

/// Waits until the agent has done this work, if its handler has a word for it.
pub(super) async fn completes(court: &Court, work: &Work) -> Result<Stored, Fault> {
    let head = court.until(work, "the intent ends", Stored::is_over).await?;
    has_word(&head)?;
    expect(head.status() == "completed", "`completed`", head.in_words())?;
    Ok(head)
}

pub(super) async fn uses_up_the_itinerary(court: &Court) -> Result<(), Fault> {
    for (name, itinerary, left) in [
        ("itinerary", json!([SINK, "later", SINK]), json!(["later", SINK])),
        ("detour", json!(["later", SINK]), json!(["later", SINK])),
        ("last-stop", json!([SINK]), Value::Null),
    ] {
        let plan = Plan {
            script: Script::new().hand_off(SINK, "1"),
            envelope: format!(r#","itinerary":{itinerary}"#),
            ..Plan::default()
        };
        let (work, _) = court.send(name, plan).await?;
        let head = handed(court, &work).await?;
        let found = head.at("/envelope/itinerary");
        let is_so = head.event() == "handed_off" && (found == &left || (left.is_null() && found == &json!([])));
        expect(
            is_so,
            format!("`itinerary` {left} after {itinerary}"),
            format!("{}, {found}", head.in_words()),
        )?;
    }
    Ok(())
}

pub(super) async fn hands_on(court: &Court) -> Result<(), Fault> {
    let follows = json!({court.agent.as_str(): [SINK, "later"]});
    for (name, envelope, is_last) in [
        (
            "next-of-itinerary",
            format!(r#","itinerary":["{SINK}"],"next":{{"{}":["later"]}}"#, court.agent),
            false,
        ),
        ("next-of-pipeline", format!(r#","next":{follows}"#), false),
        ("next-of-none", String::new(), true),
    ] {
        let plan = Plan {
            script: Script::new().next(PAYLOAD),
            envelope,
            ..Plan::default()
        };
        let (work, _) = court.send(name, plan).await?;
        let head = handed(court, &work).await?;
        if is_last {
            let result = head.raw(&["snapshot", "result"]);
            let is_so = head.status() == "completed" && result.as_deref() == Some(PAYLOAD);
            let expected = format!("completed with {PAYLOAD}, as nobody is next");
            expect(
                is_so,
                expected,
                format!("{}, {}", head.in_words(), result.unwrap_or_default()),
            )?;
            continue;
        }
        let (to, payload) = (head.text("/envelope/to"), head.raw(&["envelope", "payload"]));
        let is_so = to == SINK && payload.as_deref() == Some(PAYLOAD);
        expect(
            is_so,
            format!("handed off to {SINK} with {PAYLOAD}"),
            format!("{}, to \"{to}\" with {}", head.in_words(), payload.unwrap_or_default()),
        )?;
    }
    Ok(())
}
