//! I8: a version reported drained has no open work, and gets none afterwards.
//!
//! Each revision of a route that calls a version `drained` is one claim, at the time when the server stored it. At that
//! time no intent may be open at that version, or pinned to it, by a record that had been there for longer than
//! `STALE`; and until the version is given work again none of its workers may write anything.
//!
//! Not a violation: work that a sender with an old route wrote for the version at that very moment or later. It
//! is misrouted and must be rerouted; if it is not, I1 finds it.
//!
//! Not seen: revisions older than the history of the bucket (1,024 for each agent).

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use crate::history::{Context, History};
use crate::record::Record;
use crate::table::is_terminal;
use crate::verdict::{Counts, Violation};

/// How long before the claim a record must have been stored for the controller to have seen it, in milliseconds: the
/// controller reads the ledger to its end first, and only then writes the route.
const STALE: i64 = 2_000;

#[derive(Deserialize)]
struct Route {
    agent: String,
    #[serde(default)]
    versions: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    state: String,
}

/// A time during which a version was reported drained.
struct Claim {
    agent: String,
    version: String,
    from_ms: i64,
    until_ms: i64,
}

pub(crate) fn check(context: &Context<'_>, counts: &mut Counts, found: &mut Vec<Violation>) {
    let claims = claims(context);
    counts.drained = claims.len();
    for claim in &claims {
        for history in context.histories.values() {
            against(claim, history, found);
        }
    }
}

fn claims(context: &Context<'_>) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    let mut open: HashMap<(String, String), usize> = HashMap::new();
    for (message, route) in context.routes::<Route>() {
        for (version, entry) in route.versions {
            let place = (route.agent.clone(), version.clone());
            let is_closed = matches!(entry.state.as_str(), "drained" | "retired");
            match (open.get(&place).copied(), is_closed) {
                (None, true) if entry.state == "drained" => {
                    open.insert(place, claims.len());
                    claims.push(Claim {
                        agent: route.agent.clone(),
                        version,
                        from_ms: message.time_ms,
                        until_ms: i64::MAX,
                    });
                }
                (Some(index), false) => {
                    open.remove(&place);
                    if let Some(claim) = claims.get_mut(index) {
                        claim.until_ms = message.time_ms;
                    }
                }
                (_, _) => {}
            }
        }
    }
    claims
}

fn names(claim: &Claim, record: &Record) -> bool {
    let at = &record.snapshot;
    let there = at.agent.as_ref() == Some(&claim.agent) && at.version.as_ref() == Some(&claim.version);
    !is_terminal(&at.status.state) && (there || at.pins.get(&claim.agent) == Some(&claim.version))
}

fn against(claim: &Claim, history: &History, found: &mut Vec<Violation>) {
    let Claim { agent, version, .. } = claim;
    let before = history
        .records
        .iter()
        .rposition(|record| record.time_ms < claim.from_ms);
    if let Some(last) = before
        && let Some(record) = history.records.get(last)
        && names(claim, record)
    {
        // Since when it has named the version without a break.
        let earlier = history.records.get(..last).unwrap_or_default().iter().rev();
        let since = earlier
            .take_while(|record| names(claim, record))
            .last()
            .unwrap_or(record);
        if since.time_ms + STALE < claim.from_ms {
            let what = format!(
                "{agent}@{version} was said to be drained at {} ms, and this intent held it since {} ms",
                claim.from_ms, since.time_ms
            );
            found.push(Violation::of("I8", &history.intent, what));
        }
    }
    for record in &history.records {
        let within = claim.from_ms < record.time_ms && record.time_ms < claim.until_ms;
        let by = &record.by;
        if within && by.role == "worker" && by.agent.as_ref() == Some(agent) && by.version.as_ref() == Some(version) {
            let what = format!(
                "record {} is by {agent}@{version}, which was drained since {} ms",
                record.seq, claim.from_ms
            );
            found.push(Violation::of("I8", &history.intent, what));
        }
    }
}
