//! Lending a child more: what is refused and why, and what the head owes until the child has it.

use baton_envelope::budget::{Borrower, MOST_OWED, MOST_SHARES, TopUp, TopUpRefused};
use baton_envelope::*;

use super::one::{amounts, is, sealed};
use super::tree::{call, called, done, end, parent};
use crate::samples::*;

fn id_of(index: u32) -> IntentId {
    IntentId::of_child(&intent(), 1, "qa", index)
}

/// The child at this place, as its submitter begins it.
fn child(head: &Snapshot, index: u32) -> Snapshot {
    let mut envelope = Envelope::first(envelope_id(2), id_of(index), agent("qa"), Json::null());
    (envelope.hop, envelope.parent) = (2, Some(intent()));
    envelope.budget = head.child_budget("qa", index).map(Box::new);
    sealed(act::submit_child(NOW, version("2.0.0"), envelope, &head.path), 0)
}

fn lend(
    head: &Snapshot,
    (index, child): (u32, &Snapshot),
    id: &str,
    more: &str,
) -> Result<Option<Draft>, TopUpRefused> {
    let to = Borrower {
        parent: &intent(),
        child: &id_of(index),
        snapshot: child,
    };
    act::lend_more(head, to, TopUp::new(id, amounts(more)), "the long documents")
}

fn refused(head: &Snapshot, of: (u32, &Snapshot), more: &str) -> String {
    lend(head, of, "m-1", more).expect_err("refused").to_string()
}

/// Two children of 200 each, of 1,000, of which 100 are kept.
fn waits() -> Snapshot {
    let head = parent(r#"{"tokens":{"allotted":1000},"keep":100}"#);
    called(&head, &[Some(r#"{"tokens":200}"#), Some(r#"{"tokens":200}"#)])
}

#[test]
fn a_parent_lends_more_of_what_it_has_and_owes_it_until_the_child_has_it() {
    let head = waits();
    let (first, second) = (child(&head, 0), child(&head, 1));
    let owes = |head: &Snapshot| head.owes_top_ups();
    assert!(!owes(&head) && head.debts(&intent()).is_empty());
    let draft = lend(&head, (1, &second), "m-1", r#"{"tokens":300}"#)
        .expect("legal")
        .expect("new");
    let record = draft.seal(intent(), 3, stamp());
    assert_eq!(
        (record.event.name(), record.note.as_deref()),
        ("topped_up", Some("the long documents"))
    );
    let top_up = record.top_up.as_deref().expect("a top-up");
    assert_eq!((top_up.lent_to.as_ref(), top_up.paid), (Some(&id_of(1)), false));
    assert!(effects(&record).any(|owed| owed == (Effect::TopUps, Owed::Now)));
    let lent = record.snapshot.seen_at(4);
    is(&lent, r#"{"tokens":{"allotted":1000,"lent":700},"keep":100}"#);
    assert_eq!(lent.children[0].shares.len(), 2);
    assert_eq!(lent.status, head.status);
    // The same request again changes nothing, but for another child it is another.
    assert_eq!(lend(&lent, (1, &second), "m-1", r#"{"tokens":300}"#), Ok(None));
    assert!(matches!(
        lend(&lent, (0, &first), "m-1", r#"{"tokens":300}"#),
        Err(TopUpRefused::ParentShort { .. })
    ));
    // A parent may be paused in between, and still owes it.
    let paused = sealed(act::pause(&lent, "a question").expect("legal"), 4);
    let debts = paused.debts(&intent());
    let [debt] = &debts[..] else {
        panic!("{:?}", paused.children)
    };
    assert_eq!((&debt.child, &debt.share), (&id_of(1), &amounts(r#"{"tokens":500}"#)));
    let topped = sealed(act::pay_lent(&second, debt, "why").expect("legal").expect("new"), 1);
    let has = topped.budget.as_ref().expect("a budget").allotted();
    assert_eq!(has, amounts(r#"{"tokens":500}"#));
    assert_eq!(act::pay_lent(&topped, debt, "why"), Ok(None));
    let paid = std::slice::from_ref(debt);
    let known = act::paid_lent(&paused, &intent(), paid).expect("legal").expect("owed");
    assert!(
        known
            .top_up
            .as_ref()
            .is_some_and(|top_up| top_up.paid && top_up.amounts.are_zero())
    );
    let known = sealed(known, 5);
    assert!(!owes(&known) && known.budget == paused.budget);
    assert_eq!(act::paid_lent(&known, &intent(), paid), Ok(None));
    assert_eq!(
        lend(&known, (1, &second), "m-1", r#"{"tokens":300}"#),
        Ok(None),
        "it is remembered"
    );
    // One beside the other have as much again: told once.
    let more = parent_with(&known, 1_000);
    let both = lend(&more, (0, &first), "m-2", r#"{"tokens":300}"#)
        .expect("legal")
        .expect("new");
    assert_eq!(both.snapshot.children[0].shares.len(), 1);
}

/// The parent after it was topped up.
fn parent_with(head: &Snapshot, more: u64) -> Snapshot {
    let top_up = TopUp::new("own", super::one::tokens(more));
    sealed(act::top_up(head, top_up, "more").expect("legal").expect("new"), 6)
}

#[test]
fn what_cannot_be_lent_is_refused_and_says_why() {
    let head = waits();
    let second = child(&head, 1);
    let of = (1, &second);
    let short = refused(&head, of, r#"{"tokens":501}"#);
    for said in [
        "501 tokens",
        "500 tokens left",
        &format!("baton budget top-up {}", intent()),
    ] {
        assert!(short.contains(said), "{said}: {short}");
    }
    assert!(lend(&head, of, "m-1", r#"{"tokens":500}"#).is_ok_and(|draft| draft.is_some()));
    assert!(refused(&head, of, r#"{"tokens":0}"#).contains("of nothing"));
    assert!(refused(&head, of, r#"{"cost":1}"#).contains("does not bound cost"));
    assert!(refused(&head, of, r#"{"tokens":999999999999999999}"#).contains("18 digits"));
    // The child has ended, as it says itself or as the parent knows.
    let ended = sealed(act::cancel(&second, "nobody wants it").expect("legal"), 1);
    assert!(refused(&head, (1, &ended), r#"{"tokens":1}"#).contains("the child has ended"));
    let known = done(&head, vec![end(&head, 1, "5", "0")]).expect("new");
    assert!(refused(&known, of, r#"{"tokens":1}"#).contains("the child has ended"));
    // The parent has ended, or goes on without it.
    let closed = sealed(act::cancel(&head, "over").expect("legal"), 3);
    assert!(refused(&closed, of, r#"{"tokens":1}"#).contains("has ended and lends nothing"));
    let mut gone_on = head.clone();
    gone_on.waits.clear();
    assert!(refused(&gone_on, of, r#"{"tokens":1}"#).contains("does not wait for it"));
    let mut detached = head.clone();
    detached.children[0].detach = true;
    assert!(refused(&detached, of, r#"{"tokens":1}"#).contains("detached"));
    // It is not of this parent, or has nothing of it.
    assert!(refused(&head, (7, &second), r#"{"tokens":1}"#).contains("does not wait for it"));
    let mut other = second.clone();
    other.parent = Some(id_of(0));
    assert!(refused(&head, (1, &other), r#"{"tokens":1}"#).contains("lends it nothing"));
    let mut unlent = head.clone();
    unlent.children[0].shares.clear();
    assert!(refused(&unlent, of, r#"{"tokens":1}"#).contains("lends it nothing"));
    // A child is not topped up but by its parent.
    let own = act::top_up(&second, TopUp::new("m-1", amounts(r#"{"tokens":1}"#)), "more");
    assert_eq!(own, Err(TopUpRefused::IsChild { parent: intent() }));
    // So much fits into the head.
    let mut owing = head.clone();
    for number in 0..MOST_OWED {
        let draft = lend(&owing, of, &number.to_string(), r#"{"tokens":1}"#)
            .expect("legal")
            .expect("new");
        owing = sealed(draft, 4);
    }
    assert!(refused(&owing, of, r#"{"tokens":1}"#).contains("64 top-ups already"));
}

/// What a parent without a bound lends it need not have.
#[test]
fn a_parent_that_nothing_bounds_lends_without_end() {
    let mut head = parent(r#"{"cost":{"allotted":1}}"#);
    head.budget = None;
    let head = called(&head, &[Some(r#"{"tokens":200}"#)]);
    let first = child(&head, 0);
    let lent = lend(&head, (0, &first), "m-1", r#"{"tokens":5000}"#)
        .expect("legal")
        .expect("new");
    let lent = sealed(lent, 3);
    assert_eq!(lent.debts(&intent())[0].share, amounts(r#"{"tokens":5200}"#));
    assert!(lend(&lent, (0, &first), "m-2", r#"{"cost":1}"#).is_err());
}

#[test]
fn the_shares_of_a_call_stay_in_256_runs() {
    let head = parent(r#"{"tokens":{"allotted":1000000}}"#);
    let count = 600;
    let mut waits = sealed(
        act::suspend(&head, &[call(&vec![Some(r#"{"tokens":100}"#); count])]).expect("legal"),
        2,
    );
    // Every other child: each splits a run.
    let mut raised = 0;
    let refused = loop {
        let index = 2 * raised + 1;
        match lend(&waits, (index, &child(&waits, index)), "m", r#"{"tokens":7}"#) {
            Ok(draft) => waits = sealed(draft.expect("new"), 3),
            Err(refused) => break refused,
        }
        // It is paid at once, so that nothing is owed.
        let debts = waits.debts(&intent());
        waits = sealed(
            act::paid_lent(&waits, &intent(), &debts).expect("legal").expect("owed"),
            4,
        );
        raised += 1;
        let runs = &waits.children[0].shares;
        assert!(runs.len() <= MOST_SHARES);
        assert_eq!(runs.iter().map(|run| run.count as usize).sum::<usize>(), count);
    };
    assert_eq!((refused, raised), (TopUpRefused::TooManyShares, 127));
    let lent = waits.budget.as_ref().expect("a budget").lent();
    assert_eq!(lent, amounts(&format!(r#"{{"tokens":{}}}"#, 60_000 + 7 * raised)));
    // One that joins what stands beside it still fits.
    assert!(lend(&waits, (0, &child(&waits, 0)), "m", r#"{"tokens":7}"#).is_ok());
}

#[test]
fn an_end_takes_the_whole_share_and_what_is_owed_of_it() {
    let head = waits();
    let lent = lend(&head, (1, &child(&head, 1)), "m-1", r#"{"tokens":300}"#).expect("legal");
    let lent = sealed(lent.expect("new"), 3);
    let after = done(&lent, vec![end(&lent, 1, "150", "0")]).expect("new");
    is(
        &after,
        r#"{"tokens":{"allotted":1000,"spent":150,"lent":200},"keep":100}"#,
    );
    assert!(!after.owes_top_ups());
    // An older version records ends, and leaves the debt.
    let mut older = lent;
    older.children[0].ended = "Ag".to_owned();
    assert!(!older.owes_top_ups() && older.debts(&intent()).is_empty());
}
