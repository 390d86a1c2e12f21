//! The rules for submitters, in the order in which they are tried. Each stands in a file by its subject.

mod accidents;
mod answers;
mod control;
mod fields;
mod lawful;
mod nothing_else;
mod records;
mod routing;

use futures::future::BoxFuture;

use super::desk::Desk;
use crate::error::ConformanceError;
use crate::fault::Fault;
use crate::report::{SubmitterReport, Verdict, kept_all};

/// One rule of the protocol, and how it is tried.
struct Rule {
    name: &'static str,
    section: &'static str,
    says: &'static str,
    tried: for<'a> fn(&'a Desk) -> BoxFuture<'a, Result<(), Fault>>,
}

/// Defines the table of rules.
macro_rules! rules {
    ($($name:literal, $section:literal, $says:literal, $tried:path;)*) => {
        &[$(Rule { name: $name, section: $section, says: $says, tried: |desk| Box::pin($tried(desk)) }),*]
    };
}

/// What is tried with the program.
const TRIALS: &[Rule] = rules! {
    "payload", "11", "the payload arrives as it was given: JSON with its spelling, text, bytes, or nothing", fields::carries_the_payload;
    "id", "11", "an id that was chosen is the id of the intent", fields::keeps_the_id;
    "new-id", "11", "two pieces of work for which no id was chosen are two intents", fields::makes_new_ids;
    "kind", "5", "the kind arrives", fields::carries_the_kind;
    "priority", "5", "the priority arrives", fields::carries_the_priority;
    "deadline", "5", "the deadline arrives", fields::carries_the_deadline;
    "max-hops", "5", "the limit on hops arrives", fields::carries_the_limit;
    "constraints", "7", "constraints arrive byte for byte, in a record with their hash", fields::carries_constraints;
    "unknown-fields", "6", "unknown fields of an envelope arrive, byte for byte", fields::carries_unknown_fields;
    "texts", "5", "a kind with control characters is refused", fields::refuses_bad_texts;
    "unknown-agent", "11", "work for an agent without a route ends in an error", routing::meets_no_agent;
    "version", "14", "a record goes to the version that the route names now", routing::follows_the_route;
    "canary", "14", "a record goes to the canary if the bucket of its chain says so", routing::follows_the_canary;
    "paused", "14", "work for a paused agent is submitted as ever", control::submits_to_the_paused;
    "gate", "20", "a gate is refused that nobody would ask at: before an agent without a route, or a version that knows none", control::names_gates_that_are_asked;
    "agent-gate", "20", "work of an agent with a gate is not submitted to a version that would begin without asking", control::heeds_gates_of_operators;
    "order-key", "11", "the order key arrives, and a record with one waits for its turn", control::carries_the_order_key;
    "turn", "11", "where the limits are fair to submitters, a record waits for its turn", control::waits_among_submitters;
    "again", "11", "the same work under the same id is one intent, whoever repeats it", accidents::repeats;
    "conflict", "11", "other work under an id that is taken ends in an error", accidents::meets_a_conflict;
    "retry-id", "10", "what was not acknowledged is written again as it was, under the same id", accidents::writes_the_same_again;
    "lost-ack", "10", "what was not acknowledged becomes one intent", accidents::survives_a_lost_ack;
    "ticket-again", "11", "a ticket is written again until the server has answered", accidents::writes_the_ticket_again;
    "full", "4", "the refusal of a full stream is an error", accidents::meets_a_full_stream;
    "answer", "11", "the result is what the answer, or the ledger, says", answers::tells_the_result;
    "failure", "9", "what failed or was declined is told as such, with its code", answers::tells_the_failure;
    "no-answer", "11", "no answer is no result", answers::tells_of_silence;
};

/// What holds for whatever arrived.
const LOOKS: &[Rule] = rules! {
    "raw", "5", "a raw intent has well-formed headers, with the names and values of the protocol", lawful::raws;
    "envelope", "7", "a whole envelope is a first one, for the agent that it is sent to", lawful::envelopes;
    "record", "9", "`submitted` has its headers, its guard, and the snapshot that follows from its envelope", records::are_lawful;
    "ticket", "11", "each record has its ticket, with the body of the record", records::have_tickets;
    "nothing-else", "11", "a submitter writes intents, and nothing else", nothing_else::is_written;
};

/// The names of all rules, in the order in which they are tried.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TRIALS.iter().chain(LOOKS).map(|rule| rule.name)
}

/// Tries the rules that were asked for.
pub(super) async fn judge(desk: &Desk, say: &(dyn Fn(&Verdict) + Sync)) -> Result<SubmitterReport, ConformanceError> {
    let wanted = &desk.options.rules;
    let mut verdicts = Vec::new();
    // Without a program there is nothing to try, and nobody wants to read that many times.
    let tries = desk.options.program.is_some() || !wanted.is_empty();
    let trials = if tries { TRIALS } else { &[] };
    for rule in trials.iter().chain(LOOKS) {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == rule.name) {
            continue;
        }
        let tried = (rule.tried)(desk).await;
        let verdict = Verdict::of((rule.name, rule.section, rule.says), tried)?;
        say(&verdict);
        verdicts.push(verdict);
    }
    let mut ways: Vec<_> = desk.arrivals().await.iter().map(|arrival| arrival.way).collect();
    ways.sort();
    ways.dedup();
    Ok(SubmitterReport {
        ways: ways.iter().map(|way| way.name()).collect(),
        passed: kept_all(&verdicts),
        verdicts,
    })
}
