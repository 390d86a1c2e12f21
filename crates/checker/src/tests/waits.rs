//! A story of an intent that waits for a signal holds, and each way of breaking P1 to P3 is found.

use serde_json::{Value, json};

use super::{NOW, breaks, envelope, run, stored, time, tried};
use crate::{Evidence, Journal, Message, check};

/// The second of these records waits, the third tells, the fourth goes on.
fn records() -> Vec<(i64, Value)> {
    let alpha = json!({"role": "worker", "instance": "a1", "agent": "alpha", "version": "1.0.0"});
    let controller = json!({"role": "controller", "instance": "c1"});
    let wait = |seq: Option<u64>| {
        let mut wait = json!({"hop": 1, "name": "paid", "kind": "signal", "after_ms": 1_000});
        if let Some(seq) = seq {
            wait["seq"] = json!(seq);
        }
        json!([wait])
    };
    let record = |id: &str, event: &str, by: &Value, (status, epoch, envelope): (&str, u64, &str)| {
        json!({
            "protocol": "1.4.0", "id": id, "intent": super::INTENT, "event": {"type": event}, "by": by, "snapshot": {
                "status": {"state": status}, "agent": "alpha", "version": "1.0.0", "hop": 1, "attempt": 1,
                "epoch": epoch, "path": [{"agent": "alpha", "version": "1.0.0"}], "envelope": envelope,
                "submitted_at": time(0), "updated_at": time(0),
            },
        })
    };
    let client = json!({"role": "client", "instance": "load"});
    let mut submitted = record("r1", "submitted", &client, ("pending", 1, "e1"));
    submitted["envelope"] = envelope("e1", 1, "alpha");
    let mut waiting = record("r2", "waiting", &alpha, ("waiting", 2, "e1"));
    waiting["snapshot"]["waits"] = wait(None);
    let mut signalled = record("r3", "signalled", &controller, ("waiting", 2, "e1"));
    signalled["signal"] = json!({"name": "paid", "id": "s1"});
    signalled["snapshot"]["waits"] = wait(Some(20));
    signalled["snapshot"]["signals"] = json!([{"name": "paid", "id": "s1"}]);
    let mut resumed = record("r4", "resumed", &controller, ("pending", 3, "e2"));
    resumed["envelope"] = envelope("e2", 1, "alpha");
    resumed["results"] = json!([{"name": "paid", "kind": "signal", "outcome": "signalled", "seq": 30}]);
    let mut claimed = record("r5", "claimed", &alpha, ("accepted", 4, "e2"));
    let mut completed = record("r6", "completed", &alpha, ("completed", 4, "e2"));
    for held in [&mut claimed, &mut completed] {
        held["snapshot"]["holder"] = json!("a1");
    }
    completed["snapshot"]["result"] = json!({"key": "k1", "trail": []});
    let records = [submitted, waiting, signalled, resumed, claimed, completed];
    (0..).map(|number| number * 10).zip(records).collect()
}

fn story(records: &[(i64, Value)]) -> Evidence {
    let signal = Journal::Signal {
        intent: super::INTENT.to_owned(),
        name: "paid".to_owned(),
        id: "s1".to_owned(),
    };
    Evidence {
        messages: stored(records),
        journal: vec![Journal::Tried(tried()), Journal::Acked { key: "k1".to_owned() }, signal],
        effects: vec![
            run(1, 1, 1, "e1", "alpha", "a1", 5),
            run(1, 1, 4, "e2", "alpha", "a1", 41),
        ],
        ..Evidence::default()
    }
}

fn altered(change: impl Fn(&mut Vec<(i64, Value)>)) -> Evidence {
    let mut records = records();
    change(&mut records);
    story(&records)
}

/// The dead letter of the signal.
fn letter() -> Message {
    let subject = format!("mesh.signal.{}.paid", super::INTENT);
    let record = json!({
        "id": "l1", "intent": "letter", "event": {"type": "rejected"}, "by": {"role": "controller", "instance": "c1"},
        "raw": {"subject": subject, "headers": [["Nats-Msg-Id", "s1"]], "body_base64": ""},
        "snapshot": {"status": {"state": "rejected", "code": "TOO_LATE"}},
    });
    let mut message = stored(&[(100, record)]).remove(0);
    (message.seq, message.subject) = (1_000, "mesh.ledger.0.letter".to_owned());
    message
}

/// It ends by its time instead, so long after it was opened.
fn timed_out(records: &mut Vec<(i64, Value)>, after: i64) {
    records.remove(2);
    records[2].1["results"] = json!([{"name": "paid", "kind": "signal", "outcome": "timed_out"}]);
    for (place, record) in records.iter_mut().enumerate().skip(2) {
        record.0 = 10 + after + i64::try_from(place).expect("few") - 2;
    }
}

fn without_the_signal(mut evidence: Evidence) -> Evidence {
    evidence.journal.truncate(2);
    evidence
}

#[test]
fn a_story_of_a_wait_holds() {
    let verdict = check(&story(&records()));
    assert_eq!(verdict.violations, []);
    assert_eq!(
        (verdict.counts.signals, verdict.counts.buried, verdict.counts.timers),
        (1, 0, 0)
    );
    let verdict = check(&without_the_signal(altered(|records| timed_out(records, 1_000))));
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.counts.timers, verdict.counts.latest_timer_ms), (1, 0));
}

#[test]
fn p1_a_wait_that_ends_twice_or_not_or_out_of_nothing_is_found() {
    let twice = |records: &mut Vec<(i64, Value)>| {
        let mut end = records[3].1["results"][0].clone();
        end["seq"] = Value::Null;
        end["outcome"] = json!("abandoned");
        records[3].1["results"].as_array_mut().expect("a list").push(end);
    };
    breaks("P1", &altered(twice));
    breaks("P1", &altered(|records| records[3].1["results"] = json!([])));
    breaks("P1", &altered(|records| records[1].1["snapshot"]["waits"] = json!([])));
    breaks("P1", &altered(|records| records[2].1["snapshot"]["waits"] = json!([])));
}

#[test]
fn p2_a_signal_that_is_told_twice_taken_twice_or_dropped_is_found() {
    // Told again under the same id.
    let again = |records: &mut Vec<(i64, Value)>| {
        let mut copy = records[2].1.clone();
        copy["id"] = json!("r3b");
        let unread = json!([{"name": "paid", "id": "s1"}, {"name": "paid", "id": "s1"}]);
        copy["snapshot"]["signals"] = unread;
        records.insert(3, (25, copy));
    };
    breaks("P2", &altered(again));
    // Another signal than the one that is named, or one of another name.
    breaks("P2", &altered(|records| records[3].1["results"][0]["seq"] = json!(10)));
    breaks(
        "P2",
        &altered(|records| records[2].1["signal"]["name"] = json!("packed")),
    );
    // It vanishes from the unread ones.
    breaks(
        "P2",
        &altered(|records| records[2].1["snapshot"]["signals"] = json!([])),
    );
    // Taken, and a dead letter.
    let mut both = story(&records());
    both.messages.push(letter());
    breaks("P2", &both);
    // Acknowledged, and nowhere.
    breaks("P2", &altered(|records| timed_out(records, 1_000)));
    // Unread at the end, and no dead letter; with one it holds.
    let unread = altered(|records| {
        records.truncate(3);
        let mut end = records[2].1.clone();
        (end["id"], end["event"]) = (json!("r9"), json!({"type": "cancelled"}));
        (end["signal"], end["snapshot"]["status"]) = (Value::Null, json!({"state": "cancelled"}));
        records.push((30, end));
    });
    breaks("P2", &unread);
    let mut told = unread;
    told.messages.push(letter());
    assert!(!check(&told).broken().contains("P2"), "{:?}", check(&told).violations);
}

#[test]
fn p3_a_timer_before_its_time_or_long_after_it_is_found() {
    breaks("P3", &without_the_signal(altered(|records| timed_out(records, 900))));
    let late = altered(|records| timed_out(records, 60_000));
    // Nobody lived: late is right.
    assert!(!check(&late).broken().contains("P3"));
    let mut late = late;
    for (number, ms) in [(1, 20_000), (2, 50_000)] {
        let mut message = letter();
        let other = |text: &str| {
            text.replace("letter", &format!("letter{number}"))
                .replace("l1", &format!("l{number}"))
        };
        message.body = message.body.as_deref().map(other);
        message.subject = other(&message.subject);
        message.time_ms = NOW + ms;
        late.messages.push(message);
    }
    breaks("P3", &late);
    // Each of them lived for a moment: then a minute is allowed.
    for (number, message) in late.messages.iter_mut().rev().take(2).enumerate() {
        let by_another = |text: &str| text.replace("\"c1\"", &format!("\"c1{number}\""));
        message.body = message.body.as_deref().map(by_another);
    }
    assert!(!check(&late).broken().contains("P3"), "{:?}", check(&late).violations);
}
