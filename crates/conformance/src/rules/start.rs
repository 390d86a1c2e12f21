//! What a worker does before its first ticket.

use std::time::Duration;

use baton_envelope::{Bands, Declaration};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::court::Court;
use crate::fault::{Fault, expect};

pub(super) async fn heartbeat(court: &Court) -> Result<(), Fault> {
    let message = &court.heartbeat;
    let text = String::from_utf8_lossy(&message.body);
    let declared: Declaration = serde_json::from_slice(&message.body).map_err(|error| Fault::Broken {
        expected: "a Declaration".to_owned(),
        seen: format!("{text}: {error}"),
    })?;
    let subject = court.mesh.subjects();
    let own = subject.heartbeat(&declared.agent, &declared.version, &declared.instance);
    expect(
        own == message.subject,
        format!("the Declaration of {}", message.subject),
        format!("one that belongs on {own}"),
    )
}

pub(super) async fn consumers(court: &Court) -> Result<(), Fault> {
    let subjects = court.mesh.subjects();
    let stream = subjects.work_stream(&court.agent);
    for band in Bands::default().list() {
        let name = subjects.work_consumer(&court.version, band);
        let until = Instant::now() + court.options.patience;
        let config = loop {
            let info = court.api(&format!("CONSUMER.INFO.{stream}.{name}")).await?;
            if let Some(config) = info.get("config") {
                break config.clone();
            }
            expect(
                Instant::now() < until,
                format!("the consumer {name} on {stream}"),
                format!("none: {info}"),
            )?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        let filters = json!(subjects.work_band(&court.agent, &court.version, band));
        for (field, wanted) in [
            ("ack_policy", json!("explicit")),
            ("deliver_policy", json!("all")),
            ("ack_wait", json!(10_000_000_000_u64)),
            ("max_deliver", json!(-1)),
            ("filter_subjects", filters),
        ] {
            let found = config.get(field).cloned().unwrap_or_default();
            expect(
                same(&found, &wanted),
                format!("{field} {wanted} on the consumer {name}"),
                found.to_string(),
            )?;
        }
    }
    Ok(())
}

/// Whether two settings mean the same: the order of filters says nothing.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_array(), other.as_array()) {
        (Some(one), Some(other)) => one.len() == other.len() && one.iter().all(|entry| other.contains(entry)),
        _ => one == other,
    }
}
