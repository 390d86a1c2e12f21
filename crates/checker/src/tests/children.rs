//! A story of an intent that asks two others holds, and each way of breaking P5 to P7 is found.

mod broadcasts;
mod budgets;

use serde_json::{Value, json};

use super::{breaks, envelope, run, stored, time, tried};
use crate::checks::children::id_of;
use crate::{Effect, Evidence, Journal, Message, check};

fn child(index: usize) -> String {
    id_of(super::INTENT, (1, "calls"), index)
}

fn record(id: &str, event: &str, role: &str, (status, epoch, envelope): (&str, u64, &str)) -> Value {
    let by = match role {
        "worker" => json!({"role": "worker", "instance": "a1", "agent": "alpha", "version": "1.0.0"}),
        role => json!({"role": role, "instance": "c1"}),
    };
    json!({
        "protocol": "1.5.0", "id": id, "intent": super::INTENT, "event": {"type": event}, "by": by, "snapshot": {
            "status": {"state": status}, "agent": "alpha", "version": "1.0.0", "hop": 1, "attempt": 1,
            "epoch": epoch, "path": [{"agent": "alpha", "version": "1.0.0"}], "envelope": envelope,
            "submitted_at": time(0), "updated_at": time(0),
        },
    })
}

/// The sequences of a parent begin at 10, those of its children at 1010 and 2010.
fn end(index: usize) -> Value {
    json!({"index": index, "id": child(index), "state": "completed", "seq": 1_000 * (index + 1) + 30})
}

/// The second of these records calls, the third has the ends, the fourth goes on.
fn records() -> Vec<(i64, Value)> {
    let waits = |seq: Option<u64>| {
        let mut wait = json!({"hop": 1, "name": "calls", "kind": "children"});
        if let Some(seq) = seq {
            wait["seq"] = json!(seq);
        }
        json!([wait])
    };
    let mut submitted = record("r1", "submitted", "client", ("pending", 1, "e1"));
    submitted["envelope"] = envelope("e1", 1, "alpha");
    let mut called = record("r2", "fanned_out", "worker", ("waiting", 2, "e1"));
    called["waits"] = json!([{"name": "calls", "kind": "children", "children": {
        "to": "beta", "children": [{"payload": 1}, {"payload": 2}]}}]);
    called["snapshot"]["waits"] = waits(None);
    let mut done = record("r3", "child_done", "controller", ("waiting", 2, "e1"));
    done["snapshot"]["waits"] = waits(Some(20));
    done["children"] = json!([{"hop": 1, "name": "calls", "ends": [end(0), end(1)]}]);
    let mut resumed = record("r4", "resumed", "controller", ("pending", 3, "e2"));
    resumed["envelope"] = envelope("e2", 1, "alpha");
    resumed["results"] =
        json!([{"name": "calls", "kind": "children", "outcome": "joined", "children": [end(0), end(1)]}]);
    let mut claimed = record("r5", "claimed", "worker", ("accepted", 4, "e2"));
    let mut completed = record("r6", "completed", "worker", ("completed", 4, "e2"));
    for held in [&mut claimed, &mut completed] {
        held["snapshot"]["holder"] = json!("a1");
    }
    completed["snapshot"]["result"] = json!({"key": "k1", "trail": []});
    let records = [submitted, called, done, resumed, claimed, completed];
    (0..).map(|number| number * 10).zip(records).collect()
}

/// The history of a child.
fn of_child(index: usize, change: impl Fn(&mut Vec<Value>)) -> Vec<Message> {
    let envelope_id = format!("c{index}");
    let of = |id: &str, event: &str, role: &str, status: &str| {
        let mut record = record(&format!("{id}{index}"), event, role, (status, 1, &envelope_id));
        record["intent"] = json!(child(index));
        record["snapshot"]["hop"] = json!(2);
        record["snapshot"]["parent"] = json!(super::INTENT);
        let turn = json!({"agent": "alpha", "version": "1.0.0"});
        record["snapshot"]["path"] = json!([turn, turn]);
        record
    };
    let mut submitted = of("s", "submitted", "worker", "pending");
    submitted["envelope"] = envelope(&envelope_id, 2, "alpha");
    let mut started = of("t", "started", "worker", "in_progress");
    let mut completed = of("u", "completed", "worker", "completed");
    for held in [&mut started, &mut completed] {
        held["snapshot"]["holder"] = json!("a1");
    }
    let mut records = vec![submitted, started, completed];
    change(&mut records);
    let records: Vec<(i64, Value)> = (11..).zip(records).collect();
    let mut messages = stored(&records);
    let base = 1_000 * (index as u64 + 1);
    for message in &mut messages {
        message.seq += base;
        message.subject = format!("mesh.ledger.0.{}", child(index));
        for (name, value) in &mut message.headers {
            if name == "Nats-Expected-Last-Subject-Sequence" && value != "0" {
                *value = (value.parse::<u64>().expect("a number") + base).to_string();
            }
        }
    }
    messages
}

fn story(change: impl Fn(&mut Vec<(i64, Value)>), children: [Vec<Message>; 2]) -> Evidence {
    let mut records = records();
    change(&mut records);
    let mut messages = stored(&records);
    messages.extend(children.into_iter().flatten());
    let ran = |index: usize| {
        let mut ran = run(2, 1, 1, &format!("c{index}"), "alpha", "a1", 12);
        if let Effect::Run { intent, .. } = &mut ran {
            *intent = child(index);
        }
        ran
    };
    Evidence {
        messages,
        journal: vec![Journal::Tried(tried()), Journal::Acked { key: "k1".to_owned() }],
        effects: vec![
            run(1, 1, 1, "e1", "alpha", "a1", 5),
            run(1, 1, 4, "e2", "alpha", "a1", 41),
            ran(0),
            ran(1),
        ],
        torn: 0,
        ..Evidence::default()
    }
}

fn as_it_was(_: &mut Vec<Value>) {}

fn altered(change: impl Fn(&mut Vec<(i64, Value)>)) -> Evidence {
    story(change, [of_child(0, as_it_was), of_child(1, as_it_was)])
}

#[test]
fn a_story_of_a_call_holds() {
    let verdict = check(&altered(|_| ()));
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.counts.children, 2);
    assert_eq!(
        id_of("order-42", (1, "research"), 7),
        "f84864de-7edb-8913-b72c-a84a56b8e590-7"
    );
}

#[test]
fn p5_a_child_that_is_missing_or_of_no_call_is_found() {
    breaks("P5", &story(|_| (), [of_child(0, as_it_was), Vec::new()]));
    breaks("P5", &altered(|records| records[1].1["waits"] = json!([])));
}

#[test]
fn p6_an_end_that_is_none_or_recorded_again_or_not_told_is_found() {
    let ends = |records: &mut Vec<(i64, Value)>, ends: Value| {
        records[2].1["children"][0]["ends"] = ends.clone();
        records[3].1["results"][0]["children"] = ends;
    };
    // The join is not met.
    breaks("P6", &altered(|records| ends(records, json!([end(0)]))));
    breaks("P6", &altered(|records| ends(records, json!([end(0), end(1), end(1)]))));
    breaks(
        "P6",
        &altered(|records| records[3].1["results"][0]["children"] = json!([end(0)])),
    );
    let mut other = end(1);
    other["seq"] = json!(2_020);
    breaks("P6", &altered(|records| ends(records, json!([end(0), other]))));
    // It was recorded before it ended.
    let open = of_child(1, |records| drop(records.pop()));
    breaks("P6", &story(|_| (), [of_child(0, as_it_was), open]));
}

#[test]
fn p6_a_result_that_the_parent_cannot_read_is_found() {
    let told = |is_taken: bool| {
        let by_ref = of_child(1, |records| {
            let last = records.last_mut().expect("records");
            last["snapshot"]["result_ref"] = json!({"hash": "0".repeat(64), "bytes": 300_000});
        });
        let call = |records: &mut Vec<(i64, Value)>| {
            if is_taken {
                records[1].1["waits"][0]["children"]["result_refs"] = json!(true);
            }
        };
        story(call, [of_child(0, as_it_was), by_ref])
    };
    assert_eq!(check(&told(true)).violations, []);
    breaks("P6", &told(false));
}

#[test]
fn p7_an_open_child_that_nobody_waits_for_is_found() {
    let open = || of_child(1, |records| drop(records.pop()));
    let first = |records: &mut Vec<(i64, Value)>, detach: bool| {
        let asked = &mut records[1].1["waits"][0]["children"];
        (asked["join"], asked["detach"]) = (json!("any"), json!(detach));
        records[2].1["children"][0]["ends"] = json!([end(0)]);
        records[3].1["results"][0]["children"] = json!([end(0)]);
    };
    let left = |detach| story(|records| first(records, detach), [of_child(0, as_it_was), open()]);
    breaks("P7", &left(false));
    assert!(!check(&left(true)).broken().contains("P7"), "it was detached");
}

/// The second child is cancelled; its sequences begin at this base.
fn cancelled(base: i64) -> Vec<Message> {
    let mut messages = of_child(1, |records| {
        let last = records.last_mut().expect("records");
        last["event"]["type"] = json!("cancelled");
        last["by"] = json!({"role": "controller", "instance": "c1"});
        last["snapshot"]["status"]["state"] = json!("cancelled");
        last["snapshot"]["holder"] = Value::Null;
        last["snapshot"]["epoch"] = json!(2);
    });
    let moved = |seq: u64| u64::try_from(i64::try_from(seq).expect("small") + base).expect("positive");
    for message in &mut messages {
        message.seq = moved(message.seq);
        for (name, value) in &mut message.headers {
            if name == "Nats-Expected-Last-Subject-Sequence" && value != "0" {
                *value = moved(value.parse::<u64>().expect("a number")).to_string();
            }
        }
    }
    messages
}

#[test]
fn p7_a_child_that_is_cancelled_while_its_parent_waits_for_it_is_found() {
    // The first child is enough for the parent, which goes on with the record 40.
    let any = |records: &mut Vec<(i64, Value)>| {
        records[1].1["waits"][0]["children"]["join"] = json!("any");
        records[2].1["children"][0]["ends"] = json!([end(0)]);
        records[3].1["results"][0]["children"] = json!([end(0)]);
    };
    let story = |base| story(any, [of_child(0, as_it_was), cancelled(base)]);
    assert_eq!(check(&story(0)).violations, []);
    let early = || story(-2_000);
    breaks("P7", &early());
    // But it may be that somebody asks for it.
    let mut asked = early();
    asked.journal.push(Journal::Cancel {
        intent: child(1),
        done: true,
    });
    assert_eq!(check(&asked).violations, []);
}

#[test]
fn i1_a_child_that_comes_to_an_end_that_its_payload_does_not_allow_is_found() {
    let with = |expect: Value| {
        let child = of_child(0, |records| {
            records[0]["envelope"]["payload"]["expect"] = expect.clone();
        });
        story(|_| (), [child, of_child(1, as_it_was)])
    };
    assert_eq!(check(&with(json!(["failed:NO", "completed"]))).violations, []);
    breaks("I1", &with(json!(["failed:NO"])));
}

#[test]
fn what_happened_is_counted_and_what_never_did_is_named() {
    let counts = check(&altered(|_| ())).counts;
    assert_eq!(counts.joins.get("collect"), Some(&1));
    let never = counts.never();
    assert!(
        !never.contains(&"children") && !never.contains(&"join collect"),
        "{never:?}"
    );
    for pattern in [
        "children of children",
        "join any",
        "broadcasts",
        "undo",
        "order keys",
        "ways",
    ] {
        assert!(never.contains(&pattern), "{pattern}: {never:?}");
    }
}

#[test]
fn i5_a_hop_is_handed_on_without_a_run_only_after_a_fan_out() {
    let handed_on = |is_fan_out: bool| {
        let onward = |records: &mut Vec<(i64, Value)>| {
            if is_fan_out {
                records[1].1["waits"][0]["onward"] = json!({});
            }
        };
        let mut evidence = altered(onward);
        evidence.effects.remove(1);
        evidence
    };
    assert_eq!(check(&handed_on(true)).violations, []);
    breaks("I5", &handed_on(false));
}
