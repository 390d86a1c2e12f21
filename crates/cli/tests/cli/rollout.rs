//! The commands of rollouts against a controller that answers what the test tells it: what is asked, what is shown, and
//! how the command exits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use baton_envelope::codes;
use baton_envelope::control::{ControlError, Reply};
use baton_jetstream::{ControllerMesh, Target};
use serde_json::{Value, json};

use crate::harness::Bench;

pub(crate) const AT: &str = "2026-11-21T05:00:00.000Z";

pub(crate) type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// Answers each verb with its documents, one after the other and then the last one; refuses every other verb.
pub(crate) async fn answering(bench: &Bench, answers: &[(&str, Vec<Value>)]) -> Asked {
    let mesh = Target::at(bench.server.url()).connect().await.unwrap();
    let mut requests = ControllerMesh::of(&mesh).serve_control().await.unwrap();
    let mut answers: BTreeMap<String, Vec<Value>> = answers
        .iter()
        .map(|(verb, documents)| ((*verb).to_owned(), documents.clone()))
        .collect();
    let asked = Asked::default();
    let told = asked.clone();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            told.lock()
                .unwrap()
                .push((request.verb.clone(), request.read().unwrap()));
            match answers.get_mut(&request.verb) {
                Some(documents) => {
                    let document = documents[0].clone();
                    if documents.len() > 1 {
                        documents.remove(0);
                    }
                    request.answer(&Reply::Ok(document)).await;
                }
                None => {
                    let refusal = ControlError::new(
                        codes::ROLLOUT_OWNED,
                        "bob@elsewhere owns this rollout",
                        "take it over with --take-over",
                    );
                    request.answer(&Reply::<Value>::Error(refusal)).await;
                }
            }
        }
    });
    asked
}

fn status(phase: &str, drains: &str) -> Value {
    json!({
        "agent": "code", "active": "2.0.0", "canary": null, "evidence": null, "verdict": null, "alarms": [],
        "behind": 0,
        "rollout": {
            "id": "r-1", "from": "1.4.0", "to": "2.0.0", "owner": "ada@host", "started_at": AT, "steps": [10, 100],
            "step": 1, "step_since": AT, "hold_seconds": 1, "auto": true, "phase": phase, "ended_at": AT,
        },
        "drains": [{
            "version": "1.4.0", "state": drains, "since": AT, "workers": 1, "open": 0, "holds": [], "tickets": 0,
            "eta_seconds": null,
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_shows_each_change_once_and_ends_with_the_rollout() {
    let bench = Bench::bare().await;
    let answers = vec![
        status("draining", "draining"),
        status("draining", "draining"),
        status("done", "drained"),
    ];
    answering(&bench, &[("rollout.status", answers)]).await;
    let watch = bench
        .run(&["rollout", "status", "code", "--watch", "--output", "json"])
        .await
        .exits(0);
    let phases: Vec<Value> = watch
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["rollout"]["phase"].clone())
        .collect();
    assert_eq!(phases, ["draining", "done"]);
    let text = bench.run(&["rollout", "status", "code"]).await.exits(0).stdout;
    assert!(text.starts_with("code: 1.4.0 → 2.0.0, done at"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_a_rollout_is_the_same_person_in_the_next_command() {
    let bench = Bench::bare().await;
    let shown = vec![status("draining", "draining")];
    let asked = answering(&bench, &[("rollout.start", shown.clone()), ("rollout.promote", shown)]).await;
    bench
        .run(&["rollout", "start", "code", "2.0.0", "--canary", "5"])
        .await
        .exits(0)
        .says(&["baton rollout status code --watch"]);
    bench.run(&["rollout", "promote", "code", "--to-end"]).await.exits(0);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[0].1["steps"], json!([5, 10, 25, 50, 100]));
    assert_eq!(
        (&asked[1].0, &asked[1].1["to_end"]),
        (&"rollout.promote".to_owned(), &json!(true))
    );
    assert_eq!(asked[0].1["by"], asked[1].1["by"]);
    bench
        .run(&["rollout", "pause", "code"])
        .await
        .exits(4)
        .says(&["bob@elsewhere", "--take-over"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_bad_news_is_shown_and_fails() {
    let bench = Bench::bare().await;
    let plan = json!({
        "agent": "code", "from": "1.4.0", "to": "2.0.0", "passed": false, "replay": null,
        "checks": [{"name": "workers", "passed": false, "detail": "none", "fix": "start one"}],
    });
    let moved = json!({
        "agent": "code", "from": "1.4.0", "to": "2.0.0", "dry_run": false, "moved": [],
        "failed": [{"intent": "a", "status": "pending", "detail": "it has moved on"}],
    });
    let none = json!({"agent": null, "version": null, "why": "no agent can do rust", "candidates": []});
    let nobody = json!({"agents": []});
    answering(
        &bench,
        &[
            ("rollout.plan", vec![plan]),
            ("intents.move", vec![moved]),
            ("route.explain", vec![none]),
            ("agents", vec![nobody]),
        ],
    )
    .await;
    let plan = bench.run(&["rollout", "plan", "code", "2.0.0"]).await.exits(4);
    assert!(plan.stdout.contains("hint: start one"), "{plan:?}");
    let arguments = ["intents", "move", "--agent", "code", "--from", "1.4.0", "--to", "2.0.0"];
    let moved = bench.run(&arguments).await.exits(1).says(&["1 of 1"]);
    assert!(moved.stdout.contains("not moved: it has moved on"), "{moved:?}");
    let none = bench
        .run(&["route", "explain", "--capability", "rust", "--output", "json"])
        .await
        .exits(3);
    assert_eq!(
        none.json()["why"],
        none.error()["error"]
            .as_str()
            .unwrap()
            .replace("no version would take it: ", "")
    );
    bench
        .run(&["agents", "describe", "code"])
        .await
        .exits(3)
        .says(&["\"code\""]);
}
