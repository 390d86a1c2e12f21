//! Redelivery without the ack wait.

use std::time::Duration;

use crate::TestMesh;

/// Has the server deliver what a dead process held at once, and not only after the ack wait. A failure costs time only.
pub(crate) async fn hurry(mesh: &TestMesh, stream: &str) {
    let client = mesh.server.client().await;
    let ask = async |subject: String, body: String| -> serde_json::Value {
        let reply = client.request(subject, body.into()).await.expect("an answer");
        serde_json::from_slice(&reply.payload).expect("JSON")
    };
    let listed = ask(format!("$JS.API.CONSUMER.LIST.{stream}"), r#"{"offset":0}"#.to_owned()).await;
    let consumers = listed["consumers"].as_array().cloned().unwrap_or_default();
    let with = async |nanos: Option<u64>| {
        for consumer in &consumers {
            let (name, mut config) = (
                consumer["name"].as_str().unwrap_or_default(),
                consumer["config"].clone(),
            );
            if let Some(nanos) = nanos {
                config["ack_wait"] = nanos.into();
            }
            let body = serde_json::json!({ "stream_name": stream, "config": config, "action": "update" });
            let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}");
            let reply = ask(subject, body.to_string()).await;
            assert!(reply["error"].is_null(), "{stream} {name}: {reply}");
        }
    };
    with(Some(1_000_000)).await;
    // The server looks 100 ms after the change; what it does not see by then waits for the ack wait.
    tokio::time::sleep(Duration::from_millis(300)).await;
    with(None).await;
}
