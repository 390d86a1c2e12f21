//! One sample of everything, written so that a new field or variant fails to compile until it is added here.

mod calling;
mod limits;
mod people;
mod routes;
mod undoing;

use std::collections::BTreeMap;

use baton_envelope::budget::{Amounts, OnExhaustedBudget, Spend};
use baton_envelope::*;

pub(crate) use self::calling::*;
pub(crate) use self::limits::*;
pub(crate) use self::people::*;
pub(crate) use self::routes::*;
pub(crate) use self::undoing::*;

pub(crate) const NOW: Timestamp = Timestamp::from_unix_millis(1_795_237_200_000);

pub(crate) fn json(text: &str) -> Json {
    Json::parse(text).expect("valid JSON")
}

pub(crate) fn agent(name: &str) -> AgentName {
    name.parse().expect("valid name")
}

pub(crate) fn version(text: &str) -> AgentVersion {
    text.parse().expect("valid version")
}

pub(crate) fn intent() -> IntentId {
    "order-42".parse().expect("valid id")
}

pub(crate) fn envelope_id(n: u8) -> EnvelopeId {
    EnvelopeId::generate(NOW, [n; 10])
}

pub(crate) fn record_id(n: u8) -> RecordId {
    RecordId::generate(NOW, [n; 10])
}

/// Every event that this version knows; the waits with each reason.
pub(crate) fn events() -> Vec<Event> {
    let code = || "CODE".to_owned();
    // A new variant does not compile here until it is listed below.
    let known = |event: &Event| match event {
        Event::Submitted | Event::Claimed | Event::Started | Event::Step | Event::Progress | Event::HandedOff => (),
        Event::FannedOut | Event::ChildDone | Event::Waiting { .. } | Event::Signalled | Event::Resumed => (),
        Event::RetryScheduled | Event::Released | Event::Parked { .. } | Event::Redriven | Event::Rerouted => (),
        Event::Repinned | Event::Placed | Event::ToppedUp => (),
        Event::Moved | Event::Completed | Event::Rejected { .. } | Event::Failed { .. } | Event::Cancelled => (),
        Event::TimedOut | Event::Compensating | Event::Compensated { .. } | Event::Unknown { .. } => (),
    };
    let mut list = vec![
        Event::Submitted,
        Event::Claimed,
        Event::Started,
        Event::Step,
        Event::Progress,
        Event::HandedOff,
        Event::FannedOut,
        Event::ChildDone,
        Event::Signalled,
        Event::Resumed,
        Event::RetryScheduled,
        Event::Released,
        Event::Parked { code: code() },
        Event::Redriven,
        Event::Rerouted,
        Event::Moved,
        Event::Repinned,
        Event::Placed,
        Event::ToppedUp,
        Event::Completed,
        Event::Rejected { code: code() },
        Event::Failed { code: code() },
        Event::Cancelled,
        Event::TimedOut,
        Event::Compensating,
        Event::Compensated { code: Some(code()) },
        Event::Compensated { code: None },
    ];
    list.extend(wait_reasons().into_iter().map(|reason| Event::Waiting { reason }));
    list.iter().for_each(known);
    list
}

pub(crate) fn wait_reasons() -> Vec<WaitReason> {
    vec![
        WaitReason::Human,
        WaitReason::Agent,
        WaitReason::Time,
        WaitReason::Tool,
        WaitReason::Children,
        WaitReason::Order,
    ]
}

/// Every status that this version knows.
pub(crate) fn statuses() -> Vec<Status> {
    let code = || "OLD".to_owned();
    let known = |status: &Status| match status {
        Status::Pending | Status::Accepted | Status::InProgress | Status::Waiting { .. } | Status::Parked { .. } => (),
        Status::Compensating | Status::Completed | Status::Rejected { .. } | Status::Failed { .. } => (),
        Status::Cancelled | Status::TimedOut | Status::Unknown { .. } => (),
    };
    let mut list = vec![
        Status::Pending,
        Status::Accepted,
        Status::InProgress,
        Status::Parked { code: code() },
        Status::Compensating,
        Status::Completed,
        Status::Rejected { code: code() },
        Status::Failed { code: code() },
        Status::Cancelled,
        Status::TimedOut,
    ];
    list.extend(wait_reasons().into_iter().map(|reason| Status::Waiting { reason }));
    list.iter().for_each(known);
    list
}

/// What a controller writes with.
pub(crate) fn stamp() -> Stamp {
    Stamp {
        id: record_id(2),
        at: NOW,
        by: Author::of(Role::Controller, "c-1"),
    }
}

/// An envelope in which every field is set, none to its default.
pub(crate) fn full_envelope() -> Envelope {
    Envelope {
        protocol: PROTOCOL,
        id: envelope_id(1),
        intent: intent(),
        root: Some("order-1".parse().expect("id")),
        parent: Some("order-2".parse().expect("id")),
        previous: Some(envelope_id(2)),
        kind: Some("invoice.extract.v1".to_owned()),
        from: Some("research@1.4.0".to_owned()),
        to: agent("code"),
        to_version: Some(version("2.0.0-rc.1+build.5")),
        hop: 3,
        max_hops: MaxHops::new(12).expect("in range"),
        priority: Priority::new(8).expect("in range"),
        deadline: Some(NOW),
        task: Some(Task {
            goal: Some("goal".to_owned()),
            state: Some("state".to_owned()),
            ask: Some("ask".to_owned()),
            extra: Extra::new(),
        }),
        memory: vec![MemoryRef {
            key: "notes".to_owned(),
            revision: Some(3),
            hash: Some("ab".to_owned()),
            policy: Some("latest".to_owned()),
            extra: Extra::new(),
        }],
        history: vec![HistoryEntry {
            agent: agent("research"),
            version: Some(version("1.4.0")),
            hop: Some(2),
            at: Some(NOW),
            did: Some("did".to_owned()),
            decided: Some("decided".to_owned()),
            why: Some("why".to_owned()),
            refs: vec!["ref".to_owned()],
            extra: Extra::new(),
        }],
        constraints: None,
        constraints_hash: None,
        expects: Some(Box::new(Expects {
            format: Some("text/markdown".to_owned()),
            length: Some("2 pages".to_owned()),
            quality: Some("high".to_owned()),
            schema: Some(json("{\"type\":\"string\"}")),
            min_length: Some(200),
            max_length: Some(9_000),
            checked: true,
            extra: Extra::new(),
        })),
        payload: json("{\"topic\":\"otters\"}"),
        payload_encoding: Some("base64".to_owned()),
        budget: Some(Box::new(full_budget())),
        pins: BTreeMap::from([(agent("code"), version("2.0.0"))]),
        itinerary: vec![agent("qa")],
        join: Some(json("{\"rule\":\"all\"}")),
        reply_to: Some("clients.7.answers".to_owned()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        pinning: Some(Pinning::Chain),
        not_before: Some(NOW),
        gates: BTreeMap::from([(agent("code"), full_approval())]),
        policy: Some(Box::new(full_policy())),
        stands_in: Some(Box::new(full_stands_in())),
        order_key: Some("customer 7".to_owned()),
        next: BTreeMap::from([(agent("qa"), vec![agent("ship"), agent("code")])]),
        payload_ref: Some(Box::new(full_object_ref())),
        context: Some(json(include_str!("../golden/context/context.json").trim_end())),
        extra: Extra::new(),
    }
    .with_constraints(json("{\"budget_eur\":\"1.50\"}"))
}

pub(crate) fn full_meter() -> Meter {
    Meter {
        allotted: Some(json("100")),
        spent: Some(json("7")),
        held: Some(json("2")),
        lent: Some(json("30.5")),
        overrun: Some(json("1")),
        extra: Extra::new(),
    }
}

/// A budget in which every field is set, none to its default.
pub(crate) fn full_budget() -> Budget {
    Budget {
        tokens: Some(full_meter()),
        cost: Some(full_meter()),
        time: Some(full_meter()),
        keep: Some(json("5")),
        on_exhausted: OnExhaustedBudget::Fail,
        counted: true,
        epoch: Some(5),
        need: Some(Box::new(full_amounts())),
        overran: true,
        topped: Some("0123456789ab".to_owned()),
        extra: Extra::new(),
    }
}

/// What a step has spent.
pub(crate) fn full_spend() -> Spend {
    Spend::of_step("plan", full_amounts(), full_amounts())
}

/// An amount of each meter.
pub(crate) fn full_amounts() -> Amounts {
    serde_json::from_str(r#"{"tokens":1200,"cost":0.02,"time":30}"#).expect("amounts")
}

/// A snapshot in which every field is set, none to its default.
pub(crate) fn full_snapshot() -> Snapshot {
    Snapshot {
        status: Status::InProgress,
        agent: Some(agent("code")),
        version: Some(version("2.0.0")),
        hop: 3,
        max_hops: MaxHops::new(12).expect("in range"),
        attempt: 2,
        epoch: 5,
        given_back: Some(4),
        holder: Some("host-1.4711".to_owned()),
        envelope: Some(envelope_id(1)),
        envelope_seq: Some(17),
        priority: Priority::new(8).expect("in range"),
        kind: Some("invoice.extract.v1".to_owned()),
        root: Some("order-1".parse().expect("id")),
        parent: Some("order-2".parse().expect("id")),
        submitted_at: NOW,
        updated_at: NOW,
        deadline: Some(NOW),
        wake_at: Some(NOW),
        path: vec![PathEntry {
            agent: agent("code"),
            version: version("2.0.0"),
            extra: Extra::new(),
        }],
        pins: BTreeMap::from([(agent("code"), version("2.0.0"))]),
        reply_to: Some("clients.7.answers".to_owned()),
        result: Some(json("{\"ok\":true}")),
        result_encoding: Some("base64".to_owned()),
        error: Some(ErrorInfo {
            need: Some(Box::default()),
            ..ErrorInfo::new("CODE", "message")
        }),
        waits: vec![OpenWait {
            hop: 3,
            name: "legal".to_owned(),
            kind: WaitKind::Approval,
            after_ms: Some(86_400_000),
            then: OnTimeout::Park,
            any: true,
            seq: Some(16),
            decided: Some("approve".to_owned()),
            ballot: Some(full_ballot()),
            extra: Extra::new(),
        }],
        signals: vec![UnreadSignal {
            name: "paid".to_owned(),
            id: "m-1".to_owned(),
            seq: Some(15),
            extra: Extra::new(),
        }],
        told: Some("0123456789ab".to_owned()),
        restarted_from: Some(Box::new(Origin::new("order-41".parse().expect("id"), 2))),
        manual: Some(Box::new(full_by_hand())),
        accept_within_ms: Some(15_000),
        order: Some(Box::new(full_order())),
        children: vec![full_child_set()],
        channel: Some("news".parse().expect("channel")),
        undo: Some(Box::new(full_undoing())),
        result_ref: Some(Box::new(full_object_ref())),
        context: Some(json("{\"links\":2}")),
        budget: Some(Box::new(full_budget())),
        extra: Extra::new(),
    }
}

/// A turn in which every field is set.
pub(crate) fn full_order() -> InOrder {
    let text = r#"{"hop":2,"key":"customer 7","submitter":"shop","intake":12,"place":17,"given":1,"given_at":"2026-11-21T05:00:00.000Z"}"#;
    serde_json::from_str(text).expect("a turn")
}

/// Of another envelope than that of the full snapshot, so that it says nothing of its present hop.
pub(crate) fn full_by_hand() -> ByHand {
    ByHand {
        envelope: envelope_id(9),
        estimate_ms: Some(7_200_000),
        until: Some(NOW),
        extra: Extra::new(),
    }
}

/// A record in which every field is set.
pub(crate) fn full_record() -> Record {
    Record {
        protocol: PROTOCOL,
        id: record_id(1),
        intent: intent(),
        event: Event::Step,
        at: NOW,
        by: Author::worker(agent("code"), version("2.0.0"), "host-1.4711"),
        snapshot: full_snapshot(),
        envelope: Some(Box::new(full_envelope())),
        step: Some(full_step()),
        note: Some("note".to_owned()),
        error: Some(ErrorInfo {
            need: Some(Box::default()),
            ..ErrorInfo::new("CODE", "message")
        }),
        raw: Some(Box::new(RawKept {
            subject: "mesh.intent.code".to_owned(),
            headers: vec![("Baton-Priority".to_owned(), "11".to_owned())],
            body_base64: "e30=".to_owned(),
            extra: Extra::new(),
        })),
        took_ms: Some(480),
        cost: Some(json("1.070")),
        context: Some(baton_envelope::context::Completeness::of(19, 20)),
        conversion: Some(Box::new(Conversion::new(
            "2.0.0".parse().expect("version"),
            "3.1.0".parse().expect("version"),
            vec!["content.type".to_owned()],
        ))),
        generated_id: true,
        waits: vec![WaitSpec {
            after_ms: Some(86_400_000),
            then: OnTimeout::Park,
            any: true,
            title: Some("May this be published?".to_owned()),
            approval: Some(full_approval()),
            children: Some(full_children()),
            onward: Some(Box::new(full_onward())),
            ..WaitSpec::new("legal", WaitKind::Approval)
        }],
        signal: Some(Box::new(SignalEntry {
            name: "paid".to_owned(),
            id: "m-1".to_owned(),
            data: json("{\"amount\":1.50}"),
            data_encoding: Some("base64".to_owned()),
            by: Some("shop".to_owned()),
            at: Some(NOW),
            extra: Extra::new(),
        })),
        results: vec![WaitResult {
            name: "paid".to_owned(),
            kind: WaitKind::Signal,
            outcome: WaitOutcome::Signalled,
            data: json("{\"amount\":1.50}"),
            data_encoding: Some("base64".to_owned()),
            by: Some("shop".to_owned()),
            at: Some(NOW),
            seq: Some(15),
            children: vec![full_child_end()],
            extra: Extra::new(),
        }],
        state: Some(json("{\"pages\":7}")),
        people: Some(Box::new(full_people())),
        exhausted: true,
        children: vec![full_children_done()],
        broadcast: Some(Box::new(full_broadcast())),
        undo: Some(Box::new(full_undo())),
        undos: vec![full_planned_undo()],
        hold: Some(Box::new(budget::Hold::new("plan", full_amounts(), 5))),
        spend: Some(Box::new(full_spend())),
        assumed: Some(Box::new(full_amounts())),
        top_up: Some(Box::new(budget::TopUp {
            lent_to: Some(IntentId::of_child(&intent(), 3, "research", 2)),
            paid: true,
            ..budget::TopUp::new("order-7", full_amounts())
        })),
        extra: Extra::new(),
    }
}
