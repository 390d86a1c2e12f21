//! A story of an intent that fails and is undone holds, and each way of breaking P10 is found.

use serde_json::{Value, json};

use super::{breaks, effect, envelope, run, stored, time, tried};
use crate::checks::children::id_of;
use crate::{Effect, Evidence, Journal, Message, check};

fn undo(number: usize) -> String {
    id_of(super::INTENT, (1, &format!("undo#{number}")), 0)
}

fn record(id: &str, event: &str, role: &str, (status, epoch): (&str, u64)) -> Value {
    let by = match role {
        "worker" => json!({"role": "worker", "instance": "a1", "agent": "alpha", "version": "1.0.0"}),
        role => json!({"role": role, "instance": "c1"}),
    };
    json!({
        "protocol": "1.6.0", "id": id, "intent": super::INTENT, "event": {"type": event}, "by": by, "snapshot": {
            "status": {"state": status}, "agent": "alpha", "version": "1.0.0", "hop": 1, "attempt": 1,
            "epoch": epoch, "path": [{"agent": "alpha", "version": "1.0.0"}], "envelope": "e1",
            "submitted_at": time(0), "updated_at": time(0),
        },
    })
}

/// The sequences of the intent begin at 10; those of its undos at 1010 and 2010.
fn end(number: usize) -> Value {
    json!([{"hop": 1, "name": format!("undo#{number}"), "ends": [
        {"index": 0, "id": undo(number), "state": "completed", "seq": 1_000 * number + 30}]}])
}

/// Two steps, and what undoes them.
fn records() -> Vec<(i64, Value)> {
    let mut submitted = record("r1", "submitted", "client", ("pending", 1));
    submitted["envelope"] = envelope("e1", 1, "alpha");
    let mut started = record("r2", "started", "worker", ("in_progress", 1));
    let mut first = record("r3", "step", "worker", ("in_progress", 1));
    first["step"] = json!({"name": "s", "result": "t1", "undo": {"agent": "alpha", "payload": 1}});
    let mut second = record("r4", "step", "worker", ("in_progress", 1));
    second["step"] = json!({"name": "s2", "result": "t2", "undo": {"agent": "alpha", "payload": 2}});
    for held in [&mut started, &mut first, &mut second] {
        held["snapshot"]["holder"] = json!("a1");
    }
    let mut begun = record("r5", "compensating", "worker", ("compensating", 2));
    let mut planned = record("r6", "progress", "controller", ("compensating", 2));
    planned["undos"] = json!([{"hop": 1, "step": "s2", "agent": "alpha"}, {"hop": 1, "step": "s", "agent": "alpha"}]);
    let mut one = record("r7", "child_done", "controller", ("compensating", 2));
    one["children"] = end(1);
    let mut two = record("r8", "child_done", "controller", ("compensating", 2));
    two["children"] = end(2);
    let mut ended = record("r9", "compensated", "controller", ("failed", 3));
    ended["snapshot"]["status"]["code"] = json!("NO");
    for undone in [&mut begun, &mut planned, &mut one, &mut two, &mut ended] {
        undone["snapshot"]["undo"] = json!({"named": 2, "error": {"code": "NO", "message": "no"}, "fails": true});
    }
    let records = [submitted, started, first, second, begun, planned, one, two, ended];
    (0..).map(|number| number * 10).zip(records).collect()
}

/// The history of an undo, which takes back the step with this payload.
fn of_undo(number: usize, payload: impl Into<Value>, base: i64) -> Vec<Message> {
    let envelope_id = format!("u{number}");
    let of = |id: &str, event: &str, role: &str, status: &str| {
        let mut record = record(&format!("{id}{number}"), event, role, (status, 1));
        record["intent"] = json!(undo(number));
        record["snapshot"]["parent"] = json!(super::INTENT);
        record["snapshot"]["envelope"] = json!(envelope_id);
        record
    };
    let mut submitted = of("s", "submitted", "controller", "pending");
    submitted["envelope"] = envelope(&envelope_id, 1, "alpha");
    submitted["envelope"]["payload"] = payload.into();
    submitted["envelope"]["join"] = json!({"hop": 1, "wait": format!("undo#{number}"), "index": 0});
    let mut started = of("t", "started", "worker", "in_progress");
    let mut completed = of("u", "completed", "worker", "completed");
    for held in [&mut started, &mut completed] {
        held["snapshot"]["holder"] = json!("a1");
    }
    let records: Vec<(i64, Value)> = (61..).zip([submitted, started, completed]).collect();
    let mut messages = stored(&records);
    let moved = |seq: u64| u64::try_from(i64::try_from(seq).expect("small") + base).expect("positive");
    for message in &mut messages {
        message.seq = moved(message.seq);
        message.subject = format!("mesh.ledger.0.{}", undo(number));
        for (name, value) in &mut message.headers {
            if name == "Nats-Expected-Last-Subject-Sequence" && value != "0" {
                *value = moved(value.parse::<u64>().expect("a number")).to_string();
            }
        }
    }
    messages
}

fn story(change: impl Fn(&mut Vec<(i64, Value)>), undos: [Vec<Message>; 2]) -> Evidence {
    let mut records = records();
    change(&mut records);
    let mut messages = stored(&records);
    messages.extend(undos.into_iter().flatten());
    let ran = |number: usize| {
        let mut ran = run(1, 1, 1, &format!("u{number}"), "alpha", "a1", 62);
        if let Effect::Run { intent, .. } = &mut ran {
            *intent = undo(number);
        }
        ran
    };
    let mut second = effect("t2", 1);
    if let Effect::Step { step, .. } = &mut second {
        *step = "s2".to_owned();
    }
    let mut tried = tried();
    tried.expect.push("failed:NO".to_owned());
    Evidence {
        messages,
        journal: vec![Journal::Tried(tried), Journal::Acked { key: "k1".to_owned() }],
        effects: vec![
            run(1, 1, 1, "e1", "alpha", "a1", 5),
            effect("t1", 1),
            second,
            ran(1),
            ran(2),
        ],
        torn: 0,
        ..Evidence::default()
    }
}

fn altered(change: impl Fn(&mut Vec<(i64, Value)>)) -> Evidence {
    story(change, [of_undo(1, 2, 1_000), of_undo(2, 1, 2_000)])
}

#[test]
fn a_story_of_an_undo_holds() {
    let verdict = check(&altered(|_| ()));
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.counts.undone, verdict.counts.children), (2, 0));
}

#[test]
fn p10_what_is_not_undone_or_not_in_reverse_is_found() {
    // It ends, and one is left.
    breaks("P10", &altered(|records| drop(records.remove(7))));
    // The plan has another order, or lacks one.
    breaks(
        "P10",
        &altered(|records| records[5].1["undos"].as_array_mut().expect("undos").reverse()),
    );
    breaks(
        "P10",
        &altered(|records| drop(records[5].1["undos"].as_array_mut().expect("undos").pop())),
    );
    // The second ends before the first.
    breaks(
        "P10",
        &altered(|records| (records[6].1["children"], records[7].1["children"]) = (end(2), end(1))),
    );
}

#[test]
fn p10_what_is_undone_twice_or_by_other_work_or_too_early_is_found() {
    breaks("P10", &altered(|records| records[7].1["children"] = end(1)));
    breaks("P10", &story(|_| (), [of_undo(1, 1, 1_000), of_undo(2, 1, 2_000)]));
    breaks("P10", &story(|_| (), [of_undo(1, 2, -9), of_undo(2, 1, 2_000)]));
    // Nobody asks for it.
    breaks("P10", &altered(|records| records.truncate(5)));
}

#[test]
fn p10_what_goes_back_to_work_after_it_was_undone_is_found() {
    breaks(
        "P10",
        &altered(|records| {
            let undoing = records[5].1["snapshot"]["undo"].clone();
            records.truncate(7);
            let mut parked = record("r8", "parked", "controller", ("parked", 3));
            let mut again = record("r9", "redriven", "operator", ("pending", 4));
            again["envelope"] = envelope("e2", 1, "alpha");
            again["snapshot"]["envelope"] = json!("e2");
            for late in [&mut parked, &mut again] {
                late["snapshot"]["undo"] = undoing.clone();
            }
            records.extend([(70, parked), (80, again)]);
        }),
    );
}

/// The steps of the undos, `b1` and `b2`, record effects that take these back.
fn taken_back(of: [&str; 2]) -> Evidence {
    let asked = |token: &str| json!({"takes_back": token});
    let with_step = |number: usize, token: &str, base: i64| {
        let mut messages = of_undo(number, asked(token), base);
        let (started, ended) = (messages[1].clone(), messages.pop().expect("an end"));
        let mut record: Value = serde_json::from_slice(&started.bytes()).expect("a record");
        record["id"] = json!(format!("b{number}"));
        record["event"]["type"] = json!("step");
        record["step"] = json!({"name": "s", "result": format!("b{number}")});
        let guard = |message: &mut Message, seq: u64| {
            for (name, value) in &mut message.headers {
                if name == "Nats-Expected-Last-Subject-Sequence" {
                    *value = seq.to_string();
                }
            }
        };
        let mut step = started.clone();
        (step.seq, step.body) = (started.seq + 1, Some(record.to_string()));
        guard(&mut step, started.seq);
        for (name, value) in &mut step.headers {
            if name == "Baton-Event" {
                "step".clone_into(value);
            }
        }
        let mut ended = ended;
        guard(&mut ended, step.seq);
        messages.extend([step, ended]);
        messages
    };
    let named = |records: &mut Vec<(i64, Value)>| {
        for (at, token) in [(2, "t1"), (3, "t2")] {
            records[at].1["step"]["undo"]["payload"] = asked(token);
        }
    };
    let mut evidence = story(named, [with_step(1, "t2", 1_000), with_step(2, "t1", 2_000)]);
    for (number, token) in (1..).zip(of) {
        evidence.effects.push(Effect::Step {
            intent: undo(number),
            hop: 1,
            step: "s".to_owned(),
            token: format!("b{number}"),
            epoch: 1,
            instance: "a1".to_owned(),
            takes_back: Some(token.to_owned()),
        });
    }
    evidence
}

#[test]
fn p10_what_the_traces_do_not_say_or_say_twice_is_found() {
    let verdict = check(&taken_back(["t2", "t1"]));
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.counts.compensated, verdict.counts.taken_back), (1, 2));
    breaks("P10", &taken_back(["t2", "t2"]));
    breaks("P10", &taken_back(["t2", "t9"]));
    let mut half = taken_back(["t2", "t1"]);
    half.effects.pop();
    breaks("P10", &half);
}

#[test]
fn p1_what_waits_when_it_begins_to_be_undone_waits_no_more() {
    let waits = |is_left: bool| {
        altered(|records| {
            let mut waiting = record("r4b", "waiting", "worker", ("waiting", 2));
            waiting["waits"] = json!([{"name": "go", "kind": "signal"}]);
            waiting["snapshot"]["waits"] = json!([{"hop": 1, "name": "go", "kind": "signal"}]);
            for (_, later) in &mut records[4..] {
                let epoch = later["snapshot"]["epoch"].as_u64().expect("an epoch");
                later["snapshot"]["epoch"] = json!(epoch + 1);
                if is_left {
                    later["snapshot"]["waits"] = json!([{"hop": 1, "name": "go", "kind": "signal", "seq": 50}]);
                }
            }
            records.insert(4, (35, waiting));
        })
    };
    assert_eq!(check(&waits(false)).violations, []);
    breaks("P1", &waits(true));
}
