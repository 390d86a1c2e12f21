//! The checker itself must be able to fail: a good story holds, and each way of breaking an invariant is found and named.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{Effect, Evidence, Journal, Message, Tried, check};

mod archived;
mod children;
mod contexts;
mod control;
mod people;
mod signed;
mod turns;
mod undo;
mod waits;

const INTENT: &str = "work-1";
/// 2026-11-21T05:00:00Z.
const NOW: i64 = 1_795_237_200_000;
const CONSTRAINTS: &str = r#"{"do_not":["email"],"max":2}"#;

fn time(ms: i64) -> String {
    let nanos = i128::from(NOW + ms) * 1_000_000;
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
    at.format(&time::format_description::well_known::Rfc3339).unwrap()
}

fn envelope(id: &str, hop: u64, to: &str) -> Value {
    let hash = crate::checks::carried::hash(CONSTRAINTS).unwrap();
    json!({
        "protocol": "1.1.0", "id": id, "intent": INTENT, "to": to, "to_version": "1.0.0", "hop": hop,
        "constraints": {"do_not": ["email"], "max": 2}, "constraints_hash": hash, "acme-ticket": 7,
        "payload": {"key": "k1"},
    })
}

/// The records of a relay of two hops: a step at the first, a retry at the second.
fn records() -> Vec<(i64, Value)> {
    let path = json!([{"agent": "alpha", "version": "1.0.0"}, {"agent": "beta", "version": "1.0.0"}]);
    let first = json!([{"agent": "alpha", "version": "1.0.0"}]);
    let alpha = json!({"role": "worker", "instance": "a1", "agent": "alpha", "version": "1.0.0"});
    let beta = |instance| json!({"role": "worker", "instance": instance, "agent": "beta", "version": "1.0.0"});
    let result = json!({"key": "k1", "trail": [{"hop": 1, "steps": {"s": "t1"}}]});
    let at = |status: &str, agent: &str, hop: u64, attempt: u64, epoch: u64, path: &Value, envelope: &str| {
        json!({
            "status": {"state": status}, "agent": agent, "version": "1.0.0", "hop": hop, "attempt": attempt,
            "epoch": epoch, "path": path, "envelope": envelope, "submitted_at": time(0), "updated_at": time(0),
        })
    };
    let with = |mut value: Value, name: &str, inner: Value| {
        value[name] = inner;
        value
    };
    let record = |id: &str, event: &str, by: &Value, snapshot: Value| json!({"protocol": "1.1.0", "id": id, "intent": INTENT, "event": {"type": event}, "by": by, "snapshot": snapshot});
    let client = json!({"role": "client", "instance": "load"});
    let running = |status, holder: &str| with(at(status, "alpha", 1, 1, 1, &first, "e1"), "holder", json!(holder));
    let retried = with(at("pending", "beta", 2, 2, 3, &path, "e2"), "wake_at", json!(time(240)));
    let claimed = with(at("accepted", "beta", 2, 2, 4, &path, "e2"), "holder", json!("b2"));
    let done = with(at("completed", "beta", 2, 2, 4, &path, "e2"), "holder", json!("b2"));
    let submitted = record(
        "r1",
        "submitted",
        &client,
        at("pending", "alpha", 1, 1, 1, &first, "e1"),
    );
    let step = record("r3", "step", &alpha, running("in_progress", "a1"));
    let handed_off = record("r4", "handed_off", &alpha, at("pending", "beta", 2, 1, 2, &path, "e2"));
    vec![
        (0, with(submitted, "envelope", envelope("e1", 1, "alpha"))),
        (10, record("r2", "started", &alpha, running("in_progress", "a1"))),
        (20, with(step, "step", json!({"name": "s", "result": "t1"}))),
        (30, with(handed_off, "envelope", envelope("e2", 2, "beta"))),
        (40, record("r5", "retry_scheduled", &beta("b1"), retried)),
        (250, record("r6", "claimed", &beta("b2"), claimed)),
        (
            260,
            record("r7", "completed", &beta("b2"), with(done, "result", result)),
        ),
    ]
}

fn run(hop: u64, attempt: u64, epoch: u64, envelope: &str, agent: &str, instance: &str, ms: i64) -> Effect {
    Effect::Run {
        intent: INTENT.to_owned(),
        key: "k1".to_owned(),
        hop,
        attempt,
        epoch,
        envelope: envelope.to_owned(),
        agent: agent.to_owned(),
        version: "1.0.0".to_owned(),
        instance: instance.to_owned(),
        at_ms: NOW + ms,
    }
}

fn effect(token: &str, epoch: u64) -> Effect {
    Effect::Step {
        intent: INTENT.to_owned(),
        hop: 1,
        step: "s".to_owned(),
        token: token.to_owned(),
        epoch,
        instance: "a1".to_owned(),
        takes_back: None,
    }
}

/// Writes records as a server stores them, each guarded by the one before.
fn stored(records: &[(i64, Value)]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for (ms, record) in records {
        let mut record = record.clone();
        if record.get("at").is_none() {
            record["at"] = json!(time(*ms));
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let last = messages.last().map_or(0, |last| last.seq);
        messages.push(Message {
            stream: "MESH_LEDGER".to_owned(),
            seq: last + 10,
            subject: format!("mesh.ledger.0.{INTENT}"),
            time_ms: NOW + ms,
            headers: vec![
                ("Nats-Expected-Last-Subject-Sequence".to_owned(), last.to_string()),
                ("Baton-Event".to_owned(), text(&record["event"]["type"])),
                ("Baton-Status".to_owned(), text(&record["snapshot"]["status"]["state"])),
            ],
            body: Some(record.to_string()),
            body_base64: None,
        });
    }
    messages
}

fn tried() -> Tried {
    Tried {
        key: "k1".to_owned(),
        via: "record".to_owned(),
        intent: Some(INTENT.to_owned()),
        expect: vec!["completed".to_owned()],
        constraints: Some(CONSTRAINTS.to_owned()),
        unknown: vec![("acme-ticket".to_owned(), "7".to_owned())],
        priority: 5,
        ..Tried::default()
    }
}

fn story_of(records: &[(i64, Value)]) -> Evidence {
    Evidence {
        messages: stored(records),
        journal: vec![Journal::Tried(tried()), Journal::Acked { key: "k1".to_owned() }],
        effects: vec![
            run(1, 1, 1, "e1", "alpha", "a1", 5),
            effect("t1", 1),
            run(2, 1, 2, "e2", "beta", "b1", 35),
            run(2, 2, 4, "e2", "beta", "b2", 251),
        ],
        ..Evidence::default()
    }
}

fn good() -> Evidence {
    story_of(&records())
}

/// The story with one record altered before it is stored.
fn altered(index: usize, change: impl Fn(&mut Value)) -> Evidence {
    let mut records = records();
    change(&mut records[index].1);
    story_of(&records)
}

/// The story with records added or removed before it is stored.
fn rewritten(change: impl Fn(&mut Vec<(i64, Value)>)) -> Evidence {
    let mut records = records();
    change(&mut records);
    story_of(&records)
}

#[track_caller]
fn breaks(invariant: &'static str, evidence: &Evidence) {
    let verdict = check(evidence);
    assert!(
        verdict.broken().contains(invariant),
        "not found: {:?}",
        verdict.violations
    );
    if verdict.violations.iter().any(|violation| violation.intent.is_some()) {
        assert!(verdict.told.is_some());
    }
}

#[test]
fn progress_is_when_workers_ended_hops() {
    let (evidence, times) = (good(), crate::progress(&good()));
    assert_eq!(times.len(), check(&evidence).counts.commits);
    assert!(times.len() > 1 && times.is_sorted(), "{times:?}");
}

#[test]
fn a_good_story_holds() {
    let verdict = check(&good());
    assert_eq!(verdict.violations, []);
    let counts = verdict.counts;
    assert_eq!((counts.intents, counts.records, counts.commits), (1, 7, 2));
    assert_eq!(
        (counts.runs, counts.reruns, counts.effects, counts.delays),
        (3, 1, 1, 1)
    );
}

#[test]
fn i1_lost_work_is_found() {
    let mut lost = good();
    lost.messages.clear();
    lost.effects.clear();
    breaks("I1", &lost);
    breaks("I1", &rewritten(|records| records.truncate(4)));
    breaks("I1", &rewritten(|records| records.truncate(5)));
    let mut other_end = good();
    let never = Tried {
        expect: vec!["rejected:NO".to_owned()],
        ..tried()
    };
    other_end.journal[0] = Journal::Tried(never);
    breaks("I1", &other_end);
    let mut twice = good();
    for message in stored(&records()) {
        let other = |text: &str| text.replace(INTENT, "work-2");
        twice.messages.push(Message {
            seq: message.seq + 1_000,
            subject: other(&message.subject),
            body: message.body.as_deref().map(other),
            ..message
        });
    }
    breaks("I1", &twice);
}

/// Raw messages with the same id that cannot become an intent: each is rejected under a free id.
fn rejected(ids: &[&str], chosen: Option<&str>) -> Evidence {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(r#"{"key":"k1"}"#);
    let mut evidence = Evidence::default();
    for (number, id) in ids.iter().enumerate() {
        let record = json!({
            "id": format!("r{number}"), "intent": id, "event": {"type": "rejected"}, "raw": {"body_base64": body},
            "by": {"role": "controller", "instance": "c"}, "snapshot": {"status": {"state": "rejected", "code": "BAD"}},
        });
        let mut message = stored(&[(0, record)]).remove(0);
        message.seq += number as u64;
        message.subject = format!("mesh.ledger.0.{id}");
        evidence.messages.push(message);
    }
    let work = Tried {
        key: "k1".to_owned(),
        intent: chosen.map(str::to_owned),
        expect: vec!["rejected:BAD".to_owned()],
        ..Tried::default()
    };
    evidence.journal = vec![Journal::Tried(work), Journal::Acked { key: "k1".to_owned() }];
    evidence
}

#[test]
fn i1_a_raw_message_is_rejected_as_often_as_it_was_published() {
    assert_eq!(check(&rejected(&["k1"], Some("k1"))).violations, []);
    assert_eq!(check(&rejected(&["k1", "derived"], Some("k1"))).violations, []);
    breaks("I1", &rejected(&["one", "two"], None));
    breaks("I1", &rejected(&[], Some("k1")));
}

#[test]
fn i2_a_hop_that_commits_twice_is_found() {
    let again = rewritten(|records| {
        let mut again = records[3].clone();
        again.1["id"] = json!("r4b");
        records.insert(4, again);
    });
    // The second handoff follows the state of the first, so it is a commit of hop 2 that goes nowhere. The same hop
    // again is seen when the state is put back.
    assert!(!check(&again).holds());
    let back = rewritten(|records| {
        let mut back = records[1].clone();
        back.1["id"] = json!("r4b");
        let mut again = records[3].clone();
        again.1["id"] = json!("r4c");
        records.insert(4, back);
        records.insert(5, again);
    });
    breaks("I2", &back);
    let twice = altered(1, |record| record["id"] = json!("r1"));
    breaks("I2", &twice);
}

#[test]
fn i3_a_record_after_the_end_is_found() {
    let late = rewritten(|records| {
        let mut late = records[5].clone();
        late.0 = 300;
        late.1["id"] = json!("r8");
        records.push(late);
    });
    breaks("I3", &late);
}

#[test]
fn i4_an_illegal_history_is_found() {
    // A step without a holder.
    breaks("I4", &rewritten(|records| drop(records.remove(1))));
    breaks("I4", &altered(5, |record| record["snapshot"]["epoch"] = json!(3)));
    breaks("I4", &altered(5, |record| record["snapshot"]["holder"] = json!("b1")));
    breaks("I4", &altered(5, |record| record["snapshot"]["attempt"] = json!(4)));
    breaks("I4", &altered(4, |record| record["snapshot"]["attempt"] = json!(1)));
    breaks(
        "I4",
        &altered(6, |record| record["snapshot"]["status"]["state"] = json!("rejected")),
    );
    breaks("I4", &altered(2, |record| record["snapshot"]["envelope"] = json!("e9")));
    breaks("I4", &altered(4, |record| record["snapshot"]["wake_at"] = Value::Null));
    // A write guarded by an older head.
    let mut unguarded = good();
    unguarded.messages[3].headers[0].1 = "10".to_owned();
    breaks("I4", &unguarded);
    let mut unreadable = good();
    unreadable.messages[2].body = Some("{".to_owned());
    breaks("I4", &unreadable);
}

#[test]
fn i5_what_was_delivered_without_a_commit_is_found() {
    let mut never = good();
    never.effects.push(run(3, 1, 5, "e3", "beta", "b1", 300));
    breaks("I5", &never);
    let mut wrong_hop = good();
    wrong_hop.effects[2] = run(1, 1, 2, "e2", "beta", "b1", 35);
    breaks("I5", &wrong_hop);
    let mut nobody_ran = good();
    nobody_ran.effects.truncate(2);
    breaks("I5", &nobody_ran);
    let mut unknown = good();
    unknown.journal.clear();
    breaks("I5", &unknown);
    let mut forged = good();
    let mut ticket = forged.messages[3].clone();
    (ticket.stream, ticket.subject) = ("MESH_WORK_beta".to_owned(), "mesh.work.beta.1_0_0.p5".to_owned());
    ticket.headers = vec![
        ("Baton-Intent".to_owned(), INTENT.to_owned()),
        ("Baton-Ledger-Sequence".to_owned(), ticket.seq.to_string()),
    ];
    forged.messages.push(ticket.clone());
    assert!(check(&forged).holds(), "the very bytes of the record");
    ticket.body = ticket.body.map(|body| body.replace("k1", "k2"));
    forged.messages.push(ticket);
    breaks("I5", &forged);
}

#[test]
fn i6_an_effect_that_happens_again_is_found() {
    let mut again = good();
    again.effects.push(effect("t2", 2));
    breaks("I6", &again);
    let mut same_epoch = good();
    same_epoch.effects.insert(1, effect("t0", 1));
    breaks("I6", &same_epoch);
    let mut no_effect = good();
    no_effect.effects.remove(1);
    breaks("I6", &no_effect);
    breaks(
        "I6",
        &altered(6, |record| {
            record["snapshot"]["result"]["trail"][0]["steps"]["s"] = json!("t2");
        }),
    );
    let recorded_twice = rewritten(|records| {
        let mut again = records[2].clone();
        again.1["id"] = json!("r3b");
        records.insert(3, again);
    });
    breaks("I6", &recorded_twice);
    // A holder that was fenced out before it could record: no violation.
    let mut stale = good();
    stale.effects.push(effect("t0", 0));
    assert_eq!(check(&stale).violations, []);
}

#[test]
fn i7_work_in_the_wrong_hands_is_found() {
    breaks("I7", &altered(6, |record| record["by"]["version"] = json!("2.0.0")));
    breaks(
        "I7",
        &altered(2, |record| record["snapshot"]["version"] = json!("2.0.0")),
    );
    breaks(
        "I7",
        &altered(3, |record| record["envelope"]["to_version"] = json!("2.0.0")),
    );
    let mut other = good();
    other.effects[2] = run(2, 1, 2, "e2", "gamma", "b1", 35);
    breaks("I7", &other);
}

fn route(ms: i64, state: &str) -> Message {
    let body = json!({"agent": "alpha", "active": "2.0.0", "versions": {"1.0.0": {"state": state}}});
    Message {
        stream: "KV_MESH_ROUTES".to_owned(),
        seq: u64::try_from(NOW + ms).unwrap(),
        subject: "$KV.MESH_ROUTES.alpha".to_owned(),
        time_ms: NOW + ms,
        body: Some(body.to_string()),
        ..Message::default()
    }
}

#[test]
fn i8_a_version_that_was_not_drained_is_found() {
    let mut rightly = good();
    rightly.messages.push(route(5_000, "drained"));
    let verdict = check(&rightly);
    assert_eq!((verdict.violations, verdict.counts.drained), (vec![], 1));

    // Its worker still writes.
    let mut handled = good();
    handled.messages.push(route(15, "drained"));
    breaks("I8", &handled);
    handled.messages.push(route(16, "active"));
    assert_eq!(check(&handled).violations, [], "it had work again before");

    // Open for a long time, and overlooked.
    let mut held = story_of(&records()[..1]);
    held.messages.push(route(5_000, "drained"));
    breaks("I8", &held);
}

#[test]
fn i9_a_path_that_grows_too_long_is_found() {
    breaks("I9", &altered(3, |record| record["snapshot"]["max_hops"] = json!(1)));
    breaks("I9", &altered(3, |record| record["snapshot"]["hop"] = json!(3)));
    breaks("I9", &altered(3, |record| record["snapshot"]["path"] = json!([])));
    breaks("I9", &altered(3, |record| record["envelope"]["hop"] = json!(3)));
}

#[test]
fn i10_constraints_that_change_are_found() {
    breaks(
        "I10",
        &altered(3, |record| record["envelope"]["constraints"]["max"] = json!(3)),
    );
    breaks(
        "I10",
        &altered(3, |record| record["envelope"]["constraints"] = Value::Null),
    );
    breaks(
        "I10",
        &altered(3, |record| record["envelope"]["constraints_hash"] = json!("00")),
    );
}

#[test]
fn i11_an_unknown_field_that_is_lost_is_found() {
    breaks(
        "I11",
        &altered(3, |record| record["envelope"]["acme-ticket"] = json!(8)),
    );
    breaks(
        "I11",
        &altered(3, |record| record["envelope"]["acme-ticket"] = Value::Null),
    );
}

/// The story in which the first try at the second hop is cut short, and the claim burns an attempt.
fn cut_short(by: &str, burnt: u64) -> Evidence {
    rewritten(|records| {
        let mut cut = records[4].1.clone();
        cut["event"]["type"] = json!(by);
        cut["snapshot"]["attempt"] = json!(1);
        if by == "started" {
            cut["snapshot"]["status"]["state"] = json!("in_progress");
            cut["snapshot"]["holder"] = json!("b1");
            cut["snapshot"]["epoch"] = json!(2);
            for record in &mut records[5..] {
                record.1["snapshot"]["epoch"] = json!(3);
            }
        }
        records[4].1 = cut;
        for record in &mut records[5..] {
            record.1["snapshot"]["attempt"] = json!(1 + burnt);
        }
    })
}

#[test]
fn i12_a_stop_that_burns_an_attempt_is_found() {
    assert_eq!(check(&cut_short("released", 0)).violations, []);
    breaks("I12", &cut_short("released", 1));
    let stop = |clean| Journal::Stopped {
        instance: "b1".to_owned(),
        from_ms: NOW + 45,
        until_ms: NOW + 60,
        clean,
    };
    let mut burnt = cut_short("started", 1);
    assert_eq!(check(&burnt).violations, [], "its worker died");
    burnt.journal.push(stop(false));
    assert_eq!(check(&burnt).violations, [], "its worker could not give it back");
    burnt.journal.push(stop(true));
    breaks("I12", &burnt);
}

#[test]
fn i13_a_retry_before_its_time_is_found() {
    breaks("I13", &rewritten(|records| records[5].0 = 100));
    // A writer whose clock was off does not count.
    let skewed = rewritten(|records| {
        records[5].0 = 100;
        records[5].1["at"] = json!(time(86_400_000));
    });
    assert_eq!(check(&skewed).violations, []);
}

/// A group of low and high work, all queued, taken in this order.
fn taken(order: &str) -> Evidence {
    let mut evidence = Evidence::default();
    for (number, band) in order.chars().enumerate() {
        let key = format!("b{number}");
        evidence.journal.push(Journal::Tried(Tried {
            key: key.clone(),
            group: Some("burst".to_owned()),
            priority: if band == 'h' { 9 } else { 1 },
            ..Tried::default()
        }));
        let Effect::Run { at_ms, .. } = run(1, 1, 1, "e", "line", "l1", 10 + number as i64) else {
            unreachable!("a run");
        };
        evidence.effects.push(Effect::Run {
            intent: key.clone(),
            key,
            hop: 1,
            attempt: 1,
            epoch: 1,
            envelope: "e".to_owned(),
            agent: "line".to_owned(),
            version: "1.0.0".to_owned(),
            instance: "l1".to_owned(),
            at_ms,
        });
    }
    evidence.journal.push(Journal::Burst {
        group: "burst".to_owned(),
        ready_ms: NOW,
        slots: 1,
    });
    evidence
}

#[test]
fn i14_a_wrong_order_is_found() {
    let i14 = |order: &str| check(&taken(order)).broken().contains("I14");
    let (high, low) = ("h".repeat(40), "l".repeat(20));
    assert!(!i14(&format!("l{high}{low}")), "one low one in between");
    assert!(!i14(&format!("{}{}", "hhhhhhhl".repeat(5), low)), "the floor");
    assert!(i14(&format!("{low}{high}")), "low before high");
    assert!(i14(&format!("{high}{low}")), "low starved");
    let mut early = taken(&format!("l{high}{low}"));
    if let Some(Journal::Burst { ready_ms, .. }) = early.journal.last_mut() {
        *ready_ms += 1_000;
    }
    assert!(check(&early).broken().contains("I14"), "not all was queued");
}

#[test]
fn the_table_is_the_one_of_the_protocol() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, table) = text.split_once("### Transitions").unwrap();
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with("| `"))
        .take_while(|line| line.starts_with("| `"));
    let there: BTreeSet<(String, String)> = rows
        .map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let event = cells.next().unwrap().trim_matches('`').to_owned();
            let cells: Vec<String> = cells.map(|cell| cell.replace(", ", ",")).collect();
            (event, cells.join(" "))
        })
        .collect();
    let here = crate::TRANSITIONS.map(|(event, cells)| (event.to_owned(), cells.to_owned()));
    assert_eq!(there, BTreeSet::from(here));
}

#[test]
fn the_hash_is_the_one_of_the_protocol() {
    let example = r#"{ "max_cost": 1.50, "do_not": ["e\u006dail", "\u00e9"], "a": {} }"#;
    let hash = crate::checks::carried::hash(example).unwrap();
    assert_eq!(hash, "751b8b0435a77e2dafe3c7657dedaa043c5f2f158e04b898dd111c485501d63f");
}
