//! What holds for every pattern, whatever dies.

use std::collections::BTreeMap;
use std::sync::Arc;

use baton_jetstream::{Filter, Head};
use baton_testkit::eventually;

use super::process::Stage;
use super::{PATIENCE, Pattern, Run, names};
use crate::TestMesh;
use crate::chaos::assert_legal;

/// Waits until all has ended, and looks at it.
pub(super) async fn judge<P: Pattern>(pattern: &Arc<P>, stage: &Stage, run: &Run) {
    let mesh = &stage.mesh;
    assert!(!run.intents().is_empty(), "{}: a run without an intent", run.intent());
    run.until_ended(&mesh.mesh).await;
    for name in names::<P>(run) {
        eventually(&format!("{name} has no ticket"), PATIENCE, async || {
            let state = mesh.stream_state(&format!("MESH_WORK_{name}")).await;
            (state["messages"] == 0).then_some(()).ok_or(state.to_string())
        })
        .await;
    }
    nothing_else_was_made::<P>(run, mesh).await;
    for intent in run.intents() {
        let history = mesh.history_of(&intent).await;
        assert_legal(&history);
        steps_ran_once(run, &history);
        if intent == run.intent() {
            signals_are_told(run, mesh, &history).await;
        }
        pattern.judge(run, &history);
    }
}

/// The agents of this run had no other work.
async fn nothing_else_was_made<P: Pattern>(run: &Run, mesh: &TestMesh) {
    for name in names::<P>(run) {
        let filter = Filter {
            agent: Some(name.parse().expect("agent name")),
            ..Filter::default()
        };
        let listed = mesh.mesh.list(&filter).await.expect("a list");
        for head in listed.heads {
            let intent = &head.record.intent;
            let status = &head.record.snapshot.status;
            let at = head.record.snapshot.submitted_at;
            assert!(
                run.intents().contains(intent),
                "{name} had {intent}, too: {status}, submitted at {at}; {:?}",
                run.seen()
            );
        }
    }
}

/// No step is repeated, and each wait ends once.
fn steps_ran_once(run: &Run, history: &[Head]) {
    let Some(intent) = history.first().map(|head| head.record.intent.clone()) else {
        return;
    };
    let (mut recorded, mut ended): (BTreeMap<String, usize>, BTreeMap<(u32, String), usize>) = Default::default();
    for head in history {
        if let Some(step) = &head.record.step {
            *recorded.entry(step.name.clone()).or_default() += 1;
        }
        for result in &head.record.results {
            *ended
                .entry((head.record.snapshot.hop, result.name.clone()))
                .or_default() += 1;
        }
    }
    assert!(recorded.values().all(|count| *count == 1), "{intent}: {recorded:?}");
    assert!(ended.values().all(|count| *count == 1), "{intent}: {ended:?}");
    let effects = run.seen().effects;
    let own = effects.into_iter().filter(|((of, _), _)| *of == intent);
    let own: BTreeMap<String, usize> = own.map(|((_, step), count)| (step, count)).collect();
    let told = format!("{intent}: effects {own:?}, recorded steps {recorded:?}");
    assert!(recorded.keys().all(|step| own.contains_key(step)), "{told}");
    let more = own.values().sum::<usize>() - recorded.len();
    assert!(more <= run.repeats(), "{told}");
}

/// Each signal was taken by one wait, or is a dead letter, and never both or neither.
async fn signals_are_told(run: &Run, mesh: &TestMesh, history: &[Head]) {
    let (intent, signals) = (run.intent(), run.seen().signals);
    for (name, id) in signals {
        let of = history
            .iter()
            .filter(|head| head.record.signal.as_ref().is_some_and(|signal| signal.id == id));
        let told: Vec<u64> = of.map(|head| head.seq).collect();
        assert!(told.len() <= 1, "{intent}: {name} was recorded {} times", told.len());
        let results = history.iter().flat_map(|head| &head.record.results);
        let taken = results
            .filter(|result| result.seq.is_some_and(|seq| told.contains(&seq)))
            .count();
        let letter = intent.letter(&id);
        if taken == 0 {
            eventually(
                &format!("{name} of {intent} is a dead letter"),
                PATIENCE,
                async || match mesh.mesh.head(&letter).await {
                    Ok(Some(_)) => Ok(()),
                    other => Err(format!("{other:?}")),
                },
            )
            .await;
        } else {
            assert_eq!(taken, 1, "{intent}: {name} was taken twice");
            let dead = mesh.mesh.head(&letter).await.expect("an answer");
            assert!(dead.is_none(), "{intent}: {name} was taken, and is a dead letter");
        }
    }
}
