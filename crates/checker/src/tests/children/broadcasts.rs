//! A story of a message for two receivers holds, and each way of breaking P9 is found.

use serde_json::{Value, json};

use super::super::{INTENT, breaks, run, stored, time, tried};
use crate::checks::children::id_of;
use crate::{Effect, Evidence, Journal, Message, check};

fn copy(index: usize) -> String {
    id_of(INTENT, (0, "receivers"), index)
}

fn end(index: usize) -> Value {
    json!({"index": index, "id": copy(index), "state": "completed", "seq": 1_000 * (index + 1) + 30})
}

fn root(id: &str, event: &str, status: Value) -> Value {
    json!({
        "protocol": "1.6.0", "id": id, "intent": INTENT, "event": {"type": event},
        "by": {"role": "controller", "instance": "c1"}, "snapshot": {
            "status": status, "epoch": 1, "channel": "news", "submitted_at": time(0), "updated_at": time(0),
        },
    })
}

fn records() -> Vec<(i64, Value)> {
    let waiting = json!({"state": "waiting", "reason": "children"});
    let wait = json!([{"hop": 0, "name": "receivers", "kind": "children"}]);
    let mut submitted = root("r1", "submitted", waiting.clone());
    submitted["waits"] = json!([{"name": "receivers", "kind": "children", "children": {
        "children": [{"to": "alpha"}, {"to": "beta"}]}}]);
    submitted["broadcast"] = json!({"channel": "news", "payload": {"key": "k1"}});
    let mut done = root("r2", "child_done", waiting);
    done["children"] = json!([{"hop": 0, "name": "receivers", "ends": [end(0), end(1)]}]);
    for open in [&mut submitted, &mut done] {
        open["snapshot"]["waits"] = wait.clone();
    }
    done["snapshot"]["waits"][0]["seq"] = json!(10);
    let mut completed = root("r3", "completed", json!({"state": "completed"}));
    completed["snapshot"]["result"] = json!({"channel": "news", "receivers": 2, "completed": 2, "not_completed": []});
    (0..)
        .map(|number| number * 10)
        .zip([submitted, done, completed])
        .collect()
}

/// The history of a copy, which goes to this agent.
fn of_copy(index: usize, to: &str) -> Vec<Message> {
    let id = format!("c{index}");
    let of = |record: &str, event: &str, status: &str| {
        json!({
            "protocol": "1.6.0", "id": format!("{record}{index}"), "intent": copy(index), "event": {"type": event},
            "by": {"role": "worker", "instance": "a1", "agent": to, "version": "1.0.0"}, "snapshot": {
                "status": {"state": status}, "agent": to, "version": "1.0.0", "hop": 1, "attempt": 1, "epoch": 1,
                "path": [{"agent": to, "version": "1.0.0"}], "envelope": id, "parent": INTENT,
                "submitted_at": time(0), "updated_at": time(0),
            },
        })
    };
    let mut submitted = of("s", "submitted", "pending");
    submitted["envelope"] = json!({
        "protocol": "1.6.0", "id": id, "intent": copy(index), "to": to, "to_version": "1.0.0", "hop": 1,
        "join": {"hop": 0, "wait": "receivers", "index": index}, "payload": {"key": "k1"},
    });
    let mut started = of("t", "started", "in_progress");
    let mut completed = of("u", "completed", "completed");
    for held in [&mut started, &mut completed] {
        held["snapshot"]["holder"] = json!("a1");
    }
    let records: Vec<(i64, Value)> = (1..).zip([submitted, started, completed]).collect();
    let mut messages = stored(&records);
    let base = 1_000 * (index as u64 + 1);
    for message in &mut messages {
        message.seq += base;
        message.subject = format!("mesh.ledger.0.{}", copy(index));
        for (name, value) in &mut message.headers {
            if name == "Nats-Expected-Last-Subject-Sequence" && value != "0" {
                *value = (value.parse::<u64>().expect("a number") + base).to_string();
            }
        }
    }
    messages
}

fn story(change: impl Fn(&mut Vec<(i64, Value)>), agents: [&str; 2]) -> Evidence {
    let mut records = records();
    change(&mut records);
    let mut messages = stored(&records);
    for (index, agent) in agents.into_iter().enumerate() {
        messages.extend(of_copy(index, agent));
    }
    let ran = |index: usize, agent: &str| {
        let mut ran = run(1, 1, 1, &format!("c{index}"), agent, "a1", 2);
        if let Effect::Run { intent, .. } = &mut ran {
            *intent = copy(index);
        }
        ran
    };
    Evidence {
        messages,
        journal: vec![Journal::Tried(tried()), Journal::Acked { key: "k1".to_owned() }],
        effects: vec![ran(0, agents[0]), ran(1, agents[1])],
        torn: 0,
        ..Evidence::default()
    }
}

#[test]
fn a_story_of_a_broadcast_holds() {
    let verdict = check(&story(|_| (), ["alpha", "beta"]));
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.counts.broadcasts, verdict.counts.children), (1, 2));
}

#[test]
fn p9_a_copy_that_is_anothers_or_twice_or_not_told_is_found() {
    breaks("P9", &story(|_| (), ["alpha", "gamma"]));
    let twice = |records: &mut Vec<(i64, Value)>| {
        records[0].1["waits"][0]["children"]["children"] = json!([{"to": "alpha"}, {"to": "alpha"}]);
    };
    breaks("P9", &story(twice, ["alpha", "alpha"]));
    let other = |records: &mut Vec<(i64, Value)>| records[0].1["broadcast"]["payload"] = json!({"key": "k1", "no": 1});
    breaks("P9", &story(other, ["alpha", "beta"]));
    let told = |records: &mut Vec<(i64, Value)>| records[2].1["snapshot"]["result"]["completed"] = json!(1);
    breaks("P9", &story(told, ["alpha", "beta"]));
}
