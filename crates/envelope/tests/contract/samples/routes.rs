//! What agents declare and what their routes hold, with every field set.

use baton_envelope::*;

use super::{NOW, agent, full_approval, full_limits, intent, json, version};

pub(crate) fn full_declaration() -> Declaration {
    Declaration {
        agent: agent("code"),
        version: version("2.0.0"),
        instance: "host-1-4711".to_owned(),
        capabilities: vec!["invoices".to_owned()],
        channels: vec!["news".to_owned()],
        kinds: vec!["invoice.extract.v1".to_owned()],
        schemas: [("invoice.extract.v1".to_owned(), json("{}"))].into(),
        protocol: ProtocolRange {
            oldest: "0.9.0".parse().expect("version"),
            newest: "2.1.0".parse().expect("version"),
        },
        concurrency: 8,
        busy: 3,
        stopping: true,
        dropped: 2,
        at: NOW,
        clock_ahead_ms: -60_000,
        host: "host-1".to_owned(),
        manual: true,
        policy: Some(full_policy()),
        signs: true,
        context: Some(full_view_size()),
        extra: Extra::new(),
    }
}

pub(crate) fn full_view_size() -> ViewSize {
    ViewSize {
        view_tokens: Some(8_000),
        factor: Some(1_600),
        extra: Extra::new(),
    }
}

pub(crate) fn full_policy() -> Policy {
    Policy {
        attempts: Some(5),
        backoff_ms: Some(2_000),
        longest_ms: Some(60_000),
        attempt_timeout_ms: Some(30_000),
        accept_within_ms: Some(15_000),
        alternatives: vec![agent("qa")],
        on_exhausted: Some(OnExhausted::Escalate(agent("chief"))),
        on_rejected: Some(OnRejected::Return),
        on_unaccepted: Some(OnUnaccepted::Alternative),
        on_open: Some(OnOpen::Refuse),
        gate: Some(Box::new(full_approval())),
        extra: Extra::new(),
    }
}

pub(crate) fn full_stands_in() -> StandsIn {
    StandsIn {
        for_agent: agent("qa"),
        tried: vec![agent("qa")],
        extra: Extra::new(),
    }
}

pub(crate) fn full_withheld() -> Withheld {
    Withheld {
        since: NOW,
        until: Some(NOW),
        extra: Extra::new(),
    }
}

pub(crate) fn full_breaker() -> Breaker {
    Breaker {
        agent: agent("code"),
        version: version("2.0.0"),
        state: BreakerState::HalfOpen,
        since: NOW,
        until: Some(NOW),
        probe: Some(intent()),
        probe_seq: Some(7),
        by: "controller c1".to_owned(),
        reason: Some("3 in a row".to_owned()),
        opened: 2,
        owed_through: 9,
        extra: Extra::new(),
    }
}

pub(crate) fn full_entry() -> VersionEntry {
    VersionEntry {
        state: VersionState::Draining,
        since: Some(NOW),
        reason: Some("superseded".to_owned()),
        capabilities: vec!["invoices".to_owned()],
        channels: vec!["news".to_owned()],
        kinds: vec!["invoice.extract.v1".to_owned()],
        protocol: full_declaration().protocol,
        moving_until: Some(NOW),
        paused: Some(full_pause()),
        manual: true,
        withheld: Some(full_withheld()),
        context: Some(full_view_size()),
        extra: Extra::new(),
    }
}

pub(crate) fn full_pause() -> Pause {
    Pause {
        by: "ada@host".to_owned(),
        at: NOW,
        reason: Some("it deletes the wrong files".to_owned()),
        kill: true,
        killed_at: Some(NOW),
        fenced: 12,
        extra: Extra::new(),
    }
}

pub(crate) fn full_rollout() -> Rollout {
    Rollout {
        id: "0190".to_owned(),
        from: version("1.4.0"),
        to: version("2.0.0"),
        owner: "alice@host".to_owned(),
        started_at: NOW,
        steps: vec![Percent::new(10).expect("percent"), Percent::ALL],
        step: 1,
        step_since: NOW,
        hold_seconds: 120,
        auto: true,
        phase: Phase::Paused,
        margins: Margins {
            min_hops: Some(100),
            failure_margin: Some(0.02),
            latency_factor: Some(2.0),
            latency_floor_ms: Some(5.0),
            extra: Extra::new(),
        },
        ended_at: Some(NOW),
        extra: Extra::new(),
    }
}

pub(crate) fn full_route() -> Route {
    Route {
        agent: agent("code"),
        active: version("1.4.0"),
        updated_at: NOW,
        updated_by: "operator".to_owned(),
        canary: Some(Canary {
            version: version("2.0.0"),
            percent: Percent::new(10).expect("percent"),
            extra: Extra::new(),
        }),
        previous: Some(version("1.4.0")),
        versions: [(version("1.4.0"), full_entry())].into(),
        pinning: Pinning::Chain,
        rollout: Some(full_rollout()),
        decision: Some(Decision {
            what: "started".to_owned(),
            by: "alice@host".to_owned(),
            at: NOW,
            version: Some(version("2.0.0")),
            reason: Some("a new build".to_owned()),
            numbers: Some(json("{\"hops\":1}")),
            extra: Extra::new(),
        }),
        paused: Some(full_pause()),
        limits: Some(full_limits()),
        policy: Some(full_policy()),
        channels: [("news".parse().expect("channel"), true)].into(),
        extra: Extra::new(),
    }
}
