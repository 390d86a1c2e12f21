//! Arbitrary waits, signals and what people said.

use baton_envelope::people::PeopleEntry;
use baton_envelope::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::samples::{full_amounts, full_onward, full_owed, full_share};

pub(crate) fn any_wait_kind() -> impl Strategy<Value = WaitKind> {
    prop_oneof![
        Just(WaitKind::Signal),
        Just(WaitKind::Approval),
        Just(WaitKind::Sleep),
        Just(WaitKind::Callback),
        Just(WaitKind::Children),
        unknown_name().prop_map(WaitKind::Unknown),
    ]
}

pub(crate) fn any_on_timeout() -> impl Strategy<Value = OnTimeout> {
    prop_oneof![Just(OnTimeout::Give), Just(OnTimeout::Park), Just(OnTimeout::Fail)]
}

/// Open waits, unread signals and the hashes of message ids.
pub(crate) fn any_waits() -> impl Strategy<Value = (Vec<OpenWait>, Vec<UnreadSignal>, Option<String>)> {
    let wait = (
        0_u32..3,
        "[ab]",
        any_wait_kind(),
        of(any::<u64>()),
        any_on_timeout(),
        any::<bool>(),
        of(any::<u64>()),
        of(text()),
        any_extra(),
    );
    let wait = wait.prop_map(|(hop, name, kind, after_ms, then, any, seq, decided, extra)| OpenWait {
        hop,
        name,
        kind,
        after_ms,
        then,
        any,
        seq,
        decided,
        ballot: None,
        extra,
    });
    let signal = ("[ab]", text(), of(any::<u64>()), any_extra()).prop_map(|(name, id, seq, extra)| UnreadSignal {
        name,
        id,
        seq,
        extra,
    });
    let wait = (wait, of(Just(full_ballot()))).prop_map(|(wait, ballot)| OpenWait { ballot, ..wait });
    (vec(wait, 0..3), vec(signal, 0..3), of("[0-9a-f]{12}"))
}

/// What the records of waits and signals hold.
type Told = (
    Vec<WaitSpec>,
    Option<SignalEntry>,
    Vec<WaitResult>,
    Option<PeopleEntry>,
    Vec<ChildrenDone>,
);

pub(crate) fn any_told() -> impl Strategy<Value = Told> {
    let spec = (
        text(),
        any_wait_kind(),
        of(any::<u64>()),
        any_on_timeout(),
        any::<bool>(),
        of(text()),
        any_extra(),
    );
    let spec = spec.prop_map(|(name, kind, after_ms, then, any, title, extra)| WaitSpec {
        name,
        kind,
        after_ms,
        then,
        any,
        title,
        approval: None,
        children: None,
        onward: None,
        extra,
    });
    let signal = (
        text(),
        text(),
        any_json(),
        of(text()),
        of(text()),
        of(any_time()),
        any_extra(),
    );
    let signal = signal.prop_map(|(name, id, data, data_encoding, by, at, extra)| SignalEntry {
        name,
        id,
        data,
        data_encoding,
        by,
        at,
        extra,
    });
    let outcome = prop_oneof![
        Just(WaitOutcome::Signalled),
        Just(WaitOutcome::TimedOut),
        unknown_name().prop_map(WaitOutcome::Unknown)
    ];
    let result = (
        text(),
        any_wait_kind(),
        outcome,
        any_json(),
        of(text()),
        of(text()),
        of(any_time()),
        of(any::<u64>()),
        any_extra(),
    );
    let result = result.prop_map(
        |(name, kind, outcome, data, data_encoding, by, at, seq, extra)| WaitResult {
            name,
            kind,
            outcome,
            data,
            data_encoding,
            by,
            at,
            seq,
            children: Vec::new(),
            extra,
        },
    );
    let result = (result, vec(any_child_end(), 0..2)).prop_map(|(result, children)| WaitResult { children, ..result });
    let spec = (spec, of(Just(full_children()))).prop_map(|(spec, children)| WaitSpec { children, ..spec });
    let spec = (spec, of(Just(full_approval()))).prop_map(|(spec, approval)| WaitSpec { approval, ..spec });
    let spec = (spec, of(Just(Box::new(full_onward())))).prop_map(|(spec, onward)| WaitSpec { onward, ..spec });
    let people = of(Just(full_people()));
    let done = (any::<u32>(), text(), vec(any_child_end(), 0..2), any_extra());
    let done = done.prop_map(|(hop, name, ends, extra)| ChildrenDone { hop, name, ends, extra });
    (vec(spec, 0..2), of(signal), vec(result, 0..2), people, vec(done, 0..2))
}

fn any_join() -> impl Strategy<Value = JoinRule> {
    prop_oneof![
        Just(JoinRule::Collect),
        Just(JoinRule::All),
        Just(JoinRule::Any),
        Just(JoinRule::Some),
        unknown_name().prop_map(JoinRule::Unknown),
    ]
}

pub(crate) fn any_child_end() -> impl Strategy<Value = ChildEnd> {
    let state = prop_oneof![Just("completed"), Just("failed"), Just("cancelled")];
    (
        0_u32..12,
        of(any_intent()),
        state,
        of(text()),
        any::<u64>(),
        any_extra(),
    )
        .prop_map(|(index, id, state, code, seq, extra)| ChildEnd {
            index,
            id,
            state: state.to_owned(),
            code,
            seq,
            spent: (seq % 2 == 0).then(|| Box::new(full_amounts())),
            overrun: None,
            extra,
        })
}

/// The calls of an intent; some of a wait that is open.
pub(crate) fn any_child_sets() -> impl Strategy<Value = Vec<ChildSet>> {
    let set = (
        (0_u32..3, "[ab]", 1_u32..12),
        any_join(),
        of(0_u32..4),
        any::<bool>(),
        of(any::<u64>()),
        "(|AQ|Bw|/w|gAE)",
        0_u32..3,
        any_extra(),
    );
    let set = set.prop_map(
        |((hop, name, count), join, need, detach, seq, ended, completed, extra)| ChildSet {
            hop,
            name,
            count,
            join,
            need,
            detach,
            seq,
            ended,
            completed,
            shares: if detach { vec![full_share()] } else { Vec::new() },
            owed: if completed == 1 { vec![full_owed()] } else { Vec::new() },
            topped: None,
            extra,
        },
    );
    vec(set, 0..2)
}
