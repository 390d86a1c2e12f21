//! The budget of one intent, by the acts that change it.

use baton_envelope::budget::{
    Amount, Amounts, BudgetRefused, MeterName, OnExhaustedBudget, Spend, TopUp, TopUpRefused,
};
use baton_envelope::*;

use crate::samples::*;

pub(super) fn amounts(text: &str) -> Amounts {
    serde_json::from_str(text).expect("amounts")
}

/// So many tokens.
pub(super) fn tokens(count: u64) -> Amounts {
    Amounts::NONE.with(MeterName::Tokens, Amount::whole(count))
}

/// Whole tokens, as a number that may be compared with a sum.
pub(super) fn number(amount: Amount) -> i128 {
    amount.to_string().parse().expect("whole tokens")
}

fn budget(text: &str) -> Budget {
    serde_json::from_str(text).expect("a budget")
}

/// A new intent with this budget, before anybody has it.
fn new(text: &str) -> Snapshot {
    let mut envelope = Envelope::first(envelope_id(1), intent(), agent("code"), Json::null());
    envelope.budget = Some(Box::new(budget(text)));
    sealed(act::submit(NOW, version("2.0.0"), envelope.with_counted_budget()), 0)
}

pub(super) fn sealed(draft: Draft, seq: u64) -> Snapshot {
    record(draft, seq).snapshot.seen_at(seq + 1)
}

fn record(draft: Draft, seq: u64) -> Record {
    draft.seal(intent(), seq, stamp())
}

pub(super) fn is(snapshot: &Snapshot, expected: &str) {
    let budget = snapshot.budget.as_deref().expect("a budget");
    let is: serde_json::Value = serde_json::to_value(budget).expect("JSON");
    let mut expected: serde_json::Value = serde_json::from_str(expected).expect("JSON");
    expected["counted"] = true.into();
    assert_eq!(is, expected);
}

fn hold(head: &Snapshot, text: &str) -> Result<Draft, act::NotHeld> {
    act::hold(head, "w-1", "plan", amounts(text))
}

fn refused(held: Result<Draft, act::NotHeld>) -> Box<BudgetRefused> {
    match held {
        Err(act::NotHeld::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_first_record_takes_over_what_bounds_and_a_hold_costs_no_second_record() {
    let head = new(r#"{"tokens":{"allotted":1000},"cost":{"allotted":"1.250"},"time":{"spent":3},"keep":10}"#);
    is(
        &head,
        r#"{"tokens":{"allotted":1000},"cost":{"allotted":1.25},"keep":10}"#,
    );
    let first = record(hold(&head, r#"{"tokens":400,"cost":0.02,"time":9}"#).expect("fits"), 1);
    assert_eq!(
        (first.event.name(), first.snapshot.holder.as_deref()),
        ("started", Some("w-1"))
    );
    let held = first.hold.as_deref().expect("a hold");
    assert_eq!((held.step.as_str(), held.epoch), ("plan", 1));
    let head = first.snapshot.seen_at(2);
    is(
        &head,
        r#"{"tokens":{"allotted":1000,"held":400},"cost":{"allotted":1.25,"held":0.02},"keep":10,"epoch":1}"#,
    );
    let second = record(hold(&head, r#"{"tokens":600}"#).expect("fits exactly"), 2);
    assert_eq!(second.event.name(), "progress");
    assert_eq!(
        second.snapshot.budget.expect("a budget").available(),
        amounts(r#"{"tokens":0,"cost":1.23}"#)
    );
}

#[test]
fn nothing_is_held_beyond_what_is_available() {
    let head = new(r#"{"tokens":{"allotted":1000},"cost":{"allotted":1}}"#);
    let head = sealed(hold(&head, r#"{"tokens":700}"#).expect("fits"), 1);
    let refused = refused(hold(&head, r#"{"tokens":301,"cost":0.5}"#));
    assert_eq!(refused.available, amounts(r#"{"tokens":300,"cost":1}"#));
    assert_eq!(
        refused.to_string(),
        "step \"plan\" needs 301 tokens and 0.5 of cost, and 300 tokens are available; fix: `baton budget top-up` it, or ask for less"
    );
    // A sum over what was held before stays within the allotment.
    hold(&head, r#"{"tokens":300}"#).expect("fits");
    // What is not bounded is not refused.
    hold(&head, r#"{"time":1000000}"#).expect("nothing bounds it");
}

#[test]
fn what_a_call_took_is_spent_and_the_rest_of_its_hold_is_free_again() {
    let head = new(r#"{"tokens":{"allotted":1000},"cost":{"allotted":1}}"#);
    let head = sealed(hold(&head, r#"{"tokens":700,"cost":0.5}"#).expect("fits"), 1);
    let spend = Spend::of_step(
        "plan",
        amounts(r#"{"tokens":700,"cost":0.5}"#),
        amounts(r#"{"tokens":120}"#),
    );
    let draft = act::spend_step(&head, StepEntry::new("plan", Json::null()), spend).expect("legal");
    let after = record(draft, 2);
    assert_eq!(
        after.spend.as_deref().map(|spend| spend.step.as_deref()),
        Some(Some("plan"))
    );
    // The cost is not named: all of it counts.
    is(
        &after.snapshot,
        r#"{"tokens":{"allotted":1000,"spent":120},"cost":{"allotted":1,"spent":0.5},"epoch":1}"#,
    );
}

#[test]
fn what_is_more_than_was_held_is_an_overrun_and_no_hold_fits_before_a_top_up() {
    let head = new(r#"{"tokens":{"allotted":1000}}"#);
    let head = sealed(hold(&head, r#"{"tokens":100}"#).expect("fits"), 1);
    let spend = Spend::of_step("plan", amounts(r#"{"tokens":100}"#), amounts(r#"{"tokens":150}"#));
    let draft = act::spend_step(&head, StepEntry::new("plan", Json::null()), spend).expect("legal");
    let head = sealed(draft, 2);
    is(
        &head,
        r#"{"tokens":{"allotted":1000,"spent":150,"overrun":50},"epoch":1,"overran":true}"#,
    );
    let refused = refused(hold(&head, r#"{"tokens":1}"#));
    assert!(
        refused.to_string().contains("50 tokens more than was held"),
        "{refused}"
    );
    let top_up = TopUp::new("t-1", amounts(r#"{"tokens":10}"#));
    let head = sealed(
        act::top_up(&head, top_up, "it was worth it")
            .expect("legal")
            .expect("new"),
        3,
    );
    hold(&head, r#"{"tokens":900}"#).expect("fits");
}

#[test]
fn what_is_spent_after_the_fact_comes_from_what_is_available() {
    let head = new(r#"{"tokens":{"allotted":1000},"time":{"allotted":2}}"#);
    let head = sealed(act::start(&head, "w-1").expect("legal"), 1);
    let head = sealed(
        act::spend(&head, Spend::of(amounts(r#"{"tokens":900}"#))).expect("legal"),
        2,
    );
    is(
        &head,
        r#"{"tokens":{"allotted":1000,"spent":900},"time":{"allotted":2}}"#,
    );
    let mut done = act::complete(&head, Json::null()).expect("legal");
    done.took_ms = Some(2_750);
    done.has_spent(Spend::of(amounts(r#"{"tokens":130}"#)));
    let done = record(done, 3);
    is(
        &done.snapshot,
        r#"{"tokens":{"allotted":1000,"spent":1030,"overrun":30},"time":{"allotted":2,"spent":2.75,"overrun":0.75},"overran":true}"#,
    );
    assert_eq!(done.spend.expect("told").amounts, amounts(r#"{"tokens":130}"#));
}

/// An intent whose holder has called and not told.
fn in_a_call() -> Snapshot {
    let head = new(r#"{"tokens":{"allotted":1000}}"#);
    sealed(hold(&head, r#"{"tokens":400}"#).expect("fits"), 1)
}

#[test]
fn what_is_held_is_charged_by_every_record_that_takes_the_holder_out() {
    let head = in_a_call();
    let error = || ErrorInfo::new("WHY", "in words");
    let envelope = || Envelope::first(envelope_id(3), intent(), agent("code"), Json::null());
    let next = || {
        let mut next = envelope();
        (next.hop, next.to) = (2, agent("qa"));
        next
    };
    let takes_out = [
        act::claim(&head, "w-2", 2),
        act::release(&head, "the worker stops"),
        act::retry(&head, NOW, error()),
        act::park(&head, error()),
        act::hand_off(&head, next(), version("1.0.0")),
        act::suspend(&head, &[WaitSpec::new("paid", WaitKind::Signal)]),
        act::compensate(&head, error(), act::AfterUndo::Fails),
        act::complete(&head, Json::null()),
        act::fail(&head, error()),
        act::reject(&head, error()),
        act::cancel(&head, "nobody wants it"),
        act::time_out(&head),
    ];
    for draft in takes_out {
        let written = record(draft.expect("legal"), 2);
        let event = written.event.name().to_owned();
        assert_eq!(
            written.assumed.as_deref(),
            Some(&amounts(r#"{"tokens":400}"#)),
            "{event}"
        );
        is(&written.snapshot, r#"{"tokens":{"allotted":1000,"spent":400}}"#);
        if let Some(envelope) = &written.envelope {
            let shown = envelope.budget.as_ref().expect("shown");
            let expected = r#"{"tokens":{"allotted":1000,"spent":400},"counted":true}"#;
            assert_eq!(**shown, budget(expected), "{event}");
        }
        // It is charged once.
        if !written.snapshot.status.is_terminal() {
            let after = written.snapshot.seen_at(3);
            let pinned = act::repin(&after, &agent("qa"), &version("1.0.0")).expect("legal");
            let last = record(pinned, 3);
            assert_eq!(last.assumed, None, "{event}");
            is(&last.snapshot, r#"{"tokens":{"allotted":1000,"spent":400}}"#);
        }
    }
    let only_adds = [
        act::progress(&head, "half"),
        act::step(&head, StepEntry::new("other", Json::null())),
        act::repin(&head, &agent("qa"), &version("1.0.0")),
    ];
    for draft in only_adds {
        let written = record(draft.expect("legal"), 2);
        assert_eq!((written.event.name(), &written.assumed), (written.event.name(), &None));
        is(
            &written.snapshot,
            r#"{"tokens":{"allotted":1000,"held":400},"epoch":1}"#,
        );
    }
}

#[test]
fn what_an_older_writer_left_held_is_charged_by_the_next() {
    // A worker of 1.6 took the hop, and passed on what it did not know.
    let mut head = in_a_call();
    head.epoch += 1;
    let written = record(act::start(&head, "w-1").expect("legal"), 2);
    assert_eq!(written.assumed.as_deref(), Some(&amounts(r#"{"tokens":400}"#)));
    is(&written.snapshot, r#"{"tokens":{"allotted":1000,"spent":400}}"#);
}

#[test]
fn what_is_exhausted_is_parked_with_its_need_and_owes_a_redrive_once_there_is_enough() {
    let head = new(r#"{"tokens":{"allotted":1000}}"#);
    let head = sealed(hold(&head, r#"{"tokens":900}"#).expect("fits"), 1);
    let refused = refused(hold(&head, r#"{"tokens":200}"#));
    let parked = record(act::exhausted(&head, &refused).expect("legal"), 2);
    assert_eq!(parked.snapshot.status.to_string(), "parked(BUDGET)");
    assert_eq!(
        parked.error.as_ref().map(|error| error.code.as_str()),
        Some(codes::BUDGET)
    );
    is(
        &parked.snapshot,
        r#"{"tokens":{"allotted":1000,"spent":900},"need":{"tokens":200}}"#,
    );
    let owes = |record: &Record| effects(record).any(|(effect, owed)| (effect, owed) == (Effect::Redrive, Owed::Now));
    assert!(!owes(&parked));
    let now = NOW.plus(std::time::Duration::from_secs(600));
    assert_eq!(needs(&parked, now, std::time::Duration::ZERO), Need::Closed);
    let head = parked.snapshot.seen_at(3);
    let topped = |amount: &str| {
        let top_up = TopUp::new("t-1", amounts(amount));
        record(act::top_up(&head, top_up, "more").expect("legal").expect("new"), 3)
    };
    assert!(!owes(&topped(r#"{"tokens":99}"#)));
    let enough = topped(r#"{"tokens":100}"#);
    assert!(owes(&enough));
    assert_eq!(needs(&enough, now, std::time::Duration::ZERO), Need::Redrive);
    assert_eq!(
        (enough.snapshot.epoch, enough.snapshot.status.to_string()),
        (head.epoch, "parked(BUDGET)".to_owned())
    );
    let envelope = Envelope::first(envelope_id(4), intent(), agent("code"), Json::null());
    let again = record(
        act::redrive(&enough.snapshot.seen_at(4), envelope, version("2.0.0")).expect("legal"),
        4,
    );
    is(
        &again.snapshot,
        &format!(
            r#"{{"tokens":{{"allotted":1100,"spent":900}},"topped":"{}"}}"#,
            topped_by("t-1")
        ),
    );
    // Parked for another reason it owes none.
    let other = act::park(&head, ErrorInfo::new("OTHER", "by hand")).expect("legal");
    assert!(!owes(&record(other, 4)));
}

fn topped_by(id: &str) -> String {
    let head = new(r#"{"tokens":{"allotted":1}}"#);
    let top_up = TopUp::new(id, amounts(r#"{"tokens":1}"#));
    let draft = act::top_up(&head, top_up, "").expect("legal").expect("new");
    draft.snapshot.budget.expect("a budget").topped.expect("an id")
}

#[test]
fn a_budget_may_say_that_the_intent_fails() {
    let head = new(r#"{"tokens":{"allotted":10},"on_exhausted":"fail"}"#);
    assert_eq!(
        head.budget.as_ref().expect("a budget").on_exhausted,
        OnExhaustedBudget::Fail
    );
    let refused = refused(hold(&head, r#"{"tokens":200}"#));
    let failed = record(act::exhausted(&head, &refused).expect("legal"), 2);
    assert_eq!(failed.snapshot.status.to_string(), "failed(BUDGET)");
    is(&failed.snapshot, r#"{"tokens":{"allotted":10},"on_exhausted":"fail"}"#);
}

#[test]
fn a_top_up_is_legal_in_every_open_status_and_counts_once() {
    let head = new(r#"{"tokens":{"allotted":1000}}"#);
    for status in statuses() {
        let mut at = head.clone();
        at.status = status.clone();
        at.holder = Some("w-1".to_owned());
        let top_up = || TopUp::new("t-1", amounts(r#"{"tokens":5}"#));
        let topped = act::top_up(&at, top_up(), "more");
        if status.is_terminal() || matches!(status, Status::Unknown { .. }) {
            assert!(matches!(topped, Err(TopUpRefused::Illegal(_))), "{status}");
            continue;
        }
        let written = record(topped.expect("legal").expect("new"), 2);
        assert_eq!(
            (written.event.name(), written.note.as_deref()),
            ("topped_up", Some("more"))
        );
        assert_eq!(
            (&written.snapshot.status, written.snapshot.epoch),
            (&at.status, at.epoch)
        );
        assert_eq!(written.snapshot.holder, at.holder);
        let after = written.snapshot.seen_at(3);
        assert_eq!(
            after.budget.as_ref().expect("a budget").available(),
            amounts(r#"{"tokens":1005}"#)
        );
        assert_eq!(act::top_up(&after, top_up(), "more"), Ok(None), "{status}");
    }
}

#[test]
fn a_top_up_that_cannot_be_is_refused_and_says_why() {
    let head = new(r#"{"tokens":{"allotted":999999999999999999}}"#);
    let refused = |head: &Snapshot, text: &str| {
        let top_up = TopUp::new("t-1", amounts(text));
        act::top_up(head, top_up, "more").expect_err("refused").to_string()
    };
    assert!(refused(&head, r#"{"cost":1}"#).contains("does not bound cost"));
    assert!(refused(&head, r#"{"tokens":0}"#).contains("of nothing"));
    assert!(refused(&head, r#"{"tokens":5}"#).contains("more than 18 digits"));
    let mut child = head.clone();
    (child.parent, child.root) = (Some(intent()), Some("order-1".parse().expect("id")));
    assert!(refused(&child, r#"{"tokens":5}"#).contains(&format!("its parent, {}, lend it more", intent())));
    let mut unbounded = head;
    unbounded.budget = None;
    assert!(refused(&unbounded, r#"{"tokens":5}"#).contains("has no budget"));
}

#[test]
fn a_budget_that_cannot_be_kept_is_refused_and_one_from_before_is_carried() {
    let with = |protocol: &str, text: &str| {
        let mut envelope = Envelope::first(envelope_id(1), intent(), agent("code"), Json::null());
        envelope.protocol = protocol.parse().expect("a version");
        envelope.budget = Some(Box::new(budget(text)));
        envelope
    };
    for (text, said) in [
        (r#"{"tokens":{}}"#, "is no allotment, in `allotted` of `tokens`"),
        (r#"{"cost":{"allotted":"1 GBP"}}"#, "no decimal"),
        (r#"{"cost":{"allotted":1e3}}"#, "exponent"),
        (r#"{"cost":{"allotted":1,"spent":-1}}"#, "negative"),
        (
            r#"{"cost":{"allotted":1,"spent":2}}"#,
            "is spent of `cost`, and 1 was allotted",
        ),
        (r#"{"tokens":{"allotted":1},"keep":"some"}"#, "`keep`"),
        (
            r#"{"tokens":{"allotted":1},"on_exhausted":"wait"}"#,
            "neither park nor fail",
        ),
    ] {
        let bad = with("1.7.0", text).check_budget().expect_err(text);
        assert_eq!(bad.field, "budget");
        assert!(bad.to_string().contains(said), "{bad}");
        assert_eq!(with("1.6.0", text).check_budget(), Ok(()));
    }
    assert_eq!(
        with("1.7.0", r#"{"cost":{"allotted":1,"spent":2,"overrun":1}}"#).check_budget(),
        Ok(())
    );
    let draft = act::submit(NOW, version("2.0.0"), with("1.6.0", r#"{"cost":{"allotted":"1 EUR"}}"#));
    assert_eq!(draft.snapshot.budget, None);
    assert!(draft.envelope.expect("an envelope").budget.is_some());
    // Nobody counts what an older client says, however well it can be read.
    let older = with("1.6.0", r#"{"cost":{"allotted":1},"counted":true}"#).with_counted_budget();
    assert_eq!(act::submit(NOW, version("2.0.0"), older).snapshot.budget, None);
}

#[test]
fn an_intent_without_a_budget_writes_nothing_of_one() {
    let envelope = Envelope::first(envelope_id(1), intent(), agent("code"), Json::null());
    let head = sealed(act::submit(NOW, version("2.0.0"), envelope), 0);
    let written = record(hold(&head, r#"{"tokens":5}"#).expect("nothing bounds it"), 1);
    assert_eq!(
        (written.snapshot.budget.as_ref(), written.assumed.as_ref()),
        (None, None)
    );
    let mut draft = act::complete(&head, Json::null()).expect("legal");
    draft.took_ms = Some(100);
    draft.has_spent(Spend::of(amounts(r#"{"tokens":5}"#)));
    let text = serde_json::to_string(&record(draft, 1)).expect("JSON");
    assert!(!text.contains("budget") && !text.contains("spend"), "{text}");
}
