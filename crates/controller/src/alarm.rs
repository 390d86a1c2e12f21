//! Alarms, as they are published. Core NATS: possibly nobody listens.

use baton_envelope::control::MeshAlarm;
use baton_jetstream::{Error, Mesh};
use serde::Serialize;

/// Publishes an alarm, of a version or of the mesh.
pub(crate) async fn send(mesh: &Mesh, alarm: &impl Serialize) -> Result<(), Error> {
    // Never: each alarm can be written as JSON.
    let Ok(body) = serde_json::to_vec(alarm) else {
        return Ok(());
    };
    mesh.publish_plain(mesh.subjects().alarm(), body.into()).await
}

/// Publishes an alarm about the mesh as a whole, which begins now.
pub(crate) async fn publish(mesh: &Mesh, code: &str, message: String, ways_out: Vec<String>) {
    let alarm = MeshAlarm {
        code: code.to_owned(),
        since: mesh.now(),
        ended: None,
        message,
        ways_out,
    };
    if let Err(error) = send(mesh, &alarm).await {
        tracing::debug!(%error, code, "cannot publish an alarm");
    }
}
