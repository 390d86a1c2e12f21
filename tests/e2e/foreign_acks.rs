//! An agent of a secured mesh acknowledges its own tickets, in whichever form the server writes acks, and nobody else's.

use baton_e2e::accounts::layout;
use baton_testkit::TestServer;
use serde_json::{Value, json};

/// A stream with a consumer for an agent, as controllers make them.
async fn make(server: &TestServer, agent: &str) {
    let (stream, controller) = (format!("MESH_WORK_{agent}"), server.client_as("controller").await);
    for (what, request) in [
        (
            format!("STREAM.CREATE.{stream}"),
            json!({"name": stream, "subjects": [format!("mesh.work.{agent}.*.*")], "retention": "workqueue"}),
        ),
        (
            format!("CONSUMER.CREATE.{stream}.c"),
            json!({"stream_name": stream, "config": {"name": "c", "durable_name": "c", "ack_policy": "explicit"}}),
        ),
    ] {
        let answer = controller
            .request(format!("$JS.API.{what}"), request.to_string().into())
            .await;
        let answer = String::from_utf8_lossy(&answer.expect("an answer").payload).into_owned();
        assert!(!answer.contains("error"), "{answer}");
    }
}

/// How many tickets of an agent are in its stream.
async fn left(server: &TestServer, agent: &str) -> u64 {
    let controller = server.client_as("controller").await;
    let asked = controller
        .request(format!("$JS.API.STREAM.INFO.MESH_WORK_{agent}"), "".into())
        .await;
    let answer: Value = serde_json::from_slice(&asked.expect("an answer").payload).expect("JSON");
    answer["state"]["messages"].as_u64().expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_acknowledges_the_ticket_of_another_agent() {
    for (form, flags) in [("short", ""), ("long", "feature_flags { js_ack_fc_v2: true }\n")] {
        let server = TestServer::builder().config(&layout()).config(flags).start().await;
        for agent in ["research", "code"] {
            make(&server, agent).await;
        }
        let (research, code) = (server.client_as("research").await, server.client_as("code").await);
        let handed = research.request("mesh.work.code.1_0_0.p5", "a ticket".into()).await;
        assert!(handed.is_ok(), "an agent hands off: {handed:?}");
        let inbox = code.new_inbox();
        let mut pulled = code.subscribe(inbox.clone()).await.expect("subscribed");
        let next = "$JS.API.CONSUMER.MSG.NEXT.MESH_WORK_code.c";
        let pull = json!({"batch": 1, "expires": 5_000_000_000_u64}).to_string();
        code.publish_with_reply(next, inbox, pull.into()).await.expect("asked");
        let ticket = futures::StreamExt::next(&mut pulled).await.expect("a ticket");
        let ack = ticket.reply.expect("its ack").to_string();
        assert_eq!(ack.split('.').count() > 9, form == "long", "{ack}");

        // Its parts in the short form: stream, consumer, deliveries, and the rest.
        let parts: Vec<&str> = ack.split('.').collect();
        let own = parts
            .iter()
            .position(|part| *part == "MESH_WORK_code")
            .expect("the stream");
        let mut forged: Vec<&str> = vec!["$JS", "ACK"];
        forged.extend(&parts[own..own + 7]);
        forged[4] = "MESH_WORK_research";
        for subject in [ack.clone(), forged.join(".")] {
            let answer = research.request(subject.clone(), "+ACK".into()).await;
            assert!(answer.is_err(), "{form}: {subject}: {answer:?}");
            assert_eq!(
                left(&server, "code").await,
                1,
                "{form}: research acknowledged {subject}"
            );
        }
        let answer = code.request(ack, "+ACK".into()).await;
        assert!(answer.is_ok(), "{form}: {answer:?}");
        assert_eq!(left(&server, "code").await, 0, "{form}");
    }
}
