//! The answer to what a publisher asks.

use baton_testkit::eventually;
use futures::StreamExt as _;

use super::{SOON, Secured, connect_as, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_is_answered_once_and_on_its_own_subject_alone() {
    let mesh = Secured::start().await;
    let client = mesh.server.client_as("shop").await;
    let mut answers = client.subscribe("reply.shop.>").await.expect("subscribed");
    client.flush().await.expect("the server has heard it");
    let shop = connect_as(&mesh.server, "shop").await;
    let send = async |intent: &str, reply_to: &str| {
        let headers = [("Baton-Intent", intent), ("Baton-Reply-To", reply_to)];
        let headers = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
        let sent = shop.publish_raw("mesh.intent.research".to_owned(), headers, "otters".into());
        sent.await.expect("taken in");
    };
    for (intent, reply_to) in [("order-1", "reply.shop.1"), ("order-2", "reply.shop.2")] {
        send(intent, reply_to).await;
        let answer = tokio::time::timeout(SOON, answers.next())
            .await
            .expect("in time")
            .expect("an answer");
        let said = String::from_utf8_lossy(&answer.payload).into_owned();
        assert_eq!(
            (answer.subject.as_str(), said.contains("done:")),
            (reply_to, true),
            "{said}"
        );
    }
    // Where somebody else listens it may not have an answer sent.
    send("order-3", "reply.other.1").await;
    let refused = eventually("it is rejected", SOON, async || {
        match mesh.control.head(&id("order-3")).await {
            Ok(Some(head)) => Ok(head),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let error = refused.record.error.expect("a reason");
    assert_eq!(error.code, "BAD_REPLY_TO", "{}", error.message);
}
