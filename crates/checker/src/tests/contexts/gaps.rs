//! What could not be read of a view: a story with a gap that is told holds, and each way in which one is hidden, or the numbers are wrong,
//! is found.

use serde_json::{Value, json};

use super::{hash, object};
use crate::tests::{INTENT, breaks, records, story_of};
use crate::{Evidence, check};

/// What the first hop remembers: two things, of which nobody can read the second.
const KEPT: &str = "the decision";
const LOST: &str = "the notes";

fn gap() -> Value {
    json!({"key": "notes", "hash": hash(LOST), "why": "CONTEXT_MISSING"})
}

/// The first envelope tells of a gap already, as where the work began; so does the second, whose hop was given both memories and could read
/// one, and the last record. `change` edits the two envelopes and the record, then the link of the last hop.
fn story(is_back: bool, change: impl Fn(&mut [Value; 3], &mut Value)) -> Evidence {
    let memory = |key: &str, text: &str| json!({"key": key, "hash": hash(text)});
    let both = json!([memory("decision", KEPT), memory("notes", LOST)]);
    let first =
        json!({"link": 1, "tree": INTENT, "depth": 1, "intent": INTENT, "hop": 1, "memories": both}).to_string();
    let head = hash(&first);
    let mut last = json!({
        "link": 1, "tree": INTENT, "depth": 2, "intent": INTENT, "hop": 2, "previous": [head], "memories": [memory("more", "more")],
    });
    let mut all = records();
    let mut view = json!({"head": head, "links": 1, "memories": 2, "gaps": [gap()]});
    view["view"] = json!({"kept": 2, "assembled": {"requested": 2, "resolved": 1}});
    let mut begun = all[0].1.clone();
    begun["envelope"]["context"] = json!({"head": head, "links": 1, "memories": 2, "gaps": [gap()]});
    let mut handed_on = all[3].1.clone();
    (handed_on["envelope"]["context"], handed_on["envelope"]["memory"]) = (view, both);
    let mut done = all[6].1.clone();
    done["protocol"] = json!("1.7.0");
    done["context"] = json!({"requested": 2, "resolved": 1});
    done["snapshot"]["context"] = json!({"links": 2, "memories": 3, "gaps": [gap()]});
    let mut edited = [begun, handed_on, done];
    change(&mut edited, &mut last);
    let last = last.to_string();
    let memories = last.matches("\"key\"").count() + 2;
    if let Some(said) = edited[2]["snapshot"]["context"].as_object_mut() {
        said.insert("memories".to_owned(), json!(memories));
        said.insert("head".to_owned(), json!(hash(&last)));
    }
    for (place, record) in [0, 3, 6].into_iter().zip(edited) {
        all[place].1 = record;
    }
    let mut evidence = story_of(&all);
    let back = is_back.then_some(LOST);
    for text in [KEPT, "more", "other notes", &first, &last].into_iter().chain(back) {
        evidence.messages.push(object(INTENT, &hash(text), text));
    }
    evidence
}

/// What is broken of such a story; that the lost content is not there is no news.
fn broken(evidence: &Evidence) -> Vec<String> {
    let violations = check(evidence).violations.into_iter();
    let others = violations.filter(|violation| violation.invariant != "C1");
    others.map(|violation| violation.what).collect()
}

fn without_gaps(said: &mut Value) {
    said["gaps"] = json!([]);
}

#[test]
fn a_story_of_gaps_holds() {
    let evidence = story(false, |_, _| ());
    assert_eq!(broken(&evidence), Vec::<String>::new());
    let counts = check(&evidence).counts;
    assert_eq!((counts.gaps, counts.views), (2, 1));
    // It was found again, by the first hop or by the last.
    let found = |records: &mut [Value; 3], _: &mut Value| {
        without_gaps(&mut records[1]["envelope"]["context"]);
        without_gaps(&mut records[2]["snapshot"]["context"]);
        records[2]["context"]["resolved"] = json!(2);
    };
    assert_eq!(broken(&story(true, found)), Vec::<String>::new());
    // The last hop remembers something else in its place.
    let replaced = |records: &mut [Value; 3], last: &mut Value| {
        without_gaps(&mut records[2]["snapshot"]["context"]);
        last["memories"] = json!([{"key": "notes", "hash": hash("other notes")}]);
    };
    assert_eq!(broken(&story(false, replaced)), Vec::<String>::new());
}

#[test]
fn c11_a_gap_that_is_told_no_more_is_found() {
    breaks(
        "C11",
        &story(false, |records, _| without_gaps(&mut records[1]["envelope"]["context"])),
    );
    breaks(
        "C11",
        &story(false, |records, _| without_gaps(&mut records[2]["snapshot"]["context"])),
    );
    breaks(
        "C11",
        &story(false, |records, _| records[2]["snapshot"]["context"] = Value::Null),
    );
    // By whoever knows of no context.
    let older = |records: &mut [Value; 3], _: &mut Value| {
        records[2]["protocol"] = json!("1.6.0");
        records[2]["snapshot"]["context"] = Value::Null;
    };
    assert_eq!(broken(&story(false, older)), Vec::<String>::new());
    // Another content of the same key is another gap.
    breaks(
        "C11",
        &story(false, |records, _| {
            records[2]["snapshot"]["context"]["gaps"][0]["hash"] = json!(hash(KEPT));
        }),
    );
}

#[test]
fn c11_numbers_that_are_not_what_the_envelopes_come_to_are_found() {
    for (requested, resolved) in [(2, 2), (2, 0), (1, 0), (3, 2), (1, 2)] {
        let evidence = story(false, |records, _| {
            records[2]["context"] = json!({"requested": requested, "resolved": resolved});
        });
        breaks("C11", &evidence);
    }
    // What the sender could have.
    for (requested, resolved) in [(2, 2), (1, 0)] {
        breaks(
            "C11",
            &story(false, |records, _| {
                let view = &mut records[1]["envelope"]["context"]["view"];
                view["assembled"] = json!({"requested": requested, "resolved": resolved});
            }),
        );
    }
    // What a client refers to is none of the view, and counts on neither side.
    let foreign = |requested: usize| {
        story(false, move |records, _| {
            let client = json!({"key": "of-a-client", "hash": hash("x")});
            records[1]["envelope"]["memory"].as_array_mut().unwrap().push(client);
            records[2]["context"] = json!({"requested": requested, "resolved": requested - 1});
        })
    };
    assert_eq!(broken(&foreign(2)), Vec::<String>::new());
    breaks("C11", &foreign(3));
    // Of a view that the hop made itself nobody can say what it had.
    let own = story(false, |records, _| {
        records[1]["envelope"]["context"]
            .as_object_mut()
            .unwrap()
            .remove("view");
        records[2]["context"] = json!({"requested": 7, "resolved": 6});
    });
    assert_eq!(broken(&own), Vec::<String>::new());
}
