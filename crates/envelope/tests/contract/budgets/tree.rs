//! What a parent lends, and what comes back.

use baton_envelope::budget::Amounts;
use baton_envelope::*;

use super::one::{amounts, is, sealed};
use crate::samples::*;

/// A parent at work with this budget.
pub(super) fn parent(budget: &str) -> Snapshot {
    let mut envelope = Envelope::first(envelope_id(1), intent(), agent("code"), Json::null());
    envelope.budget = Some(serde_json::from_str(budget).expect("a budget"));
    let head = sealed(act::submit(NOW, version("2.0.0"), envelope.with_counted_budget()), 0);
    sealed(act::start(&head, "w-1").expect("legal"), 1)
}

/// A call of children that name these shares.
pub(super) fn call(shares: &[Option<&str>]) -> WaitSpec {
    let child = |share: &Option<&str>| Child {
        budget: share.map(|share| Box::new(amounts(share))),
        ..Child::new(Json::null())
    };
    let children = Children {
        to: Some(agent("qa")),
        ..Children::new(shares.iter().map(child).collect(), JoinRule::Collect)
    };
    WaitSpec::for_children("qa", children)
}

pub(super) fn called(head: &Snapshot, shares: &[Option<&str>]) -> Snapshot {
    sealed(act::suspend(head, &[call(shares)]).expect("legal"), 2)
}

fn share(head: &Snapshot, index: u32) -> Amounts {
    head.child_budget("qa", index).expect("a share").allotted()
}

/// The end of a child of this parent that has spent so much.
pub(super) fn end(parent: &Snapshot, index: u32, spent: &str, overrun: &str) -> ChildEnd {
    let mut child = full_snapshot();
    child.parent = Some(intent());
    let budget = format!(r#"{{"tokens":{{"allotted":0,"spent":{spent},"overrun":{overrun}}}}}"#);
    child.budget = Some(serde_json::from_str(&budget).expect("a budget"));
    let mut end = ChildEnd {
        index,
        state: "completed".to_owned(),
        code: None,
        spent: None,
        overrun: None,
        ..full_child_end()
    };
    end.account(&parent.children[0], &intent(), Some(&child));
    end
}

pub(super) fn done(head: &Snapshot, ends: Vec<ChildEnd>) -> Option<Snapshot> {
    let done = ChildrenDone {
        hop: 1,
        name: "qa".to_owned(),
        ends,
        extra: Extra::new(),
    };
    let draft = act::child_done(head, &[done]).expect("legal")?;
    Some(sealed(draft, 3))
}

#[test]
fn children_get_what_they_name_and_share_the_rest_evenly() {
    let head = parent(r#"{"tokens":{"allotted":1000},"cost":{"allotted":1},"keep":99}"#);
    let head = called(
        &head,
        &[
            Some(r#"{"tokens":400}"#),
            None,
            None,
            Some(r#"{"tokens":1,"cost":0.1}"#),
        ],
    );
    assert_eq!(share(&head, 0), amounts(r#"{"tokens":400,"cost":0.3}"#));
    assert_eq!(share(&head, 1), amounts(r#"{"tokens":250,"cost":0.3}"#));
    assert_eq!(share(&head, 3), amounts(r#"{"tokens":1,"cost":0.1}"#));
    is(
        &head,
        r#"{"tokens":{"allotted":1000,"lent":901},"cost":{"allotted":1,"lent":1},"keep":99}"#,
    );
    assert_eq!(head.children[0].shares.len(), 3, "equal shares are told once");
}

/// B5, as nodetool#5489 had it: each child opened an allowance of its own, and 1.25 became 2.00.
#[test]
fn children_together_never_have_more_than_their_root() {
    let head = parent(r#"{"cost":{"allotted":1.25}}"#);
    for count in [1, 2, 3, 8, 10_000] {
        let waits = called(&head, &vec![None; count]);
        let all: Amounts = (0..count).fold(Amounts::NONE, |mut all, index| {
            all.add(&share(&waits, u32::try_from(index).expect("few")));
            all
        });
        assert!(
            all.cost <= Some("1.25".parse().expect("an amount")),
            "{count} children have {all}"
        );
        let budget = waits.budget.as_ref().expect("a budget");
        assert_eq!(budget.lent().cost, all.cost);
    }
    // What one child has named the others have no more.
    let waits = called(&head, &[Some(r#"{"cost":1.25}"#), None, None]);
    assert_eq!(share(&waits, 1), amounts(r#"{"cost":0}"#));
}

#[test]
fn a_call_that_lends_more_than_there_is_parks_its_parent() {
    let head = parent(r#"{"tokens":{"allotted":1000},"keep":100}"#);
    let spec = call(&[Some(r#"{"tokens":500}"#), Some(r#"{"tokens":401}"#)]);
    let draft = act::suspend(&head, &[spec]).expect("legal");
    assert_eq!(
        draft.event,
        Event::Parked {
            code: codes::BUDGET.to_owned()
        }
    );
    assert!(draft.snapshot.children.is_empty() && draft.waits.is_empty());
    let parked = sealed(draft, 2);
    is(
        &parked,
        r#"{"tokens":{"allotted":1000},"keep":100,"need":{"tokens":1001}}"#,
    );
    let fails = parent(r#"{"tokens":{"allotted":1000},"on_exhausted":"fail"}"#);
    let draft = act::suspend(&fails, &[call(&[Some(r#"{"tokens":1001}"#)])]).expect("legal");
    assert_eq!(
        draft.event,
        Event::Failed {
            code: codes::BUDGET.to_owned()
        }
    );
}

#[test]
fn what_a_child_leaves_comes_back_and_an_end_that_comes_twice_settles_once() {
    let head = parent(r#"{"tokens":{"allotted":1000}}"#);
    let head = called(
        &head,
        &[
            Some(r#"{"tokens":300}"#),
            Some(r#"{"tokens":300}"#),
            Some(r#"{"tokens":300}"#),
        ],
    );
    let one = end(&head, 1, "120", "0");
    let head = done(&head, vec![one.clone()]).expect("new");
    is(&head, r#"{"tokens":{"allotted":1000,"spent":120,"lent":600}}"#);
    assert_eq!(done(&head, vec![one.clone()]), None);
    // Beside one that is new it counts no more either.
    let head = done(&head, vec![one, end(&head, 2, "300", "0")]).expect("new");
    is(&head, r#"{"tokens":{"allotted":1000,"spent":420,"lent":300}}"#);
    let over = end(&head, 0, "350", "50");
    let head = done(&head, vec![over]).expect("new");
    is(
        &head,
        r#"{"tokens":{"allotted":1000,"spent":770,"overrun":50},"overran":true}"#,
    );
}

#[test]
fn what_nobody_can_say_counts_as_spent_and_who_never_began_spent_nothing() {
    let head = parent(r#"{"tokens":{"allotted":1000}}"#);
    let head = called(&head, &[Some(r#"{"tokens":300}"#)]);
    let set = &head.children[0];
    let account = |last: Option<&Snapshot>| {
        let mut end = end(&head, 0, "7", "0");
        end.account(set, &intent(), last);
        end.spent.map(|spent| *spent)
    };
    let all = Some(amounts(r#"{"tokens":300}"#));
    assert_eq!(account(None), all, "it cannot be read");
    let mut child = full_snapshot();
    (child.parent, child.budget) = (Some(intent()), None);
    assert_eq!(account(Some(&child)), all, "a version without budgets has run it");
    child.attempt = 0;
    assert_eq!(account(Some(&child)), None, "it never began");
    child.parent = None;
    child.attempt = 1;
    assert_eq!(account(Some(&child)), None, "it is other work");
}

#[test]
fn what_is_still_lent_counts_as_spent_when_the_parent_ends() {
    let head = parent(r#"{"tokens":{"allotted":1000}}"#);
    let head = called(&head, &[Some(r#"{"tokens":300}"#), Some(r#"{"tokens":200}"#)]);
    let head = done(&head, vec![end(&head, 0, "20", "0")]).expect("new");
    let cancelled = sealed(act::cancel(&head, "nobody wants it").expect("legal"), 4);
    is(&cancelled, r#"{"tokens":{"allotted":1000,"spent":220}}"#);
}

#[test]
fn a_detached_call_gives_its_shares_away_and_a_late_end_settles_all_the_same() {
    let head = parent(r#"{"tokens":{"allotted":1000}}"#);
    for detach in [true, false] {
        let mut spec = call(&[Some(r#"{"tokens":300}"#), Some(r#"{"tokens":200}"#)]);
        if let Some(children) = &mut spec.children {
            (children.detach, children.join) = (detach, JoinRule::Any);
        }
        let waits = sealed(act::suspend(&head, &[spec]).expect("legal"), 2);
        let late = end(&waits, 1, "150", "0");
        let waits = done(&waits, vec![end(&waits, 0, "20", "0")]).expect("new");
        let envelope = Envelope::first(envelope_id(5), intent(), agent("code"), Json::null());
        let resumed = act::resume(&waits, envelope, version("2.0.0"), Vec::new(), &[]).expect("legal");
        let goes_on = sealed(resumed, 4);
        match detach {
            true => {
                is(&goes_on, r#"{"tokens":{"allotted":1000,"spent":220}}"#);
                assert_eq!(done(&goes_on, vec![late]), None);
            }
            false => {
                is(&goes_on, r#"{"tokens":{"allotted":1000,"spent":20,"lent":200}}"#);
                let settled = done(&goes_on, vec![late]).expect("new");
                is(&settled, r#"{"tokens":{"allotted":1000,"spent":170}}"#);
            }
        }
    }
}

#[test]
fn a_call_of_a_version_without_budgets_lends_nothing_and_its_children_have_nothing() {
    let head = parent(r#"{"tokens":{"allotted":1000}}"#);
    let mut head = called(&head, &[Some(r#"{"tokens":300}"#)]);
    head.children[0].shares.clear();
    assert_eq!(share(&head, 0), amounts(r#"{"tokens":0}"#));
    // A leader without budgets has recorded an end, and left what was lent.
    let head = parent(r#"{"tokens":{"allotted":1000}}"#);
    let mut head = called(&head, &[Some(r#"{"tokens":300}"#), Some(r#"{"tokens":200}"#)]);
    head.children[0].ended = "AQ".to_owned();
    let next = sealed(act::repin(&head, &agent("qa"), &version("1.0.0")).expect("legal"), 3);
    is(&next, r#"{"tokens":{"allotted":1000,"spent":300,"lent":200}}"#);
}

#[test]
fn a_child_is_bound_by_what_it_names_though_its_parent_is_not() {
    let mut head = parent(r#"{"tokens":{"allotted":1000}}"#);
    head.budget = None;
    let waits = called(&head, &[Some(r#"{"cost":0.5}"#), None]);
    assert_eq!(share(&waits, 0), amounts(r#"{"cost":0.5}"#));
    assert_eq!(waits.child_budget("qa", 1), None);
    assert_eq!(called(&head, &[None, None]).children[0].shares, []);
}

#[test]
fn too_many_different_shares_are_refused() {
    let shares: Vec<String> = (0..257).map(|number| format!(r#"{{"tokens":{number}}}"#)).collect();
    let shares: Vec<Option<&str>> = shares.iter().map(|share| Some(share.as_str())).collect();
    let problem = call(&shares).children.expect("children").check().expect_err("too many");
    assert!(problem.contains("257 different budgets"), "{problem}");
}
