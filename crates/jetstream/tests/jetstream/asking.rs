//! A question that controllers do not know: asked again of others, and refused when all are too old.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::{ControlError, Effect, Question, Reply};
use baton_jetstream::{ControllerMesh, Error, Mesh};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::support::{TestServer, connect};

/// A question that older controllers have never heard of.
#[derive(Debug, Serialize, Deserialize)]
struct New {
    number: u32,
}

impl Question for New {
    const VERB: &'static str = "intents.new";
    const EFFECT: Effect = Effect::Changes;
    type Answer = u32;
}

/// A controller that answers everything alike.
async fn answering(server: &TestServer, reply: Reply<u32>) -> Arc<AtomicUsize> {
    let mut requests = ControllerMesh::of(&connect(server).await)
        .serve_control()
        .await
        .unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            counted.fetch_add(1, Ordering::SeqCst);
            request.answer(&reply).await;
        }
    });
    asked
}

/// The two ways in which a controller says that it does not know a verb, the older one first, byte for byte.
fn unknown() -> [Reply<u32>; 2] {
    [
        r#"{"error":{"code":"BAD_REQUEST","message":"there is nothing to ask as \"intents.new\"","fix":""}}"#,
        r#"{"error":{"code":"UNKNOWN_VERB","message":"there is nothing to ask as \"intents.new\"","fix":""}}"#,
    ]
    .map(|reply| serde_json::from_str(reply).unwrap())
}

async fn ask(mesh: &Mesh) -> Result<u32, Error> {
    mesh.ask_controller(&New { number: 7 }).await
}

fn refused(asked: Result<u32, Error>) -> ControlError {
    match asked {
        Err(Error::Control(refused)) => refused,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_controller_among_older_ones_is_found() {
    for older in unknown() {
        let server = TestServer::start().await;
        let asked = answering(&server, older).await;
        answering(&server, Reply::Ok(42)).await;
        let mesh = connect(&server).await;
        // The server takes either of them: some of these questions come to the older one first, most likely.
        for _ in 0..10 {
            assert_eq!(ask(&mesh).await.unwrap(), 42);
        }
        let again = asked.load(Ordering::SeqCst);
        println!("10 questions came to an older controller {again} times");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_newer_controller_it_is_refused_after_two_seconds() {
    for reply in unknown() {
        let server = TestServer::start().await;
        let asked = answering(&server, reply).await;
        let mesh = connect(&server).await;
        let began = Instant::now();
        let refused = refused(ask(&mesh).await);
        assert_eq!(refused.code, codes::CONTROLLER_TOO_OLD);
        assert!(refused.message.contains("\"intents.new\""), "{}", refused.message);
        assert_eq!(asked.load(Ordering::SeqCst), 21, "once, and 20 times again");
        assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_refusal_is_final() {
    // The second is about another verb, so it is no answer to this question.
    let refusals = [
        ControlError::new(codes::BAD_REQUEST, "intents.new: missing field `number`", "name it"),
        ControlError::new(codes::BAD_REQUEST, "there is nothing to ask as \"intents.old\"", ""),
        ControlError::new(codes::ROLLOUT_OWNED, "bob owns it", "ask bob"),
    ];
    for refusal in refusals {
        let server = TestServer::start().await;
        let asked = answering(&server, Reply::Error(refusal.clone())).await;
        let mesh = connect(&server).await;
        assert_eq!(refused(ask(&mesh).await), refusal);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
