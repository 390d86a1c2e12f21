//! A kill while somebody resumes what it has paused.

use std::time::Duration;

use baton_envelope::control::{AgentAct, KillAgent};
use baton_envelope::{Envelope, IntentId, Json};
use baton_jetstream::Mesh;
use baton_testkit::{Client, Proxy, consumers};
use futures::StreamExt as _;

use crate::support::{
    PATIENCE, Running, TestServer, eventually, head, id, mesh_with_research, operator, quiet, research,
};

const STREAM: &str = "MESH_WORK_research";
/// How late the controller hears of everything: that long everything stands that it does next.
const BEHIND: Duration = Duration::from_millis(150);

async fn submit(mesh: &Mesh, intent: &IntentId) {
    let envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), research().0, Json::null());
    mesh.submit(envelope, operator()).await.unwrap();
}

/// Takes the next ticket of the only consumer that has some, as a worker does. A pull that comes while the end of a pause is not
/// applied yet gets nothing.
async fn pull(client: &Client, consumer: &str) {
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}");
    let at_once = r#"{"batch":1,"no_wait":true}"#;
    eventually("a ticket", PATIENCE, async || {
        // Not a request: a ticket keeps its own subject.
        let inbox = client.new_inbox();
        let mut answers = client.subscribe(inbox.clone()).await.expect("subscribed");
        let asked = client.publish_with_reply(subject.clone(), inbox, at_once.into()).await;
        asked.expect("asked");
        let pulled = answers.next().await.expect("an answer");
        pulled
            .status
            .is_none()
            .then_some(())
            .ok_or_else(|| format!("{:?}", pulled.status))
    })
    .await;
}

/// Would fail with a kill that looks at each consumer once: whoever began to resume the agent before the kill, and goes on behind
/// it, gives another ticket away, and what its worker commits would count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_takes_what_was_given_away_while_it_was_under_way() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let proxy = Proxy::start(server.url()).await;
    let controller = Running::start(&connect_to(&proxy).await, quiet("c1"));
    let client = server.client().await;
    let (one, two) = (id("one"), id("two"));
    submit(&mesh, &one).await;
    submit(&mesh, &two).await;
    let found = consumers(&client, STREAM).await.unwrap();
    let with_work = found
        .iter()
        .find(|consumer| consumer.pending == 2)
        .expect("both have one priority");
    pull(&client, &with_work.name).await;

    let mut changes = client.subscribe("mesh.event.one").await.expect("subscribed");
    client.flush().await.expect("flushed");
    proxy.delay(BEHIND);
    let asking = tokio::spawn({
        let mesh = mesh.clone();
        async move {
            let act = AgentAct {
                agent: research().0,
                version: None,
                by: "ada@test".to_owned(),
                reason: Some("it deletes files".to_owned()),
            };
            mesh.ask_controller(&KillAgent(act)).await
        }
    });
    // The kill has taken the first one, and does not know it yet.
    changes.next().await.expect("it is fenced");
    proxy.stall();
    let resumed = format!("$JS.API.CONSUMER.PAUSE.{STREAM}.{}", with_work.name);
    client.request(resumed, "{}".into()).await.expect("resumed");
    pull(&client, &with_work.name).await;
    proxy.heal();
    let killed = asking.await.unwrap().expect("killed");
    assert_eq!(killed.fenced, 2, "also what was given away behind its look");
    for intent in [&one, &two] {
        let head = head(&mesh, intent).await;
        assert_eq!(head.record.event.name(), "released", "{intent}");
    }
    proxy.delay(Duration::ZERO);
    let counts = mesh.agent_counts(&research().0).await.unwrap();
    assert!(!counts[&research().1].running, "its consumers are paused");
    controller.stop().await;
}

async fn connect_to(proxy: &Proxy) -> Mesh {
    baton_jetstream::Target::at(proxy.url()).connect().await.unwrap()
}
