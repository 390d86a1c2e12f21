//! Documents as a controller answers them, for the tests of their views.

use baton_envelope::Route;
use baton_envelope::control::{AgentsView, StatusView};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const AT: &str = "2026-11-21T05:00:00.000Z";

fn read<T: DeserializeOwned>(document: Value) -> T {
    serde_json::from_value(document).expect("a document of the control API")
}

fn rollout() -> Value {
    json!({
        "id": "r-1", "from": "1.4.0", "to": "2.0.0", "owner": "ada@host", "started_at": AT,
        "steps": [10, 25, 50, 100], "step": 1, "step_since": AT, "hold_seconds": 120, "auto": true,
        "phase": "ramping",
    })
}

fn alarm(version: &str) -> Value {
    json!({
        "code": "DRAIN_WITHOUT_WORKERS", "agent": "code", "version": version, "since": AT,
        "message": format!("{version} has open work and no worker"),
        "ways_out": [format!("baton intents move --agent code --from {version} --to 1.4.0")],
    })
}

/// One agent with an active version that has no worker, and a canary.
pub(crate) fn agents() -> AgentsView {
    let version = |version: &str| {
        json!({
            "version": version, "state": "active", "since": AT, "reason": null, "workers": [], "backlog": 3,
            "in_flight": 1, "open": {"queued": 3, "waiting_human": 1},
            "protocol": {"oldest": "1.0.0", "newest": "1.0.0"}, "capabilities": [], "channels": [], "kinds": [],
            "schemas": {}, "breaker_open": false,
        })
    };
    let mut canary = version("2.0.0");
    for (name, value) in [
        ("state", json!("canary")),
        ("reason", json!("rollout r-1")),
        ("backlog", json!(0)),
        ("in_flight", json!(0)),
        ("open", json!({})),
        ("protocol", json!({"oldest": "1.0.0", "newest": "1.1.0"})),
        ("capabilities", json!(["rust", "tests"])),
        (
            "workers",
            json!([{"instance": "w-2", "concurrency": 8, "busy": 2, "stopping": false, "heard_at": AT,
                    "clock_ahead_ms": -30_000, "host": "db-7"}]),
        ),
    ] {
        canary[name] = value;
    }
    read(json!({"agents": [{
        "agent": "code", "active": "1.4.0", "canary": {"version": "2.0.0", "percent": 10}, "previous": null,
        "pinning": "hop", "rollout": rollout(), "versions": [version("1.4.0"), canary],
        "alarms": [alarm("1.4.0")],
    }]}))
}

/// A rollout in its second step, and a version that still drains.
pub(crate) fn status() -> StatusView {
    let tally = |hops: u64| json!({"hops": hops});
    read(json!({
        "agent": "code", "active": "1.4.0", "canary": {"version": "2.0.0", "percent": 25}, "rollout": rollout(),
        "evidence": {
            "from": {"hops": 200, "retryable": 1, "terminal": 1, "p50_ms": 12.0, "p95_ms": 40.5, "p99_ms": 12_500.0,
                     "cost": 0.25},
            "to": tally(60), "from_in_step": tally(80), "to_in_step": tally(20),
        },
        "verdict": "20 of 50 attempts of 2.0.0 seen in this step",
        "drains": [{
            "version": "1.3.0", "state": "draining", "since": AT, "workers": 0, "open": 3, "tickets": 1,
            "eta_seconds": 90,
            "holds": [
                {"cause": "queued", "count": 1, "oldest": "order-9", "since": AT, "intents": ["order-9"]},
                {"cause": "waiting_human", "count": 2, "oldest": "order-1", "since": AT, "intents": ["order-1"]},
            ],
        }],
        "alarms": [alarm("1.3.0")],
        "behind": 7,
    }))
}

/// A route with a version in quarantine.
pub(crate) fn route() -> Route {
    read(json!({
        "agent": "code", "active": "1.4.0", "updated_at": AT, "updated_by": "ada@host",
        "versions": {
            "1.4.0": {"state": "active", "since": AT},
            "2.0.0": {"state": "quarantined", "since": AT, "reason": "bad build"},
        },
    }))
}
