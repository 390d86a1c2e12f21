//! Alarms about the mesh as a whole, as they are published.

use baton_envelope::control::MeshAlarm;
use baton_jetstream::Mesh;

/// Publishes an alarm that begins now. Core NATS: possibly nobody listens.
pub(crate) async fn publish(mesh: &Mesh, code: &str, message: String, ways_out: Vec<String>) {
    let alarm = MeshAlarm {
        code: code.to_owned(),
        since: mesh.now(),
        ended: None,
        message,
        ways_out,
    };
    let Ok(body) = serde_json::to_vec(&alarm) else { return };
    if let Err(error) = mesh.publish_plain(mesh.subjects().alarm(), body.into()).await {
        tracing::debug!(%error, code, "cannot publish an alarm");
    }
}
