//! Arbitrary values of every wire type.

mod budgets;
mod waits;
mod words;

use baton_envelope::context::Completeness;
use baton_envelope::*;
use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;

use self::budgets::*;
use self::waits::*;
pub(crate) use self::words::*;
use crate::samples::{
    full_approval, full_ballot, full_children, full_order, full_people, full_record, full_step, full_undo, full_undoing,
};

fn text() -> impl Strategy<Value = String> {
    ".{0,10}"
}

fn any_task() -> impl Strategy<Value = Task> {
    (of(text()), of(text()), of(text()), any_extra()).prop_map(|(goal, state, ask, extra)| Task {
        goal,
        state,
        ask,
        extra,
    })
}

fn any_memory() -> impl Strategy<Value = MemoryRef> {
    (text(), of(any::<u64>()), of(text()), of(text()), any_extra()).prop_map(|(key, revision, hash, policy, extra)| {
        MemoryRef {
            key,
            revision,
            hash,
            policy,
            extra,
        }
    })
}

pub(crate) fn any_history() -> impl Strategy<Value = HistoryEntry> {
    let who = (any_agent(), of(any_version()), of(any::<u32>()), of(any_time()));
    let what = (of(text()), of(text()), of(text()), vec(text(), 0..3), any_extra());
    (who, what).prop_map(
        |((agent, version, hop, at), (did, decided, why, refs, extra))| HistoryEntry {
            agent,
            version,
            hop,
            at,
            did,
            decided,
            why,
            refs,
            extra,
        },
    )
}

fn any_expects() -> impl Strategy<Value = Expects> {
    let words = (of(text()), of(text()), of(text()));
    let bounds = (of(any_json_but_null()), of(any::<u64>()), of(any::<u64>()));
    let all = (words, bounds, any::<bool>(), any_extra());
    all.prop_map(|(words, (schema, min_length, max_length), checked, extra)| {
        let (format, length, quality) = words;
        Expects {
            format,
            length,
            quality,
            schema,
            min_length,
            max_length,
            checked,
            extra,
        }
    })
}

pub(crate) fn any_priority() -> impl Strategy<Value = Priority> {
    (1_i64..=10).prop_map(|n| Priority::new(n).expect("in range"))
}

pub(crate) fn any_max_hops() -> impl Strategy<Value = MaxHops> {
    (1_i64..=64).prop_map(|n| MaxHops::new(n).expect("in range"))
}

fn any_what<T: Clone + std::fmt::Debug + 'static>(
    known: &'static [T],
    unknown: fn(String) -> T,
) -> impl Strategy<Value = T> {
    prop_oneof![proptest::sample::select(known), unknown_name().prop_map(unknown)]
}

fn any_on_exhausted() -> impl Strategy<Value = OnExhausted> {
    prop_oneof![
        Just(OnExhausted::Park),
        Just(OnExhausted::Fail),
        Just(OnExhausted::Human),
        Just(OnExhausted::Compensate),
        any_agent().prop_map(OnExhausted::Escalate),
        unknown_name().prop_map(OnExhausted::Unknown),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let times = (
        of(any::<u32>()),
        of(any::<u64>()),
        of(any::<u64>()),
        of(any::<u64>()),
        of(any::<u64>()),
    );
    let whats = (
        of(any_on_exhausted()),
        of(any_what(OnRejected::ALL, OnRejected::Unknown)),
        of(any_what(OnUnaccepted::ALL, OnUnaccepted::Unknown)),
        of(any_what(OnOpen::ALL, OnOpen::Unknown)),
    );
    let rest = (of(Just(Box::new(full_approval()))), any_extra());
    (times, vec(any_agent(), 0..3), whats, rest).prop_map(|(times, alternatives, whats, (gate, extra))| {
        let (attempts, backoff_ms, longest_ms, attempt_timeout_ms, accept_within_ms) = times;
        let (on_exhausted, on_rejected, on_unaccepted, on_open) = whats;
        Policy {
            attempts,
            backoff_ms,
            longest_ms,
            attempt_timeout_ms,
            accept_within_ms,
            alternatives,
            on_exhausted,
            on_rejected,
            on_unaccepted,
            on_open,
            gate,
            extra,
        }
    })
}

fn any_stands_in() -> impl Strategy<Value = StandsIn> {
    (any_agent(), vec(any_agent(), 0..3), any_extra()).prop_map(|(for_agent, tried, extra)| StandsIn {
        for_agent,
        tried,
        extra,
    })
}

/// Any envelope, every field present or absent.
#[expect(clippy::too_many_lines, reason = "a line for each field of the wire")]
pub(crate) fn any_envelope() -> impl Strategy<Value = Envelope> {
    let ids = (
        any_envelope_id(),
        any_intent(),
        of(any_intent()),
        of(any_intent()),
        of(any_envelope_id()),
    );
    let routing = (
        of(text()),
        of(text()),
        any_agent(),
        of(any_version()),
        any::<u32>(),
        any_max_hops(),
        any_priority(),
        of(any_time()),
    );
    let work = (
        of(any_task()),
        vec(any_memory(), 0..3),
        vec(any_history(), 0..3),
        of(any_json_but_null()),
        of(text()),
        of(any_expects().prop_map(Box::new)),
        any_json(),
        of(text()),
        of(any_budget().prop_map(Box::new)),
    );
    let rest = (
        btree_map(any_agent(), any_version(), 0..3),
        vec(any_agent(), 0..3),
        of(any_json_but_null()),
        of(text()),
        of(text()),
        of(any_pinning()),
        of(any_time()),
        btree_map(any_agent(), Just(full_approval()), 0..2),
        (
            of(any_policy()),
            of(any_stands_in()),
            of(text()),
            btree_map(any_agent(), vec(any_agent(), 0..3), 0..3),
            of(any_object_ref()),
            of(any_json_but_null()),
        ),
        any_extra(),
    );
    (ids, routing, work, rest).prop_map(|(ids, routing, work, rest)| {
        let (id, intent, root, parent, previous) = ids;
        let (kind, from, to, to_version, hop, max_hops, priority, deadline) = routing;
        let (task, memory, history, constraints, constraints_hash, expects, payload, payload_encoding, budget) = work;
        let (
            pins,
            itinerary,
            join,
            reply_to,
            traceparent,
            pinning,
            not_before,
            gates,
            (policy, stands_in, order_key, next, payload_ref, context),
            extra,
        ) = rest;
        Envelope {
            protocol: PROTOCOL,
            id,
            intent,
            root,
            parent,
            previous,
            kind,
            from,
            to,
            to_version,
            hop,
            max_hops,
            priority,
            deadline,
            task,
            memory,
            history,
            constraints,
            constraints_hash,
            expects,
            payload,
            payload_encoding,
            budget,
            pins,
            itinerary,
            join,
            reply_to,
            traceparent,
            pinning,
            not_before,
            gates,
            policy: policy.map(Box::new),
            stands_in: stands_in.map(Box::new),
            order_key,
            next,
            payload_ref: payload_ref.map(Box::new),
            context,
            extra,
        }
    })
}

/// A name that no version knows.
fn unknown_name() -> impl Strategy<Value = String> {
    "x.{0,8}"
}

fn any_pinning() -> impl Strategy<Value = Pinning> {
    prop_oneof![
        Just(Pinning::Hop),
        Just(Pinning::Chain),
        unknown_name().prop_map(Pinning::Unknown),
    ]
}

/// A version of the protocol, of any major.
pub(crate) fn any_protocol() -> impl Strategy<Value = Protocol> {
    (0_u32..5, 0_u32..4, 0_u32..3).prop_map(|(major, minor, patch)| Protocol::new(major, minor, patch))
}

pub(crate) fn any_reason() -> impl Strategy<Value = WaitReason> {
    prop_oneof![
        proptest::sample::select(crate::samples::wait_reasons()),
        unknown_name().prop_map(WaitReason::Unknown),
    ]
}

pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => proptest::sample::select(crate::samples::events()),
        1 => any_reason().prop_map(|reason| Event::Waiting { reason }),
        1 => text().prop_map(|code| Event::Parked { code }),
        1 => text().prop_map(|code| Event::Failed { code }),
        1 => unknown_name().prop_map(|name| Event::Unknown { name }),
    ]
}

pub(crate) fn any_status() -> impl Strategy<Value = Status> {
    prop_oneof![
        8 => proptest::sample::select(crate::samples::statuses()),
        1 => any_reason().prop_map(|reason| Status::Waiting { reason }),
        1 => text().prop_map(|code| Status::Parked { code }),
        1 => unknown_name().prop_map(|name| Status::Unknown { name }),
    ]
}

fn any_error() -> impl Strategy<Value = ErrorInfo> {
    (text(), text(), any_extra()).prop_map(|(code, message, extra)| ErrorInfo {
        code,
        message,
        need: None,
        extra,
    })
}

fn any_path() -> impl Strategy<Value = PathEntry> {
    (any_agent(), any_version(), any_extra()).prop_map(|(agent, version, extra)| PathEntry { agent, version, extra })
}

#[expect(clippy::too_many_lines, reason = "a line for each field of the wire")]
pub(crate) fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let standing = (
        any_status(),
        of(any_agent()),
        of(any_version()),
        any::<u32>(),
        any_max_hops(),
        any::<u32>(),
        any::<u64>(),
        of(text()),
        of(any::<u64>()),
    );
    let work = (
        of(any_envelope_id()),
        of(any::<u64>()),
        any_priority(),
        of(text()),
        of(any_intent()),
        of(any_intent()),
    );
    let times = (any_time(), any_time(), of(any_time()), of(any_time()));
    let rest = (
        vec(any_path(), 0..3),
        btree_map(any_agent(), any_version(), 0..2),
        of(text()),
        of(any_json_but_null()),
        of(text()),
        of(any_error()),
        any_waits(),
        of((any_intent(), any::<u32>())),
        of(any_by_hand()),
        (of(any::<u64>()), of(any_order())),
        (
            any_child_sets(),
            of(any_agent()),
            of(Just(Box::new(full_undoing()))),
            (of(any_object_ref()), of(any_json_but_null())),
            of(any_budget().boxed()),
            any_extra(),
        ),
    );
    // On the heap: the stack of a test has no room for all the parts of a record.
    let (standing, work, times, rest) = (standing.boxed(), work.boxed(), times.boxed(), rest.boxed());
    (standing, work, times, rest).prop_map(|(standing, work, times, rest)| {
        let (status, agent, version, hop, max_hops, attempt, epoch, holder, given_back) = standing;
        let (envelope, envelope_seq, priority, kind, root, parent) = work;
        let (submitted_at, updated_at, deadline, wake_at) = times;
        let (
            path,
            pins,
            reply_to,
            result,
            result_encoding,
            error,
            (waits, signals, told),
            restarted,
            mut manual,
            (accept_within_ms, order),
            (children, channel, undo, (result_ref, context), budget, extra),
        ) = rest;
        // Half of them say something of the present hop.
        if let (Some(manual), Some(envelope), true) = (&mut manual, envelope, hop % 2 == 0) {
            manual.envelope = envelope;
        }
        Snapshot {
            status,
            agent,
            version,
            hop,
            max_hops,
            attempt,
            epoch,
            given_back,
            holder,
            envelope,
            envelope_seq,
            priority,
            kind,
            root,
            parent,
            submitted_at,
            updated_at,
            deadline,
            wake_at,
            path,
            pins,
            reply_to,
            result,
            result_encoding,
            error,
            waits,
            signals,
            told,
            restarted_from: restarted.map(|(intent, hop)| Box::new(Origin::new(intent, hop))),
            manual: manual.map(Box::new),
            accept_within_ms,
            order: order.map(Box::new),
            children,
            channel: channel.and_then(|name| name.as_str().parse().ok()),
            undo,
            result_ref: result_ref.map(Box::new),
            context,
            budget: budget.map(Box::new),
            extra,
        }
    })
}

fn any_object_ref() -> impl Strategy<Value = ObjectRef> {
    (any::<u64>(), any::<u64>(), of(text()), of(text()), any_extra()).prop_map(|(of, bytes, media, at, extra)| {
        ObjectRef {
            hash: ObjectHash::of(&of.to_le_bytes()),
            bytes,
            media,
            at,
            extra,
        }
    })
}

fn any_order() -> impl Strategy<Value = InOrder> {
    let parts = (
        any::<u32>(),
        of(text()),
        of(any::<u64>()),
        of(any::<u64>()),
        of(any::<u32>()),
        of(any_time()),
    );
    parts.prop_map(|(hop, key, intake, place, given, given_at)| InOrder {
        hop,
        submitter: key.is_none().then(|| "shop".to_owned()),
        key,
        intake,
        place,
        given,
        given_at,
        ..full_order()
    })
}

fn any_by_hand() -> impl Strategy<Value = ByHand> {
    (any_envelope_id(), of(any::<u64>()), of(any_time()), any_extra()).prop_map(
        |(envelope, estimate_ms, until, extra)| ByHand {
            envelope,
            estimate_ms,
            until,
            extra,
        },
    )
}

fn any_author() -> impl Strategy<Value = Author> {
    let role = prop_oneof![
        Just(Role::Client),
        Just(Role::Worker),
        Just(Role::Controller),
        Just(Role::Operator),
        unknown_name().prop_map(Role::Unknown),
    ];
    (role, text(), of(any_agent()), of(any_version()), any_extra()).prop_map(
        |(role, instance, agent, version, extra)| Author {
            role,
            instance,
            agent,
            version,
            extra,
        },
    )
}

fn any_broadcast() -> impl Strategy<Value = Box<Broadcast>> {
    let parts = (any_agent(), any::<bool>(), of(text()), any_json(), any_extra());
    parts.prop_map(|(channel, named, kind, payload, extra)| {
        Box::new(Broadcast {
            channel: channel.as_str().parse().expect("channels have the names of agents"),
            named,
            payload_encoding: kind.clone(),
            pinning: None,
            traceparent: kind.clone(),
            from: kind.clone(),
            kind,
            payload,
            extra,
        })
    })
}

fn any_step() -> impl Strategy<Value = StepEntry> {
    (text(), any_json(), of(Just(Box::new(full_undo()))), any_extra()).prop_map(|(name, result, undo, extra)| {
        StepEntry {
            name,
            result,
            undo,
            extra,
            ..full_step()
        }
    })
}

/// Any record, every field present or absent.
pub(crate) fn any_record() -> impl Strategy<Value = Record> {
    let head = (any_record_id(), any_intent(), any_event(), any_time(), any_author());
    let step = any_step();
    let conversion = (any_protocol(), any_protocol(), vec(text(), 0..3), any_extra())
        .prop_map(|(from, to, lost, extra)| Conversion { from, to, lost, extra });
    let spent = (
        of(any::<u64>()),
        of(any_json_but_null()),
        of(conversion.boxed()),
        any::<bool>(),
        any::<bool>(),
        of((any::<u64>(), any::<u64>()).prop_map(|(read, given)| Completeness::of(read, given))),
    );
    let rest = (
        of(step.boxed()),
        of(text()),
        of(any_error()),
        of(any_raw_kept().boxed()),
        spent,
        any_told().boxed(),
        (of(any_json_but_null()), of(any_broadcast().boxed())),
        (
            of(Just(Box::new(full_undo()))),
            Just(full_record().undos),
            of(Just(full_record())),
            any_extra(),
        ),
    );
    let (snapshot, envelope, rest) = (any_snapshot().boxed(), of(any_envelope().boxed()), rest.boxed());
    (head, snapshot, envelope, rest).prop_map(|(head, snapshot, envelope, rest)| {
        let (id, intent, event, at, by) = head;
        let (
            step,
            note,
            error,
            raw,
            (took_ms, cost, conversion, generated_id, exhausted, context),
            (waits, signal, results, people, children),
            (state, broadcast),
            (undo, undos, of_budget, extra),
        ) = rest;
        let of_budget = of_budget.map(|full| (full.hold, full.spend, full.assumed, full.top_up));
        let (hold, spend, assumed, top_up) = of_budget.unwrap_or_default();
        Record {
            protocol: PROTOCOL,
            id,
            intent,
            event,
            at,
            by,
            snapshot,
            envelope: envelope.map(Box::new),
            step,
            note,
            error,
            raw: raw.map(Box::new),
            took_ms,
            cost,
            conversion: conversion.map(Box::new),
            generated_id,
            waits,
            signal: signal.map(Box::new),
            results,
            state,
            people: people.map(Box::new),
            exhausted,
            children,
            broadcast,
            undo,
            undos,
            context,
            hold,
            spend,
            assumed,
            top_up,
            extra,
        }
    })
}
