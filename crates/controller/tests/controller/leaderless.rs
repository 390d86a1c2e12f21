//! A mesh whose controllers cannot take the lead: each says so on `mesh.alarm`, and says when it is over.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::MeshAlarm;
use baton_testkit::{Client, Subscriber};
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::support::*;

/// Longer than a lease takes to run out, the bound on having no leader, and two looks.
const TOLD: Duration = Duration::from_secs(60);

/// Lets nothing be written to the bucket that says who leads, or lets it again, as `nats stream edit` does.
async fn bound_the_lease(client: &Client, max_msg_size: i64) {
    let ask = async |what: &str, body: Value| {
        let subject = format!("$JS.API.STREAM.{what}.KV_MESH_CONTROL");
        let reply = client.request(subject, body.to_string().into()).await.unwrap();
        serde_json::from_slice::<Value>(&reply.payload).unwrap()
    };
    let mut info = ask("INFO", json!({})).await;
    let config = info
        .pointer_mut("/config")
        .and_then(Value::as_object_mut)
        .expect("a configuration");
    config.insert("max_msg_size".to_owned(), json!(max_msg_size));
    let answer = ask("UPDATE", json!(config)).await;
    assert_eq!(answer.get("error"), None, "{answer}");
}

/// The next alarms of two controllers.
async fn two(alarms: &mut Subscriber) -> [MeshAlarm; 2] {
    let mut next = async || {
        let message = tokio::time::timeout(TOLD, alarms.next())
            .await
            .expect("an alarm")
            .unwrap();
        serde_json::from_slice(&message.payload).unwrap()
    };
    [next().await, next().await]
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_without_a_leader_say_so_once_and_say_when_it_is_over() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let client = server.client().await;
    let mut alarms = client.subscribe("mesh.alarm").await.unwrap();
    let running = [
        Running::start(&connect(&server).await, quiet("a")),
        Running::start(&connect(&server).await, quiet("b")),
    ];
    eventually("one leads", PATIENCE, async || {
        let leader = mesh.leader().await.map_err(|error| error.to_string())?;
        leader.map(drop).ok_or_else(|| "none".to_owned())
    })
    .await;
    bound_the_lease(&client, 1).await;
    let began = two(&mut alarms).await;
    for alarm in &began {
        assert_eq!((&*alarm.code, alarm.ended), (codes::NO_LEADER, None), "{alarm:?}");
        assert_eq!(alarm.ways_out, ["baton doctor"], "{alarm:?}");
    }
    let mut by: Vec<&str> = began
        .iter()
        .filter_map(|alarm| alarm.message.split(' ').nth(1))
        .collect();
    by.sort_unstable();
    assert_eq!(by, ["a", "b"], "each says it once: {began:?}");
    assert_eq!(mesh.leader().await.unwrap(), None, "as the doctor sees it");

    bound_the_lease(&client, -1).await;
    for alarm in two(&mut alarms).await {
        let of = began.iter().find(|one| one.since == alarm.since);
        assert!(
            of.is_some() && alarm.ended.is_some(),
            "{alarm:?} ends none of {began:?}"
        );
    }
    assert!(mesh.leader().await.unwrap().is_some());
    for controller in running {
        controller.stop().await;
    }
}
