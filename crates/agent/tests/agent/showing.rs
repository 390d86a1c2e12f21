//! A hop that runs longer than a moment is seen to be in progress, whichever attempt it is.

use std::sync::Arc;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use tokio::sync::Notify;

use crate::support::{PATIENCE, TestServer, completed, eventually, mesh, start, submit};

/// Fails its first attempt, and holds the second until it is told to end.
struct Second(Arc<Notify>);

impl Handler for Second {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, _: String) -> Result<Outcome, Fault> {
        if hop.attempt() == 1 {
            return Err(Fault::retry("not yet"));
        }
        self.0.notified().await;
        Outcome::complete(&"done")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_that_runs_is_in_progress() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let end = Arc::new(Notify::new());
    let second = Second(Arc::clone(&end));
    let _worker = start(&server, Agent::builder("shout", "1.0.0").unwrap().handler(second)).await;
    let intent = submit(&mesh, "second").await;
    eventually("the second attempt is in progress", PATIENCE, async || {
        let snapshot = mesh.head(&intent).await.unwrap().unwrap().record.snapshot;
        match (snapshot.status.name(), snapshot.attempt, &snapshot.holder) {
            ("in_progress", 2, Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    end.notify_one();
    completed(&mesh, &intent, PATIENCE).await;
    let trail = mesh.history(&intent, 1).await.unwrap();
    let started = trail.iter().filter(|head| head.record.event.name() == "started");
    assert_eq!(started.count(), 1, "{trail:?}");
}
