//! Many tickets at once in a secured mesh, forged ones among them.

use std::sync::atomic::Ordering;

use baton_envelope::{IntentId, Json, Record};
use baton_testkit::eventually;
use futures::future::join_all;

use super::{OPERATOR, SOON, Secured, connect_as, id, put_ticket};

/// So many that a worker looks them up together.
const MANY: u32 = 40;

/// The first record of an intent, as soon as it is there, and its sequence.
async fn first_of(mesh: &Secured, intent: &IntentId) -> (Record, u64) {
    eventually(&format!("{intent} is taken in"), SOON, async || {
        match mesh.control.history(intent, 1).await {
            Ok(history) => history
                .into_iter()
                .next()
                .map(|head| (head.record, head.seq))
                .ok_or_else(|| "no record".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_many_tickets_at_once_those_run_that_a_record_owes_and_as_it_says() {
    let mesh = Secured::start().await;
    let (exit, said, _) = mesh
        .baton(OPERATOR, &["agents", "pause", "research", "--reason", "test"])
        .await;
    assert_eq!(exit, Some(0), "{said}");
    let shop = connect_as(&mesh.server, "shop").await;
    let name = |number: u32| id(&format!("many-{number}"));
    for number in 0..MANY {
        let headers = vec![("Baton-Intent".to_owned(), name(number).to_string())];
        let body = format!("otters {number}").into();
        shop.publish_raw("mesh.intent.research".to_owned(), headers, body)
            .await
            .expect("taken in");
    }
    let subject = "mesh.work.research.1_0_0.p5";
    for number in 0..MANY {
        let (mut record, seq) = first_of(&mesh, &name(number)).await;
        let envelope = record.envelope.as_mut().expect("an envelope");
        envelope.payload = Json::string("forged");
        // Of an intent that is there, at the sequence of its record, but with other work.
        if number % 2 == 0 {
            put_ticket(&mesh, &record, seq, subject).await;
        }
        // Of one that is not there.
        record.intent = id(&format!("forged-{number}"));
        record.envelope.as_mut().expect("an envelope").intent = record.intent.clone();
        put_ticket(&mesh, &record, seq, subject).await;
    }
    let (exit, said, _) = mesh.baton(OPERATOR, &["agents", "resume", "research"]).await;
    assert_eq!(exit, Some(0), "{said}");
    let heads = join_all((0..MANY).map(|number| {
        let intent = name(number);
        let mesh = &mesh;
        async move { mesh.completed(&intent).await }
    }))
    .await;
    for (number, head) in heads.iter().enumerate() {
        let result = head.record.snapshot.result.as_ref().map(Json::get);
        assert_eq!(result, Some(format!("\"done: \\\"otters {number}\\\"\"").as_str()));
    }
    let version = "1.0.0".parse().expect("version");
    let agent = "research".parse().expect("name");
    eventually("no ticket is left", SOON, async || {
        match mesh.control.queued_tickets(&agent, &version).await {
            Ok(left) if left.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // Two tickets of one record may both be run, if at the same time. Those that no record owes would be as many again.
    let runs = mesh.runs.load(Ordering::SeqCst);
    assert!((MANY..=MANY + MANY / 2).contains(&runs), "{runs} runs");
    for number in 0..MANY {
        let forged = id(&format!("forged-{number}"));
        assert!(mesh.control.head(&forged).await.expect("read").is_none());
    }
}
