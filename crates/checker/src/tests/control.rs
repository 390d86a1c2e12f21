//! What operators do: kills, cancels, limits.

use super::*;

/// A revision of the route of an agent, in which it is killed or goes on.
fn route(seq: u64, ms: i64, agent: &str, killed: bool) -> Message {
    let paused = killed.then(|| json!({"by": "ada", "at": time(ms), "kill": true, "killed_at": time(ms), "fenced": 1}));
    Message {
        stream: "KV_MESH_ROUTES".to_owned(),
        seq,
        subject: format!("$KV.MESH_ROUTES.{agent}"),
        time_ms: NOW + ms,
        headers: Vec::new(),
        body: Some(json!({"agent": agent, "active": "1.0.0", "paused": paused}).to_string()),
        body_base64: None,
    }
}

/// The story, with an agent that is killed for a while.
fn killed(agent: &str, from: i64, until: i64) -> Evidence {
    let mut evidence = good();
    evidence.messages.push(route(1, from, agent, true));
    evidence.messages.push(route(2, from, agent, true));
    evidence.messages.push(route(3, until, agent, false));
    evidence
}

#[test]
fn p11_what_is_written_after_a_kill_is_found() {
    let verdict = check(&killed("alpha", 35, 500));
    assert_eq!((verdict.violations.as_slice(), verdict.counts.kills), (&[][..], 1));
    let verdict = check(&killed("beta", 45, 245));
    assert_eq!(verdict.violations, []);
    breaks("P11", &killed("beta", 45, 255));
    breaks("P11", &killed("alpha", 15, 25));
}

#[test]
fn p11_what_began_before_a_kill_and_is_committed_after_it_is_found() {
    breaks("P11", &killed("beta", 257, 259));
    // The run began at 251 ms, and clocks differ by a little.
    assert_eq!(check(&killed("beta", 253, 254)).violations, []);
}

fn cancel(done: bool) -> Journal {
    let intent = INTENT.to_owned();
    Journal::Cancel { intent, done }
}

#[test]
fn i1_a_cancel_that_nobody_asked_for_and_one_that_was_not_done_are_found() {
    let cancelled = rewritten(|records| {
        let last = &mut records[6].1;
        last["event"] = json!({"type": "cancelled"});
        last["by"] = json!({"role": "operator", "instance": "ada"});
        last["snapshot"]["status"] = json!({"state": "cancelled"});
    });
    breaks("I1", &cancelled);
    for done in [false, true] {
        let mut asked = cancelled.clone();
        asked.journal.push(cancel(false));
        asked.journal.push(cancel(done));
        let verdict = check(&asked);
        assert!(!verdict.broken().contains("I1"), "{:?}", verdict.violations);
    }
    // Somebody asked, and it completed: only where nobody said that it is cancelled.
    let mut asked = good();
    asked.journal.push(cancel(false));
    assert_eq!(check(&asked).violations, []);
    asked.journal.push(cancel(true));
    breaks("I1", &asked);
}

fn limit(in_flight: u64, holds: bool, ms: i64) -> Journal {
    Journal::Limit {
        agent: "beta".to_owned(),
        in_flight,
        holds,
        at_ms: NOW + ms,
    }
}

fn ended(epoch: u64, envelope: &str, instance: &str, ms: i64) -> Effect {
    Effect::Ended {
        intent: INTENT.to_owned(),
        epoch,
        envelope: envelope.to_owned(),
        instance: instance.to_owned(),
        at_ms: NOW + ms,
    }
}

/// The story with a limit of one for `beta`, and another hop of it that runs from 30 ms to 40 ms.
fn limited(in_flight: u64, from: i64, until: i64) -> Evidence {
    let mut evidence = good();
    let mut other = run(2, 1, 2, "e9", "beta", "b9", 30);
    if let Effect::Run { intent, .. } = &mut other {
        "work-9".clone_into(intent);
    }
    let ends = [
        ended(2, "e2", "b1", 40),
        ended(4, "e2", "b2", 260),
        ended(2, "e9", "b9", 40),
    ];
    evidence.effects.push(other);
    evidence.effects.extend(ends);
    let lines = [
        limit(in_flight, false, from - 1),
        limit(in_flight, true, from),
        limit(0, false, until),
    ];
    evidence.journal.extend(lines);
    evidence
}

fn is_passed(evidence: &Evidence) -> bool {
    check(evidence).broken().contains("L1")
}

#[test]
fn l1_more_at_a_time_than_the_limit_allows_is_found() {
    breaks("L1", &limited(1, 0, 300));
    assert!(!is_passed(&limited(2, 0, 300)), "two may run");
    assert!(!is_passed(&limited(1, 40, 300)), "it did not hold yet");
    assert!(!is_passed(&limited(1, 0, 35)), "it was lifted");
    assert_eq!(check(&limited(2, 0, 300)).counts.fullest_percent, 100);
    // A run whose end nobody knows counts until its process was killed.
    let mut torn = limited(1, 0, 300);
    torn.effects.pop();
    assert!(!is_passed(&torn));
    torn.journal.push(Journal::Killed {
        instance: "b9".to_owned(),
        at_ms: NOW + 38,
    });
    breaks("L1", &torn);
    torn.journal.push(Journal::OutOfReach {
        worker: "b9".to_owned(),
        from_ms: NOW - 5_000,
        until_ms: NOW + 31,
    });
    assert!(!is_passed(&torn), "its share may have been another's");
}
