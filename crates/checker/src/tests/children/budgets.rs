//! Budgets: a story of one hop that spends and of one that lends holds, and each way of breaking B1 to B5 is found.

use serde_json::{Value, json};

use super::{altered, of_child, story};
use crate::tests::{breaks, records};
use crate::{Evidence, check};

/// One intent: it holds 400, spends 100 of it and hands on; the next holder fails with 300 held.
fn spends(change: impl Fn(&mut Vec<(i64, Value)>)) -> Evidence {
    let mut all = records();
    let budgets = [
        json!({"tokens": {"allotted": 1000}}),
        json!({"tokens": {"allotted": 1000, "held": 400}, "epoch": 1}),
        json!({"tokens": {"allotted": 1000, "spent": 100}, "epoch": 1}),
        json!({"tokens": {"allotted": 1000, "spent": 100}}),
        json!({"tokens": {"allotted": 1000, "spent": 400}}),
        json!({"tokens": {"allotted": 1000, "spent": 400}}),
        json!({"tokens": {"allotted": 1000, "spent": 400}}),
    ];
    for ((_, record), budget) in all.iter_mut().zip(budgets) {
        record["snapshot"]["budget"] = budget;
    }
    all[0].1["envelope"]["protocol"] = json!("1.7.0");
    all[0].1["envelope"]["budget"] = json!({"tokens": {"allotted": 1000}});
    all[1].1["hold"] = json!({"step": "s", "amounts": {"tokens": 400}, "epoch": 1});
    all[2].1["spend"] = json!({"step": "s", "amounts": {"tokens": 100}, "held": {"tokens": 400}});
    // The second holder said that it is at work with its hold.
    let mut held = all[4].1.clone();
    held["id"] = json!("r4b");
    held["event"] = json!({"type": "started"});
    held["hold"] = json!({"step": "t", "amounts": {"tokens": 300}, "epoch": 2});
    let snapshot = &mut held["snapshot"];
    (snapshot["status"], snapshot["attempt"], snapshot["epoch"]) =
        (json!({"state": "in_progress"}), json!(1), json!(2));
    (snapshot["holder"], snapshot["wake_at"]) = (json!("b1"), Value::Null);
    snapshot["budget"] = json!({"tokens": {"allotted": 1000, "spent": 100, "held": 300}, "epoch": 2});
    all[4].1["assumed"] = json!({"tokens": 300});
    all.insert(4, (35, held));
    change(&mut all);
    crate::tests::story_of(&all)
}

fn budget(records: &mut [(i64, Value)], at: usize) -> &mut Value {
    &mut records[at].1["snapshot"]["budget"]["tokens"]
}

#[test]
fn a_story_of_a_budget_holds() {
    let verdict = check(&spends(|_| ()));
    assert_eq!(verdict.violations, []);
    assert_eq!(
        (verdict.counts.budgets, verdict.counts.holds, verdict.counts.assumed),
        (1, 2, 1)
    );
}

#[test]
fn b1_what_no_record_explains_is_found() {
    // More out of nothing, less than was spent, and a spend that does not count.
    breaks(
        "B1",
        &spends(|records| (0..8).for_each(|at| budget(records, at)["allotted"] = json!(2_000))),
    );
    breaks(
        "B1",
        &spends(|records| (5..8).for_each(|at| budget(records, at)["allotted"] = json!(1_001))),
    );
    breaks(
        "B1",
        &spends(|records| (6..8).for_each(|at| budget(records, at)["spent"] = json!(100))),
    );
    breaks(
        "B1",
        &spends(|records| records[7].1["snapshot"]["budget"] = Value::Null),
    );
    breaks(
        "B1",
        &spends(|records| records[2].1["spend"]["amounts"]["tokens"] = json!(101)),
    );
    let top_up = |records: &mut Vec<(i64, Value)>, id: &str| {
        let mut topped = records[6].1.clone();
        topped["id"] = json!(format!("r-{}", records.len()));
        topped["event"] = json!({"type": "topped_up"});
        topped["top_up"] = json!({"id": id, "amounts": {"tokens": 5}});
        let last = records.len() - 1;
        let allotted = 1_000 + 5 * (records.len() - 7);
        topped["snapshot"]["budget"]["tokens"]["allotted"] = json!(allotted);
        records[last].1["snapshot"]["budget"]["tokens"]["allotted"] = json!(allotted);
        records.insert(last, (255, topped));
    };
    let fine = spends(|records| ["one", "two"].into_iter().for_each(|id| top_up(records, id)));
    assert_eq!(check(&fine).violations, []);
    breaks(
        "B1",
        &spends(|records| ["one", "one"].into_iter().for_each(|id| top_up(records, id))),
    );
}

#[test]
fn b2_a_hold_beyond_what_is_available_or_after_an_overrun_is_found() {
    breaks(
        "B2",
        &spends(|records| {
            records[4].1["hold"]["amounts"]["tokens"] = json!(901);
            budget(records, 4)["held"] = json!(901);
            records[5].1["assumed"]["tokens"] = json!(901);
            (5..8).for_each(|at| budget(records, at)["spent"] = json!(1_001));
        }),
    );
    breaks(
        "B2",
        &spends(|records| records[3].1["snapshot"]["budget"]["overran"] = json!(true)),
    );
}

#[test]
fn b4_what_an_earlier_holder_held_and_nobody_charges_is_found() {
    breaks(
        "B4",
        &spends(|records| {
            records[5].1["assumed"] = Value::Null;
            (5..8).for_each(|at| budget(records, at)["spent"] = json!(100));
        }),
    );
    breaks("B4", &spends(|records| budget(records, 7)["held"] = json!(300)));
}

/// The parent lends each of two children 300 of 1000; they spend 100 and 250.
fn lends(change: impl Fn(&mut Vec<(i64, Value)>), of_second: impl Fn(&mut Vec<Value>)) -> Evidence {
    let shares = json!([{"count": 2, "amounts": {"tokens": 300}}]);
    let set = |ended: &str| json!([{"hop": 1, "name": "calls", "count": 2, "ended": ended, "shares": shares.clone()}]);
    let spent = |number: u64| {
        move |records: &mut Vec<Value>| {
            for record in records.iter_mut() {
                record["snapshot"]["budget"] = json!({"tokens": {"allotted": 300}});
            }
            let last = records.len() - 1;
            records[last]["spend"] = json!({"amounts": {"tokens": number}});
            records[last]["snapshot"]["budget"] = json!({"tokens": {"allotted": 300, "spent": number}});
            records[0]["envelope"]["protocol"] = json!("1.7.0");
            records[0]["envelope"]["budget"] = json!({"tokens": {"allotted": 300}});
        }
    };
    let parent = |records: &mut Vec<(i64, Value)>| {
        let budgets = [
            json!({"tokens": {"allotted": 1000}}),
            json!({"tokens": {"allotted": 1000, "lent": 600}}),
            json!({"tokens": {"allotted": 1000, "spent": 350}}),
            json!({"tokens": {"allotted": 1000, "spent": 350}}),
            json!({"tokens": {"allotted": 1000, "spent": 350}}),
            json!({"tokens": {"allotted": 1000, "spent": 350}}),
        ];
        for ((_, record), budget) in records.iter_mut().zip(budgets) {
            record["snapshot"]["budget"] = budget;
        }
        records[0].1["envelope"]["protocol"] = json!("1.7.0");
        records[0].1["envelope"]["budget"] = json!({"tokens": {"allotted": 1000}});
        records[1].1["snapshot"]["children"] = set("");
        records[2].1["snapshot"]["children"] = set("Aw");
        for (index, spent) in [(0, 100), (1, 250)] {
            records[2].1["children"][0]["ends"][index]["spent"] = json!({"tokens": spent});
        }
        change(records);
    };
    let second = |records: &mut Vec<Value>| {
        spent(250)(records);
        of_second(records);
    };
    story(parent, [of_child(0, spent(100)), of_child(1, second)])
}

#[test]
fn a_story_of_loans_holds() {
    let verdict = check(&lends(|_| (), |_| ()));
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.counts.budgets, 3);
    assert_eq!(check(&altered(|_| ())).counts.budgets, 0);
}

#[test]
fn b3_an_end_that_settles_again_or_with_other_numbers_is_found() {
    let again = |records: &mut Vec<(i64, Value)>| {
        let mut again = records[2].1.clone();
        again["id"] = json!("r3b");
        again["snapshot"]["budget"]["tokens"]["spent"] = json!(450);
        let ends = again["children"][0]["ends"].as_array_mut().expect("ends");
        ends.truncate(1);
        for record in &mut records[3..] {
            record.1["snapshot"]["budget"]["tokens"]["spent"] = json!(450);
        }
        records.insert(3, (25, again));
    };
    assert!(check(&lends(again, |_| ())).broken().contains("B3"));
    let other = |records: &mut Vec<(i64, Value)>| {
        records[2].1["children"][0]["ends"][1]["spent"]["tokens"] = json!(200);
        for record in &mut records[2..] {
            record.1["snapshot"]["budget"]["tokens"]["spent"] = json!(300);
        }
    };
    breaks("B3", &lends(other, |_| ()));
}

#[test]
fn b5_a_child_that_has_more_than_it_was_lent_is_found() {
    let more = |records: &mut Vec<Value>| {
        records[0]["envelope"]["budget"]["tokens"]["allotted"] = json!(1_000);
        for record in records.iter_mut() {
            record["snapshot"]["budget"]["tokens"]["allotted"] = json!(1_000);
        }
    };
    breaks("B5", &lends(|_| (), more));
    // Each has all that there is: more is lent than is available.
    let all = |records: &mut Vec<(i64, Value)>| {
        for at in [1, 2] {
            records[at].1["snapshot"]["children"][0]["shares"][0]["amounts"]["tokens"] = json!(1_000);
        }
        records[1].1["snapshot"]["budget"]["tokens"]["lent"] = json!(2_000);
    };
    assert!(check(&lends(all, |_| ())).broken().contains("B2"));
}

/// As [`lends`], and the second child is lent so many more: by its parent first, then it has them.
fn lends_more(more: u64, change: impl Fn(&mut Vec<(i64, Value)>), of_second: impl Fn(&mut Vec<Value>)) -> Evidence {
    let top_up = json!({"id": "m-1", "amounts": {"tokens": more}});
    let parent = |records: &mut Vec<(i64, Value)>| {
        let shares = json!([{"count": 1, "amounts": {"tokens": 300}}, {"count": 1, "amounts": {"tokens": 300 + more}}]);
        let mut lent = records[1].1.clone();
        lent["id"] = json!("r2b");
        lent["event"] = json!({"type": "topped_up"});
        lent["by"] = json!({"role": "operator", "instance": "ada"});
        lent.as_object_mut().expect("an object").remove("waits");
        lent["top_up"] = top_up.clone();
        lent["top_up"]["lent_to"] = json!(super::child(1));
        let snapshot = &mut lent["snapshot"];
        snapshot["waits"][0]["seq"] = json!(20);
        snapshot["children"][0]["shares"] = shares.clone();
        snapshot["children"][0]["owed"] = json!([{"index": 1, "id": "m-1", "amounts": {"tokens": more}}]);
        snapshot["budget"]["tokens"]["lent"] = json!(600 + more);
        records[2].1["snapshot"]["children"][0]["shares"] = shares;
        // The child has a record more.
        records[2].1["children"][0]["ends"][1]["seq"] = json!(2_040);
        records[3].1["results"][0]["children"][1]["seq"] = json!(2_040);
        records.insert(2, (15, lent));
        change(records);
    };
    let child = |records: &mut Vec<Value>| {
        let mut topped = records[1].clone();
        topped["id"] = json!("t1b");
        topped["event"] = json!({"type": "topped_up"});
        topped["by"] = json!({"role": "operator", "instance": "ada"});
        topped["top_up"] = top_up.clone();
        records.insert(2, topped);
        for record in &mut records[2..] {
            record["snapshot"]["budget"]["tokens"]["allotted"] = json!(300 + more);
        }
        of_second(records);
    };
    lends(parent, child)
}

#[test]
fn a_story_of_a_child_that_is_lent_more_holds() {
    assert_eq!(check(&lends_more(200, |_| (), |_| ())).violations, []);
}

#[test]
fn b1_and_b2_what_is_lent_more_and_not_there_or_does_not_count_is_found() {
    breaks("B2", &lends_more(401, |_| (), |_| ()));
    let keeps = |records: &mut Vec<(i64, Value)>| {
        for (_, record) in records.iter_mut() {
            record["snapshot"]["budget"]["keep"] = json!(201);
        }
    };
    breaks("B2", &lends_more(200, keeps, |_| ()));
    let uncounted = |records: &mut Vec<(i64, Value)>| {
        records[2].1["snapshot"]["budget"]["tokens"]["lent"] = json!(600);
    };
    breaks("B1", &lends_more(200, uncounted, |_| ()));
    let other = |records: &mut Vec<(i64, Value)>| records[2].1["top_up"]["lent_to"] = json!(super::child(0));
    breaks("B1", &lends_more(200, other, |_| ()));
}

#[test]
fn b5_a_child_that_gets_more_than_its_parent_lent_or_less_than_it_owes_is_found() {
    let more = |records: &mut Vec<Value>| {
        records[2]["top_up"]["amounts"]["tokens"] = json!(250);
        for record in &mut records[2..] {
            record["snapshot"]["budget"]["tokens"]["allotted"] = json!(550);
        }
    };
    breaks("B5", &lends_more(200, |_| (), more));
    let unowed = |records: &mut Vec<(i64, Value)>| records[2].1["snapshot"]["children"][0]["owed"] = json!([]);
    breaks("B5", &lends_more(200, unowed, |_| ()));
    // It says that the child has it, and that is not so before.
    let early = |records: &mut Vec<(i64, Value)>| {
        let mut paid = records[2].1.clone();
        paid["id"] = json!("r2c");
        paid["top_up"]["paid"] = json!(true);
        paid["top_up"]["amounts"] = json!({});
        paid["snapshot"]["children"][0]["owed"] = json!([]);
        records.insert(3, (16, paid));
    };
    breaks("B5", &lends_more(200, early, |_| ()));
}
