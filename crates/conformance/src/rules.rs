//! The rules, in the order in which they are tried. Each stands in a file by its subject.

mod accidents;
mod asking;
mod budgets;
mod carrying;
mod contexts;
mod gates;
mod hops;
mod patterns;
mod records;
mod retries;
mod shares;
mod start;
mod stopping;

use futures::future::BoxFuture;

use crate::court::Court;
use crate::error::ConformanceError;
use crate::fault::Fault;
use crate::report::{Report, Verdict, kept_all};

/// One rule of the protocol, and how it is tried.
struct Rule {
    name: &'static str,
    section: &'static str,
    says: &'static str,
    tried: for<'a> fn(&'a Court) -> BoxFuture<'a, Result<(), Fault>>,
}

/// Defines the table of rules.
macro_rules! rules {
    ($($name:literal, $section:literal, $says:literal, $tried:path;)*) => {
        &[$(Rule { name: $name, section: $section, says: $says, tried: |court| Box::pin($tried(court)) }),*]
    };
}

const RULES: &[Rule] = rules! {
    "heartbeat", "14", "a worker announces itself on the heartbeat subject of its agent, version and instance", start::heartbeat;
    "consumers", "4", "a worker creates the work stream and the consumers of its version", start::consumers;
    "complete", "12", "an outcome is written, and then the ticket is acked", hops::completes;
    "ack-last", "12", "no ticket is acked before the outcome is written", hops::acks_last;
    "extend", "12", "the delivery is extended at least every third of the ack wait", hops::extends;
    "step", "12", "a hop is claimed or started before its first step, and each step is recorded once", hops::records_steps;
    "fail", "12", "a failure and a refusal carry the handler's code", hops::fails;
    "answer", "11", "`reply_to` gets the result, unless it lies in the namespace of the mesh", hops::answers;
    "deadline", "12", "a hop ends at its deadline", hops::ends_at_its_deadline;
    "late", "12", "a ticket whose deadline has passed is not run", hops::does_not_run_late;
    "retry", "13", "a failed attempt gives the hop back with the time of the next, and steps are not repeated", retries::retries;
    "exhausted", "13", "the attempts have a limit, at which the intent is parked", retries::gives_up;
    "early", "12", "a ticket before its time goes back with a delay, and burns no attempt", retries::waits;
    "silence", "12", "an attempt that ended without a word counts", retries::counts_silence;
    "poison", "12", "no attempt follows the last one that ended without a word", retries::parks_poison;
    "resume", "12", "the recorded result of a step stands in for the effect", accidents::resumes;
    "long-history", "10", "the history of an intent is read to its end, past 256 records", accidents::reads_on;
    "fenced", "10", "a holder that was overtaken writes nothing more and does not ack", accidents::is_fenced;
    "added", "10", "a record that somebody only added does not cost the holder its hop", accidents::goes_on;
    "twice", "12", "a ticket that comes again while its hop runs is not run twice", accidents::runs_once;
    "superseded", "12", "a ticket of a hop that is over is acked and not run", accidents::leaves_the_past;
    "unknown-status", "12", "a status that the worker does not know is left alone", accidents::leaves_the_unknown;
    "successor", "7", "the envelope of the next hop follows from the present one", carrying::hands_off;
    "ticket", "11", "the ticket of a handoff has the body of its record", carrying::writes_the_ticket;
    "unknown-fields", "6", "unknown fields are passed on, byte for byte", carrying::keeps_unknown_fields;
    "constraints", "7", "constraints and their hash are passed on unchanged", carrying::carries_constraints;
    "must-carry", "7", "constraints that do not have the hash that is stated are not handed on", carrying::checks_the_hash;
    "hop-limit", "7", "a handoff beyond `max_hops` is parked", carrying::obeys_the_limit;
    "pins", "12", "a handoff goes to the version that the intent is pinned to", carrying::follows_pins;
    "suspended", "19", "a ticket of a hop that waits for others is acked and not run", patterns::leaves_the_suspended;
    "resumed", "19", "a hop that goes on uses the steps from before it was suspended", patterns::goes_on;
    "call", "21", "a hop that asks others goes on once, with what they came to in the order in which it asked", asking::calls;
    "broadcast", "23", "a hop that ends with a message fixes its receivers, or sends it to nobody", asking::broadcasts;
    "undoing", "22", "a ticket of an intent that is being undone is acked and not run", patterns::leaves_the_undone;
    "kept", "6", "calls, undos and turns of the snapshot are passed on", patterns::passes_on;
    "itinerary", "7", "a handoff to the next of `itinerary` takes it out, and any other leaves it", patterns::uses_up_the_itinerary;
    "next", "7", "who hands on without a name hands on to the next, and completes where nobody is", patterns::hands_on;
    "paused", "13", "a paused intent is let go of, and its ticket is acked and not run", stopping::lets_go_of_the_paused;
    "killed", "14", "a hop that a kill takes away commits nothing, and is done again under its new ticket", stopping::lets_go_of_the_killed;
    "told", "14", "a worker that is told that a hop is its no longer stops once the ledger says so, and only then", stopping::stops_when_told;
    "share", "14", "no more hops run at a time than the worker's share of the limit allows", shares::keeps_to_its_share;
    "older-share", "14", "a share of a lower revision is not taken", shares::takes_no_older_share;
    "rate", "14", "hops are started no closer together than the worker's share of the rate allows", shares::keeps_to_its_rate;
    "gate", "20", "people are asked before a hop begins where the intent says so", gates::asks_for_the_intent;
    "agent-gate", "20", "people are asked before a hop begins where the route says so", gates::asks_for_the_operator;
    "gated-handoff", "20", "work with a gate is not handed on to a version that would begin without asking", gates::hands_off_to_who_asks;
    "hold", "26", "what a call may take is held before the call, and what it took stands in its step", budgets::holds_before_it_calls;
    "over-budget", "26", "a call that does not fit into the budget is not made", budgets::does_not_call_beyond_it;
    "assumed", "26", "what a holder that is gone had held counts as spent", budgets::assumes_what_was_held;
    "left", "26", "time is counted, and the next envelope shows what is left", budgets::tells_what_is_left;
    "remember", "25", "what a hop remembers stands in a link that the next envelope names", contexts::remembers;
    "chain", "25", "a link stands behind those before it, and gaps are told", contexts::adds_to_the_chain;
    "context-kept", "25", "a hop that remembers nothing passes on what it was given", contexts::passes_it_on;
    "view", "25", "a view is the text that the envelope, the links and the contents make", contexts::shows_the_view;
    "pinned-gap", "25", "an attempt fails whose view lacks what is pinned", contexts::misses_what_is_pinned;
    "commands", "13", "only controllers cancel and pause", stopping::leaves_commands_to_controllers;
    "records", "9", "each record has its headers, follows its head and changes the snapshot by the rules", records::are_lawful;
};

/// The names of all rules, in the order in which they are tried.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.name)
}

/// Tries the rules that were asked for.
pub(crate) async fn judge(court: &Court, say: &(dyn Fn(&Verdict) + Sync)) -> Result<Report, ConformanceError> {
    let wanted = &court.options.rules;
    let mut verdicts = Vec::new();
    for rule in RULES {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == rule.name) {
            continue;
        }
        let tried = (rule.tried)(court).await;
        let verdict = Verdict::of((rule.name, rule.section, rule.says), tried)?;
        say(&verdict);
        verdicts.push(verdict);
    }
    Ok(Report {
        agent: court.agent.to_string(),
        version: court.version.to_string(),
        passed: kept_all(&verdicts),
        verdicts,
    })
}
