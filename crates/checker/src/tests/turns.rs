//! A story of two intents with one key holds, and each way of breaking P12 is found.

use serde_json::{Value, json};

use super::{NOW, breaks, time};
use crate::{Evidence, Message, check};

/// Records in the order of the ledger, from sequence 1 on: the intent, the event, the status and the turn.
type Line = (&'static str, &'static str, &'static str, Value);

/// Two raw intents, which two routers wrote the wrong way round.
fn lines() -> Vec<Line> {
    let unplaced = |intake: u64| json!({"hop": 1, "key": "k", "intake": intake});
    let placed = json!({"hop": 1, "key": "k"});
    let waiting = |place: u64| json!({"hop": 1, "key": "k", "place": place});
    let given = |place: u64| json!({"hop": 1, "key": "k", "place": place, "given": 1});
    vec![
        ("b", "submitted", "waiting", unplaced(8)),
        ("a", "submitted", "waiting", unplaced(7)),
        ("a", "placed", "waiting", placed.clone()),
        ("b", "placed", "waiting", placed),
        ("a", "resumed", "pending", given(3)),
        ("b", "signalled", "waiting", waiting(4)),
        ("a", "started", "in_progress", given(3)),
        ("a", "completed", "completed", given(3)),
        ("b", "resumed", "pending", given(4)),
        ("b", "started", "in_progress", given(4)),
        ("b", "completed", "completed", given(4)),
    ]
}

fn told(lines: &[Line]) -> Evidence {
    let mut messages: Vec<Message> = Vec::new();
    let mut heads: std::collections::BTreeMap<&str, (u64, u64, u64)> = std::collections::BTreeMap::new();
    for (seq, (intent, event, status, order)) in (1..).zip(lines) {
        let (last, epoch, envelopes) = heads.get(intent).copied().unwrap_or((0, 0, 0));
        let works = matches!(*event, "submitted" | "resumed");
        let grown = u64::from(works);
        let (epoch, envelopes) = (epoch + grown, envelopes + grown);
        heads.insert(intent, (seq, epoch, envelopes));
        let envelope = format!("{intent}{envelopes}");
        let by = match *event {
            "started" | "completed" => json!({"role": "worker", "instance": "w", "agent": "shop", "version": "1.0.0"}),
            _ => json!({"role": "controller", "instance": "c"}),
        };
        let at = i64::try_from(seq).expect("few") * 10;
        let mut record = json!({
            "id": format!("r{seq}"), "intent": intent, "event": {"type": event}, "by": by, "at": time(at), "snapshot": {
                "status": {"state": status}, "agent": "shop", "version": "1.0.0", "hop": 1, "attempt": 1, "epoch": epoch,
                "path": [{"agent": "shop", "version": "1.0.0"}], "envelope": envelope, "order": order,
                "submitted_at": time(0), "updated_at": time(at),
            },
        });
        if works {
            record["envelope"] = json!({
                "protocol": "1.5.0", "id": envelope, "intent": intent, "to": "shop", "to_version": "1.0.0", "hop": 1,
                "payload": {},
            });
        }
        match *event {
            "started" | "completed" => record["snapshot"]["holder"] = json!("w"),
            "signalled" => {
                record["signal"] = json!({"name": "s", "id": "s1"});
                record["snapshot"]["signals"] = json!([{"name": "s", "id": "s1"}]);
            }
            _ => {}
        }
        messages.push(Message {
            stream: "MESH_LEDGER".to_owned(),
            seq,
            subject: format!("mesh.ledger.0.{intent}"),
            time_ms: NOW + at,
            headers: vec![
                ("Nats-Expected-Last-Subject-Sequence".to_owned(), last.to_string()),
                ("Baton-Event".to_owned(), (*event).to_owned()),
                ("Baton-Status".to_owned(), (*status).to_owned()),
            ],
            body: Some(record.to_string()),
            body_base64: None,
        });
    }
    Evidence {
        messages,
        ..Evidence::default()
    }
}

fn p12(lines: &[Line]) -> bool {
    let evidence = told(lines);
    let is_found = check(&evidence).broken().contains("P12");
    if is_found {
        breaks("P12", &evidence);
    }
    is_found
}

#[test]
fn a_story_of_one_after_the_other_holds() {
    let verdict = check(&told(&lines()));
    let others: Vec<_> = verdict
        .violations
        .iter()
        // The story is of records alone: nobody submitted it (I5), and nobody sent its signal (P2).
        .filter(|found| !["I5", "P2"].contains(&found.invariant))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(verdict.counts.turns, 2);
}

#[test]
fn p12_two_at_a_time_are_found_where_one_is_allowed() {
    let mut early = lines();
    // The second gets its turn before the first has ended.
    early.swap(7, 8);
    assert!(p12(&early));
    for line in early.iter_mut().filter(|line| line.3["given"] == json!(1)) {
        line.3["given"] = json!(2);
    }
    assert!(!p12(&early), "two are allowed");
}

#[test]
fn p12_an_order_that_is_not_that_of_the_intake_is_found() {
    let mut wrong = lines();
    wrong[0].3["intake"] = json!(6);
    assert!(p12(&wrong));
}

#[test]
fn p12_work_before_its_turn_and_a_turn_that_changes_are_found() {
    let mut early = lines();
    for line in early.iter_mut().filter(|line| line.0 == "b") {
        let turn = line.3.as_object_mut().expect("an object");
        turn.remove("given");
    }
    assert!(p12(&early), "nobody gave it a turn");
    let mut moved = lines();
    moved[9].3["place"] = json!(2);
    assert!(p12(&moved), "its place has changed");
    let mut taken = lines();
    taken[9].3.as_object_mut().expect("an object").remove("given");
    assert!(p12(&taken), "its turn was taken back");
}
