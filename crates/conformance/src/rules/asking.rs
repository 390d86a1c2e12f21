//! A hop that asks others: by a call, from which it comes back, and by a message of a channel, from which it does not. The judge
//! plays the others, and the controller that lets the hop go on.

use baton_envelope::codes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::children::{CALL, End, child_of};
use crate::court::{Court, SINK, Work};
use crate::fault::{Fault, expect};
use crate::record::{Stored, raw_of, story};
use crate::rules::patterns::NO_WORD;
use crate::script::Script;

/// The channel of the trials.
const CHANNEL: &str = "conformance-news";
/// What is asked, in spellings that a parser would lose.
const PAYLOADS: [&str; 3] = ["1.50", r#""\u00e9""#, r#"{"b": 2, "a": 1.0}"#];
/// What the children come to, and the order in which they end: it is not that in which they were asked.
const ENDS: [End; 3] = [End::Rejected("NO"), End::Completed("second"), End::Completed("third")];
const IN_TURN: [usize; 3] = [2, 0, 1];

/// The record with which a hop asks; it is skipped where the handler has no word for that.
async fn suspended(court: &Court, work: &Work) -> Result<Stored, Fault> {
    let head = court
        .until(work, "the hop is suspended, or the intent ends", Stored::is_over)
        .await?;
    if head.text("/snapshot/status/code") == NO_WORD {
        return Err(Fault::Skipped("the handler has no word for it".to_owned()));
    }
    let waits = head.event() == "fanned_out" && head.text("/snapshot/status/reason") == "children";
    expect(
        waits,
        "`fanned_out`, and the status `waiting` for children",
        head.in_words(),
    )?;
    let holder = head.at("/snapshot/holder");
    expect(holder.is_null(), "no `holder`", holder.to_string())?;
    Ok(head)
}

/// The only wait of a record, as it was written.
fn wait_of(head: &Stored, name: &str) -> Result<String, Fault> {
    let waits = head.raw(&["waits"]).unwrap_or_default();
    let all: Vec<Box<RawValue>> = serde_json::from_str(&waits).unwrap_or_default();
    let [wait] = all.as_slice() else {
        return Err(Fault::Broken {
            expected: format!("one wait, \"{name}\""),
            seen: waits,
        });
    };
    let value: Value = serde_json::from_str(wait.get()).unwrap_or_default();
    let is_so = value.pointer("/name") == Some(&json!(name)) && value.pointer("/kind") == Some(&json!("children"));
    expect(is_so, format!("the wait \"{name}\" of kind `children`"), wait.get())?;
    let hop = json!(1);
    for (pointer, count) in [("/snapshot/waits/0", None), ("/snapshot/children/0", Some("count"))] {
        let open = head.at(pointer);
        let is_own = open.get("hop") == Some(&hop) && open.get("name") == Some(&json!(name));
        let is_counted = count.is_none_or(|count| open.get(count).is_some_and(Value::is_u64));
        expect(
            is_own && is_counted,
            format!("hop 1 and \"{name}\" at {pointer}"),
            open.to_string(),
        )?;
    }
    Ok(wait.get().to_owned())
}

/// The children of a wait: to whom each goes, and its payload as it was written.
fn asked(wait: &str) -> Vec<(String, Option<String>)> {
    let all = raw_of(wait, &["children", "children"]).unwrap_or_default();
    let all: Vec<Box<RawValue>> = serde_json::from_str(&all).unwrap_or_default();
    let text = |raw: Option<String>| raw.and_then(|raw| serde_json::from_str::<String>(&raw).ok());
    let common = text(raw_of(wait, &["children", "to"]));
    let child = |child: Box<RawValue>| {
        let own = text(raw_of(child.get(), &["to"])).or_else(|| common.clone());
        (own.unwrap_or_default(), raw_of(child.get(), &["payload"]))
    };
    all.into_iter().map(child).collect()
}

/// What the snapshot says of the children: which have ended, and how many of those have completed.
fn set(ended: &str, completed: u32) -> Value {
    json!({"hop": 1, "name": CALL, "count": ENDS.len(), "ended": ended, "completed": completed})
}

pub(super) async fn calls(court: &Court) -> Result<(), Fault> {
    let script = Script::new().step("a").call(CALL, SINK, &PAYLOADS).complete();
    let (work, ticket) = court.send("call", script).await?;
    let opener = suspended(court, &work).await?;
    let wait = wait_of(&opener, CALL)?;
    let expected: Vec<_> = PAYLOADS
        .iter()
        .map(|payload| (SINK.to_owned(), Some((*payload).to_owned())))
        .collect();
    let found = asked(&wait);
    expect(
        found == expected,
        format!("children {expected:?}"),
        format!("{found:?}"),
    )?;
    court.acks(ticket).await?;

    let mut ends = vec![Value::Null; ENDS.len()];
    for index in IN_TURN {
        let child = child_of(&work, u32::try_from(index).unwrap_or_default())?;
        let Some((end, place)) = ENDS.get(index).zip(ends.get_mut(index)) else {
            continue;
        };
        let seq = court.end_child(&child, &work, *end).await?;
        *place = end.recorded(index, &child, seq);
    }
    let of = |indices: &[usize]| -> Value { indices.iter().filter_map(|index| ends.get(*index).cloned()).collect() };
    court.record_ends(&work, &set("BA", 1), &of(&[2])).await?;
    court.record_ends(&work, &set("Bw", 2), &of(&[0, 1])).await?;
    let again = court.join(&work, &Value::from(ends)).await?;
    court.ticket(&again, false).await?;
    let head = court.ends(&again, "completed", "").await?;
    goes_on_with(&head)?;

    // The ticket from before it was suspended is of no use any more, and what was done is not done again.
    let late = court.ticket(&work, true).await?;
    court.acks(late).await?;
    let own = court.own(&work).await?;
    for event in ["fanned_out", "step", "completed"] {
        let times = own.iter().filter(|record| record.event() == event).count();
        expect(times == 1, format!("one record `{event}`"), story(&own))?;
    }
    Ok(())
}

/// What the handler saw of its children must be what they came to, in the order in which it asked.
fn goes_on_with(head: &Stored) -> Result<(), Fault> {
    let seen = head.at(&format!("/snapshot/result/calls/{CALL}"));
    let is_so = |(index, end): (usize, &End)| {
        let child = seen.get(index).unwrap_or(&Value::Null);
        let said = match end {
            End::Completed(result) => ("/result", *result),
            End::Rejected(code) => ("/code", *code),
        };
        child.get("index") == Some(&json!(index))
            && child.get("state") == Some(&json!(end.state()))
            && child.pointer(said.0) == Some(&json!(said.1))
    };
    let count = seen.as_array().map_or(0, Vec::len);
    let is_all = count == ENDS.len() && ENDS.iter().enumerate().all(is_so);
    let expected = "the handler gets what each child came to, in the order in which it asked: 0 rejected with NO, 1 completed with \
                    \"second\", 2 with \"third\"";
    expect(is_all, expected, seen.to_string())
}

pub(super) async fn broadcasts(court: &Court) -> Result<(), Fault> {
    let payload = PAYLOADS[2];
    let script = Script::new().step("a").broadcast(CHANNEL, &[SINK], payload);
    let (work, ticket) = court.send("broadcast", script).await?;
    let opener = suspended(court, &work).await?;
    let wait = wait_of(&opener, "receivers")?;
    let copies = asked(&wait);
    expect(
        copies == [(SINK.to_owned(), None)],
        format!("one copy, for {SINK}, without a payload of its own"),
        format!("{copies:?}"),
    )?;
    let does_not_come_back = raw_of(&wait, &["onward"]).is_some();
    expect(does_not_come_back, "`onward` of the wait", wait)?;
    let sent = opener.raw(&["broadcast", "payload"]).unwrap_or_default();
    expect(sent == payload, format!("`broadcast` with the payload {payload}"), sent)?;
    for (pointer, value) in [
        ("/broadcast/channel", json!(CHANNEL)),
        ("/broadcast/named", json!(true)),
        ("/snapshot/channel", json!(CHANNEL)),
    ] {
        let found = opener.at(pointer);
        expect(*found == value, format!("{value} at {pointer}"), found.to_string())?;
    }
    court.acks(ticket).await?;

    // One that nobody has heard of: then nobody gets it.
    let script = Script::new().broadcast(CHANNEL, &[SINK, "conformance-nobody"], payload);
    let (work, _) = court.send("unknown-receiver", script).await?;
    court.ends(&work, "parked", codes::UNKNOWN_RECEIVER).await?;
    let own = court.own(&work).await?;
    let is_sent = own.iter().any(|record| record.event() == "fanned_out");
    expect(!is_sent, "no `fanned_out`", story(&own))
}
