//! I6: a recorded step's effect does not run again.
//!
//! Each effect leaves a token that is different each time, and the step records it. Within a hop each step is recorded
//! at most once, with a token that an effect left. After that no holder of a later epoch may leave another token, for
//! it must have loaded the record with its claim. What a hop reports as the results of its steps (`trail` of the
//! result) must match the records.
//!
//! Not violations: an effect without a record (its holder died or was fenced out in between); and an effect of a holder
//! that wrote `started`, froze, and woke up fenced out. The epoch of that holder is older than the record's, and a
//! system that must refuse such an effect gets the epoch for it.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::evidence::Effect;
use crate::history::{Context, History};
use crate::verdict::Violation;

/// What a handler of the load reports as the results of its steps.
#[derive(Deserialize)]
struct Result {
    #[serde(default)]
    trail: Vec<Turn>,
}

#[derive(Deserialize)]
struct Turn {
    hop: u64,
    #[serde(default)]
    steps: BTreeMap<String, String>,
}

struct Recorded {
    token: Option<String>,
    epoch: u64,
}

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    for history in context.histories.values() {
        let mut complain = |what: String| found.push(Violation::of("I6", &history.intent, what));
        let recorded = recorded(history, &mut complain);
        let mut left: HashMap<(u64, &str, u64), usize> = HashMap::new();
        let mut tokens: HashMap<&str, (u64, &str)> = HashMap::new();
        for effect in context.effects_of(&history.intent) {
            let Effect::Step {
                hop,
                step,
                token,
                epoch,
                ..
            } = effect
            else {
                continue;
            };
            tokens.insert(token, (*hop, step));
            *left.entry((*hop, step, *epoch)).or_default() += 1;
            let Some(record) = recorded.get(&(*hop, step.clone())) else {
                continue;
            };
            if record.token.as_ref() != Some(token) && *epoch > record.epoch {
                complain(format!(
                    "step {step} of hop {hop} was recorded in epoch {}, and its effect happened again in epoch {epoch}: \
                     {token}",
                    record.epoch
                ));
            }
        }
        for ((hop, step), record) in &recorded {
            let seen = record.token.as_deref().and_then(|token| tokens.get(token));
            if seen != Some(&(*hop, step.as_str())) && context.evidence.torn == 0 {
                complain(format!(
                    "step {step} of hop {hop} is recorded as {:?}, which no effect left",
                    record.token
                ));
            }
            for ((of_hop, of_step, epoch), count) in &left {
                if of_hop == hop && of_step == step && *epoch == record.epoch && *count > 1 {
                    complain(format!(
                        "step {step} of hop {hop} happened {count} times in epoch {epoch}"
                    ));
                }
            }
        }
        trail(history, &recorded, &mut complain);
    }
}

fn recorded(history: &History, complain: &mut impl FnMut(String)) -> BTreeMap<(u64, String), Recorded> {
    let mut found = BTreeMap::new();
    for record in &history.records {
        let Some(step) = &record.step else { continue };
        // A memory is recorded as a step, and nothing outside happens for it.
        if step.name.starts_with("memory:") {
            continue;
        }
        let result = step.result.as_ref();
        let entry = Recorded {
            token: result.and_then(|result| serde_json::from_str(result.get()).ok()),
            epoch: record.snapshot.epoch,
        };
        let place = (record.snapshot.hop, step.name.clone());
        if found.insert(place, entry).is_some() {
            complain(format!(
                "step {} of hop {} was recorded twice",
                step.name, record.snapshot.hop
            ));
        }
    }
    found
}

fn trail(history: &History, recorded: &BTreeMap<(u64, String), Recorded>, complain: &mut impl FnMut(String)) {
    let result = history.head().and_then(|head| head.snapshot.result.as_ref());
    let Some(result) = result.and_then(|result| serde_json::from_str::<Result>(result.get()).ok()) else {
        return;
    };
    for turn in result.trail {
        for (step, token) in turn.steps {
            let record = recorded.get(&(turn.hop, step.clone()));
            if record.and_then(|record| record.token.as_ref()) != Some(&token) {
                complain(format!(
                    "step {step} of hop {} returned {token}, which is not recorded",
                    turn.hop
                ));
            }
        }
    }
}
