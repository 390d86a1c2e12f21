//! P8: who may decide.

use serde_json::{Value, json};

use super::{records, stored, time};
use crate::{Evidence, check};

/// A hop that waits for ada, and a decision of hers, with these changes to the snapshot before it and to what she did.
fn decided(before: &Value, did: &Value) -> bool {
    let mut records = records();
    records.truncate(2);
    let waiting = |snapshot: &Value| {
        let mut wait = json!({"hop": 1, "name": "publish", "kind": "approval", "after_ms": 60, "seq": 20});
        wait["ballot"] = json!({"seats": [{"person": "ada", "said": 3}], "closed": true, "quorum": 1});
        for (name, value) in before.as_object().unwrap() {
            wait["ballot"][name] = value.clone();
        }
        let mut snapshot = snapshot.clone();
        snapshot["status"] = json!({"state": "waiting", "reason": "human"});
        snapshot["waits"] = json!([wait]);
        snapshot["holder"] = Value::Null;
        snapshot
    };
    let snapshot = waiting(&records[1].1["snapshot"]);
    let mut asked = records[1].1.clone();
    (asked["id"], asked["event"]) = (json!("r3"), json!({"type": "waiting", "reason": "human"}));
    asked["snapshot"] = snapshot.clone();
    let mut said = asked.clone();
    (said["id"], said["event"]) = (json!("r4"), json!({"type": "signalled"}));
    said["by"] = json!({"role": "controller", "instance": "c1"});
    said["people"] = json!({"act": "decided", "hop": 1, "wait": "publish", "by": "ada", "said": 7, "at": time(60)});
    for (name, value) in did.as_object().unwrap() {
        said["people"][name] = value.clone();
    }
    records.extend([(20, asked), (70, said)]);
    let evidence = Evidence {
        messages: stored(&records),
        ..Evidence::default()
    };
    check(&evidence).broken().contains("P8")
}

#[test]
fn p8_who_may_not_decide_and_what_comes_too_late_is_found() {
    let none = json!({});
    assert!(!decided(&none, &none), "a good one");
    assert!(decided(&none, &json!({"by": "eve"})), "no seat");
    assert!(
        !decided(&json!({"closed": false}), &json!({"by": "eve"})),
        "anybody may"
    );
    assert!(
        decided(&json!({"closed": false, "barred": ["eve"]}), &json!({"by": "eve"})),
        "barred"
    );
    assert!(
        decided(&json!({"decided": {"choice": "approve", "cause": "quorum"}}), &none),
        "certain"
    );
    assert!(decided(&none, &json!({"said": 2})), "older than her word");
    assert!(decided(&none, &json!({"at": time(80)})), "stored at the end");
    assert!(decided(&none, &json!({"wait": "pay"})), "not open");
}
