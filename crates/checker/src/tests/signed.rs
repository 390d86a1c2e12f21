//! Signed records and checkpoints: a good story holds, what a stranger plants decides nothing, and each edit is found.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::{INTENT, breaks, good, time};
use crate::signed::{Grant, Trust};
use crate::{Evidence, Message, check};

const GUARD: &str = "Nats-Expected-Last-Subject-Sequence";
const SIGNATURE: &str = "Baton-Signature";

/// The key of somebody; the same each time.
fn key(whose: &str) -> Ed25519KeyPair {
    let mut seed = [b'.'; 32];
    seed[..whose.len()].copy_from_slice(whose.as_bytes());
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()
}

/// The text of a public key, written bit by bit.
fn public(whose: &str) -> String {
    let mut bytes = vec![20 << 3];
    bytes.extend_from_slice(key(whose).public_key().as_ref());
    let mut sum = 0_u32;
    for byte in &bytes {
        sum ^= u32::from(*byte) << 8;
        for _ in 0..8 {
            sum = if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 } & 0xffff;
        }
    }
    bytes.extend_from_slice(&u16::try_from(sum).unwrap().to_le_bytes());
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let letter = |place: usize| char::from(letters[usize::from_str_radix(&bits[place..place + 5], 2).unwrap()]);
    (0..bits.len()).step_by(5).map(letter).collect()
}

fn trust() -> Trust {
    let grant = |whose: &str, role: &str, agent: Option<&str>| Grant {
        key: public(whose),
        role: role.to_owned(),
        agent: agent.map(str::to_owned),
        ..Grant::default()
    };
    Trust {
        signatures: "require".to_owned(),
        since: 0,
        grants: vec![
            grant("controller", "controller", None),
            grant("alpha", "worker", Some("alpha")),
            grant("beta", "worker", Some("beta")),
            grant("shop", "client", None),
        ],
    }
}

/// Signs a message after another one, under its guard.
fn sign(message: &mut Message, whose: &str, expected: u64, previous: Option<&Message>) {
    let previous = previous.map_or_else(|| "-".to_owned(), crate::signed::link_of);
    let body = crate::signed::hash_of(&message.bytes());
    let text = format!("baton-record-1\n{}\n{expected}\n{previous}\n{body}\n", message.subject);
    let signature = URL_SAFE_NO_PAD.encode(key(whose).sign(text.as_bytes()));
    let line = format!("1 {} {expected} {previous} {signature}", public(whose));
    message.headers.retain(|(name, _)| name != GUARD && name != SIGNATURE);
    message.headers.insert(0, (GUARD.to_owned(), expected.to_string()));
    message.headers.push((SIGNATURE.to_owned(), line));
}

/// Who writes the records of the story.
const SIGNERS: [&str; 7] = ["shop", "alpha", "alpha", "alpha", "beta", "beta", "beta"];

/// What somebody writes behind a record.
type Plant<'p> = &'p dyn Fn(&Message) -> Message;

/// The good story, signed, with messages planted after some of its records.
fn story(planted: &[(usize, Plant<'_>)]) -> Evidence {
    let mut evidence = Evidence {
        trust: Some(trust()),
        ..good()
    };
    let records = std::mem::take(&mut evidence.messages);
    let (mut last, mut before) = (0, None::<Message>);
    for (index, mut record) in records.into_iter().enumerate() {
        sign(&mut record, SIGNERS[index], last, before.as_ref());
        last = record.seq;
        evidence.messages.push(record.clone());
        for (_, plant) in planted.iter().filter(|(at, _)| *at == index) {
            let mut forged = plant(&record);
            last += 1;
            forged.seq = last;
            evidence.messages.push(forged);
        }
        before = Some(record);
    }
    evidence
}

/// Another body, as a forger would like it.
fn garbled(message: &Message) -> Message {
    let mut forged = message.clone();
    forged.body = forged
        .body
        .map(|body| body.replace(INTENT, "work-1").replace("\"id\":\"r", "\"id\":\"f"));
    forged
}

/// A checkpoint of all that is there, written after another one.
fn checkpoint(evidence: &Evidence, whose: &str, before: Option<&Message>, change: impl Fn(&mut Value)) -> Message {
    let from = before.map_or(0, |before| {
        let body: Value = serde_json::from_slice(&before.bytes()).unwrap();
        body["ledger"]["through"].as_u64().unwrap()
    });
    let new: Vec<&Message> = evidence
        .messages
        .iter()
        .filter(|message| message.stream == "MESH_LEDGER" && message.seq > from)
        .collect();
    let mut root = [0; 32];
    for message in &new {
        let line = format!(
            "{} {} {}\n",
            message.seq,
            message.subject,
            crate::signed::link_of(message)
        );
        root = sha256(&[&root[..], line.as_bytes()].concat());
    }
    let root: String = root.iter().map(|byte| format!("{byte:02x}")).collect();
    let none = "0".repeat(64);
    let mut body = json!({
        "checkpoint": 1, "at": time(1_000), "by": "c1",
        "ledger": {
            "created": "then", "after": from, "through": new.last().map_or(from, |last| last.seq), "count": new.len(),
            "root": root,
        },
        "archive": {"created": "then", "after": 0, "through": 0, "count": 0, "root": none},
    });
    change(&mut body);
    let seq = before.map_or(0, |before| before.seq);
    let mut message = Message {
        stream: "MESH_AUDIT".to_owned(),
        seq: seq + 1,
        subject: "mesh.audit.checkpoint".to_owned(),
        time_ms: super::NOW + 1_000,
        body: Some(body.to_string()),
        ..Message::default()
    };
    sign(&mut message, whose, seq, before);
    message
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

/// The signed story with a checkpoint in the middle and one at the end.
fn covered() -> Evidence {
    let mut evidence = story(&[]);
    let tail = evidence.messages.split_off(4);
    let first = checkpoint(&evidence, "controller", None, |_| {});
    evidence.messages.extend(tail);
    let second = checkpoint(&evidence, "controller", Some(&first), |_| {});
    evidence.messages.extend([first, second]);
    evidence
}

fn only(invariant: &'static str, evidence: &Evidence) {
    let verdict = check(evidence);
    assert_eq!(
        Vec::from_iter(verdict.broken()),
        [invariant],
        "{:?}",
        verdict.violations
    );
}

#[test]
fn the_worked_example_of_the_protocol_verifies() {
    let golden: Value = serde_json::from_str(include_str!("../../../envelope/tests/golden/proof/record.json")).unwrap();
    let text = |name: &str| golden[name].as_str().unwrap().to_owned();
    let mut message = Message {
        subject: text("subject"),
        body: Some(text("body")),
        headers: vec![(SIGNATURE.to_owned(), text("signature"))],
        ..Message::default()
    };
    assert!(crate::signed::is_of(&message, &text("public")));
    assert_eq!(crate::signed::link_of(&message), text("link"));
    message.body = Some(text("body").replace("order-42", "order-43"));
    assert!(!crate::signed::is_of(&message, &text("public")), "another body");
    message.body = Some(text("body"));
    message.subject.push('3');
    assert!(!crate::signed::is_of(&message, &text("public")), "another subject");
    message.subject = text("subject");
    assert!(!crate::signed::is_of(&message, &public("alpha")), "another key");
    message.headers.clear();
    assert_eq!(crate::signed::link_of(&message), text("unsigned_link"));
}

#[test]
fn a_signed_story_holds() {
    let verdict = check(&covered());
    assert_eq!(verdict.violations, []);
    let counts = &verdict.counts;
    assert_eq!((counts.signed, counts.void, counts.checkpoints), (7, 0, 2));
    // Without the keys nothing is verified.
    let mut unjudged = covered();
    unjudged.trust = None;
    let counts = check(&unjudged).counts;
    assert_eq!((counts.records, counts.signed, counts.checkpoints), (7, 0, 0));
}

#[test]
fn what_a_stranger_plants_decides_nothing() {
    let unsigned = |message: &Message| {
        let mut forged = garbled(message);
        forged.headers.retain(|(name, _)| name != SIGNATURE);
        forged
    };
    let of_nobody = |message: &Message| {
        let mut forged = garbled(message);
        sign(&mut forged, "mallory", message.seq, Some(message));
        forged
    };
    let garbage = |message: &Message| Message {
        body: Some("garbage".to_owned()),
        headers: Vec::new(),
        ..message.clone()
    };
    let again = |message: &Message| {
        let mut again = message.clone();
        again.headers[0].1 = message.seq.to_string();
        again
    };
    let unguarded = |message: &Message| {
        let mut again = message.clone();
        again.headers.remove(0);
        again
    };
    let plants: [Plant<'_>; 6] = [&unsigned, &garbled, &of_nobody, &garbage, &again, &unguarded];
    for (number, plant) in plants.into_iter().enumerate() {
        for at in 0..7 {
            let evidence = story(&[(at, plant)]);
            let verdict = check(&evidence);
            assert_eq!(verdict.violations, [], "plant {number} after {at}");
            assert_eq!((verdict.counts.signed, verdict.counts.void), (7, 1));
            // Who does not verify takes it for a record.
            let blind = Evidence {
                trust: None,
                ..evidence
            };
            let blind = check(&blind);
            assert!(!blind.holds() || blind.counts.records == 8, "plant {number} after {at}");
        }
    }
    // Where signatures are not required yet, an unsigned record counts, and breaks what it breaks.
    let mut lenient = story(&[(6, &unsigned)]);
    lenient.trust.as_mut().unwrap().signatures = "accept".to_owned();
    breaks("I3", &lenient);
    let mut older = story(&[(6, &unsigned)]);
    older.trust.as_mut().unwrap().since = 1_000;
    breaks("I3", &older);
}

#[test]
fn a_run_on_account_of_a_void_record_is_found() {
    let forged = |message: &Message| {
        let mut forged = garbled(message);
        forged.body = forged.body.map(|body| body.replace("\"e2\"", "\"e9\""));
        forged
    };
    let mut evidence = story(&[(3, &forged)]);
    assert!(check(&evidence).holds());
    evidence.effects.push(super::run(2, 1, 2, "e9", "beta", "b1", 36));
    breaks("I5", &evidence);
}

#[test]
fn a_trusted_signer_whose_record_is_void_is_found() {
    // It took a void record for the head.
    let mut fooled = story(&[(3, &garbled)]);
    let forged = fooled.messages[4].clone();
    let (last, mut next) = (forged.seq, fooled.messages[5].clone());
    sign(&mut next, "beta", last, Some(&forged));
    fooled.messages[5] = next;
    breaks("S1", &fooled);
    // It wrote when it was another's turn, or what its key is not for, or in another's name.
    for (index, whose) in [(1, "beta"), (4, "alpha"), (6, "shop"), (0, "alpha")] {
        let mut evidence = story(&[]);
        let (expected, before) = match index {
            0 => (0, None),
            _ => (
                evidence.messages[index - 1].seq,
                Some(evidence.messages[index - 1].clone()),
            ),
        };
        sign(&mut evidence.messages[index], whose, expected, before.as_ref());
        breaks("S1", &evidence);
    }
    // Its key was no longer trusted.
    let mut ended = story(&[]);
    ended.trust.as_mut().unwrap().grants[2].until = Some(time(255));
    breaks("S1", &ended);
    let mut begun = story(&[]);
    begun.trust.as_mut().unwrap().grants[1].from = Some(time(15));
    breaks("S1", &begun);
}

#[test]
fn every_edit_of_the_ledger_is_found() {
    for index in 0..7 {
        let mut flipped = covered();
        flipped.messages[index] = garbled(&flipped.messages[index]);
        breaks("S2", &flipped);
        let mut dropped = covered();
        dropped.messages.remove(index);
        breaks("S2", &dropped);
        if index < 6 {
            breaks("S1", &flipped);
            breaks("S1", &dropped);
            let mut swapped = covered();
            let (one, other) = (swapped.messages[index].seq, swapped.messages[index + 1].seq);
            (swapped.messages[index].seq, swapped.messages[index + 1].seq) = (other, one);
            breaks("S1", &swapped);
            breaks("S2", &swapped);
        }
        let mut inserted = covered();
        let mut extra = garbled(&inserted.messages[index]);
        extra.seq += 1;
        inserted.messages.push(extra);
        if index < 6 {
            breaks("S2", &inserted);
        } else {
            // It stands after the last checkpoint: void, and no more.
            let verdict = check(&inserted);
            assert_eq!((verdict.violations, verdict.counts.void), (Vec::new(), 1));
        }
    }
    let mut cut = covered();
    cut.messages
        .retain(|message| message.stream != "MESH_LEDGER" || message.seq <= 50);
    breaks("S2", &cut);
}

#[test]
fn every_edit_of_the_checkpoints_is_found() {
    let at = |evidence: &Evidence, seq: u64| {
        let is_it = |message: &&Message| message.stream == "MESH_AUDIT" && message.seq == seq;
        evidence.messages.iter().find(is_it).unwrap().clone()
    };
    let with = |change: &dyn Fn(&mut Message)| {
        let mut evidence = covered();
        let is_first = |message: &&mut Message| message.stream == "MESH_AUDIT";
        evidence.messages.iter_mut().find(is_first).map(change).unwrap();
        evidence
    };
    only(
        "S2",
        &with(&|message| message.body = message.body.take().map(|body| body.replace("c1", "c2"))),
    );
    only(
        "S2",
        &with(&|message| message.headers.retain(|(name, _)| name != SIGNATURE)),
    );
    only(
        "S2",
        &with(&|message| message.headers.retain(|(name, _)| name != GUARD)),
    );
    only("S2", &with(&|message| sign(message, "alpha", 0, None)));
    only("S2", &with(&|message| sign(message, "mallory", 0, None)));
    let mut without = covered();
    without
        .messages
        .retain(|message| message.stream != "MESH_AUDIT" || message.seq != 1);
    only("S2", &without);
    // The second begins elsewhere than where the first ends, or counts what is not there.
    for change in [
        (|body: &mut Value| body["ledger"]["after"] = json!(50)) as fn(&mut Value),
        |body| body["ledger"]["count"] = json!(99),
        |body| body["checkpoint"] = json!(2),
    ] {
        let mut evidence = covered();
        let first = at(&evidence, 1);
        evidence
            .messages
            .retain(|message| message.stream != "MESH_AUDIT" || message.seq != 2);
        let second = checkpoint(&evidence, "controller", Some(&first), change);
        evidence.messages.push(second);
        only("S2", &evidence);
    }
}

#[test]
fn what_a_controller_says_that_it_removed_is_not_missing() {
    // A garbled message on the subject of another intent, which nobody else can have removed.
    let stray = |seq: u64| Message {
        stream: "MESH_LEDGER".to_owned(),
        seq,
        subject: "mesh.ledger.0.work-2".to_owned(),
        body: Some("garbage".to_owned()),
        ..Message::default()
    };
    let mut evidence = story(&[]);
    evidence.messages.push(stray(71));
    let first = checkpoint(&evidence, "controller", None, |_| {});
    evidence.messages.pop();
    evidence.messages.push(first.clone());
    only("S2", &evidence);
    let gone = stray(71);
    let removed = json!([{"seq": gone.seq, "subject": gone.subject, "link": crate::signed::link_of(&gone)}]);
    let second = checkpoint(&evidence, "controller", Some(&first), |body| {
        body["removed"] = removed.clone();
    });
    evidence.messages.push(second);
    assert_eq!(check(&evidence).violations, []);
    assert_eq!(check(&evidence).counts.checkpoints, 2);
    // It does not excuse another message there.
    evidence.messages.push(Message {
        body: Some("other garbage".to_owned()),
        ..gone
    });
    breaks("S2", &evidence);
}

#[test]
fn a_controller_may_set_aside_what_it_holds_for_void() {
    // The key of beta is no longer trusted by the controller, which parks the intent behind the last record of alpha.
    let mut evidence = story(&[]);
    evidence.messages.truncate(5);
    let (alpha, beta) = (evidence.messages[3].clone(), evidence.messages[4].clone());
    let mut parked = beta.clone();
    let body: Value = serde_json::from_slice(&beta.bytes()).unwrap();
    let mut body = body;
    body["id"] = json!("p1");
    body["event"] = json!({"type": "parked"});
    body["by"] = json!({"role": "controller", "instance": "c1"});
    body["snapshot"]["status"] = json!({"state": "parked", "code": "X"});
    parked.seq = beta.seq + 10;
    parked.body = Some(body.to_string());
    for (whose, is_found) in [("controller", false), ("beta", true)] {
        sign(&mut parked, whose, beta.seq, Some(&alpha));
        evidence.messages.truncate(5);
        evidence.messages.push(parked.clone());
        let verdict = check(&evidence);
        assert_eq!(
            verdict.broken().contains("S1"),
            is_found,
            "{whose}: {:?}",
            verdict.violations
        );
        assert_eq!(verdict.counts.void, 1, "{whose}");
    }
}

#[test]
fn void_records_of_a_bundle_are_judged_too() {
    let evidence = story(&[(3, &garbled)]);
    // As a controller bundles it: the void one stands apart.
    let mut apart = evidence.clone();
    let void = apart.messages.remove(4);
    let mut archived = super::archived::archived(&apart, 1);
    assert!(
        !check(&archived).holds(),
        "the guard of the next one is of a message that is not there"
    );
    let entry = json!([{
        "seq": void.seq, "stored": time(void.time_ms - super::NOW), "headers": void.headers,
        "body": STANDARD.encode(void.bytes()),
    }]);
    super::archived::amend(&mut archived, |index| index["void"] = entry.clone());
    let verdict = check(&archived);
    assert_eq!(verdict.violations, []);
    assert_eq!(
        (verdict.counts.signed, verdict.counts.void, verdict.counts.archived),
        (7, 1, 1)
    );
    // One that the ledger still has, and that says something else than its bundle.
    let mut moved = archived.clone();
    let mut stray = story(&[]).messages.pop().unwrap();
    stray.subject.push('x');
    moved.messages.push(stray);
    breaks("S2", &moved);
    // A record that counts must not be told as void.
    let mut good = story(&[]);
    let last = good.messages.pop().unwrap();
    let mut lost = super::archived::archived(&good, 1);
    let entry = json!([{
        "seq": last.seq, "stored": time(last.time_ms - super::NOW), "headers": last.headers,
        "body": STANDARD.encode(last.bytes()),
    }]);
    super::archived::amend(&mut lost, |index| index["void"] = entry.clone());
    breaks("S1", &lost);
}
